package pipeline

import (
	"math"

	"weir/backend/features"
)

// minDrift is how many predictions a judgement on drift needs.
const minDrift = 100

// psi compares a histogram of n counts with the shares of a baseline of m = size samples: the population stability index
// Σ(qᵢ−pᵢ)ln(qᵢ/pᵢ), and the threshold it exceeds by chance once in a thousand when nothing drifted. A size of 0 means
// that the baseline is known exactly. The threshold holds only where some five counts are expected of each bin, so that
// thinner ones are joined with their neighbours.
// Both are NaN when it cannot be told.
func psi(counts []uint64, baseline []float64, size uint64) (index, threshold float64) {
	n, sum := uint64(0), 0.0
	for _, c := range counts {
		n += c
	}
	for _, p := range baseline {
		if !(p >= 0) || math.IsInf(p, 0) {
			return math.NaN(), math.NaN()
		}
		sum += p
	}
	if n < minDrift || len(baseline) != len(counts) || sum <= 0 {
		return math.NaN(), math.NaN()
	}
	m := math.Inf(1)
	if size > 0 {
		m = float64(size)
	}
	bins, least := 0, min(float64(n), m)
	p, q, lastP, lastQ := 0.0, 0.0, 0.0, 0.0
	for i, share := range baseline {
		p += share / sum
		q += float64(counts[i])
		if p*least < 5 && i < len(baseline)-1 {
			continue
		}
		if p*least < 5 && bins > 0 { // the last bins are too thin: join them with the one before
			index -= psiTerm(lastP, lastQ, n)
			p, q = p+lastP, q+lastQ
			bins--
		}
		index += psiTerm(p, q, n)
		bins++
		lastP, lastQ, p, q = p, q, 0, 0
	}
	if bins < 2 {
		return math.NaN(), math.NaN()
	}
	return index, features.DriftByChance(bins, float64(n), m)
}

// psiTerm is one bin's part. Half a count keeps an empty bin finite.
func psiTerm(p, count float64, n uint64) float64 {
	q := math.Max(count, 0.5) / float64(n)
	return (q - p) * math.Log(q/p)
}
