package model

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// placed is a model file that tests change.
type placed struct {
	t      *testing.T
	source *fileSource
}

func place(t *testing.T, fixture string) *placed {
	t.Helper()
	p := &placed{t, NewFile(filepath.Join(t.TempDir(), "model.onnx")).(*fileSource)}
	p.write(p.bytes(fixture))
	if _, err := p.source.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *placed) bytes(fixture string) []byte {
	p.t.Helper()
	data, err := os.ReadFile(fixtureNamed(p.t, fixture).modelPath())
	if err != nil {
		p.t.Fatal(err)
	}
	return data
}

var writes int

// write writes into the file as it is, as cp does. Its time is another each time, however fast the test is.
func (p *placed) write(data []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.source.path, data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	writes++
	if err := os.Chtimes(p.source.path, time.Time{}, time.Unix(1_700_000_000+int64(writes), 0)); err != nil {
		p.t.Fatal(err)
	}
}

// rename puts a whole file in the place of the old one.
func (p *placed) rename(data []byte) {
	p.t.Helper()
	path := p.source.path
	p.source.path = path + ".new"
	p.write(data)
	p.source.path = path
	if err := os.Rename(path+".new", path); err != nil {
		p.t.Fatal(err)
	}
}

// looks gives what comes of some looks in a row: the fingerprint of a model, or the error.
func (p *placed) looks(n int) (prints []string, refused []error) {
	p.t.Helper()
	for range n {
		m, err := p.source.look()
		if err != nil {
			refused = append(refused, err)
		} else if m != nil {
			prints = append(prints, m.Describe().Fingerprint)
		}
	}
	return prints, refused
}

func (p *placed) expect(what string, n int, want ...[]byte) {
	p.t.Helper()
	prints, refused := p.looks(n)
	if len(refused) > 0 || len(prints) != len(want) {
		p.t.Fatalf("%s: %d models and the errors %v, want %d models", what, len(prints), refused, len(want))
	}
	for i := range want {
		if prints[i] != fingerprint(want[i]) {
			p.t.Errorf("%s: the model is another", what)
		}
	}
}

func TestAFileThatIsReplacedIsToldOnce(t *testing.T) {
	p := place(t, "logistic_4")
	first, second := p.bytes("logistic_4"), p.bytes("logistic_4_double")
	p.expect("nothing happened", 3)
	p.rename(second)
	p.expect("renamed into place", 6, second)
	p.write(second)
	p.expect("written anew as it was", 6)
	p.write(first)
	p.expect("the first look finds it changed", 1)
	p.expect("the second finds it settled", 1, first)

	real := p.source.path + ".v3"
	if err := os.WriteFile(real, second, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(p.source.path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, p.source.path); err != nil {
		t.Fatal(err)
	}
	p.expect("a link to another", 6, second)
}

func TestAFileThatIsStillWrittenIsLeftAlone(t *testing.T) {
	p := place(t, "logistic_4")
	second := p.bytes("forest_100x6")
	for i := range 10 {
		p.write(second[:(i+1)*len(second)/10])
		if i < 9 {
			p.expect("while it grows", 1)
		}
	}
	p.expect("when it is whole", 3, second)
}

// TestAHalfFileIsRefusedOnce stops writing for longer than a file takes to settle, anywhere in the file.
func TestAHalfFileIsRefusedOnce(t *testing.T) {
	p := place(t, "logistic_4")
	whole := p.bytes("logistic_4_double")
	for length := 1; length < len(whole); length += 1 + len(whole)/97 {
		p.write(whole[:length])
		prints, refused := p.looks(5)
		if len(prints) != 0 || len(refused) != 1 || !errors.Is(refused[0], ErrNotONNX) {
			t.Fatalf("%d of %d bytes: %d models and the errors %v", length, len(whole), len(prints), refused)
		}
	}
	p.write(whole)
	p.expect("when it is whole", 5, whole)
}

func TestAFileThatIsGoneIsToldOnce(t *testing.T) {
	p := place(t, "logistic_4")
	if err := os.Remove(p.source.path); err != nil {
		t.Fatal(err)
	}
	p.expect("it may be on its way", goneAfter-1)
	prints, refused := p.looks(3 * goneAfter)
	if len(prints) != 0 || len(refused) != 1 || !errors.Is(refused[0], fs.ErrNotExist) {
		t.Fatalf("%d models and the errors %v", len(prints), refused)
	}
	p.write(p.bytes("logistic_4"))
	p.expect("the same is back", 5)
	if err := os.Remove(p.source.path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(p.source.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, refused := p.looks(5); len(refused) != 1 || !errors.Is(refused[0], ErrNotONNX) {
		t.Errorf("a folder in its place: %v", refused)
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range []Source{NewFile("absent.onnx"), NewServed(InferenceConfig{URL: "http://127.0.0.1:1", Name: "m"})} {
		if _, err := s.Load(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Load: error %v", err)
		}
		if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Next: error %v", err)
		}
	}
}

// TestAServerThatReportsAnotherVersion follows the model_version of its answers.
func TestAServerThatReportsAnotherVersion(t *testing.T) {
	f := &fakeServer{version: `"1"`}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	source := NewServed(InferenceConfig{URL: f.start(t).URL, Name: "m", Version: "7", HTTP: &http.Client{Transport: transport}}).(*servedSource)
	m, err := source.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := m.Bind(twoNumbers)
	if err != nil {
		t.Fatal(err)
	}
	frame := &Frame{Columns: twoNumbers, Rows: 1, Numbers: []float64{10, 20}}
	answer := func(version string) {
		t.Helper()
		f.mu.Lock()
		f.version = version
		f.mu.Unlock()
		if err := scorer.Score(t.Context(), frame, make([]float64, 1)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Add(time.Hour)
	look := func(what, want string) {
		t.Helper()
		got := ""
		if m := source.look(now); m != nil {
			got = m.Describe().Revision
		}
		if got != want {
			t.Errorf("%s: told of %q, want %q", what, got, want)
		}
	}
	look("the first version", "")
	answer(`"1"`)
	look("the same", "")
	answer(`"2"`)
	if got := scorer.(*inferenceScorer).Revision(); got != "2" {
		t.Errorf("the frame was scored by %q", got)
	}
	if m := source.look(time.Now()); m != nil {
		t.Error("told of a version that has not settled")
	}
	look("another", "2")
	look("told once", "")
	answer(`3`) // the protocol says text, not all servers do
	look("a number", "3")
	answer(`null`)
	look("a server that does not say", "")
	if f := m.Describe().Fingerprint; f != m.Describe().Source+"#3" {
		t.Errorf("fingerprint %q", f)
	}
}
