package tui

import (
	"strings"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
)

// promptKind is what a typed line is for.
type promptKind int

const (
	promptCommand promptKind = iota
	promptFilter
	promptReason
)

// prompt is a line being typed: a text input, and the lines typed before.
type prompt struct {
	kind     promptKind
	input    textinput.Model
	history  []string // oldest first
	recalled int      // index into history; len(history) is the line being typed
	typed    string   // that line
}

// maxPrompt bounds a typed or pasted line.
const maxPrompt = 400

func newPrompt(kind promptKind, text string, history []string) *prompt {
	p := &prompt{kind: kind, input: textinput.New(), history: history, recalled: len(history)}
	p.input.CharLimit = maxPrompt
	p.input.SetVirtualCursor(false)
	p.input.KeyMap.Paste.Unbind() // it would read the clipboard of the machine weir runs on
	p.input.Focus()
	p.set(text)
	return p
}

func (p *prompt) text() string { return p.input.Value() }

func (p *prompt) set(text string) {
	p.input.SetValue(text)
	p.input.CursorEnd()
}

// insert adds text where the cursor is.
func (p *prompt) insert(text string) { p.edit(tea.PasteMsg{Content: text}) }

// edit handles a key or a paste.
func (p *prompt) edit(msg tea.Msg) {
	if key, ok := msg.(tea.KeyPressMsg); ok {
		switch key.String() {
		case "up", "ctrl+p":
			p.recall(-1)
			return
		case "down", "ctrl+n":
			p.recall(1)
			return
		}
	}
	p.input, _ = p.input.Update(msg) // its command would only make a cursor blink
}

func (p *prompt) recall(by int) {
	to := p.recalled + by
	if to < 0 || to > len(p.history) {
		return
	}
	if p.recalled == len(p.history) {
		p.typed = p.text()
	}
	p.recalled = to
	if to == len(p.history) {
		p.set(p.typed)
		return
	}
	p.set(p.history[to])
}

// begun is the text before the cursor.
func (p *prompt) begun() string {
	runes := []rune(p.text())
	return string(runes[:min(p.input.Position(), len(runes))])
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
	return strings.ToValidUTF8(prefix, "") // the words may part within a character
}
