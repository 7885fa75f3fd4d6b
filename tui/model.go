// Package tui is the console: it turns keys into intents, intents into a state, and lets the views draw it.
package tui

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"weir/backend"
	"weir/backend/timeline"
	"weir/config"
	"weir/views"
)

// Runtime is what the console needs of the engines: a road of snapshots to look at, and commands to give.
type Runtime interface {
	Timeline() *timeline.Timeline
	Commands() []backend.CommandSpec
	Do(ctx context.Context, c backend.Command) (string, error)
	// Subscribe announces ticks: a snapshot was appended. The channel holds one, slow readers miss some.
	Subscribe() (ticks <-chan struct{}, cancel func())
}

// Options say how a console looks and what it may do.
type Options struct {
	Console config.Console
	Title   string // named in the status bar before the first snapshot
	Who     string // recorded with commands
	ASCII   bool   // no byte beyond ASCII
	Slow    bool   // draw every second tick only
	Linear  bool   // write line by line instead of drawing
	LogPath string // named when the console ends by a panic
	// Remote is a console of somebody on another machine: it writes no files here.
	Remote bool
	// Recording tells that the timeline is a recording: it has an end and no present.
	Recording bool
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// Model is the console's state as Bubble Tea runs it. It belongs to one goroutine.
type Model struct {
	ctx     context.Context
	rt      Runtime
	options Options
	keys    keymap
	now     func() time.Time
	link    *Link // nil in tests
	ticks   <-chan struct{}

	w, h     int
	profile  views.Profile
	dark     bool
	palettes []views.Palette
	palette  string // "auto" or a palette's name
	worn     string // the palette to go back to after a preview; empty: none is shown
	theme    *views.Theme

	cursor  timeline.Cursor
	console views.Console
	span    time.Duration
	zone    zone
	noMouse bool

	prompt  *prompt
	asking  *question // a command that waits for its confirmation
	helping int       // 0: no help; else 1 + the row it is scrolled to
	flash   flash
	history [2][]string // of commands and filters

	screen   views.Screen
	frame    string
	dirty    bool
	lastTick time.Time
	alarm    *time.Timer // goes off when something on the screen is to change though nothing comes
	ticked   int
	clicked  views.Pane // where the last click was, for the second
	traffic  traffic
	watched  time.Time // when what is open was last asked for
	asked    string    // what was
	crash    string    // what a panic said, with its stack
	aged     string    // how long ago the moment on a held screen was, and what is written, as last drawn
}

// flash is an answer shown for a while in place of the hints.
type flash struct {
	text  string
	style views.Style
	until time.Time
}

type (
	tickMsg  struct{} // the runtime appended a snapshot
	clockMsg struct{} // something is over, or no snapshot comes
	freeMsg  struct{} // the link to the terminal is free again
	lookMsg  struct{} // a page was opened and drawn: what it shows may be asked for
	lostMsg  struct{ err error }
	saidMsg  struct { // a command was carried out
		text string
		err  error
	}
)

// New makes a console over a runtime. profile is what the terminal can do.
func New(ctx context.Context, rt Runtime, o Options, profile views.Profile) (*Model, error) {
	keys, err := newKeymap(o.Console.Keys)
	if err != nil {
		return nil, err
	}
	m := &Model{ctx: ctx, rt: rt, options: o, keys: keys, now: o.Now, profile: profile, dark: true,
		palettes: views.Palettes, palette: "auto", cursor: timeline.NewCursor(rt.Timeline()),
		console: views.NewConsole(), span: 5 * time.Minute, clicked: views.NoPane, dirty: true}
	if m.now == nil {
		m.now = time.Now
	}
	m.alarm = time.NewTimer(time.Hour)
	m.alarm.Stop()
	if o.Console.TimeZone == "utc" {
		m.zone = zoneUTC
	}
	if o.Console.Theme != "" {
		if err := m.setTheme(o.Console.Theme); err != nil {
			return nil, err
		}
	}
	m.dress()
	return m, nil
}

// Init waits for the first tick.
func (m *Model) Init() tea.Cmd {
	ticks, cancel := m.rt.Subscribe()
	m.ticks = ticks
	context.AfterFunc(m.ctx, cancel)
	return m.wait
}

// wait is all that wakes a console nobody touches: the runtime's ticks, and the alarm.
func (m *Model) wait() tea.Msg {
	ticks := m.ticks
	for {
		select {
		case _, ok := <-ticks:
			if ok {
				return tickMsg{}
			}
			ticks = nil // no more of them
		case <-m.alarm.C:
			return clockMsg{}
		case <-m.ctx.Done():
			return nil
		}
	}
}

// rearm sets the alarm: to the end of what is shown for a while, and to when a tick is overdue, for the ages must be seen
// to grow.
func (m *Model) rearm() {
	now, next := m.now(), time.Duration(math.MaxInt64)
	if m.flash.text != "" {
		next = m.flash.until.Sub(now)
	}
	if !m.options.Recording && !m.lastTick.IsZero() {
		next = min(next, m.overdue().Sub(now))
		if next <= 0 {
			next = time.Second // it is overdue: the ages grow by the second
		}
	}
	if next == math.MaxInt64 {
		m.alarm.Stop()
		return
	}
	m.alarm.Reset(max(next, 10*time.Millisecond))
}

// overdue is when the next tick should have come, with some patience.
func (m *Model) overdue() time.Time {
	return m.lastTick.Add(2*max(m.options.Console.Refresh, time.Second) + 500*time.Millisecond)
}

// Update handles one message. A panic ends the console in order: the terminal is restored, and Run tells what it was.
func (m *Model) Update(msg tea.Msg) (_ tea.Model, cmd tea.Cmd) {
	defer func() {
		if r := recover(); r != nil {
			m.crash, cmd = fmt.Sprintf("%v\n\n%s", r, debug.Stack()), tea.Quit
		}
	}()
	return m, m.update(msg)
}

func (m *Model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		if m.w != msg.Width || m.h != msg.Height {
			m.w, m.h, m.dirty = msg.Width, msg.Height, true
		}
	case tea.BackgroundColorMsg:
		if dark := msg.IsDark(); dark != m.dark {
			m.dark = dark
			m.dress()
		}
	case tickMsg:
		m.lastTick = m.now()
		m.ticked++
		m.traffic.sample(m.lastTick, m.link)
		m.expire()
		switch {
		case m.options.Slow && m.ticked%2 != 0:
		case m.cursor.Live():
			m.dirty = true
		default: // the panes stand still
			m.dirty = m.dirty || m.aging() != m.aged
		}
		m.rearm()
		return tea.Batch(m.wait, m.watch())
	case clockMsg:
		m.expire()
		if !m.options.Recording && m.now().After(m.overdue()) {
			m.dirty = true
		}
		m.rearm()
		return m.wait
	case freeMsg:
		// View draws now what it could not while the link was busy.
	case lookMsg:
		if m.screen.Pages[m.console.Focus].Ask != nil { // a node's polls may wait for the next tick
			return m.watch()
		}
	case lostMsg:
		return tea.Quit
	case saidMsg:
		if msg.err != nil {
			m.say(views.Bad, msg.err.Error())
		} else {
			m.say(views.Good, msg.text)
		}
		if m.screen.Pages[m.console.Focus].Ask != nil {
			m.asked = "" // what is shown may be another now
			return m.watch()
		}
	case tea.KeyPressMsg:
		return m.key(msg)
	case tea.PasteMsg:
		if m.prompt != nil {
			m.prompt.edit(msg)
			m.typed()
		}
	case tea.MouseClickMsg:
		return m.click(msg)
	case tea.MouseWheelMsg:
		m.wheel(msg)
	case tea.ResumeMsg:
		m.dirty = true
	}
	return nil
}

