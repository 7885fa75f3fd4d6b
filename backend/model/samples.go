package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
)

// ErrSamples is wrapped by the error of a file that does not give its samples the probabilities that its library did.
var ErrSamples = errors.New("the file differs from the model it was exported from")

const (
	maxSamples     = 4096 // rows
	maxSampleError = 1e-4
)

type samples struct {
	Columns       []string  `json:"columns"`
	Rows          [][]any   `json:"rows"`
	Probabilities []float64 `json:"probabilities"`
}

// checkSamples scores the samples a file brings along.
func (m *onnxModel) checkSamples(text string) error {
	var s samples
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("metadata %s: expected JSON with columns, rows and probabilities: %w", SamplesKey, err)
	}
	if len(s.Rows) != len(s.Probabilities) || len(s.Rows) > maxSamples || len(s.Columns) > maxColumns {
		return fmt.Errorf("metadata %s: %d rows of %d columns with %d probabilities", SamplesKey, len(s.Rows), len(s.Columns), len(s.Probabilities))
	}
	frame, err := s.frame(Columns(s.Columns, m.description.Inputs))
	if err != nil {
		return fmt.Errorf("metadata %s: %w", SamplesKey, err)
	}
	scorer, err := m.Bind(frame.Columns)
	if err != nil {
		return fmt.Errorf("metadata %s: %w", SamplesKey, err)
	}
	got := make([]float64, frame.Rows)
	if err := scorer.Score(context.Background(), frame, got); err != nil {
		return fmt.Errorf("metadata %s: %w", SamplesKey, err)
	}
	for i, want := range s.Probabilities {
		if !(math.Abs(got[i]-want) <= maxSampleError) {
			return fmt.Errorf("%w: of sample %d its library says %.6g, the file gives %.6g; "+
				"the exporter does not carry this kind of model over faithfully (backend/model/CONFORMANCE.md lists what is known)",
				ErrSamples, i+1, want, got[i])
		}
	}
	return nil
}

func (s *samples) frame(columns []Column) (*Frame, error) {
	f := &Frame{Columns: columns, Rows: len(s.Rows)}
	for i, row := range s.Rows {
		if len(row) != len(columns) {
			return nil, fmt.Errorf("row %d has %d values for %d columns", i+1, len(row), len(columns))
		}
		for _, cell := range row {
			number, text := math.NaN(), ""
			switch v := cell.(type) {
			case float64:
				number = v
			case bool:
				number = truth(v)
			case string:
				text = v
			case nil:
			default:
				return nil, fmt.Errorf("row %d holds %v, neither a number nor a string", i+1, v)
			}
			f.Numbers, f.Strings = append(f.Numbers, number), append(f.Strings, text)
		}
	}
	return f, nil
}

// reorder brings the columns of one wide input into the order the model was trained with, if the file tells it and
// the names are those of the columns. Names that have nothing in common with the columns' say nothing.
func reorder(f *feed, features []string, columns []Column) error {
	if len(features) != len(f.columns) {
		return nil
	}
	order, found := make([]int, len(features)), 0
	taken := make([]bool, len(columns))
	var missing []string
	for i, name := range features {
		c, err := columnNamed(name, columns)
		if err != nil || taken[c] {
			missing = append(missing, name)
			continue
		}
		taken[c], order[i] = true, c
		found++
	}
	switch found {
	case 0:
		return nil
	case len(features):
		f.columns = order
		return nil
	}
	return fmt.Errorf("%w: the model was trained on %s, of which %s are not among the configured %s",
		ErrColumns, strings.Join(features, ", "), strings.Join(missing, ", "), listColumns(columns))
}
