// Package exit is how the program ends: with a code and no other word, or with an error that is told.
package exit

import (
	"fmt"
	"io"
	"strings"

	"weir/backend/safetext"
)

// Code is an error that ends the program without another word: what there was to say has been printed.
type Code int

func (c Code) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// With is the error that ends the program with a code; nil for 0.
func With(code int) error {
	if code == 0 {
		return nil
	}
	return Code(code)
}

// Complain writes an error, which may quote what came from outside, so that nothing in it can act on a terminal.
func Complain(w io.Writer, err error) {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = safetext.Clean(line).String()
	}
	_, _ = fmt.Fprintln(w, "weir:", strings.Join(lines, "\n"))
}
