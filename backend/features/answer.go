package features

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"weir/backend/jsonlex"
)

// decoder reads Feast's answers about one list of names. It keeps its scratch from one answer to the next and is not
// safe for concurrent use.
type decoder struct {
	names  []string       // as answers write them: view__feature
	byName map[string]int // the index in names
	entity string

	columns   []int // by column of the answer: an index in names, or one of the two below
	results   []result
	interned  map[string]string
	unescaped []byte
}

// result is one column or row of an answer: its two lists, as they are written.
type result struct{ values, statuses []byte }

const (
	columnOfEntity  = -1
	columnNotWanted = -2
)

// maxInterned bounds the texts remembered so that a category is kept once and not once a row.
const maxInterned = 4096

func newDecoder(entity string, names []string) *decoder {
	d := &decoder{entity: entity, names: names, byName: make(map[string]int, len(names)), interned: map[string]string{}}
	for i, name := range names {
		d.byName[name] = i
	}
	return d
}

// errList is a feature whose values are lists: nothing a model could take as one column.
type errList struct{ name, found string }

func (e errList) Error() string {
	return fmt.Sprintf("feature %s: expected a number, text or boolean, found %s; weir scores single values, so leave it out of features.names",
		e.name, e.found)
}

// decode reads the answer about entities into rows, whose Values have the length of the names. An error other than
// errList says how the bytes differ from what Feast answers.
func (d *decoder) decode(body []byte, entities []Entity, rows []*Row) error {
	if err := d.open(body); err != nil {
		return err
	}
	asColumns, err := d.layout(entities)
	if err != nil {
		return err
	}
	if asColumns {
		return d.readColumns(entities, rows)
	}
	return d.readRows(entities, rows)
}

// open finds the names and the results.
func (d *decoder) open(body []byte) error {
	s := scanner{data: body}
	switch s.space() {
	case 0:
		return errors.New("expected an answer in JSON, found an empty one")
	case '<':
		return fmt.Errorf("expected JSON, found HTML or XML, perhaps of a proxy or a login page: %.60q", body[s.pos:])
	}
	d.results = d.results[:0]
	var names []byte
	found := false
	if err := s.object(func(key []byte) (err error) {
		switch string(key) {
		case "metadata":
			names, err = s.raw()
		case "results":
			found = true
			err = d.openResults(&s)
		default:
			_, err = s.raw()
		}
		return err
	}); err != nil {
		return err
	}
	if s.space() != 0 {
		return s.expected("the end of the answer")
	}
	if names == nil || !found {
		return errors.New("expected the keys metadata and results, found an object without them")
	}
	if err := d.openNames(names); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	return nil
}

// openResults finds the lists of each result. Old servers that send no statuses leave those nil.
func (d *decoder) openResults(s *scanner) error {
	d.results = d.results[:0]
	return s.array(func(i int) error {
		var r result
		err := s.object(func(key []byte) (err error) {
			switch string(key) {
			case "values":
				r.values, err = s.raw()
			case "statuses":
				r.statuses, err = s.raw()
			default:
				_, err = s.raw()
			}
			return err
		})
		if err == nil && r.values == nil {
			err = errors.New("expected values, found a result without them")
		}
		if err != nil {
			return fmt.Errorf("results[%d]: %w", i, err)
		}
		d.results = append(d.results, r)
		return nil
	})
}

// openNames maps the answer's columns by their names.
func (d *decoder) openNames(metadata []byte) error {
	s := scanner{data: metadata}
	d.columns = d.columns[:0]
	found := false
	list := func() error {
		found = true
		return s.array(func(int) error {
			if s.space() != '"' {
				return s.expected("a feature name")
			}
			raw, _, err := s.str()
			if err != nil {
				return err
			}
			column := columnNotWanted
			if i, ok := d.byName[string(raw)]; ok {
				column = i
			} else if string(raw) == d.entity {
				column = columnOfEntity
			}
			d.columns = append(d.columns, column)
			return nil
		})
	}
	if err := s.object(func(key []byte) error {
		if string(key) != "feature_names" {
			return s.skip(1)
		}
		if s.space() != '{' {
			return list()
		}
		return s.object(func(key []byte) error { // {"val": […]}, as the protocol buffer's own JSON has it
			if string(key) == "val" {
				return list()
			}
			return s.skip(1)
		})
	}); err != nil {
		return err
	}
	if !found {
		return errors.New("expected feature_names, found an object without it")
	}
	return d.checkNames()
}

