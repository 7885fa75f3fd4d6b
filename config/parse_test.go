package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the files tests compare with")

// env is an environment of pairs.
func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestDefaults(t *testing.T) {
	c, err := Parse("/etc/weir/weir.yaml", []byte(`
kafka: {brokers: [localhost:9092]}
pipeline:
features: {url: http://localhost:6566}
model: {onnx: models/churn.onnx}
edge: {nodes: [http://edge-node-1:8080/], cloud: {url: https://api.example.com/data/ingest}}
mesh: {}
`), env())
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Path:  "/etc/weir/weir.yaml",
		Kafka: Kafka{Brokers: []string{"localhost:9092"}},
		Pipeline: &Pipeline{Group: "weir", Events: "user_events", Predictions: "predictions", DeadLetters: "user_events.dead_letters",
			Start: "latest", Delivery: "at_least_once", Batch: Batch{MaxEvents: 1000, MaxWait: 20 * time.Millisecond}},
		Features: &Features{URL: "http://localhost:6566", Entity: "user_id", Timeout: 500 * time.Millisecond, OnMissing: "dead_letter",
			Names: []string{"user_profile:age", "user_profile:location", "user_behavior:click_rate_24h", "user_behavior:purchase_history_30d"},
			Cache: Cache{TTL: 30 * time.Second, Entries: 100000}},
		Model: &Model{ONNX: "/etc/weir/models/churn.onnx", Version: "churn", Watch: true},
		Edge: &Edge{Nodes: []string{"http://edge-node-1:8080"}, Poll: 15 * time.Second, Timeout: 10 * time.Second, StaleAfter: 5 * time.Minute,
			Concurrency: 256, Cloud: &Cloud{URL: "https://api.example.com/data/ingest", Every: 5 * time.Minute,
				Timeout: 30 * time.Second, MaxBytes: 256 << 20, MaxAge: 7 * 24 * time.Hour}},
		Mesh:    &Mesh{Registry: "/etc/weir/data-products", Window: 5 * time.Minute},
		History: History{Retain: 24 * time.Hour, MaxBytes: 1 << 30},
		Console: Console{Refresh: time.Second, Theme: "auto", TimeZone: "local"},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestDerivedDefaults(t *testing.T) {
	c, err := Parse("weir.yaml", []byte("kafka: {brokers: [a:1]}\nedge: {nodes: [http://a], poll: 3s}\npipeline: {events: clicks}\nfeatures: {url: http://f}\n"+
		"model: {inference: {url: http://m, name: churn}}\nmesh: {registry: ~/products}\n"), env("HOME", "/home/me"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Edge.Timeout != 2*time.Second || c.Edge.StaleAfter != 5*time.Minute {
		t.Errorf("timeout %v, stale after %v; want 2s, 5m", c.Edge.Timeout, c.Edge.StaleAfter)
	}
	if c.Pipeline.DeadLetters != "clicks.dead_letters" || c.Model.Version != "churn" || c.Mesh.Registry != "/home/me/products" {
		t.Errorf("got %q, %q, %q", c.Pipeline.DeadLetters, c.Model.Version, c.Mesh.Registry)
	}
}

func TestConsole(t *testing.T) {
	c, err := Parse("/etc/weir/weir.yaml", []byte("kafka: {brokers: [a:1]}\nconsole: {theme: themes/dusk.json, keys: {freeze: [p, space], quit: ctrl+c, top: [g, G], 'help': [\"?\"]}}\n"), env())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"freeze": {"p", "space"}, "quit": {"ctrl+c"}, "top": {"g", "G"}, "help": {"?"}}
	if diff := cmp.Diff(want, c.Console.Keys); diff != "" || c.Console.Theme != "/etc/weir/themes/dusk.json" {
		t.Errorf("theme %s, keys %s", c.Console.Theme, diff)
	}
	for _, theme := range []string{"dark", "colour-blind"} {
		if c, err = Parse("/etc/weir/weir.yaml", []byte("kafka: {brokers: [a:1]}\nconsole: {theme: "+theme+"}\n"), env()); err != nil || c.Console.Theme != theme {
			t.Errorf("%s: %v", theme, err)
		}
	}
}

func TestFleet(t *testing.T) {
	c, err := Parse("/etc/weir/weir.yaml", []byte(`
kafka: {brokers: [a:1]}
edge:
  targets:
    - {url: http://oslo-1:8080/, labels: {site: oslo, owner: "anna"}}
    - url: http://bergen-1:8080
  sources: [{file: nodes.txt}, {srv: _edge._tcp.example.com, scheme: https, every: 1m}, {http_sd: "http://sd/edge?x=1", token: ${TOKEN}}]
  access:
    - labels: {site: oslo}
      headers: {X-Key: ${TOKEN}}
      tls: {ca: ca.pem}
    - {token: t}
model: {inference: {url: http://m, name: churn, timeout: 1s}}
`), env("TOKEN", "hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Edge{
		Targets: []Target{{"http://oslo-1:8080", map[string]string{"site": "oslo", "owner": "anna"}}, {"http://bergen-1:8080", nil}},
		Sources: []Source{
			{File: "/etc/weir/nodes.txt", Scheme: "http", Every: 30 * time.Second},
			{SRV: "_edge._tcp.example.com", Scheme: "https", Every: time.Minute},
			{HTTPSD: "http://sd/edge?x=1", Scheme: "http", Every: 30 * time.Second, Token: NewSecret("hunter2")},
		},
		Access: []Access{
			{Labels: map[string]string{"site": "oslo"}, Headers: map[string]Secret{"X-Key": NewSecret("hunter2")}, TLS: &TLS{CA: "/etc/weir/ca.pem"}},
			{Token: NewSecret("t")},
		},
		Poll: 15 * time.Second, Timeout: 10 * time.Second, StaleAfter: 5 * time.Minute, Concurrency: 256,
	}
	if diff := cmp.Diff(want, c.Edge); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&Inference{URL: "http://m", Name: "churn", Timeout: time.Second}, c.Model.Inference); diff != "" {
		t.Error(diff)
	}
}

func TestSameNode(t *testing.T) {
	const nodes = "kafka: {brokers: [a:1]}\nedge: {nodes: [http://fleet/A, http://fleet/a, %s]}\n"
	if _, err := Parse("weir.yaml", []byte(fmt.Sprintf(nodes, "http://fleet/b")), env()); err != nil {
		t.Error(err)
	}
	if _, err := Parse("weir.yaml", []byte(fmt.Sprintf(nodes, "http://fleet:8080/A")), env()); err != nil {
		t.Error(err)
	}
	for _, again := range []string{"HTTP://Fleet/A/", "http://fleet:80/A"} {
		if _, err := Parse("weir.yaml", []byte(fmt.Sprintf(nodes, again)), env()); err == nil || !strings.Contains(err.Error(), "again") {
			t.Errorf("%s: %v", again, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	getenv := env("KAFKA_PASSWORD", "p$w{}:, #x", "BROKER", "kafka:9092", "EMPTY", "", "MAX", "250", "READ_ONLY", "true", "POLL", "30s")
	c, err := Parse("weir.yaml", []byte(`
kafka:
  brokers: [${BROKER}, "${OTHER:-other:9092}", '${EMPTY:-third}:1']
  tls: {server_name: ${NAME:-kafka.example.com}}
  sasl: {mechanism: plain, username: "a$$b$", password: ${KAFKA_PASSWORD}}
pipeline: {batch: {max_events: ${MAX}}}
features: {url: http://f, names: [a:b], on_missing: default, defaults: {"a:b": ${MAX}}}
model: {onnx: m, version: "${EMPTY}v${MAX}"}
console: {read_only: ${READ_ONLY}}
edge: {nodes: [http://a], poll: ${POLL}}
`), getenv)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kafka:9092", "other:9092", "third:1"}, c.Kafka.Brokers); diff != "" {
		t.Error(diff)
	}
	if got := c.Kafka.SASL; got.Username != "a$b$" || got.Password.Reveal() != "p$w{}:, #x" {
		t.Errorf("username %q, password %q", got.Username, got.Password.Reveal())
	}
	if c.Pipeline.Batch.MaxEvents != 250 || !c.Console.ReadOnly || c.Edge.Poll != 30*time.Second || c.Model.Version != "v250" ||
		c.Features.Defaults["a:b"] != 250 || c.Kafka.TLS.ServerName != "kafka.example.com" {
		t.Errorf("got %+v", c)
	}
}

// TestMistakes compares what each file in testdata/bad is told with the .txt beside it.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files in testdata/bad", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse("weir.yaml", data, env("LEAK", "hunter2hunter2\nx", "BAD", "nowhere"))
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("got %v, want Errors", err)
			}
			checkErrors(t, data, all)
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("a secret was shown")
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), all.Error()+"\n"); diff != "" {
				t.Errorf("(-want +got; -update rewrites)\n%s", diff)
			}
		})
	}
}

