package pack

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Stream holds values that were added one after the other as one compressed stream, in which each value is little more
// than its difference from the one before. To read one, those before it are decompressed, too. One goroutine adds, any
// number read.
type Stream struct {
	mu       sync.Mutex
	data     bytes.Buffer
	lengths  []int // of the values, in bytes
	encoder  *zstd.Encoder
	complete bool
}

// The window must reach back to the value before the last, and should not be larger: encoder and decoder hold it in
// memory.
const (
	leastWindow = 128 << 10
	mostWindow  = 8 << 20
)

// NewStream makes an empty stream for values of about size bytes.
func NewStream(size int) (*Stream, error) {
	window := min(max(1<<bits.Len(uint(4*size)), leastWindow), mostWindow)
	s := &Stream{}
	var err error
	s.encoder, err = zstd.NewWriter(&s.data, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("compressing snapshots: %w", err)
	}
	return s, nil
}

// Add appends a value, which must not be empty, and returns its index.
func (s *Stream) Add(value []byte) (index int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err = s.encoder.Write(value); err == nil {
		err = s.encoder.Flush()
	}
	if err != nil {
		return 0, fmt.Errorf("compressing a snapshot: %w", err)
	}
	s.lengths = append(s.lengths, len(value))
	return len(s.lengths) - 1, nil
}

// Complete ends the stream and gives back the memory that adding took.
func (s *Stream) Complete() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.encoder.Close()
	s.encoder, s.complete = nil, true
	s.data = *bytes.NewBuffer(bytes.Clone(s.data.Bytes()))
	return err
}

// StreamReader reads values of one stream after another. It remembers what it has decompressed of the last one. It is
// not safe for concurrent use.
type StreamReader struct {
	stream *Stream
	values [][]byte
}

// Value is the value at index of s. The caller must not change it.
func (r *StreamReader) Value(s *Stream, index int) ([]byte, error) {
	if r.stream == s && index < len(r.values) {
		return r.values[index], nil
	}
	s.mu.Lock()
	data, lengths := s.data.Bytes(), s.lengths // what is added later comes behind, and moves neither
	s.mu.Unlock()
	if index >= len(lengths) {
		return nil, fmt.Errorf("%w: no value %d in a stream of %d", ErrShort, index, len(lengths))
	}
	decoder, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxValue),
		zstd.WithDecoderMaxWindow(2*mostWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("decompressing snapshots: %w", err)
	}
	defer decoder.Close()
	values := make([][]byte, index+1)
	for i := range values {
		values[i] = make([]byte, lengths[i])
		if _, err := io.ReadFull(decoder, values[i]); err != nil {
			return nil, fmt.Errorf("decompressing a snapshot: %w", err)
		}
	}
	r.stream, r.values = s, values
	return values[index], nil
}
