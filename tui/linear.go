package tui

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"weir/backend"
	"weir/backend/event"
	"weir/backend/timeline"
	"weir/views"
)

// summaryEvery is how often Linear sums up when nothing happens.
const summaryEvery = 30 * time.Second

// Linear is the console line by line, without colours and cursor movements: for screen readers, logs and terminals
// that know no better. It sums up at the start, when the trouble changes and every half minute, tells events as they
// come, and takes commands as lines: an empty one sums up, q quits.
func Linear(ctx context.Context, rt Runtime, o Options, in io.Reader, out io.Writer) error {
	profile := views.NoColour
	m, err := New(ctx, rt, o, profile)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ticks, unsubscribe := rt.Subscribe()
	defer unsubscribe()
	l := &linear{m: m, out: out}
	typed := l.read(ctx, in)
	for {
		if l.err != nil {
			return l.err // whoever listened has gone
		}
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-typed:
			if !ok {
				typed = nil // a log without a keyboard goes on
				continue
			}
			if l.obey(ctx, line) {
				return nil
			}
		case _, ok := <-ticks:
			if !ok {
				return nil
			}
			l.tick()
		}
	}
}

type linear struct {
	m       *Model
	out     io.Writer
	err     error
	told    uint64 // the number of the newest event told
	summed  time.Time
	trouble string
	asking  *question
}

func (l *linear) say(lines ...string) {
	for _, line := range lines {
		if _, err := fmt.Fprintln(l.out, line); err != nil {
			l.err = fmt.Errorf("console: %w", err)
		}
	}
}

// read passes lines on. Its goroutine ends with in, or when it finds ctx ended after the next line: reading a terminal
// cannot be interrupted.
func (l *linear) read(ctx context.Context, in io.Reader) <-chan string {
	ch := make(chan string)
	go func() {
		defer close(ch)
		s := bufio.NewScanner(in)
		for s.Scan() {
			select {
			case ch <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return ch
}

func (l *linear) tick() {
	scene := l.m.scene()
	if scene.Snap == nil {
		return
	}
	l.events(scene)
	trouble := ""
	for _, x := range views.Troubles(scene.Snap) {
		trouble += fmt.Sprintln(x.Severity, x.Pane, x.Kind)
	}
	if trouble != l.trouble || scene.Snap.At.Sub(l.summed) >= summaryEvery {
		l.say(scene.Summary()...)
		l.trouble, l.summed = trouble, scene.Snap.At
	}
}

func (l *linear) events(scene *views.Scene) {
	list := scene.Snap.Events
	// By their numbers: an engine may tell of what happened before the newest event told.
	first := slices.IndexFunc(list, func(e event.Event) bool { return e.Seq > l.told })
	if first < 0 {
		return
	}
	if l.told == 0 { // the past is summed up, not told
		first = max(len(list)-5, 0)
	}
	for i := first; i < len(list); i++ {
		l.say(scene.EventLine(&list[i]))
	}
	l.told = list[len(list)-1].Seq
}

// obey carries out a typed line, and tells whether it was the last.
func (l *linear) obey(ctx context.Context, line string) (quit bool) {
	words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), ":"))
	if q := l.asking; q != nil {
		l.asking = nil
		if len(words) > 0 && words[0] == "yes" {
			l.do(ctx, q.spec, q.args, strings.Join(words[1:], " "))
		} else {
			l.say("not done")
		}
		return false
	}
	if len(words) == 0 {
		l.say(l.m.scene().Summary()...)
		return false
	}
	switch words[0] {
	case "q", "quit", "exit":
		return true
	case "help", "?":
		l.say("an empty line gives a summary; q quits; commands:")
		for _, s := range slices.DeleteFunc(l.specs(), func(s backend.CommandSpec) bool { return s.Unasked }) {
			l.say("  " + strings.TrimSpace(s.Name+" "+s.Usage) + ": " + s.Summary)
		}
		return false
	case "incidents":
		lines := l.m.scene().IncidentLines()
		if len(lines) == 0 {
			lines = []string{"nothing is wrong as far as weir knows"}
		}
		l.say(lines...)
		return false
	case "nodes", "contracts", "partitions", "events":
		l.list(words[0], strings.Join(words[1:], " "))
		return false
	}
	for _, s := range l.specs() {
		if s.Name != words[0] {
			continue
		}
		if s.Changes {
			if err := s.Refuse(words[1:]); err != nil {
				l.say(err.Error())
				return false
			}
			l.asking = &question{spec: s, args: words[1:]}
			v := l.asking.view(l.m)
			l.say(v.Command+": "+v.Summary+". Undo: "+v.Undo+". Type yes and a reason to do it.", "")
			return false
		}
		l.do(ctx, s, words[1:], "")
		return false
	}
	l.say("there is no command " + words[0] + "; help lists them")
	return false
}

func (l *linear) specs() []backend.CommandSpec {
	out := l.m.runtimeSpecs()
	out = append(out, backend.CommandSpec{Name: "incidents", Summary: "what is wrong: since when, what it touches, what to do"})
	for _, name := range []string{"nodes", "contracts", "partitions", "events"} {
		out = append(out, backend.CommandSpec{Name: name, Usage: "[FILTER]", Summary: "list them, one a line"})
	}
	return out
}

func (l *linear) do(ctx context.Context, s backend.CommandSpec, args []string, reason string) {
	said, err := l.m.rt.Do(ctx, backend.Command{Name: s.Name, Args: args, Reason: reason, Who: l.m.options.Who})
	if err != nil {
		said = "failed: " + err.Error()
	}
	l.say(said)
}

// list writes a pane's rows, a comma between their columns.
func (l *linear) list(what, filter string) {
	scene := l.m.scene()
	pane := map[string]views.Pane{"nodes": views.EdgeNodes, "contracts": views.Contracts, "partitions": views.Throughput, "events": views.Events}[what]
	page := scene.Page(pane, []views.Level{{Filter: filter}}, timeline.Capacity, 1, true)
	rows := page.Lines(views.Level{Filter: filter})
	if len(rows) == 0 {
		l.say("nothing to list")
	}
	l.say(rows...)
}
