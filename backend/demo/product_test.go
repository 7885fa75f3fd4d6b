package demo

import (
	"context"
	"testing"
	"time"

	"weir/backend"
	"weir/backend/edge"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// TestWeirSeesEveryFault runs the whole runtime over the world and injects each fault in turn: the snapshot, which is all
// the console shows, must tell of it, and tell of its end. The world is quicker than weir demo's, so that windows pass.
func TestWeirSeesEveryFault(t *testing.T) {
	slow(t)
	t.Parallel() // mostly it waits until windows pass
	const rate = 3000
	nodes := func(state edge.State, n int) func(*timeline.Snapshot) bool {
		return func(s *timeline.Snapshot) bool { return s.Edge.ByState[state] >= n }
	}
	broken := func(column string) func(*timeline.Snapshot) bool {
		return func(s *timeline.Snapshot) bool {
			for _, p := range s.Mesh.Products {
				for _, issue := range p.Issues {
					if p.State == mesh.Broken && issue.Column.String() == column {
						return true
					}
				}
			}
			return false
		}
	}
	deadOf := func(stage string) func(*timeline.Snapshot) bool {
		return func(s *timeline.Snapshot) bool {
			n := 0
			for _, d := range s.Pipeline.Dead {
				if d.Stage == stage && s.At.Sub(d.At) < 2*time.Second {
					n++
				}
			}
			return n > 10
		}
	}
	faults := []struct {
		name  string
		shows func(*timeline.Snapshot) bool
	}{
		{"broker-down", func(s *timeline.Snapshot) bool { return s.Pipeline.State == pipeline.Waiting }},
		{"broker-slow", func(s *timeline.Snapshot) bool {
			return s.Pipeline.EventsPerSecond > 0 && s.Pipeline.EndToEnd.P90 > 300 && s.Pipeline.State == pipeline.Running
		}},
		{"poison-events", func(s *timeline.Snapshot) bool {
			_, too := s.Pipeline.LosesTooMany()
			return too && deadOf("decode")(s)
		}},
		{"null-spike", broken("email")},
		{"schema-break", broken("session_id")},
		{"traffic-drop", func(s *timeline.Snapshot) bool {
			return s.Pipeline.EventsPerSecond > 0 && s.Pipeline.EventsPerSecond < 0.4*rate
		}},
		{"traffic-spike", func(s *timeline.Snapshot) bool { return s.Pipeline.EventsPerSecond > 2*rate }},
		{"hot-partition", func(s *timeline.Snapshot) bool {
			total, most := 0.0, 0.0
			for _, p := range s.Pipeline.Partitions {
				total, most = total+p.EventsPerSecond, max(most, p.EventsPerSecond)
			}
			return most > total/2
		}},
		{"features-down", func(s *timeline.Snapshot) bool {
			return s.Pipeline.State == pipeline.Waiting && s.Pipeline.Features.State == "down"
		}},
		{"features-slow", func(s *timeline.Snapshot) bool { return s.Pipeline.Features.State == "slow" }},
		{"features-missing", deadOf("features")},
		{"drift", func(s *timeline.Snapshot) bool {
			return s.Pipeline.PSI > s.Pipeline.PSIThreshold && s.Pipeline.PSI > 0.1
		}},
		{"node-down", nodes(edge.Down, 1)},
		{"node-slow", nodes(edge.Slow, 1)},
		{"node-stale", nodes(edge.Stale, 2)},
		{"node-garbage", nodes(edge.Invalid, 1)},
		{"node-flap", func(s *timeline.Snapshot) bool { return s.Edge.ByState[edge.Flapping]+s.Edge.ByState[edge.Down] > 0 }},
		{"site-down", nodes(edge.Down, 5)},
		{"cloud-down", func(s *timeline.Snapshot) bool { return s.Edge.Cloud.State == edge.CloudDown }},
		{"clock-skew", nodes(edge.Skewed, 1)},
	}
	if len(faults) != len(FaultNames()) {
		t.Fatalf("%d of %d faults are tried", len(faults), len(FaultNames()))
	}
	w := start(t, Options{Rate: rate})
	c := load(t, w)
	c.Features.Cache.TTL, c.Mesh.Window, c.Edge.StaleAfter = time.Second, 4*time.Second, 12*time.Second
	c.Edge.Poll, c.Edge.Cloud.Every, c.Console.Refresh = 1500*time.Millisecond, 2*time.Second, 200*time.Millisecond
	r, err := backend.New(c, backend.Options{State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	wait := func(what string, holds func(*timeline.Snapshot) bool) {
		t.Helper()
		waitLong(t, what, func() bool {
			s := r.Timeline().Newest()
			return s != nil && s.Pipeline != nil && s.Edge != nil && s.Mesh != nil && holds(s)
		})
	}
	wait("calm world", func(s *timeline.Snapshot) bool {
		held := 0
		for _, p := range s.Mesh.Products {
			if p.State == mesh.Holds {
				held++
			}
		}
		return s.Pipeline.State == pipeline.Running && s.Edge.ByState[edge.OK] == DefaultNodes && held == 6
	})
	var lasting []func() // ends that show only when a window of a minute has passed
	for _, f := range faults {
		wait("calm before "+f.name, func(s *timeline.Snapshot) bool { return !f.shows(s) })
		if err := w.Inject(f.name, 0, 0); err != nil {
			t.Fatal(err)
		}
		injected := time.Now()
		wait(f.name, f.shows)
		seen := time.Since(injected)
		if err := w.Clear(f.name); err != nil {
			t.Fatal(err)
		}
		cleared := time.Now()
		end := func() {
			wait("end of "+f.name, func(s *timeline.Snapshot) bool { return !f.shows(s) })
			t.Logf("%-16s seen after %4.1f s, gone after %4.1f s", f.name, seen.Seconds(), time.Since(cleared).Seconds())
		}
		switch f.name {
		case "broker-slow", "features-slow", "drift":
			lasting = append(lasting, end)
		default:
			end()
		}
	}
	if underRace {
		return // everything is slow
	}
	for _, end := range lasting {
		end()
	}
}
