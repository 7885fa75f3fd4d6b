package main

import (
	"testing"
	"time"
)

// TestEvidence drives the real program from a broken contract down to what became of one record, and from the dead
// letters to a replay: the letter that was sent back says so.
func TestEvidence(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the real program for some seconds")
	}
	t.Parallel()
	term := direct(t, binary(t), 120, 36, "demo", "--seed", "5", "--fault", "poison-events@1s+4s", "--fault", "null-spike@1s")
	see(t, term, `broke: email null`)
	press(t, term, "4")
	press(t, term, "\r")
	see(t, term, "FINDING")
	press(t, term, "\r")
	see(t, term, "Issues   Columns   Lineage   About")
	press(t, term, "\r")
	see(t, term, "counts as")
	press(t, term, "\r")
	see(t, term, "enter what became of it")
	press(t, term, "\r")
	see(t, term, `Throughput → partition \d+ → record \d+/\d+`)
	see(t, term, `email (null|missing), against max_null_percentage`)
	see(t, term, `scored now`)
	for range 3 {
		press(t, term, "\x7f") // backspace is escape without a wait
	}
	see(t, term, "2 Edge nodes")
	press(t, term, "\r")
	see(t, term, "Whole group")
	press(t, term, "]]")
	see(t, term, `\d+ newest`)
	press(t, term, "/stage:entity\r")
	see(t, term, `/stage:entity \d+ of \d+`)
	press(t, term, "\r")
	see(t, term, `replayed +not yet`)
	see(t, term, "BYTES, .* SENSITIVE FIELDS MASKED")
	press(t, term, "R")
	see(t, term, `1 dead letter\. Sent back to the events`)
	press(t, term, "to see it come back\r")
	see(t, term, `replayed +✓`)
	press(t, term, "\x7f")
	press(t, term, "/ replayed:1×\r")
	see(t, term, `/stage:entity replayed:1× 1 of \d+`) // it came back, once
	press(t, term, "q")
	if err := term.Exit(20 * time.Second); err != nil {
		t.Error(err)
	}
}
