package judge

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/backend/mesh/contract"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// contractOf is an ODCS contract with the given properties, quality and service levels, in YAML's flow style.
func contractOf(t testing.TB, properties, quality, sla string) contract.Product {
	t.Helper()
	text := "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\nschema:\n- name: t\n  properties: [" + properties + "]\n"
	if quality != "" {
		text += "  quality: [" + quality + "]\n"
	}
	if sla != "" {
		text += "slaProperties: [" + sla + "]\n"
	}
	p, err := contract.Parse([]byte(text), "d", "n")
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return p
}

// issues judges records and lists the rules that do not hold, as "rule column failed/of", errors first.
func issues(t testing.TB, p contract.Product, o Options, records ...string) []string {
	t.Helper()
	j := New(p, o)
	for i, r := range records {
		if err := j.JSON([]byte(r), Where{Partition: -1, Offset: int64(i + 1), At: noon}); err != nil {
			t.Fatal(err)
		}
	}
	var out []string
	for _, i := range j.Outcome(noon).Issues {
		sign := ""
		if !i.Breaks() {
			sign = "(" + string(i.Rule.Severity) + ") "
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s%s %s %d/%d", sign, i.Rule.Name, i.Column, i.Failed, i.Of)))
	}
	return out
}

// numbers are the whole numbers below n.
func numbers(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(i)
	}
	return out
}

