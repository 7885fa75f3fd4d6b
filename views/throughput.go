package views

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// The sections of the throughput pane after its partitions.
const (
	groupSection = 1 + iota
	deadSection
	modelSection
)

// throughput is the first pane: how much flows, how fast, and what lies behind.
func (s *Scene) throughput(path []Level, w, h int, zoomed bool) Page {
	p := s.Snap.Pipeline
	if p == nil {
		return Page{Empty: "The pipeline is not configured. Add a pipeline section to weir.yaml to consume and score events."}
	}
	page := Page{Title: s.throughputTitle(p)}
	if !zoomed {
		page.Head = s.flow(p, w, h)
		return page
	}
	page.Sections = []string{"Partitions", "Whole group", "Dead letters", "Features and model", "Host"}
	if len(path) > 1 {
		return s.throughputDetail(page, path, w, h)
	}
	charts := min(max(h*2/5, 6), 16)
	if p.State == pipeline.Waiting { // it says on up to three rows for what
		charts += 3
	}
	if path[0].Section >= deadSection { // lists and texts need the room
		charts = 2
	}
	page.Head = append(s.flow(p, w, charts), s.NewLine(w).String())
	switch path[0].Section {
	case 0:
		page.Table, page.Opens, page.Opened = s.partitions(p), true, "partition"
		page.Empty = "No partition of " + p.Events.String() + " is assigned to this process yet."
	case groupSection:
		page.Table = s.group(p)
		page.Empty = "The broker has not reported the group's offsets yet."
	case deadSection:
		page = s.browse(page, -1, path[0], w)
	case modelSection:
		page.Table.Text = s.storeAndModel(p, w)
	default:
		page.Table.Text = s.hostFacts(w)
	}
	return page
}

func (s *Scene) throughputTitle(p *pipeline.Snapshot) []Seg {
	switch p.State {
	case pipeline.Running:
		return []Seg{{Faint, p.Events.String() + " → " + p.Predictions.String()}}
	case pipeline.Waiting:
		return []Seg{{Bad, s.Theme.Glyphs.Trouble + " waiting " + span(s.Snap.At.Sub(p.Since))}}
	case pipeline.Paused:
		return []Seg{{Warn, s.Theme.Glyphs.Held + " paused " + span(s.Snap.At.Sub(p.Since))}}
	}
	return []Seg{{Warn, s.Theme.Glyphs.Unknown + " " + string(p.State)}}
}

// flow is the figures and charts that fit into w by h.
func (s *Scene) flow(p *pipeline.Snapshot, w, h int) []string {
	l := s.NewLine(w)
	flowing := rate(p.EventsPerSecond)
	if !measured(s.Snap) {
		flowing = "–"
	}
	l.Field(Strong, flowing, 7, true).Put(Faint, " ev/s")
	gap := 3
	if w < 44 {
		gap = 2
	}
	if l.Left() >= 2*(gap+10) {
		l.Space(gap).Put(Faint, "p50 ").Field(Plain, latency(p.EndToEnd, p.EndToEnd.P50), 6, true)
	}
	l.Space(gap).Put(Faint, "p99 ").Field(Strong, latency(p.EndToEnd, p.EndToEnd.P99), 6, true)
	if w >= 74 {
		l.Space(gap).Put(Faint, "in weir p99 ").Field(Plain, latency(p.Processing, p.Processing.P99), 6, true)
	}
	rows := []string{l.String(), s.lagLine(p, w)}
	if p.State == pipeline.Waiting {
		for i, line := range s.Theme.wrap("waiting: "+p.Waiting.String(), w-2) {
			if i == 3 {
				break
			}
			rows = append(rows, s.NewLine(w).Space(2).Put(Bad, line).String())
		}
	}
	if len(s.Past) > 0 && !slices.ContainsFunc(s.Past, measured) {
		return rows // a chart of nothing would look like a chart of zero
	}
	left := h - len(rows)
	rateOf := func(x *timeline.Snapshot) float64 {
		if !measured(x) {
			return math.NaN()
		}
		return x.Pipeline.EventsPerSecond
	}
	p99Of := func(x *timeline.Snapshot) float64 {
		if x.Pipeline == nil || x.Pipeline.EndToEnd.Count == 0 {
			return math.NaN()
		}
		return x.Pipeline.EndToEnd.P99
	}
	lagOf := func(x *timeline.Snapshot) float64 {
		if !measured(x) || len(x.Pipeline.Partitions) == 0 {
			return math.NaN()
		}
		return float64(x.Pipeline.Lag)
	}
	switch {
	case left < 3:
		return rows
	case w >= 150:
		third := (w - 4) / 3
		a := s.chart("ev/s", false, third, left, short, rateOf)
		b := s.chart("p99", true, third, left, axisMillis, p99Of)
		c := s.chart("lag", true, w-4-2*third, left, short, lagOf)
		for i := range a {
			rows = append(rows, a[i]+"  "+b[i]+"  "+c[i])
		}
	case w >= 84:
		half := (w - 2) / 2
		a := s.chart("ev/s", false, half, left, short, rateOf)
		b := s.chart("p99", true, w-2-half, left, axisMillis, p99Of)
		for i := range a {
			rows = append(rows, a[i]+"  "+b[i])
		}
	case left >= 13:
		rows = append(rows, s.chart("ev/s", false, w, left-left/2, short, rateOf)...)
		rows = append(rows, s.chart("p99", true, w, left/2, axisMillis, p99Of)...)
	default:
		rows = append(rows, s.chart("ev/s", false, w, left, short, rateOf)...)
	}
	return rows
}

