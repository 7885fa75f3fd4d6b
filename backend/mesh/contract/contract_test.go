package contract

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAPyYAMLDumpLoadsUnchanged(t *testing.T) {
	for _, file := range []string{"pyyaml-plain.yaml", "pyyaml-escaped.yaml", "pyyaml-folded.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(data, "", "")
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if p.Key() != "commerce/user_events" || p.Format != Article || p.Version != "1.0" || p.Refresh != "hourly" {
			t.Errorf("%s: %+v", file, p)
		}
		if want := []string{"user_id", "timestamp"}; !reflect.DeepEqual(p.RequiredColumns, want) {
			t.Errorf("%s: required columns %v", file, p.RequiredColumns)
		}
		if want := []string{"data@example.com", "no"}; !reflect.DeepEqual(p.Owners, want) {
			t.Errorf("%s: owners %v", file, p.Owners)
		}
		if again, err := p.Encode(); err != nil || string(again) != string(data) {
			t.Errorf("%s: Encode gave other bytes (%v)", file, err)
		}
	}
}

func TestEncodeIsReadBack(t *testing.T) {
	p := Product{
		Format: Article, Domain: "commerce", Name: "user_events", Description: "it's: \"quoted\"\nand — two lines\t#",
		Owners: []string{"no", "1.5", "a b", "- x", "null", ""}, Consumers: nil, Version: "1.0", Refresh: "hourly",
		RequiredColumns: []string{"user_id", "y"}, MaxNull: 0.00001,
	}
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(data, "", "")
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	got.Source, got.Rules = nil, nil
	p.Consumers = []string{}
	if !reflect.DeepEqual(got, p) {
		t.Errorf("got  %+v\nwant %+v", got, p)
	}
}

func TestWhatIsWrongWithAFileIsToldWithItsPlace(t *testing.T) {
	long := strings.Repeat("k: v\n", 3)
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "domain: a\nname: b\nfoo: 1\n", `line 3, column 1: data product: unknown key "foo"`},
		{"unknown nested key", "domain: a\nname: b\nquality_sla:\n  max_nulls: 1\n", `line 4, column 3: quality_sla: unknown key "max_nulls"`},
		{"missing name", "domain: a\n", `line 1, column 1: data product: the key "name" is missing`},
		{"bad name", "domain: a\nname: ../b\n", `line 2, column 7: name "../b": expected letters`},
		{"share", "domain: a\nname: b\nquality_sla:\n  max_null_percentage: 5\n", `line 4, column 24: max_null_percentage: expected a fraction from 0 to 1 (0.05 is 5%), found 5`},
		{"share as text", "domain: a\nname: b\nquality_sla:\n  max_null_percentage: '0.05'\n", `expected a number, found "0.05"`},
		{"list", "domain: a\nname: b\nowners: me\n", `line 3, column 9: owners: expected a list, found a single value`},
		{"duplicate key", "domain: a\nname: b\nname: c\n", `line 3, column 1: mapping key "name" already defined`},
		{"anchor", "domain: &a x\nname: b\n", `anchors and aliases are not allowed`},
		{"alias", "domain: x\nname: b\nowners: *a\n", `anchors and aliases are not allowed`},
		{"merge", "domain: x\nname: b\n<<: {a: 1}\n", `merge keys`},
		{"tag", "domain: !!python/name:os.system x\nname: b\n", `tags (!…) are not allowed`},
		{"two documents", "domain: a\nname: b\n---\nx: 1\n", `line 4, column 1: a second YAML document`},
		{"tab", "domain: a\nquality_sla:\n\tmax: 1\n", `line 3, column 1: a tab in the indentation`},
		{"empty", "", `the file is empty`},
		{"only a comment", "# nothing\n", `the file is empty`},
		{"a list", "- a\n", `expected a mapping with the keys of a data product, found a list`},
		{"utf-16", "\xff\xfed\x00", `UTF-16`},
		{"not utf-8", "domain: \xff\n", `line 1, column 9: a byte that is not UTF-8`},
		{"nul", "domain: a\x00b\n", `a control character (0x00)`},
		{"unclosed", "domain: [\n", `line 1`},
		{"deep", "domain: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), `nested deeper`},
		{"deep dashes", strings.Repeat("- ", 5000) + "x", `line 1, column 129: nested deeper`},
		{"deep dashes behind a key", "a: 1\nowners: " + strings.Repeat("- ", 5000) + "x", `line 2, column 137: nested deeper`},
		{"deep keys", strings.Repeat("? ", 5000) + "x", `nested deeper`},
		{"tags without end", strings.Repeat("!a ", 5000) + "x", `nested deeper`},
		{"anchors on lines without end", strings.Repeat("&a\n", 5000) + "x", `nested deeper`},
		{"deep indentation", deepYAML(200), `nested deeper`},
		{"many keys", strings.Repeat("k: v\n", MaxKeys+1), `more than 10000 keys`},
		{"large", strings.Repeat("#", MaxBytes+1), `a product may have 1048576`},
		{"repeated", long, `already defined`},
	} {
		start := time.Now()
		_, err := Parse([]byte(c.text), "", "")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if took := time.Since(start); took > 30*time.Second { // far more than a refusal takes, also on a busy machine
			t.Errorf("%s: took %s", c.name, took)
		}
	}
}

