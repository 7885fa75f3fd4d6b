package edge

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseUpdate(t *testing.T) {
	u, err := parseUpdate([]byte(` {"weights": [1, -2.5e1 ,0], "examples": 7, "base_version": 3, "more": {"weights": 1}} `), 3)
	if err != nil || fmt.Sprint(u) != "{[1 -25 0] 7 3}" {
		t.Fatal(u, err)
	}
	tests := map[string]string{
		`<html>`:                       "found HTML",
		`{"weights":[1],"examples":1}`: "base_version is missing",
		`{"weights":[],"examples":1,"base_version":0}`:                          "the list is empty",
		`{"weights":[1,2,3,4],"examples":1,"base_version":0}`:                   "4 of them, at most 3",
		`{"weights":[1,"2"],"examples":1,"base_version":0}`:                     "expected numbers, found a string",
		`{"weights":[[1]],"examples":1,"base_version":0}`:                       "expected numbers, found a list",
		`{"weights":{"a":1},"examples":1,"base_version":0}`:                     "found an object",
		`{"weights":[1e999],"examples":1,"base_version":0}`:                     "out of range",
		`{"weights":[1e31],"examples":1,"base_version":0}`:                      "out of range",
		`{"weights":[1],"examples":-1,"base_version":0}`:                        "examples: expected a whole number",
		`{"weights":[1],"examples":0,"base_version":0}`:                         "learned from no example",
		`{"weights":[1],"examples":1.5,"base_version":0}`:                       "examples: expected a whole number",
		`{"weights":[1],"weights":[2],"examples":1,"base_version":0}`:           "weights is given twice",
		`{"weights":[NaN],"examples":1,"base_version":0}`:                       "invalid character 'N'",
		`{"weights":[1],"examples":1,"base_version":"0"}`:                       "base_version: expected a whole number",
		`{"weights":[1],"examples":1,"base_version":0}{"weights":[2]}`:          "more than one JSON value",
		`{"weights":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`: "nested",
	}
	for body, want := range tests {
		if _, err := parseUpdate([]byte(body), 3); err == nil || !contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", body, err, want)
		}
	}
}

