package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// sendLoop sends what waits, pausing with full jitter after a failure, until ctx ends.
func (s *syncer) sendLoop(ctx context.Context) {
	failures := 0
	var pause time.Time // no attempt before
	for {
		if !s.awaitWork(ctx, pause) {
			return
		}
		c := &cycle{s: s, probe: failures > 0, taken: map[string]bool{}}
		failed := c.run(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case failed != nil:
			failures++
			s.failWaiters(failed.err) // whose turn may come an hour later
			pause = s.now().Add(s.backoff(failures, failed.after))
		default:
			if c.probe && c.pulled > 0 {
				s.kick() // the probe went through: now the rest
			}
			failures, pause = 0, time.Time{}
		}
	}
}

// awaitWork waits until there may be something to send and it may be tried.
func (s *syncer) awaitWork(ctx context.Context, pause time.Time) bool {
	wait := time.Hour
	if !pause.IsZero() {
		wait = max(pause.Sub(s.now()), 0)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-s.poke:
			s.mu.Lock()
			urgent := s.urgent
			s.urgent = false
			s.mu.Unlock()
			if urgent || pause.IsZero() {
				return true
			}
		}
	}
}

// backoff is full jitter over a doubling bound; what the cloud asked for comes before it.
func (s *syncer) backoff(failures int, asked time.Duration) time.Duration {
	most := min(backoffMost, max(s.cfg.Every, backoffFirst))
	bound := min(backoffFirst<<min(failures-1, 16), most)
	return asked + time.Duration(s.rand()*float64(bound))
}

// cycle sends until nothing waits or an attempt fails: new aggregates first, then the backlog, oldest first.
type cycle struct {
	s     *syncer
	probe bool // one attempt only: the last one failed

	mu     sync.Mutex
	page   []entry
	after  int64
	last   bool // no further page
	taken  map[string]bool
	pulled int

	stop atomic.Bool
}

// run returns an attempt that failed and can be repeated, nil when there was none: of several at once, the one after which
// the cloud wants to be left alone for longest.
func (c *cycle) run(ctx context.Context) *outcome {
	workers := sendWorkers
	if c.probe {
		workers = 1
	}
	results := make(chan outcome, workers)
	var helping helpers
	for range workers {
		helping.start(func() {
			for !c.stop.Load() && helping.panicked.Load() == nil {
				e, backfill, ok := c.next(ctx)
				if !ok {
					return
				}
				results <- c.s.send(ctx, e, backfill)
			}
		})
	}
	go func() { // owned: it ends with the workers, and the loop below ends with it
		helping.group.Wait()
		close(results)
	}()
	var failed *outcome
	for o := range results {
		batch := []outcome{o}
		for more := true; more && len(batch) < pageSize; {
			select {
			case o, ok := <-results:
				if more = ok; ok {
					batch = append(batch, o)
				}
			default:
				more = false
			}
		}
		if f := c.settle(ctx, batch); f != nil {
			failed = longer(failed, f)
			c.stop.Store(true)
		}
	}
	helping.check()
	return failed
}

func longer(a, b *outcome) *outcome {
	if a == nil || b.after > a.after {
		return b
	}
	return a
}

// next is the aggregate to send next.
func (c *cycle) next(ctx context.Context) (e entry, backfill, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probe && c.pulled > 0 {
		return e, false, false
	}
	if e, ok := c.s.takeLive(); ok {
		c.pulled++
		c.taken[e.key] = true
		return e, false, true
	}
	for {
		for len(c.page) > 0 {
			e, c.page = c.page[0], c.page[1:]
			if !c.taken[e.key] {
				c.pulled++
				return e, !c.s.dropLive(e.key), true
			}
		}
		if c.last {
			return e, false, false
		}
		c.s.entering.Lock()
		page, err := c.s.store.page(ctx, c.after, pageSize)
		c.s.entering.Unlock()
		if err != nil {
			c.s.outboxFails(err)
		}
		if len(page) == 0 {
			c.last = true
			return e, false, false
		}
		c.page, c.after = page, page[len(page)-1].id
	}
}

