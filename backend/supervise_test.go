package backend

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/backend/event"
	"weir/backend/timeline"
)

func newTestSupervised(run func(context.Context) error) (*supervised, *event.Log) {
	var log event.Log
	return newSupervised("edge", run, &log, slog.New(slog.DiscardHandler)), &log
}

func TestFailingEngineIsStartedAgainWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Time
		s, log := newTestSupervised(func(context.Context) error {
			starts = append(starts, time.Now())
			return errors.New("no such broker \x1b[31m")
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() { s.supervise(ctx); close(done) }()
		time.Sleep(3 * time.Minute) // of the bubble's clock
		synctest.Wait()
		now := s.status()
		if now.State != timeline.EngineFailed || now.Restarts != len(starts) || !now.RetryAt.After(now.Since) {
			t.Errorf("status = %+v after %d starts", now, len(starts))
		}
		if strings.Contains(now.Error.String(), "\x1b") {
			t.Errorf("the error reached the snapshot uncleaned: %q", now.Error)
		}
		if len(starts) < 8 || len(starts) > 14 {
			t.Errorf("%d starts in three minutes; expected a doubling pause up to 30 s", len(starts))
		}
		for i := 2; i < len(starts); i++ {
			if pause := starts[i].Sub(starts[i-1]); pause > backoffMost {
				t.Errorf("pause %d is %v, more than %v", i, pause, backoffMost)
			}
		}
		if events := log.Recent(); len(events) != len(starts) || events[0].Severity != event.Critical {
			t.Errorf("%d events for %d failures: %+v", len(events), len(starts), events)
		}
		cancel()
		<-done
		if got := s.status().State; got != timeline.EngineStopped {
			t.Errorf("state after the end = %q", got)
		}
	})
}

func TestPanicBecomesAnError(t *testing.T) {
	s, _ := newTestSupervised(func(context.Context) error { panic("index out of range") })
	if err := s.once(t.Context()); err == nil || !strings.Contains(err.Error(), "panic: index out of range") {
		t.Errorf("once() = %v", err)
	}
}

func TestLongRunForgetsBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		s, _ := newTestSupervised(func(ctx context.Context) error {
			starts++
			if starts == 6 {
				time.Sleep(2 * time.Minute)
			}
			return errors.New("away")
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.supervise(ctx); close(done) }()
		time.Sleep(2*time.Minute + 20*time.Second)
		synctest.Wait()
		if now := s.status(); now.RetryAt.Sub(now.Since) > 8*time.Second {
			t.Errorf("the pause after a long run is %v; expected to start small again", now.RetryAt.Sub(now.Since))
		}
		cancel()
		<-done
	})
}
