package scan

import (
	"bytes"
	"math/big"
	"strconv"
)

// The bounds within which a decimal is written digit by digit: 512 bytes hold more than float64, and so than any limit.
const (
	maxDecimalBytes = 512
	maxScale        = 1000
)

// AppendDecimal appends a decimal as a JSON number, exactly and without zeros at the end: its unscaled value in two's
// complement, the highest byte first, over ten to the power of scale.
func AppendDecimal(dst, unscaled []byte, scale int) []byte {
	negative := len(unscaled) > 0 && unscaled[0] >= 0x80
	var digits []byte
	switch {
	case len(unscaled) <= 8:
		var v int64
		for i, b := range unscaled {
			if v = v<<8 | int64(b); i == 0 {
				v = int64(int8(b))
			}
		}
		return AppendScaled(dst, v, scale)
	case len(unscaled) > maxDecimalBytes:
		digits = []byte("1e9999")
		if negative {
			digits = append([]byte("-"), digits...)
		}
		return append(dst, digits...)
	}
	v := new(big.Int).SetBytes(unscaled)
	if negative {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
	}
	return appendDigits(dst, v.Append(nil, 10), scale)
}

// AppendScaled appends a whole number over ten to the power of scale.
func AppendScaled(dst []byte, unscaled int64, scale int) []byte {
	var room [20]byte
	return appendDigits(dst, strconv.AppendInt(room[:0], unscaled, 10), scale)
}

func appendDigits(dst, digits []byte, scale int) []byte {
	if digits[0] == '-' {
		dst, digits = append(dst, '-'), digits[1:]
	}
	switch {
	case scale == 0:
		return append(dst, digits...)
	case scale < 0 || scale > maxScale:
		return strconv.AppendInt(append(append(dst, digits...), 'e'), -int64(scale), 10)
	}
	point := len(digits) - scale // digits before it
	if point <= 0 {
		dst = append(dst, '0')
	} else {
		dst = append(dst, digits[:point]...)
		digits = digits[point:]
	}
	if digits = bytes.TrimRight(digits, "0"); len(digits) == 0 {
		return dst
	}
	dst = append(dst, '.')
	for ; point < 0; point++ {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}
