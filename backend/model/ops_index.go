package model

import "fmt"

// Operators that pick values by position.

var indexOperators = map[string]builder{
	"Gather":          buildGather,
	"GatherElements":  buildGatherElements,
	"GatherND":        buildGatherND,
	"Slice":           buildSlice,
	"NonZero":         buildNonZero,
	"OneHot":          buildOneHot,
	"ScatterElements": buildScatterElements,
}

func buildGather(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	axis := a.int("axis", 0)
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		index, err := numeric(in, 1)
		if err != nil {
			return err
		}
		at, err := x.shape.axis(axis)
		if err != nil {
			return err
		}
		if x.shape.rank-1+index.shape.rank > maxDims {
			return fmt.Errorf("shapes %v and %v have too many dimensions", x.shape, index.shape)
		}
		var s shape
		for _, d := range x.shape.dims[:at] {
			s = s.with(d)
		}
		for _, d := range index.shape.dims[:index.shape.rank] {
			s = s.with(d)
		}
		for _, d := range x.shape.dims[at+1 : x.shape.rank] {
			s = s.with(d)
		}
		if err := resetLike(out[0], x, s); err != nil {
			return err
		}
		before, size, after := x.shape.around(at)
		for b := range before {
			for i, v := range index.num {
				k, err := position(v, size)
				if err != nil {
					return err
				}
				copyValues(out[0], (b*len(index.num)+i)*after, x, (b*size+k)*after, after)
			}
		}
		return nil
	}, nil
}

// position turns an index that may count from the end into one of 0..size-1.
func position(v float64, size int) (int, error) {
	if v < 0 {
		v += float64(size)
	}
	if !(v >= 0 && v < float64(size)) {
		return 0, fmt.Errorf("index %g among %d", v, size)
	}
	return int(v), nil
}

func buildGatherElements(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	axis := a.int("axis", 0)
	return func(_ *machine, in, out []*tensor) error {
		x, index, at, err := elementwise(in, axis)
		if err != nil {
			return err
		}
		if err := resetLike(out[0], x, index.shape); err != nil {
			return err
		}
		return eachElement(x.shape, index, at, func(i, from int) { copyValue(out[0], i, x, from) })
	}, nil
}

// elementwise checks the data and index inputs of GatherElements and ScatterElements.
func elementwise(in []*tensor, axis int64) (x, index *tensor, at int, err error) {
	if x, err = present(in, 0); err != nil {
		return
	}
	if index, err = numeric(in, 1); err != nil {
		return
	}
	if at, err = x.shape.axis(axis); err != nil {
		return
	}
	if index.shape.rank != x.shape.rank {
		err = fmt.Errorf("shapes %v and %v differ in rank", x.shape, index.shape)
	}
	for d := 0; err == nil && d < x.shape.rank; d++ {
		if d != at && index.shape.dims[d] > x.shape.dims[d] {
			err = fmt.Errorf("indices of shape %v for shape %v", index.shape, x.shape)
		}
	}
	return
}

// eachElement calls do with each index's own position and the position it means in a tensor of shape s.
func eachElement(s shape, index *tensor, axis int, do func(i, at int)) error {
	for i, v := range index.num {
		k, err := position(v, s.dims[axis])
		if err != nil {
			return err
		}
		at, stride, rest := 0, 1, i
		for d := s.rank - 1; d >= 0; d-- {
			here := rest % index.shape.dims[d]
			rest /= index.shape.dims[d]
			if d == axis {
				here = k
			}
			at += here * stride
			stride *= s.dims[d]
		}
		do(i, at)
	}
	return nil
}

func buildScatterElements(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	axis := a.int("axis", 0)
	how := a.string("reduction", "none")
	if how != "none" && how != "add" {
		return nil, fmt.Errorf("%w: reduction %q", ErrUnsupported, how)
	}
	return func(_ *machine, in, out []*tensor) error {
		x, index, at, err := elementwise(in, axis)
		if err != nil {
			return err
		}
		updates, err := present(in, 2)
		if err != nil {
			return err
		}
		if updates.shape != index.shape || updates.isText() != x.isText() {
			return fmt.Errorf("updates of shape %v for indices of shape %v", updates.shape, index.shape)
		}
		if err := resetLike(out[0], x, x.shape); err != nil {
			return err
		}
		copyValues(out[0], 0, x, 0, x.len())
		return eachElement(x.shape, index, at, func(i, to int) {
			if how == "add" && !x.isText() {
				out[0].num[to] += updates.num[i]
			} else {
				copyValue(out[0], to, updates, i)
			}
		})
	}, nil
}

