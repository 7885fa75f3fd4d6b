package features

import (
	"math"
	"sync"
	"time"
)

// A latency is counted in buckets of 5 % width, in slots of 5 seconds, of which the last twelve make the last minute.
const (
	latencyGamma   = 1.05
	latencyFloor   = 0.01 // milliseconds; below it all is one bucket
	latencyBuckets = 360  // up to 0.01 · 1.05^360 ms, seven minutes
	slotLength     = 5 * time.Second
	slots          = 12
)

// latencies tell the quantiles of the last minute. The zero value is ready.
type latencies struct {
	mu     sync.Mutex
	counts [slots][latencyBuckets]uint32
	begun  [slots]int64 // the slot's number since the epoch; another number means the counts are old
}

func (l *latencies) add(at time.Time, d time.Duration) {
	ms := float64(d) / float64(time.Millisecond)
	bucket := 0
	if ms > latencyFloor {
		bucket = min(int(math.Log(ms/latencyFloor)/math.Log(latencyGamma)), latencyBuckets-1)
	}
	number := at.UnixNano() / int64(slotLength)
	l.mu.Lock()
	defer l.mu.Unlock()
	i := int(number % slots)
	if l.begun[i] != number {
		l.begun[i], l.counts[i] = number, [latencyBuckets]uint32{}
	}
	l.counts[i][bucket]++
}

// quantiles are in milliseconds, within 2.5 %; 0 without a measurement in the last minute.
func (l *latencies) quantiles(at time.Time) (p50, p99 float64) {
	var sum [latencyBuckets]uint64
	var total uint64
	number := at.UnixNano() / int64(slotLength)
	l.mu.Lock()
	for i := range l.counts {
		if age := number - l.begun[i]; age < 0 || age >= slots {
			continue
		}
		for b, n := range l.counts[i] {
			sum[b] += uint64(n)
			total += uint64(n)
		}
	}
	l.mu.Unlock()
	quantile := func(q float64) float64 {
		rank, seen := uint64(math.Ceil(q*float64(total))), uint64(0)
		for b, n := range sum {
			if seen += n; seen >= rank {
				return latencyFloor * math.Pow(latencyGamma, float64(b)+0.5)
			}
		}
		return 0
	}
	if total == 0 {
		return 0, 0
	}
	return quantile(0.50), quantile(0.99)
}
