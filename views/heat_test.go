package views

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"weir/backend/edge"
	"weir/backend/safetext"
	"weir/backend/timeline"
	"weir/views/viewstest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with testdata/name, or rewrites it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run the test with -update and look at it", err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("%s differs (-update rewrites it):\n%s", path, d)
	}
}

var sizes = [][2]int{{80, 24}, {120, 36}, {200, 50}}

// fleetOf is the scene of a sample world with n nodes, and a console on the map of its fleet.
func fleetOf(state viewstest.State, n int, profile Profile, ascii bool) (*Scene, Console) {
	size := viewstest.Usual
	size.Nodes = n
	x := viewstest.Snapshot(state, size, size.Ticks-1)
	c := NewConsole()
	c.Focus, c.Zoomed = EdgeNodes, true
	c.Paths[EdgeNodes] = []Level{{Section: MapSection}}
	return &Scene{Now: x.At, Snap: x, Past: []*timeline.Snapshot{x}, Live: true, Zone: time.UTC, Theme: NewTheme(Palettes[0], profile, ascii)}, c
}

// TestMapScreens holds the map of a fleet in every state and at three sizes to its golden files, and two of them in every
// look, escapes and all.
func TestMapScreens(t *testing.T) {
	for _, state := range []viewstest.State{viewstest.Calm, viewstest.Broken, viewstest.Empty, viewstest.Hostile} {
		for _, size := range sizes {
			for _, nodes := range []int{14, 1000} {
				s, c := fleetOf(state, nodes, TrueColour, false)
				screen := s.Draw(size[0], size[1], c, Chrome{})
				if len(screen.Lines) != size[1] {
					t.Fatalf("%d rows, want %d", len(screen.Lines), size[1])
				}
				for y, row := range screen.Lines {
					if err := CheckRow(row, size[0]); err != nil {
						t.Fatalf("%s %v row %d: %v", state, size, y, err)
					}
				}
				if nodes == 1000 && size[0] < 200 {
					golden(t, fmt.Sprintf("map/%s-%dx%d.txt", state, size[0], size[1]), ansi.Strip(screen.String())+"\n")
				}
			}
		}
	}
	for name, look := range map[string]struct {
		profile Profile
		ascii   bool
	}{"truecolour": {TrueColour, false}, "no-colour": {NoColour, false}, "ascii": {NoColour, true}} {
		s, c := fleetOf(viewstest.Broken, 100, look.profile, look.ascii)
		c.Paths[EdgeNodes][0].Cursor = s.Snap.Edge.NodeData[10].URL.String()
		screen := s.Draw(80, 24, c, Chrome{})
		text := screen.String()
		for i := range len(text) {
			if look.ascii && text[i] >= 0x80 {
				t.Fatalf("byte %d of the ASCII map is %#x", i, text[i])
			}
		}
		golden(t, "map/look-"+name+".txt", strings.ReplaceAll(text, "\x1b", "␛")+"\n")
	}
}

// TestMapShowsEveryState: each state has a sign of its own, in ASCII too, and a cell of several nodes shows the worst.
func TestMapShowsEveryState(t *testing.T) {
	for ascii := range 2 {
		seen := map[string]bool{}
		for _, g := range heatGlyphs[ascii] {
			if seen[g] || cells(g) != 1 {
				t.Errorf("the sign %q is another's, or is not one cell wide", g)
			}
			seen[g] = true
		}
	}
	s, _ := fleetOf(viewstest.Calm, 900, NoColour, false)
	e := s.Snap.Edge
	for i := range heatOrder { // the worst last in its cell, among healthy ones
		n := *e.NodeData[30*i+6]
		n.State = heatOrder[i]
		e.NodeData[30*i+6] = &n
	}
	m := s.newHeat(e, "site", "")
	m.per = 5
	for i, want := range heatOrder {
		at, ok := m.find(e.NodeData[30*i+6].URL.String())
		if _, state := m.worst(at); !ok || heatOrder[state] != want {
			t.Errorf("the cell of a node that is %s shows %s", want, heatOrder[state])
		}
	}
}

