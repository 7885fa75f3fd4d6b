package edge

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// Bounds of the sync.
const (
	sendWorkers  = 8   // attempts under way at once while the cloud takes them
	pageSize     = 128 // waiting aggregates read at once
	maxHeld      = 16  // aggregates kept in memory while the outbox cannot be written
	maxLive      = 32  // new aggregates that go before the backlog
	backoffFirst = 500 * time.Millisecond
	backoffMost  = time.Minute
	putRetryTime = 5 * time.Second
)

// syncer makes an aggregate each interval, keeps it, and sends what is kept. One goroutine makes, one sends; the
// outbox lies between them.
type syncer struct {
	cfg       *CloudConfig // nil: off
	now       func() time.Time
	rand      func() float64
	log       *event.Log
	logger    *slog.Logger
	aggregate func(time.Time) aggregate
	store     *store
	send      func(context.Context, entry, bool) outcome
	closeIdle func()
	putRetry  time.Duration // between two attempts to write what is held
	kept      func()        // nil but in a test: an aggregate is durable

	requests chan *request // SyncNow
	poke     chan struct{} // something waits to be sent

	// entering is held from an aggregate's way into the outbox until it is known as live, and over the reading of a page:
	// else a page could hold what is not known as live yet, and it would be sent twice, or its SyncNow never be answered.
	entering sync.Mutex

	mu      sync.Mutex
	state   Cloud
	live    []entry             // put by this process and not tried yet, oldest first
	waiters map[string]*request // by the key of the entry they wait for
	urgent  bool                // do not wait for the end of a pause
	outbox  outboxTold
}

// outboxTold is what was last told of the outbox.
type outboxTold int

const (
	outboxUsable outboxTold = iota
	outboxOpening
	outboxAway
)

// request is one SyncNow.
type request struct{ result chan error }

// outcome is what came of one attempt to send.
type outcome struct {
	entry   entry
	err     error // nil: the cloud has it
	status  int   // 0 without an answer
	refused bool  // the cloud will never take it
	said    []byte
	after   time.Duration // Retry-After
}

func newSyncer(c Config, log *event.Log, aggregate func(time.Time) aggregate) *syncer {
	s := &syncer{
		cfg: c.Cloud, now: c.Now, rand: c.Rand, log: log, logger: c.Logger, aggregate: aggregate,
		requests: make(chan *request), putRetry: putRetryTime, poke: make(chan struct{}, 1),
		waiters: map[string]*request{}, state: Cloud{State: CloudOff, Since: c.Now()},
	}
	if c.Cloud == nil {
		return s
	}
	s.state.State, s.state.URL = CloudIdle, safetext.Clean(c.Cloud.URL)
	s.store = &store{path: c.Outbox, maxBytes: c.Cloud.MaxBytes, maxAge: c.Cloud.MaxAge, now: c.Now, log: log}
	sender := newSender(*c.Cloud, c.Now)
	s.send, s.closeIdle = sender.send, sender.client.CloseIdleConnections
	return s
}

// cloud is the sync as it is now.
func (s *syncer) cloud() Cloud {
	s.mu.Lock()
	c := s.state
	c.Opening = s.outbox == outboxOpening
	s.mu.Unlock()
	if s.store != nil {
		var st outboxStats
		st, c.OldestAt = s.store.stats()
		c.Outbox, c.Synced, c.Dropped, c.DeadLettered = st.waiting, st.synced, c.Dropped+st.dropped, st.deadLettered
	}
	return c
}

// run makes and sends until ctx ends. The first aggregate waits for the first round of polls, if it can.
func (s *syncer) run(ctx context.Context, firstRound <-chan struct{}) (err error) {
	if s.cfg == nil {
		<-ctx.Done()
		return nil
	}
	failed := make(chan error, 1)
	var sending sync.WaitGroup
	sendCtx, stop := context.WithCancel(ctx)
	sending.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				failed <- fmt.Errorf("sending panicked: %v", p)
			}
		}()
		s.sendLoop(sendCtx)
	})
	defer func() { // also when it panics: the next run must not find this one at work
		stop()
		sending.Wait()
		s.closeIdle()
		s.failWaiters(ErrNotRunning)
		s.dropAllLive()
		err = errors.Join(err, s.store.close())
	}()
	return s.makeLoop(ctx, firstRound, failed)
}

