package judge

// distinct counts rows whose value was there before.
type distinct interface {
	// add tells whether the value is known to have been there before.
	add(h uint64, at Where) bool
	// remove takes a value out that left the window.
	remove(h uint64)
	// share is the part of all values that is watched.
	share() float64
	// failed is how many rows repeat a value; an estimate where share is below 1.
	failed() (int64, error)
	close() error
}

// watched counts rows whose value was there before, in memory that is bounded: once more than limit values are
// remembered, only those whose hash falls into a share of one half, one quarter, … stay watched, old and new alike, so
// that the count over the share, scaled up, estimates the count over all.
type watched struct {
	counts map[uint64]uint32
	limit  int
	shift  uint // the share watched is 1/2^shift
	repeat int64
}

func newWatched(limit int) *watched {
	return &watched{counts: map[uint64]uint32{}, limit: limit}
}

func (d *watched) isWatched(h uint64) bool { return h&(1<<d.shift-1) == 0 }

// add tells whether the value is watched and was there before.
func (d *watched) add(h uint64, _ Where) bool {
	if !d.isWatched(h) {
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

func (d *watched) remove(h uint64) {
	if !d.isWatched(h) {
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

func (d *watched) halve() {
	for len(d.counts) > d.limit && d.shift < 32 {
		d.shift++
		for h, n := range d.counts {
			if !d.isWatched(h) {
				d.repeat -= int64(n) - 1
				delete(d.counts, h)
			}
		}
	}
}

// share is the part of all values that is watched.
func (d *watched) share() float64 { return 1 / float64(uint64(1)<<d.shift) }

// failed estimates the rows whose value was there before; exact while share is 1.
func (d *watched) failed() (int64, error) { return d.repeat << d.shift, nil }

func (d *watched) close() error { return nil }
