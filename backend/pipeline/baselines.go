package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/features"
)

// Drift is measured against a baseline, of the predictions and of each feature. One that was recorded counts first,
// then that of the training, which a model file tells; without either the features' first values are recorded. What was
// recorded belongs to one model and one set of features, and is kept in a file beside other state: a baseline that began
// anew with each process would forget slow drift, and call normal whatever a restart came into.

// recordedBaseline is a baseline of predictions taken from live ones.
type recordedBaseline struct {
	shares []float64
	n      uint64
	at     time.Time
}

const (
	baselineFormat = 1
	baselinesKept  = 16 // of as many models, the newest
	// keepEvery is how often is looked whether a baseline was recorded meanwhile.
	keepEvery = 5 * time.Second
)

// baselineFile is the file of recorded baselines.
type baselineFile struct {
	path string // empty: nothing is kept

	mu     sync.Mutex
	silent bool // it was said that the file cannot be written
	wanted bool // the features' baseline in force is being recorded, and not kept yet
}

// keptBaselines is the file's content.
type keptBaselines struct {
	Format int            `json:"format"`
	Models []keptBaseline `json:"models"` // oldest first
}

type keptBaseline struct {
	Key         string              `json:"key"`     // of the model and what it is given
	Version     string              `json:"version"` // for whoever reads the file
	At          time.Time           `json:"at"`
	Predictions []uint64            `json:"predictions,omitempty"` // counts in Bins bins; none: those of the training
	Features    []features.Baseline `json:"features,omitempty"`
}

// errNewer is the error of a file that a later weir wrote.
var errNewer = errors.New("it was written by a later weir")

func (b *baselineFile) read() (kept keptBaselines, err error) {
	data, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return keptBaselines{}, nil
	}
	if err != nil {
		return keptBaselines{}, err
	}
	if err := json.Unmarshal(data, &kept); err != nil {
		return keptBaselines{}, fmt.Errorf("%s: %w", b.path, err)
	}
	if kept.Format > baselineFormat {
		return keptBaselines{}, fmt.Errorf("%s: %w", b.path, errNewer)
	}
	return kept, nil
}

