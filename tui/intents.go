package tui

import (
	"errors"
	"strings"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"weir/views"
)

// key handles a key press. An escape and a key that come at once, typed quickly or sent by a program, look to a
// terminal like the key with alt. No key of ours needs alt, so they are what they were typed as. Only a prompt edits
// its line with alt, but escape twice ends it too.
func (m *Model) key(key tea.KeyPressMsg) tea.Cmd {
	if key.Mod&^tea.ModShift != tea.ModAlt || m.prompt != nil && key.Code != tea.KeyEscape {
		return m.press(key)
	}
	key.Mod &^= tea.ModAlt
	if unicode.IsPrint(key.Code) {
		key.Text = string(key.Code)
		if key.Mod == tea.ModShift {
			key.Text = string(unicode.ToUpper(key.Code))
		}
	}
	first := m.press(tea.KeyPressMsg{Code: tea.KeyEscape})
	m.dirty = true
	return tea.Sequence(first, m.press(key))
}

// press handles one key: it goes to what is open over the panes first, then by the table to an intent. A key acts on
// what the keys before it led to, also when the terminal was too busy to be shown that.
func (m *Model) press(key tea.KeyPressMsg) tea.Cmd {
	if m.dirty && m.w > 0 && m.h > 0 {
		m.draw()
	}
	m.dirty = true
	name := key.String()
	if name == "ctrl+c" {
		return tea.Quit
	}
	if m.prompt != nil {
		return m.promptKey(key, name)
	}
	in := m.keys.intent(key)
	if m.helping > 0 {
		m.helpKey(in)
		return nil
	}
	m.flash = flash{}
	return m.do(in, name)
}

func (m *Model) helpKey(in intent) {
	switch in {
	case moveDown:
		m.helping++
	case moveUp:
		m.helping = max(m.helping-1, 1)
	case pageDown:
		m.helping += 10
	case pageUp:
		m.helping = max(m.helping-10, 1)
	default:
		m.helping = 0
	}
}

// do carries an intent out.
func (m *Model) do(in intent, key string) tea.Cmd {
	switch in {
	case focusPane:
		m.goTo(m.keys.paneOf(key))
	case focusNext:
		m.focus((m.console.Focus + 1) % views.PaneCount)
	case focusPrevious:
		m.focus((m.console.Focus + views.PaneCount - 1) % views.PaneCount)
	case goTrouble:
		if list := views.Troubles(m.cursor.Snapshot()); len(list) > 0 {
			m.focus(list[0].Pane)
			m.say(views.Faint, list[0].Text)
		} else {
			m.say(views.Good, "nothing is wrong as far as weir knows")
		}
	case showIncidents:
		m.visit(views.ToIncidents)
	case open:
		return m.open()
	case markRow, markAll:
		m.mark(in)
	case replayRows:
		m.replay()
	case back:
		m.back()
	case sectionNext:
		m.section(1)
	case sectionPrevious:
		m.section(-1)
	case moveDown:
		m.move(1)
	case moveUp:
		m.move(-1)
	case pageDown:
		m.move(m.page())
	case pageUp:
		m.move(-m.page())
	case moveTop:
		l := m.focused()
		l.Cursor, l.Index, l.Offset = "", 0, 0
	case moveBottom:
		m.move(1 << 30)
	case filterRows:
		if err := m.filterable(); err != nil {
			m.say(views.Warn, err.Error())
			return nil
		}
		m.prompt = newPrompt(promptFilter, m.focused().Filter, m.history[1])
	case sortRows:
		m.sort()
	case reverseRows:
		m.reverse()
	case groupNext:
		m.groupNext()
	case pollNode:
		return m.onNode("poll")
	case holdNode:
		return m.hold()
	case note:
		m.prompt = newPrompt(promptCommand, "mark ", m.history[0])
	case copyRow:
		return m.copy()
	case export:
		m.prompt = newPrompt(promptCommand, "export md", m.history[0])
	case command:
		m.prompt = newPrompt(promptCommand, "", m.history[0])
	case help:
		m.helping = 1
	case mouse:
		m.noMouse = !m.noMouse
		if m.noMouse {
			m.say(views.Plain, "the terminal has the mouse, to select text; m gives it back to weir")
		} else {
			m.say(views.Plain, "weir has the mouse; hold shift to select text")
		}
	case redraw:
		return func() tea.Msg { return redrawMsg{} }
	case suspend:
		return func() tea.Msg { return suspendMsg{} }
	case quit:
		return tea.Quit
	case stepBack, stepForward: // on a map they go from cell to cell
		switch {
		case m.places() == nil:
			m.time(in)
		case in == stepBack:
			m.step(-1, 0)
		default:
			m.step(1, 0)
		}
	default:
		m.time(in)
	}
	return nil
}

