package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"weir/backend/kafka"
)

// Which dead letters were replayed is noted in the broker: as ranges of offsets, in the metadata of the offsets of a
// group of its own, which has no members. So a restart, and every other process of the group, knows. What does not fit
// into a note is forgotten from its oldest end, and a letter that came back tells by its headers in any case.
const notesVersion = "weir1 "

// notesGroup is the group that holds the notes.
func (e *Engine) notesGroup() string { return e.cfg.Group + ".replayed" }

// offsets is a set of offsets, as ranges in order that do not touch.
type offsets []offsetRange

type offsetRange struct{ from, to int64 } // both included

func (o offsets) has(offset int64) bool {
	i := sort.Search(len(o), func(i int) bool { return o[i].to >= offset })
	return i < len(o) && o[i].from <= offset
}

// with is the set with one more offset.
func (o offsets) with(offset int64) offsets {
	i := sort.Search(len(o), func(i int) bool { return o[i].to >= offset })
	switch {
	case i < len(o) && o[i].from <= offset:
		return o
	case i < len(o) && o[i].from == offset+1:
		o[i].from = offset
	case i > 0 && o[i-1].to == offset-1:
		o[i-1].to = offset
		return o
	default:
		return slices.Insert(o, i, offsetRange{offset, offset})
	}
	if i > 0 && o[i-1].to == offset-1 {
		o[i].from = o[i-1].from
		o = slices.Delete(o, i-1, i)
	}
	return o
}

// note is the set in a text of at most kafka.MaxNote bytes: the newest offsets, if they do not all fit.
func (o offsets) note() string {
	words := make([]string, 0, len(o))
	size := len(notesVersion)
	for i := len(o) - 1; i >= 0; i-- {
		word := strconv.FormatInt(o[i].from, 10)
		if o[i].to > o[i].from {
			word += "-" + strconv.FormatInt(o[i].to, 10)
		}
		if size += len(word) + 1; size > kafka.MaxNote {
			break
		}
		words = append(words, word)
	}
	slices.Reverse(words)
	return notesVersion + strings.Join(words, ",")
}

// parseOffsets reads a note. Of one that is not ours, nothing.
func parseOffsets(note string) offsets {
	list, ours := strings.CutPrefix(note, notesVersion)
	if !ours || len(note) > 2*kafka.MaxNote {
		return nil
	}
	var out offsets
	for word := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(word, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseInt(first, 10, 64)
		to, err2 := strconv.ParseInt(last, 10, 64)
		if err1 != nil || err2 != nil || from < 0 || to < from || len(out) > 0 && from <= out[len(out)-1].to+1 {
			return nil
		}
		out = append(out, offsetRange{from, to})
	}
	return out
}

// readNotes learns which letters other processes, or this one before it was started again, have replayed.
func (e *Engine) readNotes(admin *kafka.Admin, partitions []int32) (map[int32]offsets, error) {
	notes, err := admin.Notes(e.notesGroup(), e.cfg.DeadLetters, partitions)
	if err != nil {
		return nil, err
	}
	out := make(map[int32]offsets, len(notes))
	for p, note := range notes {
		out[p] = parseOffsets(note)
	}
	return out, nil
}

// writeNotes adds letters to the notes. Others may do the same: what is there now is kept.
func (e *Engine) writeNotes(admin *kafka.Admin, ids []LetterID) error {
	partitions := partitionsOf(ids)
	known, err := e.readNotes(admin, partitions)
	if err != nil {
		return err
	}
	var failed []error
	for _, p := range partitions {
		set := known[p]
		for _, id := range ids {
			if id.Partition == p {
				set = set.with(id.Offset)
			}
		}
		failed = append(failed, admin.SetNote(e.notesGroup(), e.cfg.DeadLetters, p, set[len(set)-1].to+1, set.note()))
	}
	return errors.Join(failed...)
}

// partitionsOf are the partitions that letters lie in.
func partitionsOf(ids []LetterID) []int32 {
	var out []int32
	for _, id := range ids {
		if !slices.Contains(out, id.Partition) {
			out = append(out, id.Partition)
		}
	}
	return out
}

// replayedAt is when this process replayed a letter, zero when it did not.
func (e *Engine) replayedAt(id LetterID) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.replayed[id]
}

func (e *Engine) rememberReplay(id LetterID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.replayed) >= replaysRecalled {
		clear(e.replayed)
	}
	e.replayed[id] = time.Now()
}

// errForgets tells that a replay was done but could not be noted.
func errForgets(err error) error {
	return fmt.Errorf("replayed, but it could not be noted in the broker, so that a restart will forget it: %w", err)
}
