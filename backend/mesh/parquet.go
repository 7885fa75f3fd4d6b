package mesh

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"weir/backend/mesh/judge"
	"weir/backend/mesh/scan"
)

// parquet judges a Parquet file. One that comes as a stream is put in a temporary file first, for its end must be read
// before its beginning.
func (v *validation) parquet(source io.Reader) (err error) {
	// The library reads bytes from outside; a panic of it is an unreadable file.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parquet: the file is damaged: %v", r)
		}
	}()
	file, isFile := source.(*os.File)
	if isFile {
		info, err := file.Stat()
		isFile = err == nil && info.Mode().IsRegular()
	}
	if !isFile {
		file, err = os.CreateTemp("", "weir-*.parquet")
		if err != nil {
			return fmt.Errorf("parquet from a stream: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
		if _, err := io.Copy(file, source); err != nil {
			return fmt.Errorf("parquet from a stream: %w", err)
		}
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := checkFooter(file, info.Size()); err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	// Synchronously: in a goroutine of its own the library's panic on damaged bytes would end the program.
	pf, err := parquet.OpenFile(file, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true),
		parquet.ReadBufferSize(256<<10), parquet.FileReadMode(parquet.ReadModeSync))
	if err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	roots := pf.Root().Columns()
	if len(roots) > judge.MaxColumns {
		return fmt.Errorf("parquet: %d columns; at most %d are judged", len(roots), judge.MaxColumns)
	}
	names := make([]string, len(roots))
	for i, c := range roots {
		names[i] = c.Name()
	}
	v.ready(true)
	t := &table{v: v, file: pf, slots: v.judge.Columns(names), before: v.read}
	half := halves(pf.Metadata().Schema)
	for i, c := range roots {
		column := newTableColumn(c, half)
		if column.write == nil && v.judge.LooksInside(t.slots[i]) {
			if column.inside, err = newNested(c, half, 1); err != nil {
				return fmt.Errorf("parquet: column %s: %w", c.Name(), err)
			}
			t.leaves = max(t.leaves, column.inside.leaf+column.inside.leaves)
		}
		t.columns = append(t.columns, column)
	}
	v.judge.Times(t)
	if v.judge.NullsOnly() && !v.judge.Lacks(t.slots) {
		return t.nulls()
	}
	return t.rows()
}

// checkFooter looks at the length of the footer before the library reserves memory for it.
func checkFooter(file io.ReaderAt, size int64) error {
	const magic, most = "PAR1", 64 << 20
	var tail [8]byte
	if size < 12 {
		return fmt.Errorf("the file has %s and is cut short", plural(int(size), "byte"))
	}
	if _, err := file.ReadAt(tail[:], size-8); err != nil {
		return err
	}
	if string(tail[4:]) != magic {
		return errors.New("the file does not end as Parquet does; it is cut short, encrypted, or something else")
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > min(size-12, most) {
		return fmt.Errorf("the file says its footer has %d bytes; it has %d in all", n, size)
	}
	return nil
}

// table is a Parquet file that is judged.
type table struct {
	v       *validation
	file    *parquet.File
	slots   []int
	columns []tableColumn
	leaves  int   // up to the last one that a rule looks at inside a nested column
	base    int64 // rows of the row groups before
	before  int64 // bytes read before the file, or with it where it came as a stream

	buffer []parquet.Row
	cells  rowCells
}

// tableColumn is a root column of a table.
type tableColumn struct {
	name     string
	leaf     int // index of its first leaf, whose levels tell where it is null
	nullable bool
	kind     scan.Kind // of a nested column: Object or Array
	time     bool
	text     bool                     // which is to be UTF-8
	isNaN    func(parquet.Value) bool // of a column of floats
	inside   *nested                  // of a nested column that a rule looks into
	// write appends a value in JSON's words; nil for a nested column.
	write func(dst []byte, value parquet.Value) ([]byte, scan.Kind)
}

// IsTime tells of what is inside the nested columns whether it is a time by its type; the values of others are told by
// themselves.
func (t *table) IsTime(path []string) bool {
	i := slices.IndexFunc(t.columns, func(c tableColumn) bool { return c.name == path[0] })
	return i >= 0 && t.columns[i].inside != nil && t.columns[i].inside.isTime(path[1:])
}

func newTableColumn(c *parquet.Column, half map[int]bool) tableColumn {
	t := tableColumn{name: c.Name(), nullable: c.Optional(), kind: scan.Object}
	if c.Leaf() && !c.Repeated() {
		t.leaf = c.Index()
		if float := floatOf(c.Type(), half[t.leaf]); float != nil {
			t.isNaN = func(v parquet.Value) bool { return math.IsNaN(float(v)) }
		}
		t.write, t.time, t.text = writerOf(c.Type(), half[t.leaf]), isTime(c.Type()), isUTF8Type(c.Type())
		return t
	}
	if lt := c.Type().LogicalType(); c.Repeated() || lt != nil && isList(lt) {
		t.kind = scan.Array
	}
	for !c.Leaf() {
		c = c.Columns()[0]
	}
	t.leaf = c.Index()
	return t
}

func isList(lt *format.LogicalType) bool {
	_, ok := lt.Value.(*format.ListType)
	return ok
}

// isTime tells whether the values of a type are dates, times of day or both.
func isTime(typ parquet.Type) bool {
	if typ.Kind() == parquet.Int96 {
		return true
	}
	if lt := typ.LogicalType(); lt != nil {
		switch lt.Value.(type) {
		case *format.TimestampType, *format.DateType, *format.TimeType:
			return true
		}
	}
	return false
}

// isUTF8Type tells whether the values of a type are texts by what it says: without a word they are bytes.
func isUTF8Type(typ parquet.Type) bool {
	if lt := typ.LogicalType(); lt != nil && typ.Kind() == parquet.ByteArray {
		switch lt.Value.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			return true
		}
	}
	return false
}

// nulls judges a table by a contract that asks for nulls only: every page is read and decoded, by column, no row is
// put together but the few that are samples.
func (t *table) nulls() error {
	for _, group := range t.file.RowGroups() {
		if err := t.v.ctx.Err(); err != nil {
			return err
		}
		chunks := group.ColumnChunks()
		n := scan.NewNulls(len(t.columns), judge.KeepSamples)
		n.Rows = group.NumRows()
		errs := make([]error, len(t.columns))
		tokens := make(chan struct{}, t.v.options.Workers)
		var wg sync.WaitGroup
		for i, c := range t.columns {
			tokens <- struct{}{}
			wg.Go(func() {
				defer func() { <-tokens }()
				defer func() {
					if r := recover(); r != nil {
						errs[i] = fmt.Errorf("the file is damaged: %v", r)
					}
				}()
				errs[i] = c.countNulls(chunks[c.leaf], n, i)
			})
		}
		wg.Wait()
		if slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, errNotUTF8) }) {
			if err := t.rowsOf(group); err != nil {
				return err
			}
			continue
		}
		for i, err := range errs {
			if err != nil {
				return fmt.Errorf("parquet: column %s, after row %d: %w", t.file.Root().Columns()[i].Name(), t.base, err)
			}
		}
		t.v.judge.AddNulls(t.slots, n, t.v.where(t.base+1), func(row int) string { return t.sample(group, int64(row)) })
		t.base += n.Rows
		t.advance()
	}
	return nil
}

