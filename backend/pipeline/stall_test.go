package pipeline

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/backend/kafka"
)

// forgetful makes a broker answer the consumers of one partition as if they had not asked for it, from forget on until
// somebody joins the group: a client that has lost its place sees the same. Who asks for facts gets the records.
type forgetful struct {
	partition int32
	joins     atomic.Int32
	until     atomic.Int32 // joins; 0: it has not forgotten
}

func (b *forgetful) forget() { b.until.Store(b.joins.Load() + 1) }

func (b *forgetful) control(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		b.joins.Add(1)
		return nil, nil, false
	})
	cluster.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		request := r.(*kmsg.FetchRequest)
		if request.Version == 12 && b.joins.Load() < b.until.Load() { // the consumer's; Admin's is older
			for i := range request.Topics {
				t := &request.Topics[i]
				t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.FetchRequestTopicPartition) bool { return p.Partition == b.partition })
			}
		}
		return nil, nil, false
	})
}

// TestStandsStill stops one partition's records from reaching the consumer, which never learns why. The engine notices,
// says so, joins the group anew and goes on.
func TestStandsStill(t *testing.T) {
	if os.Getenv("WEIR_KAFKA") != "" {
		t.Skip("a real broker does not forget on demand")
	}
	t.Parallel()
	for _, delivery := range []string{AtLeastOnce, ExactlyOnce} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			broker := &forgetful{partition: 1}
			broker.control(cluster)
			w := &world{t: t, topic: "events", store: newFakeStore(), brokers: cluster.ListenAddrs()}
			w.connect(3)
			c := w.config()
			c.Delivery = delivery
			w.produce(events(0, 300)...)
			e, _ := w.runWith(c, func(e *Engine) { e.stallPatience = time.Second })
			w.until("all are predicted", func() bool { return e.Snapshot().Predicted >= 300 })
			broker.forget()
			w.produce(events(300, 600)...)
			w.until("it says what stands still", func() bool {
				s := e.Snapshot()
				return s.State == Waiting && strings.Contains(s.Waiting.String(), "partition 1 stood still at offset 100") || s.Predicted >= 600
			})
			w.until("all are predicted", func() bool { return e.Snapshot().Predicted >= 600 })
			w.until("it runs", func() bool { s := e.Snapshot(); return s.State == Running && s.Lag == 0 })
			s := e.Snapshot()
			if s.Stalls == 0 {
				t.Error("no stall was counted")
			}
			told, stood := false, regexp.MustCompile(`partitions \[.*\b1\b.*\] stood still for`) // on a busy machine perhaps with others
			for _, ev := range s.Log {
				told = told || stood.MatchString(ev.Message.String())
			}
			if !told {
				t.Errorf("the log says %v", s.Log)
			}
			got := w.predictions()
			if len(got) != 600 {
				t.Errorf("%d users", len(got))
			}
			for user, p := range got {
				if delivery == ExactlyOnce && len(p) > 1 {
					t.Errorf("%s has %d predictions", user, len(p))
				}
			}
		})
	}
}

