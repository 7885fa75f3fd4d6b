package scan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Nulls is what was found null in a run of rows.
type Nulls struct {
	Rows    int64
	Columns []ColumnNulls

	work *walk
}

// ColumnNulls is what was found null in a column. Rows are numbered from 0.
type ColumnNulls struct {
	Count       int64
	First, Last int64 // rows with a null
	// Samples are the first rows with a null, at most as many as there is room for.
	Samples []NullSample
}

// NullSample is a row with a null: its number, and its offset in the text.
type NullSample struct {
	Row    int64
	Offset int
}

// NewNulls makes room for columns and samples.
func NewNulls(columns, samples int) *Nulls {
	n := &Nulls{Columns: make([]ColumnNulls, columns)}
	for i := range n.Columns {
		n.Columns[i].Samples = make([]NullSample, 0, samples)
	}
	return n
}

// Reset empties n.
func (n *Nulls) Reset() {
	n.Rows = 0
	for i := range n.Columns {
		c := &n.Columns[i]
		c.Count, c.Samples = 0, c.Samples[:0]
	}
}

// Add counts a null. Nulls of one column are added in the order of their rows.
func (c *ColumnNulls) Add(row int64, offset int) {
	if c.Count < int64(cap(c.Samples)) {
		if c.Count == 0 {
			c.First = row
		}
		c.Samples = append(c.Samples, NullSample{row, offset})
	}
	c.Count++
	c.Last = row
}

