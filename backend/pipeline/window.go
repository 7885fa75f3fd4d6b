package pipeline

import (
	"math/bits"
	"time"
)

// The windows below remember the last minute in slots that are thrown away whole: between 55 and 60 seconds.
const (
	windowSlots = 12
	slotLength  = 5 * time.Second
)

// slotClock turns time into slots of a ring and says which have become stale.
type slotClock struct{ slot int64 }

// advance moves to the slot of now and calls clear for each slot that is used again.
func (c *slotClock) advance(now time.Time, length time.Duration, slots int, clear func(slot int)) int {
	slot := now.UnixNano() / int64(length)
	if c.slot == 0 {
		c.slot = slot
	}
	for range min(slot-c.slot, int64(slots)) {
		c.slot++
		clear(int(c.slot % int64(slots)))
	}
	if slot > c.slot { // a gap longer than the ring: every slot is clear
		c.slot = slot
	}
	return int(c.slot % int64(slots)) // a clock that went back keeps writing to the newest slot
}

// Latencies are counted in buckets whose width is 1/32 of their octave, so that a quantile is within 1.6 % of the
// truth (as in HDR histograms), from 1 µs up to some twelve days.
const (
	subBuckets     = 32
	latencyOctaves = 36
	latencyBuckets = subBuckets * latencyOctaves
)

// latencies are the latencies of the last minute. The zero value is ready; the owner locks.
type latencies struct {
	clock slotClock
	slots [windowSlots]latencySlot
}

type latencySlot struct {
	counts [latencyBuckets]uint32
	n      uint64
	max    time.Duration
}

// add counts n latencies of d.
func (l *latencies) add(now time.Time, d time.Duration, n uint32) {
	s := l.at(now)
	s.add(d, n)
}

// at is the slot of now, for who adds many at once.
func (l *latencies) at(now time.Time) *latencySlot {
	i := l.clock.advance(now, slotLength, windowSlots, func(i int) { l.slots[i] = latencySlot{} })
	return &l.slots[i]
}

func (s *latencySlot) add(d time.Duration, n uint32) {
	d = max(d, 0)
	s.counts[latencyBucket(d)] += n
	s.n += uint64(n)
	s.max = max(s.max, d)
}

func latencyBucket(d time.Duration) int {
	us := uint64(d / time.Microsecond)
	if us < subBuckets {
		return int(us)
	}
	octave := bits.Len64(us) - 5 // of 32..63 it is 1
	return min(octave*subBuckets+int(us>>(octave-1))-subBuckets, latencyBuckets-1)
}

// bucketMiddle is the latency a bucket stands for.
func bucketMiddle(bucket int) time.Duration {
	if bucket < subBuckets {
		return time.Duration(bucket) * time.Microsecond
	}
	octave := bucket / subBuckets
	low := uint64(bucket%subBuckets+subBuckets) << (octave - 1)
	width := uint64(1) << (octave - 1)
	return time.Duration(low)*time.Microsecond + time.Duration(width)*time.Microsecond/2
}

// quantiles of the last minute.
func (l *latencies) quantiles(now time.Time) Quantiles {
	l.at(now)
	var total [latencyBuckets]uint64
	var q Quantiles
	var longest time.Duration
	for i := range l.slots {
		s := &l.slots[i]
		if s.n == 0 {
			continue
		}
		q.Count += s.n
		longest = max(longest, s.max)
		for b, n := range s.counts {
			total[b] += uint64(n)
		}
	}
	if q.Count == 0 {
		return q
	}
	q.Max = millis(longest)
	targets := [...]struct {
		share float64
		into  *float64
	}{{0.50, &q.P50}, {0.90, &q.P90}, {0.99, &q.P99}}
	seen, next := uint64(0), 0
	for b, n := range total {
		seen += n
		for next < len(targets) && float64(seen) >= targets[next].share*float64(q.Count) {
			*targets[next].into = min(millis(bucketMiddle(b)), q.Max)
			next++
		}
		if next == len(targets) {
			break
		}
	}
	return q
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// scores is the histogram of the predictions of the last minute. The zero value is ready; the owner locks.
type scores struct {
	clock slotClock
	slots [windowSlots][Bins]uint32
}

func (s *scores) at(now time.Time) *[Bins]uint32 {
	i := s.clock.advance(now, slotLength, windowSlots, func(i int) { s.slots[i] = [Bins]uint32{} })
	return &s.slots[i]
}

// tally counts what happened in the last minute. The zero value is ready; the owner locks.
type tally struct {
	clock slotClock
	slots [windowSlots]uint64
}

func (t *tally) at(now time.Time) *uint64 {
	i := t.clock.advance(now, slotLength, windowSlots, func(i int) { t.slots[i] = 0 })
	return &t.slots[i]
}

func (t *tally) add(now time.Time, n int) { *t.at(now) += uint64(n) }

func (t *tally) sum(now time.Time) (n uint64) {
	t.at(now)
	for _, c := range t.slots {
		n += c
	}
	return n
}

// bin is the bin of a probability: [0, 0.05) is the first, [0.95, 1] the last.
func bin(p float64) int { return min(int(p*Bins), Bins-1) }

func (s *scores) histogram(now time.Time) (out [Bins]uint64) {
	s.at(now)
	for i := range s.slots {
		for b, n := range s.slots[i] {
			out[b] += uint64(n)
		}
	}
	return out
}

// rate counts events in slots of 100 ms to tell how many there were in the last second.
type rate struct {
	clock slotClock
	slots [11]uint64
}

const rateSlot = 100 * time.Millisecond

func (r *rate) add(now time.Time, n int) {
	r.slots[r.at(now)] += uint64(n)
}

func (r *rate) at(now time.Time) int {
	return r.clock.advance(now, rateSlot, len(r.slots), func(i int) { r.slots[i] = 0 })
}

// perSecond is the count of the last ten whole slots, one second.
func (r *rate) perSecond(now time.Time) float64 {
	current := r.at(now)
	n := uint64(0)
	for i, c := range r.slots {
		if i != current {
			n += c
		}
	}
	return float64(n)
}
