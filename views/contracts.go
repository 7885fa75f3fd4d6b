package views

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"weir/backend/mesh"
	"weir/backend/safetext"
)

var productRank = map[mesh.State]int{mesh.Broken: 0, mesh.Bad: 1, mesh.Waiting: 2, mesh.NoData: 3, mesh.Holds: 4}

func (s *Scene) productState(state mesh.State) (Style, string) {
	g := s.Theme.Glyphs
	switch state {
	case mesh.Holds:
		return Good, g.Recovered
	case mesh.Broken, mesh.Bad:
		return Bad, g.Trouble
	case mesh.Waiting:
		return Warn, g.Watch
	}
	return Faint, g.Unknown
}

func productName(p *mesh.Product) string { return p.Domain.String() + "/" + p.Name.String() }

// contracts is the fourth pane: every data product and whether it keeps its word.
func (s *Scene) contracts(path []Level, w, h int, zoomed bool) Page {
	m := s.Snap.Mesh
	if m == nil {
		return Page{Empty: "No data products are configured. Add a mesh section to weir.yaml and register products in its folder."}
	}
	page := Page{Title: s.contractsTitle(m), Opens: true, Opened: "product"}
	if len(path) > 1 {
		return s.product(page, path, w)
	}
	rows := make([]*mesh.Product, len(m.Products))
	for i := range m.Products {
		rows[i] = &m.Products[i]
	}
	slices.SortStableFunc(rows, func(a, b *mesh.Product) int {
		return cmp.Or(cmp.Compare(productRank[a.State], productRank[b.State]))
	})
	short, name, finding := w < 48, 20, 26
	if short { // the domain is one key away
		name, finding = 13, 20
	}
	columns := []Column{
		{Width: 1, Cell: func(i int) (Style, string) {
			if p := rows[i]; p.State == mesh.Holds && p.Unjudged > 0 {
				return Warn, s.Theme.Glyphs.Watch
			}
			return s.productState(rows[i].State)
		}},
		{Title: "PRODUCT", Width: name, Grow: 1, Most: 40, Name: true, Cell: func(i int) (Style, string) {
			if short {
				return Plain, rows[i].Name.String()
			}
			return Plain, productName(rows[i])
		}},
		{Title: "STATE", Width: 8, Rank: 2, Cell: func(i int) (Style, string) {
			style, _ := s.productState(rows[i].State)
			return style, string(rows[i].State)
		}, Less: func(a, b int) bool { return productRank[rows[a].State] < productRank[rows[b].State] }},
		{Title: "ROWS", Width: 9, Right: true, Rank: 3, Cell: func(i int) (Style, string) { return Plain, count(rows[i].Rows) },
			Less: func(a, b int) bool { return rows[a].Rows > rows[b].Rows }},
		{Title: "VERSION", Width: 7, Rank: 5, Cell: func(i int) (Style, string) { return Faint, rows[i].Version.String() }},
		{Title: "FEED", Width: 14, Grow: 1, Most: 24, Rank: 4, Cell: func(i int) (Style, string) { return Faint, or(rows[i].Feed.String(), "–") }},
		{Title: "SINCE", Width: 5, Right: true, Rank: 6, Cell: func(i int) (Style, string) {
			if rows[i].Since.IsZero() {
				return Faint, "–"
			}
			return Faint, brief(s.Snap.At.Sub(rows[i].Since))
		}, Less: func(a, b int) bool { return rows[a].Since.After(rows[b].Since) }},
		{Title: "FINDING", Width: finding, Grow: 4, Cell: func(i int) (Style, string) { return s.finding(rows[i], m) }},
	}
	page.Table = Table{Rows: len(rows), Columns: columns, Key: func(i int) string { return productName(rows[i]) }, NoHeader: !zoomed && h < 7}
	page.Empty = "No data product is registered in " + or(m.Registry.String(), "the registry") + ". Run weir products register to add one."
	if !m.Error.IsEmpty() {
		page.Empty = "Nothing can be judged: " + m.Error.String()
		if len(rows) > 0 {
			page.Foot = []string{s.NewLine(w).Put(Bad, s.Theme.Glyphs.Trouble+" ").Put(Plain, m.Error.String()).String()}
		}
	}
	return page
}

func (s *Scene) contractsTitle(m *mesh.Snapshot) []Seg {
	by := map[mesh.State]int{}
	for i := range m.Products {
		by[m.Products[i].State]++
	}
	var segs []Seg
	for _, state := range []mesh.State{mesh.Broken, mesh.Bad, mesh.Waiting, mesh.NoData, mesh.Holds} {
		if n := by[state]; n > 0 {
			style, _ := s.productState(state)
			word := string(state)
			switch {
			case state == mesh.Holds && n > 1:
				word = "hold"
			}
			segs = append(segs, Seg{style, count(n) + " " + word})
		}
	}
	return segs
}

