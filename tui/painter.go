package tui

import (
	"strconv"
	"strings"
	"sync"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// painter puts frames on a terminal, at once: it knows what stands there and writes only what differs. It takes the
// place of Bubble Tea's renderer, which looks for a new frame 120 times a second whether there is one or not, lets a
// key wait for its next look, and rewrites a row from the first change to the last.
//
// Where a row has a character two columns wide or made of several runes, the row is written whole: terminals disagree
// about them.
type painter struct {
	out *Link

	mu    sync.Mutex
	up    bool // the terminal shows our screen
	sync  bool // it can be told to show a frame at once
	mouse tea.MouseMode
	title string

	w, h  int
	shown string   // the frame on the screen
	rows  []string // its rows
	cells [][]cell
	odd   []bool
	next  []cell
	inks  *inks

	b    []byte
	x, y int // where the cursor stands; x is -1 where that is not known
	on   uint16
	wet  int // runs written in this frame
}

func newPainter(out *Link) *painter { return &painter{out: out, inks: newInks()} }

const (
	enterScreen = ansi.SetModeAltScreenSaveCursor + ansi.ResetModeTextCursorEnable + ansi.ResetModeAutoWrap + ansi.SetModeBracketedPaste +
		ansi.SetModifyOtherKeys2 + keepTitle
	leaveScreen = ansi.ResetModeBracketedPaste + ansi.ResetModifyOtherKeys + ansi.SetModeAutoWrap + ansi.ResetModeAltScreenSaveCursor +
		ansi.SetModeTextCursorEnable + giveTitle
	// A terminal remembers its title when it is told to, and shows it again; one that cannot takes no notice.
	keepTitle = "\x1b[22;2t"
	giveTitle = "\x1b[23;2t"
	mouseOn   = ansi.SetModeMouseButtonEvent + ansi.SetModeMouseExtSgr
	mouseOff  = ansi.ResetModeMouseButtonEvent + ansi.ResetModeMouseExtSgr
)

// enter takes the terminal over. query asks it what it can do; the answers come as keys come.
func (p *painter) enter(query string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.up {
		return
	}
	p.up, p.mouse, p.title = true, tea.MouseModeNone, ""
	p.b = append(p.b[:0], enterScreen+ansi.PushKittyKeyboard(1)+query...)
	p.forget()
	p.flush()
}

// leave gives the terminal back.
func (p *painter) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.up {
		return
	}
	p.up = false
	p.b = append(p.b[:0], ansi.ResetStyle+ansi.PopKittyKeyboard(1)...)
	p.modes(tea.View{})
	p.b = append(p.b, leaveScreen...)
	p.flush()
}

// resize is told of the terminal's size; the next frame is drawn whole.
func (p *painter) resize(w, h int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.w, p.h = w, h
	p.forget()
}

// clear lets the next frame be drawn whole.
func (p *painter) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget()
}

func (p *painter) forget() { p.rows, p.x = nil, -1 }

// synchronised is told that the terminal shows all between two marks at once.
func (p *painter) synchronised() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sync = true
}

// say writes a sequence that changes nothing on the screen: a question, a clipboard.
func (p *painter) say(sequence string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.up {
		p.b = append(p.b[:0], sequence...)
		p.flush()
	}
}

// paint shows a view. A view without content shows nothing yet.
func (p *painter) paint(v tea.View) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.up || v.Content == "" || p.w < 1 || p.h < 1 {
		return
	}
	p.b = p.b[:0]
	p.modes(v)
	p.frame(v.Content)
	p.flush()
}

// modes switches what a view asks for.
func (p *painter) modes(v tea.View) {
	if v.MouseMode != p.mouse {
		p.b = append(p.b, map[bool]string{true: mouseOn, false: mouseOff}[v.MouseMode != tea.MouseModeNone]...)
		p.mouse = v.MouseMode
	}
	if v.WindowTitle != p.title {
		p.b = append(p.b, ansi.SetWindowTitle(v.WindowTitle)...)
		p.title = v.WindowTitle
	}
}

