package tui

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"weir/backend/mesh"
	"weir/config"
	"weir/views"
	"weir/views/viewstest"
)

func TestFocusAndZoom(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys("2")
	if c.m.console.Focus != views.EdgeNodes {
		t.Fatalf("focus is %v", c.m.console.Focus)
	}
	c.keys("tab")
	if c.m.console.Focus != views.Predictions {
		t.Fatalf("focus is %v", c.m.console.Focus)
	}
	c.keys("shift+tab", "enter")
	c.sees("2 Edge nodes", " Cloud ", "Groups", "SITE")
	c.lacks("5 Events")
	c.keys("esc")
	c.sees("5 Events")
	c.keys("4", "4")
	c.sees("VERSION")
	c.lacks("5 Events")
}

func TestDrillFromPaneToRecord(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys("4", "enter", "enter")
	c.sees("Contracts → commerce/user_events", "max_null_percentage", "Columns", "About")
	c.keys("enter")
	c.sees("email null 7.2% > 5%", "899 of 12,480 rows", "0/99120")
	c.keys("enter")
	c.sees("kcat -C -t user_events -p 0 -o 99120 -c 1", `"email":null`)
	c.keys("esc", "esc", "esc", "esc")
	c.sees("5 Events")
}

// TestASampleIsReadOn opens a row that breaks a rule; then newer rows take its place, then the rule holds.
func TestASampleIsReadOn(t *testing.T) {
	line := viewstest.Timeline(viewstest.Broken, viewstest.Usual)
	c := newConsole(t, settings{line: line})
	c.keys("4", "enter", "enter", "enter", "enter")
	c.sees("kcat -C -t user_events -p 0 -o 99120 -c 1")
	c.lacks("as of")
	next := viewstest.Snapshot(viewstest.Broken, viewstest.Usual, viewstest.Usual.Ticks)
	product := slices.IndexFunc(next.Mesh.Products, func(p mesh.Product) bool { return len(p.Issues) > 0 })
	m := *next.Mesh
	m.Products = slices.Clone(m.Products)
	m.Products[product].Issues = nil
	next.Mesh = &m
	line.Append(next)
	c.send(tickMsg{})
	c.sees("kcat -C -t user_events -p 0 -o 99120 -c 1", "as of", "newer rows have replaced it", `"email":null`)
	c.keys("enter")
	c.sees("Throughput → partition 0 → record 0/99120")
}

// TestEscapesThatComeAtOnce has keys arrive in one read after an escape, which terminals tell as alt.
func TestEscapesThatComeAtOnce(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys("4", "enter", "enter", "enter", "enter")
	c.sees("kcat -C -t user_events -p 0 -o 99120 -c 1")
	c.keys("alt+esc", "alt+esc")
	c.sees("5 Events")
	c.keys("enter", "enter", "alt+enter")
	c.sees("Contracts → commerce/user_events", "max_null_percentage", "About")
	c.keys("alt+2")
	c.sees("2 Edge nodes", "edge-node-03")
	c.keys("alt+:")
	c.sees("export fault filter group help")
	c.keys("'po", "alt+esc")
	c.lacks("export fault filter group help")
}

func TestSectionsOfThroughput(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys("enter")
	c.sees("p4", "stall", "HIGH WATERMARK")
	c.keys("]", "]")
	c.sees("not JSON")
	c.keys("enter")
	c.sees("SENSITIVE FIELDS MASKED")
	c.keys("esc", "]")
	c.sees("LinearClassifier", "FEATURE STORE")
	c.keys("]")
	c.sees("MACHINE OPS-1")
	c.keys("]")
	c.sees("HIGH WATERMARK")
}

func TestEventHoldsEveryPaneAtItsMoment(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys("5", "enter", "j", "enter")
	c.sees("HELD 20 s", "WHAT CHANGED between 07:31:46.0, before it, and 07:31:47.0", "ok again after 40 s")
	c.keys("<")
	c.sees("between 07:31:37.0 and 07:31:46.0, just before it, 9 s later")
	c.keys("end")
	c.sees("07:32:07.0, 21 s later", "dead letters")
	c.keys("esc")
	c.lacks("WHAT CHANGED")
	c.keys("g", "j", "enter", "enter")
	c.sees("HELD 20 s", "1 Throughput", "5 Events")
	c.keys("l")
	c.sees("LIVE 07:32:07")
}

