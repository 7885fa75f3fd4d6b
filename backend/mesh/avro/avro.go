// Package avro turns Avro's binary encoding into JSON by the schema it was written with. It does no I/O.
package avro

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"weir/backend/mesh/scan"
)

// The bounds of a schema and of what one record may become. A few bytes can say "a thousand million times nothing".
const (
	MaxSchema = 1 << 20 // bytes
	maxDepth  = 64
	MaxJSON   = 16 << 20 // bytes
)

// ErrData is wrapped by every error about bytes that do not follow their schema.
var ErrData = errors.New("avro data")

type kind uint8

const (
	null kind = iota
	boolean
	integer // int and long
	float
	double
	blob
	text
	record
	enum
	array
	dict
	fixed
	union
)

// Schema is a compiled schema.
type Schema struct{ root *node }

type node struct {
	kind    kind
	logical string
	scale   int      // of a decimal
	size    int      // of a fixed
	names   []string // of fields, quoted for JSON with their colon; or an enum's symbols, quoted
	parts   []*node  // fields, branches, or the one item
}

// Parse compiles a schema. referenced are the schemas whose types it names, those that are named before those that name
// them.
func Parse(schema []byte, referenced ...[]byte) (*Schema, error) {
	c := compiler{named: map[string]*node{}}
	var root *node
	for _, text := range append(slices.Clone(referenced), schema) {
		if len(text) > MaxSchema {
			return nil, fmt.Errorf("avro schema: %d bytes; at most %d are read", len(text), MaxSchema)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			return nil, fmt.Errorf("avro schema: %w", err)
		}
		var err error
		if root, err = c.compile(v, "", 0); err != nil {
			return nil, fmt.Errorf("avro schema: %w", err)
		}
	}
	return &Schema{root}, nil
}

type compiler struct{ named map[string]*node }

var primitives = map[string]kind{"null": null, "boolean": boolean, "int": integer, "long": integer, "float": float, "double": double, "bytes": blob, "string": text}

func (c *compiler) compile(v any, namespace string, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	switch v := v.(type) {
	case string:
		if k, ok := primitives[v]; ok {
			return &node{kind: k}, nil
		}
		if n, ok := c.named[full(v, namespace)]; ok {
			return n, nil
		}
		if n, ok := c.named[v]; ok {
			return n, nil
		}
		return nil, fmt.Errorf("unknown type %q", v)
	case []any:
		n := &node{kind: union}
		for _, branch := range v {
			b, err := c.compile(branch, namespace, depth+1)
			if err != nil {
				return nil, err
			}
			n.parts = append(n.parts, b)
		}
		return n, nil
	case map[string]any:
		return c.object(v, namespace, depth)
	}
	return nil, fmt.Errorf("expected a type, found %T", v)
}

func (c *compiler) object(v map[string]any, namespace string, depth int) (*node, error) {
	typ, isName := v["type"].(string)
	if !isName {
		return c.compile(v["type"], namespace, depth+1)
	}
	logical, _ := v["logicalType"].(string)
	scale, _ := v["scale"].(float64)
	n := &node{logical: logical, scale: int(scale)}
	if name, ok := v["name"].(string); ok {
		if s, ok := v["namespace"].(string); ok {
			namespace = s
		}
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			namespace = name[:i]
		}
		c.named[full(name, namespace)] = n // before its fields, which may speak of it
	}
	var err error
	switch typ {
	case "record", "error":
		n.kind = record
		fields, _ := v["fields"].([]any)
		for _, f := range fields {
			field, _ := f.(map[string]any)
			name, ok := field["name"].(string)
			if !ok {
				return nil, errors.New("a field without a name")
			}
			part, err := c.compile(field["type"], namespace, depth+1)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", name, err)
			}
			n.names, n.parts = append(n.names, quote(name)+":"), append(n.parts, part)
		}
	case "enum":
		n.kind = enum
		symbols, _ := v["symbols"].([]any)
		for _, s := range symbols {
			n.names = append(n.names, quote(fmt.Sprint(s)))
		}
	case "array":
		n.kind, n.parts = array, make([]*node, 1)
		n.parts[0], err = c.compile(v["items"], namespace, depth+1)
	case "map":
		n.kind, n.parts = dict, make([]*node, 1)
		n.parts[0], err = c.compile(v["values"], namespace, depth+1)
	case "fixed":
		size, _ := v["size"].(float64)
		if n.kind, n.size = fixed, int(size); n.size < 0 || n.size > MaxJSON {
			return nil, fmt.Errorf("a fixed of %s", inBytes(int64(n.size)))
		}
	default:
		k, ok := primitives[typ]
		if !ok {
			return c.compile(typ, namespace, depth+1)
		}
		n.kind = k
	}
	return n, err
}

