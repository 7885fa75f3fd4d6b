package incident

import "time"

// An index of drift exceeds its threshold by chance once in a thousand, and where many records are counted the threshold is
// tiny: a shift that nobody would act on is found, and the index goes about it for as long as that lasts.
const (
	// Far above the threshold, driftClear times, it is said at once; just above it, when it has been there for driftLasts.
	driftClear, driftLasts = 2.0, 15 * time.Second
	// It is over below this part of the threshold.
	driftOver = 0.8
)

// drifts follows indices of drift over time, so that one that goes about its threshold is told once, or not at all.
type drifts map[name]*drift

type drift struct {
	since, seen time.Time // when it came above the threshold, and when it was last
	run         int       // in how many snapshots one after the other
	open        bool
}

// judge takes the next value of an index, of a snapshot taken at a time and one tick after the last, and tells whether
// that is drift.
func (d drifts) judge(at time.Time, tick time.Duration, key name, index, threshold float64) bool {
	x := d[key]
	if x != nil && (at.Before(x.seen) || at.Sub(x.seen) > max(leastGap, 3*tick)) {
		x = nil
	}
	bound := threshold
	if x != nil && x.open {
		bound = driftOver * threshold
	}
	if !(index > bound) { // nor when it is not known
		delete(d, key)
		return false
	}
	if x == nil {
		x = &drift{since: at}
		d[key] = x
	}
	x.seen = at
	x.run++
	x.open = x.open || index > driftClear*threshold || x.run >= leastRun && at.Sub(x.since) >= driftLasts
	return x.open
}