func TestCursorFollowsIdentity(t *testing.T) {
	c := newConsole(t, settings{state: viewstest.Calm})
	c.keys("2", "j", "j", "j")
	key := c.m.focused().Cursor
	if key == "" || c.m.focused().Index != 3 {
		t.Fatalf("cursor %q at %d", key, c.m.focused().Index)
	}
	// The next snapshot is of a broken world: three nodes sort before the others now.
	next := viewstest.Snapshot(viewstest.Broken, viewstest.Usual, viewstest.Usual.Ticks-1)
	c.rt.line.Append(next)
	c.send(tickMsg{})
	l := c.m.focused()
	if l.Cursor != key {
		t.Fatalf("the cursor moved from %s to %s", key, l.Cursor)
	}
	if got := c.m.screen.Panes[views.EdgeNodes].Keys[l.Index]; got != key {
		t.Fatalf("the cursor's index shows %s, want %s", got, key)
	}
	// Unless it was never moved: then the worst is under it.
	c.keys("g")
	if got := c.m.screen.Panes[views.EdgeNodes].Level.Index; got != 0 {
		t.Fatalf("index %d after g", got)
	}
}

// TestARecordingIsNeverLive: its newest snapshot is its end, and no clock of today's measures its age.
func TestARecordingIsNeverLive(t *testing.T) {
	c := newConsole(t, settings{options: Options{Recording: true}})
	c.clock = c.clock.Add(48 * time.Hour)
	c.keys("left", "l")
	c.sees("REPLAY")
	c.lacks("LIVE", "age 172", "age 48h", "age 2d")
}

func TestFreezeStepAndLive(t *testing.T) {
	c := newConsole(t, settings{})
	c.sees("● LIVE 07:32:07 UTC")
	c.keys("space")
	c.sees("HELD 0 s")
	c.rt.line.Append(viewstest.Snapshot(viewstest.Broken, viewstest.Usual, viewstest.Usual.Ticks))
	c.send(tickMsg{})
	c.sees("HELD 1 s", "07:32:07 UTC")
	c.keys("left", "left")
	c.sees("HELD 3 s", "07:32:05")
	c.keys("shift+left")
	c.sees("HELD 13 s")
	c.keys("home")
	c.sees("HELD 5 m 00 s")
	c.lacks("stall")
	c.keys("end", "right")
	c.sees("HELD 0 s")
	c.keys("space")
	c.sees("● LIVE")
	c.keys(":", "'at -2m", "enter")
	c.sees("HELD 2 m 00 s", "07:30:08")
	c.keys(":", "'at 07:31", "enter")
	c.sees("07:31:00")
	c.keys(":", "'at yesterday", "enter")
	c.sees("expected a time such as 14:32")
}

// TestSmallScreenKeepsWhatMatters: where not all has room, what is wrong and the way to help stay.
func TestSmallScreenKeepsWhatMatters(t *testing.T) {
	c := newConsole(t, settings{w: 60, h: 16})
	c.sees("1 partition stalled +6", "? help", "p99 240 ms")
	c.keys("enter", "]", "]")
	c.sees("R replay", "? help")
	for _, row := range strings.Split(c.text(), "\n") {
		if strings.Contains(row, "Throughput  ─") {
			t.Errorf("a gap for a title that had no room: %q", row)
		}
	}
}

// TestReadOnlyHelp: help offers no key that a read-only console lacks.
func TestReadOnlyHelp(t *testing.T) {
	o := Options{}
	o.Console.ReadOnly = true
	c := newConsole(t, settings{w: 120, h: 120, options: o})
	c.keys("?")
	c.sees("poll the node")
	c.lacks("quarantine that node", "replay the marked")
}