// TestMapFitsAndIsComplete: whatever the size and the number of groups, every node is in exactly one cell, every place has
// a key that leads back to it, and steps end where they should.
func TestMapFitsAndIsComplete(t *testing.T) {
	for _, nodes := range []int{1, 14, 333, 1000, 10_000} {
		for _, groups := range []int{1, 3, 17, 40, 120} {
			if nodes == 10_000 && groups != 3 && groups != 120 {
				continue
			}
			s, _ := fleetOf(viewstest.Broken, nodes, NoColour, false)
			for i, n := range s.Snap.Edge.NodeData {
				n.Labels = map[string]safetext.Text{"rack": safetext.Sprintf("rack-%03d", i%groups)}
			}
			for _, size := range sizes {
				m := s.newHeat(s.Snap.Edge, "rack", "")
				m.fit(size[0]-4, size[1]-8)
				seen := 0
				number := 0
				for g := range m.groups {
					for cell := -1; cell < m.width(g); cell++ {
						at := spot{g, cell}
						if m.number(at) != number || m.spot(number) != at {
							t.Fatalf("%d nodes, %d groups, %v: place %v is number %d, and %d is %v", nodes, groups, size, at, m.number(at), number, m.spot(number))
						}
						x, y := m.place(at)
						if back := m.at(x, y); back != at || x >= m.w {
							t.Fatalf("%d nodes, %d groups, %v: %v stands at %d,%d, where %v is", nodes, groups, size, at, x, y, back)
						}
						if number%97 == 0 { // it looks at every node
							if back, ok := m.find(m.key(at)); !ok || back != at {
								t.Fatalf("%v leads back to %v", at, back)
							}
						}
						if cell >= 0 {
							seen += len(m.nodes(at))
						}
						number++
					}
				}
				if seen != nodes || m.count() != number {
					t.Fatalf("%d of %d nodes are in cells, %d of %d places", seen, nodes, number, m.count())
				}
				if m.rows() > max(size[1]-8, len(m.groups)) || m.per > max(1, nodes/100) {
					t.Errorf("%d nodes in %d groups take %d rows of %d, %d nodes a cell", nodes, groups, m.rows(), size[1]-8, m.per)
				}
			}
		}
	}
}

// TestMapStandsStill: states change, and every node stays in the cell it was in, as long as its group stays where it was.
func TestMapStandsStill(t *testing.T) {
	where := func(state viewstest.State) map[string]int {
		s, _ := fleetOf(state, 1000, NoColour, false)
		m := s.newHeat(s.Snap.Edge, "site", "")
		m.fit(76, 16)
		at := map[string]int{}
		for _, n := range s.Snap.Edge.NodeData {
			spot, _ := m.find(n.URL.String())
			at[n.URL.String()] = spot.cell
		}
		return at
	}
	if d := cmp.Diff(where(viewstest.Calm), where(viewstest.Broken)); d != "" {
		t.Errorf("nodes moved when some broke:\n%s", d)
	}
}

func TestMapGroups(t *testing.T) {
	s, c := fleetOf(viewstest.Calm, 30, NoColour, false)
	e := s.Snap.Edge
	bad := *e.NodeData[1] // the second of three sites
	bad.State, bad.Reachable, bad.Valid, bad.Error = edge.Down, false, false, safetext.Clean("connection refused")
	e.NodeData[1] = &bad
	delete(e.NodeData[5].Labels, "site")
	draw := func() string { return ansi.Strip(strings.Join(s.Draw(120, 30, c, Chrome{}).Lines, "\n")) }
	text := draw()
	at := func(part string) int {
		t.Helper()
		i := strings.Index(text, part)
		if i < 0 {
			t.Fatalf("%q is missing:\n%s", part, text)
		}
		return i
	}
	if at("lisbon") > at("berlin") || at("berlin") > at("oslo") || at("oslo") > at("no site") {
		t.Errorf("the worst group is not first, or the others not by name, or those without a site not last:\n%s", text)
	}
	at("by site, worst first")
	c.Paths[EdgeNodes][0] = Level{Section: MapSection, By: "region"}
	text = draw()
	at("by region")
	c.Paths[EdgeNodes][0].Filter = "state:down"
	text = draw()
	at("/state:down 1 of 30")
	at("1 node   ✕ 1 down")
	c.Paths[EdgeNodes][0].Filter = "nothing-like-it"
	text = draw()
	at("Nothing matches nothing-like-it: 30 hidden.")
	c.Paths[EdgeNodes] = []Level{{Section: MapSection}, {Key: groupKey("site", "lisbon")}}
	text = draw()
	at("Edge nodes → lisbon")
	at("9 of 10 of lisbon reporting")
	c.Paths[EdgeNodes][1].Key = groupKey("site", "elsewhere")
	text = draw()
	at("No node had site elsewhere at this moment.")
}
