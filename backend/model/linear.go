package model

import (
	"context"
	"math"
)

// linear is a model that comes down to one weighted sum of the features, or the logistic function of one: what the
// graph of a linear classifier computes, with its scalers and normalizers folded into the weights, in one pass over the
// frame and without tensors in between.
type linear struct {
	weights []float64 // one a column of the inputs, in their order
	bias    float64
	sigmoid bool
}

// maxFused bounds the features of a linear model that is folded; beyond it the graph costs little beside the sum.
const maxFused = 256

// form is what is known of a value while folding: columns that are each a weighted sum of the features, or what a
// classifier of two classes makes of one such sum z.
type form struct {
	kind    formKind
	columns []sum // for affine
	z       sum   // for the others
}

type sum struct {
	weights []float64
	bias    float64
}

type formKind uint8

const (
	unknownForm formKind = iota
	affineForm           // [N, columns]
	pairForm             // [N, 2]: 1-σ(z), σ(z)
	upperForm            // [N, 1]: σ(z)
	lowerForm            // [N, 1]: 1-σ(z)
	oneForm              // [N, 1]: 1
)

// fuse folds a program into a linear model; nil if it is none.
func fuse(p *program) *linear {
	total := 0
	for _, in := range p.inputs {
		if in.width() == 0 || !in.elem.isFloat() || len(in.shape) != 2 {
			return nil
		}
		total += in.width()
	}
	if total > maxFused || len(p.captured) > 0 {
		return nil
	}
	f := folding{constants: map[int]*tensor{}, forms: map[int]form{}, total: total}
	for _, c := range p.constants {
		f.constants[c.slot] = c.value
	}
	at := 0
	for i, in := range p.inputs {
		x := form{kind: affineForm}
		for range in.width() {
			s := f.zero()
			s.weights[at] = 1
			x.columns = append(x.columns, s)
			at++
		}
		f.forms[p.inSlots[i]] = x
	}
	for i := range p.steps {
		if !f.step(&p.steps[i]) {
			return nil
		}
	}
	switch out := f.forms[p.outputs[0]]; {
	case out.kind == pairForm || out.kind == upperForm:
		return &linear{out.z.weights, out.z.bias, true}
	case out.kind == affineForm && len(out.columns) == 1:
		return &linear{out.columns[0].weights, out.columns[0].bias, false}
	}
	return nil
}

type folding struct {
	constants map[int]*tensor
	forms     map[int]form
	total     int
}

func (f *folding) zero() sum { return sum{weights: make([]float64, f.total)} }

// step folds one node; false if it cannot be.
func (f *folding) step(s *step) bool {
	var y form
	x := f.formAt(s, 0)
	a := &attributes{node: s.node, read: make([]bool, len(s.node.attributes))}
	switch s.node.op {
	case "Identity", "ZipMap":
		y = x
	case "Cast":
		if to := elemType(a.int("to", 0)); to.isFloat() && x.kind != affineForm {
			y = x
		}
	case "Abs":
		if x.kind == pairForm {
			y = x
		}
	case "Normalizer":
		if x.kind == pairForm && a.string("norm", "MAX") == "L1" {
			y = x
		}
	case "ReduceSum":
		if x.kind == pairForm && f.overColumns(s, a) {
			y = form{kind: oneForm}
		}
	case "Sigmoid":
		y = sigmoidOf(x)
	case "Concat":
		y = f.concat(s, a)
	case "Scaler":
		y = f.scaler(x, a)
	case "Add", "Sub", "Mul", "Div":
		y = f.arithmetic(s)
	case "MatMul":
		y = f.product(x, f.constantAt(s, 1))
	case "LinearRegressor":
		y = f.regressor(x, a)
	case "LinearClassifier":
		if len(s.outputs) == 2 {
			f.forms[s.outputs[1]] = f.classifier(x, a)
			return f.forms[s.outputs[1]].kind != unknownForm
		}
	}
	f.forms[s.outputs[0]] = y
	return y.kind != unknownForm
}

