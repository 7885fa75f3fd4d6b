package features

import (
	"context"
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of drift.
const (
	defaultBaseline = 10_000 // samples a baseline is made of
	driftSamples    = 32     // rows looked at in one batch, at most
	driftBins       = 10     // equal shares of the baseline; rarer texts share one more
	driftTexts      = 19     // texts counted apart
	driftLeast      = 100    // samples a judgement needs
	rebaseLeast     = 1000   // samples a baseline needs
)

// DriftConfig says what present features are compared with.
type DriftConfig struct {
	Baseline int // samples of each feature the baseline is made of, where none is set; default 10,000
	// Encoding names how texts become numbers before they get here: baselines of another one do not compare.
	Encoding string
}

// Observer is a Store that measures drift: what it compares with can be read and replaced.
type Observer interface {
	Store
	// Baselines are what the features are compared with, in the order of Names; nil while some are being collected.
	Baselines() []Baseline
	// SetBaselines replaces them. Features that are not among them, or whose baseline makes no sense, are collected
	// anew from the values to come.
	SetBaselines(baselines []Baseline)
	// Rebase compares with the last minute's values from now on. It is false, and nothing changes, where a feature has
	// too few of them for a judgement.
	Rebase() bool
	// Encoding is the configured one.
	Encoding() string
}

// Baseline is a histogram of one feature's values. Counts holds, in this order: the values that were missing; those of
// each text of Texts; all other texts; the numbers up to and including each edge of Edges, which ascend; those beyond.
type Baseline struct {
	Name   string    `json:"name"`
	Texts  []string  `json:"texts,omitempty"`
	Edges  []float64 `json:"edges,omitempty"`
	Counts []uint64  `json:"counts"`
}

// Drift is how far the last minute's values of one feature are from the baseline: the one that was set, else the first
// values seen.
type Drift struct {
	Name string
	// PSI is the population stability index Σ(qᵢ−pᵢ)ln(qᵢ/pᵢ) of the bins, of which one holds the missing values;
	// Threshold is what it exceeds by chance once in a thousand. Both are NaN while it cannot be told.
	PSI, Threshold float64
	// Missing is the share of values that are not PRESENT, in the last minute and in the baseline; NaN without any.
	Missing, BaselineMissing float64
	Samples, Baseline        uint64 // values looked at in the last minute, and for the baseline
}

// Drifted tells whether the feature has drifted beyond chance.
func (d Drift) Drifted() bool { return d.PSI > d.Threshold }

// driftStore looks at a few rows of each batch that passes.
type driftStore struct {
	Store
	baseline int
	encoding string
	next     atomic.Uint32 // where the next batch's samples begin

	mu       sync.Mutex
	features []*drifting
}

// NewDrift puts an observer in front of store, whose Stats then tell the drift of each feature. It belongs before the
// cache: what counts is what the model is given, event by event.
func NewDrift(store Store, c DriftConfig) Observer {
	d := &driftStore{Store: store, baseline: c.Baseline, encoding: c.Encoding}
	if d.baseline <= 0 {
		d.baseline = defaultBaseline
	}
	for range store.Names() {
		d.features = append(d.features, &drifting{})
	}
	return d
}

func (d *driftStore) Fetch(ctx context.Context, entities []Entity, rows []*Row) error {
	if err := d.Store.Fetch(ctx, entities, rows); err != nil {
		return err
	}
	d.observe(rows, time.Now())
	return nil
}

// observe looks at rows spread over the batch. Where it begins moves on, so that no place in a batch is favoured.
func (d *driftStore) observe(rows []*Row, now time.Time) {
	if len(rows) == 0 {
		return
	}
	step := (len(rows) + driftSamples - 1) / driftSamples
	from := int(d.next.Add(1)) % step
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := from; i < len(rows); i += step {
		for f, feature := range d.features {
			feature.add(&rows[i].Values[f], now, d.baseline)
		}
	}
}

func (d *driftStore) Stats() Stats {
	s := d.Store.Stats()
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	s.Drift = make([]Drift, len(d.features))
	for i, f := range d.features {
		s.Drift[i] = f.judge(now)
		s.Drift[i].Name = d.Names()[i]
	}
	return s
}

func (d *driftStore) Encoding() string { return d.encoding }

func (d *driftStore) Baselines() []Baseline {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Baseline, len(d.features))
	for i, f := range d.features {
		if f.bins == nil {
			return nil
		}
		out[i] = Baseline{Name: d.Names()[i], Texts: f.bins.names(), Edges: f.bins.edges, Counts: slices.Clone(f.baseline)}
	}
	return out
}

