package model

import (
	"fmt"
	"math"
)

var matrixOperators = map[string]builder{
	"BatchNormalization": buildBatchNormalization,
	"Gemm":               buildGemm,
	"LpNormalization":    buildLpNormalization,
	"MatMul":             buildMatMul,
}

// buildMatMul multiplies matrices, a vector taken as a row on the left and a column on the right; leading dimensions
// broadcast.
func buildMatMul(*compiler, *nodeProto, *attributes) (kernel, error) {
	return func(_ *machine, in, out []*tensor) error {
		a, err := numeric(in, 0)
		if err != nil {
			return err
		}
		b, err := numeric(in, 1)
		if err != nil {
			return err
		}
		if a.shape.rank == 0 || b.shape.rank == 0 {
			return fmt.Errorf("shapes %v and %v cannot be multiplied", a.shape, b.shape)
		}
		as, bs := a.shape, b.shape
		if as.rank == 1 {
			as = shapeOf(1, as.dims[0])
		}
		if bs.rank == 1 {
			bs = shapeOf(bs.dims[0], 1)
		}
		n, k, m := as.dims[as.rank-2], as.dims[as.rank-1], bs.dims[bs.rank-1]
		if bs.dims[bs.rank-2] != k {
			return fmt.Errorf("shapes %v and %v cannot be multiplied", a.shape, b.shape)
		}
		al, bl := shapeOf(as.dims[:as.rank-2]...), shapeOf(bs.dims[:bs.rank-2]...)
		lead, err := broadcast(al, bl)
		if err != nil {
			return err
		}
		if lead.rank+2 > maxDims {
			return fmt.Errorf("shapes %v and %v have too many dimensions", a.shape, b.shape)
		}
		result := lead
		if a.shape.rank > 1 {
			result = result.with(n)
		}
		if b.shape.rank > 1 {
			result = result.with(m)
		}
		if err := out[0].reset(a.elem, result); err != nil {
			return err
		}
		count, _ := lead.size()
		// One more dimension of size 1 makes the walk stop at every leading position.
		w := newWalk(lead.with(1), al.with(1), bl.with(1))
		for i := range count {
			product(out[0].num[i*n*m:(i+1)*n*m], a.num[w.at[0]*n*k:], b.num[w.at[1]*k*m:], n, k, m)
			w.next()
		}
		return nil
	}, nil
}

// product is y[n,m] = a[n,k] · b[k,m].
func product(y, a, b []float64, n, k, m int) {
	for i := range n {
		row := y[i*m : (i+1)*m]
		clear(row)
		for j, v := range a[i*k : (i+1)*k] {
			for l, w := range b[j*m : (j+1)*m] {
				row[l] += v * w
			}
		}
	}
}

func buildGemm(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	alpha, beta := a.float("alpha", 1), a.float("beta", 1)
	transA, transB := a.int("transA", 0) != 0, a.int("transB", 0) != 0
	a.ignore("broadcast")
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		y, err := numeric(in, 1)
		if err != nil {
			return err
		}
		if x.shape.rank != 2 || y.shape.rank != 2 {
			return fmt.Errorf("expected matrices, found shapes %v and %v", x.shape, y.shape)
		}
		n, k := x.shape.dims[0], x.shape.dims[1]
		ai, aj := k, 1
		if transA {
			n, k, ai, aj = k, n, 1, k
		}
		k2, m := y.shape.dims[0], y.shape.dims[1]
		bi, bj := m, 1
		if transB {
			k2, m, bi, bj = m, k2, 1, m
		}
		if k != k2 {
			return fmt.Errorf("shapes %v and %v cannot be multiplied", x.shape, y.shape)
		}
		if err := out[0].reset(x.elem, shapeOf(n, m)); err != nil {
			return err
		}
		for i := range n {
			for j := range m {
				sum := 0.0
				for l := range k {
					sum += x.num[i*ai+l*aj] * y.num[l*bi+j*bj]
				}
				out[0].num[i*m+j] = alpha * sum
			}
		}
		c := optional(in, 2)
		if c == nil {
			return nil
		}
		s, err := broadcast(out[0].shape, c.shape)
		if err != nil || s != out[0].shape || c.isText() {
			return fmt.Errorf("its addend of shape %v does not fit the product of shape %v", c.shape, out[0].shape)
		}
		w := newWalk(s, c.shape)
		for o := 0; o < len(out[0].num); o += w.inner {
			for l := range w.inner {
				out[0].num[o+l] += beta * c.num[w.at[0]+l*w.step[0]]
			}
			w.next()
		}
		return nil
	}, nil
}

// buildLpNormalization divides by the norm along an axis; what has the norm 0 stays 0.
func buildLpNormalization(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	axis, p := a.int("axis", -1), a.int("p", 2)
	if p != 1 && p != 2 {
		return nil, fmt.Errorf("%w: p of %d", ErrUnsupported, p)
	}
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		at, err := x.shape.axis(axis)
		if err != nil {
			return err
		}
		if err := out[0].reset(x.elem, x.shape); err != nil {
			return err
		}
		before, size, after := x.shape.around(at)
		for b := range before {
			for c := range after {
				first, norm := b*size*after+c, 0.0
				for k := range size {
					v := math.Abs(x.num[first+k*after])
					if p == 2 {
						v *= v
					}
					norm += v
				}
				if p == 2 {
					norm = math.Sqrt(norm)
				}
				if norm == 0 {
					norm = 1
				}
				for k := range size {
					out[0].num[first+k*after] = x.num[first+k*after] / norm
				}
			}
		}
		return nil
	}, nil
}

// buildBatchNormalization scales each channel, dimension 1, by statistics of the training.
func buildBatchNormalization(_ *compiler, n *nodeProto, a *attributes) (kernel, error) {
	epsilon := a.float("epsilon", 1e-5)
	a.ignore("momentum", "spatial")
	if a.int("training_mode", 0) != 0 || len(n.outputs) > 1 {
		return nil, fmt.Errorf("%w: BatchNormalization as in training", ErrUnsupported)
	}
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		if x.shape.rank < 2 {
			return fmt.Errorf("expected rows of channels, found shape %v", x.shape)
		}
		before, channels, after := x.shape.around(1)
		var p [5][]float64 // scale, bias, mean, variance from 1 on
		for i := 1; i < len(p); i++ {
			t, err := numeric(in, i)
			if err != nil {
				return err
			}
			if p[i] = t.num; len(t.num) != channels {
				return fmt.Errorf("expected %d channels, found %d", len(t.num), channels)
			}
		}
		if err := out[0].reset(x.elem, x.shape); err != nil {
			return err
		}
		for b := range before {
			for c := range channels {
				scale := p[1][c] / math.Sqrt(p[4][c]+epsilon)
				for k := range after {
					i := (b*channels+c)*after + k
					out[0].num[i] = (x.num[i]-p[3][c])*scale + p[2][c]
				}
			}
		}
		return nil
	}, nil
}
