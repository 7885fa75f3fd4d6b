package pipeline

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"weir/backend/features"
	"weir/backend/model"
)

// scorer turns the records of a batch into outcomes and those into what is sent. One goroutine owns it.
type scorer struct {
	f *flow

	model  *loadedModel // what scorer is bound to
	scorer model.Scorer
	ends   suffixes

	entities []features.Entity
	rows     []*features.Row
	at       []int32 // entities[i] and rows[i] belong to record at[i]; then frame row i
	frame    model.Frame
	scores   []float64
}

// run is false when the batch was given up.
func (s *scorer) run(b *batch) bool {
	e := s.f.e
	if e.cfg.Tap != nil {
		rest := b.records
		for _, seg := range b.segments {
			e.cfg.Tap.Batch(e.cfg.Events, seg.from, rest[:seg.n])
			rest = rest[seg.n:]
		}
	}
	s.decode(b)
	if len(s.entities) > 0 {
		if !s.fetch(b) {
			return false
		}
		if err := s.bind(e.model.Load()); err != nil { // cannot be: it was bound when it was loaded
			e.logger.Error("bind the model", "error", err)
			return false
		}
		b.model = s.model
		s.fill(b)
		if !s.score(b) {
			return false
		}
	}
	s.pack(b)
	e.recent.scored(s, b)
	return true
}

// decode reads the events and lists the entities to look up.
func (s *scorer) decode(b *batch) {
	clear(s.entities)
	s.entities, s.at = s.entities[:0], s.at[:0]
	if cap(b.outcomes) < len(b.records) {
		b.outcomes = make([]outcome, len(b.records), max(len(b.records), 2*cap(b.outcomes)))
	} else {
		b.outcomes = b.outcomes[:len(b.records)]
	}
	entity := s.f.e.cfg.Entity
	for i, r := range b.records {
		o := &b.outcomes[i]
		if f := decode(r.Value, entity, &o.event); f.code != noFault {
			o.stage, o.reason = f.stage(), f.reason(entity)
			continue
		}
		o.at = o.event.at
		s.entities = append(s.entities, o.event.entity)
		s.at = append(s.at, int32(i))
	}
}

// fetch looks up the features, for as long as it takes.
func (s *scorer) fetch(b *batch) bool {
	if cap(s.rows) < len(s.entities) {
		s.rows = make([]*features.Row, len(s.entities), 2*len(s.entities))
	}
	s.rows = s.rows[:len(s.entities)]
	e := s.f.e
	ok := s.f.persist(b, holdFeatures, func() error {
		clear(s.rows)
		err := e.cfg.Store.Fetch(s.f.ctx, s.entities, s.rows)
		if err != nil && !errors.Is(err, features.ErrUnavailable) && !errors.Is(err, features.ErrContract) && !errors.Is(err, features.ErrConfiguration) {
			return fmt.Errorf("the feature store is away: %w", err)
		}
		return err // says itself what is the matter
	})
	return ok
}

// bind makes the scorer of a model that was swapped in.
func (s *scorer) bind(m *loadedModel) error {
	if s.model == m {
		return nil
	}
	bound, err := m.model.Bind(m.columns)
	if err != nil {
		return err
	}
	s.model, s.scorer = m, bound
	s.frame.Columns = m.columns
	return nil
}

// fill makes frame rows of the features, and dead letters of the records whose features do not do.
func (s *scorer) fill(b *batch) {
	columns := s.frame.Columns
	s.frame.Numbers = s.frame.Numbers[:0]
	s.frame.Strings = s.frame.Strings[:0]
	kept, missing := s.at[:0], uint64(0)
	for i, row := range s.rows {
		o := &b.outcomes[s.at[i]]
		from := len(s.frame.Numbers)
		if row == nil || len(row.Values) != len(columns) {
			o.stage, o.reason = stageFeatures, "the feature store gave no row"
			continue
		}
		for c := range row.Values {
			v := &row.Values[c]
			if v.Status == features.Present && v.IsText == columns[c].IsText {
				s.frame.Numbers = append(s.frame.Numbers, v.Number)
				if s.model.hasText {
					s.frame.Strings = append(s.frame.Strings, v.Text)
				}
				continue
			}
			if v.Status != features.Present {
				missing++
			}
			substitute, reason := s.f.e.substitute(v, columns[c])
			if reason != "" {
				o.stage, o.reason = stageFeatures, reason
				break
			}
			s.frame.Numbers = append(s.frame.Numbers, substitute)
			if s.model.hasText {
				s.frame.Strings = append(s.frame.Strings, "")
			}
		}
		if o.stage != "" { // take back the part of the row that was filled
			s.frame.Numbers = s.frame.Numbers[:from]
			s.frame.Strings = s.frame.Strings[:min(from, len(s.frame.Strings))]
			continue
		}
		kept = append(kept, s.at[i])
	}
	s.at = kept
	s.frame.Rows = len(kept)
	if !s.model.hasText {
		s.frame.Strings = nil
	}
	if missing > 0 {
		s.f.e.stats.missing.Add(missing)
	}
}

