package views

import (
	"strings"
	"time"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// Console is what the reader did: which pane has the focus, and how far each was opened. It is a value.
type Console struct {
	Focus  Pane
	Zoomed bool
	// Paths are the levels opened in each pane; the first is the pane's own list and always there.
	Paths [PaneCount][]Level
}

// NewConsole is how a console begins.
func NewConsole() Console {
	var c Console
	for p := range c.Paths {
		c.Paths[p] = []Level{{}}
	}
	return c
}

// Chrome is what stands around the panes.
type Chrome struct {
	Title          string  // in place of the world's name, if there is no snapshot yet
	BytesPerSecond float64 // to this terminal
	ReadOnly       bool
	// Hints are the keys worth knowing on the page in focus.
	Hints        func(*Page) []Hint
	Flash        string // an answer to the last command, in place of the hints
	FlashStyle   Style
	Prompt       *Prompt
	Overlay      []string // rows of a window over the panes, all of one width; nil: none
	OverlayWidth int
}

// Hint is one key and what it does now.
type Hint struct {
	Key, Text string
	Help      string // Text in full
	Keep      bool   // it is shown even where not all have room
}

// Prompt is a line being typed in the last row.
type Prompt struct {
	Sign  string // what stands before it
	Text  string
	At    int    // the cursor, in runes
	Ghost string // the rest of the likely completion
	Help  string // at the right
}

// Screen is a drawn screen.
type Screen struct {
	Lines  []string
	Layout Layout
	Panes  [PaneCount]Drawn
	Pages  [PaneCount]Page
	// Bodies are where the panes' contents stand, within their frames.
	Bodies [PaneCount]Rect
}

// String is the screen's rows, joined.
func (s *Screen) String() string { return strings.Join(s.Lines, "\n") }

// Draw draws a whole screen of w by h cells. It is pure.
func (s *Scene) Draw(w, h int, c Console, chrome Chrome) Screen {
	zoom := NoPane
	if c.Zoomed {
		zoom = c.Focus
	}
	out := Screen{Layout: Arrange(w, h, zoom)}
	if out.Layout.TooSmall {
		out.Lines = s.tooSmall(w, h)
		return out
	}
	out.Lines = make([]string, 0, h)
	out.Lines = append(out.Lines, s.status(w, chrome))
	var framed [PaneCount][]string
	for p, r := range out.Layout.Panes {
		if r.W == 0 {
			continue
		}
		framed[p] = s.pane(Pane(p), r, c, &out)
	}
	switch {
	case zoom != NoPane:
		out.Lines = append(out.Lines, framed[zoom]...)
	default:
		for _, pair := range [2][2]Pane{{Throughput, EdgeNodes}, {Predictions, Contracts}} {
			for i, row := range framed[pair[0]] {
				out.Lines = append(out.Lines, row+framed[pair[1]][i])
			}
		}
		out.Lines = append(out.Lines, framed[Events]...)
	}
	out.Lines = append(out.Lines, s.foot(w, chrome, &out.Pages[c.Focus]))
	if chrome.Overlay != nil {
		s.overlay(out.Lines, w, chrome)
	}
	return out
}

// pane draws one pane in its frame, and notes what was drawn.
func (s *Scene) pane(p Pane, r Rect, c Console, out *Screen) []string {
	w, h := inner(r, out.Layout.Compact)
	body := Rect{r.X + 2, r.Y + 1, w, h}
	if out.Layout.Compact {
		body.X = r.X + 1
	}
	out.Bodies[p] = body
	focused := c.Focus == p
	path := c.Paths[p]
	if !c.Zoomed { // the overview shows the pane's list, however far it was opened before
		path = path[:1:1]
		path = []Level{path[0]}
		path[0].Section = 0
	}
	note := s.failure(p, w)
	page := s.Page(p, path, w, h-len(note), c.Zoomed)
	level := path[len(path)-1]
	if c.Zoomed {
		note = append(note, s.crumbs(p, &page, level, w)...)
	}
	page.Head = append(note, page.Head...)
	d := page.Draw(s.Theme, level, w, h, focused)
	if !c.Zoomed {
		d.Level.Section = c.Paths[p][0].Section
	}
	out.Panes[p], out.Pages[p] = d, page
	title := page.Title
	if level.Filter != "" {
		passed := len(d.Keys)
		if d.Places != nil {
			passed = d.Places.Passed
		}
		title = append([]Seg{{Accent, "/" + level.Filter + " " + count(passed) + " of " + count(d.Total)}}, title...)
	}
	if seg, ok := s.trust(p); ok {
		title = append([]Seg{seg}, title...)
	}
	position := ""
	rows := len(d.Keys)
	if page.Table.Text != nil {
		rows = d.Total
	}
	if d.Places != nil {
		rows = d.Places.Rows
	}
	if d.Shown > 0 && rows > d.Shown {
		position = count(d.Level.Offset+1) + "–" + count(d.Level.Offset+d.Shown) + " of " + count(rows)
	}
	return s.Theme.frame(p, out.Layout, focused, title, d.Lines, position)
}

// Page is what one level of a pane shows in w by h cells.
func (s *Scene) Page(p Pane, path []Level, w, h int, zoomed bool) Page {
	if s.Snap == nil {
		return Page{Empty: "Starting: the engines have not reported yet."}
	}
	switch p {
	case Throughput:
		return s.throughput(path, w, h, zoomed)
	case EdgeNodes:
		return s.edgeNodes(path, w, h, zoomed)
	case Predictions:
		return s.predictions(path, w, h, zoomed)
	case Contracts:
		return s.contracts(path, w, h, zoomed)
	default:
		return s.events(path, w, zoomed)
	}
}

// trust warns, in a pane's title, of figures that are not of this moment.
func (s *Scene) trust(p Pane) (Seg, bool) {
	x := s.Snap
	if x == nil {
		return Seg{}, false
	}
	var name string
	var at time.Time
	switch {
	case (p == Throughput || p == Predictions) && x.Pipeline != nil:
		name, at = "pipeline", x.Pipeline.At
	case p == EdgeNodes && x.Edge != nil:
		name, at = "edge", x.Edge.At
	case p == Contracts && x.Mesh != nil:
		name, at = "mesh", x.Mesh.At
	default:
		return Seg{}, false
	}
	if s.failed(name) != nil {
		return Seg{Bad, s.Theme.Glyphs.Trouble + " engine failed"}, true
	}
	if age := s.moment().Sub(at); !at.IsZero() && age > 2*max(x.Tick, time.Second) {
		return Seg{Warn, s.Theme.Glyphs.Watch + " age " + brief(age)}, true
	}
	return Seg{}, false
}

// failed is the engine of that name if it does not run, else nil.
func (s *Scene) failed(name string) *timeline.Engine {
	for i := range s.Snap.Engines {
		if e := &s.Snap.Engines[i]; e.Name == name && e.State == timeline.EngineFailed {
			return e
		}
	}
	return nil
}

// failure is why a pane's engine does not run, on at most three rows.
func (s *Scene) failure(p Pane, w int) []string {
	if s.Snap == nil {
		return nil
	}
	name, known := map[Pane]string{Throughput: "pipeline", EdgeNodes: "edge", Contracts: "mesh"}[p]
	e := s.failed(name)
	if !known || e == nil {
		return nil
	}
	text := or(e.Error.String(), "the engine failed")
	if wait := e.RetryAt.Sub(s.Snap.At); wait > 0 {
		text += "; restarts in " + span(wait+time.Second-1)
	}
	var rows []string
	for i, line := range s.Theme.wrap(text, w-2) {
		if i == 3 {
			break
		}
		l := s.NewLine(w)
		if i == 0 {
			l.Put(Bad, s.Theme.Glyphs.Trouble)
		}
		rows = append(rows, l.To(2).Put(Plain, line).String())
	}
	return rows
}

// moment is the instant ages are measured at: now when live, the snapshot's own when held.
func (s *Scene) moment() time.Time {
	if s.Live && s.Now.After(s.Snap.At) {
		return s.Now
	}
	return s.Snap.At
}

// crumbs is the row that says where in a zoomed pane one is: the way, or the sections to choose from.
func (s *Scene) crumbs(p Pane, page *Page, level Level, w int) []string {
	if len(page.Crumbs) == 0 && len(page.Sections) == 0 {
		return nil
	}
	l := s.NewLine(w)
	if len(page.Crumbs) > 0 {
		l.Put(Faint, p.String())
		for _, c := range page.Crumbs {
			l.Put(Faint, " "+s.Theme.Glyphs.Arrow+" ").Put(Strong, s.Theme.clipMiddle(c, max(w/2, 20)))
		}
		if len(page.Sections) > 0 {
			l.Space(4)
		}
	}
	for i, name := range page.Sections {
		if i > 0 {
			l.Space(1)
		}
		if i == level.Section {
			l.Put(Badge, " "+name+" ")
		} else {
			l.Put(Faint, " "+name+" ")
		}
	}
	return []string{l.String(), s.NewLine(w).String()}
}

// status is the first row: which world, which moment, what is wrong, and what this terminal costs.
func (s *Scene) status(w int, chrome Chrome) string {
	t := s.Theme
	l := t.NewLine(w)
	l.Space(1).Put(Badge, " weir ").Space(1)
	mode := ""
	if chrome.ReadOnly {
		mode = "read only "
	}
	right := mode
	if chrome.BytesPerSecond >= 0 {
		right = strings.TrimLeft(mode+" ", " ") + TrafficText(chrome.BytesPerSecond) + " "
	}
	x := s.Snap
	if x == nil {
		if chrome.Title != "" {
			l.Put(Plain, chrome.Title).Space(2)
		}
		l.Put(Faint, t.Glyphs.Unknown+" starting")
		return l.To(w-cells(right)).Put(Faint, right).String()
	}
	world, group := x.World.String(), x.Group.String()
	if world != "" {
		l.Put(Plain, t.clipMiddle(world, 16))
	}
	if group != "" && (w >= 100 || world == "") {
		if world != "" {
			l.Put(Faint, " · ")
		}
		l.Put(Faint, "group ").Put(Plain, t.clipMiddle(group, 20))
	}
	l.Space(2)
	if w >= 100 {
		l.To(w * 22 / 100)
	}
	at := x.At
	switch {
	case s.Recording:
		l.Put(BadgeWarn, " REPLAY ").Space(1)
	case s.Live:
		l.Put(Good, t.Glyphs.Live+" ").Put(Strong, "LIVE").Space(1)
		at = s.Now
	default:
		// The figure is plain: it changes while nothing else does, and colours cost bytes.
		l.Put(BadgeWarn, " "+t.Glyphs.Held+" HELD ").Put(Plain, span(s.Held)).Space(2)
	}
	if s.EventTime {
		l.Put(Plain, s.clock(eventTime(x))).Put(Faint, " event")
	} else {
		l.Put(Plain, s.clock(at)).Put(Faint, " "+at.In(s.Zone).Format("MST"))
	}
	if s.Live && !s.Recording && w >= 100 {
		l.Put(Faint, "  age ").Put(Plain, fixed(max(s.Now.Sub(x.At).Seconds(), 0), 1)+"s")
	}
	if w >= 100 {
		l.To(max(l.w+2, w*56/100))
	} else {
		l.Space(2)
	}
	if w-l.w-cells(right)-2 < leastTrouble { // what is wrong matters more than what this terminal costs
		right = mode
	}
	room := w - l.w - 1
	if right != "" {
		room -= cells(right) + 1
	}
	list := Troubles(x)
	switch {
	case len(list) == 0 && unwatched(x):
		l.Put(Faint, t.Glyphs.Unknown+" "+t.clip("nothing is watched", room-2))
	case len(list) == 0 && settling(x):
		l.Put(Faint, t.Glyphs.Unknown+" "+t.clip("settling in", room-2))
	case len(list) == 0:
		l.Put(Good, t.Glyphs.Recovered+" ").Put(Faint, t.clip("all is well", room-2))
	default:
		more := ""
		if n := len(list) - 1; n > 0 {
			more = " +" + count(n)
		}
		style, sign := Warn, t.Glyphs.Watch
		if list[0].Severity == event.Critical {
			style, sign = Bad, t.Glyphs.Trouble
		}
		l.Put(style, sign+" "+t.clip(t.fold(list[0].Text), room-2-cells(more))).Put(Faint, more)
	}
	return l.To(w-cells(right)).Put(Faint, right).String()
}

// leastTrouble is how many cells say what is wrong, before the first row tells of anything that matters less.
const leastTrouble = 24

// TrafficText is what is written to a terminal a second. What a clock costs is as good as nothing, and reads so.
func TrafficText(bytesPerSecond float64) string {
	if bytesPerSecond >= 0 && bytesPerSecond < 100 {
		return "<0.1 KB/s"
	}
	return bytesText(bytesPerSecond) + "/s"
}

// unwatched tells whether no engine is configured that could find anything wrong, or well.
func unwatched(x *timeline.Snapshot) bool { return x.Pipeline == nil && x.Edge == nil && x.Mesh == nil }

// settling tells whether an engine has not seen its world yet: then nothing is known to be wrong, nor to be well.
func settling(x *timeline.Snapshot) bool {
	p := x.Pipeline
	return p != nil && (p.State == pipeline.Starting || p.State == pipeline.Stopped && !x.PipelineStopped()) || x.Edge != nil && x.Edge.ByState[edge.Unknown] > 0 ||
		x.Edge != nil && x.Edge.Nodes == 0
}

// eventTime is the newest timestamp the stream itself carried.
func eventTime(x *timeline.Snapshot) time.Time {
	var at time.Time
	if x.Pipeline != nil {
		for i := range x.Pipeline.Partitions {
			if t := x.Pipeline.Partitions[i].LastRecord; t.After(at) {
				at = t
			}
		}
	}
	return at
}

// foot is the last row: a prompt, an answer, or the keys.
func (s *Scene) foot(w int, chrome Chrome, page *Page) string {
	t := s.Theme
	l := t.NewLine(w)
	l.Space(1)
	switch {
	case chrome.Prompt != nil:
		p := chrome.Prompt
		l.Put(Accent, p.Sign)
		runes := []rune(p.Text)
		at := min(max(p.At, 0), len(runes))
		if room := w - l.w - 8; at > room { // long texts scroll
			runes, at = runes[at-room:], room
		}
		l.Put(Plain, string(runes[:at]))
		switch {
		case at < len(runes):
			l.Put(Badge, string(runes[at])).Put(Plain, string(runes[at+1:]))
		case p.Ghost != "":
			ghost := []rune(p.Ghost)
			l.Put(Badge, string(ghost[0])).Put(Faint, string(ghost[1:]))
		default:
			l.Put(Badge, " ")
		}
		if help := t.clip(t.fold(p.Help), max(w-l.w-4, 0)); help != "" {
			l.To(w-cells(help)-1).Put(Faint, help)
		}
	case chrome.Flash != "":
		l.Put(chrome.FlashStyle, chrome.Flash)
	case chrome.Hints != nil:
		hints := chrome.Hints(page)
		kept, full := 0, false // cells that those to be kept will take
		for _, h := range hints {
			if h.Keep {
				kept += t.hintCells(h)
			}
		}
		for i, h := range hints {
			n := t.hintCells(h)
			if h.Keep {
				kept -= n
			}
			if full = full || l.Left() < n+kept; full && !h.Keep {
				continue
			}
			if i > 0 {
				l.Space(2)
			}
			l.Put(Accent, h.Key).Space(1).Put(Faint, h.Text)
		}
	}
	return l.String()
}

// hintCells is how much of the last row a hint takes.
func (t *Theme) hintCells(h Hint) int { return 2 + cells(t.fold(h.Key)) + 1 + cells(h.Text) }

func (s *Scene) tooSmall(w, h int) []string {
	rows := make([]string, 0, h)
	for range (h - 1) / 2 {
		rows = append(rows, strings.Repeat(" ", max(w, 0)))
	}
	text := "weir needs 60x16, this terminal is " + digits(int64(w)) + "x" + digits(int64(h))
	if w < cells(text) {
		text = "needs 60x16, is " + digits(int64(w)) + "x" + digits(int64(h))
	}
	l := s.NewLine(w)
	l.Space((w-cells(text))/2).Put(Plain, text)
	rows = append(rows, l.String())
	for len(rows) < h {
		rows = append(rows, strings.Repeat(" ", max(w, 0)))
	}
	return rows[:max(h, 0)]
}

// overlay lays a window over the middle of the screen.
func (s *Scene) overlay(rows []string, w int, chrome Chrome) {
	x := max((w-chrome.OverlayWidth)/2, 0)
	y := max((len(rows)-len(chrome.Overlay))/2, 1)
	for i, row := range chrome.Overlay {
		if y+i >= len(rows)-1 {
			break
		}
		rows[y+i] = over(rows[y+i], row, x, chrome.OverlayWidth, w)
	}
}
