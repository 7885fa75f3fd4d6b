package tui

import (
	"os"
	"strings"
	"testing"
)

// TestREADMEHasTheKeyTable keeps the README's table of keys that of the program; -update rewrites it.
func TestREADMEHasTheKeyTable(t *testing.T) {
	const path, begin, end = "../README.md", "<!-- keys -->\n", "<!-- /keys -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	table, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table of keys between %q and %q", path, begin, end)
	}
	want := "\n" + KeyTable() + "\n"
	if table == want {
		return
	}
	if !*update {
		t.Fatalf("the table of keys in %s is stale: go test ./tui -update rewrites it", path)
	}
	if err := os.WriteFile(path, []byte(head+begin+want+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
