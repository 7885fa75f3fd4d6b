package tui

import (
	"fmt"
	"slices"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"weir/views"
)

// intent is what a key asks for. Handlers see intents, never keys.
type intent int

// The intents, in the order help shows them.
const (
	noIntent intent = iota
	focusPane
	focusNext
	focusPrevious
	goTrouble
	showIncidents
	open
	back
	sectionNext
	sectionPrevious
	moveUp
	moveDown
	pageUp
	pageDown
	moveTop
	moveBottom
	filterRows
	sortRows
	reverseRows
	groupNext
	pollNode
	holdNode
	freeze
	goLive
	stepBack
	stepForward
	leapBack
	leapForward
	timeOldest
	timeNewest
	spanShorter
	spanLonger
	timeZone
	note
	markRow
	markAll
	replayRows
	copyRow
	export
	mouse
	command
	help
	redraw
	suspend
	quit
)

// binding is one row of the one table of keys: dispatch, hints, help and the README are made of it.
type binding struct {
	key.Binding // its help says what the key does, in full
	intent      intent
	name        string // in the configuration
	group       string
	hint        string // in the last row of the screen, where it is of use; empty: not there
}

func row(in intent, name string, keys []string, group, hint, help string) binding {
	return binding{Binding: key.NewBinding(key.WithKeys(keys...), key.WithHelp(strings.Join(keys, " "), help)),
		intent: in, name: name, group: group, hint: hint}
}

const (
	groupPanes = "Panes"
	groupLists = "Lists"
	groupTime  = "Time"
	groupOther = "Everything else"
)

// bindings is the table. No key needs alt or a function key, and none is a prefix of tmux or screen.
var bindings = []binding{
	row(focusPane, "pane", []string{"1", "2", "3", "4", "5"}, groupPanes, "pane", "go to the pane with that number; again: zoom it"),
	row(focusNext, "next", []string{"tab"}, groupPanes, "", "next pane"),
	row(focusPrevious, "previous", []string{"shift+tab"}, groupPanes, "", "previous pane"),
	row(goTrouble, "trouble", []string{"!"}, groupPanes, "", "go to what is most wrong"),
	row(showIncidents, "incidents", []string{"i"}, groupPanes, "why", "what is wrong: since when, what it touches, what to do"),
	row(open, "open", []string{"enter"}, groupPanes, "open", "zoom the pane, then open the row under the cursor"),
	row(back, "back", []string{"esc", "backspace"}, groupPanes, "back", "one step back: filter, level, zoom"),
	row(sectionNext, "section-next", []string{"]"}, groupPanes, "section", "next section of a zoomed pane"),
	row(sectionPrevious, "section-previous", []string{"["}, groupPanes, "", "previous section"),
	row(moveDown, "down", []string{"j", "down"}, groupLists, "", "next row"),
	row(moveUp, "up", []string{"k", "up"}, groupLists, "", "previous row"),
	row(pageDown, "page-down", []string{"pgdown", "ctrl+d"}, groupLists, "", "a page down"),
	row(pageUp, "page-up", []string{"pgup", "ctrl+u"}, groupLists, "", "a page up"),
	row(moveTop, "top", []string{"g"}, groupLists, "", "first row, and follow whatever comes first"),
	row(moveBottom, "bottom", []string{"G"}, groupLists, "", "last row"),
	row(filterRows, "filter", []string{"/"}, groupLists, "filter", "filter: text, field:text, ! before either negates"),
	row(sortRows, "sort", []string{"s"}, groupLists, "sort", "sort by the next column"),
	row(reverseRows, "reverse", []string{"S"}, groupLists, "", "reverse the order"),
	row(markRow, "mark-row", []string{"v"}, groupLists, "mark", "mark a dead letter, or unmark it"),
	row(markAll, "mark-all", []string{"V"}, groupLists, "all", "mark all dead letters that pass the filter, or unmark all"),
	row(replayRows, "replay", []string{"R"}, groupLists, "replay", "replay the marked dead letters, or the one under the cursor; asks first"),
	row(copyRow, "copy", []string{"y"}, groupLists, "copy", "copy the row, or the text, to the clipboard (OSC 52)"),
	row(export, "export", []string{"e"}, groupLists, "", "export what is seen to a file: Markdown, CSV or JSON"),
	row(groupNext, "group", []string{"b"}, groupLists, "group", "group the map of the fleet by the next label"),
	row(pollNode, "poll", []string{"p"}, groupLists, "poll", "poll the node that is open or under the cursor"),
	row(holdNode, "quarantine", []string{"x"}, groupLists, "quarantine", "quarantine that node, or release it; asks for a reason"),
	row(freeze, "freeze", []string{"space"}, groupTime, "freeze", "freeze the screen, or release it; the engines keep running"),
	row(stepBack, "step-back", []string{"left"}, groupTime, "time", "a snapshot back; on a map, a cell to the left"),
	row(stepForward, "step-forward", []string{"right"}, groupTime, "", "a snapshot forward; on a map, a cell to the right"),
	row(leapBack, "leap-back", []string{"shift+left", "<"}, groupTime, "", "ten snapshots back"),
	row(leapForward, "leap-forward", []string{"shift+right", ">"}, groupTime, "", "ten snapshots forward"),
	row(timeOldest, "oldest", []string{"home"}, groupTime, "", "the oldest snapshot remembered"),
	row(timeNewest, "newest", []string{"end"}, groupTime, "", "the newest snapshot, held"),
	row(goLive, "live", []string{"l"}, groupTime, "live", "back to live"),
	row(spanLonger, "longer", []string{"-"}, groupTime, "", "charts show more of the past"),
	row(spanShorter, "shorter", []string{"+", "="}, groupTime, "", "charts show less of the past"),
	row(timeZone, "zone", []string{"t"}, groupTime, "", "local time, UTC, event time"),
	row(note, "mark", []string{"M"}, groupTime, "", "mark this moment with a note"),
	row(command, "command", []string{":"}, groupOther, "command", "type a command; tab completes, up remembers"),
	row(help, "help", []string{"?"}, groupOther, "help", "this help"),
	row(mouse, "mouse", []string{"m"}, groupOther, "", "hand the mouse back to the terminal, or take it"),
	row(redraw, "redraw", []string{"ctrl+l"}, groupOther, "", "draw the whole screen again"),
	row(suspend, "suspend", []string{"ctrl+z"}, groupOther, "", "back to the shell; fg returns"),
	row(quit, "quit", []string{"q", "ctrl+c"}, groupOther, "quit", "quit; the terminal is left as it was"),
}

