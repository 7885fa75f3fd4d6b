package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"

	"weir/backend"
	"weir/backend/edge"
	"weir/backend/safetext"
	"weir/views"
	"weir/views/viewstest"
)

// fleetRuntime has the fleet's commands, too.
type fleetRuntime struct{ fakeRuntime }

func (f *fleetRuntime) Commands() []backend.CommandSpec {
	return append(f.fakeRuntime.Commands(),
		backend.CommandSpec{Name: "quarantine", Usage: "NODE [REASON]", Summary: "stop polling a node", Changes: true,
			Check: func(args []string) error {
				if args[0] == "nosuch" {
					return errors.New("there is no node nosuch")
				}
				return nil
			}},
		backend.CommandSpec{Name: "release", Usage: "NODE [REASON]", Summary: "end a quarantine", Changes: true},
		backend.CommandSpec{Name: "requeue", Summary: "send again what the cloud refused", Changes: true},
		backend.CommandSpec{Name: "watch", Usage: "NODE", Summary: "carry a node's polls", Unasked: true})
}

// fleetConsole is a console over a sample world with n nodes and the fleet's commands.
func fleetConsole(t testing.TB, state viewstest.State, n, w, h int) *console {
	t.Helper()
	size := viewstest.Usual
	size.Nodes, size.Ticks = n, 2
	c := newConsole(t, settings{state: state, size: size, w: w, h: h, profile: views.TrueColour})
	rt := &fleetRuntime{fakeRuntime{line: c.rt.line}}
	c.m.rt, c.rt = rt, &rt.fakeRuntime
	return c
}

func (c *console) asked(want ...string) {
	c.t.Helper()
	var got []string
	for _, a := range c.rt.asked {
		if a.Name != "watch" {
			got = append(got, strings.TrimSpace(a.Name+" "+strings.Join(a.Args, " ")+" "+a.Reason))
		}
	}
	if !slices.Equal(got, want) {
		c.t.Fatalf("asked for %q, want %q", got, want)
	}
}

// TestACommandThatCannotWorkIsNotAskedAbout: what is wrong with its arguments is said before a confirmation and a reason.
func TestACommandThatCannotWorkIsNotAskedAbout(t *testing.T) {
	c := fleetConsole(t, viewstest.Broken, 14, 120, 36)
	c.keys(":", "'quarantine nosuch", "enter")
	c.sees("there is no node nosuch")
	c.keys("esc", ":", "'requeue everything", "enter")
	c.sees("requeue expects nothing after it, found everything")
	c.lacks("reason:")
	c.asked()
	c.keys("esc", ":", "'quarantine edge-node-03", "enter")
	c.sees("reason:")
	c.keys("enter")
	c.asked("quarantine edge-node-03")
}

// TestWhatTheConsoleAsksByItselfIsNotOffered: it is understood all the same.
func TestWhatTheConsoleAsksByItselfIsNotOffered(t *testing.T) {
	c := fleetConsole(t, viewstest.Broken, 14, 120, 36)
	c.keys(":", "'wa", "tab")
	c.lacks("watch")
	c.sees("no command begins with wa")
	c.keys("enter")
	c.sees("there is no command wa")
	for _, g := range c.m.helpView() {
		for _, row := range g.Rows {
			if strings.HasPrefix(row.Key, ":watch") {
				t.Error("the help offers watch")
			}
		}
	}
	c.keys("esc", ":", "'watch edge-node-03", "enter")
	if n := len(c.rt.asked); n == 0 || c.rt.asked[n-1].Name != "watch" {
		t.Errorf("asked for %+v", c.rt.asked)
	}
}

