package scan

// AppendQuoted appends the JSON string of b, which must be UTF-8, to dst.
func AppendQuoted[T string | []byte](dst []byte, b T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := range len(b) {
		c := b[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, b[start:i]...)
		start = i + 1
		if c >= 0x20 {
			dst = append(dst, '\\', c)
			continue
		}
		dst = append(dst, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	return append(append(dst, b[start:]...), '"')
}
