package scan

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// MaxDepth bounds how deep arrays and objects of one record may nest.
const MaxDepth = 512

// JSON scans JSON objects. The zero JSON is ready; it is not safe for concurrent use.
type JSON struct {
	data   []byte
	at     int
	spans  []Span
	fields []Field
	keys   []byte // unescaped keys of the last call
	// order holds the keys of the last object: records of one source mostly have the same keys in the same order, which a
	// comparison tells sooner than a scan.
	order []expected
}

// Span is one top-level field of an object, by its place in the bytes. It holds no pointer, so that writing thousands of
// them makes the garbage collector no work.
type Span struct {
	From, To       uint32 // the value, as Field's Raw
	keyFrom, keyTo uint32 // the key, in the bytes or, if it was escaped, among the unescaped keys
	Tag            int32  // what SetTag gave this key at this place of the object; below 0: nothing
	Kind           Kind
	Escaped        bool // as Field's
	keyEscaped     bool
}

// The tags of a key that was given none: one that stands where it is expected from now on, and one that does not.
const (
	untagged   = -1
	unexpected = -2
)

// expected is a key where it stood in the last object.
type expected struct {
	text       []byte // as it was written, up to the colon
	head, tail uint64 // its first and last eight bytes, the first as far as there are
	mask       uint64 // the bytes of head that there are
	tag        int32
}

// standsAt tells whether the key stands at i. It compares eight bytes at a time, which most keys have no more than two of.
func (e *expected) standsAt(d []byte, i int) bool {
	n := len(e.text)
	if len(d)-i < n+8 {
		return bytes.HasPrefix(d[i:], e.text)
	}
	return (binary.LittleEndian.Uint64(d[i:])^e.head)&e.mask == 0 &&
		(n <= 8 || binary.LittleEndian.Uint64(d[i+n-8:]) == e.tail && (n <= 16 || string(d[i:i+n]) == string(e.text)))
}

// set makes the key another.
func (e *expected) set(key []byte) {
	e.text, e.tag = append(e.text[:0], key...), untagged
	var b [8]byte
	n := copy(b[:], key)
	e.head, e.mask = binary.LittleEndian.Uint64(b[:]), math.MaxUint64>>(8*(8-n))
	if len(key) > 8 {
		e.tail = binary.LittleEndian.Uint64(key[len(key)-8:])
	}
}

// maxOrder bounds the keys that are expected again.
const maxOrder = 256

// Object checks that data is exactly one well-formed JSON object and returns its top-level fields in their order,
// repeated keys included. The slice and all it points to are good until the next call.
func (j *JSON) Object(data []byte) ([]Field, error) {
	spans, err := j.Spans(data)
	if err != nil {
		return nil, err
	}
	j.fields = slices.Grow(j.fields[:0], len(spans))[:len(spans)]
	for i := range spans {
		s, f := &spans[i], &j.fields[i]
		f.Key, f.Raw, f.Kind, f.Escaped = j.Key(s), data[s.From:s.To], s.Kind, s.Escaped
	}
	return j.fields, nil
}

// Spans is Object for who needs no slices.
func (j *JSON) Spans(data []byte) ([]Span, error) {
	if uint64(len(data)) > math.MaxUint32 {
		return nil, &SyntaxError{What: "a record of more than 4 GB"}
	}
	j.data, j.keys = data, j.keys[:0]
	at := skip(data, 0)
	if at >= len(data) || data[at] != '{' {
		return nil, j.failAt(at, "expected a JSON object")
	}
	spans, at, err := j.object(data, skip(data, at+1))
	j.spans = spans
	if err != nil {
		return nil, err
	}
	if at = skip(data, at); at != len(data) {
		return nil, j.failAt(at, "unexpected bytes after the object")
	}
	return spans, nil
}

