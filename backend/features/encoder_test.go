package features

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rowStore answers every entity with the one row it has.
type rowStore struct {
	fakeStore
	names []string
	row   *Row
}

func (s *rowStore) Names() []string { return s.names }

func (s *rowStore) Fetch(_ context.Context, _ []Entity, rows []*Row) error {
	for i := range rows {
		rows[i] = s.row
	}
	return nil
}

func TestEncoder(t *testing.T) {
	cities := Categories{"Bern": 0, "Zürich": 1}
	open := Categories{"Bern": 0, Others: -1}
	nan := math.NaN()
	for _, c := range []struct {
		name  string
		table Categories
		value Value
		want  Value
	}{
		{"in the table", cities, Value{IsText: true, Text: "Zürich"}, Value{Text: "Zürich", Number: 1}},
		{"not in the table", cities, Value{IsText: true, Text: "Genf"}, Value{Status: Invalid, Text: "Genf", Number: nan}},
		{"one of the others", open, Value{IsText: true, Text: "Genf"}, Value{Text: "Genf", Number: -1}},
		{"a star is no text of its own", cities, Value{IsText: true, Text: Others}, Value{Status: Invalid, Text: Others, Number: nan}},
		{"too old, but there", cities, Value{Status: OutsideMaxAge, IsText: true, Text: "Bern"}, Value{Status: OutsideMaxAge, Text: "Bern"}},
		{"a number already", cities, Value{Number: 7}, Value{Number: 7}},
		{"null", cities, Value{Status: NullValue, Number: nan}, Value{Status: NullValue, Number: nan}},
		{"not found", open, Value{Status: NotFound, Number: nan}, Value{Status: NotFound, Number: nan}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := &Row{Values: []Value{{IsText: true, Text: "stays"}, c.value}}
			store, err := NewEncoder(&rowStore{names: []string{"v:text", "v:city"}, row: before}, map[string]Categories{"v:city": c.table})
			if err != nil {
				t.Fatal(err)
			}
			rows, err := fetch(t, store, texts("a", "b")...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Value{{IsText: true, Text: "stays"}, c.want}, rows[0].Values, sameRows...); diff != "" {
				t.Error(diff)
			}
			if rows[0] != rows[1] {
				t.Error("one row became two")
			}
			if diff := cmp.Diff(c.value, before.Values[1], sameRows...); diff != "" {
				t.Errorf("a shared row was changed: %s", diff)
			}
		})
	}
}

func TestEncoderConfiguration(t *testing.T) {
	store := &rowStore{names: []string{"v:city"}}
	for _, c := range []struct {
		tables map[string]Categories
		says   string
	}{
		{map[string]Categories{"v:town": {"a": 1}}, `expected one of features.names (v:city), found "v:town"`},
		{map[string]Categories{"v:city": {}}, "features.categories.v:city: expected at least one text"},
		{map[string]Categories{"v:city": {"a": math.NaN()}}, `expected a finite number for "a"`},
	} {
		if _, err := NewEncoder(store, c.tables); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v", c.tables, err)
		}
	}
	if same, err := NewEncoder(store, nil); err != nil || same != Store(store) {
		t.Error("without a table there is nothing to encode")
	}
}

func TestTheCacheKeepsEncodedRows(t *testing.T) {
	inner := &rowStore{names: []string{"v:city"}, row: &Row{Values: []Value{{IsText: true, Text: "Bern"}}}}
	encoded, err := NewEncoder(inner, map[string]Categories{"v:city": {"Bern": 3}})
	if err != nil {
		t.Fatal(err)
	}
	c := NewCache(encoded, CacheConfig{TTL: time.Hour, Entries: 10})
	first, _ := fetch(t, c, texts("a")...)
	second, _ := fetch(t, c, texts("a")...)
	if first[0] != second[0] || second[0].Values[0].Number != 3 || second[0].Values[0].IsText {
		t.Errorf("%+v %+v", first[0], second[0])
	}
}
