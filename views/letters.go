package views

import (
	"cmp"
	"slices"
	"strings"

	"weir/backend/pipeline"
	"weir/backend/safetext"
)

type safeText = safetext.Text

// letterList is the dead-letter topic as somebody browses it: of this moment or, where nobody did then, of now. It says
// when it was read.
func (s *Scene) letterList() *pipeline.LetterList {
	if l := s.Snap.Pipeline.Letters; l != nil {
		return l
	}
	if s.Newest != nil && s.Newest.Pipeline != nil {
		return s.Newest.Pipeline.Letters
	}
	return nil
}

// browse is the dead letters: all, or those of one partition of the events (-1 for all).
func (s *Scene) browse(page Page, partition int32, level Level, w int) Page {
	p := s.Snap.Pipeline
	list := s.letterList()
	page.Ask = []string{"browse", "letters"}
	page.Opens, page.Opened = true, "letter"
	if list == nil || list.At.IsZero() {
		page.Table = s.deadLetters(p, func(d *pipeline.DeadLetter) bool {
			return partition < 0 || d.Partition == partition && d.Topic == p.Events
		})
		page.Empty = "No dead letters so far: every record was predicted or is on its way."
		if p.DeadLettered > 0 {
			page.Empty = p.DeadLetters.String() + " has not been read yet, and none of the newest dead letters is known here."
		}
		if list != nil && !list.Error.IsEmpty() {
			page.Foot = []string{s.NewLine(w).Put(Bad, s.Theme.Glyphs.Trouble+" ").Put(Plain, list.Error.String()).String()}
		}
		return page
	}
	rows := make([]*pipeline.LetterRow, 0, len(list.Letters))
	for i := range list.Letters {
		if l := &list.Letters[i]; partition < 0 || l.Partition == partition && l.Topic == p.Events {
			rows = append(rows, l)
		}
	}
	page.Table = s.letters(rows, level)
	page.Empty = "The dead-letter topic " + p.DeadLetters.String() + " is empty."
	page.Place = func(key string) (Replayable, bool) {
		for _, l := range rows {
			if letterKey(l.ID) == key {
				return Replayable{l.ID.String(), l.Again}, true
			}
		}
		return Replayable{}, false
	}
	page.Head = append(page.Head, s.letterSummary(rows, list, partition < 0, level, w), s.NewLine(w).String())
	if !list.Error.IsEmpty() {
		page.Foot = []string{s.NewLine(w).Put(Bad, s.Theme.Glyphs.Trouble+" ").Put(Plain, list.Error.String()).String()}
	}
	return page
}

// letterSummary counts the letters by what went wrong.
func (s *Scene) letterSummary(rows []*pipeline.LetterRow, list *pipeline.LetterList, whole bool, level Level, w int) string {
	by, again := map[string]int{}, 0
	for _, r := range rows {
		by[r.Stage]++
		if r.Again {
			again++
		}
	}
	stages := make([]string, 0, len(by))
	for stage := range by {
		stages = append(stages, stage)
	}
	slices.SortFunc(stages, func(a, b string) int { return cmp.Or(cmp.Compare(by[b], by[a]), cmp.Compare(a, b)) })
	l := s.NewLine(w)
	if n := len(level.Marks); n > 0 {
		l.Put(Badge, " "+count(n)+" marked ").Space(1)
	}
	l.Put(Strong, count(len(rows))).Put(Faint, " newest")
	if whole && list.Total > int64(len(rows)) {
		l.Put(Faint, " of about "+count(list.Total))
	}
	for _, stage := range stages {
		l.Space(3).Put(Plain, or(stage, "no stage")+" ").Put(Strong, count(by[stage]))
	}
	if again > 0 {
		l.Space(3).Put(Faint, "replayed ").Put(Good, count(again))
	}
	if l.Left() >= 16 {
		l.Space(3).Put(Faint, "read "+s.clock(list.At))
	}
	return l.String()
}

func (s *Scene) letters(rows []*pipeline.LetterRow, level Level) Table {
	g := s.Theme.Glyphs
	return Table{
		Rows: len(rows),
		Key:  func(i int) string { return letterKey(rows[i].ID) },
		Columns: []Column{
			{Width: 1, Cell: func(i int) (Style, string) {
				switch {
				case level.Marks[letterKey(rows[i].ID)]:
					return Accent, "*"
				case rows[i].Again:
					return Good, g.Recovered
				}
				return Warn, g.Watch
			}},
			{Title: "AGE", Width: 4, Right: true, Cell: func(i int) (Style, string) { return Faint, brief(max(s.Snap.At.Sub(rows[i].At), 0)) },
				Less: func(a, b int) bool { return rows[a].At.After(rows[b].At) }},
			{Title: "STAGE", Width: 8, Cell: func(i int) (Style, string) { return Plain, rows[i].Stage }},
			{Title: "WHERE", Width: 13, Cell: func(i int) (Style, string) { return Plain, place(rows[i].Partition, rows[i].Offset) },
				Less: func(a, b int) bool {
					return cmp.Or(cmp.Compare(rows[a].Partition, rows[b].Partition), cmp.Compare(rows[a].Offset, rows[b].Offset)) < 0
				}},
			{Title: "REPLAYED", Width: 8, Cell: func(i int) (Style, string) { return s.replays(rows[i]) },
				Less: func(a, b int) bool { return rows[a].Replays > rows[b].Replays }},
			{Title: "REASON", Width: 24, Grow: 3, Most: 80, Cell: func(i int) (Style, string) { return Plain, rows[i].Reason.String() }},
			{Title: "ENTITY", Width: 12, Rank: 2, Name: true, Cell: func(i int) (Style, string) { return Plain, or(rows[i].Entity.String(), g.Dash) }},
			{Title: "TIME", Width: 8, Rank: 4, Cell: func(i int) (Style, string) { return Faint, s.clock(rows[i].At) }},
			{Title: "SIZE", Width: 7, Right: true, Rank: 3, Cell: func(i int) (Style, string) { return Faint, bytesText(float64(rows[i].Size)) },
				Less: func(a, b int) bool { return rows[a].Size > rows[b].Size }},
			{Title: "RECORD", Width: 20, Grow: 2, Rank: 1, Cell: func(i int) (Style, string) { return Faint, rows[i].Sample.String() }},
		},
	}
}

