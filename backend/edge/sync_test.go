package edge

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/backend/event"
)

// syncing is an engine without nodes over a cloud, whose pauses after failures are short.
func syncing(t *testing.T, path, url string, change func(*Config)) *Engine {
	t.Helper()
	c := Config{Outbox: path, Rand: func() float64 { return 0.01 }, Cloud: &CloudConfig{URL: url, Every: time.Hour, Timeout: 2 * time.Second}}
	if change != nil {
		change(&c)
	}
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// firstAggregate waits for the aggregate that the first round of polls makes. SyncNow before it would make it needless:
// the next would be due an interval later, and a test that counts could not tell how many there will be.
func firstAggregate(t *testing.T, e *Engine) {
	t.Helper()
	until(t, "the first round's aggregate", func() bool {
		c := e.Snapshot().Cloud
		return c.Outbox+int(c.DeadLettered)+int(c.Synced) > 0
	})
}

func TestCloudAnswers(t *testing.T) {
	answer := func(code int, header, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			if k, v, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(k, v)
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	tests := []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request) bool
		state  CloudState
		dead   bool // it goes to the dead letters; else it waits
		err    string
	}{
		{"200 with an error page", answer(200, "Content-Type: text/html", "\n <!DOCTYPE html><h1>Log in</h1>"), CloudDown, false, "answered 200 with an HTML page, which acknowledges nothing"},
		{"200 with a page that begins otherwise", answer(200, "Content-Type: application/json", "\ufeff<?xml version=\"1.0\"?>\n<!-- x --><HTML><body>Log in"), CloudDown, false, "answered 200 with an HTML page, which acknowledges nothing"},
		{"202 with a page that only its type names", answer(202, "Content-Type: text/html; charset=utf-8", "<body>Bad gateway"), CloudDown, false, "answered 202 with an HTML page, which acknowledges nothing"},
		{"302", answer(302, "Location: http://127.0.0.1:1/", ""), CloudDown, false, "redirects to http://127.0.0.1:1/, which is not followed"},
		{"400", answer(400, "", "no such field"), CloudRefused, true, "answered 400 Bad Request: no such field"},
		{"401", answer(401, "", "\x1b[31mwho?"), CloudRefused, true, `answered 401 Unauthorized: \x1b[31mwho?`},
		{"408", answer(408, "", ""), CloudDown, false, "answered 408 Request Timeout"},
		{"413", answer(413, "", "too large"), CloudRefused, true, "answered 413 Request Entity Too Large: too large"},
		{"429", answer(429, "Retry-After: 3600", ""), CloudDown, false, "answered 429 Too Many Requests"},
		{"503", answer(503, "", ""), CloudDown, false, "answered 503 Service Unavailable"},
		{"reset", func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, CloudDown, false, "the connection was closed before the answer was complete"},
		{"TCP reset", func(w http.ResponseWriter, _ *http.Request) bool {
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			}
			return true
		}, CloudDown, false, "the connection was reset"},
		{"resets in the middle of its answer", func(w http.ResponseWriter, _ *http.Request) bool {
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
				_ = c.Close()
			}
			return true
		}, CloudDown, false, "the connection was closed before the answer was complete"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cloud := newCloud(t, tt.answer)
			cloud.Config.ErrorLog = nil
			e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, func(c *Config) {
				c.Rand = func() float64 { return 1 }
				c.Cloud.Every = time.Hour
			})
			start(t, e)
			firstAggregate(t, e)
			if err := e.SyncNow(t.Context()); err == nil || !contains(err.Error(), tt.err) && !contains(err.Error(), strings.ReplaceAll(tt.err, `\x1b`, "\x1b")) {
				t.Errorf("SyncNow: %v, want %q", err, tt.err)
			}
			until(t, "the state is shown", func() bool {
				c := e.Snapshot().Cloud // there are two: the first round's, and SyncNow's
				return c.State == tt.state && (tt.dead && c.DeadLettered == 2 || !tt.dead && c.Outbox == 2)
			})
			c := e.Snapshot().Cloud
			if !contains(c.Error.String(), tt.err) || c.Failed == 0 || c.Synced != 0 {
				t.Errorf("cloud %+v, want %q", c, tt.err)
			}
			if tt.dead != (c.DeadLettered > 0) || tt.dead != (c.Outbox == 0) {
				t.Errorf("%d dead letters, %d waiting", c.DeadLettered, c.Outbox)
			}
		})
	}
}

