package incident

import (
	"math"
	"strings"
	"testing"
	"time"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/host"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

var start = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)

func text(s string) safetext.Text { return safetext.Clean(s) }

// world is a snapshot in which all is well.
func world(second int) *timeline.Snapshot {
	at := start.Add(time.Duration(second) * time.Second)
	return &timeline.Snapshot{At: at, Tick: time.Second,
		Pipeline: &pipeline.Snapshot{At: at, State: pipeline.Running, Events: text("user_events"), PSI: math.NaN(), PSIThreshold: math.NaN(),
			Partitions: []pipeline.Partition{{Partition: 0, Verdict: pipeline.VerdictOK}, {Partition: 4, Lag: 20_800}}},
		Mesh: &mesh.Snapshot{At: at, Scanned: true, Products: []mesh.Product{{Domain: text("commerce"), Name: text("user_events"), State: mesh.Holds, Owners: []safetext.Text{text("data@example.com")},
			Consumers: []safetext.Text{text("ml-ranking")}, Downstream: []mesh.Link{{Depth: 1, Kind: mesh.LinkProduct, Name: text("commerce/predictions")}}}}},
		Edge: &edge.Snapshot{At: at, Nodes: 3, ByState: map[edge.State]int{}, Cloud: edge.Cloud{State: edge.CloudOK}},
		Host: &host.Snapshot{At: at, DiskPercent: 40}}
}

