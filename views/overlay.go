package views

import "strings"

// HelpGroup is some rows of help under a name.
type HelpGroup struct {
	Name string
	Rows []Hint
}

// Question is a command that changes the world, as the reader is asked about it.
type Question struct {
	Command, Summary, Extent, Undo, Who string
}

// Help is the help window, from row at on (1 is the first); it comes back as far as there are rows.
func (s *Scene) Help(w, h int, groups []HelpGroup, at int) (rows []string, width, from int) {
	width = min(w-4, 84)
	var text []string
	for i, g := range groups {
		if i > 0 {
			text = append(text, s.NewLine(width-4).String())
		}
		text = append(text, s.NewLine(width-4).Put(Accent, g.Name).String())
		for _, r := range g.Rows {
			key := 22
			for k, line := range s.Theme.wrap(r.Text, width-4-key) {
				l := s.NewLine(width - 4)
				if k == 0 {
					l.Field(Strong, r.Key, key-1, false)
				}
				text = append(text, l.To(key).Put(Plain, line).String())
			}
		}
	}
	room := min(h-4, len(text)+2) - 2
	last := max(len(text)-room, 0) + 1
	from = min(max(at, 1), last)
	note := ""
	if last > 1 {
		note = count(from) + "–" + count(from+room-1) + " of " + count(len(text))
	}
	return s.window("Keys and commands", text[from-1:from-1+room], width, note), width, from
}

// Ask is the window that asks before a command.
func (s *Scene) Ask(w int, q Question) (rows []string, width int) {
	width = min(w-4, 72)
	f := s.facts(width - 4)
	f.gap()
	f.add("command", Strong, ":"+q.Command)
	f.add("does", Plain, q.Summary)
	if q.Extent != "" {
		f.add("touches", Plain, q.Extent)
	}
	f.add("undo", Plain, q.Undo)
	f.add("recorded", Faint, "in the events, as "+or(q.Who, "somebody")+", with the reason typed below")
	f.gap()
	return s.window("Do this?", f.rows, width, "enter does it · esc cancels"), width
}

// window is a box of rows over the panes.
func (s *Scene) window(title string, text []string, width int, note string) []string {
	box := s.Theme.Glyphs.Box
	top := s.NewLine(width).Put(Accent, box.TL).Put(Badge, " "+title+" ")
	top.Put(Accent, strings.Repeat(box.H, width-1-top.w)).Put(Accent, box.TR)
	rows := []string{top.String()}
	left := s.NewLine(1).Put(Accent, box.V).String() + " "
	right := " " + s.NewLine(1).Put(Accent, box.V).String()
	for _, row := range text {
		rows = append(rows, left+row+right)
	}
	bottom := s.NewLine(width).Put(Accent, box.BL)
	if note != "" {
		bottom.Put(Accent, strings.Repeat(box.H, max(width-5-cells(s.Theme.fold(note)), 0))).Put(Faint, " "+note+" ")
	}
	bottom.Put(Accent, strings.Repeat(box.H, width-1-bottom.w)).Put(Accent, box.BR)
	return append(rows, bottom.String())
}