// object reads the top-level fields from behind the opening brace to behind the closing one. It keeps to variables of its
// own, for this is where live judging spends its time.
func (j *JSON) object(data []byte, at int) (spans []Span, next int, err error) {
	spans = j.spans[:0]
	if at < len(data) && data[at] == '}' {
		return spans, at + 1, nil
	}
	for {
		at = skip(data, at)
		n := len(spans)
		spans = append(spans, Span{})
		s := &spans[n]
		if n < len(j.order) && j.order[n].standsAt(data, at) {
			o := &j.order[n]
			s.keyFrom, s.Tag = uint32(at)+1, o.tag
			at += len(o.text)
			s.keyTo = uint32(at) - 2
		} else {
			j.at = at
			if err := j.newKey(s, n); err != nil {
				return spans, at, err
			}
			at = j.at
		}
		at = skip(data, at)
		s.From = uint32(at)
		if end, ok := plainString(data, at); ok {
			s.Kind, at = String, end
		} else {
			j.at = at
			if s.Kind, s.Escaped, err = j.value(1); err != nil {
				return spans, at, err
			}
			at = j.at
		}
		s.To = uint32(at)
		at = skip(data, at)
		switch {
		case at < len(data) && data[at] == ',':
			at++
		case at < len(data) && data[at] == '}':
			return spans, at + 1, nil
		default:
			return spans, at, j.failAt(at, "expected a comma or a closing brace")
		}
	}
}

// newKey reads a key that is not the one expected as the n-th, and expects it from now on.
func (j *JSON) newKey(s *Span, n int) error {
	from := j.at
	if from >= len(j.data) || j.data[from] != '"' {
		return j.fail("expected a key in double quotes")
	}
	escaped, err := j.str()
	if err != nil {
		return err
	}
	s.keyFrom, s.keyTo, s.Tag = uint32(from)+1, uint32(j.at)-1, unexpected
	if escaped {
		s.keyEscaped, s.keyFrom = true, uint32(len(j.keys))
		j.keys = Unquote(j.keys, j.data[from:j.at])
		s.keyTo = uint32(len(j.keys))
	}
	closing := j.at
	if err := j.colon(); err != nil {
		return err
	}
	if escaped || closing+1 != j.at || n > len(j.order) || n >= maxOrder {
		return nil
	}
	if n == len(j.order) {
		j.order = append(j.order, expected{})
	}
	j.order[n].set(j.data[from:j.at])
	s.Tag = untagged
	return nil
}

// Key is the unescaped key of a span of the last call.
func (j *JSON) Key(s *Span) []byte {
	if s.keyEscaped {
		return j.keys[s.keyFrom:s.keyTo]
	}
	return j.data[s.keyFrom:s.keyTo]
}

// SetTag gives the i-th span of the last call a tag, 0 or more, and so its key wherever that comes again as the i-th of an
// object.
func (j *JSON) SetTag(i int, tag int32) {
	s := &j.spans[i]
	if s.Tag == untagged {
		j.order[i].tag = tag
	}
	s.Tag = tag
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

// members reads from behind an opening brace to behind its closing one.
func (j *JSON) members(depth int) error {
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
		if j.at >= len(j.data) || j.data[j.at] != '"' {
			return j.fail("expected a key in double quotes")
		}
		if _, err := j.str(); err != nil {
			return err
		}
		if err := j.colon(); err != nil {
			return err
		}
		j.space()
		if _, _, err := j.value(depth); err != nil {
			return err
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

// colon reads the colon behind a key.
func (j *JSON) colon() error {
	j.space()
	if j.at >= len(j.data) || j.data[j.at] != ':' {
		return j.fail("expected a colon")
	}
	j.at++
	return nil
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
		return Object, false, j.members(depth + 1)
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

// plainString is the index behind the string at i, if there is one of ASCII without escapes, as most are.
func plainString(d []byte, i int) (end int, ok bool) {
	if i >= len(d) || d[i] != '"' {
		return 0, false
	}
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for i++; i+8 <= len(d); i += 8 {
		w := binary.LittleEndian.Uint64(d[i:])
		quote, slash := w^ones*'"', w^ones*'\\'
		special := ((quote - ones) &^ quote) | ((slash - ones) &^ slash) | (w - ones*0x20) | w
		if special &= tops; special != 0 { // see plain
			i += bits.TrailingZeros64(special) / 8
			return i + 1, d[i] == '"'
		}
	}
	for ; i < len(d); i++ {
		if c := d[i]; c == '"' || c == '\\' || c < 0x20 || c >= 0x80 {
			return i + 1, c == '"'
		}
	}
	return 0, false
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

func (j *JSON) space() { j.at = skip(j.data, j.at) }

// skip is the first index from i on that holds no space.
func skip(d []byte, i int) int {
	if i < len(d) && d[i] > ' ' {
		return i // mostly there is none
	}
	return skipSpaces(d, i)
}

func skipSpaces(d []byte, i int) int {
	for i < len(d) && (d[i] == ' ' || d[i] == '\t' || d[i] == '\n' || d[i] == '\r') {
		i++
	}
	return i
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
