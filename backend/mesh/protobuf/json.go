package protobuf

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"weir/backend/mesh/scan"
)

// writer writes one record.
type writer struct {
	schema *Schema
	start  int
}

func (w *writer) fail(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrData, fmt.Sprintf(format, args...))
}

func (w *writer) message(dst []byte, m protoreflect.Message, depth int) ([]byte, error) {
	if depth > maxDepth {
		return dst, w.fail("nested deeper than %d levels", maxDepth)
	}
	if len(dst)-w.start > MaxJSON {
		return dst, w.fail("a record of more than 16 MiB")
	}
	if known, ok := wellKnown[m.Descriptor().FullName()]; ok {
		return known(w, dst, m, depth)
	}
	return w.fields(append(dst, '{'), m, depth, true)
}

// fields writes the fields of a message and the closing brace.
func (w *writer) fields(dst []byte, m protoreflect.Message, depth int, first bool) ([]byte, error) {
	fields := m.Descriptor().Fields()
	var err error
	for i := range fields.Len() {
		f := fields.Get(i)
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), f.Name()...), '"', ':')
		switch {
		case f.HasPresence() && !m.Has(f):
			dst = append(dst, "null"...)
		case f.IsMap():
			dst, err = w.dict(dst, f, m.Get(f).Map(), depth)
		case f.IsList():
			dst, err = w.list(dst, f, m.Get(f).List(), depth)
		default:
			dst, err = w.value(dst, f, m.Get(f), depth)
		}
		if err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func (w *writer) list(dst []byte, f protoreflect.FieldDescriptor, l protoreflect.List, depth int) ([]byte, error) {
	dst = append(dst, '[')
	var err error
	for i := range l.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = w.value(dst, f, l.Get(i), depth); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// dict writes a map in the order of its keys, so that equal maps are equal texts.
func (w *writer) dict(dst []byte, f protoreflect.FieldDescriptor, d protoreflect.Map, depth int) ([]byte, error) {
	keys := make([]protoreflect.MapKey, 0, d.Len())
	d.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
	dst = append(dst, '{')
	var err error
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(scan.AppendQuoted(dst, k.String()), ':')
		if dst, err = w.value(dst, f.MapValue(), d.Get(k), depth); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// value writes one value, or one element, of a field.
func (w *writer) value(dst []byte, f protoreflect.FieldDescriptor, v protoreflect.Value, depth int) ([]byte, error) {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return w.message(dst, v.Message(), depth+1)
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, v.Bool()), nil
	case protoreflect.StringKind:
		return scan.AppendQuoted(dst, v.String()), nil
	case protoreflect.BytesKind:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), v.Bytes()), '"'), nil
	case protoreflect.EnumKind:
		if f.Enum().FullName() == "google.protobuf.NullValue" {
			return append(dst, "null"...), nil
		}
		if known := f.Enum().Values().ByNumber(v.Enum()); known != nil {
			return append(append(append(dst, '"'), known.Name()...), '"'), nil
		}
		return strconv.AppendInt(dst, int64(v.Enum()), 10), nil // one the schema does not name
	case protoreflect.FloatKind:
		return appendFloat(dst, v.Float(), 32), nil
	case protoreflect.DoubleKind:
		return appendFloat(dst, v.Float(), 64), nil
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(dst, v.Uint(), 10), nil
	}
	return strconv.AppendInt(dst, v.Int(), 10), nil
}

func appendFloat(dst []byte, v float64, bits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, bits)
}

// wellKnown are the messages with a JSON form of their own. It is filled by init, for they may hold one another.
var wellKnown map[protoreflect.FullName]func(w *writer, dst []byte, m protoreflect.Message, depth int) ([]byte, error)

func init() {
	wellKnown = map[protoreflect.FullName]func(*writer, []byte, protoreflect.Message, int) ([]byte, error){
		"google.protobuf.Timestamp": (*writer).timestamp,
		"google.protobuf.Duration":  (*writer).duration,
		"google.protobuf.FieldMask": (*writer).mask,
		"google.protobuf.Any":       (*writer).any,
		"google.protobuf.Struct":    (*writer).only,
		"google.protobuf.ListValue": (*writer).only,
		"google.protobuf.Value":     (*writer).dynamic,
		"confluent.type.Decimal":    (*writer).decimal,
	}
	for _, kind := range []protoreflect.FullName{"Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"} {
		wellKnown["google.protobuf."+kind+"Value"] = (*writer).only
	}
}

// field is a field of a well-known message by its number; a message of that name may be of somebody else's making.
func (w *writer) field(m protoreflect.Message, number protoreflect.FieldNumber, kinds ...protoreflect.Kind) (protoreflect.FieldDescriptor, error) {
	f := m.Descriptor().Fields().ByNumber(number)
	if f == nil || len(kinds) > 0 && (!slices.Contains(kinds, f.Kind()) || f.IsList()) {
		return nil, w.fail("%s is not the well-known message of that name", m.Descriptor().FullName())
	}
	return f, nil
}

