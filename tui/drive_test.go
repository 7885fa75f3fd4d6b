package tui

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"weir/backend"
	"weir/backend/timeline"
	"weir/views"
	"weir/views/viewstest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fakeRuntime is a runtime of literals. It records what it is asked to do.
type fakeRuntime struct {
	line  *timeline.Timeline
	asked []backend.Command
	fail  error
}

func (f *fakeRuntime) Timeline() *timeline.Timeline { return f.line }

func (f *fakeRuntime) Commands() []backend.CommandSpec {
	return []backend.CommandSpec{
		{Name: "pause", Summary: "stop taking events; the lag grows, nothing is lost", Changes: true},
		{Name: "resume", Summary: "take events again after pause", Changes: true},
		{Name: "poll", Summary: "poll every edge node now"},
		{Name: "fault", Usage: "NAME [DURATION] | clear NAME", Summary: "make the demo world misbehave", Changes: true,
			Complete: func(prefix string) []string {
				var out []string
				for _, n := range []string{"node-down", "node-slow", "null-spike"} {
					if strings.HasPrefix(n, prefix) {
						out = append(out, n)
					}
				}
				return out
			}},
		{Name: "mark", Usage: "TEXT", Summary: "write a note into the events"},
		{Name: "inspect", Usage: "PARTITION/OFFSET", Summary: "read one event from the broker"},
		{Name: "replay", Usage: "PARTITION/OFFSET… | all", Summary: "send dead letters through the pipeline again", Changes: true},
	}
}

func (f *fakeRuntime) Do(_ context.Context, c backend.Command) (string, error) {
	f.asked = append(f.asked, c)
	return "done: " + c.Name, f.fail
}

func (f *fakeRuntime) Subscribe() (<-chan struct{}, func()) {
	return make(chan struct{}, 1), func() {}
}

// console drives a model synchronously: keys go in, commands are carried out at once, the screen is read.
type console struct {
	t  testing.TB
	rt *fakeRuntime
	m  *Model
	// what commands produced
	quit  bool
	clock time.Time
}

type settings struct {
	state   viewstest.State
	size    viewstest.Size
	line    *timeline.Timeline // in place of a new one of that state and size
	w, h    int
	profile views.Profile
	options Options
}

func newConsole(t testing.TB, s settings) *console {
	t.Helper()
	if s.size == (viewstest.Size{}) {
		s.size = viewstest.Usual
	}
	if s.state == "" {
		s.state = viewstest.Broken
	}
	if s.w == 0 {
		s.w, s.h = 120, 36
	}
	line := s.line
	if line == nil {
		line = viewstest.Timeline(s.state, s.size)
	}
	c := &console{t: t, rt: &fakeRuntime{line: line}, clock: viewstest.Start.Add(400 * time.Millisecond)}
	s.options.Now = func() time.Time { return c.clock }
	s.options.Console.TimeZone, s.options.Console.Refresh = "utc", time.Second
	s.options.Who = "ada"
	m, err := New(t.Context(), c.rt, s.options, s.profile)
	if err != nil {
		t.Fatal(err)
	}
	c.m = m
	m.lastTick = c.clock
	c.send(tea.WindowSizeMsg{Width: s.w, Height: s.h})
	return c
}

func (c *console) send(msg tea.Msg) {
	c.t.Helper()
	_, cmd := c.m.Update(msg)
	if c.m.crash != "" {
		c.t.Fatalf("panic: %s", c.m.crash)
	}
	c.m.View()
	if c.m.crash != "" {
		c.t.Fatalf("panic: %s", c.m.crash)
	}
	switch msg.(type) {
	case tickMsg, clockMsg: // they ask for the next one, which a test sends itself
	default:
		c.carry(cmd)
	}
}

func (c *console) carry(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case nil:
	case tea.QuitMsg:
		c.quit = true
	case saidMsg:
		c.send(msg)
	case lookMsg:
		c.send(msg)
	case tea.BatchMsg:
		for _, cmd := range msg {
			c.carry(cmd)
		}
	}
}

// keys types keys by name, or a text in quotes rune by rune.
func (c *console) keys(names ...string) {
	c.t.Helper()
	for _, n := range names {
		if text, ok := strings.CutPrefix(n, "'"); ok {
			for _, r := range text {
				c.send(tea.KeyPressMsg{Code: r, Text: string(r)})
			}
			continue
		}
		c.send(keyOf(n))
	}
}

func (c *console) screen() string { return c.m.frame }

func (c *console) text() string { return ansi.Strip(c.m.frame) }

func (c *console) sees(texts ...string) {
	c.t.Helper()
	for _, x := range texts {
		if !strings.Contains(c.text(), x) {
			c.t.Fatalf("the screen lacks %q:\n%s", x, c.text())
		}
	}
}

func (c *console) lacks(texts ...string) {
	c.t.Helper()
	for _, x := range texts {
		if strings.Contains(c.text(), x) {
			c.t.Fatalf("the screen should not show %q:\n%s", x, c.text())
		}
	}
}

// golden compares with testdata/name, or rewrites it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s is missing: run the test with -update and look at it", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("%s differs (-update rewrites it):\n%s", path, d)
	}
}
