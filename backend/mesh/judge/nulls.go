package judge

import (
	"slices"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/scan"
)

// NullsOnly tells whether the contract asks nothing of the rows but which columns they have and where they are null,
// so that AddNulls may stand for Row.
func (j *Judge) NullsOnly() bool {
	if len(j.perRow) > 0 || len(j.newest) > 0 || j.options.Observe != nil {
		return false
	}
	for i := range j.columns {
		if len(j.columns[i].checks)+len(j.columns[i].children) > 0 {
			return false
		}
	}
	return true
}

// Lacks tells whether rows with columns of these slots lack one that rows before had. AddNulls cannot tell which of them
// fail for that.
func (j *Judge) Lacks(slots []int) bool {
	return slices.ContainsFunc(j.roots, func(slot int) bool {
		return j.sheet.columns[slot].present > 0 && !slices.Contains(slots, slot)
	})
}

// AddNulls counts rows of a columnar feed whose nulls were counted already: column i of n belongs to slots[i], row 0 of n
// is the row at first. sample gives the sample of the row that starts at an offset.
func (j *Judge) AddNulls(slots []int, n *scan.Nulls, first Where, sample func(offset int) string) {
	if n.Rows == 0 {
		return
	}
	j.sheet.grow(j)
	j.sheet.rows += n.Rows
	j.arrived = max(j.arrived, first.At.UnixNano())
	where := func(row int64) Where {
		return Where{Partition: first.Partition, Offset: first.Offset + row, At: first.At}
	}
	for i, slot := range slots {
		t, c := &j.sheet.columns[slot], &n.Columns[i]
		t.present += n.Rows
		t.nonNull += n.Rows - c.Count
		if c.Count == 0 {
			continue
		}
		if t.nulls.count == 0 {
			t.nulls.first = where(c.First)
		}
		t.nulls.count += c.Count
		t.nulls.last = where(c.Last)
		for _, s := range c.Samples {
			if len(t.nulls.samples) < KeepSamples {
				t.nulls.samples = append(t.nulls.samples, Sample{Where: where(s.Row), Value: sample(s.Offset)})
			}
		}
	}
	for _, slot := range j.roots { // columns that a rule names and the feed lacks
		if t := &j.sheet.columns[slot]; t.present == 0 {
			t.nulls.count += n.Rows
		}
	}
}

// Sample renders a row of a columnar feed without counting it.
func (j *Judge) Sample(slots []int, cells []Cell) string {
	j.row++
	j.record = nil
	for i, slot := range slots {
		j.stamps[slot], j.cells[slot] = j.row, cells[i]
	}
	return j.renderRecord(sampleBytes)
}

// LooksInside tells whether a rule asks more of a root column's values than whether they are there and of what type, so
// that objects and arrays in it must be given whole.
func (j *Judge) LooksInside(slot int) bool {
	if len(j.columns[slot].children) > 0 || j.options.Observe != nil {
		return true
	}
	for i := range j.checks {
		switch c := &j.checks[i]; c.rule.Kind {
		case contract.Nulls, contract.Present, contract.TypeOf, contract.Rows, contract.Drift, contract.Unjudged:
		default:
			if slices.Contains(c.slots, slot) {
				return true
			}
		}
	}
	return false
}
