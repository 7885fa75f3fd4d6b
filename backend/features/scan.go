package features

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// maxDepth bounds the nesting of an answer; Feast's own is five deep.
const maxDepth = 32

// scanner walks over JSON without building it. Beyond JSON it takes the NaN, Infinity and -Infinity that Python writes.
type scanner struct {
	data []byte
	pos  int
}

// space skips white space and is the next byte, 0 at the end.
func (s *scanner) space() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expected(what string) error {
	if s.pos >= len(s.data) {
		return fmt.Errorf("expected %s, found the end after %d bytes", what, len(s.data))
	}
	return fmt.Errorf("expected %s, found %q at byte %d", what, s.data[s.pos:min(s.pos+12, len(s.data))], s.pos)
}

// object calls field for each key, with the scanner before its value; field goes over the value. The key's bytes are
// as written, escapes and all.
func (s *scanner) object(field func(key []byte) error) error {
	if s.space() != '{' {
		return s.expected("an object")
	}
	s.pos++
	if s.space() == '}' {
		s.pos++
		return nil
	}
	for {
		if s.space() != '"' {
			return s.expected("a key")
		}
		key, _, err := s.str()
		if err != nil {
			return err
		}
		if s.space() != ':' {
			return s.expected("a colon")
		}
		s.pos++
		if err := field(key); err != nil {
			return err
		}
		switch s.space() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.expected("a comma or the end of the object")
		}
	}
}

// array calls item for each element, with the scanner before it; item goes over it.
func (s *scanner) array(item func(i int) error) error {
	if s.space() != '[' {
		return s.expected("a list")
	}
	s.pos++
	if s.space() == ']' {
		s.pos++
		return nil
	}
	for i := 0; ; i++ {
		s.space()
		if err := item(i); err != nil {
			return err
		}
		switch s.space() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.expected("a comma or the end of the list")
		}
	}
}

// raw goes over one value and is its bytes. It looks for nothing but the end: whoever wants the value reads it again,
// and what nobody wants may be as it likes between its brackets.
func (s *scanner) raw() ([]byte, error) {
	first := s.space()
	start := s.pos
	if first != '[' && first != '{' {
		err := s.skip(0)
		return s.data[start:s.pos], err
	}
	depth, inText := 0, false
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case inText:
			switch c {
			case '"':
				inText = false
			case '\\':
				i++
			}
		case c == '"':
			inText = true
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return nil, fmt.Errorf("expected at most %d levels of nesting, found more at byte %d", maxDepth, i)
			}
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				s.pos = i + 1
				return s.data[start:s.pos], nil
			}
		}
	}
	s.pos = len(s.data)
	return nil, s.expected("the end of a list or an object")
}

func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("expected at most %d levels of nesting, found more at byte %d", maxDepth, s.pos)
	}
	switch s.space() {
	case '{':
		return s.object(func([]byte) error { return s.skip(depth + 1) })
	case '[':
		return s.array(func(int) error { return s.skip(depth + 1) })
	case '"':
		_, _, err := s.str()
		return err
	}
	_, _, err := s.scalar()
	return err
}

// str goes over a string and is what stands between its quotes, and whether that holds escapes.
func (s *scanner) str() (raw []byte, escaped bool, err error) {
	start := s.pos + 1
	for i := start; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return s.data[start:i], escaped, nil
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			s.pos = i
			return nil, false, s.expected("a string without control characters")
		}
	}
	s.pos = len(s.data)
	return nil, false, s.expected("the end of a string")
}

type scalarKind uint8

const (
	scalarNull scalarKind = iota
	scalarNumber
	scalarTrue
	scalarFalse
)

var literals = [...]struct {
	text   string
	kind   scalarKind
	number float64
}{
	{"null", scalarNull, 0},
	{"true", scalarTrue, 1},
	{"false", scalarFalse, 0},
	{"NaN", scalarNumber, math.NaN()},
	{"Infinity", scalarNumber, math.Inf(1)},
	{"-Infinity", scalarNumber, math.Inf(-1)},
}

// scalar goes over a number, a boolean or null.
func (s *scanner) scalar() (float64, scalarKind, error) {
	rest := s.data[s.pos:]
	if len(rest) > 0 && (rest[0] > '9' || rest[0] == '-') {
		for i := range literals {
			if l := &literals[i]; len(rest) >= len(l.text) && string(rest[:len(l.text)]) == l.text {
				s.pos += len(l.text)
				return l.number, l.kind, nil
			}
		}
	}
	size := numberLen(rest)
	if size == 0 {
		return 0, 0, s.expected("a value")
	}
	s.pos += size
	return parseNumber(rest[:size]), scalarNumber, nil
}

// numberLen is the length of the JSON number b begins with, 0 where it begins with none.
func numberLen(b []byte) int {
	digits := func(i int) int {
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		return i
	}
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	whole := digits(i)
	if whole == i || (b[i] == '0' && whole > i+1) {
		return 0
	}
	i = whole
	if i < len(b) && b[i] == '.' {
		fraction := digits(i + 1)
		if fraction == i+1 {
			return 0
		}
		i = fraction
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		j := i + 1
		if j < len(b) && (b[j] == '+' || b[j] == '-') {
			j++
		}
		exponent := digits(j)
		if exponent == j {
			return 0
		}
		i = exponent
	}
	return i
}

var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
	1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// parseNumber is the float64 nearest to a JSON number; ±Inf where it is too large for one. A mantissa and a power of
// ten that float64 both holds exactly need one division, correctly rounded; the rest is strconv's.
func parseNumber(b []byte) float64 {
	var mantissa uint64
	i, fraction, negative := 0, 0, false
	if b[0] == '-' {
		negative, i = true, 1
	}
	point := false
	for ; i < len(b); i++ {
		c := b[i]
		if c == '.' {
			point = true
			continue
		}
		if c-'0' > 9 || mantissa >= 1<<53/10 {
			break
		}
		mantissa = mantissa*10 + uint64(c-'0')
		if point {
			fraction++
		}
	}
	if i == len(b) && fraction < len(powersOfTen) {
		f := float64(mantissa) / powersOfTen[fraction]
		if negative {
			f = -f
		}
		return f
	}
	f, _ := strconv.ParseFloat(unsafe.String(&b[0], len(b)), 64) // an error is ErrRange, and f the infinity
	return f
}

// appendUnescaped appends what a JSON string means; raw is what stands between its quotes. Escapes that mean nothing
// become U+FFFD.
func appendUnescaped(out, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 == len(raw) {
			out = append(out, raw[i])
			continue
		}
		i++
		switch raw[i] {
		case '"', '\\', '/':
			out = append(out, raw[i])
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
			r := hex4(raw[i+1:])
			i += min(4, len(raw)-i-1)
			if utf16.IsSurrogate(r) && i+2 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
				if pair := utf16.DecodeRune(r, hex4(raw[i+3:])); pair != utf8.RuneError {
					r = pair
					i += 6
				}
			}
			out = utf8.AppendRune(out, r) // a lone surrogate becomes U+FFFD
		default:
			out = utf8.AppendRune(out, utf8.RuneError)
		}
	}
	return out
}

func hex4(b []byte) rune {
	if len(b) < 4 {
		return utf8.RuneError
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendQuoted(out []byte, s string) []byte {
	out = append(out, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				out = append(out, '\\', c)
			case c < ' ':
				out = append(out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			default:
				out = append(out, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		out = utf8.AppendRune(out, r)
		i += size
	}
	return append(out, '"')
}
