package pipeline

import (
	"bytes"
	"unicode/utf8"

	"weir/backend/jsonlex"
)

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
		if jsonlex.StartsNumber(c) {
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
					if !jsonlex.IsHex(b[i]) {
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
	end, ok := jsonlex.Number(s.b[s.i:])
	if s.i += end; !ok {
		return s.here(faultNumber)
	}
	return fault{}
}

// named tells whether a member's name, as written, is want.
func named(name []byte, want string) bool {
	if string(name) == want {
		return true
	}
	if bytes.IndexByte(name, '\\') < 0 {
		return false
	}
	plain, _ := jsonlex.AppendUnescaped(nil, name)
	return string(plain) == want
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
