// Package scan finds the fields of records (JSON objects, CSV rows) in bytes without copying them. It knows no rule and
// does no I/O; everything it returns points into the bytes it was given and is only good until the next call.
package scan

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Kind is what a field holds.
type Kind uint8

// The kinds of fields. Text is a value whose type its format does not tell, such as a field of a CSV file.
const (
	Absent Kind = iota
	Null
	String
	Number
	True
	False
	Object
	Array
	Text
)

var kindNames = [...]string{"absent", "null", "string", "number", "boolean", "boolean", "object", "array", "text"}

// String is the kind's name in JSON Schema's words.
func (k Kind) String() string { return kindNames[k] }

// Field is one field of a record. Raw is the value as written: with its quotes for a String, without for a Text.
type Field struct {
	Key  []byte // unescaped
	Raw  []byte
	Kind Kind
	// Escaped tells that a String's Raw holds a backslash.
	Escaped bool
}

// ErrSyntax is wrapped by every error about bytes that do not follow their format.
var ErrSyntax = errors.New("syntax")

// SyntaxError says what was expected and found at which byte (from 0) of the record.
type SyntaxError struct {
	At   int
	What string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.What, e.At) }

// Unwrap makes every SyntaxError an ErrSyntax.
func (e *SyntaxError) Unwrap() error { return ErrSyntax }

// Unquote appends the value of the JSON string raw (with its quotes, already known to be well formed) to dst.
func Unquote(dst, raw []byte) []byte {
	s := raw[1 : len(raw)-1]
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		i++
		switch s[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := unquoteRune(s[i+1:])
			dst = utf8.AppendRune(dst, r)
			i += n
		default: // ", \ and /
			dst = append(dst, s[i])
		}
		i++
	}
	return dst
}

// unquoteRune reads the four hexadecimal digits at the start of s, and the second half of a surrogate pair after them.
// A lone surrogate becomes U+FFFD, as in encoding/json.
func unquoteRune(s []byte) (r rune, n int) {
	r, n = hex4(s), 4
	if r < 0xd800 || r > 0xdfff {
		return r, n
	}
	if r < 0xdc00 && len(s) >= 10 && s[4] == '\\' && s[5] == 'u' {
		if low := hex4(s[6:]); low >= 0xdc00 && low <= 0xdfff {
			return (r-0xd800)<<10 | (low - 0xdc00) + 0x10000, 10
		}
	}
	return utf8.RuneError, n
}

func hex4(s []byte) rune {
	v, err := strconv.ParseUint(string(s[:4]), 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(v)
}
