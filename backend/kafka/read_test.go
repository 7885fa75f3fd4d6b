package kafka

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
)

// TestAbortedSideBySide: two transactions of a partition ran side by side and were aborted; the one that began later
// ended first, and the broker lists it first.
func TestAbortedSideBySide(t *testing.T) {
	batch := func(offset, producer int64, control bool) *sarama.Records {
		b := &sarama.RecordBatch{FirstOffset: offset, ProducerID: producer, IsTransactional: true, Control: control, Records: []*sarama.Record{{}}}
		if control {
			b.Records[0].Key = []byte{0, 0, 0, 0} // version 0, abort
		}
		return &sarama.Records{RecordBatch: b}
	}
	block := &sarama.FetchResponseBlock{
		RecordsSet: []*sarama.Records{
			batch(0, 1, false), batch(1, 2, false), batch(2, 3, false), batch(3, 2, true), batch(4, 1, false), batch(5, 1, true), batch(6, 1, false),
		},
		AbortedTransactions: []*sarama.AbortedTransaction{{ProducerID: 2, FirstOffset: 1}, {ProducerID: 1, FirstOffset: 0}},
	}
	var got []int64
	next, more := hand(block, "t", 0, 0, 7, func(m *sarama.ConsumerMessage) bool {
		got = append(got, m.Offset)
		return true
	})
	if want := []int64{2, 6}; !slices.Equal(got, want) || next != 7 || !more {
		t.Errorf("records %d up to %d, want %d up to 7", got, next, want)
	}
}

// TestUnreadableReadsOnInLargeSteps: whoever looks for a batch that cannot be read holds the pipeline up meanwhile, and a
// backlog has many that can.
func TestUnreadableReadsOnInLargeSteps(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	var fetches atomic.Int32
	broker.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		fetches.Add(1)
		return nil, nil, false
	})
	cluster, err := NewCluster(config.Kafka{Brokers: broker.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.Config()
	c.Producer.Return.Successes = true
	p, err := sarama.NewSyncProducer(cluster.Brokers(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	const batches = 200
	for range batches {
		if _, _, err := p.SendMessage(&sarama.ProducerMessage{Topic: "events", Value: sarama.StringEncoder("good")}); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := NewAdmin(cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	first, next, why, err := admin.Unreadable(t.Context(), "events", 0, 0, batches)
	if first != batches || next != batches || why != nil || err != nil {
		t.Errorf("of %d good batches %d to %d cannot be read: %v, %v", batches, first, next, why, err)
	}
	if n := fetches.Load(); n > batches/10 {
		t.Errorf("%d requests for %d small batches", n, batches)
	}
}
