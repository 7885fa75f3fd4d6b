package pipeline

import (
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
	HeaderCut       = "weir.cut"  // the value's length, if the broker took only its beginning
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

// deadLetter is what a snapshot shows of a dead letter, its sensitive fields masked.
func (e *Engine) deadLetter(in *sarama.ConsumerMessage, o *outcome, at time.Time) DeadLetter {
	return DeadLetter{
		At: at, Stage: o.stage, Reason: safetext.Clean(limit(o.reason, 300)), Topic: safetext.Clean(in.Topic),
		Partition: in.Partition, Offset: in.Offset, Size: len(in.Value), Sample: e.shown(in.Topic, in.Value, sampleBytes),
	}
}
