package model

import (
	"fmt"
	"math"
	"slices"
)

// Operators that take whole axes together.

var reduceOperators = map[string]builder{
	"ReduceSum":       reduce(0, func(acc, v float64) float64 { return acc + v }, nil),
	"ReduceSumSquare": reduce(0, func(acc, v float64) float64 { return acc + v*v }, nil),
	"ReduceL1":        reduce(0, func(acc, v float64) float64 { return acc + math.Abs(v) }, nil),
	"ReduceL2":        reduce(0, func(acc, v float64) float64 { return acc + v*v }, func(acc float64, _ int) float64 { return math.Sqrt(acc) }),
	"ReduceMean":      reduce(0, func(acc, v float64) float64 { return acc + v }, func(acc float64, n int) float64 { return acc / float64(n) }),
	"ReduceProd":      reduce(1, func(acc, v float64) float64 { return acc * v }, nil),
	"ReduceMax":       reduce(math.Inf(-1), math.Max, nil),
	"ReduceMin":       reduce(math.Inf(1), math.Min, nil),
	"ReduceLogSum":    reduce(0, func(acc, v float64) float64 { return acc + v }, func(acc float64, _ int) float64 { return math.Log(acc) }),
	"ReduceLogSumExp": buildLogSumExp,
	"ArgMax":          argBest(func(v, best float64) bool { return v > best }),
	"ArgMin":          argBest(func(v, best float64) bool { return v < best }),
	"Softmax":         softmaxBuilder(false),
	"LogSoftmax":      softmaxBuilder(true),
	"CumSum":          buildCumSum,
	"TopK":            buildTopK,
}

// reduceAxes reads which axes are reduced, from the attribute (older opsets) or from the second input, and gives the
// shape that is left, once with the axes kept as 1 and once as asked for.
func reduceAxes(in []*tensor, fixed []int64, keep, noop bool) (kept, result shape, err error) {
	x, axes := in[0], fixed
	var reduced [maxDims]bool
	if t := optional(in, 1); t != nil {
		if axes, err = t.ints(); err != nil {
			return
		}
	}
	for _, a := range axes {
		var i int
		if i, err = x.shape.axis(a); err != nil {
			return
		}
		reduced[i] = true
	}
	if len(axes) == 0 && !noop {
		for i := range x.shape.rank {
			reduced[i] = true
		}
	}
	kept = x.shape
	for i, d := range x.shape.dims[:x.shape.rank] {
		if reduced[i] {
			kept.dims[i] = 1
			if keep {
				result = result.with(1)
			}
		} else {
			result = result.with(d)
		}
	}
	return
}

func reduce(start float64, add func(acc, v float64) float64, finish func(acc float64, n int) float64) builder {
	return func(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
		axes, keep, noop := a.ints("axes"), a.int("keepdims", 1) != 0, a.int("noop_with_empty_axes", 0) != 0
		return func(_ *machine, in, out []*tensor) error {
			x, err := numeric(in, 0)
			if err != nil {
				return err
			}
			kept, result, err := reduceAxes(in, axes, keep, noop)
			if err != nil {
				return err
			}
			if err := out[0].reset(x.elem, result); err != nil {
				return err
			}
			y := out[0].num
			for i := range y {
				y[i] = start
			}
			w := newWalk(x.shape, kept)
			for o := 0; o < len(x.num); o += w.inner {
				at := w.at[0]
				for _, v := range x.num[o : o+w.inner] {
					y[at] = add(y[at], v)
					at += w.step[0]
				}
				w.next()
			}
			if finish != nil && len(y) > 0 {
				n := len(x.num) / len(y)
				for i := range y {
					y[i] = finish(y[i], n)
				}
			}
			return nil
		}, nil
	}
}

// buildLogSumExp takes the largest value out first, as every library does, so that nothing overflows.
func buildLogSumExp(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	axes, keep, noop := a.ints("axes"), a.int("keepdims", 1) != 0, a.int("noop_with_empty_axes", 0) != 0
	return func(m *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		kept, result, err := reduceAxes(in, axes, keep, noop)
		if err != nil {
			return err
		}
		if err := out[0].reset(x.elem, result); err != nil {
			return err
		}
		y := out[0].num
		top := m.scratch.take(len(y))
		for i := range y {
			y[i], top[i] = 0, math.Inf(-1)
		}
		each := func(do func(at int, v float64)) {
			w := newWalk(x.shape, kept)
			for o := 0; o < len(x.num); o += w.inner {
				for k, v := range x.num[o : o+w.inner] {
					do(w.at[0]+k*w.step[0], v)
				}
				w.next()
			}
		}
		each(func(at int, v float64) { top[at] = math.Max(top[at], v) })
		for i := range top {
			if math.IsInf(top[i], 0) {
				top[i] = 0
			}
		}
		each(func(at int, v float64) { y[at] += math.Exp(v - top[at]) })
		for i := range y {
			y[i] = math.Log(y[i]) + top[i]
		}
		return nil
	}, nil
}

