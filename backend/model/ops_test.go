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
