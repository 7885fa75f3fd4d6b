package model

import "math"

// keyMaker turns numbers into integers of the same order.
type keyMaker[K int32 | int64] struct {
	// fill writes the keys of every stride-th value.
	fill func(keys []K, x []float64, stride int, nanLow bool)
	// limit is the greatest key of a value that goes low: at most the threshold, or below it if strict.
	limit func(threshold float64, strict bool) K
	// top is the greatest key of all.
	top K
}

// singleKeys compares as float32: values are rounded to it first, as every library does before a tree compares.
var singleKeys = keyMaker[int32]{fill: fillSingles, limit: singleLimit, top: math.MaxInt32}

// doubleKeys compares as float64.
var doubleKeys = keyMaker[int64]{fill: fillDoubles, limit: doubleLimit, top: math.MaxInt64}

// key32 orders float32 as int32. A negative number's magnitude bits are flipped; adding zero makes -0 the same as 0.
func key32(v float32) int32 {
	b := int32(math.Float32bits(v + 0))
	return b ^ int32(uint32(b>>31)>>1)
}

func key64(v float64) int64 {
	b := int64(math.Float64bits(v + 0))
	return b ^ int64(uint64(b>>63)>>1)
}

func fillSingles(keys []int32, x []float64, stride int, nanLow bool) {
	nan := int32(math.MaxInt32)
	if nanLow {
		nan = math.MinInt32
	}
	for r := range keys {
		v := float32(x[r*stride])
		k := key32(v)
		if v != v {
			k = nan
		}
		keys[r] = k
	}
}

func fillDoubles(keys []int64, x []float64, stride int, nanLow bool) {
	nan := int64(math.MaxInt64)
	if nanLow {
		nan = math.MinInt64
	}
	for r := range keys {
		v := x[r*stride]
		k := key64(v)
		if v != v {
			k = nan
		}
		keys[r] = k
	}
}

// singleLimit rounds a threshold given as a double down to a float32, so that comparing with it comes out the same.
func singleLimit(threshold float64, strict bool) int32 {
	if threshold != threshold {
		return math.MinInt32 // nothing compares with NaN
	}
	t := float32(threshold)
	k := key32(t)
	if float64(t) > threshold || strict && float64(t) == threshold {
		k--
	}
	return k
}

func doubleLimit(threshold float64, strict bool) int64 {
	if threshold != threshold {
		return math.MinInt64
	}
	k := key64(threshold)
	if strict {
		k--
	}
	return k
}
