package views

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"weir/backend/event"
)

func (s *Scene) severity(v event.Severity) (Style, string) {
	g := s.Theme.Glyphs
	switch v {
	case event.Critical:
		return Bad, g.Trouble
	case event.Warning:
		return Warn, g.Watch
	case event.Recovered:
		return Good, g.Recovered
	}
	return Faint, g.Info
}

func eventKey(e *event.Event) string {
	return string(e.Kind) + digits(int64(e.Seq)) + " " + digits(e.At.UnixNano())
}

// events is the fifth pane: what happened, the newest first, so that the first line is always the news.
func (s *Scene) events(path []Level, w int, zoomed bool) Page {
	list := s.Snap.Events
	n := len(list)
	at := func(i int) *event.Event { return &list[n-1-i] }
	page := Page{Opens: true, Opened: "event"}
	bad := 0
	for i := range list {
		if list[i].Severity == event.Critical {
			bad++
		}
	}
	if n > 0 {
		page.Title = []Seg{{Faint, "newest first"}}
	}
	if len(path) > 1 {
		for i := range list {
			if eventKey(&list[i]) == path[1].Key {
				page.Crumbs = []string{s.clock(list[i].At)}
				page.Opens, page.Opened, page.Moment = true, "moment", &list[i].At
				page.Table.Text = s.eventText(&list[i], w)
				return page
			}
		}
		page.Missing, page.Opens, page.Empty = true, false, "This event is not among the last "+count(n)+" of this moment."
		return page
	}
	subject := 14
	if w > 110 {
		subject = 22
	}
	page.Table = Table{
		Rows: n, NoHeader: !zoomed,
		Key: func(i int) string { return eventKey(at(i)) },
		Columns: []Column{
			{Title: "TIME", Width: 8, Cell: func(i int) (Style, string) { return Faint, s.clock(at(i).At) },
				Less: func(a, b int) bool { return at(a).At.After(at(b).At) }},
			{Width: 1, Cell: func(i int) (Style, string) { return s.severity(at(i).Severity) }},
			{Title: "KIND", Width: 8, Rank: 1, Cell: func(i int) (Style, string) { return Faint, string(at(i).Kind) }},
			{Title: "SEVERITY", Width: 9, Rank: 9, Cell: func(i int) (Style, string) {
				style, _ := s.severity(at(i).Severity)
				return style, string(at(i).Severity)
			}},
			{Title: "SUBJECT", Width: subject, Name: true, Cell: func(i int) (Style, string) { return Plain, s.subject(at(i)) }},
			{Title: "MESSAGE", Width: 48, Grow: 1, Cell: func(i int) (Style, string) {
				if at(i).Severity == event.Critical {
					return Strong, at(i).Message.String()
				}
				return Plain, at(i).Message.String()
			}},
		},
	}
	if !zoomed { // the sign says it already, and there is little room
		page.Table.Columns = append(page.Table.Columns[:3], page.Table.Columns[4:]...)
	}
	page.Empty = "Nothing has happened yet."
	return page
}

// subject is what an event happened to; nodes are called as the edge pane calls them.
func (s *Scene) subject(e *event.Event) string {
	subject := e.Subject.String()
	if e.Kind == event.Node {
		if n := nodeOf(s.Snap, subject, 0); n != nil {
			return n.Name.String()
		}
	}
	return subject
}

func (s *Scene) eventText(e *event.Event, w int) []string {
	f := s.facts(w)
	style, sign := s.severity(e.Severity)
	f.add("time", Strong, e.At.In(s.Zone).Format("2006-01-02 15:04:05.000 MST")+", "+span(s.Snap.At.Sub(e.At))+" ago")
	f.add("severity", style, sign+" "+string(e.Severity))
	f.add("kind", Plain, string(e.Kind))
	f.add("subject", Strong, e.Subject.String())
	if name := s.subject(e); name != e.Subject.String() {
		f.add("node", Strong, name)
	}
	f.gap()
	f.text(Plain, e.Message.String())
	f.gap()
	f.text(Faint, "enter holds every pane at the moment it happened.")
	return f.rows
}

// plainText is a finished row without its styles.
func plainText(row string) string { return strings.TrimRight(ansi.Strip(row), " ") }
