package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// until waits for a condition over real sockets.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// start runs e until the test ends.
func start(t *testing.T, e *Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	until(t, "Run runs", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.run != nil
	})
	return stop
}

func summaryServer(t *testing.T, count int64, quality float64) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/data/summary" {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprintf(w, `{"record_count":%d,"quality_score":%v,"last_updated":%q}`, count, quality,
			time.Now().UTC().Format("2006-01-02T15:04:05.000000"))
	}))
	t.Cleanup(s.Close)
	return s
}

// cloudServer remembers what it took, by idempotency key.
type cloudServer struct {
	*httptest.Server
	mu     sync.Mutex
	bodies map[string]string
	order  []string
	late   map[string]bool
	answer func(w http.ResponseWriter, r *http.Request) bool // true: it has answered with something else
}

func newCloud(t *testing.T, answer func(http.ResponseWriter, *http.Request) bool) *cloudServer {
	t.Helper()
	c := &cloudServer{bodies: map[string]string{}, late: map[string]bool{}, answer: answer}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.Method != http.MethodPost { // a poll of another test, whose node had this port before
			http.NotFound(w, r)
			return
		}
		if c.answer != nil && c.answer(w, r) {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		key := r.Header.Get("Idempotency-Key")
		if had, ok := c.bodies[key]; ok && had != string(b) {
			t.Errorf("key %s came with two bodies", key)
		}
		c.bodies[key] = string(b)
		c.order = append(c.order, key)
		c.late[key] = r.Header.Get("Weir-Backfill") == "true"
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(c.Close)
	return c
}

func TestEngineAggregatesAndSyncs(t *testing.T) {
	a, b := summaryServer(t, 900, 1), summaryServer(t, 100, 0.5)
	broken := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(broken.Close)
	const gone = "http://127.0.0.1:1" // nobody listens there, and no other test is given that port
	cloud := newCloud(t, nil)
	e, err := New(Config{
		Nodes:  []string{a.URL, b.URL + "/", broken.URL, gone},
		Outbox: filepath.Join(t.TempDir(), "outbox.db"),
		Cloud:  &CloudConfig{URL: cloud.URL + "/data/ingest", Every: time.Hour, Token: func() string { return "secret" }},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := e.Snapshot(); s.Nodes != 4 || s.ByState[Unknown] != 4 || s.Reporting != 0 || s.Quality == s.Quality {
		t.Fatalf("before Run: %+v", s)
	}
	start(t, e)
	if err := e.PollNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := e.Snapshot()
	if s.Reporting != 2 || s.TotalRecords != 1000 || s.Quality != 0.95 || s.QualityMean != 0.75 {
		t.Errorf("reporting %d, records %d, quality %v, mean %v", s.Reporting, s.TotalRecords, s.Quality, s.QualityMean)
	}
	for i, want := range []State{OK, OK, Invalid, Down} {
		if n := s.NodeData[i]; n.State != want {
			t.Errorf("%s is %s (%s), want %s", n.URL, n.State, n.Error, want)
		}
	}
	if r := s.NodeData[3].Error.String(); r != "connection refused" {
		t.Errorf("the reason of a closed port is %q", r)
	}
	until(t, "the first aggregate is acknowledged", func() bool { return !e.Snapshot().Cloud.LastSync.IsZero() })
	c := e.Snapshot().Cloud
	if c.State != CloudOK || c.Synced != 1 || c.Outbox != 0 || c.LastSync.IsZero() || c.NextSync.IsZero() {
		t.Errorf("cloud %+v", c)
	}
	if err := e.SyncNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	cloud.mu.Lock()
	defer cloud.mu.Unlock()
	if len(cloud.order) != 2 || cloud.late[cloud.order[0]] || cloud.late[cloud.order[1]] {
		t.Errorf("the cloud got %v, late %v", cloud.order, cloud.late)
	}
	checkArticle(t, cloud.bodies[cloud.order[1]], a.URL, b.URL, broken.URL, gone)
}

// checkArticle holds an aggregate to the article's keys, exactly.
func checkArticle(t *testing.T, body string, urls ...string) {
	t.Helper()
	var got struct {
		Timestamp string           `json:"timestamp"`
		EdgeNodes int              `json:"edge_nodes"`
		Total     int64            `json:"total_records"`
		Quality   float64          `json:"data_quality_score"`
		NodeData  []map[string]any `json:"node_data"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse(time.RFC3339, got.Timestamp); err != nil {
		t.Error(err)
	}
	if got.EdgeNodes != 4 || got.Total != 1000 || got.Quality != 0.95 || len(got.NodeData) != 4 {
		t.Fatalf("aggregate %+v", got)
	}
	keys := []string{
		"last_updated node_url quality_score record_count status=success",
		"last_updated node_url quality_score record_count status=success",
		"error_code=404 node_url status=error",
		"error_message=connection refused node_url status=error",
	}
	for i, n := range got.NodeData {
		if n["node_url"] != urls[i] {
			t.Errorf("node_url %v, want %s", n["node_url"], urls[i])
		}
		if k := shape(n); k != keys[i] {
			t.Errorf("node %d has %s, want %s", i, k, keys[i])
		}
	}
}

// shape is the sorted keys of a node, with the values of those that are told apart by value.
func shape(n map[string]any) string {
	var parts []string
	for _, k := range []string{"error_code", "error_message", "last_updated", "node_url", "quality_score", "record_count", "status"} {
		v, ok := n[k]
		switch {
		case !ok:
		case k == "status" || k == "error_code" || k == "error_message":
			parts = append(parts, fmt.Sprintf("%s=%v", k, v))
		default:
			parts = append(parts, k)
		}
		delete(n, k)
	}
	for k := range n {
		parts = append(parts, "unexpected "+k)
	}
	return strings.Join(parts, " ")
}

func TestNotRunning(t *testing.T) {
	e, err := New(Config{Nodes: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.PollNow(t.Context()); err == nil {
		t.Error("PollNow without Run returned nil")
	}
	if err := e.SyncNow(t.Context()); err == nil {
		t.Error("SyncNow without Run returned nil")
	}
	if s := e.Snapshot(); s.Cloud.State != CloudOff {
		t.Errorf("cloud %+v", s.Cloud)
	}
}

// fakePoller answers after a delay in the bubble's time, and watches that no node is asked twice at once.
type fakePoller struct {
	delay   func(url string) time.Duration
	mu      sync.Mutex
	busy    map[string]bool
	asked   map[string][]time.Time
	most    int
	overlap bool
}

func (p *fakePoller) close() {}

func (*fakePoller) call(context.Context, target, string, string, []byte, int) (int, []byte, error) {
	return 0, nil, errors.ErrUnsupported
}

func (p *fakePoller) get(ctx context.Context, t target, _ string) answer {
	at := time.Now()
	p.mu.Lock()
	p.overlap = p.overlap || p.busy[t.url]
	p.busy[t.url] = true
	p.most = max(p.most, len(p.busy))
	p.asked[t.url] = append(p.asked[t.url], at)
	p.mu.Unlock()
	d := p.delay(t.url)
	select {
	case <-time.After(min(d, 10*time.Second)):
	case <-ctx.Done():
	}
	p.mu.Lock()
	delete(p.busy, t.url)
	p.mu.Unlock()
	a := answer{status: 200, sentAt: at, latency: time.Since(at),
		body: fmt.Appendf(nil, `{"record_count":1,"quality_score":1,"last_updated":%d}`, time.Now().Unix())}
	if d > 10*time.Second {
		a.status, a.err = 0, errDeadline
	}
	return a
}

func TestScheduleSpreadsAndNeverDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var nodes []string
		for i := range 100 {
			nodes = append(nodes, fmt.Sprintf("http://node-%02d", i))
		}
		hangs := func(url string) bool { return url < "http://node-20" } // 20 of them
		p := &fakePoller{busy: map[string]bool{}, asked: map[string][]time.Time{}, delay: func(url string) time.Duration {
			if hangs(url) {
				return time.Hour
			}
			return 10 * time.Millisecond
		}}
		c, err := Config{Nodes: nodes, Concurrency: 24}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(c, p, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		began := time.Now()
		go func() { done <- e.Run(ctx) }()
		time.Sleep(time.Second)
		if s := e.Snapshot(); s.Reporting != 80 {
			t.Errorf("%d nodes report after a second, want 80", s.Reporting)
		}
		time.Sleep(5*time.Minute - time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.overlap {
			t.Error("a node was asked twice at once")
		}
		if p.most > 24 {
			t.Errorf("%d polls under way at once, want at most 24", p.most)
		}
		for url, asked := range p.asked {
			if hangs(url) {
				continue
			}
			if len(asked) < 20 {
				t.Errorf("%s was asked %d times in 5 minutes of 15 s", url, len(asked))
			}
			for i := 2; i < len(asked); i++ {
				if gap := asked[i].Sub(asked[i-1]); gap < 14*time.Second || gap > 16*time.Second {
					t.Errorf("%s was asked again after %v (at %v), want 15s", url, gap, asked[i].Sub(began))
				}
			}
		}
	})
}

func TestPollNowWaitsForWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		p := &fakePoller{busy: map[string]bool{}, asked: map[string][]time.Time{}, delay: func(string) time.Duration {
			calls.Add(1)
			return 2 * time.Second
		}}
		c, err := Config{Nodes: []string{"http://a"}}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(c, p, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		time.Sleep(time.Second) // its first poll is half done
		if err := e.PollNow(ctx); err != nil {
			t.Error(err)
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("%d polls, want the one under way to serve", n)
		}
		if s := e.Snapshot(); s.Reporting != 1 {
			t.Errorf("after PollNow: %+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestSiteDownIsFewEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var nodes []string
		for i := range 500 {
			nodes = append(nodes, fmt.Sprintf("http://node-%03d", i))
		}
		var down atomic.Bool
		p := &fakePoller{busy: map[string]bool{}, asked: map[string][]time.Time{}, delay: func(string) time.Duration {
			if down.Load() {
				return time.Hour
			}
			return time.Millisecond
		}}
		c, err := Config{Nodes: nodes, Concurrency: 500}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(c, p, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		time.Sleep(time.Minute)
		if s := e.Snapshot(); len(s.Log) != 1 || s.Log[0].Message.String() != "500 of 500 nodes report after the first round" {
			t.Errorf("a calm minute told %v", s.Log)
		}
		down.Store(true)
		time.Sleep(3 * time.Minute)
		s := e.Snapshot()
		if s.ByState[Down] != 500 {
			t.Errorf("%v", s.ByState)
		}
		if len(s.Log) < 2 || len(s.Log) > 40 {
			t.Errorf("%d events for a fleet going down", len(s.Log))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// drips begins to answer at once, and some nodes never end.
type drips struct{ *fakePoller }

func (p drips) get(ctx context.Context, t target, etag string) answer {
	a := p.fakePoller.get(ctx, t, etag)
	a.status, a.heard = 200, true
	return a
}

// TestDrippingNodesNeverDelay has more nodes whose bodies drip until the deadline than there are places: they answer, so
// that no breaker spares them, and must not hold up the others.
func TestDrippingNodesNeverDelay(t *testing.T) {
	var nodes []string
	for i := range 100 {
		nodes = append(nodes, fmt.Sprintf("http://node-%02d", i))
	}
	hangs := func(url string) bool { return url < "http://node-40" }
	p := drips{&fakePoller{busy: map[string]bool{}, asked: map[string][]time.Time{}, delay: func(url string) time.Duration {
		if hangs(url) {
			return time.Hour
		}
		return 10 * time.Millisecond
	}}}
	bubble(t, Config{Nodes: nodes, Concurrency: 24}, p, func(e *Engine) {
		began := time.Now()
		time.Sleep(5 * time.Minute)
		if s := e.Snapshot(); s.ByState[OK] != 60 || s.ByState[Invalid] != 40 {
			t.Errorf("%v", s.ByState)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		for url, asked := range p.asked {
			if len(asked) < 3 || !hangs(url) && len(asked) < 18 {
				t.Errorf("%s was asked %d times in 5 minutes of 15 s", url, len(asked))
			}
			for i := 1; i < len(asked) && !hangs(url); i++ {
				gap := asked[i].Sub(asked[i-1])
				if asked[i-1].Sub(began) > time.Minute && (gap < 14*time.Second || gap > 16*time.Second) {
					t.Errorf("%s was asked again after %v, want 15s", url, gap)
				}
			}
		}
	})
}

// panics is asked for updates of a model and panics.
type panics struct{ scripted }

func (panics) call(context.Context, target, string, string, []byte, int) (int, []byte, error) {
	panic("in a call")
}

// TestPanicsEndTheRunOnly has what helps an engine panic: its run ends and says why, having left nothing at work.
func TestPanicsEndTheRunOnly(t *testing.T) {
	p := panics{func(_ string, at time.Time) answer { return valid(1, at) }}
	tests := []struct {
		says   string
		change func(*Engine)
	}{
		{"sending panicked: in a send", func(e *Engine) {
			e.sync.send = func(context.Context, entry, bool) outcome { panic("in a send") }
		}},
		{"sync panicked: in an aggregate", func(e *Engine) {
			e.sync.aggregate = func(time.Time) aggregate { panic("in an aggregate") }
		}},
		{"federated learning panicked: in a call", func(e *Engine) {
			e.learner = &learner{cfg: FederatedConfig{Every: time.Hour, Deadline: time.Minute}, e: e}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.says, func(t *testing.T) {
			c, err := Config{Nodes: []string{"http://a"}, Outbox: filepath.Join(t.TempDir(), "o.db"),
				Cloud: &CloudConfig{URL: "http://127.0.0.1:1", Every: time.Hour}}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			e := newEngine(c, p, nil)
			tt.change(e)
			if err := e.Run(t.Context()); err == nil || !contains(err.Error(), tt.says) {
				t.Errorf("Run: %v, want %q", err, tt.says)
			}
			if e.sync.store.box != nil {
				t.Error("the outbox is still open")
			}
		})
	}
}
