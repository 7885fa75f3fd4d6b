//go:build unix

package pipeline

import (
	"context"
	"fmt"
	"math"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// looks are what somebody may watch.
func looks() []look {
	return []look{
		{"unwatched", nil},
		{"partition", []WatchTarget{{3, -1}}},
		{"bin", []WatchTarget{{-1, benchBin()}}},
		{"all16", func() (all []WatchTarget) {
			for i := range benchPartitions {
				all = append(all, WatchTarget{int32(i), -1})
			}
			for i := range maxWatches - benchPartitions {
				all = append(all, WatchTarget{-1, i})
			}
			return all
		}()},
	}
}

type look struct {
	name    string
	targets []WatchTarget
}

// benchBin is a bin that predictions of the benchmarks' events fall into.
func benchBin() int {
	e := New(benchConfig(4, "logistic_4.onnx"))
	if err := e.loadModel(context.Background()); err != nil {
		panic(err)
	}
	return bin(e.scoreNow(context.Background(), &sarama.ConsumerMessage{Value: benchEvent(7)}).score)
}

// BenchmarkWatchedBatch is BenchmarkScoreBatch with and without somebody who looks: what it costs an event to keep the
// newest for them. allocs/op are of a batch of 1,000.
func BenchmarkWatchedBatch(b *testing.B) {
	for _, look := range looks() {
		b.Run(look.name, func(b *testing.B) {
			c := benchConfig(4, "logistic_4.onnx")
			c.Contracts = fakeContracts{}
			e := New(c)
			e.topics.Store(&topicCounts{6, 6})
			if err := e.loadModel(context.Background()); err != nil {
				b.Fatal(err)
			}
			for _, t := range look.targets {
				if err := e.WatchRecords(t); err != nil {
					b.Fatal(err)
				}
			}
			s := &scorer{f: e.newFlow(nil, nil)}
			batch := newBatch()
			const n = 1000
			records := make([]*sarama.ConsumerMessage, n)
			for i := range records {
				records[i] = &sarama.ConsumerMessage{Value: benchEvent(i * 7), Partition: int32(i % 6), Offset: int64(i)}
			}
			from := &claim{}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				now := time.Now()
				batch.add(from, records, now)
				if !s.run(batch) {
					b.Fatal("given up")
				}
				e.recent.acknowledged(e, batch, now)
				batch.reset()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
		})
	}
}

// BenchmarkWatched compares the whole pipeline, its broker in the same process, with and without somebody who looks, in
// turns, while a snapshot is taken every 100 ms: ten times as often as a console does. The ratios are of the processor
// time an event costs, each the least of the turns: unlike the pace, it hardly depends on what else runs.
func BenchmarkWatched(b *testing.B) {
	bb := newBenchBroker(b, benchEvents())
	looks := looks()
	pace, cost := make([]float64, len(looks)), make([]float64, len(looks))
	for i := range cost {
		cost[i] = math.Inf(1)
	}
	for b.Loop() {
		for i, look := range looks {
			perSecond, nanos := bb.watched(look.targets)
			pace[i], cost[i] = max(pace[i], perSecond), min(cost[i], nanos)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(pace[0], "unwatched/s")
	b.ReportMetric(cost[0], "unwatched-cpu-ns/event")
	for i, look := range looks[1:] {
		b.ReportMetric(cost[i+1]/cost[0], look.name+"/unwatched")
	}
	if os.Getenv("WEIR_SLOW") != "" && max(cost[1], cost[2]) > 1.05*cost[0] {
		b.Errorf("the promise is 1.05")
	}
}

// watched is the records a second of the whole pipeline while somebody watches targets, and the processor time of the
// process an event, in nanoseconds.
func (bb *benchBroker) watched(targets []WatchTarget) (perSecond, nanos float64) {
	bb.groups++
	c := benchConfig(4, "logistic_4.onnx")
	c.Cluster, c.Start, c.Contracts = bb.cluster, "earliest", fakeContracts{}
	c.Group = fmt.Sprintf("weir-%d", bb.groups)
	c.Predictions, c.DeadLetters = c.Group+".predictions", c.Group+".dead"
	e := New(c)
	for _, t := range targets {
		if err := e.WatchRecords(t); err != nil {
			bb.tb.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	for e.stats.consumed.Load() == 0 {
		time.Sleep(200 * time.Microsecond)
	}
	begun, looked, used := time.Now(), time.Now(), processorTime()
	shown := 0
	for e.stats.predicted.Load() < uint64(bb.n) {
		time.Sleep(time.Millisecond)
		if time.Since(looked) > 100*time.Millisecond {
			looked = time.Now()
			for _, w := range e.Snapshot().Watched {
				shown += len(w.Records)
			}
		}
	}
	spent, used := time.Since(begun), processorTime()-used
	cancel()
	if err := <-done; err != nil {
		bb.tb.Fatal(err)
	}
	if (shown > 0) != (len(targets) > 0) {
		bb.tb.Fatalf("%d records were shown of %d targets", shown, len(targets))
	}
	return float64(bb.n) / spent.Seconds(), float64(used) / float64(bb.n)
}

// processorTime is what this process has used of all processors, in nanoseconds.
func processorTime() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
