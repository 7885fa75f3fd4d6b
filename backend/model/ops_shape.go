package model

import "fmt"

// Operators that change a tensor's shape, and join or cut tensors.

var shapeOperators = map[string]builder{
	"Reshape":   buildReshape,
	"Flatten":   buildFlatten,
	"Squeeze":   buildSqueeze,
	"Unsqueeze": buildUnsqueeze,
	"Transpose": buildTranspose,
	"Concat":    buildConcat,
	"Split":     buildSplit,
	"Expand":    buildExpand,
	"Tile":      buildTile,
}

// buildReshape takes the shape from its second input, or before opset 5 from an attribute: 0 keeps a dimension, -1 is
// what is left.
func buildReshape(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	fixed, zeroIsZero := a.ints("shape"), a.int("allowzero", 0) != 0
	a.ignore("consumed_inputs")
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		want := fixed
		if t := optional(in, 1); t != nil {
			if want, err = t.ints(); err != nil {
				return err
			}
		}
		s, err := reshaped(x, want, zeroIsZero)
		if err != nil {
			return err
		}
		out[0].alias(x, s)
		return nil
	}, nil
}

func reshaped(x *tensor, want []int64, zeroIsZero bool) (shape, error) {
	if len(want) > maxDims {
		return shape{}, fmt.Errorf("%d dimensions, at most %d are supported", len(want), maxDims)
	}
	var s shape
	rest, product := -1, 1
	for i, d := range want {
		switch {
		case d == -1 && rest < 0:
			rest, d = i, 1
		case d == 0 && !zeroIsZero && i < x.shape.rank:
			d = int64(x.shape.dims[i])
		case d < 0 || d > maxElements:
			return s, fmt.Errorf("cannot make shape %v of %v", want, x.shape)
		}
		s = s.with(int(d))
		if product *= int(d); product > maxElements {
			return s, fmt.Errorf("cannot make shape %v of %v", want, x.shape)
		}
	}
	if rest >= 0 && product > 0 {
		s.dims[rest] = x.len() / product
	}
	if n, ok := s.size(); !ok || n != x.len() {
		return s, fmt.Errorf("cannot make shape %v of %v", want, x.shape)
	}
	return s, nil
}

func buildFlatten(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	axis := a.int("axis", 1)
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		at := axis
		if at < 0 {
			at += int64(x.shape.rank)
		}
		if at < 0 || at > int64(x.shape.rank) {
			return fmt.Errorf("axis %d of shape %v", axis, x.shape)
		}
		rows := 1
		for _, d := range x.shape.dims[:at] {
			rows *= d
		}
		columns := 0
		if rows > 0 {
			columns = x.len() / rows
		}
		out[0].alias(x, shapeOf(rows, columns))
		return nil
	}, nil
}

// axesOf reads axes from the attribute (before opset 13) or the second input.
func axesOf(in []*tensor, fixed []int64) ([]int64, error) {
	if t := optional(in, 1); t != nil {
		return t.ints()
	}
	return fixed, nil
}

func buildSqueeze(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	fixed := a.ints("axes")
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		axes, err := axesOf(in, fixed)
		if err != nil {
			return err
		}
		var drop [maxDims]bool
		for _, a := range axes {
			i, err := x.shape.axis(a)
			if err != nil {
				return err
			}
			if drop[i] = true; x.shape.dims[i] != 1 {
				return fmt.Errorf("cannot squeeze axis %d of shape %v", a, x.shape)
			}
		}
		var s shape
		for i, d := range x.shape.dims[:x.shape.rank] {
			if !drop[i] && (len(axes) > 0 || d != 1) {
				s = s.with(d)
			}
		}
		out[0].alias(x, s)
		return nil
	}, nil
}

func buildUnsqueeze(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	fixed := a.ints("axes")
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		axes, err := axesOf(in, fixed)
		if err != nil {
			return err
		}
		s := shape{rank: x.shape.rank + len(axes)}
		if s.rank > maxDims {
			return fmt.Errorf("%d dimensions, at most %d are supported", s.rank, maxDims)
		}
		var added [maxDims]bool
		for _, a := range axes {
			i, err := s.axis(a)
			if err != nil {
				return err
			}
			if added[i] {
				return fmt.Errorf("axis %d is added twice", i)
			}
			added[i] = true
		}
		next := 0
		for i := range s.rank {
			s.dims[i] = 1
			if !added[i] {
				s.dims[i] = x.shape.dims[next]
				next++
			}
		}
		out[0].alias(x, s)
		return nil
	}, nil
}

func buildTranspose(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	perm := a.ints("perm")
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		rank := x.shape.rank
		if len(perm) != 0 && len(perm) != rank {
			return fmt.Errorf("a permutation %v of shape %v", perm, x.shape)
		}
		s, from, seen := shape{rank: rank}, [maxDims]int{}, [maxDims]bool{}
		for i := range rank {
			p := int64(rank - 1 - i)
			if len(perm) > 0 {
				p = perm[i]
			}
			at, err := x.shape.axis(p)
			if err != nil || seen[at] {
				return fmt.Errorf("a permutation %v of shape %v", perm, x.shape)
			}
			seen[at], from[i] = true, at
			s.dims[i] = x.shape.dims[at]
		}
		strides := [maxDims]int{}
		for i := range rank {
			_, _, strides[i] = x.shape.around(from[i])
		}
		return gatherWalk(x, out[0], s, strides)
	}, nil
}

