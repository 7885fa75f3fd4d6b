package model

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// A small writer of ONNX files, for models that no library exports on demand.

type onnxFile struct {
	inputs, outputs []valueSpec
	nodes           []nodeSpec
	initializers    map[string]*tensor
	metadata        map[string]string
	opset, mlOpset  uint64
}

type valueSpec struct {
	name string
	elem elemType
	dims []int // 0 is left open
}

type nodeSpec struct {
	domain, op      string
	inputs, outputs []string
	attributes      map[string]any // float64, int, string, []float64, []int, []string, *tensor, *onnxFile
}

func bytesField(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func intField(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func floatField(b []byte, num protowire.Number, v float64) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), math.Float32bits(float32(v)))
}

func (f onnxFile) encode() []byte {
	b := intField(nil, 1, 8)
	b = bytesField(b, 2, []byte("weir-test"))
	b = bytesField(b, 7, f.graph())
	if f.opset == 0 {
		f.opset = 18
	}
	if f.mlOpset == 0 {
		f.mlOpset = 3
	}
	b = bytesField(b, 8, intField(nil, 2, f.opset))
	b = bytesField(b, 8, intField(bytesField(nil, 1, []byte(mlDomain)), 2, f.mlOpset))
	for k, v := range f.metadata {
		b = bytesField(b, 14, bytesField(bytesField(nil, 1, []byte(k)), 2, []byte(v)))
	}
	return b
}

func (f onnxFile) graph() []byte {
	var b []byte
	for _, n := range f.nodes {
		b = bytesField(b, 1, n.encode())
	}
	b = bytesField(b, 2, []byte("g"))
	for name, t := range f.initializers {
		b = bytesField(b, 5, encodeTensor(t, name))
	}
	for _, v := range f.inputs {
		b = bytesField(b, 11, v.encode())
	}
	for _, v := range f.outputs {
		b = bytesField(b, 12, v.encode())
	}
	return b
}

func (v valueSpec) encode() []byte {
	var shape []byte
	for _, d := range v.dims {
		var dim []byte
		if d > 0 {
			dim = intField(nil, 1, uint64(d))
		}
		shape = bytesField(shape, 1, dim)
	}
	t := intField(nil, 1, uint64(v.elem))
	t = bytesField(t, 2, shape)
	return bytesField(bytesField(nil, 1, []byte(v.name)), 2, bytesField(nil, 1, t))
}

func (n nodeSpec) encode() []byte {
	var b []byte
	for _, s := range n.inputs {
		b = bytesField(b, 1, []byte(s))
	}
	for _, s := range n.outputs {
		b = bytesField(b, 2, []byte(s))
	}
	b = bytesField(b, 4, []byte(n.op))
	for name, v := range n.attributes {
		b = bytesField(b, 5, encodeAttribute(name, v))
	}
	return bytesField(b, 7, []byte(n.domain))
}

func encodeAttribute(name string, v any) []byte {
	b := bytesField(nil, 1, []byte(name))
	switch v := v.(type) {
	case float64:
		b = intField(floatField(b, 2, v), 20, 1)
	case int:
		b = intField(intField(b, 3, uint64(v)), 20, 2)
	case string:
		b = intField(bytesField(b, 4, []byte(v)), 20, 3)
	case *tensor:
		b = intField(bytesField(b, 5, encodeTensor(v, "")), 20, 4)
	case *onnxFile:
		b = intField(bytesField(b, 6, v.graph()), 20, 5)
	case []float64:
		for _, x := range v {
			b = floatField(b, 7, x)
		}
		b = intField(b, 20, 6)
	case []int:
		for _, x := range v {
			b = intField(b, 8, uint64(x))
		}
		b = intField(b, 20, 7)
	case []string:
		for _, x := range v {
			b = bytesField(b, 9, []byte(x))
		}
		b = intField(b, 20, 8)
	}
	return b
}

func encodeTensor(t *tensor, name string) []byte {
	var b []byte
	for _, d := range t.shape.dims[:t.shape.rank] {
		b = intField(b, 1, uint64(d))
	}
	b = intField(b, 2, uint64(t.elem))
	b = bytesField(b, 8, []byte(name))
	for _, s := range t.text {
		b = bytesField(b, 6, []byte(s))
	}
	if t.isText() {
		return b
	}
	var raw []byte
	for _, v := range t.num {
		switch t.elem {
		case elemFloat:
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(v)))
		case elemDouble:
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
		case elemInt64:
			raw = binary.LittleEndian.AppendUint64(raw, uint64(int64(v)))
		case elemInt32:
			raw = binary.LittleEndian.AppendUint32(raw, uint32(int32(v)))
		case elemUint8, elemBool:
			raw = append(raw, byte(v))
		default:
			panic("encodeTensor: " + t.elem.String())
		}
	}
	return bytesField(b, 9, raw)
}

// write puts the file in a folder of the test's own.
func (f onnxFile) write(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "model.onnx")
	if err := os.WriteFile(path, f.encode(), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

func numbers(elem elemType, dims []int, v ...float64) *tensor {
	return &tensor{elem: elem, shape: shapeOf(dims...), num: v}
}

// classifierFile is a graph of one classifier node over [N, 2].
func classifierFile(op string, attributes map[string]any) onnxFile {
	return onnxFile{
		inputs:  []valueSpec{{"X", elemFloat, []int{0, 2}}},
		outputs: []valueSpec{{"label", elemInt64, []int{0}}, {"probabilities", elemFloat, []int{0, 2}}},
		nodes:   []nodeSpec{{mlDomain, op, []string{"X"}, []string{"label", "probabilities"}, attributes}},
	}
}
