package judge

// distinct counts rows whose value was there before, in memory that is bounded: once more than limit values are
// remembered, only those whose hash falls into a share of one half, one quarter, … stay watched, old and new alike, so
// that the count over the share, scaled up, estimates the count over all.
type distinct struct {
	counts map[uint64]uint32
	limit  int
	shift  uint // the share watched is 1/2^shift
	repeat int64
}

func newDistinct(limit int) *distinct {
	return &distinct{counts: map[uint64]uint32{}, limit: limit}
}

func (d *distinct) watched(h uint64) bool { return h&(1<<d.shift-1) == 0 }

// add tells whether the value is watched and was there before.
func (d *distinct) add(h uint64) bool {
	if !d.watched(h) {
		return false
	}
	n := d.counts[h]
	d.counts[h] = n + 1
	if n > 0 {
		d.repeat++
		return true
	}
	if len(d.counts) > d.limit {
		d.halve()
	}
	return false
}

func (d *distinct) remove(h uint64) {
	if !d.watched(h) {
		return
	}
	switch n := d.counts[h]; n {
	case 0:
	case 1:
		delete(d.counts, h)
	default:
		d.counts[h] = n - 1
		d.repeat--
	}
}

func (d *distinct) halve() {
	for len(d.counts) > d.limit && d.shift < 32 {
		d.shift++
		for h, n := range d.counts {
			if !d.watched(h) {
				d.repeat -= int64(n) - 1
				delete(d.counts, h)
			}
		}
	}
}

// share is the part of all values that is watched.
func (d *distinct) share() float64 { return 1 / float64(uint64(1)<<d.shift) }

// failed estimates the rows whose value was there before; exact while share is 1.
func (d *distinct) failed() int64 { return d.repeat << d.shift }