// advance tells of the progress after a row group.
func (t *table) advance() {
	if rows := t.file.NumRows(); rows > 0 {
		t.v.advance(t.before + int64(float64(t.file.Size())*float64(t.base)/float64(rows)))
	}
}

// countNulls reads all pages of a column. As in pandas a NaN is a null.
func (c tableColumn) countNulls(chunk parquet.ColumnChunk, n *scan.Nulls, column int) (err error) {
	pages := chunk.Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	row, read := int64(0), false
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if c.write == nil || c.isNaN != nil || page.NumNulls() > 0 {
			c.nullsOf(page, row, n, column)
		}
		utf8 := !c.text || isUTF8(page, &read)
		row += page.NumRows()
		parquet.Release(page)
		if !utf8 {
			return errNotUTF8
		}
	}
	if row != n.Rows {
		return fmt.Errorf("%s, but its row group says %d", plural(int(row), "row"), n.Rows)
	}
	return nil
}

// errNotUTF8 tells that some rows of a row group are to be left out: it is to be judged row by row.
var errNotUTF8 = errors.New("a text that is not UTF-8")

// isUTF8 tells whether a page's texts are. Of those in a dictionary it looks once, which read remembers for the next page.
func isUTF8(page parquet.Page, read *bool) bool {
	if d := page.Dictionary(); d != nil {
		if *read {
			return true
		}
		*read, page = true, d.Page()
	}
	data := page.Data()
	if data.Kind() != encoding.ByteArray {
		return true
	}
	texts, _ := data.ByteArray()
	return scan.NotUTF8(texts, false) < 0
}

