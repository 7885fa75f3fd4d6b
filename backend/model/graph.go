package model

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// program is a graph made ready to run: values are numbered slots, and only the nodes that the wanted output needs
// are kept. It is immutable; every scorer runs it on a machine of its own.
type program struct {
	inputs    []valueProto
	inSlots   []int
	constants []constant
	captured  []capture // for a graph inside a node: values of the graph around it
	steps     []step
	outputs   []int
	slots     int
}

type constant struct {
	slot  int
	value *tensor
}

type capture struct{ outer, inner int }

type step struct {
	op      string // for errors: Scaler "name"
	node    *nodeProto
	run     kernel
	inputs  []int // slot, or -1 for an optional input left out
	outputs []int
}

// kernel computes a node's outputs. It never writes to its inputs, whose memory may be shared.
type kernel func(m *machine, in, out []*tensor) error

// machine is the memory one goroutine runs a program in: buffers live as long as it and are used again by every batch.
type machine struct {
	program *program
	slots   []tensor
	in, out [][]*tensor
	bad     []bool                // rows of the batch that the model cannot score, marked by kernels
	nested  map[*program]*machine // machines of graphs inside nodes
	scratch scratch
}

func newMachine(p *program) *machine {
	m := &machine{program: p, slots: make([]tensor, p.slots)}
	for _, c := range p.constants {
		m.slots[c.slot] = *c.value
	}
	m.in, m.out = make([][]*tensor, len(p.steps)), make([][]*tensor, len(p.steps))
	for i := range p.steps {
		m.in[i], m.out[i] = m.pick(p.steps[i].inputs), m.pick(p.steps[i].outputs)
	}
	return m
}

func (m *machine) pick(slots []int) []*tensor {
	picked := make([]*tensor, len(slots))
	for i, s := range slots {
		if s >= 0 {
			picked[i] = &m.slots[s]
		}
	}
	return picked
}

// maxHeld bounds the values of all tensors of one machine together: 512 MiB of numbers.
const maxHeld = 1 << 26

// run computes the outputs from what the input slots hold.
func (m *machine) run() error {
	held := 0
	for i := range m.program.steps {
		s := &m.program.steps[i]
		if err := s.run(m, m.in[i], m.out[i]); err != nil {
			return fmt.Errorf("%s: %w", s.op, err)
		}
		for _, out := range m.out[i] {
			held += out.len()
		}
		if held > maxHeld {
			return fmt.Errorf("%s: the values of the graph come to more than %d", s.op, maxHeld)
		}
	}
	return nil
}

// markBad says that a row cannot be scored, as a category the encoder never saw.
func (m *machine) markBad(row int) {
	if row < len(m.bad) {
		m.bad[row] = true
	}
}

// compiler turns a graphProto into a program.
type compiler struct {
	opsets  map[string]int64
	parent  *compiler
	names   map[string]int // of this graph's values, to slots
	known   map[int]*tensor
	program *program
	depth   int
	folded  int // values computed at load
}

// opset is the version of the operator set the model was written for.
func (c *compiler) opset(domain string) int64 { return c.opsets[domain] }

func (c *compiler) newSlot() int {
	c.program.slots++
	return c.program.slots - 1
}

func (c *compiler) define(name string) int {
	slot := c.newSlot()
	c.names[name] = slot
	return slot
}

// resolve finds the slot of a value, in this graph or captured from one around it; -1 if it is nowhere.
func (c *compiler) resolve(name string) int {
	if slot, ok := c.names[name]; ok {
		return slot
	}
	if c.parent == nil {
		return -1
	}
	outer := c.parent.resolve(name)
	if outer < 0 {
		return -1
	}
	slot := c.define(name)
	if value := c.parent.known[outer]; value != nil {
		c.setConstant(slot, value)
	} else {
		c.program.captured = append(c.program.captured, capture{outer, slot})
	}
	return slot
}

func (c *compiler) setConstant(slot int, value *tensor) {
	c.known[slot] = value
	c.program.constants = append(c.program.constants, constant{slot, value})
}

