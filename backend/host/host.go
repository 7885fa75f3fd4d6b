package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"weir/backend/safetext"
)

// The bounds of a reading.
const (
	DefaultInterval = time.Second
	DefaultDeadline = 800 * time.Millisecond
)

// Config says what to read and how often. The zero Config is ready.
type Config struct {
	Folder   string        // whose file system Disk* describes; default: the working folder
	Interval time.Duration // default: DefaultInterval
	Deadline time.Duration // what one round of readings may take; default: DefaultDeadline
}

// Engine reads the machine and this process once an interval.
//
// Every kind of reading (CPU, memory, disk, …) is on its own: one that fails or hangs, such as a disk whose server went
// away, leaves its own figures unknown and is named in Snapshot.Error, and the others go on.
type Engine struct {
	interval, deadline time.Duration
	name               safetext.Text
	sensors            []*sensor
	latest             atomic.Pointer[Snapshot]
}

// New makes an engine; Run starts it.
func New(c Config) *Engine {
	return newEngine(c, systemSensors(cmp.Or(c.Folder, ".")))
}

func newEngine(c Config, sensors []*sensor) *Engine {
	name, _ := os.Hostname() // without a name the machine stays nameless
	e := &Engine{
		interval: cmp.Or(c.Interval, DefaultInterval),
		deadline: cmp.Or(c.Deadline, DefaultDeadline),
		name:     safetext.Clean(name),
		sensors:  sensors,
	}
	e.latest.Store(e.unknown())
	return e
}

// Snapshot is the last round of readings. It is never nil and safe at any time; before the first round all is unknown.
func (e *Engine) Snapshot() *Snapshot { return e.latest.Load() }

// Run reads until ctx ends, and returns nil then. A reading that hangs in the system outlives it: nothing can end
// that, and it is not started a second time.
func (e *Engine) Run(ctx context.Context) error {
	ticker := time.NewTicker(e.interval)
	defer ticker.Stop()
	for {
		if s := e.round(ctx); ctx.Err() == nil {
			e.latest.Store(s)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// round starts every sensor that is not still busy with an earlier round, and waits for them until the deadline.
func (e *Engine) round(ctx context.Context) *Snapshot {
	ctx, cancel := context.WithTimeout(ctx, e.deadline)
	defer cancel()
	late := time.NewTimer(e.deadline)
	defer late.Stop()

	answers := make(chan answer, len(e.sensors))
	waiting := make(map[*sensor]bool, len(e.sensors))
	var problems []string
	for _, s := range e.sensors {
		if !s.busy.CompareAndSwap(false, true) {
			problems = append(problems, s.name+": still no answer to an earlier reading")
			continue
		}
		waiting[s] = true
		go func() { answers <- s.ask(ctx) }()
	}

	snapshot := e.unknown()
	for len(waiting) > 0 {
		select {
		case a := <-answers:
			delete(waiting, a.from)
			if a.apply != nil {
				a.apply(snapshot)
			}
			if a.err != nil {
				problems = append(problems, fmt.Sprintf("%s: %v", a.from.name, a.err))
			}
		case <-late.C:
			for _, s := range e.sensors {
				if waiting[s] {
					problems = append(problems, fmt.Sprintf("%s: no answer within %v", s.name, e.deadline))
				}
			}
			clear(waiting)
		}
	}
	snapshot.At = time.Now()
	snapshot.Error = safetext.Clean(strings.Join(problems, "; "))
	return snapshot
}

// unknown is a snapshot that knows nothing but the machine's name.
func (e *Engine) unknown() *Snapshot {
	nan := math.NaN()
	return &Snapshot{
		Name: e.name, CPUPercent: nan, Cores: -1, Load1: nan, MemoryPercent: nan, DiskPercent: nan,
		NetReceived: nan, NetSent: nan,
		Process: Process{CPUPercent: nan, Goroutines: -1, FileHandles: -1},
	}
}

// sensor is one kind of reading. Its read is never called twice at once, so it may keep the previous reading.
type sensor struct {
	name string
	// read takes a reading and tells how it goes into a snapshot. It may return both, when only a part failed.
	read func(context.Context) (func(*Snapshot), error)
	busy atomic.Bool
}

type answer struct {
	from  *sensor
	apply func(*Snapshot)
	err   error
}

func (s *sensor) ask(ctx context.Context) (a answer) {
	a.from = s
	defer s.busy.Store(false)
	defer func() {
		if r := recover(); r != nil { // a parser of the system's files met something new
			a.apply, a.err = nil, fmt.Errorf("the reading panicked: %v", r)
		}
	}()
	a.apply, a.err = s.read(ctx)
	if a.err != nil && errors.Is(a.err, context.Canceled) {
		a.err = errors.New("interrupted")
	}
	return a
}
