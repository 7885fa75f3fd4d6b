package mesh

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"go.uber.org/goleak"

	"weir/backend/kafka"
	"weir/backend/mesh/judge"
	"weir/config"
)

func TestMain(m *testing.M) {
	if os.Getenv(clientMineEnv) != "" { // what a client that panicked has left behind ends with the process
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*Cluster).run"))
}

// world is a broker, a registry and an engine over them.
type world struct {
	t        *testing.T
	broker   *kafka.Embedded
	registry string
	engine   *Engine
	producer sarama.SyncProducer
	stop     func()
}

func newWorld(t *testing.T, window time.Duration, topics ...kafka.EmbeddedTopic) *world {
	t.Helper()
	w := &world{t: t, registry: t.TempDir()}
	var err error
	if w.broker, err = kafka.StartEmbedded(kafka.EmbeddedOptions{Topics: topics}); err != nil {
		t.Fatal(err)
	}
	cluster, err := kafka.NewCluster(config.Kafka{Brokers: []string{w.broker.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	if w.producer, err = sarama.NewSyncProducer(cluster.Brokers(), c); err != nil {
		t.Fatal(err)
	}
	w.engine = New(Config{Registry: w.registry, Window: window, Cluster: cluster})
	w.run()
	t.Cleanup(func() {
		w.stop()
		if err := w.producer.Close(); err != nil {
			t.Error(err)
		}
		if err := w.broker.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.engine.Run(ctx) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

// file writes a product's file as an editor would.
func (w *world) file(path, text string) {
	w.t.Helper()
	full := filepath.Join(w.registry, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// send produces values to a partition and gives the offset of the last.
func (w *world) send(topic string, partition int32, values ...string) int64 {
	w.t.Helper()
	var messages []*sarama.ProducerMessage
	for _, v := range values {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Partition: partition, Value: sarama.StringEncoder(v)})
	}
	if err := w.producer.SendMessages(messages); err != nil {
		w.t.Fatal(err)
	}
	return messages[len(messages)-1].Offset
}

// until waits for the product to be as wanted and gives it.
func (w *world) until(name, what string, wanted func(Product) bool) Product {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	var last Product
	for time.Now().Before(deadline) {
		for _, p := range w.engine.Snapshot().Products {
			if p.Name.String() == name {
				if last = p; wanted(p) {
					return p
				}
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatalf("%s never %s; last seen: state %s, rows %d, issues %v, error %q", name, what, last.State, last.Rows, last.Issues, last.Error)
	return Product{}
}

func is(s State) func(Product) bool { return func(p Product) bool { return p.State == s } }

const userEvents = `consumers:
- ml-team
description: Events of users
domain: commerce
name: user_events
owners:
- data@example.com
quality_sla:
  max_null_percentage: 0.05
  required_columns:
  - user_id
  - timestamp
refresh_frequency: hourly
schema_version: '1.0'
`

func good(i int) string {
	return fmt.Sprintf(`{"user_id":"u%d","timestamp":"2026-11-22T07:00:00Z","email":"u%d@example.com"}`, i, i)
}

func many(n int, f func(int) string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}

func TestNullsBreakALiveContractWithinTwoSecondsAndItHeals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 3})
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "had no data", is(NoData))
	w.send("user_events", 0, many(95, good)...)
	w.until("user_events", "held", is(Holds))

	null := `{"user_id":"u1","timestamp":"2026-11-22T07:00:00Z","email":null}`
	absent := `{"user_id":"u1","timestamp":"2026-11-22T07:00:00Z"}`
	w.send("user_events", 1, null, null, absent)
	w.send("user_events", 2, null, absent)
	// 5 of 100 is the share allowed; the next one exceeds it.
	w.until("user_events", "counted 100 rows", func(p Product) bool { return p.Rows == 100 && p.State == Holds })
	offset := w.send("user_events", 2, absent)
	sent := time.Now()
	p := w.until("user_events", "broke", is(Broken))
	took := time.Since(sent)
	t.Logf("the contract broke after %s", took)
	if os.Getenv("WEIR_SLOW") != "" && took > 2*time.Second {
		t.Errorf("the promise is two seconds")
	}
	if p.Schema != true || p.Quality != false || len(p.Issues) != 1 {
		t.Fatalf("broken with %+v", p)
	}
	i := p.Issues[0]
	if i.Rule != "max_null_percentage" || i.Column.String() != "email" || i.Failed != 6 || i.Of != 101 || i.Message.String() != "email null 5.9% > 5%" {
		t.Errorf("issue %+v", i)
	}
	if len(i.Samples) != 5 || strings.Contains(fmt.Sprint(i.Samples), "example.com") {
		t.Errorf("samples %v", i.Samples)
	}
	found := false
	for _, s := range i.Samples {
		found = found || s.Partition == 2 && s.Offset == offset
	}
	if !found {
		t.Errorf("no sample at offset 2/%d in %v", offset, i.Samples)
	}
	want := fmt.Sprintf("broke: email null 5.9%% > 5%% (offset 2/%d)", offset)
	w.event(want)

	w.send("user_events", 0, many(60, good)...)
	w.until("user_events", "healed", is(Holds))
	w.event("healed after")
}

func (w *world) event(text string) {
	w.t.Helper()
	for _, e := range w.engine.Snapshot().Log {
		if strings.Contains(e.Message.String(), text) {
			return
		}
	}
	w.t.Errorf("no event %q in %v", text, w.engine.Snapshot().Log)
}

// TestWhatCannotBeJudgedIsCounted: a rule in SQL is none that a stream can be held to.
func TestWhatCannotBeJudgedIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.file("commerce/user_events.yaml", `apiVersion: v3.1.0
kind: DataContract
id: user_events
version: 1.0.0
status: active
schema:
- name: user_events
  properties:
  - {name: user_id, required: true}
  - {name: email, quality: [{type: sql, query: "SELECT count(*) FROM user_events", mustBe: 0}]}
`)
	w.send("user_events", 0, many(10, good)...)
	p := w.until("user_events", "was judged", func(p Product) bool { return p.Rows == 10 })
	if p.State != Holds || p.Unjudged != 1 || len(p.Findings) == 0 {
		t.Errorf("%s, %d checks not judged: %+v", p.State, p.Unjudged, p.Findings)
	}
}

// TestATombstoneIsNoRow: in a compacted topic a record without a value says that its key is gone.
func TestATombstoneIsNoRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "had no data", is(NoData))
	w.send("user_events", 0, many(10, good)...)
	if _, _, err := w.producer.SendMessage(&sarama.ProducerMessage{Topic: "user_events", Key: sarama.StringEncoder("u3")}); err != nil {
		t.Fatal(err)
	}
	w.send("user_events", 0, many(10, good)...)
	if p := w.until("user_events", "counted all", func(p Product) bool { return p.Rows >= 20 }); p.Rows != 20 || p.Undecodable != 0 || p.State != Holds {
		t.Errorf("%d rows, %d undecodable, %s", p.Rows, p.Undecodable, p.State)
	}
	profile, err := ProfileTopic(t.Context(), w.engine.config.Cluster, "user_events", TopicOptions{})
	if err != nil || profile.Rows != 20 || profile.Undecodable != 0 {
		t.Errorf("a draft sees %d rows, %d undecodable, %v", profile.Rows, profile.Undecodable, err)
	}
}

func TestMissingColumnsGarbageAndSilence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 6*time.Second, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "had no data", is(NoData))
	w.send("user_events", 0, `{"user_id":1}`, `not json`, `{"user_id":2,`, ``)
	p := w.until("user_events", "broke", func(p Product) bool { return p.State == Broken && p.Undecodable == 3 })
	if p.Schema || !p.Quality || p.Rows != 1 {
		t.Errorf("schema %v quality %v rows %d", p.Schema, p.Quality, p.Rows)
	}
	if p.Issues[0].Rule != "required_columns" || p.Issues[0].Column.String() != "timestamp" {
		t.Errorf("issues %+v", p.Issues)
	}
	w.until("user_events", "ran dry", is(NoData))
}