// checkNames tells whether every name is answered once.
func (d *decoder) checkNames() error {
	var missing []string
	for i, name := range d.names {
		times := 0
		for _, column := range d.columns {
			if column == i {
				times++
			}
		}
		switch {
		case times == 0:
			missing = append(missing, name)
		case times > 1:
			return fmt.Errorf("feature_names: expected %s once, found it %d times", name, times)
		}
	}
	if missing != nil {
		return fmt.Errorf("feature_names: expected %s among the %d names, found none such", strings.Join(missing, ", "), len(d.columns))
	}
	return nil
}

// layout tells whether each result is a column over the entities, as Feast's servers answer, or a row over the names,
// as old ones did. Where the dimensions fit both, the echo of the entities decides.
func (d *decoder) layout(entities []Entity) (asColumns bool, err error) {
	columns, rows := len(d.results) == len(d.columns), len(d.results) == len(entities)
	switch {
	case columns && !rows:
		return true, nil
	case rows && !columns:
		return false, nil
	case !rows && !columns:
		return false, fmt.Errorf("results: expected %d columns (one a name) of %d values, or %d rows (one an entity), found %d results",
			len(d.columns), len(entities), len(entities), len(d.results))
	}
	echo := -1
	for c, column := range d.columns {
		if column == columnOfEntity {
			echo = c
		}
	}
	if echo < 0 || d.echoedInColumn(echo, entities) {
		return true, nil
	}
	for i, result := range d.results {
		if !d.echoedInRow(result.values, echo, entities[i]) {
			return true, nil // neither: the columns say which entity is amiss
		}
	}
	return false, nil
}

func (d *decoder) echoedInColumn(column int, entities []Entity) bool {
	return d.readEcho(d.results[column].values, entities) == nil
}

func (d *decoder) echoedInRow(values []byte, column int, entity Entity) bool {
	s, same := scanner{data: values}, false
	err := s.array(func(i int) error {
		if i != column {
			return s.skip(1)
		}
		var err error
		same, err = d.isEcho(&s, entity)
		return err
	})
	return err == nil && same
}

func (d *decoder) readColumns(entities []Entity, rows []*Row) error {
	for c, result := range d.results {
		column := d.columns[c]
		if column == columnNotWanted {
			continue
		}
		if column == columnOfEntity {
			if err := d.readEcho(result.values, entities); err != nil {
				return fmt.Errorf("results[%d] (%s): %w", c, d.entity, err)
			}
			continue
		}
		name := d.names[column]
		at := func(i int) *Value { return &rows[i].Values[column] }
		if err := d.readValues(result.values, len(entities), "entity", at, func(int) string { return name }); err != nil {
			return d.wrap(err, "results[%d] (%s): %w", c, name)
		}
		if err := readStatuses(result.statuses, len(entities), at); err != nil {
			return fmt.Errorf("results[%d] (%s): %w", c, name, err)
		}
	}
	return nil
}

func (d *decoder) readRows(entities []Entity, rows []*Row) error {
	var unwanted Value
	for i, result := range d.results {
		for c, column := range d.columns {
			if column == columnOfEntity && !d.echoedInRow(result.values, c, entities[i]) {
				return fmt.Errorf("results[%d]: %w: expected a row of %d values about %s %.60q, found another", i, errRefused, len(d.columns), d.entity, entities[i].Key)
			}
		}
		at := func(c int) *Value {
			if column := d.columns[c]; column >= 0 {
				return &rows[i].Values[column]
			}
			return &unwanted
		}
		name := func(c int) string {
			if column := d.columns[c]; column >= 0 {
				return d.names[column]
			}
			return ""
		}
		if err := d.readValues(result.values, len(d.columns), "name", at, name); err != nil {
			return d.wrap(err, "results[%d]: %w", i)
		}
		if err := readStatuses(result.statuses, len(d.columns), at); err != nil {
			return fmt.Errorf("results[%d]: %w", i, err)
		}
	}
	return nil
}

// wrap says where err happened, but leaves errList bare: it is no fault of the answer.
func (d *decoder) wrap(err error, format string, where ...any) error {
	if _, ok := errors.AsType[errList](err); ok {
		return err
	}
	return fmt.Errorf(format, append(where, err)...)
}

// readValues reads a list of count values, one a per.
func (d *decoder) readValues(raw []byte, count int, per string, at func(int) *Value, name func(int) string) error {
	s, n := scanner{data: raw}, 0
	if err := s.array(func(i int) error {
		n++
		if i >= count {
			return s.skip(1)
		}
		return d.readValue(&s, at(i), name(i))
	}); err != nil {
		return err
	}
	if n != count {
		return fmt.Errorf("values: expected %d, one for each %s, found %d", count, per, n)
	}
	return nil
}

