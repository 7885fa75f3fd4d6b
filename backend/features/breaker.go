package features

import (
	"sync"
	"time"
)

// The breaker opens after breakerFailures requests in a row that found the server away, first for breakerWait, then
// twice as long each time its probe fails, up to breakerLongest: short enough that a server that comes back is
// noticed at once by a person's measure.
const (
	breakerFailures = 5
	breakerWait     = 500 * time.Millisecond
	breakerLongest  = 5 * time.Second
)

// breaker keeps requests from a server that is away. When its wait is over it lets one request through as a probe
// (half-open); that one's fate decides for the others. The zero breaker is closed.
type breaker struct {
	mu       sync.Mutex
	failures int // in a row
	wait     time.Duration
	until    time.Time // no request before; zero: closed
	probing  bool
}

// pass lets one request go; whoever has one must hand it back to done.
type pass struct{ probe bool }

// allow tells whether a request may go now.
func (b *breaker) allow(now time.Time) (p pass, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return pass{}, true
	}
	if now.Before(b.until) || b.probing { // then its fate decides
		return pass{}, false
	}
	b.probing = true
	return pass{probe: true}, true
}

// verdict is what a request says about the server.
type verdict uint8

const (
	serverUp      verdict = iota
	serverAway            // no answer, or one that asks to come again
	serverUnknown         // the caller gave up before the server could answer
)

func (b *breaker) done(p pass, now time.Time, v verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.probe {
		b.probing = false
	}
	switch v {
	case serverUp:
		b.failures, b.wait, b.until = 0, 0, time.Time{}
	case serverAway:
		b.failures++
		opens := b.failures >= breakerFailures && b.until.IsZero()
		if opens || p.probe {
			b.wait = min(max(2*b.wait, breakerWait), breakerLongest)
			b.until = now.Add(b.wait)
		}
	}
}
