package pipeline

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/event"
	"weir/backend/kafka"
)

// claim is one partition held by this process.
type claim struct {
	topic     string
	partition int32
	source    sarama.ConsumerGroupClaim

	next       atomic.Int64 // everything below is acknowledged; -1 while unknown
	lastRecord atomic.Int64 // timestamp of the last record taken, ms; 0 none
	seen       int64        // the offset after the newest record ever taken; its own feed's
	collected  int64        // the offset after the newest record in a batch, negative while unknown; the collector's

	// Guarded by flow.mu.
	inHand  int   // records handed to the flow and not settled
	givenUp bool  // its records in hand will not be committed
	marked  int64 // the offset last committed
	settled chan struct{}

	stuckAt int64 // the offset it waited at when the facts were last asked; the asker's own

	// Guarded by Engine.mu.
	commits   []commitSample
	perSecond float64
	sampled   time.Time // when its pace was last looked at
	sampledAt int64     // next at that time
}

// Setup starts the flow of a session.
func (f *flow) Setup(sess sarama.ConsumerGroupSession) error {
	f.sess = sess
	f.wg.Do(func() { f.e.seed(f) })
	if err := f.wg.Err(); err != nil {
		return err
	}
	f.start()
	f.e.flow.Store(f)
	f.e.status.back(holdKafka)
	f.e.status.enter(Running)
	return nil
}

// Cleanup ends the flow of a session, after every claim has returned.
func (f *flow) Cleanup(sarama.ConsumerGroupSession) error {
	f.e.flow.CompareAndSwap(f, nil)
	f.stop()
	return nil
}

// ConsumeClaim carries one partition's records until it is taken away or the session ends, then finishes what is in
// hand and commits. It is called in a goroutine of the client's own.
func (f *flow) ConsumeClaim(_ sarama.ConsumerGroupSession, source sarama.ConsumerGroupClaim) error {
	f.wg.Do(func() {
		c := f.join(source)
		defer f.leave(c)
		f.feed(c, source.Messages())
		f.drain(c)
	})
	return nil
}

func (f *flow) join(source sarama.ConsumerGroupClaim) *claim {
	c := &claim{topic: source.Topic(), partition: source.Partition(), source: source, settled: make(chan struct{}, 1)}
	c.next.Store(source.InitialOffset()) // negative while the group has no offset
	c.marked = source.InitialOffset()
	c.collected = source.InitialOffset()
	if c.marked < 0 {
		f.lookForGap(c)
	}
	f.mu.Lock()
	f.claims[c] = struct{}{}
	f.mu.Unlock()
	e := f.e
	e.mu.Lock()
	c.seen = e.seen[c.partition]
	e.claims[c.partition] = c
	e.mu.Unlock()
	return c
}

// lookForGap tells of records that the broker deleted before the group had taken them. The client then begins at the
// oldest record, as it does where the group has no offset, and does not say which of the two it was.
func (f *flow) lookForGap(c *claim) {
	e := f.e
	f.gaps.Lock()
	defer f.gaps.Unlock()
	if time.Since(f.gapsAt) > time.Second { // partitions mostly come together
		f.offsets = nil
		admin, err := kafka.NewAdmin(e.cfg.Cluster.WithTimeout(askPatience))
		if err == nil {
			f.offsets, err = admin.GroupOffsets(f.ctx, e.cfg.Group, e.cfg.Events)
			_ = admin.Close()
		}
		if err != nil {
			e.logger.Warn("look up whether records were deleted unseen", "error", err)
		}
		f.gapsAt = time.Now()
	}
	o, known := f.offsets[c.partition]
	if !known || o.Committed < 0 {
		return
	}
	e.mu.Lock()
	from := max(o.Committed, e.overtaken[c.partition]) // of a session that ended before it committed
	gone := o.Oldest - from
	if gone > 0 {
		e.overtaken[c.partition] = o.Oldest
	}
	e.mu.Unlock()
	if gone > 0 {
		e.stats.overtaken.Add(uint64(gone))
		e.tell(event.Pipeline, event.Critical, fmt.Sprintf("partition %d", c.partition),
			"%d records, offsets %d to %d, were deleted by the topic's retention before they were taken", gone, from, o.Oldest-1)
	}
}

func (f *flow) leave(c *claim) {
	f.mu.Lock()
	delete(f.claims, c)
	f.mu.Unlock()
	e := f.e
	e.mu.Lock()
	e.seen[c.partition] = c.seen
	if e.claims[c.partition] == c {
		delete(e.claims, c.partition)
	}
	e.mu.Unlock()
}