// measured tells whether a snapshot's rate is one: the pipeline runs, and has taken part in its group.
func measured(x *timeline.Snapshot) bool {
	p := x.Pipeline
	if p == nil {
		return false
	}
	switch p.State {
	case pipeline.Running, pipeline.Paused, pipeline.Draining:
	case pipeline.Waiting:
		if p.Consumed == 0 {
			return false
		}
	default:
		return false
	}
	for i := range x.Engines {
		if x.Engines[i].Name == "pipeline" && x.Engines[i].State == timeline.EngineFailed {
			return false
		}
	}
	return true
}

func latency(q pipeline.Quantiles, v float64) string {
	if q.Count == 0 {
		return "–"
	}
	return millis(v)
}

func axisMillis(ms float64) string {
	if ms >= 1000 {
		return short(ms/1000) + "s"
	}
	return short(ms) + "ms"
}

func (s *Scene) lagLine(p *pipeline.Snapshot, w int) string {
	l := s.NewLine(w)
	lag := count(p.Lag)
	if !measured(s.Snap) || len(p.Partitions) == 0 {
		lag = "–"
	}
	l.Field(Strong, lag, 7, true).Put(Faint, " lag")
	if w < 44 {
		l.To(14)
	} else {
		l.To(15)
	}
	style, sign, words := s.drain(p)
	l.Put(style, sign+" "+words)
	if p.DeadLettered > 0 && l.Left() >= 18 {
		l.Space(3).Put(Warn, count(p.DeadLettered)).Put(Faint, " dead letters")
	}
	return l.String()
}

// drain says where the lag is going, from its course over the last ten seconds or so.
func (s *Scene) drain(p *pipeline.Snapshot) (style Style, sign, words string) {
	g := s.Theme.Glyphs
	switch {
	case s.failed("pipeline") != nil:
		return Faint, g.Unknown, "unknown while the engine is down"
	case len(p.Partitions) == 0 && p.State == pipeline.Starting:
		return Faint, g.Unknown, "joining the group"
	case len(p.Partitions) == 0 || !measured(s.Snap):
		return Faint, g.Unknown, "no partition assigned"
	}
	slope := math.NaN()
	for i := len(s.Past) - 2; i >= 0; i-- {
		before := s.Past[i]
		if before.Pipeline == nil || s.Snap.At.Sub(before.At) > 15*time.Second {
			break
		}
		if dt := s.Snap.At.Sub(before.At).Seconds(); dt > 0 {
			slope = float64(p.Lag-before.Pipeline.Lag) / dt
		}
	}
	// Lag of less than two seconds of flow is the batches under way, not a backlog.
	normal := float64(p.Lag) <= max(2*p.EventsPerSecond, 100)
	switch {
	case normal:
		return Faint, g.Recovered, "keeps up"
	case math.IsNaN(slope) || math.Abs(slope) < max(1, 0.005*float64(p.Lag)):
		return Warn, g.Flat, "does not fall"
	case slope < 0:
		drains := p.DrainsIn
		if drains <= 0 {
			drains = time.Duration(float64(p.Lag) / -slope * float64(time.Second))
		}
		return Warn, g.Down, "drains in " + span(drains)
	}
	return Bad, g.Up, "grows by " + short(slope) + "/s"
}

