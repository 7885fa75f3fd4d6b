package backend

import (
	"errors"
	"testing"

	"weir/backend/timeline"
)

func TestReplayedShowsOnePastAndRefusesCommands(t *testing.T) {
	line := timeline.New()
	line.Append(&timeline.Snapshot{})
	r := NewReplayed(line)
	ticks, cancel := r.Subscribe()
	defer cancel()
	<-ticks // the console draws once without being asked
	if r.Timeline() != line || len(r.Commands()) != 0 {
		t.Error("it is not what was recorded")
	}
	if _, err := r.Do(t.Context(), Command{Name: "pause"}); !errors.Is(err, ErrUnknownCommand) {
		t.Errorf("a command to a recording = %v", err)
	}
}
