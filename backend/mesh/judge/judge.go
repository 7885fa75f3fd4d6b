package judge

import (
	"errors"
	"math"
	"time"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/scan"
)

// Where is the place of a row. Offset is the row's number from 1 for files, whose Partition is -1 for the first file, -2
// for the second, and so on.
type Where struct {
	Partition int32
	Offset    int64
	At        time.Time
}

// Judge counts. It is not safe for concurrent use.
type Judge struct {
	product contract.Product
	options Options

	columns   []column
	names     map[string]int // root columns
	roots     []int
	checks    []check
	perRow    []int // checks that look at a whole row: duplicates
	distincts []distinct
	// The newest times ever seen, Unix nanoseconds: of arrival, and by check on freshness. They outlive the window,
	// for a topic that fell silent long ago is not fresh.
	arrived int64
	newest  []int64

	ring    ring
	byCount *rows  // nil unless the window is one by count
	total   sheet  // scratch of Outcome
	sheet   *sheet // where the current row is counted

	times Times // of the rows at hand

	// The row at hand.
	row    uint64 // its generation
	cells  []Cell
	stamps []uint64 // generation of the row a cell belongs to
	seen   int      // root columns of the row that are not null
	where  Where
	record []byte      // as it came; nil for columnar feeds
	spans  []scan.Span // its fields, by their slots as their tags, below 0 those that have none
	places []int32     // by slot: which of the spans is a root column's cell
	// repeated tells that the record has a key twice.
	repeated bool

	number   float64
	parsed   int8                // whether number is that of the value at hand: 0 not tried, 1 it is, -1 the value is no number
	scanners []*scan.JSON        // by depth
	items    map[uint64]struct{} // hashes of an array's elements
	counter  scan.JSON           // of failsInside, which looks into a value while a scanner is still at those around it
	scratch  []byte
	drawn    string // the record of the row drawnRow, as samples have it
	drawnRow uint64
	excess   int64  // fields beyond MaxColumns
	looks    uint64 // how often a window was looked at
}

// New makes a judge of a product's contract.
func New(p contract.Product, o Options) *Judge {
	if o.MaxDistinct <= 0 {
		o.MaxDistinct = DefaultMaxDistinct
	}
	j := &Judge{product: p, options: o, names: map[string]int{}}
	if o.Rows > 0 {
		j.options.Window, j.byCount = 0, newRows(o.Rows)
	}
	j.compile()
	j.ring = newRing(j.options.Window, j)
	if !j.sliding() {
		j.sheet = j.ring.only()
	}
	return j
}

// JSON counts one record, which must be a JSON object; else it is counted as undecodable and the error says why.
func (j *Judge) JSON(record []byte, w Where) error {
	if !j.begin(w) {
		return nil
	}
	record = unwrap(record)
	scanner := j.scanner(0)
	spans, err := scanner.Spans(record)
	if err != nil {
		j.undecodable(record, err)
		return err
	}
	j.record, j.spans, j.repeated = record, spans, false
	seen := 0 // a variable of its own, which the processor need not read back
	for i := range spans {
		s := &spans[i]
		if s.Tag < 0 {
			slot := j.slot(scanner.Key(s))
			if slot < 0 {
				continue
			}
			scanner.SetTag(i, slot)
		}
		if j.stamps[s.Tag] == j.row { // of a key that is repeated the last one counts, as JSON readers do it
			j.repeated = true
			seen -= j.sheet.columns[s.Tag].count(spans[j.places[s.Tag]].Kind, -1)
		}
		j.stamps[s.Tag], j.places[s.Tag] = j.row, int32(i)
		seen += j.sheet.columns[s.Tag].count(s.Kind, 1)
	}
	j.seen = seen
	j.finish()
	return nil
}

// unwrap takes off the five bytes (0, schema id) that Confluent's serializers put before a JSON document.
func unwrap(b []byte) []byte {
	if len(b) > 5 && b[0] == 0 && b[5] == '{' {
		return b[5:]
	}
	return b
}

// Columns tells the columns of a columnar feed and gives the slot of each; a repeated name gets that of its first.
func (j *Judge) Columns(names []string) []int {
	slots := make([]int, len(names))
	for i, name := range names {
		slot, ok := j.names[name]
		if !ok {
			slot = j.addColumn(name, -1, contract.Sensitive(name, "", nil))
		}
		slots[i] = slot
		j.sheet.grow(j)
		j.sheet.columns[slot].present++ // though there may be no row
	}
	return slots
}

