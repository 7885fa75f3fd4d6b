package mesh

import (
	"container/heap"
	"math"
	"slices"
)

// sketchSize is how many hashes a sketch keeps. The relative error of what it tells is about 1/√sketchSize, 2.2 %.
const sketchSize = 2048

// sketch remembers the smallest hashes of a set (a k-minimum-values sketch): from how small they are follows how many
// values there are, from those two sets share how much the sets overlap. A set of fewer values is known exactly.
type sketch struct {
	hashes maxHeap
	in     map[uint64]struct{}
}

type maxHeap []uint64

func (h maxHeap) Len() int           { return len(h) }
func (h maxHeap) Less(i, j int) bool { return h[i] > h[j] }
func (h maxHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *maxHeap) Push(x any)        { *h = append(*h, x.(uint64)) }
func (h *maxHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (s *sketch) add(h uint64) {
	if s.in == nil {
		s.in = map[uint64]struct{}{}
	}
	if len(s.hashes) == sketchSize && h >= s.hashes[0] {
		return
	}
	if _, known := s.in[h]; known {
		return
	}
	s.in[h] = struct{}{}
	if len(s.hashes) < sketchSize {
		heap.Push(&s.hashes, h)
		return
	}
	delete(s.in, s.hashes[0])
	s.hashes[0] = h
	heap.Fix(&s.hashes, 0)
}

func (s *sketch) exact() bool { return len(s.hashes) < sketchSize }

// distinct estimates how many values the set has.
func (s *sketch) distinct() float64 {
	if s.exact() {
		return float64(len(s.hashes))
	}
	return float64(sketchSize-1) / unit(s.hashes[0])
}

// unit places a hash in (0, 1].
func unit(h uint64) float64 { return (float64(h) + 1) / math.Ldexp(1, 64) }

// contained estimates the share of a's values that b has too, with the standard error of the estimate.
func contained(a, b *sketch) (share, stderr float64) {
	if len(a.hashes) == 0 || len(b.hashes) == 0 {
		return 0, 0
	}
	// The hashes of both up to the larger's horizon are a fair sample of the union.
	horizon := uint64(math.MaxUint64)
	for _, s := range []*sketch{a, b} {
		if !s.exact() {
			horizon = min(horizon, s.hashes[0])
		}
	}
	sampled, shared := 0, 0
	for h := range a.in {
		if h > horizon {
			continue
		}
		sampled++
		if _, ok := b.in[h]; ok {
			shared++
		}
	}
	if sampled == 0 {
		return 0, 1
	}
	share = float64(shared) / float64(sampled)
	if a.exact() && b.exact() {
		return share, 0
	}
	// Agresti and Coull's correction keeps the error of a share near 0 or 1 from being 0.
	n := float64(sampled) + 4
	p := (float64(shared) + 2) / n
	return share, math.Sqrt(p * (1 - p) / n)
}

// sorted is for tests.
func (s *sketch) sorted() []uint64 { return slices.Sorted(slices.Values(s.hashes)) }