// drain waits until what is in hand of a claim is settled, commits it, and gives up what takes too long: the next
// owner of the partition takes it again.
func (f *flow) drain(c *claim) {
	leaveToken(f.flush)
	begun := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		f.mu.Lock()
		settled := c.inHand == 0
		f.mu.Unlock()
		if settled || f.ctx.Err() != nil {
			break
		}
		waited := time.Since(begun)
		if waited > drainPatience || waited > drainPatienceWaiting && f.e.status.isWaiting() {
			f.giveUp(c)
			break
		}
		select {
		case <-c.settled:
		case <-tick.C:
		case <-f.ctx.Done():
		}
	}
	if f.out.commits() {
		f.commitNow()
	}
}

func (f *flow) giveUp(c *claim) {
	f.mu.Lock()
	c.givenUp = true
	close(f.gaveUp)
	f.gaveUp = make(chan struct{})
	n := c.inHand
	f.mu.Unlock()
	f.e.tell(event.Pipeline, event.Warning, fmt.Sprintf("partition %d", c.partition),
		"was taken away with %d records in hand; its next owner takes them again", n)
	if !f.out.commits() { // a transaction may hold some of them
		f.cancel(errGivenUp)
	}
}

// feed hands records to the collector until the partition is taken away.
func (f *flow) feed(c *claim, in <-chan *sarama.ConsumerMessage) {
	over := f.sess.Context().Done()
	for {
		held := getSlice()
		var bytes int
		select {
		case m, ok := <-in:
			if !ok {
				return
			}
			held, bytes = append(held, m), sizeOf(m)
		case <-over:
			return
		case <-f.ctx.Done():
			return
		}
		for more := true; more && len(held) < chunkSize && bytes < chunkBytes; {
			select {
			case m, ok := <-in:
				if !ok { // taken away: what we hold goes to the next owner
					return
				}
				held, bytes = append(held, m), bytes+sizeOf(m)
			default:
				more = false
			}
		}
		if !f.hand(c, held, in, over) {
			return
		}
	}
}

// hand gives records to the collector, waiting for as long as it is busy or the pipeline is paused. A wait stops the
// fetching, too: reading on, which alone tells when the partition is taken away, then ends with what was fetched.
func (f *flow) hand(c *claim, held []*sarama.ConsumerMessage, in <-chan *sarama.ConsumerMessage, over <-chan struct{}) bool {
	taken := time.Now()
	if shut, _ := f.offer(c, len(held)); !shut {
		note := c.noted(held)
		select {
		case f.chunks <- chunk{c, held, taken}:
			f.e.took(c, note)
			return true
		default:
			f.take(c, -len(held))
		}
	}
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	var ahead <-chan *sarama.ConsumerMessage // in, once we read ahead
	this := map[string][]int32{c.topic: {c.partition}}
	for {
		var out chan chunk
		offered := 0 // records on the claim's account while the collector may take them
		shut, changed := f.offer(c, len(held))
		if !shut {
			out, offered = f.chunks, len(held)
		}
		note := c.noted(held)
		select {
		case out <- chunk{c, held, taken}:
			f.e.took(c, note)
			if ahead != nil {
				f.group.Resume(this)
			}
			return true
		case <-timer.C:
			f.take(c, -offered)
			ahead = in
			f.group.Pause(this)
		case m, ok := <-ahead:
			f.take(c, -offered)
			if !ok {
				f.group.Resume(this)
				return false
			}
			held = append(held, m)
		case <-changed:
			f.take(c, -offered)
		case <-over:
			f.take(c, -offered)
			f.group.Resume(this)
			return false
		case <-f.ctx.Done():
			f.take(c, -offered)
			f.group.Resume(this)
			return false
		}
	}
}

// note is what a run of records tells about its claim. It is taken before the records are handed over: whoever has
// them may use their slice again.
type note struct {
	n, again    int
	first, next int64 // offsets
	at          int64 // ms
}

func (c *claim) noted(records []*sarama.ConsumerMessage) note {
	last := records[len(records)-1]
	n := note{n: len(records), first: records[0].Offset, next: last.Offset + 1, at: last.Timestamp.UnixMilli()}
	for n.again < len(records) && records[n.again].Offset < c.seen {
		n.again++
	}
	return n
}

// took counts records that were handed over.
func (e *Engine) took(c *claim, n note) {
	e.stats.consumed.Add(uint64(n.n))
	if n.again > 0 {
		e.stats.redelivered.Add(uint64(n.again))
	}
	c.seen = max(c.seen, n.next)
	c.lastRecord.Store(n.at)
	c.next.CompareAndSwap(sarama.OffsetOldest, n.first) // the group had no offset
}

// offer puts n records on the claim's account unless the gate is shut. It looks at the gate afterwards: whoever shuts it
// and then finds nothing in hand may rely on that nothing comes.
func (f *flow) offer(c *claim, n int) (shut bool, changed <-chan struct{}) {
	f.take(c, n)
	if shut, changed = f.e.gate.state(); shut {
		f.take(c, -n)
	}
	return shut, changed
}

// take puts n records on the claim's account: before they are handed over, for they may settle the moment after.
func (f *flow) take(c *claim, n int) {
	f.mu.Lock()
	c.inHand += n
	f.mu.Unlock()
}
