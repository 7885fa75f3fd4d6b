//go:build unix

package backend_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/mesh"
	"weir/backend/model"
	"weir/backend/pipeline"
	"weir/config"
)

// costContract is a contract of 20 rules on 8 columns, beside those on the columns' presence and on unexpected ones.
const costContract = `apiVersion: v3.1.0
kind: DataContract
id: user_events
version: 1.0.0
status: active
schema:
  - name: user_events
    properties:
      - {name: user_id, logicalType: string, required: true, logicalTypeOptions: {minLength: 2}}
      - {name: session_id, logicalType: string, required: true}
      - {name: event_type, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [view, click, purchase]}, mustBe: 0}]}
      - {name: timestamp, logicalType: date, required: true}
      - {name: email, logicalType: string, logicalTypeOptions: {maxLength: 64}, quality: [{metric: nullValues, mustBeLessThan: 5, unit: percent}]}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 10000}}
      - {name: currency, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [EUR, NOK]}, mustBe: 0}]}
      - {name: device, logicalType: string, logicalTypeOptions: {maxLength: 20}}
`

const costPartitions = 6

// costStore answers from memory, behind the cache the runtime uses.
type costStore struct{}

func (costStore) Names() []string {
	return []string{"user_profile:age", "user_profile:location", "user_behavior:click_rate_24h", "user_behavior:purchase_history_30d"}
}
func (costStore) Stats() features.Stats { return features.Stats{} }
func (s costStore) Fetch(_ context.Context, entities []features.Entity, rows []*features.Row) error {
	for i := range entities {
		rows[i] = &features.Row{Values: make([]features.Value, len(s.Names()))}
	}
	return nil
}

// costWorld is a broker with a topic that is filled beforehand and one that is filled while it is read.
type costWorld struct {
	b        *testing.B
	cluster  kafka.Cluster
	producer sarama.SyncProducer
	registry string
	turns    int
}

func newCostWorld(b *testing.B) *costWorld {
	topics := []kafka.EmbeddedTopic{{Name: "backlog", Partitions: costPartitions}, {Name: "user_events", Partitions: costPartitions}}
	broker, err := kafka.StartEmbedded(kafka.EmbeddedOptions{DataDir: b.TempDir(), Topics: topics})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = broker.Close() })
	w := &costWorld{b: b, registry: b.TempDir()}
	if w.cluster, err = kafka.NewCluster(config.Kafka{Brokers: []string{broker.Addr()}}); err != nil {
		b.Fatal(err)
	}
	c := w.cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	if w.producer, err = sarama.NewSyncProducer(w.cluster.Brokers(), c); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = w.producer.Close() })
	if err := os.MkdirAll(filepath.Join(w.registry, "commerce"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.registry, "commerce/user_events.yaml"), []byte(costContract), 0o644); err != nil {
		b.Fatal(err)
	}
	return w
}

