package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/event"
	"weir/backend/kafka"
)

// stageFetch is the stage of records that cannot even be taken from the broker.
const stageFetch = "fetch"

// defuser passes over record batches that cannot be read: compression bombs and damage. Left alone, one such batch
// stops every partition of its broker for ever, for a client reads all of them by one request.
func (e *Engine) defuser(ctx context.Context) {
	for {
		select {
		case <-e.unreadable:
		case <-ctx.Done():
			return
		}
		if err := e.defuse(ctx); err != nil && ctx.Err() == nil {
			e.logger.Warn("pass over what cannot be read", "error", err) // the consumer complains again, and so we try again
		}
	}
}

// defuse looks for unreadable batches in the partitions held. For each it lets the good records before it through,
// writes a dead letter for each of its offsets and moves the group's offset behind it.
func (e *Engine) defuse(ctx context.Context) error {
	e.control.Lock()
	defer e.control.Unlock()
	f := e.flow.Load()
	if f == nil {
		return nil
	}
	admin, err := kafka.NewAdmin(e.cfg.Cluster)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()
	e.gate.hold()
	defer e.gate.release()
	if err := f.idle(ctx); err != nil {
		return err
	}
	moved := false
	for _, c := range f.held(-1) {
		did, err := e.defuseClaim(ctx, admin, f, c)
		if err != nil {
			return err
		}
		moved = moved || did
	}
	if moved {
		f.cancel(errMoved)
	}
	return nil
}

func (e *Engine) defuseClaim(ctx context.Context, admin *kafka.Admin, f *flow, c *claim) (bool, error) {
	ends, err := admin.Watermarks(ctx, c.topic, []int32{c.partition})
	if err != nil {
		return false, err
	}
	from, to := max(c.next.Load(), ends[c.partition].Oldest), ends[c.partition].Newest
	first, next, why, err := admin.Unreadable(ctx, c.topic, c.partition, from, to)
	if err != nil || why == nil {
		return false, err
	}
	if err := e.feedRange(ctx, admin, f, c, from, first); err != nil {
		return false, err
	}
	if err := e.buryRange(ctx, f, c, first, next, why); err != nil {
		return false, fmt.Errorf("write dead letters for offsets %d to %d: %w", first, next-1, err)
	}
	if _, err := f.move([]*claim{c}, map[int32]int64{c.partition: next}); err != nil {
		return false, err
	}
	e.tell(event.Pipeline, event.Critical, fmt.Sprintf("partition %d", c.partition),
		"offsets %d to %d cannot be read and became dead letters without bytes: %v", first, next-1, why)
	return true, nil
}

// feedRange hands readable records to the flow itself, past the consumer that cannot get at them, and waits until they
// are acknowledged.
func (e *Engine) feedRange(ctx context.Context, admin *kafka.Admin, f *flow, c *claim, from, to int64) error {
	var records []*sarama.ConsumerMessage
	give := func() bool {
		if len(records) == 0 {
			return true
		}
		f.take(c, len(records))
		select {
		case f.chunks <- chunk{c, records, time.Now()}:
			e.stats.consumed.Add(uint64(len(records)))
			records = nil
			return true
		case <-f.ctx.Done():
		case <-ctx.Done():
		}
		f.take(c, -len(records))
		return false
	}
	whole := true
	err := admin.ReadSmall(ctx, c.topic, c.partition, from, to, func(m *sarama.ConsumerMessage) bool {
		if records = append(records, m); len(records) == chunkSize {
			whole = give()
		}
		return whole
	})
	if err != nil {
		return err
	}
	if !whole || !give() {
		return ErrNotRunning
	}
	return f.idle(ctx)
}

// buryRange sends a dead letter for each of the offsets through the flow, as if they were records with nothing to score:
// in a transaction with their offsets where there are transactions. It waits until they are acknowledged.
func (e *Engine) buryRange(ctx context.Context, f *flow, c *claim, first, next int64, why error) error {
	const atOnce = 10_000
	for from := first; from < next; from += atOnce {
		to := min(from+atOnce, next)
		var records []*sarama.ConsumerMessage
		b := newBatch()
		for offset := from; offset < to; offset++ {
			records = append(records, &sarama.ConsumerMessage{Topic: c.topic, Partition: c.partition, Offset: offset})
			b.outcomes = append(b.outcomes, outcome{stage: stageFetch, reason: limit(why.Error(), 300)})
		}
		b.add(c, records, time.Now()) // the collector is idle
		(&scorer{f: f}).pack(b)
		b.ok = true
		b.ready <- struct{}{}
		f.take(c, len(records))
		f.ahead.Add(1)
		notSent := func(err error) error { // else letting the partition go would wait for them
			f.take(c, -len(records))
			f.ahead.Add(-1)
			return err
		}
		select {
		case f.order <- b:
		case <-f.ctx.Done():
			return notSent(ErrNotRunning)
		case <-ctx.Done():
			return notSent(ctx.Err())
		}
		e.stats.consumed.Add(uint64(len(records)))
		if err := f.idle(ctx); err != nil {
			return err
		}
		if c.next.Load() != to { // given up: what is before it may be so, too
			return ErrNotRunning
		}
	}
	return nil
}
