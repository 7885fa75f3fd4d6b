package contract

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Kind is what a rule counts.
type Kind uint8

// The kinds of rules. Those up to Fields look at one value each and count the rows that fail; the others look at the
// data set as a whole.
const (
	Nulls      Kind = iota // rows where the column is null or absent
	Missing                // rows whose value is one of Values, or null if WithNull
	Invalid                // rows whose value is not null and not one of Values or does not match Pattern
	TypeOf                 // rows whose value is not of Type
	Length                 // rows whose text has a length outside Min..Max
	Matches                // rows whose text does not match Pattern
	Formatted              // rows whose text is not in the format Text
	Range                  // rows whose number is outside Min..Max
	Multiple               // rows whose number is not a multiple of Min
	TimeRange              // rows whose time is outside After..Before
	Items                  // rows whose array has a length outside Min..Max
	ItemsOnce              // rows whose array repeats an element
	Fields                 // rows whose object has a number of fields outside Min..Max
	Future                 // rows whose time lies in the future
	Late                   // rows that came later than Age after their own time
	Present                // the column is in the data at all
	Duplicates             // rows whose values in Columns came before
	Rows                   // rows of the data set
	Freshness              // age of the newest time, in seconds
	Drift                  // columns of the data nobody declared
	Unjudged               // nothing: the rule cannot be judged, Why says why
)

// Severity says what a rule that does not hold means.
type Severity string

// The severities. Only Fatal breaks the contract. The empty Severity is Fatal.
const (
	Fatal   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Rule is one thing the data must satisfy.
type Rule struct {
	Name     string // in the file's words, such as max_null_percentage, required, minimum, nullValues
	Label    string // the rule's own name or description in the contract, if it has one
	Kind     Kind
	Columns  []string // dotted paths; none: every column of the data, or the data set as a whole
	Flat     bool     // Columns are names to be taken as they are, dots included
	Severity Severity
	Schema   bool // counts against schema_compliance, else against quality_compliance

	// Limits are what the metric must satisfy, all of them. Percent makes the metric 100 × failed / rows, Share
	// failed / rows; else it is the number of rows. Without limits it must be 0.
	Limits  []Limit
	Percent bool
	Share   bool

	Type     string // TypeOf; of rules about times, the column's format
	Text     string // the limit as written, for messages
	Values   []string
	WithNull bool
	Pattern  *regexp.Regexp
	Min, Max float64 // ±Inf where open
	MinOpen  bool    // the limit itself fails
	MaxOpen  bool
	After    time.Time // zero where open
	Before   time.Time
	Clock    bool // TimeRange: they are times of day, in UTC
	Age      time.Duration
	Why      string // Unjudged

	Line, Col int
}

// Column is the rule's column, or empty if it has none or several.
func (r Rule) Column() string {
	if len(r.Columns) == 1 {
		return r.Columns[0]
	}
	return ""
}

// Breaks tells whether the contract breaks when the rule does not hold.
func (r Rule) Breaks() bool { return r.Severity == "" || r.Severity == Fatal }

// Title is the rule as people know it: its name, its column, and its label if it has one.
func (r Rule) Title() string {
	s := r.Name
	if len(r.Columns) > 0 {
		s += " of " + strings.Join(r.Columns, ", ")
	}
	if r.Label != "" {
		s += " (" + r.Label + ")"
	}
	return s
}

// Op compares a metric with a limit.
type Op uint8

// The operators of ODCS, and AtMost for the article's threshold.
const (
	Equal Op = iota
	NotEqual
	Above
	AtLeast
	Below
	AtMost
	Between    // strictly, as the standard defines it: mustBeGreaterThan and mustBeLessThan
	NotBetween // the opposite of Between: at most A or at least B
)

// opNames are the operators' keys in ODCS.
var opNames = map[string]Op{
	"mustBe": Equal, "mustNotBe": NotEqual, "mustBeGreaterThan": Above, "mustBeGreaterOrEqualTo": AtLeast,
	"mustBeGreaterThanOrEqualTo": AtLeast, "mustBeLessThan": Below, "mustBeLessOrEqualTo": AtMost,
	"mustBeLessThanOrEqualTo": AtMost, "mustBeBetween": Between, "mustNotBeBetween": NotBetween,
}

// Limit is one comparison; B is only used by the Between pair.
type Limit struct {
	Op   Op
	A, B float64
}

// Holds tells whether a metric satisfies the limit. NaN satisfies none.
func (l Limit) Holds(v float64) bool {
	switch l.Op {
	case Equal:
		return v == l.A
	case NotEqual:
		return v != l.A && !math.IsNaN(v)
	case Above:
		return v > l.A
	case AtLeast:
		return v >= l.A
	case Below:
		return v < l.A
	case AtMost:
		return v <= l.A
	case Between:
		return v > l.A && v < l.B
	case NotBetween:
		return v <= l.A || v >= l.B
	}
	return false
}

// String is the limit in symbols, such as "≤ 5".
func (l Limit) String() string {
	switch l.Op {
	case Between:
		return fmt.Sprintf("> %s and < %s", trim(l.A), trim(l.B)) // "between" would leave open whether the ends are
	case NotBetween:
		return fmt.Sprintf("≤ %s or ≥ %s", trim(l.A), trim(l.B))
	}
	return [...]string{"=", "≠", ">", "≥", "<", "≤"}[l.Op] + " " + trim(l.A)
}

func trim(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// Holds tells whether a metric satisfies the rule.
func (r Rule) Holds(metric float64) bool {
	if len(r.Limits) == 0 {
		return metric == 0
	}
	for _, l := range r.Limits {
		if !l.Holds(metric) {
			return false
		}
	}
	return true
}
