package mesh

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// jsonLines judges a text of one JSON object a line. Blank lines are skipped; a line that is no object is undecodable.
func (v *validation) jsonLines(text io.Reader) error {
	j := v.ready(false)
	lines := bufio.NewReaderSize(text, 1<<20)
	where := v.where(0)
	var long []byte
	for {
		line, err := lines.ReadSlice('\n')
		if len(long)+len(line) > maxRow {
			return fmt.Errorf("line %d: longer than %d bytes", where.Offset+1, maxRow)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, line...)
			continue
		}
		if len(long) > 0 {
			long = append(long, line...)
			line = long
		}
		where.Offset++
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 {
			_ = j.JSON(trimmed, where) // counted as undecodable
		}
		long = long[:0]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after line %d: %w", where.Offset, err)
		}
	}
}

// jsonDocument judges a JSON array of objects, or objects one after the other.
func (v *validation) jsonDocument(text io.Reader) error {
	j := v.ready(false)
	where := v.where(0)
	d := jsonText{r: text, buffer: make([]byte, 64<<10)}
	return d.each(func(row []byte) {
		where.Offset++
		_ = j.JSON(row, where) // counted as undecodable
	})
}

// jsonText cuts a text into the JSON values it is made of, without looking into them further than it takes to find
// their ends.
type jsonText struct {
	r      io.Reader
	buffer []byte
	from   int64 // offset of the buffer in the text
	at     int   // in the buffer
	filled int
	err    error // of the reader, once there are no more bytes
	rows   int64
}

// each calls do with each element of an array, or with each value where there is none around them. The bytes are only
// good for the call.
func (d *jsonText) each(do func(row []byte)) error {
	first, err := d.peek()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return d.fail(err)
	}
	if first != '[' {
		return d.values(do)
	}
	d.at++
	for comma := false; ; {
		c, err := d.peek()
		switch {
		case errors.Is(err, io.EOF):
			return d.after("the array is never closed")
		case err != nil:
			return d.fail(err)
		case c == ']' && comma:
			return d.after("expected a value after the comma")
		case c == ']':
			d.at++
			return d.end()
		case d.rows > 0 && !comma:
			return d.after(fmt.Sprintf("expected a comma or the array's end, found %q", c))
		}
		if err := d.one(do); err != nil {
			return err
		}
		if c, err = d.peek(); err == nil && c == ',' {
			d.at++
			comma = true
		} else {
			comma = false // the next turn tells of an error
		}
	}
}

func (d *jsonText) values(do func(row []byte)) error {
	for {
		if _, err := d.peek(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return d.fail(err)
		}
		if err := d.one(do); err != nil {
			return err
		}
	}
}

func (d *jsonText) one(do func(row []byte)) error {
	value, err := d.value()
	if err != nil {
		return d.fail(err)
	}
	d.rows++
	do(value)
	return nil
}

// end sees to it that nothing stands behind an array.
func (d *jsonText) end() error {
	switch _, err := d.peek(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return d.fail(err)
	}
	return d.after("expected nothing behind the array")
}

func (d *jsonText) offset() int64 { return d.from + int64(d.at) }

func (d *jsonText) fail(err error) error {
	return fmt.Errorf("row %d, at byte %d: %w", d.rows+1, d.offset(), noEOF(err))
}

func (d *jsonText) after(what string) error {
	return fmt.Errorf("after row %d, at byte %d: %s", d.rows, d.offset(), what)
}

// more reads more bytes behind those from keep on.
func (d *jsonText) more(keep int) error {
	if d.err != nil {
		return d.err
	}
	if keep > 0 {
		d.from += int64(keep)
		d.filled = copy(d.buffer, d.buffer[keep:d.filled])
		d.at -= keep
	}
	if d.filled == len(d.buffer) {
		if len(d.buffer) >= maxRow {
			return fmt.Errorf("longer than %d bytes", maxRow)
		}
		d.buffer = append(d.buffer, make([]byte, len(d.buffer))...)
	}
	n, err := d.r.Read(d.buffer[d.filled:])
	d.filled += n
	d.err = err
	if n > 0 {
		return nil
	}
	return err
}

// peek gives the next byte that is no white space.
func (d *jsonText) peek() (byte, error) {
	for {
		for d.at < d.filled {
			switch c := d.buffer[d.at]; c {
			case ' ', '\t', '\r', '\n':
				d.at++
			default:
				return c, nil
			}
		}
		if err := d.more(d.at); err != nil {
			return 0, err
		}
	}
}

// value reads a value whose first byte was peeked at: an object or array to its last bracket, anything else to the next
// delimiter.
func (d *jsonText) value() ([]byte, error) {
	depth, inString, i := 0, false, d.at
	for {
		for ; i < d.filled; i++ {
			c := d.buffer[i]
			if inString {
				switch c {
				case '\\':
					i++ // whatever it is
				case '"':
					inString = false
				}
				continue
			}
			switch c {
			case '"':
				inString = true
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return d.take(i + 1), nil
				}
				if depth < 0 {
					return d.take(max(i, d.at+1)), nil
				}
			case ',', ' ', '\t', '\r', '\n':
				if depth == 0 {
					return d.take(max(i, d.at+1)), nil
				}
			}
		}
		start := d.at
		if err := d.more(start); err != nil {
			if errors.Is(err, io.EOF) && depth == 0 && !inString && d.at < d.filled {
				return d.take(d.filled), nil
			}
			return nil, err
		}
		i -= start - d.at
	}
}

// take gives the bytes up to an index; they are good until more are read.
func (d *jsonText) take(to int) []byte {
	value := d.buffer[d.at:to]
	d.at = to
	return value
}

// noEOF makes an end of file in the middle of something an error of its own.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
