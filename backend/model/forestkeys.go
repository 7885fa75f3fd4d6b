package model

import (
	"math"
	"slices"
)

// key32 orders float32 as int32. A negative number's magnitude bits are flipped; adding zero makes -0 the same as 0.
func key32(v float32) int32 {
	b := int32(math.Float32bits(v + 0))
	return b ^ int32(uint32(b>>31)>>1)
}

func key64(v float64) int64 {
	b := int64(math.Float64bits(v + 0))
	return b ^ int64(uint64(b>>63)>>1)
}

// missing is the key of NaN.
func (c *keyColumn) missing() int32 {
	if c.nanLow {
		return math.MinInt32
	}
	return math.MaxInt32
}

// fillSingles writes the keys of every stride-th value as float32: values are rounded to it first, as every library
// does before a tree compares.
func (c *keyColumn) fillSingles(keys []int64, x []float64, stride int) {
	nan := c.missing()
	for r := range keys {
		v := float32(x[r*stride])
		k := key32(v)
		if v != v {
			k = nan
		}
		keys[r] = int64(k) << 32
	}
}

// fillRanks writes the keys of every stride-th value as its rank among the cuts.
func (c *keyColumn) fillRanks(keys []int64, x []float64, stride int) {
	for r := range keys {
		v := x[r*stride]
		k := c.missing()
		if v == v {
			k = rank(c.cuts, key64(v))
		}
		keys[r] = int64(k) << 32
	}
}

// rank is how many of the sorted cuts are less than a key: a value goes low at a cut exactly if its rank is at most
// the cut's own.
func rank(cuts []int64, key int64) int32 {
	i, _ := slices.BinarySearch(cuts, key)
	return int32(i)
}

func sortedSet(v []int64) []int64 {
	slices.Sort(v)
	return slices.Compact(v)
}

// singleLimit is the greatest key that goes low: at most the threshold, or below it if strict. A threshold given as a
// double is rounded down to a float32, so that comparing with it comes out the same.
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

// doubleLimit is singleLimit for doubles.
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
