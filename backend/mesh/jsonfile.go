package mesh

import (
	"bufio"
	"bytes"
	"encoding/json"
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
	buffered := bufio.NewReaderSize(text, 64<<10)
	inArray, err := startsArray(buffered)
	if err != nil {
		return err
	}
	d := json.NewDecoder(buffered)
	if inArray {
		if _, err := d.Token(); err != nil {
			return fmt.Errorf("row 1: %w", err)
		}
	}
	for !inArray || d.More() {
		var row json.RawMessage
		err := d.Decode(&row)
		if !inArray && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("row %d, near byte %d: %w", where.Offset+1, d.InputOffset(), err)
		}
		if len(row) > maxRow {
			return fmt.Errorf("row %d: longer than %d bytes", where.Offset+1, maxRow)
		}
		where.Offset++
		_ = j.JSON(row, where) // counted as undecodable
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("the array is never closed: %w", noEOF(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("bytes after the array, near byte %d", d.InputOffset())
	}
	return nil
}

// noEOF makes an end of file in the middle of something an error of its own.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func startsArray(r *bufio.Reader) (bool, error) {
	for {
		b, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		switch b {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return b == '[', r.UnreadByte()
	}
}
