package model

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
)

// maxModelBytes bounds a model file.
const maxModelBytes = 256 << 20

// rowsAtOnce is how many rows run through the graph together: enough to spread the cost of a node over, few enough
// for the values between nodes to stay in the processor's cache.
const rowsAtOnce = 256

// ErrNotONNX is wrapped by the error of a file that is no ONNX model, or only part of one.
var ErrNotONNX = errors.New("not an ONNX model")

// LoadONNX reads a classifier exported to ONNX (by skl2onnx, onnxmltools or alike) and makes it ready to score. Of two
// classes the second is the positive one, as in predict_proba(...)[:, 1]; a regressor's value is passed on as it is. The
// error says what was expected of the file and what was found; it wraps ErrNotONNX for a file that is no whole ONNX
// model, ErrUnsupported for one that needs operators weir does not evaluate, and ErrSamples for one that contradicts
// the samples it brings along.
func LoadONNX(path string) (Model, error) {
	data, _, err := readModelFile(path)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", path, err)
	}
	return modelOf(path, data)
}

// modelOf makes a model of what was read from path.
func modelOf(path string, data []byte) (Model, error) {
	m, err := parseONNX(data)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", path, err)
	}
	m.description.Source = path
	m.description.Fingerprint = fingerprint(data)
	m.description.Revision = m.description.Fingerprint[:8]
	return m, nil
}

// fingerprint is the SHA-256 of a model file, in hexadecimal digits.
func fingerprint(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// readModelFile also gives the file's status after it was read.
func readModelFile(path string) ([]byte, fs.FileInfo, error) {
	info, err := os.Stat(path) // before it is opened: to open a pipe may take for ever
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%w: expected a file, found %s", ErrNotONNX, kindOfFile(info.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxModelBytes+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > maxModelBytes {
		return nil, nil, fmt.Errorf("expected at most %d MiB, found more", maxModelBytes>>20)
	}
	info, err = f.Stat()
	return data, info, err
}

func kindOfFile(mode fs.FileMode) string {
	if mode.IsDir() {
		return "a directory"
	}
	return "a pipe or a device"
}

// onnxModel is a loaded model: a program from the graph's inputs to its probabilities.
type onnxModel struct {
	program     *program
	classes     int // where each has an output of its own, else 0
	description Description
	features    []string // in the order of the one wide input; nil if the file does not tell
	linear      *linear  // the same in one pass, if the model is linear
}

func parseONNX(data []byte) (*onnxModel, error) {
	proto, err := readModel(data)
	if err != nil {
		return nil, fmt.Errorf("%w: expected a protobuf ModelProto, found %s (%w)", ErrNotONNX, sniff(data), err)
	}
	if proto.graph == nil || len(proto.graph.outputs) == 0 {
		return nil, fmt.Errorf("%w: expected a protobuf ModelProto with a graph and its outputs, found %s", ErrNotONNX, sniff(data))
	}
	if len(proto.opsets) == 0 {
		return nil, fmt.Errorf("%w: expected the versions of its operator sets (opset_import), found none: it is only part of a model", ErrNotONNX)
	}
	if proto.functions > 0 {
		return nil, fmt.Errorf("%w: model-local functions; export the model without them", ErrUnsupported)
	}
	output, classes, err := chooseOutput(proto.graph)
	if err != nil {
		return nil, err
	}
	p, err := compile(proto.graph, []string{output}, proto.opsets, nil)
	if err != nil {
		return nil, err
	}
	m := &onnxModel{program: p, classes: classes, linear: fuse(p)}
	if m.description, err = describe(proto, p); err != nil {
		return nil, err
	}
	for _, in := range p.inputs {
		if in.kind != tensorValue || !in.elem.supported() {
			return nil, fmt.Errorf("%w: the input %q is not a tensor of numbers or strings", ErrUnsupported, in.name)
		}
	}
	if text := proto.metadata[FeaturesKey]; text != "" && len(p.inputs) == 1 {
		for _, name := range strings.Split(text, ",") {
			m.features = append(m.features, strings.TrimSpace(name))
		}
	}
	if text, ok := proto.metadata[SamplesKey]; ok {
		return m, m.checkSamples(text)
	}
	return m, nil
}

// sniff says what a file looks like, for people who gave the wrong one.
func sniff(data []byte) string {
	size := fmt.Sprintf("%d bytes", len(data))
	switch {
	case len(data) == 0:
		return "an empty file"
	case data[0] == 0x80 && len(data) > 1 && data[1] >= 2 && data[1] <= 5:
		return size + " of a Python pickle (joblib); convert it with examples/joblib_to_onnx.py"
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return size + " of a zip archive"
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		return size + " of gzip data"
	case bytes.HasPrefix(data, []byte("version https://git-lfs")):
		return "a Git LFS pointer; fetch the file itself with git lfs pull"
	}
	head := data[:min(16, len(data))]
	return fmt.Sprintf("%s that begin %q", size, head)
}

