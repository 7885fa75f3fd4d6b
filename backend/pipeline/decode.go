package pipeline

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"weir/backend/features"
)

// Bounds on what an event may hold. Beyond them it becomes a dead letter.
const (
	maxDepth     = 256  // nested arrays and objects
	maxEntity    = 1024 // bytes of the entity's JSON token
	maxTimestamp = 128  // bytes of the timestamp's JSON token
)

// decoded is what the pipeline needs of one event. Its bytes lie in the record's own value wherever they can.
type decoded struct {
	user   []byte // the entity's JSON token, verbatim: "u-17" with its quotes, or 17
	entity features.Entity
	stamp  []byte // the timestamp's JSON token, verbatim
	at     int64  // the timestamp in nanoseconds since 1970; 0 when it is not one we can read
}

// fault says why bytes are not an event, without allocating: most calls succeed, but a burst of garbage must not
// cost more than good traffic.
type fault struct {
	code faultCode
	at   int // byte of the value
}

type faultCode uint8

const (
	noFault faultCode = iota
	faultEmpty
	faultUTF8
	faultTruncated
	faultNotObject
	faultSyntax
	faultControl
	faultEscape
	faultSurrogate
	faultNumber
	faultDeep
	faultTrailing
	faultNoEntity
	faultEntityType
	faultEntityEmpty
	faultEntityLong
	faultEntityNumber
	faultNoTimestamp
	faultTimestampType
	faultTimestampLong
)

// stage is where in the pipeline the fault lies.
func (f fault) stage() string {
	switch f.code {
	case faultNoEntity, faultEntityType, faultEntityEmpty, faultEntityLong, faultEntityNumber, faultSurrogate:
		return stageEntity
	}
	return stageDecode
}

// reason is the fault in words; entity is the name of the field that was looked for.
func (f fault) reason(entity string) string {
	switch f.code {
	case faultEmpty:
		return "the value is empty, expected a JSON object"
	case faultUTF8:
		return fmt.Sprintf("not UTF-8 at byte %d", f.at)
	case faultTruncated:
		return fmt.Sprintf("the JSON ends too early, at byte %d", f.at)
	case faultNotObject:
		return "the JSON is not an object"
	case faultSyntax:
		return fmt.Sprintf("not JSON at byte %d", f.at)
	case faultControl:
		return fmt.Sprintf("a bare control character in a string at byte %d", f.at)
	case faultEscape:
		return fmt.Sprintf("an escape that JSON does not know at byte %d", f.at)
	case faultSurrogate:
		return fmt.Sprintf("%s holds half a surrogate pair", entity)
	case faultNumber:
		return fmt.Sprintf("not a JSON number at byte %d", f.at)
	case faultDeep:
		return fmt.Sprintf("nested deeper than %d at byte %d", maxDepth, f.at)
	case faultTrailing:
		return fmt.Sprintf("more after the JSON object, at byte %d", f.at)
	case faultNoEntity:
		return "no " + entity
	case faultEntityType:
		return entity + " is neither a string nor a number"
	case faultEntityEmpty:
		return entity + " is empty"
	case faultEntityLong:
		return fmt.Sprintf("%s is longer than %d bytes", entity, maxEntity)
	case faultEntityNumber:
		return entity + " is not a whole number of 64 bits"
	case faultNoTimestamp:
		return "no timestamp"
	case faultTimestampType:
		return "timestamp is neither a string nor a number"
	case faultTimestampLong:
		return fmt.Sprintf("timestamp is longer than %d bytes", maxTimestamp)
	}
	return "no fault"
}

// decode reads one event: a JSON object (RFC 8259, strict, in UTF-8) with the entity and a timestamp. Of a name that
// comes twice the last one counts, as in Python. It allocates only for an entity written with escapes.
func decode(value []byte, entity string, out *decoded) fault {
	if len(value) == 0 {
		return fault{code: faultEmpty}
	}
	if !utf8.Valid(value) {
		return fault{faultUTF8, invalidAt(value)}
	}
	var user, stamp []byte
	s := scanner{b: value}
	s.space()
	if s.peek() == '{' {
		f := s.object(1, func(name, token []byte) {
			if named(name, entity) {
				user = token
			}
			if named(name, "timestamp") {
				stamp = token
			}
		})
		if f.code != noFault {
			return f
		}
	} else if f := s.value(0); f.code != noFault {
		return f
	} else if s.space(); s.i == len(value) {
		return fault{code: faultNotObject}
	}
	if s.space(); s.i < len(value) {
		return fault{faultTrailing, s.i}
	}
	return out.fill(user, stamp)
}

// fill reads the two tokens; nil is a name that did not come.
func (d *decoded) fill(user, stamp []byte) fault {
	switch {
	case user == nil:
		return fault{code: faultNoEntity}
	case len(user) > maxEntity:
		return fault{code: faultEntityLong}
	case user[0] == '"':
		text := user[1 : len(user)-1]
		if len(text) == 0 {
			return fault{code: faultEntityEmpty}
		}
		key := borrow(text)
		if bytes.IndexByte(text, '\\') >= 0 {
			unescaped, ok := unescape(text)
			if !ok {
				return fault{code: faultSurrogate}
			}
			key = unescaped
		}
		d.entity = features.Entity{Key: key}
	case isNumberStart(user[0]):
		// Feast's integer keys have 64 bits; a fraction or an exponent names no entity.
		if _, err := strconv.ParseInt(borrow(user), 10, 64); err != nil {
			return fault{code: faultEntityNumber}
		}
		d.entity = features.Entity{Key: borrow(user), Numeric: true}
	default:
		return fault{code: faultEntityType}
	}
	d.user = user
	switch {
	case stamp == nil:
		return fault{code: faultNoTimestamp}
	case len(stamp) > maxTimestamp:
		return fault{code: faultTimestampLong}
	case stamp[0] == '"':
		d.at, _ = parseTimestamp(stamp[1 : len(stamp)-1])
	case isNumberStart(stamp[0]):
		d.at, _ = parseUnix(stamp)
	default:
		return fault{code: faultTimestampType}
	}
	d.stamp = stamp
	return fault{}
}

