package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/backend/kafka"
	"weir/backend/model"
)

func TestSeek(t *testing.T) { deliveries(t, testSeek, 3) }

func testSeek(t *testing.T, w *world, c Config) {
	ctx := context.Background()
	w.produce(events(0, 900)...)
	e, _ := w.run(c)
	w.until("all are predicted", func() bool { return e.Snapshot().Predicted == 900 })

	moves, err := e.Seek(ctx, Position{Partition: 1, Offset: 200})
	if err != nil || len(moves) != 1 || moves[0] != (Move{1, 300, 200}) {
		t.Fatalf("moves %+v, error %v", moves, err)
	}
	w.until("the 100 come again", func() bool { return e.Snapshot().Predicted == 1000 })
	w.until("they count as redelivered", func() bool { return e.Snapshot().Redelivered == 100 })

	moves, err = e.Seek(ctx, Position{Partition: -1, Time: time.Now().Add(-time.Hour)})
	if err != nil || len(moves) != 3 || moves[2].To != 0 {
		t.Fatalf("moves %+v, error %v", moves, err)
	}
	w.until("all come again", func() bool { return e.Snapshot().Predicted == 1900 })

	e.Pause()
	w.produce(events(900, 1200)...)
	if moves, err = e.Seek(ctx, Position{Partition: -1, Offset: Newest}); err != nil || moves[0].To != 400 {
		t.Fatalf("moves %+v, error %v", moves, err)
	}
	e.Resume()
	w.produce(events(1200, 1203)...)
	w.until("only what came after is predicted", func() bool { return e.Snapshot().Predicted == 1903 })
	if moves, err = e.Seek(ctx, Position{Partition: 0, Offset: 1 << 40}); err != nil || moves[0].To != 401 {
		t.Fatalf("beyond the end: moves %+v, error %v", moves, err)
	}
	w.until("it holds its partitions again", func() bool { return len(e.Snapshot().Partitions) == 3 })
	if _, err := e.Seek(ctx, Position{Partition: 17}); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("a partition nobody holds: %v", err)
	}
	if got := w.predictions(); len(got) != 903 || len(got[`"u950"`]) != 0 {
		t.Fatalf("%d users have predictions", len(got))
	}
}

func TestDrainAndResume(t *testing.T) { deliveries(t, testDrainAndResume, 4) }

func testDrainAndResume(t *testing.T, w *world, c Config) {
	w.produce(events(0, 1000)...)
	a, _ := w.run(c)
	w.until("it works", func() bool { return a.Snapshot().Predicted == 1000 })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := a.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if s := a.Snapshot(); s.State != Stopped || len(s.Partitions) != 0 {
		t.Fatalf("state %s with %d partitions", s.State, len(s.Partitions))
	}
	w.produce(events(1000, 2000)...)
	b, stopB := w.run(c)
	w.until("another takes over", func() bool { return b.Snapshot().Predicted == 1000 })
	stopB()
	a.Resume()
	w.produce(events(2000, 3000)...)
	w.until("it takes part again", func() bool { return a.Snapshot().Predicted == 2000 })
	got := w.predictions()
	if len(got) != 3000 {
		t.Fatalf("%d users", len(got))
	}
	for user, p := range got {
		if len(p) != 1 {
			t.Fatalf("%s has %d predictions", user, len(p))
		}
	}
}

