package tui

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"

	"weir/backend/timeline"
	"weir/views"
	"weir/views/viewstest"
)

// big is a world at its limits: a thousand nodes, 64 partitions, 200 products.
var big = viewstest.Size{Nodes: 1000, Partitions: 64, Products: 200, Ticks: 300}

// BenchmarkFrame draws a full frame from the same snapshot again and again, in the demo's world and in one at its limits.
// The promise is 3 ms at 200x50 in the world at its limits.
func BenchmarkFrame(b *testing.B) {
	for _, world := range []struct {
		name string
		size viewstest.Size
	}{{"demo", viewstest.Usual}, {"limits", big}} {
		line := viewstest.Timeline(viewstest.Broken, world.size)
		for _, size := range sizes {
			b.Run(fmt.Sprintf("%s/%dx%d", world.name, size[0], size[1]), func(b *testing.B) {
				c := newConsole(b, settings{line: line, w: size[0], h: size[1], profile: views.TrueColour})
				c.keys("2", "j")
				b.ReportAllocs()
				for b.Loop() {
					c.m.dirty = true
					c.m.View()
				}
			})
		}
	}
}

// BenchmarkKey is a key and the frame that answers it, up to the bytes for the terminal, at 200x50 in the world at its
// limits. The promise is 16 ms at the 99th percentile.
func BenchmarkKey(b *testing.B) {
	c := newConsole(b, settings{size: big, w: 200, h: 50, profile: views.TrueColour})
	out := newCount(200, 50)
	keys := []string{"2", "j", "k", "tab", "4", "enter", "esc", "space", "left", "l"}
	i := 0
	for b.Loop() {
		c.m.Update(keyOf(keys[i%len(keys)]))
		out.paint(c.m.View())
		i++
	}
}

// BenchmarkTick is a tick of the live console, from the snapshot to the bytes for the terminal, at 200x50 in the demo's
// world; bytes/tick at one tick a second is what the console writes a second. At a tick a second 20 ms would be 2 % of a
// core. The comparisons: the same screens by Bubble Tea's renderer, and written anew every time.
func BenchmarkTick(b *testing.B) {
	for _, way := range []string{"painter", "bubbletea", "whole-frames"} {
		b.Run(way, func(b *testing.B) {
			size := viewstest.Usual
			size.Ticks = 900
			c := newConsole(b, settings{line: timeline.New(), w: 200, h: 50, profile: views.TrueColour})
			var snapshots []*timeline.Snapshot
			for i := range size.Ticks {
				snapshots = append(snapshots, viewstest.Snapshot(viewstest.Calm, size, i))
			}
			out, other, bytes := newCount(200, 50), newRenderer(200, 50), 0
			paint := func(v tea.View) {
				switch way {
				case "painter":
					out.paint(v)
				case "bubbletea":
					other.paint(v)
				default:
					bytes += len(v.Content)
				}
			}
			for _, x := range snapshots[:100] {
				c.rt.line.Append(copyOf(x))
			}
			c.clock = snapshots[100].At
			c.m.Update(tickMsg{})
			paint(c.m.View())
			start, n := out.bytes+other.bytes+bytes, 0
			for b.Loop() {
				x := copyOf(snapshots[100+n%(len(snapshots)-100)])
				x.At = c.clock.Add(time.Second)
				c.rt.line.Append(x)
				c.clock = x.At
				c.m.Update(tickMsg{})
				paint(c.m.View())
				n++
			}
			b.ReportMetric(float64(out.bytes+other.bytes+bytes-start)/float64(n), "bytes/tick")
		})
	}
}

// copyOf is a shallow copy: Append numbers what it is given.
func copyOf(x *timeline.Snapshot) *timeline.Snapshot {
	y := *x
	return &y
}

// count is a painter whose bytes are counted.
type count struct {
	*painter
	bytes int
}

func newCount(w, h int) *count {
	c := &count{painter: newPainter(nil)}
	c.up = true
	c.resize(w, h)
	return c
}

func (c *count) paint(v tea.View) {
	c.b = c.b[:0]
	c.modes(v)
	c.frame(v.Content)
	c.bytes += len(c.b)
}

// renderer does what Bubble Tea's own renderer does with a frame, and counts the bytes.
type renderer struct {
	buf   bytes.Buffer
	scr   *uv.TerminalRenderer
	cells uv.ScreenBuffer
	bytes int
}

func newRenderer(w, h int) *renderer {
	p := &renderer{cells: uv.NewScreenBuffer(w, h)}
	p.scr = uv.NewTerminalRenderer(&p.buf, []string{"TERM=xterm-256color", "COLORTERM=truecolor"})
	p.scr.SetFullscreen(true)
	p.scr.SetScrollOptim(true)
	p.scr.Resize(w, h)
	return p
}

func (p *renderer) paint(v tea.View) {
	p.cells.Clear()
	uv.NewStyledString(v.Content).Draw(p.cells, p.cells.Bounds())
	p.scr.Render(p.cells.RenderBuffer)
	if err := p.scr.Flush(); err != nil {
		panic(err)
	}
	p.bytes += p.buf.Len()
	_, _ = io.Copy(io.Discard, &p.buf)
}
