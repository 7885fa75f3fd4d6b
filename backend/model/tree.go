package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// maxTreeDepth bounds the recursion over a tree; real ones stay far below.
const maxTreeDepth = 4096

// ensemble is trees in the one form that all of ONNX's come down to. Every comparison is turned into "x ≤ threshold
// goes low" or "x < threshold goes low", with the side that a missing value takes beside it.
type ensemble struct {
	roots   []int32 // a split, or ^leaf
	splits  []split
	leaves  []float64 // weights, targets a leaf
	targets int
	columns int // how many features there must be at least
	// single is that every threshold lies on a float32 or halfway between two: the trees were grown on float32 features,
	// as scikit-learn's are whatever it is given, and compare rounded values even where the file declares doubles.
	single bool
}

type split struct {
	feature   int32
	strict    bool // x < threshold rather than x ≤ threshold
	nanLow    bool
	threshold float64
	low, high int32 // a split, or ^leaf
}

// rawNode is a node as the file has it.
type rawNode struct {
	feature        int64
	value          float64
	mode           branchMode
	yes, no        int32 // positions in the list of raw nodes, or ^leaf
	missingIsYes   bool
	members        []float64
	isChild, known bool
	built          int32
}

type branchMode uint8

const (
	branchLEQ branchMode = iota // numbered as in TreeEnsemble's nodes_modes
	branchLT
	branchGTE
	branchGT
	branchEQ
	branchNEQ
	branchMember
	branchLeaf
)

var branchModes = map[string]branchMode{"BRANCH_LEQ": branchLEQ, "BRANCH_LT": branchLT, "BRANCH_GTE": branchGTE,
	"BRANCH_GT": branchGT, "BRANCH_EQ": branchEQ, "BRANCH_NEQ": branchNEQ, "BRANCH_MEMBER": branchMember, "LEAF": branchLeaf}

// aggregate is how the trees' answers become one.
type aggregate uint8

const (
	aggregateAverage aggregate = iota // numbered as in TreeEnsemble's aggregate_function
	aggregateSum
	aggregateMin
	aggregateMax
)

var aggregates = map[string]aggregate{"AVERAGE": aggregateAverage, "SUM": aggregateSum, "MIN": aggregateMin, "MAX": aggregateMax}

// absent is the weight of a target a leaf says nothing about: neutral to the aggregate.
func (a aggregate) absent() float64 {
	switch a {
	case aggregateMin:
		return math.Inf(1)
	case aggregateMax:
		return math.Inf(-1)
	}
	return 0
}

// floatsOrTensor reads name, or name_as_tensor which holds the same as doubles.
func (a *attributes) floatsOrTensor(name string) []float64 {
	v := a.floats(name)
	if t := a.tensor(name + "_as_tensor"); t != nil && v == nil {
		return t.num
	}
	return v
}

