package ptytest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/creack/pty"
)

// Raw is a program in a pseudo-terminal without an emulator behind it: for measuring, where an emulator would cost more
// than what is measured.
type Raw struct {
	pty  *os.File
	cmd  *exec.Cmd
	came chan chunk
}

// chunk is how many bytes came at once, and when.
type chunk struct {
	n  int
	at time.Time
}

// StartRaw runs a program in a terminal of w by h cells that never answers a question. Stop ends both.
func StartRaw(w, h int, cmd *exec.Cmd) (*Raw, error) {
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: uint16(h), Cols: uint16(w)})
	if err != nil {
		return nil, fmt.Errorf("pty: %w", err)
	}
	r := &Raw{pty: f, cmd: cmd, came: make(chan chunk, 1<<12)}
	go r.reading()
	return r, nil
}

// reading notes what comes. It ends with the terminal.
func (r *Raw) reading() {
	defer close(r.came)
	buf := make([]byte, 64<<10)
	for {
		n, err := r.pty.Read(buf)
		if err != nil {
			return
		}
		r.came <- chunk{n, time.Now()}
	}
}

// ErrEnded is the error of a program that ended while it was measured.
var ErrEnded = errors.New("the program has ended")

// Drain reads for a while, and tells how many bytes came.
func (r *Raw) Drain(d time.Duration) (n int, err error) {
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		select {
		case c, ok := <-r.came:
			if !ok {
				return n, ErrEnded
			}
			n += c.n
		case <-end.C:
			return n, nil
		}
	}
}

// Answer types keys and tells how long the program took for its answer: until at least size bytes of it came, which is
// chosen so that little but the answer is that large. No answer within patience counts as patience.
func (r *Raw) Answer(keys string, size int, patience time.Duration) (time.Duration, error) {
	start := time.Now()
	if _, err := r.pty.WriteString(keys); err != nil {
		return 0, err
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	for n := 0; ; {
		select {
		case c, ok := <-r.came:
			if !ok {
				return 0, ErrEnded
			}
			if n += c.n; n >= size {
				return c.at.Sub(start), nil
			}
		case <-end.C:
			return patience, nil
		}
	}
}

// Cost is what a program's threads have used up.
type Cost struct {
	Wakes int           // times a thread went to sleep, and so had to be woken
	CPU   time.Duration // processor time
}

// Cost reads what the program has cost until now. It needs Linux's /proc.
func (r *Raw) Cost() (Cost, error) {
	var c Cost
	pid := strconv.Itoa(r.cmd.Process.Pid)
	tasks, err := filepath.Glob("/proc/" + pid + "/task/*/status")
	if err != nil || len(tasks) == 0 {
		return c, fmt.Errorf("the threads of process %s: %w", pid, errors.Join(err, os.ErrNotExist))
	}
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				k, _ := strconv.Atoi(strings.TrimSpace(n))
				c.Wakes += k
			}
		}
	}
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return c, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	if fields := strings.Fields(rest); len(fields) > 12 {
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		c.CPU = time.Duration(user+system) * 10 * time.Millisecond
	}
	return c, nil
}

// Stop ends the program.
func (r *Raw) Stop() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	_ = r.pty.Close()
	for range r.came { //nolint:revive // until the reading has ended
	}
}