func TestBadFilesKeepTheLastGoodVersionInForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.file("commerce/user_events.yaml", userEvents)
	w.file("commerce/broken.yaml", "name: [")
	w.until("broken", "was unparsed", func(p Product) bool { return p.State == Bad && !p.Error.IsEmpty() })
	w.until("user_events", "had no data", is(NoData))
	w.file("commerce/user_events.yaml", userEvents+"surprise: 1\n")
	w.send("user_events", 0, `{"user_id":1}`)
	p := w.until("user_events", "was unparsed", func(p Product) bool { return p.State == Bad && p.Rows == 1 && !p.Schema })
	if !strings.Contains(p.Error.String(), `line 15, column 1: data product: unknown key "surprise"`) {
		t.Errorf("error %q", p.Error)
	}
	if !strings.Contains(p.Error.String(), "the last good version stays in force") {
		t.Errorf("nobody is told what is in force: %q", p.Error)
	}
	w.file("commerce/user_events.yaml", strings.Replace(userEvents, "  - timestamp\n", "", 1))
	w.until("user_events", "held by its new version", is(Holds))
}

func TestTheEngineWaitsForTopicsAndRestartsWhereItWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 2})
	w.file("commerce/nothing.yaml", strings.ReplaceAll(userEvents, "user_events", "nothing"))
	p := w.until("nothing", "waited", func(p Product) bool {
		return p.State == Waiting && strings.Contains(p.Error.String(), "no topic nothing")
	})
	if !p.Feed.IsEmpty() {
		t.Errorf("feed %q", p.Feed)
	}
	w.send("user_events", 0, many(10, good)...)
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "read the backlog", func(p Product) bool { return p.Rows == 10 && p.State == Holds })
	w.stop()
	w.send("user_events", 1, many(5, good)...)
	w.run()
	w.until("user_events", "read what came meanwhile", func(p Product) bool { return p.Rows == 15 && p.State == Holds })
}

func TestABrokerThatGoesIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.file("commerce/user_events.yaml", userEvents)
	w.send("user_events", 0, many(3, good)...)
	w.until("user_events", "held", is(Holds))
	addr := w.broker.Addr()
	if err := w.broker.Close(); err != nil {
		t.Fatal(err)
	}
	p := w.until("user_events", "waited", is(Waiting))
	if !strings.Contains(p.Error.String(), "the broker is away") || p.Rows != 3 {
		t.Errorf("%d rows, error %q", p.Rows, p.Error)
	}
	w.event("topics cannot be read")
	var err error
	if w.broker, err = kafka.StartEmbedded(kafka.EmbeddedOptions{Listen: addr, Topics: []kafka.EmbeddedTopic{{Name: "user_events", Partitions: 1}}}); err != nil {
		t.Fatal(err)
	}
	w.until("user_events", "was read again", is(Holds))
	w.send("user_events", 0, many(2, good)...)
	w.until("user_events", "judged what the new broker has", func(p Product) bool { return p.Rows == 5 })
	w.event("topics can be read again")
}

func TestARegistryThatIsNotThereIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute)
	if err := os.Remove(w.registry); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for w.engine.Snapshot().Error.IsEmpty() && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if s := w.engine.Snapshot(); !strings.Contains(s.Error.String(), "no registry") {
		t.Fatalf("error %q", s.Error)
	}
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "was found", is(Waiting)) // for its topic
	w.event("the registry can be read again")
}

// TestARegistryThatIsReplaced moves the folder away from under the engine: a file in its place is said, the rules stay in
// force, and another folder there is the registry from then on.
func TestARegistryThatIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "was found", func(Product) bool { return true })
	if !w.engine.Snapshot().Scanned {
		t.Error("the registry was read, and the snapshot denies it")
	}
	away := filepath.Join(t.TempDir(), "away")
	if err := errors.Join(os.Rename(w.registry, away), os.WriteFile(w.registry, []byte("not a folder"), 0o644)); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for w.engine.Snapshot().Error.IsEmpty() && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if s := w.engine.Snapshot(); !strings.Contains(s.Error.String(), "is a file") || len(s.Products) != 1 {
		t.Fatalf("error %q, %d products", s.Error, len(s.Products))
	}
	if err := errors.Join(os.Remove(w.registry), os.MkdirAll(filepath.Join(w.registry, "commerce"), 0o755)); err != nil {
		t.Fatal(err)
	}
	w.file("commerce/orders.yaml", strings.ReplaceAll(userEvents, "user_events", "orders"))
	w.until("orders", "was found in the other folder", func(Product) bool { return true })
	if s := w.engine.Snapshot(); !s.Error.IsEmpty() || len(s.Products) != 1 {
		t.Errorf("error %q, %d products", s.Error, len(s.Products))
	}
}

// TestAContractThatComesBackAsItWasKeepsItsWindow: the folder is swapped for a copy, in which the file is broken and then
// mended.
func TestAContractThatComesBackAsItWasKeepsItsWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "had no data", is(NoData))
	w.send("user_events", 0, many(20, good)...)
	w.until("user_events", "held", is(Holds))
	window := func() *judge.Judge {
		p := w.engine.sorted()[0]
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.judge
	}
	judged := window()
	if err := os.Rename(w.registry, filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	w.file("commerce/user_events.yaml", "name: [")
	p := w.until("user_events", "was unreadable", is(Bad))
	if p.Description.String() != "Events of users" || p.Rows != 20 {
		t.Errorf("the last good version is not in force: %q, %d rows", p.Description, p.Rows)
	}
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "held again", is(Holds))
	if window() != judged {
		t.Error("the same contract starts with an empty window")
	}
}

