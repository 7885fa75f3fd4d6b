package pipeline

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/features"
	"weir/backend/model"
	"weir/backend/safego"
	"weir/backend/safetext"
)

// Bounds of what is shown of one record.
const (
	recordBytes   = 2048 // of its value
	recordFields  = 40
	fieldBytes    = 120
	recordHeads   = 40 // headers
	judgePatience = 500 * time.Millisecond
)

// Contracts is what the data products say of records. The pipeline knows no product; whoever makes it may.
type Contracts interface {
	// Masks tells whether the values of a field are masked in what is shown of a topic's records.
	Masks(topic, field string) bool
	// Judge tells which products judged one record by itself, and which of their rules it breaks.
	Judge(ctx context.Context, topic string, record []byte, arrived time.Time) (by []safetext.Text, broken []BrokenRule)
}

// BrokenRule is a rule of a data product that one record breaks by itself.
type BrokenRule struct {
	Product   safetext.Text // domain/name
	Rule      safetext.Text
	Column    safetext.Text
	What      safetext.Text // such as "null"
	Tolerated safetext.Text // how many such rows the product puts up with; empty: none
	Severity  string        // error, warning or info
}

// Record is one event and what became of it, safe to show: sensitive fields are masked. It is immutable.
type Record struct {
	Topic     safetext.Text
	Partition int32
	Offset    int64
	Key       safetext.Text
	Value     safetext.Text // at most 2 KiB
	Size      int           // bytes of the value
	Headers   []LetterHeader
	Fields    []Field // of the JSON object it is, as many as could be read, at most 40
	Entity    safetext.Text
	// Features are those it was scored with; nil when it did not come so far.
	Features   []FeatureUsed
	Model      safetext.Text // the version that scored it; empty when none did
	Prediction float64       // NaN without one
	Stage      string        // of a dead letter, else empty: decode, entity, features, score
	Reason     safetext.Text
	// To, ToPartition and ToOffset are where the prediction or dead letter was written; To is empty for a record that
	// was scored only to be looked at, ToOffset -1 where the broker did not say.
	To          safetext.Text
	ToPartition int32
	ToOffset    int64
	JudgedBy    []safetext.Text // the data products that judged it
	Broken      []BrokenRule    // the rules it breaks by itself
	// Unjudged says why no product judged it; empty when one did, or none is fed by the topic.
	Unjudged safetext.Text
	// Times: in the event itself, in the log, when it was taken from the broker, and when what became of it was
	// acknowledged. Zero where unknown.
	EventAt, WrittenAt, TakenAt, AcknowledgedAt time.Time
}

// Field is one field of a record.
type Field struct {
	Name, Value safetext.Text
	Masked      bool
}

// FeatureUsed is one feature a record was scored with.
type FeatureUsed struct {
	Name   safetext.Text
	Status features.Status
	Value  safetext.Text
	// Substitute is what the model was given in place of a value that is not there, by the policy on_missing.
	Substitute safetext.Text
	Cached     bool          // it was in the cache when the record was taken
	Age        time.Duration // how long it had been there; 0 where unknown
}

// Present tells whether the store has a value.
func (f *FeatureUsed) Present() bool { return f.Status == features.Present }

// trace is what is kept of a record on its way, until somebody wants to see it.
type trace struct {
	message  sarama.ConsumerMessage // its bytes are copies
	size     int                    // of the value
	entity   string
	eventAt  int64
	row      *features.Row // nil when it did not come so far
	model    *loadedModel
	score    float64
	stage    string
	reason   string
	to       string
	toPlace  place // topic is empty
	toOffset int64
	taken    time.Time
	settled  time.Time
	record   *Record // once it was asked for; guarded by recent.mu
}

// describe makes the record that is shown of a trace. It asks the contracts, which takes some tens of microseconds. A panic
// of theirs is not that of whoever takes a snapshot: of the record no more is shown then than where it is.
func (e *Engine) describe(t *trace) (r *Record) {
	p := safego.Call(func() { r = e.described(t) })
	if p == nil {
		return r
	}
	m := &t.message
	e.logger.Error("describe a record", "partition", m.Partition, "offset", m.Offset, "error", p)
	return &Record{
		Topic: safetext.Clean(m.Topic), Partition: m.Partition, Offset: m.Offset, Size: t.size, Prediction: math.NaN(), ToOffset: -1,
		Unjudged: safetext.Error(p), WrittenAt: m.Timestamp, TakenAt: t.taken, AcknowledgedAt: t.settled,
	}
}