// TestRules is the conformance table of ODCS: a row a key or metric, with data that fail it and data that do not.
func TestRules(t *testing.T) {
	v := func(values ...string) []string {
		out := make([]string, len(values))
		for i, s := range values {
			out[i] = `{"v":` + s + `}`
		}
		return out
	}
	for _, c := range []struct {
		name, properties, quality, sla string
		records                        []string
		want                           []string
	}{
		{"required", "{name: v, required: true}", "", "", append(v("1", "null"), `{"w":1}`), []string{"required v 2/3", "(warning) unexpected_columns w 1/3"}},
		{"required and missing", "{name: v, required: true}", "", "", []string{`{"w":1}`}, []string{"present v 1/1", "required v 1/1", "(warning) unexpected_columns w 1/1"}},
		{"not required", "{name: v}", "", "", []string{`{}`}, nil},
		{"primaryKey", "{name: a, primaryKey: true, primaryKeyPosition: 2}, {name: b, primaryKey: true, primaryKeyPosition: 1}", "", "",
			[]string{`{"a":1,"b":1}`, `{"a":1,"b":2}`, `{"a":1,"b":1}`, `{"a":null,"b":1}`}, []string{"required a 1/4", "primaryKey b, a 1/3"}},
		{"unique", "{name: v, unique: true}", "", "", v("1", "2", "1.0", `"1"`, `"a"`, `"\u0061"`, "null", "null"), []string{"unique v 2/6"}},

		{"string", "{name: v, logicalType: string}", "", "", v(`"a"`, "1", "true", "null", "{}"), []string{"logicalType v 3/4"}},
		{"integer", "{name: v, logicalType: integer}", "", "", v("1", "-0", "1.0", "1e3", "1.5", `"1"`, "123456789012345678901234567890"), []string{"logicalType v 2/7"}},
		{"number", "{name: v, logicalType: number}", "", "", v("1", "1.5", "1e999", `"1"`, "true"), []string{"logicalType v 2/5"}},
		{"boolean", "{name: v, logicalType: boolean}", "", "", v("true", "false", "0", `"true"`), []string{"logicalType v 2/4"}},
		{"object", "{name: v, logicalType: object}", "", "", v("{}", "[]"), []string{"logicalType v 1/2"}},
		{"array", "{name: v, logicalType: array}", "", "", v("{}", "[]"), []string{"logicalType v 1/2"}},
		{"date", "{name: v, logicalType: date}", "", "", v(`"2024-02-29"`, `"2023-02-29"`, `"2026-11-22T10:00:00Z"`, `"x"`), []string{"logicalType v 2/4"}},
		{"a number is no date", "{name: v, logicalType: date}", "", "", v("1763805600", `"2024"`, `"2024-01-01"`), []string{"logicalType v 2/3"}},
		{"date format", "{name: v, logicalType: date, logicalTypeOptions: {format: dd.MM.yyyy}}", "", "", v(`"22.11.2026"`, `"2026-11-22"`), []string{"logicalType v 1/2"}},
		{"timestamp", "{name: v, logicalType: timestamp}", "", "", v(`"2026-11-22T10:00:00.123+01:00"`, "1763805600", "1763805600000", `"10:00"`), []string{"logicalType v 1/4"}},
		{"time", "{name: v, logicalType: time}", "", "", v(`"10:00:00"`, `"24:00"`, `"10:00+01:00"`), []string{"logicalType v 1/3"}},

		{"minLength maxLength", "{name: v, logicalType: string, logicalTypeOptions: {minLength: 2, maxLength: 3}}", "", "", v(`"a"`, `"éé"`, `"abcd"`), []string{"length v 2/3"}},
		{"pattern", "{name: v, logicalType: string, logicalTypeOptions: {pattern: '^a+$'}}", "", "", v(`"aa"`, `"b"`, `"\u0061"`), []string{"pattern v 1/3"}},
		{"format email", "{name: v, logicalType: string, logicalTypeOptions: {format: email}}", "", "", v(`"a@b.c"`, `"a"`), []string{"format v 1/2"}},
		{"format uuid", "{name: v, logicalType: string, logicalTypeOptions: {format: uuid}}", "", "", v(`"123e4567-e89b-12d3-a456-426614174000"`, `"123"`), []string{"format v 1/2"}},
		{"format uri", "{name: v, logicalType: string, logicalTypeOptions: {format: uri}}", "", "", v(`"https://x/y"`, `"x y"`), []string{"format v 1/2"}},
		{"format hostname", "{name: v, logicalType: string, logicalTypeOptions: {format: hostname}}", "", "", v(`"a-b.example"`, `"-a"`), []string{"format v 1/2"}},
		{"format ipv4", "{name: v, logicalType: string, logicalTypeOptions: {format: ipv4}}", "", "", v(`"10.0.0.1"`, `"::1"`), []string{"format v 1/2"}},
		{"format ipv6", "{name: v, logicalType: string, logicalTypeOptions: {format: ipv6}}", "", "", v(`"10.0.0.1"`, `"::1"`), []string{"format v 1/2"}},
		{"format byte", "{name: v, logicalType: string, logicalTypeOptions: {format: byte}}", "", "", v(`"aGk="`, `"%"`), []string{"format v 1/2"}},
		{"format i8", "{name: v, logicalType: integer, logicalTypeOptions: {format: i8}}", "", "", v("127", "-128", "128"), []string{"format v 1/3"}},
		{"format u64", "{name: v, logicalType: integer, logicalTypeOptions: {format: u64}}", "", "", v("0", "-1", "18446744073709551616"), []string{"format v 2/3"}},
		{"format u64 at its limit", "{name: v, logicalType: integer, logicalTypeOptions: {format: u64}}", "", "", v("18446744073709551615", "18446744073709551616"), []string{"format v 1/2"}},
		{"format i64 at its limits", "{name: v, logicalType: integer, logicalTypeOptions: {format: i64}}", "", "", v("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809"), []string{"format v 2/4"}},
		{"format f32", "{name: v, logicalType: number, logicalTypeOptions: {format: f32}}", "", "", v("1e38", "1e39"), []string{"format v 1/2"}},
		{"minimum maximum", "{name: v, logicalType: number, logicalTypeOptions: {minimum: 1, maximum: 2}}", "", "", v("0.9", "1", "2", "2.1"), []string{"minimum v 1/4", "maximum v 1/4"}},
		{"exclusive", "{name: v, logicalType: number, logicalTypeOptions: {exclusiveMinimum: 1, exclusiveMaximum: 2}}", "", "", v("1", "1.5", "2"), []string{"exclusiveMinimum v 1/3", "exclusiveMaximum v 1/3"}},
		{"exclusive of v3.0", "{name: v, logicalType: number, logicalTypeOptions: {exclusiveMinimum: true, minimum: 1}}", "", "", v("1", "1.5"), []string{"exclusiveMinimum v 1/2"}},
		{"multipleOf", "{name: v, logicalType: number, logicalTypeOptions: {multipleOf: 0.01}}", "", "", v("0.07", "1.1", "0.005", "-3"), []string{"multipleOf v 1/4"}},
		{"multipleOf of large numbers", "{name: v, logicalType: number, logicalTypeOptions: {multipleOf: 0.01}}, {name: w, logicalType: integer, logicalTypeOptions: {multipleOf: 10}}", "", "",
			[]string{`{"v":123456789.01,"w":12345678900}`, `{"v":123456789.015,"w":12345678901}`, `{"v":-98765432109.87,"w":9007199254740980}`, `{"v":0.29,"w":9007199254740981}`},
			[]string{"multipleOf v 1/4", "multipleOf w 2/4"}},
		{"date bounds", "{name: v, logicalType: date, logicalTypeOptions: {minimum: '2026-01-01', exclusiveMaximum: '2026-12-31'}}", "", "",
			v(`"2025-12-31"`, `"2026-01-01"`, `"2026-12-31"`), []string{"minimum v 1/3", "exclusiveMaximum v 1/3"}},
		{"bounds that are no float64", "{name: v, logicalType: integer, logicalTypeOptions: {minimum: -9007199254740993, maximum: 9007199254740993}}, {name: w, logicalType: integer, logicalTypeOptions: {exclusiveMaximum: 9007199254740993}}", "", "",
			[]string{`{"v":9007199254740992,"w":9007199254740992}`, `{"v":9007199254740993,"w":9007199254740993}`, `{"v":9007199254740994,"w":9007199254740994}`, `{"v":-9007199254740994,"w":9007199254740993.0}`,
				`{"v":-9007199254740992,"w":9007199254740992.9999}`, `{"v":-9007199254740993,"w":9.007199254740992e15}`},
			[]string{"minimum v 1/6", "maximum v 1/6", "exclusiveMaximum w 3/6"}},
		{"numbers that are no float64", "{name: v, logicalType: number, logicalTypeOptions: {maximum: 0.1, exclusiveMinimum: 0}}", "", "",
			v("0.1", "0.10000000000000000000", "0.10000000000000000001", "0.09999999999999999999", "1e-999", "1e-400", "0.0"), []string{"maximum v 1/7", "exclusiveMinimum v 1/7"}},
		{"times of day", "{name: v, logicalType: time, logicalTypeOptions: {minimum: '08:00', exclusiveMaximum: '17:30:00'}}", "", "",
			v(`"07:59:59.999"`, `"08:00"`, `"08:00:00Z"`, `"17:29:59"`, `"17:30"`, `"09:30+02:00"`, `"00:30+01:00"`, `"19:00+02:00"`, "null"), []string{"minimum v 2/8", "exclusiveMaximum v 2/8"}},
		{"times of day at the day's ends", "{name: v, logicalType: time, logicalTypeOptions: {minimum: '00:00', maximum: '01:00'}}", "", "",
			v(`"00:00"`, `"23:30-01:00"`, `"01:30+01:00"`, `"00:30+01:00"`, `"23:59:60"`), []string{"maximum v 2/5"}},
		{"times of day in a format", "{name: v, logicalType: time, logicalTypeOptions: {format: 'h:mm a', minimum: '8:00 AM', maximum: '17:30'}}, {name: w, logicalType: time, logicalTypeOptions: {format: 'HH.mmXXX', maximum: '12:00'}}", "", "",
			[]string{`{"v":"7:59 AM","w":"01.00+02:00"}`, `{"v":"5:30 PM","w":"13.00+02:00"}`, `{"v":"5:31 PM","w":"12.00Z"}`}, []string{"minimum v 1/3", "maximum v 1/3", "maximum w 1/3"}},
		{"minItems maxItems", "{name: v, logicalType: array, logicalTypeOptions: {minItems: 1, maxItems: 2}}", "", "", v("[]", "[1]", "[1,2,3]"), []string{"items v 2/3"}},
		{"uniqueItems", "{name: v, logicalType: array, logicalTypeOptions: {uniqueItems: true}}", "", "", v("[1,2]", "[1,1]"), []string{"uniqueItems v 1/2"}},
		{"uniqueItems by value", "{name: v, logicalType: array, logicalTypeOptions: {uniqueItems: true}}", "", "",
			v("[1,1.0]", `["a","\u0061"]`, `[1,"1",true,"true",null,"null"]`, "["+strings.Join(numbers(3000), ",")+",2999]"), []string{"uniqueItems v 3/4"}},
		{"minProperties maxProperties", "{name: v, logicalType: object, logicalTypeOptions: {minProperties: 1, maxProperties: 1}}", "", "", v("{}", `{"a":1}`, `{"a":1,"b":2}`), []string{"properties v 2/3"}},
		{"object required", "{name: v, logicalType: object, logicalTypeOptions: {required: [a]}}", "", "", v("{}", `{"a":1}`, "null"), []string{"required v.a 1/2"}},
		{"nested properties", "{name: v, logicalType: object, properties: [{name: a, logicalType: string, required: true}]}", "", "",
			v(`{"a":"x"}`, `{"a":1}`, `{}`, "null"), []string{"logicalType v.a 1/2", "required v.a 1/3"}},
		{"items", "{name: v, logicalType: array, items: {name: i, logicalType: integer}}", "", "", v("[1,2]", `[1,"a","b"]`), []string{"logicalType v[] 1/2"}},
		{"items with properties", "{name: v, logicalType: array, items: {logicalType: object, properties: [{name: a, required: true, logicalType: integer}]}}", "", "",
			v(`[{"a":1},{"a":"x"}]`, `[{},{"a":null}]`), []string{"logicalType v[].a 1/2", "required v[].a 1/2"}},
		{"fields behind an array", "{name: v, logicalType: object, properties: [{name: tags, logicalType: array, logicalTypeOptions: {minItems: 1, uniqueItems: true}}, {name: city, logicalType: string, required: true}]}", "", "",
			v(`{"tags":["a","b","c"],"city":"Oslo"}`, `{"tags":["a","a"],"city":"Oslo"}`), []string{"uniqueItems v.tags 1/2"}},
		{"arrays of arrays", "{name: v, logicalType: array, items: {logicalType: array, items: {logicalType: integer}}}", "", "", v("[[1,2],[3]]", `[[1],["x"]]`), []string{"logicalType v[][] 1/2"}},
		{"enum", "{name: v, enum: [{value: a, label: A}, {value: 2}, {value: true}]}", "", "", v(`"a"`, "2", "2.0", "true", "false", `"b"`, "null"), []string{"enum v 2/6"}},
		{"map", "{name: v, logicalType: map, map: {key: {logicalType: string}, value: {logicalType: integer, required: true}}}", "", "", v(`{"a":1}`, `{"b":2,"c":"x"}`, `{"d":null}`, "[]"),
			[]string{"logicalType v 1/4", "logicalType v[] 1/4", "required v[] 1/4"}},
		{"vector", "{name: v, logicalType: vector, logicalTypeOptions: {dimensions: 2, elementType: float32, normalized: true}}", "", "", v("[0.5,1]", "[1]", `[1,"x"]`, `"x"`),
			[]string{"logicalType v 1/4", "elementType v[] 1/4", "dimensions v 1/4"}},
		{"deep", "{name: v, logicalType: object" + strings.Repeat(", properties: [{name: v, logicalType: object", 20) + ", properties: [{name: w, required: true}]" + strings.Repeat("}]", 20) + "}", "", "",
			v(strings.Repeat(`{"v":`, 20) + "{}" + strings.Repeat("}", 20)), []string{"required v" + strings.Repeat(".v", 20) + ".w 1/1"}},
		{"unique field", "{name: v, logicalType: object, properties: [{name: a, unique: true}]}", "", "", v(`{"a":1}`, `{"a":2}`, `{"a":1}`, `{"a":null}`, `{"a":null}`, "{}", "null"), []string{"unique v.a 1/3"}},
		{"primaryKey with a field", "{name: a, primaryKey: true}, {name: v, logicalType: object, properties: [{name: b, primaryKey: true}]}", "", "",
			[]string{`{"a":1,"v":{"b":1}}`, `{"a":1,"v":{"b":2}}`, `{"a":1,"v":{"b":1}}`}, []string{"primaryKey a, v.b 1/3"}},
		{"physicalName", "{name: Price, physicalName: v, logicalType: number}", "", "", v(`"x"`), []string{"logicalType v 1/1"}},

		{"nullValues", "{name: v, quality: [{metric: nullValues, mustBe: 0}]}", "", "", v("1", "null"), []string{"nullValues v 1/2"}},
		{"nullValues percent", "{name: v, quality: [{metric: nullValues, mustBeLessThan: 50, unit: percent}]}", "", "", v("1", "null"), []string{"nullValues v 1/2"}},
		{"nullValues percent holds", "{name: v, quality: [{metric: nullValues, mustBeLessOrEqualTo: 50, unit: percent}]}", "", "", v("1", "null"), nil},
		{"nullValues percent at the limit", "{name: v, quality: [{metric: nullValues, mustBeLessOrEqualTo: 7, unit: percent}, {metric: nullValues, mustBe: 7, unit: percent}]}", "", "",
			append(v(strings.Split(strings.Repeat("1 ", 92)+"1", " ")...), v("null", "null", "null", "null", "null", "null", "null")...), nil},
		{"missingValues", "{name: v, quality: [{metric: missingValues, arguments: {missingValues: [null, '', N/A]}, mustBe: 0}]}", "", "",
			append(v(`""`, `"N/A"`, "null", `"x"`), `{}`), []string{"missingValues v 4/5"}},
		{"invalidValues", "{name: v, quality: [{metric: invalidValues, arguments: {validValues: [a, 1]}, mustBe: 0}]}", "", "", v(`"a"`, "1", "1.0", `"b"`, "null"), []string{"invalidValues v 1/4"}},
		{"invalidValues pattern", "{name: v, quality: [{metric: invalidValues, arguments: {pattern: '^[A-Z]{2}$'}, mustBe: 0}]}", "", "", v(`"NO"`, `"no"`), []string{"invalidValues v 1/2"}},
		{"validValues beyond float64", "{name: v, quality: [{metric: invalidValues, arguments: {validValues: [9007199254740993]}, mustBe: 0}]}", "", "", v("9007199254740993", "9007199254740992"), []string{"invalidValues v 1/2"}},
		{"validValues of v3.0", "{name: v, quality: [{rule: validValues, validValues: [a], mustBe: 0}]}", "", "", v(`"b"`), []string{"validValues v 1/1"}},
		{"duplicateValues", "{name: v, quality: [{metric: duplicateValues, mustBeLessThan: 2}]}", "", "", v("1", "1", "1", "2"), []string{"duplicateValues v 2/4"}},
		{"duplicateValues percent", "{name: v, quality: [{metric: duplicateValues, mustBeLessThan: 50, unit: percent}]}", "", "", v("1", "1", "1", "2"), []string{"duplicateValues v 2/4"}},
		{"duplicateValues of a schema", "{name: a}, {name: b}", "{metric: duplicateValues, arguments: {properties: [a, b]}, mustBe: 0}", "",
			[]string{`{"a":1,"b":1}`, `{"a":1,"b":2}`, `{"a":1,"b":1}`}, []string{"duplicateValues a, b 1/3"}},
		{"rowCount", "{name: v}", "{metric: rowCount, mustBeBetween: [1, 3]}", "", v("1", "2", "3"), []string{"rowCount  0/3"}},
		{"rowCount of none", "{name: v}", "{metric: rowCount, mustBeGreaterThan: 0}", "", nil, []string{"rowCount  0/0"}},
		{"two operators", "{name: v}", "{metric: rowCount, mustBeGreaterThan: 0, mustNotBe: 2}", "", v("1", "2"), []string{"rowCount  0/2"}},
		{"severity", "{name: v, quality: [{metric: nullValues, mustBe: 0, severity: warning}]}", "", "", v("null"), []string{"(warning) nullValues v 1/1"}},

		{"latency", "{name: v, logicalType: timestamp}", "", "{property: latency, value: 1, unit: h, element: t.v}", v(`"2026-11-22T10:30:00Z"`), []string{"latency v 0/1"}},
		{"latency of a format", "{name: v, logicalType: timestamp, logicalTypeOptions: {format: 'dd.MM.yyyy HH:mm'}}", "", "{property: latency, value: 1, unit: h, element: v}", v(`"22.11.2026 11:30"`, `"22.11.2027 11:30"`),
			[]string{"future v 1/2", "(warning) future v 1/2"}},
		{"latency of two", "{name: v}, {name: w}", "", "{property: latency, value: 1, unit: h, element: 't.v, t.w'}", []string{`{"v":"2026-11-22T11:30:00Z","w":"2026-11-22T10:30:00Z"}`}, []string{"latency w 0/1"}},
		{"latency holds", "{name: v, logicalType: timestamp}", "", "{property: latency, value: 2, unit: h, element: v}", v(`"2026-11-22T10:30:00Z"`, `"2020-01-01"`), nil},
		{"latency and the future", "{name: v}", "", "{property: latency, value: 2, unit: h, element: v}", v(`"2026-11-22T10:30:00Z"`, `"2027-01-01"`), []string{"future v 1/2"}},
		{"a future row is not fresh", "{name: v}", "", "{property: frequency, value: 1, unit: h, element: v}", v(`"2026-11-22T10:30:00Z"`, `"2027-01-01"`), []string{"frequency v 0/2"}},
		{"future of a timestamp", "{name: v, logicalType: timestamp}", "", "", v(`"2027-01-01T00:00:00Z"`), []string{"(warning) future v 1/1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := issues(t, contractOf(t, c.properties, c.quality, c.sla), Options{}, c.records...)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], "  ", " ")
			}
			for i := range c.want {
				c.want[i] = strings.ReplaceAll(c.want[i], "  ", " ")
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestOperators(t *testing.T) {
	for _, c := range []struct {
		limit contract.Limit
		holds []float64
		not   []float64
	}{
		{contract.Limit{Op: contract.Equal, A: 2}, []float64{2}, []float64{1, 3}},
		{contract.Limit{Op: contract.NotEqual, A: 2}, []float64{1, 3}, []float64{2}},
		{contract.Limit{Op: contract.Above, A: 2}, []float64{3}, []float64{2, 1}},
		{contract.Limit{Op: contract.AtLeast, A: 2}, []float64{2, 3}, []float64{1}},
		{contract.Limit{Op: contract.Below, A: 2}, []float64{1}, []float64{2, 3}},
		{contract.Limit{Op: contract.AtMost, A: 2}, []float64{1, 2}, []float64{3}},
		{contract.Limit{Op: contract.Between, A: 2, B: 4}, []float64{3}, []float64{2, 4, 1, 5}}, // strictly, as the standard says
		{contract.Limit{Op: contract.NotBetween, A: 2, B: 4}, []float64{2, 4, 1, 5}, []float64{3}},
	} {
		for _, v := range c.holds {
			if !c.limit.Holds(v) {
				t.Errorf("%v does not hold for %v", c.limit, v)
			}
		}
		for _, v := range c.not {
			if c.limit.Holds(v) {
				t.Errorf("%v holds for %v", c.limit, v)
			}
		}
	}
}

func TestRulesThatCannotBeJudgedNeverPass(t *testing.T) {
	p := contractOf(t, `{name: v, quality: [{metric: wonder, mustBe: 0}, {metric: nullValues}, {type: sql, query: x, mustBe: 0},
    {type: custom, engine: soda, implementation: x}, {metric: invalidValues, mustBe: 0}, {metric: rowCount, unit: percent, mustBe: 1}],
    logicalType: string, logicalTypeOptions: {pattern: '(?=a)b'}}, {name: a, items: {unique: true, quality: [{metric: duplicateValues, mustBe: 0}]}}, {name: b, items: {properties: [{name: c, primaryKey: true}]}}`,
		"{metric: nullValues, mustBe: 0}", "{property: latency, value: soon}")
	j := New(p, Options{})
	if err := j.JSON([]byte(`{"v":"a"}`), Where{At: noon}); err != nil {
		t.Fatal(err)
	}
	skipped := 0
	for _, c := range j.Outcome(noon).Checks {
		if c.Status == Skipped {
			if skipped++; c.Why == "" {
				t.Errorf("%s does not say why", c.Rule.Title())
			}
		}
	}
	if skipped != 12 {
		t.Errorf("%d skipped", skipped)
	}
}

func TestARepeatedKeyCountsOnceAndTheLastWins(t *testing.T) {
	p := contract.Product{Rules: contract.ArticleRules([]string{"a"}, 0)}
	if got := issues(t, p, Options{}, `{"a":1,"a":null}`, `{"a":null,"a":1}`); !reflect.DeepEqual(got, []string{"max_null_percentage a 1/2"}) {
		t.Error(got)
	}
}

// TestTheWindowSlides compares the ring of counters with counting all records of the window again.
func TestTheWindowSlides(t *testing.T) {
	type row struct {
		at   time.Time
		null bool
		id   int
	}
	p := contractOf(t, "{name: id, unique: true}, {name: v, quality: [{metric: nullValues, mustBeLessThan: 0}]}", "", "")
	const window = 12 * time.Second
	j := New(p, Options{Window: window, Live: true})
	random := rand.New(rand.NewPCG(1, 2))
	var rows []row
	now := noon
	for i := range 5000 {
		now = now.Add(time.Duration(random.IntN(20)) * time.Millisecond)
		if random.IntN(1000) == 0 {
			now = now.Add(3 * time.Second)
		}
		r := row{now, random.IntN(10) == 0, random.IntN(2000)}
		rows = append(rows, r)
		v := "1"
		if r.null {
			v = "null"
		}
		if err := j.JSON(fmt.Appendf(nil, `{"id":%d,"v":%s}`, r.id, v), Where{Partition: 1, Offset: int64(i), At: now}); err != nil {
			t.Fatal(err)
		}
		if i%97 != 0 {
			continue
		}
		// The window is made of whole buckets, the newest of them not full yet.
		width := int64(window / buckets)
		from := (now.UnixNano()/width - buckets + 1) * width
		var count, nulls, repeats int64
		seen := map[int]bool{}
		for _, r := range rows {
			if r.at.UnixNano() < from {
				continue
			}
			count++
			if r.null {
				nulls++
			}
			if seen[r.id] {
				repeats++
			}
			seen[r.id] = true
		}
		out := j.Outcome(now)
		if out.Rows != count || out.Columns[1].Nulls != nulls {
			t.Fatalf("record %d: %d rows, %d nulls; want %d, %d", i, out.Rows, out.Columns[1].Nulls, count, nulls)
		}
		for _, c := range out.Checks {
			if c.Rule.Name == "unique" && c.Failed != repeats {
				t.Fatalf("record %d: %d repeated, want %d", i, c.Failed, repeats)
			}
		}
	}
	out := j.Outcome(now.Add(window))
	if out.Rows != 0 || len(out.Issues) > 0 && out.Issues[0].Rule.Name != "unexpected_columns" {
		t.Errorf("after the window: %+v", out)
	}
	if n := len(j.distincts[0].(*watched).counts); n != 0 {
		t.Errorf("%d values are still remembered", n)
	}
}

func TestDuplicatesBeyondTheBoundAreEstimatedAndSaySo(t *testing.T) {
	p := contractOf(t, "{name: v, unique: true}", "", "")
	j := New(p, Options{MaxDistinct: 1000, Window: time.Minute})
	const distinct, repeats = 50_000, 10_000
	for i := range distinct + repeats {
		if err := j.JSON(fmt.Appendf(nil, `{"v":%d}`, i%distinct), Where{At: noon}); err != nil {
			t.Fatal(err)
		}
	}
	out := j.Outcome(noon)
	if out.Watched >= 1 || out.Watched < 1.0/128 {
		t.Errorf("watched %v", out.Watched)
	}
	if got := float64(out.Issues[0].Failed); got < 0.7*repeats || got > 1.3*repeats {
		t.Errorf("estimated %v of %d", got, repeats)
	}
}

func TestDuplicatesOfAFileAreExactHoweverMany(t *testing.T) {
	p := contractOf(t, "{name: v, unique: true}", "", "")
	random := rand.New(rand.NewPCG(3, 3))
	for _, limit := range []int{100, 10_000, 1 << 20} {
		j := New(p, Options{MaxDistinct: limit})
		seen := map[int]bool{}
		var repeats, first, last int64
		for i := range int64(60_000) {
			v := random.IntN(500_000)
			if seen[v] {
				repeats++
				if last = i + 1; first == 0 {
					first = i + 1
				}
			}
			seen[v] = true
			if err := j.JSON(fmt.Appendf(nil, `{"v":%d}`, v), Where{Partition: -1, Offset: i + 1, At: noon}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // asking again changes nothing
			out := j.Outcome(noon)
			i := out.Issues[0]
			if i.Failed != repeats || i.First.Offset != first || i.Last.Offset != last || len(i.Samples) != KeepSamples || i.Samples[0].Offset != first || out.Watched != 1 {
				t.Fatalf("limit %d: %+v, want %d from %d to %d", limit, i, repeats, first, last)
			}
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestColumnsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteByte('{')
	for i := range 50_000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"k%d":1`, i)
	}
	b.WriteByte('}')
	j := New(contract.Product{Rules: contract.ArticleRules(nil, 0.05)}, Options{})
	if err := j.JSON([]byte(b.String()), Where{At: noon}); err != nil {
		t.Fatal(err)
	}
	if out := j.Outcome(noon); len(out.Columns) != MaxColumns || out.Excess != 49_000 {
		t.Errorf("%d columns, %d in excess", len(out.Columns), out.Excess)
	}
}

func TestSamplesAreMasked(t *testing.T) {
	p := contractOf(t, "{name: email, logicalType: integer}, {name: ref, classification: restricted, required: true}, {name: note, logicalType: integer}, {name: obj}", "", "")
	j := New(p, Options{})
	for _, r := range []string{`{"email":"ada@example.com","ref":null,"note":"hello","obj":{"phone":"555-1234"},"phone":"555-1234"}`} {
		if err := j.JSON([]byte(r), Where{At: noon}); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("%+v", j.Outcome(noon).Issues)
	if strings.Contains(text, "ada@") || strings.Contains(text, "555") {
		t.Errorf("a sensitive value shows in %s", text)
	}
	if !strings.Contains(text, `"hello"`) {
		t.Errorf("no sample of note in %s", text)
	}
}

// TestWhatIsInsideAMaskedColumnIsMasked at any depth, and shown in no other value's place.
func TestWhatIsInsideAMaskedColumnIsMasked(t *testing.T) {
	p := contractOf(t, `{name: a, logicalType: object, properties: [{name: n, logicalType: integer}, {name: place, classification: pii, logicalType: object, properties: [{name: v, logicalType: integer}]}]},
    {name: l, logicalType: array, items: {classification: pii, logicalType: integer}}, {name: z, logicalType: array, items: {logicalType: integer}}`, "", "")
	for name, o := range map[string]Options{"file": {}, "window": {Window: time.Minute}, "count": {Rows: 10}, "live": {Window: time.Minute, Live: true}} {
		j := New(p, o)
		if err := j.JSON([]byte(`{"a":{"n":"fail","place":{"v":"hide"}},"l":["hide"],"z":["fail",3]}`), Where{At: noon}); err != nil {
			t.Fatal(err)
		}
		issues := j.Outcome(noon).Issues
		text := fmt.Sprintf("%+v", issues)
		if strings.Contains(text, "hide") {
			t.Errorf("%s: a sensitive value shows in %s", name, text)
		}
		if len(issues) != 4 || strings.Count(text, `"fail"`) != 2 {
			t.Errorf("%s: not the values that failed in %s", name, text)
		}
	}
}

func TestADuplicateOfNoColumnIsNotJudged(t *testing.T) {
	j := New(contractOf(t, "{name: v}", "{metric: duplicateValues, mustBe: 0, arguments: {properties: [v, nowhere]}}", ""), Options{})
	if err := j.JSON([]byte(`{"v":1}`), Where{At: noon}); err != nil {
		t.Fatal(err)
	}
	for _, c := range j.Outcome(noon).Checks {
		if c.Rule.Kind == contract.Duplicates && (c.Status != Unknown || c.Why != "the data have no column nowhere") {
			t.Errorf("%+v", c)
		}
	}
}

// TestMessagesSayWhatWasExpected so that nobody takes the ends of a strict range for part of it.
func TestMessagesSayWhatWasExpected(t *testing.T) {
	p := contractOf(t, "{name: v, quality: [{metric: nullValues, unit: percent, mustBeBetween: [0, 50]}, {metric: invalidValues, mustBe: 0, arguments: {validValues: [b]}}]}",
		"{metric: rowCount, mustBeBetween: [1, 2]}, {metric: rowCount, mustNotBeBetween: [1, 3]}", "")
	j := New(p, Options{})
	for _, r := range []string{`{"v":"a"}`, `{"v":null}`} {
		if err := j.JSON([]byte(r), Where{At: noon}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, i := range j.Outcome(noon).Issues {
		got = append(got, i.Message+"; "+i.Expected)
	}
	want := []string{"v null in 50%, expected > 0 and < 50%; > 0 and < 50%", "v not a valid value in 1 of 1 row; none",
		"2 rows, expected > 1 and < 2; > 1 and < 2 rows", "2 rows, expected ≤ 1 or ≥ 3; ≤ 1 or ≥ 3 rows"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPercentsTellTheShareFromItsLimit(t *testing.T) {
	for _, c := range []struct {
		share, limit float64
		want         string
	}{{0.072, 0.05, "7.2% > 5%"}, {0.0504, 0.05, "5.04% > 5%"}, {0.05000049, 0.05, "5.00005% > 5%"}, {1, 0.05, "100% > 5%"}, {0.00006, 0, "0.01% > 0%"}} {
		a, b := percents(c.share, c.limit)
		if got := a + " > " + b; got != c.want {
			t.Errorf("%v %v: %s, want %s", c.share, c.limit, got, c.want)
		}
	}
}

func TestACheckedInContract(t *testing.T) {
	data, err := os.ReadFile("../contract/testdata/orders.odcs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := contract.Parse(data, "commerce", "orders")
	if err != nil {
		t.Fatal(err)
	}
	if p.Topic != "orders" || !reflect.DeepEqual(p.Owners, []string{"ada@example.com"}) || !reflect.DeepEqual(p.Consumers, []string{"finance", "ml-team"}) {
		t.Errorf("%+v", p)
	}
	goodRow := `{"order_id":"o11","line":1,"email":"a@b.c","currency":"EUR","amount":1.25,"created_at":"2026-11-22T11:59:00Z","address":{"country":"NO"},"tags":["a","b"]}`
	if got := issues(t, p, Options{}, goodRow); got != nil {
		t.Errorf("a good row: %q", got)
	}
	badRow := `{"order_id":"x1","line":0,"email":"a","currency":"USD","amount":0.001,"created_at":"soon","address":{},"tags":["a","a","b",1]}`
	want := 11
	if got := issues(t, p, Options{}, badRow); len(got) != want {
		t.Errorf("a bad row: %d issues %q", len(got), got)
	}
}

// What passes at a glance fails no check, and most of what fails none passes at a glance.
func TestAGlanceAgreesWithTheChecks(t *testing.T) {
	columns := []string{`logicalType: string`, `logicalType: number`, `logicalType: integer`, `logicalType: date`, `logicalType: timestamp`,
		`logicalType: timestamp, logicalTypeOptions: {format: "yyyy"}`, `logicalType: boolean`, `logicalType: string, logicalTypeOptions: {minLength: 3, maxLength: 4}`,
		`logicalType: number, logicalTypeOptions: {minimum: 1, exclusiveMaximum: 5}`, `logicalType: integer, logicalTypeOptions: {maximum: 5}`,
		`quality: [{metric: invalidValues, arguments: {validValues: [abc, "1", "5"]}, mustBe: 0}]`,
		`logicalType: number, quality: [{metric: invalidValues, arguments: {validValues: ["1", "5"]}, mustBe: 0}]`,
		`logicalType: string, quality: [{metric: missingValues, arguments: {missingValues: [abc]}, mustBe: 0}]`,
		`logicalType: string, logicalTypeOptions: {pattern: "^a"}`, `logicalType: timestamp, logicalTypeOptions: {minimum: "2026-01-01T00:00:00Z"}`,
		`logicalType: array, logicalTypeOptions: {maxItems: 1}`, `logicalType: string, logicalTypeOptions: {minLength: 9000000000000000000}`}
	values := []string{`""`, `"a"`, `"ab"`, `"abc"`, `"abcd"`, `"abcde"`, `"éé"`, `"ééé"`, `"ééééé"`, `"\u0061bc"`, `"2026"`, `"2026-11-22"`, `"2026-11-22T07:00:00Z"`,
		`"2026-13-22"`, `"2025-11-22T07:00:00Z"`, `0`, `1`, `1.0`, `1.5`, `-1`, `5`, `5.0`, `4.999`, `1e1`, `1e400`, `123456789012345678901234567890`, `true`, `{}`, `[]`, `[1,2]`}
	passed, held := 0, 0
	for _, c := range columns {
		j := New(contractOf(t, "{name: v, "+c+"}", "", ""), Options{Live: true})
		column := &j.columns[j.names["v"]]
		for _, v := range values {
			if err := j.JSON([]byte(`{"v":`+v+`}`), Where{At: noon}); err != nil {
				t.Fatal(err)
			}
			cell := j.cell(j.names["v"])
			fails := slices.ContainsFunc(column.checks, func(i int) bool { j.parsed = 0; return j.fails(&j.checks[i], cell) })
			passes := column.glance.passes(&j.spans[0], cell.Raw)
			if passes && fails {
				t.Errorf("%s: %s passes at a glance", c, v)
			}
			if passes {
				passed++
			}
			if !fails {
				held++
			}
		}
	}
	if passed < held/3 {
		t.Errorf("%d of the %d values that hold passed at a glance", passed, held)
	}
}

// A judge expects a record's keys where they stood in the last one. Whatever comes, it counts as one that expects nothing.
func TestKeysComeInAnyOrder(t *testing.T) {
	p := contractOf(t, `{name: id, logicalType: string, required: true, unique: true}, {name: n, logicalType: integer, logicalTypeOptions: {maximum: 5}}`, "", "")
	pool := []string{`{"id":"a","n":1}`, `{"n":9,"id":"b"}`, `{"id":"a","id":null,"n":2}`, `{"n":1,"n":9}`, `{"\u0069d":"c","n":7}`, `{"id" :"d","n":"x"}`,
		`{"new":1,"n":null,"id":"e"}`, `{"new":1,"id":`, `{"id":"f","other":{"n":9},"n":3}`, `{}`, `[1]`}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		a, b := New(p, Options{Live: true}), New(p, Options{Live: true})
		for i := range 12 {
			record, where := []byte(pool[r.IntN(len(pool))]), Where{Offset: int64(i), At: noon}
			b.scanners = nil
			if errA, errB := a.JSON(record, where), b.JSON(record, where); (errA == nil) != (errB == nil) {
				t.Fatal(errA, errB)
			}
		}
		if got, want := a.Outcome(noon), b.Outcome(noon); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\nwant %+v", got, want)
		}
	}
}

// contract20 is a contract of 20 rules on 8 columns.
func contract20(t testing.TB) contract.Product {
	p := contractOf(t, `{name: user_id, logicalType: string, required: true, logicalTypeOptions: {minLength: 2}},
    {name: session_id, logicalType: string, required: true},
    {name: event_type, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [view, click, purchase]}, mustBe: 0}]},
    {name: timestamp, logicalType: date, required: true},
    {name: email, logicalType: string, quality: [{metric: nullValues, mustBeLessThan: 5, unit: percent}], logicalTypeOptions: {maxLength: 64}},
    {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 10000}},
    {name: currency, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [EUR, NOK]}, mustBe: 0}]},
    {name: device, logicalType: string}`, "", "")
	n := 0
	for _, r := range p.Rules {
		if r.Kind != contract.Present && r.Kind != contract.Drift {
			n++
		}
	}
	if n < 18 {
		t.Fatalf("%d rules", n)
	}
	return p
}

// BenchmarkLive is what judging costs the reader of a topic, a record: nothing is allocated.
func BenchmarkLive(b *testing.B) {
	record := []byte(`{"user_id":"u48213","session_id":"s-9f31a2","event_type":"view","timestamp":"2026-11-22T07:00:00.123Z","email":"u48213@example.com","amount":129.5,"currency":"EUR","device":"phone"}`)
	nulls := []byte(`{"user_id":"u48213","session_id":"s-9f31a2","event_type":"view","timestamp":"2026-11-22T07:00:00.123Z","email":null,"amount":129.5,"currency":"EUR"}`)
	for _, c := range []struct {
		name    string
		product contract.Product
		record  []byte
	}{
		{"article", contract.Product{Rules: contract.ArticleRules([]string{"user_id", "timestamp"}, 0.05)}, record},
		{"article-nulls", contract.Product{Rules: contract.ArticleRules([]string{"user_id", "timestamp"}, 0.05)}, nulls},
		{"odcs-20-rules", contract20(b), record},
	} {
		b.Run(c.name, func(b *testing.B) {
			j := New(c.product, Options{Window: 5 * time.Minute, Live: true})
			at := noon
			b.SetBytes(int64(len(c.record)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%256 == 0 {
					at = at.Add(5 * time.Millisecond)
				}
				if err := j.JSON(c.record, Where{Partition: 1, Offset: int64(i), At: at}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestALiveRecordAllocatesNothing(t *testing.T) {
	j := New(contract20(t), Options{Window: time.Minute, Live: true})
	record := []byte(`{"user_id":"u48213","session_id":"s-9f31a2","event_type":"view","timestamp":"2026-11-22T07:00:00.123Z","email":null,"amount":129.5,"currency":"EUR","device":"phone"}`)
	where := Where{Partition: 1, At: noon}
	for range 10 {
		_ = j.JSON(record, where)
	}
	if n := testing.AllocsPerRun(1000, func() { _ = j.JSON(record, where) }); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}
