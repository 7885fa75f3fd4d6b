package views

import "strings"

// frame draws a pane around its body: a box, or on compact screens a rule above it. body has the height and width of
// inner.
func (t *Theme) frame(p Pane, layout Layout, focused bool, title []Seg, body []string, note string) []string {
	r, compact := layout.Panes[p], layout.Compact
	border, name := Border, Title
	if focused {
		border, name = Accent, Badge
	}
	box := t.Glyphs.Box
	top := t.NewLine(r.W)
	corner := box.TL
	switch {
	case compact && r.X > 0 && r.Y == 1:
		corner = box.Tee
	case compact && r.X > 0:
		corner = box.Cross
	case compact:
		corner = box.H
	}
	top.Put(border, corner).Put(name, " "+string(rune('1'+p))+" "+p.String()+" ")
	room := r.W - 2
	if compact {
		note = ""
	}
	told := false
	for i, seg := range fitting(t, title, room-top.w) {
		sep := t.Glyphs.Box.H + t.Glyphs.Box.H + " "
		if i > 0 {
			sep = " " + t.Glyphs.Dot + " "
		}
		if top.w+cells(sep)+min(cells(seg.Text), 8)+2 > room {
			break
		}
		told = true
		if i == 0 {
			top.Put(border, sep)
		} else {
			top.Put(Faint, sep)
		}
		top.Put(seg.Style, t.clip(t.fold(seg.Text), room-top.w-1))
	}
	if told {
		top.Space(1)
	}
	end := box.TR
	if compact {
		end = box.H
	}
	if join := layout.Panes[EdgeNodes].X; p == Events && compact && join > top.w { // the line between the columns ends here
		top.Put(border, strings.Repeat(box.H, join-top.w)).Put(border, box.Foot)
	}
	if n := r.W - 1 - top.w; n > 0 {
		top.Put(border, strings.Repeat(box.H, n))
	}
	top.Put(border, end)

	lines := make([]string, 0, r.H)
	lines = append(lines, top.String())
	if compact {
		side := " "
		if r.X > 0 {
			side = t.NewLine(1).Put(Border, box.V).String()
		}
		for _, row := range body {
			lines = append(lines, side+row+" ")
		}
		return lines[:r.H]
	}
	left := t.NewLine(1).Put(border, box.V).String() + " "
	right := " " + t.NewLine(1).Put(border, box.V).String()
	for _, row := range body {
		lines = append(lines, left+row+right)
	}
	bottom := t.NewLine(r.W).Put(border, box.BL)
	if n := r.W - 3 - cells(t.fold(note)); note != "" && n > 0 {
		bottom.Put(border, strings.Repeat(box.H, n-2)).Put(Faint, " "+note+" ").Put(border, box.H)
	} else {
		bottom.Put(border, strings.Repeat(box.H, r.W-2))
	}
	bottom.Put(border, box.BR)
	return append(lines, bottom.String())
}

// fitting leaves out what is only context, the last first, until a title fits: half a verdict says nothing.
func fitting(t *Theme, title []Seg, room int) []Seg {
	width := func() int {
		w := 1
		for _, seg := range title {
			w += 3 + cells(t.fold(seg.Text))
		}
		return w
	}
	for i := len(title) - 1; i >= 0 && len(title) > 1 && width() > room; i-- {
		if title[i].Style == Faint {
			title = append(append([]Seg(nil), title[:i]...), title[i+1:]...)
		}
	}
	return title
}

// inner is the size of a pane's body.
func inner(r Rect, compact bool) (w, h int) {
	if compact {
		return r.W - 2, r.H - 1
	}
	return r.W - 4, r.H - 2
}
