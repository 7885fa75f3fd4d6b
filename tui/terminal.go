package tui

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// terminal is the terminal of a console: its keyboard in raw mode, its screen the painter's.
type terminal struct {
	in, out *os.File
	painter *painter
	query   string // what it is asked when it is taken over

	mu    sync.Mutex
	saved *term.State // its modes as they were found; nil while it is not ours
}

func newTerminal(in, out *os.File, link *Link, env []string) *terminal {
	t := &terminal{in: in, out: out, painter: newPainter(link), query: ansi.RequestBackgroundColor}
	if answersQueries(env) {
		t.query += ansi.RequestModeSynchronizedOutput
	}
	return t
}

// answersQueries tells whether a terminal may be asked for synchronised output. Over SSH only those are asked that are
// known for it: the answer of others can come late, and end up where the next program reads.
func answersQueries(env []string) bool {
	get := func(name string) string { return variable(env, name) }
	for _, known := range []string{"ghostty", "wezterm", "alacritty", "kitty", "rio", "foot", "contour"} {
		if strings.Contains(get("TERM"), known) {
			return true
		}
	}
	return get("SSH_TTY") == "" && get("TERM_PROGRAM") != "Apple_Terminal" && get("TERM") != "linux"
}

// take puts the keyboard into raw mode and opens our screen.
func (t *terminal) take() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved != nil {
		return nil
	}
	state, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return fmt.Errorf("terminal: raw mode: %w", err)
	}
	t.saved = state
	t.painter.enter(t.query)
	return nil
}

// give leaves the terminal as it was found. Its modes come first: a line that is typed as soon as the shell's screen is
// back must end as the shell expects it to.
func (t *terminal) give() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved == nil {
		return nil
	}
	err := term.Restore(int(t.in.Fd()), t.saved)
	t.saved = nil
	t.painter.leave()
	t.painter.out.settle()
	return err
}

// size is the terminal's size in cells.
func (t *terminal) size() (w, h int) {
	w, h, err := term.GetSize(int(t.out.Fd()))
	if err != nil {
		return 80, 24
	}
	return w, h
}

// watch tells program when the terminal has another size; the function returned ends and waits for it.
func (t *terminal) watch(ctx context.Context, program *tea.Program) (stop func()) {
	ch := make(chan os.Signal, 1)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	signal.Notify(ch, syscall.SIGWINCH)
	go func() {
		defer close(done)
		for {
			select {
			case <-ch:
				w, h := t.size()
				program.Send(tea.WindowSizeMsg{Width: w, Height: h})
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		signal.Stop(ch)
		cancel()
		<-done
	}
}

type (
	redrawMsg    struct{}                  // draw the whole screen again
	suspendMsg   struct{}                  // back to the shell
	clipboardMsg struct{ sequence string } // pass it to the terminal
)

// shown is a model on a terminal: whatever message comes, the view after it is painted at once.
type shown struct {
	tea.Model
	terminal *terminal
}

// Update hears what concerns the terminal, and passes every message on.
func (s shown) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	p := s.terminal.painter
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		p.resize(msg.Width, msg.Height)
	case tea.ModeReportMsg:
		if msg.Mode == ansi.ModeSynchronizedOutput && msg.Value == ansi.ModeReset {
			p.synchronised()
		}
	case redrawMsg:
		p.clear()
	case clipboardMsg:
		p.say(msg.sequence)
	case suspendMsg:
		if err := s.terminal.give(); err != nil {
			return s, nil
		}
		return s, tea.Suspend
	case tea.ResumeMsg:
		if err := s.terminal.take(); err != nil {
			return s, tea.Quit
		}
		w, h := s.terminal.size()
		p.resize(w, h)
		var cmd tea.Cmd
		s.Model, cmd = s.Model.Update(tea.WindowSizeMsg{Width: w, Height: h})
		_ = cmd // a size asks for nothing
	}
	var cmd tea.Cmd
	s.Model, cmd = s.Model.Update(msg)
	return s, cmd
}

// View is the model's view, painted.
func (s shown) View() tea.View {
	v := s.Model.View()
	s.terminal.painter.paint(v)
	return v
}
