package mesh

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"weir/backend/mesh/judge"
	"weir/backend/mesh/scan"
)

// block is a run of whole rows of a file, on its way from the reader through a worker to the merger.
type block struct {
	data  []byte
	final bool

	// What the worker made of it.
	part   *judge.Part
	length int // bytes judged; less than all of data if the rest is for the serial reader
	rows   int64
	done   chan struct{}
}

// parallel judges a text in several goroutines. One reads it and cuts it into blocks at row ends, which it finds by
// counting quotes: that is right as long as the text follows RFC 4180. The workers see the first place where it does
// not; from there on the text is judged serially, so the result is the same either way.
func (f *csvFile) parallel(text io.Reader) error {
	workers := f.v.options.Workers
	var (
		jobs    = make(chan *block, workers)
		ordered = make(chan *block, 2*workers) // bounds the blocks in memory
		spare   = make(chan *judge.Part, 4*workers)
		buffers = make(chan []byte, 4*workers)
		stop    = make(chan struct{})
		wg      sync.WaitGroup
		rest    []byte // what the reader had read but not cut when it stopped
		readErr error
	)
	wg.Go(func() {
		defer close(jobs)
		defer close(ordered)
		rest, readErr = f.cut(text, jobs, ordered, buffers, stop)
	})
	judges := make([]*judge.Judge, workers)
	for i := range judges {
		judges[i] = judge.New(f.v.product, judge.Options{Columnar: true, Unmasked: f.v.options.Unmasked, Deferred: true})
		wg.Go(func() {
			w := f.worker(judges[i], judges[i].Columns(f.names))
			judges[i].Take(nil) // the header is counted by the merging judge
			for b := range jobs {
				b.length, b.rows, _ = w.rows(b.data, 1, b.final, true) // an error leaves bytes to the serial reader
				var p *judge.Part
				select {
				case p = <-spare:
				default:
				}
				b.part = judges[i].Take(p)
				close(b.done)
			}
		})
	}
	serialFrom, err := f.merge(ordered, spare, buffers, stop)
	wg.Wait()
	for _, j := range judges {
		f.v.judge.Absorb(j)
	}
	switch {
	case err != nil:
		return err
	case serialFrom != nil:
		return f.serial(io.MultiReader(bytes.NewReader(serialFrom), bytes.NewReader(rest), failing{readErr}, text))
	case readErr != nil && !errors.Is(readErr, io.EOF):
		return fmt.Errorf("after row %d: %w", f.base, readErr)
	}
	return nil
}

// failing is a reader that has nothing but an error to give.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// cut reads the text and cuts it into blocks. It gives the bytes it read but did not send.
func (f *csvFile) cut(text io.Reader, jobs, ordered chan<- *block, buffers <-chan []byte, stop <-chan struct{}) (rest []byte, err error) {
	var carry []byte
	for {
		var buffer []byte
		select {
		case buffer = <-buffers:
		default:
			buffer = make([]byte, blockSize)
		}
		for len(carry) >= len(buffer) {
			buffer = make([]byte, 2*len(buffer))
		}
		filled := copy(buffer, carry)
		var readErr error
		end := 0
		for {
			for filled < len(buffer) && readErr == nil {
				var n int
				n, readErr = text.Read(buffer[filled:])
				filled += n
			}
			if readErr != nil {
				break
			}
			if end, _ = scan.LastRowEnd(buffer[:filled]); end > 0 {
				break
			}
			if len(buffer) >= maxRow {
				// No row end in sight, by the count of quotes: the serial reader finds out what is wrong.
				readErr = errNoRowEnd
				break
			}
			buffer = append(buffer, make([]byte, len(buffer))...)
		}
		b := &block{done: make(chan struct{})}
		switch {
		case errors.Is(readErr, io.EOF):
			b.data, b.final, carry = buffer[:filled], true, nil
		case readErr != nil:
			b.data, carry = buffer[:filled], nil // the rows before the error still count
		default:
			b.data, carry = buffer[:end], append(carry[:0], buffer[end:filled]...)
		}
		last := readErr != nil
		if errors.Is(readErr, errNoRowEnd) {
			readErr = nil
		}
		select {
		case <-stop:
			return append(b.data, carry...), readErr
		case ordered <- b:
			jobs <- b // never blocks for good: the workers take until it is closed
		}
		if last {
			return nil, readErr
		}
	}
}

var errNoRowEnd = errors.New("no row end")

// merge takes the blocks in their order. When one was not judged to its end, it stops the reader and gives what is
// left of that block and all of those behind it.
func (f *csvFile) merge(ordered <-chan *block, spare chan<- *judge.Part, buffers chan<- []byte, stop chan<- struct{}) (serialFrom []byte, err error) {
	stopped := false
	halt := func() {
		if !stopped {
			stopped = true
			close(stop)
		}
	}
	for b := range ordered {
		<-b.done
		if stopped {
			if serialFrom != nil {
				serialFrom = append(serialFrom, b.data...)
			}
			continue
		}
		if i := bytes.IndexByte(b.data, 0); i >= 0 {
			halt()
			err = fmt.Errorf("after row %d: %w", f.base, errNUL)
			continue
		}
		f.v.judge.Merge(b.part, f.v.where(f.base))
		f.base += b.rows
		if b.length < len(b.data) { // be it for an error: the serial reader knows the row's number
			halt()
			serialFrom = append(make([]byte, 0, 2*len(b.data)), b.data[b.length:]...)
		}
		select {
		case spare <- b.part:
		default:
		}
		if b.length == len(b.data) {
			select {
			case buffers <- b.data[:cap(b.data)]:
			default:
			}
		}
	}
	return serialFrom, err
}
