package edge

import (
	"fmt"
	"time"

	"weir/backend/safetext"
)

// Bounds of a node's history.
const (
	KeepPolls   = 60 // polls remembered of each node
	keepErrors  = 8
	keepChanges = 8
	keepAnswer  = 512 // bytes of the last answer
	// watchFor is how long a node's history stays in the snapshots after the last call of Watch.
	watchFor   = time.Minute
	maxWatched = 16
)

// History is what is remembered of one node. It is immutable.
type History struct {
	URL     safetext.Text
	Polls   []Poll       // oldest first, at most KeepPolls
	Errors  []NodeError  // oldest first, the last few
	Changes []NodeChange // of state, oldest first, the last few
	// Answer is the beginning of the last answer that had a body, whatever it was.
	Answer safetext.Text
}

// Poll is one poll of a node.
type Poll struct {
	At          time.Time
	LatencyMS   float64
	State       State // what the answer said, flapping left out
	StatusCode  int   // 0 without an answer
	RecordCount int64 // 0 unless the answer was valid
	Quality     float64
}

// NodeError is one reason why a node was not ok.
type NodeError struct {
	At     time.Time
	Reason safetext.Text
}

// NodeChange is one change of a node's state.
type NodeChange struct {
	At       time.Time
	From, To State
	Reason   safetext.Text
}

// past is a node's history as it is kept: small, for there may be ten thousand.
type past struct {
	polls   []pollRow // a ring once it is full
	next    int       // where the ring's oldest is
	errors  []NodeError
	changes []NodeChange
	answer  []byte
}

type pollRow struct {
	at      int64 // Unix milliseconds
	records int64
	quality float32
	latency float32 // milliseconds
	status  uint16
	state   uint8 // an index of stateNames
}

var stateNames = [...]State{Unknown, OK, Slow, Stale, Skewed, Invalid, Down, Flapping, Quarantined}

func stateIndex(s State) uint8 {
	for i, name := range stateNames {
		if name == s {
			return uint8(i)
		}
	}
	return 0
}

// add notes one poll.
func (p *past) add(a answer, v verdict, now time.Time) {
	row := pollRow{at: now.UnixMilli(), latency: float32(a.latency.Seconds() * 1e3), status: uint16(a.status), state: stateIndex(v.state)}
	if v.valid {
		row.records, row.quality = v.sum.RecordCount, float32(v.sum.Quality)
	}
	if len(p.polls) < KeepPolls {
		p.polls = append(p.polls, row)
	} else {
		p.polls[p.next] = row
		p.next = (p.next + 1) % KeepPolls
	}
	if len(a.body) > 0 {
		p.answer = append(p.answer[:0], a.body[:min(len(a.body), keepAnswer)]...)
	}
}

func (p *past) addError(now time.Time, reason safetext.Text) {
	if n := len(p.errors); n > 0 && p.errors[n-1].Reason == reason {
		p.errors[n-1].At = now
		return
	}
	if len(p.errors) == keepErrors {
		p.errors = append(p.errors[:0], p.errors[1:]...)
	}
	p.errors = append(p.errors, NodeError{At: now, Reason: reason})
}

func (p *past) addChange(c NodeChange) {
	if len(p.changes) == keepChanges {
		p.changes = append(p.changes[:0], p.changes[1:]...)
	}
	p.changes = append(p.changes, c)
}

// history is a copy that nothing changes any more.
func (n *node) history() *History {
	p := &n.past
	h := &History{
		URL:     n.pub.URL,
		Polls:   make([]Poll, 0, len(p.polls)),
		Errors:  append([]NodeError(nil), p.errors...),
		Changes: append([]NodeChange(nil), p.changes...),
		Answer:  safetext.Bytes(p.answer, keepAnswer),
	}
	for i := range p.polls {
		r := p.polls[(p.next+i)%len(p.polls)]
		h.Polls = append(h.Polls, Poll{
			At: time.UnixMilli(r.at), LatencyMS: float64(r.latency), State: stateNames[r.state],
			StatusCode: int(r.status), RecordCount: r.records, Quality: float64(r.quality),
		})
	}
	return h
}

// History is what is remembered of the node with that URL.
func (e *Engine) History(url string) (*History, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.byURL[url]
	if n == nil {
		return nil, false
	}
	return n.history(), true
}

// Watch puts a node's history into the snapshots of the next minute. A console calls it while somebody looks.
func (e *Engine) Watch(url string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.byURL[url]
	if n == nil {
		return fmt.Errorf("%w: %q", ErrNoNode, url)
	}
	if _, ok := e.watched[n]; ok || len(e.watched) < maxWatched {
		e.watched[n] = e.cfg.Now().Add(watchFor)
	}
	return nil
}

// watchedNow is the histories that somebody looks at, nil when nobody does. The caller holds the mutex.
func (e *Engine) watchedNow(now time.Time) map[string]*History {
	var out map[string]*History
	for n, until := range e.watched {
		if now.After(until) || n.gone {
			delete(e.watched, n)
			continue
		}
		if out == nil {
			out = make(map[string]*History, len(e.watched))
		}
		out[n.pub.URL.String()] = n.history()
	}
	return out
}
