package backend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"weir/backend/pipeline"
)

// recordCommands look at records and dead letters. They change nothing: a console gives them while somebody looks.
func recordCommands(p *pipeline.Engine) []command {
	return []command{
		{CommandSpec{Name: "inspect", Usage: "PARTITION/OFFSET",
			Summary: "read one event from the broker and say what would become of it now; nothing is sent or counted"},
			func(ctx context.Context, args []string) (string, error) { return doInspect(ctx, p, args) }},
		{CommandSpec{Name: "browse", Usage: "records PARTITION | bin N | letters | letter PARTITION/OFFSET", Complete: among("records", "bin", "letters", "letter"), Unasked: true,
			Summary: "carry records or dead letters in the snapshots of the next minute; looking at them does it"},
			func(ctx context.Context, args []string) (string, error) { return doBrowse(ctx, p, args) }},
	}
}

func doInspect(ctx context.Context, p *pipeline.Engine, args []string) (string, error) {
	if len(args) != 1 {
		return "", errors.New("expected PARTITION/OFFSET of the events' topic, such as inspect 3/99120")
	}
	at, err := parsePlace(args[0])
	if err != nil {
		return "", err
	}
	i, err := p.Inspect(ctx, at.Partition, at.Offset)
	if err != nil {
		return "", err
	}
	said := "now it would be " + strconv.FormatFloat(i.Now.Prediction, 'g', 4, 64) + " by " + i.Now.Model.String()
	if i.Now.Stage != "" {
		said = "now it would be a dead letter: " + i.Now.Reason.String()
	}
	if n := len(i.Now.Broken); n > 0 {
		said += fmt.Sprintf("; it breaks %d rules", n)
	}
	return said, nil
}

func doBrowse(ctx context.Context, p *pipeline.Engine, args []string) (string, error) {
	if len(args) == 1 && args[0] == "letters" {
		return "the dead letters are in the snapshots for a minute", p.WatchLetters(ctx)
	}
	if len(args) == 2 {
		switch args[0] {
		case "records", "bin":
			n, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil || n < 0 {
				return "", fmt.Errorf("expected a number after %s, found %q", args[0], args[1])
			}
			target := pipeline.WatchTarget{Partition: int32(n), Bin: -1}
			if args[0] == "bin" {
				target = pipeline.WatchTarget{Partition: -1, Bin: int(n)}
			}
			return "its newest records are in the snapshots for a minute", p.WatchRecords(target)
		case "letter":
			id, err := parsePlace(args[1])
			if err == nil {
				_, err = p.OpenLetter(ctx, id)
			}
			return "the dead letter is in the snapshots for a minute", err
		}
	}
	return "", errors.New("expected records PARTITION, bin N, letters, or letter PARTITION/OFFSET")
}

// parsePlace reads PARTITION/OFFSET.
func parsePlace(word string) (pipeline.LetterID, error) {
	partition, offset, ok := strings.Cut(word, "/")
	n, err1 := strconv.ParseInt(partition, 10, 32)
	at, err2 := strconv.ParseInt(offset, 10, 64)
	if !ok || err1 != nil || err2 != nil || n < 0 || at < 0 {
		return pipeline.LetterID{}, fmt.Errorf("expected PARTITION/OFFSET, such as 3/99120, found %q", word)
	}
	return pipeline.LetterID{Partition: int32(n), Offset: at}, nil
}
