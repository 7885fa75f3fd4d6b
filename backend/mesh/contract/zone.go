package contract

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"
	_ "time/tzdata" // a contract means the same on a machine that knows no zones
)

// What a rule on the zone of a time asks for, as its Text.
const (
	ZoneSaid   = "a time zone"
	ZoneUnsaid = "no time zone"
)

// zones are those LoadZone has found, by name: it is asked for each value, so that looking one up may not cost a lock or an
// allocation. A map is never changed, but replaced.
var zones atomic.Pointer[map[string]*time.Location]

// LoadZone gives the zone of a name as ODCS has it: one of the IANA database such as Australia/Sydney, or an offset such as
// +10:00.
func LoadZone(name string) (*time.Location, error) {
	known := zones.Load()
	if known != nil {
		if location := (*known)[name]; location != nil {
			return location, nil
		}
	}
	location, err := time.LoadLocation(name)
	if offset, ok := zone([]byte(name)); ok && name != "" {
		location, err = time.FixedZone(name, offset), nil
	}
	if err != nil || name == "" || strings.EqualFold(name, "local") { // which differs from machine to machine
		return nil, fmt.Errorf("time zone %q: expected a name of the IANA database such as Europe/Oslo, or an offset such as +01:00", clip(name, 40))
	}
	more := map[string]*time.Location{name: location}
	if known != nil {
		maps.Copy(more, *known)
	}
	zones.CompareAndSwap(known, &more) // whoever was quicker has another zone; this one is found again the next time
	return location, nil
}

// zoneMark stands between a format, or a layout, and the zone of those times in it that do not say theirs. No text of a
// contract can hold it.
const zoneMark = "\x00"

// inZone is a format whose times are in a zone unless they say otherwise.
func inZone(format, zone string) string {
	switch zone {
	case "", "UTC", "Etc/UTC":
		return format
	}
	return format + zoneMark + zone
}

// ParseLayout reads a time by a layout that Layout made. An empty layout, but for a zone, means ISO 8601.
func ParseLayout(layout string, b []byte) (time.Time, bool) {
	if layout == "" {
		return ParseTime(b)
	}
	layout, zoneName, zoned := strings.Cut(layout, zoneMark)
	location := time.UTC
	if zoned {
		var err error
		if location, err = LoadZone(zoneName); err != nil {
			return time.Time{}, false
		}
	}
	if layout == "" {
		t, ok := ParseTime(b)
		if ok && zoned && !SaysZone(b) {
			t = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), location)
		}
		return t, ok
	}
	if saysUTC(layout) {
		location = time.UTC
	}
	// A Z in a JDK pattern is +hhmm; the standard's own examples have 2024-03-10T14:22:35Z and …+10:00 for it.
	if head, ok := strings.CutSuffix(layout, "-0700"); ok && len(b) > 6 && (b[len(b)-1] == 'Z' || b[len(b)-3] == ':' && (b[len(b)-6] == '+' || b[len(b)-6] == '-')) {
		layout = head + "Z07:00"
	}
	t, err := time.ParseInLocation(layout, string(b), location)
	return t, err == nil
}

// WithoutFormat is a layout of ISO 8601 with the zone of another one.
func WithoutFormat(layout string) string {
	if i := strings.Index(layout, zoneMark); i >= 0 {
		return layout[i:]
	}
	return ""
}

// SaysZone tells of a time in ISO 8601, or a time of day, whether it says its zone.
func SaysZone(b []byte) bool {
	clock := bytes.IndexByte(b, ':') // a date alone has no zone
	return clock >= 0 && bytes.ContainsAny(b[clock:], "Zz+-")
}

// layoutSaysZone tells whether the times of a layout do.
func layoutSaysZone(layout string) bool {
	return strings.Contains(layout, "07") || strings.Contains(layout, "MST") || saysUTC(layout)
}

// saysUTC tells of a layout that ends in the letter Z as a text, as in yyyy-MM-dd'T'HH:mm:ss'Z'.
func saysUTC(layout string) bool { return strings.HasSuffix(layout, "Z") }
