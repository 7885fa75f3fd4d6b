package views

import (
	"sort"
	"strings"
	"time"

	"weir/backend/timeline"
)

// Scene is what a frame is drawn from: one position on the timeline, and how to show it. It holds nothing that moves.
type Scene struct {
	// Now is the console's clock when the frame was asked for.
	Now time.Time
	// Snap is the snapshot under the cursor, nil before the first. Past ends with it, oldest first, and reaches back
	// as far as charts want.
	Snap *timeline.Snapshot
	Past []*timeline.Snapshot
	// Newest is the newest snapshot there is, for what was asked of the engines on demand; it says of when it is.
	Newest *timeline.Snapshot
	// Before is the last snapshot before the event that is open, nil when none is.
	Before *timeline.Snapshot
	Live   bool
	// Recording tells that there is no present: the newest snapshot is the end of a recording, and Now its time.
	Recording bool
	Held      time.Duration // how far Snap lies behind the newest snapshot
	// Span is how much of the past charts show.
	Span time.Duration
	Zone *time.Location
	// EventTime shows the newest event's own time as the clock.
	EventTime bool
	Theme     *Theme
}

// Level is one step of a pane's drill-down, and what its reader did there. The zero Level is a list as it begins: its
// cursor on whatever row comes first.
type Level struct {
	// Key is what was opened to come here: the key of a row one level up.
	Key     string
	Section int    // which of the page's sections is shown
	Cursor  string // the key of the row the cursor follows; empty: the first row, whichever it is
	Index   int    // where that row stood when last drawn: the place to stay at when it goes away
	Offset  int    // the first row shown
	Filter  string
	Sort    int // 1 + the column sorted by; 0 is the page's own order
	Reverse bool
	By      string          // the label that a map groups by; empty: the page's choice
	Marks   map[string]bool // the keys of the rows marked; nil when none is
}

// Replayable is a dead letter that can be sent through the pipeline again.
type Replayable struct {
	Place string // in its own topic, as the command replay takes it
	Again bool   // it was replayed before, and will not be again
}

// Goto is another page that enter leads to.
type Goto struct {
	Pane Pane
	Path []Level // below the pane's own list
	Root Level   // the pane's own list, for its section
}

// Page is what one level of one pane shows.
type Page struct {
	Title    []Seg    // beside the pane's name, the most important first
	Crumbs   []string // the names of the levels opened on the way here
	Sections []string // the page's parts, one shown at a time; none when there is only one
	Head     []string // rows above the list, which do not scroll
	Foot     []string // rows below it
	Table    Table
	Empty    string     // what to say instead of an empty list
	Opens    bool       // enter opens the row under the cursor
	Opened   string     // with Opens: what enter shows, for the hint
	Moment   *time.Time // with Opens: enter goes to this moment instead
	// Area is content that is no list, in place of Table.
	Area Area
	// Groupings are the labels the page can group by, Grouping the one it does.
	Groupings []string
	Grouping  string
	// Node is the URL of the node the page is about; NodeRows tells that rows have nodes' URLs for keys.
	Node     string
	NodeRows bool
	Goto     *Goto // with Opens: enter leads to this page instead
	// Ask is a command, with its arguments, that the console gives again and again while the page is open: the
	// snapshots to come then carry what the page shows.
	Ask []string
	// Place tells which dead letter a row is, by its key, or the page itself by any; nil where there are none.
	Place func(key string) (Replayable, bool)
	// Missing says that what was opened is not in this snapshot.
	Missing bool
}

// Seg is a piece of styled text.
type Seg struct {
	Style Style
	Text  string
}

// Area is content that is no list: places on the screen, one of them under the cursor.
type Area interface {
	// draw puts the area into w by h cells of d, and its places too.
	draw(t *Theme, d *Drawn, w, h int, focused bool)
}

// Places are where a cursor can be on an area. They are numbered from 0; Level.Index is the number of the cursor's.
type Places struct {
	Count  int
	Rows   int    // of the area, of which Drawn.Shown are on the screen
	Passed int    // what passes the filter, of Drawn.Total
	Text   string // what is under the cursor, to copy
	Key    func(i int) string
	Target func(i int) Level       // what enter opens there
	Step   func(i, dx, dy int) int // the place so many steps away
	At     func(x, y int) int      // the place at a cell, counted from Drawn.Row; -1: none
}

