package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mattn/go-runewidth"
)

// ErrNotFound is the error for a configuration file that does not exist.
var ErrNotFound = errors.New("no configuration file")

// Error is one thing wrong with a configuration file, at its place. All its strings are safe to print on a terminal,
// and a secret's value is in none of them.
type Error struct {
	File     string
	Line     int    // from 1; 0 when it is about the file as a whole
	Column   int    // from 1, in characters
	Key      string // such as edge.nodes[2]; empty when it is about the file's text
	Expected string // such as "a duration such as 15s"
	Found    string // such as "the number 15"
	Hint     string // what to do
	Source   string // the line itself, clipped when it is very long

	at           place
	caret, width int // cells before the caret in Source, and cells underlined
}

// Error tells the place, what was expected, what was found and what to do, with the source line and a caret below.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	fmt.Fprintf(&b, "expected %s, found %s", e.Expected, e.Found)
	if e.Line > 0 {
		gutter := fmt.Sprintf("%5d", e.Line)
		fmt.Fprintf(&b, "\n%s | %s", gutter, e.Source)
		fmt.Fprintf(&b, "\n%s | %s%s", strings.Repeat(" ", len(gutter)),
			strings.Repeat(" ", e.caret), strings.Repeat("^", max(e.width, 1)))
	}
	if e.Hint != "" {
		b.WriteString("\n      = " + e.Hint)
	}
	return b.String()
}

// Errors is everything wrong with one file, in the order of its lines.
type Errors []Error

// shownErrors bounds how many errors one message prints.
const shownErrors = 100

// Error prints each error, and how many there are when there is more than one.
func (e Errors) Error() string {
	var b strings.Builder
	for i, one := range e {
		if i == shownErrors {
			fmt.Fprintf(&b, "… and %d more\n", len(e)-i)
			break
		}
		b.WriteString(one.Error() + "\n")
	}
	if len(e) > 1 {
		fmt.Fprintf(&b, "%d errors in %s", len(e), e[0].File)
	}
	return strings.TrimRight(b.String(), "\n")
}

// Unwrap gives each error to errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i := range e {
		all[i] = e[i]
	}
	return all
}

// cells is the width of s on a terminal.
func cells(s string) int { return runewidth.StringWidth(s) }
