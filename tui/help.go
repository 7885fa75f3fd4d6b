package tui

import (
	"strings"

	"weir/views"
)

// changesWorld are the intents that a console which is read-only lacks.
var changesWorld = map[intent]bool{markRow: true, markAll: true, replayRows: true, holdNode: true}

// helpView is the help of everything: what keys do on the page in focus, then all keys of the one table, and the commands
// of this console.
func (m *Model) helpView() []views.HelpGroup {
	here := views.HelpGroup{Name: "Here, in " + m.console.Focus.String()}
	for _, h := range m.useful(&m.screen.Pages[m.console.Focus]) {
		here.Rows = append(here.Rows, views.Hint{Key: h.Key, Text: h.Help})
	}
	out := []views.HelpGroup{here}
	for _, group := range []string{groupPanes, groupLists, groupTime, groupOther} {
		g := views.HelpGroup{Name: group}
		for _, b := range m.keys.table {
			if b.group == group && (!m.options.Console.ReadOnly || !changesWorld[b.intent]) {
				g.Rows = append(g.Rows, views.Hint{Key: b.label(), Text: b.Help().Desc})
			}
		}
		out = append(out, g)
	}
	g := views.HelpGroup{Name: "Commands"}
	for _, s := range m.commandSpecs() {
		text := s.Summary
		if s.Changes {
			text += " (asks first)"
		}
		g.Rows = append(g.Rows, views.Hint{Key: strings.TrimSpace(":" + s.Name + " " + s.Usage), Text: text})
	}
	return append(out, g)
}
