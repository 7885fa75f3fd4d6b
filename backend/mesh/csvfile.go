package mesh

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"weir/backend/mesh/judge"
	"weir/backend/mesh/scan"
)

// blockSize is how much of a CSV file one goroutine judges at a time: little enough for its processor's cache.
const blockSize = 256 << 10

// errQuote and errNUL are what makes a text no CSV.
var (
	errQuote = errors.New("a quoted field is never closed")
	errNUL   = errors.New("a NUL byte; this is no text file")
)

// notUTF8 says of something in a row that it is not UTF-8, and where.
func notUTF8(what string, row []byte) error {
	at := scan.NotUTF8(row, false)
	return fmt.Errorf("%s is not UTF-8 at byte %d of its row (%#x); write the file as UTF-8, such as with iconv -f LATIN1 -t UTF-8", what, at, row[at])
}

// csv judges a CSV text whose beginning was peeked at; whole tells that start is all of it.
func (v *validation) csv(text *bufio.Reader, start []byte, whole bool, name string) error {
	comma := v.options.Comma
	if comma == 0 {
		comma = ','
		if strings.Contains(filepath.Base(name), ".tsv") {
			comma = '\t'
		} else if c := scan.Sniff(start, whole); c != 0 {
			comma = c
		}
	}
	names, length, err := header(start, whole, comma)
	if err != nil {
		return err
	}
	if _, err := text.Discard(length); err != nil {
		return fmt.Errorf("reading the header: %w", err)
	}
	v.ready(true)
	file := newCSVFile(v, comma, names)
	if v.options.Workers < 2 || v.options.observe != nil {
		_, err := file.serial(text, 0)
		return err
	}
	return file.parallel(text)
}

// header reads the names of the columns as pandas names them: an empty one by its place, a repeated one by a suffix.
func header(start []byte, whole bool, comma byte) ([]string, int, error) {
	scanner, length := scan.NewCSV(comma), 0
	for {
		fields, n, open := scanner.Row(start[length:], whole)
		switch {
		case n == 0 && open && whole:
			return nil, 0, fmt.Errorf("line 1: %w", errQuote)
		case n == 0 && (whole || len(start) == length):
			return nil, 0, errors.New("no header: the file is empty")
		case n == 0 && bytes.IndexByte(start, 0) >= 0:
			return nil, 0, fmt.Errorf("line 1: %w", errNUL)
		case n == 0:
			return nil, 0, fmt.Errorf("line 1: the header does not end within %d bytes", len(start))
		}
		length += n
		if len(fields) == 1 && len(fields[0].Raw) == 0 {
			if whole && length >= len(start) {
				return nil, 0, errors.New("no header: the file holds blank lines only")
			}
			continue
		}
		if len(fields) > judge.MaxColumns {
			return nil, 0, fmt.Errorf("line 1: %d columns; at most %d are judged", len(fields), judge.MaxColumns)
		}
		names, used := make([]string, len(fields)), map[string]int{}
		written := make(map[string]bool, len(fields))
		for _, f := range fields {
			written[string(f.Raw)] = true
		}
		for i, f := range fields {
			if bytes.IndexByte(f.Raw, 0) >= 0 {
				return nil, 0, fmt.Errorf("line 1: %w", errNUL)
			}
			if scan.NotUTF8(f.Raw, false) >= 0 {
				return nil, 0, fmt.Errorf("line 1: %w", notUTF8(fmt.Sprintf("the name of column %d", i+1), start[length-n:length]))
			}
			name := string(f.Raw)
			if name == "" {
				name = fmt.Sprintf("Unnamed: %d", i)
			}
			if n := used[name]; n > 0 {
				repeated := name
				for name = fmt.Sprintf("%s.%d", repeated, n); written[name] || used[name] > 0; name = fmt.Sprintf("%s.%d", repeated, n) {
					n++
				}
				used[repeated] = n + 1
			}
			used[name]++
			names[i] = name
		}
		return names, length, nil
	}
}

// csvFile judges the rows of one CSV file.
type csvFile struct {
	v     *validation
	comma byte
	names []string
	slots []int
	lacks bool  // a column that a file before has
	base  int64 // rows of the file merged so far
}

func newCSVFile(v *validation, comma byte, names []string) *csvFile {
	slots := v.judge.Columns(names)
	return &csvFile{v: v, comma: comma, names: names, slots: slots, lacks: v.judge.Lacks(slots)}
}

// csvWorker judges blocks of rows.
type csvWorker struct {
	file    *csvFile
	judge   *judge.Judge
	slots   []int
	scanner *scan.CSV
	cells   []judge.Cell
	nulls   *scan.Nulls // nil when the contract asks for more than nulls
	utf8    bool        // all the bytes at hand are; else each row is looked at
}

func (f *csvFile) worker(j *judge.Judge, slots []int) *csvWorker {
	w := &csvWorker{file: f, judge: j, slots: slots, scanner: scan.NewCSV(f.comma), cells: make([]judge.Cell, len(slots))}
	if j.NullsOnly() && !f.lacks {
		w.nulls = scan.NewNulls(len(slots), judge.KeepSamples)
	}
	return w
}

