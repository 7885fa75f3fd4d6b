package edge

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"weir/backend/safetext"
)

// Tolerances of clocks.
const (
	// futureTolerance is how far last_updated may lie in the future of the node's own clock: Date has whole seconds.
	futureTolerance = 5 * time.Second
	// skewTolerance is how far a node's clock may be off ours before its state says so.
	skewTolerance = 30 * time.Second
)

// node is one member of the fleet. The engine's mutex guards all of it but target and url.
type node struct {
	url    string
	same   string  // its URL's Identity
	listed *Target // as which it is settled; nil before
	target target

	// Scheduling.
	offset   time.Duration // of its slot in the interval, from its URL
	due      time.Time     // its next slot
	queued   bool
	inFlight bool
	doubtful bool     // its last poll held its place for long; it waits in the lane of its like
	rounds   []*round // PollNow calls that wait for it
	breaker  breaker

	gone        bool // listed no more
	quarantined bool

	// What is known of it. shown is what snapshots carry of pub: a copy that is shared and never changed, nil when pub has
	// changed since.
	shown  *Node
	groups []int32 // which of the engine's groups it is in
	pub    Node    // to change it, ask edit for it
	sum    summary // of the last valid answer
	etag   string  // of the last valid answer
	name   string  // the label "name"
	// countedAt is when the record count was last seen, and rated whether a rate follows from two of them.
	countedAt time.Time
	rated     bool
	flaps     flaps
	past      past

	// Whose data it answers with; see twins.go.
	index       int    // in the engine's nodes
	print       uint64 // of its last valid payload, 0 without one
	seriesCount int64  // that payload's record count
	askedAt     time.Time
	sinceJump   int // payloads since its count left its own series
	twin        *twin
	suspects    []*node // that may answer with its data
}

func newNode(url string, since time.Time) *node {
	return &node{
		url:       url,
		same:      Identity(url),
		pub:       Node{URL: safetext.Clean(url), State: Unknown, Since: since},
		sinceJump: jumpRemembered,
	}
}

// edit is pub, to be changed.
func (n *node) edit() *Node {
	n.shown = nil
	return &n.pub
}

func (n *node) setName(name string) {
	if n.pub.Name.String() != name {
		n.edit().Name = safetext.Clean(name)
	}
}

// verdict is what one answer says about a node.
type verdict struct {
	state                   State
	reachable, fresh, valid bool
	reason                  string
	sum                     summary
	skew                    time.Duration
}

// limits are the configured bounds a verdict depends on.
type limits struct {
	poll       time.Duration
	timeout    time.Duration
	staleAfter time.Duration
}

// judge turns an answer into a verdict. last is the summary of the last valid answer, for a 304; zero without one.
func judge(a answer, last summary, now time.Time, lim limits) verdict {
	v := verdict{reachable: a.status != 0 || a.heard}
	switch {
	case a.status == 0 && a.heard:
		return v.invalid(a.err.Error())
	case a.status == 0:
		v.state, v.reason = Down, a.err.Error()
		return v
	case a.status == http.StatusNotModified && a.condition && !last.LastUpdated.IsZero():
		v.sum = last
	case a.status == http.StatusNotModified:
		return v.invalid("answered 304 to a question that had no condition")
	case a.status >= 300 && a.status < 400:
		return v.invalid(fmt.Sprintf("redirects to %s, which is not followed", a.location))
	case a.status != http.StatusOK:
		return v.invalid(fmt.Sprintf("answered %d %s", a.status, http.StatusText(a.status)))
	case a.err != nil:
		return v.invalid(a.err.Error())
	default:
		var err error
		if v.sum, err = parseSummary(a.body); err != nil {
			return v.invalid(err.Error())
		}
	}
	v.valid = true
	v.skew = skew(a)
	ahead := v.sum.LastUpdated.Sub(now.Add(v.skew))
	switch {
	case ahead > futureTolerance:
		v.state, v.reason = Skewed, fmt.Sprintf("last_updated lies %s in the future of its own clock", round2(ahead))
	case v.sum.LastUpdated.Sub(now) > skewTolerance:
		v.state, v.reason = Skewed, fmt.Sprintf("last_updated lies in the future: its clock is %s ahead", round2(v.skew))
	case -ahead > lim.staleAfter:
		v.state, v.reason = Stale, fmt.Sprintf("its data are %s old", round2(-ahead))
	case v.skew > skewTolerance:
		v.fresh = true
		v.state, v.reason = Skewed, fmt.Sprintf("its clock is %s ahead", round2(v.skew))
	case v.skew < -skewTolerance:
		v.fresh = true
		v.state, v.reason = Skewed, fmt.Sprintf("its clock is %s behind", round2(-v.skew))
	case a.latency > lim.timeout/2:
		v.fresh = true
		v.state, v.reason = Slow, fmt.Sprintf("answered after %s", a.latency.Round(time.Millisecond))
	default:
		v.fresh, v.state = true, OK
	}
	return v
}

