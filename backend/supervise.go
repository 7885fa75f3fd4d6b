package backend

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

// Back-off between the starts of an engine that fails: it doubles from backoffFirst to backoffMost, shortened by up to
// a quarter at random so that engines that failed together do not start together. An engine that ran for
// backoffForget has recovered.
const (
	backoffFirst  = 500 * time.Millisecond
	backoffMost   = 30 * time.Second
	backoffForget = time.Minute
)

// supervised is one engine that is started again whenever it fails.
type supervised struct {
	name   string
	run    func(context.Context) error
	log    *event.Log
	logger *slog.Logger

	mu      sync.Mutex
	claimed bool
	now     timeline.Engine
}

func newSupervised(name string, run func(context.Context) error, log *event.Log, logger *slog.Logger) *supervised {
	return &supervised{name: name, run: run, log: log, logger: logger.With("engine", name),
		now: timeline.Engine{Name: name, State: timeline.EngineStopped, Since: time.Now()}}
}

// claim is true for the first caller only. The engine counts as running from then on: it is about to.
func (s *supervised) claim() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.claimed
	if s.claimed = true; first {
		s.now.State, s.now.Since = timeline.EngineRunning, time.Now()
	}
	return first
}

// status is what the console shows of the engine.
func (s *supervised) status() timeline.Engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// supervise runs the engine until ctx ends and the engine has stopped.
func (s *supervised) supervise(ctx context.Context) {
	wait := backoffFirst
	for {
		started := time.Now()
		s.set(func(e *timeline.Engine) { e.State, e.Since, e.RetryAt = timeline.EngineRunning, started, time.Time{} })
		err := s.once(ctx)
		if ctx.Err() != nil {
			s.set(func(e *timeline.Engine) { e.State, e.Since = timeline.EngineStopped, time.Now() })
			if err != nil {
				s.logger.Warn("stopped with an error", "error", err)
			}
			return
		}
		if err == nil {
			err = fmt.Errorf("the %s engine ended by itself, which it should not", s.name)
		}
		if time.Since(started) > backoffForget {
			wait = backoffFirst
		}
		pause := wait - time.Duration(rand.Int64N(int64(wait)/4))
		s.fail(err, pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			s.set(func(e *timeline.Engine) { e.State, e.Since = timeline.EngineStopped, time.Now() })
			return
		}
		wait = min(2*wait, backoffMost)
	}
}

// once runs the engine and turns a panic into an error; the stack goes to the log.
func (s *supervised) once(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
			s.logger.Error("panic", "value", v, "stack", string(debug.Stack()))
		}
	}()
	return s.run(ctx)
}

func (s *supervised) fail(err error, pause time.Duration) {
	now := time.Now()
	s.logger.Error("failed", "error", err, "retry_in", pause)
	s.set(func(e *timeline.Engine) {
		e.State, e.Since, e.RetryAt = timeline.EngineFailed, now, now.Add(pause)
		e.Restarts++
		e.Error = safetext.Error(err)
	})
	s.log.Add(event.Event{At: now, Kind: event.Engine, Severity: event.Critical, Subject: safetext.Clean(s.name),
		Message: safetext.Sprintf("failed: %v; starting again in %s", err, pause.Round(100*time.Millisecond))})
}

func (s *supervised) set(change func(*timeline.Engine)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.now)
}