// time moves the cursor on the timeline; all panes move with it.
func (m *Model) time(in intent) {
	oldest, newest := m.rt.Timeline().Bounds()
	switch in {
	case freeze:
		if m.cursor.Live() {
			m.cursor = m.cursor.Freeze()
		} else {
			m.cursor = m.cursor.Follow()
		}
	case goLive:
		m.cursor = m.cursor.Follow()
	case stepBack:
		m.cursor = m.cursor.Step(-1)
	case stepForward:
		m.cursor = m.cursor.Step(1)
	case leapBack:
		m.cursor = m.cursor.Step(-10)
	case leapForward:
		m.cursor = m.cursor.Step(10)
	case timeOldest:
		m.cursor = m.cursor.Step(-int(newest - oldest))
	case timeNewest:
		m.cursor = m.cursor.Freeze().Step(int(newest - oldest))
	case spanLonger:
		m.span = min(m.span*2, 80*time.Minute)
		m.say(views.Faint, "charts show about "+strings.TrimSuffix(m.span.String(), "0s"))
	case spanShorter:
		m.span = max(m.span/2, 75*time.Second)
		m.say(views.Faint, "charts show about "+strings.TrimSuffix(m.span.String(), "0s"))
	case timeZone:
		m.zone = (m.zone + 1) % zones
		m.say(views.Faint, m.zone.String())
	}
}

// goTo focuses a pane; its number again zooms it, and once more shows all.
func (m *Model) goTo(p views.Pane) {
	if p <= views.NoPane || p >= views.PaneCount {
		return
	}
	if p == m.console.Focus {
		m.console.Zoomed = !m.console.Zoomed
		return
	}
	m.focus(p)
}

func (m *Model) focus(p views.Pane) { m.console.Focus = p }

// open zooms the pane, then opens the row under the cursor.
func (m *Model) open() tea.Cmd {
	p := m.console.Focus
	if !m.console.Zoomed {
		m.console.Zoomed = true
		m.console.Paths[p] = m.console.Paths[p][:1]
		return look
	}
	page, drawn := &m.screen.Pages[p], &m.screen.Panes[p]
	if !page.Opens {
		return nil
	}
	switch {
	case page.Moment != nil: // what an event changed: the panes at that moment
		m.console.Zoomed = false
		m.console.Paths[p] = m.console.Paths[p][:1]
		m.say(views.Plain, "held at that moment; press l for live")
		return nil
	case page.Goto != nil:
		m.visit(*page.Goto)
		return look
	}
	l := m.focused()
	if a := drawn.Places; a != nil {
		m.put(drawn.Level.Index)
		m.console.Paths[p] = append(m.console.Paths[p], a.Target(drawn.Level.Index))
		m.watched = time.Time{}
		return look
	}
	if len(drawn.Keys) == 0 || m.screen.Layout.Panes[p].W == 0 {
		return nil
	}
	key := drawn.Keys[min(max(drawn.Level.Index, 0), len(drawn.Keys)-1)]
	l.Cursor, l.Index = key, drawn.Level.Index
	m.console.Paths[p] = append(m.console.Paths[p], views.Level{Key: key})
	m.watched = time.Time{}
	if at, ok := views.EventAt(key); p == views.Events && ok {
		m.holdAfter(at)
	}
	return look
}

// visit opens a page of another pane, zoomed.
func (m *Model) visit(to views.Goto) {
	m.console.Focus, m.console.Zoomed = to.Pane, true
	m.console.Paths[to.Pane] = append([]views.Level{to.Root}, to.Path...)
	m.watched = time.Time{}
}

// holdAfter holds the cursor at the first snapshot that knows of what happened at a moment.
func (m *Model) holdAfter(at time.Time) {
	m.cursor = m.cursor.At(at)
	if x := m.cursor.Snapshot(); x != nil && x.At.Before(at) {
		m.cursor = m.cursor.Step(1)
	}
}

// back undoes one step: the filter, a level, the zoom.
func (m *Model) back() {
	p := m.console.Focus
	l := m.focused()
	switch {
	case l.Filter != "":
		l.Filter = ""
	case len(l.Marks) > 0:
		l.Marks = nil
	case m.console.Zoomed && len(m.console.Paths[p]) > 1:
		m.console.Paths[p] = m.console.Paths[p][:len(m.console.Paths[p])-1]
	case m.console.Zoomed:
		m.console.Zoomed = false
		if l.Section != 0 {
			*l = views.Level{}
		}
	}
}

func (m *Model) section(by int) {
	n := len(m.screen.Pages[m.console.Focus].Sections)
	if !m.console.Zoomed || n == 0 {
		return
	}
	l := m.focused()
	*l = views.Level{Key: l.Key, Section: (l.Section + n + by) % n, By: l.By}
}

