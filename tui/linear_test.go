package tui

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

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
	for _, want := range []string{"troubles: 1 partition stall", "Throughput: running, 8,901 events a second", "Edge nodes: 12 of 14 reporting",
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
