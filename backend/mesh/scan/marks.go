package scan

import (
	"bytes"
	"encoding/binary"
)

// A text is looked at in blocks of 64 bytes, eight bytes at a time, and what is found is a bit a byte: bit i of a block's
// mark stands for its byte i. That way a byte costs two machine operations instead of a branch.
const (
	ones = 0x0101010101010101
	low7 = 0x7f7f7f7f7f7f7f7f
	tops = 0x8080808080808080
	// gather brings the top bits of eight bytes together in the highest byte: bit 8i+7 times 2^(7(7-i)) is bit 56+i, and no
	// other product meets it.
	gather = 0x0002040810204081

	blockBytes = 64
)

func word(d *[blockBytes]byte, i int) uint64 { return binary.LittleEndian.Uint64(d[i : i+8]) }

// neither has the top bit of each byte of w that is neither a (eight times the one character) nor b. Both are ASCII: the
// sums carry into no other byte, and a byte of w beyond ASCII is neither.
func neither(w, a, b uint64) uint64 {
	m := w & low7
	return (((m^a)+low7)&((m^b)+low7) | w) & tops
}

func isNot(w, a uint64) uint64 { return (((w & low7) ^ a) + low7 | w) & tops }

// marksOf marks the bytes of a block that are a or b.
func marksOf(d *[blockBytes]byte, a, b uint64) uint64 {
	w0, w1, w2, w3 := word(d, 0), word(d, 8), word(d, 16), word(d, 24)
	w4, w5, w6, w7 := word(d, 32), word(d, 40), word(d, 48), word(d, 56)
	return ^(neither(w0, a, b)*gather>>56 | neither(w1, a, b)*gather>>56<<8 | neither(w2, a, b)*gather>>56<<16 | neither(w3, a, b)*gather>>56<<24 |
		neither(w4, a, b)*gather>>56<<32 | neither(w5, a, b)*gather>>56<<40 | neither(w6, a, b)*gather>>56<<48 | neither(w7, a, b)*gather>>56<<56)
}

// marksOfOne marks the bytes of a block that are a.
func marksOfOne(d *[blockBytes]byte, a uint64) uint64 {
	w0, w1, w2, w3 := word(d, 0), word(d, 8), word(d, 16), word(d, 24)
	w4, w5, w6, w7 := word(d, 32), word(d, 40), word(d, 48), word(d, 56)
	return ^(isNot(w0, a)*gather>>56 | isNot(w1, a)*gather>>56<<8 | isNot(w2, a)*gather>>56<<16 | isNot(w3, a)*gather>>56<<24 |
		isNot(w4, a)*gather>>56<<32 | isNot(w5, a)*gather>>56<<40 | isNot(w6, a)*gather>>56<<48 | isNot(w7, a)*gather>>56<<56)
}

// marker finds the ends of fields of a CSV text that starts outside quotes: the delimiters and LFs that are not inside
// quotes. It goes as far as the quotes are where RFC 4180 has them.
type marker struct {
	data  []byte
	comma uint64
	at    int // of the next block
	// quote is where the next quote is at the earliest, len(data) if there is none.
	quote int
	// What the last byte of the block before was: inside quotes (all ones), one behind which a field may open, a quote that
	// closed.
	inside, opening, closed uint64
}

func newMarker(data []byte, comma byte) marker {
	m := marker{data: data, comma: uint64(comma) * ones, opening: 1}
	m.quote = m.nextQuote(0)
	return m
}

func (m *marker) nextQuote(from int) int {
	if i := bytes.IndexByte(m.data[from:], '"'); i >= 0 {
		return from + i
	}
	return len(m.data)
}

// marks fills ends with the marks of the next blocks and gives how many it filled. Fewer than all means that less than a
// block is left, or that the next one has a quote where RFC 4180 has none.
func (m *marker) marks(ends []uint64) int {
	const lf = ones * '\n'
	at, data, comma, quote := m.at, m.data, m.comma, m.quote
	for i := range ends {
		if len(data)-at < blockBytes {
			m.at = at
			return i
		}
		block := (*[blockBytes]byte)(data[at:])
		mark := marksOf(block, comma, lf)
		if at+blockBytes > quote || m.inside|m.closed != 0 {
			m.at = at + blockBytes
			var ok bool
			if mark, ok = m.quoted(block, mark); !ok {
				m.at = at
				return i
			}
			quote = m.quote
		}
		m.opening = mark >> 63
		ends[i] = mark
		at += blockBytes
	}
	m.at = at
	return len(ends)
}

// quoted takes the marks inside quotes off. It is not ok when a quote opens but behind a field's end, or closes but before
// one; a doubled quote closes and opens again.
func (m *marker) quoted(block *[blockBytes]byte, mark uint64) (uint64, bool) {
	quotes := marksOfOne(block, ones*'"')
	// Behind a block with many quotes the next one has some too; behind any other they are looked for.
	if one := quotes & (quotes - 1); one&(one-1) != 0 {
		m.quote = m.at
	} else if m.quote < m.at {
		m.quote = m.nextQuote(m.at)
	}
	// Bit i of the sum of all bits up to it, without carries, is whether byte i is inside quotes (an opening quote is, a
	// closing one is not).
	inside := quotes
	inside ^= inside << 1
	inside ^= inside << 2
	inside ^= inside << 4
	inside ^= inside << 8
	inside ^= inside << 16
	inside ^= inside << 32
	inside ^= m.inside
	opens, closes := quotes&inside, quotes&^inside
	behind := closes<<1 | m.closed // bytes behind a closing quote
	ends := mark &^ inside
	if opens&^(ends<<1|m.opening|behind) != 0 {
		return 0, false
	}
	if odd := behind &^ (ends | quotes); odd != 0 && odd&^marksOfOne(block, ones*'\r') != 0 {
		return 0, false // of a CR it is known that an LF follows
	}
	m.inside, m.closed = uint64(int64(inside)>>63), closes>>63
	return ends, true
}
