package edge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/safego"
	"weir/backend/safetext"
)

// store keeps the outbox open: it opens it when it is needed, and sets it aside when it turns out to be corrupt. It
// is safe for concurrent use.
type store struct {
	path     string
	maxBytes int64
	maxAge   time.Duration
	now      func() time.Time
	log      *event.Log

	// patience is how long a caller waits for the outbox to be opened; 0: openPatience. openBox opens it; nil: openOutbox.
	patience time.Duration
	openBox  func(context.Context) (box *outbox, setAside string, err error)

	mu      sync.Mutex
	box     *outbox  // nil while it cannot be opened
	opening *opening // nil while nobody opens it

	// What the outbox held when it was last used. It has a mutex of its own: a snapshot never waits for a disk.
	statsMu  sync.Mutex
	seen     outboxStats
	oldestAt time.Time
}

// show makes the open outbox's figures those of the snapshots.
func (s *store) show() {
	s.statsMu.Lock()
	defer s.statsMu.Unlock()
	s.seen, s.oldestAt = s.box.stats, s.box.oldestMade
}

// storeTimeout bounds one use of the open outbox; a disk that takes longer is a disk that does not work. Opening it takes
// as long as it takes, for all of it is read: a caller waits for openPatience and is told that it goes on, at the end for
// lastPatience.
const (
	storeTimeout = 20 * time.Second
	openPatience = 2 * time.Second // longer than SQLite waits for another process's lock
	lastPatience = 8 * time.Second // docker stop, say, kills after ten
)

// errOpening says that the outbox is not open yet, and nothing else is wrong.
var errOpening = errors.New("it is being opened")

// with calls f with the open outbox. It goes on when the caller's context ends: a transaction is short, and what was
// acknowledged should be known.
func (s *store) with(ctx context.Context, f func(context.Context, *outbox) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for attempt := 1; ; attempt++ {
		err := s.open(ctx)
		if err == nil {
			err = s.use(ctx, f)
			if err == nil {
				s.show()
				return nil
			}
		}
		if !errors.Is(err, errCorrupt) || attempt > 1 {
			return err
		}
		if err := s.replace(); err != nil {
			return err
		}
	}
}

func (s *store) use(ctx context.Context, f func(context.Context, *outbox) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return f(ctx, s.box)
}

// opening is an outbox on its way to be open, in a goroutine that the store waits for.
type opening struct {
	since  time.Time
	size   int64 // bytes of the file
	cancel context.CancelFunc
	done   chan struct{} // closed when the rest is known

	box      *outbox
	setAside string
	err      error
}

// open waits for the outbox to be open. When the caller's context ended before, it is what can still be kept that waits:
// then a little longer.
func (s *store) open(ctx context.Context) error {
	if s.box != nil {
		return nil
	}
	if s.opening == nil {
		s.beginOpening()
	}
	o, patience, ended := s.opening, s.patience, ctx.Done()
	switch {
	case ctx.Err() != nil:
		patience, ended = lastPatience, nil
	case patience == 0:
		patience = openPatience
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-o.done:
	case <-timer.C:
		return o.goesOn(s.now())
	case <-ended:
		return o.goesOn(s.now())
	}
	s.opening = nil
	if o.setAside != "" {
		s.tellSetAside(o.setAside)
	}
	if o.err != nil {
		return o.err
	}
	s.box = o.box
	s.show()
	return nil
}

func (s *store) beginOpening() {
	ctx, cancel := context.WithCancel(context.Background())
	o := &opening{since: s.now(), cancel: cancel, done: make(chan struct{})}
	if info, err := os.Stat(s.path); err == nil {
		o.size = info.Size()
	}
	open := s.openBox
	if open == nil {
		open = func(ctx context.Context) (*outbox, string, error) {
			return openOutbox(ctx, s.path, s.maxBytes, s.maxAge, s.now())
		}
	}
	go func() { // owned: whoever finds it done, or close, waits for it
		defer cancel()
		defer close(o.done)
		if p := safego.Call(func() { o.box, o.setAside, o.err = open(ctx) }); p != nil {
			o.err = fmt.Errorf("opening the outbox panicked: %v\n%s", p.Value, p.Stack)
		}
	}()
	s.opening = o
}

