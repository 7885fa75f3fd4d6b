package pipeline

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/backend/kafka"
)

// TestBrokerAway stops the broker under a running pipeline and starts it again.
func TestBrokerAway(t *testing.T) {
	if os.Getenv("WEIR_KAFKA") != "" {
		t.Skip("the broker is not ours to stop")
	}
	t.Parallel()
	for _, delivery := range []string{AtLeastOnce, ExactlyOnce} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			broker := startBroker(t)
			w := &world{t: t, topic: "events", store: newFakeStore(), brokers: []string{broker.addr}}
			w.connect(3)
			c := w.config()
			c.Delivery = delivery
			w.produce(events(0, 1000)...)
			e, _ := w.run(c)
			w.until("all are predicted", func() bool { return e.Snapshot().Predicted == 1000 })
			broker.stop()
			w.until("it says that the broker is away", func() bool {
				s := e.Snapshot()
				return s.State == Waiting && strings.Contains(s.Waiting.String(), broker.addr)
			})
			if os.Getenv("WEIR_SLOW") != "" {
				time.Sleep(30 * time.Second) // longer than every patience of a client
			}
			broker.start()
			w.produceSurely(1000, 2000)
			w.until("all are predicted", func() bool { return e.Snapshot().Predicted >= 2000 })
			w.until("it runs again", func() bool { return e.Snapshot().State == Running })
			got := w.predictions()
			if len(got) != 2000 {
				t.Fatalf("%d users", len(got))
			}
		})
	}
}

// TestPartitionAdded adds partitions under a running pipeline that started at the end: what is in the new ones from
// their beginning on is predicted.
func TestPartitionAdded(t *testing.T) { deliveries(t, testPartitionAdded, 2) }

