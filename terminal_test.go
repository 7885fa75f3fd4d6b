package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/tui/ptytest"
)

// see waits for a text on the screen.
func see(t *testing.T, term *ptytest.Terminal, pattern string) {
	t.Helper()
	if err := term.Wait(regexp.MustCompile(pattern), 30*time.Second); err != nil {
		t.Fatal(err)
	}
}

func press(t *testing.T, term *ptytest.Terminal, keys string) {
	t.Helper()
	if err := term.Send(keys); err != nil {
		t.Fatal(err)
	}
}

// TestTriage drives the real program through a whole triage: a contract breaks, down to the record, freeze, back to
// before it broke, export, quit.
func TestTriage(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the real program for some seconds")
	}
	term := shell(t, 120, 36, binary(t))
	press(t, term, "weir demo --seed 11 --fault schema-break@4s\r")
	see(t, term, "14 of 14 reporting")
	see(t, term, `contracts? broken`)
	press(t, term, "!")
	see(t, term, `enter zoom`)
	press(t, term, "\r")
	see(t, term, "FINDING")
	press(t, term, "\r")
	see(t, term, "Issues   Columns   About")
	press(t, term, "\r")
	see(t, term, "counts as")
	press(t, term, " ")
	see(t, term, "HELD")
	press(t, term, ":export json evidence.json\r")
	see(t, term, "wrote .*evidence.json")
	press(t, term, ":at -9s\r") // before it broke: the evidence is not of this moment
	see(t, term, "holds at this moment|not registered")
	press(t, term, "l")
	see(t, term, "LIVE")
	press(t, term, "q")
	see(t, term, "weir demo --seed 11")
	press(t, term, "grep -c '\"at\"' evidence.json; stty -a | grep -o ' echo '; exit\r")
	if err := term.Exit(20 * time.Second); err != nil {
		t.Error(err)
	}
	see(t, term, `(?m)1$`)
	see(t, term, `(?m)^ echo$`)
	if left := term.LeftOver(); len(left) > 0 {
		t.Errorf("the terminal was left with %s", strings.Join(left, ", "))
	}
}

// direct starts the console itself, without a shell.
func direct(t *testing.T, weir string, w, h int, args ...string) *ptytest.Terminal {
	t.Helper()
	home := t.TempDir()
	cmd := exec.Command(weir, args...)
	cmd.Dir = home
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home, "TERM=xterm-256color", "TZ=UTC", "TMPDIR=" + home, "USER=ada"}
	term, err := ptytest.Start(w, h, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(term.Stop)
	return term
}

// TestConsoleEndsInOrder: however the console is ended, the terminal is as it was, and the demo world's folder is gone.
func TestConsoleEndsInOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the real program for some seconds")
	}
	weir := binary(t)
	for name, end := range map[string]func(*ptytest.Terminal) error{
		"q":       func(x *ptytest.Terminal) error { return x.Send("q") },
		"ctrl+c":  func(x *ptytest.Terminal) error { return x.Send("\x03") },
		"SIGTERM": func(x *ptytest.Terminal) error { return x.Process().Signal(syscall.SIGTERM) },
		"SIGHUP":  func(x *ptytest.Terminal) error { return x.Process().Signal(syscall.SIGHUP) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term := direct(t, weir, 80, 24, "demo")
			see(t, term, "reporting")
			if err := term.Resize(100, 30); err != nil {
				t.Fatal(err)
			}
			see(t, term, "1 Throughput")
			if err := end(term); err != nil {
				t.Fatal(err)
			}
			if err := term.Exit(20 * time.Second); err != nil {
				t.Error(err)
			}
			if left := term.LeftOver(); len(left) > 0 {
				t.Errorf("the terminal was left with %s", strings.Join(left, ", "))
			}
		})
	}
	t.Run("lost terminal", func(t *testing.T) {
		t.Parallel()
		term := direct(t, weir, 80, 24, "demo")
		see(t, term, "reporting")
		term.Hangup()
		if err := term.Exit(20 * time.Second); err != nil && !strings.Contains(err.Error(), "signal: hangup") {
			t.Error(err)
		}
	})
}

