package views

import (
	"strings"

	"weir/backend/edge"
)

// MapSection is the number of the section of the fleet's page that is a map.
const MapSection = 1

// heatMap is the section of the fleet's page that shows every node at once.
func (s *Scene) heatMap(page *Page, e *edge.Snapshot, level Level) {
	page.Groupings = groupings(e)
	page.Grouping = groupingOf(page.Groupings, level.By)
	page.Foot = nil
	if len(e.NodeData) == 0 {
		return
	}
	m := s.newHeat(e, page.Grouping, level.Filter)
	if len(m.groups) == 0 {
		return // an empty list says what hides all
	}
	page.Table, page.Area = m.table(), m // the table is what is exported
	page.Opens, page.Opened = true, "open"
	page.NodeRows = true
}

func (m *heat) draw(t *Theme, d *Drawn, w, h int, focused bool) {
	head, foot := 1, 2
	if h < 8 {
		foot = 1
	}
	room := max(h-head-foot, 1)
	m.fit(w, room)
	at := m.cursor(&d.Level)
	_, y := m.place(at)
	total := m.rows()
	l := &d.Level
	l.Index = m.number(at)
	l.Offset = min(max(l.Offset, y-room+1), y)
	l.Offset = min(max(l.Offset, 0), max(total-room, 0))

	d.Lines = append(d.Lines, m.header(t, w))
	d.Row = len(d.Lines)
	d.Total, d.Shown = len(m.e.NodeData), min(room, total)
	passed := 0
	for g := range m.groups {
		passed += len(m.groups[g].nodes)
	}
	m.drawRows(t, d, at, room, focused)
	blank := strings.Repeat(" ", w)
	for len(d.Lines) < d.Row+room {
		d.Lines = append(d.Lines, blank)
	}
	d.Lines = append(d.Lines, m.under(t, at, w))
	if foot > 1 {
		d.Lines = append(d.Lines, m.legend(t, w))
	}
	top := l.Offset
	d.Places = &Places{
		Rows: total, Passed: passed, Count: m.count(), Text: plainText(m.under(t, at, 400)),
		Key:    func(i int) string { return m.key(m.spot(i)) },
		Target: func(i int) Level { return m.target(m.spot(i)) },
		Step: func(i, dx, dy int) int {
			if dx != 0 {
				return min(max(i+dx, 0), m.count()-1)
			}
			x, y := m.place(m.spot(i))
			if x == 0 && m.roomy { // from a name to the cells below it, and from cells to the name above
				x = m.indent
			}
			to := m.number(m.at(x, min(max(y+dy, 0), total-1)))
			if to == i && dy > 0 { // a shorter last row
				to = min(i+1, m.count()-1)
			}
			return to
		},
		At: func(x, y int) int {
			if y < 0 || y >= min(room, total-top) {
				return -1
			}
			return m.number(m.at(x, y+top))
		},
	}
}

// cursor is where the reader is: on what the level's cursor names, or in its old place if that is gone; at first on the
// name of the worst group.
func (m *heat) cursor(l *Level) spot {
	if l.Cursor == "" {
		l.Offset = 0
		return spot{0, -1}
	}
	if i := min(max(l.Index, 0), m.count()-1); m.key(m.spot(i)) == l.Cursor {
		return m.spot(i)
	}
	if at, ok := m.find(l.Cursor); ok {
		return at
	}
	return m.spot(min(max(l.Index, 0), m.count()-1))
}

func (m *heat) header(t *Theme, w int) string {
	l := t.NewLine(w)
	if m.label != "" {
		l.Put(Faint, "by ").Put(Plain, m.label).Put(Faint, ", worst first · ")
	}
	if m.per == 1 {
		return l.Put(Faint, "each cell is a node").String()
	}
	return l.Put(Faint, "each cell is ").Put(Plain, count(m.per)+" nodes").Put(Faint, ", showing the worst of them").String()
}

// table is the groups with their counts by state.
func (m *heat) table() Table {
	columns := []Column{
		{Title: "GROUP", Cell: func(g int) (Style, string) { return Plain, m.name(g) }},
		{Title: "NODES", Right: true, Cell: func(g int) (Style, string) { return Plain, count(len(m.groups[g].nodes)) }},
	}
	for i, state := range heatOrder {
		columns = append(columns, Column{Title: strings.ToUpper(string(state)), Right: true,
			Cell: func(g int) (Style, string) { return Plain, count(m.groups[g].counts[i]) }})
	}
	return Table{Rows: len(m.groups), Columns: columns, Key: func(g int) string { return m.key(spot{g, -1}) }}
}

// look is how the state at a place in heatOrder is drawn.
func (m *heat) look(t *Theme, state uint8) (Style, string) {
	glyphs := &heatGlyphs[0]
	if t.ASCII {
		glyphs = &heatGlyphs[1]
	}
	switch {
	case state < 2:
		return Bad, glyphs[state]
	case state < 6:
		return Warn, glyphs[state]
	case int(state) < len(heatOrder)-1:
		return Faint, glyphs[state]
	}
	return Good, glyphs[len(heatOrder)-1]
}

