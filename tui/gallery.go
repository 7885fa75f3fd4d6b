package tui

import (
	"cmp"
	"context"
	"fmt"
	"html"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"weir/backend"
	"weir/backend/timeline"
	"weir/config"
	"weir/tui/picture"
	"weir/views"
	"weir/views/viewstest"
)

// shot is one screen: its name, and the keys that lead there.
type shot struct {
	name string
	keys []string
}

// shots are the screens of every pane, zoomed and not, and what stands over them.
var shots = []shot{
	{"overview", nil},
	{"1-partitions", []string{"enter"}}, {"1-partition", []string{"enter", "enter"}}, {"1-group", []string{"enter", "]"}}, {"1-dead-letters", []string{"enter", "]", "]"}},
	{"1-record", []string{"enter", "enter", "enter"}}, {"1-record-dead", []string{"enter", "enter", "j", "j", "enter"}}, {"1-partition-letters", []string{"enter", "enter", "]"}},
	{"1-letters-marked", []string{"enter", "]", "]", "v", "j", "v"}}, {"1-letters-filter", []string{"enter", "]", "]", "/", "'stage:features", "enter"}},
	{"1-replay", []string{"enter", "]", "]", "/", "'stage:decode", "enter", "V", "R"}}, {"1-letter-features", []string{"enter", "]", "]", "j", "enter"}},
	{"1-dead-letter", []string{"enter", "]", "]", "enter"}}, {"1-features-model", []string{"enter", "]", "]", "]"}}, {"1-host", []string{"enter", "["}},
	{"2-nodes", []string{"2", "enter"}}, {"2-node", []string{"2", "enter", "enter"}}, {"2-map", []string{"2", "enter", "]"}},
	{"2-map-cell", []string{"2", "enter", "]", "b", "down", "right", "right"}}, {"2-group", []string{"2", "enter", "]", "enter"}}, {"2-groups", []string{"2", "enter", "]", "]"}}, {"2-cloud", []string{"2", "enter", "["}},
	{"3-bins", []string{"3", "enter"}}, {"3-bin", []string{"3", "enter", "j", "enter"}}, {"3-record", []string{"3", "enter", "j", "enter", "enter"}},
	{"4-products", []string{"4", "enter"}}, {"4-issues", []string{"4", "enter", "enter"}}, {"4-columns", []string{"4", "enter", "enter", "]"}},
	{"4-about", []string{"4", "enter", "enter", "["}}, {"4-issue", []string{"4", "enter", "enter", "enter"}},
	{"4-record", []string{"4", "enter", "enter", "enter", "enter"}},
	{"5-events", []string{"5", "enter"}}, {"5-event", []string{"5", "enter", "j", "enter"}},
	{"5-incidents", []string{"i"}}, {"5-incident", []string{"i", "enter"}}, {"4-lineage", []string{"4", "enter", "enter", "]", "]"}},
	{"held", []string{"space", "left", "left", "left"}}, {"filter", []string{"2", "/", "'site:berlin"}}, {"command", []string{":", "'fa"}},
	{"question", []string{":", "'fault node-down", "enter"}}, {"help", []string{"?"}},
}

var sizes = [][2]int{{80, 24}, {120, 36}, {200, 50}}

// appearance is one way to show a screen.
type appearance struct {
	name    string
	profile views.Profile
	options Options
	theme   string
}

// looks are the ways a screen can be shown, the usual first.
var looks = []appearance{
	{"truecolour", views.TrueColour, Options{}, "dark"}, {"256", views.Colours256, Options{}, "dark"}, {"16", views.Colours16, Options{}, "dark"},
	{"light", views.TrueColour, Options{}, "light"}, {"colour-blind", views.TrueColour, Options{}, "colour-blind"},
	{"no-colour", views.NoColour, Options{}, "dark"}, {"ascii", views.NoColour, Options{ASCII: true}, "dark"},
}

// still is a runtime of literals: it shows a sample world's past and does nothing.
type still struct{ line *timeline.Timeline }

func (s still) Timeline() *timeline.Timeline { return s.line }

func (s still) Commands() []backend.CommandSpec {
	return []backend.CommandSpec{
		{Name: "pause", Summary: "stop taking events; the lag grows, nothing is lost", Changes: true},
		{Name: "replay", Usage: "PARTITION/OFFSET… | all", Summary: "send dead letters through the pipeline again", Changes: true},
		{Name: "fault", Usage: "NAME [DURATION] | clear NAME", Summary: "make the demo world misbehave", Changes: true,
			Complete: func(prefix string) []string {
				return matching([]string{"node-down", "node-slow", "null-spike"}, prefix)
			}},
	}
}

