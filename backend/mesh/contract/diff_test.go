package contract

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func odcs(t *testing.T, properties, rest string) Product {
	t.Helper()
	p, err := Parse([]byte("apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\nschema:\n- name: t\n  properties: ["+properties+"]\n"+rest), "d", "n")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDiffSaysWhomAChangeBreaks(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"{name: a}", "{name: a}", ""},
		{"{name: a}", "{name: a}, {name: b}", "-: b: added, optional"},
		{"{name: a}", "{name: a}, {name: b, required: true, logicalType: string}", "producers: b: added, required"},
		{"{name: a}, {name: b, logicalType: string}", "{name: a}", "consumers: b: removed"},
		{"{name: a}", "{name: a, required: true}", "producers: required of a: added"},
		{"{name: a, required: true}", "{name: a}", "consumers: required of a: removed"},
		{"{name: a, logicalType: integer}", "{name: a, logicalType: number}", "consumers: a: type number, was integer"},
		{"{name: a, logicalType: number}", "{name: a, logicalType: integer}", "producers: a: type integer, was number"},
		{"{name: a, logicalType: string}", "{name: a, logicalType: integer}", "both: a: type integer, was string"},
		{"{name: a}", "{name: a, logicalType: integer}", "producers: a: type integer, was any"},
		{"{name: a, logicalType: string, logicalTypeOptions: {maxLength: 5}}", "{name: a, logicalType: string, logicalTypeOptions: {maxLength: 9}}", "consumers: length of a: ≤ 9, was ≤ 5"},
		{"{name: a, logicalType: number, logicalTypeOptions: {minimum: 0}}", "{name: a, logicalType: number, logicalTypeOptions: {minimum: 1}}", "producers: minimum of a: 1, was 0"},
		{"{name: a, logicalType: string, logicalTypeOptions: {pattern: x}}", "{name: a, logicalType: string, logicalTypeOptions: {pattern: y}}", "both: pattern of a: y, was x"},
		{"{name: a, quality: [{metric: invalidValues, arguments: {validValues: [x, y]}, mustBe: 0}]}", "{name: a, quality: [{metric: invalidValues, arguments: {validValues: [x, y, z]}, mustBe: 0}]}",
			"consumers: invalidValues of a: = 0 and values x, y, z, was = 0 and values x, y"},
		{"{name: a, quality: [{metric: nullValues, mustBeLessThan: 5, unit: percent}]}", "{name: a, quality: [{metric: nullValues, mustBeLessThan: 1, unit: percent}]}", "producers: nullValues of a: < 1%, was < 5%"},
		{"{name: a, quality: [{metric: nullValues, mustBe: 0, severity: warning}]}", "{name: a, quality: [{metric: nullValues, mustBe: 0}]}", "producers: nullValues of a: severity error, was warning"},
		{"{name: a, logicalType: object, properties: [{name: b}]}", "{name: a, logicalType: object, properties: []}", "consumers: a.b: removed"},
		{"{name: a, logicalType: array, items: {logicalType: string}}", "{name: a, logicalType: array, items: {logicalType: integer}}", "both: a[]: type integer, was string"},
		{"{name: a, quality: [{metric: invalidValues, arguments: {validValues: [x]}, mustBe: 0}, {metric: invalidValues, arguments: {pattern: y}, mustBe: 0}]}",
			"{name: a, quality: [{metric: invalidValues, arguments: {pattern: y}, mustBe: 0}, {metric: invalidValues, arguments: {validValues: [x]}, mustBe: 0}]}", ""},
		{"{name: a, primaryKey: true, primaryKeyPosition: 1}, {name: b, primaryKey: true, primaryKeyPosition: 2}", "{name: a, primaryKey: true, primaryKeyPosition: 2}, {name: b, primaryKey: true, primaryKeyPosition: 1}", ""},
		{"{name: a, enum: [{value: x}]}", "{name: a, enum: [{value: x}, {value: y}]}", "consumers: enum of a: = 0 and values x, y, was = 0 and values x"},
		{"{name: a, logicalType: timestamp, logicalTypeOptions: {defaultTimezone: Etc/UTC}}", "{name: a, logicalType: timestamp}", ""},
		{"{name: a, logicalType: timestamp}", "{name: a, logicalType: timestamp, logicalTypeOptions: {defaultTimezone: Europe/Oslo}}", "both: a defaultTimezone: Europe/Oslo, was UTC"},
		{"{name: a, logicalType: timestamp, logicalTypeOptions: {timezone: true}}", "{name: a, logicalType: timestamp, logicalTypeOptions: {timezone: false}}", "both: timezone of a: no time zone, was a time zone"},
		{"{name: a, classification: public}", "{name: a, classification: restricted}", "-: a classification: restricted, was public"},
	} {
		if s := differences(t, c.old, c.new); s != c.want {
			t.Errorf("%s → %s:\ngot  %s\nwant %s", c.old, c.new, s, c.want)
		}
	}
}

