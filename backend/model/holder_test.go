package model

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
)

func TestHolder(t *testing.T) {
	columns := fixtureNamed(t, "logistic_4").rows(t).Columns
	h := NewHolder(func(m Model) error { _, err := m.Bind(columns); return err })
	if h.Current() != nil {
		t.Error("an empty holder has a model")
	}
	if _, err := h.Rollback(); !errors.Is(err, ErrNoPrevious) {
		t.Errorf("error %v, want ErrNoPrevious", err)
	}
	load := func(name, version string) error {
		return h.Load(t.Context(), fixtureNamed(t, name).modelPath(), version)
	}
	for i, name := range []string{"logistic_4", "logistic_4_double"} {
		if err := load(name, name); err != nil {
			t.Fatal(err)
		}
		if c := h.Current(); c.Version != name || c.Turn != uint64(i+1) {
			t.Errorf("in force is %s at turn %d", c.Version, c.Turn)
		}
	}
	if err := load("forest_100x6", "of other features"); err == nil {
		if _, bindErr := h.Current().Model.Bind(columns); bindErr != nil {
			t.Error("a model that does not fit came into force")
		}
	}
	if err := load("logistic_scaled", "of other features"); !errors.Is(err, ErrColumns) {
		t.Errorf("error %v, want ErrColumns", err)
	}
	if err := h.Load(t.Context(), "absent.onnx", "absent"); err == nil || h.Current().Version != "logistic_4_double" {
		t.Errorf("error %v with %s in force", err, h.Current().Version)
	}
	for _, want := range []string{"logistic_4", "logistic_4_double"} {
		if back, err := h.Rollback(); err != nil || back.Version != want || h.Current() != back {
			t.Errorf("rolled back to %+v, error %v; want %s", back, err, want)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Load(gone, "absent.onnx", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// TestHolderSwapsUnderLoad changes the model while others score with it; the race detector watches.
func TestHolderSwapsUnderLoad(t *testing.T) {
	f := fixtureNamed(t, "logistic_4")
	frame := f.rows(t)
	h := NewHolder(nil)
	if err := h.Load(t.Context(), f.modelPath(), "1"); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			out := make([]float64, frame.Rows)
			turn := uint64(0)
			for turn < 20 {
				held := h.Current()
				if held.Turn == turn {
					runtime.Gosched()
					continue
				}
				turn = held.Turn
				scorer, err := held.Model.Bind(frame.Columns)
				if err == nil {
					err = scorer.Score(t.Context(), frame, out)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 10 {
		if err := h.Load(t.Context(), f.modelPath(), "2"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	readers.Wait()
}
