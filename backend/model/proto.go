package model

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The part of onnx.proto that a model needs to be evaluated, read straight from the wire. Lengths are those of the
// file, so nothing here can grow beyond a small multiple of the bytes read.

const (
	maxGraphDepth = 6 // graphs within attributes within graphs
	maxDims       = 8 // dimensions of a tensor
	maxTypeDepth  = 4 // sequence of map of tensor
	maxNodes      = 1 << 16
)

var errTruncated = errors.New("the file ends in the middle of a field")

type modelProto struct {
	irVersion       int64
	producer        string
	producerVersion string
	graph           *graphProto
	opsets          map[string]int64 // domain to version; the default domain is ""
	metadata        map[string]string
	functions       int
}

type graphProto struct {
	name         string
	nodes        []nodeProto
	initializers []*tensor
	initNames    []string
	inputs       []valueProto
	outputs      []valueProto
}

type nodeProto struct {
	op, domain, name string
	inputs, outputs  []string
	attributes       []attributeProto
}

type attributeProto struct {
	name    string
	typ     int64
	f       float64
	i       int64
	s       string
	t       *tensor
	g       *graphProto
	floats  []float64
	ints    []int64
	strings []string
}

// valueProto is the name and type of a graph's input or output.
type valueProto struct {
	name   string
	elem   elemType
	shape  []int // -1 where the file leaves a dimension open
	ranked bool  // the file tells the number of dimensions
	kind   valueKind
}

type valueKind uint8

const (
	tensorValue valueKind = iota
	sequenceValue
	mapValue
	otherValue
)

// field is one field of a message: varint and fixed values are in v, length-delimited ones in b.
type field struct {
	num protowire.Number
	typ protowire.Type
	v   uint64
	b   []byte
}

// eachField calls do with every field of the message in b.
func eachField(b []byte, do func(f field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return wireError(n)
		}
		b = b[n:]
		f := field{num: num, typ: typ}
		switch typ {
		case protowire.VarintType:
			f.v, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.v = uint64(v)
		case protowire.Fixed64Type:
			f.v, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			f.b, n = protowire.ConsumeBytes(b)
		default:
			return fmt.Errorf("field %d has wire type %d, which ONNX does not use", num, typ)
		}
		if n < 0 {
			return wireError(n)
		}
		b = b[n:]
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

func wireError(n int) error {
	if err := protowire.ParseError(n); !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return errTruncated
}

// message checks that a field is length-delimited, as a message, string or packed list is.
func (f field) message() ([]byte, error) {
	if f.typ != protowire.BytesType {
		return nil, fmt.Errorf("field %d: expected bytes, found wire type %d", f.num, f.typ)
	}
	return f.b, nil
}

func (f field) text() (string, error) {
	b, err := f.message()
	return string(b), err
}

func (f field) varint() (int64, error) {
	if f.typ != protowire.VarintType {
		return 0, fmt.Errorf("field %d: expected an integer, found wire type %d", f.num, f.typ)
	}
	return int64(f.v), nil
}

// appendInts takes a packed list or one value of a repeated integer.
func (f field) appendInts(to []int64) ([]int64, error) {
	if f.typ == protowire.VarintType {
		return append(to, int64(f.v)), nil
	}
	b, err := f.message()
	if err != nil {
		return to, err
	}
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return to, wireError(n)
		}
		to, b = append(to, int64(v)), b[n:]
	}
	return to, nil
}

