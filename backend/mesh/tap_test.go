package mesh

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
)

// fakePipeline consumes a topic and shows its batches to the engine, as the pipeline does.
type fakePipeline struct {
	mu     sync.Mutex // held while a batch is shown: whoever holds it pauses the pipeline
	skip   bool       // lose a batch
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// pipeline reads a topic from its beginning, in batches of so many records at most.
func (w *world) pipeline(topic string, partitions int32, most int) *fakePipeline {
	w.t.Helper()
	consumer, err := sarama.NewConsumer(w.engine.config.Cluster.Brokers(), w.engine.config.Cluster.Config())
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &fakePipeline{cancel: cancel}
	for id := range partitions {
		r, err := consumer.ConsumePartition(topic, id, sarama.OffsetOldest)
		if err != nil {
			w.t.Fatal(err)
		}
		p.wg.Go(func() {
			defer r.Close()
			from := int64(0)
			for {
				var batch []*sarama.ConsumerMessage
				select {
				case <-ctx.Done():
					return
				case m := <-r.Messages():
					batch = append(batch, m)
				}
				for len(batch) < most && len(r.Messages()) > 0 {
					batch = append(batch, <-r.Messages())
				}
				p.mu.Lock()
				if first := batch[:1]; !p.skip {
					if len(batch) > 1 { // one batch overtakes another, as where several are scored at once
						w.engine.Batch(topic, batch[0].Offset+1, batch[1:])
					}
					w.engine.Batch(topic, from, first)
				}
				p.skip = false
				p.mu.Unlock()
				from = batch[len(batch)-1].Offset + 1
			}
		})
	}
	w.t.Cleanup(func() {
		cancel()
		p.wg.Wait()
		_ = consumer.Close()
	})
	return p
}

// TestAFeedThatStartsAgainKnowsWhatWasJudgedAhead of where it stood, so that no record counts twice; but a topic that was
// made anew has new records at its offsets.
func TestAFeedThatStartsAgainKnowsWhatWasJudgedAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "events", Partitions: 2})
	w.send("events", 0, many(10, good)...)
	client, err := sarama.NewClient(w.engine.config.Cluster.Brokers(), saramaConfig(w.engine.config.Cluster))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := &live{window: time.Minute, generation: 1}
	p.feed.parts = map[int32]*part{0: {next: 2, ahead: []span{{5, 8}}}, 1: {next: 20, ahead: []span{{25, 28}}}}
	if started, err := w.engine.startFeed(client, p, 1, "events", []int32{0, 1}); err != nil || !started {
		t.Fatal(started, err)
	}
	defer p.feed.stop()
	if a, b := p.feed.parts[0], p.feed.parts[1]; a.next != 2 || !a.has(6) || a.has(8) || b.next != 0 || b.has(26) {
		t.Errorf("%+v, %+v", a, b)
	}

	// A new version of the contract comes while the feed starts: its window is filled from its start on all the same.
	p.feed.stop()
	p.generation = 2
	p.feed.forget()
	started, err := w.engine.startFeed(client, p, 1, "events", []int32{0, 1})
	if started || err != nil || p.feed.consumer != nil {
		t.Errorf("a feed of the old version started: %t, %v", started, err)
	}
	if err := w.engine.startReader(t.Context(), connection{Client: client}, p, 1, "events", 0, p.feed.parts[0]); err != nil {
		t.Error(err)
	}
	if a := p.feed.parts[0]; a.next != -1 || a.reader != nil {
		t.Errorf("the new version's window would be filled from %d", a.next)
	}
}

// produce sends records to all partitions until told to stop; the function gives how many were sent.
func (w *world) produce(topic string, partitions int32) (stop func() int64) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	var sent int64
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
			}
			w.send(topic, int32(i)%partitions, many(3, good)...)
			sent += 3
		}
	})
	return func() int64 { close(done); wg.Wait(); return sent }
}

