package mesh

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"weir/backend/mesh/judge"
	"weir/backend/mesh/scan"
	"weir/backend/safego"
)

// block is a run of whole rows of a file. A worker reads it and judges it, while its bytes are in the processor's cache;
// then it is merged, in the order of the file.
type block struct {
	buffer []byte
	data   []byte // of buffer
	number int
	final  bool
	// What the worker made of it.
	part   *judge.Part
	length int // bytes judged; less than all of data if the rest is for the serial reader
	rows   int64
}

// blocksAhead is how many blocks a worker may be ahead of the one that is to be merged next; it bounds the memory.
const blocksAhead = 4

// maxBlock is how long a block grows for its rows. Of longer rows each is judged serially.
const maxBlock = 4 * blockSize

// maxSpan is how many blocks are judged serially at most before the text is cut into blocks again.
const maxSpan = 64

// parallelCSV is a text that several workers judge. They take turns at reading it and cut it into blocks at row ends,
// which they find by counting quotes: that is right as long as the text follows RFC 4180. They see the first place where
// it does not; from there on the text is judged serially for a while, so the result is the same either way.
type parallelCSV struct {
	file    *csvFile
	columns []string // of this file and of those before it

	reading sync.Mutex // guards the text and what was read of it
	text    io.Reader
	carry   []byte // behind the last row end that was found
	blocks  int    // cut so far
	err     error  // why there are no more; io.EOF at the end

	merging sync.Mutex // guards all below
	merged  *sync.Cond // signalled when a block was
	next    int        // block to be merged
	waiting map[int]*block
	spare   []*block
	stopped bool // by a block that was not judged to its end, or a panic: no more are to be read
}

// parallel judges a text in several goroutines. Behind a place that RFC 4180 does not allow, and where such places follow one
// another for ever longer, it is judged in one.
func (f *csvFile) parallel(text io.Reader) error {
	judges := make([]*judge.Judge, f.v.options.Workers)
	for i := range judges {
		judges[i] = judge.New(f.v.product, judge.Options{Columnar: true, Unmasked: f.v.options.Unmasked, Deferred: true})
	}
	defer func() {
		for _, j := range judges {
			f.v.judge.Absorb(j)
		}
	}()
	for span := 1; ; span = min(2*span, maxSpan) {
		blocks, rest, err := f.blocks(text, judges)
		if err != nil || rest == nil {
			return err
		}
		if blocks > 4*blocksAhead*len(judges) { // many times what was read ahead in vain
			span = 1
		}
		if text, err = f.serial(rest, span*blockSize); err != nil || text == nil {
			return err
		}
	}
}

// blocks judges a text block by block up to the first place it cannot be cut at, and gives how many blocks those were and what
// is left, nil at the end.
func (f *csvFile) blocks(text io.Reader, judges []*judge.Judge) (judged int, rest io.Reader, err error) {
	p := &parallelCSV{file: f, columns: f.v.judge.Names(), text: text, waiting: map[int]*block{}}
	p.merged = sync.NewCond(&p.merging)
	group := safego.Group{Failed: func(*safego.Panic) { p.stop() }}
	for _, j := range judges {
		group.Go(func() { p.work(j, blocksAhead*len(judges)) })
	}
	group.Wait()
	if err := group.Err(); err != nil {
		return p.next, nil, err
	}
	if b := p.waiting[p.next]; b != nil {
		left := []io.Reader{bytes.NewReader(b.data[b.length:])}
		for n := p.next + 1; n < p.blocks; n++ {
			left = append(left, bytes.NewReader(p.waiting[n].data))
		}
		return p.next, io.MultiReader(append(left, bytes.NewReader(p.carry), failing{p.err}, text)...), nil
	}
	if p.err != nil && !errors.Is(p.err, io.EOF) {
		return p.next, nil, fmt.Errorf("after row %d: %w", f.base, p.err)
	}
	return p.next, nil, nil
}

