package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/backend/event"
	"weir/backend/features"
	"weir/backend/model"
)

// deliveries runs a test in both delivery modes.
func deliveries(t *testing.T, test func(t *testing.T, w *world, c Config), partitions int32) {
	t.Parallel()
	for _, delivery := range []string{AtLeastOnce, ExactlyOnce} {
		t.Run(delivery, func(t *testing.T) {
			w := newWorld(t, partitions)
			c := w.config()
			c.Delivery = delivery
			test(t, w, c)
		})
	}
}

func TestEverythingComesOutOnce(t *testing.T) { deliveries(t, testEverythingComesOutOnce, 6) }

func testEverythingComesOutOnce(t *testing.T, w *world, c Config) {
	const n = 5000
	w.produce(events(0, n)...)
	e, stop := w.run(c)
	w.until("all are predicted and off the account", func() bool { s := e.Snapshot(); return s.Predicted >= n && s.Consumed >= n && s.Lag == 0 })
	s := e.Snapshot()
	if s.State != Running || s.Predicted != n || s.Consumed != n || s.DeadLettered != 0 || s.Redelivered != 0 {
		t.Errorf("snapshot: %+v", s)
	}
	if len(s.Partitions) != 6 || s.Lag != 0 {
		t.Errorf("lag %d over %d partitions", s.Lag, len(s.Partitions))
	}
	if s.Processing.Count != n || s.EndToEnd.Count != n || s.Processing.P99 <= 0 {
		t.Errorf("latencies: %+v %+v", s.Processing, s.EndToEnd)
	}
	sum := uint64(0)
	for _, c := range s.Histogram {
		sum += c
	}
	if sum != n {
		t.Errorf("the histogram holds %d predictions, want %d", sum, n)
	}
	stop()
	if s := e.Snapshot(); s.State != Stopped || len(s.Partitions) != 0 {
		t.Errorf("after the stop: %s with %d partitions", s.State, len(s.Partitions))
	}
	got := w.predictions()
	if len(got) != n {
		t.Fatalf("%d users have predictions, want %d", len(got), n)
	}
	for i := range n {
		user := fmt.Sprintf("u%d", i)
		p := got[`"`+user+`"`]
		if len(p) != 1 {
			t.Fatalf("%s has %d predictions", user, len(p))
		}
		if want := scoreOf(featuresOf(user)); math.Abs(*p[0].Prediction-want) > 1e-12 || string(p[0].Timestamp) != `"2026-11-22T07:00:00Z"` || p[0].ModelVersion != "v2.1" {
			t.Fatalf("%s: got %+v, want %g", user, p[0], want)
		}
	}
	for _, m := range w.read(w.topic + ".predictions") {
		if len(got[`"`+string(m.Key)+`"`]) != 1 {
			t.Fatalf("the key %q is no user", m.Key)
		}
	}
}

func TestGarbageBecomesDeadLetters(t *testing.T) {
	w := newWorld(t, 3)
	w.store.missing["u7"] = features.NotFound
	big := `{"user_id":"big","timestamp":1,"padding":"` + strings.Repeat("x", 900_000) + `"}`
	values := []string{
		event1(1), `{"user_id":17,"timestamp":1700000000.5}`, `{"user_id":"trunc`, "\xff\xfe\x00 raw \x1b[31mbytes", "",
		`{"timestamp":"2026-11-22T07:00:00Z"}`, event1(7), `{"user_id":"nan","timestamp":1}`, big, strings.Repeat("[", 10_000),
	}
	w.produce(values...)
	e, _ := w.run(w.config())
	w.until("every record is out", func() bool { s := e.Snapshot(); return s.Predicted+s.DeadLettered >= uint64(len(values)) })
	got := w.predictions()
	if want := []string{`"big"`, `"nan"`, `"u1"`, `17`}; fmt.Sprint(users(got)) != fmt.Sprint(want) {
		t.Errorf("predictions for %v, want %v", users(got), want)
	}
	if string(got["17"][0].Timestamp) != "1700000000.5" {
		t.Errorf("the timestamp became %s", got["17"][0].Timestamp)
	}
	dead := w.read(w.topic + ".dead")
	stages := map[string]string{}
	for _, m := range dead {
		h := headers(m)
		stages[string(m.Value)] = h[HeaderStage]
		if h[HeaderTopic] != w.topic || h[HeaderPartition] == "" || h[HeaderOffset] == "" || h[HeaderReason] == "" || h["trace"] == "" ||
			!strings.HasPrefix(string(m.Key), "key-") {
			t.Errorf("headers %v, key %q", h, m.Key)
		}
		if at, err := time.Parse(time.RFC3339Nano, h[HeaderTime]); err != nil || time.Since(at) > time.Minute {
			t.Errorf("time %q", h[HeaderTime])
		}
	}
	for value, stage := range map[string]string{
		values[2]: "decode", values[3]: "decode", values[4]: "decode", values[5]: "entity", values[6]: "features", values[9]: "decode",
	} {
		if stages[value] != stage {
			t.Errorf("%.40q went to stage %q, want %q", value, stages[value], stage)
		}
	}
	if len(dead) != 6 {
		t.Errorf("%d dead letters, want 6", len(dead))
	}
	s := e.Snapshot()
	if len(s.Dead) != 6 || s.DeadLettered != 6 {
		t.Fatalf("the snapshot shows %d dead letters of %d", len(s.Dead), s.DeadLettered)
	}
	for _, d := range s.Dead {
		if strings.ContainsRune(d.Sample.String(), 0x1b) {
			t.Errorf("sample %q", d.Sample)
		}
	}
}

