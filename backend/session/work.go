package session

import (
	"context"
	"time"

	"weir/backend"
	"weir/backend/timeline"
)

// drainTime bounds the wait for the last events of the embedded world.
const drainTime = 10 * time.Second

// Work runs the engines until ctx ends, or for so long when that is above 0, and returns the last snapshot. In the
// embedded world the events end first, and the pipeline gets drainTime to answer every one of them.
func (s *Session) Work(ctx context.Context, lasting time.Duration) (*timeline.Snapshot, error) {
	if lasting > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lasting)
		defer cancel()
	}
	var past *timeline.Timeline
	err := s.Run(ctx, func(ctx context.Context, r *backend.Runtime) error {
		past = r.Timeline()
		<-ctx.Done()
		if s.quiet != nil {
			s.quiet()
			r.Drain(drainTime)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return past.Newest(), nil
}
