package backend

import (
	"context"
	"errors"
	"time"

	"weir/backend/event"
	"weir/backend/history"
	"weir/backend/safetext"
)

const (
	// inUseRetry is how often a second weir on the same recording looks whether the first is gone.
	inUseRetry = 10 * time.Second
	// recorderCalm is how long the recorder must record before it counts as mended: a disk that is all but full takes some
	// snapshots and others not.
	recorderCalm = 10 * time.Second
)

// record runs the flight recorder. A second weir on the same recording leaves it to the first while that lives.
func (e *engines) record(ctx context.Context) error {
	for {
		err := e.history.Run(ctx)
		if !errors.Is(err, history.ErrInUse) {
			return err
		}
		select {
		case <-time.After(inUseRetry):
		case <-ctx.Done():
			return nil
		}
	}
}

// recorderWatch tells in the events that the flight recorder does not record though its engine runs, such as on a full disk.
// Nothing else in the console shows it, and a gap in the recording is found when it is too late.
type recorderWatch struct {
	failed   time.Time // when it last did not record; zero: all is well
	inUse    bool
	setAside safetext.Text
}

func (w *recorderWatch) look(s history.Status, now time.Time, log *event.Log) {
	tell := func(severity event.Severity, message string) {
		log.Add(event.Event{At: now, Kind: event.Engine, Severity: severity, Subject: safetext.Clean("history"), Message: safetext.Clean(message)})
	}
	if s.SetAside != w.setAside {
		w.setAside = s.SetAside
		tell(event.Warning, "its file was damaged and is now "+s.SetAside.String()+"; a new recording has begun")
	}
	if s.InUse != w.inUse {
		if w.inUse = s.InUse; s.InUse {
			tell(event.Info, "another weir writes this recording; this one will when that has ended")
		} else {
			tell(event.Info, "the other weir has ended; this one writes the recording")
		}
	}
	switch {
	case s.InUse:
	case !s.Error.IsEmpty():
		if w.failed.IsZero() {
			tell(event.Warning, "nothing is recorded: "+s.Error.String())
		}
		w.failed = now
	case !w.failed.IsZero() && now.Sub(w.failed) >= recorderCalm:
		w.failed = time.Time{}
		tell(event.Recovered, "records again")
	}
}
