package views

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Line is one row of the screen as it is written from left to right. It never grows beyond its width, and it tracks
// cells, not bytes. Whatever is put passes [Theme.fold], so that a terminal and this program agree about its width.
type Line struct {
	theme    *Theme
	b        []byte
	w, width int
	style    Style
	styled   bool
	selected int // 1 when the row is under the cursor
}

// NewLine starts a row of the given width.
func (t *Theme) NewLine(width int) *Line {
	return &Line{theme: t, width: max(width, 0), b: make([]byte, 0, 2*max(width, 0)+32)}
}

// Put writes text in a style, cut at the row's end.
func (l *Line) Put(s Style, text string) *Line {
	if text == "" || l.w >= l.width {
		return l
	}
	text = l.theme.fold(text)
	w := cells(text)
	if l.w+w > l.width {
		text = l.theme.clip(text, l.width-l.w)
		w = cells(text)
	}
	l.set(s)
	l.b = append(l.b, text...)
	l.w += w
	return l
}

// Field writes text in a field of the given width: cut with an ellipsis, filled with spaces.
func (l *Line) Field(s Style, text string, width int, right bool) *Line {
	width = min(width, l.width-l.w)
	if width < 1 {
		return l
	}
	text = l.theme.clip(l.theme.fold(text), width)
	gap := width - cells(text)
	if right {
		l.Space(gap)
	}
	l.Put(s, text)
	if !right {
		l.Space(gap)
	}
	return l
}

// Space writes n spaces.
func (l *Line) Space(n int) *Line {
	n = min(n, l.width-l.w)
	if n <= 0 {
		return l
	}
	if l.style != Plain || !l.styled {
		l.set(Plain)
	}
	l.w += n
	for ; n > 0; n-- {
		l.b = append(l.b, ' ')
	}
	return l
}

// To fills with spaces up to a column.
func (l *Line) To(column int) *Line { return l.Space(column - l.w) }

// Left is how many cells are free.
func (l *Line) Left() int { return l.width - l.w }

// String is the finished row: exactly as wide as asked for, its last style ended.
func (l *Line) String() string {
	l.To(l.width)
	if l.styled {
		l.b = append(l.b, "\x1b[m"...)
		l.styled = false
	}
	return string(l.b)
}

func (l *Line) set(s Style) {
	if l.styled && l.style == s {
		return
	}
	sgr := l.theme.sgr[l.selected][s]
	if !l.styled && sgr == "\x1b[m" {
		l.style, l.styled = s, true
		return
	}
	l.b = append(l.b, sgr...)
	l.style, l.styled = s, true
}

// cells is how many columns folded text takes.
func cells(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return wideCells(s)
		}
	}
	return len(s)
}

func wideCells(s string) int {
	n := 0
	for i, r := range s {
		switch {
		case r < utf8.RuneSelf || ours(r):
			n++
		default:
			return n + ansi.StringWidthWc(s[i:])
		}
	}
	return n
}

// ours tells the signs weir itself draws with: one cell wide in every terminal it supports.
func ours(r rune) bool {
	return r >= 0x2500 && r <= 0x25cf || r >= 0x2800 && r <= 0x28ff || r >= 0xa1 && r <= 0x17f && r != 0xad ||
		r >= 0x2190 && r <= 0x2193 || r == '–' || r == '…' || r == '•' || r == '✕' || r == '✓' || r == '❚' ||
		r == '≥' || r == '≤' || r == '—'
}

// fold makes text safe to measure: what terminals disagree about the width of (emoji sequences, regional indicators,
// spacing marks) becomes a visible escape, and so does everything beyond ASCII in an ASCII theme. Text from outside
// has been cleaned of what terminals act on long before, by safetext.
func (t *Theme) fold(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf || c < 0x20 {
			return t.foldUnicode(s, i)
		}
	}
	return s
}

func (t *Theme) foldUnicode(s string, from int) string {
	if !t.ASCII {
		own := true
		for _, r := range s[from:] {
			if r >= utf8.RuneSelf && !ours(r) || r < 0x20 {
				own = false
				break
			}
		}
		if own {
			return s
		}
	}
	from = max(from-1, 0) // a mark belongs to the letter before it
	var b strings.Builder
	b.WriteString(s[:from])
	for rest := s[from:]; rest != ""; {
		cluster, wide := ansi.FirstGraphemeCluster(rest, ansi.GraphemeWidth)
		rest = rest[len(cluster):]
		switch {
		case t.ASCII:
			for _, r := range cluster {
				b.WriteString(plain(r))
			}
		case cluster[0] < 0x20 || isEmoji(cluster) || !isSteady(cluster, wide):
			for _, r := range cluster {
				escape(&b, r)
			}
		default:
			b.WriteString(cluster)
		}
	}
	return b.String()
}