// TestRequeue has a cloud that refuses until its token is renewed.
func TestRequeue(t *testing.T) {
	var token atomic.Value
	token.Store("old")
	cloud := newCloud(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "Bearer new" {
			return false
		}
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, func(c *Config) {
		c.Cloud.Token = func() string { return token.Load().(string) }
	})
	start(t, e)
	firstAggregate(t, e)
	if err := e.SyncNow(t.Context()); err == nil {
		t.Fatal("the old token was taken")
	}
	until(t, "two dead letters", func() bool { return e.Snapshot().Cloud.DeadLettered == 2 })
	token.Store("new")
	if n, err := e.Requeue(t.Context()); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	until(t, "both arrived", func() bool { c := e.Snapshot().Cloud; return c.Synced == 2 && c.Outbox == 0 && c.State == CloudOK })
	if n, err := e.Requeue(t.Context()); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// TestEachIsSentOnce puts aggregates into the outbox while it is drained: none is sent twice, and each SyncNow is answered.
func TestEachIsSentOnce(t *testing.T) {
	cloud := newCloud(t, nil)
	e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, nil)
	start(t, e)
	firstAggregate(t, e)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 25 {
				if err := e.SyncNow(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	until(t, "all arrived", func() bool { return e.Snapshot().Cloud.Synced >= 201 })
	cloud.mu.Lock()
	defer cloud.mu.Unlock()
	if s := e.Snapshot().Cloud.Synced; s != 201 || len(cloud.order) != 201 || len(cloud.bodies) != 201 {
		t.Errorf("%d aggregates in %d deliveries, %d counted, want 201", len(cloud.bodies), len(cloud.order), s)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"seconds", "date"} {
		t.Run(form, func(t *testing.T) {
			var mu sync.Mutex
			var tries []time.Time
			cloud := newCloud(t, func(w http.ResponseWriter, _ *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				if tries = append(tries, time.Now()); len(tries) > 1 {
					return false
				}
				w.Header().Set("Retry-After", "1")
				if form == "date" {
					w.Header().Set("Retry-After", time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))
				}
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			})
			e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, nil)
			start(t, e)
			until(t, "the second try", func() bool { return e.Snapshot().Cloud.Synced == 1 })
			mu.Lock()
			defer mu.Unlock()
			if gap := tries[1].Sub(tries[0]); len(tries) != 2 || gap < 950*time.Millisecond || gap > 10*time.Second {
				t.Errorf("tried %d times, %v apart", len(tries), gap)
			}
		})
	}
	for _, s := range []string{"999999999999", "99999999999999999999"} {
		if d := retryAfter(http.Header{"Retry-After": {s}}, time.Now()); d != maxRetryAfter {
			t.Errorf("Retry-After %s is %v", s, d)
		}
	}
	for _, s := range []string{"", "-5", "soon", "Mon, 02 Jan 2006 15:04:05 GMT"} {
		if d := retryAfter(http.Header{"Retry-After": {s}}, time.Now()); d != 0 {
			t.Errorf("Retry-After %q is %v", s, d)
		}
	}
}

// TestRetryAfterByAnotherClock has a cloud whose clock differs from ours: its date is so much later than its own answer.
func TestRetryAfterByAnotherClock(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	for _, clock := range []time.Time{now, now.AddDate(10, 0, 0), now.AddDate(-10, 0, 0)} {
		h := http.Header{"Date": {clock.Format(http.TimeFormat)}, "Retry-After": {clock.Add(90 * time.Second).Format(http.TimeFormat)}}
		if d := retryAfter(h, now); d != 90*time.Second {
			t.Errorf("with a clock at %v: %v", clock, d)
		}
	}
	h := http.Header{"Date": {"soon"}, "Retry-After": {now.Add(time.Minute).Format(http.TimeFormat)}}
	if d := retryAfter(h, now); d != time.Minute {
		t.Errorf("without a date of its own: %v", d)
	}
}

