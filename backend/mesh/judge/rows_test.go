package judge

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// figures is what an outcome says, without where.
func figures(o Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows, %d undecodable, schema %v, quality %v\n", o.Rows, o.Undecodable, o.Schema, o.Quality)
	for _, c := range o.Columns {
		if c.Present {
			fmt.Fprintf(&b, "%s %d nulls of %d\n", c.Name, c.Nulls, c.Rows)
		}
	}
	for _, c := range o.Checks {
		if c.Rule.Name == "unexpected_columns" {
			c.Of = 0 // columns the judge ever met
		}
		fmt.Fprintf(&b, "%s %s %d of %d %s\n", c.Rule.Title(), c.Status, c.Failed, c.Of, c.Observed)
	}
	return b.String()
}

func TestAWindowByCountIsExact(t *testing.T) {
	t.Parallel()
	p := contractOf(t, `{name: id, logicalType: integer, required: true, unique: true},
    {name: kind, logicalType: string, logicalTypeOptions: {maxLength: 4}},
    {name: at, logicalType: timestamp},
    {name: place, logicalType: object, properties: [{name: city, logicalType: string, required: true}]},
    {name: tags, logicalType: array, items: {logicalType: string, logicalTypeOptions: {minLength: 1}}}`, "", "")
	r := rand.New(rand.NewPCG(7, 7))
	random := func() string {
		if r.IntN(20) == 0 {
			return "garbage"
		}
		var fields []string
		for _, f := range []string{
			fmt.Sprintf(`"id":%d`, r.IntN(300)), `"id":null`, `"kind":"ok"`, `"kind":"too long"`, `"kind":null`, `"at":"2026-11-22T07:00:00Z"`, `"at":"soon"`,
			`"place":{"city":"Oslo"}`, `"place":{"city":null}`, `"place":{}`, `"tags":["a"]`, `"tags":["",""]`, `"tags":["",null,1]`, `"more":1`,
		} {
			if r.IntN(4) == 0 {
				fields = append(fields, f)
			}
		}
		return "{" + strings.Join(fields, ",") + "}"
	}
	for _, limit := range []int64{1, 7, 120, 250} {
		j := New(p, Options{Rows: limit, Live: true})
		var all []string
		for i := range 1200 {
			all = append(all, random())
			where := Where{Partition: 1, Offset: int64(i), At: noon}
			_ = j.JSON([]byte(all[i]), where)
			if i%61 != 0 && i != 1199 {
				continue
			}
			fresh := New(p, Options{Window: time.Hour, Live: true})
			first := max(0, i+1-int(limit))
			for k := first; k <= i; k++ {
				_ = fresh.JSON([]byte(all[k]), Where{Partition: 1, Offset: int64(k), At: noon})
			}
			got, want := j.Outcome(noon), fresh.Outcome(noon)
			if figures(got) != figures(want) {
				t.Fatalf("window of %d after %d records:\n%s\nwant\n%s", limit, i+1, figures(got), figures(want))
			}
			for _, issue := range got.Issues {
				for _, s := range issue.Samples {
					if s.Offset < int64(first) || s.Offset > int64(i) {
						t.Fatalf("window of %d after %d records: %s has a sample of record %d", limit, i+1, issue.Message, s.Offset)
					}
				}
				if n := len(issue.Samples); issue.Failed > 0 && issue.Rule.Name == "required" && n == 0 && limit > 7 && issue.Failed >= 5 {
					t.Errorf("%s has no sample", issue.Message)
				}
				if issue.First.Offset < int64(first) && !issue.First.At.IsZero() {
					t.Fatalf("%s first at %d, the window begins at %d", issue.Message, issue.First.Offset, first)
				}
			}
		}
		if n := len(j.byCount.ids); int64(n) > limit || len(j.byCount.traces) > int(limit)+1 {
			t.Errorf("window of %d: %d traces", limit, n)
		}
	}
}

func TestARecordOfAWindowByCountAllocatesNothing(t *testing.T) {
	j := New(contract20(t), Options{Rows: 500, Live: true})
	record := []byte(`{"user_id":"u48213","session_id":"s-9f31a2","event_type":"view","timestamp":"2026-11-22T07:00:00.123Z","email":"a@b.c","amount":129.5,"currency":"EUR","device":"phone"}`)
	where := Where{Partition: 1, At: noon}
	for range 2000 {
		_ = j.JSON(record, where)
	}
	if n := testing.AllocsPerRun(2000, func() { _ = j.JSON(record, where) }); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}
