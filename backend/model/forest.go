package model

import "math"

// forest is an ensemble laid out to be walked fast.
//
// A feature value becomes an integer key whose order is that of the numbers, so that one integer comparison, with no
// branch, decides every split: missing values are the largest key, or the smallest where a split sends them low. Rows
// are walked in blocks through one tree after another, so that a tree is read from memory once a block and the block's
// keys stay in the nearest cache. Several rows walk side by side, for the processor to work on one while it waits for
// another's load.
//
// A shallow tree is a complete binary tree in an array, with the children of i at 2i and 2i+1; deeper ones are
// nodes that know where their pair of children lies.
type forest struct {
	columns []keyColumn
	shallow []shallowTree
	deep    []deepTree
	leaves  []float64
	targets int
}

// keyColumn is a feature as the splits look at it.
type keyColumn struct {
	keySpec
	cuts []int64 // where doubles are compared, the sorted limits: a value's key is its rank among them
}

type keySpec struct {
	feature int32
	nanLow  bool
}

const (
	blockRows      = 64 // rows walked through a tree together
	shallowDepth   = 6  // the deepest tree kept as a complete one
	shallowNodes   = 1 << shallowDepth
	shallowColumns = 256 // the most key columns with which trees are kept as complete ones
	shallowKeys    = shallowColumns * blockRows
)

// cell is one comparison in one word: the greatest key that goes low in the upper half, where the column's keys begin
// in the lower. A key is kept in the upper half of its word, so key > cell compares the keys whatever stands below.
type cell int64

func newCell(limit, column int32) cell { return cell(limit)<<32 | cell(column)*blockRows }

type shallowTree struct {
	cells  [shallowNodes]cell // the root is at 1
	depth  int
	leaves [shallowNodes]int32 // positions in forest.leaves
}

// deepTree's nodes lie in pairs, low before high. A leaf is a node that leads to itself.
type deepTree struct {
	nodes []deepNode
	leaf  []int32 // of each node that is a leaf, the position in forest.leaves
	depth int
}

type deepNode struct {
	cell cell
	pair int32 // where low stands; high is next to it
}

// newForest lays an ensemble out to compare float32, or doubles.
func newForest(e *ensemble, doubles bool) *forest {
	f := &forest{leaves: e.leaves, targets: e.targets}
	l := layout{e: e, f: f, at: map[keySpec]int32{}, doubles: doubles}
	l.number()
	for _, root := range e.roots {
		if depth := l.depth(root, shallowDepth+1); depth <= shallowDepth && len(f.columns) <= shallowColumns {
			t := shallowTree{depth: depth}
			l.fill(&t, root, 1, depth)
			f.shallow = append(f.shallow, t)
		} else {
			f.deep = append(f.deep, l.deepTree(root))
		}
	}
	return f
}

type layout struct {
	e       *ensemble
	f       *forest
	at      map[keySpec]int32 // number of each key column
	doubles bool
}

// number finds the key columns, and for doubles their cuts.
func (l *layout) number() {
	for i := range l.e.splits {
		s := &l.e.splits[i]
		spec := keySpec{s.feature, s.nanLow}
		c, known := l.at[spec]
		if !known {
			c = int32(len(l.f.columns))
			l.at[spec] = c
			l.f.columns = append(l.f.columns, keyColumn{keySpec: spec})
		}
		if l.doubles {
			l.f.columns[c].cuts = append(l.f.columns[c].cuts, doubleLimit(s.threshold, s.strict))
		}
	}
	if l.doubles {
		for i := range l.f.columns {
			l.f.columns[i].cuts = sortedSet(l.f.columns[i].cuts)
		}
	}
}

func (l *layout) cell(s *split) cell {
	c := l.at[keySpec{s.feature, s.nanLow}]
	if l.doubles {
		return newCell(rank(l.f.columns[c].cuts, doubleLimit(s.threshold, s.strict)), c)
	}
	return newCell(singleLimit(s.threshold, s.strict), c)
}

// depth is a tree's depth, or the limit if it is deeper.
func (l *layout) depth(node int32, limit int) int {
	if node < 0 || limit == 0 {
		return 0
	}
	s := &l.e.splits[node]
	return 1 + max(l.depth(s.low, limit-1), l.depth(s.high, limit-1))
}

// fill copies a tree into the complete one below position i; where it ends early, all leaves below are the same.
func (l *layout) fill(t *shallowTree, node int32, i, levels int) {
	if levels == 0 {
		t.leaves[i&(shallowNodes-1)] = ^node * int32(l.e.targets)
		return
	}
	low, high := node, node
	if node >= 0 {
		s := &l.e.splits[node]
		t.cells[i] = l.cell(s)
		low, high = s.low, s.high
	}
	l.fill(t, low, 2*i, levels-1)
	l.fill(t, high, 2*i+1, levels-1)
}

