package contract

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A column's values are bounded from below by minimum and exclusiveMinimum, from above by the other two. What matters to those
// who read and write the data is which values lie inside, not which of the words says so: the whole numbers from 1 on are
// those above 0.

// isBound tells whether a rule is one of the four.
func isBound(r Rule) bool { return r.Kind == Range || r.Kind == TimeRange }

// bound is an end of what values may be: a number or a time, and whether it is outside itself.
type bound struct {
	number float64
	time   time.Time
	open   bool
}

// boundKey names an end of a column's values.
type boundKey struct {
	column string
	lower  bool
}

// bounds compares the ends of the columns' values.
func (d *differ) bounds(old, new Product) {
	before, order := boundsOf(old)
	after, more := boundsOf(new)
	for _, key := range more {
		if !slices.Contains(order, key) {
			order = append(order, key)
		}
	}
	for _, key := range order {
		was, now := before[key], after[key]
		if d.isGone(Rule{Columns: []string{key.column}}) {
			continue
		}
		oldType, newType := typeAt(old.Columns, key.column), typeAt(new.Columns, key.column)
		// Wider is what has a value of the new type that the old end rules out, narrower what had one that the new end does.
		loose := key.compare(tightest(key, was, newType), tightest(key, now, newType)) > 0
		tight := key.compare(tightest(key, was, oldType), tightest(key, now, oldType)) < 0
		switch {
		case len(was) == 0:
			d.add(now[0].Title()+": added"+limitsText(now, false), false, true, narrower)
		case len(now) == 0:
			d.add(was[0].Title()+": removed", true, false, wider)
		case loose || tight || limitsText(was, true) != limitsText(now, true):
			d.add(fmt.Sprintf("%s:%s, was%s", now[0].Title(), limitsText(now, false), limitsText(was, was[0].Name != now[0].Name)), loose, tight, why(loose, tight))
		}
	}
}

// boundsOf are the rules that bound each end of a product's columns.
func boundsOf(p Product) (found map[boundKey][]Rule, order []boundKey) {
	found = map[boundKey][]Rule{}
	for _, r := range p.Rules {
		if !isBound(r) {
			continue
		}
		key := boundKey{r.Column(), strings.HasSuffix(r.Name, "inimum")}
		if found[key] == nil {
			order = append(order, key)
		}
		found[key] = append(found[key], r)
	}
	return found, order
}

// limitsText is the limits as written, after a space; the first without its rule's name unless that is to be told.
func limitsText(rules []Rule, named bool) string {
	words := make([]string, len(rules))
	for i, r := range rules {
		if words[i] = " " + r.Text; named || i > 0 {
			words[i] = " " + r.Name + words[i]
		}
	}
	return strings.Join(words, " and")
}

// compare tells whether a bounds less (-1), as much as (0) or more (1) than b does; nil bounds nothing.
func (k boundKey) compare(a, b *bound) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	order := a.time.Compare(b.time)
	switch {
	case a.number < b.number:
		order = -1
	case a.number > b.number:
		order = 1
	}
	if !k.lower {
		order = -order
	}
	if order == 0 && a.open != b.open {
		if order = -1; a.open {
			order = 1
		}
	}
	return order
}

// tightest is where the values of a type end by several rules; nil if by none.
func tightest(key boundKey, rules []Rule, typ string) *bound {
	var out *bound
	for _, r := range rules {
		b := bound{number: r.Min, time: r.After, open: r.MinOpen}
		if !key.lower {
			b = bound{number: r.Max, time: r.Before, open: r.MaxOpen}
		}
		switch {
		case r.Kind == Range && typ == "integer":
			b = b.wholeNumber(key.lower)
		case r.Kind == TimeRange && typ == "date":
			b = b.day(key.lower)
		}
		if key.compare(&b, out) > 0 {
			out = &b
		}
	}
	return out
}

// wholeNumber is the outermost whole number inside.
func (b bound) wholeNumber(lower bool) bound {
	switch {
	case lower && b.open:
		b.number = math.Floor(b.number) + 1
	case lower:
		b.number = math.Ceil(b.number)
	case b.open:
		b.number = math.Ceil(b.number) - 1
	default:
		b.number = math.Floor(b.number)
	}
	b.open = false
	return b
}

// day is the outermost day inside.
func (b bound) day(lower bool) bound {
	const day = 24 * time.Hour
	start := b.time.Truncate(day)
	whole := start.Equal(b.time)
	switch {
	case lower && (b.open || !whole):
		start = start.Add(day)
	case !lower && b.open && whole:
		start = start.Add(-day)
	}
	return bound{time: start}
}

// typeAt is the logical type of the column or field at a dotted path, empty if it has none.
func typeAt(columns []Column, path string) string {
	for _, c := range columns {
		rest, ok := strings.CutPrefix(path, c.Name)
		for ok && c.Items != nil && strings.HasPrefix(rest, "[]") {
			c, rest = *c.Items, rest[len("[]"):]
		}
		switch {
		case !ok:
		case rest == "":
			return c.Type
		case rest[0] == '.':
			if t := typeAt(c.Fields, rest[1:]); t != "" {
				return t
			}
		}
	}
	return ""
}