func (s *syncer) takeLive() (entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.live) == 0 {
		return entry{}, false
	}
	e := s.live[0]
	s.live = s.live[1:]
	return e, true
}

// dropLive takes an aggregate that is sent from a page off the live ones, and tells whether it was one.
func (s *syncer) dropLive(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.live, func(e entry) bool { return e.key == key })
	if i < 0 {
		return false
	}
	s.live = slices.Delete(s.live, i, i+1)
	return true
}

// settle writes down what came of some attempts, in as few transactions as it can.
func (c *cycle) settle(ctx context.Context, batch []outcome) (failed *outcome) {
	s := c.s
	var taken []entry
	for i := range batch {
		o := &batch[i]
		switch {
		case o.err == nil:
			taken = append(taken, o.entry)
		case o.refused:
			if err := s.store.refuse(ctx, o.entry, o.status, o.said); err != nil {
				s.outboxFails(err)
				failed = longer(failed, o)
				continue
			}
			s.answered(o, CloudRefused)
		case ctx.Err() != nil: // it was us who broke it off
			failed = longer(failed, o)
		default:
			failed = longer(failed, o)
			s.answered(o, CloudDown)
		}
	}
	if len(taken) == 0 {
		return failed
	}
	err := s.store.acknowledge(ctx, taken)
	if err == nil {
		s.outboxWorks()
	} else {
		s.outboxFails(err)
		failed = longer(failed, &outcome{err: err})
	}
	for i := range batch {
		switch {
		case batch[i].err != nil:
		case err == nil:
			s.answered(&batch[i], CloudOK)
		default: // the cloud has it, but will get it again: that is not ok
			s.account(&batch[i])
		}
	}
	return failed
}

// answered shows what came of one attempt, and tells whoever waits for it.
func (s *syncer) answered(o *outcome, state CloudState) {
	s.account(o)
	s.change(state, o.err)
}

// account counts one attempt, and tells whoever waits for it.
func (s *syncer) account(o *outcome) {
	s.mu.Lock()
	if o.err == nil {
		s.state.LastSync = s.now()
	} else {
		s.state.Failed++
	}
	waiter := s.waiters[o.entry.key]
	delete(s.waiters, o.entry.key)
	s.mu.Unlock()
	waiter.answer(o.err)
}

// become sets the state of the cloud, and returns the one before.
func (s *syncer) become(to CloudState, why error, now time.Time) (from CloudState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from = s.state.State
	s.state.Error = safetext.Text{}
	if why != nil {
		s.state.Error = safetext.Bytes([]byte(why.Error()), 2*maxReason)
	}
	if from != to {
		s.state.State, s.state.Since = to, now
	}
	return from
}

// change sets the state of the cloud and tells of it when it is another.
func (s *syncer) change(to CloudState, why error) {
	now := s.now()
	from := s.become(to, why, now)
	if from == to || from == CloudIdle && to == CloudOK {
		return
	}
	e := event.Event{At: now, Kind: event.Cloud, Subject: s.state.URL} // the URL never changes
	switch to {
	case CloudOK:
		e.Severity, e.Message = event.Recovered, safetext.Clean("takes aggregates again")
	case CloudRefused:
		e.Severity, e.Message = event.Warning, safetext.Sprintf("refused an aggregate for good, it is kept as a dead letter: %v", why)
	default:
		e.Severity, e.Message = event.Warning, safetext.Sprintf("takes no aggregates, they wait in the outbox: %v", why)
	}
	s.log.Add(e)
}

// cloudSilence is how long the cloud may say nothing before a kept connection to it is looked at.
const cloudSilence = 15 * time.Second

// sender sends one aggregate to the cloud.
type sender struct {
	cfg    CloudConfig
	now    func() time.Time
	client *http.Client
	plain  atomic.Bool // the cloud does not take gzip
}

