package pipeline

import (
	"math"
	"strconv"
	"time"

	"weir/backend/jsonlex"
)

// parseTimestamp reads a timestamp written as text: RFC 3339, or Python's isoformat, where a zone may be missing (it
// is then UTC), the T may be a space, and the time of day may be missing altogether; or a number of unix time. The
// result is in nanoseconds since 1970.
func parseTimestamp(b []byte) (int64, bool) {
	if len(b) < 10 || b[4] != '-' || b[7] != '-' {
		if len(b) > 0 && jsonlex.StartsNumber(b[0]) {
			return parseUnix(b)
		}
		return 0, false
	}
	year, ok1 := decimal(b[0:4])
	month, ok2 := decimal(b[5:7])
	day, ok3 := decimal(b[8:10])
	if !ok1 || !ok2 || !ok3 || month < 1 || month > 12 || day < 1 || day > daysIn(month, year) {
		return 0, false
	}
	seconds := daysSince1970(year, month, day) * 86400
	b = b[10:]
	if len(b) == 0 {
		return inNanos(seconds, 0)
	}
	if len(b) < 6 || (b[0] != 'T' && b[0] != 't' && b[0] != ' ') || b[3] != ':' {
		return 0, false
	}
	hour, ok1 := decimal(b[1:3])
	minute, ok2 := decimal(b[4:6])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, false
	}
	seconds += int64(hour*3600 + minute*60)
	b = b[6:]
	nanos := int64(0)
	if len(b) >= 3 && b[0] == ':' {
		second, ok := decimal(b[1:3])
		if !ok || second > 60 { // 60: a leap second
			return 0, false
		}
		seconds += int64(second)
		b = b[3:]
		if len(b) > 1 && (b[0] == '.' || b[0] == ',') {
			scale := int64(100_000_000)
			b = b[1:]
			from := len(b)
			for len(b) > 0 && b[0]-'0' <= 9 {
				nanos += int64(b[0]-'0') * scale
				scale /= 10
				b = b[1:]
			}
			if len(b) == from {
				return 0, false
			}
		}
	}
	offset, ok := zone(b)
	if !ok {
		return 0, false
	}
	return inNanos(seconds-offset, nanos)
}

// zone reads what follows the time of day, in seconds east of Greenwich.
func zone(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) == 1 && (b[0] == 'Z' || b[0] == 'z') {
		return 0, true
	}
	sign := int64(1)
	switch b[0] {
	case '-':
		sign = -1
	case '+':
	default:
		return 0, false
	}
	b = b[1:]
	hours, minutes, ok1, ok2 := 0, 0, false, true
	switch {
	case len(b) == 2:
		hours, ok1 = decimal(b)
	case len(b) == 4:
		hours, ok1 = decimal(b[:2])
		minutes, ok2 = decimal(b[2:])
	case len(b) == 5 && b[2] == ':':
		hours, ok1 = decimal(b[:2])
		minutes, ok2 = decimal(b[3:])
	}
	if !ok1 || !ok2 || hours > 23 || minutes > 59 {
		return 0, false
	}
	return sign * int64(hours*3600+minutes*60), true
}

// parseUnix reads seconds, milli-, micro- or nanoseconds since 1970, told apart by their size: seconds reach the
// year 5138 before they would be taken for milliseconds.
func parseUnix(b []byte) (int64, bool) {
	whole, fraction := int64(0), int64(0)
	i := 0
	for i < len(b) && i < 19 && b[i]-'0' <= 9 {
		if whole > (math.MaxInt64-9)/10 {
			return 0, false
		}
		whole = whole*10 + int64(b[i]-'0')
		i++
	}
	if i > 0 && i < len(b) && b[i] == '.' {
		scale := int64(100_000_000)
		for i++; i < len(b) && b[i]-'0' <= 9; i++ {
			fraction += int64(b[i]-'0') * scale
			scale /= 10
		}
	}
	if i == 0 || i < len(b) { // signs, exponents, absurd lengths
		f, err := strconv.ParseFloat(jsonlex.Borrow(b), 64)
		if err != nil || math.IsNaN(f) || f < 0 || f >= math.MaxInt64 {
			return 0, false
		}
		floor := math.Floor(f)
		whole, fraction = int64(floor), int64((f-floor)*1e9)
	}
	switch {
	case whole < 1e11:
		return inNanos(whole, fraction)
	case whole < 1e14:
		return whole*1e6 + fraction/1e3, true
	case whole < 1e17:
		return whole*1e3 + fraction/1e6, true
	}
	return whole, true
}

// inNanos refuses years that 64 bits of nanoseconds cannot hold: before 1678 and after 2261.
func inNanos(seconds, nanos int64) (int64, bool) {
	const limit = math.MaxInt64/int64(time.Second) - 1
	if seconds > limit || seconds < -limit {
		return 0, false
	}
	return seconds*int64(time.Second) + nanos, true
}

func decimal(b []byte) (n int, ok bool) {
	for _, c := range b {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, len(b) > 0
}

// daysSince1970 counts days of the Gregorian calendar, years starting in March so that the leap day comes last
// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
func daysSince1970(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	yearOfEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return int64(era)*146097 + int64(dayOfEra) - 719468
}

func daysIn(month, year int) int {
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
