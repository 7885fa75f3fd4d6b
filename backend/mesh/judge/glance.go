package judge

import (
	"math"
	"unicode/utf8"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/scan"
)

// glance tells of most values of a column that they pass all its checks, which a live record has no time to be asked one
// by one. It knows strings or numbers.
type glance struct {
	kind      scan.Kind // Absent: it knows nothing
	isTime    bool
	isInteger bool
	least     int      // bytes of a string that are enough characters, quotes included
	most      int      // bytes of a string that are not too many
	few       []string // what a string may be; empty: anything
	min, max  float64  // of a number, which lies between them, and then it does so exactly, too (see beside)
}

// newGlance is what tells at a glance that values pass these checks.
func newGlance(checks []*check) glance {
	g := glance{kind: scan.Number, least: 2, most: math.MaxInt, min: math.Inf(-1), max: math.Inf(1)}
	for _, c := range checks {
		switch c.rule.Kind {
		case contract.Length, contract.Invalid: // they ask something of strings, unless a type follows
			g.kind = scan.String
		}
	}
	for _, c := range checks {
		if c.rule.Kind != contract.TypeOf {
			continue
		}
		switch {
		case c.typ == stringType:
			g.kind = scan.String
		case (c.typ == dateType || c.typ == timestampType) && c.layout == "":
			g.kind, g.isTime = scan.String, true
		case c.typ == numberType:
			g.kind = scan.Number
		case c.typ == integerType:
			g.kind, g.isInteger = scan.Number, true
		default:
			return glance{}
		}
	}
	types := 0
	for _, c := range checks {
		switch r := &c.rule; r.Kind {
		case contract.TypeOf:
			if types++; types > 1 {
				return glance{}
			}
		case contract.Length: // numbers have none
			if r.Min > math.MaxInt32 {
				return glance{}
			}
			g.least = max(g.least, 2+int(math.Ceil(utf8.UTFMax*max(0, r.Min))))
			if r.Max < math.MaxInt32 {
				g.most = min(g.most, 2+int(r.Max))
			}
		case contract.Range: // of numbers
			g.min, g.max = max(g.min, r.Min), min(g.max, r.Max)
		case contract.Invalid:
			if g.kind != scan.String || r.Pattern != nil || len(c.few) == 0 || g.few != nil {
				return glance{}
			}
			g.few = c.few
		default:
			return glance{}
		}
	}
	return g
}

// passes tells of most values that they pass.
func (g *glance) passes(s *scan.Span, raw []byte) bool {
	if s.Kind != g.kind || s.Escaped {
		return false
	}
	if s.Kind == scan.Number {
		if g.isInteger && !onlyDigits(raw) {
			return false
		}
		v, ok := parseNumber(raw)
		return ok && v > g.min && v < g.max
	}
	if len(raw) < g.least || len(raw) > g.most {
		return false
	}
	text := raw[1 : len(raw)-1]
	if g.isTime && !contract.IsTime(text) {
		return false
	}
	for _, v := range g.few {
		if v == string(text) {
			return true
		}
	}
	return len(g.few) == 0
}
