package contract

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseTime reads a time as data carry it: ISO 8601 dates and date-times (T or a space between, any fraction of a
// second, Z, ±hh:mm, ±hhmm or no zone, which means UTC), without allocating.
func ParseTime(b []byte) (time.Time, bool) {
	year, month, day, seconds, nanos, ok := timeParts(b)
	if !ok {
		return time.Time{}, false
	}
	return time.Date(year, time.Month(month), day, 0, 0, seconds, nanos, time.UTC), true
}

// IsTime tells whether ParseTime would read b.
func IsTime(b []byte) bool {
	_, _, _, _, _, ok := timeParts(b)
	return ok
}

func timeParts(b []byte) (year, month, day, seconds, nanos int, ok bool) {
	if len(b) < 10 || b[4] != '-' || b[7] != '-' {
		return 0, 0, 0, 0, 0, false
	}
	century, month, day := pair(b[0], b[1]), pair(b[5], b[6]), pair(b[8], b[9])
	year = century*100 + pair(b[2], b[3])
	if century > 99 || year-century*100 > 99 || month < 1 || month > 12 || day < 1 || day > 28 && day > daysIn(year, month) {
		return 0, 0, 0, 0, 0, false
	}
	if len(b) == 10 {
		return year, month, day, 0, 0, true
	}
	if b[10] != 'T' && b[10] != ' ' && b[10] != 't' {
		return 0, 0, 0, 0, 0, false
	}
	seconds, nanos, rest, ok := clock(b[11:])
	if !ok {
		return 0, 0, 0, 0, 0, false
	}
	offset, ok := zone(rest)
	return year, month, day, seconds - offset, nanos, ok
}

// ParseClock reads a time of day (hh:mm, seconds, fraction and zone as they come) as one of the day 0000-01-01 in UTC, as
// Go's layouts without a date do it.
func ParseClock(b []byte) (time.Time, bool) {
	seconds, nanos, rest, ok := clock(b)
	if !ok {
		return time.Time{}, false
	}
	offset, ok := zone(rest)
	t := time.Date(0, 1, 1, 0, 0, seconds, nanos, time.UTC)
	if offset == 0 { // else 23:59:60 would be the day's first second
		return t, ok
	}
	return OfDay(t.Add(-time.Duration(offset) * time.Second)), ok
}

// OfDay is the time of day in UTC, as one of the day 0000-01-01: 00:30+02:00 is 22:30, of whatever day.
func OfDay(t time.Time) time.Time {
	hour, minute, second := t.UTC().Clock()
	return time.Date(0, 1, 1, hour, minute, second, t.Nanosecond(), time.UTC)
}

func clock(b []byte) (seconds, nanos int, rest []byte, ok bool) {
	if len(b) < 5 || b[2] != ':' {
		return 0, 0, nil, false
	}
	hour, minute := pair(b[0], b[1]), pair(b[3], b[4])
	if hour > 23 || minute > 59 {
		return 0, 0, nil, false
	}
	seconds, b = hour*3600+minute*60, b[5:]
	if len(b) < 3 || b[0] != ':' {
		return seconds, 0, b, true
	}
	second := pair(b[1], b[2])
	if second > 60 { // a leap second
		return 0, 0, nil, false
	}
	seconds, b = seconds+second, b[3:]
	if len(b) < 2 || b[0] != '.' && b[0] != ',' {
		return seconds, 0, b, true
	}
	unit, i := 100_000_000, 1
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		nanos += int(b[i]-'0') * unit
		unit /= 10
	}
	return seconds, nanos, b[i:], i > 1
}

