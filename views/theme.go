package views

import (
	"fmt"
	"strconv"
	"strings"
)

// Style is a role that text plays on the screen. A theme says how the role looks; state is never told by it alone.
type Style uint8

// The roles.
const (
	Plain  Style = iota
	Strong       // the figure a pane exists for
	Faint        // units, headings, what is only context
	Border       // frames and grids
	Accent       // the one accent: focus, charts, the cursor
	Title        // a pane's name
	Good
	Warn
	Bad
	Badge     // inverse accent: the focused pane's name, LIVE
	BadgeWarn // inverse warning: HELD
	Chart     // what charts are drawn in
	ChartFill // bars, and the lowest row of a chart
	ChartLow  // from there upwards, towards Chart at the top
	ChartHigh
	BarMark // a mark on a bar
	styles
)

// Profile is how many colours a terminal has.
type Profile uint8

// The profiles, from none to 24 bits.
const (
	NoColour Profile = iota // attributes only: NO_COLOR is set, or the terminal has none
	Colours16
	Colours256
	TrueColour
)

// Colour is one colour for each kind of terminal. The zero Colour is the terminal's own.
type Colour struct {
	Hex     string // #rrggbb
	Index   uint8  // of 256
	Basic   uint8  // of 16
	IsGiven bool
}

// Palette is what a theme file gives.
type Palette struct {
	Name                                         string
	Text, Faint, Border, Accent, Good, Warn, Bad Colour
	Fill                                         Colour // the body of charts, a quiet Accent
	Select                                       Colour // the background of the row under the cursor
	Ink                                          Colour // the text on badges
}

func colour(hex string, index, basic uint8) Colour {
	return Colour{Hex: hex, Index: index, Basic: basic, IsGiven: true}
}

// Palettes are the built-in themes.
var Palettes = []Palette{
	{
		Name: "dark", Faint: colour("#828c99", 245, 7), Border: colour("#444d58", 239, 8),
		Accent: colour("#5fb8d6", 74, 6), Good: colour("#7dbb6e", 107, 2), Warn: colour("#e3b04b", 179, 3),
		Bad: colour("#ee6f73", 203, 1), Select: colour("#24333f", 236, 8), Fill: colour("#2c5f73", 24, 6), Ink: colour("#0d1117", 233, 0),
	},
	{
		Name: "light", Faint: colour("#66707b", 242, 8), Border: colour("#c3cad2", 251, 7),
		Accent: colour("#0a6c94", 24, 6), Good: colour("#2f7d32", 28, 2), Warn: colour("#925f00", 94, 3),
		Bad: colour("#b4231f", 124, 1), Select: colour("#dcebf3", 255, 7), Fill: colour("#9fcbdd", 152, 6), Ink: colour("#ffffff", 231, 15),
	},
	{ // Okabe and Ito's colours: told apart with every common kind of colour blindness
		Name: "colour-blind", Faint: colour("#8a919b", 246, 7), Border: colour("#4a525d", 240, 8),
		Accent: colour("#56b4e9", 74, 6), Good: colour("#33c3a0", 36, 6), Warn: colour("#f0e442", 227, 3),
		Bad: colour("#f08a4b", 209, 5), Select: colour("#24333f", 236, 8), Fill: colour("#2c5f73", 24, 6), Ink: colour("#0d1117", 233, 0),
	},
}

// Theme is a palette made ready for one terminal: the escape sequences of every role, and the glyphs.
type Theme struct {
	Name    string
	Profile Profile
	ASCII   bool
	Glyphs  Glyphs

	sgr [2][styles]string // by whether the row is under the cursor
}

// NewTheme makes a palette ready for a terminal.
func NewTheme(p Palette, profile Profile, ascii bool) *Theme {
	t := &Theme{Name: p.Name, Profile: profile, ASCII: ascii, Glyphs: unicodeGlyphs}
	if ascii {
		t.Glyphs = asciiGlyphs
	}
	fg := func(c Colour) string { return c.code(profile, 30) }
	bg := func(c Colour) string { return c.code(profile, 40) }
	look := [styles]string{
		Plain: fg(p.Text), Strong: join("1", fg(p.Text)), Faint: fg(p.Faint), Border: fg(p.Border),
		Accent: fg(p.Accent), Title: join("1", fg(p.Text)), Good: fg(p.Good), Warn: fg(p.Warn), Bad: fg(p.Bad),
		Badge:     join("1", fg(p.Ink), bg(p.Accent)),
		BadgeWarn: join("1", fg(p.Ink), bg(p.Warn)),
		BarMark:   join("1", fg(p.Accent), bg(p.Fill)),
		Chart:     fg(p.Accent), ChartFill: fg(p.Fill), ChartLow: fg(mix(p.Fill, p.Accent, 1)), ChartHigh: fg(mix(p.Fill, p.Accent, 2)),
	}
	if profile == NoColour {
		look[Faint], look[Border], look[ChartFill] = "2", "2", "2"
		look[Bad], look[Accent] = "1", "1"
		look[Badge], look[BadgeWarn], look[BarMark] = "1;7", "1;7", "7"
	}
	for s, codes := range look {
		t.sgr[0][s] = sequence(codes)
		switch profile {
		case NoColour:
			t.sgr[1][s] = sequence(join(strings.TrimSuffix(codes, ";7"), "7"))
		case Colours16:
			t.sgr[1][s] = sequence(join(codes, "7"))
		default:
			t.sgr[1][s] = sequence(join(codes, bg(p.Select)))
		}
	}
	return t
}

