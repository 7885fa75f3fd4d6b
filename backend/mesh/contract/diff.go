package contract

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Change is one difference between two versions of a product.
//
// A contract is the set of data it allows. What makes the set larger breaks consumers, who may now meet data they were
// promised not to; what makes it smaller breaks producers, whose data were allowed and are no more.
type Change struct {
	What      string // such as "email: required, was optional"
	Consumers bool   // it breaks consumers
	Producers bool   // it breaks producers
	Why       string
}

// Mode is a compatibility a new version may be held to, in the words of schema registries.
type Mode string

// The modes. With Backward, data of the old version satisfy the new one (no producer breaks); with Forward, data of the
// new version satisfy the old one (no consumer breaks); with Full, both.
const (
	Backward Mode = "BACKWARD"
	Forward  Mode = "FORWARD"
	Full     Mode = "FULL"
)

// ParseMode reads a mode; its _TRANSITIVE form, which asks for the same of every earlier version, is told by the flag.
func ParseMode(s string) (mode Mode, transitive bool, err error) {
	word, transitive := strings.CutSuffix(strings.ToUpper(strings.TrimSpace(s)), "_TRANSITIVE")
	switch m := Mode(word); m {
	case Backward, Forward, Full:
		return m, transitive, nil
	}
	return "", false, fmt.Errorf("compatibility %q: expected BACKWARD, FORWARD or FULL, each with or without _TRANSITIVE", s)
}

// Allows tells whether a change is compatible.
func (m Mode) Allows(c Change) bool {
	return (!c.Producers || m == Forward) && (!c.Consumers || m == Backward)
}

const (
	sameData = "the same data satisfy both"
	wider    = "data may now come that the old version ruled out"
	narrower = "data the old version allowed are now refused"
)

// Diff lists what changed from an old version of a product to a new one: columns first, then rules, then the rest.
func Diff(old, new Product) []Change {
	d := &differ{}
	if len(old.Objects)+len(new.Objects) > 0 {
		return d.objects(old, new)
	}
	d.columns(old.Columns, new.Columns, "")
	d.bounds(old, new)
	d.rules(old, new)
	if old.Topic != new.Topic && (old.Topic != "" || new.Topic != "") {
		d.add(fmt.Sprintf("topic: %s, was %s", or(new.Topic, "none"), or(old.Topic, "none")), true, true, "both sides read and write elsewhere")
	}
	d.plain("owners", strings.Join(old.Owners, ", "), strings.Join(new.Owners, ", "))
	d.plain("consumers", strings.Join(old.Consumers, ", "), strings.Join(new.Consumers, ", "))
	d.plain("refresh", old.Refresh, new.Refresh)
	d.plain("version", old.Version, new.Version)
	d.plain("status", old.Status, new.Status)
	d.plain("window", windowText(old), windowText(new))
	d.levels(old.SLA, new.SLA)
	if old.Version == new.Version && slices.ContainsFunc(d.changes, func(c Change) bool { return c.Consumers || c.Producers }) {
		d.add("version: still "+or(new.Version, "none"), false, false, "the contract changed, its version did not")
	}
	return d.changes
}

// levels compares the service levels that no rule judges; the others are told as rules.
func (d *differ) levels(old, new []SLA) {
	texts := func(levels []SLA) (map[string]string, []string) {
		found, order := map[string]string{}, []string(nil)
		for _, s := range levels {
			if slaRules(s, place{}, "") != nil {
				continue
			}
			what := strings.TrimSpace("service level " + s.Property + " " + s.Element)
			if _, twice := found[what]; !twice {
				order = append(order, what)
			}
			found[what] = strings.TrimPrefix(found[what]+", "+strings.TrimSpace(s.Value+" "+s.Unit), ", ")
		}
		return found, order
	}
	before, order := texts(old)
	after, more := texts(new)
	for _, what := range more {
		if !slices.Contains(order, what) {
			order = append(order, what)
		}
	}
	for _, what := range order {
		d.plain(what, before[what], after[what])
	}
}

func windowText(p Product) string {
	switch {
	case p.WindowRows == 1:
		return "1 row"
	case p.WindowRows > 0:
		return strconv.FormatInt(p.WindowRows, 10) + " rows"
	case p.Window > 0:
		return p.Window.String()
	}
	return ""
}

