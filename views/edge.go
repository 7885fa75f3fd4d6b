package views

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"weir/backend/edge"
	"weir/backend/timeline"
)

// nodeRank orders the states of a node from the worst.
var nodeRank = map[edge.State]int{
	edge.Down: 0, edge.Invalid: 1, edge.Flapping: 2, edge.Skewed: 3, edge.Stale: 4, edge.Slow: 5, edge.Unknown: 6, edge.OK: 7,
	edge.Quarantined: 8,
}

func (s *Scene) nodeState(state edge.State) (Style, string) {
	g := s.Theme.Glyphs
	switch state {
	case edge.OK:
		return Good, g.OK
	case edge.Down, edge.Invalid:
		return Bad, g.Trouble
	case edge.Unknown, edge.Quarantined:
		return Faint, g.Unknown
	}
	return Warn, g.Watch
}

// edgeNodes is the second pane: the fleet, the worst first.
func (s *Scene) edgeNodes(path []Level, w, h int, zoomed bool) Page {
	e := s.Snap.Edge
	if e == nil {
		return Page{Empty: "No edge nodes are configured. Add an edge section to weir.yaml to poll a fleet."}
	}
	style := Good
	if e.Reporting < e.Nodes {
		style = Warn
	}
	if e.Nodes == 0 {
		style = Faint
	}
	page := Page{Title: []Seg{{style, count(e.Reporting) + " of " + count(e.Nodes) + " reporting"}}}
	if w > 90 || zoomed {
		page.Title = append(page.Title, Seg{Faint, count(e.TotalRecords) + " records"}, Seg{Faint, "quality " + fixed(e.Quality, 3)})
	}
	if len(path) > 1 {
		return s.node(page, path[1].Key, w, h)
	}
	page.Table = s.nodes(e, zoomed)
	page.Foot = []string{s.cloudLine(&e.Cloud, w)}
	page.Opens, page.Opened = true, "node"
	page.Empty = "No node has been polled yet: the first answers come within one poll interval."
	if zoomed {
		page.Sections = []string{"Nodes", "Groups", "Cloud"}
		if e.Federated != nil {
			page.Sections = append(page.Sections, "Learning")
		}
		switch path[0].Section {
		case 1:
			page.Table, page.Opens = s.groups(e), false
			page.Empty = "The nodes carry no labels to group them by."
		case 2:
			page.Table, page.Foot, page.Opens = Table{Text: s.cloud(e, w)}, nil, false
		case 3:
			if e.Federated != nil {
				page.Table, page.Foot = s.learning(e.Federated)
				page.Opens, page.Empty = false, "No round has ended yet: the first follows the first round of polls."
			}
		}
	}
	return page
}

