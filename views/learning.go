package views

import (
	"math"

	"weir/backend/edge"
)

// learning is the last rounds of the fleet's federated averaging, the newest first.
func (s *Scene) learning(f *edge.Federated) (Table, []string) {
	n := len(f.Rounds)
	round := func(i int) *edge.FederatedRound { return &f.Rounds[n-1-i] }
	state := func(i int) (Style, string) {
		g := s.Theme.Glyphs
		switch r := round(i); {
		case !r.Error.IsEmpty():
			return Bad, g.Trouble
		case r.Refused+r.Late+r.Clipped > 0:
			return Warn, g.Watch
		default:
			return Good, g.OK
		}
	}
	some := func(v func(*edge.FederatedRound) int) func(int) (Style, string) {
		return func(i int) (Style, string) {
			if v(round(i)) == 0 {
				return Faint, "0"
			}
			return Warn, count(v(round(i)))
		}
	}
	table := Table{
		Rows: n,
		Key:  func(i int) string { return count(round(i).Number) },
		Columns: []Column{
			{Width: 1, Cell: state},
			{Title: "ROUND", Width: 6, Right: true, Name: true, Cell: func(i int) (Style, string) { return Plain, count(round(i).Number) }},
			{Title: "AGO", Width: 4, Right: true, Cell: func(i int) (Style, string) { return Faint, brief(s.Snap.At.Sub(round(i).At)) }},
			{Title: "MODEL", Width: 7, Right: true, Cell: func(i int) (Style, string) { return Plain, "v" + count(round(i).Version) }},
			{Title: "NODES", Width: 12, Right: true, Cell: func(i int) (Style, string) {
				style, _ := state(i)
				return style, count(round(i).Used) + " of " + count(round(i).Asked)
			}},
			{Title: "EXAMPLES", Width: 9, Right: true, Rank: 1, Cell: func(i int) (Style, string) { return Plain, count(round(i).Examples) }},
			{Title: "MOVED", Width: 8, Right: true, Rank: 2, Cell: func(i int) (Style, string) {
				if math.IsNaN(round(i).Moved) {
					return Faint, "–"
				}
				return Plain, fixed(round(i).Moved, 4)
			}},
			{Title: "LATE", Width: 4, Right: true, Rank: 4, Cell: some(func(r *edge.FederatedRound) int { return r.Late })},
			{Title: "REFUSED", Width: 7, Right: true, Rank: 3, Cell: some(func(r *edge.FederatedRound) int { return r.Refused })},
			{Title: "CLIPPED", Width: 7, Right: true, Rank: 5, Cell: some(func(r *edge.FederatedRound) int { return r.Clipped })},
			{Title: "TOOK", Width: 7, Right: true, Rank: 6, Cell: func(i int) (Style, string) {
				return Faint, millis(float64(round(i).Took.Microseconds()) / 1e3)
			}},
			{Title: "WHY", Width: 12, Grow: 4, Rank: 7, Cell: func(i int) (Style, string) {
				r := round(i)
				if !r.Error.IsEmpty() {
					return Bad, r.Error.String()
				}
				if len(r.Reasons) > 0 {
					return Faint, r.Reasons[0].URL.String() + " " + r.Reasons[0].Reason.String()
				}
				return Faint, ""
			}},
		},
	}
	line := "the fleet's model has no version yet"
	if f.Version > 0 {
		line = "the fleet's model is at version " + count(f.Version) + ", " + count(f.Weights) + " weights"
	}
	if wait := f.NextAt.Sub(s.Snap.At); !f.NextAt.IsZero() && wait > 0 {
		line += " · next round in " + brief(wait)
	}
	return table, []string{line}
}
