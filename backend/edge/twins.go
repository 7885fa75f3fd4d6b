package edge

import (
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"time"
)

// A node that answers with another's data would be counted twice, and its own would be missing: a gateway routes wrongly, a
// name was moved, an image was cloned with its data. What tells it from an honest node that merely looks alike is how
// unlikely it is that two nodes answer the same by chance. A payload is the three figures as they were written. Two nodes
// with the same payload are worth 3.3 bits for each figure below the second of last_updated, where there are at least three:
// nodes that write theirs independently hit the same millisecond once in a thousand times. Trailing zeros are worth nothing,
// and so are whole seconds: nodes that all write on the minute, that are all idle, or that count alike share payloads
// honestly. A count that left its own series to land on the very payload of another's is worth jumpBits once, and tells
// which of the two answers with the other's data; else the later in the list does.
//
// Each payload counts once, however often it is polled. twinBits over at least twinPayloads of them are a verdict; by chance
// that happens once in 10^15. missesToClear answers in a row that differ, asked at the same moment, end a suspicion. While
// the other is not counted itself, its twin is.
//
// Data that change between the polls of two nodes would never compare. So what one of a suspected pair is asked, the other
// is asked too; and when a count jumps, so are the few nodes whose counts it may have landed on.
//
// What cannot be told: two nodes with the same data in whole seconds from two that honestly count alike; not even a jump
// tells, for a replica that was behind lands on the other's count when it catches up. And a certificate or an address is no
// evidence either way: honest nodes share gateways, tunnels and wildcards.
const (
	bitsPerDigit   = 3.3
	mostDigits     = 6
	leastDigits    = 3
	jumpBits       = 20
	twinBits       = 50
	twinPayloads   = 3
	missesToClear  = 3
	sameMoment     = 2 * time.Second // two polls this far apart compare
	jumpRemembered = 5               // payloads after a jump that still count as one
	jumpLeast      = 1000            // records more than the rate explains
	candidateSlack = 16              // records that a count may be off what the rate explains
	mostCandidates = 16              // nodes asked because of one jump
	candidateRate  = 64              // and of all jumps within one interval
)

// twins finds nodes that answer with another's data. The engine's mutex guards it.
type twins struct {
	seed     maphash.Seed
	sharing  map[uint64]sharing // by payload
	asked    int                // candidates asked in this interval
	interval time.Time          // its beginning
}

// sharing is who answers with a payload now: how many, and two of them.
type sharing struct {
	a, b *node
	n    int
}

func (s sharing) other(than *node) *node {
	if s.a != nil && s.a != than {
		return s.a
	}
	if s.b != than {
		return s.b
	}
	return nil
}

// twin is what is suspected of a node: that it answers with the data of other.
type twin struct {
	other    *node
	last     uint64 // the payload that was counted last
	payloads int
	bits     float64
	misses   int // in a row
	sure     bool
}

func newTwins() twins { return twins{seed: maphash.MakeSeed(), sharing: map[uint64]sharing{}} }

// print is a payload's fingerprint, never 0.
func (t *twins) print(s *summary) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	_, _ = h.WriteString(s.RawUpdated) // a hash never fails
	var figures [16]byte
	for i := range 8 {
		figures[i] = byte(uint64(s.RecordCount) >> (8 * i))
		figures[8+i] = byte(math.Float64bits(s.Quality) >> (8 * i))
	}
	_, _ = h.Write(figures[:])
	return h.Sum64() | 1
}

// digits is how many figures last_updated has below the second, without trailing zeros.
func digits(s *summary) int {
	ns := s.LastUpdated.Nanosecond()
	if ns == 0 {
		return 0
	}
	d := 9
	for ; ns%10 == 0; ns /= 10 {
		d--
	}
	return d
}

// move notes that n answers with payload p, 0 for none.
func (t *twins) move(n *node, p uint64) {
	if n.print == p {
		return
	}
	if s, ok := t.sharing[n.print]; ok {
		if s.n--; s.n == 0 {
			delete(t.sharing, n.print)
		} else {
			if s.a == n {
				s.a = nil
			}
			if s.b == n {
				s.b = nil
			}
			t.sharing[n.print] = s
		}
	}
	if n.print = p; p == 0 {
		return
	}
	s := t.sharing[p]
	switch s.n++; {
	case s.a == nil:
		s.a = n
	case s.b == nil:
		s.b = n
	}
	t.sharing[p] = s
}

// compare looks at a valid answer of n in the light of the others', and returns the verdict on it. The caller holds the
// mutex, and has not let n observe it yet.
func (e *Engine) compare(n *node, v verdict, now time.Time) verdict {
	t := &e.twins
	p := t.print(&v.sum)
	fresh := p != n.print
	if fresh {
		if n.sinceJump++; n.jumped(v.sum.RecordCount, now) {
			n.sinceJump = 0
			e.askCandidates(n, v.sum.RecordCount, now)
		}
	}
	t.move(n, p)
	n.askedAt, n.seriesCount = now, v.sum.RecordCount
	if s := t.sharing[p]; fresh && s.n > 1 {
		e.suspect(n, n.paired(s.other(n)), &v.sum)
	}
	e.judgePair(n, now)
	for _, x := range n.suspects {
		e.judgePair(x, now)
	}
	if w := n.twin; w != nil {
		// While the two answer alike there is nothing to learn: idle nodes of one image would ask each other for ever.
		if n.print != w.other.print && now.Sub(w.other.pub.PolledAt) > sameMoment/2 {
			e.enqueueIfRunning(w.other)
		}
		if w.sure && w.other.pub.Valid {
			return verdict{reachable: true}.invalid(fmt.Sprintf("answers with the data of %s: %d answers of both were the same", w.other.url, w.payloads))
		}
	}
	return v
}