func full(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func quote(s string) string { return string(scan.AppendQuoted(nil, s)) }

// AppendJSON appends the record that data hold, all of them, to dst as JSON. Decimals become numbers, bytes base64, dates
// and timestamps ISO 8601, NaN and infinities null. The error wraps ErrData.
func (s *Schema) AppendJSON(dst, data []byte) ([]byte, error) {
	d := decoder{data: data, start: len(dst)}
	out, err := d.value(dst, s.root, 0)
	if err == nil && d.at != len(data) {
		err = fmt.Errorf("%w: %s after the record", ErrData, inBytes(int64(len(data)-d.at)))
	}
	return out, err
}

// IsTime tells whether the field at a path is a date, a time of day or both by its type: names, and [] for the elements of an
// array or the values of a map.
func (s *Schema) IsTime(path []string) bool { return s.root.isTime(path) }

func (n *node) isTime(path []string) bool {
	if n.kind == union {
		time := false
		for _, branch := range n.parts {
			if len(path) == 0 && branch.kind == text {
				return false // which of them it is, its JSON does not tell
			}
			time = time || branch.isTime(path)
		}
		return time
	}
	switch {
	case len(path) == 0:
		return n.kind == integer && n.isLogicalTime()
	case n.kind == record:
		i := slices.Index(n.names, quote(path[0])+":")
		return i >= 0 && n.parts[i].isTime(path[1:])
	case n.kind == array || n.kind == dict:
		return path[0] == "[]" && n.parts[0].isTime(path[1:])
	}
	return false
}

// isLogicalTime tells whether appendInteger writes a time.
func (n *node) isLogicalTime() bool { return len(appendInteger(nil, 0, n.logical)) > 1 }

// inBytes writes a size.
func inBytes(n int64) string {
	if n == 1 {
		return "1 byte"
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

type decoder struct {
	data  []byte
	at    int
	start int
}

func (d *decoder) fail(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrData, what, d.at)
}

func (d *decoder) value(dst []byte, n *node, depth int) ([]byte, error) {
	if depth > maxDepth {
		return dst, d.fail("nested deeper than 64 levels")
	}
	if len(dst)-d.start > MaxJSON {
		return dst, d.fail("a record of more than 16 MiB")
	}
	switch n.kind {
	case null:
		return append(dst, "null"...), nil
	case boolean:
		b, err := d.take(1)
		if err != nil {
			return dst, err
		}
		return strconv.AppendBool(dst, b[0] != 0), nil
	case integer:
		v, err := d.long()
		if err != nil {
			return dst, err
		}
		return appendInteger(dst, v, n.logical), nil
	case float:
		b, err := d.take(4)
		if err != nil {
			return dst, err
		}
		return appendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32), nil
	case double:
		b, err := d.take(8)
		if err != nil {
			return dst, err
		}
		return appendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)), 64), nil
	case blob, text:
		size, err := d.long()
		if err != nil {
			return dst, err
		}
		if size < 0 || size > int64(len(d.data)-d.at) {
			return dst, d.fail("a text of " + inBytes(size))
		}
		b, err := d.take(int(size))
		if err != nil {
			return dst, err
		}
		return d.bytes(dst, b, n)
	case fixed:
		b, err := d.take(n.size)
		if err != nil {
			return dst, err
		}
		return d.bytes(dst, b, n)
	case enum:
		i, err := d.long()
		if err != nil {
			return dst, err
		}
		if i < 0 || i >= int64(len(n.names)) {
			return dst, d.fail("an enum's symbol that the schema lacks")
		}
		return append(dst, n.names[i]...), nil
	case union:
		i, err := d.long()
		if err != nil {
			return dst, err
		}
		if i < 0 || i >= int64(len(n.parts)) {
			return dst, d.fail("a union's branch that the schema lacks")
		}
		return d.value(dst, n.parts[i], depth+1)
	case record:
		dst = append(dst, '{')
		for i, part := range n.parts {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = d.value(append(dst, n.names[i]...), part, depth+1); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	}
	return d.blocks(dst, n, depth)
}

