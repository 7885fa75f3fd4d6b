package model

import (
	"fmt"
	"maps"
)

func init() {
	operators = map[string]builder{}
	for _, family := range []map[string]builder{unaryOperators, binaryOperators, reduceOperators, matrixOperators, shapeOperators,
		indexOperators, castOperators, makeOperators, mlOperators,
		encodeOperators, treeOperators, svmOperators, controlOperators} {
		maps.Copy(operators, family)
	}
}

// scratch is memory that kernels of one machine share within one call.
type scratch struct {
	numbers []float64
	block   keyBlock
}

// take gives n numbers of scratch memory, holding anything.
func (s *scratch) take(n int) []float64 {
	if cap(s.numbers) < n {
		s.numbers = make([]float64, n)
	}
	return s.numbers[:n]
}

// numeric checks that a kernel's input is there and holds numbers.
func numeric(in []*tensor, i int) (*tensor, error) {
	if i >= len(in) || in[i] == nil {
		return nil, fmt.Errorf("its input %d is missing", i+1)
	}
	if in[i].isText() {
		return nil, fmt.Errorf("its input %d: expected numbers, found strings", i+1)
	}
	return in[i], nil
}

// present gives an input of any type.
func present(in []*tensor, i int) (*tensor, error) {
	if i >= len(in) || in[i] == nil {
		return nil, fmt.Errorf("its input %d is missing", i+1)
	}
	return in[i], nil
}

// optional is an input that may be left out.
func optional(in []*tensor, i int) *tensor {
	if i >= len(in) {
		return nil
	}
	return in[i]
}
