// Package safetext holds the only way by which bytes from outside reach a screen.
//
// Whatever weir did not write itself (records, node answers, broker and HTTP errors, file names, configuration
// values) is cleaned once, where it enters, into a [Text]. Snapshots carry Text, views print Text, and so no pane has
// to remember to escape anything.
package safetext

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxMarks bounds the combining marks kept after one base character; more would stack over neighbouring rows.
const maxMarks = 2

// Text is a string without anything a terminal could act on: no control character (C0, C1, DEL), no format character
// (Unicode category Cf: bidirectional marks, zero-width characters, tags), nothing else that is invisible by
// definition (fillers, variation selectors, noncharacters), no invalid UTF-8, no line break. What was removed stands
// in it as a visible escape such as \x1b or \u202e; only the combining marks beyond two on one character are dropped
// without a trace. Emoji joined by zero-width joiners come apart. The width of a Text is the views' business: it may
// hold wide characters. The zero Text is the empty string.
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
		if n := plainASCII(s[i:]); n > 0 {
			b.WriteString(s[i : i+n])
			marks = 0
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			writeHex(&b, `\x`, rune(s[i]), 2)
			marks = 0
		case isUnsafe(r):
			writeEscape(&b, r)
			marks = 0
		case isMark(r):
			if i == 0 { // it would join whatever the screen shows before this text
				writeEscape(&b, r)
				break
			}
			if marks++; marks <= maxMarks {
				b.WriteRune(r)
			}
		default:
			b.WriteRune(r)
			marks = 0
		}
		i += size
	}
	return Text{b.String()}
}

// Bytes is Clean of at most limit bytes of b, not cutting a character in two; what is left out is told as
// "… (+N bytes)". A limit below 1 means all.
func Bytes(b []byte, limit int) Text {
	if limit < 1 || len(b) <= limit {
		return Clean(string(b))
	}
	cut := limit
	for cut > 0 && limit-cut < utf8.UTFMax-1 && !utf8.RuneStart(b[cut]) {
		cut--
	}
	if !utf8.RuneStart(b[cut]) || !utf8.FullRune(b[cut:]) { // not UTF-8 anyway
		cut = limit
	}
	return Text{Clean(string(b[:cut])).s + "… (+" + strconv.Itoa(len(b)-cut) + " bytes)"}
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
	n := plainASCII(s)
	return n == len(s) || isCleanUnicode(s[n:], n == 0)
}

// plainASCII is the length of the printable ASCII that s begins with.
func plainASCII(s string) int {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			return i
		}
	}
	return len(s)
}

// isCleanUnicode is isClean of what follows the leading ASCII of a text.
func isCleanUnicode(s string, first bool) bool {
	marks := 0
	for i := 0; i < len(s); {
		if n := plainASCII(s[i:]); n > 0 {
			marks = 0
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if (r == utf8.RuneError && size == 1) || isUnsafe(r) {
			return false
		}
		if isMark(r) {
			if marks++; marks > maxMarks || i == 0 && first {
				return false
			}
		} else {
			marks = 0
		}
		i += size
	}
	return true
}

// firstMark is the first combining mark of Unicode; below it only the control characters and the soft hyphen are
// unsafe.
const firstMark = 0x300

// isUnsafe covers categories Cc and Cf, the line and paragraph separators, surrogates, private use, noncharacters, and
// what is invisible though Unicode files it under letters and marks: fillers, variation selectors, unassigned tags.
func isUnsafe(r rune) bool {
	if r < firstMark {
		return r < 0x20 || (r >= 0x7f && r < 0xa0) || r == 0xad
	}
	if isCommon(r) {
		return false
	}
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs, unicode.Co,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Noncharacter_Code_Point)
}

// isMark tells whether r is drawn over the character before it.
func isMark(r rune) bool {
	return r >= firstMark && !isCommon(r) && unicode.In(r, unicode.Mn, unicode.Me)
}

// isCommon spares the most frequent letters the search through tables: kana, and the unified ideographs.
func isCommon(r rune) bool {
	return r >= 0x30a0 && r < 0x3100 || r >= 0x3041 && r < 0x3097 || r >= 0x3400 && r < 0xa000
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
		writeHex(b, `\x`, r, 2)
	case r < 0x10000:
		writeHex(b, `\u`, r, 4)
	default:
		writeHex(b, `\U`, r, 8)
	}
}

func writeHex(b *strings.Builder, prefix string, r rune, digits int) {
	b.WriteString(prefix)
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b.WriteByte("0123456789abcdef"[r>>shift&0xf])
	}
}
