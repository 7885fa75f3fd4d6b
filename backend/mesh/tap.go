package mesh

import (
	"runtime/debug"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// The pipeline's records are fetched and unpacked once: it shows each batch to the engine (Batch), which judges it at
// once. A feed starts with readers of its own. A partition's reader ends when the pipeline has kept up with it for a
// while, and another one starts where the pipeline left off as soon as the pipeline stands still though there are
// records, or lies far behind. Offsets tell which records were judged already, so none is missed or judged twice.

// pace says how soon a feed changes hands.
type pace struct {
	probe  time.Duration // how often it is asked whether there are records the pipeline does not bring
	silent time.Duration // without a record of the topic from the pipeline, though there are some, a reader starts
	idle   time.Duration // or without one of the partition: another member of the group may have it now
	behind time.Duration // or when the pipeline brings records, but this late
	fresh  int           // probes in a row in which the pipeline keeps up, before the reader ends
}

var defaultPace = pace{probe: 500 * time.Millisecond, silent: 500 * time.Millisecond, idle: 2 * time.Second, behind: 30 * time.Second, fresh: 6}

const (
	maxFresh = 600 // probes that are wanted after it fell back again and again
	maxMarks = 128
	maxAhead = 256
)

// tapped is what is known of the records of one partition that the pipeline brings.
type tapped struct {
	feeds bool      // nobody else reads the partition
	next  int64     // offset after the newest record it ever brought
	at    time.Time // when it did
	moved time.Time // when what it brought last followed on what was judged
	fresh int       // probes in a row in which it kept up with the reader
	need  int       // how many are wanted; doubles each time it falls back
	prior int64     // what was judged at the last probe
	marks []mark    // ends of the partition that were not judged when they were seen, the oldest first
}

// mark is the end of a partition at a moment.
type mark struct {
	end int64
	at  time.Time
}

// Batch judges records of a topic that somebody else reads anyway, by the products that topic feeds. They are of one
// partition, in their order, and all there are from the offset from on, so that offsets without a record (transactions
// leave such) are no gap. Those judged already, and those that do not follow on what was judged, are left to the feed's
// own readers. It keeps no record, and a panic of the judge's is not the caller's.
func (e *Engine) Batch(topic string, from int64, records []*sarama.ConsumerMessage) {
	products := e.onTopic.Load()
	if products == nil || e.tapFailed.Load() {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			e.tapFailed.Store(true) // the readers go on, where the supervisor sees what happens
			e.config.Logger.Error("judging the pipeline's records", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	for _, p := range (*products)[topic] {
		e.tap(p, topic, from, records)
	}
}

// tap judges a run of one partition's records by one product.
func (e *Engine) tap(p *live, topic string, from int64, records []*sarama.ConsumerMessage) {
	if e.schemas != nil && slices.ContainsFunc(records, func(m *sarama.ConsumerMessage) bool { return framed(m.Value) }) {
		return // the schema registry may have to be waited for
	}
	id, last := records[0].Partition, records[len(records)-1].Offset
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.feed
	f.mu.Lock()
	part := f.parts[id]
	if part == nil || f.consumer == nil || f.topic != topic || f.generation != p.generation {
		f.mu.Unlock()
		return
	}
	now := time.Now()
	part.tap.next, part.tap.at, f.tapAt = max(part.tap.next, last+1), now, now
	// The pipeline scores batches side by side, so that one may overtake another. While a reader runs, that is no matter.
	out := from > part.next && (!part.tap.feeds || len(part.ahead) >= maxAhead)
	end := part.target
	if len(part.tap.marks) > 0 && now.Sub(part.tap.marks[0].at) > time.Second {
		end = last + 1 // it lies behind: the records' own times tell when they came
	}
	f.mu.Unlock()
	if out || last < part.next {
		return
	}
	p.judgeRecords(part, id, records, nil, end, now)
	f.mu.Lock()
	defer f.mu.Unlock()
	if part.judged(from, last) {
		part.tap.moved = now
	}
}

// probeTaps ends a feed's readers where the pipeline brings their records. It tells whether any partition needs a reader
// again.
func (e *Engine) probeTaps(client sarama.Client, p *live, now time.Time) (wanted bool) {
	f := &p.feed
	topic, tapped, spare := f.handOver(now, e.pace)
	for _, r := range spare {
		r.stop()
	}
	for _, id := range tapped {
		end, err := client.GetOffset(topic, id, sarama.OffsetNewest)
		wanted = f.takeBack(id, end, err != nil, now, e.pace) || wanted
	}
	return wanted
}

// handOver gives the partitions that the pipeline brings already, and the readers that are no longer needed from now on.
func (f *feed) handOver(now time.Time, by pace) (topic string, tapped []int32, spare []*reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, part := range f.parts {
		if part.tap.feeds {
			tapped = append(tapped, id)
		} else if r := part.tap.keepsUp(part, now, by); r != nil {
			part.tap.feeds, part.tap.marks, part.tap.moved, part.reader = true, nil, now, nil
			spare = append(spare, r)
		}
	}
	return f.topic, tapped, spare
}

// takeBack tells whether a partition that the pipeline brings needs a reader again, end being its end if that is known.
func (f *feed) takeBack(id int32, end int64, unknown bool, now time.Time, by pace) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	part := f.parts[id]
	if !part.tap.feeds || !unknown && !part.tap.fallsBehind(part, end, f.tapAt, now, by) {
		return false
	}
	part.tap.feeds = false
	return true
}

// keepsUp gives the reader that is no longer needed.
func (t *tapped) keepsUp(part *part, now time.Time, by pace) *reader {
	t.need = max(t.need, by.fresh)
	switch {
	case part.reader == nil || now.Sub(t.at) > 2*by.probe:
		t.fresh = 0
	case t.next >= t.prior: // it brought all that had been judged a moment ago
		t.fresh++
	default:
		t.fresh = 0
	}
	t.prior = part.next
	if t.fresh < t.need || part.next < max(part.target, t.next) { // what it brings next follows on what was judged
		return nil
	}
	t.fresh = 0
	return part.reader
}

// fallsBehind tells whether the partition needs a reader of its own, end being the
// partition's end now and anyAt when the pipeline last brought a record of the topic.
func (t *tapped) fallsBehind(part *part, end int64, anyAt, now time.Time, by pace) bool {
	next := part.next
	for len(t.marks) > 0 && t.marks[0].end <= next {
		t.marks = slices.Delete(t.marks, 0, 1)
	}
	if end > next && len(t.marks) < maxMarks {
		t.marks = append(t.marks, mark{end, now})
	}
	age := time.Duration(0)
	if len(t.marks) > 0 {
		age = now.Sub(t.marks[0].at)
	}
	silent := age >= by.silent && now.Sub(anyAt) >= by.silent || age >= by.idle && now.Sub(t.at) >= by.idle
	gap := len(part.ahead) > 0 && now.Sub(t.moved) >= by.idle/2 // what lies between does not come
	if gap || silent || age > by.behind {
		t.need = min(2*t.need, maxFresh)
		return true
	}
	return false
}

// shared tells whether the pipeline brings the records of all partitions, and how many it has yet to bring, as far as that
// has been so for a second.
func (f *feed) shared(now time.Time) (all bool, behind int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all = len(f.parts) > 0
	for _, p := range f.parts {
		all = all && p.tap.feeds
		if marks := p.tap.marks; p.tap.feeds && len(marks) > 0 && now.Sub(marks[0].at) > time.Second {
			behind += max(0, marks[len(marks)-1].end-p.next)
		}
	}
	return all, behind
}

// tapping tells whether the pipeline brings the records of any partition.
func (f *feed) tapping(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.parts {
		if p.tap.feeds || p.tap.fresh > 0 || now.Sub(p.tap.at) < 2*probeEvery {
			return true
		}
	}
	return false
}
