package views

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
	"weir/views/viewstest"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(12480), "12,480"}, {count(-1204), "-1,204"}, {count(9_999_999), "9,999,999"}, {count(12_500_000), "12M"},
		{short(0), "0"}, {short(0.5), "0.5"}, {short(12), "12"}, {short(999.4), "999"}, {short(999.6), "1.0k"}, {short(12_480), "12k"}, {short(1.2e6), "1.2M"},
		{short(math.NaN()), "–"}, {short(-1500), "-1.5k"},
		{rate(0), "0"}, {rate(2.25), "2.2"}, {rate(12480.4), "12,480"},
		{millis(0.31), "0.3 ms"}, {millis(3.14), "3.1 ms"}, {millis(310), "310 ms"}, {millis(3100), "3.1 s"}, {millis(52_000), "52 s"}, {millis(520_000), "8m"},
		{brief(0), "0s"}, {brief(59 * time.Second), "59s"}, {brief(14 * time.Minute), "14m"}, {brief(3 * time.Hour), "3h"}, {brief(12 * 24 * time.Hour), "12d"},
		{brief(-3 * time.Second), "-3s"},
		{span(4 * time.Second), "4 s"}, {span(125 * time.Second), "2 m 05 s"}, {span(192 * time.Minute), "3 h 12 m"},
		{bytesText(0), "0 B"}, {bytesText(812), "812 B"}, {bytesText(1812), "1.8 KB"}, {bytesText(12e6), "12 MB"}, {bytesText(-1), "–"},
		{percent(0), "0%"}, {percent(0.0004), "<0.1%"}, {percent(0.072), "7.2%"}, {percent(0.18), "18%"}, {percent(math.NaN()), "–"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestBriefAndShortKeepTheirWidth(t *testing.T) {
	for d := time.Duration(0); d < 9000*time.Hour; d = d*11/10 + time.Second {
		if s := brief(d); len(s) > 4 {
			t.Errorf("%v is %q", d, s)
		}
	}
	for v := 0.01; v < 1e15; v *= 1.07 {
		if s := short(v); len(s) > 4 {
			t.Errorf("%v is %q", v, s)
		}
		if s := millis(v); len(s) > 6 && v < 1e11 {
			t.Errorf("%v is %q", v, s)
		}
	}
}

// TestArrange draws what the layout means, a character a hundredth of the screen or so.
func TestArrange(t *testing.T) {
	for _, c := range []struct {
		name string
		w, h int
		zoom Pane
		want string
	}{
		{"80x24", 80, 24, NoPane, `
			s80x1
			1:39x9 2:41x9
			3:39x7 4:41x7
			5:80x6
			f80x1`},
		{"120x36", 120, 36, NoPane, `
			s120x1
			1:60x13 2:60x13
			3:60x12 4:60x12
			5:120x9
			f120x1`},
		{"200x50", 200, 50, NoPane, `
			s200x1
			1:100x19 2:100x19
			3:100x16 4:100x16
			5:200x13
			f200x1`},
		{"zoomed", 80, 24, Contracts, `
			s80x1
			4:80x22
			f80x1`},
		{"smallest", 60, 16, NoPane, `
			s60x1
			1:29x6 2:31x6
			3:29x4 4:31x4
			5:60x4
			f60x1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := Arrange(c.w, c.h, c.zoom)
			got := sketch(l)
			want := strings.ReplaceAll(strings.TrimSpace(c.want), "\t", "")
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	if !Arrange(59, 16, NoPane).TooSmall || !Arrange(60, 15, NoPane).TooSmall || Arrange(60, 16, NoPane).TooSmall {
		t.Error("the smallest screen is 60x16")
	}
}

func sketch(l Layout) string {
	size := func(r Rect) string { return digits(int64(r.W)) + "x" + digits(int64(r.H)) }
	rows := []string{"s" + size(l.Status)}
	y := -1
	for p, r := range l.Panes {
		if r.W == 0 {
			continue
		}
		cell := string(rune('1'+p)) + ":" + size(r)
		if r.Y == y {
			rows[len(rows)-1] += " " + cell
		} else {
			rows = append(rows, cell)
		}
		y = r.Y
	}
	return strings.Join(append(rows, "f"+size(l.Foot)), "\n")
}

func TestLayoutCoversEveryCellOnce(t *testing.T) {
	for w := MinWidth; w < 260; w += 3 {
		for h := MinHeight; h < 90; h++ {
			l := Arrange(w, h, NoPane)
			cells := 0
			for p, r := range l.Panes {
				cells += r.W * r.H
				if got := l.PaneAt(r.X, r.Y); got != Pane(p) {
					t.Fatalf("%dx%d: %v is covered by %v", w, h, Pane(p), got)
				}
				if r.H < 3 {
					t.Fatalf("%dx%d: %v has %d rows", w, h, Pane(p), r.H)
				}
			}
			if cells != w*(h-2) {
				t.Fatalf("%dx%d: the panes have %d cells, want %d", w, h, cells, w*(h-2))
			}
		}
	}
}

func TestFilter(t *testing.T) {
	rows := [][2]string{{"edge-1", "ok"}, {"edge-2", "down"}, {"core:7", "ok"}}
	table := &Table{Rows: len(rows), Columns: []Column{
		{Title: "NODE", Cell: func(i int) (Style, string) { return Plain, rows[i][0] }},
		{Title: "STATE", Cell: func(i int) (Style, string) { return Plain, rows[i][1] }},
	}}
	for filter, want := range map[string]string{
		"": "012", "edge": "01", "EDGE": "01", "state:ok": "02", "!state:ok": "1", "edge !down": "0", "core:7": "2", "node:core:7": "2",
		"state:edge": "", "!": "012", "nothing": "",
	} {
		got := ""
		for i := range table.Rows {
			if ParseFilter(filter).match(table, i) {
				got += digits(int64(i))
			}
		}
		if got != want {
			t.Errorf("%q passes %q, want %q", filter, got, want)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("state:ok !x")
	f.Add("!!:")
	table := &Table{Rows: 1, Columns: []Column{{Title: "A", Cell: func(int) (Style, string) { return Plain, "ok" }}}}
	f.Fuzz(func(_ *testing.T, s string) { ParseFilter(s).match(table, 0) })
}

// FuzzLine: whatever is put, a line is as wide as asked for, and holds no byte a terminal would act on but ours.
func FuzzLine(f *testing.F) {
	for _, a := range viewstest.Attacks {
		f.Add(a, 20)
	}
	dark := NewTheme(Palettes[0], TrueColour, false)
	ascii := NewTheme(Palettes[0], NoColour, true)
	f.Fuzz(func(t *testing.T, s string, w int) {
		w = min(max(w, 0), 300)
		text := safetext.Clean(s).String()
		for _, theme := range []*Theme{dark, ascii} {
			row := theme.NewLine(w).Put(Bad, text).Field(Plain, theme.clipMiddle(text, 9), 9, true).String()
			plain := ansi.Strip(row)
			if got := ansi.StringWidthWc(plain); got != w {
				t.Fatalf("%q is %d cells wide, want %d", plain, got, w)
			}
			if got := ansi.StringWidth(plain); got != w {
				t.Fatalf("%q is %d graphemes wide, want %d", plain, got, w)
			}
			if strings.ContainsAny(plain, "\x1b\r\n\t\a\x00") {
				t.Fatalf("%q holds a control", plain)
			}
			if theme.ASCII {
				for i := range len(row) {
					if row[i] >= 0x80 {
						t.Fatalf("%q is not ASCII", row)
					}
				}
			}
		}
	})
}

func TestClipMiddleKeepsBothEnds(t *testing.T) {
	theme := NewTheme(Palettes[0], NoColour, false)
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{{"commerce/user_events", 20, "commerce/user_events"}, {"commerce/user_events", 13, "commer…events"}, {"abcdef", 3, "ab…"}, {"漢字テスト", 7, "漢…ト"}} {
		if got := theme.clipMiddle(c.in, c.w); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.in, c.w, got, c.want)
		}
	}
}

func TestChartMovesByWholeCells(t *testing.T) {
	rate := func(x *timeline.Snapshot) float64 { return x.Pipeline.EventsPerSecond }
	past := func(n int) []*timeline.Snapshot {
		var out []*timeline.Snapshot
		for i := range n {
			out = append(out, &timeline.Snapshot{At: viewstest.Start.Add(time.Duration(i) * time.Second), Tick: time.Second,
				Pipeline: &pipeline.Snapshot{EventsPerSecond: float64(100 + i%7)}})
		}
		return out
	}
	changed := 0
	for n := 200; n < 260; n++ {
		a, b := buckets(past(n), 40, 5*time.Second, false, rate), buckets(past(n+1), 40, 5*time.Second, false, rate)
		same := true
		for i := range a[:38] {
			same = same && (a[i] == b[i] || math.IsNaN(a[i]) && math.IsNaN(b[i]))
		}
		if !same {
			changed++
		}
	}
	if changed > 6 {
		t.Errorf("a chart of 10 s a cell moved %d times in a minute", changed)
	}
}

func TestNoDataIsNotZero(t *testing.T) {
	theme := NewTheme(Palettes[0], NoColour, false)
	row := func(v float64) string {
		l := theme.NewLine(4)
		plot{theme: theme, w: 4, h: 1, top: 10, values: []float64{v, v, v, v, v, v, v, v}}.row(l, 0)
		return ansi.Strip(l.String())
	}
	if row(0) == row(math.NaN()) || row(0) == row(0.1) {
		t.Errorf("zero %q, none %q, little %q", row(0), row(math.NaN()), row(0.1))
	}
}

// TestAnOutboxThatOpensIsNotEmpty: what waits in it is not known yet.
func TestAnOutboxThatOpensIsNotEmpty(t *testing.T) {
	s := viewstest.Snapshot(viewstest.Calm, viewstest.Usual, 0)
	s.Edge.Cloud.Outbox, s.Edge.Cloud.Opening = 0, true
	scene := &Scene{Snap: s, Zone: time.UTC, Theme: NewTheme(Palettes[0], NoColour, false)}
	for _, text := range []string{scene.cloudLine(&s.Edge.Cloud, 80), strings.Join(scene.cloud(s.Edge, 80), "\n"), strings.Join(scene.Summary(), "\n")} {
		if text = ansi.Strip(text); !strings.Contains(text, "opening") || strings.Contains(text, "outbox 0") || strings.Contains(text, "0 aggregates waiting") {
			t.Error(text)
		}
	}
}

// TestAContractThatIsJudgedInPartIsNoPass: its row must not look like one that holds.
func TestAContractThatIsJudgedInPartIsNoPass(t *testing.T) {
	s := viewstest.Snapshot(viewstest.Calm, viewstest.Usual, 0)
	draw := func() string {
		scene := &Scene{Snap: s, Theme: NewTheme(Palettes[0], NoColour, false)}
		style, text := scene.finding(&s.Mesh.Products[0], s.Mesh)
		return fmt.Sprint(style, text)
	}
	s.Mesh.Products[0].State, s.Mesh.Products[0].Unjudged = mesh.Holds, 0
	whole := draw()
	s.Mesh.Products[0].Unjudged = 2
	if part := draw(); part == whole || !strings.Contains(part, "2 checks that cannot be judged") {
		t.Errorf("%s, and in part %s", whole, part)
	}
}

func TestPaletteFile(t *testing.T) {
	p, err := ParsePalette("x.json", []byte(`{"name":"dusk","base":"light","accent":"#5fb8d6"}`))
	if err != nil || p.Accent.Index != 74 || p.Bad != Palettes[1].Bad {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = ParsePalette("x.yaml", []byte("# mine\nname: dusk\nbase: light # as by day\naccent: \"#5fb8d6\"\n"))
	if err != nil || p.Accent.Index != 74 || p.Bad != Palettes[1].Bad {
		t.Errorf("%+v, %v", p, err)
	}
	for bad, want := range map[string]string{`[]`: "expected keys", `{}`: "name", `{"name":"auto"}`: "x:1: name", `{"name":"x","base":"y"}`: "x:1: base",
		`{"name":"x","acent":"#000000"}`: "unknown key", `{"name":"x","bad":"red"}`: "#5fb8d6", `{"name":"x","bad":"#12345g"}`: "#5fb8d6",
		"name: x\nbad: #123456\n": "x:2: bad: expected a text", "name: x\n\nwarn: \"#12\"\n": "x:3: warn", "name: x\nname: y\n": "already defined", "name: [x": "x",
		"name: x\n---\nname: y\n": "one document", "": "expected"} {
		if _, err := ParsePalette("x", []byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", bad, err, want)
		}
	}
}

// FuzzPalette: whatever a theme file holds, it is a palette or an error.
func FuzzPalette(f *testing.F) {
	f.Add([]byte("name: x\nbad: \"#123456\"\n"))
	f.Add([]byte(`{"name":"x","base":"light"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := ParsePalette("x", data); err == nil && p.Name == "" {
			t.Error("a palette without a name")
		}
	})
}

// TestWindowOfAContract names the records a product is judged on, and those that wait for the pipeline.
// TestASampleLeadsToItsRecord: of a topic that no pipeline reads, too, whatever value it was that failed.
func TestASampleLeadsToItsRecord(t *testing.T) {
	s := viewstest.Snapshot(viewstest.Broken, viewstest.Usual, viewstest.Usual.Ticks-1)
	p := &s.Mesh.Products[slices.IndexFunc(s.Mesh.Products, func(p mesh.Product) bool { return p.State == mesh.Broken })]
	m := &p.Issues[0].Samples[0]
	m.Value, m.Record = safetext.Clean("-5"), safetext.Clean("{id: 7, email: •••, amount: -5}")
	scene := &Scene{Snap: s, Zone: time.UTC, Theme: NewTheme(Palettes[0], NoColour, false)}
	text := strings.Join(strings.Fields(ansi.Strip(strings.Join(scene.sample(Page{}, p, issueKey(&p.Issues[0]), place(m.Partition, m.Offset), 80).Table.Text, "\n"))), " ")
	for _, want := range []string{"THE VALUE THAT FAILS -5 ", "THE RECORD, SENSITIVE COLUMNS MASKED {id: 7, email: •••, amount: -5}"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// TestFindingsOfALintKeepTheirDistance: the longest place they have does not run into what is said.
func TestFindingsOfALintKeepTheirDistance(t *testing.T) {
	scene := &Scene{Theme: NewTheme(Palettes[0], NoColour, false)}
	f := scene.facts(80)
	scene.findings(f, &mesh.Product{Findings: []mesh.Finding{{Severity: "warning", Policy: true, Line: 1234, Message: safetext.Clean("column phone looks sensitive")}}})
	if text := ansi.Strip(strings.Join(f.rows, "\n")); !strings.Contains(text, "line 1234 column phone") {
		t.Error(text)
	}
}

func TestWindowOfAContract(t *testing.T) {
	m := &mesh.Snapshot{Window: 5 * time.Minute}
	for want, p := range map[string]*mesh.Product{
		"the last 5m":        {},
		"the last 10m":       {Window: 10 * time.Minute},
		"the newest 100,000": {WindowRows: 100_000},
	} {
		if got := window(m, p); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}