// TestAPageHasBounds reads an outbox of large aggregates: a page is no larger than it must be, and none is left out.
func TestAPageHasBounds(t *testing.T) {
	o, _, err := openOutbox(t.Context(), filepath.Join(t.TempDir(), "o.db"), 1<<40, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.close() }()
	sizes := []int{pageBytes / 2, pageBytes / 2, 1, 2 * pageBytes, 1, 1}
	for _, size := range sizes {
		if _, err := o.put(t.Context(), make([]byte, size), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	var pages []int
	for after := int64(0); after < int64(len(sizes)); {
		page, err := o.oldest(t.Context(), after, pageSize)
		if err != nil || len(page) == 0 || page[0].id != after+1 {
			t.Fatalf("after %d: %d entries, %v", after, len(page), err)
		}
		pages = append(pages, len(page))
		after = page[len(page)-1].id
	}
	if !slices.Equal(pages, []int{2, 2, 2}) {
		t.Errorf("pages of %v aggregates", pages)
	}
}

// TestBackoffIsFullJitter checks the bounds of the pause after each failure.
func TestBackoffIsFullJitter(t *testing.T) {
	s := &syncer{cfg: &CloudConfig{Every: 5 * time.Minute}, rand: func() float64 { return 0.5 }}
	want := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second}
	for i, w := range want {
		if got := s.backoff(i+1, 0); got != w {
			t.Errorf("pause %d is %v, want %v", i+1, got, w)
		}
	}
	if got := s.backoff(100, time.Minute); got != 90*time.Second {
		t.Errorf("with a Retry-After of a minute: %v", got)
	}
}

func TestGzipAndWithout(t *testing.T) {
	for _, takes := range []bool{true, false} {
		t.Run(fmt.Sprint(takes), func(t *testing.T) {
			var compressed, plain, tries atomic.Int32
			cloud := newCloud(t, func(w http.ResponseWriter, r *http.Request) bool {
				tries.Add(1)
				if r.Header.Get("Content-Encoding") != "gzip" {
					plain.Add(1)
					return false
				}
				compressed.Add(1)
				if !takes {
					w.WriteHeader(http.StatusUnsupportedMediaType)
				}
				return !takes
			})
			e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, func(c *Config) { c.Cloud.Gzip = true })
			start(t, e)
			for range 8 {
				if err := e.SyncNow(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			until(t, "all arrived", func() bool { return e.Snapshot().Cloud.Outbox == 0 })
			if takes && plain.Load() > 0 || !takes && compressed.Load() > 4 {
				t.Errorf("%d compressed, %d plain", compressed.Load(), plain.Load())
			}
			cloud.mu.Lock()
			defer cloud.mu.Unlock()
			for _, b := range cloud.bodies {
				if takes {
					z, err := gzip.NewReader(strings.NewReader(b))
					if err != nil {
						t.Fatal(err)
					}
					raw, _ := io.ReadAll(z)
					b = string(raw)
				}
				if !json.Valid([]byte(b)) {
					t.Errorf("body %q", b)
				}
			}
		})
	}
}

// fillOutbox puts n aggregates into the outbox at path, as processes before this one did.
func fillOutbox(tb testing.TB, path string, n int, at time.Time) {
	tb.Helper()
	o, _, err := openOutbox(context.Background(), path, DefaultMaxBytes, DefaultMaxAge, at)
	if err != nil {
		tb.Fatal(err)
	}
	body, err := pack(aggregate{EdgeNodes: 14, NodeData: make([]aggregateNode, 14)})
	if err != nil {
		tb.Fatal(err)
	}
	for range n {
		if _, err := o.put(context.Background(), body, at); err != nil {
			tb.Fatal(err)
		}
	}
	if err := o.close(); err != nil {
		tb.Fatal(err)
	}
}

// TestLiveBeforeBacklog has a slow cloud and a backlog: a new aggregate is not behind it, and what is late says so.
func TestLiveBeforeBacklog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	fillOutbox(t, path, 300, time.Now().Add(-time.Hour))
	cloud := newCloud(t, func(http.ResponseWriter, *http.Request) bool {
		time.Sleep(5 * time.Millisecond)
		return false
	})
	e := syncing(t, path, cloud.URL, nil)
	arrived := 0 // when the newest aggregate was durable
	e.sync.kept = func() {
		cloud.mu.Lock()
		defer cloud.mu.Unlock()
		arrived = len(cloud.order)
	}
	start(t, e)
	until(t, "the backlog is under way", func() bool { return e.Snapshot().Cloud.Synced > 10 })
	if err := e.SyncNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	cloud.mu.Lock()
	place := slices.IndexFunc(cloud.order, func(k string) bool { return strings.HasSuffix(k, "-302") }) // after 300, and the first round's
	if place > arrived+2*sendWorkers {
		t.Errorf("the new aggregate waited for the backlog: %d had arrived when it was made, and it came as number %d", arrived, place+1)
	}
	cloud.mu.Unlock()
	until(t, "all arrived", func() bool { return e.Snapshot().Cloud.Outbox == 0 })
	cloud.mu.Lock()
	defer cloud.mu.Unlock()
	late := 0
	var ids []int
	for _, k := range cloud.order {
		if cloud.late[k] {
			late++
			var id int
			if _, err := fmt.Sscanf(k[strings.LastIndexByte(k, '-')+1:], "%d", &id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
	}
	if late != 300 || len(cloud.order) != 302 {
		t.Errorf("%d of %d marked as backfill, want 300 of 302", late, len(cloud.order))
	}
	for i, id := range ids { // eight at once, so nearly in order
		if want := i + 1; id < want-2*sendWorkers || id > want+2*sendWorkers {
			t.Errorf("aggregate %d came as number %d of the backlog", id, want)
		}
	}
}

func TestOutboxCaps(t *testing.T) {
	ctx := t.Context()
	now := time.Now()
	o, _, err := openOutbox(ctx, filepath.Join(t.TempDir(), "o.db"), 1000, time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.close() }()
	put := func(size int, at time.Time) entry {
		t.Helper()
		e, err := o.put(ctx, make([]byte, size), at)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	var ran time.Duration
	o.ran = func() time.Duration { return ran }
	put(100, now)
	ran = time.Hour + time.Millisecond // the first is too old for the next
	second := put(400, now)
	third := put(400, now)
	if o.stats.dropped != 1 || o.stats.waiting != 2 || o.bytes != 800 {
		t.Fatalf("after age: %+v, %d bytes", o.stats, o.bytes)
	}
	put(900, now) // pushes both out
	if o.stats.dropped != 3 || o.stats.waiting != 1 || o.bytes != 900 {
		t.Fatalf("after size: %+v, %d bytes", o.stats, o.bytes)
	}
	huge := put(5000, now) // larger than the cap alone: the newest is never dropped
	if o.stats.dropped != 4 || o.stats.waiting != 1 {
		t.Fatalf("after a huge one: %+v", o.stats)
	}
	if err := o.acknowledge(ctx, []entry{second, third, huge}); err != nil {
		t.Fatal(err)
	}
	if o.bytes != 0 || o.stats.waiting != 0 {
		t.Errorf("after all: %+v, %d bytes", o.stats, o.bytes)
	}
}

// TestAClockThatJumps sets the machine's clock while aggregates wait: none is dropped for it. Their age is the time weir runs,
// in all its processes.
func TestAClockThatJumps(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "o.db")
	now := time.Now()
	ran := new(time.Duration)
	open := func() *outbox {
		t.Helper()
		o, setAside, err := openOutbox(ctx, path, DefaultMaxBytes, time.Hour, now)
		if err != nil || setAside != "" {
			t.Fatal(err, setAside)
		}
		*ran = 0
		o.ran = func() time.Duration { return *ran }
		return o
	}
	put := func(o *outbox, at time.Time) entry {
		t.Helper()
		e, err := o.put(ctx, []byte("body"), at)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	expect := func(o *outbox, when string, waiting int, dropped uint64) {
		t.Helper()
		if o.stats.waiting != waiting || o.stats.dropped != dropped {
			t.Errorf("%s: %d wait, %d were dropped; want %d and %d", when, o.stats.waiting, o.stats.dropped, waiting, dropped)
		}
	}
	o := open()
	put(o, time.UnixMilli(1000)) // a board without a battery
	put(o, now)
	put(o, now.AddDate(70, 0, 0))
	put(o, now.AddDate(-1, 0, 0))
	last := put(o, now)
	expect(o, "clock set to and fro", 5, 0)
	if err := o.refuse(ctx, last, 401, nil, now); err != nil {
		t.Fatal(err)
	}
	*ran = 40 * time.Minute
	put(o, now)
	if err := o.close(); err != nil {
		t.Fatal(err)
	}

	o = open() // a year later, says the clock
	put(o, now.AddDate(1, 0, 0))
	expect(o, "a year later", 6, 0)
	*ran = 21 * time.Minute
	put(o, now)
	expect(o, "after an hour of running", 3, 4)
	*ran = 2 * time.Hour
	if n, err := o.requeue(ctx); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	put(o, now)
	expect(o, "a dead letter that waits again", 2, 7)
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
}

// TestOutboxOfAnEarlierWeir has aggregates whose age nobody counted, made by a clock that may have been wrong.
func TestOutboxOfAnEarlierWeir(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "o.db")
	fillOutbox(t, path, 3, time.UnixMilli(1000))
	db, err := openDatabase(ctx, "outbox", path, outboxSchema)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, `DROP INDEX outbox_ran; ALTER TABLE outbox DROP COLUMN ran`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		o, setAside, err := openOutbox(ctx, path, DefaultMaxBytes, time.Hour, time.Now())
		if err != nil || setAside != "" {
			t.Fatal(err, setAside)
		}
		o.ran = func() time.Duration { return 2 * time.Hour }
		if _, err := o.put(ctx, []byte("body"), time.Now()); err != nil {
			t.Fatal(err)
		}
		entries, err := o.oldest(ctx, 0, 10)
		if err != nil || len(entries) < 3 || o.oldestMade.UnixMilli() != 1000 {
			t.Errorf("%d wait, the oldest made %v, %v", len(entries), o.oldestMade, err)
		}
		if err := o.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOutboxOutlivesItsProcess(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "a folder?", "o%20.db")
	open := func() *outbox {
		t.Helper()
		o, setAside, err := openOutbox(ctx, path, DefaultMaxBytes, DefaultMaxAge, time.Now())
		if err != nil || setAside != "" {
			t.Fatal(err, setAside)
		}
		return o
	}
	o := open()
	var keys []string
	for i := range 3 {
		e, err := o.put(ctx, fmt.Appendf(nil, "body %d", i), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.key)
	}
	if _, _, err := openOutbox(ctx, path, 1, 1, time.Now()); !errors.Is(err, errInUse) {
		t.Errorf("a second weir on the outbox: %v", err)
	}
	page, err := o.oldest(ctx, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.acknowledge(ctx, page[2:]); err != nil { // the newest: its id must not be given again
		t.Fatal(err)
	}
	if err := o.refuse(ctx, page[0], 413, []byte("too large"), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
	o = open()
	defer func() { _ = o.close() }()
	if want := (outboxStats{waiting: 1, synced: 1, deadLettered: 1}); o.stats != want {
		t.Errorf("stats %+v, want %+v", o.stats, want)
	}
	page, err = o.oldest(ctx, 0, 10)
	if err != nil || len(page) != 1 || page[0].key != keys[1] || string(page[0].body) != "body 1" {
		t.Errorf("waiting %+v, %v", page, err)
	}
	e, err := o.put(ctx, []byte("body 3"), time.Now())
	if err != nil || slices.Contains(keys, e.key) {
		t.Errorf("key %s was given before (%v), %v", e.key, keys, err)
	}
	var status int
	var answer, body string
	if err := o.db.QueryRowContext(ctx, `SELECT status, answer, body FROM dead_letters`).Scan(&status, &answer, &body); err != nil ||
		status != 413 || answer != "too large" || body != "body 0" {
		t.Errorf("dead letter %d %q %q, %v", status, answer, body, err)
	}
}

// TestCorruptOutbox damages the file in several ways, at rest and in use. It is set aside, said so, and replaced.
func TestCorruptOutbox(t *testing.T) {
	damage := map[string]func(t *testing.T, path string){
		"not a database": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("this is not a database\n", 400)), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"torn pages": func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 4096 + 100; i < len(b); i++ {
				b[i] = byte(i * 7)
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, hurt := range damage {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "o.db")
			fillOutbox(t, path, 50, time.Now())
			hurt(t, path)
			cloud := newCloud(t, nil)
			e := syncing(t, path, cloud.URL, nil)
			start(t, e)
			if err := e.SyncNow(t.Context()); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(path + ".corrupt-*")
			if err != nil || len(files) == 0 {
				t.Errorf("set aside: %v, %v", files, err)
			}
			said := slices.ContainsFunc(e.Snapshot().Log, func(v event.Event) bool {
				return v.Severity == event.Critical && contains(v.Message.String(), "was corrupt and is set aside as ")
			})
			if !said {
				t.Errorf("nothing said of it: %v", e.Snapshot().Log)
			}
		})
	}
}

// TestOutboxIsPrivate has an outbox that only its owner may read: a new one, what SQLite keeps beside it, one of an earlier
// weir that everybody could read, and what is set aside of it.
func TestOutboxIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	path := filepath.Join(t.TempDir(), "o.db")
	private := func(when string, least int) {
		t.Helper()
		files, err := filepath.Glob(path + "*")
		if err != nil || len(files) < least {
			t.Fatalf("%s: %v, %v", when, files, err)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %s is %v, %v", when, filepath.Base(f), info.Mode(), err)
			}
		}
	}
	var log event.Log
	s := &store{path: path, maxBytes: DefaultMaxBytes, maxAge: DefaultMaxAge, now: time.Now, log: &log}
	put := func() {
		t.Helper()
		opened(t, s)
		if _, err := s.put(t.Context(), []byte("body"), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	put()
	private("new", 2) // with its -wal
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil { //nolint:gosec // as an earlier weir left it
		t.Fatal(err)
	}
	put()
	private("of an earlier weir", 2)
	s.mu.Lock()
	err := s.replace()
	s.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	put()
	private("set aside", 3)
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk lets the database grow no further, as a full disk does. Aggregates are held, the cloud's state says why,
// and they arrive when there is space again.
func TestFullDisk(t *testing.T) {
	cloud := newCloud(t, nil)
	e := fullDisk(t, cloud)
	start(t, e)
	until(t, "the first aggregate", func() bool { return e.Snapshot().Cloud.Synced == 1 })
	pages(t, e, 1)
	if err := e.SyncNow(t.Context()); err == nil || !contains(err.Error(), "full") {
		t.Fatalf("on a full disk: %v", err)
	}
	if c := e.Snapshot().Cloud; c.State != CloudDown || !contains(c.Error.String(), "outbox: ") || !contains(c.Error.String(), "full") {
		t.Errorf("cloud %+v", c)
	}
	pages(t, e, 1<<20)
	until(t, "the held aggregate arrives", func() bool { c := e.Snapshot().Cloud; return c.Synced == 2 && c.State == CloudOK })
}

// TestFullDiskAtTheEnd stops while an aggregate is held: it enters the outbox if it can, and is counted as lost if not,
// which the log says, for nobody sees the events any more.
func TestFullDiskAtTheEnd(t *testing.T) {
	for _, space := range []bool{true, false} {
		t.Run(fmt.Sprint(space), func(t *testing.T) {
			e := fullDisk(t, newCloud(t, nil))
			e.sync.putRetry = time.Hour
			var log strings.Builder
			e.sync.logger = slog.New(slog.NewTextHandler(&log, nil))
			stop := start(t, e)
			until(t, "the first aggregate", func() bool { return e.Snapshot().Cloud.Synced == 1 })
			pages(t, e, 1)
			if err := e.SyncNow(t.Context()); err == nil || !contains(err.Error(), "full") {
				t.Fatalf("on a full disk: %v", err)
			}
			if space {
				pages(t, e, 1<<20)
			}
			stop()
			s := e.Snapshot()
			told := slices.ContainsFunc(s.Log, func(v event.Event) bool { return contains(v.Message.String(), "lost 1 aggregates") })
			if c := s.Cloud; space && (c.Outbox != 1 || c.Dropped != 0) || !space && (c.Outbox != 0 || c.Dropped != 1) || told == space || contains(log.String(), "lost 1 aggregates") == space {
				t.Errorf("cloud %+v, told %v, logged %q", c, s.Log, &log)
			}
		})
	}
}

// fullDisk is an engine of large aggregates.
func fullDisk(t *testing.T, cloud *cloudServer) *Engine {
	t.Helper()
	e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, nil)
	e.sync.aggregate = func(time.Time) aggregate {
		return aggregate{NodeData: []aggregateNode{{ErrorMessage: noise(64 << 10)}}}
	}
	e.sync.putRetry = 10 * time.Millisecond
	return e
}

// pages lets the outbox of e grow to so many pages; SQLite takes 1 as the present size.
func pages(t *testing.T, e *Engine, most int) {
	t.Helper()
	err := e.sync.store.with(t.Context(), func(ctx context.Context, o *outbox) error {
		_, err := o.db.ExecContext(ctx, fmt.Sprintf("VACUUM; PRAGMA max_page_count = %d", most))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// noise is text that does not compress.
func noise(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = 'a' + byte(x>>24)%26
	}
	return string(b)
}

// TestSnapshotNeverWaitsForADisk holds the outbox, as a disk that hangs does.
func TestSnapshotNeverWaitsForADisk(t *testing.T) {
	cloud := newCloud(t, nil)
	e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, nil)
	start(t, e)
	until(t, "the first aggregate", func() bool { return e.Snapshot().Cloud.Synced == 1 })
	e.sync.store.mu.Lock()
	s := e.Snapshot() // or the test never ends
	e.sync.store.mu.Unlock()
	if s.Cloud.Synced != 1 {
		t.Errorf("cloud %+v", s.Cloud)
	}
}

// TestOutboxThatOpensSlowly has a disk that takes its time to read all of a large outbox. The console is told what is waited
// for, the cloud is not blamed, and nothing is lost: not even when it ends meanwhile.
func TestOutboxThatOpensSlowly(t *testing.T) {
	cloud := newCloud(t, nil)
	opens := make(chan struct{})
	slow := func(e *Engine) {
		s := e.sync.store
		s.patience = time.Millisecond
		s.openBox = func(ctx context.Context) (*outbox, string, error) {
			select {
			case <-opens:
			case <-ctx.Done():
				return nil, "", ctx.Err()
			}
			return openOutbox(ctx, s.path, s.maxBytes, s.maxAge, s.now())
		}
		e.sync.putRetry = time.Millisecond
	}
	said := func(e *Engine, what string) bool {
		return slices.ContainsFunc(e.Snapshot().Log, func(v event.Event) bool {
			return v.Severity == event.Info && contains(v.Message.String(), what)
		})
	}
	path := filepath.Join(t.TempDir(), "o.db")
	fillOutbox(t, path, 3, time.Now().Add(-2*time.Hour))
	e := syncing(t, path, cloud.URL, nil)
	slow(e)
	start(t, e)
	if err := e.SyncNow(t.Context()); !errors.Is(err, errOpening) {
		t.Errorf("SyncNow: %v", err)
	}
	until(t, "it is said", func() bool {
		return said(e, "is not open yet, the last 16 aggregates are kept in memory meanwhile: it is being opened, since ")
	})
	if c := e.Snapshot().Cloud; c.State != CloudIdle || !c.Opening || !contains(c.Error.String(), "outbox: it is being opened") {
		t.Errorf("cloud %+v", c)
	}
	close(opens)
	until(t, "all arrived", func() bool { c := e.Snapshot().Cloud; return c.Synced == 5 && c.Outbox == 0 && c.State == CloudOK })
	if c := e.Snapshot().Cloud; !said(e, "is open") || c.Dropped != 0 || c.Opening {
		t.Errorf("told %v", e.Snapshot().Log)
	}

	opens = make(chan struct{}) // it opens when the engine is to end: what was held waits for that
	path = filepath.Join(t.TempDir(), "o.db")
	e = syncing(t, path, cloud.URL, nil)
	slow(e)
	stop := start(t, e)
	until(t, "an aggregate is held", func() bool { return said(e, "is not open yet") })
	var opened sync.WaitGroup
	opened.Go(func() {
		until(t, "it is to end", func() bool { return errors.Is(e.SyncNow(t.Context()), ErrNotRunning) })
		close(opens)
	})
	stop()
	opened.Wait()
	if c := e.Snapshot().Cloud; c.Outbox != 1 || c.Dropped != 0 {
		t.Errorf("after the end: %+v", c)
	}
}

// TestTheEndDoesNotWaitLongForTheOutbox: whoever stops weir may kill it after ten seconds.
func TestTheEndDoesNotWaitLongForTheOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{now: time.Now, openBox: func(ctx context.Context) (*outbox, string, error) {
			<-ctx.Done()
			return nil, "", ctx.Err()
		}}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		_, err := s.put(ended, nil, began)
		if waited := time.Since(began); !errors.Is(err, errOpening) || waited <= openPatience || waited >= 10*time.Second {
			t.Errorf("after %v: %v", waited, err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
}

// TestOutboxOfAnother has an outbox that another process writes: that is told, and not taken for a slow disk.
func TestOutboxOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	fillOutbox(t, path, 1, time.Now().Add(-2*time.Hour))
	o, _, err := openOutbox(t.Context(), path, DefaultMaxBytes, DefaultMaxAge, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	e := syncing(t, path, newCloud(t, nil).URL, nil)
	e.sync.store.patience = time.Hour // SQLite itself gives up, long before
	e.sync.putRetry = 10 * time.Millisecond
	start(t, e)
	until(t, "it is told", func() bool {
		c := e.Snapshot().Cloud
		return c.State == CloudDown && contains(c.Error.String(), "in use by another weir")
	})
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
	until(t, "what waited and what was held arrive", func() bool { c := e.Snapshot().Cloud; return c.Synced == 2 && c.State == CloudOK })
}

func TestOutboxCannotBeMade(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cloud := newCloud(t, nil)
	e := syncing(t, filepath.Join(blocked, "o.db"), cloud.URL, nil)
	e.sync.putRetry = 10 * time.Millisecond
	start(t, e)
	if err := e.SyncNow(t.Context()); err == nil || !contains(err.Error(), "making the folder of the outbox") {
		t.Errorf("SyncNow: %v", err)
	}
	until(t, "the state says so", func() bool { return contains(e.Snapshot().Cloud.Error.String(), "making the folder of the outbox") })
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	until(t, "what was held arrives", func() bool { c := e.Snapshot().Cloud; return c.Synced >= 1 && c.Outbox == 0 && c.State == CloudOK })
}

// TestFirstRoundThatTakesTooLong has a fleet whose first round of polls does not end: the aggregate is made when it is due, and
// says which nodes were not polled yet.
func TestFirstRoundThatTakesTooLong(t *testing.T) {
	cloud := newCloud(t, nil)
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hangs.Close)
	e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, func(c *Config) {
		c.Nodes, c.Poll, c.Timeout = []string{hangs.URL}, 24*time.Hour, time.Hour
		c.Cloud.Every = 50 * time.Millisecond
	})
	start(t, e)
	until(t, "two aggregates", func() bool { return e.Snapshot().Cloud.Synced >= 2 })
	cloud.mu.Lock()
	defer cloud.mu.Unlock()
	if b := cloud.bodies[cloud.order[0]]; !contains(b, "not polled yet") || !contains(b, `"reporting":0`) {
		t.Errorf("the first aggregate is %s", b)
	}
}

// TestNextAggregateAfterARestart is due an interval after the last one, by the monotonic clock.
func TestNextAggregateAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	made := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	fillOutbox(t, path, 1, made)
	e := syncing(t, path, "http://127.0.0.1:1", nil)
	defer func() { _ = e.sync.store.close() }()
	due := e.sync.firstTime(t.Context())
	if !due.Equal(made.Add(time.Hour)) || !contains(due.String(), " m=+") {
		t.Errorf("due at %v, want an hour after %v", due, made)
	}
}

// TestWithoutGzipLater has a cloud that takes no gzip, and is away when it is asked without: the aggregate waits, and is no
// dead letter.
func TestWithoutGzipLater(t *testing.T) {
	var plain atomic.Int32
	cloud := newCloud(t, func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Header.Get("Content-Encoding") == "gzip":
			w.WriteHeader(http.StatusUnsupportedMediaType)
		case plain.Add(1) == 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			return false
		}
		return true
	})
	e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, func(c *Config) { c.Cloud.Gzip = true })
	start(t, e)
	until(t, "it was tried", func() bool { c := e.Snapshot().Cloud; return c.Synced+c.DeadLettered > 0 })
	if c := e.Snapshot().Cloud; c.Synced != 1 || c.DeadLettered != 0 {
		t.Errorf("%d arrived, %d dead letters", c.Synced, c.DeadLettered)
	}
}

