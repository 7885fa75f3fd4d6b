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
	if zoomed && path[0].Section == incidentsSection {
		page = s.incidents(page, path, w)
		if len(path) == 1 {
			page.Sections = []string{"Events", "Incidents"}
		}
		return page
	}
	if zoomed && len(path) == 1 {
		page.Sections = []string{"Events", "Incidents"}
	}
	if len(path) > 1 {
		if e := s.eventOf(path[1].Key); e != nil {
			page.Crumbs = []string{s.clock(e.At)}
			page.Opened, page.Moment = "every pane", &e.At
			return s.eventChanges(page, e, w)
		}
		page.Missing, page.Opens, page.Empty = true, false, "This event is not among the newest "+count(n)+" at this moment."
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

// eventOf is an event by its key: one of this moment's, or of the newest when the cursor was moved to before it.
func (s *Scene) eventOf(key string) *event.Event {
	lists := [][]event.Event{s.Snap.Events}
	if s.Newest != nil {
		lists = append(lists, s.Newest.Events)
	}
	for _, list := range lists {
		for i := range list {
			if eventKey(&list[i]) == key {
				return &list[i]
			}
		}
	}
	return nil
}

// plainText is a finished row without its styles.
func plainText(row string) string { return strings.TrimRight(ansi.Strip(row), " ") }