// TestWheelLeavesAPromptAlone: a filter being typed, and a question, stay with the pane they were begun in.
func TestWheelLeavesAPromptAlone(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys("2", "/", "'ber")
	c.send(tea.MouseWheelMsg{Button: tea.MouseWheelDown, X: 10, Y: 30}) // over the events
	c.keys("'lin", "enter")
	if got := c.m.console.Paths[views.EdgeNodes][0].Filter; got != "berlin" || c.m.console.Focus != views.EdgeNodes {
		t.Errorf("the filter of the nodes is %q, the focus on %v", got, c.m.console.Focus)
	}
}

// TestHelpBeginsHere: help tells of the pane in focus first, of its own keys only.
func TestHelpBeginsHere(t *testing.T) {
	c := newConsole(t, settings{w: 120, h: 40})
	c.keys("2", "enter", "?")
	here, rest, _ := strings.Cut(c.text(), "Panes ")
	for _, want := range []string{"Here, in Edge nodes", "poll the node", "open: node"} {
		if !strings.Contains(here, want) {
			t.Errorf("%q is not told of first:\n%s", want, c.text())
		}
	}
	if strings.Contains(here, "dead letter") || !strings.Contains(rest, "next pane") {
		t.Errorf("help reads:\n%s", c.text())
	}
}

// TestQuestionsAreWorthAsking: no confirmation of what cannot be done, and the way back is told as it is to be typed.
func TestQuestionsAreWorthAsking(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys(":", "'fault", "enter")
	c.sees("fault expects NAME [DURATION] | clear NAME")
	c.lacks("Do this?")
	c.keys(":", "'fault node-down 30s", "enter")
	c.sees("Do this?", "yes, by :fault clear node-down", "enter does it", "esc cancels")
	c.keys("esc", ":", "'fault clear node-down", "enter")
	c.sees("Do this?", "yes, by another :fault")
	c.keys("esc", ":", "'replay 0/17 1/4", "enter")
	c.sees("touches       2 dead letters")
	c.keys("esc", ":", "'replay stage=decode", "enter")
	c.sees("every dead letter in their topic that matches")
	c.keys("esc", ":", "'re", "enter")
	c.sees("re could be resume or replay")
	c.keys("v")
	c.sees("there are no dead letters to mark here")
}

// TestOnlyListsAreFiltered: where there is no list, the keys for lists say so, and no count of rows claims otherwise.
func TestOnlyListsAreFiltered(t *testing.T) {
	c := newConsole(t, settings{})
	for _, where := range [][]string{nil, {"enter", "[", "["}} { // the overview's figures, a text
		c.keys(where...)
		for _, try := range [][]string{{"/"}, {":", "'filter foo", "enter"}, {"s"}, {"S"}} {
			c.keys(try...)
			c.sees("there is no list here to")
			c.lacks("/foo", "in the pane's own order")
		}
	}
}

func TestFilterAndSort(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys("2", "/", "'site:berlin !ok", "enter")
	c.sees("/site:berlin !ok 1 of 14", "edge-node-07")
	c.lacks("edge-node-11")
	c.keys("esc")
	c.sees("edge-node-11")
	c.keys("/", "'no-such-node")
	c.sees("Nothing matches no-such-node: 14 hidden.")
	c.keys("esc", "s")
	c.sees("sorted by NODE", "NODE↓")
	c.keys("S")
	c.sees("NODE↑")
}

func TestCommandsCompleteAskAndAnswer(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys(":", "'po", "tab")
	if got := c.m.prompt.text(); got != "poll " {
		t.Fatalf("completed to %q", got)
	}
	c.keys("enter")
	c.sees("done: poll")
	c.keys(":", "'fault nu", "tab")
	if got := c.m.prompt.text(); got != "fault null-spike " {
		t.Fatalf("completed to %q", got)
	}
	c.keys("enter")
	c.sees("Do this?", ":fault null-spike", "yes, by :fault clear null-spike", "reason:")
	if len(c.rt.asked) != 1 {
		t.Fatalf("it was done before it was confirmed: %v", c.rt.asked)
	}
	c.keys("'drill", "enter")
	got := c.rt.asked[1]
	if got.Name != "fault" || got.Args[0] != "null-spike" || got.Reason != "drill" || got.Who != "ada" {
		t.Fatalf("asked for %+v", got)
	}
	c.keys(":", "'pause", "enter", "esc")
	if len(c.rt.asked) != 2 {
		t.Fatalf("esc did not cancel: %v", c.rt.asked)
	}
	c.keys(":", "up", "up")
	if got := c.m.prompt.text(); got != "fault null-spike" {
		t.Fatalf("history gave %q", got)
	}
	c.rt.fail = errors.New("the world said no")
	c.keys("ctrl+u", "'poll", "enter")
	c.sees("the world said no")
	c.keys(":", "'nonsense", "enter")
	c.sees("there is no command nonsense")
}