// View is the frame. It is drawn when something changed and the terminal has taken the last one.
func (m *Model) View() (view tea.View) {
	defer func() {
		if r := recover(); r != nil && m.crash == "" {
			m.crash = fmt.Sprintf("%v\n\n%s", r, debug.Stack())
		}
		view.Content = m.frame
		view.AltScreen = true
		view.WindowTitle = "weir"
		if !m.noMouse {
			view.MouseMode = tea.MouseModeCellMotion
		}
	}()
	if m.dirty && m.crash == "" && m.w > 0 && m.h > 0 && (m.link == nil || !m.link.Busy()) {
		m.draw()
	}
	return view
}

// How often what is open is asked for, so that the snapshots go on carrying it.
const (
	watchNodeEvery = 20 * time.Second
	watchPageEvery = 5 * time.Second
)

// watch keeps what is open in the snapshots, as long as it is open: the polls of a node, or what the page asks for.
func (m *Model) watch() tea.Cmd {
	if !m.console.Zoomed {
		return nil
	}
	page := &m.screen.Pages[m.console.Focus]
	every, ask := watchPageEvery, page.Ask
	if ask == nil && page.Node != "" {
		every, ask = watchNodeEvery, []string{"watch", page.Node}
	}
	if ask == nil {
		return nil
	}
	what := strings.Join(ask, " ")
	if what == m.asked && m.now().Sub(m.watched) < every {
		return nil
	}
	m.watched, m.asked = m.now(), what
	c := backend.Command{Name: ask[0], Args: ask[1:], Who: m.options.Who}
	return func() tea.Msg {
		_, _ = m.rt.Do(m.ctx, c) // a runtime without that command, or what is gone, is shown without it; errors come with the snapshots
		return nil
	}
}

