package views

import (
	"math"
	"strings"
	"time"

	"weir/backend/pipeline"
)

// watchedRecords are the records of a target that this moment carries, and whether anybody was looking.
func watchedRecords(p *pipeline.Snapshot, t pipeline.WatchTarget) (w *pipeline.WatchedRecords, looked bool) {
	for i := range p.Watched {
		if p.Watched[i].Target == t {
			return &p.Watched[i], true
		}
	}
	return nil, false
}

// records is the list of the newest records of what is watched.
func (s *Scene) records(rows []pipeline.Record) Table {
	at := func(i int) *pipeline.Record { return &rows[i] }
	return Table{
		Rows: len(rows),
		Key:  func(i int) string { return place(rows[i].Partition, rows[i].Offset) },
		Columns: []Column{
			{Width: 1, Cell: func(i int) (Style, string) { return s.recordSign(at(i)) }},
			{Title: "WHERE", Width: 13, Cell: func(i int) (Style, string) { return Plain, place(rows[i].Partition, rows[i].Offset) },
				Less: func(a, b int) bool { return rows[a].Offset > rows[b].Offset }},
			{Title: "TIME", Width: 8, Rank: 3, Cell: func(i int) (Style, string) { return Faint, s.clock(rows[i].AcknowledgedAt) },
				Less: func(a, b int) bool { return rows[a].AcknowledgedAt.After(rows[b].AcknowledgedAt) }},
			{Title: "ENTITY", Width: 12, Grow: 1, Most: 24, Name: true, Cell: func(i int) (Style, string) { return Plain, or(rows[i].Entity.String(), "–") }},
			{Title: "PREDICTION", Width: 10, Right: true, Cell: func(i int) (Style, string) { return s.prediction(at(i)) },
				Less: func(a, b int) bool { return known(rows[a].Prediction) > known(rows[b].Prediction) }},
			{Title: "OUTCOME", Width: 16, Grow: 2, Most: 48, Cell: func(i int) (Style, string) { return s.outcome(at(i)) }},
			{Title: "BREAKS", Width: 14, Grow: 1, Most: 34, Rank: 1, Cell: func(i int) (Style, string) { return s.breaks(rows[i].Broken) }},
			{Title: "FEATURES", Width: 20, Grow: 2, Most: 70, Rank: 2, Cell: func(i int) (Style, string) { return Faint, shortFeatures(at(i)) }},
			{Title: "RECORD", Width: 20, Grow: 3, Rank: 4, Cell: func(i int) (Style, string) { return Faint, rows[i].Value.String() }},
		},
	}
}

func known(x float64) float64 {
	if math.IsNaN(x) {
		return -1
	}
	return x
}

func (s *Scene) recordSign(r *pipeline.Record) (Style, string) {
	g := s.Theme.Glyphs
	switch {
	case r.Stage != "":
		return Bad, g.Trouble
	case len(r.Broken) > 0:
		return Warn, g.Watch
	}
	return Good, g.Recovered
}

func (s *Scene) prediction(r *pipeline.Record) (Style, string) {
	if math.IsNaN(r.Prediction) {
		return Faint, s.Theme.Glyphs.Dash
	}
	return Strong, fixed(r.Prediction, 4)
}

func (s *Scene) outcome(r *pipeline.Record) (Style, string) {
	if r.Stage != "" {
		return Bad, r.Stage + ": " + r.Reason.String()
	}
	return Faint, "by " + r.Model.String()
}

func (s *Scene) breaks(list []pipeline.BrokenRule) (Style, string) {
	if len(list) == 0 {
		return Faint, s.Theme.Glyphs.Dash
	}
	text := strings.TrimSpace(list[0].Column.String() + " " + list[0].What.String())
	if n := len(list) - 1; n > 0 {
		text += ", +" + count(n)
	}
	return Warn, text
}

// shortFeatures is the features of a record in as few words as can be: the views' names are left out.
func shortFeatures(r *pipeline.Record) string {
	words := make([]string, len(r.Features))
	for i := range r.Features {
		f := &r.Features[i]
		name := f.Name.String()
		if _, short, ok := strings.Cut(name, ":"); ok {
			name = short
		}
		words[i] = name + " " + featureValue(f)
	}
	return strings.Join(words, ", ")
}

func featureValue(f *pipeline.FeatureUsed) string {
	if !f.Present() {
		return f.Status.String()
	}
	return f.Value.String()
}

