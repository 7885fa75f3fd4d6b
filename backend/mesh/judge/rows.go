package judge

import "encoding/binary"

// A window by count holds the newest so many records, exactly: when one comes, the oldest leaves. What a record added to the
// counters is its trace; records mostly leave the same one, so that each trace is kept once and a record is a number.

// DefaultMaxRows bounds a window by count.
const DefaultMaxRows = 10_000_000

// rows is what a window by count knows of its records, the oldest first.
type rows struct {
	limit  int64
	per    int64 // records a sheet
	first  int64 // number of the oldest record in the window, from 0
	next   int64 // number of the next record
	row    sheet // where the record at hand is counted first
	key    []byte
	ids    map[string]uint32 // of traces
	traces []trace
	free   []uint32
}

// trace is what a record adds to the counters.
type trace struct {
	codes string // four bytes each: what is counted, and its index
	refs  int64
}

// What a code counts.
const (
	isRow = iota
	isUndecodable
	isPresent
	isNonNull
	isNull
	isFailed
	isJudged
)

func newRows(limit int64) *rows {
	limit = min(limit, DefaultMaxRows)
	return &rows{limit: limit, per: max(1, (limit+buckets-1)/buckets), ids: map[string]uint32{}}
}

// sheets is how many sheets a window needs: one more than are ever full.
func (r *rows) sheets() int { return int((r.limit+r.per-1)/r.per) + 2 }

// begin gives the sheet the record at hand is counted in, empty.
func (r *rows) begin(j *Judge) *sheet {
	r.row.grow(j)
	r.row.forget()
	return &r.row
}

// take moves what the record at hand was counted as into the window, from which the oldest one leaves if it is full.
func (j *Judge) take() {
	r := j.byCount
	if r.next-r.first == r.limit {
		j.leave()
	}
	from := &r.row
	index := r.next / r.per
	t := &j.ring.sheets[index%int64(len(j.ring.sheets))]
	if t.index != index { // its records have all left
		t.forget()
		t.traces, t.head, t.popped, t.index = t.traces[:0], 0, nil, index
	}
	t.grow(j)
	j.ring.newest = index
	j.sheet = t
	r.key = r.key[:0]
	code := func(what, i int) { r.key = binary.LittleEndian.AppendUint32(r.key, uint32(what)<<24|uint32(i)) }
	if from.rows > 0 {
		t.rows++
		code(isRow, 0)
	}
	if from.undecodable > 0 {
		t.undecodable++
		t.garbage.addOne(&from.garbage, r.next)
		code(isUndecodable, 0)
	}
	for i := range from.columns {
		c := &from.columns[i]
		for range c.present {
			t.columns[i].present++
			code(isPresent, i)
		}
		for range c.nonNull {
			t.columns[i].nonNull++
			code(isNonNull, i)
		}
		if c.nulls.count > 0 {
			j.note(&t.columns[i].nulls, i, nil)
			code(isNull, i)
		}
	}
	for i := range from.checks {
		if from.checks[i].count > 0 {
			c := &j.checks[i]
			j.note(&t.checks[i], c.slots[0], &c.culprit)
			code(isFailed, i)
		}
	}
	for d := range from.judged {
		if from.judged[d] > 0 {
			t.judged[d]++
			t.hashes[d] = append(t.hashes[d], from.hashes[d][0])
			code(isJudged, d)
		}
	}
	t.traces = append(t.traces, r.intern())
	r.next++
}

func (r *rows) intern() uint32 {
	if id, ok := r.ids[string(r.key)]; ok {
		r.traces[id].refs++
		return id
	}
	id := uint32(len(r.traces))
	if n := len(r.free); n > 0 {
		id, r.free = r.free[n-1], r.free[:n-1]
	} else {
		r.traces = append(r.traces, trace{})
	}
	r.traces[id] = trace{codes: string(r.key), refs: 1}
	r.ids[r.traces[id].codes] = id
	return id
}

// leave takes the oldest record out of the counters.
func (j *Judge) leave() {
	r := j.byCount
	s := &j.ring.sheets[r.first/r.per%int64(len(j.ring.sheets))]
	id := s.traces[s.head]
	s.head++
	for codes := r.traces[id].codes; len(codes) > 0; codes = codes[4:] {
		v := uint32(codes[0]) | uint32(codes[1])<<8 | uint32(codes[2])<<16 | uint32(codes[3])<<24
		switch i := v & (1<<24 - 1); v >> 24 {
		case isRow:
			s.rows--
		case isUndecodable:
			s.undecodable--
			s.garbage.drop(r.first)
		case isPresent:
			s.columns[i].present--
		case isNonNull:
			s.columns[i].nonNull--
		case isNull:
			s.columns[i].nulls.drop(r.first)
		case isFailed:
			s.checks[i].drop(r.first)
		case isJudged:
			s.judged[i]--
			for len(s.popped) <= int(i) {
				s.popped = append(s.popped, 0)
			}
			j.distincts[i].remove(s.hashes[i][s.popped[i]])
			s.popped[i]++
		}
	}
	if t := &r.traces[id]; t.refs > 1 {
		t.refs--
	} else {
		delete(r.ids, t.codes)
		*t = trace{}
		r.free = append(r.free, id)
	}
	r.first++
}

// drop takes a record out of a finding, with its sample. Where the first of those left failed is only known if there is
// a sample of it.
func (f *finding) drop(number int64) {
	if f.count--; f.count == 0 {
		f.clear()
		return
	}
	for len(f.samples) > 0 && f.samples[0].number <= number {
		f.samples = f.samples[:copy(f.samples, f.samples[1:])]
	}
	f.first = f.last
	if len(f.samples) > 0 {
		f.first = f.samples[0].Where
	}
}

// addOne adds the one record of another finding.
func (f *finding) addOne(o *finding, number int64) {
	had := len(f.samples)
	if f.merge(o, 0); len(f.samples) > had {
		f.samples[had].number = number
	}
}