func (s *Scene) nodes(e *edge.Snapshot, zoomed bool) Table {
	rows := slices.Clone(e.NodeData)
	sited := false
	for i := range rows {
		sited = sited || len(rows[i].Labels) > 0
	}
	slices.SortStableFunc(rows, func(a, b *edge.Node) int { return cmp.Compare(nodeRank[a.State], nodeRank[b.State]) })
	columns := []Column{
		{Width: 1, Cell: func(i int) (Style, string) { return s.nodeState(rows[i].State) }},
		{Title: "NODE", Width: 10, Grow: 2, Most: 32, Name: true, Cell: func(i int) (Style, string) { return Plain, rows[i].Name.String() }},
		{Title: "SITE", Width: 8, Grow: 1, Most: 14, Rank: 6, Cell: func(i int) (Style, string) { return Faint, rows[i].Labels["site"].String() }},
		{Title: "STATE", Width: 8, Cell: func(i int) (Style, string) {
			style, _ := s.nodeState(rows[i].State)
			return style, string(rows[i].State)
		}, Less: func(a, b int) bool { return nodeRank[rows[a].State] < nodeRank[rows[b].State] }},
		{Title: "FOR", Width: 4, Right: true, Rank: 7, Cell: func(i int) (Style, string) {
			if rows[i].Since.IsZero() {
				return Faint, "–"
			}
			return Faint, brief(s.Snap.At.Sub(rows[i].Since))
		}, Less: func(a, b int) bool { return rows[a].Since.After(rows[b].Since) }},
		{Title: "RECORDS", Width: 9, Right: true, Rank: 2, Cell: func(i int) (Style, string) {
			if !rows[i].HasData {
				return Faint, "–"
			}
			return s.known(rows[i]), count(rows[i].RecordCount)
		}, Less: func(a, b int) bool { return rows[a].RecordCount > rows[b].RecordCount }},
		{Title: "QUALITY", Width: 7, Right: true, Rank: 1, Cell: func(i int) (Style, string) {
			if !rows[i].HasData {
				return Faint, "–"
			}
			return s.known(rows[i]), fixed(rows[i].Quality, 3)
		}, Less: func(a, b int) bool { return rows[a].Quality < rows[b].Quality }},
		{Title: "AGE", Width: 4, Right: true, Cell: func(i int) (Style, string) {
			if !rows[i].HasData {
				return Faint, "–"
			}
			style := Plain
			if !rows[i].Fresh {
				style = Warn
			}
			return style, brief(s.Snap.At.Sub(rows[i].LastUpdated))
		}, Less: func(a, b int) bool { return rows[a].LastUpdated.Before(rows[b].LastUpdated) }},
		{Title: "LATENCY", Width: 7, Right: true, Rank: 3, Cell: func(i int) (Style, string) {
			if rows[i].PolledAt.IsZero() || !rows[i].Reachable {
				return Faint, "–"
			}
			return Plain, millis(rows[i].LatencyMS)
		}, Less: func(a, b int) bool { return rows[a].LatencyMS > rows[b].LatencyMS }},
		{Title: "FAILS", Width: 5, Right: true, Rank: 5, Cell: func(i int) (Style, string) {
			if rows[i].Failures == 0 {
				return Faint, "0"
			}
			return Warn, count(rows[i].Failures)
		}, Less: func(a, b int) bool { return rows[a].Failures > rows[b].Failures }},
		{Title: "ERROR", Width: 16, Grow: 4, Rank: 4, Cell: func(i int) (Style, string) { return Faint, rows[i].Error.String() }},
	}
	if !zoomed { // the error is one key away, and "for" is the age of a failed node
		columns[7].Cell = func(i int) (Style, string) {
			r := rows[i]
			switch {
			case r.State == edge.Down && !r.Since.IsZero():
				return Warn, brief(s.Snap.At.Sub(r.Since))
			case !r.HasData:
				return Faint, "–"
			case !r.Fresh:
				return Warn, brief(s.Snap.At.Sub(r.LastUpdated))
			}
			return Plain, brief(s.Snap.At.Sub(r.LastUpdated))
		}
	}
	if !sited {
		columns = slices.Delete(columns, 2, 3)
	}
	return Table{Rows: len(rows), Columns: columns, Key: func(i int) string { return rows[i].URL.String() }}
}

// known is faint for the last figures of a node that does not report any more.
func (s *Scene) known(n *edge.Node) Style {
	if n.Reachable && n.Valid {
		return Plain
	}
	return Faint
}

func (s *Scene) cloudState(c *edge.Cloud) (Style, string) {
	g := s.Theme.Glyphs
	switch c.State {
	case edge.CloudOK:
		return Good, g.OK
	case edge.CloudDown, edge.CloudRefused:
		return Bad, g.Trouble
	}
	return Faint, g.Unknown
}

func (s *Scene) cloudLine(c *edge.Cloud, w int) string {
	l := s.NewLine(w)
	style, sign := s.cloudState(c)
	l.Put(style, sign+" ").Put(Faint, "cloud ")
	if c.State == edge.CloudOff {
		return l.Put(Faint, "off: no cloud is configured").String()
	}
	l.Put(style, string(c.State))
	switch {
	case !c.LastSync.IsZero():
		l.Put(Faint, " · synced ").Put(Plain, brief(s.Snap.At.Sub(c.LastSync))+" ago")
	case !c.NextSync.IsZero():
		l.Put(Faint, " · first sync ").Put(Plain, "in "+brief(max(c.NextSync.Sub(s.Snap.At), 0)))
	}
	outbox := Plain
	if c.Outbox > 0 && c.State == edge.CloudDown {
		outbox = Warn
	}
	l.Put(Faint, " · outbox ").Put(outbox, count(c.Outbox))
	if c.Dropped > 0 {
		l.Put(Faint, " · ").Put(Bad, count(c.Dropped)+" dropped")
	}
	if !c.Error.IsEmpty() && l.Left() > 20 {
		l.Put(Faint, " · "+c.Error.String())
	}
	return l.String()
}

