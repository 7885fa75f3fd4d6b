package config

import (
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"15s": 15 * time.Second, "5m": 5 * time.Minute, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "500ms": 500 * time.Millisecond,
		"1m30s": 90 * time.Second, "1.5h": 90 * time.Minute, "0s": 0, "250us": 250 * time.Microsecond, "250µs": 250 * time.Microsecond, "1d12h": 36 * time.Hour,
	} {
		if got, ok := parseDuration(text); !ok || got != want {
			t.Errorf("%s: got %v %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "15", "s", "-5s", "+5s", "5 s", "5S", "5w", "1..5s", ".s", "1e3s", "999999999d", "15s ", "∞", "5m5"} {
		if got, ok := parseDuration(text); ok {
			t.Errorf("%q: got %v, want none", text, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 5 * time.Minute: "5m", 24 * time.Hour: "24h", 7 * day: "7d", 36 * time.Hour: "36h",
		90 * time.Second: "1m30s", 1500 * time.Millisecond: "1s500ms"} {
		got := formatDuration(d)
		if got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
		if back, ok := parseDuration(got); !ok || back != d {
			t.Errorf("%s reads back as %v", got, back)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"1MiB": 1 << 20, "512B": 512, "1MB": 1e6, "1.5KiB": 1536, "2 GiB": 2 << 30, "0B": 0, "1kB": 1000} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%s: got %v %v, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "1", "MiB", "-1B", "1mib", "1M", "99999999TiB", "1  B"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q: got %v, want none", text, got)
		}
	}
	for n, want := range map[int64]string{1 << 20: "1MiB", 1 << 10: "1KiB", 1000: "1000B", 3 << 30: "3GiB"} {
		if got := formatSize(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
