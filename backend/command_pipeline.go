package backend

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"weir/backend/model"
	"weir/backend/pipeline"
)

// pipelineCommands are the commands of a pipeline; a time of day is meant in the zone of now.
func pipelineCommands(p *pipeline.Engine, now func() time.Time) []command {
	return []command{
		{CommandSpec{Name: "pause", Summary: "stop taking events; the lag grows, nothing is lost", Changes: true},
			func(context.Context, []string) (string, error) {
				p.Pause()
				return "the pipeline takes no more events until :resume", nil
			}},
		{CommandSpec{Name: "resume", Summary: "take events again after pause or drain", Changes: true},
			func(context.Context, []string) (string, error) {
				p.Resume()
				return "the pipeline takes events again", nil
			}},
		{CommandSpec{Name: "drain", Summary: "finish what is in hand, commit and leave the group to its other members", Changes: true},
			func(ctx context.Context, _ []string) (string, error) {
				return "the pipeline has left the group; :resume joins it again", p.Drain(ctx)
			}},
		{CommandSpec{Name: "seek", Usage: "TO [PARTITION]", Changes: true, Complete: among("oldest", "newest", "-10m"),
			Check:   func(args []string) error { _, err := parsePosition(args, now()); return err },
			Summary: "go on from elsewhere: oldest, newest, an offset, a time of day, or so long ago (-10m)"},
			func(ctx context.Context, args []string) (string, error) { return doSeek(ctx, p, args, now()) }},
		{CommandSpec{Name: "replay", Usage: "PARTITION/OFFSET… | all | stage=… reason=… since=… from=…", Changes: true,
			Check:    func(args []string) error { _, _, err := parseLetters(args, now()); return err },
			Complete: among("all", "stage=decode", "stage=entity", "stage=features", "stage=score", "reason=", "since=10m", "from="),
			Summary:  "send dead letters through the pipeline again: some by their place in the dead-letter topic, or all that match"},
			func(ctx context.Context, args []string) (string, error) { return doReplay(ctx, p, args, now()) }},
		{CommandSpec{Name: "model", Usage: "load FILE [VERSION] | rollback | baseline [training]", Changes: true,
			Complete: among("load", "rollback", "baseline"),
			Check:    checkModel,
			Summary:  "swap the model between two batches, go back to the one before, or measure drift from now on"},
			func(_ context.Context, args []string) (string, error) { return doModel(p, args) }},
	}
}

// among completes to one of some words.
func among(words ...string) func(string) []string {
	return func(prefix string) []string {
		var out []string
		for _, w := range words {
			if strings.HasPrefix(w, prefix) {
				out = append(out, w)
			}
		}
		return out
	}
}

func doSeek(ctx context.Context, p *pipeline.Engine, args []string, now time.Time) (string, error) {
	to, err := parsePosition(args, now)
	if err != nil {
		return "", err
	}
	moves, err := p.Seek(ctx, to)
	if err != nil {
		return "", err
	}
	said := make([]string, len(moves))
	for i, m := range moves {
		said[i] = fmt.Sprintf("%d: %d → %d", m.Partition, m.From, m.To)
	}
	return "partition " + strings.Join(said, ", "), nil
}

// parsePosition reads TO [PARTITION]. A time of day is the last time it was that o'clock.
func parsePosition(args []string, now time.Time) (pipeline.Position, error) {
	to := pipeline.Position{Partition: -1}
	if len(args) == 0 || len(args) > 2 {
		return to, errors.New("expected oldest, newest, an offset, a time such as 14:32 or 2026-11-22T14:32:00Z, or so long ago such as -10m; then, if only one is meant, a partition")
	}
	if len(args) == 2 {
		n, err := strconv.ParseInt(args[1], 10, 32)
		if err != nil || n < 0 {
			return to, fmt.Errorf("expected a partition's number, found %q", args[1])
		}
		to.Partition = int32(n)
	}
	word := args[0]
	switch word {
	case "oldest":
		to.Offset = pipeline.Oldest
		return to, nil
	case "newest":
		to.Offset = pipeline.Newest
		return to, nil
	}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil && n >= 0 {
		to.Offset = n
		return to, nil
	}
	if ago, err := time.ParseDuration(word); err == nil && ago < 0 {
		to.Time = now.Add(ago)
		return to, nil
	}
	if at, err := time.Parse(time.RFC3339, word); err == nil {
		to.Time = at
		return to, nil
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if at, err := time.Parse(layout, word); err == nil {
			to.Time = time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), at.Second(), 0, now.Location())
			if to.Time.After(now) {
				to.Time = to.Time.AddDate(0, 0, -1)
			}
			return to, nil
		}
	}
	return to, fmt.Errorf("expected oldest, newest, an offset, a time such as 14:32 or so long ago such as -10m, found %q", word)
}