// chart is a titled chart over the past: w by h cells, an axis at its left.
func (s *Scene) chart(name string, peak bool, w, h int, label func(float64) string, value func(*timeline.Snapshot) float64) []string {
	const axis = 5
	t := s.Theme
	cols := w - axis - 1
	if cols < 8 || h < 2 {
		return blankRows(w, h)
	}
	bucket := bucketFor(s.Past, 2*cols, s.Span)
	values := buckets(s.Past, 2*cols, bucket, peak, value)
	plotted := h
	if h >= 5 {
		plotted-- // the time axis
	}
	top := niceTop(peakOf(values))
	p := plot{theme: t, w: cols, h: plotted, values: values, top: top}
	out := make([]string, 0, h)
	for y := range plotted {
		l := t.NewLine(w)
		switch y {
		case 0:
			l.Field(Faint, label(top), axis, true).Put(Border, t.Glyphs.Box.TickL)
		case plotted - 1:
			l.Field(Faint, "0", axis, true).Put(Border, t.Glyphs.Box.TickL)
		case plotted / 2:
			l.Field(Faint, name, axis, true).Put(Border, t.Glyphs.Box.V)
		default:
			l.Space(axis).Put(Border, t.Glyphs.Box.V)
		}
		p.row(l, y)
		out = append(out, l.String())
	}
	if plotted < h {
		l := t.NewLine(w)
		l.Space(axis+1).Put(Faint, span(bucket*time.Duration(2*cols))+" ago")
		if s.Live {
			l.To(w-3).Put(Faint, "now")
		} else {
			l.To(w-8).Put(Faint, s.clock(s.Snap.At))
		}
		out = append(out, l.String())
	}
	return out
}

func blankRows(w, h int) []string {
	rows := make([]string, max(h, 0))
	for i := range rows {
		rows[i] = strings.Repeat(" ", w)
	}
	return rows
}

var verdictRank = map[pipeline.Verdict]int{
	pipeline.VerdictStop: 0, pipeline.VerdictStall: 1, pipeline.VerdictRewind: 2, pipeline.VerdictWarn: 3, pipeline.VerdictOK: 4,
}

// rankOf takes a partition without a verdict yet for a good one.
func rankOf(v pipeline.Verdict) int {
	if r, known := verdictRank[v]; known {
		return r
	}
	return verdictRank[pipeline.VerdictOK]
}

func (s *Scene) verdict(v pipeline.Verdict) (Style, string) {
	g := s.Theme.Glyphs
	switch v {
	case pipeline.VerdictOK:
		return Good, g.OK
	case pipeline.VerdictWarn:
		return Warn, g.Watch
	case "":
		return Faint, g.Unknown
	}
	return Bad, g.Trouble
}

func (s *Scene) partitions(p *pipeline.Snapshot) Table {
	rows := slices.Clone(p.Partitions)
	slices.SortStableFunc(rows, func(a, b pipeline.Partition) int { // the worst first
		return cmp.Or(cmp.Compare(rankOf(a.Verdict), rankOf(b.Verdict)), cmp.Compare(a.Partition, b.Partition))
	})
	return Table{
		Rows: len(rows),
		Key:  func(i int) string { return strconv.Itoa(int(rows[i].Partition)) },
		Columns: []Column{
			{Width: 1, Cell: func(i int) (Style, string) { return s.verdict(rows[i].Verdict) }},
			{Title: "PARTITION", Width: 9, Cell: func(i int) (Style, string) {
				return Plain, "p" + strconv.Itoa(int(rows[i].Partition))
			}, Less: func(a, b int) bool { return rows[a].Partition < rows[b].Partition }},
			{Title: "VERDICT", Width: 7, Cell: func(i int) (Style, string) {
				style, _ := s.verdict(rows[i].Verdict)
				return style, string(rows[i].Verdict)
			}, Less: func(a, b int) bool { return rankOf(rows[a].Verdict) < rankOf(rows[b].Verdict) }},
			{Title: "LAG", Width: 10, Right: true, Cell: func(i int) (Style, string) { return Strong, count(rows[i].Lag) },
				Less: func(a, b int) bool { return rows[a].Lag > rows[b].Lag }},
			{Title: "EV/S", Width: 8, Right: true, Cell: func(i int) (Style, string) { return Plain, rate(rows[i].EventsPerSecond) },
				Less: func(a, b int) bool { return rows[a].EventsPerSecond > rows[b].EventsPerSecond }},
			{Title: "OFFSET", Width: 14, Right: true, Rank: 1, Cell: func(i int) (Style, string) { return Plain, digits(rows[i].Offset) },
				Less: func(a, b int) bool { return rows[a].Offset > rows[b].Offset }},
			{Title: "HIGH WATERMARK", Width: 14, Right: true, Rank: 2, Cell: func(i int) (Style, string) { return Plain, digits(rows[i].HighWatermark) },
				Less: func(a, b int) bool { return rows[a].HighWatermark > rows[b].HighWatermark }},
			{Title: "LAST RECORD", Width: 11, Right: true, Rank: 3, Cell: func(i int) (Style, string) {
				if rows[i].LastRecord.IsZero() {
					return Faint, "–"
				}
				return Faint, brief(s.Snap.At.Sub(rows[i].LastRecord)) + " ago"
			}, Less: func(a, b int) bool { return rows[a].LastRecord.After(rows[b].LastRecord) }},
			{Title: "LAG OVER TIME", Width: 13, Grow: 1, Most: 60, Rank: 4, Tail: true, Cell: func(i int) (Style, string) {
				return Chart, s.spark(60, func(x *timeline.Snapshot) float64 { return partitionLag(x, rows[i].Partition) })
			}},
		},
	}
}