// keymap is the table as configured, ready to look keys up.
type keymap struct{ table []binding }

// newKeymap makes the table with the keys of the configuration in place of its own, by binding names.
func newKeymap(own map[string][]string) (keymap, error) {
	m := keymap{table: slices.Clone(bindings)}
	for name, keys := range own {
		i := slices.IndexFunc(m.table, func(b binding) bool { return b.name == name })
		if i < 0 {
			return keymap{}, fmt.Errorf("console.keys: there is no binding %q; the bindings are %s", name, strings.Join(bindingNames(), ", "))
		}
		if m.table[i].intent == focusPane && len(keys) != int(views.PaneCount) {
			return keymap{}, fmt.Errorf("console.keys: pane wants %d keys, one a pane, got %d", views.PaneCount, len(keys))
		}
		m.table[i].SetKeys(keys...)
	}
	owner := map[string]string{}
	for _, b := range m.table {
		for _, k := range b.Keys() {
			if other, taken := owner[k]; taken {
				return keymap{}, fmt.Errorf("console.keys: %q is bound to both %s and %s", k, other, b.name)
			}
			owner[k] = b.name
		}
	}
	return m, nil
}

func bindingNames() []string {
	names := make([]string, len(bindings))
	for i, b := range bindings {
		names[i] = b.name
	}
	return names
}

// intent is what a key press asks for.
func (m keymap) intent(press tea.KeyPressMsg) intent {
	for _, b := range m.table {
		if key.Matches(press, b.Binding) {
			return b.intent
		}
	}
	return noIntent
}

// paneOf is the pane a focusPane key stands for.
func (m keymap) paneOf(key string) views.Pane {
	for _, b := range m.table {
		if b.intent == focusPane {
			return views.Pane(slices.Index(b.Keys(), key))
		}
	}
	return views.NoPane
}

// keys is how help names an intent's keys: 1-5, ← →.
func (b binding) label() string {
	if b.intent == focusPane && slices.Equal(b.Keys(), bindings[0].Keys()) {
		return "1-5"
	}
	names := make([]string, len(b.Keys()))
	for i, k := range b.Keys() {
		names[i] = keyName(k)
	}
	return strings.Join(names, " ")
}

func keyName(k string) string {
	if n, ok := map[string]string{"left": "←", "right": "→", "up": "↑", "down": "↓", "shift+left": "shift ←",
		"shift+right": "shift →", "pgup": "page up", "pgdown": "page down"}[k]; ok {
		return n
	}
	return strings.Replace(k, "+", " ", min(strings.Count(k, "+"), len(k)-1))
}

// KeyTable is the table of keys in Markdown, for the README.
func KeyTable() string {
	var out strings.Builder
	out.WriteString("| key | what it does |\n|---|---|\n")
	for _, group := range []string{groupPanes, groupLists, groupTime, groupOther} {
		fmt.Fprintf(&out, "| **%s** | |\n", group)
		for _, b := range bindings {
			if b.group != group {
				continue
			}
			label := b.label()
			if b.intent != focusPane {
				var keys []string
				for _, k := range b.Keys() {
					keys = append(keys, "`"+keyName(k)+"`")
				}
				label = strings.Join(keys, " ")
			} else {
				label = "`" + label + "`"
			}
			fmt.Fprintf(&out, "| %s | %s |\n", label, b.Help().Desc)
		}
	}
	return out.String()
}