func TestOnMissing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		policy   string
		defaults map[string]float64
		want     float64 // NaN: a dead letter
	}{
		{MissingDeadLetter, nil, math.NaN()},
		{MissingDefault, map[string]float64{"user_behavior:click_rate_24h": 0.25}, scoreOf(func() (float64, float64) { a, _ := featuresOf("u1"); return a, 0.25 }())},
		{MissingDefault, nil, math.NaN()},
		{MissingNaN, nil, math.NaN()}, // this model cannot take it
	} {
		t.Run(fmt.Sprint(test.policy, test.defaults), func(t *testing.T) {
			w := newWorld(t, 1)
			w.store.missing["u1"] = features.NullValue
			w.produce(event1(1))
			c := w.config()
			c.OnMissing, c.Defaults = test.policy, test.defaults
			e, _ := w.run(c)
			w.until("it is out", func() bool { s := e.Snapshot(); return s.Predicted+s.DeadLettered == 1 })
			s := e.Snapshot()
			if s.Features.Missing != 1 || s.Features.OnMissing != test.policy {
				t.Errorf("features: %+v", s.Features)
			}
			if math.IsNaN(test.want) {
				if s.DeadLettered != 1 {
					t.Fatalf("%d dead letters", s.DeadLettered)
				}
				return
			}
			if got := *w.predictions()[`"u1"`][0].Prediction; math.Abs(got-test.want) > 1e-12 {
				t.Fatalf("got %g, want %g", got, test.want)
			}
		})
	}
}

func TestWaitsForTheFeatureStore(t *testing.T) { deliveries(t, testWaitsForTheFeatureStore, 3) }

func testWaitsForTheFeatureStore(t *testing.T, w *world, c Config) {
	w.store.setAway(errors.New("connection refused"))
	w.produce(events(0, 2000)...)
	e, stop := w.run(c)
	w.until("it says what it waits for", func() bool {
		s := e.Snapshot()
		return s.State == Waiting && strings.Contains(s.Waiting.String(), "connection refused")
	})
	w.until("the lag shows", func() bool { return e.Snapshot().Lag == 2000 })
	if s := e.Snapshot(); s.Predicted+s.DeadLettered != 0 || s.Features.State != "down" {
		t.Fatalf("invented something: %+v", s)
	}
	w.until("the log tells of it", func() bool { // and not necessarily last: the partitions are told of once a second
		return slices.ContainsFunc(e.Snapshot().Log, func(ev event.Event) bool { return strings.HasPrefix(ev.Message.String(), "waits: ") })
	})
	w.store.setAway(nil)
	w.until("all are predicted", func() bool { return e.Snapshot().Predicted >= 2000 })
	if s := e.Snapshot(); s.State != Running || !s.Waiting.IsEmpty() || s.Features.State != "ok" {
		t.Errorf("state %s, waiting %q, features %s", s.State, s.Waiting, s.Features.State)
	}
	stop()
	if got := w.predictions(); len(got) != 2000 {
		t.Fatalf("%d users", len(got))
	}
	var told []string
	for _, ev := range e.Snapshot().Log {
		told = append(told, string(ev.Severity)+" "+ev.Message.String())
	}
	all := strings.Join(told, "\n")
	if !strings.Contains(all, "warning waits: the feature store is away: connection refused") || !strings.Contains(all, "recovered goes on after") {
		t.Errorf("the log says:\n%s", all)
	}
}

func TestStopsWhileTheFeatureStoreIsAway(t *testing.T) {
	w := newWorld(t, 3)
	w.store.setAway(errors.New("connection refused"))
	w.produce(events(0, 100)...)
	e, stop := w.run(w.config())
	w.until("it waits", func() bool { return e.Snapshot().State == Waiting })
	begun := time.Now()
	stop()
	if d := time.Since(begun); d >= drainPatience {
		t.Errorf("took %v to stop, as long as if there were hope for what is in hand", d)
	}
	w.store.setAway(nil)
	e, _ = w.run(w.config())
	w.until("all are predicted", func() bool { return e.Snapshot().Predicted == 100 })
}

func TestGoesOnFromCommittedOffsets(t *testing.T) { deliveries(t, testGoesOnFromCommittedOffsets, 4) }

func testGoesOnFromCommittedOffsets(t *testing.T, w *world, c Config) {
	for round := range 3 {
		w.produce(events(round*1000, (round+1)*1000)...)
		e, stop := w.run(c)
		w.until("all are predicted", func() bool { return e.Snapshot().Predicted >= 1000 })
		stop()
		if s := e.Snapshot(); s.Predicted != 1000 {
			t.Fatalf("round %d: %d predicted", round, s.Predicted)
		}
	}
	got := w.predictions()
	if len(got) != 3000 {
		t.Fatalf("%d users, want 3000", len(got))
	}
	for user, p := range got {
		if len(p) != 1 {
			t.Fatalf("%s has %d predictions", user, len(p))
		}
	}
}