// Table is a list of rows. Only the rows on the screen are asked for their text.
type Table struct {
	Columns  []Column
	Rows     int
	Key      func(i int) string
	NoHeader bool
	Text     []string // a text instead of rows: finished lines, without a cursor; it scrolls
}

// Column is one column of a table.
type Column struct {
	Title string // in capitals; its lower-case form names the field in filters
	Width int    // cells; with Grow the least
	Grow  int    // share of the cells left over
	Most  int    // the width beyond which a growing column does not grow; 0: none
	Rank  int    // columns with higher ranks are dropped first when there is no room; 0 is never dropped
	Right bool
	Name  bool // an identifier: cut in its middle
	Tail  bool // a course over time: cut at its beginning, for the newest is what counts
	Cell  func(i int) (Style, string)
	// Less orders two rows for sorting; nil sorts by text.
	Less func(a, b int) bool
}

// Drawn is a page on the screen.
type Drawn struct {
	Lines []string
	Level Level    // as it was drawn: offset and index made to fit
	Keys  []string // of all rows that pass the filter, in order
	Row   int      // of Lines, where the first row of the list stands
	Shown int      // rows of the list on the screen
	Total int      // rows before the filter
	// Places are there in place of Keys where the page is an area.
	Places *Places
}

// order is the rows that pass the filter, in the order to show them.
func (t *Table) order(level Level) []int {
	order := make([]int, 0, t.Rows)
	filter := ParseFilter(level.Filter).on(t)
	for i := range t.Rows {
		if filter.empty() || filter.match(t, i) {
			order = append(order, i)
		}
	}
	if c := level.Sort - 1; c >= 0 && c < len(t.Columns) {
		less := t.Columns[c].Less
		if less == nil {
			cell := t.Columns[c].Cell
			text := make([]string, t.Rows)
			for _, i := range order {
				_, text[i] = cell(i)
			}
			less = func(a, b int) bool { return text[a] < text[b] }
		}
		sort.SliceStable(order, func(i, j int) bool {
			if level.Reverse {
				return less(order[j], order[i])
			}
			return less(order[i], order[j])
		})
	} else if level.Reverse {
		for i, j := 0, len(order)-1; i < j; i, j = i+1, j-1 {
			order[i], order[j] = order[j], order[i]
		}
	}
	return order
}

// Draw puts a page into w by h cells. It is pure: the level comes back as it was drawn.
func (p *Page) Draw(t *Theme, level Level, w, h int, focused bool) Drawn {
	d := Drawn{Level: level, Total: p.Table.Rows}
	head := p.Head
	foot := p.Foot
	if len(foot) > 0 && len(head)+len(foot) >= h {
		foot = nil
	}
	d.Lines = append(d.Lines, head[:min(len(head), h)]...)
	room := h - len(d.Lines) - len(foot)
	if p.Area != nil {
		if room > 0 {
			p.Area.draw(t, &d, w, room, focused)
		}
	} else if p.Table.Text != nil {
		d.Row, d.Total = len(d.Lines), len(p.Table.Text)
		d.Level.Offset = min(max(d.Level.Offset, 0), max(d.Total-room, 0))
		d.Shown = min(room, d.Total)
		d.Lines = append(d.Lines, p.Table.Text[d.Level.Offset:d.Level.Offset+d.Shown]...)
	} else if p.Table.Columns != nil && room > 0 {
		p.drawTable(t, &d, w, room, focused)
	} else if p.Empty != "" && room > 0 {
		p.say(t, &d, p.Empty, w, room)
	}
	blank := strings.Repeat(" ", w)
	for len(d.Lines) < h-len(foot) {
		d.Lines = append(d.Lines, blank)
	}
	d.Lines = append(d.Lines, foot...)
	return d
}