// finding says in a few words what is to know about a product.
func (s *Scene) finding(p *mesh.Product, m *mesh.Snapshot) (Style, string) {
	switch p.State {
	case mesh.Broken:
		if len(p.Issues) > 0 {
			text := p.Issues[0].Message.String()
			if n := len(p.Issues) - 1; n > 0 {
				text += ", +" + count(n)
			}
			return Bad, text
		}
	case mesh.NoData:
		if p.WindowRows > 0 {
			return Faint, "no data yet"
		}
		return Faint, "no data in " + strings.TrimPrefix(window(m, p), "the last ")
	case mesh.Waiting, mesh.Bad:
		return Warn, or(p.Error.String(), string(p.State))
	case mesh.Holds:
		if p.Unjudged > 0 { // enter leads to the findings, which say why
			return Warn, "holds but for " + plural(p.Unjudged, "check", "checks") + " that cannot be judged"
		}
		return Faint, "holds, " + count(p.Rows) + " rows"
	}
	return Faint, string(p.State)
}

// product is what enter opens: issues, columns and the rest; one issue; one sample.
func (s *Scene) product(page Page, path []Level, w int) Page {
	m := s.Snap.Mesh
	key := path[1].Key
	page.Opens, page.Crumbs = false, []string{key}
	var p *mesh.Product
	for i := range m.Products {
		if productName(&m.Products[i]) == key {
			p = &m.Products[i]
		}
	}
	if p == nil {
		page.Missing, page.Empty = true, "The product "+key+" was not registered at this moment."
		return page
	}
	if len(path) > 2 {
		return s.issue(page, p, path, w)
	}
	page.Sections = []string{"Issues", "Columns", "Lineage", "About"}
	f := s.facts(w)
	style, sign := s.productState(p.State)
	f.add("state", style, sign+" "+string(p.State)+" since "+s.ago(p.Since))
	f.add("window", Plain, count(p.Rows)+" rows in "+window(m, p)+", "+count(p.Undecodable)+" undecodable, judged "+s.ago(p.JudgedAt))
	if p.Behind > 0 {
		f.add("behind", Warn, plural(int(p.Behind), "record is", "records are")+" not judged yet: the pipeline that supplies them is behind")
	}
	f.add("compliance", Plain, "schema "+holds(p.Schema)+", quality "+holds(p.Quality))
	if !p.Error.IsEmpty() {
		f.add("error", Bad, p.Error.String())
	}
	f.gap()
	page.Head = f.rows
	switch path[1].Section {
	case 0:
		page.Table = s.issues(p)
		page.Opens, page.Opened = true, "issue"
		page.Empty = "No issue: every rule holds over " + count(p.Rows) + " rows."
		if p.State != mesh.Holds && len(p.Issues) == 0 {
			page.Empty = "No rule was judged: the product's state is " + string(p.State) + "."
		}
	case 1:
		page.Table = s.columns(p)
		page.Empty = "No column was seen in this window."
	case 2:
		page.Table.Text = s.lineage(p, w)
	default:
		page.Table.Text = s.about(p, w)
	}
	return page
}

func holds(b bool) string {
	if b {
		return "holds"
	}
	return "broken"
}

func issueKey(x *mesh.Issue) string { return x.Rule + " " + x.Column.String() }

func (s *Scene) issueSeverity(x *mesh.Issue) (Style, string) {
	switch x.Severity {
	case "warning":
		return Warn, s.Theme.Glyphs.Watch
	case "info":
		return Faint, s.Theme.Glyphs.Info
	}
	return Bad, s.Theme.Glyphs.Trouble
}

