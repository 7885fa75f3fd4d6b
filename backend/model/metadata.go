package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Metadata keys of an ONNX file that examples/joblib_to_onnx.py writes. Each may be absent.
const (
	// VersionKey is what the model's author calls it, such as v2.2.
	VersionKey = "weir.version"
	// FeaturesKey is the features' names in the order of a model's one wide input, separated by commas.
	FeaturesKey = "weir.features"
	// BaselineKey is the training predictions' histogram: 20 comma-separated counts or shares, of the bins [0, 0.05),
	// [0.05, 0.1) … [0.95, 1].
	BaselineKey = "weir.baseline"
	// FeatureBaselinesKey is the histograms of the features in the training data: a JSON list of Histogram.
	FeatureBaselinesKey = "weir.feature_baselines"
	// SamplesKey is rows with the probabilities the model's own library gives them:
	// {"columns":[…],"rows":[[…]],"probabilities":[…]}, null for a missing value.
	SamplesKey = "weir.samples"
)

// Bounds of what a file's metadata may hold.
const (
	baselineBins   = 20
	maxVersion     = 200  // bytes
	maxHistogram   = 1000 // bins of one feature
	minExactCounts = 2    // a histogram of whole numbers that sum to less is one of shares
)

// read takes over what a file's metadata tells.
func (d *Description) read(metadata map[string]string) (err error) {
	d.Version = strings.TrimSpace(metadata[VersionKey])
	if len(d.Version) > maxVersion {
		return fmt.Errorf("metadata %s: expected at most %d bytes, found %d", VersionKey, maxVersion, len(d.Version))
	}
	if text, ok := metadata[BaselineKey]; ok {
		if d.Baseline, d.BaselineSize, err = parseBaseline(text); err != nil {
			return fmt.Errorf("metadata %s: %w", BaselineKey, err)
		}
	}
	if text, ok := metadata[FeatureBaselinesKey]; ok {
		if d.Features, err = parseHistograms(text); err != nil {
			return fmt.Errorf("metadata %s: %w", FeatureBaselinesKey, err)
		}
	}
	return nil
}

// parseBaseline reads counts or shares and gives shares that sum to 1, and the sum of the counts; 0 of shares.
func parseBaseline(text string) (shares []float64, size uint64, err error) {
	parts := strings.Split(text, ",")
	if len(parts) != baselineBins {
		return nil, 0, fmt.Errorf("expected %d comma-separated numbers, found %d", baselineBins, len(parts))
	}
	shares = make([]float64, baselineBins)
	sum, whole := 0.0, true
	for i, part := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || !(v >= 0) || math.IsInf(v, 0) {
			return nil, 0, fmt.Errorf("expected a number of at least 0 for bin %d, found %q", i+1, part)
		}
		whole = whole && v == math.Trunc(v)
		shares[i] = v
		sum += v
	}
	if sum <= 0 || math.IsInf(sum, 0) {
		return nil, 0, errors.New("expected shares that sum to 1, found nothing but zeros")
	}
	for i := range shares {
		shares[i] /= sum
	}
	if whole && sum >= minExactCounts && sum < 1<<53 {
		size = uint64(sum)
	}
	return shares, size, nil
}

func parseHistograms(text string) ([]Histogram, error) {
	var out []Histogram
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("expected a JSON list of histograms: %w", err)
	}
	if len(out) > maxColumns {
		return nil, fmt.Errorf("expected at most %d histograms, found %d", maxColumns, len(out))
	}
	for i := range out {
		if err := out[i].check(); err != nil {
			return nil, fmt.Errorf("histogram of %q: %w", out[i].Name, err)
		}
	}
	return out, nil
}

func (h *Histogram) check() error {
	want := 1 + len(h.Texts) + 1 + len(h.Edges) + 1
	if len(h.Counts) != want || want > maxHistogram {
		return fmt.Errorf("expected %d counts (missing, %d texts, other texts, numbers by %d edges), at most %d, found %d",
			want, len(h.Texts), len(h.Edges), maxHistogram, len(h.Counts))
	}
	if !slices.IsSorted(h.Edges) {
		return errors.New("expected edges that ascend")
	}
	sum := uint64(0)
	for _, n := range h.Counts {
		if n > 1<<53 {
			return fmt.Errorf("expected counts below 2^53, found %d", n)
		}
		sum += n
	}
	if sum == 0 {
		return errors.New("expected values, found none")
	}
	return nil
}

// HistogramOf is the histogram of a feature as it is configured, by the rules that match columns with a model's
// inputs; nil where there is none.
func (d *Description) HistogramOf(feature string) *Histogram {
	columns := make([]Column, len(d.Features))
	for i := range d.Features {
		columns[i].Name = d.Features[i].Name
	}
	if at, err := columnNamed(feature, columns); err == nil {
		return &d.Features[at]
	}
	return nil
}
