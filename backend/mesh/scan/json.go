package scan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth bounds how deep arrays and objects of one record may nest.
const MaxDepth = 512

// JSON scans JSON objects. The zero JSON is ready; it is not safe for concurrent use.
type JSON struct {
	data   []byte
	at     int
	fields []Field
	keys   []byte // unescaped keys of the last call
	// order holds the keys of the last object as they were written, up to the colon: records of one source mostly have the
	// same keys in the same order, which a comparison tells sooner than a scan.
	order [][]byte
}

// maxOrder bounds the keys that are expected again.
const maxOrder = 256

// Object checks that data is exactly one well-formed JSON object and returns its top-level fields in their order,
// repeated keys included. The slice and all it points to are good until the next call.
func (j *JSON) Object(data []byte) ([]Field, error) {
	j.data, j.at, j.fields, j.keys = data, 0, j.fields[:0], j.keys[:0]
	j.space()
	if j.at >= len(data) || data[j.at] != '{' {
		return nil, j.fail("expected a JSON object")
	}
	j.at++
	if err := j.members(1, true); err != nil {
		return nil, err
	}
	j.space()
	if j.at != len(data) {
		return nil, j.fail("unexpected bytes after the object")
	}
	return j.fields, nil
}

// Elements checks that data is one well-formed JSON array and returns its elements as fields without keys.
func (j *JSON) Elements(data []byte) ([]Field, error) {
	j.data, j.at, j.fields = data, 0, j.fields[:0]
	j.space()
	if j.at >= len(data) || data[j.at] != '[' {
		return nil, j.fail("expected a JSON array")
	}
	j.at++
	if err := j.elements(1, true); err != nil {
		return nil, err
	}
	j.space()
	if j.at != len(data) {
		return nil, j.fail("unexpected bytes after the array")
	}
	return j.fields, nil
}

// members reads from behind an opening brace to behind its closing one, keeping the fields if asked to.
func (j *JSON) members(depth int, keep bool) error {
	if depth > MaxDepth {
		return j.fail("nested deeper than 512 levels")
	}
	j.space()
	if j.at < len(j.data) && j.data[j.at] == '}' {
		j.at++
		return nil
	}
	for {
		j.space()
		key, err := j.key(keep)
		if err != nil {
			return err
		}
		j.space()
		from := j.at
		kind, escaped, err := j.value(depth)
		if err != nil {
			return err
		}
		if keep {
			j.fields = append(j.fields, Field{Key: key, Raw: j.data[from:j.at], Kind: kind, Escaped: escaped})
		}
		j.space()
		if j.at >= len(j.data) {
			return j.fail("expected a comma or a closing brace")
		}
		switch j.data[j.at] {
		case ',':
			j.at++
		case '}':
			j.at++
			return nil
		default:
			return j.fail("expected a comma or a closing brace")
		}
	}
}

// key reads a key and its colon.
func (j *JSON) key(keep bool) ([]byte, error) {
	from, i := j.at, len(j.fields)
	if keep && i < len(j.order) {
		if expected := j.order[i]; len(j.data)-from > len(expected) && string(j.data[from:from+len(expected)]) == string(expected) {
			j.at = from + len(expected)
			return j.data[from+1 : j.at-2], nil
		}
	}
	if from >= len(j.data) || j.data[from] != '"' {
		return nil, j.fail("expected a key in double quotes")
	}
	escaped, err := j.str()
	if err != nil {
		return nil, err
	}
	key := j.data[from+1 : j.at-1]
	if escaped && keep {
		start := len(j.keys)
		j.keys = Unquote(j.keys, j.data[from:j.at])
		key = j.keys[start:]
	}
	close := j.at
	j.space()
	if j.at >= len(j.data) || j.data[j.at] != ':' {
		return nil, j.fail("expected a colon")
	}
	j.at++
	if keep && !escaped && close+1 == j.at && i <= len(j.order) && i < maxOrder {
		if i == len(j.order) {
			j.order = append(j.order, nil)
		}
		j.order[i] = append(j.order[i][:0], j.data[from:j.at]...)
	}
	return key, nil
}

func (j *JSON) elements(depth int, keep bool) error {
	if depth > MaxDepth {
		return j.fail("nested deeper than 512 levels")
	}
	j.space()
	if j.at < len(j.data) && j.data[j.at] == ']' {
		j.at++
		return nil
	}
	for {
		j.space()
		from := j.at
		kind, escaped, err := j.value(depth)
		if err != nil {
			return err
		}
		if keep {
			j.fields = append(j.fields, Field{Raw: j.data[from:j.at], Kind: kind, Escaped: escaped})
		}
		j.space()
		if j.at >= len(j.data) {
			return j.fail("expected a comma or a closing bracket")
		}
		switch j.data[j.at] {
		case ',':
			j.at++
		case ']':
			j.at++
			return nil
		default:
			return j.fail("expected a comma or a closing bracket")
		}
	}
}

