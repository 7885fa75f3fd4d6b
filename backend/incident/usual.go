package incident

import (
	"slices"
	"time"
)

const (
	// learnEvery is how often a value is remembered, and remembered how many are: those of half an hour.
	learnEvery = 10 * time.Second
	remembered = 180
	// leastKnown is how many values there must be before any other is judged by them: a minute and forty seconds of them.
	// Those of overlapping minutes say less, one by one: there must be leastLong.
	leastKnown, leastLong = 10, 40
	// sustained is how long a value must be far from the usual ones, and leastRun in how many snapshots one after the
	// other, before it is said.
	sustained = 3 * time.Second
	leastRun  = 3
	// newNormal is how long a deviation lasts before it is what is usual.
	newNormal = 30 * time.Minute
	// recurring is how many falls among the remembered values make them a habit of that world.
	recurring = 4
	// staleAfter is how long after the last of them the remembered values say nothing about now.
	staleAfter = 30 * time.Minute
)

// usual is what a figure was in the recent past, and whether it has gone far from that.
//
// It is robust: the middle is a median, and how far values stray towards the side that matters is told by that side's
// tenth or twentieth, so a few outliers move neither. Values of a deviation are remembered apart and do not move them
// either. Falls that recur do: the figure is then one that falls from time to time (a producer that rests for a minute
// every five), and another such fall is none. A deviation that lasts for half an hour, newNormal, is what is usual from
// then on, and is said no more.
type usual struct {
	upwards bool // it is high values that matter
	least   int  // values there must be
	ring    [remembered]entry
	n, next int
	learnt  time.Time
	sorted  []float64 // scratch

	// known tells whether there is enough to judge by; middle and edge are then the usual value, and the farthest one
	// that is not rare; with are the middles of the figures that were remembered along with it.
	known        bool
	middle, edge float64
	with         with

	open    bool
	began   time.Time // of the deviation, the first value that was far away
	run     int       // values one after the other that were
	episode int       // the number of that deviation; 0 while there is none
	last    int       // the number of the last one
}

// with is what is remembered along with a value: of a latency's p90, the p50 and the p99; of a pace, its dispersion.
type with [2]float64

type entry struct {
	value   float64
	with    with
	episode int
}

// step takes the next value, and what goes with it. far tells that it is far from the usual ones, near that it is not far
// any more. While quiet, no deviation begins and nothing is learnt.
func (u *usual) step(at time.Time, value float64, along with, far, near, quiet bool) {
	switch {
	case u.open && near:
		u.close()
	case u.open:
		if at.Sub(u.began) >= newNormal {
			u.adopt()
		}
	case far && !quiet && u.known:
		if u.run++; u.run == 1 {
			u.last++
			u.began, u.episode = at, u.last
		}
		u.open = u.run >= leastRun && at.Sub(u.began) >= sustained
	case u.run > 0:
		u.forgive()
	}
	if u.open || !quiet {
		u.learn(at, entry{value, along, u.episode})
	}
}

// fresh forgets everything when it is too old to say anything, and tells whether there is enough to judge by.
func (u *usual) fresh(at time.Time) bool {
	if !u.learnt.IsZero() && (at.Sub(u.learnt) > staleAfter || at.Before(u.learnt)) {
		u.forget()
	}
	return u.known
}

func (u *usual) forget() { *u = usual{upwards: u.upwards, least: u.least, sorted: u.sorted} }

// close ends the deviation, if there is one.
func (u *usual) close() {
	if u.episode == 0 {
		return
	}
	u.open, u.run, u.episode = false, 0, 0
	u.measure()
}

// forgive has a deviation that was too short to be one be among the usual values.
func (u *usual) forgive() {
	for i := range u.ring {
		if u.ring[i].episode == u.episode {
			u.ring[i].episode = 0
		}
	}
	u.close()
}

// adopt makes the deviation what is usual.
func (u *usual) adopt() {
	var kept [remembered]entry
	n := 0
	for i := range u.n {
		if r := u.ring[(u.next-u.n+i+remembered)%remembered]; r.episode == u.episode {
			kept[n] = entry{r.value, r.with, 0}
			n++
		}
	}
	u.ring, u.n, u.next = kept, n, n%remembered
	u.known = false
	u.close()
}

func (u *usual) learn(at time.Time, r entry) {
	if at.Sub(u.learnt) < learnEvery {
		return
	}
	u.learnt = at
	u.ring[u.next] = r
	u.next, u.n = (u.next+1)%remembered, min(u.n+1, remembered)
	if u.episode == 0 {
		u.measure()
	}
}

// measure works out the middle and the edge. Where too few values are left, after a long deviation, those before it hold.
func (u *usual) measure() {
	deviations, before := 0, 0
	for i := range u.n {
		e := u.ring[(u.next-u.n+i+remembered)%remembered].episode
		if e != 0 && e != before {
			deviations++
		}
		before = e
	}
	habit := !u.upwards && deviations >= recurring
	pick := func(of func(*entry) float64) []float64 {
		u.sorted = u.sorted[:0]
		for i := range u.n {
			if r := &u.ring[i]; habit || r.episode == 0 {
				u.sorted = append(u.sorted, of(r))
			}
		}
		slices.Sort(u.sorted)
		return u.sorted
	}
	for i := range u.with {
		list := pick(func(r *entry) float64 { return r.with[i] })
		if len(list) < u.least {
			return
		}
		u.with[i] = list[len(list)/2]
	}
	list := pick(func(r *entry) float64 { return r.value })
	u.known, u.middle = true, list[len(list)/2]
	switch {
	case u.upwards:
		u.edge = list[len(list)-1-len(list)/20]
	case habit:
		u.edge = list[0]
	default: // the value in which the fall began may be among them
		u.edge = list[len(list)/10]
	}
}