// ErrClasses is wrapped by the error of a model that tells more than two classes apart: which one is to be predicted?
var ErrClasses = errors.New("the model tells more than two classes apart")

func tooManyClasses(classes int) error {
	return fmt.Errorf("%w: expected 2, found %d; train it on one class against the rest (y == the class to predict)", ErrClasses, classes)
}

// chooseOutput finds the graph's probabilities: an output that says so by its name or is a list of maps (ZipMap), else
// the last that could be one. A classifier's other output is the label. Where each class has an output of its own
// (zipmap="columns"), it is the second class's, and classes is how many there are; else 0.
func chooseOutput(g *graphProto) (output string, classes int, err error) {
	best, bestRank := "", -1
	var labels, columns []string
	for _, o := range g.outputs {
		rank := outputRank(o)
		if rank < 0 {
			labels = append(labels, o.name)
			continue
		}
		if rank == 1 && o.kind == tensorValue && o.width() == 1 {
			columns = append(columns, o.name)
		}
		if rank > bestRank {
			best, bestRank = o.name, rank
		}
	}
	switch {
	case bestRank < 0:
		return "", 0, fmt.Errorf("expected an output with probabilities, found only labels (%s); export the model with its probabilities",
			strings.Join(labels, ", "))
	case bestRank == 1 && len(columns) > 1:
		return columns[1], len(columns), nil
	}
	return best, 0, nil
}

// outputRank tells how likely an output holds the probabilities; below 0 it cannot.
func outputRank(o valueProto) int {
	name := strings.ToLower(o.name)
	switch {
	case o.kind == sequenceValue:
		return 3
	case o.kind != tensorValue, !o.elem.isFloat() && o.elem != elemNone:
		return -1
	case strings.Contains(name, "proba"):
		return 4
	case strings.Contains(name, "score"):
		return 2
	case strings.Contains(name, "label"):
		return 0
	}
	return 1
}

func describe(proto *modelProto, p *program) (Description, error) {
	d := Description{Kind: p.decides(), Producer: strings.TrimSpace(proto.producer + " " + proto.producerVersion)}
	for _, in := range p.inputs {
		d.Inputs = append(d.Inputs, Input{Name: in.name, Type: in.elem.String(), Width: in.width(), IsText: in.elem == elemString})
	}
	return d, d.read(proto.metadata)
}

// decides names the operator that makes the decision: the last model operator, else the last operator.
func (p *program) decides() string {
	kind := "constant"
	for i, s := range p.steps {
		op, _, _ := strings.Cut(s.op, " ")
		isModel := strings.HasPrefix(op, "Linear") || strings.HasPrefix(op, "TreeEnsemble") || strings.HasPrefix(op, "SVM")
		if isModel {
			return op
		}
		if i == 0 || op == "MatMul" || op == "Gemm" || op == "Scan" {
			kind = op
		}
	}
	return kind
}

// width is the columns of an input, 0 if the file leaves them open.
func (v valueProto) width() int {
	if !v.ranked {
		return 0
	}
	if len(v.shape) < 2 {
		return 1
	}
	n := 1
	for _, d := range v.shape[1:] {
		if d < 1 || n > maxElements {
			return 0
		}
		n *= d
	}
	return n
}

// Describe says what was loaded.
func (m *onnxModel) Describe() Description { return m.description }

// Bind maps the columns onto the model's inputs and rehearses a batch, so that a model that cannot score these
// columns is refused here and not on the first event.
func (m *onnxModel) Bind(columns []Column) (Scorer, error) {
	scorer, classes, err := m.bind(columns)
	if err == nil && classes > 2 {
		return nil, tooManyClasses(classes)
	}
	return scorer, err
}

// bind also tells how many classes the model gives probabilities of; 1 of a model that gives the positive class's only.
func (m *onnxModel) bind(columns []Column) (scorer Scorer, classes int, err error) {
	feeds, err := bindColumns(m.program.inputs, columns)
	if err != nil {
		return nil, 0, err
	}
	if len(feeds) == 1 {
		if err := reorder(&feeds[0], m.features, columns); err != nil {
			return nil, 0, err
		}
	}
	s := &onnxScorer{machine: newMachine(m.program), feeds: feeds, columns: len(columns)}
	for i := range feeds {
		feeds[i].slot = m.program.inSlots[i]
		s.wantsText = s.wantsText || feeds[i].elem == elemString
		s.wantsNumbers = s.wantsNumbers || feeds[i].elem != elemString
	}
	if err := s.rehearse(columns); err != nil {
		return nil, 0, fmt.Errorf("%w: the model (%s) fails on a trial batch of the columns %s: %w", ErrColumns,
			listInputs(m.program.inputs), listColumns(columns), err)
	}
	classes = max(m.classes, s.classes())
	if m.linear != nil {
		return m.linear.bind(feeds, len(columns)), classes, nil
	}
	return s, classes, nil
}

// onnxScorer runs the graph on chunks of a frame.
type onnxScorer struct {
	machine                 *machine
	feeds                   []feed
	columns                 int
	wantsNumbers, wantsText bool
	bad                     [rowsAtOnce]bool
}