func (d *driftStore) SetBaselines(baselines []Baseline) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, name := range d.Names() {
		d.features[i] = &drifting{}
		for j := range baselines {
			if baselines[j].Name == name {
				d.features[i].set(&baselines[j])
			}
		}
	}
}

func (d *driftStore) Rebase() bool {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	counts := make([][]uint64, len(d.features))
	for i, f := range d.features {
		if f.bins == nil {
			return false
		}
		n := uint64(0)
		counts[i] = f.lastMinute(now)
		for _, c := range counts[i] {
			n += c
		}
		if n < rebaseLeast {
			return false
		}
	}
	for i, f := range d.features {
		f.baseline = counts[i]
	}
	return true
}

// Close closes the store behind, if that can be closed.
func (d *driftStore) Close() error {
	if closer, ok := d.Store.(interface{ Close() error }); ok {
		return closer.Close()
	}
	return nil
}

// drifting is one feature: at first it collects the baseline, then it counts.
type drifting struct {
	collected int       // for the baseline, until there are enough
	numbers   []float64 // of them
	texts     map[string]uint64
	missing   uint64

	bins     *bins
	baseline []uint64 // by bin
	window   [slots][]uint64
	begun    [slots]int64 // the slot's number since the epoch
}

// bins sorts values: 0 holds the missing ones; then come the texts counted apart, then all others; then numbers up to
// each edge, then those beyond the last.
type bins struct {
	texts map[string]int
	edges []float64
}

// names are the texts counted apart, in the order of their bins.
func (b *bins) names() []string {
	if len(b.texts) == 0 {
		return nil
	}
	out := make([]string, len(b.texts))
	for text, at := range b.texts {
		out[at-1] = text
	}
	return out
}

func (b *bins) count() int { return 1 + len(b.texts) + 1 + len(b.edges) + 1 }

func (b *bins) of(v *Value) int {
	switch {
	case v.Status != Present:
		return 0
	case v.IsText:
		if at, ok := b.texts[v.Text]; ok {
			return at
		}
		return 1 + len(b.texts)
	default:
		return 2 + len(b.texts) + sort.SearchFloat64s(b.edges, v.Number)
	}
}

// set takes over a baseline, if it is one.
func (f *drifting) set(from *Baseline) {
	b := &bins{texts: make(map[string]int, len(from.Texts)), edges: slices.Clone(from.Edges)}
	for i, text := range from.Texts {
		b.texts[text] = 1 + i
	}
	n := uint64(0)
	for _, c := range from.Counts {
		n += c
	}
	if len(b.texts) == len(from.Texts) && len(from.Counts) == b.count() && slices.IsSorted(b.edges) && n > 0 {
		f.bins, f.baseline = b, slices.Clone(from.Counts)
	}
}

func (f *drifting) add(v *Value, now time.Time, enough int) {
	if f.bins == nil {
		f.collect(v, enough)
		return
	}
	number := now.UnixNano() / int64(slotLength)
	at := int(number % slots)
	if f.begun[at] != number || f.window[at] == nil {
		if f.window[at] == nil {
			f.window[at] = make([]uint64, f.bins.count())
		}
		clear(f.window[at])
		f.begun[at] = number
	}
	f.window[at][f.bins.of(v)]++
}

// maxCollectedTexts bounds what a feature of identifiers costs while its baseline is collected.
const maxCollectedTexts = 10_000

func (f *drifting) collect(v *Value, enough int) {
	switch {
	case v.Status != Present:
		f.missing++
	case !v.IsText:
		f.numbers = append(f.numbers, v.Number)
	default:
		if f.texts == nil {
			f.texts = map[string]uint64{}
		}
		key := v.Text
		if _, ok := f.texts[key]; !ok && len(f.texts) >= maxCollectedTexts {
			key = "" // counted among the others, unless the empty text is a common one
		}
		f.texts[key]++
	}
	if f.collected++; f.collected >= enough {
		f.settle()
	}
}