// TestResumeEndsADrain that is still at work: what it waits for does not come any more.
func TestResumeEndsADrain(t *testing.T) {
	w := newWorld(t, 1)
	w.store.setAway(errors.New("connection refused"))
	w.produce(events(0, 10)...)
	e, _ := w.run(w.config())
	w.until("it waits with records in hand", func() bool { s := e.Snapshot(); return s.State == Waiting && s.Consumed > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Drain(ctx) }()
	w.until("it drains", func() bool { shut, _ := e.want.state(); return shut })
	e.Resume()
	if err := <-done; err != nil && !errors.Is(err, ErrResumed) { // nil: it was faster
		t.Error(err)
	}
	w.store.setAway(nil)
	w.until("all are predicted", func() bool { return e.Snapshot().Predicted >= 10 })
}

// constant says the same of everybody.
type constant struct {
	linear
	p float64
}

func (c constant) Bind([]model.Column) (model.Scorer, error) { return c, nil }
func (c constant) Score(_ context.Context, f *model.Frame, out []float64) error {
	for i := range f.Rows {
		out[i] = c.p
	}
	return nil
}

func TestSwapModel(t *testing.T) {
	w := newWorld(t, 2)
	e, _ := w.run(w.config())
	if _, err := e.RollbackModel(); !errors.Is(err, ErrNoOldModel) {
		t.Fatalf("nothing to go back to: %v", err)
	}
	step := func(from, to int) {
		w.produce(events(from, to)...)
		w.until("they are predicted", func() bool { return e.Snapshot().Predicted == uint64(to) })
	}
	step(0, 10)
	if err := e.SwapModel(narrow{}, "v0"); !errors.Is(err, ErrModelMismatch) {
		t.Fatalf("a model that does not fit: %v", err)
	}
	if err := e.SwapModel(constant{p: 0.25}, "v3"); err != nil {
		t.Fatal(err)
	}
	step(10, 20)
	if s := e.Snapshot(); s.Model.Version.String() != "v3" || s.Histogram[5] != 10 {
		t.Errorf("model %s, histogram %v", s.Model.Version, s.Histogram)
	}
	if version, err := e.RollbackModel(); err != nil || version != "v2.1" {
		t.Fatalf("rolled back to %q, %v", version, err)
	}
	step(20, 30)
	got := w.predictions()
	for i := range 30 {
		user := fmt.Sprintf("u%d", i)
		p := got[`"`+user+`"`][0]
		version, want := "v2.1", scoreOf(featuresOf(user))
		if i/10 == 1 {
			version, want = "v3", 0.25
		}
		if p.ModelVersion != version || math.Abs(*p.Prediction-want) > 1e-12 {
			t.Fatalf("%s: %s says %g, want %s and %g", user, p.ModelVersion, *p.Prediction, version, want)
		}
	}
}

func TestRecordBaseline(t *testing.T) {
	w := newWorld(t, 2)
	e, _ := w.run(w.config())
	if err := e.RecordBaseline(); err == nil {
		t.Fatal("a baseline of nothing was taken")
	}
	if s := e.Snapshot(); !math.IsNaN(s.PSI) {
		t.Fatalf("PSI %g without a baseline", s.PSI)
	}
	w.produce(events(0, 2000)...)
	w.until("they are predicted", func() bool { return e.Snapshot().Predicted == 2000 })
	if err := e.RecordBaseline(); err != nil {
		t.Fatal(err)
	}
	if s := e.Snapshot(); !(s.PSI <= s.PSIThreshold) || s.Baseline == nil {
		t.Errorf("PSI %g, threshold %g right after", s.PSI, s.PSIThreshold)
	}
	drifted := make([]string, 2000) // one user again and again
	for i := range drifted {
		drifted[i] = event1(7)
	}
	w.produce(drifted...)
	w.until("they are predicted", func() bool { return e.Snapshot().Predicted == 4000 })
	if s := e.Snapshot(); !(s.PSI > s.PSIThreshold) {
		t.Errorf("PSI %g, threshold %g after a drift", s.PSI, s.PSIThreshold)
	}
}

// TestGroupLag looks at the group from a member that holds half of the partitions.
func TestGroupLag(t *testing.T) {
	w := newWorld(t, 4)
	a, _ := w.run(w.config())
	b, _ := w.run(w.config())
	w.until("two share the partitions", func() bool { return len(a.Snapshot().Partitions) == 2 && len(b.Snapshot().Partitions) == 2 })
	a.Pause()
	b.Pause()
	w.produce(events(0, 1000)...)
	w.until("both tell of the whole lag", func() bool {
		s, o := a.Snapshot(), b.Snapshot()
		return s.GroupLag == 1000 && o.GroupLag == 1000 && s.Lag == 500 && o.Lag == 500
	})
	mine := 0
	for _, p := range a.Snapshot().All {
		if p.Mine {
			mine++
		}
	}
	if n := len(a.Snapshot().All); n != 4 || mine != 2 {
		t.Errorf("%d partitions, %d of them mine", n, mine)
	}
	if d := a.Snapshot().DrainsIn; d != Never {
		t.Errorf("a paused pipeline drains in %v", d)
	}
	a.Resume()
	b.Resume()
	w.until("the lag is gone", func() bool { return a.Snapshot().GroupLag == 0 && a.Snapshot().DrainsIn == 0 })
}

func TestDrainsIn(t *testing.T) {
	for _, c := range []struct {
		lag                 int64
		perSecond, arriving float64
		want                time.Duration
	}{{0, 0, 0, 0}, {100, 0, 0, Never}, {100, 60, 10, 2 * time.Second}, {100, 10, 10, Never}, {100, 10, -5, 10 * time.Second}, {1 << 60, 1, 0, Never}} {
		if got := drainsIn(c.lag, c.perSecond, c.arriving); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

// TestPauseAndResumeWhileACommandIsAtWork: a seek that still waits for what is in hand neither undoes a pause that comes
// meanwhile nor lets a resume bring records in under it.
func TestPauseAndResumeWhileACommandIsAtWork(t *testing.T) {
	w := newWorld(t, 1)
	w.store.setAway(errors.New("connection refused"))
	w.produce(events(0, 10)...)
	e, _ := w.run(w.config())
	w.until("it waits with records in hand", func() bool { s := e.Snapshot(); return s.State == Waiting && s.Consumed > 0 })
	seek := func(meanwhile func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := e.Seek(ctx, Position{Partition: 0, Offset: Oldest})
			done <- err
		}()
		w.until("the seek holds records back", func() bool {
			e.gate.mu.Lock()
			defer e.gate.mu.Unlock()
			return e.gate.held
		})
		meanwhile()
		cancel()
		if err := <-done; err == nil {
			t.Fatal("the seek went on with records in hand")
		}
	}
	seek(e.Pause)
	if shut, _ := e.gate.state(); !shut || e.Snapshot().State != Paused {
		t.Fatalf("the gate is shut: %v, the state is %s", shut, e.Snapshot().State)
	}
	seek(func() {
		e.Resume()
		if shut, _ := e.gate.state(); !shut {
			t.Error("records come in under a seek")
		}
	})
	w.store.setAway(nil)
	w.until("all are predicted", func() bool { return e.Snapshot().Predicted == 10 })
}

// refusing makes a broker refuse commits while on.
type refusing struct {
	on      atomic.Bool
	refused atomic.Int32
}

func (r *refusing) control(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !r.on.Load() {
			return nil, nil, false
		}
		r.refused.Add(1)
		request := q.(*kmsg.OffsetCommitRequest)
		response := request.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, t := range request.Topics {
			topic := kmsg.OffsetCommitResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: kerr.RebalanceInProgress.Code})
			}
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})
}