func TestALongListIsNotDeep(t *testing.T) {
	for name, text := range map[string]string{
		"texts": "domain: a\nname: b\nowners:\n" + strings.Repeat("- a\n", 500), "a rule in a text": "domain: a\nname: b\ndescription: '" + strings.Repeat("- ", 50) + "'\n",
	} {
		if _, err := Parse([]byte(text), "", ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Empty entries are no texts, but they are read.
	if _, err := Parse([]byte("domain: a\nname: b\nowners:\n"+strings.Repeat("-\n", 100)), "", ""); err == nil || strings.Contains(err.Error(), "deeper") {
		t.Error(err)
	}
}

func deepYAML(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "k:\n")
	}
	return b.String()
}

func TestAByteOrderMarkIsNoHarm(t *testing.T) {
	if _, err := Parse([]byte("\xef\xbb\xbfdomain: a\nname: b\n"), "", ""); err != nil {
		t.Error(err)
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := Parse([]byte("domain: a\nname: ' '\nowners: 1\nx: 1\ny: 2\n"), "", "")
	if n := strings.Count(err.Error(), "\n") + 1; n != 4 {
		t.Errorf("%d errors: %v", n, err)
	}
}

// TestKeysOfEveryVersionLoad: those that came with v3.2 too.
func TestKeysOfEveryVersionLoad(t *testing.T) {
	p, err := Parse([]byte(`apiVersion: v3.2.0
kind: DataContract
id: x
version: 1.0.0
context: {instructions: be kind}
customProperties: [{property: consumers, value: [a], vendor: weir}]
slaProperties:
- {property: latency, value: 2, unit: d, element: 'w.b, t.a', customProperties: [{property: p, value: 1}], authoritativeDefinitions: [{url: https://x, type: t}]}
schema:
- name: t
  deprecated: true
  synonyms: [{synonym: s}]
  context: no more to say
  quality:
  - {type: sql, query: SELECT max(a), mustBe: '2026-01-01', unit: days}
  properties:
  - {name: a, synonyms: [{synonym: s}], deprecated: true, semanticType: column, enum: [{value: x, tags: [t]}]}
  - {name: m, logicalType: map, map: {key: {logicalType: string}, value: {logicalType: number}}}
  - {name: k, logicalType: map, map: {key: {logicalType: string, logicalTypeOptions: {maxLength: 2}}, value: {logicalType: number}}}
  - {name: v, logicalType: vector, logicalTypeOptions: {dimensions: 3, distanceMetric: cosine, embeddingModel: m, embeddingModelVersion: '1', normalized: true}}
  - {name: total, semanticType: measure, logicalType: number, transformLogic: SUM(a)}
- name: w
  properties: [{name: b}]
`), "d", "n")
	if err != nil {
		t.Fatal(err)
	}
	p = p.Objects[0]
	var got []string
	for _, c := range p.Columns {
		got = append(got, c.Name+" "+c.Type)
	}
	if want := []string{"a ", "m map", "k map", "v vector"}; !reflect.DeepEqual(got, want) {
		t.Errorf("columns %q", got)
	}
	got = nil
	for _, r := range p.Rules {
		if r.Kind != Present {
			got = append(got, fmt.Sprintf("%s %s %d", r.Name, r.Column(), r.Kind))
		}
	}
	want := []string{fmt.Sprintf("enum a %d", Invalid), fmt.Sprintf("logicalType m %d", TypeOf), fmt.Sprintf("logicalType m[] %d", TypeOf), fmt.Sprintf("logicalType k %d", TypeOf),
		fmt.Sprintf("map  %d", Unjudged), fmt.Sprintf("logicalType k[] %d", TypeOf), fmt.Sprintf("logicalType v %d", TypeOf), fmt.Sprintf("dimensions v %d", Items), fmt.Sprintf("elementType v[] %d", TypeOf),
		fmt.Sprintf("measure  %d", Unjudged), fmt.Sprintf("sql  %d", Unjudged), fmt.Sprintf("unexpected_columns  %d", Drift),
		fmt.Sprintf("latency a %d", Freshness), fmt.Sprintf("late a %d", Late), fmt.Sprintf("future a %d", Future)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("rules\n%q\nwant\n%q", got, want)
	}
}

// TestTheLintFindsWhatWouldNotBeJudged as its author meant it.
func TestTheLintFindsWhatWouldNotBeJudged(t *testing.T) {
	for _, c := range []struct{ properties, rest, want string }{
		{"{name: a, logicalType: date, logicalTypeOptions: {format: QQQ yyyy, minimum: 1 2026}}", "", `logicalType of a cannot be judged: format "QQQ yyyy": no layout for "QQQ"`},
		{"{name: a, logicalType: timestamp, logicalTypeOptions: {format: yyyyMMddHHmmssSSS}}", "", "no layout for a fraction of a second without a point before it"},
		{"{name: a, logicalType: timestamp, logicalTypeOptions: {defaultTimezone: Europe/Olso}}", "", `defaultTimezone of a cannot be judged: time zone "Europe/Olso": expected a name of the IANA database`},
		{"{name: a, logicalType: timestamp, logicalTypeOptions: {defaultTimezone: local}}", "", `time zone "local": expected`},
		{"{name: a, logicalType: timestamp, logicalTypeOptions: {timezone: true, format: 'yyyy-MM-dd HH:mm'}}", "", `timezone of a cannot be judged: it is true, but format "yyyy-MM-dd HH:mm" has no time zone`},
		{"{name: a, logicalType: timestamp, logicalTypeOptions: {timezone: false, format: 'yyyy-MM-dd HH:mmZ'}}", "", `timezone of a cannot be judged: it is false, but format "yyyy-MM-dd HH:mmZ" has a time zone`},
		{"{name: a, logicalType: date, logicalTypeOptions: {timezone: true}}", "", "timezone of a cannot be judged: a date has no time zone"},
		{"{name: a}", "servers: [{server: s, type: local, path: a.csv, format: csv, encoding: ISO-8859-1}]\n", "encoding (ISO-8859-1) is not judged: only UTF-8 is read"},
		{"{name: a, quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: []}}]}", "", "invalidValues of a cannot be judged: its validValues name no value"},
		{"{name: a, quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [null], pattern: x}}]}", "", "invalidValues of a cannot be judged: its validValues name no value"},
		{"{name: a, quality: [{metric: missingValues, mustBe: 0, arguments: {missingValues: []}}]}", "", "missingValues of a cannot be judged: its missingValues name no value"},
		{"{name: a, items: {unique: true}}", "", "unique of a[] cannot be judged: it is inside an array"},
		{"{name: a}", "slaProperties: [{property: latency, value: 1, unit: d, element: b}]\n", `latency of b: no property "b" is declared`},
		{"{name: a}", "slaProperties: [{property: latency, value: 1, unit: d, element: 'a, t.c'}]\n", `latency of c: no property "c" is declared`},
	} {
		var got []string
		for _, f := range Lint(odcs(t, c.properties, c.rest)) {
			if !f.Policy {
				got = append(got, f.Message)
			}
		}
		if text := strings.Join(got, "\n"); !strings.Contains(text, c.want) {
			t.Errorf("%s %s: %q, want %q", c.properties, c.rest, text, c.want)
		}
	}
}

func TestParseEvery(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"hourly": time.Hour, "every 5 min": 5 * time.Minute, "PT15M": 15 * time.Minute, "P1M": 31 * 24 * time.Hour, "P2D": 48 * time.Hour, "1.5 h": 90 * time.Minute, "soon": 0, "P1DT2H": 0,
	} {
		if got, ok := ParseEvery(text); got != want || ok != (want > 0) {
			t.Errorf("%s: %s %v, want %s", text, got, ok, want)
		}
	}
}

func TestSensitiveNames(t *testing.T) {
	for name, want := range map[string]bool{
		"email": true, "userEmail": true, "e_mail": true, "phone_number": true, "first_name": true, "customerName": true,
		"ip_address": true, "user.password": true, "date_of_birth": true, "api_key": true, "lat": true,
		"user_id": false, "timestamp": false, "amount": false, "shipment": false, "filename": false, "zipper": false, "token_count": true, "plate": false,
	} {
		if got := Sensitive(name, "", nil); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if Sensitive("email", "public", nil) {
		t.Error("a public column is masked")
	}
	if !Sensitive("x", "PII", nil) || !Sensitive("x", "", []string{"Personal Data"}) {
		t.Error("a classified column is shown")
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data, "d", "n")
		if err != nil {
			return
		}
		if err := p.Validate(); err != nil {
			t.Errorf("parsed, but: %v", err)
		}
	})
}
