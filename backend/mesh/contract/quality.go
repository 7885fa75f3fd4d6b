package contract

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// quality reads a list of ODCS quality rules; column is nil for those of the schema object.
func (r *reader) quality(n *node, column []string) []Rule {
	var rules []Rule
	for _, e := range r.list(n, "quality") {
		rules = append(rules, r.qualityRule(e, column))
	}
	return rules
}

// operator is one comparison as the file has it.
type operator struct {
	key   string
	op    Op
	limit *node
}

func (r *reader) qualityRule(n *node, column []string) Rule {
	rule := Rule{Columns: column, Line: n.line, Col: n.col}
	var typ, metric, old, id, description string
	var validValues, missingValues, properties, unit *node
	var operators []operator
	var re string
	arguments := func(key string, v *node) bool {
		switch key {
		case "validValues":
			validValues = v
		case "missingValues":
			missingValues = v
		case "properties":
			properties = v
		case "pattern":
			re = r.str(v, key)
		default:
			return false
		}
		return true
	}
	r.each(n, "quality rule", func(key string, v *node) bool {
		if op, ok := opNames[key]; ok {
			operators = append(operators, operator{key, op, v})
			return true
		}
		switch key {
		case "type":
			typ = r.str(v, key)
		case "metric":
			metric = r.str(v, key)
		case "rule":
			old = r.str(v, key)
		case "arguments":
			r.each(v, "arguments", arguments)
		case "unit":
			unit = v
		case "severity":
			rule.Severity = severity(r.str(v, key))
		case "name":
			rule.Label = r.str(v, key)
		case "id":
			id = r.str(v, key)
		case "description":
			description = r.str(v, key)
		case "query", "engine", "implementation", "dimension", "method", "businessImpact", "customProperties", "tags",
			"authoritativeDefinitions", "scheduler", "schedule":
		default:
			return arguments(key, v) // v3.0 wrote them beside the rule
		}
		return true
	})
	for _, label := range []string{id, description} {
		if rule.Label == "" {
			rule.Label = clip(label, 80)
		}
	}
	if metric == "" {
		metric = old
	}
	if typ == "" && metric != "" {
		typ = "library"
	}
	switch typ {
	case "library": // other types may compare whatever they like in any unit
		for _, o := range operators {
			r.limit(&rule, o.key, o.op, o.limit)
		}
		if unit != nil {
			switch strings.ToLower(r.str(unit, "unit")) {
			case "percent", "%":
				rule.Percent = true
			case "rows", "row", "":
			default:
				r.fail(unit, "unit: expected rows or percent, found %s", found(unit))
			}
		}
		r.metric(&rule, metric, validValues, missingValues, properties, re)
	case "text":
		rule.Name, rule.Kind, rule.Severity, rule.Why = "text", Unjudged, Info, "a text for people"
	case "sql":
		rule.Name, rule.Kind, rule.Why = "sql", Unjudged, "SQL needs the database it was written for; weir judges files and streams"
	case "custom":
		rule.Name, rule.Kind, rule.Why = "custom", Unjudged, "the rule belongs to another engine"
	default:
		rule.Name, rule.Kind, rule.Why = "quality", Unjudged, fmt.Sprintf("type %q is not library, text, sql or custom, and no metric is named", typ)
	}
	return rule
}

// metric fills in a library metric. One that is not understood becomes a rule that is not judged and says why.
func (r *reader) metric(rule *Rule, metric string, validValues, missingValues, properties *node, re string) {
	rule.Name = metric
	unjudged := func(format string, args ...any) {
		rule.Kind, rule.Why = Unjudged, fmt.Sprintf(format, args...)
	}
	onColumn := len(rule.Columns) > 0
	switch metric {
	case "nullValues", "nullCheck", "nullCount":
		rule.Kind = Nulls
	case "missingValues":
		rule.Kind = Missing
		if missingValues == nil {
			rule.WithNull, rule.Values = true, []string{""}
		} else {
			if rule.Values, rule.WithNull = r.values(missingValues, "missingValues"); len(rule.Values) == 0 && !rule.WithNull {
				unjudged("its missingValues name no value")
			}
		}
	case "invalidValues", "validValues":
		rule.Kind = Invalid
		if validValues != nil {
			// A null is not a value, so it is never an invalid one, listed or not; nullValues counts it.
			if rule.Values, _ = r.values(validValues, "validValues"); len(rule.Values) == 0 {
				unjudged("its validValues name no value")
			}
		}
		if re != "" && rule.Kind != Unjudged {
			*rule = pattern(*rule, re)
		}
		if validValues == nil && re == "" {
			unjudged("%s needs validValues or a pattern among its arguments", metric)
		}
	case "duplicateValues", "duplicateCount":
		rule.Kind = Duplicates
		if properties != nil {
			rule.Columns = r.strs(properties, "properties")
			onColumn = true
		}
		if !onColumn {
			unjudged("%s of a schema needs properties among its arguments", metric)
		}
		if slices.ContainsFunc(rule.Columns, func(path string) bool { return strings.Contains(path, "[]") }) {
			unjudged("%s", manyOfRow)
		}
	case "rowCount":
		rule.Kind = Rows
		if rule.Percent {
			unjudged("rowCount cannot be a percentage")
		}
		if onColumn {
			rule.Columns = nil
		}
		onColumn = true
	case "":
		rule.Name = "quality"
		unjudged("it names no metric; expected nullValues, missingValues, invalidValues, duplicateValues or rowCount")
		return
	default:
		unjudged("the metric %q is not one of nullValues, missingValues, invalidValues, duplicateValues, rowCount", metric)
		return
	}
	if !onColumn {
		unjudged("%s belongs to a property, not to a schema", metric)
	}
	if len(rule.Limits) == 0 && rule.Kind != Unjudged {
		unjudged("%s has no operator (mustBe, mustBeLessThan, …), so there is nothing it must be", metric)
	}
}

