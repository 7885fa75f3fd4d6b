package features

import (
	"fmt"
	"math"

	"weir/backend/jsonlex"
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
	size, ok := jsonlex.Number(rest)
	if !ok {
		return 0, 0, s.expected("a value")
	}
	s.pos += size
	return jsonlex.Float(rest[:size]), scalarNumber, nil
}
