package tui

import (
	"slices"
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"
)

// promptKind is what a typed line is for.
type promptKind int

const (
	promptCommand promptKind = iota
	promptFilter
	promptReason
)

// prompt is a line being typed. It edits like a shell: ctrl+a, ctrl+e, ctrl+u, ctrl+k, ctrl+w, up and down for history.
type prompt struct {
	kind     promptKind
	runes    []rune
	at       int
	history  []string // oldest first
	recalled int      // index into history; len(history) is the line being typed
	typed    []rune   // that line
}

// maxPrompt bounds a typed or pasted line.
const maxPrompt = 400

func newPrompt(kind promptKind, text string, history []string) *prompt {
	return &prompt{kind: kind, runes: []rune(text), at: len([]rune(text)), history: history, recalled: len(history)}
}

func (p *prompt) text() string { return string(p.runes) }

func (p *prompt) set(text string) {
	p.runes = []rune(text)
	p.at = len(p.runes)
}

func (p *prompt) insert(s string) {
	var clean []rune
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			clean = append(clean, ' ')
		case unicode.IsPrint(r):
			clean = append(clean, r)
		}
	}
	clean = clean[:min(len(clean), max(maxPrompt-len(p.runes), 0))]
	p.runes = slices.Insert(p.runes, p.at, clean...)
	p.at += len(clean)
}

// edit handles a key that edits the line, and tells whether it did.
func (p *prompt) edit(key tea.KeyPressMsg) bool {
	switch key.String() {
	case "left", "ctrl+b":
		p.at = max(p.at-1, 0)
	case "right", "ctrl+f":
		p.at = min(p.at+1, len(p.runes))
	case "home", "ctrl+a":
		p.at = 0
	case "end", "ctrl+e":
		p.at = len(p.runes)
	case "backspace", "ctrl+h":
		if p.at > 0 {
			p.runes = slices.Delete(p.runes, p.at-1, p.at)
			p.at--
		}
	case "delete", "ctrl+d":
		if p.at < len(p.runes) {
			p.runes = slices.Delete(p.runes, p.at, p.at+1)
		}
	case "ctrl+u":
		p.runes = slices.Delete(p.runes, 0, p.at)
		p.at = 0
	case "ctrl+k":
		p.runes = p.runes[:p.at]
	case "ctrl+w":
		from := p.at
		for from > 0 && p.runes[from-1] == ' ' {
			from--
		}
		for from > 0 && p.runes[from-1] != ' ' {
			from--
		}
		p.runes = slices.Delete(p.runes, from, p.at)
		p.at = from
	case "up", "ctrl+p":
		p.recall(-1)
	case "down", "ctrl+n":
		p.recall(1)
	default:
		if key.Text == "" {
			return false
		}
		p.insert(key.Text)
	}
	return true
}

func (p *prompt) recall(by int) {
	to := p.recalled + by
	if to < 0 || to > len(p.history) {
		return
	}
	if p.recalled == len(p.history) {
		p.typed = p.runes
	}
	p.recalled = to
	if to == len(p.history) {
		p.set(string(p.typed))
		return
	}
	p.set(p.history[to])
}

// commonPrefix is what all words begin with.
func commonPrefix(words []string) string {
	if len(words) == 0 {
		return ""
	}
	prefix := words[0]
	for _, w := range words[1:] {
		for !strings.HasPrefix(w, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}