func newSender(c CloudConfig, now func() time.Time) *sender {
	x := &sender{cfg: c, now: now}
	x.plain.Store(!c.Gzip)
	x.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            newDialer(nil).DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    sendWorkers,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    c.Timeout,
			MaxResponseHeaderBytes: 32 << 10,
			HTTP2:                  notDead(min(cloudSilence, c.Timeout), c.Timeout),
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return x
}

// send is one attempt. The body of an idempotency key is always the same; that it is a late one stands in a header.
func (x *sender) send(ctx context.Context, e entry, backfill bool) outcome {
	compressed := !x.plain.Load()
	o := x.attempt(ctx, e, backfill, compressed)
	if o.status == http.StatusUnsupportedMediaType && compressed {
		// What comes of the second attempt counts: when it fails for a while, the aggregate is no dead letter.
		if o = x.attempt(ctx, e, backfill, false); o.err == nil {
			x.plain.Store(true)
		}
	}
	return o
}

func (x *sender) attempt(ctx context.Context, e entry, backfill, compressed bool) outcome {
	o := outcome{entry: e}
	ctx, cancel := context.WithTimeoutCause(ctx, x.cfg.Timeout, errDeadline)
	defer cancel()
	body := e.body
	if !compressed {
		var err error
		if body, err = unpack(e.body); err != nil {
			o.err, o.refused = err, true // the disk changed it: no repetition will mend it
			return o
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.cfg.URL, bytes.NewReader(body))
	if err != nil {
		o.err = err
		return o
	}
	req.Header.Set("Content-Type", "application/json")
	if compressed {
		req.Header.Set("Content-Encoding", "gzip")
	}
	req.Header.Set("User-Agent", "weir")
	req.Header.Set("Idempotency-Key", e.key)
	req.Header.Set("Weir-Made-At", e.madeAt.UTC().Format(time.RFC3339Nano))
	if backfill {
		req.Header.Set("Weir-Backfill", "true")
	}
	if token := x.cfg.Token(); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := x.client.Do(req)
	if err != nil {
		o.err = explain(ctx, err, x.cfg.Timeout)
		return o
	}
	o.status = resp.StatusCode
	o.after = retryAfter(resp.Header, x.now())
	said, readErr := io.ReadAll(io.LimitReader(resp.Body, maxDeadAnswer))
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be kept
	closeErr := resp.Body.Close()
	o.said = said
	o.err, o.refused = verdictOf(resp, said)
	if o.err == nil && readErr != nil { // the status alone is not the whole answer
		o.err = explain(ctx, errors.Join(readErr, closeErr), x.cfg.Timeout)
	}
	return o
}

// verdictOf says whether an answer acknowledges an aggregate, and if not whether it is worth another attempt.
func verdictOf(resp *http.Response, said []byte) (err error, refused bool) { //nolint:revive // the pair reads in this order
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300 && isPage(resp.Header, said):
		return fmt.Errorf("answered %d with an HTML page, which acknowledges nothing", code), false
	case code >= 200 && code < 300:
		return nil, false
	case code >= 300 && code < 400:
		return fmt.Errorf("redirects to %s, which is not followed: set cloud.url to where it should go", resp.Header.Get("Location")), false
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		return fmt.Errorf("answered %d %s", code, http.StatusText(code)), false
	default:
		return fmt.Errorf("answered %d %s: %.120s", code, http.StatusText(code), said), true
	}
}

// isPage tells an HTML page, as a captive portal or a proxy gives, from an answer of an interface.
func isPage(header http.Header, said []byte) bool {
	said = bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(said, []byte("\ufeff"))))
	if len(said) == 0 || said[0] != '<' {
		return false
	}
	return strings.Contains(strings.ToLower(header.Get("Content-Type")), "html") ||
		bytes.Contains(said, []byte("<!doctype html")) || bytes.Contains(said, []byte("<html"))
}
