package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"go.uber.org/goleak"

	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/model"
	"weir/backend/safego"
	"weir/backend/safetext"
)

// mine panics at whatever it is asked for while it is armed, else it does what sound parts do.
type mine struct {
	linear
	*fakeStore
	armed atomic.Pointer[string] // where it panics
}

func newMine(w *world, where string) *mine {
	m := &mine{fakeStore: w.store}
	m.armed.Store(&where)
	return m
}

func (m *mine) step(where string) {
	if *m.armed.Load() == where {
		panic("mine in " + where)
	}
}

func (m *mine) disarm() { m.armed.Store(new(string)) }

func (m *mine) Bind([]model.Column) (model.Scorer, error) { return m, nil }

// Score panics at u42's features.
func (m *mine) Score(ctx context.Context, f *model.Frame, out []float64) error {
	age, clicks := featuresOf("u42")
	for r := range f.Rows {
		if f.Numbers[2*r] == age && f.Numbers[2*r+1] == clicks {
			m.step("Score")
		}
	}
	return m.linear.Score(ctx, f, out)
}

func (m *mine) Fetch(ctx context.Context, entities []features.Entity, rows []*features.Row) error {
	m.step("Fetch")
	return m.fakeStore.Fetch(ctx, entities, rows)
}

func (m *mine) Batch(string, int64, []*sarama.ConsumerMessage) { m.step("Batch") }

func (m *mine) Masks(string, string) bool { m.step("Masks"); return false }

func (m *mine) Judge(context.Context, string, []byte, time.Time) ([]safetext.Text, []BrokenRule) {
	m.step("Judge")
	return nil, nil
}

func (m *mine) next(ctx context.Context) (model.Model, error) {
	m.step("NextModel")
	<-ctx.Done()
	return nil, ctx.Err()
}

func (m *mine) lay(c *Config) {
	c.LoadModel = func(context.Context) (model.Model, error) { return m, nil }
	c.Store, c.Tap, c.Contracts, c.NextModel = m, m, m, m.next
}

// blowsUp runs the engine until it panics by itself.
func blowsUp(t *testing.T, e *Engine, where string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := e.Run(ctx)
	var p *safego.Panic
	if !errors.As(err, &p) || err.Error() != "panic: mine in "+where || !strings.Contains(string(p.Stack), "mine)."+where) && where != "NextModel" {
		t.Fatalf("Run: %v, want the panic and its stack", err)
	}
	if s := e.Snapshot(); s.State != Stopped || len(s.Partitions) != 0 {
		t.Errorf("after it: %s with %d partitions", s.State, len(s.Partitions))
	}
}

// TestAPanicSkipsNothing has the model panic at one record each time it sees it. The run ends, and so does the next one;
// once the model is sound every event has its prediction.
func TestAPanicSkipsNothing(t *testing.T) { deliveries(t, testAPanicSkipsNothing, 3) }

