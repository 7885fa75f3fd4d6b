package kafka

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// fetchBytes is how much one request of Read asks for; a larger record comes all the same.
const fetchBytes = 1 << 20

// Read hands the committed records of one partition with offsets in [from, to) to each, in order, and returns when the
// last one was handed over or each returned false. Unlike a consumer it knows where the end is even when the last
// offsets hold no record: transactions end with markers, aborted ones leave holes. A record is each's to keep.
func (a *Admin) Read(ctx context.Context, topic string, partition int32, from, to int64, each func(*sarama.ConsumerMessage) bool) error {
	return a.read(ctx, topic, partition, from, to, fetchBytes, each)
}

// ReadSmall is Read by one record batch at a time: no answer reaches a batch behind to, which may be one that cannot be
// read.
func (a *Admin) ReadSmall(ctx context.Context, topic string, partition int32, from, to int64, each func(*sarama.ConsumerMessage) bool) error {
	return a.read(ctx, topic, partition, from, to, 1, each)
}

func (a *Admin) read(ctx context.Context, topic string, partition int32, from, to int64, size int32, each func(*sarama.ConsumerMessage) bool) error {
	for from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		block, err := a.fetch(topic, partition, from, size)
		if err != nil {
			return err
		}
		next, more := hand(block, topic, partition, from, to, each)
		if !more {
			return nil
		}
		switch {
		case next > from:
			from = next
		case block.Partial: // the next batch is larger than we asked for
			if size >= sarama.MaxResponseSize/2 {
				return fmt.Errorf("read %s/%d at offset %d: the record batch exceeds %d bytes", topic, partition, from, size)
			}
			size *= 2
		case block.LastStableOffset >= 0 && from >= block.LastStableOffset:
			return nil // the rest belongs to a transaction that is open
		}
	}
	return nil
}

// fetch asks for one block of records.
func (a *Admin) fetch(topic string, partition int32, from int64, size int32) (*sarama.FetchResponseBlock, error) {
	return ask(a, func() (*sarama.FetchResponseBlock, error) { return a.fetchFrom(topic, partition, from, size) })
}

func (a *Admin) fetchFrom(topic string, partition int32, from int64, size int32) (*sarama.FetchResponseBlock, error) {
	broker, err := a.client.Leader(topic, partition)
	if err != nil {
		return nil, fmt.Errorf("find the leader of %s/%d: %w", topic, partition, err)
	}
	request := &sarama.FetchRequest{
		Version: 11, MaxWaitTime: int32(100 * time.Millisecond / time.Millisecond), MinBytes: 1, MaxBytes: size,
		Isolation: sarama.ReadCommitted, SessionEpoch: -1,
	}
	request.AddBlock(topic, partition, from, size, -1)
	response, err := broker.Fetch(request)
	if err != nil {
		if IsUnreadable(err) {
			err = fmt.Errorf("%w: %w", ErrUnreadable, err)
		} else {
			_ = broker.Close() // it is opened again by the next Leader
		}
		return nil, fmt.Errorf("read %s/%d at offset %d: %w", topic, partition, from, err)
	}
	block := response.GetBlock(topic, partition)
	if block == nil {
		return nil, fmt.Errorf("read %s/%d at offset %d: the broker answered without it", topic, partition, from)
	}
	if block.Err != sarama.ErrNoError {
		_ = a.client.RefreshMetadata(topic)
		return nil, fmt.Errorf("read %s/%d at offset %d: %w", topic, partition, from, block.Err)
	}
	return block, nil
}

// ErrUnreadable is wrapped when the bytes of a record batch cannot be read: it inflates beyond MaxDecompressed, or it is
// damaged. Asking again gives the same.
var ErrUnreadable = errors.New("the record batch cannot be read")

// IsUnreadable tells whether an error, of this package or of sarama, is about a record batch that cannot be read.
func IsUnreadable(err error) bool {
	var decoding sarama.PacketDecodingError
	return errors.Is(err, ErrUnreadable) || errors.Is(err, sarama.ErrDecompressedBatchTooLarge) || errors.As(err, &decoding)
}

// FirstRecord is the offset of the first committed record in [from, to), and to when there is none: transactions end
// with markers that take an offset each, and aborted or compacted records leave theirs behind. It gives up, with the
// offset it got to, after limit requests.
func (a *Admin) FirstRecord(ctx context.Context, topic string, partition int32, from, to int64, limit int) (int64, error) {
	for ; from < to && limit > 0; limit-- {
		if err := ctx.Err(); err != nil {
			return from, err
		}
		block, err := a.fetch(topic, partition, from, fetchBytes)
		if err != nil {
			return from, err
		}
		found := int64(-1)
		next, _ := hand(block, topic, partition, from, to, func(m *sarama.ConsumerMessage) bool {
			found = m.Offset
			return false
		})
		if found >= 0 {
			return found, nil
		}
		if next <= from { // an open transaction, or nothing more
			return from, nil
		}
		from = min(next, to)
	}
	return from, nil
}