// TestLatestSkipsNothingAfterTheFirstStart starts at the end, and then misses nothing that came while nobody ran, not
// even in partitions that had no record before.
func TestLatestSkipsNothingAfterTheFirstStart(t *testing.T) {
	w := newWorld(t, 4)
	w.produce(events(0, 100)...)
	c := w.config()
	c.Start = "latest"
	e, stop := w.run(c)
	w.until("the partitions are assigned", func() bool { return len(e.Snapshot().Partitions) == 4 })
	stop()
	w.produce(events(100, 200)...)
	e, _ = w.run(c)
	w.until("the new ones are predicted", func() bool { return e.Snapshot().Predicted >= 100 })
	if got := w.predictions(); len(got) != 100 || len(got[`"u150"`]) != 1 {
		t.Fatalf("%d users", len(got))
	}
}

func TestRebalanceLosesNothing(t *testing.T) { deliveries(t, testRebalanceLosesNothing, 12) }

func testRebalanceLosesNothing(t *testing.T, w *world, config Config) {
	const n = 20_000
	w.produce(events(0, n/2)...)
	total := func(engines ...*Engine) (sum uint64) {
		for _, e := range engines {
			sum += e.Snapshot().Predicted
		}
		return sum
	}
	a, _ := w.run(config)
	w.until("one member works", func() bool { return total(a) > 0 })
	b, stopB := w.run(config)
	c, _ := w.run(config)
	w.until("three share the partitions", func() bool {
		na, nb, nc := len(a.Snapshot().Partitions), len(b.Snapshot().Partitions), len(c.Snapshot().Partitions)
		return na == 4 && nb == 4 && nc == 4
	})
	w.produce(events(n/2, 3*n/4)...)
	stopB()
	w.produce(events(3*n/4, n)...)
	w.until("all are predicted", func() bool { return total(a, b, c) >= n })
	got := w.predictions()
	if len(got) != n {
		t.Fatalf("%d users, want %d", len(got), n)
	}
	again := 0
	for _, p := range got {
		again += len(p) - 1
	}
	if again > 0 {
		t.Errorf("%d predictions came twice though every member left in order", again)
	}
}

func TestPause(t *testing.T) {
	w := newWorld(t, 2)
	w.produce(events(0, 100)...)
	e, _ := w.run(w.config())
	w.until("all are predicted", func() bool { return e.Snapshot().Predicted == 100 })
	e.Pause()
	if s := e.Snapshot().State; s != Paused {
		t.Errorf("state %s", s)
	}
	w.produce(events(100, 5000)...)
	w.until("the lag shows", func() bool { return e.Snapshot().Lag == 4900 })
	if p := e.Snapshot().Predicted; p != 100 {
		t.Errorf("%d predicted while paused", p)
	}
	e.Resume()
	w.until("the rest is predicted", func() bool { return e.Snapshot().Predicted == 5000 })
	if s := e.Snapshot().State; s != Running {
		t.Errorf("state %s", s)
	}
}

func TestWaitsForTheTopic(t *testing.T) {
	w := newWorld(t, 0)
	e, _ := w.run(w.config())
	w.until("it names the topic", func() bool {
		s := e.Snapshot()
		return s.State == Waiting && strings.Contains(s.Waiting.String(), `"`+w.topic+`"`) && strings.Contains(s.Waiting.String(), "does not exist")
	})
	w.connect(2)
	w.produce(events(0, 10)...)
	w.until("all are predicted", func() bool { return e.Snapshot().Predicted == 10 })
}

func TestWaitsForTheBroker(t *testing.T) {
	w := newWorld(t, 0)
	c := w.config()
	c.Cluster = nowhere(t)
	e, stop := w.run(c)
	w.until("it names the broker", func() bool {
		s := e.Snapshot()
		return s.State == Waiting && strings.Contains(s.Waiting.String(), "127.0.0.1:1")
	})
	stop()
}

func TestRefusesAModelThatDoesNotFit(t *testing.T) {
	w := newWorld(t, 1)
	for name, load := range map[string]func(context.Context) (model.Model, error){
		"mismatch": func(context.Context) (model.Model, error) { return narrow{}, nil },
		"broken":   func(context.Context) (model.Model, error) { return nil, errors.New("not ONNX") },
	} {
		c := w.config()
		c.LoadModel = load
		e := New(c)
		err := e.Run(context.Background())
		if err == nil || name == "mismatch" != errors.Is(err, ErrModelMismatch) {
			t.Errorf("%s: %v", name, err)
		}
		if s := e.Snapshot().State; s != Stopped {
			t.Errorf("%s: state %s", name, s)
		}
	}
}

type narrow struct{ linear }

func (narrow) Bind([]model.Column) (model.Scorer, error) {
	return nil, errors.New("the model wants 1 column")
}
