package model

import (
	"errors"
	"fmt"
)

// readTensor reads a TensorProto and its name. Every numeric type becomes float64.
func readTensor(b []byte) (*tensor, string, error) {
	var (
		p    tensorProto
		name string
	)
	err := eachField(b, func(f field) (err error) {
		switch f.num {
		case 1:
			p.dims, err = f.appendInts(p.dims)
		case 2:
			var n int64
			n, err = f.varint()
			p.elem = elemType(n)
		case 4:
			p.floats, err = f.appendFloats(p.floats)
		case 5, 7, 11:
			p.ints, err = f.appendInts(p.ints)
		case 6:
			var s string
			s, err = f.text()
			p.text = append(p.text, s)
		case 8:
			name, err = f.text()
		case 9:
			p.raw, err = f.message()
			p.hasRaw = true
		case 10:
			p.floats, err = f.appendDoubles(p.floats)
		case 13, 14:
			if f.num == 13 || f.v != 0 {
				err = errors.New("its values are in another file; save the model with its weights inside")
			}
		}
		return err
	})
	if err != nil {
		return nil, name, err
	}
	t, err := p.tensor()
	return t, name, err
}

type tensorProto struct {
	dims   []int64
	elem   elemType
	floats []float64
	ints   []int64
	text   []string
	raw    []byte
	hasRaw bool
}

func (p *tensorProto) tensor() (*tensor, error) {
	t := &tensor{}
	if len(p.dims) > maxDims {
		return nil, fmt.Errorf("%d dimensions, at most %d are supported", len(p.dims), maxDims)
	}
	if !p.elem.supported() {
		return nil, fmt.Errorf("element type %s is not supported", p.elem)
	}
	var s shape
	for _, d := range p.dims {
		if d < 0 || d > maxElements {
			return nil, fmt.Errorf("a dimension of %d", d)
		}
		s = s.with(int(d))
	}
	want, ok := s.size()
	if !ok {
		return nil, fmt.Errorf("shape %v has more than %d values", s, maxElements)
	}
	t.elem, t.shape = p.elem, s
	switch {
	case p.elem == elemString:
		t.text = p.text
		if len(t.text) != want {
			return nil, fmt.Errorf("shape %v wants %d strings, the file holds %d", s, want, len(t.text))
		}
		return t, nil
	case p.hasRaw:
		width := p.elem.width()
		if len(p.raw) != want*width {
			return nil, fmt.Errorf("shape %v of %s wants %d bytes, the file holds %d", s, p.elem, want*width, len(p.raw))
		}
		t.num = make([]float64, want)
		for i := range t.num {
			t.num[i] = p.elem.decode(p.raw[i*width:])
		}
	case len(p.floats) > 0:
		t.num = p.floats
	default:
		t.num = make([]float64, len(p.ints))
		for i, v := range p.ints {
			t.num[i] = p.elem.ofInt(v)
		}
	}
	if len(t.num) != want {
		return nil, fmt.Errorf("shape %v wants %d values, the file holds %d", s, want, len(t.num))
	}
	return t, nil
}
