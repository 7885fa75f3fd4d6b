package safego

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// boom panics where a stack can name it.
func boom() { panic(io.EOF) }

func TestAPanicIsAnError(t *testing.T) {
	p := Call(boom)
	if p == nil || p.Error() != "panic: EOF" || !bytes.Contains(p.Stack, []byte("safego.boom")) {
		t.Fatalf("%v", p)
	}
	if errors.Is(p, io.EOF) {
		t.Error("a panic with io.EOF passes for the end of a file")
	}
	if again := Call(func() { panic(p) }); again != p {
		t.Errorf("passed on it became %v", again)
	}
	if none := Call(func() {}); none != nil {
		t.Errorf("without a panic: %v", none)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Error("failed", "error", p)
	if !strings.Contains(log.String(), "error.panic=EOF") || !strings.Contains(log.String(), "safego.boom") {
		t.Errorf("the log says %s", log.String())
	}
}

func TestAGroupHasTheFirstPanic(t *testing.T) {
	var g Group
	g.Go(func() {})
	g.Wait()
	if err := g.Err(); err != nil {
		t.Errorf("without a panic: %v", err)
	}
	ended := make(chan struct{})
	told := make(chan *Panic, 2)
	g.Failed = func(p *Panic) {
		<-ended // what was deferred is done
		told <- p
	}
	g.Go(func() {
		defer close(ended)
		boom()
	})
	g.Wait()
	g.Do(func() { panic("later") })
	var p *Panic
	if !errors.As(g.Err(), &p) || p.Error() != "panic: EOF" || p != <-told || (<-told).Value != "later" {
		t.Errorf("got %v", g.Err())
	}
}