func (p *painter) flush() {
	if len(p.b) > 0 {
		_, _ = p.out.Write(p.b) // a link that cannot take it any more tells the program itself
	}
	if cap(p.b) > 1<<20 {
		p.b = nil
	}
}

// frame writes what differs between the screen and content.
func (p *painter) frame(content string) {
	if p.inks.full() {
		p.inks = newInks()
		p.forget()
	}
	if p.rows != nil && content == p.shown {
		return
	}
	p.shown = content
	begin := len(p.b)
	p.wet = 0
	if p.rows == nil || len(p.cells) != p.h {
		p.blank()
	}
	rows := p.split(content)
	p.scroll(rows)
	for y, row := range rows {
		if row == p.rows[y] {
			continue
		}
		p.rows[y] = row
		cells, odd := p.inks.cells(p.next, row, p.w)
		if odd || p.odd[y] {
			p.whole(y, cells)
		} else {
			p.differences(y, p.cells[y], cells)
		}
		p.next, p.cells[y], p.odd[y] = p.cells[y], cells, odd
	}
	if p.on != 0 {
		p.turn(0)
	}
	if p.sync && p.wet > 3 { // a terminal takes a few runs at once in any case
		p.b = append(p.b, ansi.ResetModeSynchronizedOutput...)
		p.b = append(p.b[:begin], append([]byte(ansi.SetModeSynchronizedOutput), p.b[begin:]...)...)
	}
}

// split is the frame's rows, as many as the screen has.
func (p *painter) split(content string) []string {
	rows := make([]string, 0, p.h)
	for row := range strings.SplitSeq(content, "\n") {
		if len(rows) == p.h {
			break
		}
		rows = append(rows, row)
	}
	for len(rows) < p.h {
		rows = append(rows, "")
	}
	return rows
}

// blank clears the screen.
func (p *painter) blank() {
	p.b = append(p.b, "\x1b[m\x1b[H\x1b[2J"...)
	p.x, p.y, p.on = 0, 0, 0
	p.rows, p.odd, p.cells = make([]string, p.h), make([]bool, p.h), make([][]cell, p.h)
	for y := range p.cells {
		p.cells[y], _ = p.inks.cells(nil, "", p.w)
	}
	p.next = nil
}

// scroll looks for a block of rows that only moved up or down, and lets the terminal move it: by deleting or inserting
// lines between margins, which the Linux console can, while it cannot scroll them up and down.
func (p *painter) scroll(rows []string) {
	top, end, by, saved := 0, 0, 0, 2 // rows top to end come from top+by to end+by; it must save more than two
	for shift := -maxScroll; shift <= maxScroll && p.rows[0] != ""; shift++ {
		for y, run, moved := 0, 0, 0; y < len(rows) && shift != 0; y++ {
			from := y + shift
			if from < 0 || from >= len(rows) || rows[y] != p.rows[from] {
				run, moved = 0, 0
				continue
			}
			run++
			if rows[y] != p.rows[y] {
				moved++
			}
			if moved > saved {
				top, end, by, saved = y-run+1, y+1, shift, moved
			}
		}
	}
	if by == 0 {
		return
	}
	first, last := min(top, top+by), max(end, end+by)
	p.turn(0)
	p.b = append(p.b, "\x1b["+strconv.Itoa(first+1)+";"+strconv.Itoa(last)+"r"+ansi.CursorPosition(1, first+1)...)
	if by > 0 {
		p.b = append(p.b, ansi.DeleteLine(by)...)
	} else {
		p.b = append(p.b, ansi.InsertLine(-by)...)
	}
	p.b = append(p.b, "\x1b[r"...)
	p.x = -1
	p.wet++
	rotate(p.rows[first:last], by)
	rotate(p.cells[first:last], by)
	rotate(p.odd[first:last], by)
	fresh := [2]int{last - by, last}
	if by < 0 {
		fresh = [2]int{first, first - by}
	}
	for y := fresh[0]; y < fresh[1]; y++ {
		p.rows[y], p.odd[y] = "", false
		p.cells[y], _ = p.inks.cells(p.cells[y], "", p.w)
	}
}