func (o *opening) goesOn(now time.Time) error {
	return fmt.Errorf("%w, since %v: all %s of it are read first and checked for damage", errOpening, round2(now.Sub(o.since)), sizeText(o.size))
}

// replace sets aside an outbox that turned out to be corrupt while it was open.
func (s *store) replace() error {
	if s.box == nil {
		return nil
	}
	closeErr := s.box.close() // it may fail on what is corrupt; the file is kept whatever it says
	s.box = nil
	to, err := setAsideFile(s.path, s.now())
	if err != nil {
		return errors.Join(err, closeErr)
	}
	s.tellSetAside(to)
	return nil
}

func (s *store) tellSetAside(to string) {
	s.log.Add(event.Event{
		At: s.now(), Kind: event.Cloud, Severity: event.Critical, Subject: safetext.Clean("outbox"),
		Message: safetext.Sprintf("was corrupt and is set aside as %s; a new one takes its place", to),
	})
}

// put keeps a body; see outbox.put.
func (s *store) put(ctx context.Context, body []byte, at time.Time) (entry, error) {
	var e entry
	err := s.with(ctx, func(ctx context.Context, o *outbox) (err error) {
		dropped := o.stats.dropped
		e, err = o.put(ctx, body, at)
		if n := o.stats.dropped - dropped; err == nil && n > 0 {
			s.log.Add(event.Event{
				At: s.now(), Kind: event.Cloud, Severity: event.Critical, Subject: safetext.Clean("outbox"),
				Message: safetext.Sprintf("dropped its %d oldest aggregates: it keeps at most %s and %v", n, sizeText(o.maxBytes), o.maxAge),
			})
		}
		return err
	})
	return e, err
}

// acknowledge removes what the cloud has taken.
func (s *store) acknowledge(ctx context.Context, entries []entry) error {
	return s.with(ctx, func(ctx context.Context, o *outbox) error { return o.acknowledge(ctx, entries) })
}

// refuse moves one aggregate to the dead letters.
func (s *store) refuse(ctx context.Context, e entry, status int, said []byte) error {
	return s.with(ctx, func(ctx context.Context, o *outbox) error {
		dropped := o.stats.dropped
		err := o.refuse(ctx, e, status, said, s.now())
		if n := o.stats.dropped - dropped; err == nil && n > 0 {
			s.log.Add(event.Event{
				At: s.now(), Kind: event.Cloud, Severity: event.Critical, Subject: safetext.Clean("outbox"),
				Message: safetext.Sprintf("dropped its %d oldest dead letters: it keeps at most %s of them", n, sizeText(maxDeadBytes)),
			})
		}
		return err
	})
}

// requeue puts the dead letters back.
func (s *store) requeue(ctx context.Context) (n int, err error) {
	err = s.with(ctx, func(ctx context.Context, o *outbox) (err error) {
		n, err = o.requeue(ctx)
		return err
	})
	return n, err
}

// page is up to n waiting aggregates after id, oldest first.
func (s *store) page(ctx context.Context, after int64, n int) (entries []entry, err error) {
	err = s.with(ctx, func(ctx context.Context, o *outbox) (err error) {
		entries, err = o.oldest(ctx, after, n)
		return err
	})
	return entries, err
}

// lastMade is when the newest aggregate ever was put.
func (s *store) lastMade(ctx context.Context) (at time.Time, err error) {
	err = s.with(ctx, func(_ context.Context, o *outbox) error {
		at = o.lastMade
		return nil
	})
	return at, err
}

func (s *store) stats() (outboxStats, time.Time) {
	s.statsMu.Lock()
	defer s.statsMu.Unlock()
	return s.seen, s.oldestAt
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.opening; o != nil {
		o.cancel()
		<-o.done
		if o.setAside != "" {
			s.tellSetAside(o.setAside)
		}
		s.box, s.opening = o.box, nil
	}
	if s.box == nil {
		return nil
	}
	err := s.box.close()
	s.box = nil
	if err != nil {
		return fmt.Errorf("closing the outbox: %w", err)
	}
	return nil
}

func sizeText(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}
