package views

import (
	"strconv"
	"strings"
	"time"

	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

// incidentsSection is the section of the events pane that tells what is wrong, beside what happened.
const incidentsSection = 1

// cloudSection is the section of the fleet's pane that tells of the sync.
const cloudSection = 3

// ToIncidents is where what is wrong is told.
var ToIncidents = Goto{Pane: Events, Root: Level{Section: incidentsSection}}

// Wrong is how many incidents go on in a snapshot.
func Wrong(x *timeline.Snapshot) int {
	n := 0
	if x != nil {
		for i := range x.Incidents {
			if x.Incidents[i].Ended.IsZero() {
				n++
			}
		}
	}
	return n
}

func incidentKey(x *timeline.Incident) string {
	return "incident " + x.Rule + " " + x.Subject.String() + " " + x.Since.UTC().Format("15:04:05.000") + "."
}

// incidents is what is wrong, since when, what it touches and what to do; then what has ended within the last hour.
func (s *Scene) incidents(page Page, path []Level, w int) Page {
	list := s.Snap.Incidents
	wrong := Wrong(s.Snap)
	page.Title = []Seg{{Good, "nothing is wrong"}}
	if wrong > 0 {
		page.Title = []Seg{{Bad, plural(wrong, "open incident", "open incidents")}}
	}
	if n := len(list) - wrong; n > 0 {
		page.Title = append(page.Title, Seg{Faint, count(n) + " ended in the last hour"})
	}
	if len(path) > 1 {
		for i := range list {
			if incidentKey(&list[i]) == path[1].Key {
				return s.incident(page, &list[i], w)
			}
		}
		page.Missing, page.Opens, page.Empty = true, false, "At this moment the incident had not begun, or it had ended more than an hour earlier."
		return page
	}
	page.Opened = "incident"
	page.Table = Table{
		Rows: len(list),
		Key:  func(i int) string { return incidentKey(&list[i]) },
		Columns: []Column{
			{Width: 1, Cell: func(i int) (Style, string) { return s.incidentSign(&list[i]) }},
			{Title: "WHAT", Width: 19, Cell: func(i int) (Style, string) {
				if !list[i].Ended.IsZero() {
					return Faint, list[i].Rule
				}
				return Strong, list[i].Rule
			}},
			{Title: "SUBJECT", Width: 12, Grow: 2, Most: 28, Name: true, Cell: func(i int) (Style, string) { return Plain, list[i].Subject.String() }},
			{Title: "SINCE", Width: 8, Cell: func(i int) (Style, string) { return Faint, s.clock(list[i].Since) },
				Less: func(a, b int) bool { return list[a].Since.After(list[b].Since) }},
			{Title: "FOR", Width: 4, Right: true, Cell: func(i int) (Style, string) { return Plain, brief(s.lasted(&list[i])) },
				Less: func(a, b int) bool { return s.lasted(&list[a]) > s.lasted(&list[b]) }},
			{Title: "STATE", Width: 8, Rank: 4, Cell: func(i int) (Style, string) {
				if !list[i].Ended.IsZero() {
					return Faint, "ended"
				}
				style, _ := s.severity(list[i].Severity)
				return style, string(list[i].Severity)
			}},
			{Title: "MESSAGE", Width: 28, Grow: 3, Cell: func(i int) (Style, string) { return Plain, list[i].Message.String() }},
			{Title: "TOUCHES", Width: 20, Grow: 1, Rank: 5, Cell: func(i int) (Style, string) { return Faint, texts(list[i].Touches) }},
		},
	}
	page.Empty = "As far as weir knows, nothing is wrong, and nothing was in the last hour."
	if s.Recording {
		page.Empty = "Nothing was wrong at this moment, or the recording was made before weir named incidents."
	}
	return page
}

// lasted is how long an incident has gone on, or went on.
func (s *Scene) lasted(x *timeline.Incident) time.Duration {
	if x.Ended.IsZero() {
		return s.Snap.At.Sub(x.Since)
	}
	return x.Ended.Sub(x.Since)
}

func (s *Scene) incidentSign(x *timeline.Incident) (Style, string) {
	if !x.Ended.IsZero() {
		return Good, s.Theme.Glyphs.Recovered
	}
	return s.severity(x.Severity)
}

// incident is one of them in full; enter goes on to its evidence.
func (s *Scene) incident(page Page, x *timeline.Incident, w int) Page {
	page.Crumbs = []string{x.Rule + " " + x.Subject.String()}
	f := s.facts(w)
	style, sign := s.incidentSign(x)
	state := string(x.Severity) + " since " + s.ago(x.Since)
	if !x.Ended.IsZero() {
		state = "ended at " + s.clock(x.Ended) + ", after " + span(s.lasted(x)) + "; began at " + s.clock(x.Since)
	}
	f.add("what", Strong, x.Rule)
	f.add("subject", Strong, x.Subject.String())
	f.add("state", style, sign+" "+state)
	f.add("because", Plain, x.Message.String())
	f.gap()
	f.head("what it touches")
	for _, t := range x.Touches {
		f.text(Plain, s.Theme.Glyphs.Bullet+" "+t.String())
	}
	if len(x.Touches) == 0 {
		f.text(Faint, "nothing that weir knows of")
	}
	f.gap()
	f.head("what to do")
	f.text(Plain, x.Next.String())
	if x.Command != "" {
		f.text(Accent, ":"+x.Command)
	}
	f.gap()
	f.head("what happened when it began")
	n := 0
	for i := range s.Snap.Events {
		e := &s.Snap.Events[i]
		if d := e.At.Sub(x.Since); d < -incidentContext || d > incidentContext/2 {
			continue
		}
		if n++; n > 8 {
			f.text(Faint, "more in the events")
			break
		}
		style, sign := s.severity(e.Severity)
		l := s.NewLine(w).Put(Faint, s.clock(e.At)+" ").Put(style, sign+" ").Put(Plain, s.subject(e)+": "+e.Message.String())
		f.rows = append(f.rows, l.String())
	}
	if n == 0 {
		f.text(Faint, "no event of that time is remembered")
	}
	page.Table.Text = f.rows
	to := s.evidence(x)
	page.Opened, page.Goto = "evidence", &to
	return page
}

// incidentContext is how long before its beginning the cause of an incident is looked for among the events.
const incidentContext = 30 * time.Second

// evidence is where an incident can be seen.
func (s *Scene) evidence(x *timeline.Incident) Goto {
	subject := x.Subject.String()
	kind, state, _ := strings.Cut(x.Rule, " ")
	switch kind {
	case "contract":
		return Goto{Pane: Contracts, Path: []Level{{Key: subject}}}
	case "contracts":
		return Goto{Pane: Contracts}
	case "nodes":
		return Goto{Pane: EdgeNodes, Root: Level{Filter: "state:" + state}}
	case "cloud":
		return Goto{Pane: EdgeNodes, Root: Level{Section: cloudSection}}
	case "dead":
		return Goto{Pane: Throughput, Root: Level{Section: deadSection}}
	case "predictions":
		return Goto{Pane: Predictions}
	case "feature":
		return Goto{Pane: Throughput, Root: Level{Section: modelSection}}
	case "disk", "memory":
		return Goto{Pane: Throughput, Root: Level{Section: modelSection + 1}}
	case "engine":
		return Goto{Pane: paneOf(subject)}
	case "partitions":
		if p := s.Snap.Pipeline; p != nil {
			for i := range p.Partitions {
				if p.Partitions[i].Verdict == pipeline.Verdict(state) {
					return Goto{Pane: Throughput, Path: []Level{{Key: strconv.Itoa(int(p.Partitions[i].Partition))}}}
				}
			}
		}
	}
	return Goto{Pane: Throughput}
}

// IncidentLines is what is wrong, a line each, for who reads line by line.
func (s *Scene) IncidentLines() []string {
	if s.Snap == nil {
		return nil
	}
	var out []string
	for i := range s.Snap.Incidents {
		x := &s.Snap.Incidents[i]
		state := string(x.Severity) + " since " + s.clock(x.Since)
		if !x.Ended.IsZero() {
			state = "ended after " + span(s.lasted(x))
		}
		parts := []string{x.Rule + ", " + x.Subject.String() + ": " + state}
		for _, t := range []safetext.Text{x.Message, safetext.Clean(texts(x.Touches)), x.Next} {
			if !t.IsEmpty() {
				parts = append(parts, t.String())
			}
		}
		out = append(out, s.Theme.fold(strings.Join(parts, "; ")))
	}
	return out
}
