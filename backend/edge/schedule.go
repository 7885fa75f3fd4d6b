package edge

import (
	"container/heap"
	"context"
	"hash/fnv"
	"strings"
	"time"
)

// slotGrain is the smallest step between two slots: nodes due in the same step are started together, so that ten
// thousand nodes do not cost ten thousand timers.
const slotGrain = 10 * time.Millisecond

// offsetOf spreads nodes over the interval. It depends on the URL alone, so a restart changes nothing.
func offsetOf(url string, poll time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(url)) // a hash never fails
	x := h.Sum64()
	x ^= x >> 33 // FNV leaves the high bits of short, similar strings alike
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return time.Duration(x % uint64(max(poll, 1))).Truncate(slotGrain)
}

// nextSlot is the first slot of a node later than after. It keeps after's monotonic clock, by which it is waited for: when
// the machine's clock is set back by an hour, nobody is asked an hour later.
func nextSlot(after time.Time, offset, poll time.Duration) time.Time {
	t := after.Truncate(poll).Add(offset)
	for !t.After(after) {
		t = t.Add(poll)
	}
	return after.Add(t.Sub(after))
}

// dueHeap orders nodes by their next slot.
type dueHeap []*node

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(*node)) }
func (h *dueHeap) Pop() any {
	old := *h
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return n
}

// The lanes. A node that used up its deadline last time waits in its own lane, which has a quarter of the places, so
// that a hundred hanging nodes never delay a healthy one.
const (
	laneMain = iota
	laneDoubtful
	lanes
)

// pool is the queue of nodes to poll and the workers on it. The engine's mutex guards it.
type pool struct {
	queue   [lanes][]*node
	running [lanes]int
	places  [lanes]int
	workers int
	idle    int
	closed  bool
}

func newPool(concurrency int) pool {
	return pool{places: [lanes]int{concurrency, max(1, concurrency/4)}}
}

// take is the next node to poll, nil when there is none that may run now.
func (p *pool) take() (*node, int) {
	for lane := range lanes {
		if len(p.queue[lane]) == 0 || p.running[lane] >= p.places[lane] {
			continue
		}
		n := p.queue[lane][0]
		p.queue[lane][0] = nil
		p.queue[lane] = p.queue[lane][1:]
		p.running[lane]++
		return n, lane
	}
	return nil, 0
}

// round is one PollNow: it is done when none of its nodes is left.
type round struct {
	left int
	done chan struct{}
}

// enqueue asks for a poll of n unless one is waiting or under way. The caller holds the mutex.
func (e *Engine) enqueue(n *node) {
	if n.queued || n.inFlight || n.quarantined || n.gone {
		return
	}
	n.queued = true
	lane := laneMain
	if n.doubtful {
		lane = laneDoubtful
	}
	e.pool.queue[lane] = append(e.pool.queue[lane], n)
	switch {
	case e.pool.idle > 0:
		e.pool.idle-- // counted here, not where it wakes: the next node must not count on the same worker
		e.ready.Signal()
	case e.pool.workers < e.cfg.Concurrency:
		e.pool.workers++
		e.run.start("poll", e.work)
	}
}

// schedule starts each node's poll in its slot until ctx ends. The first round begins at once.
func (e *Engine) schedule(ctx context.Context) error {
	e.mu.Lock()
	e.due = e.due[:0]
	e.scheduling = true
	now := e.cfg.Now()
	for _, n := range e.nodes {
		// Half an interval of rest, so that no node is asked twice in a row at the start.
		n.due = nextSlot(now.Add(e.cfg.Poll/2), n.offset, e.cfg.Poll)
		e.due = append(e.due, n)
		e.enqueue(n)
	}
	heap.Init(&e.due)
	e.mu.Unlock()

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-e.reschedule:
		}
		timer.Reset(e.startDue())
	}
}

// startDue starts the polls whose slot has come and returns the time until the next one.
func (e *Engine) startDue() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.cfg.Now()
	for len(e.due) > 0 && !e.due[0].due.After(now) {
		n := e.due[0]
		n.due = nextSlot(now, n.offset, e.cfg.Poll)
		heap.Fix(&e.due, 0)
		if n.breaker.passes(now, e.cfg.Poll) {
			e.enqueue(n)
		}
	}
	if len(e.due) == 0 {
		return time.Hour
	}
	return max(e.due[0].due.Sub(now), time.Millisecond)
}

// work polls one node after another until the pool closes.
func (e *Engine) work(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		n, lane := e.pool.take()
		for n == nil && !e.pool.closed {
			e.pool.idle++
			e.ready.Wait()
			n, lane = e.pool.take()
		}
		if e.pool.closed {
			return nil
		}
		n.queued, n.inFlight = false, true
		e.pollOne(ctx, n)
		n.inFlight = false
		e.pool.running[lane]--
	}
}

// pollOne asks one node, with the mutex released while it does. The caller holds the mutex.
func (e *Engine) pollOne(ctx context.Context, n *node) {
	target, etag, last := n.target, n.etag, n.sum
	var (
		a   answer
		v   verdict
		now time.Time
	)
	e.mu.Unlock()
	func() {
		defer e.mu.Lock() // also when it panics: the caller unlocks
		a = e.poller.get(ctx, target, etag)
		now = e.cfg.Now()
		v = judge(a, last, now, e.limits)
	}()
	// A summary may say whose it is. Behind a gateway that routes wrongly it is another node's, and would count twice.
	if other := e.byURL[strings.TrimRight(v.sum.NodeURL, "/")]; v.valid && other != nil && other != n {
		v = verdict{reachable: true}.invalid("answers with the data of " + other.url)
	}
	if ctx.Err() != nil {
		return // the engine stops: that says nothing about the node
	}
	since := now.Sub(n.pub.Since)
	e.polls.add(now)
	if n.gone || n.quarantined {
		return
	}
	before := n.pub.State
	if v.valid {
		v = e.compare(n, v, now)
	}
	n.observe(a, v, now, e.limits)
	e.version++
	if before == Unknown {
		e.firstAnswer()
	}
	if before != n.pub.State {
		e.teller.changed(now, before, since, &n.pub)
	}
	n.leaveRounds()
}

// firstAnswer counts the nodes not polled yet, and ends the first round with the last of them.
func (e *Engine) firstAnswer() {
	e.unpolled--
	e.endFirstRound()
}

// endFirstRound ends the first round once every source was read and every node polled.
func (e *Engine) endFirstRound() {
	if e.unpolled == 0 && len(e.roster.untried) == 0 && !e.roundDone {
		e.roundDone = true
		close(e.firstRound)
	}
}