// checkErrors holds every error to its promise: a place inside the file, and words.
func checkErrors(t *testing.T, data []byte, all Errors) {
	t.Helper()
	lines := strings.Count(string(data), "\n") + 1
	for _, e := range all {
		if e.File == "" || e.Expected == "" || e.Found == "" {
			t.Errorf("an error without words: %#v", e)
		}
		if aboutFile := e.Line == 0 && e.Column == 0; !aboutFile && (e.Line < 1 || e.Column < 1 || e.Line > lines) {
			t.Errorf("an error without a place: %d:%d of %d lines: %v", e.Line, e.Column, lines, e)
		}
		if e.caret > 2*shownRunes+20 {
			t.Errorf("the caret is at cell %d", e.caret)
		}
	}
}

func TestErrorsUnwrap(t *testing.T) {
	_, err := Parse("weir.yaml", []byte("kafka: {brokers: [a:1]}\nconsole: {refresh: 15, theme: blue}\n"), env())
	var first Error
	if !errors.As(err, &first) || first.Line != 2 || first.Column != 20 || first.Key != "console.refresh" || first.Hint != "write 15s" {
		t.Errorf("got %+v", first)
	}
	if !strings.Contains(err.Error(), "write 15s") || !strings.HasSuffix(err.Error(), "2 errors in weir.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestTextForms(t *testing.T) {
	const plain = "kafka:\n  brokers:\n    - a:1\nconsole:\n  theme: dark\n"
	for name, data := range map[string]string{
		"byte order mark":  "\ufeff" + plain,
		"CRLF":             strings.ReplaceAll(plain, "\n", "\r\n"),
		"document markers": "---\n" + plain + "...\n",
		"comments":         "# über\n" + strings.ReplaceAll(plain, "\n", " # c\n"),
		"quotes":           "\"kafka\":\n  'brokers': [\"a:1\"]\nconsole: {\"theme\": 'dark'}",
		"tab before #":     strings.ReplaceAll(plain, "dark\n", "dark\t# c\n\t\n"),
	} {
		c, err := Parse("weir.yaml", []byte(data), env())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if c.Console.Theme != "dark" || c.Kafka.Brokers[0] != "a:1" {
			t.Errorf("%s: got %+v", name, c)
		}
	}
}

// TestFlowColons: a colon without a space is part of its string wherever YAML says so.
func TestFlowColons(t *testing.T) {
	c, err := Parse("weir.yaml", []byte(`{"kafka":{"brokers":["a:1",b:2,"[::1]:3"]}, features: {url: http://f:1/x:y, names: [a:b, c:d ,e:f]},
  http: {listen: :9464}, edge: {nodes: [http://a:1, https://b:2/c], cloud: {token: a:b:c::d, url: http://c}}, history: {path: ':::'}}`), env())
	if err != nil {
		t.Fatal(err)
	}
	got := [][]string{c.Kafka.Brokers, c.Features.Names, c.Edge.Nodes, {c.Features.URL, c.HTTP.Listen, c.Edge.Cloud.Token.Reveal(), c.History.Path}}
	want := [][]string{{"a:1", "b:2", "[::1]:3"}, {"a:b", "c:d", "e:f"}, {"http://a:1", "https://b:2/c"}, {"http://f:1/x:y", ":9464", "a:b:c::d", ":::"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// patience is far more than reading takes, also with the race detector on a busy machine, and far less than what is
// quadratic in these sizes would.
const patience = 30 * time.Second

// TestHostileShapes: what would cost a YAML reader its time or stack is refused at once.
func TestHostileShapes(t *testing.T) {
	deepBlock := ""
	for i := range 200 {
		deepBlock += strings.Repeat(" ", i) + "a:\n"
	}
	headers := ""
	for i := range 3000 {
		headers += fmt.Sprintf("x%d: hunter2-%d, ", i, i)
	}
	for name, data := range map[string]string{
		"too large":            strings.Repeat("# x\n", maxBytes/4+1),
		"flow lists":           strings.Repeat("[", 20_000),
		"flow maps":            strings.Repeat("{a: ", 20_000),
		"block lists":          strings.Repeat("- ", 20_000),
		"block maps":           deepBlock,
		"compact maps":         strings.Repeat("a: ", 20_000),
		"question marks":       strings.Repeat("? ", 20_000),
		"twenty thousand keys": strings.Repeat("x: 1\n", 20_000),
		"anchors":              strings.Repeat("&a ", 20_000),
		"tags":                 strings.Repeat("!a ", 20_000),
		"secrets":              "edge: {access: [{headers: {" + headers + "}}]}",
		"NUL":                  "kafka: \x00",
		"UTF-16":               "\xff\xfek\x00",
		"not UTF-8":            "kafka: \xc3\x28",
		"one long line":        "kafka: " + strings.Repeat("x", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse("weir.yaml", []byte(data), env())
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("got %v, want Errors", err)
			}
			checkErrors(t, []byte(data), all)
			if took := time.Since(start); took > patience {
				t.Errorf("took %v", took)
			}
			if len(err.Error()) > 2000 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

// fleet is a configuration of n nodes.
func fleet(n int) []byte {
	var b strings.Builder
	b.WriteString("kafka: {brokers: [a:1]}\nedge:\n  nodes:\n")
	for i := range n {
		b.WriteString("    - http://edge-node-" + strconv.Itoa(i) + ":8080\n")
	}
	return []byte(b.String())
}

func TestThousandNodes(t *testing.T) {
	c, err := Parse("weir.yaml", fleet(1000), env())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Edge.Nodes) != 1000 || c.Edge.Nodes[999] != "http://edge-node-999:8080" {
		t.Errorf("%d nodes", len(c.Edge.Nodes))
	}
}

// BenchmarkParse: the largest fleet of the product's promise, 10,000 nodes, and the file most people have, each beside
// the library's own decoding into maps, which knows no schema and tells no places.
func BenchmarkParse(b *testing.B) {
	for name, data := range map[string][]byte{"starter": Starter(), "10000 nodes": fleet(10_000)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Parse("weir.yaml", data, env()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/library", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				var out any
				if err := yaml.Unmarshal(data, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestStarter(t *testing.T) {
	if golden := "testdata/starter.yaml"; *update {
		if err := os.WriteFile(golden, Starter(), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want, err := os.ReadFile(golden); err != nil || string(want) != string(Starter()) {
		t.Errorf("%s is stale (%v); -update rewrites it", golden, err)
	}
	got, err := Parse("weir.yaml", Starter(), env())
	if err != nil {
		t.Fatal(err)
	}
	want, err := Parse("weir.yaml", []byte("kafka: {brokers: [localhost:9092]}\npipeline: {}\nfeatures: {url: http://localhost:6566}\n"+
		"model: {onnx: model.onnx, version: v2.1}\nmesh: {}\n"), env())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a line of the starter is not the default (-default +starter)\n%s", diff)
	}

	// Each switched-off line, switched on, is right too; onnx and inference exclude each other.
	on := regexp.MustCompile(`(?m)^( *)#( *[a-z_]+:|    - )`).ReplaceAll(Starter(), []byte("$1$2"))
	on = regexp.MustCompile(`(?m)^  onnx:.*\n`).ReplaceAll(on, nil)
	c, err := Parse("weir.yaml", on, env("KAFKA_PASSWORD", "p", "CLOUD_TOKEN", "t", "FEAST_TOKEN", "t", "MODEL_TOKEN", "t",
		"EDGE_TOKEN", "t", "OSLO_KEY", "k", "LINEAGE_TOKEN", "t"))
	if err != nil {
		t.Fatalf("switched on:\n%v", err)
	}
	if c.Kafka.TLS == nil || c.Kafka.SASL == nil || c.Edge == nil || len(c.Edge.Targets) != 1 || len(c.Edge.Sources) != 3 || len(c.Edge.Access) != 2 || c.Edge.Cloud == nil || c.Model.Inference == nil || c.Features.Defaults == nil {
		t.Errorf("a section is still off: %+v", c)
	}
}

func TestReference(t *testing.T) {
	const file = "REFERENCE.md"
	if *update {
		if err := os.WriteFile(file, []byte(Reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != Reference() {
		t.Errorf("%s is stale (%v): run go test ./config -run Reference -update", file, err)
	}
}

// TestTable: every key has a doc, and a default that its own rules accept or an example.
func TestTable(t *testing.T) {
	var walk func(fields []field, section string)
	walk = func(fields []field, section string) {
		for _, f := range fields {
			key := join(section, f.key)
			if f.doc == "" || (f.subfields() == nil) == (f.to == nil) {
				t.Errorf("%s: doc %q, to %v, %d fields", key, f.doc, f.to, len(f.fields))
			}
			if f.to != nil && f.fallback == "" && f.example == "" {
				t.Errorf("%s has neither default nor example", key)
			}
			switch f.to.(type) {
			case *[]string, *map[string]float64, *map[string]map[string]float64, *map[string][]string, *map[string]string, *map[string]Secret, nil:
			default:
				if f.fallback != "" && f.fallback != `""` {
					if p := assign(f, f.fallback); p != nil {
						t.Errorf("%s: its default %s: %+v", key, f.fallback, *p)
					}
				}
			}
			walk(f.subfields(), key)
		}
	}
	walk(schema(&Config{}), "")
}

// TestDecimals: max_norm takes any number above zero, with or without decimals, and nothing that is no number.
func TestDecimals(t *testing.T) {
	for text, want := range map[string]float64{"10": 10, "0.5": 0.5, "2.75": 2.75, "1.5e3": 1500, ".25": 0.25, "0.000001": 1e-6,
		"0": 0, "-1": 0, ".inf": 0, ".nan": 0, "0x10p1": 0, "1e300": 0, `"0.5"`: 0, "half": 0, "[1]": 0} {
		c, err := Parse("weir.yaml", []byte("kafka: {brokers: [a:1]}\nedge: {nodes: [http://a], federated: {max_norm: "+text+"}}\n"), env())
		switch {
		case want == 0 && err == nil:
			t.Errorf("max_norm: %s was taken as %v", text, c.Edge.Federated.MaxNorm)
		case want == 0 && !strings.Contains(err.Error(), "a number from 0.000001 to 1000000000"):
			t.Errorf("max_norm: %s: %v", text, err)
		case want != 0 && (err != nil || c.Edge.Federated.MaxNorm != want):
			t.Errorf("max_norm: %s: %v", text, err)
		}
	}
}
