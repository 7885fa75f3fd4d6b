package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// FuzzParse: whatever the bytes, Parse returns; its errors have places in the file and nothing a terminal acts on.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/starter.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	getenv := env("KAFKA_PASSWORD", "p", "A", "a\x1b[31m", "B", "\xff", "MAX", "9")
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		c, err := Parse("weir.yaml", data, getenv)
		if took := time.Since(start); took > patience && len(data) < 1<<16 {
			t.Errorf("%d bytes took %v", len(data), took)
		}
		if err == nil {
			if len(c.Kafka.Brokers) == 0 {
				t.Error("accepted without a broker")
			}
			return
		}
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Fatalf("got %T, want Errors", err)
		}
		checkErrors(t, data, all)
		for _, e := range all {
			for _, text := range []string{e.File, e.Key, e.Expected, e.Found, e.Hint, e.Source} {
				if !utf8.ValidString(text) {
					t.Errorf("not UTF-8: %q", text)
				}
				for _, r := range text {
					if unicode.In(r, unicode.Cc, unicode.Cf) {
						t.Errorf("%U in %q", r, text)
					}
				}
			}
		}
	})
}