func (s still) Do(context.Context, backend.Command) (string, error) { return "", nil }

func (s still) Subscribe() (<-chan struct{}, func()) { return make(chan struct{}), func() {} }

// Gallery draws every screen in every state, size and look into a folder, as text and as pictures, with an index.html
// that shows them side by side. only is a part of the names of the screens wanted; empty wants all.
func Gallery(ctx context.Context, dir, only string) (count int, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, fmt.Errorf("gallery: %w", err)
	}
	artist, err := picture.New()
	if err != nil {
		return 0, fmt.Errorf("gallery: %w", err)
	}
	g := &gallery{dir: dir, only: only, artist: artist}
	for _, state := range viewstest.States {
		line := viewstest.Timeline(state, viewstest.Usual)
		for _, size := range sizes {
			for _, s := range shots {
				if err := g.take(ctx, state, size, s, looks[0], line); err != nil {
					return g.count, err
				}
			}
			for _, l := range looks[1:] {
				for _, s := range []shot{shots[0], {"2-nodes", []string{"2", "enter", "j"}}} {
					if err := g.take(ctx, state, size, s, l, line); err != nil {
						return g.count, err
					}
				}
			}
		}
	}
	return g.count, g.index()
}

type gallery struct {
	dir, only string
	artist    *picture.Artist
	count     int
	pictures  []string
}

func (g *gallery) take(ctx context.Context, state viewstest.State, size [2]int, s shot, l appearance, line *timeline.Timeline) error {
	name := fmt.Sprintf("%s-%dx%d-%s-%s", state, size[0], size[1], s.name, l.name)
	if !strings.Contains(name, g.only) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o := l.options
	o.Console = config.Console{Theme: l.theme, TimeZone: "utc", Refresh: time.Second}
	o.Who, o.Now = "ada", func() time.Time { return viewstest.Start.Add(400 * time.Millisecond) }
	m, err := New(ctx, still{line}, o, l.profile)
	if err != nil {
		return err
	}
	m.lastTick = o.Now()
	m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
	m.View()
	for _, key := range typed(s.keys) {
		m.Update(key)
		m.View()
	}
	if m.crash != "" {
		return fmt.Errorf("gallery: %s: %s", name, m.crash)
	}
	if err := os.WriteFile(filepath.Join(g.dir, name+".txt"), []byte(ansi.Strip(m.frame)+"\n"), 0o644); err != nil {
		return fmt.Errorf("gallery: %w", err)
	}
	f, err := os.Create(filepath.Join(g.dir, name+".png"))
	if err != nil {
		return fmt.Errorf("gallery: %w", err)
	}
	rows, background := pictured(m.frame, size[0], l.theme == "light")
	err = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(f, g.artist.Draw(rows, background))
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("gallery: %w", err)
	}
	g.count++
	g.pictures = append(g.pictures, name)
	return nil
}

// index writes the page that shows all pictures, a row of sizes and states for each screen.
func (g *gallery) index() error {
	var b strings.Builder
	b.WriteString("<!doctype html><meta charset=utf-8><title>weir: gallery</title>\n<style>body{background:#161b22;color:#d6dce4;font:14px sans-serif;margin:1em}" +
		"figure{display:inline-block;margin:.5em;vertical-align:top}img{max-width:46vw;border:1px solid #444d58}figcaption{color:#828c99}input{font:inherit;width:30em}</style>\n" +
		"<p><input placeholder='words in the name, such as: broken 120 overview' oninput=\"for(const f of document.querySelectorAll('figure'))f.hidden=!this.value.split(' ').every(w=>f.id.includes(w))\"> " +
		strconv.Itoa(g.count) + " screens\n")
	slices.SortStableFunc(g.pictures, func(a, b string) int { return cmp.Compare(screenOf(a), screenOf(b)) })
	for _, name := range g.pictures {
		n := html.EscapeString(name)
		fmt.Fprintf(&b, "<figure id=%q><a href=%q><img loading=lazy src=%q></a><figcaption>%s · <a href=%q>text</a></figcaption></figure>\n", n, n+".png", n+".png", n, n+".txt")
	}
	if err := os.WriteFile(filepath.Join(g.dir, "index.html"), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("gallery: %w", err)
	}
	return nil
}

