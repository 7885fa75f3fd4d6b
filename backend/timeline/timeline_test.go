package timeline

import (
	"testing"
	"time"
)

var start = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)

// filled is a timeline of n snapshots, one a second from start.
func filled(n int) *Timeline {
	t := New()
	for i := range n {
		t.Append(&Snapshot{At: start.Add(time.Duration(i) * time.Second)})
	}
	return t
}

func TestUntil(t *testing.T) {
	for _, c := range []struct {
		name         string
		size, n      int
		seq          uint64
		first, count uint64
	}{
		{"empty", 0, 5, 1, 0, 0},
		{"fewer than asked", 3, 5, 3, 1, 3},
		{"the last of many", 10, 4, 10, 7, 4},
		{"from the middle", 10, 4, 5, 2, 4},
		{"beyond the end", 10, 4, 99, 7, 4},
		{"after wrapping", Capacity + 10, 2, 12, 11, 2},
		{"cut by what is forgotten", Capacity + 10, 5, 12, 11, 2},
		{"forgotten", Capacity + 10, 5, 10, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := filled(c.size).Until(c.seq, c.n)
			if uint64(len(got)) != c.count || c.count > 0 && got[0].Seq != c.first {
				t.Fatalf("got %d from %v, want %d from %d", len(got), got, c.count, c.first)
			}
			for i, s := range got {
				if s.Seq != c.first+uint64(i) {
					t.Errorf("snapshot %d has Seq %d", i, s.Seq)
				}
			}
		})
	}
}

func TestFind(t *testing.T) {
	line := filled(Capacity + 100) // remembers 101 ...
	for _, c := range []struct {
		at   time.Duration
		want uint64
	}{
		{-time.Hour, 101},
		{100 * time.Second, 101},
		{200*time.Second + 500*time.Millisecond, 201},
		{1000 * time.Second, 1001},
		{24 * time.Hour, Capacity + 100},
	} {
		if got := line.Find(start.Add(c.at)); got != c.want {
			t.Errorf("Find(start+%v) = %d, want %d", c.at, got, c.want)
		}
	}
	if got := New().Find(start); got != 0 {
		t.Errorf("Find in an empty timeline = %d", got)
	}
}

func TestCursorHoldsWhileTheTimelineGrows(t *testing.T) {
	line := filled(10)
	c := NewCursor(line)
	if !c.Live() || c.Snapshot().Seq != 10 || c.Held() != 0 {
		t.Fatalf("a new cursor is at %d, live %v", c.Snapshot().Seq, c.Live())
	}
	c = c.Freeze()
	for i := 10; i < 15; i++ {
		line.Append(&Snapshot{At: start.Add(time.Duration(i) * time.Second)})
	}
	if c.Live() || c.Snapshot().Seq != 10 || c.Held() != 5*time.Second {
		t.Errorf("held at %d for %v", c.Snapshot().Seq, c.Held())
	}
	if got := c.Step(-3).Snapshot().Seq; got != 7 {
		t.Errorf("three steps back = %d", got)
	}
	if got := c.Step(-100).Snapshot().Seq; got != 1 {
		t.Errorf("a hundred steps back = %d", got)
	}
	if got := c.Step(100).Snapshot().Seq; got != 15 {
		t.Errorf("a hundred steps on = %d", got)
	}
	if got := c.Follow().Snapshot().Seq; got != 15 {
		t.Errorf("live again = %d", got)
	}
	if got := c.At(start.Add(3500 * time.Millisecond)).Snapshot().Seq; got != 4 {
		t.Errorf("at 3.5 s = %d", got)
	}
	if past := c.Past(4); len(past) != 4 || past[3].Seq != 10 {
		t.Errorf("the past of a held cursor = %v", past)
	}
}

func TestCursorOnWhatIsForgotten(t *testing.T) {
	line := filled(5)
	c := NewCursor(line).Freeze()
	for i := 5; i < Capacity+50; i++ {
		line.Append(&Snapshot{At: start.Add(time.Duration(i) * time.Second)})
	}
	if got := c.Snapshot(); got == nil || got.Seq != 51 {
		t.Errorf("a forgotten cursor shows %v, want the oldest, 51", got)
	}
}

func TestCursorOnAnEmptyTimeline(t *testing.T) {
	c := NewCursor(New())
	for name, c := range map[string]Cursor{"live": c, "frozen": c.Freeze(), "stepped": c.Step(-1), "at": c.At(start)} {
		if c.Snapshot() != nil || c.Held() != 0 || len(c.Past(3)) != 0 {
			t.Errorf("%s: an empty timeline has a snapshot", name)
		}
	}
}
