package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/event"
	"weir/backend/mesh/judge"
)

// defaultBacklog bounds how many records of a partition are read again when a feed starts: those of the window, at most.
const defaultBacklog = 2000

// batch bounds how many records are judged under one lock.
const batch = 256

// feed reads the topic of one product: all partitions, no consumer group, from the start of the window on.
type feed struct {
	mu         sync.Mutex
	cancel     context.CancelFunc // of the readers; nil when none run
	wg         *sync.WaitGroup
	topic      string
	problem    string // why it is not read, for people; empty when it is
	block      string // why its records cannot be decoded for now
	generation int    // of the judge it feeds
	next       map[int32]int64
	target     map[int32]int64 // the end of the partition when its reader started
	started    time.Time
}

// stop ends the readers and waits for them.
func (f *feed) stop() {
	f.mu.Lock()
	cancel, wg := f.cancel, f.wg
	f.cancel, f.wg = nil, nil
	f.mu.Unlock()
	if cancel != nil {
		cancel()
		wg.Wait()
	}
}

// forget makes the next readers start from the window's start again.
func (f *feed) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next, f.target = nil, nil
}

// status is the topic, why it is not read, and whether the window has been filled from the backlog.
func (f *feed) status(now time.Time) (topic, problem string, ready bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.problem != "" || f.cancel == nil || f.target == nil {
		return f.topic, f.problem, false
	}
	if f.block != "" {
		return f.topic, f.block, false
	}
	ready = len(f.target) > 0
	for p, end := range f.target {
		ready = ready && f.next[p] >= end
	}
	return f.topic, "", ready || now.Sub(f.started) > 3*time.Second
}

func (f *feed) blocked(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.block = why
}

func (f *feed) set(topic, problem string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.topic, f.problem = topic, problem
}

// feedAll connects to the cluster and keeps a reader on every partition that feeds a product.
func (e *Engine) feedAll(ctx context.Context) {
	fed := map[*live]bool{}
	for ctx.Err() == nil {
		client, err := sarama.NewClient(e.config.Cluster.Brokers(), e.saramaConfig())
		if err != nil {
			e.clusterAway(err)
			e.rest(ctx)
			continue
		}
		e.probeUntilLost(ctx, client, fed)
		for p := range fed {
			p.feed.stop()
		}
		if err := client.Close(); err != nil && !errors.Is(err, sarama.ErrClosedClient) {
			e.config.Logger.Debug("closing the client", "error", err)
		}
	}
}

func (e *Engine) saramaConfig() *sarama.Config {
	c := e.config.Cluster.Config()
	c.Consumer.Return.Errors = true
	c.Consumer.Retry.Backoff = 500 * time.Millisecond
	c.Consumer.MaxWaitTime = 200 * time.Millisecond
	c.Metadata.AllowAutoTopicCreation = false
	c.Metadata.Full = false
	c.Metadata.Retry.Max = 1
	c.Metadata.Retry.Backoff = 100 * time.Millisecond
	c.Net.DialTimeout = 3 * time.Second
	c.Net.ReadTimeout = 10 * time.Second
	return c
}

func (e *Engine) clusterAway(err error) {
	e.tell(&e.clusterError, fmt.Errorf("the broker is away: %w", err), "topics cannot be read", "")
}

// rest waits until it is time to look again.
func (e *Engine) rest(ctx context.Context) {
	t := time.NewTimer(probeEvery)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-e.wake:
	case <-t.C:
	}
}

// probeUntilLost asks for the topics' metadata again and again, which tells whether the broker is there, whether a
// topic is, and how many partitions it has. It returns when ctx ends or the broker has been away for so long that a
// new connection should be tried.
func (e *Engine) probeUntilLost(ctx context.Context, client sarama.Client, fed map[*live]bool) {
	failures := 0
	for ctx.Err() == nil {
		away := error(nil)
		products := e.sorted()
		for p := range fed {
			if !slices.Contains(products, p) { // it left the registry
				p.feed.stop()
				delete(fed, p)
			}
		}
		for _, p := range products {
			fed[p] = true
			if away = e.probe(ctx, client, p); away != nil {
				break
			}
		}
		if away == nil && len(products) == 0 {
			away = client.RefreshMetadata()
		}
		if away != nil {
			failures++
			e.clusterAway(away)
		} else {
			failures = 0
			e.tell(&e.clusterError, nil, "", "topics can be read again")
		}
		if failures >= 10 {
			return
		}
		e.rest(ctx)
	}
}

// probe looks at one product's topic and starts what readers it lacks. The error is about the broker.
func (e *Engine) probe(ctx context.Context, client sarama.Client, p *live) error {
	p.mu.Lock()
	product, generation := p.made, p.generation
	p.mu.Unlock()
	if product == nil {
		return nil
	}
	topic, named := product.Topic, true
	if topic == "" {
		topic, named = product.Name, false
	}
	err := client.RefreshMetadata(topic)
	switch {
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition) || errors.Is(err, sarama.ErrInvalidTopic):
		p.feed.stop()
		if named {
			p.feed.set(topic, fmt.Sprintf("topic %s does not exist", topic))
		} else {
			p.feed.set("", fmt.Sprintf("no topic %s in the cluster; judged on files only", topic))
		}
		return nil
	case err != nil && !errors.Is(err, sarama.ErrLeaderNotAvailable):
		return err
	}
	partitions, err := client.Partitions(topic)
	if err != nil {
		return err
	}
	p.feed.set(topic, "")
	return e.startReaders(ctx, client, p, generation, topic, partitions)
}

