package views

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"weir/backend/edge"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

func TestLearningRounds(t *testing.T) {
	at := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	fleet := &edge.Snapshot{At: at, Nodes: 14, Reporting: 14, Federated: &edge.Federated{
		Version: 2, Weights: 4, NextAt: at.Add(9 * time.Second),
		Rounds: []edge.FederatedRound{
			{Number: 1, At: at.Add(-30 * time.Second), Version: 1, Asked: 14, Used: 14, Examples: 840, Moved: math.NaN()},
			{Number: 2, At: at.Add(-15 * time.Second), Version: 2, Asked: 14, Used: 12, Late: 1, Refused: 1, Examples: 700, Moved: 0.25,
				Reasons: []edge.FederatedRefusal{{URL: safetext.Clean("http://edge-3"), Reason: safetext.Clean("has 1 weights, expected 4")}}},
			{Number: 3, At: at, Version: 2, Asked: 14, Used: 1, Moved: math.NaN(), Error: safetext.Clean("1 of at least 2 updates")},
		},
	}}
	s := &Scene{Now: at, Live: true, Zone: time.UTC, Snap: &timeline.Snapshot{At: at, Edge: fleet}, Theme: NewTheme(Palettes[0], NoColour, false)}
	c := NewConsole()
	c.Focus, c.Zoomed = EdgeNodes, true
	c.Paths[EdgeNodes] = []Level{{Section: 4}}
	for _, w := range []int{80, 120, 200} {
		screen := s.Draw(w, 24, c, Chrome{})
		text := ansi.Strip(screen.String())
		for _, want := range []string{"Learning", "ROUND", "12 of 14", "v2", "version 2, 4 weights · next round in 9s"} {
			if !strings.Contains(text, want) {
				t.Errorf("at %d columns %q is missing:\n%s", w, want, text)
			}
		}
		if w == 200 && (!strings.Contains(text, "http://edge-3 has 1 weights, expected 4") || !strings.Contains(text, "1 of at least 2 updates")) {
			t.Errorf("the reasons are missing:\n%s", text)
		}
	}
}
