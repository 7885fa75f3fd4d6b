package model

import (
	"fmt"
	"math"
)

// Element-wise operators.

var unaryOperators = map[string]builder{
	"Abs":         unary(math.Abs),
	"Ceil":        unary(math.Ceil),
	"Cos":         unary(math.Cos),
	"Erf":         unary(math.Erf),
	"Exp":         unary(math.Exp),
	"Floor":       unary(math.Floor),
	"Identity":    buildIdentity,
	"IsNaN":       unaryTo(elemBool, func(v float64) float64 { return truth(v != v) }),
	"Log":         unary(math.Log),
	"Neg":         unary(func(v float64) float64 { return -v }),
	"Not":         unaryTo(elemBool, func(v float64) float64 { return truth(v == 0) }),
	"Reciprocal":  unary(func(v float64) float64 { return 1 / v }),
	"Relu":        unary(func(v float64) float64 { return max(v, 0) }),
	"Round":       unary(math.RoundToEven),
	"Sigmoid":     unary(logistic),
	"Sign":        unary(sign),
	"Sin":         unary(math.Sin),
	"Softplus":    unary(func(v float64) float64 { return math.Log1p(math.Exp(-math.Abs(v))) + max(v, 0) }),
	"Sqrt":        unary(math.Sqrt),
	"Tanh":        unary(math.Tanh),
	"Softsign":    unary(func(v float64) float64 { return v / (1 + math.Abs(v)) }),
	"IsInf":       buildIsInf,
	"HardSigmoid": buildHardSigmoid,
	"LeakyRelu":   buildLeakyRelu,
	"Elu":         buildElu,
	"Clip":        buildClip,
	"Dropout":     buildDropout,
}

// logistic is 1/(1+e^-v), without overflow on either side.
func logistic(v float64) float64 {
	if v >= 0 {
		return 1 / (1 + math.Exp(-v))
	}
	e := math.Exp(v)
	return e / (1 + e)
}

func sign(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	}
	return v
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unary(f func(float64) float64) builder { return unaryTo(elemNone, f) }

// unaryTo is unary with an element type of its own for the result.
func unaryTo(elem elemType, f func(float64) float64) builder {
	return func(*compiler, *nodeProto, *attributes) (kernel, error) {
		return mapKernel(elem, f), nil
	}
}

func mapKernel(elem elemType, f func(float64) float64) kernel {
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		to := elem
		if to == elemNone {
			to = x.elem
		}
		if err := out[0].reset(to, x.shape); err != nil {
			return err
		}
		y := out[0].num
		for i, v := range x.num {
			y[i] = f(v)
		}
		return nil
	}
}

func buildIdentity(*compiler, *nodeProto, *attributes) (kernel, error) {
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		out[0].alias(x, x.shape)
		return nil
	}, nil
}

// buildDropout is the identity: a model that scores drops nothing.
func buildDropout(c *compiler, n *nodeProto, a *attributes) (kernel, error) {
	a.ignore("ratio", "seed", "is_test")
	if len(n.outputs) > 1 {
		return nil, fmt.Errorf("%w: the mask of Dropout", ErrUnsupported)
	}
	return buildIdentity(c, n, a)
}

func buildIsInf(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	negative, positive := a.int("detect_negative", 1) != 0, a.int("detect_positive", 1) != 0
	return mapKernel(elemBool, func(v float64) float64 {
		return truth(negative && math.IsInf(v, -1) || positive && math.IsInf(v, 1))
	}), nil
}

func buildLeakyRelu(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	alpha := a.float("alpha", 0.01)
	return mapKernel(elemNone, func(v float64) float64 {
		if v < 0 {
			return alpha * v
		}
		return v
	}), nil
}

func buildElu(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	alpha := a.float("alpha", 1)
	return mapKernel(elemNone, func(v float64) float64 {
		if v < 0 {
			return alpha * math.Expm1(v)
		}
		return v
	}), nil
}

func buildHardSigmoid(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	alpha, beta := a.float("alpha", 0.2), a.float("beta", 0.5)
	return mapKernel(elemNone, func(v float64) float64 { return max(0, min(1, alpha*v+beta)) }), nil
}

// buildClip takes its bounds from attributes (before opset 11) or from inputs.
func buildClip(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	low, high := a.float("min", math.Inf(-1)), a.float("max", math.Inf(1))
	return func(m *machine, in, out []*tensor) error {
		low, high := low, high
		for i, bound := range []*float64{1: &low, 2: &high} {
			t := optional(in, i)
			if bound == nil || t == nil {
				continue
			}
			if t.isText() || len(t.num) != 1 {
				return fmt.Errorf("its bound has shape %v, expected one number", t.shape)
			}
			*bound = t.num[0]
		}
		return mapKernel(elemNone, func(v float64) float64 {
			if v < low {
				v = low
			}
			if v > high {
				v = high
			}
			return v
		})(m, in, out)
	}, nil
}