// startReaders starts readers on all partitions if they do not run on exactly these.
func (e *Engine) startReaders(ctx context.Context, client sarama.Client, p *live, generation int, topic string, partitions []int32) error {
	f := &p.feed
	f.mu.Lock()
	running := f.cancel != nil && f.generation == generation && len(f.target) == len(partitions)
	f.mu.Unlock()
	if running {
		return nil
	}
	f.stop()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	readers := make([]sarama.PartitionConsumer, 0, len(partitions))
	closeAll := func() {
		for _, r := range readers {
			r.AsyncClose()
		}
		for _, r := range readers {
			for range r.Messages() {
			}
		}
		if err := consumer.Close(); err != nil {
			e.config.Logger.Debug("closing a consumer", "topic", topic, "error", err)
		}
	}
	next, target := map[int32]int64{}, map[int32]int64{}
	for _, id := range partitions {
		start, end, missed, err := f.startAt(client, topic, id, e.config.Window, e.backlog)
		if err == nil {
			var r sarama.PartitionConsumer
			if r, err = consumer.ConsumePartition(topic, id, start); err == nil {
				readers = append(readers, r)
			}
		}
		if err != nil {
			closeAll()
			return fmt.Errorf("partition %s/%d: %w", topic, id, err)
		}
		next[id], target[id] = start, end
		if missed > 0 {
			add(&e.log, time.Now(), p.key, event.Warning, fmt.Sprintf("%d records of %s/%d were gone before they could be judged", missed, topic, id))
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	wg := &sync.WaitGroup{}
	f.mu.Lock()
	f.cancel, f.wg, f.generation, f.next, f.target, f.started = cancel, wg, generation, next, target, time.Now()
	f.mu.Unlock()
	var inner sync.WaitGroup
	for i, r := range readers {
		inner.Go(func() { e.readPartition(ctx, p, generation, partitions[i], r, target[partitions[i]]) })
	}
	wg.Go(func() {
		inner.Wait()
		cancel()
		closeAll()
		f.mu.Lock()
		if f.wg == wg { // the readers ended by themselves: the next probe starts others
			f.cancel, f.wg = nil, nil
		}
		f.mu.Unlock()
	})
	return nil
}

// startAt is where a reader of a partition starts: where the one before it stopped, else at the window's start but not
// more than the backlog before the end.
func (f *feed) startAt(client sarama.Client, topic string, id int32, window time.Duration, backlog int64) (start, end, missed int64, err error) {
	oldest, err := client.GetOffset(topic, id, sarama.OffsetOldest)
	if err != nil {
		return 0, 0, 0, err
	}
	if end, err = client.GetOffset(topic, id, sarama.OffsetNewest); err != nil {
		return 0, 0, 0, err
	}
	f.mu.Lock()
	resume, known := f.next[id]
	f.mu.Unlock()
	if known && resume <= end {
		return max(resume, oldest), end, max(0, oldest-resume), nil
	}
	start, err = client.GetOffset(topic, id, time.Now().Add(-window).UnixMilli())
	if err != nil || start < 0 { // no record that new
		start = end
	}
	return min(max(start, end-backlog, oldest), end), end, 0, nil
}

// readPartition judges the records of one partition until ctx ends or sarama gives the partition up.
func (e *Engine) readPartition(ctx context.Context, p *live, generation int, id int32, r sarama.PartitionConsumer, end int64) {
	records := make([]*sarama.ConsumerMessage, 0, batch)
	bytes, errs := make([][]byte, 0, batch), make([]error, 0, batch)
	for {
		records = records[:0]
		select {
		case <-ctx.Done():
			return
		case err := <-r.Errors():
			if err != nil {
				e.config.Logger.Debug("reading", "topic", err.Topic, "partition", err.Partition, "error", err.Err)
			}
			continue
		case m, ok := <-r.Messages():
			if !ok {
				return
			}
			records = append(records, m)
		}
	more:
		for len(records) < batch {
			select {
			case m, ok := <-r.Messages():
				if !ok {
					break more
				}
				records = append(records, m)
			default:
				break more
			}
		}
		bytes = bytes[:0]
		for _, m := range records {
			bytes = append(bytes, m.Value)
		}
		var values [][]byte
		if values, errs = e.values(ctx, p, bytes, errs); values == nil {
			return
		}
		p.take(generation, id, records, values, errs, end)
	}
}

// take judges records by their values. Those below end were there when the reader started: they are placed in the window by their own
// time; the others by their arrival.
func (p *live) take(generation int, id int32, records []*sarama.ConsumerMessage, values [][]byte, errs []error, end int64) {
	now := time.Now()
	p.mu.Lock()
	if p.generation != generation {
		p.mu.Unlock()
		return
	}
	for i, m := range records {
		at := now
		if m.Offset < end && !m.Timestamp.IsZero() && m.Timestamp.Before(now) {
			at = m.Timestamp
		}
		where := judge.Where{Partition: id, Offset: m.Offset, At: at}
		if errs[i] != nil {
			p.judge.Undecodable(m.Value, where, errs[i])
			continue
		}
		_ = p.judge.JSON(values[i], where) // counted as undecodable
	}
	p.mu.Unlock()
	p.feed.mu.Lock()
	if p.feed.next != nil && p.feed.generation == generation {
		p.feed.next[id] = records[len(records)-1].Offset + 1
	}
	p.feed.mu.Unlock()
}
