package judge

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/backend/mesh/contract"
)

// Status says how one check went.
type Status string

// The statuses of a check.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped" // it cannot be judged on this feed, or not at all
	Unknown Status = "unknown" // there was nothing to judge it on
)

// Check is how one rule went on one column.
type Check struct {
	Rule       contract.Rule
	Column     string
	Status     Status
	Observed   string
	Failed, Of int64
	Why        string // of Skipped and Unknown
}

// Issue is one rule that does not hold, with its evidence. It is masked already but not cleaned for a screen.
type Issue struct {
	Rule     contract.Rule
	Column   string
	Message  string // one sentence, such as "email null 7.2% > 5%"
	Article  string // in the words of the article's function; empty for rules it does not know
	Expected string
	Observed string
	Failed   int64
	Of       int64
	First    Where // of the failing rows; zero when no row is to blame
	Last     Where
	Samples  []Sample // newest first in a window, first of all in a file
}

// Column is what the rows say about one column.
type Column struct {
	Name     string
	Rows     int64
	Nulls    int64
	Present  bool // at least one row, or the header, has it
	Declared bool
	Required bool
	Masked   bool
}

// Outcome is the judgement on all rows, or on those in the window.
type Outcome struct {
	Rows        int64
	Undecodable int64
	Excess      int64 // fields not judged because there were more than MaxColumns columns
	Schema      bool  // schema_compliance
	Quality     bool  // quality_compliance
	Issues      []Issue
	Checks      []Check
	Columns     []Column
	Garbage     []Sample // undecodable records with the reason as value
	LastArrival time.Time
	// Watched is the share of values watched by the rule on duplicates that watches the least; 1 without sampling.
	Watched float64
}

// Breaks tells whether an issue breaks the contract; warnings and infos do not.
func (i Issue) Breaks() bool { return i.Rule.Breaks() }

// Broken tells whether the contract is broken.
func (o Outcome) Broken() bool { return !o.Schema || !o.Quality }

// Unjudged are the checks that would break the contract but could not be judged.
func (o Outcome) Unjudged() (out []Check) {
	for _, c := range o.Checks {
		undecided := c.Status == Skipped && c.Why != "" || c.Status == Unknown && o.Rows > 0
		if undecided && c.Rule.Breaks() && (c.Rule.Kind != contract.Nulls || len(c.Rule.Columns) == 0) { // of a column that is missing another check tells
			out = append(out, c)
		}
	}
	return out
}

// Outcome says what the counters mean at a moment.
func (j *Judge) Outcome(now time.Time) Outcome {
	j.Advance(now)
	if j.sliding() {
		j.looks++
	}
	t := j.sum()
	e := &evaluation{Judge: j, t: t, now: now}
	e.out = Outcome{Rows: t.rows, Undecodable: t.undecodable, Excess: j.excess, Schema: true, Quality: true, Garbage: slices.Clone(t.garbage.samples), Watched: 1}
	if j.arrived > 0 {
		e.out.LastArrival = time.Unix(0, j.arrived)
	}
	for _, d := range j.distincts {
		e.out.Watched = min(e.out.Watched, d.share())
	}
	for i := range j.checks {
		e.evaluate(i)
	}
	if t.undecodable > 0 {
		e.issue(contract.Rule{Name: "undecodable", Severity: contract.Warning, Schema: true}, "", &t.garbage, t.undecodable, t.rows+t.undecodable,
			fmt.Sprintf("%s of %s could not be decoded", count(t.undecodable), plural(t.rows+t.undecodable, "record")), "", "0 records", plural(t.undecodable, "record"))
	}
	e.columns()
	slices.SortStableFunc(e.out.Issues, func(a, b Issue) int { return rank(a) - rank(b) })
	for _, i := range e.out.Issues {
		if !i.Breaks() {
			continue
		}
		if i.Rule.Schema {
			e.out.Schema = false
		} else {
			e.out.Quality = false
		}
	}
	return e.out
}

// rank puts what breaks the contract first.
func rank(i Issue) int {
	switch {
	case i.Breaks() && i.Rule.Schema:
		return 0
	case i.Breaks():
		return 1
	case i.Rule.Severity == contract.Warning:
		return 2
	}
	return 3
}