// moment gives the seconds and nanoseconds of a Timestamp or Duration.
func (w *writer) moment(m protoreflect.Message) (seconds, nanos int64, err error) {
	s, err := w.field(m, 1, protoreflect.Int64Kind)
	if err != nil {
		return 0, 0, err
	}
	n, err := w.field(m, 2, protoreflect.Int32Kind)
	if err != nil {
		return 0, 0, err
	}
	return m.Get(s).Int(), m.Get(n).Int(), nil
}

func (w *writer) timestamp(dst []byte, m protoreflect.Message, _ int) ([]byte, error) {
	seconds, nanos, err := w.moment(m)
	if err != nil {
		return dst, err
	}
	if seconds < -62135596800 || seconds > 253402300799 || nanos < 0 || nanos > 999999999 { // years 1 to 9999
		return dst, w.fail("a timestamp of %d s and %d ns", seconds, nanos)
	}
	return time.Unix(seconds, nanos).UTC().AppendFormat(dst, `"2006-01-02T15:04:05.999999999Z"`), nil
}

func (w *writer) duration(dst []byte, m protoreflect.Message, _ int) ([]byte, error) {
	seconds, nanos, err := w.moment(m)
	if err != nil {
		return dst, err
	}
	const most = 315576000000 // 10,000 years
	if seconds < -most || seconds > most || nanos <= -1e9 || nanos >= 1e9 || seconds > 0 && nanos < 0 || seconds < 0 && nanos > 0 {
		return dst, w.fail("a duration of %d s and %d ns", seconds, nanos)
	}
	dst = append(dst, '"')
	if seconds < 0 || nanos < 0 {
		dst, seconds, nanos = append(dst, '-'), -seconds, -nanos
	}
	dst = strconv.AppendInt(dst, seconds, 10)
	if nanos > 0 {
		dst = append(append(dst, '.'), strings.TrimRight(fmt.Sprintf("%09d", nanos), "0")...)
	}
	return append(dst, 's', '"'), nil
}

func (w *writer) mask(dst []byte, m protoreflect.Message, _ int) ([]byte, error) {
	f, err := w.field(m, 1)
	if err != nil || !f.IsList() || f.Kind() != protoreflect.StringKind {
		return dst, w.fail("%s is not the well-known message of that name", m.Descriptor().FullName())
	}
	var paths []string
	for i, l := 0, m.Get(f).List(); i < l.Len(); i++ {
		paths = append(paths, l.Get(i).String())
	}
	return scan.AppendQuoted(dst, strings.Join(paths, ",")), nil
}

// only writes the message's one field in its place: of wrappers, Struct and ListValue.
func (w *writer) only(dst []byte, m protoreflect.Message, depth int) ([]byte, error) {
	f, err := w.field(m, 1)
	switch {
	case err != nil:
		return dst, err
	case f.IsMap():
		return w.dict(dst, f, m.Get(f).Map(), depth)
	case f.IsList():
		return w.list(dst, f, m.Get(f).List(), depth)
	}
	return w.value(dst, f, m.Get(f), depth)
}

// dynamic writes a google.protobuf.Value: whichever of its fields is set.
func (w *writer) dynamic(dst []byte, m protoreflect.Message, depth int) ([]byte, error) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); m.Has(f) && !f.IsList() && !f.IsMap() {
			return w.value(dst, f, m.Get(f), depth)
		}
	}
	return append(dst, "null"...), nil
}

// any writes the message inside with its type's URL as "@type", or, where the schema does not know the type, its bytes.
func (w *writer) any(dst []byte, m protoreflect.Message, depth int) ([]byte, error) {
	at, err := w.field(m, 1, protoreflect.StringKind)
	if err != nil {
		return dst, err
	}
	f, err := w.field(m, 2, protoreflect.BytesKind)
	if err != nil {
		return dst, err
	}
	address, data := m.Get(at).String(), m.Get(f).Bytes()
	dst = append(scan.AppendQuoted(append(dst, `{"@type":`...), address), ',')
	known, _ := w.schema.types.FindMessageByURL(address)
	if known == nil {
		return append(base64.StdEncoding.AppendEncode(append(dst, `"value":"`...), data), '"', '}'), nil
	}
	inside := known.New()
	options := proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth - depth, Resolver: w.schema.types}
	if err := unmarshal(options, data, inside.Interface()); err != nil {
		return dst, w.fail("the %s inside: %v", known.Descriptor().FullName(), err)
	}
	if _, special := wellKnown[known.Descriptor().FullName()]; special {
		if dst, err = w.message(append(dst, `"value":`...), inside, depth+1); err != nil {
			return dst, err
		}
		return append(dst, '}'), nil
	}
	if known.Descriptor().Fields().Len() == 0 {
		return append(dst[:len(dst)-1], '}'), nil
	}
	return w.fields(dst, inside, depth+1, true)
}

// decimal writes a confluent.type.Decimal as a number: two's complement, the highest byte first, over a power of ten.
func (w *writer) decimal(dst []byte, m protoreflect.Message, _ int) ([]byte, error) {
	value, err := w.field(m, 1, protoreflect.BytesKind)
	if err != nil {
		return dst, err
	}
	scale, err := w.field(m, 3, protoreflect.Int32Kind)
	if err != nil {
		return dst, err
	}
	return scan.AppendDecimal(dst, m.Get(value).Bytes(), int(m.Get(scale).Int())), nil
}