func (j *JSON) value(depth int) (kind Kind, escaped bool, err error) {
	if j.at >= len(j.data) {
		return Absent, false, j.fail("expected a value")
	}
	switch c := j.data[j.at]; c {
	case '"':
		escaped, err = j.str()
		return String, escaped, err
	case 'n':
		return Null, false, j.literal("null")
	case 't':
		return True, false, j.literal("true")
	case 'f':
		return False, false, j.literal("false")
	case '{':
		j.at++
		return Object, false, j.members(depth+1, false)
	case '[':
		j.at++
		return Array, false, j.elements(depth+1, false)
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return Number, false, j.number()
		}
		return Absent, false, j.fail("expected a value")
	}
}

func (j *JSON) literal(word string) error {
	if end := j.at + len(word); end <= len(j.data) && string(j.data[j.at:end]) == word {
		j.at = end
		return nil
	}
	return j.fail("expected " + word)
}

// number follows RFC 8259's grammar: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (j *JSON) number() error {
	d, i := j.data, j.at
	if d[i] == '-' {
		i++
	}
	if i < len(d) && d[i] == '0' {
		i++
	} else if next := digits(d, i); next > i {
		i = next
	} else {
		return j.failAt(i, "expected a digit")
	}
	if i < len(d) && d[i] == '.' {
		next := digits(d, i+1)
		if next == i+1 {
			return j.failAt(next, "expected a digit after the decimal point")
		}
		i = next
	}
	if i < len(d) && (d[i] == 'e' || d[i] == 'E') {
		i++
		if i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		next := digits(d, i)
		if next == i {
			return j.failAt(next, "expected a digit in the exponent")
		}
		i = next
	}
	j.at = i
	return nil
}

func digits(d []byte, i int) int {
	for i < len(d) && d[i]-'0' <= 9 {
		i++
	}
	return i
}

// str reads a string from its opening quote to behind its closing one.
func (j *JSON) str() (escaped bool, err error) {
	from := j.at + 1
	i, high := from, false
	for {
		var stop int
		stop, high = plain(j.data, i, high)
		i = stop
		if i >= len(j.data) {
			return false, j.failAt(i, "a string is never closed")
		}
		switch j.data[i] {
		case '"':
			if high && !utf8.Valid(j.data[from:i]) {
				return false, j.failAt(from, "a string that is not UTF-8")
			}
			j.at = i + 1
			return escaped, nil
		case '\\':
			escaped = true
			if i = escape(j.data, i+1); i < 0 {
				return false, j.fail("a backslash escape JSON does not know")
			}
		default:
			return false, j.failAt(i, "a control character in a string")
		}
	}
}

// plain is the first index from i on that holds a quote, a backslash or a control character; high is set when a byte
// above 0x7f was passed.
func plain(d []byte, i int, high bool) (int, bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(d); i += 8 {
		w := binary.LittleEndian.Uint64(d[i:])
		quote, slash := w^ones*'"', w^ones*'\\'
		special := ((quote - ones) &^ quote) | ((slash - ones) &^ slash) | ((w - ones*0x20) &^ w)
		if special &= tops; special != 0 {
			// A borrow may mark bytes above the first special one, never below it.
			n := bits.TrailingZeros64(special) &^ 7
			return i + n/8, high || w&tops&(1<<n-1) != 0
		}
		high = high || w&tops != 0
	}
	for ; i < len(d); i++ {
		switch c := d[i]; {
		case c == '"' || c == '\\' || c < 0x20:
			return i, high
		case c >= 0x80:
			high = true
		}
	}
	return i, high
}

// escape is the index behind the escape whose letter stands at i, or -1.
func escape(d []byte, i int) int {
	if i >= len(d) {
		return -1
	}
	switch d[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if i+5 > len(d) {
			return -1
		}
		for _, c := range d[i+1 : i+5] {
			if !IsHex(c) {
				return -1
			}
		}
		return i + 5
	}
	return -1
}

// IsHex tells whether c is a hexadecimal digit.
func IsHex(c byte) bool { return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'f' }

func (j *JSON) space() {
	if j.at < len(j.data) && j.data[j.at] > ' ' {
		return // mostly there is none
	}
	j.spaces()
}

func (j *JSON) spaces() {
	for j.at < len(j.data) {
		switch j.data[j.at] {
		case ' ', '\t', '\n', '\r':
			j.at++
		default:
			return
		}
	}
}

func (j *JSON) fail(what string) error { return j.failAt(j.at, what) }

func (j *JSON) failAt(at int, what string) error {
	return &SyntaxError{At: min(at, len(j.data)), What: what}
}

// Hash mixes the bytes of a value into 64 bits (wyhash's folded multiplication). Not for adversaries: whoever can
// choose values may make two of them collide.
func Hash(seed uint64, b []byte) uint64 {
	const k0, k1 = 0x9e3779b97f4a7c15, 0xe7037ed1a0b428db
	h := seed ^ k0 ^ uint64(len(b))*k1
	for ; len(b) >= 8; b = b[8:] {
		h = mix(h^binary.LittleEndian.Uint64(b), k1)
	}
	var tail uint64
	for i, c := range b {
		tail |= uint64(c) << (8 * i)
	}
	return mix(mix(h^tail, k0), k1)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
