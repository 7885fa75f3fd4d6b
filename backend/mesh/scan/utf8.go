package scan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// NotUTF8 is the index of the first byte of data that is no UTF-8, -1 if there is none. With more set, data may end within a
// character whose other bytes are yet to come. It is quick where most is ASCII, and not slow where little is.
func NotUTF8(data []byte, more bool) int {
	for i := leadingASCII(data); i < len(data); {
		switch c := data[i]; {
		case c < utf8.RuneSelf:
			if len(data)-i < 8 {
				i++
				continue
			}
			high := binary.LittleEndian.Uint64(data[i:]) & tops
			if i += bits.TrailingZeros64(high) / 8; high == 0 {
				i += leadingASCII(data[i:])
			}
		case c-0xc2 <= 0xdf-0xc2 && i+1 < len(data) && isTail(data[i+1]):
			i += 2
		case c-0xe1 <= 0xec-0xe1 && i+2 < len(data) && isTail(data[i+1]) && isTail(data[i+2]): // with no second byte but one that is allowed
			i += 3
		default:
			_, n := utf8.DecodeRune(data[i:])
			if n == 1 && more && !utf8.FullRune(data[i:]) {
				return -1
			}
			if n == 1 {
				return i
			}
			i += n
		}
	}
	return -1
}

// isTail tells whether c may be the second or a later byte of a character.
func isTail(c byte) bool { return c&0xc0 == 0x80 }

// leadingASCII is the length of the blocks at the start of data that are ASCII, two at a time.
func leadingASCII(data []byte) int {
	i := 0
	for ; len(data)-i >= 2*blockBytes; i += 2 * blockBytes {
		d, e := (*[blockBytes]byte)(data[i:]), (*[blockBytes]byte)(data[i+blockBytes:])
		first := word(d, 0) | word(d, 8) | word(d, 16) | word(d, 24) | word(d, 32) | word(d, 40) | word(d, 48) | word(d, 56)
		second := word(e, 0) | word(e, 8) | word(e, 16) | word(e, 24) | word(e, 32) | word(e, 40) | word(e, 48) | word(e, 56)
		if (first|second)&tops != 0 {
			break
		}
	}
	return i
}
