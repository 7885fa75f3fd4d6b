// Package safego starts goroutines whose panics are errors. A panic that nobody recovers in its own goroutine ends the
// process, every engine with it, and leaves the terminal raw; recovered here, it ends what the goroutine worked for.
package safego

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Panic is the error that a panic became.
type Panic struct {
	Value any    // what it was called with
	Stack []byte // of its goroutine
}

// Error is one line, for a console. It wraps nothing: a panic with an error is not that error.
func (p *Panic) Error() string { return fmt.Sprintf("panic: %v", p.Value) }

// LogValue gives a log the stack as well.
func (p *Panic) LogValue() slog.Value {
	return slog.GroupValue(slog.String("panic", fmt.Sprint(p.Value)), slog.String("stack", string(p.Stack)))
}

// Call calls f and returns its panic, nil when it had none. A Panic that f passes on stays what it was.
func Call(f func()) (p *Panic) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *Panic:
			p = v
		default:
			p = &Panic{v, debug.Stack()}
		}
	}()
	f()
	return nil
}

// Group is goroutines that somebody waits for. The zero Group is ready.
type Group struct {
	// Failed, if set, is called with each panic, from the goroutine that had it, its deferred calls done.
	Failed func(*Panic)

	running sync.WaitGroup
	first   atomic.Pointer[Panic]
}

// Go runs f in a goroutine. A panic of it is the group's.
func (g *Group) Go(f func()) { g.running.Go(func() { g.Do(f) }) }

// Do calls f. A panic of it is the group's.
func (g *Group) Do(f func()) {
	if p := Call(f); p != nil {
		g.Fail(p)
	}
}

// Fail makes a panic the group's.
func (g *Group) Fail(p *Panic) {
	g.first.CompareAndSwap(nil, p)
	if g.Failed != nil {
		g.Failed(p)
	}
}

// Wait waits until every goroutine has ended.
func (g *Group) Wait() { g.running.Wait() }

// Err is the first panic, a *Panic; nil while there was none.
func (g *Group) Err() error {
	if p := g.first.Load(); p != nil {
		return p
	}
	return nil
}
