// Package safetext holds the only way by which bytes from outside reach a screen.
//
// Whatever weir did not write itself (records, node answers, broker and HTTP errors, file names, configuration
// values) is cleaned once, where it enters, into a [Text]. Snapshots carry Text, views print Text, and so no pane has
// to remember to escape anything.
package safetext

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxMarks bounds the combining marks kept after one base character; more would stack over neighbouring rows.
const maxMarks = 2

// Text is a string without anything a terminal could act on: no control character (C0, C1, DEL), no format character
// (Unicode category Cf: bidirectional marks, zero-width characters, tags), no invalid UTF-8, no line break. What was
// removed stands in it as a visible escape such as \x1b or \u202e. The zero Text is the empty string.
type Text struct{ s string }

// Clean makes a Text of s. A string that is already clean is kept without a copy.
func Clean(s string) Text {
	if isClean(s) {
		return Text{s}
	}
	var b strings.Builder
	b.Grow(len(s) + len(s)/4)
	marks := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
			marks = 0
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks++; marks <= maxMarks {
				b.WriteRune(r)
			}
		case isUnsafe(r):
			writeEscape(&b, r)
			marks = 0
		default:
			b.WriteRune(r)
			marks = 0
		}
		i += size
	}
	return Text{b.String()}
}

// Bytes is Clean of at most limit bytes of b; what is left out is told as "… (+N bytes)". A limit below 1 means all.
func Bytes(b []byte, limit int) Text {
	if limit < 1 || len(b) <= limit {
		return Clean(string(b))
	}
	return Text{Clean(string(b[:limit])).s + fmt.Sprintf("… (+%d bytes)", len(b)-limit)}
}

// Error is Clean of an error's message, and the empty Text for nil.
func Error(err error) Text {
	if err == nil {
		return Text{}
	}
	return Clean(err.Error())
}

// Sprintf formats like fmt.Sprintf and cleans the result.
func Sprintf(format string, args ...any) Text { return Clean(fmt.Sprintf(format, args...)) }

// String is the cleaned text.
func (t Text) String() string { return t.s }

// IsEmpty tells whether there is nothing to show.
func (t Text) IsEmpty() bool { return t.s == "" }

// MarshalJSON writes the text as a JSON string.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(t.s) }

// UnmarshalJSON reads a JSON string and cleans it, so that a recording cannot smuggle an escape in either.
func (t *Text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*t = Clean(s)
	return nil
}

func isClean(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			return isCleanUnicode(s[i:])
		}
	}
	return true
}

func isCleanUnicode(s string) bool {
	marks := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if (r == utf8.RuneError && size == 1) || isUnsafe(r) {
			return false
		}
		if unicode.In(r, unicode.Mn, unicode.Me) {
			if marks++; marks > maxMarks {
				return false
			}
		} else {
			marks = 0
		}
		i += size
	}
	return true
}

// isUnsafe covers categories Cc and Cf, the line and paragraph separators, surrogates, private use, and the invisible
// fillers that Unicode files under letters.
func isUnsafe(r rune) bool {
	if r < 0x20 || (r >= 0x7f && r < 0xa0) {
		return true
	}
	if r < 0xad {
		return false
	}
	if unicode.In(r, unicode.Cf, unicode.Cs, unicode.Co, unicode.Zl, unicode.Zp) {
		return true
	}
	switch r {
	case 0x115f, 0x1160, 0x3164, 0xffa0: // Hangul fillers
		return true
	case 0x034f: // combining grapheme joiner
		return true
	}
	return r >= 0xfe00 && r <= 0xfe0f || r >= 0xe0000 && r <= 0xe0fff // variation selectors, tags
}

func writeEscape(b *strings.Builder, r rune) {
	switch {
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r < 0x100:
		fmt.Fprintf(b, `\x%02x`, r)
	case r < 0x10000:
		fmt.Fprintf(b, `\u%04x`, r)
	default:
		fmt.Fprintf(b, `\U%08x`, r)
	}
}
