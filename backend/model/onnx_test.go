package model

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLoadRefusesWhatIsNoModel(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join("testdata", "models", "logistic_4.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, data, says string
	}{
		{"empty", "", "an empty file"},
		{"text", "model: v2.1\n", `12 bytes that begin "model: v2.1\n"`},
		{"pickle", "\x80\x04\x95rest", "a Python pickle"},
		{"zip", "PK\x03\x04rest", "a zip archive"},
		{"gzip", "\x1f\x8b\x08", "gzip data"},
		{"lfs", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
		{"half", string(whole[:len(whole)/2]), "ends in the middle"},
		{"no graph", string(intField(nil, 1, 8)), "with a graph"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := LoadONNX(path)
			if !errors.Is(err, ErrNotONNX) {
				t.Fatalf("error %v, want ErrNotONNX", err)
			}
			for _, want := range []string{path, "expected a protobuf ModelProto", c.says} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("error %q is more than one line", err)
			}
		})
	}
	if _, err := LoadONNX(t.TempDir()); !errors.Is(err, ErrNotONNX) {
		t.Errorf("a folder: error %v, want ErrNotONNX", err)
	}
	if _, err := LoadONNX("absent.onnx"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: error %v, want os.ErrNotExist", err)
	}
}

func TestLoadRefusesEveryTruncation(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join("testdata", "models", "logistic_4.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	graphEnds := 0
	for n := range whole {
		if _, err := parseONNX(whole[:n]); err == nil {
			graphEnds++ // a file cut between two fields after the graph is still a whole message
		}
	}
	if graphEnds > 8 {
		t.Errorf("%d of %d truncations were taken for a whole model", graphEnds, len(whole))
	}
}

func TestLoadNamesUnknownOperators(t *testing.T) {
	file := classifierFile("LinearClassifier", map[string]any{"coefficients": []float64{1, 2}, "intercepts": []float64{0}, "classlabels_ints": []int{0, 1}})
	file.nodes[0].inputs = []string{"b"}
	file.nodes = append([]nodeSpec{
		{"", "Bessel", []string{"X"}, []string{"a"}, nil},
		{"com.example", "Teleport", []string{"a"}, []string{"b"}, nil},
	}, file.nodes...)
	_, err := LoadONNX(file.write(t))
	if !errors.Is(err, ErrUnsupported) {
		t.Fatalf("error %v, want ErrUnsupported", err)
	}
	for _, want := range []string{"Bessel, com.example.Teleport", "supported are", "LinearClassifier", "Sigmoid"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestLoadRefusesAttributesItDoesNotHonour(t *testing.T) {
	file := classifierFile("LinearClassifier", map[string]any{"coefficients": []float64{1, 2}, "intercepts": []float64{0},
		"classlabels_ints": []int{0, 1}, "twist": 1})
	if _, err := LoadONNX(file.write(t)); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), `"twist"`) {
		t.Errorf("error %v, want ErrUnsupported naming the attribute", err)
	}
}

func TestDescribe(t *testing.T) {
	bins := strings.Repeat("1,", 19) + "21"
	file := classifierFile("LinearClassifier", map[string]any{"coefficients": []float64{1, 2}, "intercepts": []float64{0}, "classlabels_ints": []int{0, 1}})
	file.metadata = map[string]string{BaselineKey: bins}
	path := file.write(t)
	m, err := LoadONNX(path)
	if err != nil {
		t.Fatal(err)
	}
	d := m.Describe()
	if d.Kind != "LinearClassifier" || d.Source != path || d.Producer != "weir-test" {
		t.Errorf("description %+v", d)
	}
	if want := (Input{Name: "X", Type: "float", Width: 2}); len(d.Inputs) != 1 || d.Inputs[0] != want {
		t.Errorf("inputs %+v, want %+v", d.Inputs, want)
	}
	if len(d.Baseline) != 20 || d.Baseline[0] != 0.025 || d.Baseline[19] != 0.525 {
		t.Errorf("baseline %v", d.Baseline)
	}
	for _, bad := range []string{"1,2", strings.Repeat("0,", 19) + "0", strings.Repeat("1,", 19) + "x", strings.Repeat("1,", 19) + "-1", strings.Repeat("1,", 19) + "NaN"} {
		file.metadata[BaselineKey] = bad
		if _, err := LoadONNX(file.write(t)); err == nil || !strings.Contains(err.Error(), BaselineKey) {
			t.Errorf("baseline %q: error %v", bad, err)
		}
	}
}

func TestBind(t *testing.T) {
	linear := func(inputs ...valueSpec) onnxFile {
		names, width := []string{}, 0
		for _, in := range inputs {
			names, width = append(names, in.name), width+max(1, in.dims[len(in.dims)-1])
		}
		weights := make([]float64, width)
		for i := range weights {
			weights[i] = math.Pow(10, float64(i))
		}
		file := onnxFile{inputs: inputs, outputs: []valueSpec{{"variable", elemFloat, []int{0, 1}}}}
		file.nodes = []nodeSpec{
			{"", "Concat", names, []string{"all"}, map[string]any{"axis": 1}},
			{mlDomain, "LinearRegressor", []string{"all"}, []string{"variable"}, map[string]any{"coefficients": weights, "intercepts": []float64{0}}},
		}
		return file
	}
	one := func(name string) valueSpec { return valueSpec{name, elemFloat, []int{0, 1}} }
	number := func(names ...string) (columns []Column) {
		for _, n := range names {
			columns = append(columns, Column{Name: n})
		}
		return columns
	}
	for _, c := range []struct {
		name    string
		file    onnxFile
		columns []Column
		score   float64 // of the row 1, 2, 3 …
		says    []string
	}{
		{"one input in configured order", linear(valueSpec{"X", elemFloat, []int{0, 3}}), number("v:c", "v:a", "v:b"), 321, nil},
		{"an open width", linear(valueSpec{"X", elemFloat, []int{0, 0}}), number("v:c"), 1, nil},
		{"by whole name", linear(one("v:b"), one("v:a")), number("v:a", "v:b"), 12, nil},
		{"by full feature name", linear(one("v__b"), one("v__a")), number("v:a", "v:b"), 12, nil},
		{"by sanitised name", linear(one("v_b"), one("v_a")), number("v:a", "v:b"), 12, nil},
		{"by feature name", linear(one("b"), one("a")), number("v:a", "w:b"), 12, nil},
		{"a vector an input", linear(valueSpec{"X", elemFloat, []int{0, 1}}), number("v:a"), 1, nil},
		{"too few columns", linear(valueSpec{"X", elemFloat, []int{0, 3}}), number("v:a", "v:b"), 0,
			[]string{"X float[3]", "v:a number, v:b number", "takes 3 columns of number", "offer 2"}},
		{"too many columns", linear(one("a"), one("b")), number("v:a", "v:b", "v:c"), 0, []string{"no input takes the column v:c"}},
		{"a name that is not there", linear(one("a"), one("z")), number("v:a", "v:b"), 0, []string{"no column is named z", "a float[1], z float[1]", "v:a number, v:b number"}},
		{"an ambiguous name", linear(one("a"), one("b")), number("v:a", "w:a", "w:b"), 0, []string{"could be v:a or w:a"}},
		{"text for a number", linear(one("a"), one("b")), []Column{{"v:a", true}, {"v:b", false}}, 0, []string{"the input a is float, the column v:a is text"}},
		{"text for numbers", linear(valueSpec{"X", elemFloat, []int{0, 2}}), []Column{{"v:a", true}, {"v:b", false}}, 0, []string{"v:a text"}},
		{"no columns", linear(valueSpec{"X", elemFloat, []int{0, 0}}), nil, 0, []string{"no columns"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := LoadONNX(c.file.write(t))
			if err != nil {
				t.Fatal(err)
			}
			scorer, err := m.Bind(c.columns)
			if c.says != nil {
				if !errors.Is(err, ErrColumns) {
					t.Fatalf("error %v, want ErrColumns", err)
				}
				for _, want := range c.says {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error %q does not say %q", err, want)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			frame := &Frame{Columns: c.columns, Rows: 1}
			for i := range c.columns {
				frame.Numbers = append(frame.Numbers, float64(i+1))
			}
			var out [1]float64
			if err := scorer.Score(t.Context(), frame, out[:]); err != nil {
				t.Fatal(err)
			}
			if out[0] != c.score {
				t.Errorf("score %g, want %g", out[0], c.score)
			}
		})
	}
}

func TestScoreChecksTheFrame(t *testing.T) {
	m, err := LoadONNX(fixtureNamed(t, "logistic_4").modelPath())
	if err != nil {
		t.Fatal(err)
	}
	columns := []Column{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}
	scorer, err := m.Bind(columns)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, 2)
	for name, frame := range map[string]*Frame{
		"columns": {Columns: columns[:3], Rows: 1, Numbers: make([]float64, 3)},
		"values":  {Columns: columns, Rows: 2, Numbers: make([]float64, 7)},
		"room":    {Columns: columns, Rows: 3, Numbers: make([]float64, 12)},
	} {
		if err := scorer.Score(t.Context(), frame, out); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	frame := &Frame{Columns: columns, Rows: 2, Numbers: []float64{1, 2, 3, 4, 1, math.NaN(), 3, 4}}
	if err := scorer.Score(gone, frame, out); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: error %v", err)
	}
	if err := scorer.Score(t.Context(), frame, out); err != nil || !(out[0] >= 0 && out[0] <= 1) || !math.IsNaN(out[1]) {
		t.Errorf("scores %v, error %v; want a probability, and NaN for the row with a missing value", out, err)
	}
}

func TestGraphsThatGrowAreRefused(t *testing.T) {
	huge := numbers(elemInt64, []int{2}, 4000, 4000)
	file := onnxFile{
		inputs:       []valueSpec{{"X", elemFloat, []int{0, 1}}},
		outputs:      []valueSpec{{"out", elemFloat, []int{0, 1}}},
		initializers: map[string]*tensor{"huge": huge},
		nodes:        []nodeSpec{{"", "ConstantOfShape", []string{"huge"}, []string{"a"}, nil}, {"", "Neg", []string{"a"}, []string{"b"}, nil}, {"", "Add", []string{"X", "b"}, []string{"out"}, nil}},
	}
	if _, err := LoadONNX(file.write(t)); err == nil || !strings.Contains(err.Error(), "come to more than") {
		t.Errorf("constants of 32 million values: error %v", err)
	}
	file.initializers["huge"] = numbers(elemInt64, []int{2}, 1<<20, 1<<20)
	if _, err := LoadONNX(file.write(t)); err == nil || !strings.Contains(err.Error(), "more than 16777216 values") {
		t.Errorf("a tensor of 2^40 values: error %v", err)
	}
}

// TestScorersOfOneModelDoNotMeet scores with one model in several goroutines; the race detector watches.
func TestScorersOfOneModelDoNotMeet(t *testing.T) {
	for _, name := range []string{"forest_100x6", "forest_double_thresholds", "knn", "svc_rbf", "columns_one_hot_forest"} {
		f := fixtureNamed(t, name)
		m, err := LoadONNX(f.modelPath())
		if err != nil {
			t.Fatal(err)
		}
		frame, want := f.rows(t), f.expected(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				scorer, err := m.Bind(frame.Columns)
				if err != nil {
					t.Error(err)
					return
				}
				out := make([]float64, frame.Rows)
				if err := scorer.Score(t.Context(), frame, out); err != nil {
					t.Error(err)
					return
				}
				near(t, out, want, maxConformanceError)
			})
		}
		all.Wait()
	}
}

func TestWholeNumbersAreWhole(t *testing.T) {
	file := onnxFile{
		inputs:  []valueSpec{{"X", elemInt64, []int{0, 1}}},
		outputs: []valueSpec{{"out", elemFloat, []int{0, 1}}},
		nodes:   []nodeSpec{{"", "Cast", []string{"X"}, []string{"out"}, map[string]any{"to": int(elemFloat)}}},
	}
	near(t, evaluate(t, file, []float64{3}, []float64{math.NaN()}, []float64{0.5}, []float64{-1}), []float64{3, math.NaN(), math.NaN(), -1}, 0)
}
