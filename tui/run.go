package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"

	"weir/views"
)

// ErrNoTerminal is the error of a console without a terminal to draw on.
var ErrNoTerminal = errors.New("the console needs a terminal; weir run works without one")

// ErrPanicked is the error of a console that a panic ended. The terminal is restored, the panic is told on standard
// error.
var ErrPanicked = errors.New("the console ended by a panic")

// Run shows the console on the terminal of this process until its reader quits, ctx ends, the process is asked to
// stop or the terminal goes away. The terminal is left as it was found, also after a panic. A terminal that cannot
// place a cursor (TERM=dumb) gets the console line by line.
func Run(ctx context.Context, rt Runtime, o Options) error {
	if o.Linear || os.Getenv("TERM") == "dumb" {
		return Linear(ctx, rt, o, os.Stdin, os.Stdout)
	}
	return run(ctx, os.Stdin, os.Stdout, os.Stderr, os.Environ(), func(ctx context.Context, profile views.Profile, link *Link) (tea.Model, *string, error) {
		m, err := New(ctx, rt, o, profile)
		if err != nil {
			return nil, nil, err
		}
		m.link = link
		return m, &m.crash, nil
	}, o.LogPath)
}

type maker func(ctx context.Context, profile views.Profile, link *Link) (model tea.Model, crash *string, err error)

func run(ctx context.Context, in, out *os.File, errOut io.Writer, env []string, make maker, logPath string) error {
	if !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		return ErrNoTerminal
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	var program *tea.Program
	ready := newGate()
	link := NewLink(out, func() { <-ready; program.Send(freeMsg{}) }, func(err error) { <-ready; program.Send(lostMsg{err}) })
	defer link.Close() //nolint:errcheck // it never fails

	model, crash, err := make(ctx, profileOf(colorprofile.Detect(out, env), env), link)
	if err != nil {
		return err
	}
	// Bubble Tea is the loop of messages and reads the keys; the frames are painted by us, without its renderer, whose
	// ticker goes once a second then. See painter for why.
	screen := newTerminal(in, out, link, env)
	w, h := screen.size()
	program = tea.NewProgram(shown{model, screen}, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(link), tea.WithEnvironment(env),
		tea.WithoutRenderer(), tea.WithWindowSize(w, h), tea.WithFPS(1), tea.WithoutSignalHandler())
	close(ready)
	if err := screen.take(); err != nil {
		return err
	}
	signals, sizes := newSignals(ctx, program), screen.watch(ctx, program)
	_, err = program.Run()
	cancel()
	sizes()
	signals()
	restoring := screen.give()
	if err := link.Close(); err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	if *crash != "" {
		tell(errOut, *crash, logPath)
		return ErrPanicked
	}
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, tea.ErrInterrupted):
		if restoring != nil && !errors.Is(restoring, syscall.EIO) {
			return fmt.Errorf("terminal: %w", restoring)
		}
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, syscall.EIO), errors.Is(err, ErrTerminalLost):
		return nil // the terminal went away: there is nobody to tell
	}
	return fmt.Errorf("console: %w", err)
}

func newGate() chan struct{} { return make(chan struct{}) }

// newSignals ends the program on the signals that ask a terminal program to end; the function returned ends and waits
// for the goroutine that listens.
func newSignals(ctx context.Context, p *tea.Program) (stop func()) {
	ch := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		defer close(done)
		select {
		case <-ch:
			p.Quit()
		case <-ctx.Done():
		}
	}()
	return func() {
		signal.Stop(ch)
		<-done
	}
}

// tell writes what a panic said, after the terminal is its owner's again.
func tell(w io.Writer, crash, logPath string) {
	first, stack, _ := strings.Cut(crash, "\n\n")
	_, _ = fmt.Fprintf(w, "weir: the console ended by a panic: %s\n\n%s\n", first, stack)
	if logPath != "" {
		_, _ = fmt.Fprintf(w, "The log is in %s. The terminal was restored.\n", logPath)
	}
}