// find is the kept baseline of a key; nil where there is none.
func (b *baselineFile) find(key string) (*keptBaseline, error) {
	if b.path == "" || key == "" {
		return nil, nil //nolint:nilnil // none is kept
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kept, err := b.read()
	for i := range kept.Models {
		if kept.Models[i].Key == key {
			return &kept.Models[i], err
		}
	}
	return nil, err
}

// change reads the file, lets do change the entry of a key, and writes it: whole or not at all. A file that cannot be
// understood is replaced, unless a later weir wrote it. An entry without baselines is left out.
func (b *baselineFile) change(key string, do func(*keptBaseline)) error {
	if b.path == "" || key == "" {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kept, err := b.read()
	if errors.Is(err, errNewer) {
		return err
	}
	entry := keptBaseline{Key: key}
	kept.Models = slices.DeleteFunc(kept.Models, func(k keptBaseline) bool {
		if k.Key == key {
			entry = k
		}
		return k.Key == key
	})
	do(&entry)
	if entry.Predictions != nil || entry.Features != nil {
		kept.Models = append(kept.Models, entry)
	}
	kept.Models = kept.Models[max(len(kept.Models)-baselinesKept, 0):]
	kept.Format = baselineFormat
	data, err := json.MarshalIndent(kept, "", " ")
	if err != nil {
		return err
	}
	return writeWhole(b.path, append(data, '\n'))
}

// writeWhole replaces a file such that a crash leaves the old one or the new one.
func writeWhole(path string, data []byte) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // closed twice, it does nothing
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// baselineKey names what a baseline is of: the model, and what it is given. Empty where nobody can tell the model from
// another.
func (e *Engine) baselineKey(m *loadedModel) string {
	if m == nil || m.description.Fingerprint == "" {
		return ""
	}
	parts := append([]string{m.description.Fingerprint, e.cfg.Events}, e.cfg.Store.Names()...)
	if o, ok := e.cfg.Store.(features.Observer); ok {
		parts = append(parts, o.Encoding())
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// adoptBaselines chooses what drift is measured against under a model that has come into force. The caller holds
// control.
func (e *Engine) adoptBaselines(old, m *loadedModel) {
	key := e.baselineKey(m)
	if old != nil && key != "" && key == e.baselineKey(old) {
		return // the same by another name
	}
	kept, err := e.baselines.find(key)
	if err != nil {
		e.tell(event.Model, event.Warning, "model "+m.version.String(), "its recorded baseline cannot be read: %v", err)
	}
	e.recorded.Store(nil)
	if kept != nil && len(kept.Predictions) == Bins {
		e.recorded.Store(recordedOf([Bins]uint64(kept.Predictions), kept.At))
		e.tell(event.Model, event.Info, "model "+m.version.String(), "drift is measured against the baseline recorded %s", kept.At.UTC().Format("2006-01-02 15:04 MST"))
	}
	observer, ok := e.cfg.Store.(features.Observer)
	if !ok {
		return
	}
	trained := trainedOf(m, observer.Names())
	switch {
	case kept != nil && kept.Features != nil:
		observer.SetBaselines(kept.Features)
	case len(trained) > 0 || old != nil:
		observer.SetBaselines(trained)
	}
	e.baselines.mu.Lock()
	defer e.baselines.mu.Unlock()
	e.baselines.wanted = observer.Baselines() == nil
}

// trainedOf are the histograms of the training, by the features' configured names.
func trainedOf(m *loadedModel, names []string) []features.Baseline {
	var out []features.Baseline
	for _, name := range names {
		if h := m.description.HistogramOf(name); h != nil {
			out = append(out, features.Baseline{Name: name, Texts: h.Texts, Edges: h.Edges, Counts: h.Counts})
		}
	}
	return out
}

func recordedOf(counts [Bins]uint64, at time.Time) *recordedBaseline {
	r := &recordedBaseline{shares: make([]float64, Bins), at: at}
	for _, c := range counts {
		r.n += c
	}
	for i, c := range counts {
		r.shares[i] = float64(c) / float64(max(r.n, 1))
	}
	return r
}

// RecordBaseline takes the predictions and the features of the last minute as what drift is measured against, as long
// as this model is in force, restarts included.
func (e *Engine) RecordBaseline() error {
	e.control.Lock()
	defer e.control.Unlock()
	now := time.Now()
	counts := e.stats.histogram(now)
	r := recordedOf(counts, now)
	if r.n < 10*minDrift {
		return fmt.Errorf("a baseline needs %d predictions within a minute, there were %d", 10*minDrift, r.n)
	}
	e.recorded.Store(r)
	what := ""
	observer, ok := e.cfg.Store.(features.Observer)
	if ok && observer.Rebase() {
		what = " and their features"
	}
	e.tell(event.Model, event.Info, "model", "baseline recorded from %d predictions%s", r.n, what)
	e.keep(func(k *keptBaseline) {
		k.At, k.Predictions = now, counts[:]
		if what != "" {
			k.Features = observer.Baselines()
		}
	})
	return nil
}

// ForgetBaseline goes back from a recorded baseline to that of the training, if the model tells it.
func (e *Engine) ForgetBaseline() {
	e.control.Lock()
	defer e.control.Unlock()
	m := e.model.Load()
	if m == nil {
		return
	}
	e.recorded.Store(nil)
	e.keep(func(k *keptBaseline) { k.Predictions, k.Features = nil, nil })
	if observer, ok := e.cfg.Store.(features.Observer); ok {
		observer.SetBaselines(trainedOf(m, observer.Names()))
		e.baselines.mu.Lock()
		e.baselines.wanted = observer.Baselines() == nil
		e.baselines.mu.Unlock()
	}
	e.tell(event.Model, event.Info, "model", "the recorded baseline is forgotten")
}

// keepBaselines keeps the features' baseline once it is recorded, until ctx ends.
func (e *Engine) keepBaselines(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		e.keepFeatures(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			e.keepFeatures(time.Now())
			return
		}
	}
}

func (e *Engine) keepFeatures(now time.Time) {
	observer, ok := e.cfg.Store.(features.Observer)
	if !ok {
		return
	}
	e.control.Lock()
	defer e.control.Unlock()
	e.baselines.mu.Lock()
	wanted := e.baselines.wanted
	e.baselines.mu.Unlock()
	if !wanted {
		return
	}
	if recorded := observer.Baselines(); recorded != nil {
		e.baselines.mu.Lock()
		e.baselines.wanted = false
		e.baselines.mu.Unlock()
		e.keep(func(k *keptBaseline) {
			if k.Features = recorded; k.At.IsZero() {
				k.At = now
			}
		})
	}
}

// keep changes what is kept of the model in force. The caller holds control.
func (e *Engine) keep(do func(*keptBaseline)) {
	m := e.model.Load()
	err := e.baselines.change(e.baselineKey(m), func(k *keptBaseline) {
		k.Version = m.version.String()
		do(k)
	})
	e.baselines.mu.Lock()
	defer e.baselines.mu.Unlock()
	if err != nil && !e.baselines.silent {
		e.tell(event.Model, event.Warning, "model", "the baseline ends with this process: %v", err)
		e.logger.Warn("keep the baseline", "error", err)
	}
	e.baselines.silent = err != nil
}
