package pipeline

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
	"weir/backend/safetext"
)

// Bounds of the dead letters that snapshots carry while somebody browses them.
const (
	KeepLetters  = 500
	browseScan   = 1000 // of each partition, the newest, when browsing begins
	browseSample = 100  // bytes of a value in the list
	maxOpened    = 4
)

// LetterList is the dead-letter topic as it was last read, for a list.
type LetterList struct {
	At      time.Time
	Error   safetext.Text // why it could not be read again
	Total   int64         // letters in the topic, by its offsets
	Letters []LetterRow   // the newest first, at most KeepLetters
	// Opened are those somebody looks at in full.
	Opened []OpenLetter
}

// LetterRow is a dead letter in a list.
type LetterRow struct {
	ID LetterID
	DeadLetter
	Entity   safetext.Text // empty when the bytes name none
	Replays  int
	ReplayOf LetterID
	Again    bool
	Replayed time.Time
}

// OpenLetter is a dead letter in full, with what the feature store has for its entity now.
type OpenLetter struct {
	Letter
	ReadAt        time.Time
	Fields        []Field
	Features      []LetterFeature
	FeaturesError safetext.Text
	JudgedBy      []safetext.Text
	Broken        []BrokenRule
}

// browser keeps the newest dead letters while somebody browses them.
type browser struct {
	reading sync.Mutex // one reader at a time

	mu     sync.Mutex
	until  time.Time
	list   *LetterList // what snapshots carry; immutable
	rows   []LetterRow
	next   map[int32]int64
	opened []opened
}

type opened struct {
	letter OpenLetter
	until  time.Time
}

// WatchLetters puts the newest dead letters into the snapshots of the next minute, reading those that are new from
// their topic. A console calls it again and again while somebody browses.
func (e *Engine) WatchLetters(ctx context.Context) error {
	b := &e.browser
	b.mu.Lock()
	b.until = time.Now().Add(watchFor)
	b.mu.Unlock()
	if !b.reading.TryLock() {
		return nil // somebody else does
	}
	defer b.reading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*askPatience)
	defer cancel()
	err := e.readNewLetters(ctx)
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		list := LetterList{}
		if b.list != nil {
			list = *b.list
		}
		list.Error = safetext.Error(err)
		b.list = &list
	}
	return err
}

// readNewLetters goes on where the last reading ended. The caller holds browser.reading.
func (e *Engine) readNewLetters(ctx context.Context) error {
	admin, err := kafka.NewAdmin(e.cfg.Cluster.WithTimeout(askPatience))
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()
	partitions, err := admin.Partitions(e.cfg.DeadLetters)
	if errors.Is(err, kafka.ErrNoTopic) {
		partitions, err = nil, nil
	}
	if err != nil {
		return err
	}
	ends, err := admin.Watermarks(ctx, e.cfg.DeadLetters, partitions)
	if err != nil {
		return err
	}
	notes, err := e.readNotes(admin, partitions)
	if err != nil {
		e.logger.Debug("read which dead letters were replayed", "error", err)
	}
	b := &e.browser
	b.mu.Lock()
	rows, next := slices.Clone(b.rows), b.next
	b.mu.Unlock()
	total, reached := int64(0), make(map[int32]int64, len(partitions))
	for _, p := range partitions {
		from, known := next[p]
		if from = max(from, ends[p].Oldest); !known || ends[p].Newest < from {
			from = max(ends[p].Oldest, ends[p].Newest-browseScan)
		}
		reached[p] = from // what lies between the last letter and the end may be a transaction that is open
		err := e.readRange(ctx, admin, p, from, ends[p].Newest, func(_ *kafka.Admin, m *sarama.ConsumerMessage) error {
			rows = append(rows, e.rowOf(m))
			reached[p] = m.Offset + 1
			return nil
		})
		if err != nil {
			return err
		}
		total += ends[p].Newest - ends[p].Oldest
	}
	rows = slices.DeleteFunc(rows, func(l LetterRow) bool { return l.ID.Offset < ends[l.ID.Partition].Oldest })
	again := make(map[LetterID]time.Time)
	for i := range rows {
		if rows[i].Replays > 0 {
			again[rows[i].ReplayOf] = rows[i].At
		}
	}
	for i := range rows {
		l := &rows[i]
		if at := e.replayedAt(l.ID); !at.IsZero() {
			l.Replayed = at
		} else if at, known := again[l.ID]; known && l.Replayed.IsZero() {
			l.Replayed = at
		}
		l.Again = l.Again || !l.Replayed.IsZero() || notes[l.ID.Partition].has(l.ID.Offset)
	}
	slices.SortFunc(rows, func(a, b LetterRow) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.ID.Partition, a.ID.Partition), cmp.Compare(b.ID.Offset, a.ID.Offset))
	})
	rows = rows[:min(len(rows), 4*KeepLetters)]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows, b.next = rows, reached
	b.list = &LetterList{At: time.Now(), Total: total, Letters: slices.Clone(rows[:min(len(rows), KeepLetters)])}
	return nil
}