// replays tells of a letter whether it was sent back since, and how often it had been before.
func (s *Scene) replays(l *pipeline.LetterRow) (Style, string) {
	before := ""
	if l.Replays > 0 {
		before = count(l.Replays) + s.Theme.Glyphs.Times
	}
	switch {
	case l.Again && l.Replayed.IsZero():
		return Good, strings.TrimSpace(before + " yes")
	case l.Again:
		return Good, strings.TrimSpace(before + " " + brief(max(s.Snap.At.Sub(l.Replayed), 0)))
	case before != "":
		return Warn, before
	}
	return Faint, s.Theme.Glyphs.Dash
}

// letterKey tells the place of a dead letter in its own topic from the places of events.
func letterKey(id pipeline.LetterID) string { return letterSign + id.String() }

const letterSign = "@"

// letter is one dead letter in full, by its place in its topic.
func (s *Scene) letter(page Page, key string, w int) Page {
	p := s.Snap.Pipeline
	key = strings.TrimPrefix(key, letterSign)
	page.Crumbs = append(page.Crumbs, "letter "+key)
	page.Ask, page.Opens = []string{"browse", "letter", key}, false
	var row *pipeline.LetterRow
	var full *pipeline.OpenLetter
	if list := s.letterList(); list != nil {
		for i := range list.Letters {
			if list.Letters[i].ID.String() == key {
				row = &list.Letters[i]
			}
		}
		for i := range list.Opened {
			if x := &list.Opened[i]; x.ID.String() == key {
				full = x
			}
		}
	}
	if full != nil { // it was read later than the list, maybe
		row = &pipeline.LetterRow{ID: full.ID, DeadLetter: full.DeadLetter, Replays: full.Replays, ReplayOf: full.ReplayOf, Again: full.Again, Replayed: full.Replayed}
	}
	if row == nil {
		page.Missing, page.Empty = true, "The dead letter "+key+" is not among those read at this moment."
		return page
	}
	page.Place = func(string) (Replayable, bool) { return Replayable{key, row.Again}, true }
	f, more := s.columnsOf(w)
	f.add("dead letter", Strong, p.DeadLetters.String()+" "+key)
	f.add("record", Plain, row.Topic.String()+" "+place(row.Partition, row.Offset))
	f.add("set aside", Plain, s.ago(row.At))
	f.add("stage", Plain, row.Stage+stageMeans[row.Stage])
	f.add("reason", Bad, row.Reason.String())
	s.replayFacts(f, row)
	if full == nil {
		f.add("look", Faint, "reading it from the broker "+s.Theme.Glyphs.Ellipsis)
		f.gap()
		f.head("first bytes")
		f.text(Plain, row.Sample.String())
		page.Table.Text = s.join(f, more, w)
		return page
	}
	s.broken(f, full.Broken, full.JudgedBy, "")
	f.gap()
	f.head("its entity's features now")
	if !full.FeaturesError.IsEmpty() {
		f.text(Faint, full.FeaturesError.String())
	}
	for i := range full.Features {
		x := &full.Features[i]
		l := s.NewLine(f.w).Field(Plain, s.Theme.clipMiddle(x.Name.String(), 36), 36, false).Space(1)
		if x.Present() {
			l.Put(Strong, x.Value.String())
		} else {
			l.Put(Bad, x.Status.String())
		}
		f.rows = append(f.rows, l.String())
	}
	s.recordFields(more, full.Fields)
	s.bytes(more, full.Key.String(), full.Value.String(), full.Size, full.Headers)
	more.add("read it", Faint, "kcat -C -t "+p.DeadLetters.String()+" -p "+digits(int64(row.ID.Partition))+" -o "+digits(row.ID.Offset)+" -c 1")
	page.Table.Text = s.join(f, more, w)
	return page
}

func (s *Scene) replayFacts(f *facts, l *pipeline.LetterRow) {
	switch {
	case l.Again && !l.Replayed.IsZero():
		f.add("replayed", Good, s.Theme.Glyphs.Recovered+" "+s.ago(l.Replayed)+"; it is not sent again")
	case l.Again:
		f.add("replayed", Good, s.Theme.Glyphs.Recovered+" before, as the broker has noted; it is not sent again")
	default:
		f.add("replayed", Plain, "not yet")
	}
	if l.Replays > 0 {
		f.add("before", Warn, "it had been replayed "+plural(l.Replays, "time", "times")+" when it failed this time, last as "+l.ReplayOf.String())
	}
}
