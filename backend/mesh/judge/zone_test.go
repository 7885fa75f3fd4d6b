package judge

import (
	"reflect"
	"testing"
	"time"

	"weir/backend/mesh/scan"
)

// TestTimeZones: whether a time says its zone is judged where a contract says it does, or does not; one that says none is read
// in the contract's zone, and so are the contract's own limits.
func TestTimeZones(t *testing.T) {
	for _, c := range []struct {
		name, options string
		values        []string
		want          []string
	}{
		{"timezone: true", "timezone: true", []string{`"2026-01-01T12:00:00"`, `"2026-01-01"`, `"2026-01-01T12:00:00Z"`, `"2026-01-01 12:00:00.5+01:00"`, `"2026-01-01T12:00-0330"`, "1767268800", "null"}, []string{"timezone v 2/6"}},
		{"timezone: false", "timezone: false", []string{`"2026-01-01T12:00:00"`, `"2026-01-01"`, `"2026-01-01T12:00:00Z"`, `"2026-01-01 12:00:00+01:00"`, "1767268800"}, []string{"timezone v 2/5"}},
		{"no timezone", "minimum: '2026-01-01'", []string{`"2026-01-01T12:00:00"`, `"2026-01-01T12:00:00Z"`}, nil},
		{"in Sydney, 11 hours ahead", "defaultTimezone: Australia/Sydney, minimum: '2026-01-01T12:00:00Z'",
			[]string{`"2026-01-01T22:59:59"`, `"2026-01-01T23:00:00"`, `"2026-01-01T12:00:00Z"`, `"2026-01-01T11:59:59Z"`}, []string{"minimum v 2/4"}},
		{"and 10 in winter", "defaultTimezone: Australia/Sydney, minimum: '2026-07-01T12:00:00Z'", []string{`"2026-07-01T21:59:59"`, `"2026-07-01T22:00:00"`}, []string{"minimum v 1/2"}},
		{"of an offset", "defaultTimezone: '+10:00', minimum: '2026-01-01T12:00:00Z'", []string{`"2026-01-01T21:59:59"`, `"2026-01-01T22:00:00"`}, []string{"minimum v 1/2"}},
		{"so are the limits", "defaultTimezone: Australia/Sydney, minimum: '2026-01-01 13:00:00'", []string{`"2026-01-01T12:59:59"`, `"2026-01-01T13:00:00"`, `"2026-01-01T01:59:59Z"`, `"2026-01-01T02:00:00Z"`}, []string{"minimum v 2/4"}},
		{"in a format", "format: dd.MM.yyyy HH:mm, defaultTimezone: Australia/Sydney, minimum: '2026-01-01T12:00:00Z'", []string{`"01.01.2026 22:59"`, `"01.01.2026 23:00"`}, []string{"minimum v 1/2"}},
		{"limits in a format", "format: dd.MM.yyyy HH:mm, defaultTimezone: Australia/Sydney, minimum: '01.01.2026 13:00'", []string{`"01.01.2026 12:59"`, `"01.01.2026 13:00"`}, []string{"minimum v 1/2"}},
		{"a Z that is a text is UTC", "format: \"yyyy-MM-dd'T'HH:mm'Z'\", defaultTimezone: Australia/Sydney, timezone: true, minimum: '2026-01-01T12:00:00Z'", []string{`"2026-01-01T11:59Z"`, `"2026-01-01T12:00Z"`}, []string{"minimum v 1/2"}},
		{"the standard's own example", "format: yyyy-MM-ddTHH:mm:ssZ, timezone: true, defaultTimezone: Australia/Sydney",
			[]string{`"2024-03-10T14:22:35Z"`, `"2024-03-10T14:22:35+10:00"`, `"2024-03-10T14:22:35+1000"`, `"2024-03-10T14:22:35"`}, []string{"logicalType v 1/4"}},
		{"the future of Sydney", "defaultTimezone: Australia/Sydney", []string{`"` + noon.Add(10*time.Hour).Format("2006-01-02T15:04:05") + `"`, `"` + noon.Add(12*time.Hour).Format("2006-01-02T15:04:05") + `"`}, []string{"(warning) future v 1/2"}},
	} {
		records := make([]string, len(c.values))
		for i, v := range c.values {
			records[i] = `{"v":` + v + `}`
		}
		p := contractOf(t, "{name: v, logicalType: timestamp, logicalTypeOptions: {"+c.options+"}}", "", "")
		if got := issues(t, p, Options{}, records...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	p := contractOf(t, "{name: v, logicalType: time, logicalTypeOptions: {timezone: true}}", "", "")
	if got := issues(t, p, Options{}, `{"v":"10:00:00"}`, `{"v":"10:00:00+01:00"}`, `{"v":"10:00Z"}`); !reflect.DeepEqual(got, []string{"timezone v 1/3"}) {
		t.Errorf("of a time of day: %q", got)
	}
}

// TestATimeOfTheDatasOwnTypeHasNoFormat: the format of a contract is that of texts.
func TestATimeOfTheDatasOwnTypeHasNoFormat(t *testing.T) {
	p := contractOf(t, "{name: v, logicalType: timestamp, logicalTypeOptions: {format: dd.MM.yyyy HH:mm, defaultTimezone: Australia/Sydney, minimum: '01.01.2026 13:00'}}", "", "")
	j := New(p, Options{Columnar: true})
	slots := j.Columns([]string{"v"})
	for i, text := range []string{`"2026-01-01T12:59:59"`, `"2026-01-01T13:00:00"`} {
		j.Row(slots, []Cell{{Kind: scan.String, Raw: []byte(text), Time: true}}, Where{Partition: -1, Offset: int64(i + 1), At: noon})
	}
	var got []string
	for _, i := range j.Outcome(noon).Issues {
		got = append(got, i.Message)
	}
	if want := []string{"v outside minimum 01.01.2026 13:00 in 1 of 2 rows"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
