package judge

import (
	"time"

	"weir/backend/mesh/contract"
)

// Fault is a rule that one record breaks by itself, whatever the others are like.
type Fault struct {
	Rule      contract.Rule
	Column    string
	What      string // such as "null", "missing", "not of type integer"
	Tolerated string // how many such rows the contract puts up with, such as "≤ 5% null"; empty: none
}

// Record judges one record of a topic on its own, as of when it arrived. Rules about many rows (their number, their
// age, repeated values) are left out: no single record is to blame. columns are those the data have otherwise: one that
// this record lacks is null in it. times tells of its times; nil: they are texts. The error says why the record cannot be decoded.
func Record(p contract.Product, record []byte, arrived time.Time, columns []string, times Times) ([]Fault, error) {
	j := New(p, Options{Live: true, MaxDistinct: 1})
	defer func() { _ = j.Close() }() // one row needs no temporary file
	j.Times(times)
	if err := j.JSON(record, Where{At: arrived}); err != nil {
		return nil, err
	}
	var out []Fault
	t := j.sum()
	null := func(slot int) bool { return t.columns[slot].present > 0 && t.rows > t.columns[slot].nonNull }
	for i := range j.checks {
		c := &j.checks[i]
		r := c.rule
		add := func(column, what, tolerated string) { out = append(out, Fault{r, column, what, tolerated}) }
		switch {
		case c.why != "" || r.Kind == contract.Duplicates || r.Kind == contract.Rows || r.Kind == contract.Freshness:
		case r.Kind == contract.Present:
			if t.columns[c.slots[0]].present == 0 && r.Breaks() {
				add(r.Column(), "missing", "")
			}
		case r.Kind == contract.Drift:
			for _, slot := range j.roots {
				if t.columns[slot].present > 0 && !j.columns[slot].declared {
					add(j.columns[slot].name, "not in the contract", "")
				}
			}
		case r.Kind == contract.Nulls && len(c.slots) == 0:
			for _, slot := range j.roots {
				if null(slot) {
					add(j.columns[slot].name, "null", tolerated(r))
				}
			}
			for _, name := range columns {
				if slot, ok := j.names[name]; !ok || t.columns[slot].present == 0 {
					add(name, "missing", tolerated(r))
				}
			}
		case r.Kind == contract.Nulls && c.parent < 0:
			if t.rows > t.columns[c.slots[0]].nonNull {
				add(r.Column(), "null", tolerated(r))
			}
		case r.Kind == contract.Nulls:
			if t.columns[c.slots[0]].nulls.count > 0 {
				add(r.Column(), "null", tolerated(r))
			}
		case t.checks[i].count > 0:
			add(r.Column(), describe(r), tolerated(r))
		}
	}
	return out, nil
}

// tolerated is how many failing rows a rule puts up with; empty for none.
func tolerated(r contract.Rule) string {
	if len(r.Limits) == 0 || !r.Percent && !r.Share && len(r.Limits) == 1 && r.Limits[0].A == 0 {
		return ""
	}
	unit := unitOf(r)
	if r.Percent {
		unit = "%"
	}
	if r.Share {
		_, limit := percents(1, r.Limits[0].A)
		return "≤ " + limit
	}
	return limits(r, unit)
}