func (s *Scene) cloud(e *edge.Snapshot, w int) []string {
	c := &e.Cloud
	f := s.facts(w)
	style, sign := s.cloudState(c)
	f.head("cloud")
	f.add("state", style, sign+" "+string(c.State)+" since "+s.ago(c.Since))
	f.add("url", Plain, c.URL.String())
	f.add("last sync", Plain, s.ago(c.LastSync))
	f.add("next sync", Plain, s.ago(c.NextSync))
	f.add("outbox", Plain, plural(c.Outbox, "aggregate waits", "aggregates wait"))
	if !c.OldestAt.IsZero() {
		f.add("oldest", Warn, s.ago(c.OldestAt))
	}
	f.add("synced", Plain, count(c.Synced)+" aggregates acknowledged, "+count(c.Failed)+" attempts failed")
	f.add("dropped", Plain, count(c.Dropped)+" by the outbox's caps, "+count(c.DeadLettered)+" refused by the cloud for good")
	if !c.Error.IsEmpty() {
		f.add("error", Bad, c.Error.String())
	}
	f.gap()
	f.head("the aggregate of this moment")
	f.add("records", Plain, count(e.TotalRecords)+" over "+count(e.Reporting)+" of "+plural(e.Nodes, "node", "nodes"))
	f.add("quality", Plain, fixed(e.Quality, 4)+" weighted by records, "+fixed(e.QualityMean, 4)+" plain mean")
	f.add("polls", Plain, fixed(e.PollsPerSecond, 1)+" a second")
	return f.rows
}

// node is one node in full.
func (s *Scene) node(page Page, key string, w, h int) Page {
	page.Crumbs = []string{key}
	var n *edge.Node
	for i := range s.Snap.Edge.NodeData {
		if s.Snap.Edge.NodeData[i].URL.String() == key {
			n = s.Snap.Edge.NodeData[i]
		}
	}
	if n == nil {
		page.Missing, page.Empty = true, "The node "+key+" was not configured at this moment."
		return page
	}
	page.Crumbs = []string{n.Name.String()}
	f := s.facts(w)
	style, sign := s.nodeState(n.State)
	f.add("state", style, sign+" "+string(n.State)+" since "+s.ago(n.Since))
	f.add("url", Plain, n.URL.String())
	var labels []string
	for k, v := range n.Labels {
		labels = append(labels, k+"="+v.String())
	}
	slices.Sort(labels)
	if len(labels) > 0 {
		f.add("labels", Plain, strings.Join(labels, " "))
	}
	f.add("facts", Plain, strings.Join([]string{tell(n.Reachable, "reachable", "unreachable"), tell(n.Fresh, "fresh", "stale"), tell(n.Valid, "valid", "invalid")}, ", "))
	if !n.Error.IsEmpty() {
		f.add("error", Bad, n.Error.String())
	}
	f.gap()
	f.head("last answer")
	if n.HasData {
		f.add("records", Strong, count(n.RecordCount))
		f.add("quality", Strong, fixed(n.Quality, 4))
		f.add("last updated", Plain, s.ago(n.LastUpdated))
	} else {
		f.text(Faint, "No valid answer so far.")
	}
	f.gap()
	f.head("last poll")
	f.add("at", Plain, s.ago(n.PolledAt))
	f.add("latency", Plain, millis(n.LatencyMS))
	if n.StatusCode > 0 {
		f.add("http status", Plain, digits(int64(n.StatusCode)))
	}
	f.add("failures", Plain, count(n.Failures)+" in a row")
	if n.Skew != 0 {
		f.add("clock skew", Plain, n.Skew.Round(time.Millisecond).String()+" against ours")
	}
	f.gap()
	if past := s.Snap.Edge.Watched[key]; past != nil && len(past.Polls) > 1 {
		s.polls(f, past, w)
		page.Table.Text = f.rows
		return page
	}
	if room := h - len(f.rows); room >= 6 {
		f.head("latency, records")
		a := s.chart("poll", true, (w-2)/2, min(room-1, 9), axisMillis, func(x *timeline.Snapshot) float64 {
			if n := nodeOf(x, key); n != nil && n.Reachable {
				return n.LatencyMS
			}
			return math.NaN()
		})
		b := s.chart("rec.", true, w-2-(w-2)/2, min(room-1, 9), short, func(x *timeline.Snapshot) float64 {
			if n := nodeOf(x, key); n != nil && n.HasData {
				return float64(n.RecordCount)
			}
			return math.NaN()
		})
		for i := range a {
			f.rows = append(f.rows, a[i]+"  "+b[i])
		}
	}
	page.Table.Text = f.rows
	return page
}

func nodeOf(x *timeline.Snapshot, url string) *edge.Node {
	if x.Edge == nil {
		return nil
	}
	for i := range x.Edge.NodeData {
		if x.Edge.NodeData[i].URL.String() == url {
			return x.Edge.NodeData[i]
		}
	}
	return nil
}