// TestDiffLooksAtTheValuesBetweenBounds and not at the words that bound them.
func TestDiffLooksAtTheValuesBetweenBounds(t *testing.T) {
	for _, c := range []struct{ typ, old, new, want string }{
		{"integer", "minimum: 1", "exclusiveMinimum: 0", "-: exclusiveMinimum of a: 0, was minimum 1"},
		{"integer", "exclusiveMinimum: 0.5", "minimum: 1", "-: minimum of a: 1, was exclusiveMinimum 0.5"},
		{"integer", "maximum: 9", "exclusiveMaximum: 10", "-: exclusiveMaximum of a: 10, was maximum 9"},
		{"integer", "minimum: 1", "exclusiveMinimum: 1", "producers: exclusiveMinimum of a: 1, was minimum 1"},
		{"integer", "minimum: 0.5", "minimum: 1", "-: minimum of a: 1, was 0.5"},
		{"number", "minimum: 1", "exclusiveMinimum: 0", "consumers: exclusiveMinimum of a: 0, was minimum 1"},
		{"number", "minimum: 1", "exclusiveMinimum: 1", "producers: exclusiveMinimum of a: 1, was minimum 1"},
		{"number", "exclusiveMaximum: 1", "maximum: 1", "consumers: maximum of a: 1, was exclusiveMaximum 1"},
		{"number", "maximum: 1", "exclusiveMaximum: 2", "consumers: exclusiveMaximum of a: 2, was maximum 1"},
		{"number", "maximum: 2", "exclusiveMaximum: 1", "producers: exclusiveMaximum of a: 1, was maximum 2"},
		{"number", "minimum: 1", "minimum: 1, exclusiveMinimum: 0", "-: minimum of a: 1 and exclusiveMinimum 0, was 1"},
		{"number", "minimum: 1", "minimum: 1, exclusiveMinimum: 2", "producers: minimum of a: 1 and exclusiveMinimum 2, was 1"},
		{"number", "minimum: 1, exclusiveMinimum: true", "exclusiveMinimum: 1", ""}, // v3.0's form
		{"number", "minimum: 1", "maximum: 1", "consumers: minimum of a: removed; producers: maximum of a: added 1"},
		{"number", "minimum: 0, maximum: 5", "minimum: 1, maximum: 6", "producers: minimum of a: 1, was 0; consumers: maximum of a: 6, was 5"},
		{"timestamp", "minimum: '2026-01-01'", "exclusiveMinimum: '2025-12-31'", "consumers: exclusiveMinimum of a: 2025-12-31, was minimum 2026-01-01"},
		{"timestamp", "minimum: '2026-01-01T00:00:00Z'", "minimum: '2026-01-01T01:00:00+01:00'", "-: minimum of a: 2026-01-01T01:00:00+01:00, was 2026-01-01T00:00:00Z"},
		{"timestamp", "maximum: '2026-01-01'", "exclusiveMaximum: '2026-01-01'", "producers: exclusiveMaximum of a: 2026-01-01, was maximum 2026-01-01"},
		{"date", "minimum: '2026-01-01'", "exclusiveMinimum: '2025-12-31'", "-: exclusiveMinimum of a: 2025-12-31, was minimum 2026-01-01"},
		{"date", "maximum: '2026-01-01'", "exclusiveMaximum: '2026-01-02'", "-: exclusiveMaximum of a: 2026-01-02, was maximum 2026-01-01"},
	} {
		property := func(options string) string {
			return "{name: a, logicalType: " + c.typ + ", logicalTypeOptions: {" + options + "}}"
		}
		if got := differences(t, property(c.old), property(c.new)); got != c.want {
			t.Errorf("%s, %s → %s:\ngot  %s\nwant %s", c.typ, c.old, c.new, got, c.want)
		}
	}
	// Whole numbers from 1 on are among the numbers above 0; 0.5 is not among the whole numbers.
	const old, wide = "{name: a, logicalType: integer, logicalTypeOptions: {minimum: 1}}", "{name: a, logicalType: number, logicalTypeOptions: {exclusiveMinimum: 0}}"
	if got := differences(t, old, wide); got != "consumers: a: type number, was integer; consumers: exclusiveMinimum of a: 0, was minimum 1" {
		t.Error(got)
	}
	if got := differences(t, wide, old); got != "producers: a: type integer, was number; producers: minimum of a: 1, was exclusiveMinimum 0" {
		t.Error(got)
	}
	if got := differences(t, "{name: a, items: {properties: [{name: b, logicalType: integer, logicalTypeOptions: {minimum: 1}}]}}",
		"{name: a, items: {properties: [{name: b, logicalType: integer, logicalTypeOptions: {exclusiveMinimum: 0}}]}}"); got != "-: exclusiveMinimum of a[].b: 0, was minimum 1" {
		t.Error(got)
	}
}

