// Package ptytest runs a program in a pseudo-terminal with an emulator behind it, for tests of the real program: what
// is on its screen, what it wrote, and how it left the terminal.
package ptytest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// Terminal is a program and its terminal.
type Terminal struct {
	pty *os.File
	cmd *exec.Cmd

	mu      sync.Mutex
	screen  *vt.Emulator
	total   int
	modes   map[string]bool
	pending string // an escape sequence cut off by the end of a read
	changed chan struct{}
	slow    time.Duration

	read   chan struct{}
	answer chan struct{}
	exited chan struct{}
	status error
}

// Start runs a program in a terminal of w by h cells. Stop ends both.
func Start(w, h int, cmd *exec.Cmd) (*Terminal, error) {
	t := &Terminal{cmd: cmd, screen: vt.NewEmulator(w, h), modes: map[string]bool{}, changed: make(chan struct{}),
		read: make(chan struct{}), answer: make(chan struct{}), exited: make(chan struct{})}
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)})
	if err != nil {
		return nil, fmt.Errorf("pty: %w", err)
	}
	t.pty = f
	go t.reading()
	go t.answering()
	go func() {
		t.status = cmd.Wait()
		close(t.exited)
	}()
	return t, nil
}

// reading feeds what the program writes to the emulator.
func (t *Terminal) reading() {
	defer close(t.read)
	buf := make([]byte, 64<<10)
	for {
		n, err := t.pty.Read(buf)
		if n > 0 {
			t.mu.Lock()
			t.total += n
			t.note(string(buf[:n]))
			_, _ = t.screen.Write(buf[:n]) // an emulator in memory takes everything
			close(t.changed)
			t.changed = make(chan struct{})
			slow := t.slow
			t.mu.Unlock()
			if slow > 0 {
				time.Sleep(slow * time.Duration(n))
			}
		}
		if err != nil {
			return
		}
	}
}

// answering carries the emulator's answers to the program's questions.
func (t *Terminal) answering() {
	defer close(t.answer)
	buf := make([]byte, 4<<10)
	for {
		n, err := t.screen.Read(buf)
		if n > 0 {
			if _, err := t.pty.Write(buf[:n]); err != nil {
				_, _ = io.Copy(io.Discard, t.screen) // until the emulator is closed
				return
			}
		}
		if err != nil {
			return
		}
	}
}

var mode = regexp.MustCompile(`\x1b\[(\?[0-9;]+[hl]|[<>][0-9]*u|>4;?[0-9]*m)`)

// note keeps account of the modes the program sets and resets.
func (t *Terminal) note(s string) {
	s = t.pending + s
	t.pending = ""
	if i := strings.LastIndexByte(s, 0x1b); i >= 0 && len(s)-i < 16 {
		s, t.pending = s[:i], s[i:]
	}
	for _, m := range mode.FindAllStringSubmatch(s, -1) {
		switch code := m[1]; {
		case code[0] == '?':
			for _, n := range strings.Split(code[1:len(code)-1], ";") {
				t.modes["?"+n] = code[len(code)-1] == 'h'
			}
		case code[len(code)-1] == 'u':
			t.modes["keyboard"] = code[0] == '>'
		default:
			t.modes["modifyOtherKeys"] = strings.Contains(code, ";")
		}
	}
}

// LeftOver is what the program left switched on: modes that a shell would suffer from.
func (t *Terminal) LeftOver() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending != "" {
		pending := t.pending
		t.pending = ""
		t.note(pending + strings.Repeat(" ", 16))
	}
	var out []string
	for m, on := range t.modes {
		switch {
		case m == "?25" && !on:
			out = append(out, "the cursor is hidden")
		case m != "?25" && m != "?7" && on:
			out = append(out, m+" is set")
		}
	}
	return out
}

// Send types bytes.
func (t *Terminal) Send(s string) error {
	_, err := io.WriteString(t.pty, s)
	return err
}

// Resize makes the terminal another size.
func (t *Terminal) Resize(w, h int) error {
	t.mu.Lock()
	t.screen.Resize(w, h)
	t.mu.Unlock()
	return pty.Setsize(t.pty, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)})
}

// Slow makes the terminal take every byte in a time of its own, as a slow line does.
func (t *Terminal) Slow(perByte time.Duration) {
	t.mu.Lock()
	t.slow = perByte
	t.mu.Unlock()
}

// Text is the screen without colours, its rows without what is blank at their ends.
func (t *Terminal) Text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text()
}

func (t *Terminal) text() string {
	rows := strings.Split(t.screen.String(), "\n")
	for i, r := range rows {
		rows[i] = strings.TrimRight(r, " ")
	}
	return strings.Join(rows, "\n")
}

// ANSI is the screen with its colours.
func (t *Terminal) ANSI() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.Render()
}

// Total is how many bytes the program has written.
func (t *Terminal) Total() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

// ErrNotSeen is the error of a text that did not appear.
var ErrNotSeen = errors.New("the text did not appear")

// Wait waits until the screen matches.
func (t *Terminal) Wait(re *regexp.Regexp, patience time.Duration) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		t.mu.Lock()
		text, changed := t.text(), t.changed
		t.mu.Unlock()
		if re.MatchString(text) {
			return nil
		}
		select {
		case <-changed:
		case <-deadline.C:
			return fmt.Errorf("%w within %s: /%s/ on\n%s", ErrNotSeen, patience, re, text)
		case <-t.read:
			if text := t.Text(); !re.MatchString(text) {
				return fmt.Errorf("%w before the program ended: /%s/ on\n%s", ErrNotSeen, re, text)
			}
			return nil
		}
	}
}

// Exit waits for the program to end and returns its status.
func (t *Terminal) Exit(patience time.Duration) error {
	select {
	case <-t.exited:
	case <-time.After(patience):
		return fmt.Errorf("still running after %s, showing\n%s", patience, t.Text())
	}
	select { // what it wrote last may still be on its way
	case <-t.read:
	case <-time.After(patience):
	}
	return t.status
}

// Process is the program's process.
func (t *Terminal) Process() *os.Process { return t.cmd.Process }

// Hangup takes the terminal away from the program.
func (t *Terminal) Hangup() { _ = t.pty.Close() }

// Stop ends the program, if it still runs, and everything here.
func (t *Terminal) Stop() {
	select {
	case <-t.exited:
	default:
		_ = t.cmd.Process.Kill()
		<-t.exited
	}
	_ = t.pty.Close()
	<-t.read
	if pipe, ok := t.screen.InputPipe().(io.Closer); ok {
		_ = pipe.Close() // the emulator's own Close may not be called beside a Read
	}
	<-t.answer
}
