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
	// Kind is the text without the figures that move by themselves: it tells whether the trouble is still the same one.
	Kind string
}

// Troubles is what is wrong in a snapshot, the most important first. It looks at states, which the snapshot's own engines
// have judged already, and at the incidents that compare with the recent past.
func Troubles(x *timeline.Snapshot) []Trouble {
	if x == nil {
		return nil
	}
	var list []Trouble
	add := func(s event.Severity, p Pane, kind, text string) {
		list = append(list, Trouble{s, or(text, kind), p, kind})
	}
	for _, e := range x.Engines {
		if e.State == timeline.EngineFailed {
			kind := e.Name + " engine failed"
			text := kind
			if d := e.RetryAt.Sub(x.At); d > 0 {
				text += ", restarts in " + span(d+time.Second-1)
			}
			add(event.Critical, paneOf(e.Name), kind, text)
		}
	}
	if p := x.Pipeline; p != nil {
		if x.PipelineStopped() {
			add(event.Critical, Throughput, "pipeline stopped", "")
		}
		unlikeUsual(x, add)
		pipelineTroubles(p, add)
		driftTroubles(x, add)
	}
	if m := x.Mesh; m != nil {
		meshTroubles(m, add)
	}
	if e := x.Edge; e != nil {
		edgeTroubles(e, add)
	}
	if h := x.Host; h != nil {
		if h.DiskPercent >= 95 {
			add(event.Warning, Throughput, "disk nearly full", "disk "+percent(h.DiskPercent/100)+" full")
		}
		if h.MemoryPercent >= 95 {
			add(event.Warning, Throughput, "memory nearly full", "memory "+percent(h.MemoryPercent/100)+" used")
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

// adder notes a trouble. text is what is shown of it where that holds figures that move by themselves, else empty.
type adder func(s event.Severity, p Pane, kind, text string)

// unlikeUsual tells of what no state of a single snapshot shows: the incidents whose rules compare with the recent past.
func unlikeUsual(x *timeline.Snapshot, add adder) {
	for i := range x.Incidents {
		in := &x.Incidents[i]
		what, text := "", in.Message.String()
		switch in.Rule {
		case "lag high": // the message says so
		case "latency high":
			what = "latency "
		case "traffic low":
			if !strings.HasPrefix(text, "no events") {
				what = "traffic "
			}
		case "dead letters": // a burst of them; those of a minute the snapshot tells by itself
			if _, told := x.Pipeline.LosesTooMany(); told {
				continue
			}
			text, _, _ = strings.Cut(text, " of ")
			text += " dead letters" + deadBecause(x.Pipeline)
		default:
			continue
		}
		if in.Ended.IsZero() {
			add(in.Severity, Throughput, in.Rule, what+text)
		}
	}
}

// verdictWords say what partitions with a verdict do.
var verdictWords = map[pipeline.Verdict]string{
	pipeline.VerdictStop: "stopped", pipeline.VerdictStall: "stalled", pipeline.VerdictRewind: "rewound", pipeline.VerdictWarn: "not catching up",
}

// stageFails say what is wrong with the records that became dead letters at a stage.
var stageFails = map[string]string{
	"decode": "not decodable", "entity": "no entity", "features": "features missing", "score": "not scored",
}

func pipelineTroubles(p *pipeline.Snapshot, add adder) {
	switch p.State {
	case pipeline.Waiting:
		add(event.Critical, Throughput, "pipeline waiting", "pipeline waiting: "+p.Waiting.String())
	case pipeline.Paused:
		add(event.Warning, Throughput, "pipeline paused", "")
	}
	if p.State != pipeline.Paused {
		partitionTroubles(p, add)
	}
	if share, too := p.LosesTooMany(); too {
		add(event.Warning, Throughput, "dead letters", percent(share)+" dead letters"+deadBecause(p))
	}
	switch p.Features.State {
	case "down":
		add(event.Critical, Throughput, "feature store down", "")
	case "slow":
		add(event.Warning, Throughput, "feature store slow", "")
	}
}

// driftTroubles tells of drift, which an index that is above its threshold for a moment is not: see isOpen.
func driftTroubles(x *timeline.Snapshot, add adder) {
	drifted, first := 0, ""
	for i := range x.Pipeline.Features.Drift {
		if d := &x.Pipeline.Features.Drift[i]; isOpen(x, "feature drifted", d.Name.String()) {
			if drifted++; drifted == 1 {
				first = d.Name.String()
			}
		}
	}
	switch {
	case drifted == 1:
		add(event.Warning, Throughput, "feature "+first+" drifted", "")
	case drifted > 1:
		add(event.Warning, Throughput, count(drifted)+" features drifted", "")
	}
	if isOpen(x, "predictions drifted", x.Pipeline.Model.Version.String()) {
		add(event.Warning, Predictions, "predictions drifted", "")
	}
}

// isOpen tells whether an incident of a rule about a subject is open.
func isOpen(x *timeline.Snapshot, rule, subject string) bool {
	return slices.ContainsFunc(x.Incidents, func(in timeline.Incident) bool {
		return in.Rule == rule && in.Subject.String() == subject && in.Ended.IsZero()
	})
}

// partitionTroubles tells of the partitions that do not go on as they should, the worst verdict first.
func partitionTroubles(p *pipeline.Snapshot, add adder) {
	by := map[pipeline.Verdict]int{}
	for i := range p.Partitions {
		by[p.Partitions[i].Verdict]++
	}
	for _, v := range []pipeline.Verdict{pipeline.VerdictStop, pipeline.VerdictStall, pipeline.VerdictRewind, pipeline.VerdictWarn} {
		severity := event.Critical
		if v == pipeline.VerdictWarn {
			severity = event.Warning
		}
		if n := by[v]; n > 0 {
			add(severity, Throughput, plural(n, "partition", "partitions")+" "+verdictWords[v], "")
		}
	}
}

// deadBecause is what is wrong with most of the newest dead letters.
func deadBecause(p *pipeline.Snapshot) string {
	by, most := map[string]int{}, ""
	for i := range p.Dead {
		stage := p.Dead[i].Stage
		if by[stage]++; by[stage] > by[most] {
			most = stage
		}
	}
	if why := stageFails[most]; why != "" {
		return ": " + why
	}
	return ""
}

func meshTroubles(m *mesh.Snapshot, add adder) {
	if !m.Error.IsEmpty() {
		what := "contracts outdated: "
		if len(m.Products) == 0 { // there are none that could be
			what = "no contract is judged: "
		}
		add(event.Warning, Contracts, "contracts outdated", what+m.Error.String())
	}
	by := map[mesh.State]int{}
	first := map[mesh.State]string{}
	for i := range m.Products {
		p := &m.Products[i]
		if p.State == mesh.Waiting && !m.Error.IsEmpty() && p.Error == m.Error {
			continue // it is said above
		}
		if by[p.State]++; by[p.State] == 1 {
			first[p.State] = p.Name.String()
		}
	}
	tell := func(s event.Severity, state mesh.State, one, many string) {
		switch n := by[state]; {
		case n == 1:
			add(s, Contracts, first[state]+": "+one, "")
		case n > 1:
			add(s, Contracts, count(n)+" contracts "+many, "")
		}
	}
	tell(event.Critical, mesh.Broken, "contract broken", "broken")
	tell(event.Warning, mesh.Bad, "cannot be parsed", "cannot be parsed")
	tell(event.Warning, mesh.Waiting, "waiting for its feed", "waiting for their feeds")
}

// siteDown is the site all of whose nodes are down, when there are several and no other node is: then it is the site.
func siteDown(e *edge.Snapshot) string {
	if e.ByState[edge.Down] < 2 {
		return ""
	}
	site := ""
	for _, n := range e.NodeData {
		switch at := n.Labels["site"].String(); {
		case n.State != edge.Down:
		case at == "" || site != "" && at != site:
			return ""
		default:
			site = at
		}
	}
	for _, n := range e.NodeData {
		if n.State != edge.Down && n.Labels["site"].String() == site {
			return ""
		}
	}
	return site
}

// theOnly is the name and state of the only node that something is wrong with; empty when there are several.
func theOnly(e *edge.Snapshot) string {
	wrong := 0
	for _, state := range []edge.State{edge.Down, edge.Invalid, edge.Flapping, edge.Skewed, edge.Stale, edge.Slow} {
		wrong += e.ByState[state]
	}
	if wrong != 1 {
		return ""
	}
	for _, n := range e.NodeData {
		if r := nodeRank(n.State); r < nodeRank(edge.Unknown) {
			return n.Name.String() + " " + string(n.State)
		}
	}
	return ""
}

func edgeTroubles(e *edge.Snapshot, add adder) {
	var parts []string
	severity, more := event.Warning, 0
	for _, state := range []edge.State{edge.Down, edge.Invalid, edge.Flapping, edge.Skewed, edge.Stale, edge.Slow} {
		n := e.ByState[state]
		switch {
		case n == 0:
			continue
		case len(parts) == 0:
			parts = append(parts, plural(n, "node", "nodes")+" "+string(state))
		case len(parts) == 1:
			parts = append(parts, count(n)+" "+string(state))
		default:
			more += n
		}
		if state == edge.Down || state == edge.Invalid {
			severity = event.Critical
		}
	}
	if site := siteDown(e); site != "" {
		parts[0] = "site " + site + " down (" + count(e.ByState[edge.Down]) + " nodes)"
	} else if name := theOnly(e); name != "" {
		parts[0] = name
	}
	if more > 0 {
		parts = append(parts, count(more)+" more")
	}
	if len(parts) > 0 {
		add(severity, EdgeNodes, strings.Join(parts, ", "), "")
	}
	if e.Cloud.State == edge.CloudRefused {
		add(event.Critical, EdgeNodes, "the cloud refused the aggregate", "")
	}
	if e.Cloud.State == edge.CloudDown {
		add(event.Warning, EdgeNodes, "cloud down", "cloud down, "+count(e.Cloud.Outbox)+" in the outbox")
	}
	// They are counted for as long as the outbox lives: once the cloud takes aggregates again, the loss is over.
	if e.Cloud.Dropped > 0 && e.Cloud.State != edge.CloudOK {
		add(event.Critical, EdgeNodes, "aggregates dropped", plural(int(e.Cloud.Dropped), "aggregate", "aggregates")+" dropped")
	}
}