// readValue reads one value; a status may correct its Status later.
func (d *decoder) readValue(s *scanner, v *Value, name string) error {
	switch s.space() {
	case '"':
		raw, escaped, err := s.str()
		*v = Value{IsText: true, Text: d.text(raw, escaped)}
		return err
	case '[', '{':
		if name == "" {
			return s.skip(1)
		}
		found := "a list"
		if s.data[s.pos] == '{' {
			found = "an object"
		}
		return errList{name, found}
	}
	number, kind, err := s.scalar()
	*v = Value{Number: number}
	switch {
	case kind == scalarNull || math.IsNaN(number): // Python's way to write null in a column of floats
		*v = Value{Status: NullValue, Number: math.NaN()}
	case math.IsInf(number, 0):
		v.Status = Invalid
	}
	return err
}

// text is what a JSON string means, in memory of its own: a row outlives the answer it came in.
func (d *decoder) text(raw []byte, escaped bool) string {
	if escaped {
		d.unescaped, _ = jsonlex.AppendUnescaped(d.unescaped[:0], raw)
		raw = d.unescaped
	}
	if text, ok := d.interned[string(raw)]; ok {
		return text
	}
	if len(d.interned) >= maxInterned {
		clear(d.interned) // identifiers, not categories
	}
	text := strings.ToValidUTF8(string(raw), "\uFFFD")
	d.interned[text] = text
	return text
}

// readStatuses reads what Feast says about each value. Without statuses a null is all there is to tell.
func readStatuses(raw []byte, count int, at func(int) *Value) error {
	if raw == nil || string(raw) == "null" {
		return nil
	}
	s, n := scanner{data: raw}, 0
	if err := s.array(func(i int) error {
		n++
		var status Status
		if s.space() == '"' {
			raw, _, err := s.str()
			if err != nil {
				return err
			}
			status = statusOf(raw)
		} else {
			number, kind, err := s.scalar()
			if err != nil {
				return err
			}
			status = statusNumbered(number, kind)
		}
		if i >= count {
			return nil
		}
		// A value that is null or no number stays that, even if it is called present.
		if v := at(i); status != Present || v.Status == Present {
			v.Status = status
		}
		return nil
	}); err != nil {
		return fmt.Errorf("statuses: %w", err)
	}
	if n != count {
		return fmt.Errorf("statuses: expected %d as there are values, found %d", count, n)
	}
	return nil
}

func statusOf(word []byte) Status {
	for i, name := range statusNames {
		if string(word) == name {
			return Status(i)
		}
	}
	return Invalid // a word Feast did not have yet: not to be trusted
}

// statusNumbered is a status as Feast's protocol numbers it, for servers that write enumerations as numbers.
func statusNumbered(number float64, kind scalarKind) Status {
	order := [...]Status{Invalid, Present, NullValue, NotFound, OutsideMaxAge}
	if kind == scalarNumber && number >= 0 && number < float64(len(order)) {
		return order[int(number)]
	}
	return Invalid
}

// readEcho checks that a column repeats the entities asked for, in their order: features must not reach another user.
func (d *decoder) readEcho(raw []byte, entities []Entity) error {
	s, n := scanner{data: raw}, 0
	if err := s.array(func(i int) error {
		n++
		if i >= len(entities) {
			return s.skip(1)
		}
		same, err := d.isEcho(&s, entities[i])
		if err == nil && !same {
			err = fmt.Errorf("%w: expected entity %.60q in place %d, found another", errRefused, entities[i].Key, i)
		}
		return err
	}); err != nil {
		return err
	}
	if n != len(entities) {
		return fmt.Errorf("values: expected %d, one for each entity, found %d", len(entities), n)
	}
	return nil
}

// isEcho goes over one value and tells whether it names entity. The server may have another idea of its type, and a
// null says nothing.
func (d *decoder) isEcho(s *scanner, entity Entity) (bool, error) {
	if s.space() == '"' {
		raw, escaped, err := s.str()
		if err != nil {
			return false, err
		}
		if escaped {
			d.unescaped, _ = jsonlex.AppendUnescaped(d.unescaped[:0], raw)
			raw = d.unescaped
		}
		return string(raw) == entity.Key || sameNumber(raw, entity.Key) || !isASCII(entity.Key) && bytes.Equal(raw, []byte(strings.ToValidUTF8(entity.Key, "\uFFFD"))), nil
	}
	start := s.pos
	number, kind, err := s.scalar()
	if err != nil {
		return false, err
	}
	raw := s.data[start:s.pos]
	return kind != scalarNumber || string(raw) == entity.Key || sameFloat(number, entity.Key), nil
}

func sameNumber(raw []byte, key string) bool {
	if end, ok := jsonlex.Number(raw); !ok || end != len(raw) {
		return false
	}
	return sameFloat(jsonlex.Float(raw), key)
}

func sameFloat(number float64, key string) bool {
	f, err := strconv.ParseFloat(key, 64)
	return err == nil && f == number
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
