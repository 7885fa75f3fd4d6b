package scan

import "bytes"

// CSV scans rows of RFC 4180 text: fields between delimiters, quoted ones with doubled quotes and line breaks inside,
// rows ended by LF, CRLF or CR. What the RFC does not allow but files contain is read as pandas reads it, and reported
// as Irregular: a quote inside an unquoted field is itself; text after a closing quote belongs to the field.
type CSV struct {
	Comma byte
	// Irregular is set once quotes were met where RFC 4180 has none.
	Irregular bool

	special [256]bool
	fields  []Field
	scratch []byte
}

// NewCSV makes a scanner for a delimiter.
func NewCSV(comma byte) *CSV {
	c := &CSV{Comma: comma}
	for _, b := range []byte{comma, '\n', '\r'} {
		c.special[b] = true
	}
	return c
}

// Row scans the row at the start of data and gives its fields and its length with the line end. Length 0 means that
// the row does not end in data; with final set, the end of data ends the row. A blank line is a row of one empty field.
// open tells that the end came inside quotes.
func (c *CSV) Row(data []byte, final bool) (fields []Field, length int, open bool) {
	c.fields, c.scratch = c.fields[:0], c.scratch[:0]
	i := 0
	for {
		if i < len(data) && data[i] == '"' {
			raw, next, closed := c.quoted(data, i)
			if !closed {
				return c.fields, 0, true
			}
			c.fields = append(c.fields, Field{Raw: raw, Kind: textKind(raw)})
			i = next
		} else {
			from := i
			for i < len(data) && !c.special[data[i]] {
				if data[i] == '"' {
					c.Irregular = true
				}
				i++
			}
			c.fields = append(c.fields, Field{Raw: data[from:i], Kind: textKind(data[from:i])})
		}
		if i >= len(data) {
			if final {
				return c.fields, len(data), false
			}
			return c.fields, 0, false
		}
		switch data[i] {
		case c.Comma:
			i++
		case '\n':
			return c.fields, i + 1, false
		default: // \r
			if i+1 >= len(data) && !final {
				return c.fields, 0, false // the LF may be yet to come
			}
			if i+1 < len(data) && data[i+1] == '\n' {
				i++
			}
			return c.fields, i + 1, false
		}
	}
}

// quoted reads a field from its opening quote to the delimiter, line end or end of data behind it.
func (c *CSV) quoted(data []byte, i int) (raw []byte, next int, closed bool) {
	i++
	from := i
	end := bytes.IndexByte(data[i:], '"')
	if end < 0 {
		return nil, 0, false
	}
	i += end + 1
	if i >= len(data) || c.special[data[i]] {
		return data[from : i-1], i, true
	}
	// Doubled quotes, or text after the closing quote: the value must be put together.
	start := len(c.scratch)
	c.scratch = append(c.scratch, data[from:i-1]...)
	for tail := false; i < len(data) && !c.special[data[i]]; {
		if data[i] != '"' || tail {
			tail, c.Irregular = true, true // text after a closing quote
			c.scratch = append(c.scratch, data[i])
			i++
			continue
		}
		// A quote right after a quote: one quote of the value, and inside again.
		c.scratch = append(c.scratch, '"')
		i++
		end := bytes.IndexByte(data[i:], '"')
		if end < 0 {
			return nil, 0, false
		}
		c.scratch = append(c.scratch, data[i:i+end]...)
		i += end + 1
	}
	return c.scratch[start:], i, true
}

func textKind(b []byte) Kind {
	if len(b) <= 8 && IsNullText(b) {
		return Null
	}
	return Text
}

// IsNullText tells whether a field of a CSV file is one of the texts pandas reads as a missing value.
func IsNullText(b []byte) bool {
	switch string(b) {
	case "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
		"NULL", "NaN", "None", "n/a", "nan", "null":
		return true
	}
	return false
}

// LastRowEnd is the index behind the last row end in data that lies outside quotes, given whether data starts inside
// quotes; 0 if there is none. open tells whether data ends inside quotes. It trusts that every quote opens, closes or
// is doubled, as RFC 4180 has it.
func LastRowEnd(data []byte) (end int, open bool) {
	open = bytes.Count(data, quote)&1 == 1
	// Most texts have an LF outside quotes close to their end.
	inside := open
	for rest := data; ; {
		n := bytes.LastIndexByte(rest, '\n')
		if n < 0 {
			return lastCR(data, open), open
		}
		if bytes.Count(rest[n:], quote)&1 == 1 {
			inside = !inside
		}
		if !inside {
			return n + 1, open
		}
		rest = rest[:n]
	}
}

// lastCR is the index behind the last CR outside quotes in a text without LFs outside quotes.
func lastCR(data []byte, inside bool) int {
	for i := len(data) - 1; i >= 0; i-- {
		switch {
		case data[i] == '"':
			inside = !inside
		case data[i] == '\r' && !inside && i < len(data)-1: // the LF of a CR at the very end may be yet to come
			return i + 1
		}
	}
	return 0
}

var quote = []byte{'"'}

// Sniff guesses the delimiter from the start of a file: the one of , ; tab and | that cuts the first rows into the
// same number of fields, and most of them. A file of one column has a comma, for want of any other.
func Sniff(start []byte, whole bool) byte {
	best, bestScore := byte(','), 0
	for _, comma := range []byte{',', ';', '\t', '|'} {
		c := NewCSV(comma)
		width, rows, same := 0, 0, 0
		for rest := start; len(rest) > 0 && rows < 50; {
			fields, n, _ := c.Row(rest, whole)
			if n == 0 {
				break
			}
			rest = rest[n:]
			if len(fields) == 1 && len(fields[0].Raw) == 0 {
				continue
			}
			if rows == 0 {
				width = len(fields)
			}
			if rows++; len(fields) == width {
				same++
			}
		}
		if width < 2 {
			continue
		}
		if score := same*1000/rows*100 + min(width, 99); score > bestScore {
			best, bestScore = comma, score
		}
	}
	return best
}
