package model

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzONNX loads, binds and scores whatever parses: nothing may panic, hang or ask for much memory.
func FuzzONNX(f *testing.F) {
	for _, name := range []string{"logistic_4", "logistic_4_no_zipmap", "logistic_bins", "decision_tree_iris3", "knn", "knn_cdist", "svc_poly",
		"columns_ordinal_boosting", "gaussian_nb", "mlp_logistic_iris3", "lightgbm_no_zipmap", "sgd_modified_huber", "logistic_polynomial"} {
		data, err := os.ReadFile(filepath.Join("testdata", "models", name+".onnx"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		m, err := parseONNX(data)
		if err != nil {
			return
		}
		for _, inputs := range [][]Input{m.description.Inputs, {{Name: "X"}}} {
			var columns []Column
			for _, in := range inputs {
				for range min(64, max(1, in.Width)) {
					columns = append(columns, Column{in.Name, in.IsText})
				}
			}
			scorer, _, err := m.bind(columns)
			if err != nil {
				continue
			}
			const rows = 3
			frame := &Frame{Columns: columns, Rows: rows}
			for i := range rows * len(columns) {
				frame.Numbers = append(frame.Numbers, float64(i)-2.5)
				frame.Strings = append(frame.Strings, string(rune('a'+i%26)))
			}
			_ = scorer.Score(t.Context(), frame, make([]float64, rows))
		}
	})
}

// FuzzInferAnswer decodes whatever a model server might answer.
func FuzzInferAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"outputs":[{"name":"predict_proba","shape":[2,2],"datatype":"FP64","data":[0.1,0.9,0.2,0.8]}]}`,
		`{"outputs":[{"name":"predict_proba","shape":[2,2],"datatype":"FP32","data":[[0.1,0.9],[null,0.8]]}]}`,
		`{"outputs":[{"name":"predict_proba","shape":[2],"datatype":"FP64","data":[1e-3,1E400]}]}`,
		`{"error":"no"}`, `{"outputs":null}`, `[`, ``,
	} {
		f.Add([]byte(seed))
	}
	plan := &inferencePlan{output: "predict_proba"}
	f.Fuzz(func(_ *testing.T, data []byte) {
		out := []float64{7, 7, 7}
		if _, err := plan.decode(data, []int{0, 2}, out); err == nil && out[1] != 7 {
			panic("a row that was not asked for was written")
		}
	})
}

// FuzzInferenceMetadata plans requests by whatever a model server says of its model.
func FuzzInferenceMetadata(f *testing.F) {
	f.Add(`{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"p","datatype":"FP64","shape":[-1]}]}`)
	f.Add(`{"inputs":[{"name":"a","datatype":"BYTES","shape":[-1]},{"name":"b","datatype":"INT64","shape":[-1,1]}]}`)
	columns := []Column{{Name: "v:a", IsText: true}, {Name: "v:b"}}
	f.Fuzz(func(_ *testing.T, text string) {
		var told inferenceMetadata
		if json.Unmarshal([]byte(text), &told) != nil {
			return
		}
		plan, err := planInference(&told, columns, InferenceConfig{})
		if err != nil {
			return
		}
		frame := &Frame{Columns: columns, Rows: 1, Numbers: []float64{0, 1.5}, Strings: []string{"x", ""}}
		if plan.canSend(frame, 0) && !json.Valid(plan.encode(nil, frame, []int{0})) {
			panic("the request is no JSON")
		}
	})
}