// isSteady tells the clusters that are as wide by runes as by graphemes, and melt into nothing beside them.
func isSteady(cluster string, wide int) bool {
	if len(cluster) == 1 {
		return true
	}
	return wide > 0 && ansi.StringWidthWc(cluster) == wide && ansi.StringWidth(" "+cluster+" ") == wide+2
}

// isEmoji tells the clusters whose width depends on the terminal's age.
func isEmoji(cluster string) bool {
	r, _ := utf8.DecodeRuneInString(cluster)
	return r >= 0x1f000 && r <= 0x1faff || r >= 0x2600 && r <= 0x27bf && !ours(r)
}

// plain writes a rune in ASCII: what has a counterpart by that, the rest as an escape.
func plain(r rune) string {
	if r >= 0x20 && r < 0x7f {
		return string(r)
	}
	if a, ok := asciiOf[r]; ok {
		return a
	}
	var b strings.Builder
	escape(&b, r)
	return b.String()
}

var asciiOf = map[rune]string{
	'–': "-", '—': "-", '…': "~", '·': "-", '•': "-", '→': ">", '←': "<", '↑': "^", '↓': "v", '●': "*", '▲': "!",
	'✕': "x", '✓': "+", '○': "o", '│': "|", '─': "-", '┆': ":", '≥': ">=", '≤': "<=", '×': "x", 'µ': "u",
	'‘': "'", '’': "'", '“': "\"", '”': "\"",
}

func escape(b *strings.Builder, r rune) {
	switch {
	case r >= 0x20 && r < 0x7f:
		b.WriteRune(r)
	case r < 0x100:
		fmt.Fprintf(b, `\x%02x`, r)
	case r < 0x10000:
		fmt.Fprintf(b, `\u%04x`, r)
	default:
		fmt.Fprintf(b, `\U%08x`, r)
	}
}

// clip cuts folded text to width cells, an ellipsis standing for its end.
func (t *Theme) clip(s string, width int) string {
	if len(s) <= width || cells(s) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return prefix(s, width-1) + t.Glyphs.Ellipsis
}

// clipMiddle cuts a name in its middle, where names differ least.
func (t *Theme) clipMiddle(s string, width int) string {
	s = t.fold(s)
	if len(s) <= width || cells(s) <= width {
		return s
	}
	if width < 4 {
		return t.clip(s, width)
	}
	tail := (width - 1) / 2
	return prefix(s, width-1-tail) + t.Glyphs.Ellipsis + suffix(s, tail)
}

func prefix(s string, width int) string {
	n := 0
	for i, r := range s {
		w := runeCells(r)
		if n+w > width {
			return s[:i]
		}
		n += w
	}
	return s
}

func suffix(s string, width int) string {
	n := 0
	for i := len(s); i > 0; {
		r, size := utf8.DecodeLastRuneInString(s[:i])
		w := runeCells(r)
		if n+w > width {
			return strings.TrimLeftFunc(s[i:], func(r rune) bool { return unicode.In(r, unicode.Mn, unicode.Me) })
		}
		n += w
		i -= size
	}
	return s
}

func runeCells(r rune) int {
	if r < utf8.RuneSelf || ours(r) {
		return 1
	}
	return ansi.StringWidthWc(string(r))
}

// wrap breaks a text into lines of at most width cells, between words where it can.
func (t *Theme) wrap(s string, width int) []string {
	s = t.fold(s)
	width = max(width, 8)
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		for cells(word) > width {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			head := prefix(word, width)
			lines, word = append(lines, head), word[len(head):]
		}
		switch {
		case line == "":
			line = word
		case cells(line)+1+cells(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// over lays a row of width cells over another from column x on.
func over(row, top string, x, width, full int) string {
	return ansi.Truncate(row, x, "") + "\x1b[m" + top + "\x1b[m" + ansi.TruncateLeft(row, min(x+width, full), "")
}

// CheckRow tells what is wrong with a finished row: it is not width cells wide by every way terminals count, or it
// holds an escape that is not a colour or attribute. Screens are tested with it.
func CheckRow(row string, width int) error {
	for rest := row; ; {
		i := strings.IndexByte(rest, 0x1b)
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		end := strings.IndexFunc(rest, func(r rune) bool { return r != '[' && r != ';' && (r < '0' || r > '9') })
		if !strings.HasPrefix(rest, "[") || end < 0 || rest[end] != 'm' {
			return fmt.Errorf("an escape that is not a style: %q", rest[:min(len(rest), 20)])
		}
	}
	plain := ansi.Strip(row)
	for i, r := range plain {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || unicode.In(r, unicode.Cf) || r == utf8.RuneError {
			return fmt.Errorf("a control %U at byte %d of %q", r, i, plain)
		}
	}
	if a, b := ansi.StringWidthWc(plain), ansi.StringWidth(plain); a != width || b != width {
		return fmt.Errorf("%d cells by runes and %d by graphemes, want %d: %q", a, b, width, plain)
	}
	return nil
}
