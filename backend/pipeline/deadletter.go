package pipeline

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/safetext"
)

// The stages a record can fail in, as the header weir.stage and DeadLetter.Stage name them.
const (
	stageDecode   = "decode"
	stageEntity   = "entity"
	stageFeatures = "features"
	stageScore    = "score"
)

// The headers of a dead letter. The record's own headers stay before them, so that of a letter that was replayed and
// failed again the last of each name tells of the last failure.
const (
	HeaderStage     = "weir.stage"
	HeaderReason    = "weir.reason"
	HeaderTopic     = "weir.topic"
	HeaderPartition = "weir.partition"
	HeaderOffset    = "weir.offset"
	HeaderTime      = "weir.time" // RFC 3339, UTC: when it was set aside
	HeaderCut       = "weir.cut"  // the value's length, if the broker did not take the letter whole
)

// sampleBytes is how much of a dead letter's value a snapshot shows.
const sampleBytes = 200

func deadHeaders(in *sarama.ConsumerMessage, o *outcome, topic string, now time.Time) []*sarama.RecordHeader {
	out := make([]*sarama.RecordHeader, 0, len(in.Headers)+6)
	out = append(out, in.Headers...)
	own := [...]sarama.RecordHeader{
		{Key: []byte(HeaderStage), Value: []byte(o.stage)},
		{Key: []byte(HeaderReason), Value: []byte(o.reason)},
		{Key: []byte(HeaderTopic), Value: []byte(topic)},
		{Key: []byte(HeaderPartition), Value: strconv.AppendInt(nil, int64(in.Partition), 10)},
		{Key: []byte(HeaderOffset), Value: strconv.AppendInt(nil, in.Offset, 10)},
		{Key: []byte(HeaderTime), Value: now.UTC().AppendFormat(nil, time.RFC3339Nano)},
	}
	for i := range own {
		out = append(out, &own[i])
	}
	return out
}

// letterHeaders are those of a dead letter that tell of its last failure and of its replays; the others are the record's
// own, or tell of failures before. Ours are short.
func letterHeaders(all []*sarama.RecordHeader) []*sarama.RecordHeader {
	const long = 1 << 10
	var out []*sarama.RecordHeader
	for i, h := range all {
		switch string(h.Key) {
		case HeaderStage, HeaderReason, HeaderTopic, HeaderPartition, HeaderOffset, HeaderTime, HeaderCut, HeaderReplays, HeaderReplayOf:
			last := !slices.ContainsFunc(all[i+1:], func(o *sarama.RecordHeader) bool { return bytes.Equal(o.Key, h.Key) })
			if last && len(h.Value) <= long {
				out = append(out, h)
			}
		}
	}
	return out
}

// isCut tells whether a dead letter is not whole.
func isCut(headers []*sarama.RecordHeader) bool {
	return slices.ContainsFunc(headers, func(h *sarama.RecordHeader) bool { return string(h.Key) == HeaderCut })
}

// deadLetter is what a snapshot shows of a dead letter, its sensitive fields masked.
func (e *Engine) deadLetter(in *sarama.ConsumerMessage, o *outcome, at time.Time) DeadLetter {
	return DeadLetter{
		At: at, Stage: o.stage, Reason: safetext.Clean(limit(o.reason, 300)), Topic: safetext.Clean(in.Topic),
		Partition: in.Partition, Offset: in.Offset, Size: len(in.Value), Sample: e.shown(in.Topic, in.Value, sampleBytes),
	}
}
