package model

import (
	"context"
	"encoding/csv"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sumFile is a linear regressor a·1 + b·10 over one input.
func sumFile(metadata map[string]string) onnxFile {
	return onnxFile{
		inputs:   []valueSpec{{"X", elemFloat, []int{0, 2}}},
		outputs:  []valueSpec{{"variable", elemFloat, []int{0, 1}}},
		nodes:    []nodeSpec{{mlDomain, "LinearRegressor", []string{"X"}, []string{"variable"}, map[string]any{"coefficients": []float64{1, 10}}}},
		metadata: metadata,
	}
}

func TestSamplesProveTheExport(t *testing.T) {
	for _, c := range []struct{ samples, says string }{
		{`{"columns":["a","b"],"rows":[[1,2],[0,true]],"probabilities":[21,10]}`, ""},
		{`{"columns":["a","b"],"rows":[[1,2],[3,4]],"probabilities":[21,42]}`, "of sample 2 its library says 42, the file gives 43"},
		{`{"columns":["a","b"],"rows":[[1,null]],"probabilities":[21]}`, "the file gives NaN"},
		{`{"columns":["a"],"rows":[[1]],"probabilities":[21]}`, "takes 2 columns"},
		{`{"columns":["a","b"],"rows":[[1]],"probabilities":[21]}`, "row 1 has 1 values"},
		{`{"columns":["a","b"],"rows":[[1,{}]],"probabilities":[21]}`, "neither a number"},
		{`{"columns":["a","b"],"rows":[[1,2]],"probabilities":[]}`, "1 rows of 2 columns with 0"},
		{`{`, "expected JSON"},
	} {
		_, err := LoadONNX(sumFile(map[string]string{SamplesKey: c.samples}).write(t))
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: error %v, want %q", c.samples, err, c.says)
		}
	}
	_, err := LoadONNX(sumFile(map[string]string{SamplesKey: `{"columns":["a","b"],"rows":[[1,2]],"probabilities":[0]}`}).write(t))
	if !errors.Is(err, ErrSamples) {
		t.Errorf("error %v, want ErrSamples", err)
	}
}