// TestDiffLooksAtWhatRulesAllow and not at their names, nor at the word for a limit.
func TestDiffLooksAtWhatRulesAllow(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"required: true", "quality: [{metric: nullValues, mustBe: 0}]", "-: nullValues of a: = 0, was required"},
		{"required: true", "quality: [{metric: nullValues, mustBeLessThan: 5, unit: percent}]", "consumers: nullValues of a: < 5%, was required"},
		{"quality: [{metric: nullValues, mustBeLessThan: 5, unit: percent}]", "required: true", "producers: required of a, was nullValues < 5%"},
		{"unique: true", "quality: [{metric: duplicateValues, mustBeLessThan: 1}]", "-: duplicateValues of a: < 1, was unique"},
		{"enum: [{value: x}]", "quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [x, y]}}]", "consumers: invalidValues of a: = 0 and values x, y, was enum = 0 and values x"},
		{"quality: [{metric: nullValues, mustBe: 0}]", "quality: [{metric: nullValues, mustBeLessThan: 1}]", ""},
		{"quality: [{metric: nullValues, mustBeLessThan: 5}]", "quality: [{metric: nullValues, mustBeLessOrEqualTo: 4}]", ""},
		{"quality: [{metric: nullValues, mustBeLessThan: 5, unit: percent}]", "quality: [{metric: nullValues, mustBeLessOrEqualTo: 4, unit: percent}]", "producers: nullValues of a: ≤ 4%, was < 5%"},
		{"quality: [{metric: nullValues, mustBeLessThan: 5}]", "quality: [{metric: nullValues, mustBeLessThan: 5, unit: percent}]", "both: nullValues of a: < 5%, was < 5"},
	} {
		if got := differences(t, "{name: a, "+c.old+"}", "{name: a, "+c.new+"}"); got != c.want {
			t.Errorf("%s → %s:\ngot  %s\nwant %s", c.old, c.new, got, c.want)
		}
	}
}

// differences are the changes between two contracts, each with whom it breaks.
func differences(t *testing.T, old, new string) string {
	t.Helper()
	var got []string
	for _, change := range Diff(odcs(t, old, ""), odcs(t, new, "")) {
		if strings.HasPrefix(change.What, "version") {
			continue
		}
		whom := map[[2]bool]string{{true, true}: "both", {true, false}: "consumers", {false, true}: "producers", {}: "-"}[[2]bool{change.Consumers, change.Producers}]
		got = append(got, whom+": "+change.What)
	}
	return strings.Join(got, "; ")
}

