package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/model"
	"weir/config"
)

// TestMain runs the tests, or what a test started this binary for (see process_test.go).
func TestMain(m *testing.M) {
	if role := os.Getenv("WEIR_TEST_ROLE"); role != "" {
		play(role)
		return
	}
	flag.Parse()
	sarama.MaxDecompressedBatchSize = bombBytes - 1 // a real bomb takes its time under the race detector
	if os.Getenv("WEIR_KAFKA") == "" {
		_ = flag.Set("test.parallel", "8") // they mostly wait
	}
	goleak.VerifyTestMain(m)
}

// world is a broker with the topics of a pipeline, and the doubles around it.
type world struct {
	t       testing.TB
	brokers []string
	cluster kafka.Cluster
	topic   string // of events; the other topics are named after it
	store   *fakeStore
	said    *diary // what the engines logged
}

// diary is a log that is shown when its test failed. What is left behind by an engine may still write to it afterwards.
type diary struct {
	mu   sync.Mutex
	text []byte
}

const diaryLength = 100_000 // bytes of it that are kept, the newest

func newDiary(t testing.TB) *diary {
	d := new(diary)
	t.Cleanup(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if t.Failed() {
			t.Logf("the engines logged:\n%s", d.text)
		}
	})
	return d
}

func (d *diary) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text = append(d.text, p...)
	d.text = d.text[max(0, len(d.text)-diaryLength):]
	return len(p), nil
}

// newWorld starts a broker of its own, or uses the real one that WEIR_KAFKA names. Tests with a world run in parallel.
func newWorld(t testing.TB, partitions int32, opts ...kfake.Opt) *world {
	t.Helper()
	if test, ok := t.(*testing.T); ok {
		test.Parallel()
	}
	w := &world{t: t, store: newFakeStore(), said: newDiary(t)}
	w.topic = fmt.Sprintf("events-%d-%d", os.Getpid(), worlds.Add(1))
	if real := os.Getenv("WEIR_KAFKA"); real != "" {
		w.brokers = []string{real}
	} else {
		fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fake.Close)
		w.brokers = fake.ListenAddrs()
	}
	w.connect(partitions)
	return w
}

var worlds atomic.Int32

// connect makes the cluster of the brokers' addresses and the events topic.
func (w *world) connect(partitions int32) {
	w.t.Helper()
	cluster, err := kafka.NewCluster(config.Kafka{Brokers: w.brokers})
	if err != nil {
		w.t.Fatal(err)
	}
	w.cluster = cluster
	if partitions < 1 {
		return
	}
	admin, err := kafka.NewAdmin(cluster)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.CreateTopic(w.topic, partitions); err != nil {
		w.t.Fatal(err)
	}
	w.until("every partition has a leader", func() bool {
		all, err := admin.Partitions(w.topic)
		if err != nil || len(all) != int(partitions) {
			return false
		}
		_, err = admin.Watermarks(context.Background(), w.topic, all)
		return err == nil
	})
}

// config is a pipeline over the world, from the earliest record.
func (w *world) config() Config {
	c := Config{
		Cluster: w.cluster, Group: "weir-" + w.topic, Events: w.topic, Predictions: w.topic + ".predictions",
		DeadLetters: w.topic + ".dead", Start: "earliest", MaxEvents: 200, MaxWait: 5 * time.Millisecond,
		Store: w.store, LoadModel: func(context.Context) (model.Model, error) { return linear{}, nil },
	}
	if w.said != nil {
		c.Logger = slog.New(slog.NewTextHandler(w.said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return c
}

// run starts an engine and returns it with a function that stops it gracefully.
func (w *world) run(c Config) (e *Engine, stop func()) {
	w.t.Helper()
	return w.runWith(c, func(*Engine) {})
}

// runWith is run of an engine that was changed before.
func (w *world) runWith(c Config, change func(*Engine)) (e *Engine, stop func()) {
	w.t.Helper()
	e = New(c)
	e.sessionTimeout = time.Minute // a machine that sleeps for ten seconds is no reason that records come again
	change(e)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.t.Errorf("Run: %v", err)
			}
		case <-time.After(30 * time.Second):
			w.t.Error("Run did not stop")
		}
	})
	w.t.Cleanup(stop)
	return e, stop
}

