package features

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/backend/jsonlex"
)

// DefaultTimeout is how long one request may take.
const DefaultTimeout = 500 * time.Millisecond

// The bounds of the client.
const (
	maxAttempts = 3                     // of one request, all within its timeout
	retryBase   = 20 * time.Millisecond // the longest first pause; it doubles with each
	fewest      = 16                    // entities a request is never cut below because of its slowness
	answerBase  = 1 << 20               // bytes an answer may have, and
	answerValue = 1 << 10               // as many more for each value asked for, and
	answerMost  = 64 << 20              // never more than this
	reasonMost  = 300                   // bytes of a refusal's text told in an error
	idleTimeout = 90 * time.Second      // of a kept connection
	pingAfter   = 2 * time.Second       // of silence on an HTTP/2 connection, which as long without an answer is given up
)

// FeastConfig says how a Feast server is asked.
type FeastConfig struct {
	URL    string   // of the server, such as http://localhost:6566
	Names  []string // view:feature, each once
	Entity string   // the join key, such as user_id
	// Timeout bounds one request, its retries included; default: DefaultTimeout.
	Timeout time.Duration
	HTTP    *http.Client  // default: one of its own. Redirects are never followed
	Token   func() string // asked before each request; sent as a bearer token unless empty
}

// feast asks a Feast server over HTTP.
//
// A Fetch sends its entities, each once, in one POST /get-online-features. Two things make it several, one after the
// other: entities written as numbers beside others written as strings, because Feast takes a request's entities for
// one type; and a server that did not answer as many in time, which is then asked for half as many at once until it
// answers quickly again.
type feast struct {
	url      *url.URL // of get-online-features
	names    []string
	entity   string
	timeout  time.Duration
	client   *http.Client
	token    func() string
	jitter   func(most time.Duration) time.Duration
	answered []string // the names as answers write them
	head     []byte   // the request's body up to the first entity

	breaker   breaker
	suspicion suspicion
	latency   latencies
	requests  atomic.Uint64
	errors    atomic.Uint64
	atOnce    atomic.Int64 // entities a request
	scratch   sync.Pool    // of *work

	mu        sync.Mutex
	state     State
	since     time.Time
	lastError string
}

// NewFeast makes a store that asks a Feast server. It does not connect; an error lists what is wrong with the
// configuration.
func NewFeast(c FeastConfig) (Store, error) {
	f := &feast{
		names: append([]string(nil), c.Names...), entity: c.Entity, timeout: c.Timeout, token: c.Token,
		jitter: func(most time.Duration) time.Duration { return rand.N(most + 1) },
		state:  StateIdle,
	}
	if f.timeout <= 0 {
		f.timeout = DefaultTimeout
	}
	f.atOnce.Store(math.MaxInt32)
	var problems []error
	var err error
	if f.url, err = feastURL(c.URL); err != nil {
		problems = append(problems, err)
	}
	if c.Entity == "" {
		problems = append(problems, errors.New("features.entity: expected the join key's name, such as user_id, found nothing"))
	}
	if f.answered, err = answeredNames(c.Names, c.Entity); err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	f.head = requestHead(c.Names, c.Entity)
	f.client = clientOf(c.HTTP)
	f.scratch.New = func() any { return &work{index: map[Entity]place{}, decoder: newDecoder(f.entity, f.answered)} }
	return f, nil
}

func feastURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("features.url: expected an address such as http://localhost:6566, found %q", s)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u.JoinPath("get-online-features"), nil
}

// answeredNames are the names as Feast answers them with full_feature_names: view__feature.
func answeredNames(names []string, entity string) ([]string, error) {
	if len(names) == 0 {
		return nil, errors.New("features.names: expected at least one view:feature, found none")
	}
	var problems []error
	answered := make([]string, len(names))
	seen := map[string]string{entity: "the entity"}
	for i, name := range names {
		view, feature, _ := strings.Cut(name, ":")
		if view == "" || feature == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) || strings.Contains(feature, ":") {
			problems = append(problems, fmt.Errorf("features.names[%d]: expected view:feature, such as user_profile:age, found %q", i, name))
			continue
		}
		answered[i] = view + "__" + feature
		if other, ok := seen[answered[i]]; ok {
			problems = append(problems, fmt.Errorf("features.names[%d]: %q is answered under the same name as %s", i, name, other))
		}
		seen[answered[i]] = strconv.Quote(name)
	}
	return answered, errors.Join(problems...)
}

func requestHead(names []string, entity string) []byte {
	head := []byte(`{"features":[`)
	for i, name := range names {
		if i > 0 {
			head = append(head, ',')
		}
		head = jsonlex.AppendQuoted(head, name)
	}
	head = append(head, `],"full_feature_names":true,"entities":{`...)
	return append(jsonlex.AppendQuoted(head, entity), ':', '[')
}