// Names are the root columns in the order of their slots: those the contract names, then those the feed was found to have.
func (j *Judge) Names() []string {
	names := make([]string, len(j.roots))
	for i, slot := range j.roots {
		names[i] = j.columns[slot].name
	}
	return names
}

// Row counts one row of a columnar feed: cells[i] belongs to the column of slots[i]. Cells that are absent are null.
func (j *Judge) Row(slots []int, cells []Cell, w Where) {
	if !j.begin(w) {
		return
	}
	j.record = nil
	for i, slot := range slots {
		if cells[i].Kind == scan.Absent {
			continue
		}
		t := &j.sheet.columns[slot]
		if j.stamps[slot] == j.row { // of columns of one name the last one counts
			j.seen -= t.count(j.cells[slot].Kind, -1)
		}
		j.stamps[slot], j.cells[slot] = j.row, cells[i]
		j.seen += t.count(cells[i].Kind, 1)
	}
	j.finish()
}

// Undecodable counts a record that is no row.
func (j *Judge) Undecodable(record []byte, w Where, err error) {
	if j.begin(w) {
		j.undecodable(record, err)
	}
}

// ErrTooOld tells of a record from before the window.
var ErrTooOld = errors.New("from before the window")

// sliding tells whether records leave.
func (j *Judge) sliding() bool { return j.options.Window > 0 || j.byCount != nil }

func (j *Judge) begin(w Where) bool {
	if j.byCount != nil {
		j.sheet = j.byCount.begin(j)
	}
	if j.options.Window > 0 {
		if j.sheet = j.ring.at(w.At); j.sheet == nil {
			return false
		}
	}
	j.where = w
	j.row++
	j.seen = 0
	if len(j.sheet.columns) < len(j.columns) {
		j.sheet.grow(j)
	}
	return true
}

// slot finds a root column, or makes it, below 0 if there are too many.
func (j *Judge) slot(key []byte) int32 {
	slot, ok := j.names[string(key)]
	if !ok {
		if len(j.roots) >= MaxColumns {
			j.excess++
			return -1
		}
		slot = j.addColumn(string(key), -1, contract.Sensitive(string(key), "", nil))
		j.sheet.grow(j)
	}
	return int32(slot)
}

// cell is the value of a column, or of a field that is not inside an array, in the row at hand.
func (j *Judge) cell(slot int) Cell {
	switch {
	case j.stamps[slot] != j.row:
		return Cell{}
	case j.record != nil && j.columns[slot].parent < 0:
		return j.cellAt(&j.spans[j.places[slot]])
	}
	return j.cells[slot]
}

func (j *Judge) cellAt(s *scan.Span) Cell {
	return Cell{Kind: s.Kind, Escaped: s.Escaped, Raw: j.record[s.From:s.To]}
}

// finish judges the row whose cells are set.
func (j *Judge) finish() {
	j.sheet.rows++
	if ns := j.where.At.UnixNano(); ns > j.arrived {
		j.arrived = ns
	}
	if j.seen < len(j.roots) {
		j.noteNulls()
	}
	if j.options.Observe != nil {
		for _, slot := range j.roots {
			j.options.Observe(j.columns[slot].name, j.cell(slot))
		}
	}
	if j.record != nil {
		j.judgeSpans()
	} else {
		for _, slot := range j.roots {
			if c := &j.columns[slot]; len(c.checks)+len(c.children) > 0 {
				j.judge(slot, j.cell(slot), 0)
			}
		}
	}
	for _, i := range j.perRow {
		j.duplicate(i)
	}
	if j.byCount != nil {
		j.take()
	}
}

// judgeSpans judges the values of a record's fields, then the columns it lacks.
func (j *Judge) judgeSpans() {
	for i := range j.spans {
		s := &j.spans[i]
		if s.Tag < 0 || j.repeated && int(j.places[s.Tag]) != i {
			continue
		}
		c := &j.columns[s.Tag]
		if len(c.children) == 0 && (len(c.checks) == 0 || c.glance.passes(s, j.record[s.From:s.To])) {
			continue
		}
		j.judge(int(s.Tag), j.cellAt(s), 0)
	}
	if j.seen == len(j.roots) {
		return
	}
	for _, slot := range j.roots {
		if j.stamps[slot] != j.row {
			j.judge(slot, Cell{}, 0)
		}
	}
}