var binaryOperators = map[string]builder{
	"Add":            arithmetic(func(a, b float64) float64 { return a + b }),
	"Sub":            arithmetic(func(a, b float64) float64 { return a - b }),
	"Mul":            arithmetic(func(a, b float64) float64 { return a * b }),
	"Div":            buildDiv,
	"Mod":            buildMod,
	"Pow":            arithmetic(power),
	"And":            compare(func(a, b float64) bool { return a != 0 && b != 0 }),
	"Or":             compare(func(a, b float64) bool { return a != 0 || b != 0 }),
	"Xor":            compare(func(a, b float64) bool { return (a != 0) != (b != 0) }),
	"Equal":          buildEqual,
	"Less":           compare(func(a, b float64) bool { return a < b }),
	"LessOrEqual":    compare(func(a, b float64) bool { return a <= b }),
	"Greater":        compare(func(a, b float64) bool { return a > b }),
	"GreaterOrEqual": compare(func(a, b float64) bool { return a >= b }),
	"PRelu": arithmetic(func(v, slope float64) float64 {
		if v < 0 {
			return slope * v
		}
		return v
	}),
	"Max":   variadic(math.Max),
	"Min":   variadic(math.Min),
	"Sum":   variadic(func(a, b float64) float64 { return a + b }),
	"Mean":  buildMean,
	"Where": buildWhere,
}

func power(a, b float64) float64 {
	if b == 2 {
		return a * a
	}
	return math.Pow(a, b)
}

func arithmetic(f func(a, b float64) float64) builder {
	return func(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
		a.ignore("axis", "broadcast") // before opset 7; the shapes say the same
		return binaryKernel(elemNone, f), nil
	}
}

// compare rounds floats first: it makes a difference whether 0.2 is less than the float32 next to it.
func compare(f func(a, b float64) bool) builder {
	return func(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
		a.ignore("axis", "broadcast")
		return compareKernel(f), nil
	}
}

func compareKernel(f func(a, b float64) bool) kernel {
	exact := binaryKernel(elemBool, func(a, b float64) float64 { return truth(f(a, b)) })
	rounded := binaryKernel(elemBool, func(a, b float64) float64 { return truth(f(round32(a), round32(b))) })
	return func(m *machine, in, out []*tensor) error {
		if len(in) > 0 && in[0] != nil && in[0].elem == elemFloat {
			return rounded(m, in, out)
		}
		return exact(m, in, out)
	}
}

func binaryKernel(elem elemType, f func(a, b float64) float64) kernel {
	return func(_ *machine, in, out []*tensor) error {
		a, err := numeric(in, 0)
		if err != nil {
			return err
		}
		b, err := numeric(in, 1)
		if err != nil {
			return err
		}
		to := elem
		if to == elemNone {
			to = a.elem
		}
		return combine(out[0], to, a, b, f)
	}
}

// combine computes f over two tensors broadcast together.
func combine(out *tensor, elem elemType, a, b *tensor, f func(a, b float64) float64) error {
	s, err := broadcast(a.shape, b.shape)
	if err != nil {
		return err
	}
	if err := out.reset(elem, s); err != nil {
		return err
	}
	walk := newWalk(s, a.shape, b.shape)
	x, y, z := a.num, b.num, out.num
	for o := 0; o < len(z); o += walk.inner {
		i, j := walk.at[0], walk.at[1]
		di, dj := walk.step[0], walk.step[1]
		for k := range z[o : o+walk.inner] {
			z[o+k] = f(x[i], y[j])
			i, j = i+di, j+dj
		}
		walk.next()
	}
	return nil
}

// broadcast is the shape of two tensors combined by numpy's rule.
func broadcast(a, b shape) (shape, error) {
	rank := max(a.rank, b.rank)
	s := shape{rank: rank}
	for i := 1; i <= rank; i++ {
		x, y := 1, 1
		if i <= a.rank {
			x = a.dims[a.rank-i]
		}
		if i <= b.rank {
			y = b.dims[b.rank-i]
		}
		switch {
		case x == y || y == 1:
			s.dims[rank-i] = x
		case x == 1:
			s.dims[rank-i] = y
		default:
			return s, fmt.Errorf("shapes %v and %v do not go together", a, b)
		}
	}
	return s, nil
}

// walk steps through a broadcast shape one innermost row at a time, knowing where each operand stands.
type walk struct {
	shape   shape
	index   [maxDims]int
	strides [3][maxDims]int
	at      [3]int // the operands' positions at the start of the row
	step    [3]int // their strides within the row
	inner   int    // the row's length; 1 at least, so that a walk over nothing ends
}

func newWalk(s shape, operands ...shape) walk {
	w := walk{shape: s, inner: 1}
	if s.rank > 0 {
		w.inner = max(1, s.dims[s.rank-1])
	}
	for n, o := range operands {
		stride := 1
		for i := o.rank - 1; i >= 0; i-- {
			if o.dims[i] != 1 {
				w.strides[n][s.rank-o.rank+i] = stride
			}
			stride *= o.dims[i]
		}
		if s.rank > 0 {
			w.step[n] = w.strides[n][s.rank-1]
		}
	}
	return w
}

