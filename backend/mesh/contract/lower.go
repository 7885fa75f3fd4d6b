package contract

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options reads logicalTypeOptions; which keys it may have depends on the logical type.
func (r *reader) options(n *node, typ string) Options {
	var o Options
	allowed := map[string][]string{
		"string":  {"minLength", "maxLength", "pattern", "format"},
		"number":  {"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"},
		"integer": {"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format"},
		"date":    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format", "timezone", "defaultTimezone"},
		"array":   {"minItems", "maxItems", "uniqueItems"},
		"object":  {"minProperties", "maxProperties", "required"},
		"vector":  {"dimensions", "elementType", "distanceMetric", "embeddingModel", "embeddingModelVersion", "normalized"},
	}
	allowed["timestamp"], allowed["time"] = allowed["date"], allowed["date"]
	dated := typ == "date" || typ == "timestamp" || typ == "time"
	count := func(v *node, key string) *int64 {
		i, ok := r.integer(v, key)
		if ok && i < 0 {
			r.fail(v, "%s: expected 0 or more, found %d", key, i)
		}
		if !ok {
			return nil
		}
		return &i
	}
	limit := func(v *node, key string, number **Number, date *string) {
		if dated {
			if *date = r.str(v, key); isBoolean(v) {
				r.fail(v, "%s: expected a date; true and false are the form of ODCS v3.0, write the limit itself", key)
			}
			return
		}
		if f, ok := r.number(v, key); ok {
			*number = &Number{f, strings.ReplaceAll(v.text, "_", "")}
		}
	}
	var openMin, openMax bool
	r.each(n, "logicalTypeOptions", func(key string, v *node) bool {
		if !slices.Contains(allowed[typ], key) {
			if typ == "" {
				r.fail(v, "logicalTypeOptions.%s: the property has no logicalType it could belong to", key)
				return true
			}
			return false
		}
		switch key {
		case "format":
			o.Format = r.str(v, key)
		case "pattern":
			o.Pattern = r.str(v, key)
		case "minLength":
			o.MinLength = count(v, key)
		case "maxLength":
			o.MaxLength = count(v, key)
		case "minimum":
			limit(v, key, &o.Min, &o.MinTime)
		case "maximum":
			limit(v, key, &o.Max, &o.MaxTime)
		case "exclusiveMinimum":
			if isBoolean(v) && !dated { // the form of ODCS v3.0
				openMin = r.boolean(v, key)
			} else {
				limit(v, key, &o.AboveMin, &o.AboveMinTime)
			}
		case "exclusiveMaximum":
			if isBoolean(v) && !dated {
				openMax = r.boolean(v, key)
			} else {
				limit(v, key, &o.AboveMax, &o.AboveMaxTime)
			}
		case "multipleOf":
			if f, ok := r.number(v, key); ok && f > 0 {
				o.MultipleOf = &f
			} else if ok {
				r.fail(v, "multipleOf: expected a number above 0, found %s", v.text)
			}
		case "minItems":
			o.MinItems = count(v, key)
		case "maxItems":
			o.MaxItems = count(v, key)
		case "uniqueItems":
			o.UniqueItems = r.boolean(v, key)
		case "minProperties":
			o.MinProperties = count(v, key)
		case "maxProperties":
			o.MaxProperties = count(v, key)
		case "required":
			o.Required = r.strs(v, key)
		case "timezone":
			b := r.boolean(v, key)
			o.Timezone = &b
		case "defaultTimezone":
			o.DefaultTimezone = r.str(v, key)
		case "dimensions":
			if o.Dimensions = count(v, key); o.Dimensions != nil && *o.Dimensions == 0 {
				r.fail(v, "dimensions: expected 1 or more, found 0")
			}
		case "elementType":
			if o.ElementType = r.str(v, key); !slices.Contains(elementTypes, o.ElementType) {
				r.fail(v, "elementType: expected one of %s, found %s", strings.Join(elementTypes, ", "), found(v))
			}
		}
		return true
	})
	if openMin {
		o.AboveMin, o.Min = o.Min, nil
	}
	if openMax {
		o.AboveMax, o.Max = o.Max, nil
	}
	return o
}

// elementTypes are the types of a vector's elements.
var elementTypes = []string{"bfloat16", "binary", "float16", "float32", "float64", "int8", "uint8"}

func isBoolean(n *node) bool { return n.plain && (n.text == "true" || n.text == "false") }