// sum adds the sheets up, the newest first, so that samples are of the newest rows.
func (j *Judge) sum() *sheet {
	if !j.sliding() {
		s := &j.ring.sheets[0]
		s.grow(j)
		return s
	}
	t := &j.total
	t.forget()
	t.grow(j)
	n := int64(len(j.ring.sheets))
	for index := j.ring.newest; index > j.ring.newest-n && index >= 0; index-- {
		s := &j.ring.sheets[index%n]
		if s.index != index {
			continue
		}
		s.grow(j)
		t.rows += s.rows
		t.undecodable += s.undecodable
		for i := range s.columns {
			t.columns[i].present += s.columns[i].present
			t.columns[i].nonNull += s.columns[i].nonNull
			t.columns[i].nulls.older(&s.columns[i].nulls)
		}
		for i := range s.checks {
			t.checks[i].older(&s.checks[i])
		}
		for i := range s.judged {
			t.judged[i] += s.judged[i]
		}
		t.garbage.older(&s.garbage)
	}
	return t
}

// older adds the finding of an earlier span.
func (f *finding) older(o *finding) {
	if o.count == 0 {
		return
	}
	if f.count == 0 {
		f.last = o.last
	}
	f.count += o.count
	f.first = o.first
	for i := len(o.samples) - 1; i >= 0 && len(f.samples) < KeepSamples; i-- {
		f.samples = append(f.samples, o.samples[i])
	}
}

type evaluation struct {
	*Judge
	t   *sheet
	now time.Time
	out Outcome
}

func (e *evaluation) evaluate(i int) {
	c, f := &e.checks[i], &e.t.checks[i]
	r := c.rule
	check := Check{Rule: r, Column: strings.Join(r.Columns, ", ")}
	defer func() { e.out.Checks = append(e.out.Checks, check) }()
	switch {
	case c.why != "":
		check.Status, check.Why = Skipped, c.why
		return
	case e.t.rows == 0 && r.Kind != contract.Rows && r.Kind != contract.Freshness && (r.Kind != contract.Present || !e.options.Columnar):
		check.Status, check.Why = Unknown, "no data"
		return
	}
	check.Status, check.Of = Passed, e.t.rows
	switch r.Kind {
	case contract.Nulls:
		if len(c.slots) == 0 {
			e.allNulls(c, &check)
			return
		}
		t := &e.t.columns[c.slots[0]]
		if c.parent >= 0 {
			check.Of, check.Failed = e.judged(c.parent), t.nulls.count
		} else {
			check.Failed = e.t.rows - t.nonNull
		}
		if t.present == 0 && c.parent < 0 {
			check.Status, check.Why = Unknown, "the column is missing from all rows"
			if e.options.Columnar {
				check.Status, check.Failed = Skipped, 0
				return
			}
		}
		e.metric(c, &t.nulls, &check)
	case contract.Present:
		if e.t.columns[c.slots[0]].present > 0 {
			return
		}
		if !r.Breaks() && !e.options.Columnar {
			check.Status, check.Why = Unknown, "no row has it, and none need"
			return
		}
		check.Status = Failed
		var rows *finding // every record lacks it; of a table the header does
		if !e.options.Columnar {
			rows = &e.t.columns[c.slots[0]].nulls
		}
		e.issue(r, r.Column(), rows, e.t.rows, e.t.rows, fmt.Sprintf("column %s is missing", r.Column()),
			r.Column(), "a column "+r.Column(), "no such column")
	case contract.Duplicates:
		if missing := e.missing(c.slots); missing != "" {
			check.Status, check.Why = Unknown, "the data have no column "+missing
			return
		}
		d := e.distincts[c.dups]
		var err error
		if check.Failed, err = d.failed(); err != nil {
			check.Status, check.Why = Skipped, err.Error()
			return
		}
		if d, ok := d.(*exact); ok {
			d.complete(f)
		}
		check.Of = e.t.judged[c.dups]
		e.metric(c, f, &check)
	case contract.Rows:
		check.Observed = plural(e.t.rows, "row")
		if !r.Holds(float64(e.t.rows)) {
			check.Status = Failed
			e.issue(r, "", nil, 0, e.t.rows, fmt.Sprintf("%s, expected %s", check.Observed, limits(r, "")), "", limits(r, "")+unitOf(r), check.Observed)
		}
	case contract.Freshness:
		e.freshness(c, &check)
	case contract.Drift:
		e.drift(r, &check)
	case contract.Missing:
		check.Failed = f.count
		e.metric(c, f, &check)
	default:
		check.Of, check.Failed = e.judged(c.slots[0]), f.count
		e.metric(c, f, &check)
	}
}

// missing is the path of the first column that neither the contract declares nor a row has; empty if there is none.
func (e *evaluation) missing(slots []int) string {
	for _, slot := range slots {
		if c, t := &e.Judge.columns[slot], &e.t.columns[slot]; !c.declared && t.present == 0 && t.nonNull == 0 {
			return c.path
		}
	}
	return ""
}

