package kafka

import (
	"sync"

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
