package backend

import (
	"slices"

	"weir/backend/event"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

// merger makes one stream of events out of the logs of the engines and of the runtime.
type merger struct {
	seen map[string]uint64 // the last Seq taken of each log
	seq  uint64
	kept []event.Event // the newest timeline.KeepEvents; replaced, never changed in place
}

// merge takes what is new in the logs that s carries and in own, and returns the newest events, oldest first. Events
// are numbered anew in the order of their times; a log that dropped events before they could be taken says so.
func (m *merger) merge(s *timeline.Snapshot, own []event.Event) []event.Event {
	if m.seen == nil {
		m.seen = map[string]uint64{}
	}
	fresh := m.take(nil, "runtime", own)
	if s.Pipeline != nil {
		fresh = m.take(fresh, "pipeline", s.Pipeline.Log)
	}
	if s.Edge != nil {
		fresh = m.take(fresh, "edge", s.Edge.Log)
	}
	if s.Mesh != nil {
		fresh = m.take(fresh, "mesh", s.Mesh.Log)
	}
	if len(fresh) == 0 {
		return m.kept
	}
	slices.SortStableFunc(fresh, func(a, b event.Event) int { return a.At.Compare(b.At) })
	for i := range fresh {
		m.seq++
		fresh[i].Seq = m.seq
	}
	kept := append(slices.Clone(m.kept), fresh...)
	m.kept = kept[max(0, len(kept)-timeline.KeepEvents):]
	return m.kept
}

func (m *merger) take(fresh []event.Event, name string, log []event.Event) []event.Event {
	last := m.seen[name]
	for _, e := range log {
		if e.Seq <= last {
			continue
		}
		if missed := e.Seq - last - 1; missed > 0 {
			fresh = append(fresh, event.Event{At: e.At, Kind: event.Engine, Severity: event.Warning,
				Subject: safetext.Clean(name),
				Message: safetext.Sprintf("%d more events came faster than they could be shown", missed)})
		}
		last = e.Seq
		fresh = append(fresh, e)
	}
	m.seen[name] = last
	return fresh
}