func TestDiffTellsOfServiceLevelsNobodyJudges(t *testing.T) {
	const old = "customProperties: [{property: window, value: 5m}]\nslaProperties: [{property: retention, value: 3, unit: y}, {property: latency, value: 1, unit: d, element: a}]\n"
	changes := Diff(odcs(t, "{name: a}", old), odcs(t, "{name: a}", "customProperties: [{property: window, value: 100 rows}]\nslaProperties: [{property: latency, value: 1, unit: d, element: a}, {property: availability, value: 99}]\n"))
	var got []string
	for _, c := range changes {
		got = append(got, c.What)
	}
	if want := []string{"window: 100 rows, was 5m0s", "service level retention: none, was 3 y", "service level availability: 99, was none"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if changes := Diff(odcs(t, "{name: a}", old), odcs(t, "{name: a}", old)); len(changes) != 0 {
		t.Errorf("%+v", changes)
	}
}

func TestDiffOfTheArticlesShape(t *testing.T) {
	product := func(maxNull float64, required ...string) Product {
		return Product{Format: Article, Version: "1", MaxNull: maxNull, RequiredColumns: required, Rules: ArticleRules(required, maxNull)}
	}
	for _, c := range []struct {
		old, new Product
		mode     Mode
		want     bool
	}{
		{product(0.05, "a"), product(0.05, "a", "b"), Backward, false}, {product(0.05, "a"), product(0.05, "a", "b"), Forward, true},
		{product(0.05, "a", "b"), product(0.05, "a"), Backward, true}, {product(0.05, "a", "b"), product(0.05, "a"), Forward, false},
		{product(0.05), product(0.1), Backward, true}, {product(0.05), product(0.1), Forward, false}, {product(0.05), product(0.01), Full, false},
		{product(0.05), product(0.05), Full, true},
	} {
		ok := true
		for _, change := range Diff(c.old, c.new) {
			ok = ok && c.mode.Allows(change)
		}
		if ok != c.want {
			t.Errorf("%v → %v, %s: %v", c.old.Rules, c.new.Rules, c.mode, ok)
		}
	}
}

func TestParseMode(t *testing.T) {
	if m, transitive, err := ParseMode("full_transitive"); m != Full || !transitive || err != nil {
		t.Error(m, transitive, err)
	}
	if _, _, err := ParseMode("sideways"); err == nil {
		t.Error("sideways is a mode")
	}
}

func TestLint(t *testing.T) {
	p := odcs(t, `{name: email}, {name: a, logicalType: number, logicalTypeOptions: {minimum: 2, maximum: 1}, quality: [{metric: wonder, mustBe: 0}, {type: text, description: be nice},
    {metric: nullValues, mustBeBetween: [1, 1]}, {metric: nullValues, mustBeLessThan: 0}, {metric: nullValues, unit: percent, mustBeGreaterThan: 100}]},
    {name: b, logicalType: integer, quality: [{type: library, mustBe: 0}]}, {name: list, logicalType: array, items: {logicalType: object, properties: [{name: phone, logicalType: string}]}}`,
		"slaProperties: [{property: latency, value: 1, unit: h, element: a.b.c}, {property: retention, value: 1, unit: y}]\n")
	var got []string
	for _, f := range Lint(p) {
		got = append(got, fmt.Sprintf("%s: %s", f.Severity, f.Message))
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"error: wonder of a cannot be judged", "info: text of a", "is not judged: a text for people", "error: nullValues of a can never hold: its operators exclude one another",
		"error: nullValues of a can never hold: a count is never below 0", "a percentage is never above 100", "error: column a: minimum 2 is above maximum 1",
		"warning: column email looks sensitive", "error: no owner", "warning: no consumer", "info: service level retention", `no property "a.b.c" is declared`,
		"error: quality of b cannot be judged: it names no metric", "warning: column list[].phone looks sensitive",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, file := range []string{"pyyaml-plain.yaml", "orders.odcs.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(data, "commerce", "orders")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range Lint(p) {
			if f.Severity == Fatal {
				t.Errorf("%s: %+v", file, f)
			}
		}
	}
}

func TestLayoutsOfJDKPatterns(t *testing.T) {
	for jdk, want := range map[string]string{
		"": "", "yyyy-MM-dd": "2006-01-02", "yyyy-MM-dd HH:mm:ss": "2006-01-02 15:04:05", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX": "2006-01-02T15:04:05.000Z07:00",
		"HH:mm:ss": "15:04:05", "dd/MM/yy": "02/01/06", "yyyy''MM": "2006'01", "yyyy-MM-ddTHH:mm": "2006-01-02T15:04",
	} {
		if got, err := Layout(jdk); got != want || err != nil {
			t.Errorf("%q: %q %v", jdk, got, err)
		}
	}
	for _, bad := range []string{"QQQ", "yyyy'", "w"} {
		if got, err := Layout(bad); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func TestEvery(t *testing.T) {
	for text, want := range map[string]string{
		"hourly": "1h0m0s", "Daily": "24h0m0s", "15 minutes": "15m0s", "every 5 min": "5m0s", "1 h": "1h0m0s", "PT15M": "15m0s", "P1D": "24h0m0s",
		"real-time": "1m0s", "1.5 h": "1h30m0s", "30s": "30s",
	} {
		if got, ok := ParseEvery(text); !ok || got.String() != want {
			t.Errorf("%q: %s %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "soon", "0 h", "-1 h", "5", "99999999999 y", "cron"} {
		if got, ok := ParseEvery(text); ok {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-22": "2026-11-22 00:00:00 +0000 UTC", "2026-11-22T10:11:12Z": "2026-11-22 10:11:12 +0000 UTC",
		"2026-11-22 10:11:12.5+01:00": "2026-11-22 09:11:12.5 +0000 UTC", "2026-11-22T10:11-0330": "2026-11-22 13:41:00 +0000 UTC",
	} {
		if got, ok := ParseTime([]byte(text)); !ok || got.String() != want {
			t.Errorf("%q: %s %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "2026-13-01", "2026-02-30", "2026-1-1", "2026-11-22T", "2026-11-22T25:00", "2026-11-22T10:11:12.", "2026-11-22T10:11:12+1", "20261122", "2026-11-22x10:00"} {
		if got, ok := ParseTime([]byte(text)); ok {
			t.Errorf("%q: %s", text, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { ParseTime([]byte("2026-11-22T10:11:12.5+01:00")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	oslo := inZone("", "Europe/Oslo")
	if n := testing.AllocsPerRun(100, func() { ParseLayout(oslo, []byte("2026-11-22T10:11:12.5")) }); n != 0 {
		t.Errorf("%v allocations in a zone", n)
	}
}

// TestAServiceLevelMayNameItsColumnAsV2Did, as the standard's own example of v3.0.0 does.
func TestAServiceLevelMayNameItsColumnAsV2Did(t *testing.T) {
	p := odcs(t, "{name: at, logicalType: timestamp}", "slaProperties: [{property: frequency, value: 1, unit: d, column: t.at}]\n")
	if len(p.SLA) != 1 || p.SLA[0].Element != "at" {
		t.Errorf("%+v", p.SLA)
	}
}

func TestODCSKeysAreStrict(t *testing.T) {
	for text, want := range map[string]string{
		"apiVersion: v2.2.0\nkind: DataContract\nid: x\nversion: 1\nstatus: a\n":                                                                                                    "apiVersion: expected v3.0.x",
		"apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1\n":                                                                                                               `required key "status" is missing`,
		"apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1\nstatus: a\nschemas: []\n":                                                                                       `line 6, column 1: ODCS contract: unknown key "schemas"`,
		"apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1\nstatus: a\nschema: [{name: t, properties: [{name: a, type: string}]}]\n":                                        `property: unknown key "type"`,
		"apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1\nstatus: a\nschema: [{name: t, properties: [{name: a, logicalType: text}]}]":                                     `logicalType: expected one of string`,
		"apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1\nstatus: a\nschema: [{name: t, properties: [{name: a, logicalType: string, logicalTypeOptions: {minimum: 1}}]}]": `unknown key "minimum"`,
		"apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1\nstatus: a\nschema: [{name: t, quality: [{metric: rowCount, mustBeBetween: [2, 1]}]}]":                           `must not be above the second`,
		"apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1\nstatus: a\nschema: [{name: t, properties: [{name: a}, {name: a}]}]\n":                                           `property "a": named twice`,
	} {
		if _, err := Parse([]byte(text), "d", "n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestThePrimaryKeyIsInTheOrderOfItsPositions(t *testing.T) {
	p := odcs(t, "{name: a, primaryKey: true, primaryKeyPosition: 2}, {name: b, primaryKey: true, primaryKeyPosition: 1}", "")
	for _, r := range p.Rules {
		if r.Name == "primaryKey" && !reflect.DeepEqual(r.Columns, []string{"b", "a"}) {
			t.Error(r.Columns)
		}
	}
}
