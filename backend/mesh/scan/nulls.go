package scan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Nulls is what CountNulls found in the rows of a text, by column.
type Nulls struct {
	Rows  int64
	Count []int64
	First []int64 // number of the first row, from 0, with a null there
	Last  []int64
	// Samples are the offsets of the first rows with a null there, at most as many as the slices have room for.
	Samples [][]int
	Numbers [][]int64 // numbers of the rows of Samples

	pending []int // columns found null in the row at hand
}

// NewNulls makes room for columns and samples.
func NewNulls(columns, samples int) *Nulls {
	n := &Nulls{Count: make([]int64, columns), First: make([]int64, columns), Last: make([]int64, columns), Samples: make([][]int, columns), Numbers: make([][]int64, columns)}
	for i := range columns {
		n.Samples[i], n.Numbers[i] = make([]int, 0, samples), make([]int64, 0, samples)
	}
	return n
}

// Reset empties n.
func (n *Nulls) Reset() {
	n.Rows = 0
	clear(n.Count)
	for i := range n.Samples {
		n.Samples[i], n.Numbers[i] = n.Samples[i][:0], n.Numbers[i][:0]
	}
}

// endRow counts a row whose columns in n.pending, and all from column on, are null.
func (n *Nulls) endRow(column, rowStart int) {
	for ; column < len(n.Count); column++ {
		n.pending = append(n.pending, column)
	}
	for _, column := range n.pending {
		if n.Count[column] == 0 {
			n.First[column] = n.Rows
		}
		n.Count[column]++
		n.Last[column] = n.Rows
		if s := n.Samples[column]; len(s) < cap(s) {
			n.Samples[column] = append(s, rowStart)
			n.Numbers[column] = append(n.Numbers[column], n.Rows)
		}
	}
	n.pending = n.pending[:0]
	n.Rows++
}

// nullLengths tells by a field's first byte which lengths a text that means null may have, a bit each.
var nullLengths = func() (t [256]uint16) {
	for _, s := range []string{"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"} {
		t[s[0]] |= 1 << len(s)
	}
	return t
}()

// CountNulls adds the nulls of the rows at the start of data to n, as Row would find them but eight bytes at a time. It
// stops, at the start of a row, before whatever is out of the ordinary: a row with more fields than n has columns,
// quotes where RFC 4180 has none, and the last bytes of data. It gives how far it came. Data must be OnlyCRLF.
func (c *CSV) CountNulls(data []byte, n *Nulls) int {
	const ones, low, tops = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f, 0x8080808080808080
	n.pending = n.pending[:0]
	width := len(n.Count)
	comma := uint64(c.Comma) * ones
	i, row, start, column := 0, 0, 0, 0 // row and start are where the row and the field at hand start
words:
	for i+8 <= len(data) {
		w := binary.LittleEndian.Uint64(data[i:])
		// A byte of x is zero where w holds the character; the sums carry into no other byte, so every mark is exact.
		x, y, z := w^comma, w^(ones*'\n'), w^(ones*'"')
		marks := ^(((x&low)+low|x)&((y&low)+low|y)&((z&low)+low|z) | low) & tops
		for marks != 0 {
			at := i + bits.TrailingZeros64(marks)>>3
			marks &= marks - 1
			char := data[at]
			if char == '"' {
				if at != start || column >= width {
					return row
				}
				end := closing(data, at+1)
				if end < 0 || end+1 >= len(data) {
					return row
				}
				next := data[end+1]
				if next == '\r' && end+2 < len(data) {
					next = data[end+2]
				}
				if next != c.Comma && next != '\n' {
					return row
				}
				if end-at <= 9 && IsNullText(data[at+1:end]) {
					n.pending = append(n.pending, column)
				}
				column++
				i = end + 2
				if data[end+1] == '\r' {
					i++
				}
				if next == '\n' {
					n.endRow(column, row)
					column, row = 0, i
				}
				start = i
				continue words
			}
			if column >= width {
				return row
			}
			end := at
			if char == '\n' {
				if end > start && data[end-1] == '\r' {
					end--
				}
				if column == 0 && end == start { // a blank line
					row, start = at+1, at+1
					continue
				}
			}
			if length := end - start; length == 0 || length <= 8 && nullLengths[data[start]]>>length&1 != 0 && IsNullText(data[start:end]) {
				n.pending = append(n.pending, column)
			}
			column++
			start = at + 1
			if char == '\n' {
				n.endRow(column, row)
				column, row = 0, start
			}
		}
		i += 8
	}
	return row
}

// OnlyCRLF tells whether every CR of data is followed by an LF, which CountNulls relies on.
func OnlyCRLF(data []byte) bool {
	for {
		i := bytes.IndexByte(data, '\r')
		if i < 0 {
			return true
		}
		if i+1 >= len(data) || data[i+1] != '\n' {
			return false
		}
		data = data[i+2:]
	}
}

// closing is the index of the quote that closes the field whose text starts at i, or -1. Doubled quotes are passed.
func closing(data []byte, i int) int {
	for {
		n := bytes.IndexByte(data[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		if i+1 < len(data) && data[i+1] == '"' {
			i += 2
			continue
		}
		return i
	}
}