// produce writes records to the events topic, partition by partition in turn unless a key says otherwise.
func (w *world) produce(values ...string) {
	w.t.Helper()
	c := w.cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max = 50    // a topic that was just created takes a moment to be known everywhere
	c.Producer.Idempotent = true // each event is there once, also when an answer is lost
	c.Net.MaxOpenRequests = 1
	c.Producer.Partitioner = sarama.NewRoundRobinPartitioner
	p, err := sarama.NewSyncProducer(w.brokers, c)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	messages := make([]*sarama.ProducerMessage, len(values))
	for i, v := range values {
		messages[i] = &sarama.ProducerMessage{Topic: w.topic, Key: sarama.StringEncoder("key-" + strconv.Itoa(i)), Value: sarama.StringEncoder(v),
			Headers: []sarama.RecordHeader{{Key: []byte("trace"), Value: []byte("t" + strconv.Itoa(i))}}}
	}
	for len(messages) > 0 {
		n := min(len(messages), 5000)
		if err := p.SendMessages(messages[:n]); err != nil {
			w.t.Fatal(err)
		}
		messages = messages[n:]
	}
}

// event is a good event of one user.
func event1(user int) string {
	return fmt.Sprintf(`{"user_id":"u%d","timestamp":"2026-11-22T07:00:00Z","seq":%d}`, user, user)
}

func events(from, to int) []string {
	out := make([]string, 0, to-from)
	for i := from; i < to; i++ {
		out = append(out, event1(i))
	}
	return out
}

// read is everything in a topic, read-committed, in the order of each partition.
func (w *world) read(topic string) []*sarama.ConsumerMessage {
	w.t.Helper()
	out, err := readTopic(w.cluster, topic)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func readTopic(cluster kafka.Cluster, topic string) ([]*sarama.ConsumerMessage, error) {
	admin, err := kafka.NewAdmin(cluster)
	if err != nil {
		return nil, err
	}
	defer func() { _ = admin.Close() }()
	partitions, err := admin.Partitions(topic)
	if errors.Is(err, kafka.ErrNoTopic) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ends, err := admin.Watermarks(context.Background(), topic, partitions)
	if err != nil {
		return nil, err
	}
	// A record at the end tells that everything before it was read: control records and aborted ones never show.
	c := cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Consumer.MaxWaitTime = 50 * time.Millisecond
	client, err := sarama.NewClient(cluster.Brokers(), c)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	producer, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		return nil, err
	}
	defer func() { _ = producer.Close() }()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil, err
	}
	defer func() { _ = consumer.Close() }()
	var (
		group errgroup.Group
		mu    sync.Mutex
		parts = make(map[int32][]*sarama.ConsumerMessage)
	)
	for _, p := range partitions {
		if ends[p].Newest == ends[p].Oldest {
			continue
		}
		group.Go(func() error {
			if _, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Partition: p, Key: sarama.StringEncoder("the end")}); err != nil {
				return err
			}
			got, err := readPartition(consumer, topic, p, ends[p])
			mu.Lock()
			defer mu.Unlock()
			parts[p] = got
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var out []*sarama.ConsumerMessage
	for _, p := range partitions {
		out = append(out, parts[p]...)
	}
	return out, nil
}

func readPartition(consumer sarama.Consumer, topic string, p int32, ends kafka.Offsets) (out []*sarama.ConsumerMessage, err error) {
	pc, err := consumer.ConsumePartition(topic, p, ends.Oldest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = pc.Close() }()
	timeout := time.After(60 * time.Second)
	for {
		select {
		case m := <-pc.Messages():
			if string(m.Key) != "the end" {
				out = append(out, m)
			} else if m.Offset >= ends.Newest {
				return out, nil
			}
		case <-timeout:
			return nil, fmt.Errorf("%s/%d: the end at %d did not come", topic, p, ends.Newest)
		}
	}
}

// prediction is what the predictions topic holds.
type prediction struct {
	UserID       json.RawMessage `json:"user_id"`
	Prediction   *float64        `json:"prediction"`
	Timestamp    json.RawMessage `json:"timestamp"`
	ModelVersion string          `json:"model_version"`
}

