// Package judge is mesh's one rule engine. A [Judge] takes rows, from a file or from a live topic, and counts for each
// rule of a contract the rows that fail; [Judge.Outcome] says what those counts mean. A row costs no allocation and is
// never looked at twice: a sliding window is a ring of sheets of counters.
package judge

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"weir/backend/mesh/contract"
)

// Options say what is judged.
type Options struct {
	// Window is the length of the sliding window; 0 judges all rows there ever were, as of a file.
	Window time.Duration
	// Rows, if above 0, makes the window the newest so many records instead, undecodable ones included; at most DefaultMaxRows.
	Rows int64
	// Live tells that Where.At is the time of arrival, so that lateness means something.
	Live bool
	// Columnar tells that the feed has columns of its own (CSV, Parquet): one that is missing is missing from all
	// rows, whether required or not.
	Columnar bool
	// MaxDistinct bounds the values each rule on duplicates remembers in memory; 0 is DefaultMaxDistinct. Above it, in a
	// window only a share of them, chosen by hash, is watched, and the outcome says which; without a window temporary
	// files remember the others.
	MaxDistinct int
	// Deferred leaves duplicates to whoever merges this judge into another.
	Deferred bool
	// Observe, if set, is called with every value of every row's root columns, nulls included. The cell is only good for
	// the call.
	Observe func(column string, cell Cell)
	// Unmasked shows the values of sensitive columns in samples.
	Unmasked bool
}

// The bounds of what a judge remembers.
const (
	DefaultMaxDistinct = 1 << 20
	MaxColumns         = 1000 // columns beyond it are counted, not judged
	KeepSamples        = 5    // per finding
	buckets            = 120  // of a sliding window
	sampleBytes        = 200
	recordBytes        = 600 // of the whole record beside a sample of a live topic
)

// check is a rule bound to the columns of a judge.
type check struct {
	rule    contract.Rule
	typ     logical // of TypeOf
	slots   []int   // of rule.Columns
	layout  string
	limit   *big.Rat // of Range, exactly; nil where that is not known
	short   bool     // it is a decimal of few digits, which float64 takes for no other one
	values  map[string]struct{}
	few     []string  // the values, where they are so few that comparing is quicker than hashing
	nums    []float64 // the values that are numbers
	parent  int       // slot whose non-null values a nested null counts against; -1: all rows
	gen     uint64    // last row that failed, so that an array's elements count once
	culprit Cell      // the value that failed then; only good for that row
	marks   int       // index among the checks that keep the newest time; -1
	dups    int       // index among the distincts; -1
	why     string    // not empty: the check cannot be judged here
}

// maxFew is how many values are compared one by one.
const maxFew = 8

// column is one column, or field of one.
type column struct {
	name     string
	path     string
	parent   int
	isItem   bool  // the elements of an array, or the values of a map
	inArray  bool  // in one at some depth: a row may have many of it
	children []int // slots
	checks   []int // on a value: those called for each
	glance   glance
	declared bool
	masked   bool
	isTime   bool // its strings are times of the data's own type, in the rows at hand
}

// compile binds the product's rules to slots. Columns that no rule names get theirs when they are seen.
func (j *Judge) compile() {
	for _, c := range j.product.Columns {
		j.declare(c, c.Name, -1)
	}
	for _, rule := range j.product.Rules {
		j.addCheck(rule)
	}
	for i := range j.columns {
		c := &j.columns[i]
		checks := make([]*check, len(c.checks))
		for k, index := range c.checks {
			checks[k] = &j.checks[index]
		}
		c.glance = newGlance(checks)
	}
}

// declare makes the slots of a column, or of a field or the elements of one, and of all that is inside.
func (j *Judge) declare(c contract.Column, name string, parent int) {
	slot := j.addColumn(name, parent, contract.Sensitive(c.Name, c.Class, c.Tags))
	j.columns[slot].declared = true
	for _, field := range c.Fields {
		j.declare(field, field.Name, slot)
	}
	if c.Items != nil {
		j.declare(*c.Items, "[]", slot)
	}
}