// newRefusingWorld is a world of its own with a broker that refuses commits on demand.
func newRefusingWorld(t *testing.T, partitions int32) (*world, *refusing) {
	t.Helper()
	broker := new(refusing)
	w, cluster := newControlledWorld(t, partitions)
	broker.control(cluster)
	return w, broker
}

// newControlledWorld has a broker that a test can make refuse what it is asked.
func newControlledWorld(t *testing.T, partitions int32) (*world, *kfake.Cluster) {
	t.Helper()
	if os.Getenv("WEIR_KAFKA") != "" {
		t.Skip("a real broker does not refuse on demand")
	}
	w := newWorld(t, 0)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w.brokers = cluster.ListenAddrs()
	w.connect(partitions)
	return w, cluster
}

// committed is the group's offset of a partition, as the broker has it.
func (w *world) committed(partition int32) int64 {
	w.t.Helper()
	admin, err := kafka.NewAdmin(w.cluster)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	offsets, err := admin.GroupOffsets(w.t.Context(), w.config().Group, w.topic)
	if err != nil {
		w.t.Fatal(err)
	}
	return offsets[partition].Committed
}

// TestASeekThatIsRefused moves nothing, not later either.
func TestASeekThatIsRefused(t *testing.T) {
	w, broker := newRefusingWorld(t, 2)
	w.produce(events(0, 100)...)
	e, _ := w.run(w.config())
	w.until("all are predicted and committed", func() bool { return e.Snapshot().Predicted == 100 && w.committed(0) == 50 && w.committed(1) == 50 })
	e.Pause()
	w.produce(events(100, 200)...)
	broker.on.Store(true)
	if _, err := e.Seek(t.Context(), Position{Partition: 0, Offset: Newest}); err == nil {
		t.Fatal("the broker did not take it, and nobody says so")
	}
	broker.on.Store(false)
	w.until("the other partition can be moved", func() bool {
		_, err := e.Seek(t.Context(), Position{Partition: 1, Offset: 49})
		return err == nil
	})
	if at := w.committed(0); at != 50 {
		t.Fatalf("the broker has offset %d of the partition whose move it refused, with 50 records above 50 that nobody has taken", at)
	}
	e.Resume()
	w.until("all are predicted", func() bool { return e.Snapshot().Predicted == 201 })
}

// TestACommitThatFails is repeated, though no record comes that would be committed with it.
func TestACommitThatFails(t *testing.T) {
	w, broker := newRefusingWorld(t, 2)
	broker.on.Store(true)
	w.produce(events(0, 100)...)
	e, _ := w.run(w.config())
	w.until("the last commit was refused", func() bool {
		f := e.flow.Load()
		if f == nil {
			return false
		}
		f.marking.Lock() // no commit is on its way
		defer f.marking.Unlock()
		marked := int64(0)
		for _, c := range f.held(-1) {
			marked += max(c.marked, 0)
		}
		return marked == 100
	})
	broker.on.Store(false)
	w.until("the offsets are committed", func() bool { return w.committed(0) == 50 && w.committed(1) == 50 })
}

// TestAnOffsetBeyondTheEnd is what a group has of a topic that lost records or was made anew: it begins at the oldest
// record, and what it commits then counts.
func TestAnOffsetBeyondTheEnd(t *testing.T) {
	deliveries(t, func(t *testing.T, w *world, c Config) {
		admin, err := kafka.NewAdmin(w.cluster)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = admin.Close() }()
		if err := admin.SetNote(c.Group, c.Events, 0, 1000, ""); err != nil {
			t.Fatal(err)
		}
		w.produce(events(0, 10)...)
		e, stop := w.run(c)
		w.until("all are predicted and committed", func() bool { return e.Snapshot().Predicted == 10 && w.committed(0) == 10 })
		stop()
		w.produce(events(10, 20)...)
		e, _ = w.run(c)
		w.until("the new ones are predicted", func() bool { return e.Snapshot().Predicted >= 10 })
		if n := len(w.predictions()); n != 20 || e.Snapshot().Predicted != 10 {
			t.Errorf("%d users, %d predicted after the restart", n, e.Snapshot().Predicted)
		}
	}, 1)
}
