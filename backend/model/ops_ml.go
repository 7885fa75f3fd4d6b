package model

import (
	"fmt"
	"math"
)

// Operators of the domain ai.onnx.ml, but for trees, support vectors and encoders, which have files of their own.

var mlOperators = map[string]builder{
	"LinearClassifier": buildLinearClassifier,
	"LinearRegressor":  buildLinearRegressor,
	"Scaler":           buildScaler,
	"Normalizer":       buildNormalizer,
	"Binarizer":        buildBinarizer,
	"ZipMap":           buildZipMap,
}

// buildZipMap passes the probabilities on as they are: the maps it would make only put the labels beside them.
func buildZipMap(c *compiler, n *nodeProto, a *attributes) (kernel, error) {
	a.ignore("classlabels_int64s", "classlabels_strings")
	return buildIdentity(c, n, a)
}

// link is ONNX-ML's post_transform.
type link uint8

const (
	linkNone link = iota
	linkSoftmax
	linkLogistic
	linkSoftmaxZero
	linkProbit
)

var linkNames = map[string]link{"NONE": linkNone, "SOFTMAX": linkSoftmax, "LOGISTIC": linkLogistic,
	"SOFTMAX_ZERO": linkSoftmaxZero, "PROBIT": linkProbit}

func (a *attributes) link() link {
	text := a.string("post_transform", "NONE")
	l, ok := linkNames[text]
	if !ok && a.err == nil {
		a.err = fmt.Errorf("%w: post_transform %q", ErrUnsupported, text)
	}
	return l
}

// apply transforms the scores of one row in place.
func (l link) apply(row []float64) {
	switch l {
	case linkLogistic:
		for i, v := range row {
			row[i] = logistic(v)
		}
	case linkSoftmax:
		softmaxStrided(row, row, len(row), 1, false)
	case linkSoftmaxZero:
		softmaxZero(row)
	case linkProbit:
		for i, v := range row {
			row[i] = math.Sqrt2 * math.Erfinv(2*v-1)
		}
	}
}

// softmaxZero is a softmax in which a score of exactly zero stays zero.
func softmaxZero(row []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range row {
		top = math.Max(top, v)
	}
	for i, v := range row {
		if math.Abs(v) > 1e-7 {
			row[i] = math.Exp(v - top)
			sum += row[i]
		} else {
			row[i] = v * math.Exp(-top)
		}
	}
	if sum == 0 {
		return
	}
	for i := range row {
		row[i] /= sum
	}
}

// linearModel is coefficients of outputs × features, and intercepts.
type linearModel struct {
	weights    []float64
	intercepts []float64
	outputs    int
	link       link
}

// scores computes one row of scores a row of x.
func (l *linearModel) scores(x *tensor, y *tensor) error {
	rows, columns := x.shape.matrix()
	if want := len(l.weights) / l.outputs; columns != want {
		return fmt.Errorf("expected %d features, found %d", want, columns)
	}
	if err := y.reset(elemFloat, shapeOf(rows, l.outputs)); err != nil {
		return err
	}
	for r := range rows {
		features := x.num[r*columns : (r+1)*columns]
		for o := range l.outputs {
			sum := 0.0
			for i, w := range l.weights[o*columns : (o+1)*columns] {
				sum += w * features[i]
			}
			if len(l.intercepts) > 0 {
				sum += l.intercepts[o]
			}
			y.num[r*l.outputs+o] = sum
		}
	}
	return nil
}

func (l *linearModel) check() error {
	if l.outputs < 1 || len(l.weights) == 0 || len(l.weights)%l.outputs != 0 ||
		len(l.intercepts) != 0 && len(l.intercepts) != l.outputs {
		return fmt.Errorf("%d coefficients and %d intercepts make no linear model of %d outputs",
			len(l.weights), len(l.intercepts), l.outputs)
	}
	return nil
}

