package edge

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func sum(records int64, quality float64, at time.Time, raw string) summary {
	return summary{RecordCount: records, Quality: quality, LastUpdated: at, RawUpdated: raw}
}

func TestParseSummary(t *testing.T) {
	at := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	tests := []struct {
		name, body string
		want       summary
		err        string // a part of it; empty: none
	}{
		{"article", `{"record_count": 12004, "quality_score": 0.982, "last_updated": "2026-11-22T07:00:00"}`,
			sum(12004, 0.982, at, `"2026-11-22T07:00:00"`), ""},
		{"RFC 3339", `{"record_count":0,"quality_score":1,"last_updated":"2026-11-22T08:00:00+01:00"}`,
			sum(0, 1, at, `"2026-11-22T08:00:00+01:00"`), ""},
		{"isoformat with microseconds", `{"record_count":1,"quality_score":0,"last_updated":"2026-11-22T07:00:00.123456"}`,
			sum(1, 0, at.Add(123456*time.Microsecond), `"2026-11-22T07:00:00.123456"`), ""},
		{"str(datetime)", `{"record_count":1,"quality_score":0.5,"last_updated":"2026-11-22 07:00:00+00:00"}`,
			sum(1, 0.5, at, `"2026-11-22 07:00:00+00:00"`), ""},
		{"PostgreSQL", `{"record_count":1,"quality_score":0.5,"last_updated":"2026-11-22 09:00:00.25+02"}`,
			sum(1, 0.5, at.Add(250*time.Millisecond), `"2026-11-22 09:00:00.25+02"`), ""},
		{"PostgreSQL in JSON", `{"record_count":1,"quality_score":0.5,"last_updated":"2026-11-22T12:30:00+05:30"}`,
			sum(1, 0.5, at, `"2026-11-22T12:30:00+05:30"`), ""},
		{"isoformat in minutes", `{"record_count":1,"quality_score":0.5,"last_updated":"2026-11-21T23:30-07:30"}`,
			sum(1, 0.5, at, `"2026-11-21T23:30-07:30"`), ""},
		{"Unix seconds", `{"record_count":1,"quality_score":0.5,"last_updated":1795330800}`, sum(1, 0.5, at, `1795330800`), ""},
		{"Unix seconds with a fraction", `{"record_count":1,"quality_score":0.5,"last_updated":1795330800.25}`,
			sum(1, 0.5, at.Add(250*time.Millisecond), `1795330800.25`), ""},
		{"Unix milliseconds", `{"record_count":1,"quality_score":0.5,"last_updated":1795330800000}`,
			sum(1, 0.5, at, `1795330800000`), ""},
		{"extra keys", `{"a":{"record_count":[1,{"}":"\""}]},"record_count":12004.0,"quality_score":9e-1,"last_updated":"2026-11-22T07:00:00Z","z":null}`,
			sum(12004, 0.9, at, `"2026-11-22T07:00:00Z"`), ""},
		{"escaped key", `{"record\u005fcount":7,"quality_score":0.5,"last_updated":"2026-11-22T07:00:00Z"}`,
			sum(7, 0.5, at, `"2026-11-22T07:00:00Z"`), ""},
		{"minus zero", `{"record_count":-0,"quality_score":-0.0,"last_updated":"2026-11-22T07:00:00Z"}`,
			sum(0, 0, at, `"2026-11-22T07:00:00Z"`), ""},

		{"empty", ``, summary{}, "the body is empty"},
		{"HTML", "\n<html><body>502</body></html>", summary{}, "found HTML"},
		{"list", `[1]`, summary{}, "expected a JSON object, found a list"},
		{"cut", `{"record_count":1,`, summary{}, "unexpected end of JSON input"},
		{"two values", `{"record_count":1,"quality_score":0.5,"last_updated":1} {"record_count":2}`, summary{}, "more than one JSON value"},
		{"trailing bytes", `{"record_count":1,"quality_score":0.5,"last_updated":1}x`, summary{}, "more than one JSON value"},
		{"key twice", `{"record_count":1,"record_count":2,"quality_score":0.5,"last_updated":1}`, summary{}, "record_count is given twice"},
		{"key in another case", `{"Record_Count":1,"quality_score":0.5,"last_updated":1}`, summary{}, "record_count is missing"},
		{"not UTF-8", "{\"a\":\"\xff\"}", summary{}, "not UTF-8"},
		{"deep", `{"a":` + deep + `,"record_count":1}`, summary{}, "nested 41 deep"},
		{"overflow", `{"record_count":1e999,"quality_score":0.5,"last_updated":1}`, summary{}, "record_count: 1e999 is out of range"},
		{"large", `{"record_count":9007199254740993,"quality_score":0.5,"last_updated":1}`, summary{}, "out of range"},
		{"negative count", `{"record_count":-4,"quality_score":0.5,"last_updated":1}`, summary{}, "expected at least 0, found -4"},
		{"fractional count", `{"record_count":1.5,"quality_score":0.5,"last_updated":1}`, summary{}, "expected a whole number, found 1.5"},
		{"count as string", `{"record_count":"12","quality_score":0.5,"last_updated":1}`, summary{}, "expected a number, found a string"},
		{"count null", `{"record_count":null,"quality_score":0.5,"last_updated":1}`, summary{}, "expected a number, found null"},
		{"NaN", `{"record_count":1,"quality_score":NaN,"last_updated":1}`, summary{}, "invalid character 'N'"},
		{"quality above", `{"record_count":1,"quality_score":1.01,"last_updated":1}`, summary{}, "expected 0 to 1, found 1.01"},
		{"quality below", `{"record_count":1,"quality_score":-0.1,"last_updated":1}`, summary{}, "expected 0 to 1, found -0.1"},
		{"quality true", `{"record_count":1,"quality_score":true,"last_updated":1}`, summary{}, "found true"},
		{"quality missing", `{"record_count":1,"last_updated":1}`, summary{}, "quality_score is missing"},
		{"no time", `{"record_count":1,"quality_score":0.5,"last_updated":"yesterday"}`, summary{}, `"yesterday" is not a time`},
		{"time null", `{"record_count":1,"quality_score":0.5,"last_updated":null}`, summary{}, "found null"},
		{"time negative", `{"record_count":1,"quality_score":0.5,"last_updated":-1}`, summary{}, "not a Unix time"},
		{"time of the ancients", `{"record_count":1,"quality_score":0.5,"last_updated":"0001-01-01T00:00:00Z"}`, summary{}, "before 1970"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseSummary([]byte(tt.body))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, ErrSummary) {
					t.Fatalf("got %v, want an ErrSummary with %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func FuzzParseSummary(f *testing.F) {
	f.Add([]byte(`{"record_count": 12004, "quality_score": 0.982, "last_updated": "2026-11-22T07:00:00"}`))
	f.Add([]byte(`{"record_count":1e999,"quality_score":-0,"last_updated":1795330800000000000}`))
	f.Add([]byte(`{"a":[{"b":"\""}],"record_count":1.0}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := parseSummary(body)
		if err != nil {
			return
		}
		if s.RecordCount < 0 || s.RecordCount > maxRecords || !(s.Quality >= 0 && s.Quality <= 1) || s.LastUpdated.Year() < 1970 {
			t.Fatalf("accepted %+v from %q", s, body)
		}
		if len(s.RawUpdated) > maxUpdatedText {
			t.Fatalf("kept %d bytes of last_updated", len(s.RawUpdated))
		}
	})
}
