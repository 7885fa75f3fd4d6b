package mesh

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"weir/backend/mesh/contract"
	"weir/backend/safetext"
)

// WriteDraft writes an ODCS contract drafted from a profile, for a person to edit: what the data showed stands in
// comments, what they suggest as rules. The data the profile is of satisfy the draft.
func WriteDraft(w io.Writer, p Profile, domain, name string) error {
	for what, s := range map[string]string{"domain": domain, "name": name} {
		if err := contract.CheckIdentifier(what, s); err != nil {
			return err
		}
	}
	d := &draft{printer{w: w}}
	if p.Undecodable > 0 {
		d.line("# %s could not be decoded: left out.", plural(int(p.Undecodable), "record"))
	}
	d.line("# Drafted by weir from %s: %s. Comments say what the data showed; decide what is meant, then register it.", p.Source, plural(int(p.Rows), "row"))
	d.line("apiVersion: v3.1.0")
	d.line("kind: DataContract")
	d.line("id: %s.%s", domain, name)
	d.line("name: %s", name)
	d.line("domain: %s", domain)
	d.line("version: 0.1.0")
	d.line("status: draft")
	d.line("description:")
	d.line("  purpose: ''  # what are these data for?")
	d.line("team: []  # members with role owner: whom to call when the contract breaks")
	d.line("customProperties:")
	d.line("  - {property: consumers, value: []}  # who relies on these data")
	if p.Topic != "" {
		d.line("servers:")
		d.line("  - {server: cluster, type: kafka, format: json, host: %s}", quoted(p.Broker))
	}
	d.line("schema:")
	d.line("  - name: %s", quoted(name))
	if p.Topic != "" {
		d.line("    physicalName: %s", quoted(p.Topic))
	}
	d.line("    logicalType: object")
	if len(p.Columns) == 0 {
		d.line("    properties: []")
		return d.err
	}
	d.line("    properties:")
	for _, c := range p.Columns {
		d.column(p, c)
	}
	return d.err
}

type draft struct{ printer }

// quoted writes a text as YAML that means this text and nothing else.
func quoted(s string) string { return strconv.QuoteToASCII(s) }

func (d *draft) column(p Profile, c *ColumnProfile) {
	sensitive := contract.Sensitive(c.Name, "", nil) || c.Format() == "email" || c.Format() == "ipv4"
	about := "about "
	if c.sketch.exact() {
		about = ""
	}
	notes := []string{about + plural(int(math.Round(c.Distinct())), "distinct value")}
	if c.Nulls > 0 {
		notes = append([]string{percent(float64(c.Nulls)/float64(p.Rows)) + " null"}, notes...)
	}
	typ := c.Type()
	switch {
	case sensitive && typ != "string": // the least and the greatest are values
	case typ == "integer" || typ == "number":
		notes = append(notes, fmt.Sprintf("from %s to %s", number(c.Min), number(c.Max)))
	case typ == "timestamp" || typ == "date":
		notes = append(notes, fmt.Sprintf("from %s to %s", c.Earliest.Format("2006-01-02T15:04:05Z"), c.Latest.Format("2006-01-02T15:04:05Z")))
	case typ == "string":
		notes = append(notes, fmt.Sprintf("%d to %s", c.Shortest, plural(c.Longest, "character")))
	case typ == "" && c.Seen > 0:
		notes = append(notes, "values of several types")
	}
	key := c.Unique() && c.Nulls == 0 && p.Rows > 1 && (typ == "integer" || typ == "string")
	if key {
		notes = append(notes, "likely a key")
	}
	if sensitive {
		notes = append(notes, "likely sensitive")
	}
	d.line("      # %s", strings.Join(notes, "; "))
	d.line("      - name: %s", quoted(c.Name))
	if typ != "" {
		d.line("        logicalType: %s", typ)
	}
	if c.Nulls == 0 && p.Rows > 0 {
		d.line("        required: true")
	}
	if key {
		d.line("        unique: true")
	}
	if sensitive {
		d.line("        classification: confidential")
	}
	switch format := c.Format(); {
	case format != "" && typ == "string":
		d.line("        logicalTypeOptions: {format: %s}", format)
	case (typ == "integer" || typ == "number") && c.Min >= 0:
		d.line("        logicalTypeOptions: {minimum: 0}")
	}
	d.quality(p, c, typ, sensitive)
}