// TestMapIsWalked: arrows go over the cells, enter opens the node or the group, esc comes back to where one was.
func TestMapIsWalked(t *testing.T) {
	c := fleetConsole(t, viewstest.Broken, 14, 120, 36)
	c.keys("2", "enter", "]")
	c.sees("by site, worst first", "each cell is a node")
	line := func() string { // what stands under the cursor
		rows := strings.Split(c.text(), "\n")
		return strings.Trim(rows[len(rows)-4], "│ ")
	}
	under := func(want string) {
		t.Helper()
		if got := line(); !strings.Contains(got, want) {
			t.Fatalf("under the cursor is %q, want %q:\n%s", got, want, c.text())
		}
	}
	under("oslo  4 nodes")
	c.keys("right", "right", "right")
	under("edge-node-09 invalid")
	c.keys("enter")
	c.sees("Edge nodes → edge-node-09", "p poll", "x quarantine")
	c.keys("esc")
	under("edge-node-09 invalid")
	c.keys("left", "left", "left")
	under("oslo  4 nodes")
	c.keys("left")
	under("oslo  4 nodes")
	c.keys("down")
	under("edge-node-03")
	c.keys("down")
	under("lisbon  5 nodes")
	c.keys("G")
	under("edge-node-")
	c.keys("g")
	under("oslo  4 nodes")
	c.keys("j", "j", "enter")
	c.sees("Edge nodes → lisbon", "4 of 5 of lisbon reporting")
	c.lacks("edge-node-09")
	c.keys("j", "enter")
	c.sees("Edge nodes → edge-node-02")
	c.keys("esc")
	c.sees("Edge nodes → lisbon")
	c.keys("esc")
	under("lisbon  5 nodes")
	// Arrows never moved the time.
	if !c.m.cursor.Live() {
		t.Error("the screen is held")
	}
	c.keys("<")
	if c.m.cursor.Live() {
		t.Error("a leap in time does not work on a map")
	}
}

// TestMapFollowsIdentity: the cursor stays on its node when groups change places, when the map is filtered and when it is
// grouped otherwise.
func TestMapFollowsIdentity(t *testing.T) {
	c := fleetConsole(t, viewstest.Calm, 30, 120, 36)
	c.keys("2", "enter", "]", "right", "right")
	c.sees("edge-node-04 ok")
	url := c.m.focused().Cursor
	x := viewstest.Snapshot(viewstest.Calm, viewstest.Size{Nodes: 30, Partitions: 6, Products: 6, Ticks: 5}, 4)
	bad := *x.Edge.NodeData[2]
	bad.State, bad.Error = edge.Down, safetext.Clean("connection refused")
	x.Edge.NodeData[2] = &bad // oslo becomes the worst group
	c.rt.line.Append(x)
	c.send(tickMsg{})
	if c.sees("✕ oslo  10 nodes"); c.m.focused().Cursor != url {
		t.Errorf("the cursor went from %s to %s", url, c.m.focused().Cursor)
	}
	c.sees("edge-node-04 ok")
	c.keys("/", "'edge-node-0", "enter")
	c.sees("/edge-node-0 9 of 30", "edge-node-04 ok")
	c.keys("esc", "b")
	c.sees("by region, worst first")
	c.keys("b")
	c.sees("by site, worst first")
	c.keys(":", "'group re", "tab", "enter")
	c.sees("by region, worst first")
	c.keys(":", "'group colour", "enter")
	c.sees("group expects a label that nodes have, one of region, site")
	c.keys("]", "[")
	c.sees("by region, worst first") // it stays
}

// TestMapIsClicked: a click goes to a cell, a second opens it.
func TestMapIsClicked(t *testing.T) {
	c := fleetConsole(t, viewstest.Broken, 14, 120, 36)
	c.keys("2", "enter", "]")
	row := slices.IndexFunc(strings.Split(c.text(), "\n"), func(l string) bool { return strings.Contains(l, "··■·") })
	click := tea.MouseClickMsg{X: 2 + 2 + 2, Y: row, Button: tea.MouseLeft}
	c.send(click)
	c.sees("edge-node-09 invalid")
	c.send(click)
	c.sees("Edge nodes → edge-node-09")
}