// compile makes a program that computes the named outputs of a graph.
func compile(g *graphProto, outputs []string, opsets map[string]int64, parent *compiler) (*program, error) {
	c := &compiler{opsets: opsets, parent: parent, names: map[string]int{}, known: map[int]*tensor{}, program: &program{}}
	if parent != nil {
		if c.depth = parent.depth + 1; c.depth > maxGraphDepth {
			return nil, fmt.Errorf("graphs are nested more than %d deep", maxGraphDepth)
		}
	}
	initial := map[string]*tensor{}
	for i, t := range g.initializers {
		initial[g.initNames[i]] = t
	}
	for _, in := range g.inputs {
		if initial[in.name] != nil {
			continue // before IR version 4 every initializer is listed as an input
		}
		c.program.inputs = append(c.program.inputs, in)
		c.program.inSlots = append(c.program.inSlots, c.define(in.name))
	}
	live, err := liveNodes(g, outputs)
	if err != nil {
		return nil, err
	}
	if err := refuseUnknown(g, live); err != nil {
		return nil, err
	}
	for i, t := range g.initializers {
		c.setConstant(c.define(g.initNames[i]), t)
	}
	for i := range g.nodes {
		if live[i] {
			if err := c.add(&g.nodes[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", g.nodes[i].title(), err)
			}
		}
	}
	for _, name := range outputs {
		slot := c.resolve(name)
		if slot < 0 {
			return nil, fmt.Errorf("no node computes the output %q", name)
		}
		c.program.outputs = append(c.program.outputs, slot)
	}
	return c.program, nil
}

// liveNodes marks the nodes that the outputs depend on.
func liveNodes(g *graphProto, outputs []string) ([]bool, error) {
	maker := map[string]int{}
	for i := range g.nodes {
		for _, name := range g.nodes[i].outputs {
			if name == "" {
				continue
			}
			if _, twice := maker[name]; twice {
				return nil, fmt.Errorf("two nodes compute the value %q", name)
			}
			maker[name] = i
		}
	}
	live := make([]bool, len(g.nodes))
	todo := slices.Clone(outputs)
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		i, ok := maker[name]
		if !ok || live[i] {
			continue
		}
		live[i] = true
		todo = append(todo, g.nodes[i].inputs...)
		for _, a := range g.nodes[i].attributes {
			if a.g != nil {
				todo = append(todo, freeNames(a.g)...)
			}
		}
	}
	return live, nil
}

// freeNames are the names a graph inside a node mentions; those it defines itself do no harm.
func freeNames(g *graphProto) []string {
	var names []string
	for _, o := range g.outputs {
		names = append(names, o.name)
	}
	for i := range g.nodes {
		names = append(names, g.nodes[i].inputs...)
		for _, a := range g.nodes[i].attributes {
			if a.g != nil {
				names = append(names, freeNames(a.g)...)
			}
		}
	}
	return names
}