func (e *Engine) described(t *trace) *Record {
	m := &t.message
	r := &Record{
		Topic: safetext.Clean(m.Topic), Partition: m.Partition, Offset: m.Offset, Key: e.shownKey(m),
		Value: e.shown(m.Topic, m.Value, recordBytes), Size: t.size, Headers: e.shownHeaders(m), Fields: e.fields(m),
		Prediction: math.NaN(), Stage: t.stage, Reason: safetext.Clean(limit(t.reason, 300)),
		To: safetext.Clean(t.to), ToPartition: t.toPlace.partition, ToOffset: t.toOffset,
		WrittenAt: m.Timestamp, TakenAt: t.taken, AcknowledgedAt: t.settled,
	}
	if t.eventAt != 0 {
		r.EventAt = time.Unix(0, t.eventAt)
	}
	if t.entity != "" {
		r.Entity, _ = e.maskedValue(m.Topic, e.cfg.Entity, []byte(t.entity), sampleBytes)
	}
	if t.model != nil {
		r.Features = e.featuresUsed(t)
	}
	if t.stage == "" {
		r.Prediction = t.score
	}
	if t.model != nil && t.stage != stageFeatures {
		r.Model = t.model.version
	}
	e.judge(r, t)
	return r
}

// judge asks the contracts about a record.
func (e *Engine) judge(r *Record, t *trace) {
	switch {
	case e.cfg.Contracts == nil:
	case len(t.message.Value) != t.size:
		r.Unjudged = safetext.Sprintf("only the first %d of its %d bytes were kept", len(t.message.Value), t.size)
	default:
		ctx, cancel := context.WithTimeout(context.Background(), judgePatience)
		defer cancel()
		arrived := t.taken
		if t.to == "" { // it is only looked at, maybe long after
			arrived = t.message.Timestamp
		}
		r.JudgedBy, r.Broken = e.cfg.Contracts.Judge(ctx, t.message.Topic, t.message.Value, arrived)
	}
}

// fields are the fields of a JSON object, as far as it can be read.
func (e *Engine) fields(m *sarama.ConsumerMessage) []Field {
	s := scanner{b: m.Value}
	if s.space(); s.peek() != '{' {
		return nil
	}
	var out []Field
	s.object(1, func(name, token []byte) {
		if len(out) == recordFields {
			return
		}
		plain := nameOf(append(append([]byte{'"'}, name...), '"'))
		value, masked := e.maskedValue(m.Topic, plain, token, fieldBytes)
		out = append(out, Field{safetext.Clean(limit(plain, fieldBytes)), value, masked})
	})
	return out
}

func (e *Engine) shownHeaders(m *sarama.ConsumerMessage) []LetterHeader {
	var out []LetterHeader
	for _, h := range m.Headers[:min(len(m.Headers), recordHeads)] {
		value := safetext.Bytes(h.Value, sampleBytes)
		if e.masks(e.cfg.Events, string(h.Key)) {
			value = safetext.Clean(maskSign)
		}
		out = append(out, LetterHeader{safetext.Bytes(h.Key, sampleBytes), value})
	}
	return out
}

// featuresUsed are the features of a row as the model saw them.
func (e *Engine) featuresUsed(t *trace) []FeatureUsed {
	columns := t.model.columns
	if t.row == nil || len(t.row.Values) != len(columns) {
		return nil
	}
	var age time.Duration
	cached := t.row.Fetched != 0 && t.row.Fetched < t.taken.UnixMilli()
	if cached {
		age = t.taken.Sub(time.UnixMilli(t.row.Fetched))
	}
	out := make([]FeatureUsed, len(columns))
	for i := range columns {
		out[i] = FeatureUsed{Name: t.model.features[i], Cached: cached, Age: age}
		e.fillFeature(&out[i], &t.row.Values[i], columns[i])
	}
	return out
}

func (e *Engine) fillFeature(f *FeatureUsed, v *features.Value, c model.Column) {
	f.Status = v.Status
	switch {
	case v.Status != features.Present:
	case e.masksFeature(c.Name):
		f.Value = safetext.Clean(maskSign)
	case v.IsText:
		f.Value = safetext.Clean(limit(v.Text, 100))
	case v.Text != "":
		f.Value = safetext.Sprintf("%s, encoded as %s", limit(v.Text, 100), number(v.Number))
	default:
		f.Value = safetext.Clean(number(v.Number))
	}
	if v.Status == features.Present && v.IsText == c.IsText {
		return
	}
	if x, why := e.substitute(v, c); why == "" {
		f.Substitute = safetext.Clean(strings.ToLower(number(x)))
	}
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