// failing is a reader that has nothing but an error to give.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// work judges blocks until there are no more.
func (p *parallelCSV) work(j *judge.Judge, ahead int) {
	j.Columns(p.columns) // in the slots of the merging judge
	w := p.file.worker(j, j.Columns(p.file.names))
	j.Take(nil) // the header is counted by the merging judge
	for {
		b := p.take(ahead)
		if b == nil {
			return
		}
		b.length, b.rows = 0, 0
		if bytes.IndexByte(b.data, 0) < 0 { // else the serial reader tells where
			b.length, b.rows, _ = w.rows(b.data, 1, b.final, true) // an error leaves bytes to the serial reader
		}
		b.part = j.Take(b.part)
		p.merge(b)
	}
}

// stop keeps the others from waiting for a block that does not come.
func (p *parallelCSV) stop() {
	p.merging.Lock()
	defer p.merging.Unlock()
	p.stopped = true
	p.merged.Broadcast()
}

// take reads the next block; nil if there is none.
func (p *parallelCSV) take(ahead int) *block {
	p.reading.Lock()
	defer p.reading.Unlock()
	if p.err != nil {
		return nil
	}
	b := p.room(ahead)
	if b == nil || !p.cut(b) {
		return nil
	}
	b.number = p.blocks
	p.blocks++
	return b
}

// room gives a block to read into, once it is not too far ahead; nil if no more are to be read.
func (p *parallelCSV) room(ahead int) *block {
	p.merging.Lock()
	defer p.merging.Unlock()
	for !p.stopped && p.blocks-p.next >= ahead {
		p.merged.Wait()
	}
	if p.stopped {
		return nil
	}
	if n := len(p.spare); n > 0 {
		b := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return b
	}
	return &block{buffer: make([]byte, blockSize)}
}

// cut fills a block with rows, up to the last row end that was read. It is false when nothing is left.
func (p *parallelCSV) cut(b *block) bool {
	for len(p.carry) >= len(b.buffer) {
		b.buffer = make([]byte, 2*len(b.buffer))
	}
	filled, end := copy(b.buffer, p.carry), 0
	p.carry, b.final = p.carry[:0], false
	for end == 0 {
		for filled < len(b.buffer) && p.err == nil {
			var n int
			n, p.err = p.text.Read(b.buffer[filled:])
			filled += n
		}
		switch {
		case errors.Is(p.err, io.EOF):
			b.data, b.final = b.buffer[:filled], true
			return filled > 0
		case p.err != nil: // the rows before the error still count
			b.data = b.buffer[:filled]
			return filled > 0
		}
		if end, _ = scan.LastRowEnd(b.buffer[:filled]); end > 0 {
			break
		}
		if len(b.buffer) >= maxBlock {
			// No row end in sight, by the count of quotes: the serial reader finds out what is wrong, if anything is.
			b.data = b.buffer[:filled]
			return true
		}
		b.buffer = append(b.buffer, make([]byte, len(b.buffer))...)
	}
	b.data = b.buffer[:end]
	p.carry = append(p.carry, b.buffer[end:filled]...)
	return true
}

// merge merges a block, once those before it are, and those behind it that waited for it.
func (p *parallelCSV) merge(b *block) {
	p.merging.Lock()
	defer p.merging.Unlock()
	p.waiting[b.number] = b
	f := p.file
	for !p.stopped {
		b := p.waiting[p.next]
		if b == nil {
			break
		}
		f.v.judge.Merge(b.part, f.v.where(f.base))
		f.base += b.rows
		if b.length < len(b.data) { // be it for an error: the serial reader knows the row's number
			p.stopped = true
			break
		}
		delete(p.waiting, p.next)
		p.next++
		if len(b.buffer) <= maxBlock { // longer ones are rare
			p.spare = append(p.spare, b)
		}
	}
	p.merged.Broadcast()
}