func TestReadOnlyLacksCommandsThatChange(t *testing.T) {
	c := newConsole(t, settings{options: Options{Console: config.Console{ReadOnly: true}}})
	c.sees("read only")
	c.keys(":", "'pause", "enter")
	c.sees("there is no command pause")
	c.keys("?")
	c.lacks(":pause", "asks first")
}

func TestQuit(t *testing.T) {
	for _, keys := range [][]string{{"q"}, {"ctrl+c"}, {":", "'q", "enter"}, {"/", "ctrl+c"}} {
		c := newConsole(t, settings{})
		c.keys(keys...)
		if !c.quit {
			t.Errorf("%v did not quit", keys)
		}
	}
}

func TestMouse(t *testing.T) {
	c := newConsole(t, settings{})
	r := c.m.screen.Bodies[views.EdgeNodes]
	click := func(x, y int) { c.send(tea.MouseClickMsg{X: x, Y: y, Button: tea.MouseLeft}) }
	click(r.X+3, r.Y+3)
	if c.m.console.Focus != views.EdgeNodes || c.m.focused().Index != 2 {
		t.Fatalf("focus %v, row %d", c.m.console.Focus, c.m.focused().Index)
	}
	click(r.X+3, r.Y+3)
	if !c.m.console.Zoomed {
		t.Fatal("the second click did not open")
	}
	c.keys("esc", "m")
	if v := c.m.View(); v.MouseMode != tea.MouseModeNone {
		t.Fatal("m did not hand the mouse back")
	}
}

func TestCopyAndExport(t *testing.T) {
	c := newConsole(t, settings{})
	t.Chdir(t.TempDir())
	c.keys("2", "y")
	c.sees("copied edge-node-11  lisbon  down")
	c.lacks(`\x09`)
	c.keys(":", "'export csv nodes.csv", "enter")
	c.sees("wrote ")
	c.keys(":", "'export csv nodes.csv", "enter")
	c.sees("file exists")
	c.keys("e", "enter")
	c.sees("wrote ", "weir-edge-nodes-20261122T073207Z.md")
	c.keys("enter", "[", "e", "enter") // another section at the same moment
	c.sees("wrote ", "weir-edge-nodes-20261122T073207Z-2.md")
	text, err := os.ReadFile("weir-edge-nodes-20261122T073207Z-2.md")
	if err != nil || !strings.HasPrefix(string(text), "## Edge nodes, Cloud\n") {
		t.Fatalf("exported %v:\n%s", err, text)
	}
}

func TestTrouble(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys("5", "!")
	if c.m.console.Focus != views.Throughput {
		t.Fatalf("focus %v", c.m.console.Focus)
	}
}

func TestEverySizeIsDrawnExactly(t *testing.T) {
	c := newConsole(t, settings{})
	for _, zoomed := range []bool{false, true} {
		c.m.console.Zoomed = zoomed
		for w := 1; w <= 210; w += 7 {
			for h := 1; h <= 60; h += 3 {
				c.send(tea.WindowSizeMsg{Width: w, Height: h})
				rows := strings.Split(c.text(), "\n")
				if len(rows) != h {
					t.Fatalf("%dx%d: %d rows", w, h, len(rows))
				}
				for y, row := range rows {
					if got := len([]rune(row)); got != w && w >= views.MinWidth {
						t.Fatalf("%dx%d: row %d has %d cells: %q", w, h, y, got, row)
					}
				}
			}
		}
	}
}

func TestPanicEndsInOrder(t *testing.T) {
	c := newConsole(t, settings{})
	c.m.rt = nil // whatever asks it next panics
	_, cmd := c.m.Update(tea.KeyPressMsg{Code: tea.KeyHome})
	if cmd == nil || c.m.crash == "" {
		t.Fatal("the panic was not caught")
	}
	if _, ok := cmd().(tea.QuitMsg); !ok {
		t.Fatal("a panic must quit")
	}
	c.m.View()
}

