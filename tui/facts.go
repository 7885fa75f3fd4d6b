package tui

import (
	"os"
	"strings"

	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"

	"weir/views"
)

// Facts are what is known about the terminal of this process.
type Facts struct {
	IsTerminal    bool // standard output is one
	Columns, Rows int
	Colours       string   // such as "true colour", "256 colours", "no colour"
	ASCII         string   // why a console draws with ASCII characters only, unless told otherwise; empty: it does not
	Environ       []string // name=value
}

// FindFacts looks at the terminal on standard output and at the environment.
func FindFacts(env []string) Facts {
	f := Facts{Environ: env, ASCII: OnlyASCII(env)}
	width, height, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return f
	}
	f.IsTerminal, f.Columns, f.Rows = true, width, height
	f.Colours = map[views.Profile]string{views.TrueColour: "true colour", views.Colours256: "256 colours",
		views.Colours16: "16 colours", views.NoColour: "no colour"}[profileOf(colorprofile.Detect(os.Stdout, env), env)]
	return f
}

// HasTerminal tells whether there is a terminal to read keys from and to draw on.
func HasTerminal() bool {
	return term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
}

// plainTerminals are the beginnings of the TERM of terminals whose font has no braille and few or no frames: the Linux and
// BSD consoles, and DEC's with their many descendants.
var plainTerminals = []string{"linux", "cons25", "vt1", "vt2", "vt3", "vt4", "vt5", "ansi", "dumb"}

// OnlyASCII tells why an environment says that characters beyond ASCII come out wrong, such as "TERM=linux"; empty if it
// does not say so. Where no locale is named at all, which is so in many containers and services, it does not.
func OnlyASCII(env []string) string {
	name := variable(env, "TERM")
	for _, plain := range plainTerminals {
		if strings.HasPrefix(strings.TrimPrefix(name, "screen."), plain) { // GNU screen on a Linux console has screen.linux
			return "TERM=" + name
		}
	}
	for _, which := range []string{"LC_ALL", "LC_CTYPE", "LANG"} { // the first that is set counts
		locale := variable(env, which)
		if locale == "" {
			continue
		}
		if plain := strings.ToLower(strings.ReplaceAll(locale, "-", "")); !strings.Contains(plain, "utf8") {
			return which + "=" + locale
		}
		break
	}
	return ""
}

// variable is the value of an environment's variable, the last one where there are several.
func variable(env []string, name string) string {
	value := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}
