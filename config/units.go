package config

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// day is the longest unit of a duration.
const day = 24 * time.Hour

var durationUnits = []struct {
	name string
	unit time.Duration
}{{"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}, {"us", time.Microsecond}, {"ns", time.Nanosecond}}

var sizeUnits = []struct {
	name string
	unit int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1}}

// parseDuration reads durations such as 500ms, 1m30s, 1.5h and 7d. They are not negative.
func parseDuration(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	total := 0.0
	for s != "" {
		number, rest := splitNumber(s)
		end := strings.IndexAny(rest, "0123456789.")
		if end < 0 {
			end = len(rest)
		}
		value, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return 0, false
		}
		unit := unitOf(rest[:end])
		if unit == 0 {
			return 0, false
		}
		total += value * float64(unit)
		s = rest[end:]
	}
	if total >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(math.Round(total)), true
}

func unitOf(name string) time.Duration {
	if name == "µs" {
		return time.Microsecond
	}
	for _, u := range durationUnits {
		if u.name == name {
			return u.unit
		}
	}
	return 0
}

// formatDuration writes a duration as people write it in the file: 5m, not 5m0s.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range durationUnits {
		if n := d / u.unit; n > 0 {
			if u.unit == day && (d%day != 0 || n < 2) { // 36h and 24h read better than 1d12h and 1d
				continue
			}
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.name)
			d %= u.unit
		}
	}
	return b.String()
}

// parseSize reads sizes in bytes such as 512B, 1MiB (1024²) and 1MB (1000²). They are not negative.
func parseSize(s string) (int64, bool) {
	number, rest := splitNumber(s)
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, false
	}
	name := strings.TrimPrefix(rest, " ")
	for _, u := range sizeUnits {
		if u.name == name {
			if total := value * float64(u.unit); total < math.MaxInt64 {
				return int64(math.Round(total)), true
			}
			return 0, false
		}
	}
	return 0, false
}

// formatSize writes a size with the largest binary unit that divides it.
func formatSize(n int64) string {
	for _, u := range sizeUnits[:4] {
		if n >= u.unit && n%u.unit == 0 {
			return strconv.FormatInt(n/u.unit, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// splitNumber splits s after its leading digits and dots.
func splitNumber(s string) (number, rest string) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	return s[:i], s[i:]
}
