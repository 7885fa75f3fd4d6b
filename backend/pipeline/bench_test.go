package pipeline

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/model"
	"weir/config"
)

const benchUsers = 10_000

// benchStore answers any number of features that depend on the entity alone; a cache stands in front of it.
type benchStore struct{ names []string }

func newBenchStore(width int) features.Store {
	s := &benchStore{names: []string{"user_profile:age", "user_profile:location", "user_behavior:click_rate_24h", "user_behavior:purchase_history_30d"}}
	for len(s.names) < width {
		s.names = append(s.names, fmt.Sprintf("more:f%d", len(s.names)))
	}
	s.names = s.names[:width]
	return features.NewCache(s, features.CacheConfig{TTL: time.Hour, Entries: 2 * benchUsers})
}

func (s *benchStore) Names() []string       { return s.names }
func (s *benchStore) Stats() features.Stats { return features.Stats{} }

func (s *benchStore) Fetch(_ context.Context, entities []features.Entity, rows []*features.Row) error {
	for i, e := range entities {
		row := &features.Row{Values: make([]features.Value, len(s.names))}
		age, clicks := featuresOf(e.Key)
		for c := range row.Values {
			row.Values[c].Number = age*float64(c%2) + clicks
		}
		rows[i] = row
	}
	return nil
}

// benchEvent is an event of 150 bytes, as the demo's generator writes them.
func benchEvent(i int) []byte {
	e := fmt.Sprintf(`{"user_id":"u%05d","timestamp":"2026-11-22T07:%02d:%02d.%06dZ","event_type":"purchase","amount":%d.99,"email":"`,
		i%benchUsers, i/60%60, i%60, i%1_000_000, 10+i%90)
	return append([]byte(e), strings.Repeat("x", 150-len(e)-2)+`"}`...)
}

func benchConfig(width int, onnx string) Config {
	return Config{
		Store:     newBenchStore(width),
		LoadModel: func(context.Context) (model.Model, error) { return model.LoadONNX("../model/testdata/models/" + onnx) },
	}
}