func partitionLag(x *timeline.Snapshot, id int32) float64 {
	if x.Pipeline == nil {
		return math.NaN()
	}
	for i := range x.Pipeline.Partitions {
		if x.Pipeline.Partitions[i].Partition == id {
			return float64(x.Pipeline.Partitions[i].Lag)
		}
	}
	return math.NaN()
}

// group is every partition of the topic as the broker sees it, whoever of the group consumes it.
func (s *Scene) group(p *pipeline.Snapshot) Table {
	rows := p.All
	return Table{
		Rows: len(rows),
		Key:  func(i int) string { return strconv.Itoa(int(rows[i].Partition)) },
		Columns: []Column{
			{Title: "PARTITION", Width: 9, Cell: func(i int) (Style, string) { return Plain, "p" + strconv.Itoa(int(rows[i].Partition)) },
				Less: func(a, b int) bool { return rows[a].Partition < rows[b].Partition }},
			{Title: "CONSUMER", Width: 12, Cell: func(i int) (Style, string) { return Faint, tell(rows[i].Mine, "this process", "another") }},
			{Title: "LAG", Width: 10, Right: true, Cell: func(i int) (Style, string) { return Strong, count(rows[i].Lag) },
				Less: func(a, b int) bool { return rows[a].Lag > rows[b].Lag }},
			{Title: "ARRIVING/S", Width: 10, Right: true, Cell: func(i int) (Style, string) { return Plain, rate(rows[i].ArrivingPerSecond) },
				Less: func(a, b int) bool { return rows[a].ArrivingPerSecond > rows[b].ArrivingPerSecond }},
			{Title: "COMMITTED/S", Width: 11, Right: true, Cell: func(i int) (Style, string) { return Plain, rate(rows[i].CommittedPerSecond) },
				Less: func(a, b int) bool { return rows[a].CommittedPerSecond > rows[b].CommittedPerSecond }},
			{Title: "COMMITTED", Width: 14, Right: true, Rank: 1, Cell: func(i int) (Style, string) {
				if rows[i].Committed < 0 {
					return Faint, "–"
				}
				return Plain, digits(rows[i].Committed)
			}},
			{Title: "HIGH WATERMARK", Width: 14, Right: true, Rank: 2, Cell: func(i int) (Style, string) { return Plain, digits(rows[i].HighWatermark) }},
		},
	}
}

// digits writes offsets: whole, because people search for them.
func digits(n int64) string { return strconv.FormatInt(n, 10) }

func (s *Scene) deadLetters(p *pipeline.Snapshot, keep func(*pipeline.DeadLetter) bool) Table {
	rows := make([]*pipeline.DeadLetter, 0, len(p.Dead))
	for i := range p.Dead {
		if keep == nil || keep(&p.Dead[i]) {
			rows = append(rows, &p.Dead[i])
		}
	}
	return Table{
		Rows: len(rows),
		Key:  func(i int) string { return place(rows[i].Partition, rows[i].Offset) },
		Columns: []Column{
			{Width: 1, Cell: func(int) (Style, string) { return Warn, s.Theme.Glyphs.Watch }},
			{Title: "TIME", Width: 8, Cell: func(i int) (Style, string) { return Faint, s.clock(rows[i].At) },
				Less: func(a, b int) bool { return rows[a].At.After(rows[b].At) }},
			{Title: "STAGE", Width: 8, Cell: func(i int) (Style, string) { return Plain, rows[i].Stage }},
			{Title: "WHERE", Width: 14, Cell: func(i int) (Style, string) { return Plain, place(rows[i].Partition, rows[i].Offset) },
				Less: func(a, b int) bool {
					return rows[a].Partition < rows[b].Partition || rows[a].Partition == rows[b].Partition && rows[a].Offset < rows[b].Offset
				}},
			{Title: "REASON", Width: 20, Grow: 2, Cell: func(i int) (Style, string) { return Plain, rows[i].Reason.String() }},
			{Title: "SIZE", Width: 7, Right: true, Rank: 2, Cell: func(i int) (Style, string) { return Faint, bytesText(float64(rows[i].Size)) },
				Less: func(a, b int) bool { return rows[a].Size > rows[b].Size }},
			{Title: "RECORD", Width: 20, Grow: 3, Rank: 1, Cell: func(i int) (Style, string) { return Faint, rows[i].Sample.String() }},
		},
	}
}

// place names a record as kcat takes it: partition/offset.
func place(partition int32, offset int64) string {
	if partition < 0 {
		return "row " + digits(offset)
	}
	return strconv.Itoa(int(partition)) + "/" + digits(offset)
}
