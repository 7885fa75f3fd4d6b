package tui

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// cell is one column of a terminal's row. The second column of a wide character has width 0.
type cell struct {
	glyph int32 // a rune, or -1-i for the i-th of the clusters that take more than one
	style uint16
	width uint8
}

// blank is a cell nothing was written to.
var blank = cell{glyph: ' ', width: 1}

// inks numbers the styles and clusters that were seen, so that cells can be compared by their numbers.
type inks struct {
	styles   []style
	byCodes  map[string]uint16
	clusters []string
	byText   map[string]int32
	turns    map[[2]uint16]string // what turns one style into another
}

// style is what an SGR sequence sets, beginning from nothing.
type style struct {
	attributes string // sorted codes: 1, 2, 7
	fg, bg     string // as 38;5;74; empty is the terminal's own
}

// maxInks bounds what is remembered of styles and clusters. A screen has a few dozen styles; clusters come from outside.
const maxInks = 1 << 12

func newInks() *inks {
	return &inks{styles: []style{{}}, byCodes: map[string]uint16{"": 0}, byText: map[string]int32{}, turns: map[[2]uint16]string{}}
}

// full tells that too much has been seen: whoever uses it starts anew.
func (k *inks) full() bool { return len(k.clusters) > maxInks || len(k.byCodes) > maxInks }

// style is the number of the style that an SGR sequence with these codes leaves behind; on is the style before it.
func (k *inks) style(on uint16, codes string) uint16 {
	if codes == "" || codes == "0" {
		return 0
	}
	rest, anew := strings.CutPrefix(codes, "0;")
	if !anew && on != 0 { // our themes always begin anew; what does not is added to what is on
		was := k.styles[on]
		rest = join(was.attributes, was.fg, was.bg, codes)
	}
	if n, known := k.byCodes[rest]; known {
		return n
	}
	s := parseStyle(rest)
	for i, other := range k.styles {
		if other == s {
			k.byCodes[strings.Clone(rest)] = uint16(i)
			return uint16(i)
		}
	}
	k.styles = append(k.styles, s)
	n := uint16(len(k.styles) - 1)
	k.byCodes[strings.Clone(rest)] = n
	return n
}

func parseStyle(codes string) style {
	var s style
	var has [8]bool
	list := strings.Split(codes, ";")
	for i := 0; i < len(list); i++ {
		n, err := strconv.Atoi(list[i])
		if err != nil {
			continue
		}
		long := func() string {
			width := 0
			if i+1 < len(list) {
				width = map[string]int{"5": 3, "2": 5}[list[i+1]]
			}
			end := min(i+max(width, 1), len(list))
			text := strings.Join(list[i:end], ";")
			i = end - 1
			return text
		}
		switch {
		case n > 0 && n < len(has):
			has[n] = true
		case n == 38:
			s.fg = strings.Clone(long())
		case n == 48:
			s.bg = strings.Clone(long())
		case n >= 30 && n <= 37, n >= 90 && n <= 97:
			s.fg = strings.Clone(list[i])
		case n >= 40 && n <= 47, n >= 100 && n <= 107:
			s.bg = strings.Clone(list[i])
		}
	}
	var on []string
	for n, yes := range has {
		if yes {
			on = append(on, strconv.Itoa(n))
		}
	}
	s.attributes = strings.Join(on, ";")
	return s
}

func join(codes ...string) string {
	var given []string
	for _, c := range codes {
		if c != "" {
			given = append(given, c)
		}
	}
	return strings.Join(given, ";")
}

// turn is the shortest sequence that turns style a into style b.
func (k *inks) turn(a, b uint16) string {
	if a == b {
		return ""
	}
	key := [2]uint16{a, b}
	if seq, known := k.turns[key]; known {
		return seq
	}
	from, to := k.styles[a], k.styles[b]
	seq := "\x1b[" + join(map[bool]string{true: "0"}[b != 0], to.attributes, to.fg, to.bg) + "m"
	if added, ok := strings.CutPrefix(to.attributes, from.attributes); ok {
		fg, bg := to.fg, to.bg
		switch fg {
		case from.fg:
			fg = ""
		case "":
			fg = "39"
		}
		switch bg {
		case from.bg:
			bg = ""
		case "":
			bg = "49"
		}
		if step := "\x1b[" + join(strings.TrimPrefix(added, ";"), fg, bg) + "m"; len(step) < len(seq) && b != 0 {
			seq = step
		}
	}
	if len(k.turns) < maxInks {
		k.turns[key] = seq
	}
	return seq
}

// cluster is the number of a text that is more than one rune.
func (k *inks) cluster(text string) int32 {
	n, known := k.byText[text]
	if !known {
		n = int32(-1 - len(k.clusters))
		text = strings.Clone(text)
		k.clusters = append(k.clusters, text)
		k.byText[text] = n
	}
	return n
}

// put appends what a cell shows.
func (k *inks) put(b []byte, glyph int32) []byte {
	if glyph < 0 {
		return append(b, k.clusters[-1-glyph]...)
	}
	return utf8.AppendRune(b, glyph)
}

// cells takes a finished row apart into w cells; odd tells that it has characters terminals disagree about. A row is text and SGR sequences, as views draw it; what does not fit is
// cut, what lacks is blank.
func (k *inks) cells(into []cell, row string, w int) (cells []cell, odd bool) {
	into = into[:0]
	on := uint16(0)
	for i := 0; i < len(row) && len(into) < w; {
		c := row[i]
		if c == 0x1b {
			end := strings.IndexByte(row[i:], 'm')
			if end < 0 || !strings.HasPrefix(row[i:], "\x1b[") {
				i++ // views draw no other escape; were there one, it is not passed on
				continue
			}
			on = k.style(on, row[i+2:i+end])
			i += end + 1
			continue
		}
		n, width, glyph := 1, 1, int32(c)
		switch {
		case c < 0x20 || c == 0x7f:
			i++
			continue
		case c >= utf8.RuneSelf || !alone(row, i+1):
			r, size := utf8.DecodeRuneInString(row[i:])
			if ours(r) && alone(row, i+size) {
				n, glyph = size, r
				break
			}
			var text string
			text, width = ansi.FirstGraphemeCluster(row[i:], ansi.WcWidth)
			n = max(len(text), 1)
			if r, size := utf8.DecodeRuneInString(text); size == len(text) {
				glyph = r
			} else {
				glyph, odd = k.cluster(text), true
			}
		}
		i += n
		if width < 1 || len(into)+width > w {
			continue
		}
		into = append(into, cell{glyph, on, uint8(width)})
		for range width - 1 {
			into, odd = append(into, cell{0, on, 0}), true
		}
	}
	for len(into) < w {
		into = append(into, blank)
	}
	return into, odd
}

// alone tells that what begins at i does not combine with what stands before it: marks begin at U+0300.
func alone(row string, i int) bool {
	if i >= len(row) || row[i] < 0xcc {
		return true
	}
	r, _ := utf8.DecodeRuneInString(row[i:])
	return ours(r)
}

// ours tells the signs most rows are drawn with: one rune, one column, melting into nothing beside them.
func ours(r rune) bool {
	return r >= 0x20 && r < 0x7f || r >= 0x2500 && r <= 0x25cf || r >= 0x2800 && r <= 0x28ff || r >= 0xa1 && r <= 0x17f && r != 0xad
}
