package mesh

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weir/backend/event"
	"weir/backend/mesh/contract"
	"weir/backend/mesh/judge"
	"weir/backend/safetext"
)

// verdict is what was made of a product so far: its state and the issues open now.
type verdict struct {
	state   State
	since   time.Time
	open    map[string]opened // issues by rule and column, those that break nothing included
	changes []time.Time       // the looks of the last minute that found a rule broken or healed
	silent  bool              // it changes too often to tell of each
	bad     bool
}

type opened struct {
	at    time.Time
	issue judge.Issue
}

// maxChanges is at how many looks within a minute a product may break or heal and be told of; of one look, maxAtOnce breaks
// and as many heals get an event each.
const (
	maxChanges = 12
	maxAtOnce  = 6
)

// withRefresh adds to an article's product what its refresh_frequency promises: a row at least every other period. It
// is a warning, for the article's own function does not look at it.
func withRefresh(p DataProduct) DataProduct {
	every, ok := contract.ParseEvery(p.Refresh)
	if p.Format != contract.Article || !ok {
		return p
	}
	age := 2 * every
	p.Rules = append(append([]contract.Rule{}, p.Rules...), contract.Rule{
		Name: "refresh_frequency", Kind: contract.Freshness, Severity: contract.Warning, Text: p.Refresh, Age: age,
		Limits: []contract.Limit{{Op: contract.AtMost, A: age.Seconds()}},
	})
	return p
}

// judgeNow looks at the product's window, writes events about what changed and gives what the console shows.
func (p *live) judgeNow(now time.Time, cluster *string, e *Engine) Product {
	log := &e.log
	p.mu.Lock()
	entry, findings, made, window, rows, judged := p.entry, p.findings, p.made, p.window, p.rows, p.judge != nil
	p.mu.Unlock()
	out := p.outcome(now)
	topic, problem, ready := p.feed.status(now)
	if problem == "" && cluster != nil {
		problem = *cluster
	} else if problem == "" && topic == "" {
		problem = "looking for its topic"
	} else if problem == "" && !ready {
		problem = "reading the last records of topic " + topic
	}
	v := &p.verdict
	v.tellParsing(entry, now, p.key, log)
	state := Holds
	switch {
	case entry.Err != nil:
		state = Bad
	case problem != "":
		state = Waiting
	case out.Broken():
		state = Broken
	case out.Rows == 0:
		state = NoData
	}
	if problem == "" && judged {
		v.tellIssues(out, now, p.key, log)
	}
	if v.state != state {
		if state == Waiting && cluster == nil && (v.state == Holds || v.state == Broken || v.state == NoData) {
			add(log, now, p.key, event.Warning, "waiting: "+problem)
		}
		v.state, v.since = state, now
	}
	if made != nil {
		e.reporter.judged(&p.told, *made, topic, state, out, window, now)
	}
	shown := v.product(entry, out, topic, problem, now)
	shown.Findings, shown.Window, shown.WindowRows = withUnseen(findings, out), window, rows
	shown.Shared, shown.Behind = p.feed.shared(now)
	return shown
}

// withUnseen adds to the lint's findings what of the window's data was not judged, for a person to know that its rules hold of
// the rest only.
func withUnseen(findings []Finding, out judge.Outcome) []Finding {
	if (out.Watched == 1 || out.Rows == 0) && out.Excess == 0 {
		return findings
	}
	var unseen []Finding
	add := func(format string, args ...any) {
		unseen = append(unseen, Finding{Severity: string(contract.Warning), Message: safetext.Clean(fmt.Sprintf(format, args...))})
	}
	if out.Watched < 1 && out.Rows > 0 {
		add("only %s of the values are watched for duplicates: there are too many to remember", percent(out.Watched))
	}
	if out.Excess > 0 {
		add("%s of columns beyond the first %s not judged", plural(int(out.Excess), "field"), grouped(judge.MaxColumns))
	}
	after := slices.IndexFunc(findings, func(f Finding) bool { return f.Severity != string(contract.Fatal) })
	if after < 0 {
		after = len(findings)
	}
	return slices.Concat(findings[:after], unseen, findings[after:])
}

// outcome is what the judge makes of the window. A panic of its lets go of the mutex: the pipeline's records need it, too.
func (p *live) outcome(now time.Time) (out judge.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.judge != nil {
		out = p.judge.Outcome(now)
	}
	return out
}

// tellParsing writes events about the product's file.
func (v *verdict) tellParsing(entry Entry, now time.Time, key string, log *event.Log) {
	bad := entry.Err != nil
	if bad == v.bad {
		return
	}
	v.bad = bad
	if bad {
		add(log, now, key, event.Warning, "its file cannot be read: "+entry.unreadable())
		return
	}
	add(log, now, key, event.Recovered, "its file can be read again")
}

// issueID is what makes two issues at different times one; a column may have several rules of one name.
func issueID(i judge.Issue) string { return checkID(i.Rule, i.Column) }