// paired is who n's payload is evidence with, where several share it: who is already suspected with n, else whoever.
func (n *node) paired(whoever *node) *node {
	if n.twin != nil && n.twin.other.print == n.print {
		return n.twin.other
	}
	for _, x := range n.suspects {
		if x.print == n.print {
			return x
		}
	}
	return whoever
}

// suspect counts that a, which answered now, and b share a payload.
func (e *Engine) suspect(a, b *node, sum *summary) {
	if b == nil {
		return
	}
	// The one that jumped answers with the other's data; without a jump, the later in the list does.
	who, other := a, b
	aJumped, bJumped := a.hasJumped(), b.hasJumped()
	switch {
	case a.twin != nil && a.twin.other == b:
	case b.twin != nil && b.twin.other == a, bJumped && !aJumped, aJumped == bJumped && b.index > a.index:
		who, other = b, a
	}
	for range 4 { // whose data they are in the end
		if other.twin != nil && other.twin.other != who {
			other = other.twin.other
		}
	}
	if other == who || other.twin != nil {
		return
	}
	d := digits(sum)
	if d < leastDigits {
		return
	}
	w, jumped := who.twin, who.hasJumped() && !other.hasJumped()
	if w == nil || w.other != other {
		e.clear(who)
		w = &twin{other: other}
		if jumped {
			w.bits = jumpBits
		}
		who.twin = w
		other.suspects = append(other.suspects, who)
	}
	w.misses = 0
	if p := a.print; w.last != p {
		w.last = p
		w.payloads++
		w.bits += bitsPerDigit * float64(min(d, mostDigits))
	}
	if !w.sure && w.bits >= twinBits && w.payloads >= twinPayloads {
		w.sure = true
		e.enqueueIfRunning(who) // its state follows from its next answer
	}
}

// judgePair ends a suspicion of n when both were asked at the same moment and answered otherwise, again and again.
func (e *Engine) judgePair(n *node, now time.Time) {
	w := n.twin
	if w == nil || n.print == 0 || w.other.print == 0 || n.print == w.other.print {
		return
	}
	for _, x := range [2]*node{n, w.other} {
		if now.Sub(x.askedAt) > sameMoment {
			return
		}
	}
	if w.misses++; w.misses >= missesToClear {
		e.clear(n)
	}
}

// clear ends a suspicion.
func (e *Engine) clear(n *node) {
	if n.twin == nil {
		return
	}
	o := n.twin.other
	if i := slices.Index(o.suspects, n); i >= 0 {
		o.suspects = slices.Delete(o.suspects, i, i+1)
	}
	n.twin = nil
}

// forget takes a node that is listed no more out of all comparisons.
func (e *Engine) forget(n *node) {
	e.twins.move(n, 0)
	e.clear(n)
	for len(n.suspects) > 0 {
		e.clear(n.suspects[0])
	}
}

// jumped tells whether a count is not of a node's own series: it fell, or grew by far more than its rate explains.
func (n *node) jumped(records int64, now time.Time) bool {
	if !n.pub.HasData || n.print == 0 {
		return false
	}
	more := float64(records - n.seriesCount)
	expected := n.pub.RecordsPerSecond * now.Sub(n.askedAt).Seconds()
	return more < 0 || n.rated && more > jumpLeast+10*expected
}

func (n *node) hasJumped() bool { return n.print != 0 && n.sinceJump < jumpRemembered }

// askCandidates asks the nodes whose counts a jump may have landed on: those nearest to it.
func (e *Engine) askCandidates(n *node, records int64, now time.Time) {
	t := &e.twins
	if now.Sub(t.interval) > e.limits.poll {
		t.interval, t.asked = now, 0
	}
	if records == 0 || t.asked >= candidateRate {
		return
	}
	t.asked++ // looking for them costs something, too
	type candidate struct {
		n   *node
		off int64
	}
	var near []candidate
	for _, m := range e.nodes {
		if m == n || m.print == 0 || !m.pub.Valid {
			continue
		}
		passed := now.Sub(m.askedAt).Seconds()
		off := records - m.seriesCount
		if most := int64(3*m.pub.RecordsPerSecond*passed) + candidateSlack; off >= -most && off <= most {
			near = append(near, candidate{m, max(off, -off)})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return int(min(max(a.off-b.off, -1), 1)) })
	for _, c := range near[:min(len(near), mostCandidates, candidateRate-t.asked)] {
		t.asked++
		e.enqueueIfRunning(c.n)
	}
}

func (e *Engine) enqueueIfRunning(n *node) {
	if e.run != nil && e.scheduling {
		e.enqueue(n)
	}
}