func buildLinearClassifier(_ *compiler, n *nodeProto, a *attributes) (kernel, error) {
	classes := max(len(a.ints("classlabels_ints")), len(a.strings("classlabels_strings")))
	l := &linearModel{weights: a.floats("coefficients"), intercepts: a.floats("intercepts"), link: a.link()}
	a.ignore("multi_class")
	if l.outputs = len(l.intercepts); l.outputs == 0 {
		l.outputs = max(1, classes)
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	if classes != l.outputs && (classes != 2 || l.outputs != 1) {
		return nil, fmt.Errorf("%d classes for %d linear functions", classes, l.outputs)
	}
	labels := newLabels(a.ints("classlabels_ints"), a.strings("classlabels_strings"))
	return func(m *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		y := scoresOf(n, out)
		if err := l.scores(x, y); err != nil {
			return err
		}
		if l.outputs == 1 && classes == 2 {
			return l.twoClasses(m, y, out[0], labels)
		}
		if err := labels.best(y, l.outputs, out[0]); err != nil {
			return err
		}
		for r := 0; r < len(y.num); r += l.outputs {
			l.link.apply(y.num[r : r+l.outputs])
		}
		return nil
	}, nil
}

// twoClasses turns one score a row into those of both classes, 1-s and s.
func (l *linearModel) twoClasses(m *machine, y, label *tensor, labels labels) error {
	rows := len(y.num)
	s := m.scratch.take(rows)
	copy(s, y.num)
	if err := y.reset(elemFloat, shapeOf(rows, 2)); err != nil {
		return err
	}
	for r, v := range s {
		if l.link == linkLogistic {
			v = logistic(v)
		}
		y.num[2*r], y.num[2*r+1] = 1-v, v
	}
	return labels.best(y, 2, label)
}

// scoresOf is where a classifier writes its scores: its second output, or nowhere that is read.
func scoresOf(n *nodeProto, out []*tensor) *tensor {
	if len(n.outputs) > 1 {
		return out[1]
	}
	return &tensor{}
}

// labels are a classifier's classes.
type labels struct {
	numbers []float64
	text    []string
}

func newLabels(ints []int64, text []string) labels {
	l := labels{text: text}
	for _, v := range ints {
		l.numbers = append(l.numbers, float64(v))
	}
	return l
}

// best writes the label of the highest of each row's scores.
func (l labels) best(scores *tensor, classes int, label *tensor) error {
	rows := len(scores.num) / classes
	var err error
	if l.text != nil {
		err = label.resetText(shapeOf(rows))
	} else {
		err = label.reset(elemInt64, shapeOf(rows))
	}
	if err != nil {
		return err
	}
	for r := range rows {
		at := 0
		row := scores.num[r*classes : (r+1)*classes]
		for i, v := range row {
			if v > row[at] {
				at = i
			}
		}
		switch {
		case l.text != nil && at < len(l.text):
			label.text[r] = l.text[at]
		case l.text == nil && at < len(l.numbers):
			label.num[r] = l.numbers[at]
		case l.text == nil:
			label.num[r] = float64(at)
		}
	}
	return nil
}

func buildLinearRegressor(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	l := &linearModel{weights: a.floats("coefficients"), intercepts: a.floats("intercepts"),
		outputs: int(a.int("targets", 1)), link: a.link()}
	if err := l.check(); err != nil {
		return nil, err
	}
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		if err := l.scores(x, out[0]); err != nil {
			return err
		}
		for r := 0; r < len(out[0].num); r += l.outputs {
			l.link.apply(out[0].num[r : r+l.outputs])
		}
		return nil
	}, nil
}

// buildScaler is (x - offset) · scale, each one number or one a column.
func buildScaler(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	offset, scale := a.floats("offset"), a.floats("scale")
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		_, columns := x.shape.matrix()
		for _, v := range [][]float64{offset, scale} {
			if len(v) > 1 && len(v) != columns {
				return fmt.Errorf("expected %d features, found %d", len(v), columns)
			}
		}
		if err := out[0].reset(elemFloat, x.shape); err != nil {
			return err
		}
		for at := 0; at+columns <= len(x.num) && columns > 0; at += columns {
			for i, v := range x.num[at : at+columns] {
				out[0].num[at+i] = (v - perColumn(offset, i, 0)) * perColumn(scale, i, 1)
			}
		}
		return nil
	}, nil
}

// perColumn is a list's value for a column; one value is for all.
func perColumn(v []float64, i int, otherwise float64) float64 {
	switch len(v) {
	case 0:
		return otherwise
	case 1:
		return v[0]
	}
	return v[i]
}

// buildNormalizer divides a row by its norm; a row of norm 0 stays as it is.
func buildNormalizer(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	norm := a.string("norm", "MAX")
	var add func(acc, v float64) float64
	switch norm {
	case "MAX":
		add = math.Max
	case "L1":
		add = func(acc, v float64) float64 { return acc + math.Abs(v) }
	case "L2":
		add = func(acc, v float64) float64 { return acc + v*v }
	default:
		return nil, fmt.Errorf("%w: norm %q", ErrUnsupported, norm)
	}
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		_, columns := x.shape.matrix()
		if err := out[0].reset(elemFloat, x.shape); err != nil {
			return err
		}
		for at := 0; at+columns <= len(x.num) && columns > 0; at += columns {
			row := x.num[at : at+columns]
			size := 0.0
			if norm == "MAX" {
				size = math.Inf(-1)
			}
			for _, v := range row {
				size = add(size, v)
			}
			if norm == "L2" {
				size = math.Sqrt(size)
			}
			if size == 0 {
				size = 1
			}
			for i, v := range row {
				out[0].num[at+i] = v / size
			}
		}
		return nil
	}, nil
}

func buildBinarizer(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	threshold := a.float("threshold", 0)
	return mapKernel(elemNone, func(v float64) float64 { return truth(v > threshold) }), nil
}