// TestRules has every rule find its condition, and nothing else.
func TestRules(t *testing.T) {
	if found := Find(world(0)); len(found) != 0 {
		t.Fatalf("all is well, and it found %+v", found)
	}
	for _, c := range []struct {
		rule   string
		breaks func(*timeline.Snapshot)
		want   string // in message, touches or next
	}{
		{"engine failed", func(s *timeline.Snapshot) {
			s.Engines = []timeline.Engine{{Name: "edge", State: timeline.EngineFailed, Error: text("no outbox")}}
		}, "no outbox"},
		{"pipeline waits", func(s *timeline.Snapshot) {
			s.Pipeline.State, s.Pipeline.Waiting = pipeline.Waiting, text("connection refused")
		}, "connection refused"},
		{"pipeline waits", func(s *timeline.Snapshot) { // with its partitions the lag is gone, which is not a lag of zero
			s.Pipeline.State, s.Pipeline.Partitions, s.Pipeline.Predictions = pipeline.Waiting, nil, text("predictions")
			s.Pipeline.Waiting = text("connection refused")
		}, "connection refused everything that reads predictions"},
		{"pipeline paused", func(s *timeline.Snapshot) { s.Pipeline.State = pipeline.Paused }, "by command"},
		{"pipeline stopped", func(s *timeline.Snapshot) { s.Pipeline.State = pipeline.Stopped }, "lag"},
		{"partitions stall", func(s *timeline.Snapshot) { s.Pipeline.Partitions[1].Verdict = pipeline.VerdictStall }, "p4, lag 20800"},
		{"partitions warn", func(s *timeline.Snapshot) { s.Pipeline.Partitions[1].Verdict = pipeline.VerdictWarn }, "is not falling"},
		{"partitions warn", func(s *timeline.Snapshot) {
			s.Pipeline.Partitions[1].Verdict = pipeline.VerdictWarn
			s.Pipeline.All = []pipeline.GroupPartition{{Partition: 0, ArrivingPerSecond: 100}, {Partition: 3, ArrivingPerSecond: 200}, {Partition: 4, ArrivingPerSecond: 700}}
		}, "p4, lag 20800, hot: takes 70% of what arrives"},
		{"partitions warn", func(s *timeline.Snapshot) {
			s.Pipeline.Partitions[1].Verdict = pipeline.VerdictWarn
			s.Pipeline.All = []pipeline.GroupPartition{{Partition: 0, ArrivingPerSecond: 100}, {Partition: 4, ArrivingPerSecond: 120}}
		}, "p4, lag 20800 check whether"},
		{"dead letters", func(s *timeline.Snapshot) {
			s.Pipeline.MinuteHandled, s.Pipeline.MinuteDead = 1000, 21
			for _, stage := range []string{"features", "decode", "decode"} {
				s.Pipeline.Dead = append(s.Pipeline.Dead, pipeline.DeadLetter{Stage: stage, Reason: text("cut short")})
			}
		}, "2.1% of the last minute's records decode: cut short (2 of the newest 3) features: cut short (1 of the newest 3)"},
		{"feature store down", func(s *timeline.Snapshot) { s.Pipeline.Features.State = "down" }, "every prediction"},
		{"feature store slow", func(s *timeline.Snapshot) { s.Pipeline.Features.State = "slow" }, "latency"},
		{"feature drifted", func(s *timeline.Snapshot) {
			s.Pipeline.Features.Drift = []pipeline.FeatureDrift{{Name: text("age"), PSI: 0.4, Threshold: 0.1}}
		}, "PSI 0.400"},
		{"predictions drifted", func(s *timeline.Snapshot) { s.Pipeline.PSI, s.Pipeline.PSIThreshold = 0.2, 0.05 }, "PSI 0.200"},
		{"contract broken", func(s *timeline.Snapshot) {
			s.Mesh.Products[0].State, s.Mesh.Products[0].Issues = mesh.Broken, []mesh.Issue{{Message: text("email null 7.2% > 5%")}, {}}
		}, "email null 7.2% > 5%, and 1 more ml-ranking commerce/predictions see the failing rows, then tell data@example.com"},
		{"contract unreadable", func(s *timeline.Snapshot) { s.Mesh.Products[0].State = mesh.Bad }, "in force"},
		{"contract not judged", func(s *timeline.Snapshot) { s.Mesh.Products[0].State = mesh.Waiting }, "ml-ranking"},
		{"contracts outdated", func(s *timeline.Snapshot) { // the broker is away: said once, not once a product
			s.Mesh.Error, s.Mesh.Products[0].State, s.Mesh.Products[0].Error = text("the broker is away"), mesh.Waiting, text("the broker is away")
		}, "the broker is away commerce/user_events"},
		{"contracts outdated", func(s *timeline.Snapshot) { s.Mesh.Error = text("no registry") }, "no registry changes to contracts: the rules last read stay in force"},
		{"contracts outdated", func(s *timeline.Snapshot) { // at the start: there are no rules that could stay in force
			s.Mesh = &mesh.Snapshot{Error: text("no registry: products is a file")}
		}, "products is a file every contract: none could be read, so none is judged"},
		{"nodes down", func(s *timeline.Snapshot) {
			s.Edge.ByState[edge.Down] = 5
			for i := range 5 {
				s.Edge.NodeData = append(s.Edge.NodeData, &edge.Node{Name: text(string(rune('a' + i))), State: edge.Down, Labels: map[string]safetext.Text{"site": text("oslo")}})
			}
		}, "5 of 3 not answering, all of site oslo oslo: a, b, +3 more"},
		{"cloud down", func(s *timeline.Snapshot) { s.Edge.Cloud.State, s.Edge.Cloud.Outbox = edge.CloudDown, 7 }, "7 waiting"},
		{"cloud down", func(s *timeline.Snapshot) {
			s.Edge.Cloud.State, s.Edge.Cloud.Error = edge.CloudDown, text("outbox: disk I/O error")
		}, "check the disk that holds the outbox"},
		{"cloud refuses", func(s *timeline.Snapshot) { s.Edge.Cloud.State = edge.CloudRefused }, "not sent again"},
		{"disk nearly full", func(s *timeline.Snapshot) { s.Host.DiskPercent = 97 }, "97%"},
		{"memory nearly full", func(s *timeline.Snapshot) { s.Host.MemoryPercent = 97 }, "97%"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s := world(0)
			c.breaks(s)
			found := Find(s)
			if len(found) != 1 || found[0].Rule != c.rule || found[0].Next.IsEmpty() || found[0].Message.IsEmpty() && !strings.HasPrefix(c.rule, "contract ") {
				t.Fatalf("found %+v", found)
			}
			all := []string{found[0].Message.String()}
			for _, x := range found[0].Touches {
				all = append(all, x.String())
			}
			if got := strings.Join(append(all, found[0].Next.String()), " "); !strings.Contains(got, c.want) {
				t.Errorf("%q lacks %q", got, c.want)
			}
		})
	}
}