// look is the message by which a page that was just opened asks for what it shows, once it is drawn.
func look() tea.Msg { return lookMsg{} }

func (m *Model) draw() {
	m.dirty = false
	if !m.cursor.Live() {
		m.aged = m.aging()
	}
	scene := m.scene()
	m.screen = scene.Draw(m.w, m.h, m.console, m.chrome(scene))
	m.frame = m.screen.String()
	for p := range m.console.Paths {
		if m.screen.Layout.Panes[p].W > 0 {
			m.level(views.Pane(p), m.screen.Panes[p].Level)
		}
	}
}

// level keeps what drawing found out about a pane's level: its offset and where its cursor is.
func (m *Model) level(p views.Pane, l views.Level) {
	path := m.console.Paths[p]
	if !m.console.Zoomed {
		path[0] = l
		return
	}
	path[len(path)-1] = l
}

// pastFor is how many snapshots charts can show.
func (m *Model) pastFor() int {
	tick := max(m.options.Console.Refresh, 100*time.Millisecond)
	return int(min(2*m.span/tick+2, timeline.Capacity))
}

func (m *Model) scene() *views.Scene {
	s := &views.Scene{Now: m.now(), Live: m.cursor.Live(), Held: m.cursor.Held(), Span: m.span, Theme: m.theme}
	if newest := m.rt.Timeline().Newest(); m.options.Recording && newest != nil {
		s.Recording, s.Now = true, newest.At
	}
	s.Past = m.cursor.Past(m.pastFor())
	if n := len(s.Past); n > 0 {
		s.Snap = s.Past[n-1]
	}
	s.Zone, s.EventTime = m.zone.location(), m.zone == zoneEvent
	s.Newest = m.rt.Timeline().Newest()
	if path := m.console.Paths[views.Events]; m.console.Zoomed && m.console.Focus == views.Events && len(path) > 1 {
		s.Before = m.before(path[1].Key)
	}
	return s
}

// before is the last snapshot before an event, nil where none is remembered.
func (m *Model) before(key string) *timeline.Snapshot {
	at, ok := views.EventAt(key)
	if !ok {
		return nil
	}
	if x := m.cursor.At(at.Add(-1)).Snapshot(); x != nil && x.At.Before(at) {
		return x
	}
	return nil
}

func (m *Model) chrome(s *views.Scene) views.Chrome {
	c := views.Chrome{Title: m.options.Title, BytesPerSecond: m.traffic.perSecond, ReadOnly: m.options.Console.ReadOnly,
		Flash: m.flash.text, FlashStyle: m.flash.style, Hints: m.hints}
	if m.prompt != nil {
		c.Prompt = m.promptView()
	}
	switch {
	case m.asking != nil:
		c.Overlay, c.OverlayWidth = s.Ask(m.w, m.asking.view(m))
	case m.helping > 0:
		c.Overlay, c.OverlayWidth, m.helping = s.Help(m.w, m.h, m.helpView(), m.helping)
	}
	return c
}

// hints are the keys most useful where the reader is.
func (m *Model) hints(page *views.Page) []views.Hint {
	if m.helping > 0 {
		return []views.Hint{{Key: "↑ ↓", Text: "scroll"}, {Key: "esc", Text: "close"}}
	}
	return m.useful(page)
}

