package views

import "strings"

// Filter is what was typed after /: terms that must all hold. A term is text found anywhere in a row, or field:text
// found in that column; ! before it negates.
type Filter struct{ terms []term }

type term struct {
	negate      bool
	field, text string // lower case; field is empty for any
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

// match tells whether a row of a table passes. A field that the table does not have is text with a colon in it.
func (f Filter) match(t *Table, row int) bool {
	for _, term := range f.terms {
		if term.match(t, row) == term.negate {
			return false
		}
	}
	return true
}

func (x term) match(t *Table, row int) bool {
	text, known := x.text, false
	for _, c := range t.Columns {
		known = known || x.field != "" && strings.ToLower(c.Title) == x.field
	}
	if x.field != "" && !known {
		text = x.field + ":" + x.text
	}
	for _, c := range t.Columns {
		if known && strings.ToLower(c.Title) != x.field {
			continue
		}
		if _, cell := c.Cell(row); strings.Contains(strings.ToLower(cell), text) {
			return true
		}
	}
	return false
}