func (f *folding) formAt(s *step, i int) form {
	if i >= len(s.inputs) {
		return form{}
	}
	return f.forms[s.inputs[i]]
}

func (f *folding) constantAt(s *step, i int) *tensor {
	if i >= len(s.inputs) {
		return nil
	}
	if t := f.constants[s.inputs[i]]; t != nil && !t.isText() {
		return t
	}
	return nil
}

// overColumns tells whether a reduction takes the columns together and keeps their dimension.
func (f *folding) overColumns(s *step, a *attributes) bool {
	axes := a.ints("axes")
	if t := f.constantAt(s, 1); t != nil {
		axes, _ = t.ints()
	}
	return len(axes) == 1 && (axes[0] == 1 || axes[0] == -1) && a.int("keepdims", 1) != 0
}

// sigmoidOf knows one sum, or two of which one is the other's opposite: then the two results sum to 1.
func sigmoidOf(x form) form {
	switch {
	case x.kind != affineForm:
	case len(x.columns) == 1:
		return form{kind: upperForm, z: x.columns[0]}
	case len(x.columns) == 2 && opposite(x.columns[0], x.columns[1]):
		return form{kind: pairForm, z: x.columns[1]}
	}
	return form{}
}

func opposite(a, b sum) bool {
	for i, w := range a.weights {
		if w != -b.weights[i] {
			return false
		}
	}
	return a.bias == -b.bias
}

func (f *folding) concat(s *step, a *attributes) form {
	if axis := a.int("axis", 1); axis != 1 && axis != -1 {
		return form{}
	}
	first, second := f.formAt(s, 0), f.formAt(s, 1)
	if len(s.inputs) == 2 && first.kind == lowerForm && second.kind == upperForm && opposite(negative(first.z), second.z) {
		return form{kind: pairForm, z: second.z}
	}
	y := form{kind: affineForm}
	for i := range s.inputs {
		x := f.formAt(s, i)
		if x.kind != affineForm || len(y.columns)+len(x.columns) > maxFused {
			return form{}
		}
		y.columns = append(y.columns, x.columns...)
	}
	return y
}

func negative(s sum) sum { return s.scaled(-1) }

func (s sum) scaled(by float64) sum {
	out := sum{make([]float64, len(s.weights)), s.bias * by}
	for i, w := range s.weights {
		out.weights[i] = w * by
	}
	return out
}

// each changes every column by a scale and an offset of its own.
func (x form) each(change func(i int) (scale, offset float64)) form {
	if x.kind != affineForm {
		return form{}
	}
	y := form{kind: affineForm}
	for i, c := range x.columns {
		scale, offset := change(i)
		c = c.scaled(scale)
		c.bias += offset
		y.columns = append(y.columns, c)
	}
	return y
}

func (f *folding) scaler(x form, a *attributes) form {
	offset, scale := a.floats("offset"), a.floats("scale")
	if len(offset) > 1 && len(offset) != len(x.columns) || len(scale) > 1 && len(scale) != len(x.columns) {
		return form{}
	}
	return x.each(func(i int) (float64, float64) {
		by := perColumn(scale, i, 1)
		return by, -perColumn(offset, i, 0) * by
	})
}

// arithmetic is a value and a constant row of one number, or of one a column; and what classifiers do with a sigmoid.
func (f *folding) arithmetic(s *step) form {
	x, op := f.formAt(s, 0), s.node.op
	if op == "Div" && x.kind == pairForm && f.formAt(s, 1).kind == oneForm {
		return x
	}
	row := f.constantAt(s, 1)
	if op != "Div" && op != "Sub" && row == nil {
		x, row = f.formAt(s, 1), f.constantAt(s, 0)
	}
	if first := f.constantAt(s, 0); op == "Sub" && first != nil && len(first.num) == 1 && first.num[0] == 1 &&
		f.formAt(s, 1).kind == upperForm {
		return form{kind: lowerForm, z: f.formAt(s, 1).z}
	}
	if row == nil || row.shape.rank > 2 || row.shape.rank == 2 && row.shape.dims[0] != 1 ||
		len(row.num) != 1 && len(row.num) != len(x.columns) {
		return form{}
	}
	return x.each(func(i int) (float64, float64) {
		v := perColumn(row.num, i, 0)
		switch op {
		case "Add":
			return 1, v
		case "Sub":
			return 1, -v
		case "Mul":
			return v, 0
		}
		return 1 / v, 0
	})
}