// gatherWalk fills out, of shape s, with x's values at positions given by one stride a dimension.
func gatherWalk(x, out *tensor, s shape, strides [maxDims]int) error {
	if err := resetLike(out, x, s); err != nil {
		return err
	}
	w := newWalk(s)
	w.strides[0] = strides
	if s.rank > 0 {
		w.step[0] = strides[s.rank-1]
	}
	for o := 0; o < out.len(); o += w.inner {
		for k := range w.inner {
			copyValue(out, o+k, x, w.at[0]+k*w.step[0])
		}
		w.next()
	}
	return nil
}

// resetLike resets out to x's element type.
func resetLike(out, x *tensor, s shape) error {
	if x.isText() {
		return out.resetText(s)
	}
	return out.reset(x.elem, s)
}

func copyValue(to *tensor, i int, from *tensor, j int) {
	if to.isText() {
		to.text[i] = from.text[j]
	} else {
		to.num[i] = from.num[j]
	}
}

// copyValues copies n values.
func copyValues(to *tensor, i int, from *tensor, j, n int) {
	if to.isText() {
		copy(to.text[i:i+n], from.text[j:j+n])
	} else {
		copy(to.num[i:i+n], from.num[j:j+n])
	}
}

func buildConcat(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	axis := a.int("axis", 1)
	return func(_ *machine, in, out []*tensor) error { return concat(in, out[0], axis) }, nil
}

func concat(in []*tensor, out *tensor, axis int64) error {
	first, err := present(in, 0)
	if err != nil {
		return err
	}
	at, err := first.shape.axis(axis)
	if err != nil {
		return err
	}
	s := first.shape
	s.dims[at] = 0
	for i := range in {
		x, err := present(in, i)
		if err != nil {
			return err
		}
		same := x.shape.rank == s.rank && x.isText() == first.isText()
		for d := 0; same && d < s.rank; d++ {
			same = d == at || x.shape.dims[d] == s.dims[d]
		}
		if !same {
			return fmt.Errorf("%s of shape %v does not go beside %s of shape %v", x.elem, x.shape, first.elem, first.shape)
		}
		if s.dims[at] += x.shape.dims[at]; s.dims[at] > maxElements {
			return fmt.Errorf("its result is larger than %d values", maxElements)
		}
	}
	if err := resetLike(out, first, s); err != nil {
		return err
	}
	before, size, after := s.around(at)
	offset := 0
	for _, x := range in {
		n := x.shape.dims[at] * after
		for b := range before {
			copyValues(out, b*size*after+offset, x, b*n, n)
		}
		offset += n
	}
	return nil
}

// buildSplit cuts an axis into the sizes given, or evenly.
func buildSplit(_ *compiler, n *nodeProto, a *attributes) (kernel, error) {
	axis, fixed := a.int("axis", 0), a.ints("split")
	a.ignore("num_outputs")
	parts := len(n.outputs)
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		at, err := x.shape.axis(axis)
		if err != nil {
			return err
		}
		before, size, after := x.shape.around(at)
		sizes, err := axesOf(in, fixed)
		if err != nil {
			return err
		}
		if len(sizes) == 0 {
			each := (size + parts - 1) / parts
			for left := size; len(sizes) < parts; left -= each {
				sizes = append(sizes, int64(max(0, min(each, left))))
			}
		}
		total := int64(0)
		for _, n := range sizes {
			if n < 0 {
				return fmt.Errorf("cannot split %d into %v", size, sizes)
			}
			total += n
		}
		if len(sizes) != parts || total != int64(size) {
			return fmt.Errorf("cannot split %d into %v", size, sizes)
		}
		offset := 0
		for i, n := range sizes {
			s := x.shape
			s.dims[at] = int(n)
			if err := resetLike(out[i], x, s); err != nil {
				return err
			}
			for b := range before {
				copyValues(out[i], b*int(n)*after, x, (b*size+offset)*after, int(n)*after)
			}
			offset += int(n)
		}
		return nil
	}, nil
}

func buildExpand(*compiler, *nodeProto, *attributes) (kernel, error) {
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		want, err := shapeFrom(in, 1)
		if err != nil {
			return err
		}
		s, err := broadcast(x.shape, want)
		if err != nil {
			return err
		}
		return gatherWalk(x, out[0], s, newWalk(s, x.shape).strides[0])
	}, nil
}

// shapeFrom reads a shape from an input.
func shapeFrom(in []*tensor, i int) (shape, error) {
	t, err := numeric(in, i)
	if err != nil {
		return shape{}, err
	}
	dims, err := t.ints()
	if err != nil {
		return shape{}, err
	}
	if len(dims) > maxDims {
		return shape{}, fmt.Errorf("%d dimensions, at most %d are supported", len(dims), maxDims)
	}
	var s shape
	for _, d := range dims {
		if d < 0 || d > maxElements {
			return s, fmt.Errorf("a dimension of %d", d)
		}
		s = s.with(int(d))
	}
	return s, nil
}

func buildTile(*compiler, *nodeProto, *attributes) (kernel, error) {
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		times, err := shapeFrom(in, 1)
		if err != nil {
			return err
		}
		if times.rank != x.shape.rank {
			return fmt.Errorf("cannot repeat shape %v by %v", x.shape, times)
		}
		s := x.shape
		for i := range s.rank {
			if s.dims[i] *= times.dims[i]; s.dims[i] > maxElements {
				return fmt.Errorf("its result is larger than %d values", maxElements)
			}
		}
		if err := resetLike(out[0], x, s); err != nil {
			return err
		}
		for o := range out[0].len() {
			from, stride, rest := 0, 1, o
			for d := s.rank - 1; d >= 0; d-- {
				from += rest % s.dims[d] % x.shape.dims[d] * stride
				rest /= s.dims[d]
				stride *= x.shape.dims[d]
			}
			copyValue(out[0], o, x, from)
		}
		return nil
	}, nil
}
