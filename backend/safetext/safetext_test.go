package safetext

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile is what has taken over terminals, and what it becomes.
var hostile = []struct{ name, in, out string }{
	{"colour", "\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
	{"clear screen", "\x1b[2J\x1b[H", `\x1b[2J\x1b[H`},
	{"cursor up and erase", "\x1b[1A\x1b[2Kgone", `\x1b[1A\x1b[2Kgone`},
	{"C1 CSI", "a\u009b31mb", `a\x9b31mb`},
	{"raw C1 CSI byte", "a\x9b31mb", `a\x9b31mb`},
	{"OSC 0 title", "\x1b]0;owned\x07", `\x1b]0;owned\x07`},
	{"OSC 8 link", "\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\", `\x1b]8;;http://evil\x1b\here\x1b]8;;\x1b\`},
	{"OSC 52 clipboard", "\x1b]52;c;cm0gLXJmIC8=\x07", `\x1b]52;c;cm0gLXJmIC8=\x07`},
	{"unterminated OSC", "\x1b]0;swallows the rest", `\x1b]0;swallows the rest`},
	{"unterminated DCS", "\x1bPq#0;2;0;0;0", `\x1bPq#0;2;0;0;0`},
	{"APC and PM and SOS", "\x1b_x\x1b^y\x1bXz", `\x1b_x\x1b^y\x1bXz`},
	{"raw 0x9d", "\x9d0;title", `\x9d0;title`},
	{"C1 OSC, DCS, ST", "\u009d0;t\u009c\u0090q\u009c", `\x9d0;t\x9c\x90q\x9c`},
	{"reset terminal", "\x1bc", `\x1bc`},
	{"shift out", "\x0e\x0f", `\x0e\x0f`},
	{"carriage return", "safe\rEVIL", `safe\rEVIL`},
	{"line breaks", "a\nb\vc\fd\u0085e\u2028f\u2029g", `a\nb\x0bc\x0cd\x85e\u2028f\u2029g`},
	{"tab", "a\tb", `a\tb`},
	{"backspaces", "abc\b\b\bxyz", `abc\x08\x08\x08xyz`},
	{"bell, NUL, DEL", "\a\x00\x7f", `\x07\x00\x7f`},
	{"right-to-left override", "user\u202Etxt.exe", `user\u202etxt.exe`},
	{"bidi isolates", "\u2066\u2067\u2068\u2069", `\u2066\u2067\u2068\u2069`},
	{"bidi marks", "\u200e\u200f\u061c", `\u200e\u200f\u061c`},
	{"zero width", "a\u200bb\u200cc\u200dd\u2060e\ufefff", `a\u200bb\u200cc\u200dd\u2060e\ufefff`},
	{"soft hyphen", "pass\u00adword", `pass\xadword`},
	{"tags", "\U000e0001\U000e0041\U000e007f", `\U000e0001\U000e0041\U000e007f`},
	{"variation selectors", "\u2764\ufe0f x\U000e0100 \u1820\u180b", "\u2764" + `\ufe0f x\U000e0100 ` + "\u1820" + `\u180b`},
	{"family emoji", "\U0001f468\u200d\U0001f469", "\U0001f468" + `\u200d` + "\U0001f469"},
	{"Hangul fillers", "\u115f\u1160\u3164\uffa0", `\u115f\u1160\u3164\uffa0`},
	{"invisible Khmer vowels", "\u1780\u17b4\u17b5", "\u1780" + `\u17b4\u17b5`},
	{"grapheme joiner", "a\u034fb", `a\u034fb`},
	{"invisible operators", "f\u2061x\u2062y\u2063z\u2064", `f\u2061x\u2062y\u2063z\u2064`},
	{"annotations", "\ufff9a\ufffab\ufffbc", `\ufff9a\ufffab\ufffbc`},
	{"musical controls", "\U0001d173x", `\U0001d173x`},
	{"private use", "\ue0b0\U000f0000", `\ue0b0\U000f0000`},
	{"noncharacters", "\ufdd0\uffff\U0001fffe", `\ufdd0\uffff\U0001fffe`},
	{"combining storm", "Z" + strings.Repeat("\u0351", 500) + "a", "Z\u0351\u0351a"},
	{"two kinds of marks", "e\u0301\u20dd\u0301", "e\u0301\u20dd"},
	{"a mark before everything", "\u0301x", `\u0301x`},
	{"a mark after a control", "\x1b\u0301", `\x1b` + "\u0301"},
	{"invalid UTF-8", "a\xff\xfeb\xc3", `a\xff\xfeb\xc3`},
	{"overlong slash", "\xc0\xaf", `\xc0\xaf`},
	{"overlong escape", "\xe0\x80\x9b[31m", `\xe0\x80\x9b[31m`},
	{"surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
	{"beyond Unicode", "\xf4\x90\x80\x80", `\xf4\x90\x80\x80`},
	{"truncated", "日本"[:5], "日" + `\xe6\x9c`},
}

var harmless = []string{
	"", "plain ASCII ~!@#", "Grüße, naïve façade", "日本語テキスト", "한국어", "Ελληνικά", "Кириллица", "e\u0301te\u0301", "عربى", "हिन्दी",
	"emoji 🙂 🚀", "½ × ∞ → █ ⣿", "a\u00a0b", "\ufffd", `a literal \x1b`,
}

func TestHostile(t *testing.T) {
	for _, c := range hostile {
		if got := Clean(c.in).String(); got != c.out {
			t.Errorf("%s: got %q, want %q", c.name, got, c.out)
		}
		check(t, c.in)
	}
	for _, s := range harmless {
		if got := Clean(s).String(); got != s {
			t.Errorf("%q became %q", s, got)
		}
		check(t, s)
	}
	if r := uncleanRunes(); r != 0 {
		t.Errorf("%d pieces of Unicode come through unclean", r)
	}
}

// uncleanRunes puts every code point through Clean, each after a letter, and counts the planes' pieces that break the
// promise.
func uncleanRunes() (broken int) {
	const piece = 1 << 12
	var b strings.Builder
	for from := rune(0); from <= unicode.MaxRune; from += piece {
		b.Reset()
		for r := from; r < from+piece; r++ {
			b.WriteByte('a')
			b.WriteRune(r)
		}
		if !promised(Clean(b.String()).String()) {
			broken++
		}
	}
	return broken
}

// promised tells whether s is what a Text may be.
func promised(s string) bool {
	marks := 0
	for i, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Co, unicode.Zl, unicode.Zp) {
			return false
		}
		if !unicode.In(r, unicode.Mn, unicode.Me) {
			marks = 0
		} else if marks++; marks > maxMarks || i == 0 {
			return false
		}
	}
	return utf8.ValidString(s)
}

func check(t *testing.T, s string) {
	t.Helper()
	once := Clean(s)
	if !promised(once.String()) {
		t.Errorf("Clean(%q) = %q", s, once)
	}
	if twice := Clean(once.String()); twice != once {
		t.Errorf("Clean is not idempotent: %q, then %q", once, twice)
	}
	j, err := json.Marshal(once)
	if err != nil {
		t.Fatal(err)
	}
	var back Text
	if err := json.Unmarshal(j, &back); err != nil || back != once {
		t.Errorf("%q came back from JSON as %q (%v)", once, back, err)
	}
}

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		out   string
	}{
		{"hello", 0, "hello"}, {"hello", 5, "hello"}, {"hello", 3, "hel… (+2 bytes)"},
		{"日本語", 4, "日… (+6 bytes)"}, {"日本語", 5, "日… (+6 bytes)"}, {"日本語", 6, "日本… (+3 bytes)"}, {"日本", 1, "… (+6 bytes)"},
		{"a\x80\x80\x80\x80\x80\x80", 4, `a\x80\x80\x80… (+3 bytes)`}, {"\x1b[31mred", 2, `\x1b[… (+6 bytes)`}, {"", 3, ""},
	} {
		if got := Bytes([]byte(c.in), c.limit).String(); got != c.out {
			t.Errorf("%q to %d bytes: got %q, want %q", c.in, c.limit, got, c.out)
		}
	}
}

