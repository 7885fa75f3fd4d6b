package model

import (
	"fmt"
	"math"
)

// Operators with graphs inside, and the distances that nearest neighbours are exported with.

var controlOperators = map[string]builder{
	"If":                  buildIf,
	"Scan":                buildScan,
	"com.microsoft.CDist": buildCDist,
}

// inner compiles a graph inside a node, whose nodes may use the values around it.
func (c *compiler) inner(g *graphProto) (*program, error) {
	if g == nil {
		return nil, fmt.Errorf("its graph is missing")
	}
	names := make([]string, len(g.outputs))
	for i, o := range g.outputs {
		names[i] = o.name
	}
	return compile(g, names, c.opsets, c)
}

// enter gives the machine of a graph inside a node, with the values it takes from around it in place.
func (m *machine) enter(p *program) *machine {
	if m.nested == nil {
		m.nested = map[*program]*machine{}
	}
	in := m.nested[p]
	if in == nil {
		in = newMachine(p)
		m.nested[p] = in
	}
	for _, c := range p.captured {
		in.slots[c.inner] = m.slots[c.outer]
	}
	return in
}

func buildIf(c *compiler, n *nodeProto, a *attributes) (kernel, error) {
	yes, err := c.inner(a.graph("then_branch"))
	if err != nil {
		return nil, err
	}
	no, err := c.inner(a.graph("else_branch"))
	if err != nil {
		return nil, err
	}
	if len(yes.outputs) != len(n.outputs) || len(no.outputs) != len(n.outputs) || len(yes.inputs)+len(no.inputs) > 0 {
		return nil, fmt.Errorf("its branches do not have its %d outputs", len(n.outputs))
	}
	return func(m *machine, in, out []*tensor) error {
		cond, err := numeric(in, 0)
		if err != nil {
			return err
		}
		if len(cond.num) != 1 {
			return fmt.Errorf("a condition of shape %v", cond.shape)
		}
		branch := no
		if cond.num[0] != 0 {
			branch = yes
		}
		body := m.enter(branch)
		if err := body.run(); err != nil {
			return err
		}
		for i, slot := range branch.outputs {
			out[i].alias(&body.slots[slot], body.slots[slot].shape)
		}
		return nil
	}, nil
}

// buildScan runs a graph once a row of its scanned inputs; what the graph calls states goes from one run to the next,
// the other results are collected row by row.
func buildScan(c *compiler, n *nodeProto, a *attributes) (kernel, error) {
	body, err := c.inner(a.graph("body"))
	if err != nil {
		return nil, err
	}
	scanned := int(a.int("num_scan_inputs", 0))
	for _, name := range []string{"scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions"} {
		for _, v := range a.ints(name) {
			if v != 0 {
				return nil, fmt.Errorf("%w: %s other than 0", ErrUnsupported, name)
			}
		}
	}
	states := len(n.inputs) - scanned
	if scanned < 1 || states < 0 || len(body.inputs) != len(n.inputs) || len(body.outputs) != len(n.outputs) || states > len(n.outputs) {
		return nil, fmt.Errorf("its graph has %d inputs and %d outputs, the node %d and %d, %d of them scanned",
			len(body.inputs), len(body.outputs), len(n.inputs), len(n.outputs), scanned)
	}
	return func(m *machine, in, out []*tensor) error {
		rows := -1
		for i := states; i < len(in); i++ {
			x, err := present(in, i)
			if err != nil {
				return err
			}
			if x.shape.rank == 0 || rows >= 0 && x.shape.dims[0] != rows {
				return fmt.Errorf("scanned inputs of %d rows and of shape %v", rows, x.shape)
			}
			rows = x.shape.dims[0]
		}
		run := m.enter(body)
		held := make([]tensor, states)
		for i := range held {
			x, err := present(in, i)
			if err != nil {
				return err
			}
			held[i] = *x
		}
		for r := range rows {
			for i := range held {
				run.slots[body.inSlots[i]] = held[i]
			}
			for i := states; i < len(in); i++ {
				rowOf(&run.slots[body.inSlots[i]], in[i], r)
			}
			if err := run.run(); err != nil {
				return err
			}
			for i, slot := range body.outputs {
				if err := collectScan(&run.slots[slot], out, held, i, r, rows); err != nil {
					return err
				}
			}
		}
		for i := range held {
			out[i].alias(&held[i], held[i].shape)
		}
		return nil
	}, nil
}

// rowOf makes t the r-th row of x, sharing its memory.
func rowOf(t, x *tensor, r int) {
	s := shapeOf(x.shape.dims[1:x.shape.rank]...)
	n, _ := s.size()
	t.alias(x, s)
	if x.isText() {
		t.text = x.text[r*n : (r+1)*n]
	} else {
		t.num = x.num[r*n : (r+1)*n]
	}
}

// collectScan keeps result i of run r: a state for the next run, or a row of the output.
func collectScan(y *tensor, out []*tensor, held []tensor, i, r, rows int) error {
	if i < len(held) {
		held[i] = tensor{}
		if err := resetLike(&held[i], y, y.shape); err != nil {
			return err
		}
		copyValues(&held[i], 0, y, 0, y.len())
		return nil
	}
	if y.shape.rank == maxDims {
		return fmt.Errorf("shape %v has too many dimensions", y.shape)
	}
	s := shapeOf(rows)
	for _, d := range y.shape.dims[:y.shape.rank] {
		s = s.with(d)
	}
	if r == 0 {
		if err := resetLike(out[i], y, s); err != nil {
			return err
		}
	}
	if out[i].shape != s || out[i].isText() != y.isText() {
		return fmt.Errorf("its run %d gives shape %v after shapes that make %v", r+1, y.shape, out[i].shape)
	}
	copyValues(out[i], r*y.len(), y, 0, y.len())
	return nil
}

// buildCDist is the distance of each row of one matrix to each of another.
func buildCDist(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	metric := a.string("metric", "sqeuclidean")
	if metric != "euclidean" && metric != "sqeuclidean" {
		return nil, fmt.Errorf("%w: metric %q", ErrUnsupported, metric)
	}
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		y, err := numeric(in, 1)
		if err != nil {
			return err
		}
		if x.shape.rank != 2 || y.shape.rank != 2 || x.shape.dims[1] != y.shape.dims[1] {
			return fmt.Errorf("distances between shapes %v and %v", x.shape, y.shape)
		}
		n, m, k := x.shape.dims[0], y.shape.dims[0], x.shape.dims[1]
		if err := out[0].reset(x.elem, shapeOf(n, m)); err != nil {
			return err
		}
		for i := range n {
			for j := range m {
				sum := 0.0
				for l := range k {
					d := x.num[i*k+l] - y.num[j*k+l]
					sum += d * d
				}
				if metric == "euclidean" {
					sum = math.Sqrt(sum)
				}
				out[0].num[i*m+j] = sum
			}
		}
		return nil
	}, nil
}
