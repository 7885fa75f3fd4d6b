package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseTargets(t *testing.T) {
	site := func(s string) map[string]string { return map[string]string{"site": s} }
	tests := []struct {
		name, text string
		want       []Target
		err        string
	}{
		{"file_sd", `[{"targets":["a:80","https://b/x/"],"labels":{"site":"ams","__meta_x":"y"}},{"targets":["c"],"labels":{"__scheme__":"https"}}]`,
			[]Target{{"http://a:80", site("ams")}, {"https://b/x", site("ams")}, {"https://c", map[string]string{}}}, ""},
		{"lines", "# the fleet\nhttp://a:80 site=ams # first\n\nhttps://b\n",
			[]Target{{"http://a:80", site("ams")}, {"https://b", map[string]string{}}}, ""},
		{"nothing", "", []Target{}, ""},
		{"empty list", "[]", []Target{}, ""},
		{"no scheme", "a:80\n", nil, "line 1: expected a URL"},
		{"no label", "http://a site\n", nil, `line 1: expected a label as name=value, found "site"`},
		{"not JSON", `[{"targets":"a"}]`, nil, "expected [{"},
		{"password", `[{"targets":["http://u:secret@a"]}]`, nil, "holds a password"},
		{"fragment", `[{"targets":["http://a#"]}]`, nil, "without a fragment"},
		{"other scheme", `[{"targets":["file:///etc/passwd"]}]`, nil, "http:// or https://"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseTargets([]byte(tt.text))
			if tt.err != "" {
				if !errors.Is(err, ErrSource) || !contains(err.Error(), tt.err) || contains(err.Error(), ":secret") {
					t.Fatalf("got %v, want an ErrSource with %q", err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func FuzzParseTargets(f *testing.F) {
	f.Add([]byte(`[{"targets":["a:80"],"labels":{"site":"ams"}}]`))
	f.Add([]byte("http://a:80 site=ams\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		targets, err := parseTargets(b)
		if err != nil {
			return
		}
		for _, x := range targets {
			if again, err := cleanTarget(x); err != nil || again.URL != x.URL {
				t.Fatalf("%q is not as clean as it should be: %v", x.URL, err)
			}
		}
	})
}

// TestSources runs an engine whose nodes come from a file, from http_sd and from DNS, and changes them.
func TestSources(t *testing.T) {
	a, b, c := summaryServer(t, 1, 1), summaryServer(t, 2, 1), summaryServer(t, 4, 1)
	var listing atomic.Value
	listing.Store(fmt.Sprintf(`[{"targets":[%q],"labels":{"site":"lis"}}]`, strings.TrimPrefix(b.URL, "http://")))
	sd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer x" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		text := listing.Load().(string)
		if text == "" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(sd.Close)
	file := filepath.Join(t.TempDir(), "nodes")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(a.URL + " site=ams name=first\n")
	web, err := NewHTTPSource(sd.URL, 20*time.Millisecond, http.Header{"Authorization": {"Bearer x"}})
	if err != nil {
		t.Fatal(err)
	}
	srv := NewSRVSource("_edge._tcp.example.test", "http", 0, fakeDNS(t, map[string]string{"_edge._tcp.example.test.": "two.example.test. one.example.test."}))
	e, err := New(Config{Poll: time.Hour, Timeout: time.Minute, Sources: []Source{NewFileSource(file), web, srv},
		Resolver: fakeDNS(t, map[string]string{})})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	<-e.firstRound
	s := e.Snapshot()
	if s.Nodes != 4 || s.Reporting != 2 || s.TotalRecords != 3 || s.NodeData[2].URL.String() != "http://one.example.test:8080" {
		t.Fatalf("%d nodes, %d report, %d records: %v", s.Nodes, s.Reporting, s.TotalRecords, s.NodeData)
	}
	if n := s.NodeData[0]; n.Name.String() != "first" || n.Labels["site"].String() != "ams" {
		t.Errorf("the first node is %q with %v", n.Name, n.Labels)
	}
	if len(s.Groups) != 2 || s.Groups[0].Value.String() != "ams" || s.Groups[1].TotalRecords != 2 {
		t.Errorf("groups %+v", s.Groups)
	}

	write(a.URL + " site=osl\n" + c.URL + "\n") // one new, one with another label
	until(t, "the new node reports", func() bool { return e.Snapshot().TotalRecords == 7 })
	if n := e.Snapshot().NodeData[0]; n.Labels["site"].String() != "osl" || !n.HasData {
		t.Errorf("a node with a new label is %+v", n)
	}
	write("not a node\n") // nodes stay
	until(t, "the mistake is told", func() bool { return !e.Snapshot().Sources[0].Error.IsEmpty() })
	listing.Store("") // http_sd is down: nodes stay
	until(t, "the failure is told", func() bool { return !e.Snapshot().Sources[1].Error.IsEmpty() })
	if s := e.Snapshot(); s.Nodes != 5 {
		t.Errorf("%d nodes after two failures, want all 5", s.Nodes)
	}
	listing.Store("[]")
	until(t, "the node is gone", func() bool { s := e.Snapshot(); return s.Nodes == 4 && s.TotalRecords == 5 })
}

// TestOneNodeInManySpellings lists a node again in other letters and with its scheme's own port: its records count once.
func TestOneNodeInManySpellings(t *testing.T) {
	for _, again := range []string{"HTTP://Edge-1/a", "http://edge-1:80/a/"} {
		if _, err := New(Config{Nodes: []string{"http://edge-1/a", again}}); err == nil || !contains(err.Error(), "is listed twice") {
			t.Errorf("%s beside http://edge-1/a: %v", again, err)
		}
	}
	e, err := New(Config{Nodes: []string{"http://Edge-1:80", "https://edge-1"}, Sources: []Source{NewFileSource("none")}})
	if err != nil {
		t.Fatal(err)
	}
	list := func(urls ...string) {
		var targets []Target
		for _, u := range urls {
			target, err := cleanTarget(Target{URL: u})
			if err != nil {
				t.Fatal(err)
			}
			targets = append(targets, target)
		}
		e.listed(0, targets, nil)
	}
	list("http://edge-1/", "https://EDGE-1:443", "http://edge-1:443", "http://edge-1/A", "http://edge-1/a")
	var urls []string
	for _, n := range e.Snapshot().NodeData {
		urls = append(urls, n.URL.String())
	}
	want := []string{"http://Edge-1:80", "https://edge-1", "http://edge-1:443", "http://edge-1/A", "http://edge-1/a"}
	if !slices.Equal(urls, want) {
		t.Errorf("nodes %v, want %v", urls, want)
	}
}

// TestAListThatChangesLittle lists one node more: of those that were listed before, nothing is made anew.
func TestAListThatChangesLittle(t *testing.T) {
	now := time.Now()
	e, err := New(Config{Sources: []Source{NewFileSource("none")}, Now: func() time.Time { now = now.Add(time.Second); return now }})
	if err != nil {
		t.Fatal(err)
	}
	list := []Target{{URL: "http://a", Labels: map[string]string{"site": "oslo"}}, {URL: "http://b", Labels: map[string]string{"site": "oslo"}}}
	e.listed(0, list, nil)
	before := e.Snapshot().NodeData
	e.listed(0, []Target{list[0], {URL: "http://b", Labels: map[string]string{"site": "bergen"}}, {URL: "http://c"}}, nil)
	after := e.Snapshot().NodeData
	if len(after) != 3 || before[0] != after[0] || before[1] == after[1] || after[1].Labels["site"].String() != "bergen" {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
}

func TestAccess(t *testing.T) {
	var mu sync.Mutex
	got := map[string]http.Header{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got[r.URL.Path] = r.Header.Clone()
		mu.Unlock()
		_, _ = io.WriteString(w, good(0))
	}))
	t.Cleanup(s.Close)
	e, err := New(Config{
		Targets: []Target{{URL: s.URL + "/a", Labels: map[string]string{"site": "ams"}}, {URL: s.URL + "/b"}},
		Access: []Access{
			{Labels: map[string]string{"site": "ams"}, Headers: map[string]string{"x-key": "k1"}, Token: func() string { return "t1" }},
			{Headers: map[string]string{"x-key": "k2"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	if err := e.PollNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	a, b := got["/a"+summaryPath], got["/b"+summaryPath]
	if a.Get("X-Key") != "k1" || a.Get("Authorization") != "Bearer t1" || b.Get("X-Key") != "k2" || b.Get("Authorization") != "" {
		t.Errorf("headers of a: %v\nof b: %v", a, b)
	}
	if _, err := New(Config{Access: []Access{{Headers: map[string]string{"X": "a\r\nY: b"}}}}); !errors.Is(err, ErrConfig) {
		t.Errorf("a header with a line break: %v", err)
	}
}

func TestNotModified(t *testing.T) {
	var full, same atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		if r.Header.Get("If-None-Match") == `"v1"` {
			same.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		full.Add(1)
		_, _ = io.WriteString(w, good(-time.Minute))
	}))
	t.Cleanup(s.Close)
	e, err := New(Config{Nodes: []string{s.URL}, Poll: time.Hour}) // polls are counted: none but those asked for
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	<-e.firstRound
	before := e.Snapshot().NodeData[0].LastUpdated
	for range 3 {
		if err := e.PollNow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n := e.Snapshot().NodeData[0]
	if full.Load() != 1 || same.Load() != 3 || n.State != OK || n.StatusCode != 304 || !n.LastUpdated.Equal(before) || n.RecordCount != 10 {
		t.Errorf("%d full, %d same: %+v", full.Load(), same.Load(), n)
	}
}

// scripted answers from a function, at once.
type scripted func(url string, at time.Time) answer

func (scripted) close() {}

func (scripted) call(context.Context, target, string, string, []byte, int) (int, []byte, error) {
	return 0, nil, errors.ErrUnsupported
}

func (f scripted) get(_ context.Context, t target, _ string) answer {
	a := f(t.url, time.Now())
	a.sentAt = time.Now()
	return a
}

// bubble runs an engine over scripted answers in a bubble of its own time.
func bubble(t *testing.T, c Config, p poller, f func(*Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, err := c.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(c, p, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		synctest.Wait()
		f(e)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func valid(count int64, at time.Time) answer {
	return answer{status: 200, body: fmt.Appendf(nil, `{"record_count":%d,"quality_score":0.9,"last_updated":%d}`, count, at.Unix())}
}

func TestBreakerProbesEverMoreRarely(t *testing.T) {
	var asked []time.Time
	var mu sync.Mutex
	var up atomic.Bool
	p := scripted(func(_ string, at time.Time) answer {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, at)
		if up.Load() {
			return valid(1, at)
		}
		return answer{err: errors.New("connection refused")}
	})
	bubble(t, Config{Nodes: []string{"http://a"}}, p, func(e *Engine) {
		time.Sleep(10 * time.Minute)
		n := e.Snapshot().NodeData[0]
		if n.State != Down || n.ProbeAt.IsZero() || n.Failures < 8 {
			t.Errorf("after ten minutes of silence: %+v", n)
		}
		mu.Lock()
		count := len(asked)
		for i := 1; i < count; i++ {
			gap, least, most := asked[i].Sub(asked[i-1]), 15*time.Second, 15*time.Second
			switch {
			case i == 1:
				least, most = 7*time.Second, 23*time.Second
			case i == 3:
				least, most = 22*time.Second, 38*time.Second
			case i > 3:
				least, most = 52*time.Second, 68*time.Second
			}
			if gap < least || gap > most {
				t.Errorf("question %d came %v after the one before, want %v to %v", i, gap, least, most)
			}
		}
		mu.Unlock()
		if count < 10 || count > 14 {
			t.Errorf("%d questions in ten minutes", count)
		}
		up.Store(true)
		time.Sleep(70 * time.Second) // one probe
		if n := e.Snapshot().NodeData[0]; n.State != OK || !n.ProbeAt.IsZero() {
			t.Errorf("after it came back: %+v", n)
		}
		mu.Lock()
		count = len(asked)
		mu.Unlock()
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if len(asked)-count != 4 {
			t.Errorf("%d questions in a minute after it came back, want 4", len(asked)-count)
		}
	})
}

func TestFlapping(t *testing.T) {
	var calm atomic.Bool
	n := 0
	p := scripted(func(_ string, at time.Time) answer {
		if n++; n/2%2 == 0 || calm.Load() {
			return valid(1, at)
		}
		return answer{status: 500}
	})
	bubble(t, Config{Nodes: []string{"http://a"}}, p, func(e *Engine) {
		time.Sleep(5 * time.Minute)
		got := e.Snapshot().NodeData[0]
		if got.State != Flapping || !contains(got.Error.String(), "changed 10 times in 20 polls; now ") {
			t.Errorf("%s: %s", got.State, got.Error)
		}
		if l := len(e.Snapshot().Log); l > 12 {
			t.Errorf("%d events of one flapping node", l)
		}
		calm.Store(true)
		time.Sleep(6 * time.Minute)
		if got := e.Snapshot().NodeData[0]; got.State != OK || !got.Error.IsEmpty() {
			t.Errorf("after calm: %s: %s", got.State, got.Error)
		}
	})
}

func TestResetsAndRates(t *testing.T) {
	began := time.Time{}
	p := scripted(func(_ string, at time.Time) answer {
		if began.IsZero() {
			began = at
		}
		count := 1000 + 2*int64(at.Sub(began).Seconds())
		if at.Sub(began) > 5*time.Minute { // it restarted
			count = 2 * int64((at.Sub(began) - 5*time.Minute).Seconds())
		}
		return valid(count, at)
	})
	bubble(t, Config{Nodes: []string{"http://a"}}, p, func(e *Engine) {
		time.Sleep(4*time.Minute + time.Second)
		if n := e.Snapshot().NodeData[0]; n.Resets != 0 || n.RecordsPerSecond < 1.9 || n.RecordsPerSecond > 2.1 {
			t.Errorf("rate %v, resets %d", n.RecordsPerSecond, n.Resets)
		}
		time.Sleep(5 * time.Minute)
		s := e.Snapshot()
		if n := s.NodeData[0]; n.Resets != 1 || n.RecordsPerSecond < 1.8 || n.RecordsPerSecond > 2.1 || s.RecordsPerSecond != n.RecordsPerSecond {
			t.Errorf("after a restart: rate %v, resets %d", n.RecordsPerSecond, n.Resets)
		}
	})
}

func TestQuarantineAndHistory(t *testing.T) {
	var ofA atomic.Int32
	p := scripted(func(url string, at time.Time) answer {
		if url == "http://a"+summaryPath {
			ofA.Add(1)
		}
		return valid(10, at)
	})
	c := Config{Targets: []Target{{"http://a", map[string]string{"site": "x"}}, {"http://b", map[string]string{"site": "x"}}}, Concurrency: 1}
	bubble(t, c, p, func(e *Engine) {
		if err := e.Quarantine("http://nobody", "why not"); !errors.Is(err, ErrNoNode) {
			t.Errorf("an unknown node: %v", err)
		}
		time.Sleep(time.Minute)
		if err := e.Quarantine("http://a", "disk is being changed\x1b[2J"); err != nil {
			t.Fatal(err)
		}
		before := ofA.Load()
		time.Sleep(time.Minute)
		if err := e.PollNow(context.Background()); err != nil {
			t.Fatal(err)
		}
		s := e.Snapshot()
		if n := s.NodeData[0]; n.State != Quarantined || n.Error.String() != `quarantined: disk is being changed\x1b[2J` || ofA.Load() != before {
			t.Errorf("%+v, asked %d more times", n, ofA.Load()-before)
		}
		if s.Reporting != 1 || s.TotalRecords != 10 || s.Groups[0].Reporting != 1 || s.Groups[0].Nodes != 2 {
			t.Errorf("a quarantined node counts: %+v", s)
		}
		a := e.aggregate(time.Now())
		if x := a.Groups["site"]["x"]; x.Reporting != 1 || x.TotalRecords != 10 || a.NodeData[0].Status != "error" || a.States[Quarantined] != 1 {
			t.Errorf("aggregate %+v", a)
		}
		if err := e.PollNode(context.Background(), "http://b"); err != nil {
			t.Error(err)
		}
		if err := e.PollNode(context.Background(), "http://c"); !errors.Is(err, ErrNoNode) {
			t.Errorf("an unknown node: %v", err)
		}
		if err := e.Release("http://a", "new disk"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := e.Snapshot().NodeData[0]; n.State != OK {
			t.Errorf("after its release: %+v", n)
		}
		h, ok := e.History("http://a")
		if !ok || len(h.Polls) < 5 || h.Polls[0].State != OK || h.Polls[0].RecordCount != 10 || !contains(h.Answer.String(), "record_count") {
			t.Fatalf("history %+v", h)
		}
		var seen []State
		for _, c := range h.Changes {
			seen = append(seen, c.To)
		}
		if want := []State{OK, Quarantined, Unknown, OK}; !reflect.DeepEqual(seen, want) {
			t.Errorf("changes %v, want %v", seen, want)
		}
		if err := e.Watch("http://a"); err != nil || e.Snapshot().Watched["http://a"] == nil {
			t.Errorf("watched: %v, %v", err, e.Snapshot().Watched)
		}
		time.Sleep(20 * time.Minute)
		if w := e.Snapshot().Watched; w != nil {
			t.Errorf("still watched: %v", w)
		}
		if h, _ := e.History("http://a"); len(h.Polls) != KeepPolls || !h.Polls[0].At.Before(h.Polls[1].At) {
			t.Errorf("%d polls remembered", len(h.Polls))
		}
	})
}

// TestNotModifiedUnasked has a node that gives no ETag and then answers 304 all the same: its last answer says nothing
// about now.
func TestNotModifiedUnasked(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 1 {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, good(0))
	}))
	t.Cleanup(s.Close)
	e, err := New(Config{Nodes: []string{s.URL}, Poll: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	<-e.firstRound
	if err := e.PollNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := e.Snapshot().NodeData[0]; n.State != Invalid || n.Error.String() != "answered 304 to a question that had no condition" {
		t.Errorf("%s: %s", n.State, n.Error)
	}
}

// TestFileThatIsBeingWritten looks at a file while it is written in place: half of it is not taken for the fleet.
func TestFileThatIsBeingWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nodes")
	s := NewFileSource(path)
	list := func(text string, want int) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if targets, err := s.List(t.Context()); err != nil || len(targets) != want {
			t.Errorf("%q: %v, %v, want %d nodes", text, targets, err, want)
		}
	}
	again := func(want int) {
		t.Helper()
		if targets, err := s.List(t.Context()); err != nil || len(targets) != want {
			t.Errorf("the second time: %v, %v, want %d nodes", targets, err, want)
		}
	}
	list("http://a\nhttp://b\n", 2)
	list("", 2)
	list("http://a\nhttp://b\nhttp", 2)
	list("http://a\nhttp://b\nhttp://c\n", 2)
	again(3)
	again(3)
	list("", 3)
	again(0) // it stays empty: so nobody is left
}
