//go:build unix

package demo

import (
	"math"
	"net"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkGenerator is what one event costs before it meets a client. The floor is what copying its bytes costs.
func BenchmarkGenerator(b *testing.B) {
	b.Run("generate", func(b *testing.B) {
		g := newGenerator(1, population())
		b.ReportAllocs()
		for b.Loop() {
			g.next(1000, aMoment, eventFaults{})
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
	})
	b.Run("floor", func(b *testing.B) {
		records := newGenerator(1, population()).next(1000, aMoment, eventFaults{})
		b.ReportAllocs()
		total := 0
		for b.Loop() {
			out := make([]byte, 0, 1000*260)
			for _, r := range records {
				out = append(out, r.value...)
			}
			total += len(out)
		}
		if total == 0 {
			b.Fatal("nothing copied")
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
	})
}

// BenchmarkStart is how long a world takes until every server answers. The floor is opening as many ports.
func BenchmarkStart(b *testing.B) {
	for _, c := range []struct {
		name  string
		nodes int
	}{{"world", DefaultNodes}, {"a thousand nodes", 1000}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				w, err := Start(b.Context(), Options{Folder: b.TempDir(), Nodes: c.nodes})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			var servers []*http.Server
			for range DefaultNodes + 3 {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				s := &http.Server{ReadHeaderTimeout: time.Second}
				servers = append(servers, s)
				go func() { _ = s.Serve(l) }()
			}
			b.StopTimer()
			for _, s := range servers {
				_ = s.Close()
			}
			b.StartTimer()
		}
	})
}

// TestTheWorldKeepsItsPace proves the rates over the wire, and what the default one costs: in the best of three measurements,
// for whoever else is at work on the machine takes away from some.
func TestTheWorldKeepsItsPace(t *testing.T) {
	slow(t)
	if underRace {
		t.Skip("the race detector keeps no pace")
	}
	for _, c := range []struct {
		rate float64
		core float64 // of one core, at most; 0: not promised
	}{{DefaultRate, 0.10}, {100_000, 0}} {
		w := start(t, Options{Rate: c.rate})
		waitFor(t, "events", func() bool { return w.producer.acked.Load() > 0 })
		const period = 7 * time.Second // one of the swell's; the other adds at most 5 %
		var rate, share float64
		good := func() bool { return math.Abs(rate/c.rate-1) <= 0.06 && (c.core == 0 || share <= c.core) }
		for try := 0; try < 3 && !good(); try++ {
			began, cpu, from := time.Now(), cpuTime(t), w.producer.acked.Load()
			time.Sleep(period) // the rate over a time is what is asked for
			took, spent := time.Since(began), cpuTime(t)-cpu
			rate, share = float64(w.producer.acked.Load()-from)/took.Seconds(), spent.Seconds()/took.Seconds()
		}
		if !good() {
			t.Errorf("%.0f events/s take %.1f %% of a core; want %.0f events/s", rate, 100*share, c.rate)
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		t.Logf("%.0f events/s: %.1f %% of a core, %d MiB from the system", rate, 100*share, memory.Sys>>20)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
