package views

import (
	"cmp"
	"slices"
	"strings"

	"weir/backend/edge"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

// heatOrder is the states from the worst to the best; a cell of several nodes shows the worst of them.
var heatOrder = [...]edge.State{edge.Down, edge.Invalid, edge.Flapping, edge.Skewed, edge.Stale, edge.Slow, edge.Unknown, edge.Quarantined, edge.OK}

// heatGlyphs tell the states apart by shape: heatOrder's, and their ASCII forms. A healthy node is the least ink.
var heatGlyphs = [2][len(heatOrder)]string{
	{"✕", "■", "◆", "◇", "▲", "△", "○", "□", "·"},
	{"x", "#", "%", "&", "!", "~", "o", "=", "."},
}

// heatIndex is the place of a state in heatOrder.
func heatIndex(s edge.State) uint8 {
	for i, o := range heatOrder {
		if o == s {
			return uint8(i)
		}
	}
	return uint8(len(heatOrder) - 3) // unknown
}

// groupPrefix begins the key of a group's page; a node's URL never does.
const groupPrefix = "group "

// groupKey names a group: a label holds no control character.
func groupKey(label, value string) string { return groupPrefix + label + "\t" + value }

// heatGroup is the nodes that share a label's value.
type heatGroup struct {
	value  string
	nodes  []int32 // indices of NodeData, in its order
	counts [len(heatOrder)]int
}

// bad orders groups: the share of nodes that are down or lie, then of those that are not well, in thousandths.
func (g *heatGroup) bad() (broken, unwell int) {
	for i, n := range g.counts {
		switch {
		case i < 2:
			broken += n
		case i < 7:
			unwell += n
		}
	}
	return broken * 1000 / len(g.nodes), unwell * 1000 / len(g.nodes)
}

// heat is a map of the fleet: a cell a node, or several nodes a cell where there is no room, in groups.
type heat struct {
	scene  *Scene
	e      *edge.Snapshot
	label  string // grouped by; empty: one group
	groups []heatGroup
	per    int // nodes a cell
	// layout
	w, cells, indent int
	roomy            bool // a group's name has a row of its own
}

// Groupings are the labels a map can be grouped by.
func Groupings(x *timeline.Snapshot) []string {
	if x == nil || x.Edge == nil {
		return nil
	}
	return groupings(x.Edge)
}

func groupings(e *edge.Snapshot) []string {
	var labels []string
	for i := range e.Groups {
		if l := e.Groups[i].Label.String(); len(labels) == 0 || labels[len(labels)-1] != l {
			labels = append(labels, l)
		}
	}
	return labels
}

// groupingOf is the label to group by: the one asked for, else the site, else the first.
func groupingOf(labels []string, asked string) string {
	switch {
	case slices.Contains(labels, asked):
		return asked
	case slices.Contains(labels, "site"):
		return "site"
	case len(labels) > 0:
		return labels[0]
	}
	return ""
}

// newHeat groups the nodes that pass the filter, the worst group first.
func (s *Scene) newHeat(e *edge.Snapshot, label, filter string) *heat {
	m := &heat{scene: s, e: e, label: label}
	table := s.nodeTable(e.NodeData, true)
	pass := ParseFilter(filter).on(&table)
	index := make(map[safetext.Text]int, 16)
	var before safetext.Text
	at := -1
	for i, n := range e.NodeData {
		if !pass.empty() && !pass.match(&table, i) {
			continue
		}
		if value := n.Labels[label]; at < 0 || value != before {
			g, known := index[value]
			if !known {
				g = len(m.groups)
				index[value] = g
				m.groups = append(m.groups, heatGroup{value: value.String()})
			}
			at, before = g, value
		}
		g := &m.groups[at]
		g.nodes = append(g.nodes, int32(i))
		g.counts[heatIndex(n.State)]++
	}
	slices.SortStableFunc(m.groups, func(a, b heatGroup) int {
		ab, au := a.bad()
		bb, bu := b.bad()
		return cmp.Or(cmp.Compare(bb, ab), cmp.Compare(bu, au), none(a.value)-none(b.value), strings.Compare(a.value, b.value))
	})
	return m
}

// none is 1 for the group of nodes without the label, which comes after those with one.
func none(value string) int {
	if value == "" {
		return 1
	}
	return 0
}

// niceCells are how many nodes a cell may stand for.
var niceCells = [...]int{1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1000, 1500, 2000, 5000, 10_000, 100_000}

// fit chooses how many nodes a cell stands for, so that the map fits into w by h cells where it can. It depends on the
// fleet's size alone, not on how it does: the map stands still.
func (m *heat) fit(w, h int) {
	m.w = w
	m.roomy = 2*len(m.groups) <= h
	m.indent = 2
	if !m.roomy {
		longest := 4
		for i := range m.groups {
			longest = max(longest, cells(m.scene.Theme.fold(m.name(i))))
		}
		m.indent = 2 + min(longest, 14) + 1 + len("1,000/9,999") + 1
	}
	m.cells = max(w-m.indent, 8)
	most := max(h, len(m.groups)) // of more groups than rows each has one, and the map scrolls
	for _, m.per = range niceCells {
		if m.rows() <= most {
			return
		}
	}
}

func (m *heat) name(g int) string {
	switch value := m.groups[g].value; {
	case m.label == "":
		return "all nodes"
	case value == "":
		return "no " + m.label
	default:
		return value
	}
}

// width is how many cells group g takes.
func (m *heat) width(g int) int { return (len(m.groups[g].nodes) + m.per - 1) / m.per }

// height is how many rows its cells take.
func (m *heat) height(g int) int { return (m.width(g) + m.cells - 1) / m.cells }

func (m *heat) rows() int {
	n := 0
	for g := range m.groups {
		n += m.height(g)
		if m.roomy {
			n++
		}
	}
	return n
}

// A map's places are numbered through: each group's name, then its cells. spot is where one of them stands.
type spot struct {
	group int
	cell  int // -1: the name
}

// row is where a spot stands on the map, from its top.
func (m *heat) place(at spot) (x, y int) {
	for g := range at.group {
		y += m.height(g)
		if m.roomy {
			y++
		}
	}
	if at.cell < 0 {
		return 0, y
	}
	if m.roomy {
		y++
	}
	return m.indent + at.cell%m.cells, y + at.cell/m.cells
}

// at is the spot at or nearest to a place on the map.
func (m *heat) at(x, y int) spot {
	y = max(y, 0)
	for g := range m.groups {
		tall := m.height(g)
		if m.roomy {
			tall++
		}
		if y >= tall {
			if g < len(m.groups)-1 {
				y -= tall
				continue
			}
			y = tall - 1
		}
		if m.roomy {
			if y == 0 {
				return spot{g, -1}
			}
			y--
		} else if x < m.indent && y == 0 {
			return spot{g, -1}
		}
		first := y * m.cells
		return spot{g, min(first+min(max(x-m.indent, 0), m.cells-1), m.width(g)-1)}
	}
	return spot{}
}

func (m *heat) number(at spot) int {
	n := at.cell + 1
	for g := range at.group {
		n += 1 + m.width(g)
	}
	return n
}

func (m *heat) spot(number int) spot {
	for g := range m.groups {
		if number <= m.width(g) {
			return spot{g, number - 1}
		}
		number -= 1 + m.width(g)
	}
	last := len(m.groups) - 1
	return spot{last, m.width(last) - 1}
}

func (m *heat) count() int {
	n := 0
	for g := range m.groups {
		n += 1 + m.width(g)
	}
	return n
}

// nodes are those of a cell.
func (m *heat) nodes(at spot) []int32 {
	all := m.groups[at.group].nodes
	from := at.cell * m.per
	return all[from:min(from+m.per, len(all))]
}

// worst is the node of a cell that its sign tells of, the first of the worst.
func (m *heat) worst(at spot) (node int32, state uint8) {
	state = 255
	for _, i := range m.nodes(at) {
		if h := heatIndex(m.e.NodeData[i].State); h < state {
			node, state = i, h
		}
	}
	return node, state
}

// key names a spot whatever happens around it: a group by its value, a cell by its first node.
func (m *heat) key(at spot) string {
	if at.cell < 0 {
		return groupKey(m.label, m.groups[at.group].value)
	}
	return m.e.NodeData[m.nodes(at)[0]].URL.String()
}

// find is the spot that has, or now holds, what key names.
func (m *heat) find(key string) (spot, bool) {
	if value, ok := strings.CutPrefix(key, groupPrefix+m.label+"\t"); ok {
		for g := range m.groups {
			if m.groups[g].value == value {
				return spot{g, -1}, true
			}
		}
		return spot{}, false
	}
	for g := range m.groups {
		for k, i := range m.groups[g].nodes {
			if m.e.NodeData[i].URL.String() == key {
				return spot{g, k / m.per}, true
			}
		}
	}
	return spot{}, false
}

// target is what enter opens: the node of a cell that is one, else the group, with the cursor on the worst of the cell.
func (m *heat) target(at spot) Level {
	if at.cell < 0 {
		return Level{Key: m.key(at)}
	}
	if m.per == 1 {
		return Level{Key: m.key(at)}
	}
	node, _ := m.worst(at)
	return Level{Key: groupKey(m.label, m.groups[at.group].value), Cursor: m.e.NodeData[node].URL.String()}
}