// readTrees reads the attributes that TreeEnsembleClassifier and TreeEnsembleRegressor share; leaf is the prefix of
// those that differ by name only, class or target.
func readTrees(a *attributes, leaf string, targets int, how aggregate) (*ensemble, error) {
	treeIDs, nodeIDs := a.ints("nodes_treeids"), a.ints("nodes_nodeids")
	features, values, modes := a.ints("nodes_featureids"), a.floatsOrTensor("nodes_values"), a.strings("nodes_modes")
	yes, no := a.ints("nodes_truenodeids"), a.ints("nodes_falsenodeids")
	missing := a.ints("nodes_missing_value_tracks_true")
	a.ignore("nodes_hitrates", "nodes_hitrates_as_tensor")
	n := len(treeIDs)
	for name, have := range map[string]int{"nodes_nodeids": len(nodeIDs), "nodes_featureids": len(features), "nodes_values": len(values),
		"nodes_modes": len(modes), "nodes_truenodeids": len(yes), "nodes_falsenodeids": len(no)} {
		if have != n {
			return nil, fmt.Errorf("%d nodes_treeids but %d %s", n, have, name)
		}
	}
	if len(missing) != 0 && len(missing) != n {
		return nil, fmt.Errorf("%d nodes_treeids but %d nodes_missing_value_tracks_true", n, len(missing))
	}
	type id struct{ tree, node int64 }
	at := make(map[id]int32, n)
	for i := range n {
		if _, twice := at[id{treeIDs[i], nodeIDs[i]}]; twice {
			return nil, fmt.Errorf("tree %d has two nodes %d", treeIDs[i], nodeIDs[i])
		}
		at[id{treeIDs[i], nodeIDs[i]}] = int32(i)
	}
	nodes := make([]rawNode, n)
	for i := range nodes {
		mode, ok := branchModes[modes[i]]
		if !ok || mode == branchMember {
			return nil, fmt.Errorf("%w: nodes_modes %q", ErrUnsupported, modes[i])
		}
		nodes[i] = rawNode{feature: features[i], value: values[i], mode: mode, missingIsYes: len(missing) > 0 && missing[i] != 0}
		if mode == branchLeaf {
			continue
		}
		var found [2]bool
		nodes[i].yes, found[0] = at[id{treeIDs[i], yes[i]}]
		nodes[i].no, found[1] = at[id{treeIDs[i], no[i]}]
		if !found[0] || !found[1] {
			return nil, fmt.Errorf("node %d of tree %d branches to a node that is not there", nodeIDs[i], treeIDs[i])
		}
	}
	e := &ensemble{targets: targets}
	weights := make(map[int32]int32) // raw node to leaf
	ids, trees, inTree, w := a.ints(leaf+"_ids"), a.ints(leaf+"_treeids"), a.ints(leaf+"_nodeids"), a.floatsOrTensor(leaf+"_weights")
	if len(trees) != len(ids) || len(inTree) != len(ids) || len(w) != len(ids) {
		return nil, fmt.Errorf("%d %s_ids, %d %s_treeids, %d %s_nodeids, %d %s_weights", len(ids), leaf, len(trees), leaf, len(inTree), leaf, len(w), leaf)
	}
	for i := range ids {
		node, ok := at[id{trees[i], inTree[i]}]
		if !ok || ids[i] < 0 {
			return nil, fmt.Errorf("a weight for %s %d at node %d of tree %d, which is not there", leaf, ids[i], inTree[i], trees[i])
		}
		target := int(ids[i])
		if targets == 1 {
			target = 0
		}
		if target >= targets {
			return nil, fmt.Errorf("a weight for %s %d of %d", leaf, ids[i], targets)
		}
		l, ok := weights[node]
		if !ok {
			l = e.newLeaf(how)
			weights[node] = l
		}
		cell := &e.leaves[int(l)*targets+target]
		if math.IsInf(*cell, 0) {
			*cell = 0
		}
		*cell += w[i]
	}
	return e, e.assemble(nodes, weights, how)
}

func (e *ensemble) newLeaf(how aggregate) int32 {
	for range e.targets {
		e.leaves = append(e.leaves, how.absent())
	}
	return int32(len(e.leaves)/e.targets - 1)
}

// assemble builds the trees from raw nodes; weights gives the leaf of a node that is one.
func (e *ensemble) assemble(nodes []rawNode, weights map[int32]int32, how aggregate) error {
	for i := range nodes {
		if nodes[i].mode == branchLeaf {
			continue
		}
		for _, child := range []int32{nodes[i].yes, nodes[i].no} {
			if child >= 0 {
				nodes[child].isChild = true
			}
		}
	}
	b := treeBuilder{e: e, nodes: nodes, weights: weights, how: how}
	for i := range nodes {
		if nodes[i].isChild {
			continue
		}
		root, err := b.build(int32(i), 0)
		if err != nil {
			return err
		}
		e.roots = append(e.roots, root)
	}
	if len(e.roots) == 0 && len(nodes) > 0 {
		return errors.New("its trees have no root: every node is another's child")
	}
	return nil
}

