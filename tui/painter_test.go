package tui

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"

	"weir/backend/safetext"
	"weir/views"
	"weir/views/viewstest"
)

// canvas is a painter and the terminal it paints on.
type canvas struct {
	t      testing.TB
	p      *painter
	screen *vt.Emulator
	w, h   int
}

func newCanvas(t testing.TB, w, h int) *canvas {
	c := &canvas{t: t, p: newPainter(nil), screen: vt.NewEmulator(w, h), w: w, h: h}
	_, _ = c.screen.Write([]byte(ansi.ResetModeAutoWrap)) // as enter does
	c.p.up = true
	c.p.resize(w, h)
	return c
}

// paint shows a frame, checks that the terminal shows it as if it had been written whole, and returns its bytes.
func (c *canvas) paint(frame string) int {
	c.t.Helper()
	c.p.b = c.p.b[:0]
	c.p.frame(frame)
	if _, err := c.screen.Write(c.p.b); err != nil {
		c.t.Fatal(err)
	}
	whole := vt.NewEmulator(c.w, c.h)
	_, _ = whole.Write([]byte(ansi.ResetModeAutoWrap))
	for y, row := range strings.Split(frame, "\n") {
		_, _ = fmt.Fprintf(whole, "\x1b[%d;1H%s\x1b[m", y+1, row)
	}
	for y := range c.h {
		for x := range c.w {
			got, want := c.screen.CellAt(x, y), whole.CellAt(x, y)
			if got.Content != want.Content || got.Width != want.Width || !got.Style.Equal(&want.Style) {
				c.t.Fatalf("at %d,%d the terminal shows %q %+v, want %q %+v\nrow %q\nwrote %q", x, y, got.Content, got.Style, want.Content, want.Style,
					strings.Split(frame, "\n")[y], c.p.b)
			}
		}
	}
	return len(c.p.b)
}

// TestPainterShowsWhatIsDrawn goes through every screen in every look, one after the other on one terminal.
func TestPainterShowsWhatIsDrawn(t *testing.T) {
	for _, state := range []viewstest.State{viewstest.Broken, viewstest.Hostile} {
		line := viewstest.Timeline(state, viewstest.Usual)
		canvas := newCanvas(t, 80, 24)
		for i, shot := range shots {
			c := newConsole(t, settings{line: line, w: 80, h: 24, profile: views.Profile(3 - i%4)})
			c.keys(shot.keys...)
			canvas.paint(c.screen())
		}
	}
}

// TestPainterDrawsWholeWhenTold: after a resize, and when asked to, nothing of what stood there is relied on.
func TestPainterDrawsWholeWhenTold(t *testing.T) {
	c := newCanvas(t, 20, 4)
	c.paint("one\ntwo\n\x1b[0;1mthree\x1b[m")
	if n := c.paint("one\ntwo\n\x1b[0;1mthree\x1b[m"); n != 0 {
		t.Errorf("the same frame cost %d bytes", n)
	}
	_, _ = c.screen.Write([]byte("\x1b[Hgarbage\x1b[4;1Hand more"))
	c.p.clear()
	c.paint("one\ntwo\n\x1b[0;1mthree\x1b[m")
	c.screen.Resize(12, 6)
	c.w, c.h = 12, 6
	c.p.resize(12, 6)
	c.paint("one\ntwo\n\x1b[0;1mthree\x1b[m\n\n\nlast")
}

// TestPainterLetsListsScroll: a list that gains a row at its top costs that row, not all.
func TestPainterLetsListsScroll(t *testing.T) {
	c := newCanvas(t, 100, 30)
	list := func(n int) string {
		rows := []string{"a title", "a rule ----"}
		for i := range 20 {
			rows = append(rows, fmt.Sprintf("\x1b[0;2m%06d\x1b[m what happened, and to whom: %d %d %d", n-i, (n-i)*7919, (n-i)*104729, (n-i)*31))
		}
		return strings.Join(append(rows, "the end", ""), "\n")
	}
	c.paint(list(100))
	for n := 101; n < 110; n++ {
		if cost := c.paint(list(n)); cost > 150 {
			t.Errorf("a new row cost %d bytes", cost)
		}
	}
	if cost := c.paint(list(112)); cost > 350 {
		t.Errorf("three new rows cost %d bytes", cost)
	}
	c.paint(list(105))
	c.paint(list(500))
}

// FuzzPainter: whatever frames follow each other, the terminal shows the last one.
func FuzzPainter(f *testing.F) {
	for i := range uint64(4) {
		f.Add(i, viewstest.Attacks[i])
	}
	themes := []*views.Theme{views.NewTheme(views.Palettes[0], views.TrueColour, false), views.NewTheme(views.Palettes[1], views.Colours16, false),
		views.NewTheme(views.Palettes[2], views.NoColour, true)}
	f.Fuzz(func(t *testing.T, seed uint64, text string) {
		r := rand.New(rand.NewPCG(seed, 1))
		theme := themes[seed%3]
		w, h := 20+r.IntN(60), 3+r.IntN(20)
		texts := []string{safetext.Clean(text).String(), "12,480", "│", "⣿⣿⣷⣶⣤⣀", "──────", "漢字", "ok", "           ", "e\u0301", ""}
		row := func() string {
			l := theme.NewLine(w)
			for range r.IntN(6) {
				l.Put(views.Style(r.IntN(12)), texts[r.IntN(len(texts))]).Space(r.IntN(14))
			}
			return l.String()
		}
		rows := make([]string, h)
		for i := range rows {
			rows[i] = row()
		}
		c := newCanvas(t, w, h)
		for range 12 {
			c.paint(strings.Join(rows, "\n"))
			switch r.IntN(4) {
			case 0: // a block moves
				by := 1 + r.IntN(h-1)
				rows = append(append([]string(nil), rows[by:]...), rows[:by]...)
			case 1:
				rows[r.IntN(h)] = row()
			case 2:
				at := r.IntN(h)
				rows = append(append(append([]string(nil), rows[:at]...), row()), rows[at:h-1]...)
			default:
				for range r.IntN(h) {
					rows[r.IntN(h)] = row()
				}
			}
		}
	})
}

func TestPainterOfAViewWithoutContentWaits(t *testing.T) {
	c := newCount(20, 5)
	c.painter.paint(tea.View{})
	if len(c.b) != 0 {
		t.Errorf("it wrote %q", c.b)
	}
}

// TestPainterGivesTheTitleBack: what the terminal was called is kept before it is called weir, and is its name again after.
func TestPainterGivesTheTitleBack(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // nobody writes to it
	link := NewLink(w, func() {}, func(err error) { t.Error(err) })
	p := newPainter(link)
	p.enter("")
	p.resize(20, 5)
	p.paint(tea.View{Content: "x", WindowTitle: "weir"})
	p.leave()
	if err := errors.Join(link.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	wrote, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, want := range []string{keepTitle, ansi.SetWindowTitle("weir"), ansi.SetWindowTitle(""), giveTitle} {
		i := strings.Index(string(wrote[at:]), want)
		if i < 0 {
			t.Fatalf("no %q after byte %d of %q", want, at, wrote)
		}
		at += i + len(want)
	}
}