func TestAvroIsReadByItsSchemaAndTheRegistryIsWaitedFor(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	away.Store(true)
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case away.Load():
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		case r.URL.Path == "/schemas/ids/7":
			fmt.Fprint(w, `{"schema":"{\"type\":\"record\",\"name\":\"E\",\"fields\":[{\"name\":\"user_id\",\"type\":\"long\"},{\"name\":\"timestamp\",\"type\":[\"null\",\"string\"]}]}"}`)
		case r.URL.Path == "/schemas/ids/8":
			fmt.Fprint(w, `{"schema":"{}","schemaType":"JSON"}`)
		case r.URL.Path == "/schemas/ids/9":
			fmt.Fprint(w, `{"schema":"syntax = \"proto3\";","schemaType":"PROTOBUF"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(registry.Close)
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.stop()
	w.engine = New(Config{Registry: w.registry, Window: time.Minute, Cluster: w.engine.config.Cluster, SchemaRegistry: registry.URL})
	w.run()
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "had no data", is(NoData))
	frame := func(id byte, data string) string { return string([]byte{0, 0, 0, 0, id}) + data }
	w.send("user_events", 0, frame(7, "\x02\x02\x02t"))
	p := w.until("user_events", "waited for the schema registry", func(p Product) bool {
		return p.State == Waiting && strings.Contains(p.Error.String(), "schema registry is away")
	})
	if p.Rows != 0 {
		t.Errorf("%d rows", p.Rows)
	}
	away.Store(false)
	w.until("user_events", "held", func(p Product) bool { return p.State == Holds && p.Rows == 1 })
	w.send("user_events", 0, frame(7, "\x02\x00"), frame(8, good(1)), good(2), frame(9, "x"), frame(10, "x"), frame(7, "\x02"))
	p = w.until("user_events", "broke", func(p Product) bool { return p.State == Broken && p.Rows == 4 && p.Undecodable == 3 })
	if i := p.Issues[0]; i.Column.String() != "timestamp" || i.Failed != 1 {
		t.Errorf("%+v", p.Issues)
	}
	text := fmt.Sprint(p.Issues)
	for _, want := range []string{"expected how many indexes", "no schema 10", "expected a whole number"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestAWindowByCountIsFilledByThosePartitionsThatHaveRecords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		held      []int64
		sum, want int64
	}{{[]int64{0, 50, 0}, 20, 20}, {[]int64{50, 50}, 20, 10}, {[]int64{9, 1, 9}, 10, 5}, {[]int64{2, 1, 3}, 6, 3}, {[]int64{2, 1}, 6, math.MaxInt64}, {nil, 5, math.MaxInt64}} {
		if got := equalShare(c.held, c.sum); got != c.want {
			t.Errorf("of %v each gives %d to %d, want %d", c.held, got, c.sum, c.want)
		}
	}
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "orders", Partitions: 3})
	w.send("orders", 1, many(50, func(i int) string { return fmt.Sprintf(`{"id":%d}`, i) })...)
	w.file("shop/orders.yaml", `apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
customProperties: [{property: window, value: 20 rows}]
schema:
- name: orders
  properties: [{name: id, logicalType: integer}]
`)
	w.until("orders", "was full", func(p Product) bool { return p.State == Holds && p.Rows == 20 })
}

func TestAWindowByCountHoldsTheNewestRecordsForAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "orders", Partitions: 2})
	w.file("shop/orders.yaml", `apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
customProperties: [{property: window, value: 20 rows}]
schema:
- name: orders
  properties: [{name: id, logicalType: integer, unique: true}, {name: email, quality: [{metric: nullValues, unit: percent, mustBeLessThan: 10}]}]
`)
	w.until("orders", "had no data", is(NoData))
	row := func(i int) string { return fmt.Sprintf(`{"id":%d,"email":"e"}`, i) }
	w.send("orders", 0, many(50, row)...)
	p := w.until("orders", "held", func(p Product) bool { return p.State == Holds && p.Rows == 20 })
	if p.WindowRows != 20 || p.Window != 0 {
		t.Errorf("a window of %s and %d rows", p.Window, p.WindowRows)
	}
	offset := w.send("orders", 1, `{"id":100,"email":null}`, `{"id":100,"email":null}`)
	p = w.until("orders", "broke", func(p Product) bool { return p.State == Broken && len(p.Issues) == 2 })
	if i := p.Issues[0]; i.Failed != 1 || i.Of != 20 || i.Samples[0].Offset != offset || p.Issues[1].Failed != 2 {
		t.Errorf("%+v", p.Issues)
	}
	w.send("orders", 0, many(19, func(i int) string { return row(i + 200) })...) // the first of the two has left
	w.until("orders", "had one null left", func(p Product) bool { return p.State == Holds && p.Rows == 20 && p.Columns[1].Nulls == 1 })
}
