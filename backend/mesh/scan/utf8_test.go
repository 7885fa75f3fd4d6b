package scan

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestNotUTF8 puts good and bad bytes at every place of a text longer than the blocks it is looked at in.
func TestNotUTF8(t *testing.T) {
	for _, piece := range []string{"", "é", "한", "\U0001f600", "\xe9", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"} {
		for before := range 140 {
			for _, after := range []int{0, 1, 70} {
				text := strings.Repeat("a", before) + piece + strings.Repeat("é", after)
				want := -1
				if !utf8.ValidString(piece) {
					want = before
				}
				if got := NotUTF8([]byte(text), false); got != want {
					t.Fatalf("%q behind %d bytes: %d, want %d", piece, before, got, want)
				}
			}
		}
	}
}

// TestNotUTF8WaitsForTheRestOfACharacter of which only the first bytes were read.
func TestNotUTF8WaitsForTheRestOfACharacter(t *testing.T) {
	for _, whole := range []string{"é", "한", "\U0001f600"} {
		for n := 1; n < len(whole); n++ {
			text := []byte("abc" + whole[:n])
			if more, all := NotUTF8(text, true), NotUTF8(text, false); more != -1 || all != 3 {
				t.Errorf("%q: %d with more to come, %d without", text, more, all)
			}
		}
	}
	if got := NotUTF8([]byte("abc\xe9\n"), true); got != 3 {
		t.Errorf("a character broken off by a line end: %d", got)
	}
}

func BenchmarkNotUTF8(b *testing.B) {
	for name, unit := range map[string]string{"ascii": "some text,", "german": "Straße nach Köln,", "russian": "почта", "korean": "한국어"} {
		text := []byte(strings.Repeat(unit, (256<<10)/len(unit)))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				NotUTF8(text, false)
			}
		})
	}
}
