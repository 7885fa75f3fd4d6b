package tui

import "testing"

func TestOnlyASCII(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want string
	}{
		{[]string{"TERM=xterm-256color", "LANG=en_GB.UTF-8"}, ""},
		{[]string{"TERM=tmux-256color", "LC_CTYPE=de_DE.utf8", "LANG=C"}, ""},
		{[]string{"TERM=xterm-256color"}, ""}, // no locale is named
		{[]string{"TERM=xterm-256color", "LC_ALL=", "LANG=C.UTF-8"}, ""},
		{[]string{"TERM=linux", "LANG=en_GB.UTF-8"}, "TERM=linux"},
		{[]string{"TERM=linux-16color"}, "TERM=linux-16color"},
		{[]string{"TERM=screen.linux", "LANG=en_GB.UTF-8"}, "TERM=screen.linux"},
		{[]string{"TERM=screen.xterm-256color", "LANG=en_GB.UTF-8"}, ""},
		{[]string{"TERM=vt100"}, "TERM=vt100"},
		{[]string{"TERM=vt220", "LANG=C.UTF-8"}, "TERM=vt220"},
		{[]string{"TERM=dumb"}, "TERM=dumb"},
		{[]string{"TERM=xterm", "LC_ALL=C", "LANG=en_GB.UTF-8"}, "LC_ALL=C"},
		{[]string{"TERM=xterm", "LANG=de_DE.ISO-8859-1"}, "LANG=de_DE.ISO-8859-1"},
		{[]string{"TERM=xterm", "LC_CTYPE=POSIX", "LANG=en_GB.UTF-8"}, "LC_CTYPE=POSIX"},
		{[]string{"TERM=xterm", "LANG=C.UTF-8", "TERM=linux"}, "TERM=linux"},
	} {
		if got := OnlyASCII(c.env); got != c.want {
			t.Errorf("%q: %q, want %q", c.env, got, c.want)
		}
	}
}