// HasRecord tells whether a consumer that asks for committed records would be given one with an offset in [from, to),
// looking at the first few megabytes. It would not where the rest is markers, or belongs to a transaction that is open.
func (a *Admin) HasRecord(ctx context.Context, topic string, partition int32, from, to int64) (bool, error) {
	const requests = 4
	for range requests {
		if from >= to {
			break
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		block, err := a.fetch(topic, partition, from, fetchBytes)
		if err != nil {
			return false, err
		}
		found := false
		next, _ := hand(block, topic, partition, from, to, func(*sarama.ConsumerMessage) bool {
			found = true
			return false
		})
		if found || block.Partial {
			return true, nil
		}
		if next <= from {
			break
		}
		from = next
	}
	return false, nil
}

// Unreadable looks in [from, to) of a partition for the first record batch that cannot be read and tells its offsets,
// [first, next). Where all can be read both are to.
func (a *Admin) Unreadable(ctx context.Context, topic string, partition int32, from, to int64) (first, next int64, why error, err error) {
	size := int32(fetchBytes)
	for first = from; first < to; {
		if err := ctx.Err(); err != nil {
			return 0, 0, nil, err
		}
		block, err := a.fetch(topic, partition, first, size)
		if errors.Is(err, ErrUnreadable) && size > 1 {
			size = 1 // it is among these: from here on one batch at a time, whatever its size
			continue
		}
		if errors.Is(err, ErrUnreadable) {
			why = err
			break
		}
		if err != nil {
			return 0, 0, nil, err
		}
		after, _ := hand(block, topic, partition, first, first, nil)
		if after <= first { // nothing is there
			return to, to, nil, nil
		}
		first = after
	}
	if why == nil {
		return to, to, nil, nil
	}
	// Every offset of the batch gives the same error: look for where that ends.
	low, high := first, to // low is unreadable, high is not, or is the end
	for low+1 < high {
		middle := low + (high-low)/2
		_, err := a.fetch(topic, partition, middle, 1)
		switch {
		case errors.Is(err, ErrUnreadable):
			low = middle
		case err != nil:
			return 0, 0, nil, err
		default:
			high = middle
		}
	}
	return first, high, why, nil
}

// hand gives each the records of one answer that are committed and in range. next is the offset to go on from.
func hand(block *sarama.FetchResponseBlock, topic string, partition int32, from, to int64, each func(*sarama.ConsumerMessage) bool) (next int64, more bool) {
	next = from
	aborted := make(map[int64]bool)
	// The broker lists them as they ended: of two that ran side by side, the one that began later may come first.
	pending := slices.SortedFunc(slices.Values(block.AbortedTransactions), func(a, b *sarama.AbortedTransaction) int {
		return cmp.Compare(a.FirstOffset, b.FirstOffset)
	})
	for _, records := range block.RecordsSet {
		b := records.RecordBatch
		if b == nil || b.PartialTrailingRecord {
			break
		}
		for len(pending) > 0 && pending[0].FirstOffset <= b.LastOffset() {
			aborted[pending[0].ProducerID] = true
			pending = pending[1:]
		}
		next = b.LastOffset() + 1
		if b.Control {
			if isAbort(b) {
				delete(aborted, b.ProducerID)
			}
			continue
		}
		if b.IsTransactional && aborted[b.ProducerID] {
			continue
		}
		for _, r := range b.Records {
			offset := b.FirstOffset + r.OffsetDelta
			if offset < from || offset >= to {
				continue
			}
			at := b.FirstTimestamp.Add(r.TimestampDelta)
			if b.LogAppendTime {
				at = b.MaxTimestamp
			}
			m := &sarama.ConsumerMessage{Topic: topic, Partition: partition, Offset: offset, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: at}
			if !each(m) {
				return next, false
			}
		}
	}
	return next, true
}

// isAbort reads the key of a control record: a version and a type, 0 for abort.
func isAbort(b *sarama.RecordBatch) bool {
	return len(b.Records) > 0 && len(b.Records[0].Key) >= 4 && binary.BigEndian.Uint16(b.Records[0].Key[2:]) == 0
}
