package demo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// FaultState is a fault that is on or will be.
type FaultState struct {
	Name  string
	Since time.Time // in the future while it is only scheduled
	Until time.Time // zero: until cleared
}

// Fault is a fault as a person asks for it.
type Fault struct {
	Name  string
	After time.Duration // from now; 0: at once
	For   time.Duration // 0: until cleared
}

// ErrUnknownFault is the error of a name that is not a fault's.
var ErrUnknownFault = errors.New("unknown fault")

// ErrNotInjected is the error of clearing a fault that is neither on nor scheduled.
var ErrNotInjected = errors.New("not injected")

type faultID int

// The faults, in the order they are listed.
const (
	brokerDown faultID = iota
	brokerSlow
	poisonEvents
	nullsSpike
	schemaBreak
	trafficDrop
	trafficSpike
	hotPartitionOn
	featuresDown
	featuresSlow
	featuresMissing
	drift
	nodeDown
	nodeSlowly
	nodeStale
	nodeGarbage
	nodeFlap
	siteDown
	cloudDown
	clockSkew
	faultCount
)

var faultTable = [faultCount]struct{ name, text string }{
	brokerDown:      {"broker-down", "the broker refuses connections and drops those it has; it keeps its data and comes back on the same address"},
	brokerSlow:      {"broker-slow", "every answer of the broker takes 300 ms longer"},
	poisonEvents:    {"poison-events", "3 % of the events are garbage: cut short, not JSON, without a user, or made to attack a terminal"},
	nullsSpike:      {"null-spike", "the e-mail goes missing from a fifth of the events, which breaks the contract of commerce/user_events"},
	schemaBreak:     {"schema-break", "a release renames session_id to sessionId and writes amounts as text"},
	trafficDrop:     {"traffic-drop", "a tenth of the usual events comes"},
	trafficSpike:    {"traffic-spike", "four times the usual events come"},
	hotPartitionOn:  {"hot-partition", "a producer sends 70 % of the events to partition 3"},
	featuresDown:    {"features-down", "the feature store refuses connections"},
	featuresSlow:    {"features-slow", "every answer of the feature store takes 350 ms longer"},
	featuresMissing: {"features-missing", "a fifth of the users has a hole in what the feature store knows of them"},
	drift:           {"drift", "people click and buy more than those the model was trained on"},
	nodeDown:        {"node-down", "one edge node refuses connections"},
	nodeSlowly:      {"node-slow", "one edge node answers 700 ms late"},
	nodeStale:       {"node-stale", "two edge nodes answer, but their data no longer change"},
	nodeGarbage:     {"node-garbage", "one edge node answers with things that are no summary"},
	nodeFlap:        {"node-flap", "one edge node drops its connections for 4 s, answers for 4 s, and so on"},
	siteDown:        {"site-down", "every edge node of one site refuses connections"},
	cloudDown:       {"cloud-down", "the cloud endpoint refuses connections"},
	clockSkew:       {"clock-skew", "the clock of one edge node runs ten minutes ahead"},
}

// FaultNames are the names of all faults.
func FaultNames() []string {
	names := make([]string, faultCount)
	for id, f := range faultTable {
		names[id] = f.name
	}
	return names
}

// DescribeFault says in a sentence, without its full stop, what a fault does to the world; it is empty for a name that
// is not a fault's.
func DescribeFault(name string) string {
	if id, err := findFault(name); err == nil {
		return faultTable[id].text
	}
	return ""
}

// ParseFault reads NAME[@AFTER[+FOR]], such as node-down, node-down@10s or node-down@10s+1m.
func ParseFault(s string) (Fault, error) {
	name, when, scheduled := strings.Cut(s, "@")
	f := Fault{Name: name}
	if _, err := findFault(name); err != nil {
		if base, _, ok := strings.Cut(name, "+"); ok {
			if _, err := findFault(base); err == nil {
				return Fault{}, fmt.Errorf("fault %q: a length needs a beginning: write %s@0s+%s", s, base, name[len(base)+1:])
			}
		}
		return Fault{}, err
	}
	if !scheduled {
		return f, nil
	}
	after, length, bounded := strings.Cut(when, "+")
	var err error
	if f.After, err = time.ParseDuration(after); err != nil || f.After < 0 {
		return Fault{}, fmt.Errorf("fault %q: expected when it begins after the @, such as %s@10s, found %q", s, name, after)
	}
	if !bounded {
		return f, nil
	}
	if f.For, err = time.ParseDuration(length); err != nil || f.For <= 0 {
		return Fault{}, fmt.Errorf("fault %q: expected how long it lasts after the +, such as %s@%s+30s, found %q", s, name, after, length)
	}
	return f, nil
}

