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

// Timeline remembers the last Capacity snapshots. One writer appends; any number of cursors read.
type Timeline struct {
	mu   sync.RWMutex
	ring []*Snapshot // ring[(Seq-1) % Capacity]
	last uint64      // Seq of the newest, 0 when empty
}

// New makes an empty timeline.
func New() *Timeline { return &Timeline{ring: make([]*Snapshot, Capacity)} }

// Append adds the next snapshot and numbers it.
func (t *Timeline) Append(s *Snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	s.Seq = t.last
	t.ring[(s.Seq-1)%Capacity] = s
}

// Newest is the last snapshot, nil before the first.
func (t *Timeline) Newest() *Snapshot {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.last == 0 {
		return nil
	}
	return t.ring[(t.last-1)%Capacity]
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
func (t *Timeline) Until(seq uint64, n int) []*Snapshot {
	t.mu.RLock()
	defer t.mu.RUnlock()
	seq = min(seq, t.last)
	oldest := t.oldest()
	if seq == 0 || seq < oldest || n < 1 {
		return nil
	}
	from := oldest
	if uint64(n) < seq-oldest+1 {
		from = seq - uint64(n) + 1
	}
	out := make([]*Snapshot, 0, seq-from+1)
	for s := from; s <= seq; s++ {
		out = append(out, t.ring[(s-1)%Capacity])
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
		if t.ring[(mid-1)%Capacity].At.After(at) {
			high = mid - 1
		} else {
			low = mid
		}
	}
	return low
}