func FuzzParseUpdate(f *testing.F) {
	f.Add([]byte(`{"weights": [1, -2.5e1, 0], "examples": 7, "base_version": 3}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		u, err := parseUpdate(body, 8)
		if err == nil && (len(u.weights) == 0 || len(u.weights) > 8 || u.examples < 1 || u.base < 0) {
			t.Fatalf("accepted %+v from %q", u, body)
		}
	})
}

// average is what comes of a round of updates.
func average(updates []update, now globalModel, b bounds) (averaged, error) {
	a := newAverager(now, b)
	for i, u := range updates {
		a.take(i, u)
	}
	return a.finish()
}

// TestAverageHoldsNoUpdates adds the updates of ten thousand nodes one by one: the round takes the memory of one model.
func TestAverageHoldsNoUpdates(t *testing.T) {
	const nodes, size = 10_000, 1000
	b := bounds{maxNorm: 1e9, maxExamples: 100, participants: 2}
	a := newAverager(globalModel{version: 4, weights: make([]float64, size)}, b)
	u := update{weights: make([]float64, size), examples: 1, base: 4}
	took := testing.AllocsPerRun(1, func() {
		for i := range nodes / 2 {
			u.weights[0] = float64(i%5 + 1)
			a.take(i, u)
		}
	})
	out, err := a.finish()
	// What else is at work in this process allocates too; to hold the updates would take one for each.
	if err != nil || out.used != nodes || out.model.weights[0] != 3 || took > nodes/20 || a.held != nil {
		t.Errorf("%d updates gave %v with %v allocations, %v", out.used, out.model.weights[0], took, err)
	}
}

// TestFirstRoundHasBounds has more updates than the first round may hold: those that fit are used, the others are told.
func TestFirstRoundHasBounds(t *testing.T) {
	b := bounds{maxNorm: 1e9, maxExamples: 100, participants: 2}
	first := func(b bounds) (*averager, averaged, error) {
		a := newAverager(globalModel{}, b)
		a.room = 5 * 8
		for i := range 4 {
			a.take(i, update{weights: []float64{float64(i), 1}, examples: 1})
		}
		out, err := a.finish()
		return a, out, err
	}
	a, out, err := first(b)
	if err != nil || out.used != 2 || out.model.version != 1 || out.model.weights[0] != 0.5 || a.room != 8 {
		t.Errorf("%+v, room %d, %v", out, a.room, err)
	}
	if len(out.refused) != 2 || !contains(out.refused[3], "the first round holds at most 256 MiB of updates") {
		t.Errorf("refused %v", out.refused)
	}
	b.participants = 3
	if _, _, err := first(b); err == nil || !contains(err.Error(), "2 of at least 3 updates: the first round holds at most 256 MiB of them, lower edge.federated.participants") {
		t.Errorf("too few have room: %v", err)
	}
}

func TestAverage(t *testing.T) {
	b := bounds{maxNorm: 5, maxExamples: 100, participants: 2}
	base := globalModel{version: 4, weights: []float64{0, 0}}
	a, err := average([]update{{[]float64{1, 0}, 30, 4}, {[]float64{0, 3}, 10, 4}, {[]float64{9, 9}, 10, 3}, {[]float64{1}, 10, 4}}, base, b)
	if err != nil || a.model.version != 5 || a.model.weights[0] != 0.75 || a.model.weights[1] != 0.75 || a.used != 2 || a.examples != 40 {
		t.Fatalf("%+v, %v", a, err)
	}
	if a.refused[2] != "began with version 3, expected 4" || a.refused[3] != "has 1 weights, expected 2" || math.Abs(a.moved-math.Sqrt(1.125)) > 1e-12 {
		t.Errorf("%+v", a)
	}
	// A node that lies about its examples and about its weights moves the model no further than the bounds allow.
	a, err = average([]update{{[]float64{1, 0}, 100, 4}, {[]float64{-1e30, 0}, math.MaxInt64, 4}}, base, b)
	if err != nil || a.clipped != 1 || a.examples != 200 || math.Abs(a.model.weights[0]+2) > 1e-9 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err = average([]update{{[]float64{1, 0}, 30, 4}}, base, b); err == nil || err.Error() != "1 of at least 2 updates" {
		t.Errorf("too few: %v", err)
	}
	// Without a model yet, the version most began with counts, and the reference is their median.
	a, err = average([]update{{[]float64{1}, 10, 7}, {[]float64{2}, 10, 7}, {[]float64{3}, 10, 7}, {[]float64{1e9}, 10, 2}}, globalModel{}, b)
	if err != nil || a.model.version != 8 || a.model.weights[0] != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}

// student is a node that learns y = 3x - 2 from its own part of the data, by gradient descent from the global model.
type student struct {
	mu      sync.Mutex
	weights []float64
	version int64
	xs      []float64
	twist   func(w http.ResponseWriter) bool // true: it answers something else
}

func (s *student) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "GET " + summaryPath:
		_, _ = io.WriteString(w, good(0))
	case "GET " + modelUpdatePath:
		if s.twist != nil && s.twist(w) {
			return
		}
		a, b := s.weights[0], s.weights[1]
		for range 20 {
			da, db := 0.0, 0.0
			for _, x := range s.xs {
				e := a*x + b - (3*x - 2)
				da, db = da+e*x, db+e
			}
			a, b = a-0.1*da/float64(len(s.xs)), b-0.1*db/float64(len(s.xs))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"weights": []float64{a, b}, "examples": len(s.xs), "base_version": s.version})
	case "POST " + modelGlobalPath:
		var m struct {
			Version int64     `json:"version"`
			Weights []float64 `json:"weights"`
		}
		if json.NewDecoder(r.Body).Decode(&m) != nil || len(m.Weights) != 2 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.weights, s.version = m.Weights, m.Version
	default:
		http.NotFound(w, r)
	}
}

func TestFleetLearnsTogether(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var nodes []string
	var students []*student
	add := func(h http.Handler) {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		nodes = append(nodes, s.URL)
	}
	for i := range 5 { // each sees another part of the line
		s := &student{weights: []float64{0, 0}}
		for range 20 + 10*i {
			s.xs = append(s.xs, float64(i-2)+rng.Float64())
		}
		students = append(students, s)
		add(s)
	}
	twisted := func(body string) *student {
		return &student{weights: []float64{0, 0}, xs: []float64{1}, twist: func(w http.ResponseWriter) bool {
			_, _ = io.WriteString(w, body)
			return true
		}}
	}
	add(twisted(`{"weights":[NaN,0],"examples":5,"base_version":0}`))
	add(twisted(`{"weights":[1,2,3],"examples":5,"base_version":0}`))
	add(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a node that is always late
		if r.URL.Path == modelUpdatePath {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, good(0))
	}))
	add(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a node of the article: no model
		if r.URL.Path != summaryPath {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, good(0))
	}))
	e, err := New(Config{Nodes: nodes, Federated: &FederatedConfig{Every: 50 * time.Millisecond, Deadline: 3 * time.Second, Participants: 3}})
	if err != nil {
		t.Fatal(err)
	}
	e.learner.firstWait = time.Hour // on a busy machine the nodes are not polled within an interval as short as this one
	start(t, e)
	until(t, "a round", func() bool { f := e.Snapshot().Federated; return f != nil && len(f.Rounds) >= 1 })
	r := e.Snapshot().Federated.Rounds[0]
	if r.Asked != 9 || r.Absent != 1 || r.Late != 1 || r.Used != 5 || r.Refused != 2 || r.Delivered != 6 || r.Version != 1 || !r.Error.IsEmpty() {
		t.Errorf("the first round: %+v", r)
	}
	noNumber := func(r FederatedRefusal) bool { return contains(r.Reason.String(), "invalid character 'N'") }
	if len(r.Reasons) != 2 || !slices.ContainsFunc(r.Reasons, noNumber) {
		t.Errorf("reasons %v", r.Reasons)
	}
	if err := e.Quarantine(nodes[7], "always late"); err != nil { // from now on rounds are quick
		t.Fatal(err)
	}
	until(t, "the model is learned", func() bool {
		s := students[0]
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.version > 5 && math.Abs(s.weights[0]-3) < 0.05 && math.Abs(s.weights[1]+2) < 0.05
	})
	// A node that restarts, and begins with an older version, is told where the others are and takes part again.
	s := students[4]
	s.mu.Lock()
	s.weights, s.version = []float64{0, 0}, 0
	s.mu.Unlock()
	until(t, "it is back", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.version > 5 })
	if f := e.Snapshot().Federated; len(f.Rounds) > keepRounds || f.Weights != 2 {
		t.Errorf("%d rounds kept, %d weights", len(f.Rounds), f.Weights)
	}
}

// TestStragglersAreAskedLast has more nodes that never offer their update than are asked at once, before those that do.
func TestStragglersAreAskedLast(t *testing.T) {
	t.Parallel()
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, modelUpdatePath) {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, good(0))
	}))
	t.Cleanup(hangs.Close)
	var nodes []string
	for i := range federatedWorkers + 8 {
		nodes = append(nodes, fmt.Sprintf("%s/%d", hangs.URL, i))
	}
	for range 3 {
		s := httptest.NewServer(&student{weights: []float64{0, 0}, xs: []float64{0, 1}})
		t.Cleanup(s.Close)
		nodes = append(nodes, s.URL)
	}
	e, err := New(Config{Nodes: nodes, Federated: &FederatedConfig{Every: 50 * time.Millisecond, Deadline: time.Second, Participants: 3}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	until(t, "a round of those that answer", func() bool { f := e.Snapshot().Federated; return f != nil && f.Version > 0 })
}

// TestUpdatesAreAskedAsSummariesAre has a gateway that tells nodes apart by the header Host, and wants a token.
func TestUpdatesAreAskedAsSummariesAre(t *testing.T) {
	s := &student{weights: []float64{0, 0}, xs: []float64{0, 1}}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "edge-1.internal" || r.Header.Get("Authorization") != "Bearer t" {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(gateway.Close)
	e, err := New(Config{Nodes: []string{gateway.URL}, Federated: &FederatedConfig{Participants: 1},
		Access: []Access{{Headers: map[string]string{"Host": "edge-1.internal"}, Token: func() string { return "t" }}}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	until(t, "a round", func() bool { f := e.Snapshot().Federated; return f != nil && len(f.Rounds) == 1 })
	if r := e.Snapshot().Federated.Rounds[0]; r.Used != 1 || r.Delivered != 1 {
		t.Errorf("%+v", r)
	}
}

// TestRoundsKeepNoConnections looks which connections of a round are open after it: over plain HTTP, none.
func TestRoundsKeepNoConnections(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	open := map[string]bool{} // those that an update was asked over
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, modelUpdatePath) {
			mu.Lock()
			open[r.RemoteAddr] = true
			mu.Unlock()
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, good(0))
	}))
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			mu.Lock()
			defer mu.Unlock()
			delete(open, c.RemoteAddr().String())
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	var nodes []string
	for i := range 20 {
		nodes = append(nodes, fmt.Sprintf("%s/%d", s.URL, i))
	}
	e, err := New(Config{Nodes: nodes, Poll: time.Hour, Federated: &FederatedConfig{Every: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	until(t, "a round", func() bool {
		f := e.Snapshot().Federated
		return f != nil && len(f.Rounds) == 1 && f.Rounds[0].Absent == 20
	})
	until(t, "its connections are closed", func() bool { mu.Lock(); defer mu.Unlock(); return len(open) == 0 })
}
