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
type forest[K int32 | int64] struct {
	keys    keyMaker[K]
	columns []keyColumn
	shallow []shallowTree[K]
	deep    []deepTree[K]
	leaves  []float64
	targets int
}

// keyColumn is a feature as the splits look at it.
type keyColumn struct {
	feature int32
	nanLow  bool
}

const (
	blockRows    = 64 // rows walked through a tree together
	shallowDepth = 6  // the deepest tree kept as a complete one
	shallowNodes = 1 << shallowDepth
)

// cell is one comparison: a row whose key in the column is at most key goes low.
type cell[K int32 | int64] struct {
	key    K
	column int32 // times blockRows: where the column's keys begin
}

type shallowTree[K int32 | int64] struct {
	cells  [shallowNodes]cell[K] // the root is at 1
	depth  int
	leaves [shallowNodes]int32 // positions in forest.leaves
}

// deepTree's nodes lie in pairs, low before high. A leaf is a node that leads to itself.
type deepTree[K int32 | int64] struct {
	nodes []deepNode[K]
	leaf  []int32 // of each node that is a leaf, the position in forest.leaves
	depth int
}

type deepNode[K int32 | int64] struct {
	key    K
	column int32
	pair   int32 // where low stands; high is next to it
}

// newForest lays an ensemble out.
func newForest[K int32 | int64](e *ensemble, keys keyMaker[K]) *forest[K] {
	f := &forest[K]{keys: keys, leaves: e.leaves, targets: e.targets}
	l := layout[K]{e: e, f: f, at: map[keyColumn]int32{}}
	for _, root := range e.roots {
		if depth := l.depth(root, shallowDepth+1); depth <= shallowDepth {
			var t shallowTree[K]
			t.depth = depth
			l.fill(&t, root, 1, depth)
			f.shallow = append(f.shallow, t)
		} else {
			f.deep = append(f.deep, l.deepTree(root))
		}
	}
	return f
}

type layout[K int32 | int64] struct {
	e  *ensemble
	f  *forest[K]
	at map[keyColumn]int32
}

// column numbers the key columns as they are met.
func (l *layout[K]) column(s *split) int32 {
	c := keyColumn{s.feature, s.nanLow}
	i, ok := l.at[c]
	if !ok {
		i = int32(len(l.f.columns))
		l.at[c] = i
		l.f.columns = append(l.f.columns, c)
	}
	return i * blockRows
}

// depth is a tree's depth, or the limit if it is deeper.
func (l *layout[K]) depth(node int32, limit int) int {
	if node < 0 || limit == 0 {
		return 0
	}
	s := &l.e.splits[node]
	return 1 + max(l.depth(s.low, limit-1), l.depth(s.high, limit-1))
}

// fill copies a tree into the complete one below position i; where it ends early, all leaves below are the same.
func (l *layout[K]) fill(t *shallowTree[K], node int32, i, levels int) {
	if levels == 0 {
		t.leaves[i&(shallowNodes-1)] = ^node * int32(l.e.targets)
		return
	}
	low, high := node, node
	if node >= 0 {
		s := &l.e.splits[node]
		t.cells[i] = cell[K]{l.f.keys.limit(s.threshold, s.strict), l.column(s)}
		low, high = s.low, s.high
	}
	l.fill(t, low, 2*i, levels-1)
	l.fill(t, high, 2*i+1, levels-1)
}

// deepTree copies a tree breadth first. Subtrees that a file shares between parents stay shared.
func (l *layout[K]) deepTree(root int32) deepTree[K] {
	t := deepTree[K]{}
	pairs := map[int32]int32{} // split to where its children stand
	type todo struct{ node, at int32 }
	t.nodes, t.leaf = make([]deepNode[K], 1), make([]int32, 1)
	for queue := []todo{{root, 0}}; len(queue) > 0; queue = queue[1:] {
		node, at := queue[0].node, queue[0].at
		if node < 0 {
			t.nodes[at] = deepNode[K]{key: l.f.keys.top, pair: at}
			t.leaf[at] = ^node * int32(l.e.targets)
			continue
		}
		s := &l.e.splits[node]
		pair, known := pairs[node]
		if !known {
			pair = int32(len(t.nodes))
			pairs[node] = pair
			t.nodes, t.leaf = append(t.nodes, deepNode[K]{}, deepNode[K]{}), append(t.leaf, 0, 0)
			queue = append(queue, todo{s.low, pair}, todo{s.high, pair + 1})
		}
		t.nodes[at] = deepNode[K]{l.f.keys.limit(s.threshold, s.strict), l.column(s), pair}
	}
	t.depth = l.longest(root, map[int32]int{})
	return t
}

