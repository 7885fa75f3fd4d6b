package contract

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Finding is one thing a lint has to say about a product.
type Finding struct {
	Severity Severity
	Policy   bool // it is about who answers for the product, not about its rules
	Line     int  // 0 where no single line is to blame
	Col      int
	Message  string
}

// Lint says what is wrong, or missing, in a product that could be read. A rule that cannot be judged is an error: it
// would promise what nobody checks.
func Lint(p Product) []Finding {
	l := &linter{product: p}
	for i, o := range p.Objects {
		for _, f := range Lint(o) {
			if f.Policy && f.Line == 0 && i > 0 {
				continue // about the contract: said once
			}
			if !f.Policy || f.Line > 0 {
				f.Message = o.Name + ": " + f.Message
			}
			l.findings = append(l.findings, f)
		}
	}
	if len(p.Objects) > 0 {
		return l.sorted()
	}
	l.rules()
	l.columns(p.Columns, "")
	l.policy()
	return l.sorted()
}

func (l *linter) sorted() []Finding {
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		if r := rank(a.Severity) - rank(b.Severity); r != 0 {
			return r
		}
		return a.Line - b.Line
	})
	return l.findings
}

func rank(s Severity) int { return slices.Index([]Severity{Fatal, Warning, Info}, s) }

type linter struct {
	product  Product
	findings []Finding
}

func (l *linter) add(s Severity, line, col int, format string, args ...any) {
	l.findings = append(l.findings, Finding{Severity: s, Line: line, Col: col, Message: fmt.Sprintf(format, args...)})
}

func (l *linter) rules() {
	p := l.product
	for _, r := range p.Rules {
		switch {
		case r.Kind == Unjudged && r.Breaks():
			l.add(Fatal, r.Line, r.Col, "%s cannot be judged: %s", r.Title(), r.Why)
		case r.Kind == Unjudged:
			l.add(r.Severity, r.Line, r.Col, "%s is not judged: %s", r.Title(), r.Why)
		}
		if len(p.Columns) > 0 && r.Kind != Unjudged {
			for _, path := range r.Columns {
				if !declared(p.Columns, path) {
					l.add(Fatal, r.Line, r.Col, "%s: no property %q is declared", r.Title(), path)
				}
			}
		}
		if why := impossible(r); why != "" {
			l.add(Fatal, r.Line, r.Col, "%s can never hold: %s", r.Title(), why)
		}
	}
	if p.Format == Article && p.Refresh != "" {
		if _, ok := ParseEvery(p.Refresh); !ok {
			l.add(Warning, 0, 0, "refresh_frequency %q is not understood, so freshness is not judged; write hourly, daily, 15 minutes or the like", p.Refresh)
		}
	}
	for _, s := range p.SLA {
		switch strings.ToLower(s.Property) {
		case "latency", "ly", "freshness", "frequency", "fy":
		default:
			l.add(Info, s.Line, 0, "service level %s is shown but cannot be seen in the data", s.Property)
		}
	}
}

// declared tells whether a dotted path leads to a declared column or field.
func declared(columns []Column, path string) bool {
	for _, c := range columns {
		if c.Name == path {
			return true
		}
		rest, ok := strings.CutPrefix(path, c.Name)
		if !ok || rest == "" {
			continue
		}
		if inside, ok := strings.CutPrefix(rest, "[]"); ok && c.Items != nil {
			if inside == "" || declared(c.Items.Fields, strings.TrimPrefix(inside, ".")) || strings.HasPrefix(inside, "[]") {
				return true
			}
		}
		if inside, ok := strings.CutPrefix(rest, "."); ok && (declared(c.Fields, inside) || slices.Contains(c.Options.Required, inside)) {
			return true
		}
	}
	return false
}

// impossible tells why no data can satisfy a rule.
func impossible(r Rule) string {
	switch r.Kind {
	case Length, Items, Fields:
		if r.Min > r.Max {
			return fmt.Sprintf("the least, %s, is above the most, %s", trim(r.Min), trim(r.Max))
		}
	}
	low, high := math.Inf(-1), math.Inf(1) // of what all limits allow
	lowOpen, highOpen := false, false
	above := func(v float64, open bool) {
		if v > low || v == low && open {
			low, lowOpen = v, open
		}
	}
	below := func(v float64, open bool) {
		if v < high || v == high && open {
			high, highOpen = v, open
		}
	}
	for _, l := range r.Limits {
		switch l.Op {
		case Equal:
			above(l.A, false)
			below(l.A, false)
		case Above:
			above(l.A, true)
		case AtLeast:
			above(l.A, false)
		case Below:
			below(l.A, true)
		case AtMost:
			below(l.A, false)
		case Between:
			above(l.A, true)
			below(l.B, true)
		}
	}
	if len(r.Limits) == 0 || r.Kind == Freshness {
		return ""
	}
	if low > high || low == high && (lowOpen || highOpen) {
		return "its operators exclude one another (the standard's mustBeBetween excludes both ends)"
	}
	if high < 0 || high == 0 && highOpen {
		return "a count is never below 0"
	}
	if r.Percent && (low > 100 || low == 100 && lowOpen) {
		return "a percentage is never above 100"
	}
	return ""
}

func (l *linter) columns(columns []Column, parent string) {
	for _, c := range columns {
		path := parent + c.Name
		if c.Class == "" && Sensitive(c.Name, "", nil) && !Sensitive("x", "", c.Tags) {
			l.findings = append(l.findings, Finding{Severity: Warning, Policy: true, Line: c.Line,
				Message: fmt.Sprintf("column %s looks sensitive by its name but has no classification (it is masked; classify it, as public if it may be shown)", path)})
		}
		o := c.Options
		if o.Min != nil && o.Max != nil && o.Min.Value > o.Max.Value {
			l.add(Fatal, c.Line, 0, "column %s: minimum %s is above maximum %s", path, o.Min, o.Max)
		}
		if c.Type == "" {
			l.add(Info, c.Line, 0, "column %s has no logicalType, so its type is not judged", path)
		}
		l.columns(c.Fields, path+".")
		if c.Items != nil {
			l.columns(c.Items.Fields, path+"[].")
		}
	}
}

func (l *linter) policy() {
	p := l.product
	add := func(s Severity, message string) {
		l.findings = append(l.findings, Finding{Severity: s, Policy: true, Message: message})
	}
	if len(p.Owners) == 0 {
		add(Fatal, "no owner: nobody is called when the contract breaks")
	}
	if len(p.Consumers) == 0 {
		add(Warning, "no consumer is named: nobody knows who is hurt when the contract breaks")
	}
	if strings.TrimSpace(p.Description) == "" {
		add(Warning, "no description")
	}
	if p.Version == "" {
		add(Warning, "no version: consumers cannot tell what they rely on")
	}
	if len(p.Rules) == 0 {
		add(Fatal, "no rule: the contract promises nothing")
	}
}