func (r *reader) limit(rule *Rule, key string, op Op, n *node) {
	l := Limit{Op: op}
	if op != Between && op != NotBetween {
		v, ok := r.number(n, key)
		if l.A = v; ok {
			rule.Limits = append(rule.Limits, l)
		}
		return
	}
	pair := r.list(n, key)
	if len(pair) != 2 {
		r.fail(n, "%s: expected a list of two numbers", key)
		return
	}
	a, ok1 := r.number(pair[0], key)
	b, ok2 := r.number(pair[1], key)
	if l.A, l.B = a, b; ok1 && ok2 {
		if a > b {
			r.fail(n, "%s: the first number must not be above the second", key)
		}
		rule.Limits = append(rule.Limits, l)
	}
}

func (r *reader) values(n *node, what string) (values []string, null bool) {
	for _, e := range r.list(n, what) {
		switch {
		case e.kind != scalarNode:
			r.fail(e, "%s: expected a list of single values", what)
		case e.null:
			null = true
		case !slices.Contains(values, e.text):
			values = append(values, e.text)
		}
	}
	return values, null
}

func severity(s string) Severity {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "info", "information", "informational", "low":
		return Info
	case "warning", "warn", "medium", "minor":
		return Warning
	}
	return Fatal
}

// sla reads the service levels and turns those that can be seen in the data into rules: latency (also called
// freshness) and frequency. The others are kept and shown.
func (r *reader) sla(n *node, defaultElement string, p *Product) {
	for _, e := range r.list(n, "slaProperties") {
		s := SLA{Line: e.line, Element: defaultElement}
		r.each(e, "service level", func(key string, v *node) bool {
			switch key {
			case "property":
				s.Property = r.str(v, key)
			case "value":
				if v.kind == scalarNode {
					s.Value = v.text
				}
			case "unit":
				s.Unit = r.str(v, key)
			case "element", "column": // column is v2's word, which examples of v3.0 still have
				s.Element = r.str(v, key)
			case "id", "valueExt", "driver", "description", "scheduler", "schedule", "customProperties", "authoritativeDefinitions":
			default:
				return false
			}
			return true
		})
		if s.Property == "" {
			r.fail(e, "service level: the key \"property\" is missing")
			continue
		}
		elements, ours := r.elements(s.Element, p.Columns)
		if !ours {
			continue
		}
		for _, element := range elements {
			one := s
			one.Element = element
			p.SLA = append(p.SLA, one)
			p.Rules = append(p.Rules, slaRules(one, place{e.line, e.col}, formatOf(p.Columns, element))...)
		}
		if name := strings.ToLower(s.Property); name == "frequency" || name == "fy" {
			p.Refresh = strings.TrimSpace(s.Value + " " + s.Unit)
		}
	}
}

// elements are the columns a service level speaks of, separated by commas, each without its table's name; the empty one stands
// for the schema object as a whole. It is not ours when all are of other schema objects.
func (r *reader) elements(text string, columns []Column) (elements []string, ours bool) {
	isTable := func(name string) bool {
		return slices.ContainsFunc(r.names, func(n [2]string) bool { return slices.Contains(n[:], name) })
	}
	for _, element := range strings.Split(text, ",") {
		element = strings.TrimSpace(element)
		declared := func(name string) bool {
			return slices.ContainsFunc(columns, func(c Column) bool { return c.Name == name })
		}
		table, rest, dotted := strings.Cut(element, ".")
		switch {
		case declared(table) || declared(element):
		case isTable(table) && !slices.Contains(r.names[r.object][:], table):
			continue
		case dotted, isTable(table):
			element = rest // orders.created_at is the column created_at, orders none
		}
		elements = append(elements, element)
	}
	return elements, len(elements) > 0
}

// formatOf is the format of the times in a column or field, with their zone.
func formatOf(columns []Column, path string) string {
	for _, c := range columns {
		if c.Name == path {
			return c.Options.timeFormat(c.Type)
		}
		if rest, ok := strings.CutPrefix(path, c.Name+"."); ok {
			return formatOf(c.Fields, rest)
		}
	}
	return ""
}

func slaRules(s SLA, at place, format string) []Rule {
	name := strings.ToLower(s.Property)
	switch name {
	case "latency", "ly", "freshness", "frequency", "fy":
	default:
		return nil
	}
	rule := Rule{Name: s.Property, Kind: Freshness, Line: at.line, Col: at.col, Text: strings.TrimSpace(s.Value + " " + s.Unit), Type: format}
	if s.Element != "" {
		rule.Columns = []string{s.Element}
	}
	age, ok := ParseEvery(rule.Text)
	if !ok {
		rule.Kind, rule.Why = Unjudged, fmt.Sprintf("%s %q is not a length of time", s.Property, rule.Text)
		return []Rule{rule}
	}
	rule.Age, rule.Limits = age, []Limit{{Op: AtMost, A: age.Seconds()}}
	if name == "frequency" || name == "fy" || s.Element == "" {
		return []Rule{rule}
	}
	late := Rule{Name: "late", Kind: Late, Columns: rule.Columns, Age: age, Severity: Warning, Text: rule.Text, Type: format, Line: at.line, Col: at.col}
	future := Rule{Name: "future", Kind: Future, Columns: rule.Columns, Age: 5 * time.Minute, Type: format, Line: at.line, Col: at.col}
	return []Rule{rule, late, future}
}
