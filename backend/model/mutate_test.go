package model

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// TestMutatedGraphsNeverPanic changes real graphs at random, node by node, and runs whatever still compiles: a kernel
// must refuse what does not fit. Bytes changed at random (FuzzONNX) seldom get this far.
func TestMutatedGraphsNeverPanic(t *testing.T) {
	budget, seed := time.Second, uint64(1)
	if os.Getenv("WEIR_SLOW") != "" {
		budget, seed = 40*time.Second, uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	var seeds [][]byte
	for _, f := range fixtures(t) {
		data, err := os.ReadFile(f.modelPath())
		if err != nil {
			t.Fatal(err)
		}
		if len(data) < 1<<15 {
			seeds = append(seeds, data)
		}
	}
	m := mutator{Rand: rand.New(rand.NewPCG(seed, 1)), operators: SupportedOperators()}
	ran, tried := 0, 0
	for end := time.Now().Add(budget); time.Now().Before(end); tried++ {
		proto, err := readModel(seeds[m.IntN(len(seeds))])
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + m.IntN(4) {
			m.change(proto.graph)
		}
		if m.run(t, proto) {
			ran++
		}
	}
	t.Logf("%d mutants, %d of them ran", tried, ran)
}

type mutator struct {
	*rand.Rand
	operators []string
}

func (m mutator) int() int64 {
	return []int64{0, 1, 2, 3, -1, -2, 7, 64, 1 << 20, 1 << 40, -1 << 63, 1<<63 - 1, m.Int64N(5)}[m.IntN(13)]
}

func (m mutator) number() float64 {
	return []float64{0, 1, -1, 0.5, 1e30, -1e30, 1e300, float64(m.int())}[m.IntN(8)]
}

// change alters one thing of a graph.
func (m mutator) change(g *graphProto) {
	if len(g.nodes) == 0 {
		return
	}
	n := &g.nodes[m.IntN(len(g.nodes))]
	switch m.IntN(8) {
	case 0:
		n.op, n.domain = m.operators[m.IntN(len(m.operators))], ""
	case 1:
		if len(n.inputs) > 0 {
			n.inputs[m.IntN(len(n.inputs))] = m.name(g)
		}
	case 2:
		n.inputs = append(n.inputs, m.name(g))
	case 3:
		if len(n.inputs) > 0 {
			n.inputs = n.inputs[:len(n.inputs)-1]
		}
	case 4:
		m.changeAttribute(n)
	case 5:
		if len(g.initializers) > 0 {
			m.changeTensor(g.initializers[m.IntN(len(g.initializers))])
		}
	case 6:
		if len(n.attributes) > 0 {
			n.attributes = n.attributes[1:]
		}
	case 7:
		for _, a := range n.attributes {
			if a.g != nil {
				m.change(a.g)
			}
		}
		in := &g.inputs[m.IntN(len(g.inputs))]
		in.elem = []elemType{elemFloat, elemDouble, elemInt64, elemString, elemBool}[m.IntN(5)]
	}
}

// name is any value of the graph.
func (m mutator) name(g *graphProto) string {
	names := []string{""}
	for _, in := range g.inputs {
		names = append(names, in.name)
	}
	names = append(names, g.initNames...)
	for i := range g.nodes {
		names = append(names, g.nodes[i].outputs...)
	}
	return names[m.IntN(len(names))]
}

func (m mutator) changeAttribute(n *nodeProto) {
	if len(n.attributes) == 0 {
		return
	}
	a := &n.attributes[m.IntN(len(n.attributes))]
	a.i, a.f = m.int(), m.number()
	if len(a.ints) > 0 {
		a.ints[m.IntN(len(a.ints))] = m.int()
	}
	if len(a.floats) > 0 {
		a.floats[m.IntN(len(a.floats))] = m.number()
	}
	switch m.IntN(4) {
	case 0:
		a.ints = a.ints[:len(a.ints)/2]
		a.floats = a.floats[:len(a.floats)/2]
		a.strings = a.strings[:len(a.strings)/2]
	case 1:
		a.ints = append(a.ints, m.int())
	}
	if a.t != nil {
		m.changeTensor(a.t)
	}
}

func (m mutator) changeTensor(t *tensor) {
	switch m.IntN(4) {
	case 0:
		if len(t.num) > 0 {
			t.num[m.IntN(len(t.num))] = m.number()
		}
	case 1:
		t.shape = shapeOf(1, t.len())
	case 2:
		t.shape = shapeOf(t.len())
	case 3:
		*t = tensor{elem: []elemType{elemFloat, elemInt64, elemDouble}[m.IntN(3)], shape: shapeOf(1), num: []float64{m.number()}}
	}
}

// run compiles, binds and scores a mutant; it tells whether it came to a result.
func (m mutator) run(t *testing.T, proto *modelProto) bool {
	defer func() {
		if r := recover(); r != nil {
			for i := range proto.graph.nodes {
				n := &proto.graph.nodes[i]
				t.Logf("%s %q -> %q", n.op, n.inputs, n.outputs)
			}
			panic(r)
		}
	}()
	output, _, err := chooseOutput(proto.graph)
	if err != nil {
		return false
	}
	p, err := compile(proto.graph, []string{output}, proto.opsets, nil)
	if err != nil {
		return false
	}
	var columns []Column
	for _, in := range p.inputs {
		for range min(64, max(1, in.width())) {
			columns = append(columns, Column{in.name, in.elem == elemString})
		}
	}
	scorer, _, err := (&onnxModel{program: p}).bind(columns)
	if err != nil {
		return false
	}
	frame := &Frame{Columns: columns, Rows: 3}
	for range 3 * len(columns) {
		frame.Numbers = append(frame.Numbers, m.number())
		frame.Strings = append(frame.Strings, string(rune('a'+m.IntN(26))))
	}
	out := make([]float64, 3)
	if scorer.Score(t.Context(), frame, out) != nil {
		return false
	}
	m.checkFolded(t, proto, p, scorer.(*onnxScorer), frame, out)
	return true
}

// checkFolded compares a mutant that folds into a linear model with its graph.
func (m mutator) checkFolded(t *testing.T, proto *modelProto, p *program, scorer *onnxScorer, frame *Frame, want []float64) {
	l := fuse(p)
	if l == nil {
		return
	}
	got := make([]float64, len(want))
	if err := l.bind(scorer.feeds, len(frame.Columns)).Score(t.Context(), frame, got); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		// Sums of huge numbers that cancel may come out as anything.
		tame := math.Abs(want[i]) < 1e6 && !slices.ContainsFunc(frame.Numbers, func(v float64) bool { return math.Abs(v) > 100 })
		if tame && !(math.Abs(got[i]-want[i]) <= 1e-3*math.Max(1, math.Abs(want[i]))) {
			for j := range proto.graph.nodes {
				n := &proto.graph.nodes[j]
				t.Logf("%s %q -> %q %+v", n.op, n.inputs, n.outputs, n.attributes)
			}
			t.Fatalf("folded %v, by the graph %v", got, want)
		}
	}
}
