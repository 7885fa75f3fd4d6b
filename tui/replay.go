package tui

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"weir/backend"
	"weir/views"
)

// mostReplayed is how many dead letters one question covers; :replay with a filter takes any number.
const mostReplayed = 1000

// canReplay tells whether a page holds dead letters that this console may send back.
func (m *Model) canReplay(page *views.Page) bool {
	return m.console.Zoomed && page.Place != nil && m.replaySpec() != nil
}

// replaySpec is the command that replays, nil where there is none or where nothing may be changed.
func (m *Model) replaySpec() *backend.CommandSpec {
	specs := m.commandSpecs()
	i := slices.IndexFunc(specs, func(s backend.CommandSpec) bool { return s.Name == "replay" })
	if i < 0 {
		return nil
	}
	return &specs[i]
}

// mark marks the row under the cursor and goes to the next, or marks all that pass the filter; again: unmarks.
func (m *Model) mark(in intent) {
	p := m.console.Focus
	page, drawn := &m.screen.Pages[p], &m.screen.Panes[p]
	if !m.canReplay(page) || page.Table.Text != nil || len(drawn.Keys) == 0 {
		m.say(views.Warn, "there are no dead letters to mark here: 1 enter ] ] shows them")
		return
	}
	l := m.focused()
	marks := maps.Clone(l.Marks) // what was drawn before keeps its own
	if marks == nil {
		marks = map[string]bool{}
	}
	if in == markAll {
		if slices.ContainsFunc(drawn.Keys, func(k string) bool { return !marks[k] }) {
			for _, k := range drawn.Keys {
				marks[k] = true
			}
		} else {
			clear(marks)
		}
	} else {
		key := drawn.Keys[min(max(drawn.Level.Index, 0), len(drawn.Keys)-1)]
		if marks[key] {
			delete(marks, key)
		} else {
			marks[key] = true
		}
		m.move(1)
	}
	if l.Marks = marks; len(marks) == 0 {
		l.Marks = nil
	}
}

// replay asks about sending back the marked dead letters, or the one under the cursor, or the one that is open.
func (m *Model) replay() {
	p := m.console.Focus
	page, drawn := &m.screen.Pages[p], &m.screen.Panes[p]
	spec := m.replaySpec()
	switch {
	case spec == nil && m.options.Console.ReadOnly:
		m.say(views.Warn, "this console is read only: nothing is replayed here")
		return
	case !m.canReplay(page):
		m.say(views.Warn, "R replays dead letters: 1 enter ] ] shows them")
		return
	}
	keys := slices.Sorted(maps.Keys(m.focused().Marks))
	switch {
	case len(keys) > 0:
	case page.Table.Text != nil:
		keys = []string{""}
	case len(drawn.Keys) > 0:
		keys = drawn.Keys[min(max(drawn.Level.Index, 0), len(drawn.Keys)-1):][:1]
	}
	q := &question{spec: *spec}
	again := 0
	for _, key := range keys {
		if letter, ok := page.Place(key); ok && len(q.args) < mostReplayed {
			q.args = append(q.args, letter.Place)
			if letter.Again {
				again++
			}
		}
	}
	n := len(q.args)
	switch {
	case n == 0:
		m.say(views.Warn, "there is no dead letter to replay here; it may not have been read from its topic yet")
		return
	case again == n:
		m.say(views.Warn, tellOne(n, "it was replayed before", "all of them were replayed before")+"; a dead letter is replayed only once")
		return
	}
	q.extent = tellOne(n, "1 dead letter", fmt.Sprintf("%d dead letters", n))
	if again > 0 {
		q.extent += fmt.Sprintf("; %d of them were replayed before and are left out", again)
	}
	q.extent += ". Sent back to the events and scored like any other; what fails again comes back here"
	q.short = spec.Name + " " + strings.Join(q.args[:min(n, 4)], " ")
	if n > 4 {
		q.short += fmt.Sprintf(" and %d more", n-4)
	}
	m.asking, m.prompt = q, newPrompt(promptReason, "", nil)
}

func tellOne(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
