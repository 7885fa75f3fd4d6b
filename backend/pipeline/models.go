package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"weir/backend/event"
	"weir/backend/model"
	"weir/backend/safetext"
)

// loadedModel is a model that fits the configured features. It is immutable.
type loadedModel struct {
	model   model.Model
	columns []model.Column
	hasText bool
	suffix  string // ends the JSON of its predictions
	loaded  time.Time

	version, source, kind safetext.Text
	features              []safetext.Text
	baseline              []float64 // shares of Bins bins, nil when not known
}

// loadModel loads the configured model and puts it in force.
func (e *Engine) loadModel(ctx context.Context) error {
	m, err := e.cfg.LoadModel(ctx)
	if err != nil {
		return fmt.Errorf("load the model: %w", err)
	}
	loaded, err := e.fit(m, e.cfg.ModelVersion)
	if err != nil {
		return err
	}
	e.model.Store(loaded)
	e.tell(event.Model, event.Info, "model "+e.cfg.ModelVersion, "loaded: %s from %s", loaded.kind, loaded.source)
	return nil
}

// fit checks that a model can score the configured features.
func (e *Engine) fit(m model.Model, version string) (*loadedModel, error) {
	names := e.cfg.Store.Names()
	description := m.Describe()
	columns := model.Columns(names, description.Inputs)
	if _, err := m.Bind(columns); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModelMismatch, err)
	}
	quoted, err := json.Marshal(version)
	if err != nil {
		return nil, fmt.Errorf("the model's version: %w", err)
	}
	out := &loadedModel{
		model: m, columns: columns, loaded: time.Now(),
		suffix:  `,"model_version":` + string(quoted) + `}`,
		version: safetext.Clean(version), source: safetext.Clean(description.Source), kind: safetext.Clean(description.Kind),
	}
	for _, c := range columns {
		out.hasText = out.hasText || c.IsText
		out.features = append(out.features, safetext.Clean(c.Name))
	}
	if len(description.Baseline) == Bins {
		sum := 0.0
		for _, share := range description.Baseline {
			sum += share
		}
		if sum > 0 {
			out.baseline = slices.Clone(description.Baseline)
			for i := range out.baseline {
				out.baseline[i] /= sum
			}
		}
	}
	return out, nil
}