func (s *Scene) issues(p *mesh.Product) Table {
	rows := p.Issues
	return Table{
		Rows: len(rows),
		Key:  func(i int) string { return issueKey(&rows[i]) },
		Columns: []Column{
			{Width: 1, Cell: func(i int) (Style, string) { return s.issueSeverity(&rows[i]) }},
			{Title: "RULE", Width: 20, Cell: func(i int) (Style, string) { return Plain, rows[i].Rule }},
			{Title: "COLUMN", Width: 12, Grow: 1, Most: 24, Name: true, Cell: func(i int) (Style, string) { return Strong, or(rows[i].Column.String(), "–") }},
			{Title: "OBSERVED", Width: 10, Grow: 1, Most: 20, Cell: func(i int) (Style, string) { return Bad, or(rows[i].Observed.String(), "–") }},
			{Title: "EXPECTED", Width: 10, Grow: 1, Most: 20, Rank: 1, Cell: func(i int) (Style, string) { return Plain, or(rows[i].Expected.String(), "–") }},
			{Title: "FAILED", Width: 8, Right: true, Rank: 2, Cell: func(i int) (Style, string) { return Plain, count(rows[i].Failed) },
				Less: func(a, b int) bool { return rows[a].Failed > rows[b].Failed }},
			{Title: "OF", Width: 8, Right: true, Rank: 3, Cell: func(i int) (Style, string) { return Faint, count(rows[i].Of) }},
			{Title: "SINCE", Width: 8, Rank: 4, Cell: func(i int) (Style, string) { return Faint, s.clock(rows[i].FirstAt) }},
			{Title: "SEVERITY", Width: 8, Rank: 6, Cell: func(i int) (Style, string) { return Faint, or(rows[i].Severity, "error") }},
			{Title: "MESSAGE", Width: 20, Grow: 4, Rank: 5, Cell: func(i int) (Style, string) { return Plain, rows[i].Message.String() }},
		},
	}
}

func (s *Scene) columns(p *mesh.Product) Table {
	rows := p.Columns
	share := func(i int) float64 {
		if rows[i].Rows == 0 {
			return 0
		}
		return float64(rows[i].Nulls) / float64(rows[i].Rows)
	}
	return Table{
		Rows: len(rows),
		Key:  func(i int) string { return rows[i].Name.String() },
		Columns: []Column{
			{Title: "COLUMN", Width: 14, Grow: 1, Most: 32, Name: true, Cell: func(i int) (Style, string) { return Plain, rows[i].Name.String() }},
			{Title: "REQUIRED", Width: 8, Cell: func(i int) (Style, string) { return Faint, tell(rows[i].Required, "required", "–") }},
			{Title: "MASKED", Width: 6, Cell: func(i int) (Style, string) { return Faint, tell(rows[i].Masked, "masked", "–") }},
			{Title: "ROWS", Width: 9, Right: true, Cell: func(i int) (Style, string) { return Plain, count(rows[i].Rows) }},
			{Title: "NULLS", Width: 9, Right: true, Cell: func(i int) (Style, string) { return Plain, count(rows[i].Nulls) },
				Less: func(a, b int) bool { return rows[a].Nulls > rows[b].Nulls }},
			{Title: "NULL SHARE", Width: 10, Right: true, Cell: func(i int) (Style, string) { return Strong, percent(share(i)) },
				Less: func(a, b int) bool { return share(a) > share(b) }},
			{Width: 10, Grow: 2, Most: 60, Rank: 1, Cell: func(i int) (Style, string) { return Chart, s.Theme.barText(share(i), 40) }},
		},
	}
}

func tell(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func (s *Scene) about(p *mesh.Product, w int) []string {
	f := s.facts(w)
	f.add("description", Plain, p.Description.String())
	f.add("owners", Plain, texts(p.Owners))
	f.add("consumers", Plain, texts(p.Consumers))
	f.add("version", Plain, p.Version.String())
	f.add("refresh", Plain, p.Refresh.String())
	f.add("format", Plain, p.Format)
	f.add("file", Plain, p.Path.String())
	f.add("judged on", Plain, or(p.Feed.String(), "nothing: it has no feed"))
	s.findings(f, p)
	return f.rows
}

func texts(list []safetext.Text) string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.String()
	}
	return strings.Join(out, ", ")
}

func issueOf(p *mesh.Product, key string) *mesh.Issue {
	for i := range p.Issues {
		if issueKey(&p.Issues[i]) == key {
			return &p.Issues[i]
		}
	}
	return nil
}

func sampleOf(p *mesh.Product, key, where string) (*mesh.Issue, *mesh.Sample) {
	if x := issueOf(p, key); x != nil {
		for i := range x.Samples {
			if m := &x.Samples[i]; place(m.Partition, m.Offset) == where {
				return x, m
			}
		}
	}
	return nil, nil
}

// sampled looks for a sample row in the snapshot, then in those before it: the newest rows that break a rule take the
// place of the older ones within a second, and whoever reads one wants to read on.
func (s *Scene) sampled(p *mesh.Product, key, where string) (*mesh.Issue, *mesh.Sample, time.Time) {
	if x, m := sampleOf(p, key, where); m != nil {
		return x, m, s.Snap.At
	}
	for i := len(s.Past) - 1; i >= 0; i-- {
		if s.Past[i].Mesh == nil {
			continue
		}
		for j := range s.Past[i].Mesh.Products {
			q := &s.Past[i].Mesh.Products[j]
			if q.Domain != p.Domain || q.Name != p.Name {
				continue
			}
			if x, m := sampleOf(q, key, where); m != nil {
				return x, m, s.Past[i].At
			}
		}
	}
	return nil, nil, time.Time{}
}