// drawRows draws the rows of the map that are on the screen.
func (m *heat) drawRows(t *Theme, d *Drawn, at spot, room int, focused bool) {
	from, y := d.Level.Offset, 0
	for g := range m.groups {
		if m.roomy {
			if y >= from && y < from+room {
				l := t.NewLine(m.w)
				if focused && at == (spot{g, -1}) {
					l.selected = 1
				}
				d.Lines = append(d.Lines, m.title(t, l, g, m.w).String())
			}
			y++
		}
		for row := range m.height(g) {
			if y >= from && y < from+room {
				d.Lines = append(d.Lines, m.row(t, g, row, at, focused))
			}
			y++
		}
		if y >= from+room {
			return
		}
	}
}

func (m *heat) row(t *Theme, g, row int, at spot, focused bool) string {
	l := t.NewLine(m.w)
	if !m.roomy && row == 0 {
		if focused && at == (spot{g, -1}) {
			l.selected = 1
		}
		m.short(t, l, g)
		l.unselect()
	}
	l.To(m.indent)
	first := row * m.cells
	for c := first; c < min(first+m.cells, m.width(g)); c++ {
		_, state := m.worst(spot{g, c})
		style, sign := m.look(t, state)
		if focused && at == (spot{g, c}) {
			style = Badge
		}
		l.glyph(style, sign)
	}
	return l.String()
}

// unselect ends the part of a row that is under the cursor.
func (l *Line) unselect() {
	if l.selected == 1 {
		l.selected, l.styled = 0, false
		l.b = append(l.b, "\x1b[m"...)
	}
}

// glyph puts one sign of weir's own, one cell wide.
func (l *Line) glyph(s Style, sign string) {
	if l.w >= l.width {
		return
	}
	l.set(s)
	l.b = append(l.b, sign...)
	l.w++
}

// sign is a group's own state: its worst.
func (m *heat) sign(t *Theme, g int) (Style, string) {
	counts := &m.groups[g].counts
	switch {
	case counts[0]+counts[1] > 0:
		return Bad, t.Glyphs.Trouble
	case counts[2]+counts[3]+counts[4]+counts[5] > 0:
		return Warn, t.Glyphs.Watch
	case counts[len(counts)-1] == 0:
		return Faint, t.Glyphs.Unknown
	}
	return Good, t.Glyphs.OK
}

// title is a group's row: its name, and how many of its nodes are in which state.
func (m *heat) title(t *Theme, l *Line, g, w int) *Line {
	style, sign := m.sign(t, g)
	l.Put(style, sign).Space(1).Put(Strong, t.clipMiddle(m.name(g), max(w/3, 12))).Put(Faint, "  "+plural(len(m.groups[g].nodes), "node", "nodes"))
	for i, n := range m.groups[g].counts {
		if n == 0 {
			continue
		}
		style, sign := m.look(t, uint8(i))
		text := count(n) + " " + string(heatOrder[i])
		if l.Left() < cells(text)+5 {
			break
		}
		l.Space(3).Put(style, sign+" ").Put(Plain, text)
	}
	return l
}

// short is a group's name before its cells, and how many of its nodes are not well.
func (m *heat) short(t *Theme, l *Line, g int) {
	style, sign := m.sign(t, g)
	counts := &m.groups[g].counts
	total := len(m.groups[g].nodes)
	figures := len("1,000/9,999")
	name := m.indent - 2 - 1 - figures - 1
	l.Put(style, sign).Space(1).Field(Strong, t.clipMiddle(m.name(g), name), name, false).Space(1)
	unwell := total - counts[len(counts)-1] - counts[len(counts)-2]
	text := count(unwell) + "/" + count(total)
	if unwell == 0 {
		style = Faint
	}
	l.Field(style, text, figures, true)
}

// under is what stands under the cursor.
func (m *heat) under(t *Theme, at spot, w int) string {
	l := t.NewLine(w)
	if at.cell < 0 {
		return m.title(t, l, at.group, w).String()
	}
	i, state := m.worst(at)
	n := m.e.NodeData[i]
	style, sign := m.look(t, state)
	l.Put(style, sign+" ").Put(Strong, t.clipMiddle(n.Name.String(), max(w/4, 12))).Space(1).Put(style, string(n.State))
	if !n.Since.IsZero() {
		l.Put(Faint, " for ").Put(Plain, brief(m.scene.Snap.At.Sub(n.Since)))
	}
	if all := m.nodes(at); len(all) > 1 {
		l.Put(Faint, " · the worst of "+count(len(all)))
	}
	if !n.Error.IsEmpty() {
		l.Put(Faint, " · "+n.Error.String())
	} else if n.HasData {
		l.Put(Faint, " · "+count(n.RecordCount)+" records, quality "+fixed(n.Quality, 3))
	}
	return l.String()
}

// legend names the signs on the map.
func (m *heat) legend(t *Theme, w int) string {
	var counts [len(heatOrder)]int
	for g := range m.groups {
		for i, n := range m.groups[g].counts {
			counts[i] += n
		}
	}
	l := t.NewLine(w)
	for i, n := range counts {
		if n == 0 {
			continue
		}
		style, sign := m.look(t, uint8(i))
		if l.w > 0 {
			l.Space(2)
		}
		l.Put(style, sign).Put(Faint, " "+string(heatOrder[i])+" ").Put(Plain, count(n))
	}
	for i, n := range counts { // what there is none of, as far as there is room
		if style, sign := m.look(t, uint8(i)); n == 0 && l.Left() > len(heatOrder[i])+4 {
			l.Space(2).Put(style, sign).Put(Faint, " "+string(heatOrder[i]))
		}
	}
	return l.String()
}
