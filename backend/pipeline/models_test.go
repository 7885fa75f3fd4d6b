package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/features"
	"weir/backend/model"
)

// described is a linear model that says who it is.
type described struct {
	*linear
	description model.Description
}

func (d *described) Describe() model.Description { return d.description }

func modelNamed(fingerprint string, more ...func(*model.Description)) *described {
	d := linear{}.Describe()
	if d.Fingerprint = fingerprint; fingerprint != "" {
		d.Revision = fingerprint[:2]
	}
	for _, change := range more {
		change(&d)
	}
	return &described{new(linear), d}
}

// coming is what NextModel tells of.
type coming struct {
	model model.Model
	err   error
}

// answeredEvents are the events that a prediction or a dead letter was acknowledged of, each once: at-least-once may deliver
// one again, which no count of predictions tells from the next.
type answeredEvents struct {
	mu     sync.Mutex
	events map[string]struct{}
}

func (a *answeredEvents) add(b *batch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.events == nil {
		a.events = make(map[string]struct{})
	}
	for _, r := range b.records {
		a.events[string(r.Value)] = struct{}{}
	}
}

func (a *answeredEvents) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.events)
}

// TestModelsThatCome swaps models in while events flow; each batch is scored by one of them, and none is lost.
func TestModelsThatCome(t *testing.T) {
	w := newWorld(t, 2)
	c := w.config()
	news := make(chan coming)
	first := modelNamed("aa11")
	c.LoadModel = func(context.Context) (model.Model, error) { return first, nil }
	c.NextModel = func(ctx context.Context) (model.Model, error) {
		select {
		case n := <-news:
			return n.model, n.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var answered answeredEvents
	e, _ := w.runWith(c, func(e *Engine) { e.stats.watch = answered.add })
	total := 0
	t.Cleanup(func() {
		if s := e.Snapshot(); t.Failed() {
			t.Logf("of %d events %d were answered: %d consumed, %d predicted, %d again, %d stalls, state %s %s, partitions %+v, log %v", total, answered.len(),
				s.Consumed, s.Predicted, s.Redelivered, s.Stalls, s.State, s.Waiting, s.Partitions, s.Log)
		}
	})
	predicted := func() {
		t.Helper()
		w.produce(events(total, total+10)...)
		total += 10
		w.until("they are predicted", func() bool { return answered.len() == total })
	}
	inForce := func(version string) {
		t.Helper()
		w.until(version+" is in force", func() bool { return e.Snapshot().Model.Version.String() == version })
		predicted()
	}
	told := func(text string) (n int) {
		for _, ev := range e.Snapshot().Log {
			if strings.Contains(ev.Message.String(), text) {
				n++
			}
		}
		return n
	}
	inForce("v2.1")
	news <- coming{model: modelNamed("bb22")}
	inForce("v2.1+bb")
	news <- coming{model: modelNamed("cc33", func(d *model.Description) { d.Version = "v2.2" })}
	inForce("v2.2")
	for i, bad := range []coming{{err: errors.New("half a file")}, {model: narrow{}}} {
		news <- bad
		w.until("it is told", func() bool { return told("refused") == i+1 })
		inForce("v2.2")
	}
	if told("half a file") != 1 || told("wants 1 column") != 1 {
		t.Errorf("the log does not say why: %v", e.Snapshot().Log)
	}
	if version, err := e.RollbackModel(); err != nil || version != "v2.1+bb" {
		t.Errorf("rolled back to %q, error %v", version, err)
	}
	inForce("v2.1+bb")
	news <- coming{model: first}
	inForce("v2.1")

	want := map[string]int{"v2.1": 20, "v2.1+bb": 20, "v2.2": 30}
	got, seen := map[string]int{}, w.predictions()
	for i := range total {
		ps := seen[fmt.Sprintf("\"u%d\"", i)]
		if len(ps) == 0 {
			t.Fatalf("u%d has no prediction", i)
		}
		got[ps[0].ModelVersion]++ // what is delivered once more may come to a later model
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("predictions by version %v, want %v", got, want)
	}
}

// TestABatchOnItsWayWhenTheModelIsSwapped is no prediction of the new model: it would be measured against a base line
// that is not its own.
func TestABatchOnItsWayWhenTheModelIsSwapped(t *testing.T) {
	e := New(Config{Store: newFakeStore(), LoadModel: func(context.Context) (model.Model, error) { return modelNamed("aa11"), nil }})
	if err := e.loadModel(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &scorer{f: e.newFlow(nil, nil)}
	scored := func() *batch {
		b := newBatch()
		b.add(&claim{}, []*sarama.ConsumerMessage{{Value: []byte(event1(1))}}, time.Now())
		if !s.run(b) {
			t.Fatal("it was not scored")
		}
		return b
	}
	counted := func() (n uint64) {
		for _, c := range e.Snapshot().Histogram {
			n += c
		}
		return n
	}
	e.stats.acknowledged(scored(), time.Now())
	if n := counted(); n != 1 {
		t.Errorf("the histogram counts %d predictions of the first model, want 1", n)
	}
	late := scored()
	if err := e.SwapModel(modelNamed("bb22"), "second"); err != nil {
		t.Fatal(err)
	}
	e.stats.acknowledged(late, time.Now())
	if n := counted(); n != 0 {
		t.Errorf("the histogram counts %d predictions before the second model made one", n)
	}
	e.stats.acknowledged(scored(), time.Now())
	if n := counted(); n != 1 || e.Snapshot().Predicted != 3 {
		t.Errorf("the histogram counts %d predictions of the second model, want 1; %d in all, want 3", n, e.Snapshot().Predicted)
	}
}

// answering is a scorer of a server that says which revision scored.
type answering struct {
	*described
	revision *string
}

func (a answering) Bind([]model.Column) (model.Scorer, error) { return a, nil }
func (a answering) Revision() string                          { return *a.revision }

// TestPredictionsSayWhichAnswerTheyCameFrom: a server may change its model between two batches.
func TestPredictionsSayWhichAnswerTheyCameFrom(t *testing.T) {
	revision := ""
	served := answering{modelNamed("", func(d *model.Description) { d.Revision = "" }), &revision}
	e := New(Config{Store: newFakeStore(), ModelVersion: "churn", LoadModel: func(context.Context) (model.Model, error) { return served, nil }})
	if err := e.loadModel(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &scorer{f: e.newFlow(nil, nil)}
	for _, c := range []struct{ revision, version string }{{"", "churn"}, {"7", "churn"}, {"8", "churn+8"}, {"7", "churn"}, {"8", "churn+8"}} {
		revision = c.revision
		if err := s.bind(e.model.Load()); err != nil {
			t.Fatal(err)
		}
		if got, want := s.suffix(), `,"model_version":"`+c.version+`"}`; got != want {
			t.Errorf("revision %q: %s, want %s", c.revision, got, want)
		}
	}
}

// driftWorld is an engine that does not run, whose predictions and features are put in by hand.
type driftWorld struct {
	*Engine
	t     *testing.T
	store *fakeStore
}

func newDriftWorld(t *testing.T, path string, m model.Model, d features.DriftConfig) *driftWorld {
	t.Helper()
	store := newFakeStore()
	e := New(Config{Store: features.NewDrift(store, d), Baselines: path, LoadModel: func(context.Context) (model.Model, error) { return m, nil }})
	if err := e.loadModel(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &driftWorld{e, t, store}
}

// score adds n predictions that lie at p, and as many feature rows of some users.
func (w *driftWorld) score(p float64, n int) {
	w.t.Helper()
	w.stats.mu.Lock()
	w.stats.scores.at(time.Now())[bin(p)] += uint32(n)
	w.stats.mu.Unlock()
	entities, rows := make([]features.Entity, 32), make([]*features.Row, 32)
	for from := 0; from < n; from += len(entities) {
		for i := range entities {
			entities[i].Key = fmt.Sprint("u", (from+i)%97)
		}
		if err := w.cfg.Store.Fetch(w.t.Context(), entities, rows); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestARecordedBaselineOutlastsTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "baselines.json")
	trained := func(d *model.Description) {
		d.Baseline, d.BaselineSize = make([]float64, Bins), 1000
		d.Baseline[3] = 1
	}
	a, b := modelNamed("aaaa", trained), modelNamed("bbbb", trained)
	config := features.DriftConfig{Baseline: 320}
	first := newDriftWorld(t, path, a, config)
	first.score(0.1, 2000)
	first.score(0.6, 2000)
	if s := first.Snapshot(); !s.BaselineRecorded.IsZero() || s.Baseline[3] != 1 {
		t.Errorf("before anything was recorded the baseline is %v of %v", s.Baseline, s.BaselineRecorded)
	}
	if err := first.RecordBaseline(); err != nil {
		t.Fatal(err)
	}
	first.keepFeatures(time.Now())
	if s := first.Snapshot(); s.Baseline[2] != 0.5 || s.Baseline[12] != 0.5 || s.BaselineRecorded.IsZero() || s.PSI > s.PSIThreshold {
		t.Errorf("recorded %v at %v, PSI %v", s.Baseline, s.BaselineRecorded, s.PSI)
	}

	again := newDriftWorld(t, path, a, config)
	again.score(0.6, 2000)
	s := again.Snapshot()
	if s.Baseline[2] != 0.5 || !(s.PSI > s.PSIThreshold) || !s.BaselineRecorded.Equal(first.Snapshot().BaselineRecorded) {
		t.Errorf("after a restart the baseline is %v of %v, PSI %v > %v", s.Baseline, s.BaselineRecorded, s.PSI, s.PSIThreshold)
	}
	for i, d := range s.Features.Drift {
		if d.Baseline != first.Snapshot().Features.Drift[i].Baseline || d.Baseline == 0 || d.Samples == 0 || math.IsNaN(d.PSI) {
			t.Errorf("%s after a restart: %+v", d.Name, d)
		}
	}
	if err := again.SwapModel(b, "b"); err != nil {
		t.Fatal(err)
	}
	if s := again.Snapshot(); s.Baseline[3] != 1 || !s.BaselineRecorded.IsZero() || s.Features.Drift[0].Baseline != 0 {
		t.Errorf("another model is measured against %v of %v, its features against %d values", s.Baseline, s.BaselineRecorded, s.Features.Drift[0].Baseline)
	}
	if _, err := again.RollbackModel(); err != nil {
		t.Fatal(err)
	}
	if s := again.Snapshot(); s.Baseline[2] != 0.5 || s.Features.Drift[0].Baseline == 0 {
		t.Errorf("after the rollback the baseline is %v", s.Baseline)
	}
	again.ForgetBaseline()
	if s := newDriftWorld(t, path, a, config).Snapshot(); s.Baseline[3] != 1 || !s.BaselineRecorded.IsZero() {
		t.Errorf("a forgotten baseline is back: %v", s.Baseline)
	}
	config.Encoding = "another table"
	if s := newDriftWorld(t, path, a, config).Snapshot(); s.Features.Drift[0].Baseline != 0 {
		t.Error("features are compared with those of another encoding")
	}
}

func TestFeaturesAreComparedWithTheTraining(t *testing.T) {
	trained := modelNamed("aaaa", func(d *model.Description) {
		d.Features = []model.Histogram{{Name: "age", Edges: []float64{30, 60}, Counts: []uint64{0, 0, 100, 300, 100}}}
	})
	w := newDriftWorld(t, "", trained, features.DriftConfig{})
	w.score(0.5, 2000)
	drift := w.Snapshot().Features.Drift
	if d := drift[0]; d.Baseline != 500 || d.Samples < 1000 || math.IsNaN(d.PSI) {
		t.Errorf("the feature whose training is known: %+v", d)
	}
	if d := drift[1]; !math.IsNaN(d.PSI) {
		t.Errorf("the feature whose training is not known: %+v", d)
	}
}

func TestABaselineFileThatCannotBeUsed(t *testing.T) {
	m := modelNamed("aaaa")
	for name, content := range map[string]string{"no JSON": "{", "of a later weir": `{"format": 99, "models": []}`} {
		path := filepath.Join(t.TempDir(), "baselines.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		w := newDriftWorld(t, path, m, features.DriftConfig{})
		w.score(0.1, 2000)
		if err := w.RecordBaseline(); err != nil {
			t.Fatal(err)
		}
		said := fmt.Sprint(w.Snapshot().Log)
		if !strings.Contains(said, "cannot be read") {
			t.Errorf("%s: nothing is said: %s", name, said)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		isLater := name == "of a later weir"
		if kept := string(after) == content; kept != isLater || strings.Contains(said, "ends with this process") != isLater {
			t.Errorf("%s: kept %v, said %s", name, kept, said)
		}
	}
}

// TestPSIOfASampledBaseline: a baseline is a sample itself, and the threshold allows for it.
func TestPSIOfASampledBaseline(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	draw := func(n int) (counts []uint64) {
		counts = make([]uint64, Bins)
		for range n {
			counts[bin(math.Sqrt(random.Float64()))]++
		}
		return counts
	}
	for _, c := range []struct{ size, n int }{{300, 5000}, {1000, 1000}, {20_000, 500}} {
		alarms, blind := 0, 0
		for range 2000 {
			r := recordedOf([Bins]uint64(draw(c.size)), time.Time{})
			now := draw(c.n)
			if index, threshold := psi(now, r.shares, r.n); index > threshold {
				alarms++
			}
			if index, threshold := psi(now, r.shares, 0); index > threshold {
				blind++
			}
		}
		if alarms > 20 {
			t.Errorf("baseline of %d, %d now: %d false alarms in 2000, 2 are promised; %d if the baseline's size is not known", c.size, c.n, alarms, blind)
		}
	}
}
