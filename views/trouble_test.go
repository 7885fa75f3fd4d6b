package views

import (
	"math"
	"slices"
	"testing"
	"time"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

// TestTroubles has the first row of the screen say what is wrong, of what, and no more than is true.
func TestTroubles(t *testing.T) {
	text := safetext.Clean
	for _, c := range []struct {
		name   string
		breaks func(*timeline.Snapshot)
		want   []string
	}{
		{"all is well", func(*timeline.Snapshot) {}, nil},
		{"one partition stands still, two lag", func(s *timeline.Snapshot) {
			s.Pipeline.Partitions = []pipeline.Partition{{Verdict: pipeline.VerdictWarn}, {Verdict: pipeline.VerdictStall}, {Verdict: pipeline.VerdictWarn}}
		}, []string{"1 partition stalled", "2 partitions not catching up"}},
		{"dead letters, most for one reason", func(s *timeline.Snapshot) {
			s.Pipeline.MinuteHandled, s.Pipeline.MinuteDead = 1000, 21
			s.Pipeline.Dead = []pipeline.DeadLetter{{Stage: "decode"}, {Stage: "features"}, {Stage: "features"}}
		}, []string{"2.1% dead letters: features missing"}},
		{"unlike what is usual", func(s *timeline.Snapshot) {
			s.Pipeline.Features.State = "slow"
			s.Incidents = []timeline.Incident{{Rule: "traffic low", Severity: event.Critical, Message: text("no events for 40 s, usually 2,000/s")},
				{Rule: "latency high", Severity: event.Warning, Message: text("p50 2.1 s, usually 8.0 ms")}, {Rule: "feature store slow", Severity: event.Warning, Message: text("slow")},
				{Rule: "latency high", Severity: event.Warning, Ended: s.At, Message: text("p50 9.1 s, usually 8.0 ms")}}
		}, []string{"no events for 40 s, usually 2,000/s", "latency p50 2.1 s, usually 8.0 ms", "feature store slow"}},
		{"a part of what is usual", func(s *timeline.Snapshot) {
			s.Incidents = []timeline.Incident{{Rule: "traffic low", Severity: event.Warning, Message: text("210/s, usually 2,000/s")}}
			s.Incidents = append(s.Incidents, timeline.Incident{Rule: "lag high", Severity: event.Warning, Message: text("lag 4000, about 12 s behind")})
		}, []string{"traffic 210/s, usually 2,000/s", "lag 4000, about 12 s behind"}},
		{"the registry is gone, the rules are judged all the same", func(s *timeline.Snapshot) {
			s.Mesh.Error, s.Mesh.Products = text("no registry"), []mesh.Product{{State: mesh.Holds}}
		}, []string{"contracts outdated: no registry"}},
		{"the broker is away", func(s *timeline.Snapshot) {
			s.Mesh.Error = text("the broker is away")
			s.Mesh.Products = []mesh.Product{{State: mesh.Waiting, Error: s.Mesh.Error}, {Name: text("b"), State: mesh.Waiting, Error: text("no topic")}}
		}, []string{"contracts outdated: the broker is away", "b: waiting for its feed"}},
		{"the outbox has no room", func(s *timeline.Snapshot) {
			s.Edge.Cloud = edge.Cloud{State: edge.CloudDown, Outbox: 9, Dropped: 2}
		}, []string{"2 aggregates dropped", "cloud down, 9 in the outbox"}},
		{"the outbox had no room, and the cloud is back", func(s *timeline.Snapshot) { s.Edge.Cloud.Dropped = 2 }, nil},
		{"one node", func(s *timeline.Snapshot) {
			s.Edge.ByState = map[edge.State]int{edge.OK: 1, edge.Stale: 1}
			s.Edge.NodeData = []*edge.Node{{Name: text("a"), State: edge.OK}, {Name: text("b"), State: edge.Stale}}
		}, []string{"b stale"}},
		{"a whole site, and a node elsewhere", func(s *timeline.Snapshot) {
			s.Edge.ByState = map[edge.State]int{edge.Down: 2, edge.OK: 1, edge.Slow: 1}
			for i, state := range []edge.State{edge.Down, edge.OK, edge.Down, edge.Slow} {
				site := map[string]safetext.Text{"site": text([]string{"osl", "ams"}[i%2])}
				s.Edge.NodeData = append(s.Edge.NodeData, &edge.Node{State: state, Labels: site})
			}
		}, []string{"site osl down (2 nodes), 1 slow"}},
		{"all but one of a site", func(s *timeline.Snapshot) {
			s.Edge.ByState = map[edge.State]int{edge.Down: 2, edge.OK: 1}
			for _, state := range []edge.State{edge.Down, edge.OK, edge.Down} {
				s.Edge.NodeData = append(s.Edge.NodeData, &edge.Node{State: state, Labels: map[string]safetext.Text{"site": text("osl")}})
			}
		}, []string{"2 nodes down"}},
		{"nodes in more states than there is room for", func(s *timeline.Snapshot) {
			s.Edge.ByState = map[edge.State]int{edge.Down: 1, edge.Flapping: 2, edge.Stale: 3, edge.Slow: 1}
		}, []string{"1 node down, 2 flapping, 4 more"}},
		{"there is no registry", func(s *timeline.Snapshot) { s.Mesh.Error = text("no registry: products is a file") },
			[]string{"no contract is judged: no registry: products is a file"}},
		{"a burst of dead letters", func(s *timeline.Snapshot) {
			s.Incidents = []timeline.Incident{{Rule: "dead letters", Message: text("3.1% of records in the last 5 s")}}
			s.Pipeline.Dead = []pipeline.DeadLetter{{Stage: "decode"}}
		}, []string{"3.1% dead letters: not decodable"}},
		{"a burst that the minute tells of, too", func(s *timeline.Snapshot) {
			s.Incidents = []timeline.Incident{{Rule: "dead letters", Message: text("3.1% of the last minute's records")}}
			s.Pipeline.MinuteHandled, s.Pipeline.MinuteDead = 1000, 31
		}, []string{"3.1% dead letters"}},
		{"an index above its threshold is no drift yet", func(s *timeline.Snapshot) {
			s.Pipeline.PSI, s.Pipeline.PSIThreshold = 0.0011, 0.001
			s.Pipeline.Features.Drift = []pipeline.FeatureDrift{{Name: text("age"), PSI: 0.0011, Threshold: 0.001}}
		}, nil},
		{"drift", func(s *timeline.Snapshot) {
			s.Pipeline.Model.Version, s.Pipeline.Features.Drift = text("v2"), []pipeline.FeatureDrift{{Name: text("age")}, {Name: text("place")}}
			s.Incidents = []timeline.Incident{{Rule: "predictions drifted", Subject: text("v2")}, {Rule: "feature drifted", Subject: text("place")},
				{Rule: "feature drifted", Subject: text("age"), Ended: s.At}}
		}, []string{"feature place drifted", "predictions drifted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
			s := &timeline.Snapshot{At: at, Pipeline: &pipeline.Snapshot{State: pipeline.Running, PSI: math.NaN(), PSIThreshold: math.NaN()},
				Mesh: &mesh.Snapshot{}, Edge: &edge.Snapshot{Nodes: 3, ByState: map[edge.State]int{}, Cloud: edge.Cloud{State: edge.CloudOK}}}
			c.breaks(s)
			var got []string
			for _, x := range Troubles(s) {
				got = append(got, x.Text)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