// findRecord is what is known of one record at this moment: as it went through, and as it was looked at on demand.
// The latter says when that was, so that the newest one counts however far back the moment lies.
func (s *Scene) findRecord(key string) (then *pipeline.Record, look *pipeline.Inspection) {
	p := s.Snap.Pipeline
	for i := range p.Watched {
		for k := range p.Watched[i].Records {
			if r := &p.Watched[i].Records[k]; place(r.Partition, r.Offset) == key {
				then = r
			}
		}
	}
	looks := p.Inspected
	if s.Newest != nil && s.Newest.Pipeline != nil {
		looks = append(append([]pipeline.Inspection(nil), looks...), s.Newest.Pipeline.Inspected...)
	}
	for i := range looks {
		if x := &looks[i]; place(x.Partition, x.Offset) == key {
			look = x
		}
	}
	if then == nil && look != nil {
		then = look.Then
	}
	return then, look
}

// record is one event: its bytes and fields, what it was scored with, what became of it, and what would now.
func (s *Scene) record(page Page, key string, w int) Page {
	p := s.Snap.Pipeline
	page.Crumbs = append(page.Crumbs, "record "+key)
	page.Sections, page.Opens, page.Ask = nil, false, []string{"inspect", key}
	then, look := s.findRecord(key)
	var now *pipeline.Record
	if look != nil {
		now = look.Now
	}
	if letter, ok := s.letterFor(key, then); ok {
		page.Place = func(string) (Replayable, bool) { return letter, true }
	}
	f, more := s.columnsOf(w)
	f.add("record", Strong, p.Events.String()+" "+key)
	dead := s.deadOf(key)
	switch {
	case then != nil:
		s.fate(f, then)
	case dead != nil:
		f.add("became", Bad, s.Theme.Glyphs.Trouble+" a dead letter at "+dead.Stage+stageMeans[dead.Stage]+", "+s.ago(dead.At))
		f.add("reason", Bad, dead.Reason.String())
	case look != nil:
		f.add("became", Faint, "unknown: nobody was watching when it went through. What follows is as of now.")
	}
	if look != nil && !look.Error.IsEmpty() {
		f.add("look", Bad, look.Error.String())
	}
	shown := then
	if shown == nil {
		shown = now
	}
	if shown == nil {
		if look == nil {
			f.add("look", Faint, "reading it from the broker "+s.Theme.Glyphs.Ellipsis)
		}
		if dead != nil {
			f.gap()
			f.head("first bytes")
			f.text(Plain, dead.Sample.String())
		}
		page.Table.Text = s.join(f, more, w)
		return page
	}
	s.broken(f, shown.Broken, shown.JudgedBy, shown.Unjudged.String())
	s.times(f, shown)
	s.recordFeatures(f, then, now, look)
	s.recordFields(more, shown.Fields)
	s.bytes(more, shown.Key.String(), shown.Value.String(), shown.Size, shown.Headers)
	more.add("read it", Faint, "kcat -C -t "+p.Events.String()+" -p "+digits(int64(shown.Partition))+" -o "+digits(shown.Offset)+" -c 1")
	page.Table.Text = s.join(f, more, w)
	return page
}

// bytes is a record as it is in its topic: key, value and headers.
func (s *Scene) bytes(f *facts, key, value string, size int, headers []pipeline.LetterHeader) {
	f.gap()
	f.head("bytes, " + bytesText(float64(size)) + ", sensitive fields masked")
	if key != "" {
		f.add("key", Plain, key)
	}
	f.text(Plain, or(value, "no value"))
	s.headers(f, headers)
	f.gap()
}

// columnsOf are two texts side by side where there is room, else one below the other.
func (s *Scene) columnsOf(w int) (left, right *facts) {
	if w < 150 {
		return s.facts(w), s.facts(w)
	}
	half := (w - 4) / 2
	return s.facts(half), s.facts(w - 4 - half)
}

// join puts the texts of columnsOf together.
func (s *Scene) join(left, right *facts, w int) []string {
	if w < 150 {
		return append(left.rows, right.rows...)
	}
	if len(right.rows) > 0 && plainText(right.rows[0]) == "" {
		right.rows = right.rows[1:] // what set it apart from the text above
	}
	rows := make([]string, 0, max(len(left.rows), len(right.rows)))
	for i := range cap(rows) {
		a, b := s.NewLine(left.w).String(), s.NewLine(right.w).String()
		if i < len(left.rows) {
			a = left.rows[i]
		}
		if i < len(right.rows) {
			b = right.rows[i]
		}
		rows = append(rows, a+"    "+b)
	}
	return rows
}