// objects compares contracts of several schema objects, each with the one of its name.
func (d *differ) objects(old, new Product) []Change {
	of := func(p Product) []Product {
		if len(p.Objects) > 0 {
			return p.Objects
		}
		return []Product{p}
	}
	table := func(p Product) string { return strings.Join(p.Tables, "") }
	find := func(all []Product, name string) *Product {
		if i := slices.IndexFunc(all, func(p Product) bool { return table(p) == name }); i >= 0 {
			return &all[i]
		}
		return nil
	}
	told := map[string]bool{}
	for _, was := range of(old) {
		is := find(of(new), table(was))
		if is == nil {
			d.add("schema object "+table(was)+": removed", true, false, "consumers of it have none any more")
			continue
		}
		for _, c := range Diff(was, *is) {
			if what, _, _ := strings.Cut(c.What, ":"); slices.Contains([]string{"owners", "consumers", "refresh", "version", "status", "window"}, what) || strings.HasPrefix(what, "service level ") { // of the contract: told once
				if told[c.What] {
					continue
				}
				told[c.What] = true
			} else {
				c.What = table(was) + "." + c.What
			}
			d.changes = append(d.changes, c)
		}
	}
	for _, is := range of(new) {
		if find(of(old), table(is)) == nil {
			d.add("schema object "+table(is)+": new", false, false, "")
		}
	}
	return d.changes
}

type differ struct {
	changes []Change
	gone    []string // paths of columns that came or went: their rules are not told one by one
}

func (d *differ) add(what string, consumers, producers bool, why string) {
	d.changes = append(d.changes, Change{what, consumers, producers, why})
}

func (d *differ) plain(what, old, new string) {
	if old != new {
		d.add(fmt.Sprintf("%s: %s, was %s", what, or(new, "none"), or(old, "none")), false, false, "")
	}
}

func (d *differ) columns(old, new []Column, parent string) {
	find := func(columns []Column, name string) *Column {
		i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			return nil
		}
		return &columns[i]
	}
	for _, c := range old {
		path := parent + c.Name
		now := find(new, c.Name)
		if now == nil {
			d.gone = append(d.gone, path)
			d.add(path+": removed", true, false, "consumers that read it find nothing")
			continue
		}
		d.column(c, *now, path)
	}
	for _, c := range new {
		path := parent + c.Name
		if find(old, c.Name) != nil {
			continue
		}
		d.gone = append(d.gone, path)
		if c.Required {
			d.add(path+": added, required", false, true, "producers of the old version do not send it")
		} else {
			d.add(path+": added, optional", false, false, "old data lack it, which is allowed; old consumers do not look at it")
		}
	}
}

func (d *differ) column(old, new Column, path string) {
	if old.Type != new.Type {
		switch {
		case new.Type == "" || old.Type == "integer" && new.Type == "number":
			d.add(fmt.Sprintf("%s: type %s, was %s", path, or(new.Type, "any"), old.Type), true, false, wider)
		case old.Type == "" || old.Type == "number" && new.Type == "integer":
			d.add(fmt.Sprintf("%s: type %s, was %s", path, new.Type, or(old.Type, "any")), false, true, narrower)
		default:
			d.add(fmt.Sprintf("%s: type %s, was %s", path, new.Type, old.Type), true, true, "neither side's values are of the other's type")
		}
	}
	if was, is := zoneName(old), zoneName(new); was != is {
		d.add(fmt.Sprintf("%s defaultTimezone: %s, was %s", path, is, was), true, true, "a time that does not say its zone is another moment now")
	}
	d.plain(path+" physicalType", old.Physical, new.Physical)
	d.plain(path+" classification", old.Class, new.Class)
	d.columns(old.Fields, new.Fields, path+".")
	switch {
	case old.Items != nil && new.Items != nil:
		d.column(*old.Items, *new.Items, path+"[]")
	case old.Items != nil:
		d.add(path+"[]: its items are no longer described", true, false, wider)
	case new.Items != nil:
		d.add(path+"[]: its items are described now", false, true, narrower)
	}
}

// zoneName is the zone of a column's times that do not say theirs.
func zoneName(c Column) string {
	if name := strings.TrimPrefix(c.Options.zone(c.Type), "Etc/"); name != "" && name != "GMT" {
		return name
	}
	return "UTC"
}

