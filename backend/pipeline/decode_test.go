package pipeline

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestDecode(t *testing.T) {
	const stamp = `"2026-11-22T07:00:00Z"`
	for _, test := range []struct {
		name, in        string
		stage, reason   string // empty: it decodes
		key, user, time string
		numeric         bool
	}{
		{name: "plain", in: `{"user_id":"u1","timestamp":` + stamp + `}`, key: "u1", user: `"u1"`, time: stamp},
		{name: "number", in: ` { "timestamp" : 1700000000.25 , "user_id" : -17 } `, key: "-17", user: "-17", time: "1700000000.25", numeric: true},
		{name: "last one counts", in: `{"user_id":"a","timestamp":1,"user_id":"b","timestamp":2}`, key: "b", user: `"b"`, time: "2"},
		{name: "escaped name and value", in: `{"user\u005fid":"\u0075\ud83d\ude00\n","timestamp":1}`, key: "u😀\n", user: `"\u0075\ud83d\ude00\n"`, time: "1"},
		{name: "nested is skipped", in: `{"a":{"user_id":"x","b":[1,{"c":[]},"]}"]},"user_id":"u","timestamp":1}`, key: "u", user: `"u"`, time: "1"},
		{name: "half a surrogate elsewhere", in: `{"a":"\ud800","user_id":"u","timestamp":1}`, key: "u", user: `"u"`, time: "1"},
		{name: "a timestamp nobody can read", in: `{"user_id":"u","timestamp":"yesterday"}`, key: "u", user: `"u"`, time: `"yesterday"`},
		{name: "numeric overflow", in: `{"user_id":"u","timestamp":1e999}`, key: "u", user: `"u"`, time: `1e999`},

		{name: "nothing", in: ``, stage: stageDecode, reason: "empty"},
		{name: "blank", in: ` `, stage: stageDecode, reason: "ends too early"},
		{name: "truncated", in: `{"user_id":"u1","timest`, stage: stageDecode, reason: "ends too early, at byte 23"},
		{name: "truncated after a comma", in: `{"user_id":"u1",`, stage: stageDecode, reason: "ends too early"},
		{name: "not JSON", in: `user_id=17`, stage: stageDecode, reason: "not JSON at byte 0"},
		{name: "array", in: `[1]`, stage: stageDecode, reason: "not an object"},
		{name: "two values", in: `[1] 2`, stage: stageDecode, reason: "more after"},
		{name: "string", in: `"x"`, stage: stageDecode, reason: "not an object"},
		{name: "two objects", in: `{}{}`, stage: stageDecode, reason: "more after the JSON object, at byte 2"},
		{name: "trailing comma", in: `{"user_id":"u","timestamp":1,}`, stage: stageDecode, reason: "not JSON at byte 29"},
		{name: "single quotes", in: `{'user_id':'u'}`, stage: stageDecode, reason: "not JSON"},
		{name: "NaN", in: `{"user_id":"u","timestamp":1,"x":NaN}`, stage: stageDecode, reason: "not JSON"},
		{name: "leading zero", in: `{"user_id":017}`, stage: stageDecode, reason: "not JSON"},
		{name: "bare dot", in: `{"user_id":1.}`, stage: stageDecode, reason: "not a JSON number"},
		{name: "control", in: "{\"user_id\":\"a\tb\"}", stage: stageDecode, reason: "control character"},
		{name: "bad escape", in: `{"user_id":"\x"}`, stage: stageDecode, reason: "escape"},
		{name: "not UTF-8", in: "{\"user_id\":\"a\xff\"}", stage: stageDecode, reason: "not UTF-8 at byte 13"},
		{name: "byte order mark", in: "\ufeff{}", stage: stageDecode, reason: "not JSON"},
		{name: "deep", in: strings.Repeat("[", 100_000), stage: stageDecode, reason: "nested deeper"},
		{name: "deep object", in: strings.Repeat(`{"a":`, 100_000), stage: stageDecode, reason: "nested deeper"},

		{name: "no entity", in: `{"timestamp":1}`, stage: stageEntity, reason: "no user_id"},
		{name: "null entity", in: `{"user_id":null,"timestamp":1}`, stage: stageEntity, reason: "neither a string nor a number"},
		{name: "object entity", in: `{"user_id":{},"timestamp":1}`, stage: stageEntity, reason: "neither a string nor a number"},
		{name: "empty entity", in: `{"user_id":"","timestamp":1}`, stage: stageEntity, reason: "empty"},
		{name: "long entity", in: `{"user_id":"` + strings.Repeat("x", 2000) + `","timestamp":1}`, stage: stageEntity, reason: "longer"},
		{name: "fraction", in: `{"user_id":1.5,"timestamp":1}`, stage: stageEntity, reason: "whole number"},
		{name: "entity overflow", in: `{"user_id":99999999999999999999,"timestamp":1}`, stage: stageEntity, reason: "64 bits"},
		{name: "half a surrogate", in: `{"user_id":"\ud800x","timestamp":1}`, stage: stageEntity, reason: "surrogate"},
		{name: "no timestamp", in: `{"user_id":"u"}`, stage: stageDecode, reason: "no timestamp"},
		{name: "null timestamp", in: `{"user_id":"u","timestamp":null}`, stage: stageDecode, reason: "neither"},
		{name: "long timestamp", in: `{"user_id":"u","timestamp":"` + strings.Repeat("1", 200) + `"}`, stage: stageDecode, reason: "longer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got decoded
			f := decode([]byte(test.in), "user_id", &got)
			if test.reason != "" {
				if f.code == noFault || f.stage() != test.stage || !strings.Contains(f.reason("user_id"), test.reason) {
					t.Fatalf("got %q: %q, want %q: %q", f.stage(), f.reason("user_id"), test.stage, test.reason)
				}
				return
			}
			if f.code != noFault {
				t.Fatalf("refused: %s", f.reason("user_id"))
			}
			if got.entity.Key != test.key || got.entity.Numeric != test.numeric || string(got.user) != test.user || string(got.stamp) != test.time {
				t.Fatalf("got entity %+v user %s timestamp %s", got.entity, got.user, got.stamp)
			}
		})
	}
}