// noteNulls keeps the place of the newest null of each column.
func (j *Judge) noteNulls() {
	for _, slot := range j.roots {
		if j.cell(slot).Kind > scan.Null {
			continue
		}
		j.note(&j.sheet.columns[slot].nulls, slot, nil)
	}
}

// note counts one failing row of a finding and keeps a sample of the first few in this sheet: of the value that fails, or
// of the whole record where that is nil.
func (j *Judge) note(f *finding, slot int, value *Cell) {
	f.count++
	f.last = j.where
	if f.count == 1 {
		f.first = j.where
	}
	if j.byCount != nil && j.sheet == &j.byCount.row {
		return // take gives it its sample
	}
	if f.look != j.looks {
		f.look, f.since = j.looks, 0
	}
	if f.since == KeepSamples || !j.sliding() && len(f.samples) == KeepSamples {
		return // of a file the first tell most
	}
	f.since++
	sample := Sample{Where: j.where, Value: j.render(slot, value)}
	if j.options.Live {
		sample.Record = j.whole()
	}
	if j.byCount != nil {
		sample.number = j.byCount.next
	}
	if len(f.samples) == KeepSamples { // the newest tell more than those somebody has seen
		f.samples = f.samples[:copy(f.samples, f.samples[1:])]
	}
	f.samples = append(f.samples, sample)
}

// judge runs the checks of a column, or field, on its value.
func (j *Judge) judge(slot int, cell Cell, depth int) {
	c := &j.columns[slot]
	if cell.Kind <= scan.Null {
		for _, i := range c.checks {
			if check := &j.checks[i]; check.rule.Kind == contract.Missing && (check.rule.WithNull || j.isNamed(check, cell)) {
				j.fail(i, slot, cell)
			}
		}
		return
	}
	j.parsed = 0
	if c.isTime && cell.Kind == scan.String {
		cell.Time = true
	}
	for _, i := range c.checks {
		if check := &j.checks[i]; j.fails(check, cell) {
			j.fail(i, slot, cell)
		}
	}
	if len(c.children) > 0 {
		j.descend(slot, cell, depth+1)
	}
}

// descend judges the fields of an object, the elements of an array or the values of a map.
func (j *Judge) descend(slot int, cell Cell, depth int) {
	switch cell.shape() {
	case scan.Object:
		fields, err := j.scanner(depth).Object(cell.Raw)
		if err != nil {
			return
		}
		for _, child := range j.columns[slot].children {
			if j.columns[child].isItem { // the values of a map
				for i := range fields {
					j.nested(child, Cell{Kind: fields[i].Kind, Escaped: fields[i].Escaped, Raw: fields[i].Raw}, depth)
				}
				continue
			}
			name, found := j.columns[child].name, Cell{}
			for i := range fields {
				if string(fields[i].Key) == name {
					found = Cell{Kind: fields[i].Kind, Escaped: fields[i].Escaped, Raw: fields[i].Raw}
				}
			}
			j.nested(child, found, depth)
		}
	case scan.Array:
		elements, err := j.scanner(depth).Elements(cell.Raw)
		if err != nil {
			return
		}
		for _, child := range j.columns[slot].children {
			if !j.columns[child].isItem {
				continue
			}
			for i := range elements {
				j.nested(child, Cell{Kind: elements[i].Kind, Escaped: elements[i].Escaped, Raw: elements[i].Raw}, depth)
			}
		}
	}
}

// nested counts a field's null once a row and judges its value.
func (j *Judge) nested(slot int, cell Cell, depth int) {
	t := &j.sheet.columns[slot]
	if cell.Kind > scan.Null {
		t.nonNull++
	} else if j.stamps[slot] != j.row {
		j.stamps[slot] = j.row
		j.note(&t.nulls, slot, nil)
	}
	if !j.columns[slot].inArray { // it is the one of its row
		j.stamps[slot], j.cells[slot] = j.row, cell
	}
	j.judge(slot, cell, depth)
}

// fail counts a check's row, once, with the value that fails.
func (j *Judge) fail(i, slot int, cell Cell) {
	if c := &j.checks[i]; c.gen != j.row {
		c.gen, c.culprit = j.row, cell
		j.note(&j.sheet.checks[i], slot, &c.culprit)
	}
}

