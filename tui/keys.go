package tui

import (
	"fmt"
	"slices"
	"strings"

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
	intent intent
	name   string // in the configuration
	keys   []string
	group  string
	hint   string // in the last row of the screen, at its most important; empty: not there
	help   string
}

const (
	groupPanes = "Panes"
	groupLists = "Lists"
	groupTime  = "Time"
	groupOther = "Everything else"
)

// bindings is the table. No key needs alt or a function key, and none is a prefix of tmux or screen.
var bindings = []binding{
	{focusPane, "pane", []string{"1", "2", "3", "4", "5"}, groupPanes, "pane", "go to the pane with that number; again: zoom it"},
	{focusNext, "next", []string{"tab"}, groupPanes, "", "next pane"},
	{focusPrevious, "previous", []string{"shift+tab"}, groupPanes, "", "previous pane"},
	{goTrouble, "trouble", []string{"!"}, groupPanes, "", "go to what is most wrong"},
	{open, "open", []string{"enter"}, groupPanes, "open", "zoom the pane, then open the row under the cursor"},
	{back, "back", []string{"esc", "backspace"}, groupPanes, "back", "one step back: filter, level, zoom"},
	{sectionNext, "section-next", []string{"]"}, groupPanes, "section", "next section of a zoomed pane"},
	{sectionPrevious, "section-previous", []string{"["}, groupPanes, "", "previous section"},
	{moveDown, "down", []string{"j", "down"}, groupLists, "", "next row"},
	{moveUp, "up", []string{"k", "up"}, groupLists, "", "previous row"},
	{pageDown, "page-down", []string{"pgdown", "ctrl+d"}, groupLists, "", "a page down"},
	{pageUp, "page-up", []string{"pgup", "ctrl+u"}, groupLists, "", "a page up"},
	{moveTop, "top", []string{"g"}, groupLists, "", "first row, and follow whatever comes first"},
	{moveBottom, "bottom", []string{"G"}, groupLists, "", "last row"},
	{filterRows, "filter", []string{"/"}, groupLists, "filter", "filter: text, field:text, ! before either negates"},
	{sortRows, "sort", []string{"s"}, groupLists, "sort", "sort by the next column"},
	{reverseRows, "reverse", []string{"S"}, groupLists, "", "reverse the order"},
	{copyRow, "copy", []string{"y"}, groupLists, "copy", "copy the row, or the text, to the clipboard (OSC 52)"},
	{export, "export", []string{"e"}, groupLists, "", "export what is seen to a file: Markdown, CSV or JSON"},
	{freeze, "freeze", []string{"space"}, groupTime, "freeze", "hold the screen, or let it go; the engines go on"},
	{stepBack, "step-back", []string{"left"}, groupTime, "time", "a snapshot back"},
	{stepForward, "step-forward", []string{"right"}, groupTime, "", "a snapshot on"},
	{leapBack, "leap-back", []string{"shift+left", "<"}, groupTime, "", "ten snapshots back"},
	{leapForward, "leap-forward", []string{"shift+right", ">"}, groupTime, "", "ten snapshots on"},
	{timeOldest, "oldest", []string{"home"}, groupTime, "", "the oldest snapshot remembered"},
	{timeNewest, "newest", []string{"end"}, groupTime, "", "the newest snapshot, held"},
	{goLive, "live", []string{"l"}, groupTime, "live", "live again"},
	{spanLonger, "longer", []string{"-"}, groupTime, "", "charts show more of the past"},
	{spanShorter, "shorter", []string{"+", "="}, groupTime, "", "charts show less of it"},
	{timeZone, "zone", []string{"t"}, groupTime, "", "local time, UTC, event time"},
	{note, "mark", []string{"M"}, groupTime, "", "mark this moment with a note"},
	{command, "command", []string{":"}, groupOther, "command", "type a command; tab completes, up remembers"},
	{help, "help", []string{"?"}, groupOther, "help", "this help"},
	{mouse, "mouse", []string{"m"}, groupOther, "", "hand the mouse back to the terminal, or take it"},
	{redraw, "redraw", []string{"ctrl+l"}, groupOther, "", "draw the whole screen again"},
	{suspend, "suspend", []string{"ctrl+z"}, groupOther, "", "back to the shell; fg returns"},
	{quit, "quit", []string{"q", "ctrl+c"}, groupOther, "quit", "quit; the terminal is left as it was"},
}

// keymap is the table as configured, ready to look keys up.
type keymap struct {
	table  []binding
	intent map[string]intent
}

// newKeymap makes the table with the keys of the configuration in place of its own, by binding names.
func newKeymap(own map[string][]string) (keymap, error) {
	m := keymap{table: slices.Clone(bindings), intent: map[string]intent{}}
	for name, keys := range own {
		i := slices.IndexFunc(m.table, func(b binding) bool { return b.name == name })
		if i < 0 {
			return keymap{}, fmt.Errorf("console.keys: there is no binding %q; the bindings are %s", name, strings.Join(bindingNames(), ", "))
		}
		if m.table[i].intent == focusPane && len(keys) != int(views.PaneCount) {
			return keymap{}, fmt.Errorf("console.keys: pane wants %d keys, one a pane, got %d", views.PaneCount, len(keys))
		}
		m.table[i].keys = keys
	}
	owner := map[string]string{}
	for _, b := range m.table {
		for _, k := range b.keys {
			if other, taken := owner[k]; taken {
				return keymap{}, fmt.Errorf("console.keys: %q is bound to both %s and %s", k, other, b.name)
			}
			owner[k] = b.name
			m.intent[k] = b.intent
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

// paneOf is the pane a focusPane key stands for.
func (m keymap) paneOf(key string) views.Pane {
	for _, b := range m.table {
		if b.intent == focusPane {
			return views.Pane(slices.Index(b.keys, key))
		}
	}
	return views.NoPane
}

// keys is how help names an intent's keys: 1-5, ← →.
func (b binding) label() string {
	if b.intent == focusPane && slices.Equal(b.keys, bindings[0].keys) {
		return "1-5"
	}
	names := make([]string, len(b.keys))
	for i, k := range b.keys {
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
	var b strings.Builder
	b.WriteString("| key | what it does |\n|---|---|\n")
	for _, group := range []string{groupPanes, groupLists, groupTime, groupOther} {
		fmt.Fprintf(&b, "| **%s** | |\n", group)
		for _, row := range bindings {
			if row.group != group {
				continue
			}
			label := row.label()
			if row.intent != focusPane {
				var keys []string
				for _, k := range row.keys {
					keys = append(keys, "`"+keyName(k)+"`")
				}
				label = strings.Join(keys, " ")
			} else {
				label = "`" + label + "`"
			}
			fmt.Fprintf(&b, "| %s | %s |\n", label, row.help)
		}
	}
	return b.String()
}