func testAPanicSkipsNothing(t *testing.T, w *world, c Config) {
	const n = 1000
	m := newMine(w, "Score")
	m.lay(&c)
	c.MaxEvents = 20 // so that some batches are acknowledged before
	w.produce(events(0, n)...)
	e := New(c)
	blowsUp(t, e, "Score")
	blowsUp(t, e, "Score")
	w.committedIsPredicted(c.Group)
	m.disarm()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	w.until("nothing is left", func() bool { s := e.Snapshot(); return len(s.All) == 3 && s.GroupLag == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	got := w.predictions()
	if len(got) != n {
		t.Errorf("%d users have predictions, want %d", len(got), n)
	}
	for user, p := range got {
		if len(p) > 1 && c.Delivery == ExactlyOnce {
			t.Errorf("%s has %d predictions", user, len(p))
		}
	}
	if dead := w.read(c.DeadLetters); len(dead) > 0 {
		t.Errorf("%d dead letters", len(dead))
	}
}

// committedIsPredicted fails the test unless every record below the group's offsets has a prediction.
func (w *world) committedIsPredicted(group string) {
	w.t.Helper()
	admin, err := kafka.NewAdmin(w.cluster)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	offsets, err := admin.GroupOffsets(context.Background(), group, w.topic)
	if err != nil {
		w.t.Fatal(err)
	}
	predicted := w.predictions()
	for p, o := range offsets {
		if o.Committed < 0 {
			continue
		}
		err := admin.ReadSmall(context.Background(), w.topic, p, 0, o.Committed, func(m *sarama.ConsumerMessage) bool {
			var d decoded
			decode(m.Value, "user_id", &d)
			if len(predicted[string(d.user)]) == 0 {
				w.t.Errorf("partition %d is committed up to %d, but %s at %d has no prediction", p, o.Committed, d.user, m.Offset)
			}
			return true
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestAPanicLeavesNothingAtWork lays the mine everywhere an engine calls what others made. It is no parallel test: it
// looks at all goroutines.
func TestAPanicLeavesNothingAtWork(t *testing.T) {
	w := newWorld(struct{ testing.TB }{t}, 2)
	w.store.missing["u3"] = features.NotFound // a dead letter, for Masks
	w.produce(events(0, 100)...)
	for _, delivery := range []string{AtLeastOnce, ExactlyOnce} {
		for _, where := range []string{"Score", "Fetch", "Batch", "Masks", "NextModel"} {
			t.Run(delivery+" "+where, func(t *testing.T) {
				c := w.config()
				c.Group, c.Delivery = fmt.Sprintf("%s-%s-%s", w.topic, delivery, where), delivery
				m := newMine(w, where)
				m.lay(&c)
				before := goleak.IgnoreCurrent()
				blowsUp(t, New(c), where)
				goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*group).manage"))
			})
		}
	}
}

// TestAPanicOfAClaimEndsTheFlow: the client calls ConsumeClaim in a goroutine of its own.
func TestAPanicOfAClaimEndsTheFlow(t *testing.T) {
	f := New(Config{}).newFlow(nil, atLeastOnce{})
	defer f.stop()
	f.wg.Failed = func(p *safego.Panic) { f.cancel(p) }
	if err := f.ConsumeClaim(nil, nil); err != nil {
		t.Errorf("ConsumeClaim: %v", err)
	}
	var p *safego.Panic
	if cause := context.Cause(f.ctx); !errors.As(cause, &p) || !strings.Contains(string(p.Stack), "ConsumeClaim") {
		t.Errorf("the flow ended for %v", cause)
	}
}

// TestAPanicOfTheContractsIsNotTheSnapshots: they are asked when a watched record is shown.
func TestAPanicOfTheContractsIsNotTheSnapshots(t *testing.T) {
	w := newWorld(t, 1)
	c := w.config()
	newMine(w, "Judge").lay(&c)
	e, _ := w.run(c)
	if err := e.WatchRecords(WatchTarget{0, -1}); err != nil {
		t.Fatal(err)
	}
	w.produce(event1(1))
	w.until("it is shown", func() bool {
		s := e.Snapshot()
		return len(s.Watched) == 1 && len(s.Watched[0].Records) == 1 && s.Watched[0].Records[0].Unjudged.String() == "panic: mine in Judge"
	})
}

// TestAPanicOfAClient has goroutines of a Kafka client's own panic, in a process: its run ends, though the client may
// never, and its next run takes everything.
func TestAPanicOfAClient(t *testing.T) { deliveries(t, testAPanicOfAClient, 3) }

func testAPanicOfAClient(t *testing.T, w *world, c Config) {
	const n = 300
	users := 0
	for _, at := range []string{
		"consumer/broker/%d added subscription", // what fetches, which nothing recovers from
		"Connected to broker",
		"client/coordinator requesting",
	} {
		w.produce(events(users, users+n)...)
		users += n
		spec, err := json.Marshal(workerSpec{Brokers: w.brokers, Topic: w.topic, Delivery: c.Delivery, MaxEvents: 100, ClientMine: at})
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, "worker", "WEIR_TEST_SPEC="+string(spec))
		lag := w.lagOf(3)
		w.until("the worker has taken all, or ended", func() bool { return lag() == 0 || p.ended() })
		if p.ended() {
			p.tell()
			t.Fatalf("it ended at %q", at)
		}
		p.stop()
		w.committedIsPredicted(c.Group)
	}
	if got := w.predictions(); len(got) != users {
		t.Errorf("%d users have predictions, want %d", len(got), users)
	}
}

// TestAClientThatNeverEnds leaves behind what waits for a broken client.
func TestAClientThatNeverEnds(t *testing.T) {
	e := New(Config{})
	e.flow.Store(e.newFlow(nil, atLeastOnce{}))
	e.claims[0] = &claim{source: heldClaim{}}
	e.abandon()
	if s := e.Snapshot(); len(s.Partitions) != 0 || e.flow.Load() != nil {
		t.Errorf("%d partitions are left", len(s.Partitions))
	}
}

// brokenSession waits for a client that has panicked whenever it commits.
type brokenSession struct {
	sarama.ConsumerGroupSession
	release chan struct{}
}

func (s brokenSession) MarkOffset(string, int32, int64, string)  {}
func (s brokenSession) ResetOffset(string, int32, int64, string) {}
func (s brokenSession) Commit()                                  { <-s.release }

// TestACommandLetsGoOfABrokenClient, for it holds what keeps the next run from taking records.
func TestACommandLetsGoOfABrokenClient(t *testing.T) {
	e := New(Config{})
	e.abandonPatience = 0
	f := e.newFlow(nil, atLeastOnce{})
	release := make(chan struct{})
	f.sess = brokenSession{release: release}
	f.cancel(errors.New("a panic"))
	if _, err := f.move([]*claim{{source: heldClaim{}}}, map[int32]int64{0: 7}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a move that does not end gives %v", err)
	}
	close(release)
}
