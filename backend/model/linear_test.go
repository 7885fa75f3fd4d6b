package model

import (
	"math"
	"slices"
	"testing"
)

// TestFoldedModelsAgreeWithTheirGraphs scores every fixture that folds both ways.
func TestFoldedModelsAgreeWithTheirGraphs(t *testing.T) {
	var folded []string
	for _, f := range fixtures(t) {
		m, err := LoadONNX(f.modelPath())
		if err != nil {
			t.Fatal(err)
		}
		o := m.(*onnxModel)
		if o.linear == nil {
			continue
		}
		folded = append(folded, f.Name)
		frame := f.rows(t)
		frame.Numbers[3] = math.NaN()
		var out [2][]float64
		for i := range out {
			scorer, err := o.Bind(frame.Columns)
			if err != nil {
				t.Fatal(err)
			}
			if _, direct := scorer.(*linearScorer); direct != (i == 0) {
				t.Fatalf("%s: scorer %T", f.Name, scorer)
			}
			out[i] = make([]float64, frame.Rows)
			if err := scorer.Score(t.Context(), frame, out[i]); err != nil {
				t.Fatal(err)
			}
			o.linear = nil
		}
		near(t, out[0], out[1], 1e-9)
	}
	for _, want := range []string{"logistic_4", "logistic_4_double", "logistic_4_no_zipmap", "logistic_scaled", "logistic_robust_double",
		"sgd_log_loss", "logistic_l1_maxabs"} {
		if !slices.Contains(folded, want) {
			t.Errorf("%s does not fold; these do: %q", want, folded)
		}
	}
}

func TestNothingElseFolds(t *testing.T) {
	for _, name := range []string{"logistic_softmax_iris3", "mlp_logistic_iris3", "logistic_bins", "forest_iris3", "sgd_normalized", "svc_linear",
		"logistic_polynomial", "one_vs_rest_iris3", "gaussian_nb", "logistic_imputed"} {
		m, err := LoadONNX(fixtureNamed(t, name).modelPath())
		if err != nil {
			t.Fatal(err)
		}
		if m.(*onnxModel).linear != nil {
			t.Errorf("%s folds into a linear model", name)
		}
	}
}