func (c tableColumn) nullsOf(page parquet.Page, row int64, n *scan.Nulls, column int) {
	definition, repetition := page.DefinitionLevels(), page.RepetitionLevels()
	if !c.nullable {
		definition = nil
	}
	var nan func(i int) bool // of the i-th value that is not null
	if c.isNaN != nil {
		nan = c.nans(page)
	}
	count, value := int(page.NumValues()), 0
	r := row - 1
	for i := range count {
		if len(repetition) == 0 || repetition[i] == 0 {
			r++
		} else {
			continue
		}
		null := len(definition) > 0 && definition[i] == 0
		if !null && nan != nil {
			null = nan(value)
			value++
		}
		if null {
			n.Columns[column].Add(r, int(r))
		}
	}
}

// nans tells which values of a page of floats are NaN; nil if none can be.
func (c tableColumn) nans(page parquet.Page) func(i int) bool {
	data := page.Data()
	dictionary := page.Dictionary()
	if dictionary == nil {
		switch data.Kind() {
		case encoding.Float:
			values := data.Float()
			return func(i int) bool { return values[i] != values[i] }
		case encoding.Double:
			values := data.Double()
			return func(i int) bool { return values[i] != values[i] }
		}
		values, size := data.FixedLenByteArray()
		return func(i int) bool { return math.IsNaN(binary16(values[i*size:])) }
	}
	bad := map[int32]bool{}
	for i := range int32(dictionary.Len()) {
		if c.isNaN(dictionary.Index(i)) {
			bad[i] = true
		}
	}
	if len(bad) == 0 {
		return nil
	}
	indexes := data.Int32()
	return func(i int) bool { return bad[indexes[i]] }
}

// sample reads one row of a row group and renders it.
func (t *table) sample(group parquet.RowGroup, row int64) string {
	rows := group.Rows()
	defer func() { _ = rows.Close() }() // only read from
	if err := rows.SeekToRow(row); err != nil {
		return ""
	}
	buffer := make([]parquet.Row, 1)
	if n, _ := rows.ReadRows(buffer); n == 0 {
		return ""
	}
	var r rowCells
	return t.v.judge.Sample(t.slots, r.fill(t, buffer[0]))
}

// rows judges a table row by row.
func (t *table) rows() error {
	for _, group := range t.file.RowGroups() {
		if err := t.rowsOf(group); err != nil {
			return err
		}
	}
	if t.base != t.file.NumRows() {
		return fmt.Errorf("parquet: %s, but the file says %d", plural(int(t.base), "row"), t.file.NumRows())
	}
	return nil
}

