package views

import "strings"

// Filter is what was typed after /: terms that must all hold. A term is text found anywhere in a row, or field:text
// found in that column; ! before it negates.
type Filter struct {
	terms []term
	of    *Table // whose columns the terms know
}

type term struct {
	negate      bool
	field, text string // lower case; field is empty for any
	columns     []int  // of the table: where text is looked for
}

// ParseFilter reads a filter. Every text is a filter; the empty one passes everything.
func ParseFilter(s string) Filter {
	var f Filter
	for word := range strings.FieldsSeq(strings.ToLower(s)) {
		var t term
		if rest, ok := strings.CutPrefix(word, "!"); ok {
			t.negate, word = true, rest
		}
		if field, text, ok := strings.Cut(word, ":"); ok && field != "" && isWord(field) {
			t.field, word = field, text
		}
		if t.text = word; word != "" {
			f.terms = append(f.terms, t)
		}
	}
	return f
}

func isWord(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && r != '_' {
			return false
		}
	}
	return true
}

func (f Filter) empty() bool { return len(f.terms) == 0 }

// on is f with the columns of t found, which is done once for all its rows. A field that the table does not have is text
// with a colon in it.
func (f Filter) on(t *Table) Filter {
	bound := Filter{terms: make([]term, len(f.terms)), of: t}
	for i, x := range f.terms {
		x.columns = nil
		for k, c := range t.Columns {
			if x.field != "" && strings.ToLower(c.Title) == x.field {
				x.columns = append(x.columns, k)
			}
		}
		if x.columns == nil {
			if x.field != "" {
				x.text = x.field + ":" + x.text
			}
			for k := range t.Columns {
				x.columns = append(x.columns, k)
			}
		}
		bound.terms[i] = x
	}
	return bound
}

// match tells whether a row of a table passes.
func (f Filter) match(t *Table, row int) bool {
	if f.of != t {
		f = f.on(t)
	}
	for i := range f.terms {
		if f.terms[i].match(t, row) == f.terms[i].negate {
			return false
		}
	}
	return true
}

func (x *term) match(t *Table, row int) bool {
	for _, k := range x.columns {
		if _, cell := t.Columns[k].Cell(row); strings.Contains(strings.ToLower(cell), x.text) {
			return true
		}
	}
	return false
}
