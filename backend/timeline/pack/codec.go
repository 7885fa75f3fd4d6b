package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"weir/backend/safetext"
)

// Append appends v as its shape says. v's type is the one s was made of.
func Append(out []byte, s *Shape, v reflect.Value) []byte {
	switch s.Kind {
	case kindBool:
		if v.Bool() {
			return append(out, 1)
		}
		return append(out, 0)
	case kindInt:
		return binary.AppendVarint(out, v.Int())
	case kindUint:
		return binary.AppendUvarint(out, v.Uint())
	case kindFloat:
		return binary.LittleEndian.AppendUint64(out, math.Float64bits(v.Float()))
	case kindString:
		return appendString(out, stringOf(v))
	case kindTime:
		at := v.Interface().(time.Time)
		return binary.AppendUvarint(binary.AppendVarint(out, at.Unix()), uint64(at.Nanosecond()))
	case kindPointer:
		if v.IsNil() {
			return append(out, 0)
		}
		return Append(append(out, 1), s.Elem, v.Elem())
	case kindList:
		if v.IsNil() {
			return append(out, 0)
		}
		out = binary.AppendUvarint(out, uint64(v.Len())+1)
		fallthrough
	case kindArray:
		for i := range v.Len() {
			out = Append(out, s.Elem, v.Index(i))
		}
		return out
	case kindMap:
		if v.IsNil() {
			return append(out, 0)
		}
		out = binary.AppendUvarint(out, uint64(v.Len())+1)
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(stringOf(a), stringOf(b)) })
		for _, key := range keys {
			out = Append(appendString(out, stringOf(key)), s.Elem, v.MapIndex(key))
		}
		return out
	default: // kindStruct
		if v.Kind() == reflect.Pointer { // an element of a list of pointers
			if v.IsNil() {
				v = reflect.New(v.Type().Elem())
			}
			v = v.Elem()
		}
		for i, f := 0, 0; f < len(s.Fields); i++ {
			if v.Type().Field(i).Name == s.Fields[f].Name { // those left out are not in the shape
				out = Append(out, s.Fields[f].Shape, v.Field(i))
				f++
			}
		}
		return out
	}
}

func stringOf(v reflect.Value) string {
	if v.Type() == textType {
		return v.Interface().(safetext.Text).String()
	}
	return v.String()
}