// isNamed tells whether a check on missing values names the text that a null was written as, which only CSV tells.
func (j *Judge) isNamed(c *check, cell Cell) bool {
	return j.options.Columnar && cell.Raw != nil && j.listed(c, cell)
}

// fails tells whether a value that is not null fails a check.
func (j *Judge) fails(c *check, cell Cell) bool {
	r := &c.rule
	switch r.Kind {
	case contract.TypeOf:
		switch {
		case c.typ == integerType: // JSON Schema: 1.0 is an integer
			v, ok := j.numberOf(cell)
			return (!ok || v != math.Trunc(v)) && (cell.Kind != scan.Number || !onlyDigits(cell.Raw))
		case c.typ == numberType && cell.Kind == scan.Text && isDecimal(cell.Raw):
			return false
		}
		return !cell.isOf(c.typ, c.layout, &j.scratch)
	case contract.Range:
		v, ok := j.numberOf(cell)
		switch {
		case !ok:
			return false
		case v < r.Min || v > r.Max:
			return true
		case math.IsInf(v, 0): // where the range is open
			return false
		case v == r.Min:
			side := c.beside(cell)
			return side < 0 || side == 0 && r.MinOpen
		case v == r.Max:
			side := c.beside(cell)
			return side > 0 || side == 0 && r.MaxOpen
		}
		return false
	case contract.Multiple:
		v, ok := j.numberOf(cell)
		if !ok {
			return false
		}
		if math.Abs(v) < 1<<53 && v == math.Trunc(v) && r.Min == math.Trunc(r.Min) {
			return math.Mod(v, r.Min) != 0
		}
		q := v / r.Min // of numbers that float64 holds to some 1e-16 each, such as 0.07 and 0.01
		return math.Abs(q-math.Round(q)) > 1e-15*math.Max(1, math.Abs(q))
	case contract.Length:
		if cell.Kind != scan.String && cell.Kind != scan.Text {
			return false
		}
		n := runes(cell.Text(&j.scratch))
		return n < r.Min || n > r.Max
	case contract.Matches:
		return (cell.Kind == scan.String || cell.Kind == scan.Text) && !r.Pattern.Match(cell.Text(&j.scratch))
	case contract.Formatted:
		return !cell.hasFormat(r.Type, r.Text, &j.scratch)
	case contract.Invalid:
		if r.Pattern != nil && !r.Pattern.Match(cell.Text(&j.scratch)) {
			return true
		}
		return len(c.values) > 0 && !j.listed(c, cell)
	case contract.Missing:
		return j.listed(c, cell)
	case contract.TimeRange:
		t, ok := c.moment(cell, &j.scratch)
		if !ok {
			return false
		}
		return !r.After.IsZero() && (t.Before(r.After) || r.MinOpen && t.Equal(r.After)) ||
			!r.Before.IsZero() && (t.After(r.Before) || r.MaxOpen && t.Equal(r.Before))
	case contract.Future:
		t, ok := cell.When(c.layout, &j.scratch)
		return ok && t.Sub(j.where.At) > r.Age
	case contract.Late:
		t, ok := cell.When(c.layout, &j.scratch)
		return ok && j.where.At.Sub(t) > r.Age
	case contract.Freshness:
		// A row from the future proves nothing fresh.
		if t, ok := cell.When(c.layout, &j.scratch); ok && !t.After(j.where.At) {
			j.newest[c.marks] = max(j.newest[c.marks], t.UnixNano())
		}
	case contract.Items, contract.ItemsOnce, contract.Fields:
		return j.failsInside(c, cell)
	}
	return false
}

// beside compares a number with the limit that is the same float64. Two numbers of which one is less never have their float64
// the other way round, so that only then it takes a second look; and decimals of up to 15 digits have one each.
func (c *check) beside(cell Cell) int {
	if _, short := shortNumber(cell.Raw); short && c.short || c.limit == nil {
		return 0
	}
	v := exactly(cell.Raw)
	if v == nil {
		return 0
	}
	return v.Cmp(c.limit)
}