func TestConstructors(t *testing.T) {
	if Error(nil) != (Text{}) || !Error(nil).IsEmpty() || Error(errors.New("a\nb")).String() != `a\nb` {
		t.Error("Error")
	}
	if got := Sprintf("%s=%d", "\x1b", 5).String(); got != `\x1b=5` {
		t.Errorf("Sprintf: %q", got)
	}
	var text Text
	if err := json.Unmarshal([]byte(`"\u001b]0;x"`), &text); err != nil || text.String() != `\x1b]0;x` {
		t.Errorf("from JSON: %q, %v", text, err)
	}
	if err := json.Unmarshal([]byte(`5`), &text); err == nil {
		t.Error("a number became a Text")
	}
}

func FuzzClean(f *testing.F) {
	for _, c := range hostile {
		f.Add(c.in, 3)
	}
	for _, s := range harmless {
		f.Add(s, 7)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		check(t, s)
		if cut := Bytes([]byte(s), limit).String(); !promised(cut) {
			t.Errorf("Bytes(%q, %d) = %q", s, limit, cut)
		}
	})
}

var sink Text

// BenchmarkClean: a clean text costs no allocation, an unclean one little more than its copy. Beside each stands what
// one would write without this room: strings.Map over unicode.IsPrint, which drops what it does not know.
func BenchmarkClean(b *testing.B) {
	ascii := strings.Repeat("commerce/user_events 4/99120 ", 10)
	for _, c := range []struct{ name, s string }{
		{"clean/ASCII", ascii},
		{"clean/Latin", strings.Repeat("Grüße, naïve façade ", 13)},
		{"clean/Japanese", strings.Repeat("日本語テキスト", 13)},
		{"hostile", ascii + "\x1b[31m\u202e" + ascii},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.s)))
			b.ReportAllocs()
			for b.Loop() {
				sink = Clean(c.s)
			}
		})
		b.Run(c.name+"/strings.Map", func(b *testing.B) {
			b.SetBytes(int64(len(c.s)))
			b.ReportAllocs()
			for b.Loop() {
				sink = Text{strings.Map(func(r rune) rune {
					if unicode.IsPrint(r) {
						return r
					}
					return -1
				}, c.s)}
			}
		})
	}
}

// TestCleanPathAllocatesNothing is the benchmark's promise, held in every run.
func TestCleanPathAllocatesNothing(t *testing.T) {
	for _, s := range harmless {
		if n := testing.AllocsPerRun(100, func() { sink = Clean(s) }); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}
