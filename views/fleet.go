package views

import (
	"math"
	"strings"

	"weir/backend/edge"
)

// groups is the fleet summed up by its labels.
func (s *Scene) groups(e *edge.Snapshot) Table {
	rows := e.Groups
	state := func(i int) (Style, string) {
		switch g := s.Theme.Glyphs; {
		case rows[i].Reporting == 0:
			return Bad, g.Trouble
		case rows[i].Reporting < rows[i].Nodes:
			return Warn, g.Watch
		default:
			return Good, g.OK
		}
	}
	return Table{
		Rows: len(rows),
		Key:  func(i int) string { return groupKey(rows[i].Label.String(), rows[i].Value.String()) },
		Columns: []Column{
			{Width: 1, Cell: state},
			{Title: "LABEL", Width: 8, Grow: 1, Most: 16, Cell: func(i int) (Style, string) { return Faint, rows[i].Label.String() }},
			{Title: "VALUE", Width: 12, Grow: 2, Most: 30, Name: true, Cell: func(i int) (Style, string) { return Plain, rows[i].Value.String() }},
			{Title: "REPORTING", Width: 10, Right: true, Cell: func(i int) (Style, string) {
				style, _ := state(i)
				return style, count(rows[i].Reporting) + " of " + count(rows[i].Nodes)
			}, Less: func(a, b int) bool { return rows[a].Nodes-rows[a].Reporting > rows[b].Nodes-rows[b].Reporting }},
			{Title: "RECORDS", Width: 11, Right: true, Cell: func(i int) (Style, string) { return Plain, count(rows[i].TotalRecords) },
				Less: func(a, b int) bool { return rows[a].TotalRecords > rows[b].TotalRecords }},
			{Title: "QUALITY", Width: 7, Right: true, Cell: func(i int) (Style, string) { return Plain, fixed(rows[i].Quality, 3) },
				Less: func(a, b int) bool { return rows[a].Quality < rows[b].Quality }},
			{Title: "MEAN", Width: 7, Right: true, Rank: 1, Cell: func(i int) (Style, string) { return Faint, fixed(rows[i].QualityMean, 3) }},
		},
	}
}

// groupPage is the nodes of one group, the worst first.
func (s *Scene) groupPage(page Page, e *edge.Snapshot, key string) Page {
	label, value, _ := strings.Cut(strings.TrimPrefix(key, groupPrefix), "\t")
	var nodes []*edge.Node
	reporting := 0
	for _, n := range e.NodeData {
		if label == "" || n.Labels[label].String() == value {
			nodes = append(nodes, n)
			if n.Reachable && n.Valid {
				reporting++
			}
		}
	}
	name := or(value, "no "+label)
	if label == "" {
		name = "all nodes"
	}
	page.Crumbs = []string{name}
	if len(nodes) == 0 {
		page.Missing, page.Empty = true, "No node had "+label+" "+value+" at this moment."
		return page
	}
	style := Good
	if reporting < len(nodes) {
		style = Warn
	}
	page.Title = []Seg{{style, count(reporting) + " of " + count(len(nodes)) + " of " + name + " reporting"}}
	page.Table = s.nodeTable(worstFirst(nodes), true)
	page.Opens, page.Opened, page.NodeRows = true, "node", true
	return page
}

// polls is what is remembered of a node that somebody looks at.
func (s *Scene) polls(f *facts, past *edge.History, w int) {
	n := min(len(past.Polls), w-factWidth-8)
	polls := past.Polls[len(past.Polls)-n:]
	course := func(name string, style Style, value func(p *edge.Poll) float64, last string) {
		values := make([]float64, n)
		for i := range polls {
			values[i] = value(&polls[i])
		}
		f.rows = append(f.rows, f.scene.NewLine(w).Field(Faint, name, factWidth, false).Put(style, s.Theme.spark(values)).Space(1).Put(Plain, last).String())
	}
	newest := &polls[n-1]
	f.head("its last " + count(n) + " polls, since " + s.clock(polls[0].At))
	course("latency", Chart, func(p *edge.Poll) float64 {
		if p.StatusCode == 0 {
			return math.NaN()
		}
		return p.LatencyMS
	}, millis(newest.LatencyMS))
	course("records", Chart, func(p *edge.Poll) float64 {
		if p.RecordCount == 0 {
			return math.NaN()
		}
		return float64(p.RecordCount)
	}, count(newest.RecordCount))
	l := s.NewLine(w).Field(Faint, "state", factWidth, false)
	for i := range polls {
		l.Put(s.nodeState(polls[i].State))
	}
	f.rows = append(f.rows, l.Space(1).Put(Plain, string(newest.State)).String())
	if len(past.Changes) > 0 {
		f.gap()
		f.head("changes of state, newest first")
		for i := len(past.Changes) - 1; i >= 0; i-- {
			c := &past.Changes[i]
			style, sign := s.nodeState(c.To)
			l := s.NewLine(w).Put(Faint, s.clock(c.At)+"  ").Put(style, sign+" "+string(c.From)+" "+s.Theme.Glyphs.Arrow+" "+string(c.To))
			f.rows = append(f.rows, l.Space(2).Put(Plain, c.Reason.String()).String())
		}
	}
	if len(past.Errors) > 0 {
		f.gap()
		f.head("errors, newest first")
		for i := len(past.Errors) - 1; i >= 0; i-- {
			e := &past.Errors[i]
			f.rows = append(f.rows, s.NewLine(w).Put(Faint, s.clock(e.At)+"  ").Put(Plain, e.Reason.String()).String())
		}
	}
	if !past.Answer.IsEmpty() {
		f.gap()
		f.head("its last answer")
		f.text(Plain, past.Answer.String())
	}
}
