package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/backend/edge"
	"weir/backend/wire"
	"weir/config"
)

// shownNodes bounds the rows about single nodes.
const shownNodes = 5

// checkEdge polls every node once with the engine itself, so that the judgement is the engine's.
func checkEdge(ctx context.Context, c *config.Edge) []Row {
	const what = "edge nodes"
	fleet := *c
	fleet.Cloud, fleet.Sources, fleet.Federated = nil, nil, nil // not needed to poll once
	settings, err := wire.Edge(&fleet, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return []Row{row(Failed, what, err.Error(), "correct the section edge")}
	}
	listed, targets := checkSources(ctx, c)
	settings.Targets = append(settings.Targets, unlisted(settings, targets)...)
	if len(settings.Nodes)+len(settings.Targets) == 0 {
		return append(listed, row(Warning, what, "there are none", "the sources list no node yet"))
	}
	deadline, _ := ctx.Deadline()
	settings.Timeout = nodeTimeout(c.Timeout, time.Until(deadline))
	settings.Poll = 24 * time.Hour // only the round asked for below
	engine, err := edge.New(settings)
	if err != nil {
		return []Row{row(Failed, what, err.Error(), "correct the section edge")}
	}
	running, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	var ended error
	group.Go(func() {
		defer stop()
		ended = engine.Run(running)
	})
	err = pollOnce(running, engine)
	snapshot := engine.Snapshot()
	stop()
	group.Wait()
	if ended != nil {
		return []Row{row(Failed, what, ended.Error(), "correct the section edge")}
	}

	var bad []*edge.Node
	unasked, slowest := 0, 0.0
	for _, n := range snapshot.NodeData {
		switch n.State {
		case edge.OK:
			slowest = max(slowest, n.LatencyMS)
		case edge.Unknown:
			unasked++
		default:
			bad = append(bad, n)
		}
	}
	found := fmt.Sprintf("%d of %d answer validly", snapshot.Reporting, snapshot.Nodes)
	if slowest > 0 {
		found += fmt.Sprintf(", the slowest in %s", millis(time.Duration(slowest*float64(time.Millisecond))))
	}
	rows := append(listed, row(OK, what, found, ""))
	total := &rows[len(listed)]
	switch {
	case unasked > 0:
		*total = row(Warning, what, fmt.Sprintf("%s; %d were not reached in time", found, unasked), "raise edge.concurrency, or the time the check may take")
	case snapshot.Reporting == 0:
		*total = row(Failed, what, found, "check the network between here and the fleet")
	case len(bad) > 0:
		*total = row(Warning, what, found, "see the nodes below")
	}
	if err != nil && unasked == 0 {
		rows = append(rows, row(Warning, what, err.Error(), ""))
	}
	for _, e := range snapshot.Log {
		if strings.HasPrefix(e.Subject.String(), edge.AccessKey) {
			rows = append(rows, row(Warning, e.Subject.String(), e.Message.String(), "correct its prefix, unless that node is not meant"))
		}
	}
	for i, n := range bad {
		if i == shownNodes {
			rows = append(rows, row(Warning, "…", fmt.Sprintf("and %d more nodes", len(bad)-i), ""))
			break
		}
		rows = append(rows, nodeRow(n, c))
	}
	return rows
}

// nodeTimeout is how long a node may take of the time the check has left: not all of it, so that one that is silent is
// down, not unasked.
func nodeTimeout(configured, left time.Duration) time.Duration {
	return min(configured, (left * 4 / 5).Truncate(time.Millisecond))
}

// checkSources asks every source of nodes, at the same time.
func checkSources(ctx context.Context, c *config.Edge) (rows []Row, targets []edge.Target) {
	listed := make([][]edge.Target, len(c.Sources))
	rows = make([]Row, len(c.Sources))
	var group sync.WaitGroup
	for i, s := range c.Sources {
		group.Go(func() {
			source, err := wire.Source(s)
			what := fmt.Sprintf("node source %d", i+1)
			if err != nil {
				rows[i] = row(Failed, what, err.Error(), "correct edge.sources")
				return
			}
			listed[i], err = source.List(ctx)
			switch {
			case err != nil:
				rows[i] = row(Failed, what, err.Error(), "correct edge.sources, or what it names")
			case len(listed[i]) == 0:
				rows[i] = row(Warning, what, source.Name()+" lists no node", "is it filled by now?")
			default:
				rows[i] = row(OK, what, fmt.Sprintf("%s lists %s", source.Name(), plural(len(listed[i]), "node")), "")
			}
		})
	}
	group.Wait()
	return rows, slices.Concat(listed...)
}

// unlisted are the targets that the settings do not name yet, each once.
func unlisted(settings edge.Config, targets []edge.Target) (out []edge.Target) {
	seen := map[string]bool{}
	for _, n := range settings.Nodes {
		seen[edge.Identity(n)] = true
	}
	for _, t := range settings.Targets {
		seen[edge.Identity(t.URL)] = true
	}
	for _, t := range targets {
		if same := edge.Identity(t.URL); !seen[same] {
			seen[same] = true
			out = append(out, t)
		}
	}
	return out
}

// pollOnce waits for the engine to run and polls every node. Ctx ends when the engine does.
func pollOnce(ctx context.Context, engine *edge.Engine) error {
	for {
		err := engine.PollNow(ctx)
		if !errors.Is(err, edge.ErrNotRunning) {
			return err
		}
		select { // it has only been started
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

func nodeRow(n *edge.Node, c *config.Edge) Row {
	found, do := string(n.State), ""
	if !n.Error.IsEmpty() {
		found += ": " + n.Error.String()
	}
	switch n.State {
	case edge.Slow:
		found = fmt.Sprintf("slow: %s", millis(time.Duration(n.LatencyMS*float64(time.Millisecond))))
		do = fmt.Sprintf("it took more than half of edge.timeout (%v)", c.Timeout)
	case edge.Stale:
		do = fmt.Sprintf("its data are older than edge.stale_after (%v): see why it stopped collecting", c.StaleAfter)
		if !n.LastUpdated.IsZero() {
			found = "stale: last updated " + n.LastUpdated.UTC().Format(time.RFC3339)
		}
	case edge.Skewed:
		do = "set the node's clock (NTP)"
	case edge.Invalid:
		do = "it must answer GET /data/summary with record_count, quality_score and last_updated"
	case edge.Down:
		do = "is the node up, and its address right?"
	}
	return Row{Warning, n.URL, row(Warning, "", found, "").Found, row(Warning, "", "", do).Do}
}
