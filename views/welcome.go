package views

import "strings"

// WelcomeChoice is one row of the welcome screen.
type WelcomeChoice struct{ Key, Name, What string }

// Welcome is the screen of a machine without a configuration: w by h cells, the choice at is under the cursor.
func (t *Theme) Welcome(w, h int, looked []string, choices []WelcomeChoice, at int) string {
	width := min(w-2, 76)
	var rows []string
	say := func(style Style, text string) {
		for _, line := range t.wrap(text, width) {
			rows = append(rows, t.NewLine(width).Put(style, line).String())
		}
	}
	gap := func() { rows = append(rows, t.NewLine(width).String()) }
	rows = append(rows, t.NewLine(width).Put(Badge, " weir ").Space(2).Put(Plain, "a terminal operations console for real-time ML").String())
	gap()
	say(Faint, "There is no configuration yet. weir looked for:")
	for _, path := range looked {
		rows = append(rows, t.NewLine(width).Put(Faint, "  "+t.Glyphs.Bullet+" ").Put(Plain, t.clipMiddle(path, width-4)).String())
	}
	gap()
	for i, c := range choices {
		l := t.NewLine(width)
		if i == at {
			l.selected = 1
			l.Put(Accent, t.Glyphs.Cursor+" ")
		} else {
			l.Space(2)
		}
		rows = append(rows, l.Put(Accent, c.Key).Space(2).Put(Strong, c.Name).String())
		if c.What != "" {
			for _, line := range t.wrap(c.What, width-5) {
				rows = append(rows, t.NewLine(width).Space(5).Put(Faint, line).String())
			}
		}
	}
	gap()
	say(Faint, t.fold("↑ ↓ and enter, or the letter. weir check tells later whether everything a configuration names is reachable."))
	top := max((h-len(rows))/2, 0)
	left := strings.Repeat(" ", max((w-width)/2, 0))
	var b strings.Builder
	b.WriteString(strings.Repeat("\n", top))
	for i, r := range rows[:min(len(rows), max(h-top, 0))] {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(left + r)
	}
	return b.String()
}