func testPartitionAdded(t *testing.T, w *world, c Config) {
	c.Start = "latest"
	e, _ := w.run(c)
	w.until("it runs", func() bool { return len(e.Snapshot().Partitions) == 2 })
	admin, err := sarama.NewClusterAdmin(w.brokers, w.cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.CreatePartitions(w.topic, 5, nil, false); err != nil {
		t.Fatal(err)
	}
	w.until("the partitions are there", func() bool {
		a, err := kafka.NewAdmin(w.cluster)
		if err != nil {
			return false
		}
		defer func() { _ = a.Close() }()
		p, err := a.Partitions(w.topic)
		return err == nil && len(p) == 5
	})
	w.produce(events(0, 500)...)
	w.until("all are predicted", func() bool { return e.Snapshot().Predicted == 500 })
	w.until("all partitions show", func() bool { return len(e.Snapshot().Partitions) == 5 })
}

// TestRetentionOvertakesTheGroup deletes records that the group has yet to take. They are lost, and counted.
func TestRetentionOvertakesTheGroup(t *testing.T) { deliveries(t, testRetentionOvertakesTheGroup, 2) }

func testRetentionOvertakesTheGroup(t *testing.T, w *world, c Config) {
	w.produce(events(0, 20)...)
	e, stop := w.run(c)
	w.until("all are predicted and committed", func() bool { return e.Snapshot().Predicted == 20 && w.committed(0) == 10 && w.committed(1) == 10 })
	stop()
	if n := e.Snapshot().Overtaken; n != 0 {
		t.Errorf("%d records were overtaken where nothing was deleted", n)
	}
	w.produce(events(20, 60)...)
	admin, err := sarama.NewClusterAdmin(w.brokers, w.cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.DeleteRecords(w.topic, map[int32]int64{1: 25}); err != nil {
		t.Fatal(err)
	}
	e, _ = w.run(c)
	w.until("what is left is predicted", func() bool { return e.Snapshot().Predicted == 25 && e.Snapshot().GroupLag == 0 })
	s := e.Snapshot()
	told := 0
	for _, ev := range s.Log {
		if ev.Subject.String() == "partition 1" && strings.Contains(ev.Message.String(), "15 records, offsets 10 to 24") {
			told++
		}
	}
	if s.Overtaken != 15 || told != 1 {
		t.Errorf("%d records were overtaken, told %d times: %v", s.Overtaken, told, s.Log)
	}
}

// bombBytes is what the tests take for too much in one record batch.
const bombBytes = 4 << 20

// TestCompressionBomb puts a record batch between good events that inflates beyond all bounds.
func TestCompressionBomb(t *testing.T) {
	w := newWorld(t, 2)
	w.produceAroundABomb()
	e, _ := w.run(w.config())
	w.until("everything else is predicted", func() bool { s := e.Snapshot(); return s.Predicted == 20 && s.DeadLettered == 1 })
	w.until("nothing is left", func() bool { return e.Snapshot().Lag == 0 })
	letters, err := e.Letters(t.Context(), LetterQuery{})
	if err != nil || len(letters) != 1 || letters[0].Stage != "fetch" || letters[0].Partition != 1 || letters[0].Offset != 5 ||
		!strings.Contains(letters[0].Reason.String(), "cannot be read") {
		t.Errorf("letters %+v, %v", letters, err)
	}
	if got := w.predictions(); len(got) != 20 {
		t.Errorf("%d users", len(got))
	}
}

// produceAroundABomb writes 20 events to two partitions and, in the midst of the second, at offset 5, the bomb.
func (w *world) produceAroundABomb() {
	w.t.Helper()
	w.produce(events(0, 10)...)
	c := w.cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Compression = sarama.CompressionGZIP
	c.Producer.MaxMessageBytes = 1 << 30
	c.Producer.Partitioner = sarama.NewManualPartitioner
	p, err := sarama.NewSyncProducer(w.brokers, c)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	bomb := &sarama.ProducerMessage{Topic: w.topic, Partition: 1, Value: sarama.ByteEncoder(bytes.Repeat([]byte(" "), bombBytes))}
	if _, _, err := p.SendMessage(bomb); err != nil {
		w.t.Fatal(err)
	}
	w.produce(events(10, 20)...)
}

// TestABurialThatEndsLeavesNothingInHand, for the partition could not be let go before.
func TestABurialThatEndsLeavesNothingInHand(t *testing.T) {
	e := New(Config{})
	f := e.newFlow(nil, atLeastOnce{})
	for len(f.order) < cap(f.order) {
		f.order <- newBatch()
	}
	c := &claim{source: heldClaim{}, topic: "events"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.buryRange(ctx, f, c, 0, 3, errors.New("a bomb")); !errors.Is(err, context.Canceled) || c.inHand != 0 || f.ahead.Load() != 0 {
		t.Errorf("%v, %d records in hand, %d batches ahead", err, c.inHand, f.ahead.Load())
	}
}

// TestCompressionBombAndNoCommit has the bomb's dead letter written in exactly-once mode by a process that gets no further:
// the broker refuses every commit that is in no transaction.
func TestCompressionBombAndNoCommit(t *testing.T) {
	w, cluster := newControlledWorld(t, 2)
	cluster.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, errors.New("refused"), true
	})
	w.produceAroundABomb()
	c := w.config()
	c.Delivery = ExactlyOnce
	e, stop := w.run(c)
	w.until("everything is predicted", func() bool { return e.Snapshot().Predicted == 20 })
	stop()
	e, _ = w.run(c)
	w.produce(events(20, 30)...)
	w.until("it goes on", func() bool { return e.Snapshot().Predicted == 10 && e.Snapshot().GroupLag == 0 })
	if dead := w.read(c.DeadLetters); len(dead) != 1 {
		t.Errorf("%d dead letters, want 1", len(dead))
	}
	if n := len(w.predictions()); n != 30 {
		t.Errorf("%d users", n)
	}
}

// takesAll is a broker that takes everything at once.
type takesAll struct{ atLeastOnce }

func (takesAll) publish(*flow, *batch) bool { return true }

// TestNothingIsPassedOverOfAPartitionGivenUp: records before the bomb may not be acknowledged then.
func TestNothingIsPassedOverOfAPartitionGivenUp(t *testing.T) {
	for _, givenUp := range []bool{false, true} {
		e := New(Config{})
		f := e.newFlow(nil, takesAll{})
		f.wg.Go(f.publish)
		c := &claim{settled: make(chan struct{}, 1), givenUp: givenUp}
		c.next.Store(5)
		f.claims[c] = struct{}{}
		err := e.buryRange(t.Context(), f, c, 5, 8, errors.New("a bomb"))
		f.stop()
		if refused := errors.Is(err, ErrNotRunning); refused != givenUp || (c.next.Load() == 8) == givenUp || e.Snapshot().DeadLettered != 3 {
			t.Errorf("given up %t: it is at %d, %v", givenUp, c.next.Load(), err)
		}
	}
}

// TestTransactionalEvents reads events that were written by transactions, one of them aborted: the aborted ones are not
// predicted, and the markers at the end are no lag.
func TestTransactionalEvents(t *testing.T) { deliveries(t, testTransactionalEvents, 1) }

func testTransactionalEvents(t *testing.T, w *world, config Config) {
	c := w.cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	c.Producer.Transaction.ID = "upstream-" + w.topic
	p, err := sarama.NewSyncProducer(w.brokers, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	write := func(values []string, end func() error) {
		t.Helper()
		if err := p.BeginTxn(); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: w.topic, Value: sarama.StringEncoder(v)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
	var shown shownRuns
	config.Tap = &shown
	e, _ := w.run(config)
	write(events(0, 5), p.CommitTxn)
	write(events(5, 10), p.AbortTxn)
	w.until("the committed ones are predicted and nothing is left", func() bool {
		s := e.Snapshot()
		return s.Predicted == 5 && s.GroupLag == 0 && s.Lag == 0 && s.Partitions[0].Offset == 12
	})
	write(events(10, 12), p.CommitTxn)
	w.until("it goes on", func() bool { return e.Snapshot().Predicted == 7 && e.Snapshot().Lag == 0 })
	if got := w.predictions(); len(got) != 7 || len(got[`"u7"`]) != 0 {
		t.Errorf("%d users", len(got))
	}
	if records, next := shown.count(); records != 7 || next != 14 {
		t.Errorf("the tap was shown %d records, without a gap up to offset %d: %v", records, next, shown.runs)
	}
}

// shownRuns are the runs of one partition that a tap was shown.
type shownRuns struct {
	mu      sync.Mutex
	runs    [][2]int64 // from, and the offset after the last
	records int
}

func (s *shownRuns) Batch(_ string, from int64, records []*sarama.ConsumerMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = append(s.runs, [2]int64{from, records[len(records)-1].Offset + 1})
	s.records += len(records)
}

// count is how many records were shown, and up to where the runs follow on one another.
func (s *shownRuns) count() (records int, next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.runs, func(a, b [2]int64) int { return int(a[0] - b[0]) })
	for _, r := range s.runs {
		if r[0] <= next {
			next = max(next, r[1])
		}
	}
	return s.records, next
}