// sample is one row that breaks a rule, in full.
func (s *Scene) sample(page Page, p *mesh.Product, key, where string, w int) Page {
	page.Crumbs = append(page.Crumbs, where)
	partition, _, _ := strings.Cut(where, "/")
	if x := s.Snap.Pipeline; x != nil && p.Feed == x.Events && partition != where {
		page.Opens, page.Opened = true, "what became of it"
		page.Goto = &Goto{Pane: Throughput, Path: []Level{{Key: partition}, {Key: where}}}
	}
	x, m, at := s.sampled(p, key, where)
	if m == nil {
		page.Missing, page.Empty = true, "The record "+where+" is not among the samples of the last minutes."
		if page.Goto != nil {
			page.Empty += " Enter reads it from the broker."
		}
		return page
	}
	f := s.facts(w)
	f.add("record", Strong, p.Feed.String()+" "+where)
	f.add("at", Plain, s.ago(m.At))
	f.add("breaks", Bad, x.Message.String())
	if at.Before(s.Snap.At) {
		f.add("as of", Faint, s.clock(at)+": newer rows have replaced it among the samples, or the rule holds again")
	}
	if m.Partition >= 0 {
		f.add("read it", Faint, "kcat -C -t "+p.Feed.String()+" -p "+digits(int64(m.Partition))+" -o "+digits(m.Offset)+" -c 1")
	}
	f.gap()
	whole := m.Record
	if whole.IsEmpty() { // of a recording from before records were kept
		whole = m.Value
	} else if !strings.HasPrefix(m.Value.String(), "{") { // it is no record; of an object that fails only the mask is shown
		f.head("the value that fails")
		f.text(Bad, m.Value.String())
		f.gap()
	}
	f.head("the record, sensitive columns masked")
	f.text(Plain, whole.String())
	page.Table.Text = f.rows
	return page
}

// issue is one broken rule with its samples.
func (s *Scene) issue(page Page, p *mesh.Product, path []Level, w int) Page {
	key := path[2].Key
	page.Crumbs = append(page.Crumbs, key)
	if len(path) > 3 {
		return s.sample(page, p, key, path[3].Key, w)
	}
	x := issueOf(p, key)
	if x == nil {
		page.Missing, page.Empty = true, "This rule holds at this moment: "+key+"."
		return page
	}
	f := s.facts(w)
	f.add("message", Bad, x.Message.String())
	f.add("rule", Plain, x.Rule+" on column "+or(x.Column.String(), "–"))
	f.add("expected", Plain, x.Expected.String())
	f.add("observed", Strong, x.Observed.String())
	f.add("failed", Plain, count(x.Failed)+" of "+count(x.Of)+" rows")
	f.add("first seen", Plain, s.ago(x.FirstAt))
	f.add("last seen", Plain, s.ago(x.LastAt))
	f.add("counts as", Plain, tell(x.Schema, "schema_compliance", "quality_compliance"))
	f.add("who to tell", Plain, "owners "+or(texts(p.Owners), "–")+"; consumers "+or(texts(p.Consumers), "–"))
	f.gap()
	page.Head = f.rows
	rows := x.Samples
	page.Table = Table{
		Rows: len(rows),
		Key:  func(i int) string { return place(rows[i].Partition, rows[i].Offset) },
		Columns: []Column{
			{Title: "WHERE", Width: 14, Cell: func(i int) (Style, string) { return Plain, place(rows[i].Partition, rows[i].Offset) }},
			{Title: "TIME", Width: 8, Cell: func(i int) (Style, string) { return Faint, s.clock(rows[i].At) },
				Less: func(a, b int) bool { return rows[a].At.After(rows[b].At) }},
			{Title: "ROW", Width: 20, Grow: 1, Cell: func(i int) (Style, string) { return Plain, rows[i].Value.String() }},
		},
	}
	page.Opens, page.Opened = true, "record"
	page.Empty = "This rule keeps no sample rows."
	return page
}

// window is which records a product is judged on: those of so long, or so many of the newest.
func window(m *mesh.Snapshot, p *mesh.Product) string {
	switch {
	case p.WindowRows > 0:
		return "the newest " + count(p.WindowRows)
	case p.Window > 0:
		return "the last " + brief(p.Window)
	default:
		return "the last " + brief(m.Window)
	}
}
