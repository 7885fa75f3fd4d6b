package tui

import (
	"bytes"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/backend/event"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
	"weir/views/viewstest"
)

// linearRuntime is a fake that ticks when it is told to.
type linearRuntime struct {
	fakeRuntime
	ticks chan struct{}
}

func (f *linearRuntime) Subscribe() (<-chan struct{}, func()) { return f.ticks, func() {} }

// transcript is a writer that another goroutine may read.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(b)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func TestLinear(t *testing.T) {
	rt := &linearRuntime{fakeRuntime{line: viewstest.Timeline(viewstest.Broken, viewstest.Usual)}, make(chan struct{})}
	in, typed := io.Pipe()
	var out transcript
	done := make(chan error)
	o := Options{Who: "ada"}
	o.Console.TimeZone = "utc"
	go func() { done <- Linear(t.Context(), rt, o, in, &out) }()
	rt.ticks <- struct{}{}
	for !strings.Contains(out.String(), "Contracts:") { // the tick is carried out
		runtime.Gosched()
	}
	rt.line.Append(viewstest.Snapshot(viewstest.Broken, viewstest.Usual, viewstest.Usual.Ticks)) // nothing new: nothing said
	rt.ticks <- struct{}{}
	for _, line := range []string{"", "nodes state:down", "incidents", "pause", "no", "pause", "yes an exercise", "poll", "nonsense", "q"} {
		if _, err := io.WriteString(typed, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	typed.Close()
	got := out.String()
	for _, want := range []string{"problems: 1 partition stalled", "Throughput: running, 8,901 events a second", "Edge nodes: 12 of 14 reporting",
		"Contracts: 1 broken, 1 no data, 4 hold.", "07:31:47 recovered, node edge-node-03: ok again after 40 s", "node edge-node-11, site lisbon, state down",
		"contract broken, commerce/user_events: critical since",
		"Type yes and a reason to do it.", "not done", "done: pause", "done: poll", "there is no command nonsense"} {
		if !strings.Contains(got, want) {
			t.Errorf("the transcript lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Errorf("the transcript holds an escape: %q", got)
	}
	if n := strings.Count(got, "Throughput:"); n != 2 { // at the start, and when asked
		t.Errorf("it summed up %d times:\n%s", n, got)
	}
	if len(rt.asked) != 2 || rt.asked[0].Reason != "an exercise" {
		t.Errorf("asked for %+v", rt.asked)
	}
}

// after appends a snapshot and lets a linear console take it.
func (l *linear) after(t *testing.T, rt *fakeRuntime, change func(*timeline.Snapshot)) string {
	t.Helper()
	x := *rt.line.Newest()
	x.At = x.At.Add(x.Tick)
	change(&x)
	rt.line.Append(&x)
	var out bytes.Buffer
	l.out = &out
	l.tick()
	if l.err != nil {
		t.Fatal(l.err)
	}
	return out.String()
}

// TestLinearTellsWhatIsNew has a figure move, which is no news, and an event that comes late, which is.
func TestLinearTellsWhatIsNew(t *testing.T) {
	c := newConsole(t, settings{})
	l := &linear{m: c.m}
	dead := func(n uint64) func(*timeline.Snapshot) {
		return func(x *timeline.Snapshot) {
			p := *x.Pipeline
			p.MinuteHandled, p.MinuteDead = 1000, n
			x.Pipeline = &p
		}
	}
	if got := l.after(t, c.rt, dead(21)); !strings.Contains(got, "2.1% dead letters") {
		t.Fatalf("it does not tell of the dead letters:\n%s", got)
	}
	if got := l.after(t, c.rt, dead(34)); got != "" {
		t.Errorf("it sums up again because a figure moved:\n%s", got)
	}
	late := func(x *timeline.Snapshot) {
		last := x.Events[len(x.Events)-1]
		x.Events = append(slices.Clone(x.Events), event.Event{Seq: last.Seq + 1, At: last.At.Add(-time.Second), Kind: event.Node,
			Severity: event.Warning, Subject: safetext.Clean("edge-node-04"), Message: safetext.Clean("came late")})
	}
	if got := l.after(t, c.rt, late); !strings.Contains(got, "came late") {
		t.Errorf("it leaves out an event that happened before the last one told: %q", got)
	}
}

// TestLinearDoesNotPromise: before the engines have seen their world, nothing is known to be well.
func TestLinearDoesNotPromise(t *testing.T) {
	c := newConsole(t, settings{})
	l := &linear{m: c.m}
	got := l.after(t, c.rt, func(x *timeline.Snapshot) {
		x.Pipeline, x.Mesh, x.Edge, x.Host = &pipeline.Snapshot{State: pipeline.Stopped, PSI: math.NaN()}, nil, nil, nil
		x.Engines = []timeline.Engine{{Name: "pipeline", State: timeline.EngineRunning, Since: x.At}}
		x.Events = nil
	})
	if !strings.Contains(got, "settling in") || strings.Contains(got, "nothing is wrong") {
		t.Errorf("it says:\n%s", got)
	}
}
