package features

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// One entity that a server chokes on makes it refuse the whole request: Feast answers 500 to a user_id of "abc" where
// the join key is an integer, and rounds 17.5 to 17. The bad one is found by halving, so that it costs its own event
// and not the stream: its row becomes Invalid in every value. That is done only when an entity known to be good still
// gets an answer, for else it is the server that is ill, and the batch must wait.
const (
	isolateRequests = 64              // the most requests one search may cost
	isolateLeast    = 3               // that one entity may cost: refused, refused again, and a good one answered
	isolateSamples  = 8               // entities tried when no good one is known yet
	refusedFor      = 5 * time.Minute // an entity found bad is not asked for again
	refusedMost     = 4096            // entities remembered as bad
)

// errRefused marks an error that may be due to one of the entities.
var errRefused = errors.New("one of the entities may be the cause")

// suspicion is what a store knows about entities: one that was answered, and those that are refused.
type suspicion struct {
	mu      sync.Mutex
	good    Entity
	hasGood bool
	refused map[Entity]time.Time // until when
}

// answered remembers a good entity; its key is copied once, not at each request.
func (s *suspicion) answered(e Entity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasGood {
		s.good, s.hasGood = e.Clone(), true
	}
}

func (s *suspicion) known() (Entity, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good, s.hasGood
}

func (s *suspicion) refuse(e Entity, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused == nil {
		s.refused = map[Entity]time.Time{}
	}
	if len(s.refused) >= refusedMost {
		clear(s.refused) // to find them again is dear, but bounded
	}
	s.refused[e.Clone()] = now.Add(refusedFor)
	if s.hasGood && s.good == e {
		s.hasGood = false
	}
}

// isRefused tells whether e is known to be bad. It costs nothing while none is.
func (s *suspicion) isRefused(e Entity, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refused) == 0 {
		return false
	}
	until, ok := s.refused[e]
	if ok && now.After(until) {
		delete(s.refused, e)
		ok = false
	}
	return ok
}

// isolation is the search for the bad entities of one request.
type isolation struct {
	f    *feast
	w    *work
	left int // requests
}

// isolate finds the entities that made the server refuse with err, makes their rows Invalid and fills the others. It
// returns err where the server refuses good ones too.
func (f *feast) isolate(ctx context.Context, w *work, entities []Entity, rows []*Row, err error) error {
	i := &isolation{f: f, w: w, left: isolateRequests}
	if !i.serverIsWell(ctx, entities) {
		return err
	}
	return i.search(ctx, entities, rows, err)
}

// serverIsWell asks for an entity that was answered before. While there is none it asks for 0, which is a key of any
// type and which nobody needs to have, and then tries a few of the batch.
func (i *isolation) serverIsWell(ctx context.Context, entities []Entity) bool {
	good, ok := i.f.suspicion.known()
	if !ok {
		good = Entity{Key: "0", Numeric: true}
	}
	if i.ask(ctx, []Entity{good}, newRows(nil, 1, len(i.f.names))) == nil {
		return true
	}
	if ok {
		return false
	}
	for n := range min(isolateSamples, len(entities)) {
		at := n * len(entities) / min(isolateSamples, len(entities)) // from the whole batch
		if i.ask(ctx, entities[at:at+1], newRows(nil, 1, len(i.f.names))) == nil {
			return true
		}
	}
	return false
}

func (i *isolation) search(ctx context.Context, entities []Entity, rows []*Row, err error) error {
	if len(entities) == 1 {
		// A server that is ill now and then must not make a dead letter of a good event: once more, beside a good one.
		if again := i.ask(ctx, entities, rows); !errors.Is(again, errRefused) {
			return again
		}
		if !i.serverIsWell(ctx, entities) {
			return err
		}
		i.f.suspicion.refuse(entities[0], time.Now())
		invalidate(rows[0])
		return nil
	}
	half := len(entities) / 2
	for _, part := range []struct {
		entities []Entity
		rows     []*Row
	}{{entities[:half], rows[:half]}, {entities[half:], rows[half:]}} {
		if i.left < isolateLeast {
			return fmt.Errorf("%w: too many entities of one batch are refused; the search goes on with the next try: %w", ErrUnavailable, err)
		}
		err := i.ask(ctx, part.entities, part.rows)
		if errors.Is(err, errRefused) {
			err = i.search(ctx, part.entities, part.rows, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (i *isolation) ask(ctx context.Context, entities []Entity, rows []*Row) error {
	i.left--
	return i.f.request(ctx, i.w, entities, rows, 1)
}

func invalidate(row *Row) {
	for i := range row.Values {
		row.Values[i] = Value{Status: Invalid, Number: math.NaN()}
	}
}
