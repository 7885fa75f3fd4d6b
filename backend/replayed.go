package backend

import (
	"context"
	"fmt"

	"weir/backend/timeline"
)

// Replayed is a recorded past without a present: what a console shows of a recording. It has no engines and understands
// no command.
type Replayed struct{ line *timeline.Timeline }

// NewReplayed makes a Replayed of a recording's timeline.
func NewReplayed(line *timeline.Timeline) *Replayed { return &Replayed{line} }

// Timeline is the recorded past. It does not grow.
func (r *Replayed) Timeline() *timeline.Timeline { return r.line }

// Commands is empty: there is nothing left to change.
func (r *Replayed) Commands() []CommandSpec { return nil }

// Do refuses every command.
func (r *Replayed) Do(_ context.Context, c Command) (string, error) {
	return "", fmt.Errorf("%w %q: this is a recording, and what it shows is over", ErrUnknownCommand, c.Name)
}

// Subscribe announces the one past there is.
func (r *Replayed) Subscribe() (ticks <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	ch <- struct{}{}
	return ch, func() {}
}