// TestFullDiskWhileSending has a disk that is full when the cloud has taken an aggregate: it cannot leave the outbox and is
// sent again, which is not ok, and not the cloud's fault. All is in order once there is space.
func TestFullDiskWhileSending(t *testing.T) {
	cloud := newCloud(t, nil)
	e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, nil)
	send := e.sync.send
	var mu sync.Mutex
	full := false
	query := func(ctx context.Context, sql string) {
		if err := e.sync.store.with(ctx, func(ctx context.Context, o *outbox) error {
			_, err := o.db.ExecContext(ctx, sql)
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	// What SQLite can write no more, as on a full disk, without a disk that is full.
	e.sync.send = func(ctx context.Context, en entry, backfill bool) outcome {
		o := send(ctx, en, backfill)
		mu.Lock()
		defer mu.Unlock()
		if full {
			query(ctx, "PRAGMA query_only = true")
		}
		return o
	}
	start(t, e)
	until(t, "the first aggregate", func() bool { return e.Snapshot().Cloud.Synced == 1 })
	mu.Lock()
	full = true
	mu.Unlock()
	if err := e.SyncNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "it was sent again", func() bool {
		cloud.mu.Lock()
		defer cloud.mu.Unlock()
		return len(cloud.order) >= 4 && len(cloud.bodies) == 2
	})
	s := e.Snapshot()
	if c := s.Cloud; c.State != CloudDown || !contains(c.Error.String(), "outbox: ") || c.Outbox != 1 {
		t.Errorf("cloud %+v", c)
	}
	var told []string
	for _, v := range s.Log {
		if v.Kind == event.Cloud {
			told = append(told, v.Subject.String()+" "+v.Message.String())
		}
	}
	if len(told) != 1 || !contains(told[0], "outbox cannot be used") {
		t.Errorf("told %q", told)
	}
	mu.Lock()
	full = false
	query(t.Context(), "PRAGMA query_only = false")
	mu.Unlock()
	until(t, "it leaves the outbox", func() bool { c := e.Snapshot().Cloud; return c.Synced == 2 && c.Outbox == 0 && c.State == CloudOK })
}

// TestSyncNowIsAnsweredWhileTheCloudIsAway has aggregates that wait for a cloud which wants to be left alone for an hour.
// SyncNow comes behind them, and is answered all the same.
func TestSyncNowIsAnsweredWhileTheCloudIsAway(t *testing.T) {
	cloud := newCloud(t, func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	e := syncing(t, filepath.Join(t.TempDir(), "o.db"), cloud.URL, nil)
	start(t, e)
	until(t, "the first attempt", func() bool { return e.Snapshot().Cloud.Failed == 1 })
	body, err := pack(aggregate{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // the aggregates of the intervals to come
		if err := e.sync.enter(t.Context(), heldAggregate{at: time.Now(), body: body}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := e.SyncNow(ctx); err == nil || !contains(err.Error(), "answered 503 Service Unavailable") {
		t.Errorf("SyncNow: %v", err)
	}
	if n := e.Snapshot().Cloud.Outbox; n != 5 {
		t.Errorf("%d wait, want 5", n)
	}
}

// TestAggregateThatCannotBeRead has one in the outbox that the disk has changed: it becomes a dead letter, and those behind
// it arrive.
func TestAggregateThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	fillOutbox(t, path, 3, time.Now())
	o, _, err := openOutbox(t.Context(), path, DefaultMaxBytes, DefaultMaxAge, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.db.ExecContext(t.Context(), `UPDATE outbox SET body = x'00' WHERE id = 1`); err != nil {
		t.Fatal(err)
	}
	if err := o.close(); err != nil {
		t.Fatal(err)
	}
	cloud := newCloud(t, nil)
	e := syncing(t, path, cloud.URL, nil)
	start(t, e)
	until(t, "the others arrived", func() bool {
		c := e.Snapshot().Cloud
		return c.Synced == 2 && c.DeadLettered == 1 && c.Outbox == 0
	})
}

// opened waits until a store's outbox is open: on a busy machine it says first that it is being opened.
func opened(t *testing.T, s *store) {
	t.Helper()
	until(t, "the outbox is open", func() bool {
		_, err := s.lastMade(t.Context())
		if err != nil && !errors.Is(err, errOpening) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// TestDroppedDeadLettersAreCounted refuses more than the dead letters may hold: what goes is counted, and told.
func TestDroppedDeadLettersAreCounted(t *testing.T) {
	var log event.Log
	path := filepath.Join(t.TempDir(), "o.db")
	s := &store{path: path, maxBytes: DefaultMaxBytes, maxAge: DefaultMaxAge, now: time.Now, log: &log}
	opened(t, s)
	for range 3 {
		e, err := s.put(t.Context(), make([]byte, maxDeadBytes/5*2), time.Now())
		if err == nil {
			err = s.refuse(t.Context(), e, 401, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time, as the next process finds it
		st, _ := s.stats()
		if st.deadLettered != 3 || st.dropped != 1 {
			t.Errorf("%+v", st)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		opened(t, s)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if l := log.Recent(); len(l) != 1 || !contains(l[0].Message.String(), "dropped its 1 oldest dead letters: it keeps at most 32 MiB of them") {
		t.Errorf("told %v", l)
	}
}

// TestWhatAnOutboxSetAsideSent has aggregates under way whose outbox is set aside meanwhile. What the cloud says of them is
// not said of those that have their ids in the new one.
func TestWhatAnOutboxSetAsideSent(t *testing.T) {
	var log event.Log
	s := &store{path: filepath.Join(t.TempDir(), "o.db"), maxBytes: DefaultMaxBytes, maxAge: DefaultMaxAge, now: time.Now, log: &log}
	defer func() { _ = s.close() }()
	opened(t, s)
	put := func(body string) entry {
		t.Helper()
		e, err := s.put(t.Context(), []byte(body), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	first, second := put("first"), put("second")
	s.mu.Lock()
	err := s.replace()
	s.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	opened(t, s)
	put("third")
	put("fourth")
	if err := errors.Join(s.acknowledge(t.Context(), []entry{first}), s.refuse(t.Context(), second, 413, []byte("no"))); err != nil {
		t.Fatal(err)
	}
	page, err := s.page(t.Context(), 0, 10)
	if err != nil || len(page) != 2 || string(page[0].body) != "third" || string(page[1].body) != "fourth" {
		t.Errorf("waiting %+v, %v", page, err)
	}
}

// TestTheLongestRetryAfterCounts has two attempts at once that fail, of which only the later says how long to wait.
func TestTheLongestRetryAfterCounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	fillOutbox(t, path, 2, time.Now())
	e := syncing(t, path, "http://127.0.0.1:1", nil)
	defer func() { _ = e.sync.store.close() }()
	both := make(chan struct{})
	e.sync.send = func(_ context.Context, en entry, _ bool) outcome {
		o := outcome{entry: en, err: errors.New("away")}
		if strings.HasSuffix(en.key, "-2") {
			close(both)
			until(t, "the other has failed", func() bool { return e.Snapshot().Cloud.Failed == 1 })
			o.after = time.Hour
			return o
		}
		<-both
		return o
	}
	c := &cycle{s: e.sync, taken: map[string]bool{}}
	if failed := c.run(t.Context()); failed == nil || failed.after != time.Hour {
		t.Errorf("%+v", failed)
	}
}