func buildGatherND(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	if a.int("batch_dims", 0) != 0 {
		return nil, fmt.Errorf("%w: batch_dims", ErrUnsupported)
	}
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		index, err := numeric(in, 1)
		if err != nil {
			return err
		}
		if index.shape.rank == 0 {
			return fmt.Errorf("indices of shape %v", index.shape)
		}
		deep := index.shape.dims[index.shape.rank-1]
		if deep > x.shape.rank || index.shape.rank-1+x.shape.rank-deep > maxDims {
			return fmt.Errorf("indices of shape %v for shape %v", index.shape, x.shape)
		}
		var s shape
		count := 1
		for _, d := range index.shape.dims[:index.shape.rank-1] {
			s, count = s.with(d), count*d
		}
		each := 1
		for _, d := range x.shape.dims[deep:x.shape.rank] {
			s, each = s.with(d), each*d
		}
		if err := resetLike(out[0], x, s); err != nil {
			return err
		}
		for i := range count {
			at := 0
			for d, v := range index.num[i*deep : (i+1)*deep] {
				k, err := position(v, x.shape.dims[d])
				if err != nil {
					return err
				}
				at = at*x.shape.dims[d] + k
			}
			copyValues(out[0], i*each, x, at*each, each)
		}
		return nil
	}, nil
}

// buildSlice reads its bounds from attributes (before opset 10) or inputs.
func buildSlice(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	fixed := [4][]int64{a.ints("starts"), a.ints("ends"), a.ints("axes"), nil}
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		bounds := fixed
		for i := range bounds {
			if t := optional(in, i+1); t != nil {
				if bounds[i], err = t.ints(); err != nil {
					return err
				}
			}
		}
		return slice(x, out[0], bounds[0], bounds[1], bounds[2], bounds[3])
	}, nil
}

func slice(x, out *tensor, starts, ends, axes, steps []int64) error {
	n := len(starts)
	if len(ends) != n || axes != nil && len(axes) != n || steps != nil && len(steps) != n {
		return fmt.Errorf("%d starts, %d ends, %d axes, %d steps", n, len(ends), len(axes), len(steps))
	}
	s, strides, first := x.shape, [maxDims]int{}, 0
	for i := range s.rank {
		_, _, strides[i] = x.shape.around(i)
	}
	var done [maxDims]bool
	for i := range n {
		axis, step := int64(i), int64(1)
		if axes != nil {
			axis = axes[i]
		}
		if steps != nil {
			step = steps[i]
		}
		at, err := x.shape.axis(axis)
		if err != nil {
			return err
		}
		if step == 0 || done[at] {
			return fmt.Errorf("a step of %d along axis %d", step, at)
		}
		done[at] = true
		from, count := sliceRange(starts[i], ends[i], step, int64(x.shape.dims[at]))
		s.dims[at] = count
		if count > 0 {
			first += from * strides[at]
		}
		strides[at] *= int(step)
	}
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
			copyValue(out, o+k, x, first+w.at[0]+k*w.step[0])
		}
		w.next()
	}
	return nil
}

// sliceRange gives where a slice of an axis of n begins and how many it takes.
func sliceRange(start, end, step, n int64) (from, count int) {
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	if step > 0 {
		start, end = max(0, min(n, start)), max(0, min(n, end))
		if end <= start {
			return 0, 0
		}
		return int(start), int((end - start + step - 1) / step)
	}
	start, end = max(0, min(n-1, start)), max(-1, min(n-1, end))
	if start <= end || n == 0 {
		return 0, 0
	}
	return int(start), int((start - end - step - 1) / -step)
}

func buildNonZero(*compiler, *nodeProto, *attributes) (kernel, error) {
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		count := 0
		for _, v := range x.num {
			if v != 0 {
				count++
			}
		}
		if err := out[0].reset(elemInt64, shapeOf(x.shape.rank, count)); err != nil {
			return err
		}
		at := 0
		for i, v := range x.num {
			if v == 0 {
				continue
			}
			rest := i
			for d := x.shape.rank - 1; d >= 0; d-- {
				out[0].num[d*count+at] = float64(rest % x.shape.dims[d])
				rest /= x.shape.dims[d]
			}
			at++
		}
		return nil
	}, nil
}

func buildOneHot(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	axis := a.int("axis", -1)
	return func(_ *machine, in, out []*tensor) error {
		index, err := numeric(in, 0)
		if err != nil {
			return err
		}
		depth, err := scalarInt(in, 1)
		if err != nil {
			return err
		}
		values, err := numeric(in, 2)
		if err != nil {
			return err
		}
		if depth < 1 || depth > maxElements || len(values.num) != 2 || index.shape.rank == maxDims {
			return fmt.Errorf("a depth of %d with values of shape %v", depth, values.shape)
		}
		s := index.shape.with(1)
		at, err := s.axis(axis)
		if err != nil {
			return err
		}
		copy(s.dims[at+1:s.rank], index.shape.dims[at:index.shape.rank])
		s.dims[at] = int(depth)
		if err := out[0].reset(values.elem, s); err != nil {
			return err
		}
		for i := range out[0].num {
			out[0].num[i] = values.num[0]
		}
		_, size, after := s.around(at)
		for i, v := range index.num {
			if k, err := position(v, size); err == nil {
				out[0].num[(i/after*size+k)*after+i%after] = values.num[1]
			}
		}
		return nil
	}, nil
}
