//go:build !race

package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// endless gives a beginning, then one byte again and again, so many in all.
type endless struct {
	start string
	b     byte
	left  int
	chunk []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.start) > 0 {
		n := copy(p, e.start)
		e.start = e.start[n:]
		return n, nil
	}
	if e.chunk == nil {
		e.chunk = bytes.Repeat([]byte{e.b}, 1<<20)
	}
	n := copy(p[:min(len(p), e.left)], e.chunk)
	if e.left -= n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestValidateLongLines are refused at 16 MB, however long they go on. The race detector would take a minute for it and
// see nothing that shorter rows do not show.
func TestValidateLongLines(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	const long = 100 << 20
	for _, c := range []struct{ start, fill, want string }{
		{"user_id,email\n1,", "x", "row 1: longer than 16777216 bytes"},
		{"user_id,email\n1,\"", "x", "row 1: longer than 16777216 bytes"},
		{`{"user_id":1,"email":"`, "x", "line 1: longer than 16777216 bytes"},
		{`[{"user_id":1,"email":"`, "x", "row 1, at byte 1: longer than 16777216 bytes"},
		{"[", "[", "row 1, at byte 1: longer than 16777216 bytes"},
	} {
		in := &endless{start: c.start, b: c.fill[0], left: long}
		out, errOut, err := weirFrom(t, in, "validate", "product.yaml", "-")
		if got := code(err); got != 2 || !strings.Contains(out+errOut, c.want) {
			t.Errorf("%q and 100 MB of %s: exit %d; expected 2 and %q:\n%.600s%.600s", c.start, c.fill, got, c.want, out, errOut)
		}
		if in.left < long/2 {
			t.Errorf("%q: %d MB were read before it was refused", c.start, (long-in.left)>>20)
		}
	}
}
