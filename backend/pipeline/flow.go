package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/event"
	"weir/backend/kafka"
	"weir/backend/safego"
)

// Bounds of what is in hand at once. Whenever more comes than goes for a moment, all of it fills up, and a record then
// takes as long as the broker needs for everything before it: so these are as small as full speed allows.
const (
	scorers        = 2  // batches scored at the same time
	inFlight       = 2  // batches that wait for the one the broker is about to acknowledge
	transactionMax = 10 // times MaxEvents that one transaction may take when it lags behind
	// readyRecords of a partition sarama holds ready, whatever their size, and one answer besides: 1 MiB or a single record.
	// With fewer each record costs more.
	readyRecords = 32
	chunkSize    = 256     // records of a chunk at most
	chunkBytes   = 1 << 20 // when it comes to so much it gets no more
	// batchBytes is what the records of a batch may come to before it leaves as if it were full; a few are in hand at once.
	batchBytes = 16 << 20
)

// transactionWait is how long a transaction waits for more records; each costs the broker some round trips.
const transactionWait = 100 * time.Millisecond

// How long a partition that is taken away may finish what is in hand. Kafka waits a minute for it (the rebalance
// timeout); while something is away there is little to hope for.
const (
	drainPatience        = 10 * time.Second
	drainPatienceWaiting = time.Second
)

// errGivenUp ends a session when a partition had to be let go with records in hand.
var errGivenUp = errors.New("a partition was taken away before its records were acknowledged")

// flow carries the records of one session of the consumer group: from the claims through the collector (batches), the
// scorers and the publisher (in order) to the broker, and back as commits.
//
//	claims ─chunks─▶ collect ─┬─work──▶ score (some at a time)
//	                          └─order─▶ publish ─▶ committer
type flow struct {
	e     *Engine
	out   publisher
	group sarama.ConsumerGroup
	sess  sarama.ConsumerGroupSession

	ctx    context.Context // ends when nothing is wanted of this session any more
	cancel context.CancelCauseFunc
	wg     safego.Group // a panic ends the flow, and the engine's run

	chunks chan chunk
	order  chan *batch
	work   chan *batch
	free   chan *batch
	flush  chan struct{} // a token: make do with the batch at hand
	ahead  atomic.Int32  // batches that left the collector and are not settled
	// caughtUp holds a token when ahead has become 0.
	caughtUp chan struct{}
	commit   chan struct{} // a token: there is something to commit

	gaps    sync.Mutex              // guards the two
	offsets map[int32]kafka.Offsets // of the group, as they were at gapsAt
	gapsAt  time.Time

	mu     sync.Mutex
	claims map[*claim]struct{}
	// lookForHoles is for whoever asks for facts; see there.
	lookForHoles bool
	gaveUp       chan struct{} // closed and replaced whenever a claim is given up
	uncommitted  bool          // the broker does not have what was marked
	marking      sync.Mutex    // held while offsets are marked and committed
}

// chunk is a run of records of one claim.
type chunk struct {
	claim   *claim
	records []*sarama.ConsumerMessage
	taken   time.Time
}

// publisher sends the outcomes of a batch and returns when the broker has acknowledged all of them.
type publisher interface {
	// publish returns false when the batch was given up; nothing of it must then be committed.
	publish(f *flow, b *batch) bool
	// commits tells whether acknowledged offsets must still be committed through the session.
	commits() bool
	// prepare gets ready for a session, which starts from the offsets the broker has.
	prepare(ctx context.Context) error
	close()
}

func (e *Engine) newFlow(group sarama.ConsumerGroup, out publisher) *flow {
	depth := inFlight
	if e.cfg.Delivery == ExactlyOnce {
		depth = 1 // a batch that cannot leave yet grows, and larger transactions cost less a record
	}
	f := &flow{
		e: e, out: out, group: group,
		chunks:   make(chan chunk, 1),
		order:    make(chan *batch, depth),
		work:     make(chan *batch, depth+2), // the collector never blocks on it: order is the narrower one
		free:     make(chan *batch, depth+2),
		flush:    make(chan struct{}, 1),
		caughtUp: make(chan struct{}, 1),
		commit:   make(chan struct{}, 1),
		claims:   make(map[*claim]struct{}),
		gaveUp:   make(chan struct{}),
	}
	f.ctx, f.cancel = context.WithCancelCause(context.Background())
	return f
}

