package views

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// count writes a whole number with thousands separated; from ten million on it is shortened.
func count[N ~int | ~int64 | ~uint64](n N) string {
	if f := float64(n); f >= 1e7 || f <= -1e7 {
		return short(float64(n))
	}
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// short writes a number in at most five characters: 0 0.5 12 980 1.2k 12k 980k 1.2M.
func short(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	unit := ""
	for _, u := range []string{"k", "M", "G", "T", "P"} {
		if v < 999.5 {
			break
		}
		v /= 1000
		unit = u
	}
	switch {
	case v == 0:
		return "0"
	case v < 9.95 && (unit != "" || v != math.Trunc(v)):
		return sign + strconv.FormatFloat(v, 'f', 1, 64) + unit
	}
	return sign + strconv.FormatFloat(v, 'f', 0, 64) + unit
}

// rate writes events a second without a unit: whole numbers, one decimal below ten.
func rate(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v > 0 && v < 9.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return count(int64(math.Round(v)))
}

// millis writes a latency given in milliseconds: 0.3 ms, 3.1 ms, 310 ms, 3.1 s, 52 s, 8.7 m.
func millis(ms float64) string {
	switch {
	case math.IsNaN(ms) || math.IsInf(ms, 0):
		return "–"
	case ms < 9.95:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 999.5:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	case ms < 9950:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	case ms < 99_500:
		return strconv.FormatFloat(ms/1000, 'f', 0, 64) + " s"
	}
	return brief(time.Duration(ms * float64(time.Millisecond)))
}

// brief writes a time span in at most four characters: 8s 59s 14m 3h 12d; shorter than a second is 0s.
func brief(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	switch {
	case d < 99*time.Second+500*time.Millisecond:
		return sign + strconv.Itoa(int(d.Round(time.Second)/time.Second)) + "s"
	case d < 99*time.Minute:
		return sign + strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return sign + strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return sign + strconv.Itoa(int(min(d/(24*time.Hour), 9999))) + "d"
}

// span writes a time span in words for sentences: 4 s, 2 m 05 s, 3 h 12 m, 12 d.
func span(d time.Duration) string {
	d = max(d, 0)
	two := func(n time.Duration) string {
		if n < 10 {
			return "0" + strconv.Itoa(int(n))
		}
		return strconv.Itoa(int(n))
	}
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " m " + two(d%time.Minute/time.Second) + " s"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h " + two(d%time.Hour/time.Minute) + " m"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + " d"
}

// bytesText writes a number of bytes: 0 B, 812 B, 1.8 KB, 12 MB.
func bytesText(n float64) string {
	if math.IsNaN(n) || n < 0 {
		return "–"
	}
	if n < 999.5 {
		return strconv.FormatFloat(n, 'f', 0, 64) + " B"
	}
	s := short(n)
	return strings.ToUpper(s[:len(s)-1]) + " " + strings.ToUpper(s[len(s)-1:]) + "B"
}

// percent writes a share of 0..1 as a percentage: 0%, 0.4%, 7.2%, 18%, 100%.
func percent(share float64) string {
	v := share * 100
	switch {
	case math.IsNaN(v):
		return "–"
	case v == 0:
		return "0%"
	case v < 0.05:
		return "<0.1%"
	case v < 9.95:
		return strconv.FormatFloat(v, 'f', 1, 64) + "%"
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + "%"
}

// fixed writes a number with a number of decimals, a dash where there is none.
func fixed(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// plural writes a number and its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}
