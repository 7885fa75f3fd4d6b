package model

import (
	"fmt"
	"math"
)

var svmOperators = map[string]builder{
	"SVMClassifier": buildSVMClassifier,
	"SVMRegressor":  buildSVMRegressor,
}

// kernelFunction is a support vector machine's measure of likeness.
type kernelFunction struct {
	kind                string
	gamma, coef, degree float64
}

func readKernelFunction(a *attributes) (kernelFunction, error) {
	k := kernelFunction{kind: a.string("kernel_type", "LINEAR"), degree: 3}
	if p := a.floats("kernel_params"); len(p) >= 3 {
		k.gamma, k.coef, k.degree = p[0], p[1], p[2]
	}
	switch k.kind {
	case "LINEAR", "POLY", "RBF", "SIGMOID":
		return k, nil
	}
	return k, fmt.Errorf("%w: kernel_type %q", ErrUnsupported, k.kind)
}

func (k kernelFunction) of(a, b []float64) float64 {
	if k.kind == "RBF" {
		sum := 0.0
		for i, v := range a {
			d := v - b[i]
			sum += d * d
		}
		return math.Exp(-k.gamma * sum)
	}
	dot := 0.0
	for i, v := range a {
		dot += v * b[i]
	}
	switch k.kind {
	case "POLY":
		return math.Pow(k.gamma*dot+k.coef, k.degree)
	case "SIGMOID":
		return math.Tanh(k.gamma*dot + k.coef)
	}
	return dot
}

// svm is libsvm's classifier in ONNX's words: one decision a pair of classes.
type svm struct {
	kernel       kernelFunction
	vectors      []float64 // support vectors × features
	coefficients []float64 // (classes-1) × support vectors
	rho          []float64
	perClass     []int
	first        []int // position of each class's first support vector
	count        int   // support vectors
	classes      int
	probA, probB []float64
}

