package check

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mattn/go-runewidth"
)

var update = flag.Bool("update", false, "rewrite the files tests compare with")

func sample() Report {
	return Report{Took: 1234 * time.Millisecond, Rows: []Row{
		row(OK, "configuration", "/etc/weir/weir.yaml: kafka, pipeline, features, model, edge, mesh", ""),
		row(OK, "broker kafka-1.example.com:9092", "answers in 1.2 ms, TLS, logged in as weir", ""),
		row(Failed, "topic user_events", "it does not exist", "kafka-topics.sh --bootstrap-server … --create --topic user_events --partitions 6"),
		row(Skipped, "group weir", "its topic cannot be read", ""),
		row(Warning, "edge nodes", "9998 of 10000 answer validly, the slowest in 812 ms", "see the nodes below"),
		row(Warning, "http://edge-node-with-a-very-long-name-indeed.site-a.example.com:8080", "down: connection refused", "is the node up, and its address right?"),
		row(Failed, "data products", "\x1b[31mhostile\u202e 日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語", "see the files below"),
	}}
}

func TestTable(t *testing.T) {
	for _, c := range []struct {
		file  string
		width int
	}{{"testdata/table-80.txt", 80}, {"testdata/table-160.txt", 160}, {"testdata/table-80.txt", 0}} {
		got := text(t, sample(), c.width)
		if *update {
			if err := os.WriteFile(c.file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got; -update rewrites)\n%s", c.file, diff)
		}
	}
}

// TestTableFits: no line is wider than the terminal, at any width.
func TestTableFits(t *testing.T) {
	for width := minTable; width <= 220; width++ {
		for line := range strings.Lines(text(t, sample(), width)) {
			if w := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); w > width {
				t.Fatalf("at %d a line has %d cells: %q", width, w, line)
			}
			if strings.ContainsAny(line, "\x1b\u202e") {
				t.Fatalf("unsafe: %q", line)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	out, err := json.Marshal(Report{Rows: sample().Rows[2:3], Took: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"failed":true,"took_seconds":1,"rows":[{"status":"failed","what":"topic user_events","found":"it does not exist",` +
		`"do":"kafka-topics.sh --bootstrap-server … --create --topic user_events --partitions 6"}]}`
	if string(out) != want {
		t.Errorf("got %s", out)
	}
}

func TestFailed(t *testing.T) {
	if !sample().Failed() {
		t.Error("failed rows, and no failure")
	}
	for _, s := range []Status{OK, Warning, Skipped} {
		if (Report{Rows: []Row{row(s, "a", "b", "c")}}).Failed() {
			t.Errorf("%s is no failure", s)
		}
	}
}