// makeLoop makes an aggregate each interval and at each request. What cannot be kept in the outbox at once is held. The first
// one does not wait for longer than an interval: where many nodes hang, the first round of polls may take an hour.
func (s *syncer) makeLoop(ctx context.Context, firstRound <-chan struct{}, failed <-chan error) error {
	var held []heldAggregate
	defer func() { s.giveUp(s.keep(ctx, held)) }() // a last attempt: the disk may have space again
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	next := s.now().Add(s.cfg.Every)
	s.setNext(next)
	for {
		wait := next.Sub(s.now())
		if len(held) > 0 {
			wait = min(wait, s.putRetry)
		}
		timer.Reset(max(wait, 0))
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-firstRound:
			firstRound = nil
			next = s.firstTime(ctx)
			s.setNext(next)
		case r := <-s.requests:
			held = s.hold(held, r)
		case <-timer.C:
			if now := s.now(); !now.Before(next) {
				held = s.hold(held, nil)
				for !next.After(now) {
					next = next.Add(s.cfg.Every)
				}
				s.setNext(next)
			}
		}
		held = s.keep(ctx, held)
	}
}

// firstTime is when the first aggregate of this run is due: at once, or an interval after the last one a process
// before this one made.
func (s *syncer) firstTime(ctx context.Context) time.Time {
	now := s.now()
	last, err := s.store.lastMade(ctx)
	if err != nil {
		s.outboxFails(err)
	}
	if due := last.Add(s.cfg.Every); err == nil && !last.After(now) && due.After(now) {
		s.kick()                     // what waits from before can go at once
		return now.Add(due.Sub(now)) // by the monotonic clock: that of the machine may be set back
	}
	return now
}

func (s *syncer) setNext(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.NextSync = at
}

// heldAggregate is one that is not in the outbox yet.
type heldAggregate struct {
	at   time.Time
	body []byte
	ask  *request
}

// hold makes an aggregate and appends it; beyond maxHeld the oldest is dropped, and counted.
func (s *syncer) hold(held []heldAggregate, ask *request) []heldAggregate {
	now := s.now()
	body, err := pack(s.aggregate(now))
	if err != nil { // no value in an aggregate can cause it
		s.log.Add(event.Event{At: now, Kind: event.Cloud, Severity: event.Critical, Subject: safetext.Clean("aggregate"),
			Message: safetext.Sprintf("cannot be written: %v", err)})
		ask.answer(err)
		return held
	}
	if len(held) == maxHeld {
		held[0].ask.answer(errors.New("it was dropped: the outbox could not be written for too long"))
		held = held[1:]
		s.mu.Lock()
		s.state.Dropped++
		s.mu.Unlock()
	}
	return append(held, heldAggregate{at: now, body: body, ask: ask})
}

// keep puts what is held into the outbox, oldest first, and returns what could not be.
func (s *syncer) keep(ctx context.Context, held []heldAggregate) []heldAggregate {
	for len(held) > 0 {
		h := held[0]
		if err := s.enter(ctx, h); err != nil {
			s.outboxFails(err)
			for i := range held {
				held[i].ask.answer(err)
				held[i].ask = nil
			}
			return held
		}
		if s.kept != nil {
			s.kept()
		}
		held = held[1:]
		s.kick()
	}
	return nil
}

