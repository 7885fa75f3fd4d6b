package features

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How long rows are kept, as shares of the TTL.
const (
	// spread of the expiry: rows that came together must not all be asked for again together.
	spread = 4 // a row is kept for (1 - 1/spread) to 1 of its time
	// unsettled rows, with a value that is not found, too old or invalid, are kept shorter: what fills the store may
	// be a moment away.
	unsettledShare = 10
)

// CacheConfig bounds a cache.
type CacheConfig struct {
	TTL     time.Duration // the longest a row is kept; 0 or less keeps none
	Entries int           // the most rows kept; 0 or less keeps none
}

// cache keeps the rows of a store for a while, and asks for the rest, each entity once, however many batches want it.
//
// Rows live in slots, at most Entries of them. When all are taken, the clock's hand goes round: a slot used since it
// last came by is spared once, one that is not, or whose row expired, is taken (CLOCK, second chance).
type cache struct {
	store   Store
	ttl     time.Duration
	entries int
	began   time.Time // expiry is counted from here

	mu     sync.RWMutex // lookups share it
	index  index
	slots  []slot
	hand   int
	flying map[Entity]*flight // entities being asked for

	hits, misses atomic.Uint64
	scratch      sync.Pool // of *misses
}

// flight is one request to the store, shared by all who want one of its entities.
type flight struct {
	landed chan struct{} // closed when rows and err are final
	rows   map[Entity]*Row
	err    error
}

// NewCache puts a cache in front of store. It may be shared by any number of goroutines. Stats are the store's with
// the cache's own hits, misses and length.
func NewCache(store Store, c CacheConfig) Store {
	if c.TTL <= 0 || c.Entries <= 0 {
		c = CacheConfig{}
	}
	made := &cache{
		store: store, ttl: c.TTL, entries: c.Entries, began: time.Now(),
		flying:  map[Entity]*flight{},
		scratch: sync.Pool{New: func() any { return new(misses) }},
	}
	made.index.grow()
	return made
}

func (c *cache) Names() []string { return c.store.Names() }

func (c *cache) Stats() Stats {
	s := c.store.Stats()
	s.Hits, s.Misses = c.hits.Load(), c.misses.Load()
	c.mu.RLock()
	defer c.mu.RUnlock()
	s.Cached = c.index.used
	return s
}

// Close closes the store behind the cache, if that can be closed.
func (c *cache) Close() error {
	if closer, ok := c.store.(interface{ Close() error }); ok {
		return closer.Close()
	}
	return nil
}

func (c *cache) Fetch(ctx context.Context, entities []Entity, rows []*Row) error {
	if len(entities) != len(rows) {
		panic(fmt.Sprintf("features: %d entities and %d rows", len(entities), len(rows)))
	}
	missing := c.lookUp(entities, rows)
	if missing == 0 {
		c.hits.Add(uint64(len(entities)))
		return nil
	}
	m := c.scratch.Get().(*misses)
	defer m.release(&c.scratch)
	asked, err := c.fetchMissing(ctx, m, entities, rows)
	c.misses.Add(uint64(asked))
	if err == nil {
		c.hits.Add(uint64(len(entities) - min(asked, len(entities))))
	}
	return err
}

// lookUp fills the rows of the entities that are cached, sets the others nil, and is how many those are. It goes in
// small steps through a few entities at a time, so that the processor waits for their memory together.
func (c *cache) lookUp(entities []Entity, rows []*Row) (missing int) {
	const together = 16
	var tags [together]uint32
	var slots [together]int32
	now := int64(time.Since(c.began))
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(entities) == 1 {
		if rows[0] = c.row(entities[0], now); rows[0] == nil {
			return 1
		}
		return 0
	}
	for len(entities) > 0 {
		some := entities[:min(together, len(entities))]
		for i := range some {
			tags[i] = c.index.tag(some[i])
		}
		for i := range some {
			_, slots[i] = c.index.find(tags[i], tags[i])
		}
		for i, e := range some {
			rows[i] = nil
			if slots[i] < 0 {
				missing++
				continue
			}
			s := &c.slots[slots[i]]
			if !s.is(e) { // another key of the same tag, one in thousands
				s = c.slotOf(e, tags[i])
			}
			if s == nil || !s.fresh(now) {
				missing++
				continue
			}
			rows[i] = s.row
		}
		entities, rows = entities[len(some):], rows[len(some):]
	}
	return missing
}

// row is what is cached of an entity, nil where nothing is or not any more. The caller holds the lock, if only to read.
func (c *cache) row(e Entity, now int64) *Row {
	if s := c.slotOf(e, c.index.tag(e)); s != nil && s.fresh(now) {
		return s.row
	}
	return nil
}

// slotOf is the slot of e, nil if it has none.
func (c *cache) slotOf(e Entity, tag uint32) *slot {
	at, n := c.index.find(tag, tag)
	for n >= 0 && !c.slots[n].is(e) {
		at, n = c.index.find(at+1, tag)
	}
	if n < 0 {
		return nil
	}
	return &c.slots[n]
}

