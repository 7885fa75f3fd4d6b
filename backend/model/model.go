// Package model scores feature rows with a trained classifier.
package model

import "context"

// Frame is a batch of feature rows, row-major: the value of column c in row r is at r*len(Columns)+c of Numbers or,
// where the column is text, of Strings. NaN is a missing number.
type Frame struct {
	Columns []Column
	Rows    int
	Numbers []float64
	Strings []string // nil when no column is text
}

// Column describes one column of a Frame.
type Column struct {
	Name   string // the feature's name as configured, such as user_profile:age
	IsText bool
}

// Model gives each row the probability of the positive class.
type Model interface {
	// Describe says what was loaded.
	Describe() Description
	// Bind checks that the model can score frames of these columns and returns a scorer for them. The error lists
	// what the model wants beside what the columns offer.
	Bind(columns []Column) (Scorer, error)
}

// Scorer scores frames of one set of columns. It is not safe for concurrent use: bind one a goroutine.
type Scorer interface {
	// Score writes the probability of the positive class of each row to out[:frame.Rows], as predict_proba(...)[:, 1].
	// A row the model cannot score becomes NaN; an error means that no row was scored and that asking again may help
	// (a model server that is away).
	Score(ctx context.Context, frame *Frame, out []float64) error
}

// Description says what a model is.
type Description struct {
	Kind     string // the deciding operator, such as LinearClassifier, or "open inference protocol"
	Source   string // the file or URL
	Producer string // what wrote it, such as skl2onnx 1.20.0
	Inputs   []Input
	// Version is what the model itself says it is (metadata key weir.version); empty where it does not.
	Version string
	// Revision tells models of one name apart, in a few characters: the first digits of a file's Fingerprint, the
	// version a server reports; empty where nobody says.
	Revision string
	// Fingerprint names the model exactly: the SHA-256 of a file, the URL and version of what is served.
	Fingerprint string
	// Baseline is the share of training predictions in each of 20 equal bins, if the file tells
	// (metadata key weir.baseline: 20 comma-separated numbers), and BaselineSize how many predictions those were; 0
	// where the file has shares instead of counts.
	Baseline     []float64
	BaselineSize uint64
	// Features are the histograms of the features in the training data, if the file tells (metadata key
	// weir.feature_baselines).
	Features []Histogram
}

// Histogram counts the values of one feature. Counts holds, in this order: the values that were missing; those of each
// text of Texts; all other texts; the numbers up to and including each edge of Edges, which ascend; those beyond.
type Histogram struct {
	Name   string    `json:"name"`
	Texts  []string  `json:"texts,omitempty"`
	Edges  []float64 `json:"edges,omitempty"`
	Counts []uint64  `json:"counts"`
}

// Input is one input the model wants.
type Input struct {
	Name   string
	Type   string // float, double, int64, string
	Width  int    // columns; 0 when the file leaves it open
	IsText bool
}
