// Package jsonlex has the parts of JSON (RFC 8259) that every reader of it needs, whatever it makes of them: where a
// number ends and what it is, what a string's escapes mean. Nothing in it allocates or remembers.
package jsonlex

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// StartsNumber tells whether a number may begin with c.
func StartsNumber(c byte) bool { return c == '-' || c-'0' <= 9 }

// IsHex tells whether c is a hexadecimal digit.
func IsHex(c byte) bool { return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'f' }

// Number goes over the number b begins with: end is its length. Where b begins with none, ok is false and end is the
// place of the byte that cannot stand there.
func Number(b []byte) (end int, ok bool) {
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	default:
		whole := digits(b, i)
		if whole == i {
			return i, false
		}
		i = whole
	}
	if i < len(b) && b[i] == '.' {
		fraction := digits(b, i+1)
		if fraction == i+1 {
			return fraction, false
		}
		i = fraction
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := digits(b, i)
		if exponent == i {
			return i, false
		}
		i = exponent
	}
	return i, true
}

// digits is the end of the digits at i.
func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
	1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// Float is the float64 nearest to a number; ±Inf where it is too large for one. A mantissa and a power of ten that
// float64 both holds exactly need one division, correctly rounded; the rest is strconv's.
func Float(number []byte) float64 {
	var mantissa uint64
	i, fraction, negative := 0, 0, false
	if number[0] == '-' {
		negative, i = true, 1
	}
	point := false
	for ; i < len(number); i++ {
		c := number[i]
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
	if i == len(number) && fraction < len(powersOfTen) {
		f := float64(mantissa) / powersOfTen[fraction]
		if negative {
			f = -f
		}
		return f
	}
	f, _ := strconv.ParseFloat(Borrow(number), 64) // an error is ErrRange, and f the infinity
	return f
}

// StringEnd is the index after the string that begins, with its quote, at i; len(b) where it does not end.
func StringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// AppendUnescaped appends what a string means; raw is what stands between its quotes. Half a surrogate pair, which no
// UTF-8 can hold, and escapes that JSON does not know become U+FFFD, and whole is false.
func AppendUnescaped(out, raw []byte) (text []byte, whole bool) {
	whole = true
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		if i++; i == len(raw) {
			return utf8.AppendRune(out, utf8.RuneError), false
		}
		c := raw[i]
		i++
		switch c {
		case '"', '\\', '/':
			out = append(out, c)
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
			r, size := escapedRune(raw[i:])
			if r < 0 {
				r, whole = utf8.RuneError, false
			}
			out = utf8.AppendRune(out, r)
			i += size
		default:
			out, whole = utf8.AppendRune(out, utf8.RuneError), false
		}
	}
	return out, whole
}

// escapedRune reads what follows \u, the second escape of a surrogate pair with it, and how many bytes that are. The
// rune is -1 where there is none: a half pair, or no four digits.
func escapedRune(b []byte) (r rune, size int) {
	r, ok := hex4(b)
	if !ok {
		return -1, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 4
	}
	if len(b) >= 10 && b[4] == '\\' && b[5] == 'u' {
		if low, ok := hex4(b[6:]); ok {
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				return r, 10
			}
		}
	}
	return -1, 4
}

func hex4(b []byte) (n rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case !IsHex(c):
			return 0, false
		case c <= '9':
			n = n<<4 | rune(c-'0')
		default:
			n = n<<4 | rune(c|0x20-'a'+10)
		}
	}
	return n, true
}

const hexDigits = "0123456789abcdef"

// AppendQuoted appends s as a string. Bytes that are not UTF-8 become U+FFFD.
func AppendQuoted(out []byte, s string) []byte {
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

// Borrow views bytes as a string without copying, for as long as nobody writes to them.
func Borrow(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
