package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/model"
	"weir/backend/safetext"
)

// Bounds of looking at one record.
const (
	askPatience  = 5 * time.Second // for all of it, and for each request
	maxInspected = 8
)

// Inspection is one record looked at on demand: what became of it, as far as this process remembers, and what would
// become of it now. The two may differ: features change, and so do models.
type Inspection struct {
	Partition int32
	Offset    int64
	At        time.Time     // when it was read from the broker
	Error     safetext.Text // why it could not be
	Then      *Record       // nil when it did not pass this process, or is forgotten
	Now       *Record       // nil with Error
}

// inspected is an inspection and until when snapshots carry it.
type inspected struct {
	Inspection
	until time.Time
}

// Inspect reads one record of the events topic from the broker and looks its features up and scores it as they are
// now, counting nothing and writing nowhere. The result is in the snapshots of the next minute, an error too.
func (e *Engine) Inspect(ctx context.Context, partition int32, offset int64) (*Inspection, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	i := Inspection{Partition: partition, Offset: offset, Then: e.recent.recall(partition, offset)}
	m, err := e.fetchRecord(ctx, partition, offset)
	i.At, i.Error = time.Now(), safetext.Error(err)
	if err == nil {
		i.Now = e.describe(e.scoreNow(ctx, m))
	}
	e.recent.keepInspected(i)
	return &i, err
}

// keepInspected carries an inspection in the next snapshots. What happened then, once known, stays.
func (r *recent) keepInspected(i Inspection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(r.inspected), func(x inspected) bool {
		same := x.Partition == i.Partition && x.Offset == i.Offset
		if same && i.Then == nil {
			i.Then = x.Then
		}
		return same
	})
	list = append(list, inspected{i, i.At.Add(watchFor)})
	r.inspected = list[max(len(list)-maxInspected, 0):]
}

// fillInspected writes what is inspected into a snapshot. The caller holds recent.mu.
func (r *recent) fillInspected(s *Snapshot, now time.Time) {
	r.inspected = slices.DeleteFunc(r.inspected, func(x inspected) bool { return now.After(x.until) })
	for _, x := range r.inspected {
		s.Inspected = append(s.Inspected, x.Inspection)
	}
}

func (e *Engine) fetchRecord(ctx context.Context, partition int32, offset int64) (*sarama.ConsumerMessage, error) {
	admin, err := kafka.NewAdmin(e.cfg.Cluster.WithTimeout(askPatience))
	if err != nil {
		return nil, err
	}
	defer func() { _ = admin.Close() }()
	partitions, err := admin.Partitions(e.cfg.Events)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(partitions, partition) {
		return nil, fmt.Errorf("%s has the partitions 0 to %d, not %d", e.cfg.Events, len(partitions)-1, partition)
	}
	ends, err := admin.Watermarks(ctx, e.cfg.Events, []int32{partition})
	if err != nil {
		return nil, err
	}
	switch at := ends[partition]; {
	case offset < at.Oldest:
		return nil, fmt.Errorf("%s/%d/%d is gone: the oldest record kept is at offset %d", e.cfg.Events, partition, offset, at.Oldest)
	case offset >= at.Newest:
		return nil, fmt.Errorf("%s/%d/%d is not there yet: the next record will be at offset %d", e.cfg.Events, partition, offset, at.Newest)
	}
	var found *sarama.ConsumerMessage
	err = admin.ReadSmall(ctx, e.cfg.Events, partition, offset, offset+1, func(m *sarama.ConsumerMessage) bool {
		found = m
		return false
	})
	if err == nil && found == nil {
		err = fmt.Errorf("%s/%d holds no record at offset %d: it was compacted away, or a transaction's end stands there", e.cfg.Events, partition, offset)
	}
	return found, err
}

// scoreNow does with one record what the pipeline does with all, and sends nothing.
func (e *Engine) scoreNow(ctx context.Context, m *sarama.ConsumerMessage) *trace {
	t := &trace{message: *m, size: len(m.Value), taken: time.Now(), score: math.NaN(), toOffset: -1}
	var d decoded
	if f := decode(m.Value, e.cfg.Entity, &d); f.code != noFault {
		t.stage, t.reason = f.stage(), f.reason(e.cfg.Entity)
		return t
	}
	t.eventAt, t.entity = d.at, string(d.user)
	rows := make([]*features.Row, 1)
	if err := e.cfg.Store.Fetch(ctx, []features.Entity{d.entity}, rows); err != nil {
		t.stage, t.reason = stageFeatures, err.Error()
		return t
	}
	t.row, t.model = rows[0], e.model.Load()
	if t.model == nil {
		t.stage, t.reason = stageScore, "no model is loaded yet"
		return t
	}
	frame, err := e.frameOf(t.row, t.model)
	if err != nil {
		t.stage, t.reason = stageFeatures, err.Error()
		return t
	}
	out := make([]float64, 1)
	scorer, err := t.model.model.Bind(t.model.columns)
	if err == nil {
		err = scorer.Score(ctx, frame, out)
	}
	switch {
	case err != nil:
		t.stage, t.reason = stageScore, err.Error()
	case !(out[0] >= 0 && out[0] <= 1):
		t.stage, t.reason = stageScore, fmt.Sprintf("the model says %g, which is no probability", out[0])
	}
	t.score = out[0]
	return t
}

// frameOf is a frame of one row.
func (e *Engine) frameOf(row *features.Row, m *loadedModel) (*model.Frame, error) {
	if row == nil || len(row.Values) != len(m.columns) {
		return nil, errors.New("the feature store gave no row")
	}
	f := &model.Frame{Columns: m.columns, Rows: 1}
	for i := range row.Values {
		v := &row.Values[i]
		x, text := v.Number, v.Text
		if v.Status != features.Present || v.IsText != m.columns[i].IsText {
			substitute, why := e.substitute(v, m.columns[i])
			if why != "" {
				return nil, errors.New(why)
			}
			x, text = substitute, ""
		}
		f.Numbers = append(f.Numbers, x)
		if m.hasText {
			f.Strings = append(f.Strings, text)
		}
	}
	return f, nil
}
