package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// Command asks the runtime to do something, with a name and a reason.
type Command struct {
	Name   string
	Args   []string
	Reason string // why, in the user's words; may be empty
	Who    string // the user's name
}

// CommandSpec describes a command to people and to completion.
type CommandSpec struct {
	Name    string
	Usage   string // its arguments, such as NAME [for DURATION]
	Summary string
	// Complete offers values for the argument being typed; nil when there is nothing to offer.
	Complete func(prefix string) []string
	// Changes tells that the command changes the world: a console asks before it, and one that is read-only lacks it.
	Changes bool
	// Check tells what is wrong with the arguments, as far as that is known before the command is carried out; nil when
	// nothing is. It changes nothing and may be called at any time.
	Check func(args []string) error
	// Unasked is a command that a console gives by itself, for what somebody looks at: it is not offered to be typed.
	Unasked bool
}

// Refuse says why a command with these arguments need not be tried, before anybody is asked for a confirmation or a reason;
// nil when it may work.
func (c *CommandSpec) Refuse(args []string) error {
	switch {
	case c.Usage == "" && len(args) > 0:
		return fmt.Errorf("%s expects nothing after it, found %s", c.Name, strings.Join(args, " "))
	case c.Usage != "" && c.Usage[0] != '[' && len(args) == 0: // what may be left out stands in brackets
		return fmt.Errorf("%s expects %s", c.Name, c.Usage)
	case c.Check != nil:
		return c.Check(args)
	}
	return nil
}

// ErrUnknownCommand is the error of a name that is not in Commands.
var ErrUnknownCommand = errors.New("unknown command")

type command struct {
	CommandSpec
	do func(ctx context.Context, args []string) (string, error)
}

// Commands are the commands this runtime understands, in the order help shows them.
func (r *Runtime) Commands() []CommandSpec {
	out := make([]CommandSpec, len(r.commands))
	for i, c := range r.commands {
		out[i] = c.CommandSpec
	}
	return out
}

// Do carries out a command and returns one sentence about what was done. Commands that change the world are recorded
// as events, also when they fail.
func (r *Runtime) Do(ctx context.Context, c Command) (string, error) {
	i := slices.IndexFunc(r.commands, func(k command) bool { return k.Name == c.Name })
	if i < 0 {
		return "", fmt.Errorf("%w %q: expected one of %s", ErrUnknownCommand, c.Name, strings.Join(r.commandNames(), ", "))
	}
	said, err := r.commands[i].do(context.WithValue(ctx, askedKey{}, c), c.Args)
	if r.commands[i].Changes {
		r.record(c, said, err)
	}
	return said, err
}

// askedKey is where a command's context carries the whole Command, for those that keep who asked and why.
type askedKey struct{}

func askedBy(ctx context.Context) Command {
	c, _ := ctx.Value(askedKey{}).(Command) // without one nobody is named
	return c
}

func (r *Runtime) record(c Command, said string, err error) {
	e := event.Event{At: time.Now(), Kind: event.Command, Severity: event.Info,
		Subject: safetext.Clean(subjectOf(c))}
	var b strings.Builder
	b.WriteString("by " + c.Who)
	if c.Reason != "" {
		b.WriteString(" (" + c.Reason + ")")
	}
	if err != nil {
		e.Severity = event.Warning
		b.WriteString(": failed: " + err.Error())
	} else if said != "" {
		b.WriteString(": " + said)
	}
	e.Message = safetext.Clean(b.String())
	r.log.Add(e)
}

// mostArgs is how many of a command's arguments the events name.
const mostArgs = 5

func subjectOf(c Command) string {
	words := append([]string{c.Name}, c.Args[:min(len(c.Args), mostArgs)]...)
	if n := len(c.Args) - mostArgs; n > 0 {
		words = append(words, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(words, " ")
}

func (r *Runtime) commandNames() []string {
	var out []string
	for _, c := range r.commands {
		out = append(out, c.Name)
	}
	return out
}

// commandTable lists what the engines of this runtime can be asked. A new command is one more row.
func (r *Runtime) commandTable() []command {
	var table []command
	if p := r.engines.pipeline; p != nil {
		table = append(table, pipelineCommands(p, r.now)...)
		table = append(table, recordCommands(p)...)
	}
	if e := r.engines.edge; e != nil {
		table = append(table, edgeCommands(e, r.config.Edge.Cloud != nil)...)
	}
	table = append(table, command{CommandSpec{Name: "mark", Usage: "TEXT", Summary: "write a note into the events, for yourself later"},
		func(_ context.Context, args []string) (string, error) {
			text := strings.TrimSpace(strings.Join(args, " "))
			if text == "" {
				return "", errors.New("expected a text after mark, such as: mark restarted the broker")
			}
			r.log.Add(event.Event{At: time.Now(), Kind: event.Mark, Severity: event.Info, Message: safetext.Clean(text)})
			return "marked", nil
		}})
	if f := r.options.Faults; f != nil {
		table = append(table, command{CommandSpec{Name: "fault", Usage: "NAME [DURATION] | clear NAME",
			Summary: "make the demo world misbehave", Complete: completeFault(f), Changes: true,
			Check: func(args []string) error { _, err := parseFault(f, args); return err }},
			func(_ context.Context, args []string) (string, error) { return doFault(f, args) }})
	}
	return table
}

// now is the time in the zone that the console shows times in, unless its user chose another there.
func (r *Runtime) now() time.Time {
	if r.config.Console.TimeZone == "utc" {
		return time.Now().UTC()
	}
	return time.Now()
}