// lower turns what a column's declaration says into rules.
func lower(c Column, path string, at place) []Rule {
	var rules []Rule
	add := func(rule Rule) {
		rule.Columns = []string{path}
		rule.Line, rule.Col = at.line, at.col
		rules = append(rules, rule)
	}
	nested := strings.ContainsAny(path, ".[") && path != c.Name
	if !nested {
		severity := Fatal
		if !c.Required {
			severity = Warning
		}
		add(Rule{Name: "present", Kind: Present, Schema: true, Severity: severity})
	}
	if c.Required {
		add(Rule{Name: "required", Kind: Nulls})
	}
	switch inArray := strings.Contains(path, "[]"); {
	case inArray && c.PrimaryKey:
		add(Rule{Name: "primaryKey", Kind: Unjudged, Why: manyOfRow})
	case inArray && c.Unique:
		add(Rule{Name: "unique", Kind: Unjudged, Why: manyOfRow})
	case c.Unique && !c.PrimaryKey:
		add(Rule{Name: "unique", Kind: Duplicates})
	}
	o := c.Options
	dated := c.Type == "date" || c.Type == "timestamp" || c.Type == "time"
	layout, layoutErr := "", error(nil)
	if dated {
		layout, layoutErr = Layout(o.Format)
	}
	switch {
	case layoutErr != nil:
		add(Rule{Name: "logicalType", Kind: Unjudged, Schema: true, Why: layoutErr.Error()})
	case c.Type != "":
		add(Rule{Name: "logicalType", Kind: TypeOf, Type: c.Type, Text: o.Format, Schema: true})
	}
	timeFormat := o.timeFormat(c.Type)
	if dated {
		for _, rule := range zoneRules(c, layout) {
			add(rule)
		}
	}
	if c.Type == "vector" {
		rules = append(rules, vector(o, path, at)...)
	}
	if o.MinLength != nil || o.MaxLength != nil {
		add(span("length", Length, o.MinLength, o.MaxLength))
	}
	if o.Pattern != "" {
		add(pattern(Rule{Name: "pattern", Kind: Matches}, o.Pattern))
	}
	if o.Format != "" && (c.Type == "string" || c.Type == "integer" || c.Type == "number") {
		if knownFormat(c.Type, o.Format) {
			add(Rule{Name: "format", Kind: Formatted, Text: o.Format, Type: c.Type})
		} else {
			add(Rule{Name: "format", Kind: Unjudged, Severity: Info, Why: fmt.Sprintf("format %q has no agreed meaning for %s", o.Format, c.Type)})
		}
	}
	bound := func(name string, v *Number, min, open bool) {
		if v == nil {
			return
		}
		rule := Rule{Name: name, Kind: Range, Min: math.Inf(-1), Max: math.Inf(1), Text: v.String()}
		if min {
			rule.Min, rule.MinOpen = v.Value, open
		} else {
			rule.Max, rule.MaxOpen = v.Value, open
		}
		add(rule)
	}
	bound("minimum", o.Min, true, false)
	bound("maximum", o.Max, false, false)
	bound("exclusiveMinimum", o.AboveMin, true, true)
	bound("exclusiveMaximum", o.AboveMax, false, true)
	if o.MultipleOf != nil {
		add(Rule{Name: "multipleOf", Kind: Multiple, Min: *o.MultipleOf, Text: trim(*o.MultipleOf)})
	}
	timeBound := func(name, text string, min, open bool) {
		if text == "" {
			return
		}
		rule := Rule{Name: name, Kind: TimeRange, MinOpen: min && open, MaxOpen: !min && open, Text: text, Type: timeFormat, Clock: c.Type == "time"}
		t, ok := ParseLayout(inZone("", o.zone(c.Type)), []byte(text))
		if rule.Clock {
			t, ok = ParseClock([]byte(text))
		}
		if !ok && layout != "" {
			if t, ok = ParseLayout(inZone(layout, o.zone(c.Type)), []byte(text)); rule.Clock {
				t = OfDay(t)
			}
		}
		switch {
		case layoutErr != nil:
			rule.Kind, rule.Why = Unjudged, layoutErr.Error()
		case !ok:
			rule.Kind, rule.Why = Unjudged, fmt.Sprintf("%s %q is not a %s", name, text, kindOfTime(c.Type))
		case min:
			rule.After = t
		default:
			rule.Before = t
		}
		add(rule)
	}
	timeBound("minimum", o.MinTime, true, false)
	timeBound("maximum", o.MaxTime, false, false)
	timeBound("exclusiveMinimum", o.AboveMinTime, true, true)
	timeBound("exclusiveMaximum", o.AboveMaxTime, false, true)
	if o.MinItems != nil || o.MaxItems != nil {
		add(span("items", Items, o.MinItems, o.MaxItems))
	}
	if o.UniqueItems {
		add(Rule{Name: "uniqueItems", Kind: ItemsOnce})
	}
	if o.MinProperties != nil || o.MaxProperties != nil {
		add(span("properties", Fields, o.MinProperties, o.MaxProperties))
	}
	for _, field := range o.Required {
		rules = append(rules, Rule{Name: "required", Kind: Nulls, Columns: []string{path + "." + field}, Line: at.line, Col: at.col})
	}
	if c.Type == "timestamp" && layoutErr == nil {
		add(Rule{Name: "future", Kind: Future, Severity: Warning, Age: 5 * time.Minute, Type: timeFormat})
	}
	return rules
}

// kindOfTime is what a limit of a type is to be.
func kindOfTime(typ string) string {
	if typ == "time" {
		return "time of day, such as 08:30"
	}
	return "time"
}