func (v verdict) invalid(reason string) verdict {
	v.state, v.reason = Invalid, reason
	return v
}

// skew is the node's clock minus ours, 0 when the difference is below what a Date of whole seconds can tell.
func skew(a answer) time.Duration {
	if a.date.IsZero() {
		return 0
	}
	middle := a.sentAt.Add(a.latency / 2)
	s := a.date.Add(500 * time.Millisecond).Sub(middle)
	if s.Abs() <= time.Second+a.latency/2 {
		return 0
	}
	return s.Round(100 * time.Millisecond)
}

// observe takes an answer and its verdict into the node.
func (n *node) observe(a answer, v verdict, now time.Time, lim limits) {
	// What came of it does not matter: a body that drips for the whole deadline costs as much as silence.
	n.doubtful = a.latency > lim.timeout/2 || !v.valid && a.latency > lim.timeout/4
	n.past.add(a, v, now)
	state, why := v.state, v.reason
	if n.flaps.add(v.state) {
		state = Flapping
		why = fmt.Sprintf("changed %d times in %d polls; now %s", n.flaps.count(), flapWindow, v.state)
		if v.reason != "" {
			why += ": " + v.reason
		}
	}
	p := n.edit()
	p.ProbeAt = n.breaker.add(v.reachable, now, lim.poll)
	p.PolledAt = now
	p.LatencyMS = float64(a.latency) / float64(time.Millisecond)
	p.StatusCode = a.status
	p.Reachable, p.Fresh, p.Valid = v.reachable, v.fresh, v.valid
	if p.Error.String() != why {
		p.Error = safetext.Bytes([]byte(why), maxReason)
	}
	if v.state != OK {
		n.past.addError(now, p.Error)
	}
	if state != p.State {
		n.past.addChange(NodeChange{At: now, From: p.State, To: state, Reason: p.Error})
		p.State, p.Since = state, now
	}
	if !v.valid {
		p.Failures++
		if v.state == Invalid {
			n.etag = "" // ask for the whole answer next time
		}
		return
	}
	n.count(v.sum.RecordCount, now)
	p.Failures = 0
	p.Skew = v.skew
	p.HasData = true
	p.RecordCount, p.Quality, p.LastUpdated = v.sum.RecordCount, v.sum.Quality, v.sum.LastUpdated
	n.sum = v.sum
	if a.status == http.StatusOK {
		n.etag = a.etag
	}
}

// rateMemory is the time constant of a node's record rate.
const rateMemory = time.Minute

// count derives the rate of records. A count below the one before is a counter that began again, not a negative rate.
func (n *node) count(records int64, now time.Time) {
	p := n.edit()
	if !p.HasData {
		n.countedAt = now
		return
	}
	passed := now.Sub(n.countedAt).Seconds()
	if passed <= 0 {
		return
	}
	more := records - p.RecordCount
	if more < 0 {
		p.Resets++
		more = records
	}
	weight := 1 - math.Exp(-passed/rateMemory.Seconds())
	if !n.rated {
		weight, n.rated = 1, true
	}
	p.RecordsPerSecond += weight * (float64(more)/passed - p.RecordsPerSecond)
	n.countedAt = now
}

// leaveRounds lets go of the PollNow calls that wait for n.
func (n *node) leaveRounds() {
	for _, r := range n.rounds {
		if r.left--; r.left == 0 {
			close(r.done)
		}
	}
	n.rounds = nil
}

// maxReason bounds a node's reason, in bytes.
const maxReason = 240

// round2 rounds a duration to what a reader needs: two figures or so.
func round2(d time.Duration) time.Duration {
	switch a := d.Abs(); {
	case a >= time.Hour:
		return d.Round(time.Minute)
	case a >= 10*time.Second:
		return d.Round(time.Second)
	default:
		return d.Round(100 * time.Millisecond)
	}
}
