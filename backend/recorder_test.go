package backend

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/backend/event"
	"weir/backend/history"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

func TestASecondWeirRecordsWhenTheFirstIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := timeline.New()
		line.Append(&timeline.Snapshot{At: time.Now(), Tick: time.Second})
		path := filepath.Join(t.TempDir(), "history.db")
		start := func() (r *history.Recorder, stop func()) {
			r, err := history.New(history.Config{Path: path}, line)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- (&engines{history: r}).record(ctx) }()
			synctest.Wait()
			return r, func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		first, stopFirst := start()
		second, stopSecond := start()
		defer stopSecond()
		time.Sleep(time.Minute) // of the bubble's clock
		synctest.Wait()
		if first.Status().Snapshots != 1 || second.Status().Snapshots != 0 || !strings.Contains(second.Status().Error.String(), "another weir") {
			t.Fatalf("both at once: %+v, %+v", first.Status(), second.Status())
		}
		stopFirst()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := second.Status(); s.Snapshots != 1 || !s.Error.IsEmpty() {
			t.Errorf("alone: %+v; expected that it records", s)
		}
	})
}

func TestTheConsoleHearsThatNothingIsRecorded(t *testing.T) {
	var w recorderWatch
	var log event.Log
	at := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	full := history.Status{Error: safetext.Clean("database or disk is full")}
	for _, c := range []struct {
		after  time.Duration
		status history.Status
		says   string // empty: nothing
	}{
		{0, history.Status{}, ""},
		{time.Second, full, "warning nothing is recorded: database or disk is full"},
		{2 * time.Second, full, ""},
		{3 * time.Second, history.Status{}, ""}, // one that went well does not make it well
		{4 * time.Second, full, ""},
		{13 * time.Second, history.Status{}, ""},
		{14 * time.Second, history.Status{}, "recovered records again"},
		{15 * time.Second, history.Status{}, ""},
		{15 * time.Second, history.Status{Error: safetext.Clean("in use"), InUse: true}, "info another weir writes this recording; this one will when that has ended"},
		{15 * time.Second, history.Status{}, "info the other weir has ended; this one writes the recording"},
		{16 * time.Second, history.Status{SetAside: safetext.Clean("history.db.damaged")}, "warning its file was damaged and is now history.db.damaged; a new recording has begun"},
		{17 * time.Second, history.Status{SetAside: safetext.Clean("history.db.damaged")}, ""},
	} {
		before := len(log.Recent())
		w.look(c.status, at.Add(c.after), &log)
		said := ""
		for _, e := range log.Recent()[before:] {
			said += string(e.Severity) + " " + e.Message.String()
		}
		if said != c.says {
			t.Errorf("after %v: %q, want %q", c.after, said, c.says)
		}
	}
}