// TestWelcome: without a configuration the console asks, and never makes data up.
func TestWelcome(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the real program")
	}
	term := direct(t, binary(t), 80, 24)
	see(t, term, "Open the demo world")
	press(t, term, "i")
	if err := term.Exit(10 * time.Second); err != nil {
		t.Error(err)
	}
	if left := term.LeftOver(); len(left) > 0 {
		t.Errorf("the terminal was left with %s", strings.Join(left, ", "))
	}
}

// TestSlowLink: over a line that takes 8 KB a second the console stays usable: what is shown is the newest.
func TestSlowLink(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the real program for some seconds")
	}
	term := direct(t, binary(t), 120, 36, "demo")
	see(t, term, "reporting")
	term.Slow(time.Second / 8000)
	press(t, term, "2\r") // a whole new screen
	see(t, term, "SITE|FAILS")
	press(t, term, "\x1b")
	see(t, term, "1 Throughput")
	press(t, term, " ")
	see(t, term, "HELD")
	term.Slow(0)
	press(t, term, "q")
	if err := term.Exit(20 * time.Second); err != nil {
		t.Error(err)
	}
}

// TestBytes measures what a console costs: bytes a second to a terminal of 200x50 at the demo's 2,000 events a second,
// live and frozen, beside btop in the same terminal. The promise is 4 KB a second live.
func TestBytes(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("WEIR_SLOW=1 measures for a minute")
	}
	weir := binary(t)
	const measure = 20 * time.Second
	rate := func(term *ptytest.Terminal) float64 {
		before := term.Total()
		time.Sleep(measure)
		return float64(term.Total()-before) / measure.Seconds()
	}
	term := direct(t, weir, 200, 50, "demo", "--seed", "7")
	see(t, term, "all is well")
	young := rate(term)          // charts of a young console move every second
	time.Sleep(70 * time.Second) // then more and more slowly
	live := rate(term)
	press(t, term, " ")
	see(t, term, "HELD")
	frozen := rate(term)
	term.Stop()
	fmt.Printf("| console at 200x50 | bytes/s |\n|---|--:|\n| weir, its first %.0f s, at 2,000 events/s, refresh 1 s | %.0f |\n| weir, after a minute and a half | %.0f |\n| weir, frozen | %.0f |\n", measure.Seconds(), young, live, frozen)
	if live > 4096 {
		t.Errorf("live: %.0f bytes/s, want at most 4096", live)
	}
	if frozen > 64 {
		t.Errorf("frozen: %.0f bytes/s, want no more than its clock", frozen)
	}
	btop, err := exec.LookPath("btop")
	if err != nil {
		fmt.Println("| btop | not installed |")
		return
	}
	other := direct(t, btop, 200, 50, "--utf-force")
	time.Sleep(10 * time.Second)
	fmt.Printf("| btop, refresh 2 s | %.0f |\n", rate(other))
	other.Stop()
	if _, err := os.Stat(filepath.Join(os.TempDir(), "btop")); err == nil {
		t.Log("btop left its files")
	}
}

// TestKeyToFrame measures how long a key takes to its frame in a terminal while many events flow through the engines.
// The promise is 16 ms at the 99th percentile.
func TestKeyToFrame(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("WEIR_SLOW=1 measures for a while")
	}
	rate := os.Getenv("WEIR_RATE")
	if rate == "" {
		rate = "20000"
	}
	term := direct(t, binary(t), 200, 50, "demo", "--seed", "7", "--rate", rate)
	see(t, term, "14 of 14 reporting")
	see(t, term, "6 hold")
	open, closed := regexp.MustCompile("Keys and commands"), regexp.MustCompile("enter zoom")
	var took []time.Duration
	for i := range 200 {
		key, want := "?", open
		if i%2 == 1 {
			key, want = "?", closed
		}
		start := time.Now()
		press(t, term, key)
		if err := term.Wait(want, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(start))
		time.Sleep(20 * time.Millisecond) // a quick typist
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	fmt.Printf("| key to its frame at 200x50, %s events/s | p50 %.1f ms | p99 %.1f ms |\n", rate, p50.Seconds()*1000, p99.Seconds()*1000)
}