// longest is the number of steps from a node to the farthest leaf below it; known remembers what was found, since
// subtrees may be shared.
func (l *layout[K]) longest(node int32, known map[int32]int) int {
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
type keyBlock[K int32 | int64] struct {
	keys []K
	ends [blockRows]int32
}

// score adds every tree's leaves to y, targets numbers a row.
func (f *forest[K]) score(b *keyBlock[K], x []float64, rows, columns int, y []float64, how aggregate) {
	if need := max(1, len(f.columns)) * blockRows; len(b.keys) < need {
		b.keys = make([]K, need)
	}
	for from := 0; from < rows; from += blockRows {
		n := min(blockRows, rows-from)
		f.fillKeys(b.keys, x[from*columns:], n, columns)
		part := y[from*f.targets : (from+n)*f.targets]
		for i := range f.shallow {
			f.shallow[i].walk(b.keys, (n+3)&^3, &b.ends)
			f.collect(part, b.ends[:n], how)
		}
		for i := range f.deep {
			f.deep[i].walk(b.keys, (n+3)&^3, &b.ends)
			f.collect(part, b.ends[:n], how)
		}
	}
}

func (f *forest[K]) fillKeys(keys []K, x []float64, rows, columns int) {
	for i, c := range f.columns {
		f.keys.fill(keys[i*blockRows : (i+1)*blockRows][:rows], x[c.feature:], columns, c.nanLow)
	}
}

// walk takes the rows of a block, four at a time, to their leaves.
func (t *shallowTree[K]) walk(keys []K, rows int, ends *[blockRows]int32) {
	const mask = shallowNodes - 1
	for r := 0; r < rows; r += 4 {
		k := keys[r:]
		a, b, c, d := 1, 1, 1, 1
		for range t.depth {
			p, q, u, v := &t.cells[a&mask], &t.cells[b&mask], &t.cells[c&mask], &t.cells[d&mask]
			a, b = 2*a+above(k[p.column], p.key), 2*b+above(k[q.column+1], q.key)
			c, d = 2*c+above(k[u.column+2], u.key), 2*d+above(k[v.column+3], v.key)
		}
		e := ends[r : r+4 : r+4]
		e[0], e[1], e[2], e[3] = t.leaves[a&mask], t.leaves[b&mask], t.leaves[c&mask], t.leaves[d&mask]
	}
}

// above is 1 if the key is greater than the limit; the compiler makes it one instruction without a branch.
func above[K int32 | int64](key, limit K) int {
	if key > limit {
		return 1
	}
	return 0
}

func (t *deepTree[K]) walk(keys []K, rows int, ends *[blockRows]int32) {
	nodes := t.nodes
	for r := 0; r < rows; r += 4 {
		k := keys[r:]
		var a, b, c, d int32
		for range t.depth {
			p, q, u, v := &nodes[a], &nodes[b], &nodes[c], &nodes[d]
			if p.pair == a && q.pair == b && u.pair == c && v.pair == d {
				break
			}
			a, b = p.pair+int32(above(k[p.column], p.key)), q.pair+int32(above(k[q.column+1], q.key))
			c, d = u.pair+int32(above(k[u.column+2], u.key)), v.pair+int32(above(k[v.column+3], v.key))
		}
		e := ends[r : r+4 : r+4]
		e[0], e[1], e[2], e[3] = t.leaf[a], t.leaf[b], t.leaf[c], t.leaf[d]
	}
}

// collect takes the leaves the rows ended in into the result.
func (f *forest[K]) collect(y []float64, ends []int32, how aggregate) {
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
