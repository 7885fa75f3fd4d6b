package model

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// fixture is one entry of testdata/manifest.json, which testdata/export.py writes.
type fixture struct {
	Name      string `json:"-"`
	Library   string `json:"library"`
	Data      string `json:"data"`
	Estimator string `json:"estimator"`
	Input     string `json:"input"`
}

func (f fixture) modelPath() string { return filepath.Join("testdata", "models", f.Name+".onnx") }

func fixtures(tb testing.TB) []fixture {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "manifest.json"))
	if err != nil {
		tb.Fatal(err)
	}
	byName := map[string]fixture{}
	if err := json.Unmarshal(data, &byName); err != nil {
		tb.Fatal(err)
	}
	var all []fixture
	for name, f := range byName {
		f.Name = name
		all = append(all, f)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

func fixtureNamed(tb testing.TB, name string) fixture {
	tb.Helper()
	for _, f := range fixtures(tb) {
		if f.Name == name {
			return f
		}
	}
	tb.Fatalf("testdata/manifest.json has no model %s", name)
	return fixture{}
}

// rows reads the fixture's rows: a column is text if a value that is not empty is no number.
func (f fixture) rows(tb testing.TB) *Frame {
	tb.Helper()
	file, err := os.Open(filepath.Join("testdata", "rows", f.Data+".csv"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		tb.Fatal(err)
	}
	header, records := records[0], records[1:]
	frame := &Frame{Rows: len(records)}
	for _, name := range header {
		frame.Columns = append(frame.Columns, Column{Name: name})
	}
	cells := len(header) * len(records)
	frame.Numbers, frame.Strings = make([]float64, cells), make([]string, cells)
	anyText := false
	for r, record := range records {
		for c, cell := range record {
			at := r*len(header) + c
			frame.Strings[at] = cell
			v, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				v = math.NaN()
				if cell != "" {
					frame.Columns[c].IsText, anyText = true, true
				}
			}
			frame.Numbers[at] = v
		}
	}
	if !anyText {
		frame.Strings = nil
	}
	return frame
}

// expected reads the library's own probabilities.
func (f fixture) expected(tb testing.TB) []float64 {
	tb.Helper()
	file, err := os.Open(filepath.Join("testdata", "expected", f.Name+".txt"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var out []float64
	for lines := bufio.NewScanner(file); lines.Scan(); {
		v, err := strconv.ParseFloat(lines.Text(), 64)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// maxConformanceError is how far a probability may be from the library's own.
const maxConformanceError = 1e-5

// largestError scores the fixture and gives the largest difference from the library's probabilities; a NaN on one
// side only is infinitely far.
func (f fixture) largestError(tb testing.TB) (worst float64, description Description) {
	tb.Helper()
	m, err := LoadONNX(f.modelPath())
	if err != nil {
		tb.Fatal(err)
	}
	frame, want := f.rows(tb), f.expected(tb)
	scorer, classes, err := m.(*onnxModel).bind(frame.Columns)
	if err != nil {
		tb.Fatal(err)
	}
	// More than two classes are evaluated no worse, but refused: nobody said which is meant.
	if _, err := m.Bind(frame.Columns); errors.Is(err, ErrClasses) != (classes > 2) || classes > 2 != strings.HasSuffix(f.Data, "_3") {
		tb.Errorf("%d classes of %s: error %v", classes, f.Data, err)
	}
	got := make([]float64, frame.Rows)
	if err := scorer.Score(tb.Context(), frame, got); err != nil {
		tb.Fatal(err)
	}
	if len(want) != len(got) {
		tb.Fatalf("%d rows, %d expected probabilities", len(got), len(want))
	}
	for i := range want {
		diff := math.Abs(got[i] - want[i])
		if diff != diff && (got[i] == got[i] || want[i] == want[i]) {
			diff = math.Inf(1)
		}
		worst = math.Max(worst, diff)
	}
	return worst, m.Describe()
}

func TestConformance(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.Name, func(t *testing.T) {
			worst, _ := f.largestError(t)
			if worst > maxConformanceError {
				t.Errorf("the largest error is %.3g, at most %.0e is allowed", worst, maxConformanceError)
			} else {
				t.Logf("the largest error is %.3g", worst)
			}
		})
	}
}
