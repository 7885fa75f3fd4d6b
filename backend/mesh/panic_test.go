package mesh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/backend/kafka"
	"weir/backend/safego"
)

// blowsUp waits until the engine panics by itself, in something the stack names.
func blowsUp(t *testing.T, ended <-chan error, where string) {
	t.Helper()
	select {
	case err := <-ended:
		var p *safego.Panic
		if !errors.As(err, &p) || !strings.Contains(string(p.Stack), where) {
			t.Fatalf("Run: %v, want a panic in %s", err, where)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Run did not end")
	}
}

// TestAPanicEndsTheRunOnly has each goroutine of the engine panic, then runs it again: every record is judged. It is no
// parallel test: it looks at all goroutines.
func TestAPanicEndsTheRunOnly(t *testing.T) {
	const (
		n      = 50
		kfake  = "github.com/twmb/franz-go/pkg/kfake."
		reader = kfake + "(*clientConn).read.func1" // a new one for each request of the producer's
	)
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 2})
	w.stop()
	w.file("commerce/user_events.yaml", userEvents)
	w.send("user_events", 0, many(n, good)...)
	w.send("user_events", 1, good(1))
	sent := int64(n + 1)
	for _, c := range []struct {
		where string
		lay   func()      // before it runs
		tread func(*live) // while it runs
	}{
		{where: "(*live).judgeRecords", tread: func(p *live) { p.judge = nil }},
		{where: "(*reporter).watch", lay: func() {
			w.engine.reporter = newReporter(&LineageConfig{To: "http://127.0.0.1:1"}, "", func() []Job { panic("in Jobs") }, &w.engine.log)
		}},
		{where: "(*reporter).deliver", lay: func() {
			job := theJob
			job.Running = true
			w.engine.reporter = newReporter(&LineageConfig{To: "http://127.0.0.1:1", Token: func() string { panic("in Token") }}, "",
				func() []Job { return []Job{job} }, &w.engine.log)
		}},
	} {
		t.Run(c.where, func(t *testing.T) {
			before := []goleak.Option{goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction(kfake + "(*Cluster).run"), goleak.IgnoreAnyFunction(reader)}
			if c.lay != nil {
				c.lay()
			}
			ended := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { ended <- w.engine.Run(ctx) }()
			if c.tread != nil {
				w.until("user_events", "was judged", func(p Product) bool { return p.Rows == sent })
				for _, p := range w.engine.sorted() {
					p.mu.Lock()
					c.tread(p)
					p.mu.Unlock()
				}
				w.send("user_events", 1, good(1))
				sent++
			}
			blowsUp(t, ended, c.where)
			goleak.VerifyNone(t, before...)
			w.engine.reporter = nil
			w.run()
			w.until("user_events", "was judged again", func(p Product) bool { return p.Rows == sent && p.State == Holds })
			w.stop()
		})
	}
}

// TestAPanicOverAFileIsAnError has the reading of a file panic, in the workers of a CSV file and in the one goroutine of
// others: weir could not tell.
func TestAPanicOverAFileIsAnError(t *testing.T) {
	t.Parallel()
	p := parse(t, userEvents)
	csv, lines := strings.Builder{}, strings.Builder{}
	csv.WriteString("user_id,timestamp,email\n")
	for i := range 200_000 {
		fmt.Fprintf(&csv, "u%d,2026-11-22T07:00:00Z,u%d@example.com\n", i, i)
		lines.WriteString(good(i) + "\n")
	}
	good := write(t, "good.csv", []byte(smallCSV))
	for _, c := range []struct {
		name, text string
		workers    int
	}{{"a.csv", csv.String(), 4}, {"a.csv", csv.String(), 1}, {"a.jsonl", lines.String(), 4}} {
		file := write(t, c.name, []byte(c.text))
		r := validate(t, p, FileOptions{Workers: c.workers, Progress: func(int64, int64) { panic("in Progress") }}, file, good)
		bad := r.Files[0]
		if r.ExitCode() != ExitUnknown || bad.Whole || !errors.Is(bad.Err, ErrNotWhole) || !r.Files[1].Whole {
			t.Errorf("%s by %d: exit code %d, %+v", c.name, c.workers, r.ExitCode(), r.Files)
		}
		if text := fmt.Sprint(bad.Err); !strings.Contains(text, "a fault of weir: panic: in Progress") || strings.Contains(text, "\n") {
			t.Errorf("%s by %d says %q", c.name, c.workers, text)
		}
	}
}