// giveUp counts and tells what is lost because it could not be kept before the end.
func (s *syncer) giveUp(held []heldAggregate) {
	if len(held) == 0 {
		return
	}
	s.mu.Lock()
	s.state.Dropped += uint64(len(held))
	s.mu.Unlock()
	message := safetext.Sprintf("lost %d aggregates: it could not be written before the end", len(held))
	s.log.Add(event.Event{At: s.now(), Kind: event.Cloud, Severity: event.Critical, Subject: safetext.Clean("outbox"), Message: message})
	s.logger.Warn("edge: the outbox " + message.String()) // for nobody may see the event any more
}

// enter puts one aggregate into the outbox.
func (s *syncer) enter(ctx context.Context, h heldAggregate) error {
	s.entering.Lock()
	defer s.entering.Unlock()
	e, err := s.store.put(ctx, h.body, h.at)
	if err != nil {
		return err
	}
	s.outboxWorks()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.live) < maxLive {
		s.live = append(s.live, e)
	}
	if h.ask != nil {
		s.waiters[e.key] = h.ask
		s.urgent = true
	}
	return nil
}

func (s *syncer) kick() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// zippers are kept because making one costs more than a small aggregate's compression.
var zippers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// pack is the aggregate as compressed JSON.
func pack(a aggregate) ([]byte, error) {
	var b bytes.Buffer
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	z.Reset(&b)
	if err := json.NewEncoder(z).Encode(a); err != nil {
		return nil, fmt.Errorf("writing the aggregate: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("compressing the aggregate: %w", err)
	}
	return b.Bytes(), nil
}

// unpack is the JSON of a packed aggregate.
func unpack(body []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("reading an aggregate: %w", err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("reading an aggregate: %w", err)
	}
	return b, nil
}

// syncNow asks for an aggregate and waits until the cloud has it, or until it is known that it does not yet.
func (s *syncer) syncNow(ctx, run context.Context) error {
	if s.cfg == nil {
		return errors.New("no cloud is configured")
	}
	r := &request{result: make(chan error, 1)}
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-run.Done():
		return ErrNotRunning
	}
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-run.Done():
		return ErrNotRunning
	}
}

// answer tells the caller of SyncNow; nobody asked when r is nil.
func (r *request) answer(err error) {
	if r == nil {
		return
	}
	select {
	case r.result <- err:
	default:
	}
}

// failWaiters tells whoever waits that the cloud does not have their aggregates yet, and why.
func (s *syncer) failWaiters(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.waiters {
		r.answer(err)
		delete(s.waiters, key)
	}
}

// dropAllLive lets what is not sent yet be backlog.
func (s *syncer) dropAllLive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = nil
}

// outboxFails shows that the outbox cannot be used, and says it once a change: that is no fault of the cloud's, and while
// it is being opened nobody's.
func (s *syncer) outboxFails(err error) {
	now := s.now()
	to, told := CloudDown, outboxAway
	e := event.Event{At: now, Kind: event.Cloud, Severity: event.Critical, Subject: safetext.Clean("outbox"),
		Message: safetext.Sprintf("cannot be used, the last %d aggregates are kept in memory meanwhile: %v", maxHeld, err)}
	if errors.Is(err, errOpening) {
		to, told = s.cloud().State, outboxOpening
		e.Severity = event.Info
		e.Message = safetext.Sprintf("is not open yet, the last %d aggregates are kept in memory meanwhile: %v", maxHeld, err)
	}
	s.become(to, fmt.Errorf("outbox: %w", err), now)
	s.mu.Lock()
	before := s.outbox
	s.outbox = told
	s.mu.Unlock()
	if before != told {
		s.log.Add(e)
	}
}

// outboxWorks says so after it could not be used.
func (s *syncer) outboxWorks() {
	s.mu.Lock()
	before := s.outbox
	s.outbox = outboxUsable
	s.mu.Unlock()
	e := event.Event{At: s.now(), Kind: event.Cloud, Severity: event.Recovered, Subject: safetext.Clean("outbox"),
		Message: safetext.Clean("can be used again")}
	switch before {
	case outboxUsable:
		return
	case outboxOpening:
		e.Severity, e.Message = event.Info, safetext.Clean("is open")
	}
	s.log.Add(e)
}