// refuseUnknown names every operator that would be needed and is not known, all at once.
func refuseUnknown(g *graphProto, live []bool) error {
	var unknown []string
	for i := range g.nodes {
		if !live[i] {
			continue
		}
		if name := g.nodes[i].operator(); operators[name] == nil && !slices.Contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	sort.Strings(unknown)
	return fmt.Errorf("%w: %s; supported are %s", ErrUnsupported, strings.Join(unknown, ", "),
		strings.Join(SupportedOperators(), ", "))
}

// add compiles one node, or computes it at once if everything it needs is known.
func (c *compiler) add(n *nodeProto) error {
	s := step{op: n.title(), node: n}
	folds := true
	for _, name := range n.inputs {
		if name == "" {
			s.inputs = append(s.inputs, -1)
			continue
		}
		slot := c.resolve(name)
		if slot < 0 {
			return fmt.Errorf("its input %q is computed by no earlier node", name)
		}
		s.inputs = append(s.inputs, slot)
		folds = folds && c.known[slot] != nil
	}
	for _, a := range n.attributes {
		folds = folds && a.g == nil
	}
	run, err := build(c, n)
	if err != nil {
		return err
	}
	s.run = run
	for _, name := range n.outputs {
		if c.resolve(name) >= 0 && name != "" {
			return fmt.Errorf("its output %q is computed twice", name)
		}
		s.outputs = append(s.outputs, c.define(name))
	}
	if folds {
		return c.fold(&s)
	}
	c.program.steps = append(c.program.steps, s)
	return nil
}

func (c *compiler) fold(s *step) error {
	var in, out []*tensor
	for _, slot := range s.inputs {
		in = append(in, c.known[slot])
		if slot < 0 {
			in[len(in)-1] = nil
		}
	}
	for range s.outputs {
		out = append(out, &tensor{})
	}
	if err := s.run(&machine{}, in, out); err != nil {
		return err
	}
	for i, slot := range s.outputs {
		c.setConstant(slot, out[i])
		c.folded += out[i].len()
	}
	if c.folded > maxElements {
		return fmt.Errorf("the constants of the graph come to more than %d values", maxElements)
	}
	return nil
}

// operator is the node's operator as the registry lists it: default-domain operators by their bare name.
func (n *nodeProto) operator() string {
	if n.domain == "" || n.domain == mlDomain && operators[n.op] != nil {
		return n.op
	}
	if n.domain == mlDomain {
		return mlDomain + "." + n.op
	}
	return n.domain + "." + n.op
}

func (n *nodeProto) title() string {
	if n.name == "" {
		return n.op
	}
	return fmt.Sprintf("%s %q", n.op, n.name)
}

const mlDomain = "ai.onnx.ml"

// ErrUnsupported is wrapped by the error of a model that needs an operator or a feature weir does not evaluate.
var ErrUnsupported = errors.New("operator not supported")

// builder reads a node's attributes and returns what computes it.
type builder func(c *compiler, n *nodeProto, a *attributes) (kernel, error)

// operators is every operator weir evaluates, by the name SupportedOperators lists.
var operators map[string]builder

// SupportedOperators lists the operators a model may use, sorted; those of domain ai.onnx and ai.onnx.ml by their bare
// names.
func SupportedOperators() []string {
	names := make([]string, 0, len(operators))
	for name := range operators {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func build(c *compiler, n *nodeProto) (kernel, error) {
	a := &attributes{node: n, read: make([]bool, len(n.attributes))}
	run, err := operators[n.operator()](c, n, a)
	if err != nil {
		return nil, err
	}
	return run, a.finish()
}

// attributes reads a node's attributes and remembers which were read: one that nobody read could change what the
// operator means, so it is an error.
type attributes struct {
	node *nodeProto
	read []bool
	err  error
}

func (a *attributes) find(name string) *attributeProto {
	for i := range a.node.attributes {
		if a.node.attributes[i].name == name {
			a.read[i] = true
			return &a.node.attributes[i]
		}
	}
	return nil
}

func (a *attributes) has(name string) bool { return a.find(name) != nil }

func (a *attributes) int(name string, otherwise int64) int64 {
	if p := a.find(name); p != nil {
		return p.i
	}
	return otherwise
}

func (a *attributes) float(name string, otherwise float64) float64 {
	if p := a.find(name); p != nil {
		return p.f
	}
	return otherwise
}

func (a *attributes) string(name, otherwise string) string {
	if p := a.find(name); p != nil {
		return p.s
	}
	return otherwise
}

func (a *attributes) floats(name string) []float64 {
	if p := a.find(name); p != nil {
		return p.floats
	}
	return nil
}

func (a *attributes) ints(name string) []int64 {
	if p := a.find(name); p != nil {
		return p.ints
	}
	return nil
}

func (a *attributes) strings(name string) []string {
	if p := a.find(name); p != nil {
		return p.strings
	}
	return nil
}

func (a *attributes) tensor(name string) *tensor {
	if p := a.find(name); p != nil {
		return p.t
	}
	return nil
}

func (a *attributes) graph(name string) *graphProto {
	if p := a.find(name); p != nil {
		return p.g
	}
	return nil
}

// ignore names attributes that do not change the result.
func (a *attributes) ignore(names ...string) {
	for _, name := range names {
		a.find(name)
	}
}

func (a *attributes) finish() error {
	if a.err != nil {
		return a.err
	}
	for i, read := range a.read {
		if !read {
			return fmt.Errorf("%w: its attribute %q", ErrUnsupported, a.node.attributes[i].name)
		}
	}
	return nil
}
