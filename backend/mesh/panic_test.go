package mesh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
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

// clientMineEnv names to a process of TestAPanicOfAClient where a Kafka client is to panic.
const clientMineEnv = "WEIR_TEST_CLIENT_MINE"

// clientMine is the log of Kafka's clients. It panics at the first message that begins so after it was armed, once, in a
// goroutine of a client's own.
type clientMine struct {
	at    string
	armed atomic.Bool
}

func (m *clientMine) Printf(format string, _ ...any) {
	if strings.HasPrefix(format, m.at) && m.armed.CompareAndSwap(true, false) {
		panic("mine in a client")
	}
}

func (m *clientMine) Print(...any)   {}
func (m *clientMine) Println(...any) {}

// TestAPanicOfAClient has goroutines of a Kafka client's own panic, in a process: the run ends, though the client may
// never, and the next one judges everything. What asks a topic of its own ends, too.
func TestAPanicOfAClient(t *testing.T) {
	if at := os.Getenv(clientMineEnv); at != "" {
		testAPanicOfAClient(t, at)
		return
	}
	t.Parallel()
	for _, at := range []string{
		"consumer/broker/%d added subscription", // what fetches
		"Completed ApiVersionsRequest",          // what connects: whatever is asked of that broker waits for ever
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestAPanicOfAClient$", "-test.timeout=1m")
			child.Env = append(os.Environ(), clientMineEnv+"="+at)
			if out, err := child.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out[:min(len(out), 30_000)])
			}
		})
	}
}

func testAPanicOfAClient(t *testing.T, at string) {
	mine := &clientMine{at: at}
	sarama.Logger, sarama.DebugLogger = mine, mine
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 2})
	w.stop()
	w.file("commerce/user_events.yaml", userEvents)
	w.send("user_events", 0, many(50, good)...)
	w.send("user_events", 1, good(1))

	cluster := w.engine.config.Cluster
	mine.armed.Store(true)
	profile, err := ProfileTopic(t.Context(), cluster, "user_events", TopicOptions{})
	if err == nil && profile.Rows != 51 {
		t.Errorf("%d rows were looked at", profile.Rows)
	}

	w.engine.abandonPatience = 100 * time.Millisecond
	mine.armed.Store(true)
	ended := make(chan error, 1)
	go func() { ended <- w.engine.Run(t.Context()) }()
	blowsUp(t, ended, "clientMine")
	w.send("user_events", 1, good(1))
	w.run()
	w.until("user_events", "was judged", func(p Product) bool { return p.Rows == 52 && p.State == Holds })
	w.stop()
}
