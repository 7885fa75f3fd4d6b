// Package pack writes values of Go types into few bytes and reads them back, also into types that have changed since.
// It serves the timeline, which packs its past, and the recordings on disk.
package pack

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// Shape describes how values of a type are written, so that a recording can be read by a later weir whose types have
// other fields: what it does not know it goes over, what the recording does not have stays zero. A recording holds
// the shape of its snapshots once, as JSON.
type Shape struct {
	Kind   kind    `json:"kind"`
	Elem   *Shape  `json:"elem,omitempty"`   // of list, array, pointer and map
	Key    *Shape  `json:"key,omitempty"`    // of map
	Length int     `json:"length,omitempty"` // of array
	Fields []field `json:"fields,omitempty"` // of struct

	least int // bytes a value takes at least; set by check
}

type field struct {
	Name  string `json:"name"`
	Shape *Shape `json:"shape"`
}

// kind is how a value is written.
type kind string

const (
	kindBool    kind = "bool"    // one byte
	kindInt     kind = "int"     // zigzag varint
	kindUint    kind = "uint"    // varint
	kindFloat   kind = "float"   // eight bytes, NaN and all
	kindString  kind = "string"  // length and bytes
	kindTime    kind = "time"    // seconds since the epoch and nanoseconds, as varints
	kindPointer kind = "pointer" // 0, or 1 and the value
	kindList    kind = "list"    // 0 for nil, else length + 1 and the values
	kindArray   kind = "array"   // the values
	kindMap     kind = "map"     // 0 for nil, else length + 1 and the pairs in the order of their keys
	kindStruct  kind = "struct"  // the fields
)

var (
	textType   = reflect.TypeFor[safetext.Text]()
	timeType   = reflect.TypeFor[time.Time]()
	eventsType = reflect.TypeFor[[]event.Event]()
)

// maxShapeDepth bounds the nesting of types; snapshots are six deep.
const maxShapeDepth = 24

// maxArray bounds the length of an array.
const maxArray = 1 << 16

// ShapeOf is the shape of values of type t. Lists of events are left out: a recording keeps each event once, beside
// the snapshots. A type that cannot be written, such as a function, is an error.
func ShapeOf(t reflect.Type) (*Shape, error) {
	s, err := shapeAt(t, 0)
	if err != nil {
		return nil, err
	}
	return s, s.check(0)
}

func shapeAt(t reflect.Type, depth int) (*Shape, error) {
	if depth > maxShapeDepth {
		return nil, fmt.Errorf("type %v is nested too deeply, or in itself", t)
	}
	switch t {
	case textType:
		return &Shape{Kind: kindString}, nil
	case timeType:
		return &Shape{Kind: kindTime}, nil
	}
	elem := func(k kind) (*Shape, error) {
		e, err := shapeAt(t.Elem(), depth+1)
		return &Shape{Kind: k, Elem: e}, err
	}
	switch t.Kind() {
	case reflect.Bool:
		return &Shape{Kind: kindBool}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &Shape{Kind: kindInt}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &Shape{Kind: kindUint}, nil
	case reflect.Float32, reflect.Float64:
		return &Shape{Kind: kindFloat}, nil
	case reflect.String:
		return &Shape{Kind: kindString}, nil
	case reflect.Pointer:
		return elem(kindPointer)
	case reflect.Slice:
		// A list of pointers to structs, none of them nil, is written as the structs: whether values are shared in memory is
		// nothing a recording should depend on.
		if e := t.Elem(); e.Kind() == reflect.Pointer && e.Elem().Kind() == reflect.Struct {
			of, err := shapeAt(e.Elem(), depth+1)
			return &Shape{Kind: kindList, Elem: of}, err
		}
		return elem(kindList)
	case reflect.Array:
		s, err := elem(kindArray)
		if err == nil {
			s.Length = t.Len()
		}
		return s, err
	case reflect.Map:
		s, err := elem(kindMap)
		if err != nil {
			return nil, err
		}
		s.Key, err = shapeAt(t.Key(), depth+1)
		if err == nil && s.Key.Kind != kindString {
			err = fmt.Errorf("type %v: only strings can be keys", t)
		}
		return s, err
	case reflect.Struct:
		s := &Shape{Kind: kindStruct}
		for i := range t.NumField() {
			f := t.Field(i)
			if !f.IsExported() {
				return nil, fmt.Errorf("type %v: field %s cannot be recorded", t, f.Name)
			}
			if f.Type == eventsType {
				continue
			}
			of, err := shapeAt(f.Type, depth+1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			s.Fields = append(s.Fields, field{f.Name, of})
		}
		return s, nil
	}
	return nil, fmt.Errorf("type %v cannot be recorded", t)
}

// ParseShape reads a shape and checks it, for it comes from a file.
func ParseShape(data []byte) (*Shape, error) {
	var s Shape
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("the recording's description: %w", err)
	}
	if err := s.check(0); err != nil {
		return nil, fmt.Errorf("the recording's description: %w", err)
	}
	return &s, nil
}

// check tells whether s can be a shape, and measures it.
func (s *Shape) check(depth int) error {
	if depth > maxShapeDepth {
		return errors.New("nested too deeply")
	}
	s.least = 1
	switch s.Kind {
	case kindBool, kindInt, kindUint, kindString:
		return nil
	case kindFloat:
		s.least = 8
		return nil
	case kindTime:
		s.least = 2
		return nil
	case kindPointer, kindList, kindArray, kindMap:
		if s.Elem == nil || (s.Kind == kindMap) != (s.Key != nil) || s.Key != nil && s.Key.Kind != kindString || (s.Kind == kindArray) != (s.Length > 0) || s.Length > maxArray {
			return fmt.Errorf("a %s of what?", s.Kind)
		}
		err := s.Elem.check(depth + 1)
		if s.Kind == kindArray {
			s.least = s.Length * s.Elem.least
		}
		if err == nil && s.least > MaxValue {
			err = fmt.Errorf("a %s of %d bytes", s.Kind, s.least)
		}
		return err
	case kindStruct:
		if len(s.Fields) == 0 {
			return errors.New("a struct of no field") // it would take no byte, and a list of it no end
		}
		s.least = 0
		for _, f := range s.Fields {
			if f.Shape == nil {
				return fmt.Errorf("field %q has no shape", f.Name)
			}
			if err := f.Shape.check(depth + 1); err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			s.least += f.Shape.least
		}
		return nil
	}
	return fmt.Errorf("unknown kind %q", s.Kind)
}