func (j *Judge) addCheck(rule contract.Rule) {
	c := check{rule: rule, parent: -1, marks: -1, dups: -1, why: rule.Why}
	if j.options.Columnar && rule.Kind == contract.Present {
		c.rule.Severity = contract.Fatal
	}
	for _, path := range rule.Columns {
		slot := j.resolve(path, rule.Flat)
		if p := j.columns[slot].parent; p >= 0 {
			c.parent = p
		}
		c.slots = append(c.slots, slot)
	}
	var err error
	switch rule.Kind {
	case contract.TypeOf:
		c.typ = logicals[rule.Type]
		if rule.Type == "date" || rule.Type == "timestamp" || rule.Type == "time" {
			c.layout, err = contract.Layout(rule.Text)
		}
	case contract.Range:
		c.limit = exactly([]byte(rule.Text))
		_, c.short = shortNumber([]byte(rule.Text))
	case contract.TimeRange, contract.Future:
		c.layout, err = contract.Layout(rule.Type)
	case contract.Invalid, contract.Missing:
		c.values = make(map[string]struct{}, len(rule.Values))
		for _, v := range rule.Values {
			c.values[v] = struct{}{}
			if f, parseErr := strconv.ParseFloat(v, 64); parseErr == nil && math.Abs(f) < 1<<53 { // beyond it other numbers are the same float
				c.nums = append(c.nums, f)
			}
		}
		if len(rule.Values) <= maxFew {
			c.few = rule.Values
		}
	case contract.Freshness:
		c.layout, err = contract.Layout(rule.Type)
		if len(c.slots) == 0 && !j.options.Live {
			c.why = "it names no column; only of a live topic is the time of arrival known"
		}
		c.marks, j.newest = len(j.newest), append(j.newest, 0)
	case contract.Late:
		c.layout, err = contract.Layout(rule.Type)
		if !j.options.Live {
			c.why = "a file does not tell when its rows arrived"
		}
	case contract.Duplicates:
		c.dups = len(j.distincts)
		if j.sliding() {
			j.distincts = append(j.distincts, newWatched(j.options.MaxDistinct))
		} else {
			j.distincts = append(j.distincts, newExact(j.options.MaxDistinct))
		}
	}
	if err != nil && c.why == "" {
		c.why = err.Error()
	}
	index := len(j.checks)
	j.checks = append(j.checks, c)
	if c.why != "" {
		return
	}
	switch rule.Kind {
	case contract.Nulls, contract.Present, contract.Duplicates, contract.Rows, contract.Drift, contract.Unjudged:
		if rule.Kind == contract.Duplicates {
			j.perRow = append(j.perRow, index)
		}
	default:
		for _, slot := range c.slots {
			j.columns[slot].checks = append(j.columns[slot].checks, index)
		}
	}
}

// resolve finds or makes the slot of a dotted path, in which [] stands for the elements of an array.
func (j *Judge) resolve(path string, flat bool) int {
	if slot, ok := j.names[path]; ok {
		return slot
	}
	if flat || !strings.ContainsAny(path, ".[") {
		return j.addColumn(path, -1, contract.Sensitive(path, "", nil))
	}
	slot := -1
	for _, part := range strings.Split(path, ".") {
		name, items := part, 0
		for strings.HasSuffix(name, "[]") {
			name, items = strings.TrimSuffix(name, "[]"), items+1
		}
		if name != "" {
			slot = j.step(slot, name)
		}
		for range items {
			slot = j.step(slot, "[]")
		}
	}
	return slot
}

func (j *Judge) step(parent int, name string) int {
	if parent < 0 {
		if slot, ok := j.names[name]; ok {
			return slot
		}
		return j.addColumn(name, -1, contract.Sensitive(name, "", nil))
	}
	return j.child(parent, name)
}

func (j *Judge) child(parent int, name string) int {
	for _, c := range j.columns[parent].children {
		if j.columns[c].name == name {
			return c
		}
	}
	return j.addColumn(name, parent, contract.Sensitive(name, "", nil))
}

// addColumn makes a slot. Only root columns are looked up by name. What is inside a masked one is masked too.
func (j *Judge) addColumn(name string, parent int, masked bool) int {
	name = strings.Clone(name)
	slot := len(j.columns)
	c := column{name: name, path: name, parent: parent, isItem: parent >= 0 && name == "[]", masked: masked && !j.options.Unmasked}
	if parent >= 0 {
		c.inArray = c.isItem || j.columns[parent].inArray
		c.masked = c.masked || j.columns[parent].masked
		if c.path = j.columns[parent].path + "." + name; c.isItem {
			c.path = j.columns[parent].path + "[]"
		}
		j.columns[parent].children = append(j.columns[parent].children, slot)
	} else {
		j.names[name] = slot
		j.roots = append(j.roots, slot)
	}
	j.columns = append(j.columns, c)
	j.cells = append(j.cells, Cell{})
	j.stamps = append(j.stamps, 0)
	j.places = append(j.places, 0)
	return slot
}

// Masked tells whether the values of a root column are masked.
func (j *Judge) Masked(name string) bool {
	slot, ok := j.names[name]
	return ok && j.columns[slot].masked
}