// maxScroll is how far a block may have moved. Lists of events grow by a few rows at a time.
const maxScroll = 8

// rotate moves a slice's elements by places towards its beginning.
func rotate[T any](s []T, by int) {
	if by < 0 {
		by += len(s)
	}
	t := append(append(make([]T, 0, len(s)), s[by:]...), s[:by]...)
	copy(s, t)
}

// whole writes a row from its beginning, and says anew where it stands after each wide character.
func (p *painter) whole(y int, cells []cell) {
	p.move(0, y)
	p.turn(0)
	p.b = append(p.b, ansi.EraseLineRight...)
	p.wet++
	end := len(cells)
	for end > 0 && cells[end-1] == blank {
		end--
	}
	if end > 0 && end < len(cells) && cells[end-1].glyph < 0 {
		end++ // a mark is sure of its letter when another letter follows
	}
	for x, c := range cells[:end] {
		if c.width == 0 {
			continue
		}
		p.move(x, y)
		p.turn(c.style)
		p.b = p.inks.put(p.b, c.glyph)
		p.x = x + 1
		if c.width > 1 || p.x == p.w {
			p.x = -1
		}
	}
}

// differences writes what differs in a row of plain characters.
func (p *painter) differences(y int, was, is []cell) {
	end := len(is)
	tail := end // where nothing but blanks follows
	for tail > 0 && is[tail-1] == blank {
		tail--
	}
	for x := 0; x < end; {
		if was[x] == is[x] {
			x++
			continue
		}
		if x >= tail && end-x > 3 {
			p.move(x, y)
			p.turn(0)
			p.b = append(p.b, ansi.EraseLineRight...)
			p.wet++
			return
		}
		p.step(x, y, is)
		p.wet++
		for x < end && was[x] != is[x] && (x < tail || end-x <= 3) {
			x = p.glyph(x, end, is)
		}
	}
}

// glyph writes the cell at x, or a run of blanks with it, and returns where it went on.
func (p *painter) glyph(x, end int, is []cell) int {
	c := is[x]
	run := 1
	for c == blank && x+run < end && is[x+run] == blank {
		run++
	}
	p.turn(c.style)
	if run >= 12 { // erasing them and stepping over is shorter
		n := strconv.Itoa(run)
		p.b = append(p.b, "\x1b["+n+"X"...)
		if x+run < end {
			p.b = append(p.b, "\x1b["+n+"C"...)
			p.x = x + run
		} else {
			p.x = -1
		}
		return x + run
	}
	p.b = p.inks.put(p.b, c.glyph)
	if p.x = x + 1; p.x == p.w {
		p.x = -1
	}
	return x + 1
}

// step brings the cursor to the next difference: by writing what stands between again where that is shorter.
func (p *painter) step(x, y int, is []cell) {
	if p.y == y && p.x >= 0 && p.x < x && x-p.x <= 6 {
		n := 0
		for _, c := range is[p.x:x] {
			if c.style != p.on || c.glyph < 0 || c.glyph > 0x7f {
				n = 9
			}
			n++
		}
		if n <= 4 {
			for _, c := range is[p.x:x] {
				p.b = p.inks.put(p.b, c.glyph)
			}
			p.x = x
		}
	}
	p.move(x, y)
}

// move brings the cursor to a cell, the shortest way.
func (p *painter) move(x, y int) {
	if p.x == x && p.y == y {
		return
	}
	switch {
	case p.x < 0 || p.y != y && p.x != x:
		p.b = append(p.b, ansi.CursorPosition(x+1, y+1)...)
	case p.y != y:
		p.b = append(p.b, ansi.VerticalPositionAbsolute(y+1)...)
	case x > p.x:
		p.b = append(p.b, ansi.CursorForward(x-p.x)...)
	default:
		p.b = append(p.b, ansi.CursorHorizontalAbsolute(x+1)...)
	}
	p.x, p.y = x, y
}

func (p *painter) turn(style uint16) {
	p.b = append(p.b, p.inks.turn(p.on, style)...)
	p.on = style
}
