package check

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
)

// marks tell the status by shape, beside its word.
var marks = map[Status]string{OK: "✓", Warning: "▲", Failed: "✕", Skipped: "–"}

// The widths of the table, in cells.
const (
	minTable    = 40
	wideTable   = 130 // from here on what to do has a column of its own
	statusWidth = 9   // mark, space, word
	maxWhat     = 40
	gap         = 2
)

// WriteTable writes the rows aligned for a terminal width cells wide, and a last line that counts them. A width
// below 40 is taken for 80: it was not known.
func (r Report) WriteTable(w io.Writer, width int) error {
	if width < minTable {
		width = 80
	}
	what := len("what")
	for _, row := range r.Rows {
		what = max(what, runewidth.StringWidth(row.What.String()))
	}
	what = min(what, width/3, maxWhat)
	rest := width - statusWidth - what - 2*gap
	found, do := rest, 0
	if width >= wideTable {
		found = (rest - gap) * 3 / 5
		do = rest - gap - found
	}
	var b strings.Builder
	for _, row := range r.Rows {
		columns := [][]string{
			{marks[row.Status] + " " + string(row.Status)},
			wrap(row.What.String(), what),
			wrap(row.Found.String(), found),
		}
		if advice := row.Do.String(); advice != "" && do > 0 {
			columns = append(columns, wrap(advice, do))
		} else if advice != "" {
			lines := wrap(advice, found-2)
			for i := range lines {
				lines[i] = "  " + lines[i]
			}
			lines[0] = "→ " + lines[0][2:]
			columns[2] = append(columns[2], lines...)
		}
		writeColumns(&b, columns, []int{statusWidth, what, found, do})
	}
	b.WriteString("\n" + strings.Join(wrap(r.summary(), width), "\n") + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// summary counts the rows by status.
func (r Report) summary() string {
	var parts []string
	for _, s := range []Status{OK, Warning, Failed, Skipped} {
		n := r.count(s)
		if n == 0 && s == Skipped {
			continue
		}
		word := string(s)
		if s == Warning && n != 1 {
			word = "warnings"
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, word))
	}
	return strings.Join(parts, " · ") + " · in " + r.Took.Round(10*time.Millisecond).String()
}

func writeColumns(b *strings.Builder, columns [][]string, widths []int) {
	height := 0
	for _, c := range columns {
		height = max(height, len(c))
	}
	for y := range height {
		line := ""
		for x, c := range columns {
			cell := ""
			if y < len(c) {
				cell = c[y]
			}
			if x > 0 {
				line += strings.Repeat(" ", gap)
			}
			line += cell + strings.Repeat(" ", max(widths[x]-runewidth.StringWidth(cell), 0))
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// wrap breaks a text into lines of at most width cells, between words where it can.
func wrap(text string, width int) []string {
	width = max(width, 2) // a wide character must fit
	var lines []string
	line, used := "", 0
	flush := func() {
		lines = append(lines, line)
		line, used = "", 0
	}
	for _, word := range strings.Fields(text) {
		w := runewidth.StringWidth(word)
		if used > 0 && used+1+w > width {
			flush()
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		for used+w > width { // a word longer than a line
			head := runewidth.Truncate(word, width-used, "")
			if head == "" {
				flush()
				continue
			}
			if slash := strings.LastIndexByte(head, '/'); slash > len(head)/2 { // a path or URL breaks at its parts
				head = head[:slash+1]
			}
			line += head
			flush()
			word = word[len(head):]
			w = runewidth.StringWidth(word)
		}
		line, used = line+word, used+w
	}
	if used > 0 || len(lines) == 0 {
		flush()
	}
	return lines
}
