package views

import (
	"strings"

	"weir/backend/event"
)

// Summary is the scene as sentences, one a pane: for screen readers, logs and terminals that cannot place a cursor.
func (s *Scene) Summary() []string {
	x := s.Snap
	if x == nil {
		return []string{"weir is starting: the engines have not reported yet."}
	}
	var out []string
	say := func(parts ...string) {
		text := s.Theme.fold(strings.Join(parts, ""))
		out = append(out, strings.Join(strings.Fields(text), " "))
	}
	troubles := Troubles(x)
	words := make([]string, len(troubles))
	for i, t := range troubles {
		words[i] = t.Text
	}
	switch {
	case len(words) > 0:
		say(s.clock(x.At), " ", x.At.In(s.Zone).Format("MST"), ": ", plural(len(words), "problem", "problems"), ": ", strings.Join(words, "; "), ".")
	case unwatched(x):
		say(s.clock(x.At), " ", x.At.In(s.Zone).Format("MST"), ": nothing is watched: weir.yaml configures no pipeline, no nodes and no contracts.")
	case settling(x):
		say(s.clock(x.At), " ", x.At.In(s.Zone).Format("MST"), ": settling in, nothing is known yet.")
	default:
		say(s.clock(x.At), " ", x.At.In(s.Zone).Format("MST"), ": nothing is wrong as far as weir knows.")
	}
	if p := x.Pipeline; p != nil {
		_, _, lag := s.drain(p)
		state := string(p.State)
		if !p.Waiting.IsEmpty() {
			state += " (" + p.Waiting.String() + ")"
		}
		say("Throughput: ", state, ", ", rate(p.EventsPerSecond), " events a second, latency p50 ", latency(p.EndToEnd, p.EndToEnd.P50), " p99 ",
			latency(p.EndToEnd, p.EndToEnd.P99), ", lag ", count(p.Lag), " (", lag, "), ", count(p.DeadLettered), " dead letters.")
		_, verdict := s.drift()
		say("Predictions: model ", or(p.Model.Version.String(), "not loaded"), ", ", strings.TrimPrefix(verdict, s.Theme.Glyphs.Watch+" "), ".")
	}
	if e := x.Edge; e != nil {
		say("Edge nodes: ", count(e.Reporting), " of ", count(e.Nodes), " reporting, ", count(e.TotalRecords), " records, quality ", fixed(e.Quality, 3),
			", cloud ", string(e.Cloud.State), ", outbox ", outboxWaiting(&e.Cloud), ".")
	}
	if m := x.Mesh; m != nil {
		var parts []string
		for _, seg := range s.contractsTitle(m) {
			parts = append(parts, seg.Text)
		}
		say("Contracts: ", or(strings.Join(parts, ", "), "none registered"), ".")
	}
	return out
}

// EventLine is an event as one line.
func (s *Scene) EventLine(e *event.Event) string {
	text := s.clock(e.At) + " " + string(e.Severity) + ", " + string(e.Kind) + " " + s.subject(e) + ": " + e.Message.String()
	return s.Theme.fold(text)
}
