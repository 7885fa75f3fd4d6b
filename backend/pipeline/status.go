package pipeline

import (
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// hold names what the pipeline may have to wait for. The first one that is away gives the reason shown.
type hold int

const (
	holdBroker   hold = iota // no broker can be reached
	holdKafka                // the group's coordinator, the session
	holdTopics               // topics that do not exist yet
	holdModel                // the model server
	holdFeatures             // the feature store
	holdProduce              // predictions that are not acknowledged
	holdStill                // partitions that do not move for no reason known
	holds
)

// status is what the pipeline is doing, and why not more. It is safe for concurrent use.
type status struct {
	log *event.Log

	mu      sync.Mutex
	phase   State // Starting, Running, Draining or Stopped
	paused  bool
	waits   [holds]wait
	shown   State
	changed time.Time
}

// wait is one thing waited for.
type wait struct {
	reason safetext.Text // empty: not waited for
	since  time.Time
	told   bool // the log says that we wait
}

// patience is how long something may be away before it is news.
const patience = time.Second

// enter moves on to another phase.
func (s *status) enter(phase State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = phase
	if phase == Stopped {
		s.waits = [holds]wait{}
	}
	s.settle()
}

// pause holds or lets go on, and tells whether that was a change.
func (s *status) pause(paused bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == paused {
		return false
	}
	s.paused = paused
	s.settle()
	return true
}

// waiting says that h is away, and why.
func (s *status) waiting(h hold, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	w := &s.waits[h]
	if w.reason.IsEmpty() {
		w.since = now
	}
	w.reason = safetext.Clean(limit(reason, 300))
	if !w.told && now.Sub(w.since) >= patience {
		if w.told = true; s.toldBeside(h) == nil {
			s.log.Add(event.Event{At: now, Kind: event.Pipeline, Severity: event.Warning, Subject: safetext.Clean("pipeline"),
				Message: safetext.Sprintf("waits: %s", w.reason)})
		}
	}
	s.settle()
}

// back says that h is there (again).
func (s *status) back(h hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &s.waits[h]
	if w.reason.IsEmpty() {
		return
	}
	if beside := s.toldBeside(h); w.told && beside != nil {
		if w.since.Before(beside.since) {
			beside.since = w.since // its end is the end of this, too
		}
	} else if w.told {
		s.log.Add(event.Event{At: time.Now(), Kind: event.Pipeline, Severity: event.Recovered, Subject: safetext.Clean("pipeline"),
			Message: safetext.Sprintf("goes on after %s of waiting (%s)", time.Since(w.since).Round(time.Second), w.reason)})
	}
	*w = wait{}
	s.settle()
}

// toldBeside is something else that the log says is away, and still is, for h's reason; nil: nothing. A broker that is gone is
// missed in several places. The caller holds the lock.
func (s *status) toldBeside(h hold) *wait {
	for i := range s.waits {
		if w := &s.waits[i]; hold(i) != h && w.told && w.reason == s.waits[h].reason {
			return w
		}
	}
	return nil
}

// isWaiting tells whether anything is away.
func (s *status) isWaiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.reason().IsEmpty()
}

// waitsBut tells whether anything but h is away.
func (s *status) waitsBut(h hold) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.waits {
		if hold(i) != h && !w.reason.IsEmpty() {
			return true
		}
	}
	return false
}

// now is what the pipeline is doing, since when and, when it waits, for what.
func (s *status) now() (State, time.Time, safetext.Text) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown != Waiting {
		return s.shown, s.changed, safetext.Text{}
	}
	return s.shown, s.changed, s.reason()
}

func (s *status) reason() safetext.Text {
	for _, w := range s.waits {
		if !w.reason.IsEmpty() {
			return w.reason
		}
	}
	return safetext.Text{}
}

// settle works out what to show. The caller holds the lock.
func (s *status) settle() {
	state := s.phase
	switch {
	case state == Stopped || state == Draining:
	case s.paused:
		state = Paused
	case !s.reason().IsEmpty():
		state = Waiting
	}
	if state != s.shown {
		s.shown, s.changed = state, time.Now()
	}
}

// limit cuts text that is too long for one line of a console.
func limit(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