// identity is what makes two rules versions of one.
func identity(r Rule, n int) string {
	if r.Kind == Duplicates { // of rows; the order of the columns is none of theirs
		r.Columns = slices.Sorted(slices.Values(r.Columns))
	}
	return fmt.Sprintf("%d\x00%s\x00%s\x00%d", r.Kind, r.Name, strings.Join(r.Columns, "\x00"), n)
}

func (d *differ) rules(old, new Product) {
	index := func(rules []Rule) (map[string]Rule, []string) {
		found, order := map[string]Rule{}, []string(nil)
		for _, r := range rules {
			if r.Kind == TypeOf && r.Text == "" || r.Kind == Present && r.Name == "present" || r.Kind == Drift || isBound(r) || d.isGone(r) {
				continue // told with the columns, or with the bounds
			}
			n := 0
			for ; ; n++ {
				if _, taken := found[identity(r, n)]; !taken {
					break
				}
			}
			found[identity(r, n)] = r
			order = append(order, identity(r, n))
		}
		return found, order
	}
	// Rules that both have are no change, wherever they stand in the list.
	olds, news := slices.Clone(old.Rules), []Rule(nil)
	for _, now := range new.Rules {
		same := slices.IndexFunc(olds, func(was Rule) bool {
			if was.Kind != now.Kind || was.Breaks() != now.Breaks() || identity(was, 0) != identity(now, 0) {
				return false
			}
			loose, tight := compare(was, now)
			return !loose && !tight
		})
		if same >= 0 {
			olds = slices.Delete(olds, same, same+1)
			continue
		}
		news = append(news, now)
	}
	before, beforeOrder := index(olds)
	after, afterOrder := index(news)
	// A rule that went may have come back under another name: required, say, as nullValues.
	for _, id := range beforeOrder {
		if _, still := after[id]; still {
			continue
		}
		for i, other := range afterOrder {
			if _, known := before[other]; known || !sameMatter(before[id], after[other]) {
				continue
			}
			after[id] = after[other]
			delete(after, other)
			afterOrder = slices.Delete(afterOrder, i, i+1)
			break
		}
	}
	for _, id := range beforeOrder {
		was := before[id]
		now, still := after[id]
		switch {
		case !still && was.Breaks():
			d.add(was.Title()+": removed", true, false, wider)
		case !still:
			d.add(was.Title()+": removed", false, false, "it was no more than a "+string(was.Severity))
		default:
			d.rule(was, now)
		}
	}
	for _, id := range afterOrder {
		if _, known := before[id]; known {
			continue
		}
		now := after[id]
		d.add(now.Title()+": added"+limitText(now), false, now.Breaks(), narrower)
	}
}

// sameMatter tells whether two rules of any name count the same rows, or could with other limits.
func sameMatter(a, b Rule) bool {
	a.Name, b.Name = "", ""
	return (a.Kind == Nulls || a.Kind == Duplicates || a.Kind == Invalid) && identity(a, 0) == identity(b, 0)
}

func (d *differ) isGone(r Rule) bool {
	for _, path := range r.Columns {
		for _, gone := range d.gone {
			if path == gone || strings.HasPrefix(path, gone+".") || strings.HasPrefix(path, gone+"[]") {
				return true
			}
		}
	}
	return false
}

// rule compares two versions of a rule.
func (d *differ) rule(was, now Rule) {
	loose, tight := compare(was, now)
	if was.Breaks() != now.Breaks() {
		loose, tight = loose || was.Breaks(), tight || now.Breaks()
		d.add(fmt.Sprintf("%s: severity %s, was %s", now.Title(), or(string(now.Severity), "error"), or(string(was.Severity), "error")), loose, tight, why(loose, tight))
		return
	}
	if !loose && !tight && was.Name == now.Name {
		return
	}
	what, before := now.Title(), limitText(was)
	if limit := limitText(now); limit != "" {
		what += ":" + limit
	}
	if was.Name != now.Name {
		before = " " + was.Name + before
	}
	what += ", was" + before
	if !now.Breaks() {
		d.add(what, false, false, "it is no more than a "+string(now.Severity))
		return
	}
	d.add(what, loose, tight, why(loose, tight))
}