func doReplay(ctx context.Context, p *pipeline.Engine, args []string, now time.Time) (string, error) {
	ids, query, err := parseLetters(args, now)
	if err != nil {
		return "", err
	}
	var n int
	if ids != nil {
		n, err = p.Replay(ctx, ids)
	} else {
		n, err = p.ReplayAll(ctx, query)
	}
	if err != nil {
		return "", fmt.Errorf("after %d dead letters: %w", n, err)
	}
	said := fmt.Sprintf("sent %d dead letters back to the events", n)
	if n == 1 {
		said = "sent 1 dead letter back to the events"
	}
	if left := len(ids) - n; left > 0 {
		said += fmt.Sprintf("; %d were replayed before, or are gone, and are left out", left)
	} else if ids == nil {
		said += "; what was replayed before is left out"
	}
	return said, nil
}

// parseLetters reads either places in the dead-letter topic or a filter.
func parseLetters(args []string, now time.Time) (ids []pipeline.LetterID, q pipeline.LetterQuery, err error) {
	if len(args) == 0 {
		return nil, q, errors.New("expected PARTITION/OFFSET of the dead-letter topic, all, or a filter such as stage=features since=10m")
	}
	if len(args) == 1 && args[0] == "all" {
		return nil, q, nil
	}
	filters := 0
	for _, word := range args {
		if key, value, ok := strings.Cut(word, "="); ok {
			filters++
			if err := setFilter(&q, key, value, now); err != nil {
				return nil, q, err
			}
			continue
		}
		id, err := parsePlace(word)
		if err != nil {
			return nil, q, fmt.Errorf("%w; or a filter such as stage=decode", err)
		}
		ids = append(ids, id)
	}
	if filters > 0 && ids != nil {
		return nil, q, errors.New("expected places or a filter, found both")
	}
	return ids, q, nil
}

func setFilter(q *pipeline.LetterQuery, key, value string, now time.Time) error {
	switch key {
	case "stage":
		q.Stage = value
	case "reason":
		q.Reason = value
	case "since":
		ago, err := time.ParseDuration(strings.TrimPrefix(value, "-"))
		if err != nil || ago <= 0 {
			return fmt.Errorf("expected since=10m, found since=%s", value)
		}
		q.Since = now.Add(-ago)
	case "from":
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("expected from= and a partition of the events' topic, found from=%s", value)
		}
		q.Partitions = append(q.Partitions, int32(n))
	default:
		return fmt.Errorf("expected stage=, reason=, since= or from=, found %s=", key)
	}
	return nil
}

// checkModel tells of words that :model does not take. It does not look for the file: a disk that hangs would hold up the
// console.
func checkModel(args []string) error {
	switch {
	case len(args) >= 2 && len(args) <= 3 && args[0] == "load":
		return nil
	case len(args) == 1 && (args[0] == "rollback" || args[0] == "baseline"), len(args) == 2 && args[0] == "baseline" && args[1] == "training":
		return nil
	}
	return errModelUsage
}

var errModelUsage = errors.New("expected load FILE [VERSION], rollback, baseline or baseline training")

func doModel(p *pipeline.Engine, args []string) (string, error) {
	switch {
	case len(args) >= 2 && len(args) <= 3 && args[0] == "load":
		m, err := model.LoadONNX(args[1])
		if err != nil {
			return "", err
		}
		version := strings.TrimSuffix(filepath.Base(args[1]), ".onnx")
		if len(args) == 3 {
			version = args[2]
		}
		if err := p.SwapModel(m, version); err != nil {
			return "", err
		}
		return "model " + version + " is in force; :model rollback takes it back", nil
	case len(args) == 1 && args[0] == "rollback":
		version, err := p.RollbackModel()
		if err != nil {
			return "", err
		}
		return "model " + version + " is in force again", nil
	case len(args) == 1 && args[0] == "baseline":
		return "drift is measured against the last minute, also after a restart, as long as this model is in force", p.RecordBaseline()
	case len(args) == 2 && args[0] == "baseline" && args[1] == "training":
		p.ForgetBaseline()
		return "drift is measured against the training again, as far as the model tells of it", nil
	}
	return "", errModelUsage
}
