package jsonlex

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNumber(t *testing.T) {
	for text, want := range map[string]int{
		"0": 1, "-0": 2, "17,": 2, "1.5]": 3, "1e9": 3, "1E+09 ": 5, "-12.25e-3}": 9, "01": 1, // and then a 1 too many
	} {
		if end, ok := Number([]byte(text)); !ok || end != want {
			t.Errorf("%q ends at %d, %v; want %d", text, end, ok, want)
		}
	}
	for text, want := range map[string]int{"": 0, "-": 1, "x": 0, "+1": 0, ".5": 0, "1.": 2, "1.x": 2, "1e": 2, "1e+": 3, "-.": 1, "NaN": 0} {
		if end, ok := Number([]byte(text)); ok || end != want {
			t.Errorf("%q breaks off at %d, %v; want %d", text, end, ok, want)
		}
	}
}

func TestNumbersAreCorrectlyRounded(t *testing.T) {
	for _, s := range []string{"0", "-0", "1", "-1.5", "0.1", "0.30000000000000004", "123456789.123456789", "9007199254740993", "1e22",
		"1e23", "4.9e-324", "1.7976931348623157e308", "2.2250738585072011e-308", "0.000000000000000000000001", "12345678901234567890",
		"0.1234567890123456789012345", "179769313486231580793728971405301e276", "1E+2", "-7e-3"} {
		want, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		if end, ok := Number([]byte(s)); !ok || end != len(s) {
			t.Errorf("%s: only %d bytes are a number", s, end)
		}
		if got := Float([]byte(s)); math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s = %v, want %v", s, got, want)
		}
	}
}

func TestUnescape(t *testing.T) {
	for raw, want := range map[string]string{
		``: "", `plain`: "plain", `\"\\\/\b\f\n\r\t`: "\"\\/\b\f\n\r\t", `\u00e9\u20AC`: "é€", `\ud83d\ude00!`: "😀!",
	} {
		if got, whole := AppendUnescaped(nil, []byte(raw)); string(got) != want || !whole {
			t.Errorf("%s means %q, %v; want %q", raw, got, whole, want)
		}
	}
	for raw, want := range map[string]string{
		`\ud83d`: "�", `\ude00x`: "�x", `\ud83d\u0041`: "�A", `\ud83d\ud83d\ude00`: "�😀", `\x41`: "�41", `\u12`: "�12", `\`: "�", `\uzzzz`: "�zzzz",
	} {
		if got, whole := AppendUnescaped(nil, []byte(raw)); string(got) != want || whole {
			t.Errorf("%s means %q, %v; want %q", raw, got, whole, want)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	out, raw, number := make([]byte, 0, 100), []byte(`M\u00fcller \ud83d\ude00`), []byte("-12.375")
	if n := testing.AllocsPerRun(100, func() {
		_, _ = AppendUnescaped(out, raw)
		_ = AppendQuoted(out, "Müller \n")
		if end, ok := Number(number); !ok || Float(number[:end]) != -12.375 {
			panic("another number")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzAgainstEncodingJSON compares numbers and strings with encoding/json's.
func FuzzAgainstEncodingJSON(f *testing.F) {
	for _, seed := range []string{"0", "-1.5e-7", "1e400", "12345678901234567890.5", `a\ud83d\ude00`, `\ud83d`, "é\x00\xff", `\"`, `\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		end, ok := Number([]byte(text))
		if valid := len(text) > 0 && StartsNumber(text[0]) && json.Valid([]byte(text)); valid && strings.TrimSpace(text) == text != (ok && end == len(text)) {
			t.Errorf("number %q: end %d, %v", text, end, ok)
		}
		if ok {
			var want float64
			if err := json.Unmarshal([]byte(text[:end]), &want); err != nil {
				want = math.Inf(1) // too large
				if text[0] == '-' {
					want = math.Inf(-1)
				}
			}
			if got := Float([]byte(text[:end])); got != want {
				t.Errorf("number %q is %v, want %v", text[:end], got, want)
			}
		}
		var back string
		quoted := AppendQuoted(nil, text)
		if err := json.Unmarshal(quoted, &back); err != nil || back != string([]rune(text)) {
			t.Errorf("%q is quoted %s: %v", text, quoted, err)
		}
		if literal := []byte(`"` + text + `"`); json.Valid(literal) && utf8.ValidString(text) {
			if err := json.Unmarshal(literal, &back); err != nil {
				t.Fatal(err)
			}
			if got, _ := AppendUnescaped(nil, []byte(text)); string(got) != back {
				t.Errorf("%s means %q, want %q", literal, got, back)
			}
		}
	})
}

func TestStringEnd(t *testing.T) {
	for text, want := range map[string]int{`""`: 2, `"a",1`: 3, `"a\"b" `: 6, `"a\\"b`: 5, `"open`: 5, `"open\`: 6} {
		if end := StringEnd([]byte(text), 0); end != want {
			t.Errorf("%s ends at %d, want %d", text, end, want)
		}
	}
}
