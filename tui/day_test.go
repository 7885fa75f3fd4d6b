//go:build unix

package tui

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"weir/backend/timeline"
	"weir/views"
	"weir/views/viewstest"
)

// TestADay lets a console run for a simulated day, a snapshot a second: neither its memory nor the processor time of a
// frame may grow after the first two hours.
func TestADay(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("WEIR_SLOW=1 simulates 24 hours")
	}
	size := viewstest.Usual
	size.Ticks = 600
	var world []*timeline.Snapshot
	for i := range size.Ticks {
		world = append(world, viewstest.Snapshot(viewstest.Broken, size, i))
	}
	c := newConsole(t, settings{line: timeline.New(), w: 200, h: 50, profile: views.TrueColour})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	used := func() time.Duration { // unlike the clock, it hardly depends on what else the machine does
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	hours := func(from, to int) (perFrame time.Duration) {
		for i := from * 3600; i < to*3600; i++ {
			x := copyOf(world[i%len(world)])
			x.At = viewstest.Start.Add(time.Duration(i) * time.Second)
			c.rt.line.Append(x)
			c.clock = x.At
			before := used()
			c.m.Update(tickMsg{})
			c.m.View()
			perFrame += used() - before
		}
		return perFrame / time.Duration((to-from)*3600)
	}
	hours(0, 1)
	early := hours(1, 2)
	before := heap()
	hours(2, 23)
	late := hours(23, 24)
	after := heap()
	runtime.KeepAlive(c)
	t.Logf("after 2 h: heap %d KB, frame %s; after 24 h: heap %d KB, frame %s", before>>10, early, after>>10, late)
	if after > before+before/10+1<<20 {
		t.Errorf("the heap grew from %d KB to %d KB", before>>10, after>>10)
	}
	if late > 2*early {
		t.Errorf("a frame took %s at first and %s a day later", early, late)
	}
}