// start sets the goroutines going that carry batches.
func (f *flow) start() {
	f.wg.Go(f.collect)
	for range scorers {
		f.wg.Go(func() { f.score(&scorer{f: f}) })
	}
	f.wg.Go(f.publish)
	f.wg.Go(f.committer)
}

// stop ends them, whatever is in hand.
func (f *flow) stop() {
	f.cancel(context.Canceled)
	f.wg.Wait()
}

// collect joins the claims' chunks to batches. A batch leaves when it is full or has waited for long enough. While there
// is nothing ahead of it that would keep it waiting anyway, an eighth of the records or of the wait is enough: neither a
// trickle nor the rest of a burst waits in vain then, and a request still carries enough to be worth its while.
func (f *flow) collect() {
	const enough = 8 // the part of a batch, or of its wait, that is enough while nothing is ahead
	soft, hard, wait, idle := f.e.cfg.MaxEvents, f.e.cfg.MaxEvents, f.e.cfg.MaxWait, true
	if f.e.cfg.Delivery == ExactlyOnce { // each transaction costs the broker more than a request
		hard, wait, idle = soft*transactionMax, max(wait, transactionWait), false
	}
	var (
		b     *batch
		rest  []*sarama.ConsumerMessage // of last, not yet in a batch
		last  chunk
		ripe  bool            // b is to leave
		some  = soft / enough // records that are worth a request
		short = wait / enough
		late  bool // b has waited for short
		timer = time.NewTimer(time.Hour)
	)
	timer.Stop()
	defer timer.Stop()
	for {
		for len(rest) > 0 {
			if b == nil {
				b = f.batch()
				timer.Reset(short)
			}
			n := b.room(rest, hard)
			if n == 0 {
				break
			}
			b.add(last.claim, rest[:n], last.taken)
			if rest = rest[n:]; len(rest) == 0 {
				putSlice(last.records)
			}
		}
		if b != nil {
			ripe = ripe || len(b.records) >= soft || b.bytes >= batchBytes || idle && (late || len(b.records) >= some) && f.ahead.Load() == 0
		}
		in, out := f.chunks, f.order
		if len(rest) > 0 {
			in = nil // b is full
		}
		if !ripe {
			out = nil
		}
		select {
		case last = <-in:
			rest = last.records
		case out <- b:
			b.marks[collected] = time.Now() // read when it is scored
			f.ahead.Add(1)
			f.work <- b
			b, ripe, late = nil, false, false
			timer.Stop()
		case <-f.caughtUp:
		case <-timer.C:
			if b != nil && !late {
				late = true
				timer.Reset(wait - short)
			} else {
				ripe = b != nil
			}
		case <-f.flush:
			ripe = b != nil
		case <-f.ctx.Done():
			return
		}
	}
}

// batch is an empty batch, used before if there is one.
func (f *flow) batch() *batch {
	select {
	case b := <-f.free:
		return b
	default:
		return newBatch()
	}
}

// score works on batches until the flow ends.
func (f *flow) score(s *scorer) {
	for {
		select {
		case b := <-f.work:
			b.marks[begun] = time.Now()
			b.ok = s.run(b)
			b.marks[scored] = time.Now()
			b.ready <- struct{}{}
		case <-f.ctx.Done():
			return
		}
	}
}

// publish sends scored batches in the order they were collected.
func (f *flow) publish() {
	for {
		var b *batch
		select {
		case b = <-f.order:
		case <-f.ctx.Done():
			return
		}
		select {
		case <-b.ready:
		case <-f.ctx.Done():
			return
		}
		b.marks[sending] = time.Now()
		if b.ok && f.out.publish(f, b) {
			now := time.Now()
			b.marks[sent] = now
			if f.e.stats.watch != nil {
				f.e.stats.watch(b)
			}
			f.e.stats.acknowledged(b, now)
			f.e.recent.acknowledged(f.e, b, now)
			f.e.tellDead(b)
			f.settle(b, true)
		} else {
			f.settle(b, false)
		}
		if f.ctx.Err() != nil {
			return
		}
		f.settled()
		b.reset()
		select {
		case f.free <- b:
		default:
		}
	}
}