// settle makes the bins and the baseline of what was collected.
func (f *drifting) settle() {
	b := &bins{texts: map[string]int{}}
	common := make([]string, 0, len(f.texts))
	for text := range f.texts {
		common = append(common, text)
	}
	slices.SortFunc(common, func(x, y string) int {
		if f.texts[x] != f.texts[y] {
			return int(int64(f.texts[y]) - int64(f.texts[x]))
		}
		if x < y {
			return -1
		}
		return 1
	})
	for i, text := range common[:min(len(common), driftTexts)] {
		b.texts[text] = 1 + i
	}
	slices.Sort(f.numbers)
	for i := 1; i < driftBins && len(f.numbers) > 0; i++ {
		// An edge belongs to the bin below it, so that a value many have in common stays together.
		edge := f.numbers[i*len(f.numbers)/driftBins]
		if n := len(b.edges); (n == 0 || b.edges[n-1] < edge) && edge < f.numbers[len(f.numbers)-1] {
			b.edges = append(b.edges, edge)
		}
	}
	f.baseline = make([]uint64, b.count())
	f.baseline[0] = f.missing
	for text, n := range f.texts {
		f.baseline[b.of(&Value{IsText: true, Text: text})] += n
	}
	for _, number := range f.numbers {
		f.baseline[b.of(&Value{Number: number})]++
	}
	f.bins, f.numbers, f.texts = b, nil, nil
}

func (f *drifting) judge(now time.Time) Drift {
	nan := math.NaN()
	d := Drift{PSI: nan, Threshold: nan, Missing: nan, BaselineMissing: nan}
	if f.bins == nil {
		d.Baseline = uint64(f.collected)
		return d
	}
	counts := f.lastMinute(now)
	for b := range counts {
		d.Samples += counts[b]
		d.Baseline += f.baseline[b]
	}
	d.BaselineMissing = float64(f.baseline[0]) / float64(d.Baseline)
	if d.Samples > 0 {
		d.Missing = float64(counts[0]) / float64(d.Samples)
	}
	d.PSI, d.Threshold = psi(f.baseline, counts)
	return d
}

// lastMinute counts the values of the last minute by bin.
func (f *drifting) lastMinute(now time.Time) []uint64 {
	counts := make([]uint64, f.bins.count())
	number := now.UnixNano() / int64(slotLength)
	for i, slot := range f.window {
		if age := number - f.begun[i]; age < 0 || age >= slots {
			continue
		}
		for b, n := range slot {
			counts[b] += n
		}
	}
	return counts
}

// psi compares two histograms of counts. What it exceeds by chance is known only where some five counts are expected of
// each bin, so that thinner ones are put together.
func psi(before, now []uint64) (index, threshold float64) {
	var n, m float64
	for i := range before {
		n, m = n+float64(before[i]), m+float64(now[i])
	}
	if n < driftLeast || m < driftLeast {
		return math.NaN(), math.NaN()
	}
	bins, thinBefore, thinNow := 0, 0.0, 0.0
	term := func(before, now float64) {
		p, q := max(before, 0.5)/n, max(now, 0.5)/m // half a count keeps an empty bin finite
		index += (q - p) * math.Log(q/p)
		bins++
	}
	for i := range before {
		b, c := float64(before[i]), float64(now[i])
		if together := (b + c) / (n + m); together*min(n, m) < 5 {
			thinBefore, thinNow = thinBefore+b, thinNow+c
			continue
		}
		term(b, c)
	}
	if thinBefore+thinNow > 0 {
		term(thinBefore, thinNow)
	}
	if bins < 2 {
		return 0, math.Inf(1) // one value and nothing else, before and now
	}
	return index, DriftByChance(bins, n, m)
}

// DriftByChance is what the population stability index of two samples of n and m values, counted in so many bins,
// exceeds once in a thousand when both were drawn from the same: without drift it is about (1/n + 1/m)·χ²(bins−1)
// (B. Yurdakul and J. Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
// Validation 14, 2020). A size of +Inf is a distribution known exactly.
func DriftByChance(bins int, n, m float64) float64 { return (1/n + 1/m) * chiSquared999(bins-1) }

// chiSquared999 is what χ² with k degrees of freedom exceeds once in a thousand (Wilson and Hilferty, 1931).
func chiSquared999(k int) float64 {
	const z = 3.090232306167813 // the same of the normal distribution
	v := 2 / (9 * float64(k))
	return float64(k) * math.Pow(1-v+z*math.Sqrt(v), 3)
}
