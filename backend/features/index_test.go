package features

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

func TestASlotIsOneCacheLine(t *testing.T) {
	if size := unsafe.Sizeof(slot{}); size != 64 {
		t.Errorf("a slot has %d bytes, want 64", size)
	}
}

func TestSlotsKeepTheirKeys(t *testing.T) {
	for n := range 300 {
		key := strings.Repeat("k", n)
		var s slot
		s.setKey(Entity{Key: strings.Repeat("x", 40)})
		s.setKey(Entity{key, n%2 == 0})
		if s.entity() != (Entity{key, n%2 == 0}) || !s.is(Entity{key, n%2 == 0}) || s.is(Entity{key, n%2 == 1}) || s.is(Entity{key + "k", n%2 == 0}) {
			t.Errorf("key of %d bytes: %+v", n, s)
		}
	}
}

// TestIndexAgainstAMap adds and removes at random, with tags that collide often, and compares with a map.
func TestIndexAgainstAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var x index
	x.grow()
	tagOf := map[int32]uint32{}
	for step := range 100_000 {
		slot := random.Int32N(500)
		if tag, ok := tagOf[slot]; ok {
			x.remove(tag, slot)
			delete(tagOf, slot)
		} else {
			tag := random.Uint32N(8) * random.Uint32N(90)
			x.add(tag, slot)
			tagOf[slot] = tag
		}
		if step%1000 != 0 {
			continue
		}
		if x.used != len(tagOf) || 2*x.used > len(x.cells) {
			t.Fatalf("step %d: %d used of %d cells, want %d", step, x.used, len(x.cells), len(tagOf))
		}
		for slot, tag := range tagOf {
			at, found := x.find(tag, tag)
			for found >= 0 && found != slot {
				at, found = x.find(at+1, tag)
			}
			if found != slot {
				t.Fatalf("step %d: slot %d of tag %d is lost", step, slot, tag)
			}
		}
	}
}

func TestTextAndNumberDiffer(t *testing.T) {
	var x index
	x.grow()
	if x.tag(Entity{"17", false}) == x.tag(Entity{"17", true}) {
		t.Error("the same tag")
	}
}

// TestCacheAgainstAMap fills and evicts with short and long keys; every row must stay its entity's.
func TestCacheAgainstAMap(t *testing.T) {
	store := &echoStore{}
	c := NewCache(store, CacheConfig{TTL: 1 << 60, Entries: 300})
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		entities := make([]Entity, 1+random.IntN(40))
		for i := range entities {
			n := random.IntN(1000)
			entities[i] = Entity{fmt.Sprintf("%d%s", n, strings.Repeat("-", n%3*20)), n%2 == 0}
		}
		rows, err := fetch(t, c, entities...)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range entities {
			if v := rows[i].Values[0]; v.Text != e.Key || (v.Number == 1) != e.Numeric {
				t.Fatalf("entity %+v got the row of %+v", e, v)
			}
		}
	}
	if s := c.Stats(); s.Cached != 300 || s.Hits == 0 || s.Misses == 0 {
		t.Errorf("%+v", s)
	}
}

// TestLookupsBesideOneAnother looks up and evicts from several goroutines; the race detector watches, and every row must
// be its entity's.
func TestLookupsBesideOneAnother(t *testing.T) {
	c := NewCache(&echoStore{}, CacheConfig{TTL: 1 << 60, Entries: 200})
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(5, uint64(worker)))
			entities, rows := make([]Entity, 20), make([]*Row, 20)
			for range 500 {
				some := entities[:1+random.IntN(len(entities))]
				for i := range some {
					n := random.IntN(300)
					some[i] = Entity{fmt.Sprintf("%d%s", n, strings.Repeat("-", n%2*40)), n%3 == 0}
				}
				if err := c.Fetch(t.Context(), some, rows[:len(some)]); err != nil {
					t.Error(err)
					return
				}
				for i, e := range some {
					if v := rows[i].Values[0]; v.Text != e.Key || (v.Number == 1) != e.Numeric {
						t.Errorf("entity %+v got the row of %+v", e, v)
					}
				}
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s.Cached != 200 || s.Hits == 0 || s.Misses == 0 {
		t.Errorf("%+v", s)
	}
}
