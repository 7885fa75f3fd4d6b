package mesh

import (
	"bytes"
	"context"
	"math"
	"time"
	"unicode/utf8"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/judge"
	"weir/backend/mesh/scan"
)

// Profile is what was seen of the columns of a data set.
type Profile struct {
	Source string // the file, files or topic
	Topic  string // with a broker of its cluster; empty of files
	Broker string
	Rows   int64
	// Undecodable counts records that were no rows; Garbage says why one of them was none.
	Undecodable int64
	Garbage     string
	Columns     []*ColumnProfile
}

// maxEnum bounds the values kept of a column that may be an enumeration, maxUnique those by which a column is known to
// repeat none.
const (
	maxEnum   = 32
	maxUnique = 1 << 20
)

// ColumnProfile is what was seen of one column.
type ColumnProfile struct {
	Name  string
	Nulls int64
	Seen  int64 // values that are not null

	Min, Max           float64 // of numbers
	Shortest, Longest  int     // characters of texts
	Earliest, Latest   time.Time
	Values             map[string]int64 // nil once there are more than maxEnum
	Repeats            bool             // a value was seen twice
	ints, numbers      int64
	bools, times, days int64
	texts, quoted      int64
	objects, arrays    int64
	padded             int64 // numbers with leading zeros, which are names
	uuids, emails, ips int64
	sketch             sketch
	unique             map[uint64]struct{}
}

// Distinct estimates how many values the column has, within some 2 %; exact below two thousand.
func (c *ColumnProfile) Distinct() float64 { return c.sketch.distinct() }

// Unique tells whether every value was seen once, which is known of up to a million values only.
func (c *ColumnProfile) Unique() bool { return c.Seen > 0 && !c.Repeats && c.unique != nil }

// profiler collects a profile.
type profiler struct {
	columns map[string]*ColumnProfile
	order   []*ColumnProfile
	scratch []byte
}

func (p *profiler) observe(name string, cell judge.Cell) {
	c := p.columns[name]
	if c == nil {
		c = &ColumnProfile{Name: name, Min: math.Inf(1), Max: math.Inf(-1), Shortest: math.MaxInt, Values: map[string]int64{}, unique: map[uint64]struct{}{}}
		p.columns[name] = c
		p.order = append(p.order, c)
	}
	if cell.IsNull() {
		c.Nulls++
		return
	}
	c.Seen++
	p.value(c, cell)
}

func (p *profiler) value(c *ColumnProfile, cell judge.Cell) {
	text := cell.Text(&p.scratch)
	switch cell.Kind {
	case scan.Object:
		c.objects++
	case scan.Array:
		c.arrays++
	case scan.True, scan.False:
		c.bools++
	case scan.Number:
		c.number(cell)
	case scan.String:
		c.quoted++
		c.text(cell, text)
	case scan.Text:
		switch {
		case bytes.EqualFold(text, []byte("true")) || bytes.EqualFold(text, []byte("false")):
			c.bools++
		default:
			if _, ok := cell.Number(); ok {
				if len(text) > 1 && text[0] == '0' && text[1] != '.' {
					c.padded++
				}
				c.number(cell)
			}
		}
		c.text(cell, text)
	}
	if c.Values != nil {
		if len(text) > 100 {
			c.Values = nil
		} else if c.Values[string(text)]++; len(c.Values) > maxEnum {
			c.Values = nil
		}
	}
	h := scan.Hash(0, text)
	c.sketch.add(h)
	if c.unique != nil {
		if _, again := c.unique[h]; again {
			c.Repeats, c.unique = true, nil
		} else if c.unique[h] = struct{}{}; len(c.unique) > maxUnique {
			c.unique = nil
		}
	}
}

func (c *ColumnProfile) number(cell judge.Cell) {
	v, ok := cell.Number()
	if !ok {
		return
	}
	c.numbers++
	if v == math.Trunc(v) && !bytes.ContainsAny(cell.Raw, ".eE") {
		c.ints++
	}
	c.Min, c.Max = min(c.Min, v), max(c.Max, v)
}

func (c *ColumnProfile) text(cell judge.Cell, text []byte) {
	c.texts++
	n := utf8.RuneCount(text)
	c.Shortest, c.Longest = min(c.Shortest, n), max(c.Longest, n)
	if t, ok := contract.ParseTime(text); ok {
		if c.times++; len(text) == len(time.DateOnly) {
			c.days++
		}
		if c.Earliest.IsZero() || t.Before(c.Earliest) {
			c.Earliest = t
		}
		if t.After(c.Latest) {
			c.Latest = t
		}
		return
	}
	switch {
	case n == 36 && cell.HasFormat("uuid"):
		c.uuids++
	case bytes.IndexByte(text, '@') > 0 && cell.HasFormat("email"):
		c.emails++
	case n <= 15 && bytes.Count(text, []byte(".")) == 3 && cell.HasFormat("ipv4"):
		c.ips++
	}
}

// Type is the ODCS logical type all values are of, empty if they are of several.
func (c *ColumnProfile) Type() string {
	switch c.Seen {
	case 0:
		return ""
	case c.objects:
		return "object"
	case c.arrays:
		return "array"
	case c.bools:
		return "boolean"
	case c.days:
		return "date"
	case c.times:
		return "timestamp"
	}
	switch {
	case c.padded == 0 && c.quoted == 0 && c.Seen == c.ints:
		return "integer"
	case c.padded == 0 && c.quoted == 0 && c.Seen == c.numbers:
		return "number"
	case c.Seen == c.texts:
		return "string"
	}
	return ""
}

// Format is the ODCS format all texts are in, if any.
func (c *ColumnProfile) Format() string {
	switch c.Seen {
	case 0:
	case c.uuids:
		return "uuid"
	case c.emails:
		return "email"
	case c.ips:
		return "ipv4"
	}
	return ""
}

// ProfileFiles looks at every value of files, taken together as one data set.
func ProfileFiles(ctx context.Context, files []string, o FileOptions) (Profile, error) {
	p := &profiler{columns: map[string]*ColumnProfile{}}
	o.observe = p.observe
	report, err := ValidateFiles(ctx, DataProduct{}, files, o)
	if err != nil {
		return Profile{}, err
	}
	for _, f := range report.Files {
		if f.Err != nil {
			return Profile{}, f.Err
		}
	}
	return p.profile(joined(files), report.Outcome), nil
}

func joined(files []string) string {
	if len(files) == 1 {
		return files[0]
	}
	return plural(len(files), "file")
}

// profile ends the collection. A column that came late was null in the rows before.
func (p *profiler) profile(source string, out judge.Outcome) Profile {
	for _, c := range p.order {
		c.Nulls = out.Rows - c.Seen
	}
	profile := Profile{Source: source, Rows: out.Rows, Undecodable: out.Undecodable, Columns: p.order}
	if len(out.Garbage) > 0 {
		profile.Garbage = out.Garbage[0].Value
	}
	return profile
}
