package demo

import (
	"encoding/csv"
	"flag"
	"math"
	"os"
	"strconv"
	"testing"

	"weir/backend/features"
	"weir/backend/model"
)

var export = flag.String("export", "", "write the population as CSV to this file, for model/train.py")

const modelPath = "model/model.onnx"

func TestModelScoresAsScikitLearnDoes(t *testing.T) {
	f, err := os.Open("model/testdata/scores.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows = rows[1:]
	var inputs, want []float64
	for _, row := range rows {
		for i, text := range row {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			if i < len(featureNames) {
				inputs = append(inputs, v)
			} else {
				want = append(want, v)
			}
		}
	}
	got := score(t, inputs)
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-6 {
			t.Errorf("row %d: got %.9f, scikit-learn says %.9f", i+2, got[i], want[i])
		}
	}
}

// TestTheCalmStreamFitsTheBaseline scores what a minute of the world asks for, by way of its feature store, and compares
// it with the file's base line: the calm world must not look like drift, whatever its seed, and fault drift must.
func TestTheCalmStreamFitsTheBaseline(t *testing.T) {
	const n = 60_000
	w := start(t, Options{Rate: NoEvents})
	store, err := features.NewFeast(features.FeastConfig{
		URL: "http://" + w.featureGate.Addr().String(), Names: featureNames, Entity: "user_id",
	})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := model.LoadONNX(modelPath)
	if err != nil {
		t.Fatal(err)
	}
	baseline := loaded.Describe().Baseline
	if len(baseline) != 20 {
		t.Fatalf("the base line has %d bins", len(baseline))
	}
	for bin, share := range baseline {
		if share < 0.005 {
			t.Errorf("bin %d of the base line holds %.4f: the predictions are not spread over 0..1", bin, share)
		}
	}
	byUser := profilesOverHTTP(t, store)
	// The chance once in a thousand, by χ² of 19 degrees of freedom.
	const limit = 43.8 / n
	for seed := range uint64(5) {
		if psi := streamPSI(t, seed, n, byUser, baseline); psi > limit {
			t.Errorf("seed %d: PSI %.5f of a calm world, want at most %.5f", seed, psi, limit)
		}
	}
	if err := w.Inject("drift", 0, 0); err != nil {
		t.Fatal(err)
	}
	if psi := streamPSI(t, 0, n, profilesOverHTTP(t, store), baseline); psi < 0.1 {
		t.Errorf("drift gives a PSI of %.4f", psi)
	} else {
		t.Logf("drift gives a PSI of %.3f", psi)
	}
}

// profilesOverHTTP asks the store for every user; users with a hole are left out, as the pipeline leaves them out.
func profilesOverHTTP(t *testing.T, store features.Store) map[string][]float64 {
	t.Helper()
	found := map[string][]float64{}
	users := population()
	for from := 0; from < len(users); from += 1000 {
		entities, rows := make([]features.Entity, 1000), make([]*features.Row, 1000)
		for i := range entities {
			entities[i].Key = users[from+i].id
		}
		if err := store.Fetch(t.Context(), entities, rows); err != nil {
			t.Fatal(err)
		}
	row:
		for i, row := range rows {
			var values []float64
			for _, v := range row.Values {
				if v.Status != features.Present {
					continue row
				}
				values = append(values, v.Number)
			}
			found[entities[i].Key] = values
		}
	}
	return found
}

// streamPSI is the population stability index of the predictions for n events against the base line.
func streamPSI(t *testing.T, seed uint64, n int, byUser map[string][]float64, baseline []float64) float64 {
	t.Helper()
	var inputs []float64
	for _, r := range stream(seed, n, 1000, eventFaults{}) {
		if r.topic == topicEvents {
			inputs = append(inputs, byUser[string(r.key)]...)
		}
	}
	counts := make([]float64, len(baseline))
	predictions := score(t, inputs)
	for _, p := range predictions {
		counts[min(int(p*float64(len(counts))), len(counts)-1)]++
	}
	psi := 0.0
	for i, expected := range baseline {
		observed := max(counts[i], 0.5) / float64(len(predictions))
		psi += (observed - expected) * math.Log(observed/expected)
	}
	return psi
}

func score(t *testing.T, inputs []float64) []float64 {
	t.Helper()
	m, err := model.LoadONNX(modelPath)
	if err != nil {
		t.Fatal(err)
	}
	frame := &model.Frame{Rows: len(inputs) / len(featureNames), Numbers: inputs}
	for _, name := range featureNames {
		frame.Columns = append(frame.Columns, model.Column{Name: name})
	}
	scorer, err := m.Bind(frame.Columns)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, frame.Rows)
	if err := scorer.Score(t.Context(), frame, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestExportPopulation(t *testing.T) {
	if *export == "" {
		t.Skip("writes only with -export FILE")
	}
	f, err := os.Create(*export)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := csv.NewWriter(f)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(out.Write([]string{"age", "location", "click_rate_24h", "purchase_history_30d", "weight", "missing"}))
	share := weights()
	for rank, u := range population() {
		must(out.Write([]string{
			strconv.Itoa(u.age), strconv.Itoa(u.location), strconv.FormatFloat(u.clickRate, 'f', 3, 64), strconv.Itoa(u.purchases),
			strconv.FormatFloat(share[rank], 'g', 12, 64), u.missing,
		}))
	}
	out.Flush()
	must(out.Error())
}
