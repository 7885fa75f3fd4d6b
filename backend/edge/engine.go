// Package edge polls a fleet of edge nodes, tells the dead from the stale from the lying, and brings the aggregate of
// what they report to the cloud through a durable outbox.
//
// A node is asked in its own slot of the interval, never twice at once, by a bounded pool of workers; see schedule.go.
// What an answer says about it is decided in one pure function, judge, in node.go. Aggregates enter a SQLite file
// before any attempt to send them and leave it on a 2xx; see outbox.go and sync.go.
package edge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"weir/backend/event"
	"weir/backend/safego"
	"weir/backend/safetext"
)

// ErrNotRunning is what PollNow and SyncNow return while Run does not run; ErrRunning what a second Run returns.
var (
	ErrNotRunning = errors.New("the edge engine does not run")
	ErrRunning    = errors.New("the edge engine runs already")
)

// Engine polls and syncs while Run runs. All its methods are safe for concurrent use.
type Engine struct {
	cfg        Config
	limits     limits
	poller     poller
	log        event.Log
	sync       *syncer
	learner    *learner // nil: off
	keeper     *keeper
	keeping    sync.Mutex // held over a change of a quarantine and its writing, so that both have one order
	reschedule chan struct{}
	firstRound chan struct{} // closed when every node was polled once

	mu        sync.Mutex
	ready     *sync.Cond // a node is queued, or the pool closes
	run       *run       // nil when Run does not run
	roster    roster
	nodes     []*node // in the order of the configuration, then of each source
	byURL     map[string]*node
	groups    []groupKey          // there are
	holds     map[string]hold     // the quarantines by URL, also of nodes that are not listed now
	watched   map[*node]time.Time // whose history is in the snapshots, until when
	due       dueHeap
	pool      pool
	teller    *teller
	twins     twins
	polls     rate
	unpolled  int
	roundDone bool // every node was polled, or is gone
	// scheduling is set once the first round of a run is queued: from then on new nodes queue themselves.
	scheduling bool
	toldFirst  bool

	version, publishedVersion uint64 // of the nodes
	publishedAt               time.Time
	published                 *Snapshot
	urgent                    bool // the next snapshot must be current
}

// New checks c and makes an engine, which does nothing before Run. Its errors wrap ErrConfig.
func New(c Config) (*Engine, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	p, access, err := newHTTPPoller(c)
	if err != nil {
		return nil, err
	}
	return newEngine(c, p, access), nil
}

func newEngine(c Config, p poller, access []accessOf) *Engine {
	e := &Engine{
		cfg:        c,
		limits:     limits{poll: c.Poll, timeout: c.Timeout, staleAfter: c.StaleAfter},
		poller:     p,
		reschedule: make(chan struct{}, 1),
		firstRound: make(chan struct{}),
	}
	e.ready = sync.NewCond(&e.mu)
	e.teller, e.twins = newTeller(&e.log), newTwins()
	e.sync = newSyncer(c, &e.log, e.aggregate)
	if c.Federated != nil {
		e.learner = &learner{cfg: *c.Federated, e: e}
	}
	e.keeper = newKeeper(c.State, c.Now, &e.log)
	e.holds, e.watched = map[string]hold{}, map[*node]time.Time{}
	e.roster.access = access
	e.roster.lists = make([][]Target, 1+len(c.Sources))
	for _, u := range c.Nodes {
		e.roster.lists[0] = append(e.roster.lists[0], Target{URL: u})
	}
	e.roster.lists[0] = append(e.roster.lists[0], c.Targets...)
	e.roster.untried = map[int]bool{}
	for i, s := range c.Sources {
		e.roster.untried[i] = true
		e.roster.sources = append(e.roster.sources, SourceStatus{Name: safetext.Clean(s.Name())})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rebuild(c.Now())
	e.endFirstRound()
	return e
}

// run is one call of Run: the goroutines it started, and why it ends.
type run struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	group  sync.WaitGroup
}

// start runs f until the run's context ends. An error or a panic of f ends the run.
func (r *run) start(name string, f func(context.Context) error) {
	r.group.Go(func() {
		var err error
		if p := safego.Call(func() { err = f(r.ctx) }); p != nil {
			r.cancel(fmt.Errorf("edge: %s panicked: %v\n%s", name, p.Value, p.Stack))
		} else if err != nil {
			r.cancel(fmt.Errorf("edge: %s: %w", name, err))
		}
	})
}

// helpers are goroutines that work for the one which waits for them. A panic of theirs becomes its own, which start
// recovers: else it would end the process, and every engine with it.
type helpers struct {
	group    sync.WaitGroup
	panicked atomic.Pointer[safego.Panic]
}

func (h *helpers) start(f func()) { h.group.Go(func() { h.do(f) }) }

// do calls f, and remembers its panic.
func (h *helpers) do(f func()) {
	if p := safego.Call(f); p != nil {
		h.panicked.CompareAndSwap(nil, p)
	}
}

// check panics if one of them did. All must have ended.
func (h *helpers) check() {
	if p := h.panicked.Load(); p != nil {
		panic(fmt.Sprintf("%v\n%s", p.Value, p.Stack))
	}
}

