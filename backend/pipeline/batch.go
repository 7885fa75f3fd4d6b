package pipeline

import (
	"time"

	"github.com/IBM/sarama"
)

// batch is one unit of work on its way from the claims to the broker. Batches are used again: everything in one grows
// to the size it needs and stays.
type batch struct {
	records  []*sarama.ConsumerMessage
	segments []segment
	outcomes []outcome // one a record
	bytes    int       // of the records

	arena   []byte          // the predictions' JSON
	shelf   []sarama.Record // what is sent, one a record
	parcels parcels
	scoring time.Duration // spent on scoring
	marks   marks
	picks   []pick       // the records somebody looks at
	model   *loadedModel // that scored it; nil when there was nothing to score

	ready chan struct{} // holds one token when scored
	ok    bool          // scored; false: given up, nobody wants it any more
}

// marks are when a batch passed the stages of its way: each stage lasts from the mark before to its own.
type marks [stages]time.Time

// The stages of a batch's way.
const (
	collected = iota // the collector let go of it
	begun            // a scorer took it up
	scored           // its predictions are ready to be sent
	sending          // the batches before it are acknowledged
	sent             // the broker has acknowledged all of it
	stages
)

// segment is a run of one claim's records in a batch.
type segment struct {
	claim *claim
	n     int
	from  int64     // the offset after the claim's record before
	next  int64     // the offset after its last record
	taken time.Time // from the broker
}

// outcome is what became of one record: a prediction, or a dead letter when stage is set.
type outcome struct {
	event  decoded
	at     int64 // the event's own time, nanoseconds since 1970; 0 when it has none
	score  float64
	stage  string
	reason string
}

func newBatch() *batch { return &batch{ready: make(chan struct{}, 1)} }

// room is how many of some records the batch takes, up to hard in all, and counts their bytes.
func (b *batch) room(records []*sarama.ConsumerMessage, hard int) int {
	n := min(hard-len(b.records), len(records))
	for i, r := range records[:n] {
		if b.bytes >= batchBytes {
			return i
		}
		b.bytes += sizeOf(r)
	}
	return n
}

func sizeOf(m *sarama.ConsumerMessage) int { return len(m.Key) + len(m.Value) }

// add appends records of one claim.
func (b *batch) add(c *claim, records []*sarama.ConsumerMessage, taken time.Time) {
	b.records = append(b.records, records...)
	from, next := c.collected, records[len(records)-1].Offset+1
	if from < 0 { // the group had no offset
		from = records[0].Offset
	}
	c.collected = next
	b.segments = append(b.segments, segment{c, len(records), from, next, taken})
}

// offsets are what to commit once the batch is acknowledged.
func (b *batch) offsets() map[string][]*sarama.PartitionOffsetMetadata {
	latest := make(map[*claim]int64, 8)
	for _, seg := range b.segments {
		latest[seg.claim] = max(latest[seg.claim], seg.next)
	}
	out := make(map[string][]*sarama.PartitionOffsetMetadata, 1)
	none := ""
	for c, next := range latest {
		out[c.topic] = append(out[c.topic], &sarama.PartitionOffsetMetadata{Partition: c.partition, Offset: next, LeaderEpoch: -1, Metadata: &none})
	}
	return out
}

// reset empties the batch for its next use, letting go of the records.
func (b *batch) reset() {
	clear(b.records)
	clear(b.segments)
	clear(b.outcomes)
	clear(b.shelf)
	b.records, b.segments, b.outcomes, b.shelf = b.records[:0], b.segments[:0], b.outcomes[:0], b.shelf[:0]
	b.arena = b.arena[:0]
	b.parcels.reset()
	clear(b.picks)
	b.picks, b.model = b.picks[:0], nil
	b.scoring, b.bytes, b.ok = 0, 0, false
}
