package views

import (
	"slices"
	"strings"

	"weir/backend/edge"
)

// nodeRank orders the states of a node from the worst.
func nodeRank(s edge.State) int {
	switch s {
	case edge.Down:
		return 0
	case edge.Invalid:
		return 1
	case edge.Flapping:
		return 2
	case edge.Skewed:
		return 3
	case edge.Stale:
		return 4
	case edge.Slow:
		return 5
	case edge.Unknown:
		return 6
	case edge.OK:
		return 7
	}
	return 8 // quarantined
}

// worstFirst is the nodes with the worst first, else in their order. It counts, for there may be ten thousand.
func worstFirst(nodes []*edge.Node) []*edge.Node {
	var starts [10]int
	for _, n := range nodes {
		starts[nodeRank(n.State)+1]++
	}
	for i := 1; i < len(starts); i++ {
		starts[i] += starts[i-1]
	}
	out := make([]*edge.Node, len(nodes))
	for _, n := range nodes {
		r := nodeRank(n.State)
		out[starts[r]] = n
		starts[r]++
	}
	return out
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
		if key := path[len(path)-1].Key; !strings.HasPrefix(key, groupPrefix) {
			return s.node(page, key, w, h)
		}
		return s.groupPage(page, e, path[len(path)-1].Key)
	}
	page.Table = s.nodeTable(worstFirst(e.NodeData), zoomed)
	page.Foot = []string{s.cloudLine(&e.Cloud, w)}
	page.Opens, page.Opened, page.NodeRows = true, "node", true
	page.Empty = "No node has been polled yet: the first answers come within one poll interval."
	if !zoomed {
		return page
	}
	page.Sections = []string{"Nodes", "Map", "Groups", "Cloud"}
	if e.Federated != nil {
		page.Sections = append(page.Sections, "Learning")
	}
	if section := path[0].Section; section > 0 {
		page.Opens, page.NodeRows = false, false
		switch section {
		case MapSection:
			s.heatMap(&page, e, path[0])
		case 2:
			page.Table, page.Opens, page.Opened = s.groups(e), true, "group"
			page.Empty = "The nodes have no labels to group them by."
		case 3:
			page.Table, page.Foot = Table{Text: s.cloud(e, w)}, nil
		case 4:
			if e.Federated != nil {
				page.Table, page.Foot = s.learning(e.Federated)
				page.Empty = "No round has finished yet; the first follows the first round of polls."
			}
		}
	}
	return page
}

// nodeTable is nodes as a table, in their order.
func (s *Scene) nodeTable(rows []*edge.Node, zoomed bool) Table {
	sited := slices.ContainsFunc(rows, func(n *edge.Node) bool { return len(n.Labels) > 0 })
	columns := []Column{
		{Width: 1, Cell: func(i int) (Style, string) { return s.nodeState(rows[i].State) }},
		{Title: "NODE", Width: 12, Grow: 2, Most: 32, Name: true, Cell: func(i int) (Style, string) { return Plain, rows[i].Name.String() }},
		{Title: "SITE", Width: 8, Grow: 1, Most: 14, Rank: 6, Cell: func(i int) (Style, string) { return Faint, rows[i].Labels["site"].String() }},
		{Title: "STATE", Width: 8, Cell: func(i int) (Style, string) {
			style, _ := s.nodeState(rows[i].State)
			return style, string(rows[i].State)
		}, Less: func(a, b int) bool { return nodeRank(rows[a].State) < nodeRank(rows[b].State) }},
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

// outboxWaiting is how many aggregates wait, if that is known.
func outboxWaiting(c *edge.Cloud) string {
	if c.Opening {
		return "opening"
	}
	return count(c.Outbox)
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
	l.Put(Faint, " · outbox ").Put(outbox, outboxWaiting(c))
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
	if c.Opening {
		f.add("outbox", Plain, outboxWaiting(c)+": what waits there is not known yet")
	} else {
		f.add("outbox", Plain, plural(c.Outbox, "aggregate waiting", "aggregates waiting"))
	}
	if !c.OldestAt.IsZero() {
		f.add("oldest", Warn, s.ago(c.OldestAt))
	}
	f.add("synced", Plain, count(c.Synced)+" aggregates acknowledged, "+count(c.Failed)+" attempts failed")
	f.add("dropped", Plain, count(c.Dropped)+" by the outbox's caps, "+count(c.DeadLettered)+" refused by the cloud for good")
	if !c.Error.IsEmpty() {
		f.add("error", Bad, c.Error.String())
	}
	f.gap()
	f.head("the aggregate at this moment")
	f.add("records", Plain, count(e.TotalRecords)+" over "+count(e.Reporting)+" of "+plural(e.Nodes, "node", "nodes"))
	f.add("quality", Plain, fixed(e.Quality, 4)+" weighted by records, "+fixed(e.QualityMean, 4)+" plain mean")
	f.add("polls", Plain, fixed(e.PollsPerSecond, 1)+" a second")
	return f.rows
}