func (p *Page) drawTable(t *Theme, d *Drawn, w, room int, focused bool) {
	table := &p.Table
	order := table.order(d.Level)
	d.Keys = make([]string, len(order))
	for i, row := range order {
		d.Keys[i] = table.Key(row)
	}
	if len(order) == 0 {
		text := p.Empty
		if table.Rows > 0 {
			text = "Nothing matches " + d.Level.Filter + ": " + count(table.Rows) + " hidden."
		}
		p.say(t, d, text, w, room)
		return
	}
	columns, widths := table.fit(w)
	if !table.NoHeader && room > 2 {
		d.Lines = append(d.Lines, table.header(t, columns, widths, w, d.Level))
		room--
	}
	d.Row = len(d.Lines)
	d.Shown = min(room, len(order))
	d.Level.place(d.Keys, room)
	for i := d.Level.Offset; i < len(order) && i < d.Level.Offset+room; i++ {
		l := t.NewLine(w)
		if focused && i == d.Level.Index {
			l.selected = 1
		}
		for c, column := range columns {
			if c > 0 {
				l.Space(1)
			}
			style, text := column.Cell(order[i])
			if column.Name {
				text = t.clipMiddle(text, widths[c])
			}
			if column.Tail {
				text = suffix(t.fold(text), widths[c])
			}
			l.Field(style, text, widths[c], column.Right)
		}
		d.Lines = append(d.Lines, l.String())
	}
}

func (p *Page) say(t *Theme, d *Drawn, text string, w, room int) {
	for _, line := range t.wrap(text, w) {
		if room--; room < 0 {
			return
		}
		d.Lines = append(d.Lines, t.NewLine(w).Put(Faint, line).String())
	}
}

// place finds the cursor's row again and scrolls so that it is seen, at the screen line it was before where that can
// be: the list never moves under the cursor.
func (l *Level) place(keys []string, room int) {
	last := max(len(keys)-room, 0)
	line := l.Index - l.Offset
	switch l.Cursor {
	case "":
		l.Index, l.Offset, line = 0, 0, 0
	default:
		l.Index = min(max(l.Index, 0), len(keys)-1)
		if keys[l.Index] != l.Cursor {
			for i, k := range keys {
				if k == l.Cursor {
					l.Index = i
					break
				}
			}
		}
	}
	line = min(max(line, 0), room-1)
	if l.Index < l.Offset || l.Index >= l.Offset+room || l.Index-l.Offset != line {
		l.Offset = l.Index - line
	}
	l.Offset = min(max(l.Offset, 0), last)
}

// fit chooses the columns that have room in w cells, and their widths.
func (t *Table) fit(w int) ([]Column, []int) {
	columns := append([]Column(nil), t.Columns...)
	for {
		need, drop := len(columns)-1, -1
		for i, c := range columns {
			need += c.Width
			if c.Rank > 0 && (drop < 0 || c.Rank >= columns[drop].Rank) {
				drop = i
			}
		}
		if need <= w || drop < 0 {
			widths := make([]int, len(columns))
			for i, c := range columns {
				widths[i] = c.Width
			}
			spread(columns, widths, w-need)
			return columns, widths
		}
		columns = append(columns[:drop], columns[drop+1:]...)
	}
}

// spread gives the cells left over to the columns that grow.
func spread(columns []Column, widths []int, left int) {
	for left > 0 {
		shares := 0
		for i, c := range columns {
			if c.Grow > 0 && (c.Most == 0 || widths[i] < c.Most) {
				shares += c.Grow
			}
		}
		if shares == 0 {
			return
		}
		given := 0
		for i, c := range columns {
			if c.Grow == 0 || c.Most > 0 && widths[i] >= c.Most {
				continue
			}
			n := max(left*c.Grow/shares, 1)
			if c.Most > 0 {
				n = min(n, c.Most-widths[i])
			}
			n = min(n, left-given)
			widths[i] += n
			given += n
		}
		if given == 0 {
			return
		}
		left -= given
	}
}

func (t *Table) header(theme *Theme, columns []Column, widths []int, w int, level Level) string {
	l := theme.NewLine(w)
	for i, c := range columns {
		if i > 0 {
			l.Space(1)
		}
		title := c.Title
		if s := level.Sort - 1; s >= 0 && s < len(t.Columns) && t.Columns[s].Title == c.Title && title != "" {
			sign := theme.Glyphs.Down
			if level.Reverse {
				sign = theme.Glyphs.Up
			}
			title = theme.clip(title, widths[i]-1) + sign
		}
		l.Field(Faint, title, widths[i], c.Right)
	}
	return l.String()
}
