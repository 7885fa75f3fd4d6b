package views

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// Trouble is one thing that is wrong at one moment.
type Trouble struct {
	Severity event.Severity // Critical or Warning
	Text     string
	Pane     Pane // where to look
}

// Troubles is what is wrong in a snapshot, the most important first. It looks at states only: the snapshot's own
// engines have judged already.
func Troubles(x *timeline.Snapshot) []Trouble {
	if x == nil {
		return nil
	}
	var list []Trouble
	add := func(s event.Severity, p Pane, text string) { list = append(list, Trouble{s, text, p}) }
	for _, e := range x.Engines {
		if e.State == timeline.EngineFailed {
			text := e.Name + " engine failed"
			if d := e.RetryAt.Sub(x.At); d > 0 {
				text += ", starts again in " + span(d+time.Second-1)
			}
			add(event.Critical, paneOf(e.Name), text)
		}
	}
	if p := x.Pipeline; p != nil {
		if x.PipelineStopped() {
			add(event.Critical, Throughput, "pipeline stopped")
		}
		pipelineTroubles(p, add)
	}
	if m := x.Mesh; m != nil {
		meshTroubles(m, add)
	}
	if e := x.Edge; e != nil {
		edgeTroubles(e, add)
	}
	if h := x.Host; h != nil {
		if h.DiskPercent >= 95 {
			add(event.Warning, Throughput, "disk "+percent(h.DiskPercent/100)+" full")
		}
		if h.MemoryPercent >= 95 {
			add(event.Warning, Throughput, "memory "+percent(h.MemoryPercent/100)+" used")
		}
	}
	slices.SortStableFunc(list, func(a, b Trouble) int { return cmp.Compare(weight(a.Severity), weight(b.Severity)) })
	return list
}

func weight(s event.Severity) int {
	if s == event.Critical {
		return 0
	}
	return 1
}

func paneOf(engine string) Pane {
	switch engine {
	case "edge":
		return EdgeNodes
	case "mesh":
		return Contracts
	}
	return Throughput
}

func pipelineTroubles(p *pipeline.Snapshot, add func(event.Severity, Pane, string)) {
	switch p.State {
	case pipeline.Waiting:
		add(event.Critical, Throughput, "pipeline waits: "+p.Waiting.String())
	case pipeline.Paused:
		add(event.Warning, Throughput, "pipeline paused")
	}
	worst, n := pipeline.VerdictOK, 0
	for i := range p.Partitions {
		v := p.Partitions[i].Verdict
		if v == "" || v == pipeline.VerdictOK {
			continue
		}
		n++
		if verdictRank[v] < verdictRank[worst] {
			worst = v
		}
	}
	if n > 0 && p.State != pipeline.Paused {
		severity := event.Critical
		if worst == pipeline.VerdictWarn {
			severity = event.Warning
		}
		add(severity, Throughput, plural(n, "partition", "partitions")+" "+string(worst))
	}
	if share, too := p.LosesTooMany(); too {
		add(event.Warning, Throughput, percent(share)+" dead letters")
	}
	switch p.Features.State {
	case "down":
		add(event.Critical, Throughput, "feature store down")
	case "slow":
		add(event.Warning, Throughput, "feature store slow")
	}
	drifted, first := 0, ""
	for i := range p.Features.Drift {
		if d := &p.Features.Drift[i]; d.PSI > d.Threshold {
			if drifted++; drifted == 1 {
				first = d.Name.String()
			}
		}
	}
	switch {
	case drifted == 1:
		add(event.Warning, Throughput, "feature "+first+" drifted")
	case drifted > 1:
		add(event.Warning, Throughput, count(drifted)+" features drifted")
	}
	if p.PSI > p.PSIThreshold && p.PSIThreshold > 0 {
		add(event.Warning, Predictions, "predictions drifted")
	}
}

func meshTroubles(m *mesh.Snapshot, add func(event.Severity, Pane, string)) {
	if !m.Error.IsEmpty() {
		add(event.Warning, Contracts, "contracts cannot be judged")
	}
	by := map[mesh.State]int{}
	first := map[mesh.State]string{}
	for i := range m.Products {
		p := &m.Products[i]
		if by[p.State]++; by[p.State] == 1 {
			first[p.State] = p.Name.String()
		}
	}
	tell := func(s event.Severity, state mesh.State, one, many string) {
		switch n := by[state]; {
		case n == 1:
			add(s, Contracts, first[state]+": "+one)
		case n > 1:
			add(s, Contracts, count(n)+" contracts "+many)
		}
	}
	tell(event.Critical, mesh.Broken, "contract broken", "broken")
	tell(event.Warning, mesh.Bad, "cannot be parsed", "cannot be parsed")
	tell(event.Warning, mesh.Waiting, "waits for its feed", "wait for their feeds")
}

func edgeTroubles(e *edge.Snapshot, add func(event.Severity, Pane, string)) {
	var parts []string
	severity := event.Warning
	for _, state := range []edge.State{edge.Down, edge.Invalid, edge.Flapping, edge.Skewed, edge.Stale, edge.Slow} {
		if n := e.ByState[state]; n > 0 {
			if state == edge.Down || state == edge.Invalid {
				severity = event.Critical
			}
			if len(parts) < 2 {
				parts = append(parts, plural(n, "node", "nodes")+" "+string(state))
			}
		}
	}
	if len(parts) > 0 {
		parts[len(parts)-1] = strings.TrimSpace(parts[len(parts)-1])
		if len(parts) == 2 {
			parts[1] = strings.Replace(strings.Replace(parts[1], " nodes", "", 1), " node", "", 1)
		}
		add(severity, EdgeNodes, strings.Join(parts, ", "))
	}
	if e.Cloud.State == edge.CloudRefused {
		add(event.Critical, EdgeNodes, "the cloud refused the aggregate")
	}
	if e.Cloud.State == edge.CloudDown {
		add(event.Warning, EdgeNodes, "cloud down, "+count(e.Cloud.Outbox)+" in the outbox")
	}
	if e.Cloud.Dropped > 0 {
		add(event.Critical, EdgeNodes, count(e.Cloud.Dropped)+" aggregates dropped")
	}
}
