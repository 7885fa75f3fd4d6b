package model

import (
	"fmt"
	"math"
	"sync"
)

var treeOperators = map[string]builder{
	"TreeEnsembleClassifier": buildTreeClassifier,
	"TreeEnsembleRegressor":  buildTreeRegressor,
	"TreeEnsemble":           buildTreeEnsemble,
}

// treeScorer sums an ensemble's trees over the rows of a tensor. The forest is laid out when the first input shows
// whether it compares floats or doubles.
type treeScorer struct {
	e       *ensemble
	how     aggregate
	singles func() *forest
	doubles func() *forest
}

func newTreeScorer(e *ensemble, how aggregate) *treeScorer {
	return &treeScorer{e: e, how: how,
		singles: sync.OnceValue(func() *forest { return newForest(e, false) }),
		doubles: sync.OnceValue(func() *forest { return newForest(e, true) }),
	}
}

// sums writes one row of sums a row of x, targets wide.
func (t *treeScorer) sums(m *machine, x, y *tensor) error {
	rows, columns := x.shape.matrix()
	if columns < t.e.columns {
		return fmt.Errorf("expected at least %d features, found %d", t.e.columns, columns)
	}
	if err := y.reset(elemFloat, shapeOf(rows, t.e.targets)); err != nil {
		return err
	}
	for i := range y.num {
		y.num[i] = t.how.absent()
	}
	f := t.singles
	if x.elem == elemDouble && !t.e.single {
		f = t.doubles
	}
	f().score(&m.scratch.block, x.num, rows, columns, y.num, t.how)
	switch n := float64(len(t.e.roots)); t.how {
	case aggregateAverage:
		for i := range y.num {
			y.num[i] /= n
		}
	case aggregateMin, aggregateMax:
		for i, v := range y.num {
			if math.IsInf(v, 0) {
				y.num[i] = 0
			}
		}
	}
	return nil
}

// addBase adds one number a target, or one for all.
func addBase(y *tensor, targets int, base []float64) {
	if len(base) == 0 {
		return
	}
	for i := range y.num {
		y.num[i] += perColumn(base, i%targets, 0)
	}
}

func checkBase(base []float64, targets int) error {
	if n := len(base); n > 1 && n != targets {
		return fmt.Errorf("%d base_values for %d targets", n, targets)
	}
	return nil
}

func readAggregate(a *attributes) aggregate {
	name := a.string("aggregate_function", "SUM")
	how, ok := aggregates[name]
	if !ok && a.err == nil {
		a.err = fmt.Errorf("%w: aggregate_function %q", ErrUnsupported, name)
	}
	return how
}

func buildTreeRegressor(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	how, link, base := readAggregate(a), a.link(), a.floatsOrTensor("base_values")
	targets := int(a.int("n_targets", 1))
	if targets < 1 || targets > maxColumns {
		return nil, fmt.Errorf("n_targets of %d", targets)
	}
	e, err := readTrees(a, "target", targets, how)
	if err != nil {
		return nil, err
	}
	if err := checkBase(base, targets); err != nil {
		return nil, err
	}
	return regress(newTreeScorer(e, how), base, link), nil
}

func regress(t *treeScorer, base []float64, link link) kernel {
	return func(m *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		y := out[0]
		if err := t.sums(m, x, y); err != nil {
			return err
		}
		addBase(y, t.e.targets, base)
		for r := 0; r < len(y.num); r += t.e.targets {
			link.apply(y.num[r : r+t.e.targets])
		}
		return nil
	}
}

// maxColumns bounds what a file may say of targets and classes.
const maxColumns = 1 << 14

func buildTreeClassifier(_ *compiler, n *nodeProto, a *attributes) (kernel, error) {
	link, base := a.link(), a.floatsOrTensor("base_values")
	labels := newLabels(a.ints("classlabels_int64s"), a.strings("classlabels_strings"))
	classes := max(len(labels.numbers), len(labels.text))
	if classes < 1 || classes > maxColumns {
		return nil, fmt.Errorf("%d class labels", classes)
	}
	targets := classes
	ids := a.ints("class_ids")
	if classes == 2 && allZero(ids) {
		targets = 1 // the other class is what is left
	}
	if err := checkBase(base, classes); err != nil {
		return nil, err
	}
	e, err := readTrees(a, "class", targets, aggregateSum)
	if err != nil {
		return nil, err
	}
	t := newTreeScorer(e, aggregateSum)
	if targets == 1 && classes == 2 {
		return t.twoClasses(n, base, link, labels), nil
	}
	if len(base) == 1 && classes > 1 {
		return nil, fmt.Errorf("1 base_value for %d classes", classes)
	}
	scores := regress(t, base, link)
	return func(m *machine, in, out []*tensor) error {
		y := scoresOf(n, out)
		if err := scores(m, in, []*tensor{y}); err != nil {
			return err
		}
		return labels.best(y, classes, out[0])
	}, nil
}

func allZero(ids []int64) bool {
	for _, id := range ids {
		if id != 0 {
			return false
		}
	}
	return len(ids) > 0
}