// product is the columns times a constant matrix.
func (f *folding) product(x form, by *tensor) form {
	if x.kind != affineForm || by == nil || by.shape.rank != 2 || by.shape.dims[0] != len(x.columns) || by.shape.dims[1] > maxFused {
		return form{}
	}
	m := by.shape.dims[1]
	y := form{kind: affineForm}
	for j := range m {
		y.columns = append(y.columns, f.combine(x, func(i int) float64 { return by.num[i*m+j] }, 0))
	}
	return y
}

// combine is one weighted sum of columns.
func (f *folding) combine(x form, weight func(i int) float64, bias float64) sum {
	out := f.zero()
	out.bias = bias
	for i, c := range x.columns {
		w := weight(i)
		for j, v := range c.weights {
			out.weights[j] += w * v
		}
		out.bias += w * c.bias
	}
	return out
}

// linearOf gives the sums of a linear operator's outputs.
func (f *folding) linearOf(x form, a *attributes, outputs int) []sum {
	weights, intercepts := a.floats("coefficients"), a.floats("intercepts")
	if x.kind != affineForm || outputs < 1 || len(weights) != outputs*len(x.columns) || len(intercepts) != 0 && len(intercepts) != outputs {
		return nil
	}
	var sums []sum
	for o := range outputs {
		bias := 0.0
		if len(intercepts) > 0 {
			bias = intercepts[o]
		}
		sums = append(sums, f.combine(x, func(i int) float64 { return weights[o*len(x.columns)+i] }, bias))
	}
	return sums
}

func (f *folding) regressor(x form, a *attributes) form {
	sums := f.linearOf(x, a, int(a.int("targets", 1)))
	switch link := a.link(); {
	case len(sums) != 1:
	case link == linkNone:
		return form{kind: affineForm, columns: sums}
	case link == linkLogistic:
		return form{kind: upperForm, z: sums[0]}
	}
	return form{}
}

func (f *folding) classifier(x form, a *attributes) form {
	sums := f.linearOf(x, a, len(a.floats("intercepts")))
	link := a.link()
	switch {
	case len(sums) != 2:
	case link == linkNone:
		return form{kind: affineForm, columns: sums}
	case link == linkLogistic && opposite(sums[0], sums[1]):
		return form{kind: pairForm, z: sums[1]}
	case link == linkSoftmax:
		z := sums[1].scaled(1)
		for i, w := range sums[0].weights {
			z.weights[i] -= w
		}
		z.bias -= sums[0].bias
		return form{kind: pairForm, z: z}
	}
	return form{}
}

// linearScorer scores frames by a folded model.
type linearScorer struct {
	weights []float64 // one a column of the frame
	bias    float64
	sigmoid bool
}

// bind puts the weights in the order of the frame's columns.
func (l *linear) bind(feeds []feed, columns int) *linearScorer {
	s := &linearScorer{weights: make([]float64, columns), bias: l.bias, sigmoid: l.sigmoid}
	at := 0
	for _, f := range feeds {
		for _, c := range f.columns {
			s.weights[c] += l.weights[at]
			at++
		}
	}
	return s
}

// Score makes one sum a row. A row with a missing number becomes NaN.
func (s *linearScorer) Score(ctx context.Context, frame *Frame, out []float64) error {
	n := len(s.weights)
	if err := checkFrame(frame, n, true, false, out); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for r := range frame.Rows {
		row := frame.Numbers[r*n : r*n+n]
		z := s.bias
		for i, w := range s.weights {
			z += w * row[i]
		}
		out[r] = z
	}
	if s.sigmoid {
		for r, z := range out[:frame.Rows] {
			out[r] = 1 / (1 + math.Exp(-z)) // e^-z may be infinite: then the probability is 0
		}
	}
	return nil
}
