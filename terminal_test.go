package main

import (
	"os/exec"
	"regexp"
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

// TestTriage drives the real program through a whole triage: a contract breaks, what it touches and what to do, down to
// the record, freeze, back to before it broke, export, quit.
func TestTriage(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the real program for some seconds")
	}
	term := shell(t, 120, 36, binary(t))
	press(t, term, "weir demo --seed 11 --fault null-spike@5s\r")
	see(t, term, "14 of 14 reporting")
	see(t, term, `contracts? broken`)
	see(t, term, "i why")
	press(t, term, "i")
	see(t, term, `open incidents?`)
	press(t, term, "/contract\r")
	see(t, term, `/contract \d+ of \d+`)
	press(t, term, "\r")
	see(t, term, "WHAT IT TOUCHES")
	see(t, term, "see the failing rows, then tell")
	press(t, term, "\r") // enter: from the incident to its evidence, the rule, the samples, the record
	see(t, term, "Issues   Columns   Lineage   About")
	press(t, term, "\r")
	see(t, term, "counts as")
	press(t, term, " ")
	see(t, term, "HELD")
	press(t, term, "\r")
	see(t, term, "kcat -C -t user_events")
	press(t, term, ":export json evidence.json\r")
	see(t, term, "wrote .*evidence.json")
	press(t, term, "\x1b[H") // home: the oldest moment there is, when nothing was broken yet
	see(t, term, "holds at this moment|not registered|have not reported|not configured|not among the samples")
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

// TestASCIIByItself: where TERM or the locale says so the console draws with ASCII only, unless it is told otherwise.
func TestASCIIByItself(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the real program")
	}
	weir := binary(t)
	for _, c := range []struct {
		variable, flag string
		ascii          bool
	}{
		{"TERM=linux", "", true},
		{"LC_ALL=C", "", true},
		{"TERM=linux", "--ascii=false", false},
		{"LANG=C.UTF-8", "", false},
		{"LANG=C.UTF-8", "--ascii", true},
	} {
		args := []string{}
		if c.flag != "" {
			args = append(args, c.flag)
		}
		home := t.TempDir()
		cmd := exec.Command(weir, args...)
		cmd.Dir = home
		cmd.Env = []string{"HOME=" + home, "TERM=xterm-256color", c.variable}
		term, err := ptytest.Start(80, 24, cmd)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(term.Stop)
		see(t, term, "Open the demo world") // all of it is painted at once
		if text := term.Text(); strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) == c.ascii {
			t.Errorf("%s %s:\n%s", c.variable, c.flag, text)
		}
		press(t, term, "q")
		if err := term.Exit(10 * time.Second); err != nil {
			t.Error(err)
		}
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

// TestSuspend: ctrl+z gives the terminal back to the shell, fg brings the console back as it was.
func TestSuspend(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the real program for some seconds")
	}
	term := shell(t, 100, 30, binary(t))
	press(t, term, "set -m; weir demo\r")
	see(t, term, "reporting")
	press(t, term, "2")
	press(t, term, "\x1a")
	see(t, term, `(?m)^\$ *$`)
	if left := term.LeftOver(); len(left) > 0 {
		t.Errorf("the shell was left with %s", strings.Join(left, ", "))
	}
	press(t, term, "stty -a | grep -o ' echo '; echo again$((1+1))\r")
	see(t, term, "(?m)^again2")
	see(t, term, `(?m)^ echo$`)
	press(t, term, "fg\r")
	see(t, term, "1 Throughput")
	see(t, term, "reporting")
	press(t, term, "?")
	see(t, term, "Keys and commands")
	press(t, term, "q") // closes the help
	press(t, term, "q")
	see(t, term, "again2")
	press(t, term, "exit\r")
	if err := term.Exit(20 * time.Second); err != nil {
		t.Error(err)
	}
	if left := term.LeftOver(); len(left) > 0 {
		t.Errorf("the terminal was left with %s", strings.Join(left, ", "))
	}
}