func TestTimestamps(t *testing.T) {
	want := time.Date(2026, 2, 28, 23, 5, 9, 123_456_000, time.UTC)
	for in, at := range map[string]time.Time{
		"2026-02-28T23:05:09.123456Z":       want,
		"2026-02-28T23:05:09.123456":        want, // datetime.isoformat() without a zone
		"2026-02-28 23:05:09.123456+00:00":  want,
		"2026-03-01T01:05:09.123456+02:00":  want,
		"2026-02-28T17:35:09.123456-0530":   want,
		"2026-02-28T23:05:09Z":              want.Truncate(time.Second),
		"2026-02-28T23:05":                  want.Truncate(time.Minute),
		"2026-02-28":                        want.Truncate(24 * time.Hour),
		"1772319909":                        want.Truncate(time.Second),
		"1772319909123":                     want.Truncate(time.Millisecond),
		"1772319909123456":                  want,
		"1772319909123456000":               want,
		"1.772319909e9":                     want.Truncate(time.Second),
		"1969-12-31T23:59:59Z":              time.Unix(-1, 0),
		"2024-02-29T00:00:00Z":              time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),
		"2000-01-01T00:00:00.1234567891234": time.Date(2000, 1, 1, 0, 0, 0, 123_456_789, time.UTC),
	} {
		if got, ok := parseTimestamp([]byte(in)); !ok || got != at.UnixNano() {
			t.Errorf("%s is %v (%v), want %v", in, time.Unix(0, got).UTC(), ok, at)
		}
	}
	for _, in := range []string{"", "yesterday", "2026-13-01", "2026-02-30", "2026-02-28T24:00:00Z", "2026-02-28T23:05:09.Z",
		"2026-02-28T23:05:09+", "2026-02-28T23:05:09+25:00", "2026-02-28X", "-5", "1e999", "9999-01-01", "99999999999999999999999"} {
		if got, ok := parseTimestamp([]byte(in)); ok {
			t.Errorf("%q was read as %v", in, time.Unix(0, got).UTC())
		}
	}
}

// TestCalendar compares every day of some centuries with the standard library.
func TestCalendar(t *testing.T) {
	for day := time.Date(1899, 12, 31, 0, 0, 0, 0, time.UTC); day.Year() < 2101; day = day.AddDate(0, 0, 1) {
		got, ok := parseTimestamp([]byte(day.Format("2006-01-02T15:04:05")))
		if !ok || got != day.UnixNano() {
			t.Fatalf("%v: got %d (%v), want %d", day, got, ok, day.UnixNano())
		}
	}
}

// FuzzDecode holds the decoder against encoding/json: what one takes for a JSON object the other does, and both see
// the same two members in it.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"user_id":"u1","timestamp":"2026-11-22T07:00:00Z"}`, `{"user_id":17,"timestamp":1e9,"user_id":18}`, `{"a":[{"b":null}],"c":true}`,
		`{"user\u005fid":"\ud83d\ude00","timestamp":-0.5E+3}`, `[]`, `{`, `{"a":}`, "{\"\xff\":1}", `{"a":"\ud800"}`, `{} x`, `nul`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var got decoded
		fault := decode(value, "user_id", &got)
		var members map[string]json.RawMessage
		isObject := utf8.Valid(value) && json.Unmarshal(value, &members) == nil && members != nil
		_ = fault.reason("user_id")
		switch fault.code {
		case noFault, faultNoEntity, faultEntityType, faultEntityEmpty, faultEntityLong, faultEntityNumber, faultSurrogate,
			faultNoTimestamp, faultTimestampType, faultTimestampLong:
			if !isObject {
				t.Fatalf("took %q for an object", value)
			}
		case faultDeep:
			return
		default:
			if isObject {
				t.Fatalf("refused %q: %s", value, fault.reason("user_id"))
			}
			return
		}
		if fault.code != noFault {
			return
		}
		if !bytes.Equal(members["user_id"], got.user) || !bytes.Equal(members["timestamp"], got.stamp) {
			t.Fatalf("%q: got %s and %s, want %s and %s", value, got.user, got.stamp, members["user_id"], members["timestamp"])
		}
		if !got.entity.Numeric {
			var key string
			if err := json.Unmarshal(got.user, &key); err != nil || key != got.entity.Key {
				t.Fatalf("%q: got key %q, want %q", value, got.entity.Key, key)
			}
		}
	})
}