// zone is the zone of the times that do not say theirs. It is none for times of day: what an offset is depends on the day.
func (o Options) zone(typ string) string {
	if _, err := LoadZone(o.DefaultTimezone); err != nil || typ == "time" {
		return ""
	}
	return o.DefaultTimezone
}

// timeFormat is the format of a column's times, with their zone.
func (o Options) timeFormat(typ string) string { return inZone(o.Format, o.zone(typ)) }

// zoneRules are what a column of times says of their zones: whether they say one is judged value by value, unless they are
// in a format, which either has one or not.
func zoneRules(c Column, layout string) []Rule {
	var rules []Rule
	unjudged := func(name, why string) { rules = append(rules, Rule{Name: name, Kind: Unjudged, Why: why}) }
	o := c.Options
	switch {
	case o.Timezone == nil:
	case c.Type == "date":
		unjudged("timezone", "a date has no time zone")
	case layout == "" && *o.Timezone:
		rules = append(rules, Rule{Name: "timezone", Kind: Formatted, Type: c.Type, Text: ZoneSaid, Schema: true})
	case layout == "":
		rules = append(rules, Rule{Name: "timezone", Kind: Formatted, Type: c.Type, Text: ZoneUnsaid, Schema: true})
	case *o.Timezone && !layoutSaysZone(layout):
		unjudged("timezone", fmt.Sprintf("it is true, but format %q has no time zone; end the format in XXX, or leave timezone out", o.Format))
	case !*o.Timezone && layoutSaysZone(layout):
		unjudged("timezone", fmt.Sprintf("it is false, but format %q has a time zone; take it out of the format, or leave timezone out", o.Format))
	}
	if o.DefaultTimezone != "" {
		if _, err := LoadZone(o.DefaultTimezone); err != nil {
			unjudged("defaultTimezone", err.Error())
		}
	}
	return rules
}

// vector are the rules of an array of numbers of a fixed length.
func vector(o Options, path string, at place) []Rule {
	if o.ElementType == "binary" {
		return []Rule{{Name: "dimensions", Kind: Unjudged, Columns: []string{path}, Line: at.line, Col: at.col, Why: "how the bits of a binary vector are written is not agreed"}}
	}
	number := Rule{Name: "elementType", Kind: TypeOf, Columns: []string{path + "[]"}, Type: "number", Text: or(o.ElementType, "float32"), Schema: true, Line: at.line, Col: at.col}
	if strings.HasSuffix(o.ElementType, "int8") {
		number.Type = "integer"
	}
	if o.Dimensions == nil {
		return []Rule{number}
	}
	length := span("dimensions", Items, o.Dimensions, o.Dimensions)
	length.Columns, length.Line, length.Col, length.Text = []string{path}, at.line, at.col, "= "+strconv.FormatInt(*o.Dimensions, 10)
	return []Rule{length, number}
}

// manyOfRow is why a rule on duplicates cannot be judged inside an array.
const manyOfRow = "it is inside an array, so that a row may have many of it; weir compares whole rows (uniqueItems compares an array's items)"

func span(name string, kind Kind, low, high *int64) Rule {
	rule := Rule{Name: name, Kind: kind, Min: 0, Max: math.Inf(1)}
	if low != nil {
		rule.Min, rule.Text = float64(*low), "≥ "+strconv.FormatInt(*low, 10)
	}
	if high != nil {
		rule.Max = float64(*high)
		rule.Text = strings.TrimPrefix(rule.Text+" and ≤ "+strconv.FormatInt(*high, 10), " and ")
	}
	return rule
}

// pattern compiles a rule's regular expression. RE2 runs in time linear in the value whatever the pattern; what it
// cannot express (look-around, back-references) makes the rule one that is not judged, and says so.
func pattern(rule Rule, text string) Rule {
	re, err := regexp.Compile(text)
	if err != nil {
		rule.Kind, rule.Why = Unjudged, "the pattern "+strconv.Quote(clip(text, 80))+" is not one RE2 can run: "+err.Error()
		return rule
	}
	rule.Pattern, rule.Text = re, text
	return rule
}

func knownFormat(typ, format string) bool {
	switch typ {
	case "string":
		return slices.Contains([]string{"email", "uuid", "uri", "hostname", "ipv4", "ipv6", "byte"}, format)
	case "integer":
		_, _, ok := IntegerFormat(format)
		return ok
	}
	return format == "f32" || format == "f64"
}

// IntegerFormat gives the bits of one of ODCS' integer formats (i8 to i128, u8 to u128), and whether it is signed.
func IntegerFormat(format string) (bits int, signed, ok bool) {
	if len(format) < 2 || format[0] != 'i' && format[0] != 'u' {
		return 0, false, false
	}
	n, err := strconv.Atoi(format[1:])
	if err != nil || !slices.Contains([]int{8, 16, 32, 64, 128}, n) {
		return 0, false, false
	}
	return n, format[0] == 'i', true
}