type treeBuilder struct {
	e       *ensemble
	nodes   []rawNode
	weights map[int32]int32
	how     aggregate
}

// build gives the split or ^leaf that a raw node becomes.
func (b *treeBuilder) build(i int32, depth int) (int32, error) {
	if i < 0 {
		return i, nil
	}
	n := &b.nodes[i]
	if n.known {
		return n.built, nil
	}
	if depth > maxTreeDepth {
		return 0, fmt.Errorf("a tree is deeper than %d, or its branches form a circle", maxTreeDepth)
	}
	if n.mode == branchLeaf {
		leaf, ok := b.weights[i]
		if !ok {
			leaf = b.e.newLeaf(b.how)
		}
		n.built, n.known = ^leaf, true
		return n.built, nil
	}
	if n.feature < 0 || n.feature >= maxElements {
		return 0, fmt.Errorf("a node compares feature %d", n.feature)
	}
	b.e.columns = max(b.e.columns, int(n.feature)+1)
	yes, err := b.build(n.yes, depth+1)
	if err != nil {
		return 0, err
	}
	no, err := b.build(n.no, depth+1)
	if err != nil {
		return 0, err
	}
	n = &b.nodes[i]
	n.built, n.known = b.split(n, yes, no), true
	return n.built, nil
}

// split turns a comparison into splits that send the low side left.
func (b *treeBuilder) split(n *rawNode, yes, no int32) int32 {
	at := func(strict bool, low, high int32, nanLow bool) int32 {
		return b.add(split{feature: int32(n.feature), strict: strict, nanLow: nanLow, threshold: n.value, low: low, high: high})
	}
	switch n.mode {
	case branchLEQ:
		return at(false, yes, no, n.missingIsYes)
	case branchLT:
		return at(true, yes, no, n.missingIsYes)
	case branchGT:
		return at(false, no, yes, !n.missingIsYes)
	case branchGTE:
		return at(true, no, yes, !n.missingIsYes)
	case branchEQ:
		return b.member(n.feature, []float64{n.value}, yes, no, n.missingIsYes)
	case branchNEQ:
		// NaN differs from every number.
		return b.member(n.feature, []float64{n.value}, no, yes, false)
	}
	return b.member(n.feature, n.members, yes, no, n.missingIsYes)
}

func (b *treeBuilder) add(s split) int32 {
	if len(b.e.splits) == 0 {
		b.e.single = true
	}
	const below = 1<<28 - 1 // the bits of a float64 beyond the 25 that a midpoint of float32s takes
	b.e.single = b.e.single && math.Float64bits(s.threshold)&below == 0
	b.e.splits = append(b.e.splits, s)
	return int32(len(b.e.splits) - 1)
}

// member tests for any of some values by a balanced search among them. A missing value falls through to the highest
// region, which is "no"; where it shall be "yes", a split that no number passes catches it first.
func (b *treeBuilder) member(feature int64, values []float64, yes, no int32, missingIsYes bool) int32 {
	values = slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return v != v })
	slices.Sort(values)
	values = slices.Compact(values)
	// Region 2i+1 is the value i itself, the even ones lie between.
	var search func(from, to int) int32
	search = func(from, to int) int32 {
		if from == to {
			if from%2 == 1 {
				return yes
			}
			return no
		}
		cut := (from + to) / 2 // the border between the regions cut and cut+1
		low, high := search(from, cut), search(cut+1, to)
		return b.add(split{feature: int32(feature), strict: cut%2 == 0, threshold: values[cut/2], low: low, high: high})
	}
	found := search(0, 2*len(values))
	if missingIsYes {
		found = b.add(split{feature: int32(feature), strict: true, nanLow: true, threshold: math.Inf(-1), low: yes, high: found})
	}
	return found
}