// rows judges the rows at the start of data, numbered from first on, and gives how many bytes and rows they were. It
// stops before a row that does not end in data unless final is set; with strict set also before one RFC 4180 does not
// allow.
func (w *csvWorker) rows(data []byte, first int64, final, strict bool) (length int, rows int64, err error) {
	crs, onlyCRLF := scan.LineEnds(data)
	w.utf8 = scan.NotUTF8(data, !final) < 0
	fast, slow := w.nulls != nil && onlyCRLF && w.utf8, 1
	for length < len(data) {
		if fast {
			n, counted := w.countNulls(data[length:], crs, first+rows)
			length, rows = length+n, rows+counted
			if slow = min(2*slow, 1024); n > 0 {
				slow = 1 // where rows are irregular one after the other, the fast way is tried ever less often
			}
		}
		for i := 0; length < len(data) && (!fast || i < slow); i++ {
			n, counted, err := w.one(data[length:], first+rows, final, strict)
			if err != nil || n == 0 {
				return length, rows, err
			}
			length, rows = length+n, rows+counted
		}
	}
	return length, rows, nil
}

// one judges the row at the start of data. No bytes mean that there is no whole row, or none to be judged.
func (w *csvWorker) one(data []byte, number int64, final, strict bool) (length int, rows int64, err error) {
	fields, n, open := w.scanner.Row(data, final)
	switch {
	case strict && w.scanner.Irregular:
		return 0, 0, nil
	case n == 0 && open && final:
		return 0, 0, fmt.Errorf("row %d: %w", number, errQuote)
	case n == 0:
		return 0, 0, nil
	case len(fields) == 1 && len(fields[0].Raw) == 0 && data[0] != '"': // a blank line
		return n, 0, nil
	}
	where := w.file.v.where(number)
	if len(fields) > len(w.slots) {
		w.judge.Undecodable(nil, where, fmt.Errorf("%d fields; the header has %d", len(fields), len(w.slots)))
		return n, 1, nil
	}
	if !w.utf8 && scan.NotUTF8(data[:n], false) >= 0 {
		w.judge.Undecodable(nil, where, w.notUTF8(fields, data[:n]))
		return n, 1, nil
	}
	w.judge.Row(w.slots[:len(fields)], w.fill(fields), where)
	return n, 1, nil
}

func (w *csvWorker) notUTF8(fields []scan.Field, row []byte) error {
	i := slices.IndexFunc(fields, func(f scan.Field) bool { return scan.NotUTF8(f.Raw, false) >= 0 })
	return notUTF8("column "+w.file.names[max(0, i)], row)
}

func (w *csvWorker) fill(fields []scan.Field) []judge.Cell {
	cells := w.cells[:len(fields)]
	for i := range fields {
		cells[i] = judge.Cell{Kind: fields[i].Kind, Raw: fields[i].Raw}
	}
	return cells
}

// countNulls judges rows by a contract that asks for nulls only.
func (w *csvWorker) countNulls(data []byte, crlf bool, first int64) (length int, rows int64) {
	w.nulls.Reset()
	length = w.scanner.CountNulls(data, crlf, w.nulls)
	w.judge.AddNulls(w.slots, w.nulls, w.file.v.where(first), func(offset int) string {
		fields, _, _ := w.scanner.Row(data[offset:], true)
		return w.judge.Sample(w.slots[:len(fields)], w.fill(fields))
	})
	return length, w.nulls.Rows
}

// serial judges a text in one goroutine, row by row, with no assumption about its quotes: all of it, or, with a span above 0,
// so many bytes and the rest of the row, and then gives what is behind them.
func (f *csvFile) serial(text io.Reader, span int) (rest io.Reader, err error) {
	w := f.worker(f.v.judge, f.slots)
	buffer, filled, final, judged := make([]byte, blockSize), 0, false, 0
	for {
		for !final && filled < len(buffer) {
			n, err := text.Read(buffer[filled:])
			filled += n
			if errors.Is(err, io.EOF) {
				final = true
			} else if err != nil {
				return nil, fmt.Errorf("after row %d: %w", f.base, err)
			}
		}
		data := buffer[:filled]
		nul := bytes.IndexByte(data, 0)
		if nul >= 0 {
			data = data[:nul]
		}
		length, rows, err := w.rows(data, f.base+1, final && nul < 0, false)
		f.base += rows
		if err != nil {
			return nil, err
		}
		if nul >= 0 {
			return nil, fmt.Errorf("row %d: %w", f.base+1, errNUL)
		}
		if final {
			return nil, nil
		}
		if judged += length; span > 0 && judged >= span {
			return io.MultiReader(bytes.NewReader(buffer[length:filled]), text), nil
		}
		if length == 0 {
			if len(buffer) >= maxRow {
				return nil, fmt.Errorf("row %d: longer than %d bytes", f.base+1, maxRow)
			}
			buffer = append(buffer, make([]byte, len(buffer))...)
			continue
		}
		filled = copy(buffer, buffer[length:filled])
	}
}