// untilFed waits until the pipeline does, or does not, bring the records of all partitions.
func (w *world) untilFed(by bool) {
	w.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		if all := w.engine.sorted(); len(all) > 0 {
			f := &all[0].feed
			f.mu.Lock()
			right := len(f.parts) > 0
			for _, p := range f.parts {
				right = right && p.tap.feeds == by && (p.reader == nil) == by
			}
			f.mu.Unlock()
			if right {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatalf("the pipeline never fed the judge: %v", by)
}

func TestThePipelinesRecordsAreJudgedOnceWhoeverBringsThem(t *testing.T) {
	t.Parallel()
	const partitions = 3
	w := newWorld(t, 10*time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: partitions})
	w.stop()
	w.engine.pace = pace{probe: 100 * time.Millisecond, silent: 300 * time.Millisecond, idle: time.Second, behind: time.Minute, fresh: 3}
	w.run()
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "had no data", is(NoData))
	p := w.pipeline("user_events", partitions, 50)
	stop := w.produce("user_events", partitions)
	w.untilFed(true) // the readers end
	p.mu.Lock()      // the pipeline stands still: readers start where it left off
	w.untilFed(false)
	p.mu.Unlock()
	w.untilFed(true)
	p.mu.Lock()
	p.skip = true // the pipeline loses its partition for a moment: a reader starts for what it missed
	p.mu.Unlock()
	rows := int64(0)
	for _, q := range w.engine.Snapshot().Products {
		rows = q.Rows
	}
	w.until("user_events", "went on", func(q Product) bool { return q.Rows > rows+200 })
	sent := stop()
	q := w.until("user_events", "counted all", func(q Product) bool { return q.Rows >= sent })
	counted := q.JudgedAt // and not more at the next looks: nothing is counted twice
	q = w.until("user_events", "was looked at again", func(q Product) bool { return q.JudgedAt.After(counted.Add(2 * judgeEvery)) })
	if q.Rows != sent || q.Undecodable != 0 {
		t.Errorf("%d rows and %d undecodable of %d sent", q.Rows, q.Undecodable, sent)
	}
	// Without the pipeline the contract still breaks, at the right place.
	p.mu.Lock()
	defer p.mu.Unlock()
	offset := w.send("user_events", 2, many(int(sent), func(int) string { return `{"user_id":"u","timestamp":null}` })...)
	q = w.until("user_events", "broke", func(q Product) bool { return q.State == Broken && q.Rows == 2*sent })
	if last := q.Issues[0].Samples[0]; last.Partition != 2 || last.Offset > offset {
		t.Errorf("samples %+v", q.Issues[0].Samples)
	}
}

// TestTransactionsAreJudgedAsThePipelineReadsThem: markers and aborted records leave offsets that no reader is shown. They are
// no gap to whoever brings the others, and what was aborted is not judged.
func TestTransactionsAreJudgedAsThePipelineReadsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10*time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.stop()
	w.engine.pace = pace{probe: 50 * time.Millisecond, silent: 10 * time.Second, idle: 10 * time.Second, behind: time.Minute, fresh: 3}
	w.file("commerce/user_events.yaml", userEvents)
	c := w.engine.config.Cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Idempotent, c.Net.MaxOpenRequests, c.Producer.Transaction.ID = true, 1, "writer"
	producer, err := sarama.NewSyncProducer(w.engine.config.Cluster.Brokers(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = producer.Close() })
	sent := int64(0)
	transaction := func(commit bool) {
		t.Helper()
		value := `{"user_id":"u","timestamp":null}` // would break the contract
		if commit {
			value = good(int(sent))
			sent++
		}
		err := producer.BeginTxn()
		if err == nil {
			_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: "user_events", Value: sarama.StringEncoder(value)})
		}
		if end := producer.AbortTxn; err == nil {
			if commit {
				end = producer.CommitTxn
			}
			err = end()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		transaction(i%3 > 0)
	}
	w.run()
	w.until("user_events", "was read by a reader of its own", func(q Product) bool { return q.Rows >= sent })
	w.pipeline("user_events", 1, 1)
	fed := func() bool {
		f := &w.engine.sorted()[0].feed
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.parts) == 1 && f.parts[0].tap.feeds && f.parts[0].reader == nil
	}
	for begun := time.Now(); !fed(); {
		if time.Since(begun) > time.Minute {
			t.Fatal("the pipeline never fed the judge")
		}
		transaction(true)
	}
	for i := range 2 * maxAhead { // more spans than are remembered, if they were gaps
		transaction(i%3 > 0)
	}
	q := w.until("user_events", "counted all", func(q Product) bool { return q.Rows >= sent })
	if q.Rows != sent || q.State != Holds || !fed() {
		t.Errorf("%d rows of %d, %s, fed by the pipeline %v: %+v", q.Rows, sent, q.State, fed(), q.Issues)
	}
}

func TestATapThatLagsSaysHowFarItIsBehind(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	tap := tapped{feeds: true, at: at, need: defaultPace.fresh}
	f := &feed{parts: map[int32]*part{0: {next: 100, tap: tap}}}
	p := f.parts[0]
	for i := range 20 { // it flows, and lags more and more
		now := at.Add(time.Duration(i) * defaultPace.probe)
		p.tap.at, p.next = now, p.next+10
		if p.tap.fallsBehind(p, 200+int64(i)*50, now, now, defaultPace) {
			t.Fatalf("it was given up after %d probes", i)
		}
		if _, behind := f.shared(now); behind > 0 != (i*int(defaultPace.probe) > int(time.Second)) {
			t.Errorf("probe %d: %d behind", i, behind)
		}
	}
	now := at.Add(20 * defaultPace.probe)
	if !p.tap.fallsBehind(p, 2000, now.Add(-time.Second), now, defaultPace) || p.tap.need != 2*defaultPace.fresh { // it stands still
		t.Error("a pipeline that stands still is waited for")
	}
	p.tap = tapped{feeds: true, at: now, need: defaultPace.fresh, marks: []mark{{5000, now.Add(-defaultPace.behind - 1)}}}
	if !p.tap.fallsBehind(p, 9000, now, now, defaultPace) {
		t.Error("a pipeline that lies 30 s behind is waited for")
	}
}
