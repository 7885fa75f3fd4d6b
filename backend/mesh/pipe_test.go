//go:build unix

package mesh

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAPipeThatNobodyWritesCanBeGivenUp: a named pipe waits in its opening, standard input in its reading.
func TestAPipeThatNobodyWritesCanBeGivenUp(t *testing.T) {
	named := filepath.Join(t.TempDir(), "pipe.csv")
	if err := syscall.Mkfifo(named, 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for path, letGo := range map[string]func() error{
		"-": w.Close,
		named: func() error {
			f, err := os.OpenFile(named, os.O_WRONLY, 0) // waits until it is opened to be read, then ends what that reads
			return errors.Join(err, f.Close())
		},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := ValidateFiles(ctx, articleProduct, []string{path}, FileOptions{Stdin: r}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
		if err := letGo(); err != nil {
			t.Error(err)
		}
	}
}

func TestAPipeIsReadToItsEnd(t *testing.T) {
	named := filepath.Join(t.TempDir(), "pipe.csv")
	if err := syscall.Mkfifo(named, 0o600); err != nil {
		t.Fatal(err)
	}
	rows := "user_id,timestamp\n" + strings.Repeat("1,2\n", 100_000)
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(named, []byte(rows), 0) }()
	report := validate(t, articleProduct, FileOptions{}, named)
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	if report.Rows != 100_000 || !report.Whole() {
		t.Errorf("%d rows, whole %v: %v", report.Rows, report.Whole(), report.Files)
	}
}