// screenOf is the part of a picture's name that says which screen it is of.
func screenOf(name string) string {
	parts := strings.SplitN(name, "-", 3)
	return parts[len(parts)-1]
}

// typed are the key presses of a list of names; a text after a quote is typed letter by letter.
func typed(names []string) []tea.KeyPressMsg {
	var out []tea.KeyPressMsg
	for _, n := range names {
		if text, ok := strings.CutPrefix(n, "'"); ok {
			for _, r := range text {
				out = append(out, tea.KeyPressMsg{Code: r, Text: string(r)})
			}
			continue
		}
		out = append(out, keyOf(n))
	}
	return out
}

// keyOf is the press of a key by its name.
func keyOf(name string) tea.KeyPressMsg {
	var k tea.KeyPressMsg
	for again := true; again; {
		again = false
		for prefix, mod := range map[string]tea.KeyMod{"shift+": tea.ModShift, "ctrl+": tea.ModCtrl, "alt+": tea.ModAlt} {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				k.Mod |= mod
				name, again = rest, true
			}
		}
	}
	special := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown,
		"left": tea.KeyLeft, "right": tea.KeyRight, "home": tea.KeyHome, "end": tea.KeyEnd, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown,
		"backspace": tea.KeyBackspace}
	if r, ok := special[name]; ok {
		k.Code = r
		return k
	}
	if name == "space" {
		k.Code, k.Text = tea.KeySpace, " "
		return k
	}
	k.Code = []rune(name)[0]
	if k.Mod == 0 {
		k.Text = name
	}
	return k
}

// pictured takes a frame apart for the artist, in the colours of a usual terminal.
func pictured(frame string, w int, light bool) (rows [][]picture.Cell, background color.RGBA) {
	text := rgb("#d6dce4")
	background = rgb("#0d1117")
	if light {
		text, background = rgb("#1f2328"), rgb("#ffffff")
	}
	k := newInks()
	for row := range strings.SplitSeq(frame, "\n") {
		cells, _ := k.cells(nil, row, w)
		out := make([]picture.Cell, len(cells))
		for i, c := range cells {
			s := k.styles[c.style]
			p := picture.Cell{Width: int(c.width), Fg: text, Bg: background}
			if c.width > 0 {
				p.Text = string(k.put(nil, c.glyph))
			}
			p.Fg, p.Bg = colourOf(s.fg, text), colourOf(s.bg, background)
			for a := range strings.SplitSeq(s.attributes, ";") {
				switch a {
				case "1":
					p.Bold = true
				case "2":
					p.Fg = picture.Mix(p.Fg, p.Bg, 0.45)
				case "7":
					p.Fg, p.Bg = p.Bg, p.Fg
				}
			}
			out[i] = p
		}
		rows = append(rows, out)
	}
	return rows, background
}

// sixteen are the colours most terminals begin with, somewhat muted.
var sixteen = [16]string{"#484f58", "#e5534b", "#57ab5a", "#c69026", "#539bf5", "#b083f0", "#39c5cf", "#b1bac4",
	"#6e7681", "#ff938a", "#6bc46d", "#daaa3f", "#6cb6ff", "#dcbdfb", "#56d4dd", "#ffffff"}

// colourOf is the colour that SGR codes mean.
func colourOf(codes string, otherwise color.RGBA) color.RGBA {
	if codes == "" {
		return otherwise
	}
	var n []int
	for p := range strings.SplitSeq(codes, ";") {
		v, _ := strconv.Atoi(p) // codes are of our own themes
		n = append(n, v)
	}
	switch {
	case len(n) == 5:
		return color.RGBA{uint8(n[2]), uint8(n[3]), uint8(n[4]), 255}
	case len(n) == 3 && n[2] >= 232:
		v := uint8(8 + 10*(n[2]-232))
		return color.RGBA{v, v, v, 255}
	case len(n) == 3 && n[2] >= 16:
		steps := [6]uint8{0, 95, 135, 175, 215, 255}
		i := n[2] - 16
		return color.RGBA{steps[i/36], steps[i/6%6], steps[i%6], 255}
	case len(n) == 3:
		return rgb(sixteen[n[2]])
	case n[0] >= 90:
		return rgb(sixteen[8+(n[0]-90)%10])
	}
	return rgb(sixteen[(n[0]-30)%10])
}

func rgb(hex string) color.RGBA {
	v, _ := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32) // hex is a literal
	return color.RGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255}
}
