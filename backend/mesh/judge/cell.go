package judge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/scan"
)

// Cell is one value of a row. The zero Cell is absent.
type Cell struct {
	Kind    scan.Kind
	Escaped bool   // a String whose Raw holds backslashes
	Time    bool   // a String that is a time of the data's own type, in ISO 8601 whatever format its column has as a text
	Raw     []byte // a String with its quotes, a Text without any
}

// IsNull tells whether the cell is null or absent.
func (c Cell) IsNull() bool { return c.Kind <= scan.Null }

// Text is the cell's value as text; scratch is where an escaped string is written.
func (c Cell) Text(scratch *[]byte) []byte {
	if c.Kind != scan.String {
		return c.Raw
	}
	if !c.Escaped {
		return c.Raw[1 : len(c.Raw)-1]
	}
	*scratch = scan.Unquote((*scratch)[:0], c.Raw)
	return *scratch
}

// shape is what a cell holds, a text that looks like a JSON object or array being one.
func (c Cell) shape() scan.Kind {
	if c.Kind == scan.Text && len(c.Raw) > 1 {
		switch c.Raw[0] {
		case '{':
			return scan.Object
		case '[':
			return scan.Array
		}
	}
	return c.Kind
}

// Number is the cell's value as a number. A text is a number if it reads as one; as in pandas blanks around it are no matter.
func (c Cell) Number() (float64, bool) {
	switch c.Kind {
	case scan.Number:
		return parseNumber(c.Raw)
	case scan.Text:
		v, ok := parseNumber(c.Raw)
		if trimmed := bytes.Trim(c.Raw, blanks); !ok && len(trimmed) < len(c.Raw) {
			v, ok = parseNumber(trimmed)
		}
		return v, ok
	}
	return 0, false
}

// blanks are what pandas passes over around a number.
const blanks = " \t\n\v\f\r"

// exactly is the number that b writes; nil where working it out would take its time.
func exactly(b []byte) *big.Rat {
	b = bytes.Trim(b, blanks)
	if i := bytes.IndexAny(b, "eE"); len(b) > 60 || i >= 0 && len(b)-i > len("e-400") {
		return nil
	}
	v, ok := new(big.Rat).SetString(string(b))
	if !ok {
		return nil
	}
	return v
}

