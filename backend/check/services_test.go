package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/config"
)

// patience is what a check may take in a test on a busy machine; only those against silent servers use it up.
const patience = 20 * time.Second

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// closedPort is an address nothing listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// feast answers as Feast does: NOT_FOUND for everyone, and a 422 that names an unknown feature.
func feast(t *testing.T, delay time.Duration, known ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Features []string            `json:"features"`
			Entities map[string][]string `json:"entities"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		select { // a slow server
		case <-time.After(delay):
		case <-r.Context().Done():
		}
		names, results := []string{"user_id"}, []string{`{"values":["weir-check"],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]}`}
		for _, f := range q.Features {
			if !strings.Contains(" "+strings.Join(known, " ")+" ", " "+f+" ") {
				view, name, _ := strings.Cut(f, ":")
				w.WriteHeader(http.StatusUnprocessableEntity)
				_, _ = fmt.Fprintf(w, `{"detail":"Feature %s not found in view %s (%s)"}`, name, view, f)
				return
			}
			names = append(names, strings.Replace(f, ":", "__", 1))
			results = append(results, `{"values":[null],"statuses":["NOT_FOUND"],"event_timestamps":["1970-01-01T00:00:00Z"]}`)
		}
		head, err := json.Marshal(names)
		if err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprintf(w, `{"metadata":{"feature_names":%s},"results":[%s]}`, head, strings.Join(results, ","))
	}
}

func TestFeatureStore(t *testing.T) {
	want := []string{"user:age", "user:city", "shop:rate"}
	for _, c := range []struct {
		name    string
		url     string
		timeout time.Duration
		status  Status
		found   []string
		do      string
	}{
		{"good", serve(t, feast(t, 0, want...)), patience, OK, []string{"knows the 3 features"}, ""},
		{"slow", serve(t, feast(t, 50*time.Millisecond, want...)), 20 * time.Millisecond, Warning, []string{"took"}, "features.timeout"},
		{"unknown names", serve(t, feast(t, 0, "user:city")), time.Second, Failed, []string{"does not know user:age, shop:rate"}, "features.names"},
		{"refused", "http://" + closedPort(t), time.Second, Failed, []string{"connection refused"}, "running"},
		{"unknown host", "http://feast.invalid:6566", time.Second, Failed, []string{"feast.invalid"}, "DNS"},
		{"another service", serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }), time.Second, Failed, nil, "Feast"},
		{"ill", serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }), time.Second, Failed, []string{"500"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows := checkFeatures(deadline(t), &config.Features{URL: c.url, Entity: "user_id", Names: want, Timeout: c.timeout})
			expect(t, rows, c.status, c.found, c.do)
		})
	}
}

// expect checks the first row.
func expect(t *testing.T, rows []Row, status Status, found []string, do string) {
	t.Helper()
	if len(rows) == 0 {
		t.Fatal("no rows")
	}
	r := rows[0]
	if r.Status != status || !strings.Contains(r.Do.String(), do) {
		t.Errorf("got %+v, want %s and advice about %q", r, status, do)
	}
	for _, f := range found {
		if !strings.Contains(r.Found.String(), f) {
			t.Errorf("found %q, want %q in it", r.Found, f)
		}
	}
	if (r.Status == OK) != r.Do.IsEmpty() {
		t.Errorf("ok needs no advice and everything else does: %+v", r)
	}
}

func TestInferenceServer(t *testing.T) {
	ready := func(codes map[string]int) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			code, ok := codes[r.URL.Path]
			if !ok {
				code = http.StatusNotFound
			}
			w.WriteHeader(code)
		})
	}
	for _, c := range []struct {
		name   string
		url    string
		status Status
		found  []string
		do     string
	}{
		{"good", ready(map[string]int{"/v2/health/ready": 200, "/v2/models/churn/ready": 200}), OK, []string{"churn"}, ""},
		{"no model", ready(map[string]int{"/v2/health/ready": 200}), Failed, []string{`no model "churn"`}, "inference.name"},
		{"loading", ready(map[string]int{"/v2/health/ready": 503}), Failed, []string{"not ready", "503"}, "wait"},
		{"not one", ready(nil), Failed, []string{"does not know /v2/health/ready"}, "v2"},
		{"refused", "http://" + closedPort(t), Failed, []string{"connection refused"}, "running"},
	} {
		t.Run(c.name, func(t *testing.T) {
			settings := &config.Config{Model: &config.Model{Inference: &config.Inference{URL: c.url, Name: "churn", Timeout: patience}}}
			expect(t, checkInference(deadline(t), settings), c.status, c.found, c.do)
		})
	}
}

func TestCloud(t *testing.T) {
	var posts atomic.Int32
	with := func(code int, header ...string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost || r.ContentLength > 0 {
				posts.Add(1)
			}
			if r.Header.Get("Authorization") != "Bearer t0ken" {
				code = http.StatusUnauthorized
			}
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		})
	}
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)
	for _, c := range []struct {
		name   string
		url    string
		status Status
		found  []string
		do     string
	}{
		{"takes HEAD", with(204), OK, []string{"204"}, ""},
		{"takes only POST", with(405), OK, []string{"405"}, ""},
		{"wants another token", with(403), Warning, []string{"403"}, "token"},
		{"redirects", with(301, "Location", "https://elsewhere/"), Warning, []string{"https://elsewhere/"}, "final URL"},
		{"ill", with(503), Warning, []string{"503"}, "outbox"},
		{"refused", "http://" + closedPort(t), Failed, []string{"connection refused"}, "outbox"},
		{"unknown authority", tlsServer.URL, Failed, []string{"authority"}, "install"},
		{"no TLS there", strings.Replace(with(200), "http:", "https:", 1), Failed, []string{"does not speak TLS"}, "TLS port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			expect(t, checkCloud(deadline(t), &config.Cloud{URL: c.url, Token: config.NewSecret("t0ken")}), c.status, c.found, c.do)
		})
	}
	if posts.Load() > 0 {
		t.Error("the check sent data")
	}
}

// TestSilentServer: a port that accepts and says nothing costs the deadline and no more.
func TestSilentServer(t *testing.T) {
	// A machine that sleeps for what lies between the two leaves the node unasked.
	const nodeTimeout, deadline = 300 * time.Millisecond, 3 * time.Second
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // accepted by the kernel, answered by nobody
	url := "http://" + l.Addr().String()
	c := &config.Config{
		Path: "weir.yaml", Kafka: config.Kafka{Brokers: []string{l.Addr().String()}},
		Features: &config.Features{URL: url, Entity: "user_id", Names: []string{"a:b"}, Timeout: time.Second},
		Model:    &config.Model{Inference: &config.Inference{URL: url, Name: "m"}},
		Edge:     &config.Edge{Nodes: []string{url}, Timeout: nodeTimeout, Poll: 2 * nodeTimeout, StaleAfter: time.Minute, Concurrency: 2, Cloud: &config.Cloud{URL: url}},
		History:  config.History{Path: t.TempDir() + "/h.db"},
	}
	began := time.Now()
	r := Run(t.Context(), c, Options{Timeout: deadline, State: t.TempDir()})
	if took := time.Since(began); took > patience {
		t.Errorf("took %v", took)
	}
	for _, what := range []string{"broker", "feature store", "model server", "edge nodes", "cloud"} {
		if row := find(r, what); row.Status != Failed {
			t.Errorf("%s: %+v", what, row)
		}
	}
	t.Log("\n" + text(t, r, 120))
}

func TestASilentNodeIsDownBeforeTheCheckEnds(t *testing.T) {
	for _, c := range []struct{ configured, left, want time.Duration }{
		{time.Minute, 5 * time.Second, 4 * time.Second}, {time.Second, 5 * time.Second, time.Second}, {time.Second, time.Second, 800 * time.Millisecond},
	} {
		if got := nodeTimeout(c.configured, c.left); got != c.want {
			t.Errorf("with a timeout of %v and %v left a node gets %v, want %v", c.configured, c.left, got, c.want)
		}
	}
}

func TestEdgeNodes(t *testing.T) {
	fresh := time.Now().UTC().Format(time.RFC3339)
	answers := func(body string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	}
	good := answers(`{"record_count":5,"quality_score":0.9,"last_updated":"` + fresh + `"}`)
	settings := func(nodes ...string) *config.Edge {
		return &config.Edge{Nodes: nodes, Poll: 30 * time.Second, Timeout: patience, StaleAfter: time.Minute, Concurrency: 16}
	}
	expect(t, checkEdge(deadline(t), settings(good)), OK, []string{"1 of 1 answer validly"}, "")

	refused := closedPort(t)
	nodes := []string{good,
		answers(`{"record_count":5,"quality_score":0.9,"last_updated":"2020-01-01T00:00:00Z"}`),
		answers(`{"record_count":-5,"quality_score":0.9,"last_updated":"` + fresh + `"}`),
	}
	for i := range 200 {
		nodes = append(nodes, fmt.Sprintf("http://%s/n%d", refused, i))
	}
	rows := checkEdge(deadline(t), settings(nodes...))
	expect(t, rows, Warning, []string{"2 of 203 answer validly"}, "below")
	if len(rows) != 1+shownNodes+1 || rows[len(rows)-1].Found.String() != "and 197 more nodes" {
		t.Errorf("%d rows, the last %+v", len(rows), rows[len(rows)-1])
	}
	for i, word := range []string{"stale: last updated 2020-01-01", "invalid", "down: connection refused"} {
		if r := rows[i+1]; !strings.Contains(r.Found.String(), word) || r.Do.IsEmpty() {
			t.Errorf("node %d: got %+v, want %q", i, r, word)
		}
	}
	expect(t, checkEdge(deadline(t), settings("http://"+refused)), Failed, []string{"0 of 1"}, "network")
}

func TestNodeSources(t *testing.T) {
	good := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintf(w, `{"record_count":5,"quality_score":0.9,"last_updated":%q}`, time.Now().UTC().Format(time.RFC3339))
	})
	inventory := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `[{"targets":[%q],"labels":{"site":"oslo"}}]`, strings.TrimPrefix(good, "http://"))
	})
	port := good[strings.LastIndexByte(good, ':'):] // one node is listed in two spellings
	file := filepath.Join(t.TempDir(), "nodes.txt")
	if err := os.WriteFile(file, []byte(good+"/one site=oslo\n"+good+"/two site=oslo\nHTTP://LOCALHOST"+port+" site=oslo\nhttp://localhost"+port+" site=oslo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &config.Edge{
		Sources: []config.Source{{File: file}, {HTTPSD: inventory, Every: time.Minute}},
		Access:  []config.Access{{Labels: map[string]string{"site": "oslo"}, Headers: map[string]config.Secret{"X-Key": config.NewSecret("secret")}}},
		Poll:    30 * time.Second, Timeout: patience, StaleAfter: time.Minute, Concurrency: 4,
	}
	rows := checkEdge(deadline(t), c)
	expect(t, rows, OK, []string{"nodes.txt lists 4 nodes"}, "")
	expect(t, rows[1:], OK, []string{"lists 1 node"}, "")
	expect(t, rows[2:], OK, []string{"4 of 4 answer validly"}, "")

	c.Sources = append(c.Sources, config.Source{File: file + ".none"}, config.Source{HTTPSD: "http://" + closedPort(t), Every: time.Minute})
	rows = checkEdge(deadline(t), c)
	expect(t, rows[2:], Failed, []string{"no such file"}, "edge.sources")
	expect(t, rows[3:], Failed, []string{"refused"}, "edge.sources")
	expect(t, rows[4:], OK, []string{"4 of 4"}, "")

	c.Access = append([]config.Access{{Prefix: good[:strings.LastIndexByte(good, ':')]}}, c.Access...)
	expect(t, checkEdge(deadline(t), c)[5:], Warning, []string{"is not for " + good + "/one, though"}, "prefix")
	c.Access = c.Access[1:]

	c.Access[0].TLS = &config.TLS{CA: file + ".none"}
	expect(t, checkEdge(deadline(t), c), Failed, []string{"edge.access[0]: tls.ca"}, "section edge")
}