// feed says which columns of a frame make up one input.
type feed struct {
	slot    int
	elem    elemType
	columns []int
	flat    bool // the input is [N], not [N, 1]
}

// Score runs every row through the graph. A row that the graph refuses becomes NaN.
func (s *onnxScorer) Score(ctx context.Context, frame *Frame, out []float64) error {
	if err := checkFrame(frame, s.columns, s.wantsNumbers, s.wantsText, out); err != nil {
		return err
	}
	for from := 0; from < frame.Rows; from += rowsAtOnce {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows := min(rowsAtOnce, frame.Rows-from)
		s.split(frame, from, rows, out[from:from+rows])
	}
	return nil
}

// split scores rows together or, if the graph refuses them, each half alone, down to the rows to blame: an index that a
// table does not have is refused whenever it is asked for, and the rows beside it are not to wait for it.
func (s *onnxScorer) split(frame *Frame, from, rows int, out []float64) {
	if err := s.chunk(frame, from, rows, out); err == nil {
		return
	}
	if rows == 1 {
		out[0] = math.NaN()
		return
	}
	half := rows / 2
	s.split(frame, from, half, out[:half])
	s.split(frame, from+half, rows-half, out[half:])
}

func checkFrame(frame *Frame, columns int, numbers, text bool, out []float64) error {
	if len(frame.Columns) != columns {
		return fmt.Errorf("expected a frame of %d columns, found %d: bind the model to these columns first", columns, len(frame.Columns))
	}
	cells := frame.Rows * columns
	if frame.Rows < 0 || numbers && len(frame.Numbers) < cells || text && len(frame.Strings) < cells {
		return fmt.Errorf("expected %d values in a frame of %d rows, found %d numbers and %d strings",
			cells, frame.Rows, len(frame.Numbers), len(frame.Strings))
	}
	if len(out) < frame.Rows {
		return fmt.Errorf("expected room for %d results, found %d", frame.Rows, len(out))
	}
	return nil
}

func (s *onnxScorer) chunk(frame *Frame, from, rows int, out []float64) error {
	s.machine.bad = s.bad[:rows]
	clear(s.machine.bad)
	for i := range s.feeds {
		if err := s.feeds[i].fill(s.machine, frame, from, rows); err != nil {
			return err
		}
	}
	if err := s.machine.run(); err != nil {
		return err
	}
	return s.result(rows, out)
}

// fill copies columns of a frame into an input of the graph. What an input of whole numbers cannot hold, a fraction or
// a missing value, makes the row one that cannot be scored.
func (f *feed) fill(m *machine, frame *Frame, from, rows int) error {
	t, s := &m.slots[f.slot], shapeOf(rows, len(f.columns))
	if f.flat {
		s = shapeOf(rows)
	}
	width := len(frame.Columns)
	if f.elem == elemString {
		if err := t.resetText(s); err != nil {
			return err
		}
		for r := range rows {
			row := frame.Strings[(from+r)*width : (from+r+1)*width]
			for i, c := range f.columns {
				t.text[r*len(f.columns)+i] = row[c]
			}
		}
		return nil
	}
	if err := t.reset(f.elem, s); err != nil {
		return err
	}
	for r := range rows {
		row := frame.Numbers[(from+r)*width : (from+r+1)*width]
		to := t.num[r*len(f.columns) : (r+1)*len(f.columns)]
		for i, c := range f.columns {
			to[i] = row[c]
		}
		if f.elem.isFloat() {
			continue
		}
		for i, v := range to {
			if v != math.Trunc(v) {
				to[i] = 0
				m.markBad(r)
			}
		}
	}
	return nil
}

// result takes the positive class's column: of [N, k] the second, of [N] and [N, 1] the only one.
func (s *onnxScorer) result(rows int, out []float64) error {
	t := &s.machine.slots[s.machine.program.outputs[0]]
	n, columns := t.shape.matrix()
	if t.shape.rank < 2 {
		n, columns = t.len(), 1
	}
	if t.isText() || n != rows || columns == 0 {
		return fmt.Errorf("expected an output of %d rows of probabilities, found %s of shape %v", rows, t.elem, t.shape)
	}
	at := min(1, columns-1)
	for r := range rows {
		out[r] = t.num[r*columns+at]
		if s.machine.bad[r] {
			out[r] = math.NaN()
		}
	}
	return nil
}

// classes is how many columns the last chunk's output had.
func (s *onnxScorer) classes() int {
	t := &s.machine.slots[s.machine.program.outputs[0]]
	if t.shape.rank < 2 {
		return 1
	}
	_, columns := t.shape.matrix()
	return columns
}

// rehearse scores two rows of zeros and empty strings.
func (s *onnxScorer) rehearse(columns []Column) error {
	const rows = 2
	frame := &Frame{Columns: columns, Rows: rows, Numbers: make([]float64, rows*len(columns)), Strings: make([]string, rows*len(columns))}
	var out [rows]float64
	return s.chunk(frame, 0, rows, out[:])
}