// scanner walks over JSON. b is valid UTF-8.
type scanner struct {
	b []byte
	i int
}

// peek is the byte at hand, 0 at the end: JSON has no use for a bare 0.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// here is a fault at the byte at hand: truncation when there is none.
func (s *scanner) here(code faultCode) fault {
	if s.i >= len(s.b) {
		return fault{faultTruncated, len(s.b)}
	}
	return fault{code, s.i}
}

// object walks over the object at hand and tells each member: its name without quotes, escapes and all, and its
// value's bytes.
func (s *scanner) object(depth int, member func(name, token []byte)) fault {
	if depth > maxDepth {
		return fault{faultDeep, s.i}
	}
	s.i++ // the brace
	s.space()
	if s.peek() == '}' {
		s.i++
		return fault{}
	}
	for {
		if s.peek() != '"' {
			return s.here(faultSyntax)
		}
		from := s.i
		if f := s.str(); f.code != noFault {
			return f
		}
		name := s.b[from+1 : s.i-1]
		s.space()
		if s.peek() != ':' {
			return s.here(faultSyntax)
		}
		s.i++
		s.space()
		from = s.i
		if f := s.value(depth); f.code != noFault {
			return f
		}
		if member != nil {
			member(name, s.b[from:s.i])
		}
		s.space()
		switch s.peek() {
		case '}':
			s.i++
			return fault{}
		case ',':
			s.i++
			s.space()
		default:
			return s.here(faultSyntax)
		}
	}
}

func (s *scanner) array(depth int) fault {
	if depth > maxDepth {
		return fault{faultDeep, s.i}
	}
	s.i++ // the bracket
	s.space()
	if s.peek() == ']' {
		s.i++
		return fault{}
	}
	for {
		if f := s.value(depth); f.code != noFault {
			return f
		}
		s.space()
		switch s.peek() {
		case ']':
			s.i++
			return fault{}
		case ',':
			s.i++
			s.space()
		default:
			return s.here(faultSyntax)
		}
	}
}

// value walks over any value; depth counts the containers around it.
func (s *scanner) value(depth int) fault {
	switch c := s.peek(); c {
	case '"':
		return s.str()
	case '{':
		return s.object(depth+1, nil)
	case '[':
		return s.array(depth + 1)
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		if isNumberStart(c) {
			return s.number()
		}
		return s.here(faultSyntax)
	}
}

func (s *scanner) literal(word string) fault {
	for j := range len(word) {
		if s.peek() != word[j] {
			return s.here(faultSyntax)
		}
		s.i++
	}
	return fault{}
}

func (s *scanner) str() fault {
	b, i := s.b, s.i+1
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return fault{}
		case c == '\\':
			i++
			if i >= len(b) {
				return fault{faultTruncated, len(b)}
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i++
			case 'u':
				i++
				for range 4 {
					if i >= len(b) {
						return fault{faultTruncated, len(b)}
					}
					if !isHex(b[i]) {
						return fault{faultEscape, i}
					}
					i++
				}
			default:
				return fault{faultEscape, i}
			}
		case c < 0x20:
			return fault{faultControl, i}
		default:
			i++
		}
	}
	return fault{faultTruncated, len(b)}
}

func (s *scanner) number() fault {
	if s.peek() == '-' {
		s.i++
	}
	switch c := s.peek(); {
	case c == '0':
		s.i++
	case c >= '1' && c <= '9':
		s.digits()
	default:
		return s.here(faultNumber)
	}
	if s.peek() == '.' {
		s.i++
		if !s.digits() {
			return s.here(faultNumber)
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return s.here(faultNumber)
		}
	}
	return fault{}
}

// digits walks over digits and tells whether there were any.
func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && s.b[s.i]-'0' <= 9 {
		s.i++
	}
	return s.i > from
}

func isNumberStart(c byte) bool { return c == '-' || c-'0' <= 9 }

func isHex(c byte) bool {
	return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// named tells whether a member's name, as written, is want.
func named(name []byte, want string) bool {
	if string(name) == want {
		return true
	}
	if bytes.IndexByte(name, '\\') < 0 {
		return false
	}
	plain, _ := unescape(name)
	return plain == want
}

// unescape resolves the escapes of a string that was walked over. It is false for half a surrogate pair, which no
// UTF-8 can hold.
func unescape(text []byte) (string, bool) {
	out := make([]byte, 0, len(text))
	whole := true
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			out = append(out, text[i])
			i++
			continue
		}
		c := text[i+1]
		i += 2
		switch c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := rune(hex4(text[i:]))
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if len(text)-i >= 6 && text[i] == '\\' && text[i+1] == 'u' {
					low = rune(hex4(text[i+2:]))
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					whole = false
				} else {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default: // a quote, a slash, a backslash
			out = append(out, c)
		}
	}
	return string(out), whole
}

func hex4(b []byte) (n uint32) {
	for _, c := range b[:4] {
		switch {
		case c <= '9':
			n = n<<4 | uint32(c-'0')
		default:
			n = n<<4 | uint32(c|0x20-'a'+10)
		}
	}
	return n
}

func invalidAt(b []byte) int {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return len(b)
}

// borrow views bytes as a string without copying: for as long as the record lives, and nobody writes to records.
func borrow(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
