package features

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
)

// Categories are the numbers a model was trained with in place of a feature's texts. The text Others, if present,
// stands for every text the table does not list.
type Categories map[string]float64

// Others is the entry of Categories for texts not listed.
const Others = "*"

// encoder turns the texts of some features into the numbers of their tables.
type encoder struct {
	Store
	tables []Categories // by feature, nil where the text stays text
}

// NewEncoder puts an encoder in front of store: the features named in tables come out as numbers, and keep their Text
// for whoever wants to see it. A text that is not in its table, where that has no Others, makes the value Invalid.
// Numbers and missing values pass. A cache belongs in front of the encoder, so that a row is encoded once.
//
// The error lists the tables that cannot be meant: of features the store does not have, or without an entry.
func NewEncoder(store Store, tables map[string]Categories) (Store, error) {
	if len(tables) == 0 {
		return store, nil
	}
	e := &encoder{Store: store, tables: make([]Categories, len(store.Names()))}
	var problems []error
	for _, name := range sortedNames(tables) {
		table := tables[name]
		at := slices.Index(store.Names(), name)
		switch {
		case at < 0:
			problems = append(problems, fmt.Errorf("features.categories: expected one of features.names (%s), found %q", strings.Join(store.Names(), ", "), name))
			continue
		case len(table) == 0:
			problems = append(problems, fmt.Errorf("features.categories.%s: expected at least one text with its number, found none", name))
		}
		for text, number := range table {
			if math.IsNaN(number) || math.IsInf(number, 0) {
				problems = append(problems, fmt.Errorf("features.categories.%s: expected a finite number for %q, found %v", name, text, number))
			}
		}
		e.tables[at] = table
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return e, nil
}

func sortedNames(tables map[string]Categories) []string {
	names := make([]string, 0, len(tables))
	for name := range tables {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (e *encoder) Fetch(ctx context.Context, entities []Entity, rows []*Row) error {
	if err := e.Store.Fetch(ctx, entities, rows); err != nil {
		return err
	}
	// Rows are shared, so that one that changes is copied first; an entity asked for twice keeps one row.
	encoded := make(map[*Row]*Row, len(rows))
	for i, row := range rows {
		to, ok := encoded[row]
		if !ok {
			to = e.encode(row)
			encoded[row] = to
		}
		rows[i] = to
	}
	return nil
}

func (e *encoder) encode(row *Row) *Row {
	var copied *Row
	for i, table := range e.tables {
		v := &row.Values[i]
		if table == nil || !v.IsText || v.Status == NullValue || v.Status == NotFound {
			continue
		}
		if copied == nil {
			copied = &Row{Values: slices.Clone(row.Values), Fetched: row.Fetched}
		}
		number, ok := table[v.Text]
		if !ok {
			number, ok = table[Others]
		}
		to := &copied.Values[i]
		to.IsText, to.Number = false, number
		if !ok {
			to.Status, to.Number = Invalid, math.NaN()
		}
	}
	if copied == nil {
		return row
	}
	return copied
}

// Close closes the store behind the encoder, if that can be closed.
func (e *encoder) Close() error {
	if closer, ok := e.Store.(interface{ Close() error }); ok {
		return closer.Close()
	}
	return nil
}
