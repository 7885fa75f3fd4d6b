package kafka

import (
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/safego"
)

// panics are those of the goroutines that sarama's clients start. One that nobody recovers ends the process, and leaves
// a terminal raw. One that is recovered leaves a client that waits for the dead goroutine's work for ever.
var panics = listeners{of: make(map[*func(*safego.Panic)]struct{})}

func init() { sarama.PanicHandler = func(v any) { panics.tell(v) } } // process-wide

type listeners struct {
	mu   sync.Mutex
	of   map[*func(*safego.Panic)]struct{}
	ever bool
}

// OnPanic calls f with each panic of a goroutine that one of sarama's clients has started, from that goroutine, until
// stop is called. Whose client it was nobody can tell, so whoever has clients must give all of them up, and must not
// rely on that closing them returns. Before anybody ever listened a panic ends the process; afterwards, one that nobody
// hears is of a client that was given up.
func OnPanic(f func(*safego.Panic)) (stop func()) {
	panics.mu.Lock()
	defer panics.mu.Unlock()
	panics.of[&f], panics.ever = struct{}{}, true
	return func() {
		panics.mu.Lock()
		defer panics.mu.Unlock()
		delete(panics.of, &f)
	}
}

// tell is called with what was recovered, on the stack of what panicked.
func (l *listeners) tell(v any) {
	l.mu.Lock()
	ever, told := l.ever, make([]func(*safego.Panic), 0, len(l.of))
	for f := range l.of {
		told = append(told, *f)
	}
	l.mu.Unlock()
	if !ever {
		panic(v)
	}
	p := safego.Call(func() { panic(v) }) // its stack goes down to where it began
	for _, f := range told {
		f(p)
	}
}

// Watch hears of panics for somebody who waits for clients.
type Watch struct {
	mu    sync.Mutex
	first error         // what the first panic is told as
	heard chan struct{} // closed then
	stop  func()
}

// NewWatch hears of panics until Stop, and calls f with each unless it is nil.
func NewWatch(f func(*safego.Panic)) *Watch {
	w := &Watch{heard: make(chan struct{})}
	w.stop = OnPanic(func(p *safego.Panic) {
		if f != nil {
			f(p)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.first == nil {
			w.first = fmt.Errorf("a kafka client broke: %w", p)
			close(w.heard)
		}
	})
	return w
}

// Stop ends the watch.
func (w *Watch) Stop() { w.stop() }

// Outlast waits until ended is closed, though not for ever once a client has panicked: what waits for the goroutine that
// is gone does so without end. It calls hangUp after patience, and after patience again it tells that what it waited for
// is left behind.
func (w *Watch) Outlast(ended <-chan struct{}, patience time.Duration, hangUp func()) (left bool) {
	select {
	case <-ended:
		return false
	case <-w.heard:
	}
	for range 2 {
		select {
		case <-ended:
			return false
		case <-time.After(patience):
			hangUp()
		}
	}
	return true
}

// err is what the first panic is told as.
func (w *Watch) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}

// askPatience is how long what is asked of a client may take to end by itself after a panic, which may be another client's.
const askPatience = 5 * time.Second

// bounded calls f in a goroutine of its own and returns what it does, or the first panic where f does not end for it.
func bounded[T any](w *Watch, patience time.Duration, hangUp func(), f func() (T, error)) (answer T, left bool, err error) {
	type outcome struct {
		answer T
		err    error
		panic  *safego.Panic // of f itself, which is its caller's
	}
	done, ended := make(chan outcome, 1), make(chan struct{})
	go func() {
		defer close(ended)
		var o outcome
		o.panic = safego.Call(func() { o.answer, o.err = f() })
		done <- o
	}()
	if w.Outlast(ended, patience, hangUp) {
		return answer, true, w.err()
	}
	o := <-done
	if o.panic != nil {
		panic(o.panic)
	}
	return o.answer, false, o.err
}

// Bounded calls f with c by connections of its own and returns what it does, or an error where a client has panicked and
// f does not end for that. f is left behind then: nobody may read what it writes.
func Bounded[T any](c Cluster, f func(Cluster) (T, error)) (T, error) {
	apart, hangUp := c.Apart()
	defer hangUp()
	w := NewWatch(nil)
	defer w.Stop()
	answer, _, err := bounded(w, askPatience, hangUp, func() (T, error) { return f(apart) })
	return answer, err
}
