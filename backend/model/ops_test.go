package model

import (
	"math"
	"testing"
)

// evaluate runs one graph on one batch of rows and gives the chosen output's column of the positive class.
func evaluate(t *testing.T, file onnxFile, rows ...[]float64) []float64 {
	t.Helper()
	m, err := LoadONNX(file.write(t))
	if err != nil {
		t.Fatal(err)
	}
	frame := &Frame{Rows: len(rows)}
	for range rows[0] {
		frame.Columns = append(frame.Columns, Column{Name: "c"})
	}
	for _, r := range rows {
		frame.Numbers = append(frame.Numbers, r...)
	}
	scorer, err := m.Bind(frame.Columns)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(rows))
	if err := scorer.Score(t.Context(), frame, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func near(t *testing.T, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tolerance || got[i] != got[i] && want[i] != want[i]) {
			t.Errorf("value %d is %.9g, want %.9g", i, got[i], want[i])
		}
	}
}

func TestDoubleThresholdsAreKeptWhole(t *testing.T) {
	// 0.1 and the double after it are one float32; a threshold between them tells them apart only as doubles.
	after := math.Nextafter(0.1, 1)
	file := onnxFile{
		inputs:  []valueSpec{{"X", elemDouble, []int{0, 1}}},
		outputs: []valueSpec{{"variable", elemDouble, []int{0, 1}}},
		nodes: []nodeSpec{{mlDomain, "TreeEnsembleRegressor", []string{"X"}, []string{"variable"}, map[string]any{
			"nodes_treeids": []int{0, 0, 0}, "nodes_nodeids": []int{0, 1, 2}, "nodes_featureids": []int{0, 0, 0},
			"nodes_values_as_tensor": numbers(elemDouble, []int{3}, 0.1, 0, 0), "nodes_modes": []string{"BRANCH_LEQ", "LEAF", "LEAF"},
			"nodes_truenodeids": []int{1, 0, 0}, "nodes_falsenodeids": []int{2, 0, 0}, "n_targets": 1,
			"target_treeids": []int{0, 0}, "target_nodeids": []int{1, 2}, "target_ids": []int{0, 0},
			"target_weights_as_tensor": numbers(elemDouble, []int{2}, 0.25, 0.75),
		}}},
	}
	near(t, evaluate(t, file, []float64{0.1}, []float64{after}), []float64{0.25, 0.75}, 0)
	file.inputs[0].elem = elemFloat
	near(t, evaluate(t, file, []float64{0.1}, []float64{after}), []float64{0.75, 0.75}, 0)
}

func TestNumbersAsText(t *testing.T) {
	for _, c := range []struct {
		elem elemType
		v    float64
		want string
	}{ // as onnxruntime 1.31 writes them
		{elemFloat, 0, "0"}, {elemFloat, math.Copysign(0, -1), "-0"}, {elemFloat, 0.1, "0.1"}, {elemFloat, 1, "1"},
		{elemFloat, 123456.789, "123456.79"}, {elemFloat, 12345678, "12345678"}, {elemFloat, 1e10, "1e+10"}, {elemFloat, 1e22, "9.9999998e+21"},
		{elemFloat, 1e-5, "9.9999997e-06"}, {elemFloat, math.NaN(), "NaN"}, {elemFloat, math.Inf(-1), "-INF"}, {elemFloat, math.Inf(1), "INF"},
		{elemDouble, 1.0 / 3, "0.33333333"}, {elemDouble, 1e15, "1e+15"}, {elemInt64, -7, "-7"}, {elemInt64, 1 << 53, "9007199254740992"},
		{elemBool, 1, "1"}, {elemBool, 0, "0"},
	} {
		if got := formatNumber(c.v, c.elem); got != c.want {
			t.Errorf("%g as %s is %q, want %q", c.v, c.elem, got, c.want)
		}
	}
	for text, want := range map[string]float64{"1.5": 1.5, " 2 ": 2, "INF": math.Inf(1), "-INF": math.Inf(-1), "x": math.NaN(), "": math.NaN()} {
		if got := parseNumber(text); got != want && (got == got || want == want) {
			t.Errorf("%q is %g, want %g", text, got, want)
		}
	}
}

// wordsFile is a graph over one column of text whose nodes end in the numbers "out".
func wordsFile(nodes ...nodeSpec) onnxFile {
	return onnxFile{inputs: []valueSpec{{"X", elemString, []int{0, 1}}}, outputs: []valueSpec{{"out", elemFloat, []int{0, 1}}}, nodes: nodes}
}

