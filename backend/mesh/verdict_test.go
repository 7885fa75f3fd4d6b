package mesh

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/backend/event"
	"weir/backend/mesh/contract"
	"weir/backend/mesh/judge"
)

func issuesOf(n int, severity contract.Severity) (out judge.Outcome) {
	out.Rows = 10
	for i := range n {
		column := fmt.Sprintf("c%02d", i)
		out.Issues = append(out.Issues, judge.Issue{
			Rule: contract.Rule{Name: "required", Columns: []string{column}, Severity: severity}, Column: column, Message: column + " null in 1 of 10 rows",
		})
	}
	return out
}

func messages(log *event.Log) (all []string) {
	for _, e := range log.Recent() {
		all = append(all, e.Message.String())
	}
	return all
}

// TestManyRulesThatBreakAtOnceBreakOnce: a contract of many rules that its producer breaks is not one that flaps, and its
// healing is told.
func TestManyRulesThatBreakAtOnceBreakOnce(t *testing.T) {
	var v verdict
	var log event.Log
	start := time.Unix(1_800_000_000, 0)
	v.tellIssues(issuesOf(20, contract.Fatal), start, "d/n", &log)
	v.tellIssues(issuesOf(0, contract.Fatal), start.Add(10*time.Second), "d/n", &log)
	all := strings.Join(messages(&log), "\n")
	if strings.Contains(all, "again and again") {
		t.Errorf("one break and heal is told as many:\n%s", all)
	}
	for _, want := range []string{"broke: c00 null in 1 of 10 rows", "broke: 14 more rules at the same time", "healed after 10s: required of c00 holds", "healed: 14 more rules at the same time"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
}

func TestAContractThatFlapsIsToldOnce(t *testing.T) {
	var v verdict
	var log event.Log
	now := time.Unix(1_800_000_000, 0)
	for i := range 40 {
		v.tellIssues(issuesOf(i%2, contract.Fatal), now.Add(time.Duration(i)*time.Second), "d/n", &log)
	}
	all := messages(&log)
	if n := strings.Count(strings.Join(all, "\n"), "again and again"); n != 1 || len(all) != maxChanges+1 {
		t.Errorf("%d events, %d of them that it flaps: %q", len(all), n, all)
	}
}

// TestAWarningIsOpenSinceItCame, and gets no event.
func TestAWarningIsOpenSinceItCame(t *testing.T) {
	var v verdict
	var log event.Log
	start := time.Unix(1_800_000_000, 0)
	out := issuesOf(1, contract.Warning)
	v.tellIssues(out, start, "d/n", &log)
	later := start.Add(time.Minute)
	v.tellIssues(out, later, "d/n", &log)
	p := v.product(Entry{Domain: "d", Name: "n", Product: &DataProduct{}}, out, "n", "", later)
	if first := p.Issues[0].FirstAt; !first.Equal(start) {
		t.Errorf("first seen %s, want %s", first, start)
	}
	if all := messages(&log); len(all) > 0 {
		t.Errorf("%q", all)
	}
}
