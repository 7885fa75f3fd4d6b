package tui

import (
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/tui/picture"
	"weir/views"
	"weir/views/viewstest"
)

// evidence are the pages of records, dead letters and what an event changed.
var evidence = map[string]bool{"1-partition": true, "1-record": true, "1-dead-letters": true, "1-dead-letter": true, "1-letter-features": true,
	"1-replay": true, "3-bin": true, "3-record": true, "5-event": true}

// TestScreens holds every screen against its golden file; weir demo --gallery shows them.
func TestScreens(t *testing.T) {
	for _, state := range viewstest.States {
		line := viewstest.Timeline(state, viewstest.Usual)
		for _, size := range sizes {
			for _, shot := range shots {
				// Every screen in every state is drawn; a file is kept of those that differ enough to be worth reading.
				keep := shot.name == "overview" || state == viewstest.Broken && size[0] == 120 || state == viewstest.Hostile && size[0] == 80 && shot.keys != nil
				// The pages of evidence, where hostile text, gaps and widths meet, are kept in all.
				keep = keep || evidence[shot.name] && state != viewstest.Starting
				name := fmt.Sprintf("%s/%dx%d-%s", state, size[0], size[1], shot.name)
				t.Run(name, func(t *testing.T) {
					c := newConsole(t, settings{line: line, w: size[0], h: size[1], profile: views.TrueColour})
					c.keys(shot.keys...)
					checkScreen(t, c, size[0], size[1])
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
	line := viewstest.Timeline(viewstest.Broken, viewstest.Usual)
	for _, look := range looks {
		t.Run(look.name, func(t *testing.T) {
			look.options.Console.Theme = look.theme
			for _, size := range sizes {
				c := newConsole(t, settings{line: line, w: size[0], h: size[1], profile: look.profile, options: look.options})
				c.keys("2", "j")
				visible := strings.ReplaceAll(c.screen(), "\x1b", "␛")
				golden(t, fmt.Sprintf("looks/%s-%dx%d.txt", look.name, size[0], size[1]), visible+"\n")
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

// TestGallery draws a part of the gallery: text, pictures and the page that shows them.
func TestGallery(t *testing.T) {
	dir := t.TempDir()
	n, err := Gallery(t.Context(), dir, "broken-80x24-2-nodes")
	if err != nil || n != len(looks) {
		t.Fatalf("%d pictures, %v", n, err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil || strings.Count(string(page), "<img") != n {
		t.Errorf("the page shows not all of them: %v", err)
	}
	f, err := os.Open(filepath.Join(dir, "broken-80x24-2-nodes-light.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if got := img.Bounds().Size(); got.X != 80*picture.CellWidth+2*picture.Margin || got.Y != 24*picture.CellHeight+2*picture.Margin {
		t.Errorf("the picture is %v", got)
	}
}
