// Package timeline holds the recent past: a [Snapshot] a tick, and the [Cursor] that walks over them.
package timeline

import (
	"sync"
	"time"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/host"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/safetext"
)

// Snapshot is everything the console can show about one instant. It is immutable.
type Snapshot struct {
	// Seq numbers the snapshots of one runtime from 1, without gaps.
	Seq  uint64
	At   time.Time
	Tick time.Duration // the time from one snapshot to the next
	// World is "demo" or empty; Group the consumer group.
	World, Group safetext.Text

	// An engine that is not configured leaves its snapshot nil.
	Pipeline *pipeline.Snapshot
	Edge     *edge.Snapshot
	Mesh     *mesh.Snapshot
	Host     *host.Snapshot

	Engines []Engine
	// Events are the recent events of all engines and commands, oldest first, at most KeepEvents.
	Events []event.Event
	// Incidents are what is wrong, the most important first, then what has ended within the last hour.
	Incidents []Incident
	// Faults are the demo world's faults in force; nil outside the demo.
	Faults []Fault
}

// KeepEvents is how many events a snapshot carries.
const KeepEvents = 200

// Engine is the supervisor's view of one engine.
type Engine struct {
	Name     string
	State    EngineState
	Since    time.Time
	Restarts int
	RetryAt  time.Time // when a failed engine is started again
	Error    safetext.Text
}

// PipelineStopped tells whether the pipeline has stopped since its engine was started. One that has not begun yet is
// not there either, but nothing is wrong with it.
func (s *Snapshot) PipelineStopped() bool {
	p := s.Pipeline
	if p == nil || p.State != pipeline.Stopped {
		return false
	}
	for i := range s.Engines {
		if e := &s.Engines[i]; e.Name == "pipeline" {
			return e.State == EngineRunning && !p.Since.Before(e.Since)
		}
	}
	return true
}

// EngineState says whether an engine runs.
type EngineState string

// The states of an engine.
const (
	EngineRunning EngineState = "running"
	EngineFailed  EngineState = "failed" // it will be started again at RetryAt
	EngineStopped EngineState = "stopped"
)

// Fault is one fault of the demo world in force.
type Fault struct {
	Name  string
	Since time.Time
	Until time.Time // zero: until it is cleared
}

// Capacity is how many snapshots a Timeline remembers: an hour at one a second.
const Capacity = 3600

// How many of the newest snapshots are kept as they came before they are packed: as many as fit into wholeBytes, but at
// least leastWholes and at most mostWholes.
const (
	leastWholes = 30
	mostWholes  = 300
	wholeBytes  = 8 << 20
)

// Timeline remembers the last Capacity snapshots. One writer appends; any number of cursors read.
//
// An hour of a large fleet would not fit into memory as it is. So only the newest snapshots are kept as they came; of
// the others there is what charts are drawn from (see lean), and the whole of it packed, to be unpacked when a cursor
// stands on it.
type Timeline struct {
	mu     sync.RWMutex
	ring   []entry // ring[(Seq-1) % Capacity]
	last   uint64  // Seq of the newest, 0 when empty
	events eventLog

	packer   packer   // the writer's
	wholes   uint64   // the writer's: how many are whole now
	unpacker unpacker // has a lock of its own
}

// entry is one snapshot: whole, or lean with the whole packed beside it.
type entry struct {
	snapshot *Snapshot
	packed   *packed // nil while snapshot is whole
}

// New makes an empty timeline.
func New() *Timeline { return &Timeline{ring: make([]entry, Capacity)} }

// Append adds the next snapshot and numbers it. Only one goroutine may append.
func (t *Timeline) Append(s *Snapshot) {
	t.mu.Lock()
	t.last++
	s.Seq = t.last
	t.ring[(s.Seq-1)%Capacity] = entry{snapshot: s}
	t.events.add(s.Events, t.oldestEvent())
	t.mu.Unlock()
	// Packing takes a while: readers are kept out only while the entry is swapped.
	for t.wholes++; t.wholes > t.mostWholes(); t.wholes-- {
		at := (t.last - t.wholes) % Capacity
		old := t.ring[at].snapshot
		p, err := t.packer.pack(old)
		if err != nil {
			continue // it stays whole
		}
		t.mu.Lock()
		t.ring[at] = entry{snapshot: lean(old), packed: p}
		t.mu.Unlock()
	}
}

// mostWholes is how many snapshots may stay whole, going by the size of the last one that was packed.
func (t *Timeline) mostWholes() uint64 {
	if size := len(t.packer.value); size > 0 {
		return uint64(min(max(wholeBytes/(inMemory*size), leastWholes), mostWholes))
	}
	return leastWholes // the first to be packed tells the size
}

// inMemory is about how many bytes a snapshot takes in memory for each byte it is written in.
const inMemory = 3

// oldestEvent is the number of the oldest event that a remembered snapshot shows.
func (t *Timeline) oldestEvent() uint64 {
	e := t.ring[(t.oldest()-1)%Capacity]
	if e.packed != nil {
		return e.packed.firstEvent
	}
	if len(e.snapshot.Events) > 0 {
		return e.snapshot.Events[0].Seq
	}
	return 0
}

// Newest is the last snapshot, nil before the first.
func (t *Timeline) Newest() *Snapshot {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.last == 0 {
		return nil
	}
	return t.ring[(t.last-1)%Capacity].snapshot
}

// Bounds are the oldest and newest sequence numbers remembered, 0 and 0 when empty.
func (t *Timeline) Bounds() (oldest, newest uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.oldest(), t.last
}

func (t *Timeline) oldest() uint64 {
	if t.last > Capacity {
		return t.last - Capacity + 1
	}
	return min(t.last, 1)
}

// Until is the n snapshots up to and including seq, oldest first; fewer when the timeline does not remember as many.
// The last one is whole. Of the others, those that are not among the newest are lean: they have the pipeline without
// its dead letters, and the host, which is what charts are drawn from, and neither fleet nor products nor events.
func (t *Timeline) Until(seq uint64, n int) []*Snapshot {
	t.mu.RLock()
	seq = min(seq, t.last)
	oldest := t.oldest()
	if seq == 0 || seq < oldest || n < 1 {
		t.mu.RUnlock()
		return nil
	}
	from := oldest
	if uint64(n) < seq-oldest+1 {
		from = seq - uint64(n) + 1
	}
	out := make([]*Snapshot, 0, seq-from+1)
	for s := from; s <= seq; s++ {
		out = append(out, t.ring[(s-1)%Capacity].snapshot)
	}
	p := t.ring[(seq-1)%Capacity].packed
	var events []event.Event
	if p != nil {
		events = t.events.between(p.firstEvent, p.lastEvent)
	}
	t.mu.RUnlock()
	if p == nil {
		return out
	}
	if whole, err := t.unpacker.unpack(p); err == nil {
		s := *whole
		s.Events = events
		out[len(out)-1] = &s
	}
	return out
}

// Find is the sequence number of the last snapshot taken at or before at; the oldest one when all are later, and 0
// when the timeline is empty.
func (t *Timeline) Find(at time.Time) uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	low, high := t.oldest(), t.last
	for low < high {
		mid := low + (high-low+1)/2
		if t.ring[(mid-1)%Capacity].snapshot.At.After(at) {
			high = mid - 1
		} else {
			low = mid
		}
	}
	return low
}
