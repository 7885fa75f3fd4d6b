package edge

import (
	"math/bits"
	"time"
)

// Flapping: a node whose health changed in flapEnter of its last flapWindow polls is not believed until it changed in
// no more than flapLeave of them.
const (
	flapWindow = 20
	flapEnter  = 6
	flapLeave  = 2
)

// flaps remembers at which of the last polls a node's health changed.
type flaps struct {
	changes  uint32 // bit 0 is the last poll
	last     State  // the state below flapping, Slow as OK; empty before the first poll
	flapping bool
}

// add notes the state an answer gave, and tells whether the node flaps.
func (f *flaps) add(s State) bool {
	if s == Slow {
		s = OK
	}
	f.changes <<= 1
	f.changes &= 1<<flapWindow - 1
	if f.last != "" && f.last != s {
		f.changes |= 1
	}
	f.last = s
	switch n := f.count(); {
	case n >= flapEnter:
		f.flapping = true
	case n <= flapLeave:
		f.flapping = false
	}
	return f.flapping
}

func (f *flaps) count() int { return bits.OnesCount32(f.changes) }

// The breaker opens after breakerFailures polls in a row without any answer. While it is open the node is asked ever
// more rarely, up to breakerMost intervals apart; each such question is a half-open probe, and an answer closes it.
const (
	breakerFailures = 3
	breakerMost     = 4 // intervals
)

// breaker spares a node that is gone, and the places it would take from others.
type breaker struct {
	failures int       // in a row, without any answer
	until    time.Time // open until then; zero while closed
}

// add notes whether the node answered at all, and returns when it is asked next at the earliest; zero: in its slot.
func (b *breaker) add(answered bool, now time.Time, poll time.Duration) time.Time {
	if answered {
		*b = breaker{}
		return time.Time{}
	}
	if b.failures++; b.failures < breakerFailures {
		return time.Time{}
	}
	wait := poll << min(b.failures-breakerFailures+1, 8)
	b.until = now.Add(min(wait, breakerMost*poll))
	return b.until
}

// passes tells whether a node may be asked in its slot. A slot a little before the end of the pause is taken, so that
// a pause of four intervals is not one of five.
func (b *breaker) passes(now time.Time, poll time.Duration) bool {
	return b.until.IsZero() || !now.Before(b.until.Add(-poll/2))
}