// benchScorer gives all the pipeline's own work on a batch of 1,000 events: decode, cached features, feature rows, score,
// and the predictions' JSON, sorted into the requests' record batches. It is warm: the cache is full, and what grows to
// the size it needs has grown.
func benchScorer(tb testing.TB, width int, onnx string) (run func()) {
	tb.Helper()
	e := New(benchConfig(width, onnx))
	e.topics.Store(&topicCounts{6, 6})
	if err := e.loadModel(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	s, batch, from := &scorer{f: e.newFlow(nil, nil)}, newBatch(), &claim{}
	records := make([]*sarama.ConsumerMessage, benchBatch)
	for i := range records {
		records[i] = &sarama.ConsumerMessage{Value: benchEvent(i * 7), Partition: int32(i % 6), Offset: int64(i)}
	}
	run = func() {
		batch.add(from, records, time.Time{})
		if !s.run(batch) {
			tb.Fatal("given up")
		}
		if o := batch.outcomes[0]; o.stage != "" {
			tb.Fatal(o.stage, o.reason)
		}
		batch.reset()
	}
	for range 3 {
		run()
	}
	return run
}

const benchBatch = 1000

// TestScoringABatchDoesNotAllocate: not once a batch, and so not once an event.
func TestScoringABatchDoesNotAllocate(t *testing.T) {
	for name, width := range map[string]int{"logistic_4.onnx": 4, "forest_100x6.onnx": 30} {
		if n := testing.AllocsPerRun(20, benchScorer(t, width, name)); n != 0 {
			t.Errorf("%s: %v allocations a batch", name, n)
		}
	}
}

// BenchmarkScoreBatch is what benchScorer does. ns/event is amortised; allocs/op are of a whole batch.
func BenchmarkScoreBatch(b *testing.B) {
	for _, c := range []struct {
		name  string
		width int
		onnx  string
	}{{"linear", 4, "logistic_4.onnx"}, {"forest_100x6", 30, "forest_100x6.onnx"}} {
		b.Run(c.name, func(b *testing.B) {
			run := benchScorer(b, c.width, c.onnx)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchBatch, "ns/event")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	value := benchEvent(17)
	var d decoded
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if f := decode(value, "user_id", &d); f.code != noFault {
			b.Fatal(f)
		}
	}
}

// benchBroker holds n events in a topic, on an embedded broker that everything measured shares.
type benchBroker struct {
	tb      testing.TB
	cluster kafka.Cluster
	n       int
	groups  int
	stages  [stages]float64 // p99 of each stage of a batch's way, ms, of the last pace
}

const benchPartitions = 6

// benchEvents is how many events the whole pipeline is measured with; with -short the figures only show that it runs.
func benchEvents() int {
	if testing.Short() {
		return 60_000
	}
	return 300_000
}

func newBenchBroker(tb testing.TB, n int) *benchBroker {
	tb.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedOptions{DataDir: tb.TempDir(), Topics: []kafka.EmbeddedTopic{{Name: "user_events", Partitions: benchPartitions}}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = broker.Close() })
	cluster, err := kafka.NewCluster(config.Kafka{Brokers: []string{broker.Addr()}})
	if err != nil {
		tb.Fatal(err)
	}
	bb := &benchBroker{tb: tb, cluster: cluster, n: n}
	bb.fill(n)
	return bb
}

// fill writes n events, through the pipeline's own way of writing.
func (bb *benchBroker) fill(n int) {
	bb.tb.Helper()
	p, err := newProducer(bb.cluster)
	if err != nil {
		bb.tb.Fatal(err)
	}
	defer p.close()
	for done := 0; done < n; {
		var list parcels
		list.open("user_events", benchPartitions, "", 0)
		size := min(20_000, n-done)
		shelf := newShelf(size)
		for i := range shelf {
			shelf[i].Value = benchEvent((done + i) * 7919)
			list.add(0, int32(i%benchPartitions), &shelf[i])
		}
		if err := p.send(context.Background(), &list, atLeastOnce{p}); err != nil {
			bb.tb.Fatal(err)
		}
		done += size
	}
}

// echo is the bare client: a consumer group whose records an AsyncProducer writes to another topic as they are.
// It returns records a second, from the first record consumed to the last acknowledged.
func (bb *benchBroker) echo() float64 {
	bb.groups++
	out := fmt.Sprintf("echo-%d", bb.groups)
	admin, err := kafka.NewAdmin(bb.cluster)
	if err != nil {
		bb.tb.Fatal(err)
	}
	if err := admin.CreateTopic(out, benchPartitions); err != nil {
		bb.tb.Fatal(err)
	}
	_ = admin.Close()
	c := bb.cluster.Config()
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Producer.Return.Successes = true
	c.Producer.MaxMessageBytes = sarama.NewConfig().Producer.MaxMessageBytes
	group, err := sarama.NewConsumerGroup(bb.cluster.Brokers(), out, c)
	if err != nil {
		bb.tb.Fatal(err)
	}
	producer, err := sarama.NewAsyncProducer(bb.cluster.Brokers(), c)
	if err != nil {
		bb.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &echoHandler{out: out, producer: producer}
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{"user_events"}, h); err != nil && ctx.Err() == nil {
				bb.tb.Error(err)
				return
			}
		}
	})
	for n := 0; n < bb.n; n++ {
		select {
		case <-producer.Successes():
		case err := <-producer.Errors():
			bb.tb.Fatal(err)
		}
	}
	spent := time.Since(time.Unix(0, h.begun.Load()))
	cancel()
	wg.Wait()
	_ = group.Close()
	_ = producer.Close()
	return float64(bb.n) / spent.Seconds()
}

type echoHandler struct {
	out      string
	producer sarama.AsyncProducer
	begun    atomic.Int64
}

func (*echoHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*echoHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h *echoHandler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	for m := range c.Messages() {
		if h.begun.Load() == 0 {
			h.begun.CompareAndSwap(0, time.Now().UnixNano())
		}
		h.producer.Input() <- &sarama.ProducerMessage{Topic: h.out, Key: sarama.ByteEncoder(m.Key), Value: sarama.ByteEncoder(m.Value)}
		s.MarkMessage(m, "")
	}
	return nil
}

// pipeline is the whole of weir's pipeline over the same events. It returns records a second, from the first record
// consumed to the last prediction acknowledged.
func (bb *benchBroker) pipeline(delivery string, c Config) float64 {
	bb.groups++
	c.Cluster, c.Delivery, c.Start = bb.cluster, delivery, "earliest"
	c.Group = fmt.Sprintf("weir-%d", bb.groups)
	c.Predictions, c.DeadLetters = c.Group+".predictions", c.Group+".dead"
	e := New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	for e.stats.consumed.Load() == 0 {
		time.Sleep(200 * time.Microsecond)
	}
	begun := time.Now()
	for e.stats.predicted.Load()+e.stats.deadLettered.Load() < uint64(bb.n) {
		time.Sleep(time.Millisecond)
	}
	spent := time.Since(begun)
	cancel()
	if err := <-done; err != nil {
		bb.tb.Fatal(err)
	}
	if n := e.stats.deadLettered.Load(); n > 0 {
		bb.tb.Fatalf("%d dead letters", n)
	}
	return float64(bb.n) / spent.Seconds()
}

