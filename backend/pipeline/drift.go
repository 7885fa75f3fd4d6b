package pipeline

import "math"

// minDrift is how many predictions a judgement on drift needs.
const minDrift = 100

// psi compares a histogram of n counts with the shares of a baseline of m = size samples: the population stability index
// Σ(qᵢ−pᵢ)ln(qᵢ/pᵢ), and the threshold it exceeds by chance once in a thousand when nothing drifted. Without drift PSI is
// about (1/n + 1/m)·χ²(bins−1) (B. Yurdakul and J. Naranjo, "Statistical properties of the population stability index",
// Journal of Risk Model Validation 14, 2020); a size of 0 means that the baseline is known exactly, and 1/m is 0. That
// holds only where some five counts are expected of each bin, so that thinner ones are joined with their neighbours.
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
	bins, least := 0, float64(n)
	if size > 0 {
		least = min(least, float64(size))
	}
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
	spread := 1 / float64(n)
	if size > 0 {
		spread += 1 / float64(size)
	}
	return index, chiSquared999(bins-1) * spread
}

// psiTerm is one bin's part. Half a count keeps an empty bin finite.
func psiTerm(p, count float64, n uint64) float64 {
	q := math.Max(count, 0.5) / float64(n)
	return (q - p) * math.Log(q/p)
}

// chiSquared999 is the 99.9th percentile of χ² with k degrees of freedom (Wilson and Hilferty, 1931).
func chiSquared999(k int) float64 {
	const z = 3.0902323061678132 // the normal distribution's 99.9th percentile
	v := 2 / (9 * float64(k))
	return float64(k) * math.Pow(1-v+z*math.Sqrt(v), 3)
}
