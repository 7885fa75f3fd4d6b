package history

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// A second looks much like the one before. So the first snapshot of each minute is compressed for itself, and the
// others of that minute with it as their dictionary, which leaves little more than what changed.
const (
	groupLength = 60       // snapshots to one that stands for itself
	maxSnapshot = 64 << 20 // bytes of one, decompressed
	dictID      = 1
)

// squeezer compresses the snapshots of one group. It is not safe for concurrent use.
type squeezer struct{ encoder *zstd.Encoder }

// newSqueezer compresses without a dictionary where first is nil, and else with it.
func newSqueezer(first []byte) (*squeezer, error) {
	options := []zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true)}
	if first != nil {
		options = append(options, zstd.WithEncoderDictRaw(dictID, first))
	}
	encoder, err := zstd.NewWriter(nil, options...)
	if err != nil {
		return nil, fmt.Errorf("compressing snapshots: %w", err)
	}
	return &squeezer{encoder}, nil
}

func (s *squeezer) squeeze(out, data []byte) []byte { return s.encoder.EncodeAll(data, out[:0]) }

// opener decompresses the snapshots of one group.
type opener struct{ decoder *zstd.Decoder }

func newOpener(first []byte) (*opener, error) {
	options := []zstd.DOption{zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSnapshot), zstd.WithDecoderLowmem(true)}
	if first != nil {
		options = append(options, zstd.WithDecoderDictRaw(dictID, first))
	}
	decoder, err := zstd.NewReader(nil, options...)
	if err != nil {
		return nil, fmt.Errorf("decompressing snapshots: %w", err)
	}
	return &opener{decoder}, nil
}

func (o *opener) open(out, data []byte) ([]byte, error) { return o.decoder.DecodeAll(data, out[:0]) }

func (o *opener) close() { o.decoder.Close() }
