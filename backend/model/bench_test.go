package model

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// repeated makes a frame of n rows by repeating the fixture's.
func repeated(tb testing.TB, f fixture, n int) *Frame {
	tb.Helper()
	frame := f.rows(tb)
	width := len(frame.Columns)
	for frame.Rows < n {
		rows := min(frame.Rows, n-frame.Rows)
		frame.Numbers = append(frame.Numbers, frame.Numbers[:rows*width]...)
		frame.Rows += rows
	}
	frame.Rows = n
	frame.Numbers = frame.Numbers[:n*width]
	return frame
}

func benchmarkScore(b *testing.B, name string, rows int) float64 {
	b.Helper()
	f := fixtureNamed(b, name)
	m, err := LoadONNX(f.modelPath())
	if err != nil {
		b.Fatal(err)
	}
	frame := repeated(b, f, rows)
	scorer, err := m.Bind(frame.Columns)
	if err != nil {
		b.Fatal(err)
	}
	out := make([]float64, rows)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if err := scorer.Score(b.Context(), frame, out); err != nil {
			b.Fatal(err)
		}
	}
	perRow := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / float64(rows)
	b.ReportMetric(perRow, "ns/row")
	return perRow
}

// BenchmarkLinear is a logistic regression of four features, as scikit-learn exports it.
func BenchmarkLinear(b *testing.B) {
	for _, rows := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) { benchmarkScore(b, "logistic_4", rows) })
	}
}

// BenchmarkForest is a random forest of 100 trees of depth 6 over 30 features.
func BenchmarkForest(b *testing.B) {
	for _, rows := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) { benchmarkScore(b, "forest_100x6", rows) })
	}
}

// BenchmarkModels gives every kind of model one line.
func BenchmarkModels(b *testing.B) {
	for _, name := range []string{"forest_deep", "gradient_boosting", "xgboost", "lightgbm", "hist_gradient_boosting", "logistic_scaled",
		"mlp_relu", "svc_rbf", "knn"} {
		b.Run(name, func(b *testing.B) { benchmarkScore(b, name, 1000) })
	}
}

// BenchmarkForestAgainstONNXRuntime takes turns with onnxruntime on one thread over the same batch of 1,000 rows and
// prints how many times its time weir takes (below 1 is faster). It needs python3 with onnxruntime and numpy, or another
// interpreter named by WEIR_PYTHON.
func BenchmarkForestAgainstONNXRuntime(b *testing.B) {
	for _, name := range []string{"forest_100x6", "forest_deep", "gradient_boosting", "xgboost", "lightgbm"} {
		b.Run(name, func(b *testing.B) { benchmarkTurns(b, fixtureNamed(b, name), 1000) })
	}
}

func benchmarkTurns(b *testing.B, f fixture, rows int) {
	turns := startONNXRuntime(b, f, rows)
	m, err := LoadONNX(f.modelPath())
	if err != nil {
		b.Fatal(err)
	}
	frame, out := repeated(b, f, rows), make([]float64, rows)
	scorer, err := m.Bind(frame.Columns)
	if err != nil {
		b.Fatal(err)
	}
	var ours, theirs []float64
	b.ResetTimer()
	for b.Loop() {
		began := time.Now()
		if err := scorer.Score(b.Context(), frame, out); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, float64(time.Since(began).Nanoseconds()))
		theirs = append(theirs, turns())
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	mine, other := ours[len(ours)/2], theirs[len(theirs)/2]
	b.ReportMetric(mine/float64(rows), "weir-ns/row")
	b.ReportMetric(other/float64(rows), "onnxruntime-ns/row")
	b.ReportMetric(mine/other, "ratio")
}

// startONNXRuntime starts testdata/onnxruntime_turns.py and gives what asks it for one turn, in nanoseconds.
func startONNXRuntime(b *testing.B, f fixture, rows int) func() float64 {
	b.Helper()
	python := os.Getenv("WEIR_PYTHON")
	if python == "" {
		python = "python3"
	}
	cmd := exec.CommandContext(b.Context(), python, filepath.Join("testdata", "onnxruntime_turns.py"), f.modelPath(),
		filepath.Join("testdata", "rows", f.Data+".csv"), strconv.Itoa(rows))
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Skipf("no comparison: %v", err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(output)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "ready") {
		b.Skipf("no comparison: %s has no onnxruntime with numpy", python)
	}
	return func() float64 {
		if _, err := io.WriteString(in, "\n"); err != nil {
			b.Fatal(err)
		}
		lines.Scan()
		ns, err := strconv.ParseFloat(lines.Text(), 64)
		if err != nil {
			b.Fatal(err)
		}
		return ns
	}
}
