//go:build unix

package backend

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
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

const (
	costPartitions = 6
	costTurn       = 60_000 // events a turn
	costBatch      = 1000
)

// costTopics are the topic whose events are judged and the one whose events are not.
var costTopics = [2]string{"user_events", "user_events_alone"}

func init() { roles["cost broker"] = serveCostBroker }

// serveCostBroker is the broker and the producer, in a process of their own, so that their processor time is not counted. It
// tells the broker's address, and then writes a turn's events to each topic it is told the name of.
func serveCostBroker() error {
	topics := make([]kafka.EmbeddedTopic, len(costTopics))
	for i, name := range costTopics {
		topics[i] = kafka.EmbeddedTopic{Name: name, Partitions: costPartitions}
	}
	embedded, err := kafka.StartEmbedded(kafka.EmbeddedOptions{DataDir: os.Getenv("WEIR_TEST_DIR"), Topics: topics})
	if err != nil {
		return err
	}
	defer func() { _ = embedded.Close() }()
	c := sarama.NewConfig()
	c.Version = sarama.V2_1_0_0
	broker := sarama.NewBroker(embedded.Addr())
	if err := broker.Open(c); err != nil {
		return err
	}
	defer func() { _ = broker.Close() }()
	events := costEvents()
	fmt.Println(embedded.Addr())
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); fmt.Println("written") {
		for _, batches := range events { // one of each partition
			request := &sarama.ProduceRequest{RequiredAcks: sarama.WaitForLocal, Timeout: 10_000, Version: 7}
			for partition, batch := range batches {
				request.AddBatch(orders.Text(), int32(partition), batch)
			}
			response, err := broker.Produce(request)
			if err != nil {
				return err
			}
			for partition := range batches {
				if block := response.GetBlock(orders.Text(), int32(partition)); block == nil || block.Err != sarama.ErrNoError {
					return fmt.Errorf("partition %d was not written: %+v", partition, block)
				}
			}
		}
	}
	return nil
}

// costEvents are a turn's events, ready to be written again and again.
func costEvents() (events [costTurn / costBatch / costPartitions][costPartitions]*sarama.RecordBatch) {
	now := time.Now()
	for n := range events {
		for partition := range events[n] {
			batch := &sarama.RecordBatch{Version: 2, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, FirstTimestamp: now, MaxTimestamp: now,
				LastOffsetDelta: costBatch - 1}
			for k := range costBatch {
				i := (n*costPartitions+partition)*costBatch + k
				batch.Records = append(batch.Records, &sarama.Record{OffsetDelta: int64(k), Value: fmt.Appendf(nil,
					`{"user_id":"u%d","session_id":"s-%08x","event_type":"view","timestamp":"2026-11-22T07:%02d:%02d.%03dZ","email":"u%d@example.com","amount":%d.5,"currency":"EUR","device":"phone"}`,
					i%10_000, i*7919, i/60%60, i%60, i%1000, i%10_000, i%300)})
			}
			events[n][partition] = batch
		}
	}
	return events
}

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

// costWorld is two pipelines that run side by side, each on a topic of its own, one of which brings a judge its events.
type costWorld struct {
	b         *testing.B
	cluster   kafka.Cluster
	orders    io.Writer
	answers   *bufio.Scanner
	mesh      *mesh.Engine
	endMesh   func()
	pipelines map[string]*pipeline.Engine
}

