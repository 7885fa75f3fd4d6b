package views

import (
	"math"
	"strconv"
	"strings"
	"time"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/host"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// change is one difference between two snapshots.
type change struct {
	engine, what  string
	before, after string
	style         Style // of after
}

// changes lists what differs between two snapshots, by engine: states and facts always, figures when they moved by
// more than they do from one second to the next.
type changes struct {
	scene *Scene
	list  []change
}

// changed is what differs between two snapshots, either of which may be nil.
func (s *Scene) changed(a, b *timeline.Snapshot) []change {
	c := changes{scene: s}
	if a == nil || b == nil {
		return nil
	}
	c.engines(a, b)
	if a.Pipeline != nil && b.Pipeline != nil {
		c.pipeline(a.Pipeline, b.Pipeline)
		c.text("pipeline", "predictions", drifted(a), drifted(b), Warn)
	}
	if a.Edge != nil && b.Edge != nil {
		c.edge(a.Edge, b.Edge)
	}
	if a.Mesh != nil && b.Mesh != nil {
		c.mesh(a.Mesh, b.Mesh)
	}
	if a.Host != nil && b.Host != nil {
		c.host(a.Host, b.Host)
	}
	return c.list
}

// text notes a fact that is another one now.
func (c *changes) text(engine, what, before, after string, style Style) {
	if before != after {
		c.list = append(c.list, change{engine, what, or(before, "–"), or(after, "–"), style})
	}
}

// figure notes a number that moved by at least least, and by the given share of what it was.
func (c *changes) figure(engine, what string, before, after, least, share float64, show func(float64) string) {
	d := math.Abs(after - before)
	if math.IsNaN(before) != math.IsNaN(after) || d >= least && d >= share*math.Abs(before) && d > 0 {
		c.list = append(c.list, change{engine, what, show(before), show(after), Plain})
	}
}

func (c *changes) engines(a, b *timeline.Snapshot) {
	was := map[string]*timeline.Engine{}
	for i := range a.Engines {
		was[a.Engines[i].Name] = &a.Engines[i]
	}
	for i := range b.Engines {
		e, before := &b.Engines[i], timeline.Engine{}
		if x := was[e.Name]; x != nil {
			before = *x
		}
		style := Plain
		if e.State == timeline.EngineFailed {
			style = Bad
		}
		c.text(e.Name, "engine", string(before.State), string(e.State), style)
		c.text(e.Name, "restarts", count(before.Restarts), count(e.Restarts), Warn)
		c.text(e.Name, "error", before.Error.String(), e.Error.String(), Bad)
	}
	names := func(x *timeline.Snapshot) string {
		var out []string
		for _, f := range x.Faults {
			out = append(out, f.Name)
		}
		return strings.Join(out, ", ")
	}
	c.text("world", "faults in force", names(a), names(b), Warn)
}

// drifted says what the predictions do.
func drifted(x *timeline.Snapshot) string {
	if math.IsNaN(x.Pipeline.PSI) {
		return "not known"
	}
	return tell(isOpen(x, "predictions drifted", x.Pipeline.Model.Version.String()), "drifted", "steady")
}

func (c *changes) pipeline(a, b *pipeline.Snapshot) {
	const name = "pipeline"
	s := c.scene
	worse := Plain
	if b.State == pipeline.Waiting {
		worse = Bad
	}
	c.text(name, "state", string(a.State), string(b.State), worse)
	c.text(name, "waits for", a.Waiting.String(), b.Waiting.String(), Bad)
	c.text(name, "model", a.Model.Version.String(), b.Model.Version.String(), Accent)
	c.text(name, "model's source", a.Model.Source.String(), b.Model.Source.String(), Plain)
	style, _ := s.storeState(b.Features.State)
	c.text(name, "feature store", a.Features.State, b.Features.State, style)
	c.text(name, "partitions held", partitionsOf(a), partitionsOf(b), Plain)
	c.figure(name, "events a second", a.EventsPerSecond, b.EventsPerSecond, 5, 0.15, rate)
	c.figure(name, "lag", float64(a.Lag), float64(b.Lag), max(b.EventsPerSecond, 100), 0.25, wholes)
	c.figure(name, "end to end p99", quantile(a.EndToEnd), quantile(b.EndToEnd), 5, 0.25, millis)
	c.figure(name, "dead letters", float64(a.DeadLettered), float64(b.DeadLettered), 1, 0, wholes)
	c.figure(name, "taken again", float64(a.Redelivered), float64(b.Redelivered), 1, 0, wholes)
	c.figure(name, "feature values missing", float64(a.Features.Missing), float64(b.Features.Missing), 1, 0.01, wholes)
	c.figure(name, "feature request p99", a.Features.LatencyP99, b.Features.LatencyP99, 5, 0.25, millis)
	was := map[int32]*pipeline.Partition{}
	for i := range a.Partitions {
		was[a.Partitions[i].Partition] = &a.Partitions[i]
	}
	for i := range b.Partitions {
		p := &b.Partitions[i]
		if x := was[p.Partition]; x != nil {
			style, _ := s.verdict(p.Verdict)
			c.text(name, "partition "+digits(int64(p.Partition)), string(x.Verdict), string(p.Verdict), style)
		}
	}
}

func partitionsOf(p *pipeline.Snapshot) string {
	if len(p.Partitions) > 12 {
		return count(len(p.Partitions))
	}
	words := make([]string, len(p.Partitions))
	for i := range p.Partitions {
		words[i] = digits(int64(p.Partitions[i].Partition))
	}
	return strings.Join(words, " ")
}

func quantile(q pipeline.Quantiles) float64 {
	if q.Count == 0 {
		return math.NaN()
	}
	return q.P99
}

func wholes(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return count(int64(v))
}

func (c *changes) edge(a, b *edge.Snapshot) {
	const name = "edge"
	c.text(name, "nodes reporting", count(a.Reporting)+" of "+count(a.Nodes), count(b.Reporting)+" of "+count(b.Nodes), Plain)
	c.text(name, "cloud", string(a.Cloud.State), string(b.Cloud.State), tellStyle(b.Cloud.State == edge.CloudOK || b.Cloud.State == edge.CloudIdle, Good, Bad))
	c.text(name, "outbox", count(a.Cloud.Outbox), count(b.Cloud.Outbox), Plain)
	c.text(name, "synced", count(a.Cloud.Synced), count(b.Cloud.Synced), Good)
	c.text(name, "refused by the cloud", count(a.Cloud.DeadLettered), count(b.Cloud.DeadLettered), Bad)
	c.figure(name, "records of the fleet", float64(a.TotalRecords), float64(b.TotalRecords), 100, 0.05, wholes)
	c.figure(name, "quality", a.Quality, b.Quality, 0.005, 0, func(v float64) string { return fixed(v, 3) })
	was := map[string]*edge.Node{}
	for i := range a.NodeData {
		was[a.NodeData[i].URL.String()] = a.NodeData[i]
	}
	for i := range b.NodeData {
		n, before := b.NodeData[i], ""
		if x := was[n.URL.String()]; x != nil {
			before = string(x.State)
		}
		after := string(n.State)
		if n.State != edge.OK && !n.Error.IsEmpty() && before != after {
			after += ": " + n.Error.String()
		}
		c.text(name, n.Name.String(), before, after, tellStyle(n.State == edge.OK, Good, Bad))
		delete(was, n.URL.String())
	}
	for i := range a.NodeData {
		if n := a.NodeData[i]; was[n.URL.String()] != nil {
			c.text(name, n.Name.String(), string(n.State), "no longer configured", Warn)
		}
	}
}

func tellStyle(b bool, yes, no Style) Style {
	if b {
		return yes
	}
	return no
}

func (c *changes) mesh(a, b *mesh.Snapshot) {
	const name = "contracts"
	s := c.scene
	c.text(name, "error", a.Error.String(), b.Error.String(), Bad)
	was := map[string]*mesh.Product{}
	for i := range a.Products {
		was[productName(&a.Products[i])] = &a.Products[i]
	}
	for i := range b.Products {
		p := &b.Products[i]
		key := productName(p)
		x := was[key]
		if x == nil {
			c.text(name, key, "not registered", string(p.State), Accent)
			continue
		}
		delete(was, key)
		style, _ := s.productState(p.State)
		c.text(name, key, string(x.State), string(p.State), style)
		c.text(name, key+" version", x.Version.String(), p.Version.String(), Accent)
		c.issues(key, x, p)
		if x.Rows == 0 || p.Rows == 0 { // between them a window fills and empties all the time
			c.text(name, key+" rows", count(x.Rows), count(p.Rows), Plain)
		}
	}
	for i := range a.Products {
		if key := productName(&a.Products[i]); was[key] != nil {
			c.text(name, key, string(a.Products[i].State), "no longer registered", Warn)
		}
	}
}

func (c *changes) issues(product string, a, b *mesh.Product) {
	was := map[string]*mesh.Issue{}
	for i := range a.Issues {
		was[issueKey(&a.Issues[i])] = &a.Issues[i]
	}
	for i := range b.Issues {
		x := &b.Issues[i]
		key := issueKey(x)
		if was[key] == nil {
			style, _ := c.scene.issueSeverity(x)
			c.text("contracts", product+" "+key, "holds", x.Message.String(), style)
		}
		delete(was, key)
	}
	for i := range a.Issues {
		if key := issueKey(&a.Issues[i]); was[key] != nil {
			c.text("contracts", product+" "+key, a.Issues[i].Message.String(), "holds", Good)
		}
	}
}

func (c *changes) host(a, b *host.Snapshot) {
	share := func(v float64) string { return percent(v / 100) }
	c.figure("host", "cpu", a.CPUPercent, b.CPUPercent, 20, 0, share)
	c.figure("host", "memory", a.MemoryPercent, b.MemoryPercent, 5, 0, share)
	c.figure("host", "disk", a.DiskPercent, b.DiskPercent, 1, 0, share)
	c.figure("host", "memory of weir", float64(a.Process.RSS), float64(b.Process.RSS), 16e6, 0.1, bytesText)
	c.figure("host", "goroutines", float64(a.Process.Goroutines), float64(b.Process.Goroutines), 20, 0.2, wholes)
	c.text("host", "error", a.Error.String(), b.Error.String(), Bad)
}

// EventAt is when the event of a row of the events pane happened; false when the key is of no event.
func EventAt(key string) (time.Time, bool) {
	_, nanos, ok := strings.Cut(key, " ")
	n, err := strconv.ParseInt(nanos, 10, 64)
	return time.Unix(0, n), ok && err == nil
}

// eventChanges is what enter opens in the events pane: the event, and what differs between the snapshot before it and
// the one under the cursor, in every pane.
func (s *Scene) eventChanges(page Page, e *event.Event, w int) Page {
	f := s.facts(w)
	style, sign := s.severity(e.Severity)
	if name := s.subject(e); name != e.Subject.String() {
		f.add("what", style, sign+" "+string(e.Kind)+" "+name+", "+e.Subject.String())
	} else {
		f.add("what", style, sign+" "+string(e.Kind)+" "+e.Subject.String())
	}
	f.add("when", Strong, e.At.In(s.Zone).Format("2006-01-02 15:04:05.000 MST"))
	f.add("message", Plain, e.Message.String())
	page.Head = append(f.rows, s.NewLine(w).String(), s.compared(w), s.NewLine(w).String())
	if s.Before == nil || s.Before.Seq == s.Snap.Seq {
		page.Table.Columns = nil
		page.Empty = "The snapshot before the event is no longer kept, or this is it. → steps on and shows what differs then."
		return page
	}
	from, to := s.Before, s.Snap
	if to.Seq < from.Seq { // stepped back: what led up to it
		from, to = to, from
	}
	rows := s.changed(from, to)
	at := func(i int) *change { return &rows[i] }
	page.Table = Table{
		Rows: len(rows),
		Key:  func(i int) string { return rows[i].engine + " " + rows[i].what },
		Columns: []Column{
			{Title: "PANE", Width: 9, Cell: func(i int) (Style, string) { return Faint, at(i).engine }},
			{Title: "WHAT", Width: 22, Grow: 1, Most: 44, Name: true, Cell: func(i int) (Style, string) { return Plain, at(i).what }},
			{Title: "BEFORE", Width: 18, Grow: 1, Most: 50, Cell: func(i int) (Style, string) { return Faint, at(i).before }},
			{Width: 1, Cell: func(int) (Style, string) { return Faint, s.Theme.Glyphs.Arrow }},
			{Title: "AFTER", Width: 20, Grow: 2, Cell: func(i int) (Style, string) { return at(i).style, at(i).after }},
		},
	}
	page.Empty = "Nothing changed by more than it does every second. → steps on."
	return page
}

// compared says which two moments are set side by side.
func (s *Scene) compared(w int) string {
	l := s.NewLine(w)
	if s.Before == nil {
		return l.Put(Faint, "held at "+s.clock(s.Snap.At)).String()
	}
	from, to, why := s.Before, s.Snap, [2]string{", before it, and ", ""}
	if to.Seq < from.Seq {
		from, to, why = to, from, [2]string{" and ", ", just before it"}
	}
	l.Put(Accent, "WHAT CHANGED").Put(Faint, " between ").Put(Strong, s.tenths(from.At)).Put(Faint, why[0]).Put(Strong, s.tenths(to.At)).Put(Faint, why[1])
	if n := to.At.Sub(from.At); n > 0 {
		l.Put(Faint, ", "+span(n)+" later")
	}
	if hint := "   ← → move in time"; l.Left() >= cells(hint) {
		l.Put(Faint, hint)
	}
	return l.String()
}

// tenths is a time of day to the tenth of a second: two snapshots may lie within one.
func (s *Scene) tenths(at time.Time) string { return at.In(s.Zone).Format("15:04:05.0") }