// fill writes n events, evenly over the partitions.
func (w *costWorld) fill(topic string, n int) {
	batch := make([]*sarama.ProducerMessage, 0, min(n, 6000))
	for i := range n {
		value := fmt.Sprintf(`{"user_id":"u%d","session_id":"s-%08x","event_type":"view","timestamp":"2026-11-22T07:%02d:%02d.%03dZ","email":"u%d@example.com","amount":%d.5,"currency":"EUR","device":"phone"}`,
			i%10_000, i*7919, i/60%60, i%60, i%1000, i%10_000, i%300)
		batch = append(batch, &sarama.ProducerMessage{Topic: topic, Partition: int32(i % costPartitions), Value: sarama.StringEncoder(value)})
		if len(batch) == cap(batch) || i == n-1 {
			if err := w.producer.SendMessages(batch); err != nil {
				w.b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}

// costRun is a pipeline that runs, with or without a judge beside it.
type costRun struct {
	*costWorld
	pipeline *pipeline.Engine
	mesh     *mesh.Engine
	cancel   context.CancelFunc
	engines  int
	done     chan error
}

func (w *costWorld) start(topic, start string, judged bool) *costRun {
	w.turns++
	r := &costRun{costWorld: w, done: make(chan error, 2)}
	c := pipeline.Config{Cluster: w.cluster, Group: fmt.Sprintf("weir-%d", w.turns), Events: topic, Start: start,
		Predictions: fmt.Sprintf("predictions-%d", w.turns), Store: features.NewCache(costStore{}, features.CacheConfig{TTL: time.Hour, Entries: 20_000}),
		LoadModel: func(context.Context) (model.Model, error) {
			return model.LoadONNX("model/testdata/models/logistic_4.onnx")
		}}
	if judged {
		r.mesh = mesh.New(mesh.Config{Registry: w.registry, Window: time.Hour, Cluster: w.cluster})
		c.Tap = r.mesh
	}
	r.pipeline = pipeline.New(c)
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	run := func(f func(context.Context) error) { r.engines++; go func() { r.done <- f(ctx) }() }
	run(r.pipeline.Run)
	if judged {
		run(r.mesh.Run)
	}
	return r
}

func (r *costRun) until(met func() bool) {
	for !met() {
		if n := r.pipeline.Snapshot().DeadLettered; n > 0 {
			r.b.Fatalf("%d dead letters", n)
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *costRun) stop() {
	r.cancel()
	for range r.engines {
		if err := <-r.done; err != nil {
			r.b.Fatal(err)
		}
	}
}

func (r *costRun) product() (p mesh.Product) {
	if all := r.mesh.Snapshot().Products; len(all) == 1 {
		p = all[0]
	}
	return p
}

// backlog scores what the first topic holds and gives the processor time of it.
func (w *costWorld) backlog(n int) time.Duration {
	used := processorTime(w.b)
	r := w.start("backlog", "earliest", false)
	r.until(func() bool { return r.pipeline.Snapshot().Predicted == uint64(n) })
	used = processorTime(w.b) - used
	r.stop()
	return used
}

// live scores n events while they are written, as fast as they can be, and gives the processor time of it all. Before
// that it waits until the pipeline brings the judge all its records.
func (w *costWorld) live(n int, judged bool) time.Duration {
	r := w.start("user_events", "latest", judged)
	r.until(func() bool { return len(r.pipeline.Snapshot().Partitions) == costPartitions })
	for judged && !r.product().Shared {
		w.fill("user_events", costPartitions)
		time.Sleep(20 * time.Millisecond)
	}
	r.until(func() bool { return r.pipeline.Snapshot().Lag == 0 })
	before, rows := r.pipeline.Snapshot().Predicted, int64(0)
	if judged {
		rows = r.product().Rows
	}
	used := processorTime(w.b)
	w.fill("user_events", n)
	r.until(func() bool { return r.pipeline.Snapshot().Predicted >= before+uint64(n) })
	used = processorTime(w.b) - used
	if judged {
		r.until(func() bool { return r.product().Rows >= rows+int64(n) })
		if p := r.product(); p.State != mesh.Holds || !p.Shared || p.Undecodable > 0 {
			w.b.Fatalf("%+v", p)
		}
	}
	r.stop()
	return used
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkJudgingBesideThePipeline tells what a data product of 20 rules on 8 columns, which judges every event, costs the
// pipeline that scores them: "lost-%" is the share of its throughput, where the processor is the limit. It is made of
// processor times, which tell also on a busy machine: of scoring events that lie ready, the broker in this process
// included, and of the difference that judging makes while events are written and scored. With -short there are fewer events, and the figures only show that it runs.
func BenchmarkJudgingBesideThePipeline(b *testing.B) {
	n := 300_000
	if testing.Short() {
		n = 60_000
	}
	w := newCostWorld(b)
	w.fill("backlog", n)
	least := func(a *time.Duration, b time.Duration) {
		if *a == 0 || b < *a {
			*a = b
		}
	}
	var pipeline, alone, judged time.Duration
	for b.Loop() {
		least(&pipeline, w.backlog(n))
		least(&alone, w.live(n, false))
		least(&judged, w.live(n, true))
	}
	judging := judged - alone
	lost := 100 * float64(judging) / float64(pipeline+judging)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(pipeline.Nanoseconds())/float64(n), "pipeline-cpu-ns/event")
	b.ReportMetric(float64(judging.Nanoseconds())/float64(n), "judging-cpu-ns/event")
	b.ReportMetric(lost, "lost-%")
	if os.Getenv("WEIR_SLOW") != "" && lost >= 15 {
		b.Errorf("the promise is less than 15 %%")
	}
}
