package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const benchNodes = 10000

// BenchmarkRound is a round of "poll now" over 10,000 nodes on loopback, beside the article's aiohttp program on the
// same nodes. In "cold" every connection is new, as in the article, which opens a session for each round; in "kept"
// both keep their connections from the round before.
func BenchmarkRound(b *testing.B) {
	urls := startFleet(b, benchNodes)
	for _, mode := range []string{"cold", "kept"} {
		b.Run("weir/"+mode, func(b *testing.B) {
			e := benchEngine(b, urls)
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
		})
	}
	for mode, arg := range map[string]string{"cold": "article", "kept": "kept"} {
		b.Run("aiohttp/"+mode, func(b *testing.B) {
			round := startArticle(b, arg, urls)
			round() // its imports and first connections
			var seconds float64
			for b.Loop() {
				seconds += round()
			}
			b.ReportMetric(seconds/float64(b.N), "s/round")
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

// startArticle starts the article's program; each call of round is one of its rounds, in seconds.
func startArticle(b *testing.B, mode string, urls []string) (round func() float64) {
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
	return func() float64 {
		var seconds float64
		var good int
		line := ask("go")
		if _, err := fmt.Sscan(line, &seconds, &good); err != nil || good != len(urls) {
			b.Fatalf("aiohttp answered %q", line)
		}
		return seconds
	}
}
