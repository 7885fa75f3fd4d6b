package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/tui/ptytest"
)

// build makes the real program, once for all tests that need it.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weir-test-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "weir")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return path, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

var builtIn string // the folder build made, if it did

// TestMain removes the program that build made.
func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// binary is the path of the real program.
func binary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// shell starts a shell in a terminal, with weir in its PATH and a home of its own.
func shell(t *testing.T, w, h int, weir string, env ...string) *ptytest.Terminal {
	t.Helper()
	home := t.TempDir()
	cmd := exec.Command("sh", "-i")
	cmd.Dir = home
	cmd.Env = append([]string{"PATH=" + filepath.Dir(weir) + ":/usr/bin:/bin", "HOME=" + home, "PS1=$ ", "ENV=", "TERM=xterm-256color", "COLORTERM=truecolor",
		"TZ=UTC", "TMPDIR=" + home, "USER=ada"}, env...)
	term, err := ptytest.Start(w, h, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(term.Stop)
	if err := term.Wait(regexp.MustCompile(`(?m)^\$ $|^\$$`), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	return term
}

// TestDemoTape plays demo.tape against the program in a pseudo-terminal: every text it waits for must appear. With
// WEIR_RECORD=dir the sleeps are kept and the screens written there, as frames of a film.
func TestDemoTape(t *testing.T) {
	if testing.Short() {
		t.Skip("plays the whole tape")
	}
	text, err := os.ReadFile("demo.tape")
	if err != nil {
		t.Fatal(err)
	}
	tape, err := ptytest.ParseTape(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"FontFamily", "FontSize", "Width", "Height", "Theme", "WaitTimeout", "TypingSpeed"} {
		if tape.Settings[setting] == "" {
			t.Errorf("the tape does not fix its %s", setting)
		}
	}
	if tape.Columns() < 120 || tape.Rows() < 30 {
		t.Fatalf("the tape is %dx%d", tape.Columns(), tape.Rows())
	}
	term := shell(t, tape.Columns(), tape.Rows(), binary(t), "LC_ALL=C") // whatever the locale of who records it
	film := newFilm(t, term)
	started := time.Now()
	for _, step := range tape.Steps {
		t.Logf("%5.1f s: line %d", time.Since(started).Seconds(), step.Line)
		switch {
		case step.Await != nil:
			patience := step.Patience
			if patience == 0 {
				patience = time.Minute
			}
			if err := term.Wait(step.Await, patience); err != nil {
				t.Fatalf("demo.tape:%d: %v", step.Line, err)
			}
		case step.Show != nil:
			if film.rolling = *step.Show; film.rolling && !strings.Contains(term.Text(), "╭") {
				t.Errorf("demo.tape:%d: the console is drawn without frames", step.Line)
			}
		case step.Pause > 0:
			film.pause(step.Pause)
		default:
			film.typing(step.Keys)
		}
	}
	if err := term.Send("exit\r"); err != nil {
		t.Fatal(err)
	}
	if err := term.Exit(20 * time.Second); err != nil {
		t.Error(err)
	}
	if left := term.LeftOver(); len(left) > 0 {
		t.Errorf("the terminal was left with %s", strings.Join(left, ", "))
	}
}

// film writes the screen many times a second while it rolls, or does nothing at all.
type film struct {
	t       *testing.T
	term    *ptytest.Terminal
	dir     string
	rolling bool
	n       int
}

const frameTime = time.Second / 12

func newFilm(t *testing.T, term *ptytest.Terminal) *film {
	return &film{t: t, term: term, dir: os.Getenv("WEIR_RECORD")}
}

func (f *film) pause(d time.Duration) {
	if f.dir == "" {
		return // a test waits for texts, never for a time
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(frameTime) {
		f.frame()
	}
}

func (f *film) frame() {
	if f.dir == "" || !f.rolling {
		return
	}
	f.n++
	if err := os.WriteFile(filepath.Join(f.dir, fmt.Sprintf("%05d.ans", f.n)), []byte(f.term.ANSI()), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// typing sends keys one by one; an escape sequence is one key.
func (f *film) typing(keys string) {
	for _, k := range regexp.MustCompile(`\x1b\[[0-9;]*[A-Z~]|(?s:.)`).FindAllString(keys, -1) {
		if err := f.term.Send(k); err != nil {
			f.t.Fatal(err)
		}
		if k == "\x1b" { // a lone escape is told from a sequence by what does not follow it
			time.Sleep(100 * time.Millisecond)
		}
		f.pause(55 * time.Millisecond)
	}
}
