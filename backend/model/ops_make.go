package model

import (
	"fmt"
	"math"
)

// Operators that make tensors out of shapes and attributes.

var makeOperators = map[string]builder{
	"Shape":           buildShape,
	"Size":            buildSize,
	"Constant":        buildConstant,
	"ConstantOfShape": buildConstantOfShape,
	"Range":           buildRange,
}

func buildShape(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	start, end := a.int("start", 0), a.int("end", math.MaxInt32)
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		rank := int64(x.shape.rank)
		from, to := clampIndex(start, rank), clampIndex(end, rank)
		if err := out[0].reset(elemInt64, shapeOf(int(max(0, to-from)))); err != nil {
			return err
		}
		for i := range out[0].num {
			out[0].num[i] = float64(x.shape.dims[from+int64(i)])
		}
		return nil
	}, nil
}

// clampIndex brings an index that may count from the end into 0..n.
func clampIndex(i, n int64) int64 {
	if i < 0 {
		i += n
	}
	return max(0, min(n, i))
}

func buildSize(*compiler, *nodeProto, *attributes) (kernel, error) {
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		if err := out[0].reset(elemInt64, shape{}); err != nil {
			return err
		}
		out[0].num[0] = float64(x.len())
		return nil
	}, nil
}

func buildConstant(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	t := &tensor{}
	switch {
	case a.has("value"):
		t = a.tensor("value")
	case a.has("value_float"):
		t = &tensor{elem: elemFloat, num: []float64{a.float("value_float", 0)}}
	case a.has("value_int"):
		t = &tensor{elem: elemInt64, num: []float64{float64(a.int("value_int", 0))}}
	case a.has("value_string"):
		t = &tensor{elem: elemString, text: []string{a.string("value_string", "")}}
	case a.has("value_floats"):
		v := a.floats("value_floats")
		t = &tensor{elem: elemFloat, num: v, shape: shapeOf(len(v))}
	case a.has("value_ints"):
		t = intTensor(a.ints("value_ints"))
	case a.has("value_strings"):
		v := a.strings("value_strings")
		t = &tensor{elem: elemString, text: v, shape: shapeOf(len(v))}
	}
	if t == nil || t.elem == elemNone {
		return nil, fmt.Errorf("%w: a constant without a value", ErrUnsupported)
	}
	return func(_ *machine, _, out []*tensor) error {
		out[0].alias(t, t.shape)
		return nil
	}, nil
}

func intTensor(v []int64) *tensor {
	t := &tensor{elem: elemInt64, shape: shapeOf(len(v)), num: make([]float64, len(v))}
	for i := range v {
		t.num[i] = float64(v[i])
	}
	return t
}

func buildConstantOfShape(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	value := &tensor{elem: elemFloat, num: []float64{0}}
	if t := a.tensor("value"); t != nil {
		value = t
	}
	if len(value.num) != 1 {
		return nil, fmt.Errorf("%w: a value of shape %v", ErrUnsupported, value.shape)
	}
	return func(_ *machine, in, out []*tensor) error {
		s, err := shapeFrom(in, 0)
		if err != nil {
			return err
		}
		if err := out[0].reset(value.elem, s); err != nil {
			return err
		}
		for i := range out[0].num {
			out[0].num[i] = value.num[0]
		}
		return nil
	}, nil
}

func buildRange(*compiler, *nodeProto, *attributes) (kernel, error) {
	return func(_ *machine, in, out []*tensor) error {
		var v [3]float64
		elem := elemInt64
		for i := range v {
			t, err := numeric(in, i)
			if err != nil {
				return err
			}
			if len(t.num) != 1 {
				return fmt.Errorf("its input %d has shape %v, expected one number", i+1, t.shape)
			}
			v[i], elem = t.num[0], t.elem
		}
		count := math.Ceil((v[1] - v[0]) / v[2])
		if !(count <= maxElements) {
			return fmt.Errorf("a range from %g to %g by %g", v[0], v[1], v[2])
		}
		if err := out[0].reset(elem, shapeOf(int(max(0, count)))); err != nil {
			return err
		}
		for i := range out[0].num {
			out[0].num[i] = v[0] + float64(i)*v[2]
		}
		return nil
	}, nil
}
