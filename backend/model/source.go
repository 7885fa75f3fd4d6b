package model

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Source is where a model comes from, now and later.
type Source interface {
	// Load gives the model as it is now.
	Load(ctx context.Context) (Model, error)
	// Next waits for a model other than the one last told of by Load or Next, and tells of each once: the model, or why
	// it cannot be one. It belongs to one goroutine. When ctx ends it gives ctx's error.
	Next(ctx context.Context) (Model, error)
}

const (
	// watchEvery is how often a file's status is asked for, and how long it must not have changed before it is read:
	// a file that is still being written is left alone. Where that takes longer, what is read is no whole model, is
	// refused, and is read again when it changes. A file that is renamed into place is whole at once.
	watchEvery = time.Second
	// goneAfter is how many looks in a row must find no file before that is told.
	goneAfter = 5
)

// NewFile is the source of the models that lie at path, one after the other.
func NewFile(path string) Source { return &fileSource{path: path} }

type fileSource struct {
	path string

	mu      sync.Mutex
	seen    fs.FileInfo // of the file whose content was last looked into; nil before the first
	told    string      // the fingerprint of the content that was last told of
	pending fs.FileInfo // of another file, seen once
	gone    int         // looks in a row that found none
}

func (f *fileSource) Load(ctx context.Context) (Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	data, info, err := readModelFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", f.path, err)
	}
	f.seen, f.pending, f.gone = info, nil, 0
	f.told = fingerprint(data)
	return modelOf(f.path, data)
}

func (f *fileSource) Next(ctx context.Context) (Model, error) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if m, err := f.look(); m != nil || err != nil {
			return m, err
		}
	}
}

// look gives the model that came since the last look, or why it is none; neither where there is no news.
func (f *fileSource) look() (Model, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		f.pending = nil
		if f.gone++; f.gone == goneAfter {
			return nil, fmt.Errorf("model %s: %w", f.path, err)
		}
		return nil, nil //nolint:nilnil // no news
	}
	f.gone = 0
	switch {
	case sameFile(info, f.seen):
		f.pending = nil
		return nil, nil //nolint:nilnil // no news
	case !sameFile(info, f.pending):
		f.pending = info
		return nil, nil //nolint:nilnil // it may still change
	}
	data, read, err := readModelFile(f.path)
	if err == nil && !sameFile(info, read) {
		f.pending = read
		return nil, nil //nolint:nilnil // it still changes
	}
	f.seen, f.pending = info, nil
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", f.path, err)
	}
	sum := fingerprint(data)
	if sum == f.told {
		return nil, nil //nolint:nilnil // touched, or written anew
	}
	f.told = sum
	return modelOf(f.path, data)
}

// sameFile tells whether a file's status has not changed; b may be nil.
func sameFile(a, b fs.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// revisionSettles is how long a server must have answered with one version of its model before that is told: while a new
// one is rolled out, two may answer in turn.
const revisionSettles = 5 * time.Second

// NewServed is the source of a model that is served elsewhere. Its next model comes when the server's answers report
// another version.
func NewServed(cfg InferenceConfig) Source { return &servedSource{cfg: cfg} }

type servedSource struct {
	cfg InferenceConfig

	mu    sync.Mutex
	model *inference
	told  string // the revision last told of
}

func (s *servedSource) Load(ctx context.Context) (Model, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.model == nil {
		m, err := newInference(s.cfg)
		if err != nil {
			return nil, err
		}
		s.model = m
	}
	s.model.ask(ctx)
	return s.model, nil
}

func (s *servedSource) Next(ctx context.Context) (Model, error) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			if m := s.look(now); m != nil {
				return m, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *servedSource) look(now time.Time) Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.model == nil {
		return nil
	}
	revision, since := s.model.answers()
	switch {
	case revision == "" || revision == s.told:
		return nil
	case s.told == "": // the first one was loaded
		s.told = revision
		return nil
	case now.Sub(since) < revisionSettles:
		return nil
	}
	s.told = revision
	return s.model
}
