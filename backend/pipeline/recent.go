package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/features"
)

// Bounds of watching: what somebody looks at is kept, and nothing else.
const (
	KeepRecent    = 32 // records a watch shows, the newest
	watchFor      = time.Minute
	maxWatches    = 16
	tracesASecond = 2000 // records of one watch looked at closely; of more, the newest of each batch
	traceBytes    = 8192 // of a value that is kept
	recalled      = 2048 // records shown lately that can be looked at again
)

// WatchTarget says which records to watch: those of one partition, or those whose prediction falls into one bin of the
// histogram. The other is -1.
type WatchTarget struct {
	Partition int32
	Bin       int
}

// WatchedRecords are the newest records of what somebody watches.
type WatchedRecords struct {
	Target  WatchTarget
	Since   time.Time
	Matched uint64 // records seen since then, those too that are not kept
	Records []Record
}

// ErrTooManyWatches is the error of watching more than a process can show.
var ErrTooManyWatches = errors.New("too many things are watched already; they are let go a minute after nobody looks any more")

// recent keeps the records that somebody looks at. While nobody does, it costs the scoring path the load of a pointer a
// batch.
type recent struct {
	on atomic.Pointer[[]*watch] // nil when nobody looks

	mu        sync.Mutex
	inspected []inspected
	shown     []*trace // a ring of those that were in a snapshot
	next      int      // where its oldest is, once it is full
}

// watch is one thing somebody looks at.
type watch struct {
	target WatchTarget
	since  time.Time
	until  atomic.Int64 // Unix nanoseconds

	mu      sync.Mutex
	matched uint64
	tokens  float64
	filled  time.Time
	ring    []*trace // the newest last
}

// pick is a record of a batch that a watch wants.
type pick struct {
	watch  *watch
	record int
	row    *features.Row
}

// WatchRecords puts the newest records of a target into the snapshots of the next minute. A console calls it again and
// again while somebody looks.
func (e *Engine) WatchRecords(t WatchTarget) error {
	if (t.Partition < 0) == (t.Bin < 0) || t.Bin >= Bins {
		return fmt.Errorf("expected a partition or one of %d bins to watch", Bins)
	}
	r := &e.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	var list []*watch
	if on := r.on.Load(); on != nil {
		list = *on
	}
	for _, w := range list {
		if w.target == t {
			w.until.Store(now.Add(watchFor).UnixNano())
			return nil
		}
	}
	if len(list) >= maxWatches {
		return ErrTooManyWatches
	}
	w := &watch{target: t, since: now, tokens: KeepRecent, filled: now}
	w.until.Store(now.Add(watchFor).UnixNano())
	list = append(slices.Clone(list), w)
	r.on.Store(&list)
	return nil
}

// want is how many records of a batch the watch may still take.
func (w *watch) want(now time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens = min(w.tokens+now.Sub(w.filled).Seconds()*tracesASecond, KeepRecent)
	w.filled = now
	return int(w.tokens)
}

// scored picks the records of a batch that somebody looks at, while the features they were scored with are at hand.
func (r *recent) scored(s *scorer, b *batch) {
	on := r.on.Load()
	if on == nil {
		return
	}
	now := time.Now()
	for _, w := range *on {
		want, matched := w.want(now), uint64(0)
		row := len(s.entities)
		for i := len(b.outcomes) - 1; i >= 0; i-- {
			o := &b.outcomes[i]
			p := pick{watch: w, record: i}
			if o.stage != stageDecode && o.stage != stageEntity {
				row--
				p.row = s.rows[row]
			}
			if !w.wants(b.records[i], o) {
				continue
			}
			if matched++; matched <= uint64(want) {
				b.picks = append(b.picks, p)
			}
		}
		w.mu.Lock()
		w.matched += matched
		w.tokens -= float64(min(matched, uint64(want)))
		w.mu.Unlock()
	}
}

func (w *watch) wants(m *sarama.ConsumerMessage, o *outcome) bool {
	if w.target.Bin >= 0 {
		return o.stage == "" && bin(o.score) == w.target.Bin
	}
	return m.Partition == w.target.Partition
}

