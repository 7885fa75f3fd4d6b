// Package incident names what is wrong in a snapshot: since when, what it touches and what to do first. The engines have
// judged already: most rules only put their states into words that belong together. What no engine can judge by itself,
// whether a figure is far from what it usually is, is found here by comparing with the recent past.
package incident

import (
	"cmp"
	"slices"
	"time"

	"weir/backend/event"
	"weir/backend/timeline"
)

const (
	// keepFiring is how long a condition must be gone before its incident has ended: what comes back at once never left.
	keepFiring = 10 * time.Second
	// remember is how long an incident that has ended is still told, and most how many are told at once.
	remember = time.Hour
	most     = 50
)

// Tracker follows incidents from snapshot to snapshot. It belongs to one goroutine.
type Tracker struct {
	open  map[name]*open
	usual *deviations
	burst burst
	drift drifts
	ended []timeline.Incident // the newest first
}

type name struct{ rule, subject string }

type open struct {
	timeline.Incident
	seen time.Time
}

// New is a tracker that knows of no incident yet.
func New() *Tracker { return &Tracker{open: map[name]*open{}, usual: newDeviations(), drift: drifts{}} }

// Step takes the next snapshot, and returns the incidents of that moment: those that go on, the most important first,
// then those that have ended within the last hour, the newest first.
func (t *Tracker) Step(s *timeline.Snapshot) []timeline.Incident {
	f := &finder{drifted: func(rule, subject string, index, threshold float64) bool {
		return t.drift.judge(s.At, s.Tick, name{rule, subject}, index, threshold)
	}}
	f.find(s)
	t.usual.step(s, f)
	t.burst.step(s, f)
	for _, found := range f.list {
		key := name{found.Rule, found.Subject.String()}
		was := t.open[key]
		if was == nil {
			if found.Since.IsZero() || found.Since.After(s.At) {
				found.Since = s.At
			}
			was = &open{}
			t.open[key] = was
		} else {
			found.Since = was.Since // an engine that starts anew begins to count anew
		}
		was.Incident, was.seen = found, s.At
	}
	var list []timeline.Incident
	for key, o := range t.open {
		if s.At.Sub(o.seen) < keepFiring {
			list = append(list, o.Incident)
			continue
		}
		delete(t.open, key)
		o.Ended = o.seen
		t.ended = append(t.ended, o.Incident)
	}
	slices.SortFunc(list, func(a, b timeline.Incident) int {
		return cmp.Or(cmp.Compare(weight(a.Severity), weight(b.Severity)), a.Since.Compare(b.Since), cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Subject.String(), b.Subject.String()))
	})
	slices.SortStableFunc(t.ended, func(a, b timeline.Incident) int {
		return cmp.Or(b.Ended.Compare(a.Ended), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Subject.String(), b.Subject.String()))
	})
	for len(t.ended) > 0 && (len(t.ended) > most || s.At.Sub(t.ended[len(t.ended)-1].Ended) > remember) {
		t.ended = t.ended[:len(t.ended)-1]
	}
	return append(list, t.ended[:min(len(t.ended), max(most-len(list), 0))]...)
}

func weight(s event.Severity) int {
	if s == event.Critical {
		return 0
	}
	return 1
}
