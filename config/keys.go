package config

import (
	"slices"
	"strings"
)

// Bindings are the names that console.keys may give keys to, in the order of the console's help. The console has the
// table they stand for; a test there keeps the two the same.
var Bindings = []string{
	"pane", "next", "previous", "trouble", "incidents", "open", "back", "section-next", "section-previous",
	"down", "up", "page-down", "page-up", "top", "bottom", "filter", "sort", "reverse", "mark-row", "mark-all",
	"replay", "copy", "export", "group", "poll", "quarantine", "freeze", "step-back", "step-forward", "leap-back",
	"leap-forward", "oldest", "newest", "live", "longer", "shorter", "zone", "mark", "command", "help", "mouse",
	"redraw", "suspend", "quit",
}

// validateKeys checks that every entry of console.keys names a binding.
func (d *decoder) validateKeys(keys map[string][]string) {
	for name := range keys {
		if slices.Contains(Bindings, name) || d.bad["console.keys."+name] {
			continue
		}
		hint := "the bindings are " + strings.Join(Bindings, ", ")
		if near := nearest(name, Bindings); near != "" {
			hint = "did you mean " + near + "?"
		}
		d.wrong("console.keys."+name, "the name of a binding", name, hint)
	}
}
