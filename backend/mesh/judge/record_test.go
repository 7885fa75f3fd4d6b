package judge

import (
	"strings"
	"testing"
	"time"

	"weir/backend/mesh/contract"
)

func TestRecord(t *testing.T) {
	parse := func(text string) contract.Product {
		p, err := contract.Parse([]byte(text), "d", "n")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	article := parse("name: n\ndomain: d\nschema_version: 1.0.0\nquality_sla:\n  required_columns: [id, email]\n  max_null_percentage: 0.05\n")
	standard := parse("apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\nschema:\n- name: n\n  quality: [{metric: rowCount, mustBeGreaterThan: 10}]\n" +
		"  properties: [{name: id, logicalType: integer, unique: true, required: true}, {name: age, logicalType: integer, logicalTypeOptions: {maximum: 120}}, " +
		"{name: kind, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [a, b]}, mustBeLessThan: 5, unit: percent}]}, " +
		"{name: home, logicalType: object, properties: [{name: zip, logicalType: string, required: true}]}]\n")
	for _, c := range []struct {
		product contract.Product
		record  string
		want    string
	}{
		{article, `{"id":1,"email":"a","more":2}`, ""},
		{article, `{"id":1,"email":null}`, "max_null_percentage email null ≤ 5% null"},
		{contractOf(t, "{name: one, quality: [{metric: nullValues, mustBeLessOrEqualTo: 1}]}", "", ""), `{"one":null}`, "nullValues one null ≤ 1 row"},
		{article, `{"id":1}`, "required_columns email missing"},
		{standard, `{"id":1,"age":30,"kind":"a","home":{"zip":"1"}}`, ""},
		{standard, `{"id":null,"age":130,"kind":"c"}`, "required id null; maximum age outside; invalidValues kind not a valid value < 5%"},
		{standard, `{"id":"one","age":1,"kind":"a","home":{}}`, "id not of type integer; required home.zip null"},
	} {
		faults, err := Record(c.product, []byte(c.record), time.Now(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		wants := strings.Split(c.want, "; ")
		if c.want == "" {
			wants = nil
		}
		if len(faults) != len(wants) {
			t.Errorf("%s: %d faults %+v, want %q", c.record, len(faults), faults, c.want)
			continue
		}
		for _, want := range wants {
			found := false
			for _, f := range faults {
				text := strings.Join([]string{f.Rule.Name, f.Column, f.What, f.Tolerated}, " ")
				all := true
				for _, word := range strings.Fields(want) {
					all = all && strings.Contains(text, word)
				}
				found = found || all
			}
			if !found {
				t.Errorf("%s: %+v lacks %q", c.record, faults, want)
			}
		}
	}
	if faults, err := Record(article, []byte(`{"id":1,"email":"a"}`), time.Now(), []string{"id", "phone"}, nil); err != nil || len(faults) != 1 || faults[0].Column != "phone" || faults[0].What != "missing" {
		t.Errorf("of a column that others have: %+v, %v", faults, err)
	}
	if _, err := Record(article, []byte("not JSON"), time.Now(), nil, nil); err == nil {
		t.Error("garbage was judged")
	}
}

// TestAMaskedSampleTellsItsLength in words that fit one byte, too.
func TestAMaskedSampleTellsItsLength(t *testing.T) {
	p := contractOf(t, "{name: v, logicalType: string, classification: pii}", "", "")
	j := New(p, Options{})
	for i, v := range []string{"7", "17"} {
		if err := j.JSON([]byte(`{"v":`+v+`}`), Where{Partition: -1, Offset: int64(i), At: noon}); err != nil {
			t.Fatal(err)
		}
	}
	samples := j.Outcome(noon).Issues[0].Samples
	if got := samples[0].Value + samples[1].Value; got != "••• (number of 1 byte)••• (number of 2 bytes)" {
		t.Error(got)
	}
}

// TestASampleOfALiveTopicHasTheWholeRecord: the value that fails says little about where it came from. The rules that one
// record breaks share it.
func TestASampleOfALiveTopicHasTheWholeRecord(t *testing.T) {
	p := contractOf(t, `{name: id, logicalType: string}, {name: email, classification: pii, logicalType: string, logicalTypeOptions: {maxLength: 3}}, {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0}}`, "", "")
	record := `{"id":"k7","email":"a@secret.example","amount":-5,"note":"` + strings.Repeat("x", 2000) + `"}`
	for _, o := range []Options{{Live: true, Window: time.Minute}, {Live: true, Rows: 10}} {
		j := New(p, o)
		if err := j.JSON([]byte(record), Where{Partition: 1, Offset: 7, At: noon}); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, i := range j.Outcome(noon).Issues {
			for _, s := range i.Samples {
				seen++
				if !strings.HasPrefix(s.Record, `{id: "k7", email: •••, amount: -5, note: "xxx`) || len(s.Record) > 300 {
					t.Errorf("%s: %s", i.Rule.Title(), s.Record)
				}
			}
		}
		if seen != 2 {
			t.Errorf("%d samples, want that of email's length and that of amount's minimum", seen)
		}
	}
	j := New(p, Options{})
	if err := j.JSON([]byte(record), Where{Partition: -1, Offset: 1, At: noon}); err != nil {
		t.Fatal(err)
	}
	if s := j.Outcome(noon).Issues[0].Samples[0]; s.Record != "" {
		t.Errorf("a file's sample has %q; the file is at hand", s.Record)
	}
}

// TestAMissingColumnHasRecordsToShow: all lack it, and the newest tell where.
func TestAMissingColumnHasRecordsToShow(t *testing.T) {
	p := contractOf(t, `{name: id, logicalType: string}, {name: email, required: true}`, "", "")
	for name, o := range map[string]Options{"window": {Live: true, Window: time.Minute}, "count": {Live: true, Rows: 10}} {
		j := New(p, o)
		for offset := range int64(7) {
			if err := j.JSON([]byte(`{"id":"k7"}`), Where{Partition: 1, Offset: offset, At: noon}); err != nil {
				t.Fatal(err)
			}
		}
		seen := false
		for _, i := range j.Outcome(noon).Issues {
			if i.Rule.Kind != contract.Present {
				continue
			}
			seen = true
			if len(i.Samples) != KeepSamples || i.Samples[0].Partition != 1 || i.Last.Offset != 6 || i.Samples[0].Record != `{id: "k7"}` {
				t.Errorf("%s: last %+v, samples %+v", name, i.Last, i.Samples)
			}
		}
		if !seen {
			t.Errorf("%s: no column is missing", name)
		}
	}
}
