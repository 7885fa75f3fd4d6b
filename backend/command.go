package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/backend/edge"
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
	said, err := r.commands[i].do(ctx, c.Args)
	if r.commands[i].Changes {
		r.record(c, said, err)
	}
	return said, err
}

func (r *Runtime) record(c Command, said string, err error) {
	e := event.Event{At: time.Now(), Kind: event.Command, Severity: event.Info,
		Subject: safetext.Clean(strings.Join(append([]string{c.Name}, c.Args...), " "))}
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
		table = append(table, pipelineCommands(p)...)
	}
	if e := r.engines.edge; e != nil {
		table = append(table, command{CommandSpec{Name: "poll", Summary: "poll every edge node now"},
			func(ctx context.Context, _ []string) (string, error) {
				if err := e.PollNow(ctx); err != nil {
					return "", err
				}
				s := e.Snapshot()
				return fmt.Sprintf("polled: %d of %d nodes report", s.Reporting, s.Nodes), nil
			}})
		table = append(table,
			command{CommandSpec{Name: "quarantine", Usage: "NODE [REASON]", Changes: true, Complete: completeNode(e),
				Summary: "stop polling a node and leave it out of the aggregate, until release"},
				func(_ context.Context, args []string) (string, error) {
					return onNode(e, args, e.Quarantine, "is in quarantine: not polled, not counted")
				}},
			command{CommandSpec{Name: "release", Usage: "NODE [REASON]", Changes: true, Complete: completeNode(e),
				Summary: "end a quarantine and poll the node at once"},
				func(_ context.Context, args []string) (string, error) {
					return onNode(e, args, e.Release, "is polled and counted again")
				}})
		table = append(table, command{CommandSpec{Name: "watch", Usage: "NODE", Complete: completeNode(e),
			Summary: "carry a node's polls in the snapshots of the next minute; looking at a node does it"},
			func(_ context.Context, args []string) (string, error) {
				return onNode(e, args, func(url, _ string) error { return e.Watch(url) }, "is watched for a minute")
			}})
		if r.config.Edge.Cloud != nil {
			table = append(table, command{CommandSpec{Name: "sync", Summary: "send an aggregate to the cloud now", Changes: true},
				func(ctx context.Context, _ []string) (string, error) {
					if err := e.SyncNow(ctx); err != nil {
						return "", err
					}
					return "the aggregate is in the outbox and on its way", nil
				}})
		}
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
			Summary: "make the demo world misbehave", Complete: completeFault(f), Changes: true},
			func(_ context.Context, args []string) (string, error) { return doFault(f, args) }})
	}
	return table
}

// onNode does something to the node that the first argument means, by its URL or its short name; the others are the
// reason.
func onNode(e *edge.Engine, args []string, do func(url, reason string) error, done string) (string, error) {
	if len(args) == 0 {
		return "", errors.New("expected a node's name or URL")
	}
	for _, n := range e.Snapshot().NodeData {
		if n.URL.String() == args[0] || n.Name.String() == args[0] {
			return n.Name.String() + " " + done, do(n.URL.String(), strings.Join(args[1:], " "))
		}
	}
	return "", fmt.Errorf("%w: %q", edge.ErrNoNode, args[0])
}

// mostOffered bounds what completion offers of a large fleet.
const mostOffered = 50

func completeNode(e *edge.Engine) func(string) []string {
	return func(prefix string) []string {
		var out []string
		for _, n := range e.Snapshot().NodeData {
			if name := n.Name.String(); strings.HasPrefix(name, prefix) && len(out) < mostOffered {
				out = append(out, name)
			}
		}
		return out
	}
}

func doFault(f Faults, args []string) (string, error) {
	switch {
	case len(args) == 0:
		return "", fmt.Errorf("expected a fault's name, one of %s", strings.Join(f.FaultNames(), ", "))
	case args[0] == "clear" && len(args) == 2:
		if err := f.Clear(args[1]); err != nil {
			return "", err
		}
		return args[1] + " is over", nil
	case args[0] == "clear":
		return "", errors.New("expected a fault's name after clear, such as: fault clear null-spike")
	case len(args) == 1:
		if err := f.Inject(args[0], 0, 0); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s until :fault clear %s", args[0], args[0]), nil
	case len(args) == 2:
		lasting, err := time.ParseDuration(args[1])
		if err != nil || lasting <= 0 {
			return "", fmt.Errorf("expected a duration such as 30s after %s, found %q", args[0], args[1])
		}
		if err := f.Inject(args[0], 0, lasting); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s for %s", args[0], lasting), nil
	default:
		return "", fmt.Errorf("expected NAME [DURATION] or clear NAME, found %d words", len(args))
	}
}

func completeFault(f Faults) func(string) []string {
	return func(prefix string) []string {
		var out []string
		for _, name := range append(f.FaultNames(), "clear") {
			if strings.HasPrefix(name, prefix) {
				out = append(out, name)
			}
		}
		return out
	}
}