// page is how many rows a page key moves by.
func (m *Model) page() int { return max(m.screen.Panes[m.console.Focus].Shown-1, 1) }

// move moves the cursor of the focused list, or scrolls the focused text.
func (m *Model) move(by int) {
	p := m.console.Focus
	page, drawn := &m.screen.Pages[p], &m.screen.Panes[p]
	l := m.focused()
	if page.Table.Text != nil {
		l.Offset = min(max(l.Offset+by, 0), max(drawn.Total-drawn.Shown, 0))
		return
	}
	if drawn.Places != nil {
		m.step(0, by)
		return
	}
	n := len(drawn.Keys)
	if n == 0 {
		return
	}
	at := min(max(drawn.Level.Index+by, 0), n-1)
	if l.Cursor == "" && by < 0 {
		return
	}
	l.Offset = drawn.Level.Offset
	if at < l.Offset {
		l.Offset = at
	}
	if at >= l.Offset+drawn.Shown {
		l.Offset = at - drawn.Shown + 1
	}
	l.Cursor, l.Index = drawn.Keys[at], at
	// A second key before the next frame goes on from here.
	drawn.Level.Index, drawn.Level.Offset = l.Index, l.Offset
}

// filterable tells why the page in focus cannot be filtered; nil when it can.
func (m *Model) filterable() error {
	page := &m.screen.Pages[m.console.Focus]
	if page.Table.Text == nil && (page.Table.Columns != nil || page.Area != nil) || m.focused().Filter != "" {
		return nil
	}
	if !m.console.Zoomed {
		return errors.New("there is no list here to filter; enter opens the pane")
	}
	return errors.New("there is no list here to filter")
}

// sort goes through the columns, and back to the page's own order.
func (m *Model) sort() {
	columns := m.screen.Pages[m.console.Focus].Table.Columns
	l := m.focused()
	switch {
	case m.places() != nil:
		m.say(views.Faint, "the map shows the worst group first; b groups it by another label")
		return
	case len(columns) == 0:
		m.say(views.Warn, "there is no list here to sort")
		return
	}
	for range len(columns) + 1 {
		l.Sort = (l.Sort + 1) % (len(columns) + 1)
		if l.Sort == 0 || columns[l.Sort-1].Title != "" {
			break
		}
	}
	l.Reverse = false
	if l.Sort == 0 {
		m.say(views.Faint, "in the pane's own order")
	} else {
		m.say(views.Faint, "sorted by "+columns[l.Sort-1].Title)
	}
}

func (m *Model) reverse() {
	if len(m.screen.Pages[m.console.Focus].Table.Columns) == 0 || m.places() != nil {
		m.say(views.Warn, "there is no list here to reverse")
		return
	}
	m.focused().Reverse = !m.focused().Reverse
}

func (m *Model) click(msg tea.MouseClickMsg) tea.Cmd {
	if msg.Button != tea.MouseLeft || m.prompt != nil {
		return nil
	}
	m.dirty = true
	if m.helping > 0 {
		m.helping = 0
		return nil
	}
	p := m.screen.Layout.PaneAt(msg.X, msg.Y)
	if p == views.NoPane {
		return nil
	}
	was := m.console.Focus
	m.focus(p)
	drawn, body := &m.screen.Panes[p], m.screen.Bodies[p]
	row := msg.Y - body.Y - drawn.Row
	if a := drawn.Places; a != nil {
		at := a.At(msg.X-body.X, row)
		if at < 0 {
			return nil
		}
		again := was == p && m.clicked == p && m.focused().Cursor == a.Key(at)
		if m.put(at); again {
			m.clicked = views.NoPane
			m.open()
			return nil
		}
		m.clicked = p
		return nil
	}
	if row < 0 || row >= drawn.Shown || m.screen.Pages[p].Table.Text != nil {
		return nil
	}
	l := m.focused()
	at := drawn.Level.Offset + row
	if at >= len(drawn.Keys) {
		return nil
	}
	if again := was == p && m.clicked == p && l.Cursor == drawn.Keys[at]; again {
		m.clicked = views.NoPane
		return m.open()
	}
	l.Cursor, l.Index, l.Offset = drawn.Keys[at], at, drawn.Level.Offset
	m.clicked = p
	return nil
}

func (m *Model) wheel(msg tea.MouseWheelMsg) {
	if m.prompt != nil { // what is typed, or asked, is about the pane in focus
		return
	}
	by := 3
	switch msg.Button {
	case tea.MouseWheelUp:
		by = -3
	case tea.MouseWheelDown:
	default:
		return
	}
	m.dirty = true
	if m.helping > 0 {
		m.helping = max(m.helping+by, 1)
		return
	}
	if p := m.screen.Layout.PaneAt(msg.X, msg.Y); p != views.NoPane {
		m.focus(p)
		m.move(by)
	}
}