func why(loose, tight bool) string {
	switch {
	case loose && tight:
		return "neither version's data all satisfy the other"
	case loose:
		return wider
	case tight:
		return narrower
	}
	return sameData
}

// limitText is what a rule asks, after a space.
func limitText(r Rule) string {
	var words []string
	for _, l := range r.Limits {
		if r.Share {
			l.A *= 100
		}
		word := l.String()
		if r.Percent || r.Share {
			word += "%"
		}
		words = append(words, word)
	}
	if len(r.Values) > 0 {
		words = append(words, "values "+strings.Join(r.Values, ", "))
	}
	if r.Text != "" {
		words = append(words, r.Text)
	}
	if len(words) == 0 {
		return ""
	}
	return " " + strings.Join(words, " and ")
}

// compare tells whether the second version of a rule allows something the first did not, and the other way round.
func compare(was, now Rule) (loose, tight bool) {
	down := func(a, b float64) { loose, tight = loose || b < a, tight || b > a } // a lower bound that falls is looser
	up := func(a, b float64) { loose, tight = loose || b > a, tight || b < a }
	switch was.Kind {
	case Length, Items, Fields:
		down(was.Min, now.Min)
		up(was.Max, now.Max)
	case Multiple:
		if was.Min != now.Min {
			loose, tight = !isMultiple(now.Min, was.Min), !isMultiple(was.Min, now.Min)
		}
	case Matches, Formatted, TypeOf:
		if was.Text != now.Text {
			loose, tight = true, true
		}
	case Invalid, Missing:
		for _, v := range now.Values {
			loose = loose || !slices.Contains(was.Values, v)
		}
		for _, v := range was.Values {
			tight = tight || !slices.Contains(now.Values, v)
		}
		if was.Kind == Missing {
			loose, tight = tight || was.WithNull && !now.WithNull, loose || now.WithNull && !was.WithNull
		}
		if was.Text != now.Text {
			loose, tight = true, true
		}
	}
	wasLow, wasHigh, wasPlain := allowed(was)
	nowLow, nowHigh, nowPlain := allowed(now)
	none := wasPlain && wasHigh == 0 || nowPlain && nowHigh == 0 // which is the same in rows and in percent
	if (was.Percent != now.Percent || was.Share != now.Share) && !none {
		return true, true
	}
	if !wasPlain || !nowPlain {
		if !slices.Equal(was.Limits, now.Limits) {
			return true, true
		}
		return loose, tight
	}
	down(wasLow, nowLow)
	up(wasHigh, nowHigh)
	return loose, tight
}

// isMultiple tells whether every multiple of a is one of b.
func isMultiple(a, b float64) bool {
	q := a / b
	return math.Abs(q-math.Round(q)) < 1e-9
}

// allowed is the range of metrics the limits allow; plain is false where they are not a range. Of a count of rows open ends are
// moved by one, of a share by the least step there is.
func allowed(r Rule) (low, high float64, plain bool) {
	low, high = 0, math.Inf(1)
	if len(r.Limits) == 0 {
		return 0, 0, true
	}
	above := func(v float64) float64 { return math.Floor(v) + 1 }
	below := func(v float64) float64 { return math.Ceil(v) - 1 }
	least, most := math.Ceil, math.Floor
	if r.Percent || r.Share || r.Kind == Freshness {
		above = func(v float64) float64 { return math.Nextafter(v, math.Inf(1)) }
		below = func(v float64) float64 { return math.Nextafter(v, math.Inf(-1)) }
		least = func(v float64) float64 { return v }
		most = least
	}
	switch {
	case r.Percent:
		high = 100
	case r.Share:
		high = 1
	}
	for _, l := range r.Limits {
		switch l.Op {
		case Equal:
			low, high = max(low, least(l.A)), min(high, most(l.A))
		case Above:
			low = max(low, above(l.A))
		case AtLeast:
			low = max(low, least(l.A))
		case Below:
			high = min(high, below(l.A))
		case AtMost:
			high = min(high, most(l.A))
		case Between:
			low, high = max(low, above(l.A)), min(high, below(l.B))
		default:
			return 0, 0, false
		}
	}
	return low, high, true
}
