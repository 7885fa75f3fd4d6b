package edge

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benchNodes is how many nodes the benchmarks ask: 10,000, or 1,000 with -short, whose figures only show that they run.
func benchNodes() int {
	if testing.Short() {
		return 1000
	}
	return 10_000
}

// BenchmarkRound is a round of "poll now" over 10,000 nodes on loopback, beside the article's aiohttp program on the
// same nodes. In "cold" every connection is new, as in the article, which opens a session for each round; in "kept"
// both keep their connections from the round before. In "gateway" all nodes are paths of one address, and connections
// are kept: the fewest connections there can be, and aiohttp's best case.
func BenchmarkRound(b *testing.B) {
	hosts := startFleet(b, benchNodes())
	paths := make([]string, len(hosts))
	for i := range paths {
		paths[i] = fmt.Sprintf("%s/node-%d", hosts[0], i)
	}
	for _, mode := range []string{"cold", "kept", "gateway"} {
		urls := hosts
		if mode == "gateway" {
			urls = paths
		}
		b.Run("weir/"+mode, func(b *testing.B) {
			e := benchEngine(b, urls)
			before := processorTime()
			for b.Loop() {
				if mode == "cold" {
					b.StopTimer()
					e.poller.close()
					b.StartTimer()
				}
				if err := e.PollNow(b.Context()); err != nil {
					b.Fatal(err)
				}
				if s := e.Snapshot(); s.Reporting != len(urls) {
					b.Fatalf("%d of %d report: %v", s.Reporting, len(urls), s.ByState)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/round")
			b.ReportMetric((processorTime()-before).Seconds()/float64(b.N), "cpu-s/round")
			b.ReportMetric(0, "ns/op")
		})
		b.Run("aiohttp/"+mode, func(b *testing.B) {
			arg := "kept"
			if mode == "cold" {
				arg = "article"
			}
			round := startArticle(b, arg, urls)
			if mode != "cold" {
				round() // its first connections
			}
			var seconds, cpu float64
			for b.Loop() {
				s, c := round()
				seconds, cpu = seconds+s, cpu+c
			}
			b.ReportMetric(seconds/float64(b.N), "s/round")
			b.ReportMetric(cpu/float64(b.N), "cpu-s/round")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// benchEngine runs an engine that polls only when asked to, after a first round.
func benchEngine(b *testing.B, urls []string) *Engine {
	b.Helper()
	e, err := New(Config{Nodes: urls, Poll: time.Hour, Timeout: 30 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	<-e.firstRound
	return e
}

// startArticle starts the article's program; each call of round is one of its rounds: its seconds, and its processor
// seconds, which a busy machine does not change.
func startArticle(b *testing.B, mode string, urls []string) (round func() (seconds, cpu float64)) {
	b.Helper()
	if err := exec.CommandContext(b.Context(), "python3", "-c", "import aiohttp").Run(); err != nil {
		b.Skip("python3 with aiohttp is not installed: pip install aiohttp")
	}
	cmd := exec.CommandContext(b.Context(), "python3", "testdata/article_poller.py", mode)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	ask := func(text string) string {
		if _, err := io.WriteString(in, text+"\n"); err != nil {
			b.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		return line
	}
	ask(strings.Join(urls, " "))
	return func() (seconds, cpu float64) {
		var good int
		line := ask("go")
		if _, err := fmt.Sscan(line, &seconds, &cpu, &good); err != nil || good != len(urls) {
			b.Fatalf("aiohttp answered %q", line)
		}
		return seconds, cpu
	}
}

// BenchmarkSteady polls 10,000 nodes every 15 s in a process of its own, which takes a snapshot each second as the
// runtime does, and measures a whole interval after the first: processor time as a share of one core, and memory. One
// operation is one interval. With -short the interval is 3 s.
func BenchmarkSteady(b *testing.B) {
	urls, poll := startFleet(b, benchNodes()), DefaultPoll
	if testing.Short() {
		poll = 3 * time.Second
	}
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	var cpu, rss float64
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), exe)
		cmd.Env = append(os.Environ(), steadyEnv+"="+poll.String())
		cmd.Stdin = strings.NewReader(strings.Join(urls, "\n"))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		var c, r float64
		var polls int
		if _, err := fmt.Sscan(string(out), &c, &r, &polls); err != nil || polls < len(urls)*9/10 {
			b.Fatalf("the process says %q", out)
		}
		cpu, rss = cpu+c, max(rss, r)
	}
	b.ReportMetric(cpu/float64(b.N), "cpu%")
	b.ReportMetric(rss, "MB")
}

// steadyEnv tells the process BenchmarkSteady measures how often to poll.
const steadyEnv = "WEIR_EDGE_STEADY"

// steady is that process. It prints its share of one core, its memory, and its polls.
func steady() {
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	poll, err := time.ParseDuration(os.Getenv(steadyEnv))
	if err != nil {
		panic(err)
	}
	e, err := New(Config{Nodes: strings.Fields(string(in)), Poll: poll})
	if err != nil {
		panic(err)
	}
	go func() { panic(e.Run(context.Background())) }()
	<-e.firstRound
	settle := time.After(poll + time.Second)
	<-settle
	count := func() int {
		e.mu.Lock()
		defer e.mu.Unlock()
		polls := 0
		for _, n := range e.nodes {
			polls += len(n.past.polls)
		}
		return polls
	}
	before, polls := processorTime(), count()
	for range int(poll / time.Second) {
		time.Sleep(time.Second)
		if s := e.Snapshot(); s.Reporting != s.Nodes {
			panic(fmt.Sprint(s.ByState))
		}
	}
	used := processorTime() - before
	fmt.Printf("%.2f %.1f %d\n", 100*used.Seconds()/poll.Seconds(), residentMB(), count()-polls)
	os.Exit(0)
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func residentMB() float64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	var size, resident float64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		panic(err)
	}
	return resident * float64(os.Getpagesize()) / 1e6
}

// BenchmarkOutbox is one durable aggregate of a fleet of 14 an operation: packed, and on the disk when it returns.
func BenchmarkOutbox(b *testing.B) {
	o, _, err := openOutbox(b.Context(), filepath.Join(b.TempDir(), "o.db"), 1<<40, time.Hour, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = o.close() }()
	a := aggregate{EdgeNodes: 14, NodeData: make([]aggregateNode, 14)}
	for b.Loop() {
		body, err := pack(a)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := o.put(b.Context(), body, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "aggregates/s")
}

// BenchmarkSync is what the disk under BenchmarkOutbox gives at best: 4 KiB appended and synced an operation.
func BenchmarkSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	for b.Loop() {
		if _, err := f.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
}

// BenchmarkDrain empties an outbox of 100,000 waiting aggregates (5,000 with -short) into a cloud that answers after 1 ms.
func BenchmarkDrain(b *testing.B) {
	waiting := 100_000
	if testing.Short() {
		waiting = 5000
	}
	cloud := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(time.Millisecond)
	}))
	defer cloud.Close()
	for b.Loop() {
		b.StopTimer()
		path := filepath.Join(b.TempDir(), "o.db")
		fillQuickly(b, path, waiting)
		e, err := New(Config{Outbox: path, Cloud: &CloudConfig{URL: cloud.URL, Every: time.Hour}})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error)
		b.StartTimer()
		go func() { done <- e.Run(ctx) }()
		for e.Snapshot().Cloud.Synced < uint64(waiting) {
			time.Sleep(10 * time.Millisecond)
		}
		b.StopTimer()
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(waiting)*float64(b.N)/b.Elapsed().Seconds(), "aggregates/s")
}

// fillQuickly fills an outbox in one transaction, which weir itself never does.
func fillQuickly(b *testing.B, path string, n int) {
	b.Helper()
	o, _, err := openOutbox(b.Context(), path, DefaultMaxBytes, DefaultMaxAge, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	body, err := pack(aggregate{EdgeNodes: 14, NodeData: make([]aggregateNode, 14)})
	if err != nil {
		b.Fatal(err)
	}
	err = transact(b.Context(), o.db, func(tx *sql.Tx) error {
		for range n {
			if _, err := tx.ExecContext(b.Context(), `INSERT INTO outbox (made_at, body, ran) VALUES (?, ?, 0)`, time.Now().UnixMilli(), body); err != nil {
				return err
			}
		}
		return nil
	})
	if err = errors.Join(err, o.close()); err != nil {
		b.Fatal(err)
	}
}
