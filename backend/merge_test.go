package backend

import (
	"testing"
	"time"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/mesh"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

func TestMergeOrdersByTimeAndTakesEachEventOnce(t *testing.T) {
	start := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	e := func(seq uint64, s int, what string) event.Event {
		return event.Event{Seq: seq, At: at(s), Message: safetext.Clean(what)}
	}
	var m merger
	first := m.merge(&timeline.Snapshot{
		Edge: &edge.Snapshot{Log: []event.Event{e(1, 1, "a"), e(2, 4, "d")}},
		Mesh: &mesh.Snapshot{Log: []event.Event{e(1, 2, "b")}},
	}, []event.Event{e(1, 3, "c")})
	second := m.merge(&timeline.Snapshot{
		Edge: &edge.Snapshot{Log: []event.Event{e(1, 1, "a"), e(2, 4, "d"), e(3, 5, "e")}},
		Mesh: &mesh.Snapshot{Log: []event.Event{e(4, 6, "f")}}, // 2 and 3 are gone already
	}, nil)
	var got string
	for i, ev := range second {
		if ev.Seq != uint64(i+1) {
			t.Errorf("event %d has Seq %d", i, ev.Seq)
		}
		got += ev.Message.String() + "|"
	}
	if want := "a|b|c|d|e|2 more events came faster than they could be shown|f|"; got != want {
		t.Errorf("merged = %s, want %s", got, want)
	}
	if len(first) != 4 {
		t.Errorf("the first snapshot's events changed: %d", len(first))
	}
}

func TestMergeIsBounded(t *testing.T) {
	var m merger
	var log event.Log
	for range 3 * timeline.KeepEvents {
		log.Add(event.Event{})
		m.merge(&timeline.Snapshot{}, log.Recent())
	}
	if len(m.kept) != timeline.KeepEvents || m.seq != 3*timeline.KeepEvents {
		t.Errorf("kept %d events, numbered up to %d", len(m.kept), m.seq)
	}
}
