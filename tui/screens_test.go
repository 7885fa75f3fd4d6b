package tui

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/views"
	"weir/views/viewstest"
)

// shot is one screen of the gallery.
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
	{"held", []string{"space", "left", "left", "left"}}, {"filter", []string{"2", "/", "'site:berlin"}}, {"command", []string{":", "'fa"}},
	{"question", []string{":", "'fault node-down", "enter"}}, {"help", []string{"?"}},
}

var sizes = [][2]int{{80, 24}, {120, 36}, {200, 50}}

// TestScreens holds every screen against its golden file. With WEIR_GALLERY=dir it writes all of them there, in every
// state, size and look, to be looked at side by side.
func TestScreens(t *testing.T) {
	gallery := os.Getenv("WEIR_GALLERY")
	for _, state := range viewstest.States {
		line := viewstest.Timeline(state, viewstest.Usual)
		for _, size := range sizes {
			for _, shot := range shots {
				// Every screen in every state is drawn; a file is kept of those that differ enough to be worth reading.
				keep := shot.name == "overview" || state == viewstest.Broken && size[0] == 120 || state == viewstest.Hostile && size[0] == 80 && shot.keys != nil
				name := fmt.Sprintf("%s/%dx%d-%s", state, size[0], size[1], shot.name)
				t.Run(name, func(t *testing.T) {
					c := newConsole(t, settings{line: line, w: size[0], h: size[1], profile: views.TrueColour})
					c.keys(shot.keys...)
					checkScreen(t, c, size[0], size[1])
					if gallery != "" {
						write(t, filepath.Join(gallery, strings.ReplaceAll(name, "/", "-")+".ans"), c.screen())
					}
					if keep {
						golden(t, filepath.Join("screens", name+".txt"), c.text()+"\n")
					}
				})
			}
		}
	}
}

// TestLooks holds the same screen in every look against its golden files, escapes and all.
func TestLooks(t *testing.T) {
	for _, look := range []struct {
		name    string
		profile views.Profile
		options Options
		theme   string
	}{
		{"truecolour", views.TrueColour, Options{}, "dark"}, {"256", views.Colours256, Options{}, "dark"}, {"16", views.Colours16, Options{}, "dark"},
		{"light", views.TrueColour, Options{}, "light"}, {"colour-blind", views.TrueColour, Options{}, "colour-blind"},
		{"no-colour", views.NoColour, Options{}, "dark"}, {"ascii", views.NoColour, Options{ASCII: true}, "dark"},
	} {
		t.Run(look.name, func(t *testing.T) {
			look.options.Console.Theme = look.theme
			for _, size := range sizes {
				c := newConsole(t, settings{state: viewstest.Broken, w: size[0], h: size[1], profile: look.profile, options: look.options})
				c.keys("2", "j")
				visible := strings.ReplaceAll(c.screen(), "\x1b", "␛")
				golden(t, fmt.Sprintf("looks/%s-%dx%d.txt", look.name, size[0], size[1]), visible+"\n")
				if dir := os.Getenv("WEIR_GALLERY"); dir != "" {
					write(t, filepath.Join(dir, fmt.Sprintf("look-%s-%dx%d.ans", look.name, size[0], size[1])), c.screen())
				}
			}
		})
	}
}

// TestASCII: in an ASCII console no screen of any state, even the hostile, holds a byte beyond ASCII.
func TestASCII(t *testing.T) {
	for _, state := range viewstest.States {
		line := viewstest.Timeline(state, viewstest.Usual)
		for _, shot := range shots {
			c := newConsole(t, settings{line: line, profile: views.TrueColour, options: Options{ASCII: true}})
			c.keys(shot.keys...)
			for i, b := range []byte(c.screen()) {
				if b >= 0x80 {
					t.Fatalf("%s %s: byte %d is %#x: %q", state, shot.name, i, b, c.screen()[max(i-40, 0):i+4])
				}
			}
		}
	}
}

// checkScreen: the screen has its size in cells, by runes and by graphemes, and no escape but our colours.
func checkScreen(t *testing.T, c *console, w, h int) {
	t.Helper()
	rows := strings.Split(c.screen(), "\n")
	if len(rows) != h {
		t.Fatalf("%d rows, want %d", len(rows), h)
	}
	for y, row := range rows {
		if err := views.CheckRow(row, w); err != nil {
			t.Fatalf("row %d: %v", y, err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