// twoClasses is a classifier of two classes whose leaves speak of one. Weights that are all positive are that class's
// probability; others are a score, whose opposite is the other class's. Of the links only the logistic one counts here.
func (t *treeScorer) twoClasses(n *nodeProto, base []float64, link link, labels labels) kernel {
	positive := true
	for _, w := range t.e.leaves {
		positive = positive && w >= 0
	}
	offset := 0.0
	if len(base) > 0 {
		offset = base[len(base)-1]
	}
	return func(m *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		y := scoresOf(n, out)
		if err := t.sums(m, x, y); err != nil {
			return err
		}
		rows := len(y.num)
		s := m.scratch.take(rows)
		copy(s, y.num)
		if err := y.reset(elemFloat, shapeOf(rows, 2)); err != nil {
			return err
		}
		for r, v := range s {
			v += offset
			low := -v
			switch {
			case link == linkLogistic:
				v = logistic(v)
				low = 1 - v
			case positive:
				low = 1 - v
			}
			y.num[2*r], y.num[2*r+1] = low, v
		}
		return labels.best(y, 2, out[0])
	}
}

// buildTreeEnsemble reads the operator that opset 5 of ai.onnx.ml put in place of the other two: nodes and leaves are
// numbered apart.
func buildTreeEnsemble(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	how, link := aggregate(a.int("aggregate_function", 1)), link(a.int("post_transform", 0))
	if how > aggregateMax || link > linkProbit {
		return nil, fmt.Errorf("%w: aggregate_function %d with post_transform %d", ErrUnsupported, how, link)
	}
	targets := int(a.int("n_targets", 1))
	if targets < 1 || targets > maxColumns {
		return nil, fmt.Errorf("n_targets of %d", targets)
	}
	e := &ensemble{targets: targets}
	leaves, err := readLeaves(a, e, how)
	if err != nil {
		return nil, err
	}
	nodes, err := readNodes(a, leaves)
	if err != nil {
		return nil, err
	}
	b := treeBuilder{e: e, nodes: nodes, how: how}
	for _, root := range a.ints("tree_roots") {
		if root < 0 || root >= int64(len(nodes)) {
			return nil, fmt.Errorf("a tree begins at node %d of %d", root, len(nodes))
		}
		built, err := b.build(int32(root), 0)
		if err != nil {
			return nil, err
		}
		e.roots = append(e.roots, built)
	}
	return regress(newTreeScorer(e, how), nil, link), nil
}

// readLeaves fills the ensemble's leaves, one a leaf_weights entry, and gives how many there are.
func readLeaves(a *attributes, e *ensemble, how aggregate) (int, error) {
	ids, weights := a.ints("leaf_targetids"), a.tensor("leaf_weights")
	if weights == nil || len(weights.num) != len(ids) || len(ids)*e.targets > maxElements {
		return 0, fmt.Errorf("%d leaf_targetids do not go with the leaf_weights", len(ids))
	}
	for i, id := range ids {
		if id < 0 || id >= int64(e.targets) {
			return 0, fmt.Errorf("a leaf weighs for target %d of %d", id, e.targets)
		}
		leaf := e.newLeaf(how)
		e.leaves[int(leaf)*e.targets+int(id)] = weights.num[i]
	}
	return len(ids), nil
}

func readNodes(a *attributes, leaves int) ([]rawNode, error) {
	features, modes, splits := a.ints("nodes_featureids"), a.tensor("nodes_modes"), a.tensor("nodes_splits")
	yes, no := a.ints("nodes_truenodeids"), a.ints("nodes_falsenodeids")
	yesLeaf, noLeaf := a.ints("nodes_trueleafs"), a.ints("nodes_falseleafs")
	missing, members := a.ints("nodes_missing_value_tracks_true"), a.tensor("membership_values")
	a.ignore("nodes_hitrates")
	n := len(features)
	if modes == nil || splits == nil || len(modes.num) != n || len(splits.num) != n || len(yes) != n || len(no) != n ||
		len(yesLeaf) != n || len(noLeaf) != n || len(missing) != 0 && len(missing) != n {
		return nil, fmt.Errorf("its nodes_ attributes differ in length")
	}
	var sets []float64
	if members != nil {
		sets = members.num
	}
	child := func(to, isLeaf int64) (int32, error) {
		limit := n
		if isLeaf != 0 {
			limit = leaves
		}
		if to < 0 || to >= int64(limit) {
			return 0, fmt.Errorf("a branch to %d of %d", to, limit)
		}
		if isLeaf != 0 {
			return ^int32(to), nil
		}
		return int32(to), nil
	}
	nodes := make([]rawNode, n)
	for i := range nodes {
		mode := branchMode(modes.num[i])
		if mode > branchMember {
			return nil, fmt.Errorf("%w: nodes_modes %g", ErrUnsupported, modes.num[i])
		}
		nodes[i] = rawNode{feature: features[i], value: splits.num[i], mode: mode, missingIsYes: len(missing) > 0 && missing[i] != 0}
		var err error
		if nodes[i].yes, err = child(yes[i], yesLeaf[i]); err != nil {
			return nil, err
		}
		if nodes[i].no, err = child(no[i], noLeaf[i]); err != nil {
			return nil, err
		}
		if mode == branchMember {
			end := 0
			for end < len(sets) && sets[end] == sets[end] {
				end++
			}
			nodes[i].members = sets[:end]
			sets = sets[min(len(sets), end+1):]
		}
	}
	return nodes, nil
}