// predictions are the topic's predictions by user, as JSON wrote the user.
func (w *world) predictions() map[string][]prediction {
	w.t.Helper()
	out := make(map[string][]prediction)
	for _, m := range w.read(w.topic + ".predictions") {
		var p prediction
		var keys map[string]any
		if err := json.Unmarshal(m.Value, &p); err != nil || json.Unmarshal(m.Value, &keys) != nil || len(keys) != 4 || p.Prediction == nil {
			w.t.Fatalf("not a prediction: %s (%v)", m.Value, err)
		}
		out[string(p.UserID)] = append(out[string(p.UserID)], p)
	}
	return out
}

// until waits for a condition.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// fakeStore answers two features that depend on the entity alone.
type fakeStore struct {
	mu       sync.Mutex
	away     error
	missing  map[string]features.Status // by entity, of the second feature
	requests atomic.Uint64
	rows     sync.Map // entity to *features.Row
}

func newFakeStore() *fakeStore { return &fakeStore{missing: make(map[string]features.Status)} }

func (s *fakeStore) Names() []string {
	return []string{"user_profile:age", "user_behavior:click_rate_24h"}
}

func (s *fakeStore) setAway(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
}

func (s *fakeStore) Fetch(ctx context.Context, entities []features.Entity, rows []*features.Row) error {
	s.mu.Lock()
	away, missing := s.away, maps.Clone(s.missing)
	s.mu.Unlock()
	s.requests.Add(1)
	if away != nil {
		return away
	}
	for i, e := range entities {
		if r, ok := s.rows.Load(e.Key); ok && len(missing) == 0 {
			rows[i] = r.(*features.Row)
			continue
		}
		age, clicks := featuresOf(e.Key)
		row := &features.Row{Values: []features.Value{{Number: age}, {Number: clicks}}}
		if st, ok := missing[e.Key]; ok {
			row.Values[1] = features.Value{Status: st}
		}
		rows[i] = row
		s.rows.Store(e.Clone().Key, row)
	}
	return ctx.Err()
}

func (s *fakeStore) Stats() features.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := features.Stats{Requests: s.requests.Load(), Misses: s.requests.Load(), State: features.StateOK}
	if s.away != nil {
		st.State = features.StateDown
	}
	return st
}

func featuresOf(key string) (age, clicks float64) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return float64(18 + h.Sum32()%60), float64(h.Sum32()%1000) / 1000
}

// linear is a logistic regression; a click rate above 2 breaks it.
type linear struct{}

func (linear) Describe() model.Description {
	return model.Description{Kind: "LinearClassifier", Source: "test", Inputs: []model.Input{{Name: "X", Type: "float", Width: 2}}}
}

func (linear) Bind(columns []model.Column) (model.Scorer, error) {
	if len(columns) != 2 {
		return nil, fmt.Errorf("the model wants 2 columns, the features have %d", len(columns))
	}
	return linear{}, nil
}

func (linear) Score(_ context.Context, f *model.Frame, out []float64) error {
	for r := range f.Rows {
		out[r] = scoreOf(f.Numbers[2*r], f.Numbers[2*r+1])
	}
	return nil
}

func scoreOf(age, clicks float64) float64 {
	return 1 / (1 + math.Exp(-(0.02*(age-40) + 3*(clicks-0.5))))
}

// users are the keys of predictions, sorted.
func users(p map[string][]prediction) []string { return slices.Sorted(maps.Keys(p)) }

func headers(m *sarama.ConsumerMessage) map[string]string {
	out := make(map[string]string)
	for _, h := range m.Headers {
		out[string(h.Key)] = string(h.Value)
	}
	return out
}

// nowhere is a cluster that no one listens for.
func nowhere(t testing.TB) kafka.Cluster {
	t.Helper()
	c, err := kafka.NewCluster(config.Kafka{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// limitTopic bounds the record batches a topic takes.
func (w *world) limitTopic(topic string, bytes int) {
	w.t.Helper()
	admin, err := sarama.NewClusterAdmin(w.brokers, w.cluster.Config())
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	value := strconv.Itoa(bytes)
	if err := admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"max.message.bytes": &value}, false); err != nil {
		w.t.Fatal(err)
	}
}