func TestKeysAreRebound(t *testing.T) {
	c := newConsole(t, settings{options: Options{Console: config.Console{Keys: map[string][]string{"freeze": {"f"}}}}})
	c.keys("f")
	c.sees("HELD")
	for _, own := range []map[string][]string{{"freez": {"f"}}, {"freeze": {"q"}}, {"pane": {"1"}}} {
		if _, err := newKeymap(own); err == nil {
			t.Errorf("%v was accepted", own)
		}
	}
}

// TestThemesArePreviewed: a theme is seen while it is named, and kept by enter only.
func TestThemesArePreviewed(t *testing.T) {
	c := newConsole(t, settings{profile: views.TrueColour})
	dark := c.m.theme
	c.keys(":", "'theme l")
	if c.m.theme.Name != "light" {
		t.Fatalf("it shows %s", c.m.theme.Name)
	}
	c.keys("esc")
	if c.m.theme.Name != dark.Name || c.m.palette != "auto" {
		t.Fatalf("esc left %s, %s", c.m.theme.Name, c.m.palette)
	}
	c.keys(":", "'theme c", "backspace", "'x", "backspace", "'l", "tab", "enter")
	if c.m.theme.Name != "light" || c.m.palette != "light" {
		t.Fatalf("enter chose %s", c.m.theme.Name)
	}
	c.keys(":", "'theme colour", "enter")
	c.sees("there is no theme colour")
	if c.m.theme.Name != "light" {
		t.Fatalf("it shows %s", c.m.theme.Name)
	}
}

// TestConfigurationKnowsTheBindings keeps the names a configuration may use those of the one table.
func TestConfigurationKnowsTheBindings(t *testing.T) {
	if got, want := strings.Join(config.Bindings, " "), strings.Join(bindingNames(), " "); got != want {
		t.Errorf("config.Bindings are\n%s\nthe table has\n%s", got, want)
	}
}

func TestKeysNeedNothingSpecial(t *testing.T) {
	for _, b := range bindings {
		for _, k := range b.Keys() {
			if strings.Contains(k, "alt+") || k == "ctrl+b" || k == "ctrl+a" || len(k) > 1 && k[0] == 'f' && k[1] >= '1' && k[1] <= '9' {
				t.Errorf("%s: %s needs alt, a function key or a multiplexer's prefix", b.name, k)
			}
		}
	}
}

// TestIncidents goes from the first screen to what is wrong, what to do about it, and its evidence.
func TestIncidents(t *testing.T) {
	c := newConsole(t, settings{})
	c.sees("i why")
	c.keys("i")
	c.sees("9 open incidents", "contract broken", "nodes down", "lisbon: edge-node-11")
	c.keys("/", "'contract", "enter", "enter")
	c.sees("critical since 07:30:", "WHAT IT TOUCHES", "ml-ranking", "then tell commerce-data@example.com", "WHAT HAPPENED", "injected by ada")
	c.keys("enter")
	c.sees("Contracts → commerce/user_events", "max_null_percentage")
	c.keys(":", "'incidents", "enter")
	c.sees("partitions stall")
	c.keys("/", "'stall", "enter", "enter", "enter")
	c.sees("Throughput → partition 4")
	c.keys(":", "'incidents", "enter", "/", "'invalid", "enter", "enter", "enter")
	c.sees("/state:invalid 1 of 14", "edge-node-09")
	calm := newConsole(t, settings{state: viewstest.Calm})
	calm.lacks("i why")
	calm.keys("i")
	calm.sees("nothing is wrong", "As far as weir knows, nothing is wrong")
}

func TestLineage(t *testing.T) {
	c := newConsole(t, settings{})
	c.keys("4", "enter", "enter", "]", "]")
	c.sees("WHAT FEEDS IT", "feature view user_profile  age, location", "WHO USES IT", "product ○ growth/sessions no data", "consumer ml-ranking")
	c.keys("]")
	c.sees("FINDINGS OF ITS LINT", "policy", "has no classification", "line 7")
}
