package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"weir/backend/edge"
)

// edgeCommands are the commands of a fleet, and of its cloud where it has one.
func edgeCommands(e *edge.Engine, cloud bool) []command {
	table := []command{
		{CommandSpec{Name: "poll", Usage: "[NODE]", Complete: completeNode(e), Summary: "poll a node now, or every node"},
			func(ctx context.Context, args []string) (string, error) { return doPoll(ctx, e, args) }},
		{CommandSpec{Name: "quarantine", Usage: "NODE [REASON]", Changes: true, Complete: completeNode(e),
			Check:   func(args []string) error { _, err := findNode(e, args[0]); return err },
			Summary: "stop polling a node and leave it out of the aggregate, until release"},
			func(ctx context.Context, args []string) (string, error) {
				return onNode(e, args, "is in quarantine: not polled, not counted", func(n *edge.Node, reason string) error {
					return e.QuarantineAs(askedBy(ctx).Who, n.URL.String(), reasonOf(ctx, reason))
				})
			}},
		{CommandSpec{Name: "release", Usage: "NODE [REASON]", Changes: true, Complete: completeQuarantined(e),
			Check: func(args []string) error {
				n, err := findNode(e, args[0])
				if err != nil {
					return err
				}
				return held(n)
			},
			Summary: "end a quarantine and poll the node at once"},
			func(ctx context.Context, args []string) (string, error) {
				return onNode(e, args, "is polled and counted again", func(n *edge.Node, reason string) error {
					if err := held(n); err != nil {
						return err
					}
					return e.Release(n.URL.String(), reasonOf(ctx, reason))
				})
			}},
		{CommandSpec{Name: "watch", Usage: "NODE", Complete: completeNode(e), Unasked: true,
			Summary: "carry a node's polls in the snapshots of the next minute; looking at a node does it"},
			func(_ context.Context, args []string) (string, error) {
				return onNode(e, args, "is watched for a minute", func(n *edge.Node, _ string) error { return e.Watch(n.URL.String()) })
			}},
	}
	if !cloud {
		return table
	}
	return append(table,
		command{CommandSpec{Name: "sync", Summary: "send an aggregate to the cloud now", Changes: true},
			func(ctx context.Context, _ []string) (string, error) {
				if err := e.SyncNow(ctx); err != nil {
					return "", err
				}
				return "the aggregate is in the outbox and on its way", nil
			}},
		command{CommandSpec{Name: "requeue", Changes: true,
			Summary: "send the aggregates that the cloud refused for good once more, under their own keys"},
			func(ctx context.Context, args []string) (string, error) { return doRequeue(ctx, e, args) }})
}

func doPoll(ctx context.Context, e *edge.Engine, args []string) (string, error) {
	if len(args) == 0 {
		if err := e.PollNow(ctx); err != nil {
			return "", err
		}
		s := e.Snapshot()
		return fmt.Sprintf("polled: %d of %d nodes report", s.Reporting, s.Nodes), nil
	}
	n, err := findNode(e, args[0])
	if err != nil {
		return "", err
	}
	if n.Quarantine != nil {
		return "", fmt.Errorf("%s is in quarantine and not polled; :release %s ends that", n.Name, n.Name)
	}
	url := n.URL.String()
	if err := e.PollNode(ctx, url); err != nil {
		return "", err
	}
	if n, err = findNode(e, url); err != nil {
		return "", err // it was taken from the list meanwhile
	}
	said := fmt.Sprintf("%s is %s", n.Name, n.State)
	switch {
	case !n.Error.IsEmpty():
		said += ": " + n.Error.String()
	case n.HasData:
		said += fmt.Sprintf(": %d records, quality %.3f, answered in %.1f ms", n.RecordCount, n.Quality, n.LatencyMS)
	}
	return said, nil
}

func doRequeue(ctx context.Context, e *edge.Engine, args []string) (string, error) {
	if len(args) > 0 {
		return "", fmt.Errorf("expected nothing after requeue, found %d words", len(args))
	}
	n, err := e.Requeue(ctx)
	switch {
	case err != nil:
		return "", err
	case n == 0:
		return "there is no dead letter of the cloud", nil
	case n == 1:
		return "1 aggregate that was refused is on its way again", nil
	}
	return fmt.Sprintf("%d aggregates that were refused are on their way again", n), nil
}

// reasonOf is the reason among a command's arguments, or the one that was asked for.
func reasonOf(ctx context.Context, given string) string {
	if asked := askedBy(ctx).Reason; given == "" {
		return asked
	}
	return given
}

// findNode is the node that a name means: its URL, or its short name where only one has it.
func findNode(e *edge.Engine, name string) (*edge.Node, error) {
	var found *edge.Node
	for _, n := range e.Snapshot().NodeData {
		if n.URL.String() == name {
			return n, nil
		}
		if n.Name.String() == name {
			if found != nil {
				return nil, fmt.Errorf("%q is the name of %s and of %s: give the URL", name, found.URL, n.URL)
			}
			found = n
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: %q; a node is named as pane 2 shows it, or by its URL", edge.ErrNoNode, name)
	}
	return found, nil
}

// held is an error when a node is not in quarantine.
func held(n *edge.Node) error {
	if n.Quarantine == nil {
		return fmt.Errorf("%s is not in quarantine", n.Name)
	}
	return nil
}

// onNode does something to the node that the first argument means; the others are the reason.
func onNode(e *edge.Engine, args []string, done string, do func(n *edge.Node, reason string) error) (string, error) {
	if len(args) == 0 {
		return "", errors.New("expected a node's name or URL")
	}
	n, err := findNode(e, args[0])
	if err != nil {
		return "", err
	}
	if err := do(n, strings.Join(args[1:], " ")); err != nil {
		return "", err
	}
	return n.Name.String() + " " + done, nil
}

// mostOffered bounds what completion offers of a large fleet.
const mostOffered = 50

func completeNode(e *edge.Engine) func(string) []string {
	return completeNodes(e, func(*edge.Node) bool { return true })
}

// completeQuarantined offers only nodes that there is something to release of.
func completeQuarantined(e *edge.Engine) func(string) []string {
	return completeNodes(e, func(n *edge.Node) bool { return n.Quarantine != nil })
}

func completeNodes(e *edge.Engine, fits func(*edge.Node) bool) func(string) []string {
	return func(prefix string) []string {
		var out []string
		for _, n := range e.Snapshot().NodeData {
			if name := n.Name.String(); strings.HasPrefix(name, prefix) && fits(n) {
				if out = append(out, name); len(out) == mostOffered {
					break
				}
			}
		}
		return out
	}
}