// settle takes a batch off its claims' account.
func (f *flow) settle(b *batch, acknowledged bool) {
	f.mu.Lock()
	for _, seg := range b.segments {
		c := seg.claim
		c.inHand -= seg.n
		if acknowledged && !c.givenUp {
			c.next.Store(seg.next)
		} else {
			c.givenUp = true // never commit beyond a hole
		}
		if c.inHand == 0 {
			leaveToken(c.settled)
		}
	}
	f.mu.Unlock()
	if acknowledged && f.out.commits() {
		leaveToken(f.commit)
	}
}

// settled tells the collector of a batch that left it and is settled now.
func (f *flow) settled() {
	if f.ahead.Add(-1) == 0 {
		leaveToken(f.caughtUp)
	}
}

// committer commits what was acknowledged. While one commit is on its way the next batches settle, and one commit
// then covers all of them.
func (f *flow) committer() {
	for {
		select {
		case <-f.commit:
			f.commitNow()
		case <-f.ctx.Done():
			return
		}
	}
}

// commitNow marks and commits every claim's low-water mark.
func (f *flow) commitNow() {
	f.marking.Lock()
	defer f.marking.Unlock()
	if errors.Is(context.Cause(f.ctx), errMoved) {
		return // a move that was refused would go along
	}
	f.mu.Lock()
	dirty := f.uncommitted
	f.uncommitted = false
	for c := range f.claims {
		if next := c.next.Load(); next > c.marked {
			f.sess.MarkOffset(c.topic, c.partition, next, "")
			f.sess.ResetOffset(c.topic, c.partition, next, "") // the group's offset lay beyond the end of the partition
			c.marked, dirty = next, true
		}
	}
	f.mu.Unlock()
	if dirty {
		f.sess.Commit()
	}
}

// persist calls do until it succeeds, saying meanwhile what is waited for. It is false when nobody wants the batch
// any more.
func (f *flow) persist(b *batch, h hold, do func() error) bool {
	backoff := 25 * time.Millisecond
	for {
		err := do()
		if err == nil {
			f.e.status.back(h)
			return true
		}
		f.mu.Lock()
		gaveUp := f.gaveUp
		f.mu.Unlock()
		if f.ctx.Err() != nil || f.orphaned(b) {
			f.e.status.back(h)
			return false
		}
		f.e.status.waiting(h, err.Error())
		select {
		case <-time.After(backoff/2 + rand.N(backoff)):
		case <-gaveUp:
		case <-f.ctx.Done():
		}
		backoff = min(2*backoff, 2*time.Second)
	}
}

// orphaned tells whether every partition a batch came from was given up.
func (f *flow) orphaned(b *batch) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, seg := range b.segments {
		if !seg.claim.givenUp {
			return false
		}
	}
	return true
}

// anyGivenUp tells whether a partition the batch came from was given up.
func (f *flow) anyGivenUp(b *batch) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, seg := range b.segments {
		if seg.claim.givenUp {
			return true
		}
	}
	return false
}

// leaveToken leaves a token in a channel of one.
func leaveToken(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tellDead logs the first dead letter of a burst: one event a partition of the log's attention, not one a record.
func (e *Engine) tellDead(b *batch) {
	const quiet = 30 * time.Second
	for i := range b.outcomes {
		o := &b.outcomes[i]
		if o.stage == "" {
			continue
		}
		now := time.Now()
		e.mu.Lock()
		first := now.Sub(e.lastDead) > quiet
		e.lastDead = now
		e.mu.Unlock()
		if first {
			r := b.records[i]
			e.tell(event.Pipeline, event.Warning, "dead letter", "%s: %s (partition %d, offset %d)", o.stage, o.reason, r.Partition, r.Offset)
		}
		return
	}
}

var slicesFree = sync.Pool{New: func() any { s := make([]*sarama.ConsumerMessage, 0, chunkSize); return &s }}

func getSlice() []*sarama.ConsumerMessage { return *slicesFree.Get().(*[]*sarama.ConsumerMessage) }

// putSlice lets a chunk's slice be used again. Its records live on in batches.
func putSlice(s []*sarama.ConsumerMessage) {
	if cap(s) > 4*chunkSize {
		return // grew while reading ahead
	}
	s = s[:cap(s)]
	clear(s)
	s = s[:0]
	slicesFree.Put(&s)
}