func argBest(better func(v, best float64) bool) builder {
	return func(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
		axis, keep, last := a.int("axis", 0), a.int("keepdims", 1) != 0, a.int("select_last_index", 0) != 0
		return func(_ *machine, in, out []*tensor) error {
			x, err := numeric(in, 0)
			if err != nil {
				return err
			}
			i, err := x.shape.axis(axis)
			if err != nil {
				return err
			}
			before, size, after := x.shape.around(i)
			if size == 0 {
				return fmt.Errorf("its axis %d is empty", i)
			}
			if err := out[0].reset(elemInt64, without(x.shape, i, keep)); err != nil {
				return err
			}
			for b := range before {
				for c := range after {
					best, at := x.num[b*size*after+c], 0
					for k := 1; k < size; k++ {
						v := x.num[(b*size+k)*after+c]
						if better(v, best) || last && v == best {
							best, at = v, k
						}
					}
					out[0].num[b*after+c] = float64(at)
				}
			}
			return nil
		}, nil
	}
}

// without drops an axis, or keeps it with size 1.
func without(s shape, axis int, keep bool) shape {
	var r shape
	for i, d := range s.dims[:s.rank] {
		switch {
		case i != axis:
			r = r.with(d)
		case keep:
			r = r.with(1)
		}
	}
	return r
}

// softmaxBuilder is over one axis since opset 13; before, over all axes from the given one on.
func softmaxBuilder(logs bool) builder {
	return func(c *compiler, _ *nodeProto, a *attributes) (kernel, error) {
		old := c.opset("") < 13
		axis := int64(-1)
		if old {
			axis = 1
		}
		axis = a.int("axis", axis)
		return func(_ *machine, in, out []*tensor) error {
			x, err := numeric(in, 0)
			if err != nil {
				return err
			}
			i, err := x.shape.axis(axis)
			if err != nil {
				return err
			}
			if err := out[0].reset(x.elem, x.shape); err != nil {
				return err
			}
			before, size, after := x.shape.around(i)
			if old {
				size, after = size*after, 1
			}
			for b := range before {
				for c := range after {
					softmaxStrided(out[0].num[b*size*after+c:], x.num[b*size*after+c:], size, after, logs)
				}
			}
			return nil
		}, nil
	}
}

func softmaxStrided(y, x []float64, n, stride int, logs bool) {
	if n == 0 {
		return
	}
	top, sum := math.Inf(-1), 0.0
	for i := range n {
		top = math.Max(top, x[i*stride])
	}
	for i := range n {
		e := math.Exp(x[i*stride] - top)
		y[i*stride] = e
		sum += e
	}
	for i := range n {
		if logs {
			y[i*stride] = x[i*stride] - top - math.Log(sum)
		} else {
			y[i*stride] /= sum
		}
	}
}

func buildCumSum(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	exclusive, reverse := a.int("exclusive", 0) != 0, a.int("reverse", 0) != 0
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		axis, err := scalarInt(in, 1)
		if err != nil {
			return err
		}
		i, err := x.shape.axis(axis)
		if err != nil {
			return err
		}
		if err := out[0].reset(x.elem, x.shape); err != nil {
			return err
		}
		before, size, after := x.shape.around(i)
		for b := range before {
			for c := range after {
				sum := 0.0
				for k := range size {
					if reverse {
						k = size - 1 - k
					}
					at := (b*size+k)*after + c
					if exclusive {
						out[0].num[at] = sum
						sum += x.num[at]
					} else {
						sum += x.num[at]
						out[0].num[at] = sum
					}
				}
			}
		}
		return nil
	}, nil
}

// scalarInt is an input of one whole number.
func scalarInt(in []*tensor, i int) (int64, error) {
	t, err := numeric(in, i)
	if err != nil {
		return 0, err
	}
	v, err := t.ints()
	if err != nil || len(v) != 1 {
		return 0, fmt.Errorf("its input %d has shape %v, expected one number", i+1, t.shape)
	}
	return v[0], nil
}

// buildTopK gives the k largest (or smallest) values of an axis and where they stood, the earlier one first among equals.
func buildTopK(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	axis, largest, fixed := a.int("axis", -1), a.int("largest", 1) != 0, a.int("k", -1)
	a.ignore("sorted")
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		k := fixed
		if k < 0 {
			if k, err = scalarInt(in, 1); err != nil {
				return err
			}
		}
		i, err := x.shape.axis(axis)
		if err != nil {
			return err
		}
		before, size, after := x.shape.around(i)
		if k < 0 || k > int64(size) {
			return fmt.Errorf("the %d best of %d", k, size)
		}
		s := x.shape
		s.dims[i] = int(k)
		if err := out[0].reset(x.elem, s); err != nil {
			return err
		}
		if len(out) > 1 {
			if err := out[1].reset(elemInt64, s); err != nil {
				return err
			}
		}
		order := make([]int, size)
		for b := range before {
			for c := range after {
				value := func(j int) float64 { return x.num[(b*size+j)*after+c] }
				for j := range order {
					order[j] = j
				}
				slices.SortStableFunc(order, func(p, q int) int {
					u, v := value(p), value(q)
					if largest {
						u, v = v, u
					}
					switch {
					case u < v:
						return -1
					case u > v:
						return 1
					}
					return 0
				})
				for j, from := range order[:k] {
					at := (b*int(k)+j)*after + c
					out[0].num[at] = value(from)
					if len(out) > 1 {
						out[1].num[at] = float64(from)
					}
				}
			}
		}
		return nil
	}, nil
}