// deadOf is the dead letter a record became, if it is among the newest of this moment.
func (s *Scene) deadOf(key string) *pipeline.DeadLetter {
	p := s.Snap.Pipeline
	for i := range p.Dead {
		if d := &p.Dead[i]; place(d.Partition, d.Offset) == key {
			return d
		}
	}
	if list := s.letterList(); list != nil {
		for i := range list.Letters {
			if d := &list.Letters[i].DeadLetter; place(d.Partition, d.Offset) == key && d.Topic == p.Events {
				return d
			}
		}
	}
	return nil
}

// letterFor is the dead letter that a record became, as it can be replayed.
func (s *Scene) letterFor(key string, then *pipeline.Record) (Replayable, bool) {
	at := ""
	if then != nil && then.Stage != "" && then.ToOffset >= 0 {
		at = place(then.ToPartition, then.ToOffset)
	}
	list := s.letterList()
	if list == nil {
		return Replayable{Place: at}, at != ""
	}
	for i := range list.Letters {
		l := &list.Letters[i]
		if l.ID.String() == at || at == "" && place(l.Partition, l.Offset) == key && l.Topic == s.Snap.Pipeline.Events {
			return Replayable{l.ID.String(), l.Again}, true
		}
	}
	return Replayable{Place: at}, at != ""
}

// fate is what became of a record.
func (s *Scene) fate(f *facts, r *pipeline.Record) {
	to := r.To.String()
	if r.ToOffset >= 0 {
		to += " " + place(r.ToPartition, r.ToOffset)
	}
	if r.Stage != "" {
		f.add("became", Bad, s.Theme.Glyphs.Trouble+" a dead letter at "+r.Stage+stageMeans[r.Stage])
		f.add("reason", Bad, r.Reason.String())
	} else {
		f.add("became", Strong, s.Theme.Glyphs.Recovered+" "+fixed(r.Prediction, 6)+" by "+r.Model.String())
	}
	f.add("written to", Plain, to)
	if !r.Entity.IsEmpty() {
		f.add("entity", Plain, r.Entity.String())
	}
}

// broken is which rules a record breaks by itself.
func (s *Scene) broken(f *facts, broken []pipeline.BrokenRule, by []safeText, unjudged string) {
	switch {
	case unjudged != "":
		f.add("contracts", Faint, "not judged: "+unjudged)
	case len(by) == 0:
		f.add("contracts", Faint, "no data product is fed by this topic")
	case len(broken) == 0:
		f.add("contracts", Good, s.Theme.Glyphs.Recovered+" on its own it breaks no rule of "+texts(by))
	}
	for i := range broken {
		b := &broken[i]
		style, sign := Bad, s.Theme.Glyphs.Trouble
		if b.Severity != "error" {
			style, sign = Warn, s.Theme.Glyphs.Watch
		}
		text := sign + " " + b.Product.String() + ": " + strings.TrimSpace(b.Column.String()+" "+b.What.String()) + ", against " + b.Rule.String()
		if !b.Tolerated.IsEmpty() {
			text += " (tolerated: " + b.Tolerated.String() + ")"
		}
		f.add(tell(i == 0, "breaks", ""), style, text)
	}
}

// times are the moments of a record's way, each with how long after the last.
func (s *Scene) times(f *facts, r *pipeline.Record) {
	var words []string
	var last time.Time
	for _, t := range []struct {
		name string
		at   time.Time
	}{{"event", r.EventAt}, {"written", r.WrittenAt}, {"taken", r.TakenAt}, {"acknowledged", r.AcknowledgedAt}} {
		if t.at.IsZero() || t.name == "taken" && r.To.IsEmpty() { // looked at, not consumed
			continue
		}
		text := t.name + " "
		if last.IsZero() {
			text += t.at.In(s.Zone).Format("15:04:05.000")
		} else {
			text += "+" + millis(max(float64(t.at.Sub(last))/float64(time.Millisecond), 0))
		}
		last = t.at
		words = append(words, text)
	}
	f.add("times", Plain, strings.Join(words, ", "))
}