func newCostWorld(b *testing.B) *costWorld {
	w := &costWorld{b: b, pipelines: map[string]*pipeline.Engine{}}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "WEIR_TEST_ROLE=cost broker", "WEIR_TEST_DIR="+b.TempDir())
	child.Stderr = os.Stderr
	orders, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	answers, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	w.orders, w.answers = orders, bufio.NewScanner(answers)
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = orders.Close() // it ends then
		_ = child.Wait()
	})
	if w.cluster, err = kafka.NewCluster(config.Kafka{Brokers: []string{w.answer()}}); err != nil {
		b.Fatal(err)
	}
	registry := b.TempDir()
	if err := os.MkdirAll(filepath.Join(registry, "commerce"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(registry, "commerce/user_events.yaml"), []byte(costContract), 0o644); err != nil {
		b.Fatal(err)
	}
	w.mesh = mesh.New(mesh.Config{Registry: registry, Window: time.Hour, Cluster: w.cluster})
	w.endMesh = w.start(w.mesh.Run)
	for i, topic := range costTopics {
		c := pipeline.Config{Cluster: w.cluster, Group: "weir-" + topic, Events: topic, Start: "latest", Predictions: "predictions_" + topic,
			Store: features.NewCache(costStore{}, features.CacheConfig{TTL: time.Hour, Entries: 20_000}),
			LoadModel: func(context.Context) (model.Model, error) {
				return model.LoadONNX("model/testdata/models/logistic_4.onnx")
			}}
		if i == 0 {
			c.Tap = w.mesh
		}
		w.pipelines[topic] = pipeline.New(c)
		w.start(w.pipelines[topic].Run)
		w.until(func() bool { return len(w.pipelines[topic].Snapshot().Partitions) == costPartitions })
	}
	for w.turn(costTopics[1]); !w.product().Shared; { // until the judge's own readers have ended
		w.turn(costTopics[0])
		time.Sleep(50 * time.Millisecond)
	}
	return w
}

// start runs an engine until it is ended, or the benchmark is.
func (w *costWorld) start(run func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.b.Error(err)
		}
	})
	w.b.Cleanup(end)
	return end
}

// answer is what the other process says next.
func (w *costWorld) answer() string {
	if !w.answers.Scan() {
		w.b.Fatal("the broker's process ended: ", w.answers.Err())
	}
	return w.answers.Text()
}

func (w *costWorld) until(met func() bool) {
	for !met() {
		for topic, p := range w.pipelines {
			if n := p.Snapshot().DeadLettered; n > 0 {
				w.b.Fatalf("%d dead letters of %s", n, topic)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (w *costWorld) product() (p mesh.Product) {
	if all := w.mesh.Snapshot().Products; len(all) == 1 {
		p = all[0]
	}
	return p
}

// turn writes events to a topic, waits until they are scored, and gives the processor time of that, an event.
func (w *costWorld) turn(topic string) time.Duration {
	p := w.pipelines[topic]
	until := p.Snapshot().Predicted + costTurn
	used := processorTime(w.b)
	if _, err := fmt.Fprintln(w.orders, topic); err != nil {
		w.b.Fatal(err)
	}
	w.until(func() bool { return p.Snapshot().Predicted >= until })
	used = processorTime(w.b) - used
	w.answer()
	return used
}

// idle gives the share of a processor that is used though no event comes.
func (w *costWorld) idle() float64 {
	const d = 2 * time.Second
	used := processorTime(w.b)
	time.Sleep(d)
	return float64(processorTime(w.b)-used) / float64(d)
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
// processor times, which tell also on a busy machine, of this process alone: the broker's is another. An op is two turns,
// one with a judge and one without, and the figures are medians over all ops: of a turn without, and of the differences
// of two turns in a row, so that what slows the machine for a while slows both. What the judge does though no event comes, in
// both turns alike, is added.
func BenchmarkJudgingBesideThePipeline(b *testing.B) {
	w := newCostWorld(b)
	var alone, judging []time.Duration
	rows := w.product().Rows
	for b.Loop() {
		n := len(alone)
		var used [2]time.Duration
		for k := range used { // the one goes first, then the other
			i := (n + k) % 2
			used[i] = w.turn(costTopics[i])
		}
		alone, judging = append(alone, used[1]), append(judging, used[0]-used[1])
	}
	w.until(func() bool { return w.product().Rows >= rows+int64(len(judging))*costTurn })
	if p := w.product(); p.State != mesh.Holds || !p.Shared || p.Undecodable > 0 {
		b.Fatalf("%+v", p)
	}
	idle := w.idle()
	w.endMesh()
	idle -= w.idle()
	slices.Sort(alone)
	slices.Sort(judging)
	pipeline, judge := float64(alone[len(alone)/2])/costTurn, float64(judging[len(judging)/2])/costTurn
	judge += idle * pipeline
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(pipeline, "pipeline-cpu-ns/event")
	b.ReportMetric(100*idle, "idle-%")
	b.ReportMetric(judge, "judging-cpu-ns/event")
	b.ReportMetric(100*judge/(pipeline+judge), "lost-%")
}
