package kafka

import (
	"slices"
	"testing"

	"github.com/IBM/sarama"
)

// TestAbortedSideBySide: two transactions of a partition ran side by side and were aborted; the one that began later
// ended first, and the broker lists it first.
func TestAbortedSideBySide(t *testing.T) {
	batch := func(offset, producer int64, control bool) *sarama.Records {
		b := &sarama.RecordBatch{FirstOffset: offset, ProducerID: producer, IsTransactional: true, Control: control, Records: []*sarama.Record{{}}}
		if control {
			b.Records[0].Key = []byte{0, 0, 0, 0} // version 0, abort
		}
		return &sarama.Records{RecordBatch: b}
	}
	block := &sarama.FetchResponseBlock{
		RecordsSet: []*sarama.Records{
			batch(0, 1, false), batch(1, 2, false), batch(2, 3, false), batch(3, 2, true), batch(4, 1, false), batch(5, 1, true), batch(6, 1, false),
		},
		AbortedTransactions: []*sarama.AbortedTransaction{{ProducerID: 2, FirstOffset: 1}, {ProducerID: 1, FirstOffset: 0}},
	}
	var got []int64
	next, more := hand(block, "t", 0, 0, 7, func(m *sarama.ConsumerMessage) bool {
		got = append(got, m.Offset)
		return true
	})
	if want := []int64{2, 6}; !slices.Equal(got, want) || next != 7 || !more {
		t.Errorf("records %d up to %d, want %d up to 7", got, next, want)
	}
}