// parseNumber reads a decimal number. What exceeds float64 is infinite: more than any limit, so that it fails every range
// it would fail if it could be held.
func parseNumber(b []byte) (float64, bool) {
	if v, ok := shortNumber(b); ok {
		return v, true
	}
	if len(b) == 0 {
		return 0, false
	}
	switch c := b[len(b)-1]; { // ParseFloat also reads inf, nan, hexadecimal and underscores
	case c >= '0' && c <= '9' || c == '.':
	default:
		return 0, false
	}
	for _, c := range b {
		if c == 'x' || c == 'X' || c == '_' || c == 'p' || c == 'P' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(unsafe.String(&b[0], len(b)), 64) // ParseFloat keeps no part of it
	return v, err == nil || errors.Is(err, strconv.ErrRange)
}

// isDecimal tells of a text that is digits with a point among them, as most numbers are, that it is a number.
func isDecimal(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	digits, points := 0, 0
	for _, c := range b {
		switch {
		case c-'0' <= 9:
			digits++
		case c == '.':
			points++
		default:
			return false
		}
	}
	return digits > 0 && points <= 1
}

var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// shortNumber reads up to 15 digits with a point among them, which float64 holds exactly after one division.
func shortNumber(b []byte) (float64, bool) {
	i, negative := 0, false
	if len(b) > 0 && b[0] == '-' {
		i, negative = 1, true
	}
	if i == len(b) || len(b)-i > 16 {
		return 0, false
	}
	var mantissa int64
	digits, point := 0, -1
	for ; i < len(b); i++ {
		c := b[i]
		if c == '.' && point < 0 && digits > 0 {
			point = digits
			continue
		}
		if c-'0' > 9 {
			return 0, false
		}
		mantissa = mantissa*10 + int64(c-'0')
		digits++
	}
	if digits == 0 || digits > 15 || point == digits {
		return 0, false
	}
	v := float64(mantissa)
	if point >= 0 {
		v /= powers[digits-point]
	}
	if negative {
		v = -v
	}
	return v, true
}

// When is the cell's value as a time: ISO 8601 or the given layout (of contract.Layout), or, for a number, the epoch in seconds,
// milliseconds, microseconds or nanoseconds, told apart by size.
func (c Cell) When(layout string, scratch *[]byte) (time.Time, bool) {
	switch c.Kind {
	case scan.String, scan.Text:
		b := c.Text(scratch)
		if c.Time {
			layout = contract.WithoutFormat(layout)
		}
		t, ok := contract.ParseLayout(layout, b)
		if ok {
			return t, true
		}
		if c.Kind == scan.String || contract.WithoutFormat(layout) != layout {
			return time.Time{}, false
		}
	case scan.Number:
	default:
		return time.Time{}, false
	}
	v, ok := c.Number()
	if !ok || math.Abs(v) > 9e18 {
		return time.Time{}, false
	}
	switch a := math.Abs(v); {
	case a < 1e11:
		whole, part := math.Modf(v)
		return time.Unix(int64(whole), int64(part*1e9)), true
	case a < 1e14:
		return time.UnixMilli(int64(v)), true
	case a < 1e17:
		return time.UnixMicro(int64(v)), true
	}
	return time.Unix(0, int64(v)), true
}

// logical is one of ODCS' logical types.
type logical uint8

const (
	anyType logical = iota
	stringType
	booleanType
	numberType
	integerType
	objectType
	arrayType
	timeType
	dateType
	timestampType
)

var logicals = map[string]logical{"string": stringType, "boolean": booleanType, "number": numberType, "integer": integerType,
	"object": objectType, "array": arrayType, "time": timeType, "date": dateType, "timestamp": timestampType, "map": objectType, "vector": arrayType}

// isOf tells whether the cell is of an ODCS logical type other than integer. A text (a field of a CSV) is of a type if it reads as one.
func (c Cell) isOf(typ logical, layout string, scratch *[]byte) bool {
	switch typ {
	case stringType:
		return c.Kind == scan.String || c.Kind == scan.Text
	case booleanType:
		return c.Kind == scan.True || c.Kind == scan.False || c.Kind == scan.Text && isBool(c.Raw)
	case numberType:
		_, ok := c.Number()
		return ok || c.Kind == scan.Number // a number beyond float64 is still a number
	case objectType:
		return c.Kind == scan.Object || c.shape() == scan.Object && json.Valid(c.Raw)
	case arrayType:
		return c.Kind == scan.Array || c.shape() == scan.Array && json.Valid(c.Raw)
	case timeType:
		if c.Kind != scan.String && c.Kind != scan.Text {
			return false
		}
		if layout != "" && !c.Time {
			_, ok := c.When(layout, scratch)
			return ok
		}
		_, ok := contract.ParseClock(c.Text(scratch))
		return ok
	case dateType, timestampType:
		if (layout == "" || c.Time) && typ == dateType { // unlike a timestamp it is no number
			return (c.Kind == scan.String || c.Kind == scan.Text) && contract.IsTime(c.Text(scratch))
		}
		_, ok := c.When(layout, scratch)
		return ok
	}
	return true
}

func isBool(b []byte) bool {
	switch string(b) {
	case "true", "false", "True", "False", "TRUE", "FALSE", "t", "f", "1", "0":
		return true
	}
	return false
}

func onlyDigits(b []byte) bool {
	for i, c := range b {
		if c-'0' > 9 && (i > 0 || c != '-') {
			return false
		}
	}
	return len(b) > 0
}

// hasFormat tells whether the cell is in one of ODCS' formats for strings and numbers.
func (c Cell) hasFormat(typ, format string, scratch *[]byte) bool {
	if typ == "integer" {
		bits, signed, ok := contract.IntegerFormat(format)
		return !ok || c.fits(bits, signed)
	}
	if typ == "number" {
		v, ok := c.Number()
		return ok && (format != "f32" || math.Abs(v) <= math.MaxFloat32)
	}
	b := c.Text(scratch)
	if format == contract.ZoneSaid || format == contract.ZoneUnsaid {
		if _, epoch := c.Number(); epoch || c.Kind != scan.String && c.Kind != scan.Text { // the moment itself, or no time at all
			return true
		}
		return contract.SaysZone(b) == (format == contract.ZoneSaid)
	}
	switch format {
	case "email":
		a, err := mail.ParseAddress(string(b))
		return err == nil && a.Address == string(b)
	case "uuid":
		return isUUID(b)
	case "uri":
		u, err := url.Parse(string(b))
		return err == nil && u.Scheme != ""
	case "hostname":
		return isHostname(b)
	case "ipv4":
		a, err := netip.ParseAddr(string(b))
		return err == nil && a.Is4()
	case "ipv6":
		a, err := netip.ParseAddr(string(b))
		return err == nil && a.Is6()
	case "byte":
		_, err := base64.StdEncoding.DecodeString(string(b))
		return err == nil
	}
	return true
}

// fits tells whether the cell is a number within the range of an integer of so many bits.
func (c Cell) fits(bits int, signed bool) bool {
	v, ok := c.Number()
	if !ok {
		return false
	}
	low, high := 0.0, math.Ldexp(1, bits)
	if signed {
		low, high = -high/2, high/2
	}
	if math.Abs(v) < 1<<53 || !onlyDigits(c.Raw) {
		return v >= low && v < high
	}
	n, ok := new(big.Int).SetString(string(c.Raw), 10) // the largest integers of 64 bits are no float64
	if !ok || !signed {
		return ok && n.Sign() >= 0 && n.BitLen() <= bits
	}
	if n.Sign() < 0 {
		n.Not(n) // -n-1: as far below 0 as n is above it
	}
	return n.BitLen() < bits
}

func isUUID(b []byte) bool {
	if len(b) != 36 {
		return false
	}
	for i, c := range b {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !scan.IsHex(c) {
			return false
		}
	}
	return true
}

func isHostname(b []byte) bool {
	if len(b) == 0 || len(b) > 253 {
		return false
	}
	label := 0
	for i, c := range b {
		switch {
		case c == '.':
			if label == 0 || b[i-1] == '-' {
				return false
			}
			label = 0
		case c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' && label > 0:
			if label++; label > 63 {
				return false
			}
		default:
			return false
		}
	}
	return label > 0 && b[len(b)-1] != '-'
}

// hash mixes the cell's value, so that equal values have equal hashes: 1 and 1.0, "a" and "\u0061".
func (c Cell) hash(seed uint64, scratch *[]byte) uint64 {
	switch c.Kind {
	case scan.String:
		return scan.Hash(seed, c.Text(scratch))
	case scan.Number:
		if v, ok := parseNumber(c.Raw); ok && math.Abs(v) < 1<<53 {
			var b [9]byte
			b[0] = 'n'
			bits := math.Float64bits(v + 0) // -0 and 0 are one number
			for i := range 8 {
				b[1+i] = byte(bits >> (8 * i))
			}
			return scan.Hash(seed, b[:])
		}
	}
	return scan.Hash(seed^uint64(c.Kind)<<56, c.Raw)
}

func runes(b []byte) float64 { return float64(utf8.RuneCount(b)) }

// HasFormat tells whether a text is in one of ODCS' formats for strings, such as uuid.
func (c Cell) HasFormat(format string) bool {
	var scratch []byte
	return c.hasFormat("string", format, &scratch)
}