// recordFeatures is what a record was scored with, beside what it would be scored with now.
func (s *Scene) recordFeatures(f *facts, then, now *pipeline.Record, look *pipeline.Inspection) {
	t, g := s.Theme, s.Theme.Glyphs
	f.gap()
	if then == nil {
		f.rows = append(f.rows, t.NewLine(f.w).Put(BadgeWarn, " NOW, NOT THEN ").Put(Faint, " read and scored for you at "+s.clock(look.At)+"; nothing was sent").String())
	} else {
		head := "features used"
		if len(then.Features) > 0 {
			switch x := &then.Features[0]; {
			case x.Cached:
				head += ", from the cache, " + span(x.Age) + " old"
			default:
				head += ", fetched from the store"
			}
		}
		f.head(head)
	}
	rows := then
	if then == nil || len(then.Features) == 0 {
		rows = now
	}
	if rows == nil || len(rows.Features) == 0 {
		f.text(Faint, "None: it never reached the feature store.")
	} else {
		s.featureTable(f, then, now, rows)
	}
	if now == nil {
		return
	}
	text := fixed(now.Prediction, 6) + " by " + now.Model.String()
	style := Plain
	if now.Stage != "" {
		text, style = g.Trouble+" a dead letter at "+now.Stage+": "+now.Reason.String(), Bad
	} else if then != nil && then.Stage == "" {
		switch d := now.Prediction - then.Prediction; {
		case d == 0 && now.Model == then.Model:
			text += ", as then"
		case d == 0:
			text += ", the same as then"
		default:
			text, style = text+", then "+fixed(then.Prediction, 6)+" by "+then.Model.String(), Warn
		}
	} else if then != nil || rows == now {
		style = Good
	}
	f.add("scored now", style, text)
	if then != nil {
		f.add("", Faint, "at "+s.clock(look.At)+", for you to see; nothing was sent or counted")
	}
}

func (s *Scene) featureTable(f *facts, then, now, rows *pipeline.Record) {
	name := min(max(f.w/3, 24), 44)
	value := min((f.w-name-2)/2, 30)
	head := s.NewLine(f.w).Field(Faint, "FEATURE", name, false).Space(1)
	if then != nil {
		head.Field(Faint, "THEN", value, false).Space(1)
	}
	if now != nil {
		head.Field(Faint, "NOW", value, false)
	}
	f.rows = append(f.rows, head.String())
	for i := range rows.Features {
		l := s.NewLine(f.w).Field(Plain, s.Theme.clipMiddle(rows.Features[i].Name.String(), name), name, false).Space(1)
		was := ""
		if then != nil {
			if i < len(then.Features) {
				was = s.featureCell(l, &then.Features[i], value, "")
			} else {
				l.Field(Faint, s.Theme.Glyphs.Dash, value, false)
			}
			l.Space(1)
		}
		if now != nil && i < len(now.Features) {
			s.featureCell(l, &now.Features[i], value, was)
		}
		f.rows = append(f.rows, l.String())
	}
}

// featureCell writes a value, conspicuous where it is missing or not what it was.
func (s *Scene) featureCell(l *Line, x *pipeline.FeatureUsed, width int, was string) string {
	text, style := featureValue(x), Strong
	if !x.Present() {
		style = Bad
		if !x.Substitute.IsEmpty() {
			text, style = text+", given "+x.Substitute.String(), Warn
		}
	} else if was != "" && was != text {
		style = Warn
	}
	l.Field(style, text, width, false)
	return text
}

func (s *Scene) recordFields(f *facts, fields []pipeline.Field) {
	f.gap()
	f.head("fields")
	if len(fields) == 0 {
		f.text(Faint, "None could be read: the bytes are not a JSON object.")
		return
	}
	name := 14
	for i := range fields {
		name = min(max(name, cells(s.Theme.fold(fields[i].Name.String()))+1), min(f.w/3, 30))
	}
	for i := range fields {
		x := &fields[i]
		style := Plain
		if x.Masked || x.Value.String() == "null" {
			style = Warn
		}
		note := ""
		if x.Masked {
			note = "  masked: its contract or its name marks it as sensitive"
		}
		l := s.NewLine(f.w).Field(Faint, s.Theme.clipMiddle(x.Name.String(), name-1), name, false)
		f.rows = append(f.rows, l.Put(style, x.Value.String()).Put(Faint, note).String())
	}
}

func (s *Scene) headers(f *facts, list []pipeline.LetterHeader) {
	if len(list) == 0 {
		return
	}
	f.gap()
	f.head("headers")
	for i := range list {
		l := s.NewLine(f.w).Field(Faint, s.Theme.clipMiddle(list[i].Key.String(), 19), 20, false)
		f.rows = append(f.rows, l.Put(Plain, list[i].Value.String()).String())
	}
}
