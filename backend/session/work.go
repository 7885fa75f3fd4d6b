package session

import (
	"context"
	"strings"
	"time"

	"weir/backend"
	"weir/backend/api"
	"weir/backend/timeline"
)

// drainTime bounds the wait for the last events of the embedded world.
const drainTime = 10 * time.Second

// Worked is what came of a worker's life.
type Worked struct {
	Last *timeline.Snapshot
	// Never tells why an engine never ran though the time was up: weir was ready, as /readyz judges it, at no tick, nor at
	// the end. It is empty when weir was, and when somebody ended the session before.
	Never string
}

// Work runs the engines until ctx ends, or for so long when that is above 0. In the embedded world the events end first,
// and the pipeline gets drainTime to answer every one of them.
func (s *Session) Work(ctx context.Context, lasting time.Duration) (Worked, error) {
	asked := ctx
	if lasting > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lasting)
		defer cancel()
	}
	var past *timeline.Timeline
	var ready readiness
	err := s.Run(ctx, func(ctx context.Context, r *backend.Runtime) error {
		past = r.Timeline()
		ticks, cancel := r.Subscribe()
		defer cancel()
		for running := true; running; {
			select {
			case <-ticks:
			case <-ctx.Done():
				running = false
			}
			ready.look(past.Newest())
		}
		if s.quiet != nil {
			s.quiet()
			r.Drain(drainTime)
		}
		ready.look(r.Observe()) // the last tick may be a minute ago
		return nil
	})
	if err != nil {
		return Worked{}, err
	}
	w := Worked{Last: past.Newest()}
	if lasting > 0 && asked.Err() == nil && !ready.once {
		w.Never = strings.Join(ready.reasons, "; ")
	}
	return w, nil
}

// readiness follows whether weir was ready at least once.
type readiness struct {
	once    bool
	reasons []string // why it was not, as of the last look
}

func (x *readiness) look(s *timeline.Snapshot) {
	if x.once || s == nil {
		return
	}
	r := api.Ready(s, s.At) // as of its own time
	x.once, x.reasons = r.Ready, r.Reasons
}
