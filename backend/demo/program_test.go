package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The tests of this file build the program and run it, beside other programs, as a person would.

var program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// build makes the program, once.
func build(t *testing.T) string {
	t.Helper()
	slow(t)
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "weir-program-"); program.err != nil {
			return
		}
		program.path = filepath.Join(program.dir, "weir")
		if out, err := exec.Command("go", "build", "-o", program.path, "weir").CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.path
}

// child is a program that runs beside the test and is killed with it.
type child struct {
	*exec.Cmd
	out, err bytes.Buffer // complete once ended is closed
	ended    chan struct{}
	result   error
}

func launch(t *testing.T, path string, args ...string) *child {
	t.Helper()
	p := &child{Cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.Stdout, p.Stderr = &p.out, &p.err
	p.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.result = p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

// kill is kill -9.
func (p *child) kill() {
	_ = p.Process.Kill()
	<-p.ended
}

func (p *child) stop(t *testing.T) {
	t.Helper()
	_ = p.Process.Signal(os.Interrupt)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not stop: %s", p.Path, p.err.String())
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// reported is the part of /snapshot the tests read.
type reported struct {
	Pipeline struct {
		State        string
		Consumed     uint64
		Predicted    uint64
		DeadLettered uint64 `json:"dead_lettered"`
		Lag          int64
	}
	Edge struct {
		Nodes, Reporting int
	}
	Mesh struct {
		Products []struct {
			Domain, Name string
			Rows         int64
			Schema       bool `json:"schema_compliance"`
			Quality      bool `json:"quality_compliance"`
			Issues       []struct{ Message string }
		}
	}
}

func snapshotOf(address string) (r reported, err error) {
	response, err := http.Get("http://" + address + "/snapshot")
	if err != nil {
		return r, err
	}
	defer response.Body.Close()
	return r, json.NewDecoder(response.Body).Decode(&r)
}

// TestKillNineLosesNothing kills a worker in the middle of its work, twice, and starts it again on the same broker.
func TestKillNineLosesNothing(t *testing.T) {
	weir := build(t)
	t.Parallel() // mostly it waits until a group misses who was killed
	for _, delivery := range []string{"at_least_once", "exactly_once"} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			killAndCount(t, weir, delivery)
		})
	}
}

