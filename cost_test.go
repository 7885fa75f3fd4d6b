package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/backend/history"
	"weir/backend/timeline"
	"weir/tui/ptytest"
	"weir/views/viewstest"
)

// raw starts a program in a terminal of 200x50 without an emulator.
func raw(t *testing.T, program string, args ...string) *ptytest.Raw {
	t.Helper()
	home := t.TempDir()
	cmd := exec.Command(program, args...)
	cmd.Dir = home
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home, "TERM=xterm-256color", "TZ=UTC", "TMPDIR=" + home, "USER=ada", "LANG=C.UTF-8"}
	if n := os.Getenv("GOMAXPROCS"); n != "" {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+n)
	}
	r, err := ptytest.StartRaw(200, 50, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

// costs is the program whose costs are measured: WEIR_BINARY names another one to compare with.
func costs(t *testing.T) string {
	if path := os.Getenv("WEIR_BINARY"); path != "" {
		return path
	}
	return binary(t)
}

func drain(t *testing.T, r *ptytest.Raw, d time.Duration) int {
	t.Helper()
	n, err := r.Drain(d)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBytes measures what a console costs: bytes a second to a terminal of 200x50 at the demo's 2,000 events a second,
// live and frozen, beside btop in the same terminal. The promise is 4 KB a second live, and nothing but the clock frozen.
func TestBytes(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("WEIR_SLOW=1 measures for two minutes")
	}
	t.Parallel() // bytes are bytes, whatever else the machine does
	const measure = 20 * time.Second
	rate := func(t *testing.T, r *ptytest.Raw) float64 { return float64(drain(t, r, measure)) / measure.Seconds() }
	var young, live, fresh, frozen, other float64
	t.Run("consoles", func(t *testing.T) { // side by side, for each takes two minutes
		t.Run("live", func(t *testing.T) {
			t.Parallel()
			term := raw(t, costs(t), "demo", "--seed", "7")
			drain(t, term, 3*time.Second)
			young = rate(t, term)          // charts of a young console move every second
			drain(t, term, 70*time.Second) // then more and more slowly
			live = rate(t, term)
		})
		t.Run("frozen", func(t *testing.T) {
			t.Parallel()
			term := raw(t, costs(t), "demo", "--seed", "7")
			drain(t, term, 3*time.Second)
			if _, err := term.Answer(" ", 1, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			drain(t, term, 2*time.Second)
			fresh = rate(t, term)
			drain(t, term, 80*time.Second)
			frozen = rate(t, term)
		})
		t.Run("btop", func(t *testing.T) {
			t.Parallel()
			btop, err := exec.LookPath("btop")
			if err != nil {
				t.Skip("btop is not installed")
			}
			term := raw(t, btop, "--utf-force")
			drain(t, term, 10*time.Second)
			other = rate(t, term)
		})
	})
	fmt.Printf("| console at 200x50 | bytes/s |\n|---|--:|\n| weir, its first %.0f s, at 2,000 events/s, refresh 1 s | %.0f |\n| weir, after a minute and a half | %.0f |\n"+
		"| weir, just frozen | %.1f |\n| weir, frozen for two minutes | %.1f |\n| btop, refresh 2 s (0: not installed) | %.0f |\n", measure.Seconds(), young, live, fresh, frozen, other)
	for what, bytes := range map[string]float64{"young": young, "live": live} {
		if bytes > 4096 {
			t.Errorf("%s: %.0f bytes/s, want at most 4096", what, bytes)
		}
	}
	if fresh > 16 || frozen > 4 {
		t.Errorf("frozen: %.0f bytes/s, then %.0f, want no more than its clock", fresh, frozen)
	}
}

// TestFrozen counts how often a console that shows a recording, and so has nothing to do at all, is woken.
func TestFrozen(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("WEIR_SLOW=1 measures for half a minute")
	}
	t.Parallel() // how often it is woken is its own
	const measure = 20 * time.Second
	fmt.Printf("| doing nothing at 200x50 | bytes/s | wake-ups/s | processor |\n|---|--:|--:|--:|\n")
	row := func(name string, r *ptytest.Raw) (wakes float64) {
		before, err := r.Cost()
		if err != nil {
			t.Skip(err)
		}
		bytes := drain(t, r, measure)
		after, err := r.Cost()
		if err != nil {
			t.Fatal(err)
		}
		wakes = float64(after.Wakes-before.Wakes) / measure.Seconds()
		fmt.Printf("| %s | %.1f | %.1f | %.2f %% |\n", name, float64(bytes)/measure.Seconds(), wakes, 100*(after.CPU-before.CPU).Seconds()/measure.Seconds())
		return wakes
	}
	term := raw(t, costs(t), "replay", recording(t))
	drain(t, term, 5*time.Second)
	if wakes := row("weir replay, held", term); wakes > 20 {
		t.Errorf("woken %.0f times a second", wakes)
	}
	term.Stop()
	if btop, err := exec.LookPath("btop"); err == nil {
		other := raw(t, btop, "--utf-force")
		drain(t, other, 5*time.Second)
		row("btop, refresh 2 s", other)
	}
}

// recording writes a recording of half a minute of the sample world.
func recording(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "history.db")
	line := timeline.New()
	r, err := history.New(history.Config{Path: path, Every: time.Millisecond}, line)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	size := viewstest.Usual
	size.Ticks = 30
	for i := range size.Ticks {
		line.Append(viewstest.Snapshot(viewstest.Calm, size, i))
		for r.Status().Snapshots <= uint64(i) && r.Status().Error.IsEmpty() {
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKeyToFrame measures how long a key takes to its frame in a terminal while many events flow through the engines,
// beside btop. The promise is 16 ms at the 99th percentile with 100,000 events a second; WEIR_RATE=2000,20000 measures others.
func TestKeyToFrame(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("WEIR_SLOW=1 measures for a while")
	}
	fmt.Printf("| a key to its frame at 200x50 | p50 | p90 | p99 | worst |\n|---|--:|--:|--:|--:|\n")
	measure := func(name, key, undo string, size int, r *ptytest.Raw) {
		var took []float64
		for range 200 {
			d, err := r.Answer(key, size, 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			took = append(took, d.Seconds()*1000)
			drain(t, r, 25*time.Millisecond) // a quick typist
			if _, err := r.Answer(undo, size, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			drain(t, r, 25*time.Millisecond)
		}
		slices.Sort(took)
		at := func(share float64) float64 { return took[int(share*float64(len(took)-1))] }
		fmt.Printf("| %s | %.1f ms | %.1f ms | %.1f ms | %.1f ms |\n", name, at(0.5), at(0.9), at(0.99), at(1))
		r.Stop()
	}
	rates := "100000"
	if asked := os.Getenv("WEIR_RATE"); asked != "" {
		rates = asked
	}
	for rate := range strings.SplitSeq(rates, ",") {
		term := raw(t, costs(t), "demo", "--seed", "7", "--rate", rate)
		drain(t, term, 8*time.Second)
		measure("weir, help, "+rate+" events/s", "?", "?", 200, term)
	}
	if btop, err := exec.LookPath("btop"); err == nil {
		other := raw(t, btop, "--utf-force")
		drain(t, other, 4*time.Second)
		measure("btop, help", "h", "\x1b", 200, other)
	}
}