// String is the fault in the form ParseFault reads.
func (f Fault) String() string {
	switch {
	case f.For > 0:
		return fmt.Sprintf("%s@%s+%s", f.Name, f.After, f.For)
	case f.After > 0:
		return fmt.Sprintf("%s@%s", f.Name, f.After)
	}
	return f.Name
}

// KnownFault is ErrUnknownFault, with the name that may have been meant, if there is no fault of that name.
func KnownFault(name string) error {
	_, err := findFault(name)
	return err
}

func findFault(name string) (faultID, error) {
	for id, f := range faultTable {
		if f.name == name {
			return faultID(id), nil
		}
	}
	if near := nearest(name); near != "" {
		return 0, fmt.Errorf("%w %q: did you mean %s?", ErrUnknownFault, name, near)
	}
	return 0, fmt.Errorf("%w %q: there are %s", ErrUnknownFault, name, strings.Join(FaultNames(), " "))
}

// nearest is the fault whose name is nearest to a misspelt one, or empty when none is near.
func nearest(name string) string {
	best, at := "", 4 // edits beyond which a name is another name
	for _, f := range faultTable {
		if d := distance(name, f.name); d < at && d <= len(f.name)/3 {
			best, at = f.name, d
		}
	}
	return best
}

// distance counts the edits (one byte inserted, removed or replaced) between two names.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// schedule knows which faults are on. Servers ask it at every request, so asking is cheap.
type schedule struct {
	since   [faultCount]atomic.Int64 // Unix nanoseconds since when it is on; 0: off
	changed func()                   // called after faults went on or off, never twice at once

	mu      sync.Mutex
	entries [faultCount]*entry
	closed  bool

	applying sync.Mutex // held around changed
}

type entry struct {
	FaultState
	timers []*time.Timer
}

// on tells whether a fault is on, and since when.
func (s *schedule) on(id faultID) (time.Time, bool) {
	n := s.since[id].Load()
	return time.Unix(0, n), n != 0
}

func (s *schedule) isOn(id faultID) bool { return s.since[id].Load() != 0 }

// inject schedules a fault in place of what was scheduled of it.
func (s *schedule) inject(id faultID, after, length time.Duration) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.forget(id)
	now := time.Now()
	e := &entry{FaultState: FaultState{Name: faultTable[id].name, Since: now.Add(max(0, after))}}
	s.entries[id] = e
	if length > 0 {
		e.Until = e.Since.Add(length)
		e.timers = append(e.timers, time.AfterFunc(e.Until.Sub(now), func() { s.end(id, e) }))
	}
	if after > 0 {
		e.timers = append(e.timers, time.AfterFunc(after, func() { s.begin(id, e) }))
		s.since[id].Store(0)
	} else {
		s.since[id].Store(e.Since.UnixNano())
	}
	s.mu.Unlock()
	s.apply()
}

func (s *schedule) begin(id faultID, e *entry) {
	s.mu.Lock()
	if s.entries[id] == e {
		s.since[id].Store(e.Since.UnixNano())
	}
	s.mu.Unlock()
	s.apply()
}

func (s *schedule) end(id faultID, e *entry) {
	s.mu.Lock()
	if s.entries[id] == e {
		s.entries[id] = nil
		s.since[id].Store(0)
	}
	s.mu.Unlock()
	s.apply()
}

// clear ends a fault; it is false when there was none.
func (s *schedule) clear(id faultID) bool {
	s.mu.Lock()
	was := s.entries[id] != nil
	s.forget(id)
	s.since[id].Store(0)
	s.mu.Unlock()
	s.apply()
	return was
}

// forget is called with mu held.
func (s *schedule) forget(id faultID) {
	if e := s.entries[id]; e != nil {
		for _, t := range e.timers {
			t.Stop()
		}
	}
	s.entries[id] = nil
}

func (s *schedule) apply() {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.changed()
}

// list is what is on or scheduled, by its beginning.
func (s *schedule) list() []FaultState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var states []FaultState
	for _, e := range s.entries {
		if e != nil {
			states = append(states, e.FaultState)
		}
	}
	slices.SortStableFunc(states, func(a, b FaultState) int { return a.Since.Compare(b.Since) })
	return states
}

// close stops every timer; nothing begins or ends any more.
func (s *schedule) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for id := range s.entries {
		s.forget(faultID(id))
	}
}
