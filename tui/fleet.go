package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"weir/backend"
	"weir/views"
)

// places are where the cursor of the focused page can be, where that is an area and no list; else nil.
func (m *Model) places() *views.Places { return m.screen.Panes[m.console.Focus].Places }

// step moves the cursor of an area by places to the right and rows down.
func (m *Model) step(dx, dy int) {
	drawn := &m.screen.Panes[m.console.Focus]
	m.put(drawn.Places.Step(drawn.Level.Index, dx, dy))
}

// put puts the cursor of an area on a place.
func (m *Model) put(at int) {
	drawn, l := &m.screen.Panes[m.console.Focus], m.focused()
	l.Cursor, l.Index, l.Offset = drawn.Places.Key(at), at, drawn.Level.Offset
	drawn.Level.Index = at // a second key before the next frame goes on from here
}

// node is the node that is open or under the cursor, as it is in the newest snapshot.
func (m *Model) node() (views.NodeFacts, bool) {
	page, drawn := &m.screen.Pages[m.console.Focus], &m.screen.Panes[m.console.Focus]
	at := drawn.Level.Index
	url := ""
	switch {
	case m.console.Focus != views.EdgeNodes:
	case page.Node != "":
		url = page.Node
	case !page.NodeRows:
	case drawn.Places != nil:
		url = drawn.Places.Target(at).Key
	case at >= 0 && at < len(drawn.Keys):
		url = drawn.Keys[at]
	}
	return views.FindNode(m.rt.Timeline().Newest(), url)
}

// onNode gives a command about the node that is open or under the cursor.
func (m *Model) onNode(name string) tea.Cmd {
	n, ok := m.node()
	if !ok {
		m.say(views.Warn, "there is no node here: go to one in pane 2")
		return nil
	}
	specs := m.commandSpecs()
	i := slices.IndexFunc(specs, func(s backend.CommandSpec) bool { return s.Name == name })
	if i < 0 {
		m.say(views.Bad, "this console cannot "+name+" nodes")
		return nil
	}
	args := []string{n.URL}
	if specs[i].Changes {
		m.asking = &question{spec: specs[i], args: args}
		m.prompt = newPrompt(promptReason, "", nil)
		return nil
	}
	return m.command(specs[i], args, "")
}

// hold takes the node out, or back in.
func (m *Model) hold() tea.Cmd {
	if n, ok := m.node(); ok && n.Quarantined {
		return m.onNode("release")
	}
	return m.onNode("quarantine")
}

// groupNext groups the map by the next label.
func (m *Model) groupNext() {
	page := &m.screen.Pages[m.console.Focus]
	if len(page.Groupings) < 2 {
		m.say(views.Faint, "b groups the map of the fleet, where nodes have more than one label")
		return
	}
	i := slices.Index(page.Groupings, page.Grouping)
	m.groupBy(page.Groupings[(i+1)%len(page.Groupings)])
}

func (m *Model) groupBy(label string) {
	l := m.focused()
	*l = views.Level{Key: l.Key, Section: l.Section, Filter: l.Filter, By: label}
	m.say(views.Faint, "grouped by "+label)
}

// commandGroup shows the map of the fleet, grouped by a label.
func (m *Model) commandGroup(args []string) (tea.Cmd, error) {
	labels := m.groupings("")
	if len(args) != 1 || !slices.Contains(labels, args[0]) {
		if len(labels) == 0 {
			return nil, errors.New("the nodes have no labels to group them by")
		}
		return nil, fmt.Errorf("group expects a label that nodes have, one of %s", strings.Join(labels, ", "))
	}
	m.focus(views.EdgeNodes)
	m.console.Zoomed = true
	m.console.Paths[views.EdgeNodes] = []views.Level{{Section: views.MapSection, Filter: m.console.Paths[views.EdgeNodes][0].Filter}}
	m.groupBy(args[0])
	return nil, nil
}

// groupings are the labels that begin with prefix.
func (m *Model) groupings(prefix string) []string {
	return matching(views.Groupings(m.cursor.Snapshot()), prefix)
}

// holdHint is what the key that takes a node out would do.
func (m *Model) holdHint() string {
	if n, ok := m.node(); ok && n.Quarantined {
		return "release"
	}
	return "quarantine"
}

// nodeExtent is what a command about a node touches.
func (m *Model) nodeExtent(args []string) string {
	if len(args) == 0 {
		return ""
	}
	n, ok := views.FindNode(m.rt.Timeline().Newest(), args[0])
	switch {
	case !ok:
		return ""
	case n.Valid:
		return fmt.Sprintf("%s, now %s, %d of %d records", n.Name, n.State, n.Records, n.OfAll)
	}
	return n.Name + ", now " + n.State
}