// judged is how many rows had a value to judge: of the elements of an array, the rows that have the array.
func (e *evaluation) judged(slot int) int64 {
	rows := e.t.columns[slot].nonNull
	for s := slot; s >= 0; s = e.Judge.columns[s].parent {
		if e.Judge.columns[s].isItem {
			rows = e.t.columns[e.Judge.columns[s].parent].nonNull
		}
	}
	return rows
}

// allNulls is the article's rule: the share of nulls of every column of the data.
func (e *evaluation) allNulls(c *check, check *Check) {
	limit := c.rule.Limits[0].A
	worst := 0.0
	for _, slot := range e.roots {
		t := &e.t.columns[slot]
		if t.present == 0 {
			continue
		}
		nulls := e.t.rows - t.nonNull
		share := float64(nulls) / float64(e.t.rows)
		worst = max(worst, share)
		if !(share > limit) {
			continue
		}
		name := e.nameOf(slot)
		check.Status = Failed
		check.Failed = max(check.Failed, nulls)
		observed, expected := percents(share, limit)
		e.issue(c.rule, name, &t.nulls, nulls, e.t.rows, fmt.Sprintf("%s null %s > %s", name, observed, expected),
			fmt.Sprintf("Column '%s' exceeds null threshold: %s%%", name, strconv.FormatFloat(share*100, 'f', 2, 64)), "≤ "+expected+" null", observed+" null")
	}
	check.Observed, _ = percents(worst, limit)
	check.Observed = "at most " + check.Observed
	if e.excess > 0 && check.Status == Passed {
		check.Status, check.Why = Skipped, fmt.Sprintf("%s of columns beyond the first %s not judged", plural(e.excess, "field"), count(MaxColumns))
	}
}

func (e *evaluation) nameOf(slot int) string { return e.Judge.columns[slot].name }

// metric compares the failing rows of a check, as rows or percent, with the rule's limits.
func (e *evaluation) metric(c *check, f *finding, check *Check) {
	r := c.rule
	metric := float64(check.Failed)
	check.Observed = count(check.Failed) + " of " + plural(check.Of, "row")
	if c.dups >= 0 && e.distincts[c.dups].share() < 1 {
		check.Observed = "about " + check.Observed + " (watching " + strconv.FormatFloat(100*e.distincts[c.dups].share(), 'g', 3, 64) + "% of the values)"
	}
	if r.Percent || r.Share {
		of := float64(e.t.rows)
		if of == 0 {
			check.Status, check.Why = Unknown, "no data"
			return
		}
		share := metric / of
		metric = metric * 100 / of // rounded once: 7 of 100 are 7%, not 0.07 × 100, which is above
		check.Observed = percentage(metric, r)
		if r.Share {
			metric = share
		}
	}
	if r.Holds(metric) {
		return
	}
	check.Status = Failed
	column := strings.Join(r.Columns, ", ")
	what := describe(r)
	message := fmt.Sprintf("%s %s in %s", column, what, check.Observed)
	unit := ""
	if r.Percent {
		unit = "%"
	}
	expected := "none"
	if len(r.Limits) > 1 || len(r.Limits) == 1 && r.Limits[0] != (contract.Limit{Op: contract.Equal}) {
		expected = limits(r, unit)
		message += ", expected " + expected
	}
	if r.Text != "" {
		expected = r.Text
	}
	e.issue(r, column, f, check.Failed, check.Of, message, "", expected, check.Observed)
}

// percentage writes a percentage with four digits, or as many as tell it from the limits of its rule.
func percentage(v float64, r contract.Rule) string {
	for digits := 4; ; digits++ {
		s := strconv.FormatFloat(v, 'g', digits, 64)
		if shown, err := strconv.ParseFloat(s, 64); err != nil || !r.Percent || r.Holds(shown) == r.Holds(v) || digits == 17 {
			return s + "%"
		}
	}
}

// describe says in a few words what the failing rows of a rule are.
func describe(r contract.Rule) string {
	switch r.Kind {
	case contract.Nulls:
		return "null"
	case contract.Missing:
		return "missing"
	case contract.Invalid:
		return "not a valid value"
	case contract.TypeOf:
		return "not of type " + r.Type
	case contract.Length:
		return "with a length not " + r.Text
	case contract.Matches:
		return "not matching " + r.Text
	case contract.Formatted:
		switch r.Text {
		case contract.ZoneSaid:
			return "without a time zone"
		case contract.ZoneUnsaid:
			return "with a time zone"
		}
		return "not in format " + r.Text
	case contract.Range, contract.TimeRange:
		return "outside " + r.Name + " " + r.Text
	case contract.Multiple:
		return "not a multiple of " + r.Text
	case contract.Items:
		return "with a number of items not " + r.Text
	case contract.ItemsOnce:
		return "with an item repeated"
	case contract.Fields:
		return "with a number of fields not " + r.Text
	case contract.Future:
		return "in the future"
	case contract.Late:
		return "later than " + r.Text
	case contract.Duplicates:
		return "repeated"
	}
	return r.Name
}