// moment is the time that a check on a range of times looks at.
func (c *check) moment(cell Cell, scratch *[]byte) (time.Time, bool) {
	switch {
	case !c.rule.Clock:
		return cell.When(c.layout, scratch)
	case cell.Kind != scan.String && cell.Kind != scan.Text:
		return time.Time{}, false
	case cell.Time || c.layout == "":
		return contract.ParseClock(cell.Text(scratch))
	}
	t, ok := cell.When(c.layout, scratch)
	return contract.OfDay(t), ok
}

// numberOf is the number of the value at hand, read once for all its rules.
func (j *Judge) numberOf(cell Cell) (float64, bool) {
	if j.parsed == 0 {
		var ok bool
		if j.number, ok = cell.Number(); ok {
			j.parsed = 1
		} else {
			j.parsed = -1
		}
	}
	return j.number, j.parsed > 0
}

// failsInside are the checks that look into an array or object.
func (j *Judge) failsInside(c *check, cell Cell) bool {
	var parts []scan.Field
	var err error
	switch {
	case c.rule.Kind == contract.Fields && cell.shape() == scan.Object:
		parts, err = j.counter.Object(cell.Raw)
	case c.rule.Kind != contract.Fields && cell.shape() == scan.Array:
		parts, err = j.counter.Elements(cell.Raw)
	default:
		return false
	}
	if err != nil {
		return false
	}
	if c.rule.Kind != contract.ItemsOnce {
		n := float64(len(parts))
		return n < c.rule.Min || n > c.rule.Max
	}
	if j.items == nil {
		j.items = map[uint64]struct{}{}
	}
	clear(j.items)
	for i := range parts {
		h := Cell{Kind: parts[i].Kind, Escaped: parts[i].Escaped, Raw: parts[i].Raw}.hash(uint64(parts[i].Kind), &j.scratch)
		if _, twice := j.items[h]; twice {
			return true
		}
		j.items[h] = struct{}{}
	}
	return false
}

func (j *Judge) listed(c *check, cell Cell) bool {
	b := cell.Text(&j.scratch)
	for _, v := range c.few {
		if v == string(b) {
			return true
		}
	}
	if len(c.few) == 0 {
		if _, ok := c.values[string(b)]; ok {
			return true
		}
	}
	if cell.Kind != scan.Number && cell.Kind != scan.Text || len(c.nums) == 0 {
		return false
	}
	if v, ok := j.numberOf(cell); ok {
		for _, n := range c.nums {
			if n == v {
				return true
			}
		}
	}
	return false
}

// duplicate looks the row's values up among those before it. As in SQL, a row with a null among them is no duplicate.
func (j *Judge) duplicate(i int) {
	c := &j.checks[i]
	var h uint64 = 1
	for _, slot := range c.slots {
		cell := j.cell(slot)
		if cell.Kind <= scan.Null {
			return
		}
		h = cell.hash(h, &j.scratch)
	}
	j.sheet.judged[c.dups]++
	if j.options.Deferred {
		j.sheet.hashes[c.dups] = append(j.sheet.hashes[c.dups], h)
		j.sheet.rowsOf[c.dups] = append(j.sheet.rowsOf[c.dups], uint32(j.where.Offset))
		return
	}
	if j.sliding() {
		j.sheet.hashes[c.dups] = append(j.sheet.hashes[c.dups], h)
	}
	if j.distincts[c.dups].add(h, j.where) {
		j.fail(i, c.slots[0], j.cell(c.slots[0]))
	}
}

func (j *Judge) undecodable(record []byte, err error) {
	j.sheet.undecodable++
	j.record, j.spans = record, nil
	f := &j.sheet.garbage
	f.count++
	f.last = j.where
	if f.count == 1 {
		f.first = j.where
	}
	if len(f.samples) < KeepSamples {
		f.samples = append(f.samples, Sample{Where: j.where, Value: err.Error()})
	}
	if j.byCount != nil {
		j.take()
	}
}

func (j *Judge) scanner(depth int) *scan.JSON {
	for len(j.scanners) <= depth {
		j.scanners = append(j.scanners, new(scan.JSON))
	}
	return j.scanners[depth]
}

// Rows is how many rows were counted so far, undecodable ones included, by a judge without a window.
func (j *Judge) Rows() int64 { return j.ring.sheets[0].rows + j.ring.sheets[0].undecodable }

// Close lets go of temporary files.
func (j *Judge) Close() error {
	var errs []error
	for _, d := range j.distincts {
		errs = append(errs, d.close())
	}
	return errors.Join(errs...)
}