// acknowledged keeps what was picked of a batch, now that the broker has taken it.
func (r *recent) acknowledged(e *Engine, b *batch, now time.Time) {
	if len(b.picks) == 0 {
		return
	}
	for k := len(b.picks) - 1; k >= 0; k-- { // they were picked from the end
		p := b.picks[k]
		t := traceOf(e, b, p.record, p.row, now)
		w := p.watch
		w.mu.Lock()
		w.ring = append(w.ring, t)
		if over := len(w.ring) - KeepRecent; over > 0 {
			w.ring = slices.Delete(w.ring, 0, over)
		}
		w.mu.Unlock()
	}
}

// traceOf copies what is to be known of one record of an acknowledged batch.
func traceOf(e *Engine, b *batch, i int, row *features.Row, now time.Time) *trace {
	m, o := b.records[i], &b.outcomes[i]
	t := &trace{message: copied(m), size: len(m.Value), eventAt: o.at, row: row, score: o.score, stage: o.stage, reason: o.reason, settled: now,
		to: e.cfg.Predictions, toOffset: -1}
	if row != nil {
		t.entity, t.model = string(bytes.Clone(o.event.user)), b.model
	}
	if o.stage != "" {
		t.to = e.cfg.DeadLetters
	}
	t.toPlace.partition, t.toOffset = b.parcels.whereIs(&b.shelf[i])
	at := i
	for _, seg := range b.segments {
		if at < seg.n {
			t.taken = seg.taken
			break
		}
		at -= seg.n
	}
	return t
}

// copied is a record with bytes of its own: those of a fetched one are part of a whole answer of the broker.
func copied(m *sarama.ConsumerMessage) sarama.ConsumerMessage {
	out := *m
	out.Key, out.Value = bytes.Clone(m.Key[:min(len(m.Key), sampleBytes)]), bytes.Clone(m.Value[:min(len(m.Value), traceBytes)])
	out.Headers = nil
	for _, h := range m.Headers[:min(len(m.Headers), recordHeads)] {
		out.Headers = append(out.Headers, &sarama.RecordHeader{Key: bytes.Clone(h.Key[:min(len(h.Key), sampleBytes)]), Value: bytes.Clone(h.Value[:min(len(h.Value), sampleBytes)])})
	}
	return out
}

// fillWatched writes what is watched into a snapshot, and lets go of what nobody looks at any more.
func (e *Engine) fillWatched(s *Snapshot, now time.Time) {
	e.browser.fill(s, now)
	r := &e.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fillInspected(s, now)
	on := r.on.Load()
	if on == nil {
		return
	}
	left := slices.DeleteFunc(slices.Clone(*on), func(w *watch) bool { return now.UnixNano() > w.until.Load() })
	switch {
	case len(left) == 0:
		r.on.Store(nil)
	case len(left) < len(*on):
		r.on.Store(&left)
	}
	for _, w := range left {
		w.mu.Lock()
		out := WatchedRecords{Target: w.target, Since: w.since, Matched: w.matched}
		ring := slices.Clone(w.ring)
		w.mu.Unlock()
		slices.Reverse(ring)
		for _, t := range ring {
			if t.record == nil {
				t.record = e.describe(t)
				r.remember(t)
			}
			out.Records = append(out.Records, *t.record)
		}
		s.Watched = append(s.Watched, out)
	}
}

// remember keeps a record that is shown, so that it can be looked at when the newest have pushed it out.
func (r *recent) remember(t *trace) {
	if len(r.shown) < recalled {
		r.shown = append(r.shown, t)
		return
	}
	r.shown[r.next] = t
	r.next = (r.next + 1) % recalled
}

// recall is a record that was shown lately, nil when it was not, or is forgotten.
func (r *recent) recall(partition int32, offset int64) *Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.shown {
		if t.message.Partition == partition && t.message.Offset == offset {
			return t.record
		}
	}
	return nil
}