func scoreWords(t *testing.T, file onnxFile, words ...string) []float64 {
	t.Helper()
	m, err := LoadONNX(file.write(t))
	if err != nil {
		t.Fatal(err)
	}
	columns := []Column{{Name: "word", IsText: true}}
	scorer, err := m.Bind(columns)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(words))
	if err := scorer.Score(t.Context(), &Frame{Columns: columns, Rows: len(words), Strings: words}, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEncodersOfWords(t *testing.T) {
	ml := func(op string, attributes map[string]any, more ...nodeSpec) onnxFile {
		out := "out"
		if len(more) > 0 {
			out = "mid"
		}
		return wordsFile(append([]nodeSpec{{mlDomain, op, []string{"X"}, []string{out}, attributes}}, more...)...)
	}
	cast := nodeSpec{"", "Cast", []string{"mid"}, []string{"out"}, map[string]any{"to": int(elemFloat)}}
	second := nodeSpec{"", "Reshape", []string{"mid", "shape"}, []string{"out"}, nil}
	oneHot := func(zeros int) onnxFile {
		f := ml("OneHotEncoder", map[string]any{"cats_strings": []string{"a", "b"}, "zeros": zeros}, second)
		f.initializers = map[string]*tensor{"shape": numbers(elemInt64, []int{2}, -1, 2)}
		return f
	}
	nan := math.NaN()
	for name, c := range map[string]struct {
		file onnxFile
		want []float64 // of a, b, ü
	}{
		"one hot, unknown as zeros":    {oneHot(1), []float64{0, 1, 0}},
		"one hot, unknown not allowed": {oneHot(0), []float64{0, 1, nan}},
		"label encoder": {ml("LabelEncoder", map[string]any{"keys_strings": []string{"a", "b"}, "values_floats": []float64{0.25, 0.5}, "default_float": 0.75}),
			[]float64{0.25, 0.5, 0.75}},
		"label encoder by tensors": {ml("LabelEncoder", map[string]any{"keys_tensor": &tensor{elem: elemString, shape: shapeOf(2), text: []string{"a", "ü"}},
			"values_tensor": numbers(elemDouble, []int{2}, 1, 2), "default_tensor": numbers(elemDouble, []int{1}, 9)}), []float64{1, 9, 2}},
		"label encoder of opset 1": {ml("LabelEncoder", map[string]any{"classes_strings": []string{"b", "a"}, "default_int64": 5}, cast), []float64{1, 0, 5}},
		"category mapper": {ml("CategoryMapper", map[string]any{"cats_strings": []string{"a", "b"}, "cats_int64s": []int{7, 8}, "default_int64": 9}, cast),
			[]float64{7, 8, 9}},
		"there and back": {ml("LabelEncoder", map[string]any{"keys_strings": []string{"a", "b"}, "values_int64s": []int{3, 4}},
			nodeSpec{mlDomain, "LabelEncoder", []string{"mid"}, []string{"again"}, map[string]any{"keys_int64s": []int{3, 4}, "values_strings": []string{"0.5", "1.5"}, "default_string": "2.5"}},
			nodeSpec{"", "Cast", []string{"again"}, []string{"out"}, map[string]any{"to": int(elemFloat)}}), []float64{0.5, 1.5, 2.5}},
		"equal to a word": {func() onnxFile {
			f := wordsFile(nodeSpec{"", "Equal", []string{"X", "b"}, []string{"mid"}, nil}, cast)
			f.initializers = map[string]*tensor{"b": {elem: elemString, shape: shapeOf(1), text: []string{"b"}}}
			return f
		}(), []float64{0, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) { near(t, scoreWords(t, c.file, "a", "b", "ü"), c.want, 0) })
	}
}

func TestGraphsWithinGraphs(t *testing.T) {
	body := &onnxFile{outputs: []valueSpec{{"y", elemFloat, nil}}, nodes: []nodeSpec{{"", "Mul", []string{"X", "two"}, []string{"y"}, nil}}}
	other := &onnxFile{outputs: []valueSpec{{"z", elemFloat, nil}}, nodes: []nodeSpec{{"", "Neg", []string{"X"}, []string{"z"}, nil}}}
	file := onnxFile{
		inputs:       []valueSpec{{"X", elemFloat, []int{0, 1}}},
		outputs:      []valueSpec{{"out", elemFloat, []int{0, 1}}},
		initializers: map[string]*tensor{"two": numbers(elemFloat, []int{1}, 2), "large": numbers(elemFloat, []int{1}, 100)},
		nodes: []nodeSpec{
			{"", "ReduceSum", []string{"X"}, []string{"sum"}, map[string]any{"keepdims": 0}},
			{"", "Greater", []string{"sum", "large"}, []string{"is"}, nil},
			{"", "If", []string{"is"}, []string{"out"}, map[string]any{"then_branch": body, "else_branch": other}},
		},
	}
	near(t, evaluate(t, file, []float64{1}, []float64{2}), []float64{-1, -2}, 0)
	near(t, evaluate(t, file, []float64{99}, []float64{2}), []float64{198, 4}, 0)
}

func TestFeatureVectorizer(t *testing.T) {
	file := onnxFile{
		inputs:  []valueSpec{{"a", elemFloat, []int{0, 1}}, {"b", elemFloat, []int{0, 1}}},
		outputs: []valueSpec{{"out", elemFloat, []int{0, 1}}},
		nodes: []nodeSpec{
			{mlDomain, "FeatureVectorizer", []string{"b", "a"}, []string{"all"}, map[string]any{"inputdimensions": []int{1, 1}}},
			{mlDomain, "LinearRegressor", []string{"all"}, []string{"out"}, map[string]any{"coefficients": []float64{1, 10}}},
		},
	}
	m, err := LoadONNX(file.write(t))
	if err != nil {
		t.Fatal(err)
	}
	columns := []Column{{Name: "v:a"}, {Name: "v:b"}}
	scorer, err := m.Bind(columns)
	if err != nil {
		t.Fatal(err)
	}
	var out [1]float64
	if err := scorer.Score(t.Context(), frameOf(columns, []float64{1, 2}), out[:]); err != nil || out[0] != 12 {
		t.Errorf("score %v, error %v", out, err)
	}
}

func TestTensorsOfEveryType(t *testing.T) {
	for _, c := range []struct {
		elem elemType
		raw  string
		want float64
	}{
		{elemInt8, "\xff", -1}, {elemUint8, "\xff", 255}, {elemBool, "\x01", 1}, {elemInt16, "\xfe\xff", -2}, {elemUint16, "\xfe\xff", 65534},
		{elemInt32, "\xfd\xff\xff\xff", -3}, {elemUint32, "\xfd\xff\xff\xff", 4294967293}, {elemInt64, "\xfc\xff\xff\xff\xff\xff\xff\xff", -4},
		{elemUint64, "\x05\x00\x00\x00\x00\x00\x00\x00", 5}, {elemFloat, "\x00\x00\xc0\x3f", 1.5}, {elemDouble, "\x00\x00\x00\x00\x00\x00\xf8\x3f", 1.5},
		{elemFloat16, "\x00\x3e", 1.5}, {elemFloat16, "\x01\x00", math.Ldexp(1, -24)}, {elemFloat16, "\x00\xfc", math.Inf(-1)},
	} {
		b := intField(nil, 1, 1)
		b = intField(b, 2, uint64(c.elem))
		b = bytesField(b, 9, []byte(c.raw))
		got, _, err := readTensor(b)
		if err != nil || got.num[0] != c.want {
			t.Errorf("%s of % x: %v, error %v; want %g", c.elem, c.raw, got, err, c.want)
		}
	}
	for name, b := range map[string][]byte{
		"too short":   bytesField(intField(intField(nil, 1, 2), 2, uint64(elemFloat)), 9, []byte("1234")),
		"too few":     intField(intField(nil, 1, 2), 2, uint64(elemFloat)),
		"negative":    intField(intField(nil, 1, 1<<64-1), 2, uint64(elemFloat)),
		"enormous":    intField(intField(intField(nil, 1, 1<<20), 1, 1<<20), 2, uint64(elemFloat)),
		"no type":     intField(nil, 1, 1),
		"complex":     intField(nil, 2, 15),
		"external":    intField(intField(nil, 2, uint64(elemFloat)), 14, 1),
		"odd floats":  bytesField(intField(nil, 2, uint64(elemFloat)), 4, []byte("12345")),
		"strings":     intField(intField(nil, 1, 3), 2, uint64(elemString)),
		"wrong field": bytesField(nil, 2, []byte("x")),
	} {
		if _, _, err := readTensor(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestARowTheGraphRefuses asks for entries of a table by number, some of which it does not have: those rows cannot be
// scored, and the others are.
func TestARowTheGraphRefuses(t *testing.T) {
	file := onnxFile{
		inputs:       []valueSpec{{"place", elemInt64, []int{0, 1}}},
		outputs:      []valueSpec{{"probabilities", elemFloat, []int{0, 1}}},
		initializers: map[string]*tensor{"table": numbers(elemFloat, []int{3}, 0.25, 0.5, 0.75)},
		nodes:        []nodeSpec{{op: "Gather", inputs: []string{"table", "place"}, outputs: []string{"probabilities"}}},
	}
	const rows = 600
	frame := &Frame{Columns: []Column{{Name: "place"}}, Rows: rows, Numbers: make([]float64, rows)}
	want := make([]float64, rows)
	for r := range rows {
		place := r % 3
		frame.Numbers[r], want[r] = float64(place), []float64{0.25, 0.5, 0.75}[place]
		if r == 7 || r == 8 || r == 599 {
			frame.Numbers[r], want[r] = 3, math.NaN()
		}
	}
	m, err := LoadONNX(file.write(t))
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := m.Bind(frame.Columns)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float64, rows)
	if err := scorer.Score(t.Context(), frame, got); err != nil {
		t.Fatal(err)
	}
	for r := range rows {
		if got[r] != want[r] && !(math.IsNaN(got[r]) && math.IsNaN(want[r])) {
			t.Errorf("row %d: %g, want %g", r, got[r], want[r])
		}
	}
}