// mix is the colour thirds of the way from one to another.
func mix(a, b Colour, thirds int) Colour {
	if !a.IsGiven || !b.IsGiven {
		return b
	}
	from, errA := strconv.ParseUint(strings.TrimPrefix(a.Hex, "#"), 16, 32)
	to, errB := strconv.ParseUint(strings.TrimPrefix(b.Hex, "#"), 16, 32)
	if errA != nil || errB != nil {
		return b
	}
	part := func(shift int) int {
		x, y := int(from>>shift&255), int(to>>shift&255)
		return x + (y-x)*thirds/3
	}
	red, green, blue := part(16), part(8), part(0)
	return Colour{Hex: fmt.Sprintf("#%02x%02x%02x", red, green, blue), Index: nearest256(red, green, blue), Basic: b.Basic, IsGiven: true}
}

func sequence(codes string) string {
	if codes == "" {
		return "\x1b[m"
	}
	return "\x1b[0;" + codes + "m"
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

// code is the SGR code of the colour; base is 30 for text and 40 for its background.
func (c Colour) code(profile Profile, base int) string {
	if !c.IsGiven {
		return ""
	}
	switch profile {
	case TrueColour:
		v, _ := strconv.ParseUint(strings.TrimPrefix(c.Hex, "#"), 16, 32)
		return fmt.Sprintf("%d;2;%d;%d;%d", base+8, v>>16&255, v>>8&255, v&255)
	case Colours256:
		return fmt.Sprintf("%d;5;%d", base+8, c.Index)
	case Colours16:
		if c.Basic < 8 {
			return strconv.Itoa(base + int(c.Basic))
		}
		return strconv.Itoa(base + 60 + int(c.Basic) - 8)
	}
	return ""
}

// Glyphs are the signs a theme draws with; every one is one cell wide.
type Glyphs struct {
	OK, Watch, Trouble, Unknown, Info, Recovered string // states: full, half-way, bad, not known
	Up, Down, Flat, Left, Right                  string
	Live, Held                                   string
	Dash                                         string // no value
	Ellipsis, Dot, Baseline, Cursor, Arrow       string
	Bullet                                       string
	Times, Micro                                 string
	Bar                                          string // the body of a horizontal bar
	Box                                          BoxGlyphs
	Eighths                                      []string // vertical bars from empty to full
	Bars                                         []string // horizontal bars from empty to full
	Thumb                                        string
}

// BoxGlyphs draw frames.
type BoxGlyphs struct {
	H, V, TL, TR, BL, BR, TickL string
	Tee, Cross, Foot            string // where the line between two columns begins, goes on and ends
	Fork                        string // where a branch leaves a tree that goes on
}

var unicodeGlyphs = Glyphs{
	OK: "●", Watch: "▲", Trouble: "✕", Unknown: "○", Info: "·", Recovered: "✓",
	Up: "↑", Down: "↓", Flat: "→", Left: "←", Right: "→", Live: "●", Held: "❚❚", Dash: "–", Ellipsis: "…",
	Dot: "·", Baseline: "┆", Cursor: "▌", Arrow: "→", Bullet: "•", Times: "×", Micro: "µ", Bar: "█",
	Box:     BoxGlyphs{H: "─", V: "│", TL: "╭", TR: "╮", BL: "╰", BR: "╯", TickL: "┤", Tee: "┬", Cross: "┼", Foot: "┴", Fork: "├"},
	Eighths: []string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
	Bars:    []string{" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"},
	Thumb:   "┃",
}

var asciiGlyphs = Glyphs{
	OK: "*", Watch: "!", Trouble: "x", Unknown: "o", Info: ".", Recovered: "+",
	Up: "^", Down: "v", Flat: ">", Left: "<", Right: ">", Live: "*", Held: "||", Dash: "-", Ellipsis: "~",
	Dot: "-", Baseline: ":", Cursor: ">", Arrow: ">", Bullet: "-", Times: "x", Micro: "u", Bar: "=",
	Box:     BoxGlyphs{H: "-", V: "|", TL: "+", TR: "+", BL: "+", BR: "+", TickL: "|", Tee: "+", Cross: "+", Foot: "+", Fork: "+"},
	Eighths: []string{" ", "_", "_", ".", "-", "-", "=", "#", "#"},
	Bars:    []string{" ", " ", " ", "-", "-", "=", "=", "#", "#"},
	Thumb:   "#",
}