// tellIssues writes an event for each rule that broke or healed.
func (v *verdict) tellIssues(out judge.Outcome, now time.Time, key string, log *event.Log) {
	found := make(map[string]opened, len(out.Issues))
	var broke, recovered []string
	for _, i := range out.Issues {
		id := issueID(i)
		if was, ok := v.open[id]; ok {
			found[id] = opened{was.at, i}
			continue
		}
		found[id] = opened{now, i}
		if !i.Breaks() {
			continue
		}
		message := "broke: " + i.Message
		if !i.Last.At.IsZero() {
			message += fmt.Sprintf(" (offset %d/%d)", i.Last.Partition, i.Last.Offset)
		}
		broke = append(broke, message)
	}
	for _, id := range slices.Sorted(maps.Keys(v.open)) {
		was := v.open[id]
		if _, still := found[id]; !still && was.issue.Breaks() {
			recovered = append(recovered, fmt.Sprintf("healed after %s: %s", age(now.Sub(was.at)), healed(was.issue, out)))
		}
	}
	v.open = found
	if len(broke)+len(recovered) == 0 || !v.mayTell(now, key, log) {
		return
	}
	tell := func(severity event.Severity, messages []string, more string) {
		for i, message := range messages {
			if rest := len(messages) - maxAtOnce; i == maxAtOnce && rest > 1 {
				add(log, now, key, severity, fmt.Sprintf("%s: %d more rules at the same time", more, rest))
				return
			}
			add(log, now, key, severity, message)
		}
	}
	tell(event.Critical, broke, "broke")
	tell(event.Recovered, recovered, "healed")
}

// healed says where the figures of an issue are now.
func healed(i judge.Issue, out judge.Outcome) string {
	if out.Rows == 0 {
		return i.Rule.Title() + " has no rows left in the window"
	}
	if i.Rule.Kind == contract.Nulls && i.Rule.Share {
		for _, c := range out.Columns {
			if c.Name == i.Column {
				return fmt.Sprintf("%s null %.1f%%, %s allowed", c.Name, 100*float64(c.Nulls)/float64(c.Rows), i.Expected)
			}
		}
	}
	return i.Rule.Title() + " holds"
}

// mayTell counts a look that found something changed, and tells whether that gets events: there may be so many such looks
// that one event says it all.
func (v *verdict) mayTell(now time.Time, key string, log *event.Log) bool {
	v.changes = append(slices.DeleteFunc(v.changes, func(t time.Time) bool { return now.Sub(t) >= time.Minute }), now)
	if len(v.changes) <= maxChanges {
		v.silent = false
		return true
	}
	if !v.silent {
		v.silent = true
		add(log, now, key, event.Warning, fmt.Sprintf("crosses its limits again and again, %d times in a minute; the pane shows how it stands", len(v.changes)))
	}
	return false
}

func add(log *event.Log, now time.Time, key string, s event.Severity, message string) {
	log.Add(event.Event{At: now, Kind: event.Contract, Severity: s, Subject: safetext.Clean(key), Message: safetext.Clean(message)})
}

// unreadable is why an entry's file cannot be read, and what is in force meanwhile.
func (e *Entry) unreadable() string {
	text := strings.ReplaceAll(e.Err.Error(), "\n", "; ")
	if e.Product != nil {
		text += "; the last good version stays in force"
	}
	return text
}

// product is what the console shows of the product.
func (v *verdict) product(entry Entry, out judge.Outcome, topic, problem string, now time.Time) Product {
	p := Product{
		Domain: safetext.Clean(entry.Domain), Name: safetext.Clean(entry.Name), Path: safetext.Clean(entry.Path), Feed: safetext.Clean(topic),
		State: v.state, Since: v.since, Rows: out.Rows, Undecodable: out.Undecodable, Unjudged: len(out.Unjudged()), Schema: out.Schema, Quality: out.Quality,
		JudgedAt: now, Error: safetext.Clean(problem),
	}
	if entry.Err != nil {
		p.Error = safetext.Clean(entry.unreadable())
	}
	if entry.Product == nil {
		return p
	}
	p.Description, p.Version = safetext.Clean(entry.Product.Description), safetext.Clean(entry.Product.Version)
	p.Refresh, p.Format = safetext.Clean(entry.Product.Refresh), string(entry.Product.Format)
	p.Owners, p.Consumers = texts(entry.Product.Owners), texts(entry.Product.Consumers)
	for _, c := range out.Columns {
		p.Columns = append(p.Columns, Column{Name: safetext.Clean(c.Name), Rows: c.Rows, Nulls: c.Nulls, Required: c.Required, Masked: c.Masked})
	}
	for _, i := range out.Issues {
		id := issueID(i)
		issue := Issue{
			Rule: i.Rule.Name, Column: safetext.Clean(i.Column), Message: safetext.Clean(i.Message), Expected: safetext.Clean(i.Expected),
			Observed: safetext.Clean(i.Observed), Failed: i.Failed, Of: i.Of, Schema: i.Rule.Schema, Severity: severityOf(i.Rule),
			FirstAt: i.First.At, LastAt: i.Last.At,
		}
		if o, ok := v.open[id]; ok {
			issue.FirstAt = o.at
		}
		if issue.LastAt.IsZero() {
			issue.LastAt = now
		}
		if issue.FirstAt.IsZero() {
			issue.FirstAt = now
		}
		for _, s := range i.Samples {
			issue.Samples = append(issue.Samples, Sample{Partition: s.Partition, Offset: s.Offset, At: s.At, Value: safetext.Clean(s.Value), Record: safetext.Clean(s.Record)})
		}
		p.Issues = append(p.Issues, issue)
	}
	return p
}

func texts(names []string) []safetext.Text {
	out := make([]safetext.Text, len(names))
	for i, n := range names {
		out[i] = safetext.Clean(n)
	}
	return out
}

func age(d time.Duration) string {
	if d < time.Minute {
		return d.Round(100 * time.Millisecond).String()
	}
	return strings.TrimSuffix(d.Round(time.Second).String(), "0s")
}