// TestStandingStill walks through what counts as standing still.
func TestStandingStill(t *testing.T) {
	e := New(Config{})
	e.stallPatience = 10 * time.Second
	e.status.enter(Running)
	f := e.newFlow(nil, nil)
	mine := &claim{partition: 0}
	f.claims[mine] = struct{}{}
	start := time.Unix(1_000_000, 0)
	offsets := map[int32]kafka.Offsets{}
	at := func(seconds int) string {
		var out []int32
		for _, s := range e.standingStill(f, offsets, start.Add(time.Duration(seconds)*time.Second)) {
			out = append(out, s.partition)
		}
		return fmt.Sprint(out)
	}
	expect := func(seconds int, want string) {
		t.Helper()
		if got := at(seconds); got != want {
			t.Fatalf("at %d s: %s stand still, want %s", seconds, got, want)
		}
	}
	offsets[0] = kafka.Offsets{Newest: 50, Committed: 10} // ours: what is acknowledged counts
	offsets[1] = kafka.Offsets{Newest: 50, Committed: 50} // without lag
	offsets[2] = kafka.Offsets{Oldest: 20, Newest: 50, Committed: -1}
	mine.next.Store(30)
	expect(0, "[]")
	expect(10, "[]")
	expect(11, "[0 2]")
	mine.next.Store(31)
	expect(12, "[2]")
	expect(22, "[2]")
	expect(23, "[0 2]")

	e.Pause()
	expect(24, "[]")
	e.Resume()
	expect(34, "[]")
	expect(35, "[0 2]")
	e.status.waiting(holdFeatures, "away")
	expect(36, "[]")
	e.status.back(holdFeatures)

	found := e.standingStill(f, offsets, start.Add(47*time.Second))
	if len(found) != 2 || found[0] != (stall{0, 31, 19, true}) || found[1] != (stall{2, 20, 30, false}) {
		t.Fatalf("%+v", found)
	}
	e.startOver(f, found)
	if f.ctx.Err() == nil {
		t.Error("the session goes on")
	}
	if state, _, why := e.status.now(); state != Waiting || !strings.Contains(why.String(), "partition 0 stood still at offset 31 for 10s and this process holds it") {
		t.Errorf("%s: %s", state, why)
	}
	expect(48, "[]")
	expect(68, "[]") // it is patient for twice as long
	expect(69, "[0 2]")
	mine.next.Store(32)
	expect(70, "[2]")
	offsets[2] = kafka.Offsets{Newest: 50, Committed: 21}
	expect(71, "[]")
	if state, _, _ := e.status.now(); state != Running {
		t.Error(state)
	}
	expect(82, "[0 2]") // 10 s again
	if n := e.Snapshot().Stalls; n != 1 {
		t.Errorf("%d stalls", n)
	}
}

// TestDiesWhileItGivesPartitionsUp kills a worker that has a name in the group (KIP-345) between the two steps of a
// cooperative rebalance: it was told to give partitions up and has not joined again to say that it did. Kafka hands its
// next process what was left to it and calls the group stable, with partitions that nobody holds.
func TestDiesWhileItGivesPartitionsUp(t *testing.T) {
	const partitions = 4
	w := newWorld(t, partitions)
	worker := func(instance string, store time.Duration) *process {
		spec, err := json.Marshal(workerSpec{Brokers: w.brokers, Topic: w.topic, Delivery: AtLeastOnce, Instance: instance, MaxEvents: 100, StoreTakes: store})
		if err != nil {
			t.Fatal(err)
		}
		return start(t, "worker", "WEIR_TEST_SPEC="+string(spec))
	}
	w.produce(events(0, 1000)...)
	first := worker("first", time.Hour)
	w.until("the first holds all partitions", func() bool { return len(w.assigned("first")) == partitions })
	worker("second", 0)
	w.until("the first was told to give some up", func() bool {
		return len(w.assigned("first")) == partitions/2 && len(w.assigned("second")) == 0
	})
	first.kill()
	worker("first", 0)
	lag := w.lagOf(partitions)
	w.until("everything is predicted", func() bool { return lag() == 0 })
}

// assigned are the partitions that the broker says a member of the group has, by its name.
func (w *world) assigned(instance string) []int32 {
	w.t.Helper()
	admin, err := sarama.NewClusterAdmin(w.brokers, w.cluster.Config())
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	groups, err := admin.DescribeConsumerGroups([]string{w.config().Group})
	if err != nil || len(groups) != 1 {
		return nil
	}
	for _, m := range groups[0].Members {
		if m.GroupInstanceId == nil || *m.GroupInstanceId != instance {
			continue
		}
		if a, err := m.GetMemberAssignment(); err == nil && a != nil {
			return a.Topics[w.topic]
		}
	}
	return nil
}
