package features

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// fakeStore answers every entity with the number of times it was asked for.
type fakeStore struct {
	mu     sync.Mutex
	asked  map[Entity]int
	calls  int
	err    error
	status Status
	block  chan struct{} // when set, a Fetch waits for it or its context
}

func (f *fakeStore) Names() []string { return []string{"v:f"} }
func (f *fakeStore) Stats() Stats    { return Stats{Requests: uint64(f.calls)} }

func (f *fakeStore) Fetch(ctx context.Context, entities []Entity, rows []*Row) error {
	f.mu.Lock()
	f.calls++
	block := f.block
	f.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if f.asked == nil {
		f.asked = map[Entity]int{}
	}
	for i, e := range entities {
		f.asked[e]++
		rows[i] = &Row{Values: []Value{{Status: f.status, Number: float64(f.asked[e])}}}
	}
	return nil
}

func TestCacheHitsAndMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		c := NewCache(store, CacheConfig{TTL: time.Minute, Entries: 100})
		key := []byte("ab")
		borrowed := func(k string) Entity { // the bytes change under the string, as a consumer's buffer does
			copy(key, k)
			return Entity{Key: bytesString(key)}
		}
		for i, k := range []string{"aa", "bb", "aa", "bb"} {
			rows, err := fetch(t, c, borrowed(k), borrowed(k))
			if err != nil || rows[0].Values[0].Number != 1 || rows[1] != rows[0] {
				t.Fatalf("%d: %v %v", i, rows, err)
			}
		}
		if s := c.Stats(); s.Hits != 6 || s.Misses != 2 || s.Cached != 2 || s.Requests != 2 {
			t.Errorf("stats = %+v", s)
		}
		if rows, err := fetch(t, c, Entity{Key: "aa", Numeric: true}); err != nil || rows[0].Values[0].Number != 1 || store.calls != 3 {
			t.Errorf("17 and \"17\" are different entities: %v, %d calls", err, store.calls)
		}
		time.Sleep(time.Minute)
		if rows, _ := fetch(t, c, texts("aa")...); rows[0].Values[0].Number != 2 {
			t.Error("kept longer than the TTL")
		}
	})
}

func TestCacheExpiryIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		c := NewCache(store, CacheConfig{TTL: 100 * time.Second, Entries: 10_000})
		entities := make([]Entity, 10_000)
		for i := range entities {
			entities[i] = Entity{Key: fmt.Sprint(i)}
		}
		if _, err := fetch(t, c, entities...); err != nil {
			t.Fatal(err)
		}
		expired := func(at time.Duration) int {
			now := time.Since(c.(*cache).began)
			time.Sleep(at - now)
			return c.(*cache).lookUp(entities, make([]*Row, len(entities)))
		}
		if n := expired(74 * time.Second); n != 0 {
			t.Errorf("%d expired before three quarters of the TTL", n)
		}
		if n := expired(87500 * time.Millisecond); n < 4500 || n > 5500 {
			t.Errorf("%d of 10,000 expired in the middle of the spread, want about half", n)
		}
		if n := expired(100 * time.Second); n != 10_000 {
			t.Errorf("%d expired at the TTL, want all", n)
		}
	})
}

func TestCacheKeepsTheUnsettledShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{status: NotFound}
		c := NewCache(store, CacheConfig{TTL: 100 * time.Second, Entries: 10})
		_, _ = fetch(t, c, texts("a")...)
		time.Sleep(5 * time.Second)
		_, _ = fetch(t, c, texts("a")...)
		if store.calls != 1 {
			t.Error("NOT_FOUND was not cached")
		}
		time.Sleep(5 * time.Second)
		_, _ = fetch(t, c, texts("a")...)
		if store.calls != 2 {
			t.Error("NOT_FOUND was cached for longer than a tenth of the TTL")
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	store := &fakeStore{}
	c := NewCache(store, CacheConfig{TTL: time.Hour, Entries: 100})
	hot := texts("hot0", "hot1", "hot2")
	for i := range 1000 {
		if _, err := fetch(t, c, append(texts(fmt.Sprint(i)), hot...)...); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Stats(); s.Cached != 100 || len(c.(*cache).slots) != 100 {
		t.Errorf("%d rows in %d slots, want 100", s.Cached, len(c.(*cache).slots))
	}
	for _, e := range hot {
		if n := store.asked[e]; n != 1 {
			t.Errorf("%s is used all the time, but was asked for %d times", e.Key, n)
		}
	}
}

func TestCacheWithoutRoomStillCoalesces(t *testing.T) {
	store := &fakeStore{}
	c := NewCache(store, CacheConfig{})
	rows, err := fetch(t, c, texts("a", "a", "b")...)
	if err != nil || rows[0] != rows[1] || store.calls != 1 || store.asked[Entity{Key: "a"}] != 1 {
		t.Errorf("%v, %d calls", err, store.calls)
	}
	if _, _ = fetch(t, c, texts("a")...); store.calls != 2 || c.Stats().Cached != 0 {
		t.Error("a cache of no entries kept one")
	}
}

func TestConcurrentMissesOfOneEntityAreOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{block: make(chan struct{})}
		c := NewCache(store, CacheConfig{TTL: time.Hour, Entries: 100})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				rows, err := fetch(t, c, texts("shared", fmt.Sprint(i))...)
				if err != nil || rows[0].Values[0].Number != 1 || rows[1].Values[0].Number != 1 {
					t.Errorf("%v %v", rows, err)
				}
			})
			synctest.Wait()
		}
		close(store.block)
		wg.Wait()
		if n := store.asked[Entity{Key: "shared"}]; n != 1 {
			t.Errorf("asked %d times for the shared entity", n)
		}
		if s := c.Stats(); s.Misses != 9 || s.Hits != 7 {
			t.Errorf("stats = %+v", s)
		}
	})
}

func TestAFailureReachesWhoeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{block: make(chan struct{}), err: fmt.Errorf("%w: 503", ErrUnavailable)}
		c := NewCache(store, CacheConfig{TTL: time.Hour, Entries: 100})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := fetch(t, c, texts("a")...); !errors.Is(err, ErrUnavailable) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(store.block)
		wg.Wait()
		if store.calls != 1 {
			t.Errorf("%d requests of a store that is away, want 1", store.calls)
		}
		store.err = nil
		if _, err := fetch(t, c, texts("a")...); err != nil {
			t.Errorf("a failure must not be cached: %v", err)
		}
	})
}

func TestWhoeverWaitsSurvivesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{block: make(chan struct{})}
		c := NewCache(store, CacheConfig{TTL: time.Hour, Entries: 100})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := c.Fetch(ctx, texts("a"), make([]*Row, 1)); !errors.Is(err, context.Canceled) {
				t.Errorf("leader: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if rows, err := fetch(t, c, texts("a", "b")...); err != nil || rows[0] == nil || rows[1] == nil {
				t.Errorf("waiter: %v", err)
			}
		})
		wg.Go(func() {
			gone, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := c.Fetch(gone, texts("a"), make([]*Row, 1))
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another batch") {
				t.Errorf("a waiter with a deadline of its own: %v", err)
			}
		})
		synctest.Wait()
		time.Sleep(2 * time.Second)
		cancel()
		synctest.Wait()
		close(store.block)
		wg.Wait()
		if n := store.asked[Entity{Key: "a"}]; n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

func bytesString(b []byte) string { return unsafe.String(&b[0], len(b)) }

// echoStore answers each entity with its own key.
type echoStore struct{ fakeStore }

func (*echoStore) Fetch(_ context.Context, entities []Entity, rows []*Row) error {
	for i, e := range entities {
		rows[i] = &Row{Values: []Value{{IsText: true, Text: e.Key, Number: map[bool]float64{true: 1}[e.Numeric]}}}
	}
	return nil
}

// flakyStore answers with the entity's own key, sometimes late and sometimes not at all.
type flakyStore struct{ echoStore }

func (s *flakyStore) Fetch(ctx context.Context, entities []Entity, rows []*Row) error {
	switch rand.IntN(8) {
	case 0:
		return fmt.Errorf("%w: by chance", ErrUnavailable)
	case 1:
		runtime.Gosched()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.echoStore.Fetch(ctx, entities, rows)
}

// TestManyBatchesAtOnce has batches that overlap, fail, are given up and evict one another; whatever is answered is
// answered right, and nobody waits for ever.
func TestManyBatchesAtOnce(t *testing.T) {
	c := NewDrift(NewCache(&flakyStore{}, CacheConfig{TTL: 2 * time.Millisecond, Entries: 50}), DriftConfig{Baseline: 1000})
	var wg sync.WaitGroup
	var answered atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 300 {
				entities := make([]Entity, 1+rand.IntN(30))
				for i := range entities {
					n := rand.IntN(100)
					entities[i] = Entity{fmt.Sprint("u", n), n%3 == 0}
				}
				ctx, cancel := context.WithCancel(t.Context())
				if rand.IntN(4) == 0 {
					cancel()
				}
				rows := make([]*Row, len(entities))
				if err := c.Fetch(ctx, entities, rows); err == nil {
					answered.Add(1)
					for i, e := range entities {
						if rows[i].Values[0].Text != e.Key {
							t.Errorf("%s got the row of %s", e.Key, rows[i].Values[0].Text)
						}
					}
				} else if !errors.Is(err, ErrUnavailable) && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				_ = c.Stats()
				cancel()
			}
		})
	}
	wg.Wait()
	if n := answered.Load(); n < 500 {
		t.Errorf("only %d of 2,400 batches were answered", n)
	}
}