// deepTree copies a tree breadth first. Subtrees that a file shares between parents stay shared.
func (l *layout) deepTree(root int32) deepTree {
	t := deepTree{depth: l.longest(root, map[int32]int{}), nodes: make([]deepNode, 1), leaf: make([]int32, 1)}
	pairs := map[int32]int32{} // split to where its children stand
	type todo struct{ node, at int32 }
	for queue := []todo{{root, 0}}; len(queue) > 0; queue = queue[1:] {
		node, at := queue[0].node, queue[0].at
		if node < 0 {
			t.nodes[at] = deepNode{newCell(math.MaxInt32, 0), at}
			t.leaf[at] = ^node * int32(l.e.targets)
			continue
		}
		s := &l.e.splits[node]
		pair, known := pairs[node]
		if !known {
			pair = int32(len(t.nodes))
			pairs[node] = pair
			t.nodes, t.leaf = append(t.nodes, deepNode{}, deepNode{}), append(t.leaf, 0, 0)
			queue = append(queue, todo{s.low, pair}, todo{s.high, pair + 1})
		}
		t.nodes[at] = deepNode{l.cell(s), pair}
	}
	return t
}

// longest is the number of steps from a node to the farthest leaf below it; known remembers what was found, since
// subtrees may be shared.
func (l *layout) longest(node int32, known map[int32]int) int {
	if node < 0 {
		return 0
	}
	if steps, ok := known[node]; ok {
		return steps
	}
	s := &l.e.splits[node]
	known[node] = 1 + max(l.longest(s.low, known), l.longest(s.high, known))
	return known[node]
}

// keyBlock is the scratch memory of a walk: the keys of a block of rows, column by column, and where each row ended.
type keyBlock struct {
	keys []int64
	ends [blockRows]int32
}

// score adds every tree's leaves to y, targets numbers a row.
func (f *forest) score(b *keyBlock, x []float64, rows, columns int, y []float64, how aggregate) {
	// The room beyond the last column is read, and does no harm, where a walk looks for the next rows' keys.
	if need := max(shallowColumns, len(f.columns)+1) * blockRows; len(b.keys) < need+blockRows {
		b.keys = make([]int64, need+blockRows)
	}
	for from := 0; from < rows; from += blockRows {
		n := min(blockRows, rows-from)
		for i := range f.columns {
			c := &f.columns[i]
			keys := b.keys[i*blockRows : (i+1)*blockRows][:n]
			if c.cuts != nil {
				c.fillRanks(keys, x[from*columns+int(c.feature):], columns)
			} else {
				c.fillSingles(keys, x[from*columns+int(c.feature):], columns)
			}
		}
		part := y[from*f.targets : (from+n)*f.targets]
		for i := range f.shallow {
			f.shallow[i].walk(b.keys, n, &b.ends)
			f.collect(part, b.ends[:n], how)
		}
		for i := range f.deep {
			f.deep[i].walk(b.keys, n, &b.ends)
			f.collect(part, b.ends[:n], how)
		}
	}
}

// walk takes the rows of a block, four at a time, to their leaves.
func (t *shallowTree) walk(keys []int64, rows int, ends *[blockRows]int32) {
	const node, key = shallowNodes - 1, shallowKeys - 1
	cells := &t.cells
	for r := 0; r < rows; r += 4 {
		// An array of known size spares the check of each index; the last column's keys and r stay within it.
		k := (*[shallowKeys + 4]int64)(keys[r:])
		a, b, c, d := 1, 1, 1, 1
		for range t.depth {
			p := cells[a&node]
			a = 2*a + above(k[p&key], p)
			p = cells[b&node]
			b = 2*b + above(k[p&key+1], p)
			p = cells[c&node]
			c = 2*c + above(k[p&key+2], p)
			p = cells[d&node]
			d = 2*d + above(k[p&key+3], p)
		}
		e := (*[4]int32)(ends[r:])
		e[0], e[1], e[2], e[3] = t.leaves[a&node], t.leaves[b&node], t.leaves[c&node], t.leaves[d&node]
	}
}

// above is 1 if the key is greater than the cell's; the compiler makes it one instruction without a branch.
func above(key int64, c cell) int {
	if key > int64(c) {
		return 1
	}
	return 0
}

func (t *deepTree) walk(keys []int64, rows int, ends *[blockRows]int32) {
	nodes := t.nodes
	for r := 0; r < rows; r += 4 {
		k := keys[r:]
		var a, b, c, d int32
		for range t.depth {
			p, q, u, v := &nodes[a], &nodes[b], &nodes[c], &nodes[d]
			if p.pair == a && q.pair == b && u.pair == c && v.pair == d {
				break
			}
			a, b = p.pair+int32(above(k[uint32(p.cell)], p.cell)), q.pair+int32(above(k[uint32(q.cell)+1], q.cell))
			c, d = u.pair+int32(above(k[uint32(u.cell)+2], u.cell)), v.pair+int32(above(k[uint32(v.cell)+3], v.cell))
		}
		e := (*[4]int32)(ends[r:])
		e[0], e[1], e[2], e[3] = t.leaf[a], t.leaf[b], t.leaf[c], t.leaf[d]
	}
}

// collect takes the leaves the rows ended in into the result.
func (f *forest) collect(y []float64, ends []int32, how aggregate) {
	if f.targets == 1 && how <= aggregateSum {
		for r, at := range ends {
			y[r] += f.leaves[at]
		}
		return
	}
	for r, at := range ends {
		row := y[r*f.targets : (r+1)*f.targets]
		for i, w := range f.leaves[at : int(at)+f.targets] {
			switch how {
			case aggregateMin:
				row[i] = math.Min(row[i], w)
			case aggregateMax:
				row[i] = math.Max(row[i], w)
			default:
				row[i] += w
			}
		}
	}
}