// rowsOf judges a row group row by row.
func (t *table) rowsOf(group parquet.RowGroup) error {
	if t.buffer == nil {
		t.buffer = make([]parquet.Row, 256)
	}
	where := t.v.where(0)
	rows := group.Rows()
	for {
		if err := t.v.ctx.Err(); err != nil {
			return errors.Join(err, rows.Close())
		}
		n, err := rows.ReadRows(t.buffer)
		for _, row := range t.buffer[:n] {
			t.base++
			where.Offset = t.base
			if cells := t.cells.fill(t, row); t.cells.bad == nil {
				t.v.judge.Row(t.slots, cells, where)
			} else {
				t.v.judge.Undecodable(nil, where, t.cells.bad)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(fmt.Errorf("parquet: after row %d: %w", t.base, err), rows.Close())
		}
	}
	if err := rows.Close(); err != nil {
		return err
	}
	t.advance()
	return nil
}

// rowCells turns Parquet rows into cells, reusing its memory.
type rowCells struct {
	cells    []judge.Cell
	arena    []byte
	assembly assembly
	bad      error // why the row at hand is none
}

func (r *rowCells) fill(t *table, row parquet.Row) []judge.Cell {
	if r.cells == nil {
		r.cells = make([]judge.Cell, len(t.columns))
	}
	r.arena, r.bad, r.assembly.bad = r.arena[:0], nil, nil
	if t.leaves > 0 {
		r.assembly.start(row, t.leaves)
	}
	at := 0 // both the columns and the row's values are in the order of the leaves
	for i, c := range t.columns {
		r.cells[i] = judge.Cell{Kind: scan.Null}
		for at < len(row) && row[at].Column() < c.leaf {
			at++
		}
		if at < len(row) && row[at].Column() == c.leaf {
			switch value := row[at]; {
			case c.nullable && value.DefinitionLevel() == 0:
			case c.inside != nil:
				start := len(r.arena)
				r.arena = r.assembly.value(r.arena, c.inside)
				r.cells[i] = judge.Cell{Kind: c.kind, Raw: r.arena[start:]}
			case c.write == nil:
				r.cells[i] = judge.Cell{Kind: c.kind, Raw: []byte("…")}
			default:
				start := len(r.arena)
				var kind scan.Kind
				if r.arena, kind = c.write(r.arena, value); kind != scan.Null {
					r.cells[i] = judge.Cell{Kind: kind, Raw: r.arena[start:], Time: c.time}
				}
				if c.text && r.bad == nil {
					r.bad = textOf(c.name, r.arena[start+1:len(r.arena)-1])
				}
			}
		}
	}
	r.bad = cmp.Or(r.bad, r.assembly.bad)
	return r.cells
}

// textOf says of a column's text that it is none.
func textOf(column string, text []byte) error {
	at := scan.NotUTF8(text, false)
	if at < 0 {
		return nil
	}
	return fmt.Errorf("column %s is not UTF-8 at byte %d of its text (%#x); write it as UTF-8, or as a column of bytes without the type string", column, at, text[at])
}

// writerOf writes the values of a type, or of floats of 16 bits, as JSON would: numbers as digits, everything that has words
// between quotes.
func writerOf(typ parquet.Type, isHalf bool) func([]byte, parquet.Value) ([]byte, scan.Kind) {
	quoted := func(text func(dst []byte, v parquet.Value) []byte) func([]byte, parquet.Value) ([]byte, scan.Kind) {
		return func(dst []byte, v parquet.Value) ([]byte, scan.Kind) {
			return append(text(append(dst, '"'), v), '"'), scan.String
		}
	}
	instant := func(t func(parquet.Value) time.Time, layout string) func([]byte, parquet.Value) ([]byte, scan.Kind) {
		return quoted(func(dst []byte, v parquet.Value) []byte { return t(v).UTC().AppendFormat(dst, layout) })
	}
	if float := floatOf(typ, isHalf); float != nil {
		bits := 64
		if typ.Kind() == parquet.Float {
			bits = 32
		}
		return func(dst []byte, v parquet.Value) ([]byte, scan.Kind) { return appendFloat(dst, float(v), bits) }
	}
	if lt := typ.LogicalType(); lt != nil {
		switch l := lt.Value.(type) {
		case *format.TimestampType:
			unit, layout := time.Millisecond, time.RFC3339Nano
			if l.Unit.Value != nil {
				unit = l.Unit.Value.Duration()
			}
			if !l.IsAdjustedToUTC { // the time on a clock somewhere, which no zone belongs to
				layout = "2006-01-02T15:04:05.999999999"
			}
			return instant(func(v parquet.Value) time.Time {
				per := int64(time.Second / unit)
				n := v.Int64()
				return time.Unix(n/per, n%per*int64(unit))
			}, layout)
		case *format.DateType:
			return instant(func(v parquet.Value) time.Time { return time.Unix(int64(v.Int32())*86400, 0) }, time.DateOnly)
		case *format.DecimalType:
			k, scale := typ.Kind(), int(l.Scale)
			return func(dst []byte, v parquet.Value) ([]byte, scan.Kind) {
				switch k {
				case parquet.Int32:
					return scan.AppendScaled(dst, int64(v.Int32()), scale), scan.Number
				case parquet.Int64:
					return scan.AppendScaled(dst, v.Int64(), scale), scan.Number
				}
				return scan.AppendDecimal(dst, v.ByteArray(), scale), scan.Number
			}
		case *format.TimeType:
			k, unit := typ.Kind(), time.Millisecond
			if l.Unit.Value != nil {
				unit = l.Unit.Value.Duration()
			}
			return instant(func(v parquet.Value) time.Time {
				n := v.Int64()
				if k == parquet.Int32 {
					n = int64(v.Int32())
				}
				return time.Unix(0, 0).Add(time.Duration(n) * unit)
			}, "15:04:05.999999999")
		case *format.UUIDType:
			return quoted(func(dst []byte, v parquet.Value) []byte {
				b := v.ByteArray()
				if len(b) != 16 {
					return append(dst, b...)
				}
				return fmt.Appendf(dst, "%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
			})
		case *format.IntType:
			if k := typ.Kind(); !l.IsSigned {
				return func(dst []byte, v parquet.Value) ([]byte, scan.Kind) {
					if k == parquet.Int32 {
						return strconv.AppendUint(dst, uint64(v.Uint32()), 10), scan.Number
					}
					return strconv.AppendUint(dst, v.Uint64(), 10), scan.Number
				}
			}
		}
	}
	switch typ.Kind() {
	case parquet.Boolean:
		return func(dst []byte, v parquet.Value) ([]byte, scan.Kind) {
			if v.Boolean() {
				return append(dst, "true"...), scan.True
			}
			return append(dst, "false"...), scan.False
		}
	case parquet.Int32:
		return func(dst []byte, v parquet.Value) ([]byte, scan.Kind) {
			return strconv.AppendInt(dst, int64(v.Int32()), 10), scan.Number
		}
	case parquet.Int64:
		return func(dst []byte, v parquet.Value) ([]byte, scan.Kind) {
			return strconv.AppendInt(dst, v.Int64(), 10), scan.Number
		}
	case parquet.Int96:
		const julianEpoch = 2_440_588 // the Julian day of 1970-01-01
		return instant(func(v parquet.Value) time.Time {
			i := v.Int96()
			return time.Unix((int64(i[2])-julianEpoch)*86400, int64(uint64(i[1])<<32|uint64(i[0])))
		}, time.RFC3339Nano)
	}
	return quoted(func(dst []byte, v parquet.Value) []byte { return append(dst, v.ByteArray()...) })
}

// halves are the leaves, by their index, that are floats of 16 bits: the library takes them for two bytes that mean nothing.
func halves(schema []format.SchemaElement) map[int]bool {
	half, leaf := map[int]bool{}, 0
	for i := range schema {
		e := &schema[i]
		if e.NumChildren.V > 0 {
			continue
		}
		if _, ok := e.LogicalType.Value.(*format.Float16Type); ok && e.TypeLength.V == 2 {
			half[leaf] = true
		}
		leaf++
	}
	return half
}

// floatOf reads the values of a type of floats; nil for any other.
func floatOf(typ parquet.Type, isHalf bool) func(parquet.Value) float64 {
	switch kind := typ.Kind(); {
	case kind == parquet.Double:
		return parquet.Value.Double
	case kind == parquet.Float:
		return func(v parquet.Value) float64 { return float64(v.Float()) }
	case kind == parquet.FixedLenByteArray && isHalf:
		return func(v parquet.Value) float64 { return binary16(v.ByteArray()) }
	}
	return nil
}

// binary16 is a float of 16 bits (IEEE 754 binary16), the lower byte first.
func binary16(b []byte) float64 {
	bits := binary.LittleEndian.Uint16(b)
	exponent, fraction := int(bits>>10&0x1f), float64(bits&0x3ff)
	v := math.Ldexp(1024+fraction, exponent-25)
	switch {
	case exponent == 0x1f && fraction != 0:
		return math.NaN()
	case exponent == 0x1f:
		v = math.Inf(1)
	case exponent == 0: // below the least normal one
		v = math.Ldexp(fraction, -24)
	}
	if bits>>15 == 1 {
		return -v
	}
	return v
}

func appendFloat(dst []byte, f float64, bits int) ([]byte, scan.Kind) {
	switch {
	case math.IsNaN(f): // as in pandas
		return dst, scan.Null
	case math.IsInf(f, 1): // JSON has no word for it
		return append(dst, "1e999"...), scan.Number
	case math.IsInf(f, -1):
		return append(dst, "-1e999"...), scan.Number
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits), scan.Number
}
