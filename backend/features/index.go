package features

import (
	"hash/maphash"
	"sync/atomic"

	"weir/backend/jsonlex"
)

// index finds the slot of an entity. A lookup in a large cache costs its memory accesses and little else, so there are
// two: a cell of 8 bytes, by linear probing in a table at most half full, and the slot, which holds its key itself. A
// map costs four, each waiting for the one before. The zero index is empty and ready after grow.
type index struct {
	seed  maphash.Seed
	cells []cell // a power of two
	used  int
}

// cell is one place of the table; slot is one more than the slot's number, and 0 in an empty cell.
type cell struct{ tag, slot uint32 }

// tag is what a cell keeps of an entity's hash; its low bits say where the probing begins.
func (x *index) tag(e Entity) uint32 {
	h := maphash.String(x.seed, e.Key)
	t := uint32(h) ^ uint32(h>>32)
	if e.Numeric {
		t = ^t
	}
	return t
}

// find is the first cell at or after at that holds tag, and the slot in it; -1 where there is none.
func (x *index) find(at, tag uint32) (cell uint32, slot int32) {
	mask := uint32(len(x.cells) - 1)
	for at &= mask; ; at = (at + 1) & mask {
		switch c := x.cells[at]; {
		case c.slot == 0:
			return at, -1
		case c.tag == tag:
			return at, int32(c.slot - 1)
		}
	}
}

// add enters a slot, and makes room before.
func (x *index) add(tag uint32, slot int32) {
	if 2*(x.used+1) > len(x.cells) {
		x.grow()
	}
	x.used++
	x.put(cell{tag, uint32(slot) + 1})
}

func (x *index) put(c cell) {
	mask := uint32(len(x.cells) - 1)
	at := c.tag & mask
	for x.cells[at].slot != 0 {
		at = (at + 1) & mask
	}
	x.cells[at] = c
}

// remove empties the cell of a slot, which must be there, and moves those that probing would no longer reach.
func (x *index) remove(tag uint32, slot int32) {
	mask := uint32(len(x.cells) - 1)
	at, found := x.find(tag, tag)
	for found != slot {
		at, found = x.find(at+1, tag)
	}
	for next := (at + 1) & mask; x.cells[next].slot != 0; next = (next + 1) & mask {
		// The cell at next may fill the gap unless its own place lies after the gap.
		if (next-x.cells[next].tag)&mask >= (next-at)&mask {
			x.cells[at] = x.cells[next]
			at = next
		}
	}
	x.cells[at] = cell{}
	x.used--
}

func (x *index) grow() {
	old := x.cells
	if old == nil {
		x.seed = maphash.MakeSeed() // keys come from outside: nobody must be able to choose colliding ones
	}
	x.cells = make([]cell, max(2*len(old), 64))
	for _, c := range old {
		if c.slot != 0 {
			x.put(c)
		}
	}
}

// slot holds one cached row, in 64 bytes: one line of the processor's cache.
type slot struct {
	// expires is in nanoseconds since cache.began. Its last bit says that the slot was used since the clock's hand last
	// came by, which lookups beside one another note: it is read and written atomically. It comes first, where every
	// processor can do that.
	expires int64
	row     *Row
	long    *string // the key, where it is too long for short
	size    uint8   // the key's length, or isLong; with isNumeric
	short   [shortKey]byte
}

const (
	shortKey  = 39 // what is left of the 64 bytes; a UUID has 36
	isLong    = 127
	isNumeric = 128
	wasUsed   = 1
)

func sizeOf(e Entity) uint8 {
	size := uint8(isLong)
	if len(e.Key) <= shortKey {
		size = uint8(len(e.Key))
	}
	if e.Numeric {
		size |= isNumeric
	}
	return size
}

func (s *slot) is(e Entity) bool {
	switch {
	case s.size != sizeOf(e):
		return false
	case s.long != nil:
		return *s.long == e.Key
	}
	return string(s.short[:len(e.Key)]) == e.Key
}

// setKey copies the key; long ones must be the cache's own already.
func (s *slot) setKey(e Entity) {
	s.size, s.long = sizeOf(e), nil
	if len(e.Key) > shortKey {
		key := e.Key
		s.long = &key
		return
	}
	copy(s.short[:], e.Key)
}

// entity is the slot's own; the key's bytes are only borrowed.
func (s *slot) entity() Entity {
	numeric := s.size&isNumeric != 0
	if s.long != nil {
		return Entity{*s.long, numeric}
	}
	return Entity{jsonlex.Borrow(s.short[:s.size&isLong]), numeric}
}

// fresh tells whether the row can still be given, and notes that it was.
func (s *slot) fresh(now int64) bool {
	expires := atomic.LoadInt64(&s.expires)
	if now >= expires {
		return false
	}
	if expires&wasUsed == 0 {
		atomic.OrInt64(&s.expires, wasUsed)
	}
	return true
}
