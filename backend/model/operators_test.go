package model

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// operatorCase is a graph of one operator, rows for it and what onnxruntime makes of them (testdata/operators.py).
type operatorCase struct {
	Model   string     `json:"model"`
	Columns int        `json:"columns"`
	Rows    []*float64 `json:"rows"` // null is NaN, 1e300 infinity
	Want    []*float64 `json:"want"`
}

func floatsOf(v []*float64) []float64 {
	out := make([]float64, len(v))
	for i, p := range v {
		if out[i] = math.NaN(); p != nil {
			out[i] = *p
			if math.Abs(*p) >= 1e300 {
				out[i] = math.Inf(int(math.Copysign(1, *p)))
			}
		}
	}
	return out
}

func TestOperatorsAgainstONNXRuntime(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "operators.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]operatorCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			file, err := base64.StdEncoding.DecodeString(c.Model)
			if err != nil {
				t.Fatal(err)
			}
			proto, err := readModel(file)
			if err != nil {
				t.Fatal(err)
			}
			outputs := proto.graph.outputs
			p, err := compile(proto.graph, []string{outputs[len(outputs)-1].name}, proto.opsets, nil)
			if err != nil {
				t.Fatal(err)
			}
			m := newMachine(p)
			x := &m.slots[p.inSlots[0]]
			rows := floatsOf(c.Rows)
			if err := x.reset(p.inputs[0].elem, shapeOf(len(rows)/c.Columns, c.Columns)); err != nil {
				t.Fatal(err)
			}
			copy(x.num, rows)
			if err := m.run(); err != nil {
				t.Fatal(err)
			}
			tolerance := 2e-5
			if strings.Contains(name, "probit") {
				tolerance = 1e-3 // onnxruntime approximates the inverse error function
			}
			got, want := m.slots[p.outputs[0]].num, floatsOf(c.Want)
			if len(got) != len(want) {
				t.Fatalf("%d values, want %d", len(got), len(want))
			}
			for i := range want {
				same := math.Abs(got[i]-want[i]) <= tolerance*math.Max(1, math.Abs(want[i])) || got[i] != got[i] && want[i] != want[i]
				if !same && got[i] != want[i] {
					t.Fatalf("value %d is %.9g, want %.9g\n got %.4g\nwant %.4g", i, got[i], want[i], got[:min(12, len(got))], want[:min(12, len(want))])
				}
			}
		})
	}
}