// TestNodeKeys: p polls, x asks for a reason and takes out or lets back in, on a node's page, in the list and on the map.
func TestNodeKeys(t *testing.T) {
	c := fleetConsole(t, viewstest.Broken, 14, 120, 36)
	c.keys("p") // pane 1: no node here
	c.sees("there is no node here")
	c.keys("2", "enter", "enter", "p")
	c.asked("poll http://127.0.0.1:41010")
	c.keys("x")
	c.sees("Do this?", ":quarantine http://127.0.0.1:41010", "edge-node-11, now down", "yes, by :release")
	c.keys("'its disk is changed", "enter")
	c.asked("poll http://127.0.0.1:41010", "quarantine http://127.0.0.1:41010 its disk is changed")
	c.keys("x", "esc") // asked, and thought better of
	if len(c.rt.asked) != 2 {
		t.Errorf("asked for %v", c.rt.asked)
	}
	// In the list it is the row under the cursor; one in quarantine is released.
	x := c.rt.line.Newest()
	y := *x
	e := *x.Edge
	y.Edge, e.NodeData = &e, slices.Clone(e.NodeData)
	held := *e.NodeData[10]
	held.State, held.Quarantine = edge.Quarantined, &edge.Hold{By: safetext.Clean("ada"), Reason: safetext.Clean("its disk is changed"), Since: y.At}
	e.NodeData[10] = &held
	c.rt.line.Append(&y)
	c.send(tickMsg{})
	c.sees("quarantine    by ada", "its disk is changed", "x release")
	c.keys("x")
	c.sees(":release http://127.0.0.1:41010")
	c.keys("'new disk", "enter")
	c.keys("esc", "g", "j", "p")
	c.asked("poll http://127.0.0.1:41010", "quarantine http://127.0.0.1:41010 its disk is changed", "release http://127.0.0.1:41010 new disk",
		"poll http://127.0.0.1:41006")
	c.keys("]", "p") // on the map, a group's name is no node
	c.sees("there is no node here")
	c.keys("right", "p")
	if last := c.rt.asked[len(c.rt.asked)-1]; last.Name != "poll" || !strings.HasPrefix(last.Args[0], "http://127.0.0.1:410") {
		t.Errorf("asked for %v", last)
	}
	c.keys(":", "'requeue", "enter")
	c.sees("Do this?", "the aggregates the cloud refused: 0 so far", "what is refused again becomes a dead letter again")
}

// TestNodeKeysReadOnly: a console that may only look has no key that changes the world.
func TestNodeKeysReadOnly(t *testing.T) {
	c := fleetConsole(t, viewstest.Broken, 14, 120, 36)
	c.m.options.Console.ReadOnly = true
	c.keys("2", "enter", "enter")
	c.lacks("x quarantine")
	c.keys("x")
	c.sees("this console cannot quarantine nodes")
	c.asked()
}

// TestTenThousand types and walks in a list and a map of ten thousand nodes.
func TestTenThousand(t *testing.T) {
	for _, size := range [][2]int{sizes[0], sizes[2]} {
		c := fleetConsole(t, viewstest.Broken, 10_000, size[0], size[1])
		c.keys("2", "enter")
		c.sees("down") // the worst first
		c.keys("/", "'edge-node-7777")
		c.sees("1 of 10,000", "edge-node-7777")
		c.keys("enter", "j", "esc", "]")
		c.sees("by site")
		for _, k := range []string{"right", "right", "down", "pgdown", "G", "left", "pgup", "g", "right"} {
			c.keys(k)
			checkScreen(t, c, size[0], size[1])
		}
		c.keys("enter") // a cell of several opens its group, with the cursor on the worst of the cell
		if size[0] == 80 {
			c.sees("Edge nodes → ")
			if node, ok := c.m.node(); !ok || node.State != string(edge.Down) {
				t.Errorf("under the cursor is %+v", node)
			}
		}
	}
}

// BenchmarkFleet draws the panes of 10,000 nodes at 200x50: what a tick and a key cost. The frame of the whole console with
// 1,000 nodes stands beside it, for which the promise is 3 ms.
func BenchmarkFleet(b *testing.B) {
	for _, bench := range []struct {
		name  string
		nodes int
		keys  []string
	}{
		{"console/1000", 1000, nil}, {"console/10000", 10_000, nil}, {"list/10000", 10_000, []string{"2", "enter", "j"}},
		{"sorted/10000", 10_000, []string{"2", "enter", "s", "s", "s"}},
		{"filtered/10000", 10_000, []string{"2", "enter", "/", "'node-77"}}, {"state/10000", 10_000, []string{"2", "enter", "/", "'state:down"}},
		{"map/1000", 1000, []string{"2", "enter", "]"}}, {"map/10000", 10_000, []string{"2", "enter", "]", "right", "down"}},
		{"map-filtered/10000", 10_000, []string{"2", "enter", "]", "/", "'state:down"}},
		{"group/10000", 10_000, []string{"2", "enter", "]", "enter"}}, {"node/10000", 10_000, []string{"2", "enter", "enter"}},
	} {
		b.Run(fmt.Sprint(bench.name), func(b *testing.B) {
			c := fleetConsole(b, viewstest.Broken, bench.nodes, 200, 50)
			c.keys(bench.keys...)
			b.ReportAllocs()
			for b.Loop() {
				c.m.dirty = true
				c.m.View()
			}
		})
	}
}