func (e *evaluation) freshness(c *check, check *Check) {
	newest := e.arrived
	what := "the last row"
	if len(c.slots) > 0 {
		newest = e.newest[c.marks]
		what = "the newest " + c.rule.Column()
	}
	if newest == 0 {
		check.Status, check.Why = Unknown, "no time was seen"
		return
	}
	age := e.now.Sub(time.Unix(0, newest))
	check.Observed = duration(age) + " old"
	if !c.rule.Holds(age.Seconds()) {
		check.Status = Failed
		e.issue(c.rule, c.rule.Column(), nil, 0, e.t.rows, fmt.Sprintf("%s is %s old, %s allowed", what, duration(age), duration(c.rule.Age)), "",
			"≤ "+duration(c.rule.Age), duration(age))
	}
}

func (e *evaluation) drift(r contract.Rule, check *Check) {
	for _, slot := range e.roots {
		c := &e.Judge.columns[slot]
		if c.declared || e.t.columns[slot].present == 0 {
			continue
		}
		check.Status = Failed
		check.Failed++
		e.issue(r, c.name, nil, e.t.columns[slot].present, e.t.rows, fmt.Sprintf("column %s is not in the contract", c.name), "", "declared columns only", "a column "+c.name)
	}
	check.Observed = plural(check.Failed, "column")
	check.Of = int64(len(e.roots))
}

func (e *evaluation) issue(r contract.Rule, column string, f *finding, failed, of int64, message, article, expected, observed string) {
	i := Issue{Rule: r, Column: column, Message: message, Article: article, Expected: expected, Observed: observed, Failed: failed, Of: of}
	if f != nil && f.count > 0 {
		i.First, i.Last, i.Samples = f.first, f.last, slices.Clone(f.samples)
	}
	e.out.Issues = append(e.out.Issues, i)
}

func (e *evaluation) columns() {
	required := map[int]bool{}
	for _, c := range e.checks {
		if len(c.slots) == 1 && (c.rule.Kind == contract.Present && c.rule.Breaks() && !e.options.Columnar || c.rule.Name == "required" || c.rule.Name == "required_columns") {
			required[c.slots[0]] = true
		}
	}
	for _, slot := range e.roots {
		c, t := &e.Judge.columns[slot], &e.t.columns[slot]
		if t.present == 0 && !c.declared && !required[slot] {
			continue // it left the window
		}
		e.out.Columns = append(e.out.Columns, Column{
			Name: c.name, Rows: e.t.rows, Nulls: e.t.rows - t.nonNull, Present: t.present > 0,
			Declared: c.declared, Required: required[slot], Masked: c.masked,
		})
	}
}

// percents writes a share and its limit with as many digits as tell them apart: 7.2% and 5%, but 5.004% and 5%.
func percents(share, limit float64) (string, string) {
	want := trimZeros(strconv.FormatFloat(limit*100, 'f', 6, 64)) + "%"
	for digits := 1; ; digits++ {
		got := strconv.FormatFloat(share*100, 'f', digits, 64)
		if v, _ := strconv.ParseFloat(got, 64); digits == 6 || share <= limit || v > limit*100 {
			return trimZeros(got) + "%", want
		}
	}
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

func limits(r contract.Rule, unit string) string {
	words := make([]string, len(r.Limits))
	for i, l := range r.Limits {
		words[i] = l.String() + unit
	}
	return strings.Join(words, " and ")
}

// count writes a number with commas between the thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural writes how many there are of something.
func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return count(n) + " " + what + "s"
}

// unitOf is the unit of a limit on the number of rows, after a space.
func unitOf(r contract.Rule) string {
	if last := r.Limits[len(r.Limits)-1]; last.A == 1 && last.Op != contract.Between && last.Op != contract.NotBetween {
		return " row"
	}
	return " rows"
}

// duration writes a length of time in its two largest units.
func duration(d time.Duration) string {
	switch a := d.Abs(); {
	case a < time.Second:
		return d.Round(time.Millisecond).String()
	case a < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case a < time.Hour:
		return strings.TrimSuffix(d.Round(time.Second).String(), "0s")
	case a < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return strconv.FormatFloat(math.Round(d.Hours()/24), 'f', 0, 64) + " days"
}