// nullTexts are the fields pandas reads as missing values, besides the empty one.
var nullTexts = []string{"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}

// mayBeNull tells by a field's first byte which lengths a field that means null may have, a bit each: as it stands, in
// quotes, with the CR of the line's end.
var mayBeNull = func() (t [256]uint64) {
	for i := range t {
		t[i] = 1
	}
	t['\r'] |= 1 << 1
	for n := range 9 { // the longest has 8
		t['"'] |= 1<<(n+2) | 1<<(n+3)
	}
	for _, s := range nullTexts {
		t[s[0]] |= 1<<len(s) | 1<<(len(s)+1)
	}
	return t
}()

// mayBeQuotedNull tells the same of a field in quotes by its second byte.
var mayBeQuotedNull = func() (t [256]uint64) {
	t['"'] = 1<<2 | 1<<3
	for _, s := range nullTexts {
		t[s[0]] |= 1<<(len(s)+2) | 1<<(len(s)+3)
	}
	return t
}()

// nullWords are the null texts as the bytes of a word, each at the place that its product with nullFactor tells; the
// empty one is at 0. Found by trying, the factor takes no two to one place.
var nullWords = func() (t [32]struct{ word, length uint64 }) {
	for _, s := range nullTexts {
		var b [8]byte
		copy(b[:], s)
		w := binary.LittleEndian.Uint64(b[:])
		t[w*nullFactor>>59].word, t[w*nullFactor>>59].length = w, uint64(len(s))
	}
	return t
}()

const nullFactor = 0x4501bdd9cf369a07

// isNullField tells whether the field of a length at data[start:] is null. Its quotes and, with crlf, the CR of the line's
// end are not part of the text.
func isNullField(data []byte, start, length int, crlf bool) bool {
	if crlf && length > 0 && data[start+length-1] == '\r' && data[start+length] == '\n' {
		length--
	}
	if length >= 2 && data[start] == '"' {
		start, length = start+1, length-2
	}
	if start+8 > len(data) {
		return length <= 8 && IsNullText(data[start:start+length])
	}
	unused := uint(64 - 8*length) // enormous when the field is longer than a word
	w := binary.LittleEndian.Uint64(data[start:]) << unused >> unused
	at := &nullWords[w*nullFactor>>59]
	return at.word == w && at.length == uint64(length)
}

// CountNulls adds the nulls of the rows at the start of data to n, as Row would find them but 64 bytes at a time. It
// stops, at the start of a row, before whatever is out of the ordinary: a row with more fields than n has columns,
// quotes where RFC 4180 has none, and the last bytes of data. It gives how far it came. crlf tells that there are CRs in
// data; each must be followed by an LF. Data must be shorter than 4 GB.
func (c *CSV) CountNulls(data []byte, crlf bool, n *Nulls) int {
	if c.Comma >= 0x80 {
		return 0 // marks are of ASCII only
	}
	if n.work == nil {
		n.work = newWalk(len(n.Columns))
	}
	w, m := n.work, newMarker(data, c.Comma)
	w.row, w.start, w.field, w.waiting = 0, 0, 0, 0
	for {
		at := m.at
		got := m.marks(w.marks[:])
		suspects, ends := w.over(data, at, w.marks[:got])
		if !n.count(data, crlf, suspects, ends) || got < len(w.marks) {
			return w.row
		}
	}
}

// A text is walked over in chunks small enough for the nearest cache, 4 KB: first all their fields' ends are marked, then
// the few fields are found that may be null, then those and the rows are counted. Each step is a loop of its own, because
// each has as many variables as a processor has registers.
const (
	chunkBlocks = 64
	chunkFields = chunkBlocks * blockBytes // at most, each an end and nothing else
)

// walk is the state between chunks, and the room for what is found in one.
type walk struct {
	width   uint32
	inverse uint64 // 2^32/width, rounded up: field*inverse>>32 is field/width for any field of a chunk
	row     int    // where the row at hand starts
	start   int    // where its field at hand starts
	field   uint32 // and which it is
	waiting int    // suspects of the row at hand from chunks before

	marks    [chunkBlocks]uint64
	suspects []suspect
	ends     [chunkFields]rowEnd
}

func newWalk(width int) *walk {
	return &walk{width: uint32(width), inverse: (1<<32-1)/uint64(max(1, width)) + 1, suspects: make([]suspect, chunkFields+width+1)}
}

// suspect is a field that may be null. Fields are numbered from the first of the row that was at hand when the chunk began.
type suspect struct{ start, length, field uint32 }

// rowEnd is where the next row starts, and the number of its first field.
type rowEnd struct{ next, field uint32 }

// over walks over the fields of a chunk, whose ends are marked, and keeps those that may be null and the ends of rows.
func (w *walk) over(data []byte, at int, marks []uint64) ([]suspect, []rowEnd) {
	start, field, n, r := w.start, w.field, w.waiting, 0
	suspects, ends := w.suspects, &w.ends
	for _, mark := range marks {
		for mark != 0 {
			end := at + bits.TrailingZeros64(mark)
			mark &= mark - 1
			// A length beyond 63 is taken for a shorter one; isNullField knows better.
			if length := uint32(end - start); mayBeNull[data[start]]>>(length&63)&1 != 0 {
				s := &suspects[n]
				s.start, s.length, s.field = uint32(start), length, field
				n++
			}
			field++
			start = end + 1
			if data[end] == '\n' {
				e := &ends[r&(chunkFields-1)]
				e.next, e.field = uint32(start), field
				r++
			}
		}
		at += blockBytes
	}
	w.start, w.field = start, field
	return suspects[:n], ends[:r]
}

// count counts the rows that end in a chunk and the suspects in them that are null. It is false, and the row at hand then
// that one, when a row has more fields than there are columns.
func (n *Nulls) count(data []byte, crlf bool, suspects []suspect, ends []rowEnd) bool {
	w := n.work
	regular := w.width > 1 // else a row may be a blank line
	for i := range ends {
		regular = regular && ends[i].field == uint32(i+1)*w.width
	}
	if !regular {
		return n.countIrregular(data, crlf, suspects, ends)
	}
	first := uint32(len(ends)) * w.width // of the row at hand
	for i := range suspects {
		s := &suspects[i]
		if s.field >= first {
			break
		}
		if data[s.start] == '"' && mayBeQuotedNull[data[s.start+1]]>>(s.length&63)&1 == 0 {
			continue // most fields in quotes are short enough to be suspects
		}
		if !isNullField(data, int(s.start), int(s.length), crlf) {
			continue
		}
		row := uint32(uint64(s.field) * w.inverse >> 32)
		offset := w.row
		if row > 0 {
			offset = int(ends[row-1].next)
		}
		n.Columns[s.field-row*w.width].Add(n.Rows+int64(row), offset)
	}
	if len(ends) > 0 {
		w.row = int(ends[len(ends)-1].next)
	}
	n.Rows += int64(len(ends))
	return w.next(first, suspects)
}

// countIrregular is count where rows are short, long or blank.
func (n *Nulls) countIrregular(data []byte, crlf bool, suspects []suspect, ends []rowEnd) bool {
	w, first := n.work, uint32(0)
	for _, end := range ends {
		fields := end.field - first
		if fields > w.width {
			return false
		}
		row, blank := w.row, false
		w.row = int(end.next)
		if length := w.row - row; fields == 1 && (length == 1 || length == 2 && data[row] == '\r') {
			blank = true
		}
		for len(suspects) > 0 && suspects[0].field < end.field {
			if s := &suspects[0]; !blank && isNullField(data, int(s.start), int(s.length), crlf) {
				n.Columns[s.field-first].Add(n.Rows, row)
			}
			suspects = suspects[1:]
		}
		first = end.field
		if blank {
			continue
		}
		for column := fields; column < w.width; column++ {
			n.Columns[column].Add(n.Rows, row)
		}
		n.Rows++
	}
	return w.next(first, suspects)
}

// next keeps what was found of the row at hand, whose first field is given, for the next chunk. It is false when that row
// has too many fields already.
func (w *walk) next(first uint32, suspects []suspect) bool {
	if w.field -= first; w.field > w.width {
		return false
	}
	w.waiting = 0
	for i := range suspects {
		if suspects[i].field >= first {
			w.suspects[w.waiting] = suspects[i]
			w.suspects[w.waiting].field -= first
			w.waiting++
		}
	}
	return true
}

// LineEnds tells of the CRs of data whether there are any, and whether each is followed by an LF.
func LineEnds(data []byte) (crs, onlyCRLF bool) {
	for {
		i := bytes.IndexByte(data, '\r')
		if i < 0 {
			return crs, true
		}
		if crs = true; i+1 >= len(data) || data[i+1] != '\n' {
			return true, false
		}
		data = data[i+2:]
	}
}
