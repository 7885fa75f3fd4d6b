package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/IBM/sarama"
)

// TestWhenABatchLeaves gives records to the collector and looks how long it keeps them.
func TestWhenABatchLeaves(t *testing.T) {
	const n, wait = 1000, 20 * time.Millisecond
	for _, test := range []struct {
		name     string
		delivery string
		records  int
		ahead    int32 // batches not settled yet
		want     time.Duration
	}{
		{"a trickle, nothing ahead", AtLeastOnce, 1, 0, wait / 8},
		{"the rest of a burst, nothing ahead", AtLeastOnce, n / 8, 0, 0},
		{"a trickle behind another batch", AtLeastOnce, 1, 1, wait},
		{"the rest of a burst behind another batch", AtLeastOnce, n - 1, 1, wait},
		{"a full one behind another", AtLeastOnce, n, 1, 0},
		{"a transaction, nothing ahead", ExactlyOnce, n - 1, 0, transactionWait},
		{"a full transaction", ExactlyOnce, n, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New(Config{MaxEvents: n, MaxWait: wait, Delivery: test.delivery})
				f := e.newFlow(nil, nil)
				f.ahead.Store(test.ahead)
				f.wg.Go(f.collect)
				defer f.stop()
				records := make([]*sarama.ConsumerMessage, test.records)
				for i := range records {
					records[i] = &sarama.ConsumerMessage{Offset: int64(i)}
				}
				begun := time.Now()
				f.chunks <- chunk{&claim{}, records, begun}
				b := <-f.order
				if got := time.Since(begun); got != test.want || len(b.records) != test.records {
					t.Errorf("%d records left after %v, want %v", len(b.records), got, test.want)
				}
			})
		})
	}
}

// TestLargeRecordsMakeSmallBatches: what is in hand is bounded in bytes, too.
func TestLargeRecordsMakeSmallBatches(t *testing.T) {
	for _, delivery := range []string{AtLeastOnce, ExactlyOnce} {
		synctest.Test(t, func(t *testing.T) {
			e := New(Config{Delivery: delivery})
			f := e.newFlow(nil, nil)
			f.ahead.Store(1)
			f.wg.Go(f.collect)
			defer f.stop()
			value := make([]byte, batchBytes/8)
			records := make([]*sarama.ConsumerMessage, 20)
			for i := range records {
				records[i] = &sarama.ConsumerMessage{Offset: int64(i), Value: value}
			}
			begun := time.Now()
			f.chunks <- chunk{&claim{}, records, begun}
			next := int64(0)
			for _, want := range []int{8, 8, 4} {
				b := <-f.order
				if len(b.records) != want || b.records[0].Offset != next || want == 8 && time.Since(begun) > 0 {
					t.Errorf("%s: %d records from offset %d on left after %v, want %d", delivery, len(b.records), b.records[0].Offset, time.Since(begun), want)
				}
				next += int64(len(b.records))
			}
		})
	}
}

// openSession is a session of the group that does not end.
type openSession struct{ sarama.ConsumerGroupSession }

func (openSession) Context() context.Context { return context.Background() }

// TestLargeRecordsMakeSmallChunks: a claim takes no more than it must of records that are ready.
func TestLargeRecordsMakeSmallChunks(t *testing.T) {
	for size, want := range map[int]int{chunkBytes: 1, chunkBytes / 4: 4, 100: chunkSize} {
		f := New(Config{}).newFlow(nil, nil)
		f.sess = openSession{}
		ready := make(chan *sarama.ConsumerMessage, chunkSize)
		for i := range chunkSize {
			ready <- &sarama.ConsumerMessage{Offset: int64(i), Value: make([]byte, size)}
		}
		f.wg.Go(func() { f.feed(&claim{}, ready) })
		if c := <-f.chunks; len(c.records) != want {
			t.Errorf("of records of %d bytes a chunk has %d, want %d", size, len(c.records), want)
		}
		f.stop()
	}
}

// TestABatchLeavesWhenTheOneAheadIsSettled keeps a batch waiting only for as long as there is one ahead.
func TestABatchLeavesWhenTheOneAheadIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Config{MaxWait: time.Second})
		f := e.newFlow(nil, nil)
		f.ahead.Store(1)
		f.wg.Go(f.collect)
		defer f.stop()
		begun := time.Now()
		f.chunks <- chunk{&claim{}, []*sarama.ConsumerMessage{{}}, begun}
		time.Sleep(500 * time.Millisecond)
		f.settled()
		<-f.order
		if got := time.Since(begun); got != 500*time.Millisecond {
			t.Errorf("it left after %v", got)
		}
	})
}

// TestNoRequestIsTooLargeForABroker sends records of 1 MB to each of many partitions, by as many requests as it takes.
func TestNoRequestIsTooLargeForABroker(t *testing.T) {
	const partitions, size = 120, 1_000_000
	w := newWorld(t, partitions)
	p, err := newProducer(w.cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	var list parcels
	list.open("", 0, w.topic, partitions)
	for i := range int32(partitions) {
		list.add(1, i, new(sarama.Record))
		list.list[i].bytes = size // as if
	}
	sent := 0
	for {
		pending, err := p.byLeader(&list)
		if err != nil {
			t.Fatal(err)
		}
		if len(pending) == 0 {
			break
		}
		for _, request := range pending {
			if n := len(request) * size; n > requestBytes {
				t.Fatalf("a request has %d bytes, of at most %d", n, requestBytes)
			}
			for _, c := range request {
				c.done = true
				sent++
			}
		}
	}
	if sent != partitions {
		t.Errorf("%d of %d were sent", sent, partitions)
	}
}
