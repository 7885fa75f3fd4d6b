package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/model"
	"weir/backend/safetext"
)

// ErrNoOldModel is the error of RollbackModel when no model was swapped.
var ErrNoOldModel = errors.New("there is no model to go back to")

// loadedModel is a model that fits the configured features. It is immutable.
type loadedModel struct {
	model       model.Model
	description model.Description
	columns     []model.Column
	hasText     bool
	suffix      string // ends the JSON of its predictions
	loaded      time.Time

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
	e.firstRevision.is(loaded.description.Revision)
	e.control.Lock()
	defer e.control.Unlock()
	e.force(loaded)
	e.tell(event.Model, event.Info, "model "+e.cfg.ModelVersion, "loaded: %s from %s", loaded.kind, loaded.source)
	return nil
}

// fit checks that a model can score the configured features.
func (e *Engine) fit(m model.Model, version string) (*loadedModel, error) {
	names := e.cfg.Store.Names()
	columns := model.Columns(names, m.Describe().Inputs)
	if _, err := m.Bind(columns); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModelMismatch, err)
	}
	suffix, err := suffixOf(version)
	if err != nil {
		return nil, err
	}
	description := m.Describe() // a server has been asked by now
	out := &loadedModel{
		model: m, description: description, columns: columns, loaded: time.Now(), suffix: suffix,
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

// suffixOf ends the JSON of a prediction.
func suffixOf(version string) (string, error) {
	quoted, err := json.Marshal(version)
	if err != nil {
		return "", fmt.Errorf("the model's version: %w", err)
	}
	return `,"model_version":` + string(quoted) + `}`, nil
}

// firstOf remembers the first of some texts that is not empty.
type firstOf struct {
	mu    sync.Mutex
	first string
}

// is tells whether text is the first, or none.
func (f *firstOf) is(text string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == "" {
		f.first = text
	}
	return text == "" || text == f.first
}

// versionOf is what a model that came by itself is called: the first one as it is configured, others as they call
// themselves or, where they do not, as configured with their revision: v2.1+7f3a90c2.
func (e *Engine) versionOf(own, revision string) string {
	switch {
	case e.firstRevision.is(revision):
		return e.cfg.ModelVersion
	case own != "":
		return own
	}
	return e.cfg.ModelVersion + "+" + revision
}

// watchModel swaps in each model that comes until ctx ends. One that does not do is told of once and changes nothing.
func (e *Engine) watchModel(ctx context.Context) {
	for e.cfg.NextModel != nil {
		m, err := e.cfg.NextModel(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			d := m.Describe()
			err = e.SwapModel(m, e.versionOf(d.Version, d.Revision))
		}
		if err != nil {
			e.tell(event.Model, event.Warning, "model "+e.model.Load().version.String(), "stays in force, the new one is refused: %v", err)
			e.logger.Warn("the new model is refused", "error", err)
		}
	}
}

// SwapModel puts another model in force: from the next batch on, without losing an event. The one before is kept for
// RollbackModel. The error wraps ErrModelMismatch when the model does not fit the features; nothing changes then.
func (e *Engine) SwapModel(m model.Model, version string) error {
	loaded, err := e.fit(m, version)
	if err != nil {
		return err
	}
	e.control.Lock()
	defer e.control.Unlock()
	old := e.force(loaded)
	if old != nil && old.model != m { // a server cannot be asked for what it served before
		e.oldModel = old
	}
	e.tell(event.Model, event.Info, "model "+version, "in force: %s from %s", loaded.kind, loaded.source)
	return nil
}

// RollbackModel puts the model before the last swap in force again and tells its version. Rolling back twice returns
// to where one was. A configured file that holds another model is not touched: the next start loads that.
func (e *Engine) RollbackModel() (version string, err error) {
	e.control.Lock()
	defer e.control.Unlock()
	if e.oldModel == nil {
		return "", ErrNoOldModel
	}
	back := e.oldModel
	e.oldModel = e.force(back)
	next := ""
	if e.oldModel.source == back.source { // a file that was replaced
		next = "; the next start loads what the file holds then"
	}
	e.tell(event.Model, event.Warning, "model "+back.version.String(), "in force again: rolled back%s", next)
	return back.version.String(), nil
}

// force swaps the model. The histogram starts anew: it speaks of one model. The caller holds control.
func (e *Engine) force(m *loadedModel) (old *loadedModel) {
	old = e.model.Swap(m)
	e.stats.forgetScores(m)
	e.adoptBaselines(old, m)
	return old
}

func (e *Engine) fillModel(s *Snapshot) {
	m := e.model.Load()
	if m == nil {
		return
	}
	s.Model.Version = m.version
	s.Model.Source = m.source
	s.Model.Kind = m.kind
	s.Model.Loaded = m.loaded
	s.Model.Features = m.features
	baseline, size := m.baseline, m.description.BaselineSize
	if r := e.recorded.Load(); r != nil {
		baseline, size, s.BaselineRecorded = r.shares, r.n, r.at
	}
	if baseline != nil {
		s.Baseline = baseline
		s.PSI, s.PSIThreshold = psi(s.Histogram[:], baseline, size)
	}
}