// zone is a zone's offset east of UTC in seconds.
func zone(b []byte) (int, bool) {
	if len(b) == 0 || len(b) == 1 && (b[0] == 'Z' || b[0] == 'z') {
		return 0, true
	}
	if len(b) < 3 || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	hours, minutes := pair(b[1], b[2]), 0
	switch rest := b[3:]; {
	case len(rest) == 0:
	case len(rest) == 3 && rest[0] == ':':
		minutes = pair(rest[1], rest[2])
	case len(rest) == 2:
		minutes = pair(rest[0], rest[1])
	default:
		return 0, false
	}
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := hours*3600 + minutes*60
	if b[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// pair is the number two digits write, or more than any if they are none.
func pair(tens, ones byte) int {
	t, o := tens-'0', ones-'0'
	if t > 9 || o > 9 {
		return 1000
	}
	return int(t)*10 + int(o)
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// Layout turns a JDK DateTimeFormatter pattern, which ODCS uses, into Go's layout. An empty pattern gives an empty
// layout: ISO 8601. The layout keeps the zone the format has been given by its column.
func Layout(jdk string) (string, error) {
	if format, zone, zoned := strings.Cut(jdk, zoneMark); zoned {
		layout, err := Layout(format)
		return inZone(layout, zone), err
	}
	var b strings.Builder
	for i := 0; i < len(jdk); {
		c := jdk[i]
		n := 1
		for i+n < len(jdk) && jdk[i+n] == c {
			n++
		}
		token := jdk[i : i+n]
		i += n
		if c == '\'' {
			if n >= 2 {
				b.WriteString(token[:n/2])
				if n%2 == 0 {
					continue
				}
			}
			end := strings.IndexByte(jdk[i:], '\'')
			if end < 0 {
				return "", fmt.Errorf("format %q: a quote that is never closed", jdk)
			}
			b.WriteString(jdk[i : i+end])
			i += end + 1
			continue
		}
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			if c == 'T' && n == 1 { // the standard's own examples write T unquoted
				b.WriteByte('T')
				continue
			}
			if c == 'S' {
				if so := b.String(); !strings.HasSuffix(so, ".") && !strings.HasSuffix(so, ",") {
					return "", fmt.Errorf("format %q: no layout for a fraction of a second without a point before it", jdk)
				}
				b.WriteString(strings.Repeat("0", n))
				continue
			}
			layout, ok := jdkTokens[token]
			if !ok {
				return "", fmt.Errorf("format %q: no layout for %q", jdk, token)
			}
			b.WriteString(layout)
			continue
		}
		b.WriteString(token)
	}
	return b.String(), nil
}

var jdkTokens = map[string]string{
	"yyyy": "2006", "uuuu": "2006", "yy": "06", "uu": "06", "MM": "01", "M": "1", "MMM": "Jan", "MMMM": "January",
	"dd": "02", "d": "2", "DDD": "002", "HH": "15", "hh": "03", "h": "3", "mm": "04", "m": "4", "ss": "05", "s": "5",
	"a": "PM", "E": "Mon", "EEE": "Mon", "EEEE": "Monday", "z": "MST", "Z": "-0700", "ZZZ": "-0700", "XXX": "Z07:00",
	"XX": "Z0700", "X": "Z07", "xxx": "-07:00", "xx": "-0700", "x": "-07",
}

// ParseEvery reads how often something is due: hourly, daily, "15 minutes", "every 5 min", "1 h", "PT15M", real-time.
func ParseEvery(text string) (time.Duration, bool) {
	s := strings.ToLower(strings.TrimSpace(text))
	s = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(s, "every"), "@"))
	switch s {
	case "real-time", "realtime", "real time", "streaming", "continuous", "continuously":
		return time.Minute, true
	case "minutely", "minute":
		return time.Minute, true
	case "hourly", "hour":
		return time.Hour, true
	case "daily", "nightly", "day":
		return 24 * time.Hour, true
	case "weekly", "week":
		return 7 * 24 * time.Hour, true
	case "monthly", "month":
		return 31 * 24 * time.Hour, true
	case "quarterly":
		return 92 * 24 * time.Hour, true
	case "yearly", "annually", "year":
		return 366 * 24 * time.Hour, true
	}
	if iso, ok := strings.CutPrefix(s, "p"); ok {
		if timed, ok := strings.CutPrefix(iso, "t"); ok {
			if d, err := time.ParseDuration(timed); err == nil && d > 0 {
				return d, true
			}
		}
		if s = iso; strings.HasSuffix(s, "m") { // outside T, months
			s += "o"
		}
	}
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end <= 0 {
		return 0, false
	}
	n, err := strconv.ParseFloat(s[:end], 64)
	unit, ok := Unit(strings.TrimSpace(s[end:]))
	d := n * float64(unit)
	if err != nil || !ok || !(d > 0 && d < float64(1<<62)) {
		return 0, false
	}
	return time.Duration(d), true
}

// Unit is the length of a unit of time as people and ODCS write it (d, day, days, h, min, y, …).
func Unit(s string) (time.Duration, bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "ms", "millisecond", "milliseconds":
		return time.Millisecond, true
	case "s", "sec", "secs", "second", "seconds":
		return time.Second, true
	case "min", "mins", "minute", "minutes", "m":
		return time.Minute, true
	case "h", "hr", "hrs", "hour", "hours":
		return time.Hour, true
	case "d", "day", "days":
		return 24 * time.Hour, true
	case "w", "wk", "week", "weeks":
		return 7 * 24 * time.Hour, true
	case "mo", "month", "months":
		return 31 * 24 * time.Hour, true
	case "y", "yr", "yrs", "year", "years":
		return 366 * 24 * time.Hour, true
	}
	return 0, false
}