func appendString(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

// ErrShort means that bytes end before the value does, or that a length among them is absurd.
var ErrShort = errors.New("the record is cut off or damaged")

// Reader reads values of one shape into values of a type that may have changed since. It remembers texts, most of
// which come again with every second; it is not safe for concurrent use.
type Reader struct {
	data  []byte
	texts map[string]string
	plans map[*Shape]plan
}

// plan says which field of a struct each field of a shape is, -1 where the struct has none of that name.
type plan struct {
	of    reflect.Type
	index []int
}

func (r *Reader) plan(s *Shape, of reflect.Type) []int {
	if p, ok := r.plans[s]; ok && p.of == of {
		return p.index
	}
	p := plan{of: of, index: make([]int, len(s.Fields))}
	for i, f := range s.Fields {
		p.index[i] = -1
		if field, ok := of.FieldByName(f.Name); ok && len(field.Index) == 1 && field.IsExported() {
			p.index[i] = field.Index[0]
		}
	}
	if r.plans == nil {
		r.plans = map[*Shape]plan{}
	}
	r.plans[s] = p
	return p.index
}

// maxTexts bounds the texts remembered.
const maxTexts = 1 << 16

// Read reads one value of shape s, which is all of data, into to.
func (r *Reader) Read(data []byte, s *Shape, to reflect.Value) error {
	r.data = data
	if err := r.value(s, to); err != nil {
		return err
	}
	if len(r.data) > 0 {
		return fmt.Errorf("%w: %d bytes are left", ErrShort, len(r.data))
	}
	return nil
}

// value reads one value; the zero to, or one of another kind, means to go over it.
func (r *Reader) value(s *Shape, to reflect.Value) error {
	switch s.Kind {
	case kindBool:
		b, err := r.take(1)
		if err == nil && to.IsValid() && to.Kind() == reflect.Bool {
			to.SetBool(b[0] != 0)
		}
		return err
	case kindInt, kindUint, kindFloat:
		return r.number(s.Kind, to)
	case kindString:
		text, err := r.string()
		setString(to, text)
		return err
	case kindTime:
		seconds, err := r.varint()
		if err != nil {
			return err
		}
		nanos, err := r.uvarint()
		if err != nil || nanos > 999_999_999 {
			return ErrShort
		}
		if to.IsValid() && to.Type() == timeType {
			at := time.Unix(seconds, int64(nanos)).UTC()
			if seconds == (time.Time{}).Unix() && nanos == 0 {
				at = time.Time{}
			}
			to.Set(reflect.ValueOf(at))
		}
		return nil
	case kindPointer:
		return r.pointer(s, to)
	case kindList, kindArray:
		return r.list(s, to)
	case kindMap:
		return r.pairs(s, to)
	default: // kindStruct
		var index []int
		if to.IsValid() && to.Kind() == reflect.Struct && to.Type() != textType && to.Type() != timeType {
			index = r.plan(s, to.Type())
		}
		for i, f := range s.Fields {
			var field reflect.Value
			if index != nil && index[i] >= 0 {
				field = to.Field(index[i])
			}
			if err := r.value(f.Shape, field); err != nil {
				return err
			}
		}
		return nil
	}
}

func (r *Reader) number(k kind, to reflect.Value) error {
	var i int64
	var f float64
	switch k {
	case kindInt:
		n, err := r.varint()
		if err != nil {
			return err
		}
		i, f = n, float64(n)
	case kindUint:
		n, err := r.uvarint()
		if err != nil {
			return err
		}
		i, f = int64(n), float64(n)
	case kindFloat:
		b, err := r.take(8)
		if err != nil {
			return err
		}
		f = math.Float64frombits(binary.LittleEndian.Uint64(b))
		if f == math.Trunc(f) && math.Abs(f) < 1<<63 {
			i = int64(f)
		}
	}
	if !to.IsValid() {
		return nil
	}
	switch { // a number that changed its type between two versions is still that number
	case to.CanInt():
		to.SetInt(i)
	case to.CanUint():
		to.SetUint(uint64(i))
	case to.CanFloat():
		to.SetFloat(f)
	}
	return nil
}

func setString(to reflect.Value, text string) {
	switch {
	case !to.IsValid():
	case to.Type() == textType:
		to.Set(reflect.ValueOf(safetext.Clean(text))) // a file comes from outside, too
	case to.Kind() == reflect.String:
		to.SetString(text)
	}
}

func (r *Reader) pointer(s *Shape, to reflect.Value) error {
	b, err := r.take(1)
	if err != nil || b[0] == 0 {
		return err
	}
	if !to.IsValid() || to.Kind() != reflect.Pointer {
		return r.value(s.Elem, reflect.Value{})
	}
	to.Set(reflect.New(to.Type().Elem()))
	return r.value(s.Elem, to.Elem())
}

func (r *Reader) list(s *Shape, to reflect.Value) error {
	n := uint64(s.Length)
	if s.Kind == kindList {
		var isNil bool
		var err error
		if n, isNil, err = r.length(s.Elem.least); err != nil || isNil {
			return err
		}
	}
	if !to.IsValid() || to.Kind() != reflect.Slice && to.Kind() != reflect.Array {
		to = reflect.Value{}
	} else if to.Kind() == reflect.Slice {
		to.Set(reflect.MakeSlice(to.Type(), int(n), int(n)))
	}
	var behind reflect.Value // what a list of pointers points to
	if s.Elem.Kind == kindStruct && to.IsValid() && to.Type().Elem().Kind() == reflect.Pointer {
		behind = reflect.MakeSlice(reflect.SliceOf(to.Type().Elem().Elem()), int(n), int(n))
	}
	for i := range int(n) {
		var elem reflect.Value
		if to.IsValid() && i < to.Len() { // an array may have become shorter
			elem = to.Index(i)
			if behind.IsValid() {
				elem.Set(behind.Index(i).Addr())
				elem = behind.Index(i)
			}
		}
		if err := r.value(s.Elem, elem); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) pairs(s *Shape, to reflect.Value) error {
	n, isNil, err := r.length(1 + s.Elem.least)
	if err != nil || isNil {
		return err
	}
	if to.IsValid() && (to.Kind() != reflect.Map || to.Type().Key().Kind() != reflect.String) {
		to = reflect.Value{}
	}
	if to.IsValid() {
		to.Set(reflect.MakeMap(to.Type()))
	}
	for range n {
		name, err := r.string()
		if err != nil {
			return err
		}
		var elem reflect.Value
		if to.IsValid() {
			elem = reflect.New(to.Type().Elem()).Elem()
		}
		if err := r.value(s.Elem, elem); err != nil {
			return err
		}
		if to.IsValid() {
			to.SetMapIndex(reflect.ValueOf(name).Convert(to.Type().Key()), elem)
		}
	}
	return nil
}

// length is that of a list or a map whose elements have at least that many bytes; more than fit into the bytes left is
// damage. So what is made room for is bounded by what there is.
func (r *Reader) length(least int) (n uint64, isNil bool, err error) {
	n, err = r.uvarint()
	if err != nil || n == 0 {
		return 0, true, err
	}
	if n--; n > uint64(len(r.data)/max(least, 1)) {
		return 0, false, ErrShort
	}
	return n, false, nil
}

func (r *Reader) string() (string, error) {
	n, err := r.uvarint()
	if err != nil || n > uint64(len(r.data)) {
		return "", ErrShort
	}
	b, err := r.take(int(n))
	if err != nil {
		return "", err
	}
	if text, ok := r.texts[string(b)]; ok {
		return text, nil
	}
	if r.texts == nil || len(r.texts) >= maxTexts {
		r.texts = map[string]string{}
	}
	text := string(b)
	r.texts[text] = text
	return text, nil
}

func (r *Reader) take(n int) ([]byte, error) {
	if n > len(r.data) {
		return nil, ErrShort
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b, nil
}

func (r *Reader) varint() (int64, error) {
	n, size := binary.Varint(r.data)
	if size <= 0 {
		return 0, ErrShort
	}
	r.data = r.data[size:]
	return n, nil
}

func (r *Reader) uvarint() (uint64, error) {
	n, size := binary.Uvarint(r.data)
	if size <= 0 {
		return 0, ErrShort
	}
	r.data = r.data[size:]
	return n, nil
}