func (w *walk) next() {
	for d := w.shape.rank - 2; d >= 0; d-- {
		w.index[d]++
		for n := range w.at {
			w.at[n] += w.strides[n][d]
		}
		if w.index[d] < w.shape.dims[d] {
			return
		}
		for n := range w.at {
			w.at[n] -= w.strides[n][d] * w.shape.dims[d]
		}
		w.index[d] = 0
	}
}

// buildDiv truncates between integers, as ONNX does.
func buildDiv(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	a.ignore("axis", "broadcast")
	float := binaryKernel(elemNone, func(a, b float64) float64 { return a / b })
	whole := binaryKernel(elemNone, func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return math.Trunc(a / b)
	})
	return func(m *machine, in, out []*tensor) error {
		if len(in) > 0 && in[0] != nil && !in[0].elem.isFloat() {
			return whole(m, in, out)
		}
		return float(m, in, out)
	}, nil
}

func buildMod(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	if a.int("fmod", 0) != 0 {
		return binaryKernel(elemNone, math.Mod), nil
	}
	return binaryKernel(elemNone, func(a, b float64) float64 {
		r := math.Mod(a, b)
		if r != 0 && (r < 0) != (b < 0) {
			r += b
		}
		return r
	}), nil
}

func buildEqual(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	a.ignore("axis", "broadcast")
	numbers := compareKernel(func(a, b float64) bool { return a == b })
	return func(m *machine, in, out []*tensor) error {
		a, b := optional(in, 0), optional(in, 1)
		if a == nil || b == nil || !a.isText() || !b.isText() {
			return numbers(m, in, out)
		}
		s, err := broadcast(a.shape, b.shape)
		if err != nil {
			return err
		}
		if err := out[0].reset(elemBool, s); err != nil {
			return err
		}
		w := newWalk(s, a.shape, b.shape)
		for o := 0; o < len(out[0].num); o += w.inner {
			for k := range w.inner {
				out[0].num[o+k] = truth(a.text[w.at[0]+k*w.step[0]] == b.text[w.at[1]+k*w.step[1]])
			}
			w.next()
		}
		return nil
	}, nil
}

// variadic folds any number of inputs from the left.
func variadic(f func(a, b float64) float64) builder {
	return func(*compiler, *nodeProto, *attributes) (kernel, error) {
		return foldKernel(f), nil
	}
}

func foldKernel(f func(a, b float64) float64) kernel {
	return func(_ *machine, in, out []*tensor) error {
		first, err := numeric(in, 0)
		if err != nil {
			return err
		}
		if len(in) == 1 {
			out[0].alias(first, first.shape)
			return nil
		}
		have := first
		for i := 1; i < len(in); i++ {
			next, err := numeric(in, i)
			if err != nil {
				return err
			}
			to := &tensor{}
			if i == len(in)-1 {
				to = out[0]
			}
			if err := combine(to, first.elem, have, next, f); err != nil {
				return err
			}
			have = to
		}
		return nil
	}
}

func buildMean(_ *compiler, n *nodeProto, _ *attributes) (kernel, error) {
	sum := foldKernel(func(a, b float64) float64 { return a + b })
	count := float64(max(1, len(n.inputs)))
	if count == 1 {
		return sum, nil
	}
	return func(m *machine, in, out []*tensor) error {
		if err := sum(m, in, out); err != nil {
			return err
		}
		for i := range out[0].num {
			out[0].num[i] /= count
		}
		return nil
	}, nil
}

func buildWhere(*compiler, *nodeProto, *attributes) (kernel, error) {
	return func(_ *machine, in, out []*tensor) error {
		cond, err := numeric(in, 0)
		if err != nil {
			return err
		}
		yes, err := present(in, 1)
		if err != nil {
			return err
		}
		no, err := present(in, 2)
		if err != nil {
			return err
		}
		if yes.isText() != no.isText() {
			return fmt.Errorf("its choices are %s and %s", yes.elem, no.elem)
		}
		s, err := broadcast(yes.shape, no.shape)
		if err != nil {
			return err
		}
		if s, err = broadcast(cond.shape, s); err != nil {
			return err
		}
		if yes.isText() {
			err = out[0].resetText(s)
		} else {
			err = out[0].reset(yes.elem, s)
		}
		if err != nil {
			return err
		}
		w := newWalk(s, cond.shape, yes.shape, no.shape)
		for o := 0; o < out[0].len(); o += w.inner {
			for k := range w.inner {
				from, at := no, w.at[2]+k*w.step[2]
				if cond.num[w.at[0]+k*w.step[0]] != 0 {
					from, at = yes, w.at[1]+k*w.step[1]
				}
				if out[0].isText() {
					out[0].text[o+k] = from.text[at]
				} else {
					out[0].num[o+k] = from.num[at]
				}
			}
			w.next()
		}
		return nil
	}, nil
}
