package model

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrNoPrevious is the error of a rollback with nothing to go back to.
var ErrNoPrevious = errors.New("there is no earlier model to go back to")

// Held is a model in force, or one that was. It is immutable.
type Held struct {
	Model   Model
	Version string // as whoever loaded it calls it
	Turn    uint64 // counts the changes: a scorer bound at another turn is out of date
}

// Holder keeps the model in force and the one before it. Readers take Current between batches, at the cost of one
// atomic load, and are never kept waiting by a change.
type Holder struct {
	check   func(Model) error
	current atomic.Pointer[Held]

	mu       sync.Mutex // held by whoever changes the model
	previous *Held
}

// NewHolder makes an empty holder. A model that check refuses never comes into force; nil checks nothing.
func NewHolder(check func(Model) error) *Holder { return &Holder{check: check} }

// Current is the model in force; nil before the first.
func (h *Holder) Current() *Held { return h.current.Load() }

// Load reads an ONNX file and puts it in force. On an error the model in force stays.
func (h *Holder) Load(ctx context.Context, path, version string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m, err := LoadONNX(path)
	if err != nil {
		return err
	}
	return h.Put(m, version)
}

// Put brings a model into force and keeps the one it replaces for Rollback.
func (h *Holder) Put(m Model, version string) error {
	if h.check != nil {
		if err := h.check(m); err != nil {
			return fmt.Errorf("model %s stays out of force: %w", version, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.replace(m, version)
	return nil
}

// Rollback brings the model before this one back into force and gives it. Called again it undoes itself.
func (h *Holder) Rollback() (*Held, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.previous == nil {
		return nil, ErrNoPrevious
	}
	h.replace(h.previous.Model, h.previous.Version)
	return h.current.Load(), nil
}

func (h *Holder) replace(m Model, version string) {
	old := h.current.Load()
	turn := uint64(1)
	if old != nil {
		turn = old.Turn + 1
	}
	h.current.Store(&Held{Model: m, Version: version, Turn: turn})
	h.previous = old
}