func TestFeaturesOfTheFileSettleTheOrder(t *testing.T) {
	for _, c := range []struct {
		features string
		columns  []string
		score    float64 // of the row 1, 2
		fails    bool
	}{
		{"a,b", []string{"v:a", "v:b"}, 21, false},
		{"a,b", []string{"v:b", "v:a"}, 12, false},
		{"v__b, v__a", []string{"v:a", "v:b"}, 12, false},
		{"x,y", []string{"v:b", "v:a"}, 21, false},
		{"a,b,c", []string{"v:b", "v:a"}, 21, false},
		{"a,z", []string{"v:a", "v:b"}, 0, true},
	} {
		m, err := LoadONNX(sumFile(map[string]string{FeaturesKey: c.features}).write(t))
		if err != nil {
			t.Fatal(err)
		}
		columns := Columns(c.columns, m.Describe().Inputs)
		scorer, err := m.Bind(columns)
		if c.fails {
			if !errors.Is(err, ErrColumns) || !strings.Contains(err.Error(), "trained on a, z") {
				t.Errorf("%+v: error %v", c, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var out [1]float64
		if err := scorer.Score(t.Context(), frameOf(columns, []float64{1, 2}), out[:]); err != nil || out[0] != c.score {
			t.Errorf("%+v: %v, error %v", c, out, err)
		}
	}
}

// bringScript saves models and the rows they were trained on.
const bringScript = `
import joblib, numpy as np, pandas as pd, skl2onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
def save(name, model, X, y):
    joblib.dump(model.fit(X, y), name + ".joblib")
    X.assign(target=y, p=model.predict_proba(X)[:, 1]).to_csv(name + ".csv", index=False)
d = load_breast_cancer()
X = pd.DataFrame(d.data[:, :5], columns=["radius", "texture", "perimeter", "area", "smoothness"])
save("forest", make_pipeline(StandardScaler(), RandomForestClassifier(50, max_depth=6, random_state=7)), X, d.target)
G = X.mask(np.random.default_rng(7).random(X.shape) < 0.1)
save("gaps", RandomForestClassifier(30, max_depth=7, random_state=7), G, d.target)
save("discriminant", LinearDiscriminantAnalysis(), X, d.target)
H = pd.DataFrame({"malic": load_wine().data[:, 1], "ash": load_wine().data[:, 2], "shade": np.where(load_wine().data[:, 10] > 0.96, "red", "purple")})
save("hist", make_pipeline(make_column_transformer((OneHotEncoder(sparse_output=False), ["shade"]), remainder="passthrough"),
     CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=3), cv=2)), H, load_wine().target == 1)
w = load_wine()
W = pd.DataFrame({"alcohol": w.data[:, 0], "shade": np.where(w.data[:, 10] > 0.96, "red", "purple")})
W.loc[::9, "alcohol"] = np.nan
save("mixed", make_pipeline(make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["shade"]), (SimpleImputer(), ["alcohol"])),
     RandomForestClassifier(20, random_state=7)), W, w.target == 1)
`

// TestJoblibToONNX brings joblib files by the command that README.md shows. It needs WEIR_SLOW=1 and a Python with
// scikit-learn, skl2onnx and pandas: python3, or the one WEIR_PYTHON names.
func TestJoblibToONNX(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("set WEIR_SLOW=1 to convert joblib files with Python")
	}
	python := os.Getenv("WEIR_PYTHON")
	if python == "" {
		python = "python3"
	}
	folder := t.TempDir()
	train := exec.CommandContext(t.Context(), python, "-c", bringScript)
	train.Dir = folder
	if out, err := train.CombinedOutput(); err != nil {
		t.Skipf("the training script does not run: %v: %s", err, out)
	}
	run := func(path string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		return exec.CommandContext(ctx, python, filepath.Join("..", "..", "examples", "joblib_to_onnx.py"),
			path+".joblib", path+".csv", path+".onnx", "--version", "v7").CombinedOutput()
	}
	convert := func(name string) string {
		path := filepath.Join(folder, name)
		if out, err := run(path); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return path
	}
	if out, err := run(filepath.Join(folder, "gaps")); err == nil || !strings.Contains(string(out), "put an imputer before them") {
		t.Errorf("a forest grown on missing values: error %v: %s", err, out)
	}
	for name, features := range map[string][]string{
		"forest": {"v:smoothness", "v:area", "v:perimeter", "v:texture", "v:radius"}, // not the order of the training
		"mixed":  {"v:shade", "v:alcohol"},
		"hist":   {"v:malic", "v:ash", "v:shade"},
	} {
		path := convert(name)
		m, err := LoadONNX(path + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		if d := m.Describe(); len(d.Baseline) != baselineBins || d.BaselineSize < 100 || d.Version != "v7" {
			t.Errorf("%s: version %q, baseline %v of %d", name, d.Version, d.Baseline, d.BaselineSize)
		}
		checkHistograms(t, path+".csv", features, m.Describe())
		columns := Columns(features, m.Describe().Inputs)
		scorer, err := m.Bind(columns)
		if err != nil {
			t.Fatal(err)
		}
		frame, want := trainingRows(t, path+".csv", columns)
		got := make([]float64, frame.Rows)
		if err := scorer.Score(t.Context(), frame, got); err != nil {
			t.Fatal(err)
		}
		near(t, got, want, 1e-5)
	}
	if _, err := LoadONNX(convert("discriminant") + ".onnx"); !errors.Is(err, ErrSamples) {
		t.Errorf("a model that is exported wrongly: error %v, want ErrSamples", err)
	}
}

// checkHistograms counts the training data again, by the definition of Histogram.
func checkHistograms(t *testing.T, path string, names []string, d Description) {
	t.Helper()
	var columns []Column
	for _, name := range names {
		h := d.HistogramOf(name)
		if h == nil {
			t.Fatalf("there is no histogram of %s among %+v", name, d.Features)
		}
		columns = append(columns, Column{Name: name, IsText: len(h.Texts) > 0})
	}
	frame, _ := trainingRows(t, path, columns)
	for c, name := range names {
		h := d.HistogramOf(name)
		counts := make([]uint64, len(h.Counts))
		for r := range frame.Rows {
			number, text := frame.Numbers[r*len(names)+c], frame.Strings[r*len(names)+c]
			switch at := slices.Index(h.Texts, text); {
			case at >= 0:
				counts[1+at]++
			case math.IsNaN(number):
				counts[0]++
			default:
				counts[2+len(h.Texts)+sort.SearchFloat64s(h.Edges, number)]++
			}
		}
		if !slices.Equal(counts, h.Counts) {
			t.Errorf("%s: the file counts %v, the training data hold %v", name, h.Counts, counts)
		}
	}
}

func trainingRows(t *testing.T, path string, columns []Column) (*Frame, []float64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, name := range records[0] {
		at[name] = i
	}
	s := samples{}
	var want []float64
	for _, r := range records[1:] {
		var row []any
		for _, c := range columns {
			text := r[at[strings.TrimPrefix(c.Name, "v:")]]
			if v, err := strconv.ParseFloat(text, 64); err == nil {
				row = append(row, v)
			} else if text == "" {
				row = append(row, nil)
			} else {
				row = append(row, text)
			}
		}
		s.Rows = append(s.Rows, row)
		p, err := strconv.ParseFloat(r[at["p"]], 64)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, p)
	}
	frame, err := s.frame(columns)
	if err != nil {
		t.Fatal(err)
	}
	return frame, want
}