// useful are the keys that do something on a page, each with what that is.
func (m *Model) useful(page *views.Page) []views.Hint {
	var out []views.Hint
	for _, b := range m.keys.table {
		hint, label, long := b.hint, b.label(), b.Help().Desc
		switch b.intent {
		case focusPane:
			if m.console.Zoomed {
				continue
			}
		case open:
			label = "enter"
			switch {
			case !m.console.Zoomed:
				hint, long = "zoom", "zoom the pane"
			case !page.Opens || page.Table.Rows == 0 && page.Moment == nil && page.Goto == nil:
				continue
			default:
				hint, long = page.Opened, "open: "+page.Opened
			}
		case back:
			label = "esc"
			if !m.console.Zoomed && m.focused().Filter == "" {
				continue
			}
		case sectionNext:
			if !m.console.Zoomed || len(page.Sections) == 0 {
				continue
			}
			label = "[ ]"
		case groupNext:
			if len(page.Groupings) < 2 {
				continue
			}
		case pollNode:
			if !m.offersNode(page) {
				continue
			}
		case holdNode:
			if !m.offersNode(page) || m.options.Console.ReadOnly {
				continue
			}
			hint = m.holdHint()
		case filterRows, sortRows:
			if b.intent == sortRows && page.Area != nil {
				continue
			}
			if page.Table.Rows == 0 && m.focused().Filter == "" {
				continue
			}
		case stepBack:
			label = "← →"
			if page.Area != nil {
				label, hint = "← → ↑ ↓", "cell"
			}
		case freeze:
			if !m.cursor.Live() {
				continue
			}
		case goLive:
			if m.cursor.Live() {
				continue
			}
		case markRow, markAll, replayRows:
			text := page.Table.Text != nil
			if !m.canReplay(page) || b.intent != replayRows && text || !text && page.Table.Rows == 0 {
				continue
			}
		case showIncidents:
			if m.console.Zoomed || views.Wrong(m.cursor.Snapshot()) == 0 {
				continue
			}
		case copyRow:
			if !m.console.Zoomed {
				continue
			}
		case quit:
			label = b.Keys()[0]
		}
		if hint != "" {
			out = append(out, views.Hint{Key: label, Text: hint, Help: long, Keep: b.intent == help || b.intent == replayRows})
		}
	}
	return out
}

// offersNode tells whether a page is about nodes, one of which is open or under the cursor.
func (m *Model) offersNode(page *views.Page) bool {
	return page.Node != "" || m.console.Zoomed && page.NodeRows && (page.Area != nil || page.Table.Rows > 0)
}

// expire takes away what was to be shown for a while only.
func (m *Model) expire() {
	if m.flash.text != "" && !m.now().Before(m.flash.until) {
		m.flash, m.dirty = flash{}, true
	}
}

// aging is what changes on a held screen by time alone, coarsely: a frozen screen should cost next to nothing.
func (m *Model) aging() string {
	held := m.cursor.Held()
	switch {
	case held < 10*time.Second:
		held = held.Truncate(time.Second)
	case held < 2*time.Minute:
		held = held.Truncate(10 * time.Second)
	default:
		held = held.Truncate(time.Minute)
	}
	return held.String() + views.TrafficText(m.traffic.perSecond)
}

func (m *Model) say(style views.Style, text string) {
	text = strings.TrimSpace(text)
	if text == "" {
		text = "done"
	}
	m.flash = flash{text: text, style: style, until: m.now().Add(6 * time.Second)}
	m.dirty = true
	m.rearm()
}

// focused is the level the reader's keys act on.
func (m *Model) focused() *views.Level {
	path := m.console.Paths[m.console.Focus]
	if !m.console.Zoomed {
		return &path[0]
	}
	return &path[len(path)-1]
}

// traffic is the mean of the bytes written over the last seconds.
type traffic struct {
	at        [8]time.Time
	total     [8]uint64
	n         int
	perSecond float64
}

// sample notes the total once a tick; the figure shown changes at every fourth only, so as not to cost what it counts.
func (t *traffic) sample(now time.Time, link *Link) {
	if link == nil {
		return
	}
	i := t.n % len(t.at)
	oldest := (t.n - min(t.n, len(t.at)-1)) % len(t.at)
	t.at[i], t.total[i] = now, link.Total()
	if t.n++; t.n%4 != 0 {
		return
	}
	if dt := now.Sub(t.at[oldest]).Seconds(); dt > 0 {
		t.perSecond = float64(t.total[i]-t.total[oldest]) / dt
	}
}
