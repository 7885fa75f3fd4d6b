package ptytest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Step is one command of a VHS tape that acts.
type Step struct {
	Line  int
	Keys  string         // bytes to type
	Await *regexp.Regexp // text to wait for
	Pause time.Duration
	Show  *bool // recording goes on or off
	// Patience is how long to wait for Await; 0 is the tape's own.
	Patience time.Duration
}

// Tape is a VHS tape, as far as playing it goes.
type Tape struct {
	Settings map[string]string
	Outputs  []string
	Requires []string
	Steps    []Step
}

var keyBytes = map[string]string{
	"Enter": "\r", "Space": " ", "Tab": "\t", "Escape": "\x1b", "Backspace": "\x7f", "Up": "\x1b[A", "Down": "\x1b[B",
	"Right": "\x1b[C", "Left": "\x1b[D", "PageUp": "\x1b[5~", "PageDown": "\x1b[6~",
}

// ParseTape reads a tape. A command that cannot be played is an error.
func ParseTape(text string) (*Tape, error) {
	tape := &Tape{Settings: map[string]string{}}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		step, err := tape.command(word, rest)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if step != nil {
			step.Line = i + 1
			tape.Steps = append(tape.Steps, *step)
		}
	}
	return tape, nil
}

func (t *Tape) command(word, rest string) (*Step, error) {
	name, speed, _ := strings.Cut(word, "@")
	switch {
	case name == "Output":
		t.Outputs = append(t.Outputs, rest)
		return nil, nil
	case name == "Require":
		t.Requires = append(t.Requires, rest)
		return nil, nil
	case name == "Set":
		key, value, _ := strings.Cut(rest, " ")
		t.Settings[key] = strings.Trim(strings.TrimSpace(value), `"`)
		return nil, nil
	case name == "Hide", name == "Show":
		show := name == "Show"
		return &Step{Show: &show}, nil
	case name == "Sleep":
		d, err := duration(rest)
		return &Step{Pause: d}, err
	case name == "Type":
		if len(rest) < 2 || rest[0] != rest[len(rest)-1] || !strings.ContainsRune("\"'`", rune(rest[0])) {
			return nil, fmt.Errorf("after Type expected a quoted text, got %s", rest)
		}
		return &Step{Keys: rest[1 : len(rest)-1]}, nil
	case strings.HasPrefix(name, "Wait"):
		if name != "Wait+Screen" {
			return nil, fmt.Errorf("%s: only Wait+Screen is played", name)
		}
		if len(rest) < 3 || rest[0] != '/' || rest[len(rest)-1] != '/' {
			return nil, fmt.Errorf("Wait+Screen wants /text/, got %s", rest)
		}
		re, err := regexp.Compile("(?m)" + rest[1:len(rest)-1])
		if err != nil {
			return nil, err
		}
		step := &Step{Await: re}
		if speed != "" {
			step.Patience, err = duration(speed)
		}
		return step, err
	case strings.HasPrefix(name, "Ctrl+") && len(name) == 6:
		return &Step{Keys: string(name[5] & 0x1f)}, nil
	}
	keys, ok := keyBytes[name]
	if !ok {
		return nil, fmt.Errorf("unknown command %s", word)
	}
	times := 1
	if rest != "" {
		n, err := strconv.Atoi(rest)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s wants a number of times, got %s", name, rest)
		}
		times = n
	}
	return &Step{Keys: strings.Repeat(keys, times)}, nil
}

func duration(s string) (time.Duration, error) {
	if n, err := strconv.ParseFloat(s, 64); err == nil { // seconds
		return time.Duration(n * float64(time.Second)), nil
	}
	return time.ParseDuration(s)
}

// Columns is how many columns the tape's picture has: its width in pixels less the padding, by the width of a
// character, which is 0.6 of the size in the fonts used for terminals.
func (t *Tape) Columns() int { return t.cells("Width", 0.6) }

// Rows is how many rows it has.
func (t *Tape) Rows() int {
	height := 1.2
	if v, err := strconv.ParseFloat(t.Settings["LineHeight"], 64); err == nil {
		height = v
	}
	return t.cells("Height", height)
}

func (t *Tape) cells(side string, em float64) int {
	pixels, _ := strconv.Atoi(t.Settings[side])
	padding, _ := strconv.Atoi(t.Settings["Padding"])
	size, _ := strconv.Atoi(t.Settings["FontSize"])
	if size == 0 {
		return 0
	}
	return int(float64(pixels-2*padding) / (em * float64(size)))
}
