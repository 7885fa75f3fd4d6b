package pipeline

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
)

// stats counts what the pipeline did. The counters rise once a batch, never once a record.
type stats struct {
	consumed, predicted, deadLettered, redelivered atomic.Uint64
	missing                                        atomic.Uint64
	stalls                                         atomic.Uint64 // memberships started over because partitions stood still
	overtaken                                      atomic.Uint64 // records deleted before they were taken

	watch func(*batch) // sees each batch acknowledged; a benchmark's

	mu         sync.Mutex
	endToEnd   latencies
	processing latencies
	scores     scores
	scoresOf   *loadedModel // whose predictions scores counts
	handled    tally        // acknowledged, dead letters included
	lost       tally        // of them dead letters
	rate       rate
	scored     scoreTime
	dead       []DeadLetter // a ring of KeepDead, the newest at deadNext-1
	deadNext   int
	deadLetter func(in *sarama.ConsumerMessage, o *outcome, at time.Time) DeadLetter
}

// acknowledged counts a batch the broker has acknowledged.
func (s *stats) acknowledged(b *batch, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	nanos := now.UnixNano()
	endToEnd, processing, histogram := s.endToEnd.at(now), s.processing.at(now), s.scores.at(now)
	predicted := 0
	for i := range b.outcomes {
		o := &b.outcomes[i]
		if o.stage == "" {
			predicted++
			if b.model == s.scoresOf { // else it was on its way when the model was swapped
				histogram[bin(o.score)]++
			}
		}
		if o.at != 0 {
			endToEnd.add(time.Duration(nanos-o.at), 1)
		}
	}
	for _, seg := range b.segments {
		processing.add(now.Sub(seg.taken), uint32(seg.n))
	}
	dead := len(b.outcomes) - predicted
	for i, passed := 0, 0; passed < dead; i++ {
		if o := &b.outcomes[i]; o.stage != "" {
			if passed++; passed > dead-KeepDead { // no snapshot will show the others
				s.keepDead(s.deadLetter(b.records[i], o, now))
			}
		}
	}
	s.handled.add(now, predicted+dead)
	s.lost.add(now, dead)
	s.rate.add(now, predicted+dead)
	s.scored.add(b.scoring, predicted)
	s.predicted.Add(uint64(predicted))
	s.deadLettered.Add(uint64(dead))
}

func (s *stats) keepDead(d DeadLetter) {
	if len(s.dead) < KeepDead {
		s.dead = append(s.dead, d)
	} else {
		s.dead[s.deadNext%KeepDead] = d
	}
	s.deadNext++
}

// fill writes the counters and windows into a snapshot.
func (s *stats) fill(out *Snapshot, now time.Time) {
	out.Predicted = s.predicted.Load()
	out.DeadLettered = s.deadLettered.Load()
	out.Consumed = s.consumed.Load()
	out.Redelivered = s.redelivered.Load()
	out.Features.Missing = s.missing.Load()
	out.Stalls = s.stalls.Load()
	out.Overtaken = s.overtaken.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	out.EndToEnd = s.endToEnd.quantiles(now)
	out.Processing = s.processing.quantiles(now)
	out.Histogram = s.scores.histogram(now)
	out.MinuteHandled, out.MinuteDead = s.handled.sum(now), s.lost.sum(now)
	out.EventsPerSecond = s.rate.perSecond(now)
	out.Model.ScoreMicros = s.scored.micros()
	out.Dead = make([]DeadLetter, len(s.dead))
	for i := range out.Dead {
		out.Dead[i] = s.dead[(s.deadNext-1-i)%KeepDead]
	}
}

// histogram is that of the predictions of the last minute.
func (s *stats) histogram(now time.Time) [Bins]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scores.histogram(now)
}

// forgetScores empties the histogram, which counts the predictions of m from now on.
func (s *stats) forgetScores(m *loadedModel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scores, s.scoresOf = scores{}, m
}

// scoreTime is the mean time to score an event, over the last batches.
type scoreTime struct{ spent, events float64 }

func (t *scoreTime) add(spent time.Duration, events int) {
	const keep = 0.98 // of what was before: some fifty batches
	t.spent = t.spent*keep + float64(spent)
	t.events = t.events*keep + float64(events)
}

func (t *scoreTime) micros() float64 {
	if t.events < 1 {
		return 0
	}
	return t.spent / t.events / float64(time.Microsecond)
}