// substitute is what stands in for a value the model cannot be given, by the policy on_missing; or why nothing does. That
// becomes a header in the dead-letter topic, which nobody masks: it tells of a value's type, never the value.
func (e *Engine) substitute(v *features.Value, c model.Column) (float64, string) {
	if v.Status == features.Present {
		if v.IsText {
			return 0, c.Name + " is text, the model wants a number"
		}
		return 0, c.Name + " is a number, the model wants text"
	}
	if !c.IsText {
		switch e.cfg.OnMissing {
		case MissingDefault:
			if d, ok := e.cfg.Defaults[c.Name]; ok {
				return d, ""
			}
		case MissingNaN:
			return math.NaN(), ""
		}
	}
	return 0, c.Name + " is " + v.Status.String()
}

// score asks the model, for as long as it takes.
func (s *scorer) score(b *batch) bool {
	n := s.frame.Rows
	if n == 0 {
		return true
	}
	if cap(s.scores) < n {
		s.scores = make([]float64, n, 2*n)
	}
	s.scores = s.scores[:n]
	begun := time.Now()
	ok := s.f.persist(b, holdModel, func() error {
		if err := s.scorer.Score(s.f.ctx, &s.frame, s.scores); err != nil {
			return fmt.Errorf("the model is away: %w", err)
		}
		return nil
	})
	if !ok {
		return false
	}
	b.scoring = time.Since(begun)
	for i, p := range s.scores {
		o := &b.outcomes[s.at[i]]
		o.score = p
		switch {
		case math.IsNaN(p):
			o.stage, o.reason = stageScore, "the model cannot score these features"
		case p < 0 || p > 1:
			o.stage, o.reason = stageScore, fmt.Sprintf("the model says %g, which is no probability", p)
		}
	}
	return true
}

// pack writes predictions and dead letters into the batch's parcels.
func (s *scorer) pack(b *batch) {
	e := s.f.e
	now := time.Now()
	suffix := s.suffix()
	if cap(b.shelf) < len(b.records) {
		b.shelf = newShelf(len(b.records))
	}
	b.shelf = b.shelf[:len(b.records)]
	prefix := e.prefix
	predictions, deadLetters := e.partitionsOf(e.cfg.Predictions), e.partitionsOf(e.cfg.DeadLetters)
	b.parcels.open(e.cfg.Predictions, predictions, e.cfg.DeadLetters, deadLetters)
	for i := range b.outcomes {
		o, r := &b.outcomes[i], &b.shelf[i]
		if o.stage != "" {
			in := b.records[i]
			r.Key, r.Value, r.Headers = in.Key, in.Value, deadHeaders(in, o, e.cfg.Events, now)
			b.parcels.add(1, in.Partition%deadLetters, r)
			continue
		}
		from := len(b.arena)
		b.arena = append(b.arena, prefix...)
		b.arena = append(b.arena, o.event.user...)
		b.arena = append(b.arena, `,"prediction":`...)
		b.arena = strconv.AppendFloat(b.arena, o.score, 'g', -1, 64)
		b.arena = append(b.arena, `,"timestamp":`...)
		b.arena = append(b.arena, o.event.stamp...)
		b.arena = append(b.arena, suffix...)
		r.Value = b.arena[from:len(b.arena):len(b.arena)]
		r.Key = bytesOf(o.event.entity.Key)
		b.parcels.add(0, partitionOf(r.Key, predictions), r)
	}
}

// suffixes are how the predictions of a server end whose model may change between two answers.
type suffixes struct{ revision, suffix string }

// suffix ends a prediction with the version of the model that made it.
func (s *scorer) suffix() string {
	if s.model == nil { // nothing was scored
		return ""
	}
	answered, ok := s.scorer.(interface{ Revision() string })
	if !ok {
		return s.model.suffix
	}
	revision := answered.Revision()
	if revision == "" || revision == s.model.description.Revision {
		return s.model.suffix
	}
	if s.ends.revision != revision {
		e := s.f.e
		suffix, err := suffixOf(e.versionOf("", revision))
		if err != nil { // no string fails to marshal
			return s.model.suffix
		}
		s.ends = suffixes{revision, suffix}
	}
	return s.ends.suffix
}
