package model

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// maxElements bounds one tensor: a file cannot make the evaluator ask for more than 128 MiB at once.
const maxElements = 1 << 24

// elemType is ONNX's TensorProto.DataType.
type elemType int32

const (
	elemNone    elemType = 0
	elemFloat   elemType = 1
	elemUint8   elemType = 2
	elemInt8    elemType = 3
	elemUint16  elemType = 4
	elemInt16   elemType = 5
	elemInt32   elemType = 6
	elemInt64   elemType = 7
	elemString  elemType = 8
	elemBool    elemType = 9
	elemFloat16 elemType = 10
	elemDouble  elemType = 11
	elemUint32  elemType = 12
	elemUint64  elemType = 13
)

var elemNames = map[elemType]string{
	elemNone: "undefined", elemFloat: "float", elemUint8: "uint8", elemInt8: "int8", elemUint16: "uint16",
	elemInt16: "int16", elemInt32: "int32", elemInt64: "int64", elemString: "string", elemBool: "bool",
	elemFloat16: "float16", elemDouble: "double", elemUint32: "uint32", elemUint64: "uint64",
}

// String is ONNX's name of the type.
func (e elemType) String() string {
	if s, ok := elemNames[e]; ok {
		return s
	}
	return fmt.Sprintf("type %d", int32(e))
}

func (e elemType) supported() bool { return e >= elemFloat && e <= elemUint64 }

func (e elemType) isFloat() bool { return e == elemFloat || e == elemDouble || e == elemFloat16 }

// width is the size of one value in raw bytes.
func (e elemType) width() int {
	switch e {
	case elemUint8, elemInt8, elemBool:
		return 1
	case elemUint16, elemInt16, elemFloat16:
		return 2
	case elemDouble, elemInt64, elemUint64:
		return 8
	}
	return 4
}

func (e elemType) decode(b []byte) float64 {
	switch e {
	case elemFloat:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case elemDouble:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case elemUint8, elemBool:
		return float64(b[0])
	case elemInt8:
		return float64(int8(b[0]))
	case elemUint16:
		return float64(binary.LittleEndian.Uint16(b))
	case elemInt16:
		return float64(int16(binary.LittleEndian.Uint16(b)))
	case elemFloat16:
		return halfFloat(binary.LittleEndian.Uint16(b))
	case elemInt32:
		return float64(int32(binary.LittleEndian.Uint32(b)))
	case elemUint32:
		return float64(binary.LittleEndian.Uint32(b))
	case elemUint64:
		return float64(binary.LittleEndian.Uint64(b))
	}
	return float64(int64(binary.LittleEndian.Uint64(b)))
}

// ofInt is the value that int32_data, int64_data or uint64_data hold as v.
func (e elemType) ofInt(v int64) float64 {
	switch e {
	case elemFloat16:
		return halfFloat(uint16(v))
	case elemUint64:
		return float64(uint64(v))
	case elemInt32, elemInt16, elemInt8:
		return float64(int32(v))
	}
	return float64(v)
}

func halfFloat(h uint16) float64 {
	sign, exp, frac := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	switch exp {
	case 0:
		return sign * math.Ldexp(frac, -24)
	case 31:
		if frac != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}

// round32 is the float32 nearest to v, as float64.
func round32(v float64) float64 { return float64(float32(v)) }

// shape is the sizes of up to maxDims dimensions; a value, so that taking one apart costs nothing.
type shape struct {
	dims [maxDims]int
	rank int
}

func shapeOf(dims ...int) shape {
	s := shape{rank: len(dims)}
	copy(s.dims[:], dims)
	return s
}

// with appends a dimension; a shape of maxDims dimensions stays as it is, callers check before.
func (s shape) with(d int) shape {
	if s.rank < maxDims {
		s.dims[s.rank] = d
		s.rank++
	}
	return s
}

func (s shape) size() (n int, ok bool) {
	n = 1
	for _, d := range s.dims[:s.rank] {
		if d < 0 || d > maxElements {
			return 0, false
		}
		if n *= d; n > maxElements {
			return 0, false
		}
	}
	return n, true
}

// matrix sees the shape as rows of columns: [C] is one row, [N, …] is N rows.
func (s shape) matrix() (rows, columns int) {
	switch s.rank {
	case 0:
		return 1, 1
	case 1:
		return 1, s.dims[0]
	}
	columns = 1
	for _, d := range s.dims[1:s.rank] {
		columns *= d
	}
	return s.dims[0], columns
}

// axis brings an axis, which counts from the end when negative, into 0..rank-1.
func (s shape) axis(a int64) (int, error) {
	if a < 0 {
		a += int64(s.rank)
	}
	if a < 0 || a >= int64(s.rank) {
		return 0, fmt.Errorf("axis %d of a tensor of shape %v", a, s)
	}
	return int(a), nil
}

// around splits the shape at an axis: the product before it, its own size, the product after it.
func (s shape) around(axis int) (before, size, after int) {
	before, after = 1, 1
	for _, d := range s.dims[:axis] {
		before *= d
	}
	for _, d := range s.dims[axis+1 : s.rank] {
		after *= d
	}
	return before, s.dims[axis], after
}

// String is the shape as [N, 4].
func (s shape) String() string {
	var b strings.Builder
	b.WriteByte('[')
	for i, d := range s.dims[:s.rank] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, d)
	}
	b.WriteByte(']')
	return b.String()
}

// tensor holds numbers of any type as float64, or strings.
//
// A float tensor is computed in float64 and rounded to float32 only where the libraries do so too (at a Cast, and
// before values are compared): scikit-learn predicts in float64, and its probabilities are the ones to meet.
type tensor struct {
	elem  elemType
	shape shape
	num   []float64
	text  []string // for elemString, where num is nil
}

// reset makes t a tensor of numbers whose values are to be written, keeping its memory where that suffices.
func (t *tensor) reset(elem elemType, s shape) error {
	n, ok := s.size()
	if !ok {
		return fmt.Errorf("a tensor of shape %v would have more than %d values", s, maxElements)
	}
	t.elem, t.shape, t.text = elem, s, nil
	if cap(t.num) < n {
		t.num = make([]float64, n)
	}
	t.num = t.num[:n]
	return nil
}

// resetText is reset for a tensor of strings.
func (t *tensor) resetText(s shape) error {
	n, ok := s.size()
	if !ok {
		return fmt.Errorf("a tensor of shape %v would have more than %d values", s, maxElements)
	}
	t.elem, t.shape, t.num = elemString, s, nil
	if cap(t.text) < n {
		t.text = make([]string, n)
	}
	t.text = t.text[:n]
	return nil
}

// alias makes t the values of other under a shape of the same size.
func (t *tensor) alias(other *tensor, s shape) {
	t.elem, t.shape, t.num, t.text = other.elem, s, other.num, other.text
}

func (t *tensor) isText() bool { return t.elem == elemString }

func (t *tensor) len() int {
	if t.isText() {
		return len(t.text)
	}
	return len(t.num)
}

// ints is the tensor's numbers as integers, each held within the range of int32 so that arithmetic on them cannot
// overflow (exporters write the largest int64 for "to the end").
func (t *tensor) ints() ([]int64, error) {
	if t.isText() {
		return nil, fmt.Errorf("expected integers, found strings")
	}
	out := make([]int64, len(t.num))
	for i, v := range t.num {
		out[i] = int64(math.Max(math.MinInt32, math.Min(math.MaxInt32, v)))
		if v != v {
			out[i] = 0
		}
	}
	return out, nil
}