// Run polls and syncs until ctx ends, then returns nil. An error means that it cannot go on; it may be called again.
func (e *Engine) Run(ctx context.Context) error {
	runCtx, cancel := context.WithCancelCause(ctx)
	r := &run{ctx: runCtx, cancel: cancel}
	if err := e.begin(r); err != nil {
		cancel(nil)
		return err
	}
	e.restore(runCtx) // before the first poll
	r.start("schedule", e.schedule)
	r.start("events", e.tell)
	e.startSources(r)
	if e.cfg.State != "" {
		r.start("state", e.keepUp)
	}
	if e.learner != nil {
		r.start("federated learning", e.learner.run)
	}
	r.start("sync", func(ctx context.Context) error { return e.sync.run(ctx, e.firstRound) })

	<-runCtx.Done()
	e.mu.Lock()
	e.pool.closed = true
	e.ready.Broadcast()
	e.mu.Unlock()
	r.group.Wait()
	e.poller.close()
	if err := e.keeper.stop(); err != nil {
		e.cfg.Logger.Warn("edge", "error", err)
	}
	e.mu.Lock()
	e.run = nil
	e.mu.Unlock()
	cause := context.Cause(runCtx)
	cancel(nil)
	if errors.Is(cause, context.Cause(ctx)) {
		return nil // asked to end; nothing failed before
	}
	return cause
}

func (e *Engine) begin(r *run) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.run != nil {
		return ErrRunning
	}
	e.run = r
	e.scheduling = false
	e.pool = newPool(e.cfg.Concurrency)
	for _, n := range e.nodes { // what an earlier run left behind
		n.queued, n.inFlight, n.rounds = false, false, nil
	}
	return nil
}

// tell turns changes into events, and tells how the first round went.
func (e *Engine) tell(ctx context.Context) error {
	tick := time.NewTicker(tellGrain)
	defer tick.Stop()
	first := e.firstRound
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-first:
			first = nil
			e.tellFirstRound()
		case <-tick.C:
			e.mu.Lock()
			e.teller.flush(e.cfg.Now())
			e.mu.Unlock()
		}
	}
}

func (e *Engine) tellFirstRound() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.nodes) == 0 || e.toldFirst {
		return
	}
	e.toldFirst = true
	var t totals
	for _, n := range e.nodes {
		t.add(&n.pub)
	}
	e.log.Add(event.Event{
		At: e.cfg.Now(), Kind: event.Node, Severity: event.Info, Subject: safetext.Clean("fleet"),
		Message: safetext.Sprintf("%d of %d nodes report after the first round", t.reporting, t.nodes),
	})
}

// PollNow polls every node at once and returns when all have been, or when ctx ends. A node whose poll is under way
// already is not asked a second time, and one in quarantine not at all.
func (e *Engine) PollNow(ctx context.Context) error {
	return e.pollNow(ctx, func() ([]*node, error) { return e.nodes, nil })
}

// PollNode is PollNow of one node.
func (e *Engine) PollNode(ctx context.Context, url string) error {
	return e.pollNow(ctx, func() ([]*node, error) {
		n := e.byURL[url]
		if n == nil {
			return nil, fmt.Errorf("%w: %q", ErrNoNode, url)
		}
		return []*node{n}, nil
	})
}

// pollNow polls the nodes that which gives with the mutex held.
func (e *Engine) pollNow(ctx context.Context, which func() ([]*node, error)) error {
	e.mu.Lock()
	r := e.run
	if r == nil || r.ctx.Err() != nil {
		e.mu.Unlock()
		return fmt.Errorf("poll now: %w", ErrNotRunning)
	}
	nodes, err := which()
	if err != nil {
		e.mu.Unlock()
		return fmt.Errorf("poll now: %w", err)
	}
	w := &round{done: make(chan struct{})}
	for _, n := range nodes {
		if n.quarantined {
			continue
		}
		w.left++
		n.rounds = append(n.rounds, w)
		e.enqueue(n)
	}
	if w.left == 0 {
		close(w.done)
	}
	e.mu.Unlock()
	select {
	case <-w.done:
		e.mu.Lock()
		e.urgent = true
		e.mu.Unlock()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("poll now: %w", context.Cause(ctx))
	case <-r.ctx.Done():
		return fmt.Errorf("poll now: %w", ErrNotRunning)
	}
}

// SyncNow makes an aggregate of the fleet as it is now, keeps it in the outbox and tries to send what waits there. It
// returns nil when the cloud has acknowledged this aggregate, and otherwise why it has not; the aggregate is kept.
func (e *Engine) SyncNow(ctx context.Context) error {
	e.mu.Lock()
	r := e.run
	e.mu.Unlock()
	if r == nil || r.ctx.Err() != nil {
		return fmt.Errorf("sync now: %w", ErrNotRunning)
	}
	if err := e.sync.syncNow(ctx, r.ctx); err != nil {
		return fmt.Errorf("sync now: %w", err)
	}
	return nil
}

// Requeue gives the aggregates the cloud refused for good another chance, under their own idempotency keys: after its
// token was renewed, say. It returns how many there were. What is refused again is a dead letter again.
func (e *Engine) Requeue(ctx context.Context) (int, error) {
	e.mu.Lock()
	r := e.run
	e.mu.Unlock()
	if r == nil || r.ctx.Err() != nil || e.sync.cfg == nil {
		return 0, fmt.Errorf("requeue: %w", ErrNotRunning)
	}
	n, err := e.sync.store.requeue(ctx)
	if err != nil {
		return 0, fmt.Errorf("requeue: %w", err)
	}
	e.sync.kick()
	return n, nil
}

// aggregate is the fleet as it is now.
func (e *Engine) aggregate(at time.Time) aggregate {
	e.mu.Lock()
	defer e.mu.Unlock()
	return aggregateOf(e.nodes, e.groups, at)
}