// clientOf is a client that follows no redirect: the address of the store is the operator's to choose.
func clientOf(base *http.Client) *http.Client {
	client := &http.Client{}
	if base != nil {
		*client = *base
	} else {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost, transport.IdleConnTimeout = 8, idleTimeout
		// A deadline ends a request and not its connection: one that died without a word would be asked until TCP gives up.
		transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter}
		client.Transport = transport
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

func (f *feast) Names() []string { return f.names }

// Close gives up the connections kept for the next request.
func (f *feast) Close() error {
	f.client.CloseIdleConnections()
	return nil
}

func (f *feast) Stats() Stats {
	s := Stats{Requests: f.requests.Load(), Errors: f.errors.Load()}
	s.P50, s.P99 = f.latency.quantiles(time.Now())
	f.mu.Lock()
	defer f.mu.Unlock()
	s.State, s.Since, s.LastError = f.state, f.since, f.lastError
	return s
}

// place is where an entity stands in work.kinds.
type place struct{ kind, index int }

// work is the scratch of one Fetch.
type work struct {
	index   map[Entity]place
	kinds   [kinds][]Entity // each entity once
	rows    [kinds][]*Row   // of them
	body    []byte
	answer  bytes.Buffer
	decoder *decoder
}

// release forgets what was borrowed for the call.
func (w *work) release(to *sync.Pool) {
	clear(w.index)
	for k := range w.kinds {
		clear(w.kinds[k])
		clear(w.rows[k])
		w.kinds[k], w.rows[k] = w.kinds[k][:0], w.rows[k][:0]
	}
	if w.answer.Cap() > answerBase {
		w.answer = bytes.Buffer{} // one huge answer must not stay for ever
	}
	to.Put(w)
}

func (f *feast) Fetch(ctx context.Context, entities []Entity, rows []*Row) error {
	if len(entities) != len(rows) {
		panic(fmt.Sprintf("features: %d entities and %d rows", len(entities), len(rows)))
	}
	w := f.scratch.Get().(*work)
	defer w.release(&f.scratch)
	now := time.Now()
	for _, e := range entities {
		if _, ok := w.index[e]; !ok {
			k := f.kindOf(e, now)
			w.index[e] = place{k, len(w.kinds[k])}
			w.kinds[k] = append(w.kinds[k], e)
		}
	}
	for k := range w.kinds {
		w.rows[k] = newRows(w.rows[k], len(w.kinds[k]), len(f.names))
		if k == refused {
			for _, row := range w.rows[k] {
				invalidate(row)
			}
			continue
		}
		if err := f.fetchKind(ctx, w, w.kinds[k], w.rows[k]); err != nil {
			return err
		}
	}
	for i, e := range entities {
		at := w.index[e]
		rows[i] = w.rows[at.kind][at.index]
	}
	return nil
}

// The kinds of entities: those written as text, those written as numbers, and those known to be refused.
const (
	text = iota
	number
	refused
	kinds
)

func (f *feast) kindOf(e Entity, now time.Time) int {
	switch {
	case f.suspicion.isRefused(e, now):
		return refused
	case e.Numeric:
		return number
	}
	return text
}

// newRows appends count rows. They are made a few at a time: a cache that keeps one of them keeps its neighbours.
func newRows(rows []*Row, count, width int) []*Row {
	const together = 16
	now := time.Now().UnixMilli()
	for count > 0 {
		n := min(count, together)
		made, values := make([]Row, n), make([]Value, n*width)
		for i := range made {
			made[i] = Row{values[i*width : (i+1)*width : (i+1)*width], now}
			rows = append(rows, &made[i])
		}
		count -= n
	}
	return rows
}

// fetchKind asks for as many entities at once as the server answers in time.
func (f *feast) fetchKind(ctx context.Context, w *work, entities []Entity, rows []*Row) error {
	for len(entities) > 0 {
		limit := f.atOnce.Load()
		n := min(len(entities), int(limit))
		began := time.Now()
		err := f.request(ctx, w, entities[:n], rows[:n], maxAttempts)
		if errors.Is(err, errRefused) {
			err = f.isolate(ctx, w, entities[:n], rows[:n], err)
		}
		if err != nil {
			if errors.Is(err, errTooSlow) && n > fewest {
				f.atOnce.CompareAndSwap(limit, int64(max(n/2, fewest)))
			}
			return err
		}
		if limit < math.MaxInt32 && int64(n) == limit && time.Since(began) < f.timeout/4 {
			f.atOnce.CompareAndSwap(limit, min(2*limit, math.MaxInt32))
		}
		entities, rows = entities[n:], rows[n:]
	}
	return nil
}

// errTooSlow marks a request that was not answered within the timeout.
var errTooSlow = fmt.Errorf("%w: no answer in time", ErrUnavailable)

// request asks once, and again, attempts times in all, where that may help and time remains. Asking twice changes
// nothing on the server.
func (f *feast) request(ctx context.Context, w *work, entities []Entity, rows []*Row, attempts int) error {
	w.body = appendEntities(append(w.body[:0], f.head...), entities)
	limited, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		pass, ok := f.breaker.allow(time.Now())
		if !ok {
			return f.stillAway(ErrUnavailable)
		}
		began := time.Now()
		outcome := f.once(limited, w, entities, rows)
		if err := ctx.Err(); outcome.err != nil && err != nil {
			f.breaker.done(pass, time.Now(), serverUnknown)
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("%w: %s: the caller's deadline passed (%w)", ErrUnavailable, f.url.Redacted(), err)
			}
			return fmt.Errorf("%s: %w", f.url.Redacted(), err)
		}
		err := f.account(pass, began, outcome, limited.Err() != nil, len(entities))
		if err == nil {
			f.suspicion.answered(entities[0])
			return nil
		}
		if pass.probe && errors.Is(err, ErrUnavailable) {
			return f.stillAway(err)
		}
		if !outcome.again || attempt+1 == attempts || limited.Err() != nil {
			return err
		}
		pause := max(f.jitter(retryBase<<attempt), outcome.after)
		if deadline, _ := limited.Deadline(); time.Until(deadline) <= pause {
			return err
		}
		sleep(limited, pause)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// away is the error while the breaker keeps requests from the server.
type away struct {
	text string
	err  error
}

func (a *away) Error() string { return a.text }
func (a *away) Unwrap() error { return a.err }

// stillAway is the error of a request that was not sent, or of a probe that failed. For a minute or an hour it is what the
// console shows: its text stays the same from one try to the next.
func (f *feast) stillAway(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &away{fmt.Sprintf("%v: asked again every %v to %v, after %d failures in a row or more; the last: %s", ErrUnavailable, breakerWait, breakerLongest,
		breakerFailures, strings.ReplaceAll(f.lastError, ErrUnavailable.Error()+": ", "")), err}
}

// account keeps the books of one request and is its error.
func (f *feast) account(pass pass, began time.Time, o outcome, late bool, entities int) error {
	now := time.Now()
	took := now.Sub(began)
	f.requests.Add(1)
	f.latency.add(now, took)
	state, verdict, err := StateOK, serverUp, o.err
	switch {
	case err != nil:
		state = StateDown
		if late && errors.Is(err, ErrUnavailable) {
			err = fmt.Errorf("%s: %w (asked for %d entities, waited %v)", f.url.Redacted(), errTooSlow, entities, f.timeout)
		} else {
			err = fmt.Errorf("%s: %w", f.url.Redacted(), err)
		}
		if errors.Is(err, ErrUnavailable) && !errors.Is(err, errRefused) { // who refuses is there
			verdict = serverAway
		}
		f.errors.Add(1)
	case took > f.timeout/2:
		state = StateSlow
	}
	f.breaker.done(pass, now, verdict)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != state {
		f.state, f.since = state, now
	}
	if err != nil {
		f.lastError = err.Error()
	}
	return err
}

// outcome is what came of one request.
type outcome struct {
	err   error
	again bool          // asking again may help
	after time.Duration // and not sooner than this, says the server
}

func (f *feast) once(ctx context.Context, w *work, entities []Entity, rows []*Row) outcome {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url.String(), bytes.NewReader(w.body))
	if err != nil {
		return outcome{err: fmt.Errorf("%w: %w", ErrConfiguration, err)}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "weir")
	// Asking twice changes nothing: when the server closed a kept connection meanwhile, net/http may take a new one.
	// An empty key is not sent.
	request.Header["Idempotency-Key"] = []string{}
	if f.token != nil {
		if token := f.token(); token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
	}
	response, err := f.client.Do(request)
	if err != nil {
		return outcome{err: unavailable(err), again: true}
	}
	defer func() { _ = response.Body.Close() }() // it was read; there is nothing to do about a failed close
	if response.StatusCode != http.StatusOK {
		return f.refusal(response)
	}
	most := min(answerBase+answerValue*len(entities)*len(f.names), answerMost)
	w.answer.Reset()
	if _, err := w.answer.ReadFrom(io.LimitReader(response.Body, int64(most)+1)); err != nil {
		return outcome{err: unavailable(err), again: true}
	}
	if w.answer.Len() > most {
		return outcome{err: fmt.Errorf("%w: expected at most %d bytes about %d entities, found more", ErrContract, most, len(entities))}
	}
	if err := w.decoder.decode(w.answer.Bytes(), entities, rows); err != nil {
		kind := ErrContract
		if _, ok := errors.AsType[errList](err); ok {
			kind = ErrConfiguration
		}
		return outcome{err: fmt.Errorf("%w: %w", kind, err)} // where it is about one entity, it wraps errRefused
	}
	return outcome{}
}

// unavailable is a transport's error without the method and address net/http puts before it.
func unavailable(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func appendEntities(body []byte, entities []Entity) []byte {
	for i, e := range entities {
		if i > 0 {
			body = append(body, ',')
		}
		// Digits that are none would break the request of all the others.
		if e.Numeric && isNumber(e.Key) {
			body = append(body, e.Key...)
		} else {
			body = jsonlex.AppendQuoted(body, e.Key)
		}
	}
	return append(body, ']', '}', '}')
}

// isNumber tells whether a key can stand in JSON as it is.
func isNumber(key string) bool {
	end, ok := jsonlex.Number([]byte(key)) // the compiler copies short keys to the stack
	return ok && end == len(key)
}