func (d *draft) quality(p Profile, c *ColumnProfile, typ string, sensitive bool) {
	var rules []string
	if c.Nulls > 0 && c.Seen > 0 {
		share := 100 * float64(c.Nulls) / float64(p.Rows)
		for _, limit := range []int{1, 2, 5, 10, 20, 50, 100} {
			if share <= float64(limit) {
				rules = append(rules, fmt.Sprintf("{metric: nullValues, unit: percent, mustBeLessOrEqualTo: %d}", limit))
				break
			}
		}
	}
	// Few values, each met often, are likely all there are.
	if n := int64(len(c.Values)); typ == "string" && !sensitive && n > 0 && n <= 20 && c.Seen >= 20*n {
		values := make([]string, 0, n)
		for v := range c.Values {
			values = append(values, quoted(v))
		}
		sort.Strings(values)
		rules = append(rules, fmt.Sprintf("{metric: invalidValues, mustBe: 0, arguments: {validValues: [%s]}}", strings.Join(values, ", ")))
	}
	if len(rules) == 0 {
		return
	}
	d.line("        quality:")
	for _, r := range rules {
		d.line("          - %s", r)
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// Relation is a likely join: values of one product's column that are also those of another's.
type Relation struct {
	From, FromColumn string // a product's key and its column
	To, ToColumn     string
	Share            float64 // of From's values that To has, by the estimate
	Error            float64 // its standard error; 0 when it was counted
	Distinct         float64 // values of From's column, by the estimate
	ToIsKey          bool    // To's column repeats none: a foreign key and its primary key
}

// The least a relation must show: values of the one that are met in the other, and values there are at all. Few values
// (flags, countries, small numbers) are shared by chance.
const (
	minShare    = 0.5
	minDistinct = 20
)

// Relations finds likely joins between data sets, each under its product's key, the likeliest first.
func Relations(profiles map[string]Profile) []Relation {
	var out []Relation
	for from, a := range profiles {
		for to, b := range profiles {
			if from == to {
				continue
			}
			for _, x := range a.Columns {
				for _, y := range b.Columns {
					if r, ok := relate(x, y); ok {
						r.From, r.To = from, to
						out = append(out, r)
					}
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Relation) int {
		if a.Share != b.Share {
			if a.Share > b.Share {
				return -1
			}
			return 1
		}
		return strings.Compare(a.From+a.FromColumn+a.To+a.ToColumn, b.From+b.FromColumn+b.To+b.ToColumn)
	})
	return out
}

func relate(x, y *ColumnProfile) (Relation, bool) {
	joinable := func(c *ColumnProfile) bool {
		t := c.Type()
		return (t == "string" || t == "integer") && c.Distinct() >= minDistinct
	}
	if !joinable(x) || !joinable(y) {
		return Relation{}, false
	}
	// Whole numbers that count from 0 or 1 lie within one another by nature, unless their names say they are the same.
	if dense(x) && dense(y) && !sameName(x.Name, y.Name) {
		return Relation{}, false
	}
	share, stderr := contained(&x.sketch, &y.sketch)
	return Relation{FromColumn: x.Name, ToColumn: y.Name, Share: share, Error: stderr, Distinct: x.Distinct(), ToIsKey: y.Unique()}, share >= minShare
}

func dense(c *ColumnProfile) bool {
	return c.Type() == "integer" && c.Max-c.Min < 10*c.Distinct()
}

func sameName(a, b string) bool {
	fold := func(s string) string {
		return strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(s))
	}
	a, b = fold(a), fold(b)
	return strings.HasSuffix(a, b) || strings.HasSuffix(b, a)
}

// WriteRelations writes a table of the relations between profiles, after what was left out of these.
func WriteRelations(w io.Writer, relations []Relation, profiles map[string]Profile) error {
	p := printer{w: w}
	for _, key := range slices.Sorted(maps.Keys(profiles)) {
		if n := profiles[key].Undecodable; n > 0 {
			p.line("! %s: %s could not be decoded: left out", key, plural(int(n), "record"))
		}
	}
	if len(relations) == 0 {
		p.line("no likely joins: no column's values are met in another product's by half or more (numbers that count without gaps,")
		p.line("which lie within one another by nature, are looked at only where their columns' names agree)")
	}
	for _, r := range relations {
		certainty := "counted"
		if r.Error > 0 {
			certainty = fmt.Sprintf("± %.1f%%", 100*1.96*r.Error)
		}
		key := ""
		if r.ToIsKey {
			key = ", where it is unique"
		}
		p.line("%s.%s → %s.%s  %.1f%% of %s (%s)%s", r.From, r.FromColumn, r.To, r.ToColumn, 100*r.Share,
			plural(int(math.Round(r.Distinct)), "value"), certainty, key)
	}
	return p.err
}

// WriteRelationsJSON writes the relations between profiles, and how many records of these were left out, as one JSON object.
func WriteRelationsJSON(w io.Writer, relations []Relation, profiles map[string]Profile) error {
	type side struct {
		Product string `json:"product"`
		Column  string `json:"column"`
	}
	type relation struct {
		From     side    `json:"from"`
		To       side    `json:"to"`
		Share    float64 `json:"share"`
		Error    float64 `json:"standard_error"`
		Counted  bool    `json:"counted"`
		Distinct float64 `json:"distinct"`
		Key      bool    `json:"to_is_unique"`
	}
	out := struct {
		Relations   []relation       `json:"relations"`
		Undecodable map[string]int64 `json:"undecodable,omitempty"` // by product
	}{[]relation{}, map[string]int64{}}
	for key, p := range profiles {
		if p.Undecodable > 0 {
			out.Undecodable[key] = p.Undecodable
		}
	}
	for _, r := range relations {
		out.Relations = append(out.Relations, relation{
			side{r.From, r.FromColumn}, side{r.To, r.ToColumn}, r.Share, r.Error, r.Error == 0, math.Round(r.Distinct), r.ToIsKey,
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}

// safeName makes an identifier of a file's or topic's name.
func safeName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 128 && (r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}
		return '_'
	}, safetext.Clean(s).String())
	return or(strings.Trim(s, "_"), "data")
}