func (f field) appendFloats(to []float64) ([]float64, error) {
	if f.typ == protowire.Fixed32Type {
		return append(to, float64(math.Float32frombits(uint32(f.v)))), nil
	}
	b, err := f.message()
	if err != nil {
		return to, err
	}
	if len(b)%4 != 0 {
		return to, fmt.Errorf("field %d: %d bytes are no whole number of floats", f.num, len(b))
	}
	for ; len(b) > 0; b = b[4:] {
		to = append(to, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
	}
	return to, nil
}

func (f field) appendDoubles(to []float64) ([]float64, error) {
	if f.typ == protowire.Fixed64Type {
		return append(to, math.Float64frombits(f.v)), nil
	}
	b, err := f.message()
	if err != nil {
		return to, err
	}
	if len(b)%8 != 0 {
		return to, fmt.Errorf("field %d: %d bytes are no whole number of doubles", f.num, len(b))
	}
	for ; len(b) > 0; b = b[8:] {
		to = append(to, math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}
	return to, nil
}

func readModel(b []byte) (*modelProto, error) {
	m := &modelProto{opsets: map[string]int64{}, metadata: map[string]string{}}
	err := eachField(b, func(f field) (err error) {
		switch f.num {
		case 1:
			m.irVersion, err = f.varint()
		case 2:
			m.producer, err = f.text()
		case 3:
			m.producerVersion, err = f.text()
		case 7:
			var body []byte
			if body, err = f.message(); err == nil {
				m.graph, err = readGraph(body, 1)
			}
		case 8:
			err = m.readOpset(f)
		case 14:
			err = m.readMetadata(f)
		case 25:
			m.functions++
		}
		return err
	})
	return m, err
}

func (m *modelProto) readOpset(f field) error {
	body, err := f.message()
	if err != nil {
		return err
	}
	domain, version := "", int64(0)
	err = eachField(body, func(f field) (err error) {
		switch f.num {
		case 1:
			domain, err = f.text()
		case 2:
			version, err = f.varint()
		}
		return err
	})
	if domain == "ai.onnx" {
		domain = ""
	}
	m.opsets[domain] = version
	return err
}

func (m *modelProto) readMetadata(f field) error {
	body, err := f.message()
	if err != nil {
		return err
	}
	key, value := "", ""
	err = eachField(body, func(f field) (err error) {
		switch f.num {
		case 1:
			key, err = f.text()
		case 2:
			value, err = f.text()
		}
		return err
	})
	m.metadata[key] = value
	return err
}

func readGraph(b []byte, depth int) (*graphProto, error) {
	if depth > maxGraphDepth {
		return nil, fmt.Errorf("graphs are nested more than %d deep", maxGraphDepth)
	}
	g := &graphProto{}
	err := eachField(b, func(f field) error {
		switch f.num {
		case 1, 2, 5, 11, 12, 15:
		default:
			return nil
		}
		body, err := f.message()
		if err != nil {
			return err
		}
		switch f.num {
		case 1:
			if len(g.nodes) == maxNodes {
				return fmt.Errorf("the graph has more than %d nodes", maxNodes)
			}
			n, err := readNode(body, depth)
			g.nodes = append(g.nodes, n)
			return err
		case 2:
			g.name = string(body)
		case 5:
			t, name, err := readTensor(body)
			if err != nil {
				return fmt.Errorf("initializer %q: %w", name, err)
			}
			g.initializers, g.initNames = append(g.initializers, t), append(g.initNames, name)
		case 11:
			v, err := readValue(body)
			g.inputs = append(g.inputs, v)
			return err
		case 12:
			v, err := readValue(body)
			g.outputs = append(g.outputs, v)
			return err
		case 15:
			return errors.New("sparse initializers are not supported")
		}
		return nil
	})
	return g, err
}

func readNode(b []byte, depth int) (nodeProto, error) {
	var n nodeProto
	err := eachField(b, func(f field) (err error) {
		var s string
		switch f.num {
		case 1:
			s, err = f.text()
			n.inputs = append(n.inputs, s)
		case 2:
			s, err = f.text()
			n.outputs = append(n.outputs, s)
		case 3:
			n.name, err = f.text()
		case 4:
			n.op, err = f.text()
		case 5:
			var body []byte
			if body, err = f.message(); err != nil {
				return err
			}
			var a attributeProto
			a, err = readAttribute(body, depth)
			n.attributes = append(n.attributes, a)
		case 7:
			n.domain, err = f.text()
			if n.domain == "ai.onnx" {
				n.domain = ""
			}
		}
		return err
	})
	return n, err
}

func readAttribute(b []byte, depth int) (attributeProto, error) {
	var a attributeProto
	err := eachField(b, func(f field) (err error) {
		var body []byte
		switch f.num {
		case 1:
			a.name, err = f.text()
		case 2:
			a.f = float64(math.Float32frombits(uint32(f.v)))
		case 3:
			a.i, err = f.varint()
		case 4:
			a.s, err = f.text()
		case 5:
			if body, err = f.message(); err == nil {
				a.t, _, err = readTensor(body)
			}
		case 6:
			if body, err = f.message(); err == nil {
				a.g, err = readGraph(body, depth+1)
			}
		case 7:
			a.floats, err = f.appendFloats(a.floats)
		case 8:
			a.ints, err = f.appendInts(a.ints)
		case 9:
			var s string
			s, err = f.text()
			a.strings = append(a.strings, s)
		case 20:
			a.typ, err = f.varint()
		}
		return err
	})
	if err != nil && a.name != "" {
		err = fmt.Errorf("attribute %s: %w", a.name, err)
	}
	return a, err
}

func readValue(b []byte) (valueProto, error) {
	var v valueProto
	err := eachField(b, func(f field) (err error) {
		var body []byte
		switch f.num {
		case 1:
			v.name, err = f.text()
		case 2:
			if body, err = f.message(); err == nil {
				err = v.readType(body, 1)
			}
		}
		return err
	})
	return v, err
}

// readType keeps the element type and shape of a tensor, and of anything else only what kind of thing it is.
func (v *valueProto) readType(b []byte, depth int) error {
	if depth > maxTypeDepth {
		return fmt.Errorf("value %q has a type nested more than %d deep", v.name, maxTypeDepth)
	}
	return eachField(b, func(f field) error {
		switch f.num {
		case 4:
			v.kind = sequenceValue
			return nil
		case 5:
			v.kind = mapValue
			return nil
		case 8, 9:
			v.kind = otherValue
			return nil
		case 1:
		default:
			return nil
		}
		body, err := f.message()
		if err != nil {
			return err
		}
		return eachField(body, func(f field) (err error) {
			switch f.num {
			case 1:
				var n int64
				n, err = f.varint()
				v.elem = elemType(n)
			case 2:
				var shape []byte
				if shape, err = f.message(); err == nil {
					err = v.readShape(shape)
				}
			}
			return err
		})
	})
}

func (v *valueProto) readShape(b []byte) error {
	v.ranked = true
	return eachField(b, func(f field) error {
		if f.num != 1 {
			return nil
		}
		body, err := f.message()
		if err != nil {
			return err
		}
		if len(v.shape) == maxDims {
			return fmt.Errorf("value %q has more than %d dimensions", v.name, maxDims)
		}
		size := -1
		err = eachField(body, func(f field) error {
			if f.num != 1 {
				return nil
			}
			n, err := f.varint()
			if n > 0 && n <= maxElements {
				size = int(n)
			}
			return err
		})
		v.shape = append(v.shape, size)
		return err
	})
}