// BenchmarkAgainstEcho compares the whole pipeline with the bare client on one broker, in turns. Each metric is the
// best of the turns; the ratios are of the bests.
func BenchmarkAgainstEcho(b *testing.B) {
	bb := newBenchBroker(b, benchEvents())
	linear, forest := benchConfig(4, "logistic_4.onnx"), benchConfig(30, "forest_100x6.onnx")
	var echo, once, exactly, trees float64
	for b.Loop() {
		echo = max(echo, bb.echo())
		once = max(once, bb.pipeline(AtLeastOnce, linear))
		exactly = max(exactly, bb.pipeline(ExactlyOnce, linear))
		trees = max(trees, bb.pipeline(AtLeastOnce, forest))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(echo, "echo/s")
	b.ReportMetric(once, "linear/s")
	b.ReportMetric(exactly, "exactly-once/s")
	b.ReportMetric(trees, "forest/s")
	b.ReportMetric(once/echo, "linear/echo")
	b.ReportMetric(trees/echo, "forest/echo")
	b.ReportMetric(exactly/once, "exactly/at-least")
	if os.Getenv("WEIR_SLOW") == "" {
		return
	}
	if once/echo < 0.60 || trees/echo < 0.45 || exactly/once < 0.85 {
		b.Errorf("the promises are 0.60, 0.45 and 0.85")
	}
}

// BenchmarkLatency drives the pipeline at half of what it can do and tells how long records take from the moment they
// are taken from the broker until their predictions are acknowledged.
func BenchmarkLatency(b *testing.B) {
	bb := newBenchBroker(b, benchEvents())
	top := bb.pipeline(AtLeastOnce, benchConfig(4, "logistic_4.onnx"))
	var p50, p99, load float64
	var by [stages]float64
	for b.Loop() {
		q, perSecond := bb.pace(top / 2)
		if p99 == 0 || q.P99 < p99 {
			p50, p99, load, by = q.P50, q.P99, perSecond, bb.stages
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(top, "most/s")
	b.ReportMetric(load, "load/s")
	b.ReportMetric(p50, "p50-ms")
	b.ReportMetric(p99, "p99-ms")
	for s, name := range [stages]string{"collect", "queue", "score", "order", "send"} {
		b.ReportMetric(by[s], name+"-p99-ms")
	}
	if os.Getenv("WEIR_SLOW") != "" && p99 >= 20 {
		b.Errorf("the promise is a p99 under 20 ms")
	}
}

// pace runs a pipeline that starts at the end and writes events to it at a steady pace for some seconds.
func (bb *benchBroker) pace(perSecond float64) (Quantiles, float64) {
	bb.groups++
	c := benchConfig(4, "logistic_4.onnx")
	c.Cluster, c.Start = bb.cluster, "latest"
	c.Group = fmt.Sprintf("weir-%d", bb.groups)
	c.Predictions, c.DeadLetters = c.Group+".predictions", c.Group+".dead"
	e := New(c)
	var by [stages]latencies
	e.stats.watch = func(b *batch) {
		now := b.marks[sent]
		for _, seg := range b.segments {
			from := seg.taken
			for s, at := range b.marks {
				by[s].add(now, at.Sub(from), uint32(seg.n))
				from = at
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	for len(e.Snapshot().Partitions) < benchPartitions {
		time.Sleep(time.Millisecond)
	}
	p, err := newProducer(bb.cluster)
	if err != nil {
		bb.tb.Fatal(err)
	}
	defer p.close()
	const every = 5 * time.Millisecond
	size := max(int(perSecond*every.Seconds()), benchPartitions)
	shelf := newShelf(size)
	made := make([][]byte, 2*benchUsers) // the writer is to cost little beside what is measured
	for i := range made {
		made[i] = benchEvent(i * 7919)
	}
	sent, begun := 0, time.Now()
	for tick := range int(3 * time.Second / every) {
		var list parcels
		list.open("user_events", benchPartitions, "", 0)
		for i := range shelf {
			shelf[i].Value = made[(sent+i)%len(made)]
			list.add(0, int32(i%benchPartitions), &shelf[i])
		}
		if err := p.send(ctx, &list, atLeastOnce{p}); err != nil {
			bb.tb.Fatal(err)
		}
		sent += size
		time.Sleep(time.Until(begun.Add(time.Duration(tick+1) * every)))
	}
	spent := time.Since(begun)
	for e.stats.predicted.Load() < uint64(sent) {
		time.Sleep(time.Millisecond)
	}
	q := e.Snapshot().Processing
	cancel()
	if err := <-done; err != nil {
		bb.tb.Fatal(err)
	}
	for s := range by {
		bb.stages[s] = by[s].quantiles(time.Now()).P99
	}
	return q, float64(sent) / spent.Seconds()
}