// misses is the scratch of one Fetch.
type misses struct {
	own     []Entity  // this call's to ask for
	rows    []*Row    // of them
	flights []*flight // of others to wait for, each once
}

func (m *misses) reset() {
	clear(m.own)
	clear(m.rows)
	clear(m.flights)
	m.own, m.rows, m.flights = m.own[:0], m.rows[:0], m.flights[:0]
}

func (m *misses) release(to *sync.Pool) {
	m.reset()
	to.Put(m)
}

// fetchMissing fills the rows that are nil, by a request of its own for the entities nobody asks for yet, and by
// waiting for the others. It is how many entities it asked for.
func (c *cache) fetchMissing(ctx context.Context, m *misses, entities []Entity, rows []*Row) (asked int, err error) {
	for {
		mine := c.board(m, entities, rows)
		if mine != nil {
			asked += len(m.own)
			if err := c.fly(ctx, mine, m); err != nil {
				return asked, err
			}
			fill(rows, entities, mine)
		}
		again := false
		for _, f := range m.flights {
			select {
			case <-f.landed:
			case <-ctx.Done():
				return asked, fmt.Errorf("waiting for features another batch asked for: %w", ctx.Err())
			}
			switch {
			case f.err == nil:
				fill(rows, entities, f)
			case isOfCaller(f.err):
				again = true // it was given up by its own caller, which says nothing about the store
			default:
				return asked, f.err
			}
		}
		if !again {
			return asked, nil
		}
		m.reset()
	}
}

func isOfCaller(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func fill(rows []*Row, entities []Entity, f *flight) {
	for i, e := range entities {
		if rows[i] == nil {
			rows[i] = f.rows[e]
		}
	}
}

// board sorts the entities without a row into those cached meanwhile, those already asked for, whose flights it
// notes, and the rest, for which it opens a flight; nil when there is no rest. Keys are copied here, as flights
// outlive the call's bytes.
func (c *cache) board(m *misses, entities []Entity, rows []*Row) *flight {
	var mine *flight
	now := int64(time.Since(c.began))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range entities {
		if rows[i] != nil {
			continue
		}
		if rows[i] = c.row(e, now); rows[i] != nil {
			continue
		}
		if f, ok := c.flying[e]; ok {
			if f != mine && !slices.Contains(m.flights, f) {
				m.flights = append(m.flights, f)
			}
			continue
		}
		if mine == nil {
			mine = &flight{landed: make(chan struct{}), rows: map[Entity]*Row{}}
		}
		e = e.Clone()
		c.flying[e] = mine
		m.own, m.rows = append(m.own, e), append(m.rows, nil)
	}
	return mine
}

// fly asks the store for this call's entities, keeps the rows and tells whoever waits for them.
func (c *cache) fly(ctx context.Context, f *flight, m *misses) (err error) {
	f.err = errors.New("the batch that asked for these features broke off") // unless it comes through
	defer func() {
		c.mu.Lock()
		for _, e := range m.own {
			delete(c.flying, e)
		}
		c.mu.Unlock()
		close(f.landed)
	}()
	if err := c.store.Fetch(ctx, m.own, m.rows); err != nil {
		f.err = err
		return err
	}
	for i, e := range m.own {
		f.rows[e] = m.rows[i]
	}
	f.err = nil
	c.keep(m.own, m.rows)
	return nil
}

// keep puts rows into slots.
func (c *cache) keep(entities []Entity, rows []*Row) {
	if c.entries == 0 {
		return
	}
	now := int64(time.Since(c.began))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range entities {
		tag := c.index.tag(e)
		s := c.slotOf(e, tag)
		if s == nil {
			n := c.free(now)
			c.index.add(tag, n)
			s = &c.slots[n]
			s.setKey(e)
		}
		s.row, s.expires = rows[i], (now+int64(c.lifetime(rows[i])))&^wasUsed
	}
}

// lifetime is how long a row is kept.
func (c *cache) lifetime(row *Row) time.Duration {
	life := c.ttl
	for i := range row.Values {
		if s := row.Values[i].Status; s != Present && s != NullValue {
			life = c.ttl / unsettledShare
			break
		}
	}
	return life - rand.N(life/spread+1)
}

// free is a slot nobody needs more than the row to come.
func (c *cache) free(now int64) int32 {
	if len(c.slots) < c.entries {
		c.slots = append(c.slots, slot{})
		return int32(len(c.slots) - 1)
	}
	for {
		n := int32(c.hand)
		s := &c.slots[n]
		c.hand = (c.hand + 1) % len(c.slots)
		if s.expires&wasUsed != 0 && now < s.expires {
			s.expires &^= wasUsed
			continue
		}
		c.index.remove(c.index.tag(s.entity()), n)
		return n
	}
}
