package judge

import (
	"time"

	"weir/backend/mesh/scan"
)

// Sample is one failing row, or one undecodable record with the reason as its value. It is masked already but not
// cleaned for a screen.
type Sample struct {
	Where
	Value  string // that fails; where none does, for it is null or absent, the whole record
	Record string // of a live topic: the whole record, longer than Value has it

	number int64 // of the record in a window by count
}

// finding is what is known of the rows that fail one check.
type finding struct {
	count       int64
	first, last Where
	samples     []Sample // the first KeepSamples; of a window, the first after the newest look at it
	look        uint64
	since       int // samples taken since that look
}

// tally is what is known of one column.
type tally struct {
	present int64 // rows that have the column, be it null
	nonNull int64
	nulls   finding
}

// count takes note of n rows that have the column, and tells how many more of them are not null.
func (t *tally) count(kind scan.Kind, n int64) (nonNull int) {
	t.present += n
	if kind <= scan.Null {
		return 0
	}
	t.nonNull += n
	return 1
}

// sheet holds the counters of all rows of one span of time, or of one file.
type sheet struct {
	index       int64 // of its span, since 1970
	rows        int64
	undecodable int64
	columns     []tally
	checks      []finding
	judged      []int64 // rows looked at for duplicates, by distinct
	hashes      [][]uint64
	rowsOf      [][]uint32 // rows of the hashes, where they are deferred
	garbage     finding

	// Of a window by count: the traces of its records, how many of them have left, and how many of the hashes.
	traces []uint32
	head   int
	popped []int
}

func (s *sheet) grow(j *Judge) {
	for len(s.columns) < len(j.columns) {
		s.columns = append(s.columns, tally{})
	}
	if len(s.checks) < len(j.checks) {
		s.checks = make([]finding, len(j.checks))
		s.judged = make([]int64, len(j.distincts))
		s.hashes = make([][]uint64, len(j.distincts))
		s.rowsOf = make([][]uint32, len(j.distincts))
	}
}

// clear empties the sheet, keeping its memory, and takes its values out of the distincts.
func (s *sheet) clear(j *Judge) {
	for d, hashes := range s.hashes {
		for _, h := range hashes {
			j.distincts[d].remove(h)
		}
	}
	s.forget()
}

// forget empties the sheet.
func (s *sheet) forget() {
	for d := range s.hashes {
		s.hashes[d] = s.hashes[d][:0]
		s.rowsOf[d] = s.rowsOf[d][:0]
	}
	for i := range s.columns {
		t := &s.columns[i]
		t.present, t.nonNull = 0, 0
		t.nulls.clear()
	}
	for i := range s.checks {
		s.checks[i].clear()
	}
	clear(s.judged)
	s.garbage.clear()
	s.rows, s.undecodable = 0, 0
}

func (f *finding) clear() { *f = finding{samples: f.samples[:0]} }

// merge adds the finding of a later span.
func (f *finding) merge(o *finding, base int64) {
	if o.count == 0 {
		return
	}
	if f.count == 0 {
		f.first = o.first
		f.first.Offset += base
	}
	f.count += o.count
	f.last = o.last
	f.last.Offset += base
	for _, s := range o.samples {
		if len(f.samples) == KeepSamples {
			break
		}
		s.Offset += base
		f.samples = append(f.samples, s)
	}
}

// ring is a sliding window: a sheet for each of its buckets, the oldest cleared as time goes on.
type ring struct {
	judge  *Judge
	width  time.Duration
	sheets []sheet
	newest int64
	cached *sheet // of the bucket used last
}

func newRing(window time.Duration, j *Judge) ring {
	if j.byCount != nil {
		r := ring{judge: j, sheets: make([]sheet, j.byCount.sheets())}
		for i := range r.sheets {
			r.sheets[i].index = -1
		}
		return r
	}
	if window <= 0 {
		return ring{judge: j, sheets: make([]sheet, 1)}
	}
	width := max(window/buckets, time.Millisecond)
	n := max(int((window+width-1)/width), 1)
	r := ring{judge: j, width: width, sheets: make([]sheet, n)}
	for i := range r.sheets {
		r.sheets[i].index = -1
	}
	return r
}

func (r *ring) only() *sheet {
	r.sheets[0].grow(r.judge)
	return &r.sheets[0]
}

// at is the sheet of a moment, nil if the window has passed it.
func (r *ring) at(t time.Time) *sheet {
	index := t.UnixNano() / int64(r.width)
	if r.cached != nil && r.cached.index == index {
		return r.cached
	}
	if index > r.newest {
		r.advance(index)
	}
	n := int64(len(r.sheets))
	if index <= r.newest-n || index < 0 {
		return nil
	}
	s := &r.sheets[index%n]
	if s.index != index {
		s.clear(r.judge)
		s.index = index
	}
	s.grow(r.judge)
	r.cached = s
	return s
}

// advance moves the window's end to a bucket and clears what fell out of it.
func (r *ring) advance(index int64) {
	r.newest, r.cached = index, nil
	for i := range r.sheets {
		if s := &r.sheets[i]; s.index >= 0 && s.index <= index-int64(len(r.sheets)) {
			s.clear(r.judge)
			s.index = -1
		}
	}
}

// Advance tells the judge what time it is, so that rows leave the window though none come.
func (j *Judge) Advance(now time.Time) {
	if j.options.Window <= 0 {
		return
	}
	if index := now.UnixNano() / int64(j.ring.width); index > j.ring.newest {
		j.ring.advance(index)
	}
}
