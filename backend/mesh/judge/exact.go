package judge

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// exact counts rows whose value was there before, of any number of rows in bounded memory: up to limit values are
// remembered; with more, the values' hashes (and rows) go to temporary files by the hash's first bits, and each file is
// looked at for itself at the end. Two values of one 64-bit hash are taken for one.
type exact struct {
	limit  int
	table  table
	repeat int64
	parts  []*part // nil while the table is enough
	found  []Where // of the repeats that only the files told: the first KeepSamples and the last
	last   Where
	err    error
	done   bool
}

const (
	partBits   = 5
	entryBytes = 16
	noRow      = -1 // of a value that was in the table before
)

// part is a temporary file of hashes and rows.
type part struct {
	file *os.File
	w    *bufio.Writer
	n    int
}

func newExact(limit int) *exact { return &exact{limit: limit} }

func (d *exact) add(h uint64, at Where) bool {
	if d.parts == nil {
		if !d.table.insert(h) {
			d.repeat++
			return true
		}
		if d.table.n > d.limit {
			d.spill()
		}
		return false
	}
	d.put(h, at.Offset|int64(-1-at.Partition)<<48)
	return false
}

// spill moves the table to files.
func (d *exact) spill() {
	d.parts = make([]*part, 1<<partBits)
	for i := range d.parts {
		f, err := os.CreateTemp("", "weir-distinct-*")
		if err == nil {
			err = os.Remove(f.Name()) // it lives as long as it is open
		}
		if err != nil {
			d.err = errors.Join(d.err, fmt.Errorf("remembering values on disk: %w", err))
			return
		}
		d.parts[i] = &part{file: f, w: bufio.NewWriterSize(f, 32<<10)}
	}
	for _, h := range d.table.slots {
		if h != 0 {
			d.put(h, noRow)
		}
	}
	d.table = table{}
}

func (d *exact) put(h uint64, row int64) {
	if d.err != nil {
		return
	}
	var entry [entryBytes]byte
	binary.LittleEndian.PutUint64(entry[:], h)
	binary.LittleEndian.PutUint64(entry[8:], uint64(row))
	p := d.parts[h>>(64-partBits)]
	p.n++
	if _, err := p.w.Write(entry[:]); err != nil {
		d.err = fmt.Errorf("remembering values on disk: %w", err)
	}
}

func (d *exact) remove(uint64) {}

func (d *exact) share() float64 { return 1 }

// failed is how many rows repeat a value. It looks into the files when it is first called, after the last row.
func (d *exact) failed() (int64, error) {
	if d.parts != nil && !d.done && d.err == nil {
		for _, p := range d.parts {
			if err := d.count(p); err != nil {
				d.err = fmt.Errorf("remembering values on disk: %w", err)
				break
			}
		}
	}
	d.done = true
	return d.repeat, d.err
}

func (d *exact) count(p *part) error {
	if err := p.w.Flush(); err != nil {
		return err
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(p.file, 256<<10)
	var seen table
	seen.reserve(p.n)
	var entry [entryBytes]byte
	for range p.n {
		if _, err := io.ReadFull(r, entry[:]); err != nil {
			return err
		}
		row := int64(binary.LittleEndian.Uint64(entry[8:]))
		if seen.insert(binary.LittleEndian.Uint64(entry[:])) || row == noRow {
			continue
		}
		d.repeat++
		d.note(Where{Partition: int32(-1 - row>>48), Offset: row & (1<<48 - 1)})
	}
	return nil
}

// note keeps the first few repeats in the order of the rows, and the last.
func (d *exact) note(w Where) {
	before := func(a, b Where) int {
		if a.Partition != b.Partition {
			return int(b.Partition - a.Partition) // -1 is the first file
		}
		return int(a.Offset - b.Offset)
	}
	if before(d.last, w) < 0 || d.last.Offset == 0 {
		d.last = w
	}
	i, _ := slices.BinarySearchFunc(d.found, w, before)
	if i < KeepSamples {
		d.found = slices.Insert(d.found, i, w)
		d.found = d.found[:min(len(d.found), KeepSamples)]
	}
}

// complete adds to a finding what only the files told.
func (d *exact) complete(f *finding) {
	for _, w := range d.found {
		if f.count == 0 {
			f.first = w
			f.count = 1
		}
		if len(f.samples) < KeepSamples {
			f.samples = append(f.samples, Sample{Where: w})
		}
	}
	if d.last.Offset > 0 {
		f.last = d.last
	}
	f.count = d.repeat
	d.found, d.last = nil, Where{}
}

func (d *exact) close() error {
	var errs []error
	for _, p := range d.parts {
		if p != nil {
			errs = append(errs, p.file.Close())
		}
	}
	d.parts = nil
	return errors.Join(errs...)
}

// table is a set of hashes, open addressing with linear probing. 0 is an empty slot; the hash 0 is taken for 1.
type table struct {
	slots []uint64
	n     int
}

func (t *table) reserve(n int) {
	size := 1024
	for size*3/4 < n {
		size *= 2
	}
	if size <= len(t.slots) {
		return
	}
	old := t.slots
	t.slots, t.n = make([]uint64, size), 0
	for _, h := range old {
		if h != 0 {
			t.insert(h)
		}
	}
}

// insert tells whether the hash is new.
func (t *table) insert(h uint64) bool {
	if t.n >= len(t.slots)*3/4 {
		t.reserve(max(1024, 2*t.n))
	}
	if h == 0 {
		h = 1
	}
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch t.slots[i] {
		case 0:
			t.slots[i] = h
			t.n++
			return true
		case h:
			return false
		}
	}
}