// rowOf is a dead letter as the list shows it.
func (e *Engine) rowOf(m *sarama.ConsumerMessage) LetterRow {
	short := *m
	short.Value = m.Value[:min(len(m.Value), browseSample)]
	l := e.letterOf(&short)
	if l.Size == len(short.Value) { // not told by a header
		l.Size = len(m.Value)
	}
	row := LetterRow{ID: l.ID, DeadLetter: l.DeadLetter, Replays: l.Replays, ReplayOf: l.ReplayOf}
	row.Sample = e.shown(e.cfg.Events, m.Value, browseSample)
	var d decoded
	if decode(m.Value, e.cfg.Entity, &d); d.user != nil {
		row.Entity, _ = e.maskedValue(e.cfg.Events, e.cfg.Entity, d.user, browseSample)
	}
	return row
}

// OpenLetter puts one dead letter in full into the snapshots of the next minute, with what the feature store has for
// its entity now.
func (e *Engine) OpenLetter(ctx context.Context, id LetterID) (*OpenLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	var o *OpenLetter
	var d decoded
	err := e.readLetters(ctx, []LetterID{id}, func(admin *kafka.Admin, m *sarama.ConsumerMessage) error {
		o = &OpenLetter{Letter: e.letterOf(m), ReadAt: time.Now()}
		event := *m
		event.Topic = e.cfg.Events // as what it was meant
		o.Fields = e.fields(&event)
		if e.cfg.Contracts != nil && o.Size == len(m.Value) {
			ctx, cancel := context.WithTimeout(ctx, judgePatience)
			defer cancel()
			o.JudgedBy, o.Broken = e.cfg.Contracts.Judge(ctx, e.cfg.Events, m.Value, o.At)
		}
		o.Replayed = e.replayedAt(id)
		o.Again = !o.Replayed.IsZero() || e.notesOf(admin)[id.Partition].has(id.Offset)
		if f := decode(m.Value, e.cfg.Entity, &d); f.code != noFault && d.user == nil {
			o.FeaturesError = safetext.Sprintf("its bytes name no entity: %s", f.reason(e.cfg.Entity))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, gone(id)
	}
	if o.FeaturesError.IsEmpty() {
		o.Features, err = e.featuresNow(ctx, &d)
		o.FeaturesError = safetext.Error(err)
	}
	b := &e.browser
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(b.opened), func(x opened) bool { return x.letter.ID == id })
	list = append(list, opened{*o, time.Now().Add(watchFor)})
	b.opened = list[max(len(list)-maxOpened, 0):]
	b.until = time.Now().Add(watchFor)
	return o, nil
}

// fill writes what is browsed into a snapshot, and lets go of it a minute after nobody browses any more.
func (b *browser) fill(s *Snapshot, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.After(b.until) {
		b.list, b.rows, b.next, b.opened = nil, nil, nil, nil
		return
	}
	b.opened = slices.DeleteFunc(b.opened, func(x opened) bool { return now.After(x.until) })
	switch {
	case len(b.opened) > 0:
		list := LetterList{}
		if b.list != nil {
			list = *b.list
		}
		for _, x := range b.opened {
			list.Opened = append(list.Opened, x.letter)
		}
		s.Letters = &list
	case b.list != nil:
		s.Letters = b.list
	}
}
