package model

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestForestAgainstPlainWalk grows random trees of every kind of comparison and compares the forest's layout with the
// plainest possible reading of the specification.
func TestForestAgainstPlainWalk(t *testing.T) {
	for _, c := range []struct {
		name   string
		depth  int
		double bool
		modes  []branchMode
	}{
		{"stumps", 1, false, []branchMode{branchLEQ}},
		{"shallow", 6, false, []branchMode{branchLEQ, branchLT, branchGT, branchGTE}},
		{"deep", 14, false, []branchMode{branchLEQ, branchLT, branchGT, branchGTE}},
		{"members", 5, false, []branchMode{branchEQ, branchNEQ, branchMember, branchLEQ}},
		{"doubles", 5, true, []branchMode{branchLEQ, branchLT, branchGT, branchGTE, branchEQ}},
		{"deep doubles", 11, true, []branchMode{branchLEQ, branchLT, branchMember}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(20) {
				checkForest(t, randomTrees{rand.New(rand.NewPCG(seed, 1)), c.modes, c.double}, c.depth)
			}
		})
	}
}

type randomTrees struct {
	*rand.Rand
	modes  []branchMode
	double bool
}

const treeFeatures = 5

// value is a number that trees and rows both hit often, with the odd special one.
func (r randomTrees) value() float64 {
	switch r.IntN(24) {
	case 0:
		return math.Inf(1)
	case 1:
		return math.Inf(-1)
	case 2:
		return math.Copysign(0, -1)
	}
	v := float64(r.IntN(9) - 4)
	if r.IntN(2) == 0 {
		v += 0.1
	}
	if !r.double {
		v = round32(v)
	}
	return v
}

// grow appends a tree of raw nodes and gives the position of its root; leaves are ^leaf.
func (r randomTrees) grow(nodes []rawNode, leaves *int32, depth int) ([]rawNode, int32) {
	if depth == 0 || r.IntN(6) == 0 {
		*leaves++
		return nodes, ^(*leaves - 1)
	}
	at := int32(len(nodes))
	nodes = append(nodes, rawNode{feature: int64(r.IntN(treeFeatures)), value: r.value(), mode: r.modes[r.IntN(len(r.modes))],
		missingIsYes: r.IntN(3) == 0})
	if nodes[at].mode == branchMember {
		for range r.IntN(5) {
			nodes[at].members = append(nodes[at].members, r.value())
		}
	}
	var yes, no int32
	nodes, yes = r.grow(nodes, leaves, depth-1)
	nodes, no = r.grow(nodes, leaves, depth-1)
	nodes[at].yes, nodes[at].no = yes, no
	return nodes, at
}

func plainWalk(nodes []rawNode, at int32, row []float64) int32 {
	for at >= 0 {
		n := &nodes[at]
		v, yes := row[n.feature], false
		switch n.mode {
		case branchLEQ:
			yes = v <= n.value
		case branchLT:
			yes = v < n.value
		case branchGT:
			yes = v > n.value
		case branchGTE:
			yes = v >= n.value
		case branchEQ:
			yes = v == n.value
		case branchNEQ:
			yes = v != n.value
		case branchMember:
			for _, m := range n.members {
				yes = yes || v == m
			}
		}
		if v != v && n.missingIsYes {
			yes = true
		}
		if at = n.no; yes {
			at = n.yes
		}
	}
	return ^at
}

func checkForest(t *testing.T, r randomTrees, depth int) {
	t.Helper()
	const targets = 2
	e := &ensemble{targets: targets}
	var nodes []rawNode
	var roots []int32
	leaves := int32(0)
	for range 7 {
		var root int32
		nodes, root = r.grow(nodes, &leaves, depth)
		roots = append(roots, root)
	}
	for range leaves * targets {
		e.leaves = append(e.leaves, float64(r.IntN(100)))
	}
	b := treeBuilder{e: e, nodes: nodes}
	for _, root := range roots {
		built, err := b.build(root, 0)
		if err != nil {
			t.Fatal(err)
		}
		e.roots = append(e.roots, built)
	}
	const rows = 150
	x := make([]float64, rows*treeFeatures)
	for i := range x {
		if x[i] = r.value(); r.IntN(8) == 0 {
			x[i] = math.NaN()
		}
	}
	y := make([]float64, rows*targets)
	newForest(e, r.double).score(&keyBlock{}, x, rows, treeFeatures, y, aggregateSum)
	for i := range rows {
		var want [targets]float64
		for _, root := range roots {
			leaf := plainWalk(nodes, root, x[i*treeFeatures:(i+1)*treeFeatures])
			for k := range targets {
				want[k] += e.leaves[int(leaf)*targets+k]
			}
		}
		if got := [targets]float64(y[i*targets : (i+1)*targets]); got != want {
			t.Fatalf("row %v: %v, want %v", x[i*treeFeatures:(i+1)*treeFeatures], got, want)
		}
	}
}

func TestKeysKeepTheOrder(t *testing.T) {
	values := []float64{math.Inf(-1), -math.MaxFloat64, -1e30, -1, -math.SmallestNonzeroFloat32, 0, math.SmallestNonzeroFloat32,
		0.1, 1, 1e30, math.MaxFloat64, math.Inf(1)}
	for i := 1; i < len(values); i++ {
		if key64(values[i-1]) >= key64(values[i]) || key32(float32(values[i-1])) > key32(float32(values[i])) {
			t.Errorf("the keys of %g and %g are out of order", values[i-1], values[i])
		}
	}
	if key32(float32(math.Copysign(0, -1))) != key32(0) || key64(math.Copysign(0, -1)) != key64(0) {
		t.Error("-0 and 0 have different keys")
	}
}
