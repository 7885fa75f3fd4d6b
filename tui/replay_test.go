package tui

import (
	"slices"
	"strings"
	"testing"

	"weir/backend"
	"weir/config"
	"weir/views/viewstest"
)

// replays are the replay commands that were given.
func (c *console) replays() []backend.Command {
	return slices.DeleteFunc(slices.Clone(c.rt.asked), func(x backend.Command) bool { return x.Name != "replay" })
}

func TestReplayAsksOnceAndSaysHowMany(t *testing.T) {
	c := newConsole(t, settings{})
	letters := viewstest.Snapshot(viewstest.Broken, viewstest.Usual, viewstest.Usual.Ticks-1).Pipeline.Letters.Letters
	c.keys("enter", "]", "]", "R")
	c.sees("Do this?", "1 dead letter.", "undo", "what is sent back is processed", ":replay "+letters[0].ID.String())
	c.keys("esc")
	if got := c.replays(); len(got) != 0 {
		t.Fatalf("it was replayed unasked: %+v", got)
	}
	c.keys("v", "v", "j", "v", "R") // the first, the second, the fourth, which was replayed before
	c.sees("3 marked", "3 dead letters; 1 of them were replayed before")
	c.keys("'the store is filled again", "enter")
	got := c.replays()
	want := []string{letters[0].ID.String(), letters[1].ID.String(), letters[3].ID.String()}
	if len(got) != 1 || got[0].Who != "ada" || got[0].Reason != "the store is filled again" {
		t.Fatalf("asked for %+v", got)
	}
	slices.Sort(got[0].Args)
	if slices.Sort(want); !slices.Equal(got[0].Args, want) {
		t.Errorf("replayed %v, want %v", got[0].Args, want)
	}
	c.lacks("marked")

	// All that match a filter; escape unmarks before it goes back.
	c.keys("/", "'stage:features", "enter", "V")
	c.sees("10 marked")
	c.keys("V")
	c.lacks("marked")
	c.keys("V", "esc", "esc")
	c.lacks("marked", "stage:features")
	// The letter that is open.
	c.keys("g", "enter", "R", "enter")
	if got := c.replays(); len(got) != 2 || !slices.Equal(got[1].Args, []string{letters[0].ID.String()}) {
		t.Errorf("asked for %+v", got)
	}
	// One that was replayed is not sent again.
	c.keys("esc", "j", "j", "j", "R")
	c.sees("it was replayed before")
}

func TestReadOnlyReplaysNothing(t *testing.T) {
	c := newConsole(t, settings{w: 200, h: 50, options: Options{Console: config.Console{ReadOnly: true}}})
	c.keys("enter", "]", "]")
	c.sees("not JSON")
	c.lacks("R replay", "v mark")
	c.keys("v", "V")
	c.lacks("marked")
	c.keys("R")
	c.sees("read only")
	c.lacks("Do this?")
	c.keys("?")
	c.lacks("dead letters that pass the filter", ":replay")
}

func TestPagesAskForWhatTheyShow(t *testing.T) {
	c := newConsole(t, settings{})
	asked := func() []string {
		var out []string
		for _, a := range c.rt.asked {
			out = append(out, strings.TrimSpace(a.Name+" "+strings.Join(a.Args, " ")))
		}
		c.rt.asked = nil
		return out
	}
	for _, step := range []struct {
		keys []string
		want []string
	}{
		{[]string{"enter"}, nil},
		{[]string{"enter"}, []string{"browse records 4"}},
		{[]string{"enter"}, []string{"inspect 4/2752079"}},
		{[]string{"esc", "esc", "esc", "3", "enter", "j", "enter"}, []string{"browse bin 1"}},
		{[]string{":", "'inspect 3/99120", "enter"}, []string{"inspect 3/99120"}},
	} {
		c.keys(step.keys...)
		if got := asked(); len(got) < len(step.want) || len(step.want) > 0 && got[0] != step.want[0] || len(step.want) == 0 && len(got) > 0 {
			t.Errorf("after %v: asked %q, want %q", step.keys, got, step.want)
		}
		c.send(tickMsg{})
		asked()
	}
	c.sees("Throughput → partition 3 → record 3/99120", "reading it from the broker")
}
