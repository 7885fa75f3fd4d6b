package features

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// world draws rows of four features: a normal number, a count with few values, a city, and a number that misses often.
type world struct {
	random        *rand.Rand
	shift, absent float64
	city          string
}

func (w *world) rows(n int) []*Row {
	rows := make([]*Row, n)
	for i := range rows {
		v := []Value{
			{Number: w.random.NormFloat64() + w.shift},
			{Number: math.Floor(w.random.ExpFloat64() * 2)},
			{IsText: true, Text: fmt.Sprint("city-", w.random.IntN(30))},
			{Number: w.random.Float64()},
		}
		if w.city != "" && w.random.Float64() < 0.1 {
			v[2].Text = w.city
		}
		if w.random.Float64() < 0.1+w.absent {
			v[3] = Value{Status: NotFound, Number: math.NaN()}
		}
		rows[i] = &Row{Values: v}
	}
	return rows
}

func driftOf(w *world) (*driftStore, func(batches int) []Drift) {
	d := NewDrift(&fakeStoreOf{names: []string{"v:normal", "v:count", "v:city", "v:gaps"}}, DriftConfig{}).(*driftStore)
	return d, func(batches int) []Drift {
		for range batches {
			d.observe(w.rows(320), time.Now())
		}
		return d.Stats().Drift
	}
}

// fakeStoreOf is a store of no rows.
type fakeStoreOf struct {
	fakeStore
	names []string
}

func (f *fakeStoreOf) Names() []string { return f.names }

func TestDriftNamesTheFeatureThatDrifted(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*world)
		feature int
	}{
		{"nothing", func(*world) {}, -1},
		{"the mean moved", func(w *world) { w.shift = 0.3 }, 0},
		{"a new city", func(w *world) { w.city = "Atlantis" }, 2},
		{"more is missing", func(w *world) { w.absent = 0.1 }, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{random: rand.New(rand.NewPCG(5, 6))}
				_, run := driftOf(w)
				for _, d := range run(100) {
					if d.Drifted() || !math.IsNaN(d.PSI) || d.Baseline != 100*32 {
						t.Errorf("while the baseline is collected: %+v", d)
					}
				}
				run(250)
				time.Sleep(2 * time.Minute) // what settled the baseline is forgotten
				c.change(w)
				for i, d := range run(200) {
					if d.Drifted() != (i == c.feature) || d.Samples != 200*32 || d.Baseline != 10_000 {
						t.Errorf("%s: %+v", d.Name, d)
					}
				}
				time.Sleep(2 * time.Minute)
				*w = world{random: w.random}
				for _, d := range run(200) {
					if d.Drifted() {
						t.Errorf("back to normal, but %+v", d)
					}
				}
			})
		})
	}
}

// TestDriftRarelyAlarmsForNothing draws the same world many times; the threshold promises one alarm in a thousand.
func TestDriftRarelyAlarmsForNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, m := range []int{150, 1000} {
		alarms, trials := 0, 3000
		for range trials {
			before, now := make([]uint64, 20), make([]uint64, 20)
			draw := func(into []uint64, n int) {
				for range n {
					into[min(int(random.ExpFloat64()*5), 19)]++
				}
			}
			draw(before, 2000)
			draw(now, m)
			if index, threshold := psi(before, now); index > threshold {
				alarms++
			}
		}
		if share := float64(alarms) / float64(trials); share > 0.004 {
			t.Errorf("m = %d: %.2f%% false alarms, promised are 0.1%%", m, 100*share)
		}
	}
}

func TestDriftOfAConstant(t *testing.T) {
	index, threshold := psi([]uint64{0, 1000, 0}, []uint64{0, 500, 0})
	if index > threshold {
		t.Errorf("%v > %v", index, threshold)
	}
	if index, threshold := psi([]uint64{0, 1000, 0}, []uint64{0, 0, 500}); !(index > threshold) {
		t.Errorf("another constant is no drift? %v %v", index, threshold)
	}
	if index, threshold := psi([]uint64{10}, []uint64{10}); !math.IsNaN(index) || !math.IsNaN(threshold) {
		t.Errorf("ten values tell nothing: %v %v", index, threshold)
	}
}

func TestDriftDoesNotAllocate(t *testing.T) {
	w := &world{random: rand.New(rand.NewPCG(5, 6))}
	d, run := driftOf(w)
	run(400)
	rows, now := w.rows(1000), time.Now()
	if n := testing.AllocsPerRun(100, func() { d.observe(rows, now) }); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func TestAFeatureOfIdentifiersIsBounded(t *testing.T) {
	var f drifting
	for i := range 50_000 {
		f.add(&Value{IsText: true, Text: fmt.Sprint(i)}, time.Unix(0, 0), 60_000)
	}
	if len(f.texts) > maxCollectedTexts+1 {
		t.Errorf("%d texts are remembered", len(f.texts))
	}
}

// BenchmarkDriftObserve is what the observer costs a batch of 1,000 rows.
func BenchmarkDriftObserve(b *testing.B) {
	w := &world{random: rand.New(rand.NewPCG(5, 6))}
	d, run := driftOf(w)
	run(400)
	rows, now := w.rows(1000), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		d.observe(rows, now)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
}