func killAndCount(t *testing.T, weir, delivery string) {
	w := start(t, Options{Rate: 3000})
	if err := w.Inject("poison-events", 0, 0); err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile(w.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	settings = bytes.Replace(settings, []byte("start: earliest\n"), []byte("start: earliest\n  delivery: "+delivery+"\n"), 1)
	if err := os.WriteFile(w.ConfigPath(), settings, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	answered := func() (n int64) {
		for _, topic := range []string{topicPredictions, topicDeadLetters} {
			for _, end := range offsets(t, client, topic, -1) {
				n += end
			}
		}
		return n
	}
	for range 2 {
		p := launch(t, weir, "run", "--config", w.ConfigPath())
		more := answered() + 5000
		waitLong(t, "answers", func() bool { return answered() > more })
		p.kill()
	}
	address := freeAddress(t)
	p := launch(t, weir, "run", "--config", w.ConfigPath(), "--http", address)
	more := answered() + 2000
	waitLong(t, "answers", func() bool { return answered() > more })
	w.StopEvents()
	waitLong(t, "an end of the lag", func() bool {
		s, err := snapshotOf(address)
		return err == nil && s.Pipeline.State == "running" && s.Pipeline.Lag == 0 && answered() >= int64(w.producer.acked.Load())
	})
	p.stop(t)
	a := auditTopics(t, w.broker.Addr())
	t.Logf("%d events, %d predictions, %d dead letters, %d answers beyond the first", a.events, a.predictions, a.deadLetters, a.answeredAgain)
	if a.unanswered > 0 || len(a.problems) > 0 || a.events != int(w.producer.acked.Load()) || a.deadLetters == 0 {
		t.Errorf("%+v", a)
	}
	if delivery == "exactly_once" && a.answeredAgain > 0 {
		t.Errorf("%d events were answered again", a.answeredAgain)
	}
}

// waitLong is waitFor where a killed member's session or transaction must run out first.
func waitLong(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("no %s within two minutes", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestTypedEventsAreAnswered writes events by hand with kcat, some of them garbage.
func TestTypedEventsAreAnswered(t *testing.T) {
	weir, kcat := build(t), needKcat(t)
	w := start(t, Options{Rate: NoEvents})
	launch(t, weir, "run", "--config", w.ConfigPath())
	lines := []string{
		`{"user_id":"` + userID(17) + `","timestamp":"2026-11-22T10:00:00Z"}`,
		`{"user_id":"` + userID(18) + `","timestamp":"2026-11-22T10:00:01Z","event_type":"page_view"}`,
		`{"user_id":"nobody","timestamp":"2026-11-22T10:00:02Z"}`,
		`{"timestamp":"2026-11-22T10:00:03Z"}`,
		`hello`,
		`{"user_id":`,
		"\x1b]0;owned\x07",
	}
	typed := exec.CommandContext(t.Context(), kcat, "-b", w.broker.Addr(), "-P", "-t", topicEvents)
	typed.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := typed.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	predictions := kcatReads(t, kcat, w.broker.Addr(), topicPredictions, 2)
	for _, text := range predictions {
		if _, err := predicted(&kgo.Record{Value: []byte(text), Key: []byte(userIn(text))}); err != nil {
			t.Errorf("%v in %s", err, text)
		}
	}
	dead := strings.Join(kcatReads(t, kcat, w.broker.Addr(), topicDeadLetters, 5), "\n")
	for _, text := range lines[2:] {
		if !strings.Contains(dead, text) {
			t.Errorf("no dead letter holds %q", text)
		}
	}
}

func userIn(prediction string) string {
	var p struct {
		UserID string `json:"user_id"`
	}
	_ = json.Unmarshal([]byte(prediction), &p)
	return p.UserID
}

// TestRunDemoAgreesWithKcat is the loop of the README: a worker over the embedded world, and kcat counting beside it.
func TestRunDemoAgreesWithKcat(t *testing.T) {
	weir, kcat := build(t), needKcat(t)
	broker, address := freeAddress(t), freeAddress(t)
	p := launch(t, weir, "run", "--demo", "--rate", "5000", "--for", "20s", "--kafka-listen", broker, "--http", address,
		"--fault", "poison-events@5s+5s")
	waitFor(t, "snapshot", func() bool { _, err := snapshotOf(address); return err == nil })
	readers := map[string]*child{}
	for _, topic := range []string{topicEvents, topicPredictions, topicDeadLetters} {
		readers[topic] = launch(t, kcat, "-b", broker, "-C", "-u", "-t", topic, "-o", "beginning", "-q", "-f", "%o %S\n")
	}
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatal("weir does not end")
	}
	if p.result != nil {
		t.Fatalf("%v: %s", p.result, p.err.String())
	}
	var last reported
	if err := json.Unmarshal(p.out.Bytes(), &last); err != nil {
		t.Fatalf("%v in %s", err, p.out.String())
	}
	counted := map[string]uint64{}
	for topic, reader := range readers {
		reader.kill()
		counted[topic] = uint64(bytes.Count(reader.out.Bytes(), []byte("\n")))
	}
	t.Logf("weir: %+v; kcat: %v", last.Pipeline, counted)
	if last.Pipeline.Predicted != counted[topicPredictions] || last.Pipeline.DeadLettered != counted[topicDeadLetters] ||
		last.Pipeline.Consumed != counted[topicEvents] || counted[topicEvents] != counted[topicPredictions]+counted[topicDeadLetters] ||
		counted[topicEvents] < 90_000 || counted[topicDeadLetters] < 500 || last.Pipeline.Lag != 0 {
		t.Error("the counts disagree")
	}
}

func needKcat(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("needs kcat")
	}
	return path
}

// kcatReads waits until kcat has read so many values of a topic.
func kcatReads(t *testing.T, kcat, broker, topic string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, kcat, "-b", broker, "-C", "-t", topic, "-o", "beginning", "-q", "-c", fmt.Sprint(n), "-f", "%s\n")
	c.Stderr = io.Discard
	out, err := c.Output()
	if err != nil {
		t.Fatalf("kcat read %q of %s: %v", out, topic, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// TestFirstFrame opens the console over the embedded world in a pseudo-terminal. The best of some tries counts: the
// promise is about the program, not about what else the machine does.
func TestFirstFrame(t *testing.T) {
	weir := build(t)
	if underRace {
		t.Skip("the race detector keeps no pace")
	}
	const promise = 300 * time.Millisecond
	best := time.Hour
	for range 8 {
		if best = min(best, firstFrame(t, weir)); best < promise {
			break
		}
	}
	t.Logf("the first frame after %s", best)
	if best > promise {
		t.Errorf("the first frame came after %s, want %s", best, promise)
	}
}

// firstFrame is the time from the start of weir demo until its first pane is drawn.
func firstFrame(t *testing.T, weir string) time.Duration {
	t.Helper()
	c := exec.Command(weir, "demo")
	c.Env = append(os.Environ(), "TERM=xterm-256color", "XDG_STATE_HOME="+t.TempDir())
	began := time.Now()
	terminal, err := pty.StartWithSize(c, &pty.Winsize{Rows: 36, Cols: 120})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	frame := make(chan time.Duration, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		var seen []byte
		drawn := false
		buffer := make([]byte, 1<<16)
		for {
			n, err := terminal.Read(buffer)
			if err != nil {
				return
			}
			if seen = append(seen, buffer[:n]...); !drawn && bytes.Contains(seen, []byte("Throughput")) {
				drawn = true
				frame <- time.Since(began)
			}
		}
	}()
	var took time.Duration
	select {
	case took = <-frame:
	case <-time.After(20 * time.Second):
		t.Error("no frame within 20 s")
	}
	_ = c.Process.Signal(os.Interrupt)
	if err := c.Wait(); err != nil {
		t.Errorf("weir demo: %v", err)
	}
	<-drained
	return took
}

// TestRunDemoStaysSmall looks at the memory of the first minute, in which caches and windows fill; ten minutes take half
// as much again.
func TestRunDemoStaysSmall(t *testing.T) {
	weir := build(t)
	if underRace {
		t.Skip("the race detector takes memory of its own")
	}
	t.Parallel()
	p := launch(t, weir, "run", "--demo", "--for", "1m")
	peak := 0
	for ended := false; !ended; {
		select {
		case <-p.ended:
			ended = true
		case <-time.After(500 * time.Millisecond):
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
			if err != nil {
				continue
			}
			var kb int
			if _, after, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
				_, _ = fmt.Sscan(string(after), &kb)
			}
			peak = max(peak, kb)
		}
	}
	if p.result != nil {
		t.Fatalf("%v: %s", p.result, p.err.String())
	}
	if peak == 0 {
		t.Skip("this system does not tell the memory of a process the way Linux does")
	}
	t.Logf("%d MB resident at most", peak/1000)
	if peak > 110_000 {
		t.Errorf("%d MB resident after a minute, want at most 110", peak/1000)
	}
}
