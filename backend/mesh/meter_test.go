package mesh

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestMeterDrawsRateAndRestAndErasesItself(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	now := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	m := newMeter(&b, func() time.Time { return now })
	m.next(1, 1)
	now = now.Add(300 * time.Millisecond)
	m.update(100e6, 1e9)
	if b.Len() > 0 {
		t.Errorf("a short file drew %q", b.String())
	}
	now = now.Add(700 * time.Millisecond)
	m.update(250e6, 1e9)
	if got := b.String(); got != "\r 25%  250 MB of 1.00 GB  250 MB/s  3s left" {
		t.Errorf("%q", got)
	}
	now = now.Add(50 * time.Millisecond)
	m.update(260e6, 1e9)
	if strings.Count(b.String(), "\r") != 1 {
		t.Errorf("drawn more often than can be read: %q", b.String())
	}
	b.Reset()
	m.erase()
	if got := b.String(); strings.Trim(got, "\r ") != "" || len(got) != len(" 25%  250 MB of 1.00 GB  250 MB/s  3s left")+2 {
		t.Errorf("erased by %q", got)
	}
	b.Reset()
	m.erase()
	if b.Len() > 0 {
		t.Errorf("erased twice: %q", b.String())
	}
	m.next(3, 12)
	now = now.Add(2 * time.Second)
	m.update(1500, 0) // a pipe has no size
	if got := b.String(); !strings.HasPrefix(got, "\rfile 3 of 12  1.5 KB  750 B/s") {
		t.Errorf("%q", got)
	}
}