// blocks reads an array or map: blocks of items, each with its count, a negative one followed by its size in bytes.
func (d *decoder) blocks(dst []byte, n *node, depth int) ([]byte, error) {
	open, end := byte('['), byte(']')
	if n.kind == dict {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	for first := true; ; {
		count, err := d.long()
		if err != nil {
			return dst, err
		}
		if count == 0 {
			return append(dst, end), nil
		}
		if count < 0 {
			if count = -count; count < 0 {
				return dst, d.fail("a block of impossible size")
			}
			if _, err := d.long(); err != nil {
				return dst, err
			}
		}
		for ; count > 0; count-- {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			if n.kind == dict {
				if dst, err = d.value(dst, &node{kind: text}, depth+1); err != nil {
					return dst, err
				}
				dst = append(dst, ':')
			}
			if dst, err = d.value(dst, n.parts[0], depth+1); err != nil {
				return dst, err
			}
		}
	}
}

func (d *decoder) bytes(dst, b []byte, n *node) ([]byte, error) {
	switch {
	case n.logical == "decimal":
		return scan.AppendDecimal(dst, b, n.scale), nil
	case n.kind == text:
		if !utf8.Valid(b) {
			return dst, d.fail("a text that is not UTF-8")
		}
		return scan.AppendQuoted(dst, b), nil
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, '"'), nil
}

func (d *decoder) take(n int) ([]byte, error) {
	if n > len(d.data)-d.at {
		return nil, d.fail("the data end too soon")
	}
	d.at += n
	return d.data[d.at-n : d.at], nil
}

func (d *decoder) long() (int64, error) {
	v, n := binary.Varint(d.data[d.at:])
	if n <= 0 {
		return 0, d.fail("expected a whole number")
	}
	d.at += n
	return v, nil
}

func appendInteger(dst []byte, v int64, logical string) []byte {
	var t time.Time
	layout := `"2006-01-02T15:04:05.999999999Z"`
	logical, local := strings.CutPrefix(logical, "local-")
	if local { // the time on a clock somewhere, which no zone belongs to
		layout = `"2006-01-02T15:04:05.999999999"`
	}
	switch logical {
	case "date":
		t, layout = time.Unix(v*86400, 0), `"2006-01-02"`
	case "timestamp-millis":
		t = time.UnixMilli(v)
	case "timestamp-micros":
		t = time.UnixMicro(v)
	case "timestamp-nanos":
		t = time.Unix(v/1e9, v%1e9)
	case "time-millis":
		t, layout = time.UnixMilli(v), `"15:04:05.999"`
	case "time-micros":
		t, layout = time.UnixMicro(v), `"15:04:05.999999"`
	default:
		return strconv.AppendInt(dst, v, 10)
	}
	return t.UTC().AppendFormat(dst, layout)
}

func appendFloat(dst []byte, v float64, bits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, bits)
}