// TestAPipelineThatHasNotBegun has an engine before its first start, in its first moment, and stopped by command.
func TestAPipelineThatHasNotBegun(t *testing.T) {
	s := world(10)
	s.Pipeline.State, s.Pipeline.Since = pipeline.Stopped, start
	for _, c := range []struct {
		engine timeline.Engine
		want   int
	}{
		{timeline.Engine{Name: "pipeline", State: timeline.EngineStopped, Since: start}, 0},
		{timeline.Engine{Name: "pipeline", State: timeline.EngineRunning, Since: start.Add(time.Millisecond)}, 0},
		{timeline.Engine{Name: "pipeline", State: timeline.EngineRunning, Since: start.Add(-time.Minute)}, 1},
	} {
		s.Engines = []timeline.Engine{c.engine}
		if found := Find(s); len(found) != c.want {
			t.Errorf("%+v: found %+v", c.engine, found)
		}
	}
}

// TestAnIncidentLasts follows one from its beginning to its end, over a moment in which it seemed to be gone.
func TestAnIncidentLasts(t *testing.T) {
	tracker := New()
	step := func(second int, breaks func(*timeline.Snapshot)) []timeline.Incident {
		s := world(second)
		if breaks != nil {
			breaks(s)
		}
		return tracker.Step(s)
	}
	stall := func(s *timeline.Snapshot) { s.Pipeline.Partitions[1].Verdict = pipeline.VerdictStall }
	slow := func(s *timeline.Snapshot) {
		s.Pipeline.Features.State, s.Pipeline.Features.Since = "slow", start.Add(-time.Minute)
	}
	if got := step(0, nil); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
	step(5, stall)
	step(8, nil)
	got := step(9, func(s *timeline.Snapshot) { stall(s); slow(s) })
	if len(got) != 2 || got[0].Severity != event.Critical || !got[0].Since.Equal(start.Add(5*time.Second)) || !got[1].Since.Equal(start.Add(-time.Minute)) {
		t.Fatalf("%+v", got)
	}
	if got = step(18, nil); len(got) != 2 || !got[0].Ended.IsZero() {
		t.Fatalf("gone for less than %s, it has ended: %+v", keepFiring, got)
	}
	got = step(19, nil)
	if len(got) != 2 || !got[0].Ended.Equal(start.Add(9*time.Second)) || !got[1].Ended.Equal(start.Add(9*time.Second)) {
		t.Fatalf("%+v", got)
	}
	step(30, stall)
	if got = step(31, stall); len(got) != 3 || !got[0].Ended.IsZero() || !got[0].Since.Equal(start.Add(30*time.Second)) {
		t.Fatalf("a new one is not the old one: %+v", got)
	}
	step(60, nil)
	if got = step(3700, nil); len(got) != 0 {
		t.Fatalf("after an hour it is still told: %+v", got)
	}
}

func TestNoMoreThanCanBeRead(t *testing.T) {
	s := world(0)
	for i := range 200 {
		s.Mesh.Products = append(s.Mesh.Products, mesh.Product{Domain: text("d"), Name: text(strings.Repeat("x", i+1)), State: mesh.Broken})
	}
	tracker := New()
	if got := tracker.Step(s); len(got) != 200 {
		t.Errorf("%d go on; all of them must be told", len(got))
	}
	if got := tracker.Step(world(20)); len(got) != most {
		t.Errorf("%d have ended", len(got))
	}
}