func buildSVMClassifier(_ *compiler, n *nodeProto, a *attributes) (kernel, error) {
	k, err := readKernelFunction(a)
	if err != nil {
		return nil, err
	}
	labels := newLabels(a.ints("classlabels_ints"), a.strings("classlabels_strings"))
	s := &svm{kernel: k, vectors: a.floats("support_vectors"), coefficients: a.floats("coefficients"), rho: a.floats("rho"),
		probA: a.floats("prob_a"), probB: a.floats("prob_b"), classes: max(len(labels.numbers), len(labels.text))}
	link := a.link()
	for _, v := range a.ints("vectors_per_class") {
		if v < 0 || v > maxElements {
			return nil, fmt.Errorf("%d vectors_per_class", v)
		}
		s.first, s.perClass, s.count = append(s.first, s.count), append(s.perClass, int(v)), s.count+int(v)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return func(m *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		y := scoresOf(n, out)
		width := s.width()
		rows, columns := x.shape.matrix()
		if columns != len(s.vectors)/s.count {
			return fmt.Errorf("expected %d features, found %d", len(s.vectors)/s.count, columns)
		}
		if err := y.reset(elemFloat, shapeOf(rows, width)); err != nil {
			return err
		}
		pairs := s.classes * (s.classes - 1) / 2
		work := m.scratch.take(s.count + pairs + s.classes*s.classes*2 + s.classes)
		for r := range rows {
			row := y.num[r*width : (r+1)*width]
			s.score(x.num[r*columns:(r+1)*columns], row, work)
			link.apply(row)
		}
		return labels.best(y, width, out[0])
	}, nil
}

func (s *svm) check() error {
	pairs := s.classes * (s.classes - 1) / 2
	switch {
	case s.count == 0:
		return fmt.Errorf("%w: a support vector classifier without support vectors", ErrUnsupported)
	case s.classes < 2 || s.classes > 1024 || len(s.perClass) != s.classes:
		return fmt.Errorf("%d classes with %d vectors_per_class", s.classes, len(s.perClass))
	case len(s.vectors) == 0 || len(s.vectors)%s.count != 0:
		return fmt.Errorf("%d numbers do not make %d support vectors", len(s.vectors), s.count)
	case len(s.coefficients) != (s.classes-1)*s.count:
		return fmt.Errorf("%d coefficients for %d classes and %d support vectors", len(s.coefficients), s.classes, s.count)
	case len(s.rho) != pairs:
		return fmt.Errorf("%d rho for %d pairs of classes", len(s.rho), pairs)
	case len(s.probA) != len(s.probB) || len(s.probA) != 0 && len(s.probA) != pairs:
		return fmt.Errorf("%d prob_a and %d prob_b for %d pairs of classes", len(s.probA), len(s.probB), pairs)
	}
	return nil
}

// width is how many scores a row has: a probability a class, or a decision a pair (two for two classes: -s and s).
func (s *svm) width() int {
	if len(s.probA) > 0 || s.classes == 2 {
		return s.classes
	}
	return s.classes * (s.classes - 1) / 2
}

// score writes one row's scores; work is scratch memory.
func (s *svm) score(x, row, work []float64) {
	likeness, work := work[:s.count], work[s.count:]
	features := len(x)
	for i := range likeness {
		likeness[i] = s.kernel.of(x, s.vectors[i*features:(i+1)*features])
	}
	pairs := len(s.rho)
	decisions, work := work[:pairs], work[pairs:]
	p := 0
	for i := range s.classes {
		for j := i + 1; j < s.classes; j++ {
			sum := s.part(likeness, j-1, i) + s.part(likeness, i, j)
			decisions[p] = sum + s.rho[p]
			p++
		}
	}
	switch {
	case len(s.probA) > 0:
		s.probabilities(decisions, row, work)
	case s.classes == 2:
		row[0], row[1] = -decisions[0], decisions[0]
	default:
		copy(row, decisions)
	}
}

// part sums the support vectors of a class with one row of coefficients.
func (s *svm) part(likeness []float64, coefficientRow, class int) float64 {
	sum := 0.0
	for i := s.first[class]; i < s.first[class]+s.perClass[class]; i++ {
		sum += s.coefficients[coefficientRow*s.count+i] * likeness[i]
	}
	return sum
}

// probabilities couples the pairwise probabilities by the second method of Wu, Lin and Weng (2004), with libsvm's
// stopping rule so that the answer is libsvm's.
func (s *svm) probabilities(decisions, row, work []float64) {
	k := s.classes
	r, q, qp := work[:k*k], work[k*k:2*k*k], work[2*k*k:2*k*k+k]
	p := 0
	for i := range k {
		for j := i + 1; j < k; j++ {
			v := logistic(-(s.probA[p]*decisions[p] + s.probB[p]))
			v = min(max(v, 1e-7), 1-1e-7)
			r[i*k+j], r[j*k+i] = v, 1-v
			p++
		}
	}
	for i := range k {
		row[i] = 1 / float64(k)
		q[i*k+i] = 0
		for j := range k {
			if j == i {
				continue
			}
			q[i*k+i] += r[j*k+i] * r[j*k+i]
			q[i*k+j] = -r[j*k+i] * r[i*k+j]
		}
	}
	for range max(100, k) {
		total := 0.0
		for i := range k {
			qp[i] = 0
			for j := range k {
				qp[i] += q[i*k+j] * row[j]
			}
			total += row[i] * qp[i]
		}
		worst := 0.0
		for i := range k {
			worst = math.Max(worst, math.Abs(qp[i]-total))
		}
		if worst < 0.005/float64(k) {
			return
		}
		for i := range k {
			diff := (total - qp[i]) / q[i*k+i]
			row[i] += diff
			total = (total + diff*(diff*q[i*k+i]+2*qp[i])) / (1 + diff) / (1 + diff)
			for j := range k {
				qp[j] = (qp[j] + diff*q[i*k+j]) / (1 + diff)
				row[j] /= 1 + diff
			}
		}
	}
}

func buildSVMRegressor(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	k, err := readKernelFunction(a)
	if err != nil {
		return nil, err
	}
	coefficients, vectors, rho := a.floats("coefficients"), a.floats("support_vectors"), a.floats("rho")
	count, oneClass, link := int(a.int("n_supports", 0)), a.int("one_class", 0) != 0, a.link()
	if count == 0 {
		vectors, coefficients, count = coefficients, []float64{1}, 1 // the coefficients themselves are a linear model
	}
	if count < 0 || len(rho) < 1 || len(coefficients) != count || len(vectors) == 0 || len(vectors)%count != 0 {
		return nil, fmt.Errorf("%d coefficients, %d rho and %d numbers for %d support vectors", len(coefficients), len(rho), len(vectors), count)
	}
	features := len(vectors) / count
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		rows, columns := x.shape.matrix()
		if columns != features {
			return fmt.Errorf("expected %d features, found %d", features, columns)
		}
		if err := out[0].reset(elemFloat, shapeOf(rows, 1)); err != nil {
			return err
		}
		for r := range rows {
			sum := rho[0]
			for i, c := range coefficients {
				sum += c * k.of(x.num[r*columns:(r+1)*columns], vectors[i*features:(i+1)*features])
			}
			if oneClass {
				sum = truth(sum > 0)*2 - 1
			}
			out[0].num[r] = sum
			link.apply(out[0].num[r : r+1])
		}
		return nil
	}, nil
}
