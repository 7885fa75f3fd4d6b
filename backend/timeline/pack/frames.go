package pack

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// A second looks much like the one before. So the first snapshot of each minute is compressed for itself, and the
// others of that minute with it as their dictionary, which leaves little more than what changed.
const (
	// GroupLength is how many snapshots share the first one as their dictionary.
	GroupLength = 60
	// MaxValue bounds a decompressed value, in bytes.
	MaxValue = 64 << 20
	dictID   = 1
	// Bounds of how far back a squeezer looks, in bytes; powers of two.
	minWindow = 1 << 20
	maxWindow = 8 << 20
)

// Squeezer compresses the snapshots of one group. It is not safe for concurrent use.
type Squeezer struct{ encoder *zstd.Encoder }

// NewSqueezer compresses without a dictionary where first is nil, and else with it.
func NewSqueezer(first []byte) (*Squeezer, error) {
	options := []zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true),
		zstd.WithWindowSize(window(len(first)))}
	if first != nil {
		options = append(options, zstd.WithEncoderDictRaw(dictID, first))
	}
	encoder, err := zstd.NewWriter(nil, options...)
	if err != nil {
		return nil, fmt.Errorf("compressing snapshots: %w", err)
	}
	return &Squeezer{encoder}, nil
}

// window is how far back a squeezer looks: over the whole dictionary from the end of a snapshot of about its size. It is
// also about what a squeezer allocates, so it is no larger than it need be.
func window(first int) int {
	size := minWindow
	for size < 2*first && size < maxWindow {
		size *= 2
	}
	return size
}

func (s *Squeezer) Squeeze(out, data []byte) []byte { return s.encoder.EncodeAll(data, out[:0]) }

// Opener decompresses the snapshots of one group.
type Opener struct{ decoder *zstd.Decoder }

func NewOpener(first []byte) (*Opener, error) {
	options := []zstd.DOption{zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxValue), zstd.WithDecoderLowmem(true)}
	if first != nil {
		options = append(options, zstd.WithDecoderDictRaw(dictID, first))
	}
	decoder, err := zstd.NewReader(nil, options...)
	if err != nil {
		return nil, fmt.Errorf("decompressing snapshots: %w", err)
	}
	return &Opener{decoder}, nil
}

func (o *Opener) Open(out, data []byte) ([]byte, error) { return o.decoder.DecodeAll(data, out[:0]) }

func (o *Opener) Close() { o.decoder.Close() }
