package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/backend/demo"
	"weir/config"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// TestDemoWorld: nothing is wrong with a world that works, and what breaks in it is found.
func TestDemoWorld(t *testing.T) {
	world, err := demo.Start(t.Context(), demo.Options{Folder: t.TempDir(), Rate: 200})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := world.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := config.Load(world.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	c.HTTP.Listen = "127.0.0.1:0"
	folder := filepath.Dir(world.ConfigPath())
	before := list(t, folder)
	options := Options{Timeout: patience, State: folder, Terminal: &Terminal{IsTerminal: true, Columns: 120, Rows: 36, Colours: "256 colours"}}

	r := Run(t.Context(), c, options)
	for _, row := range r.Rows {
		if row.Status != OK || !row.Do.IsEmpty() {
			t.Errorf("a calm world: %+v", row)
		}
	}
	if r.Failed() || len(r.Rows) < 12 {
		t.Errorf("failed %v, %d rows", r.Failed(), len(r.Rows))
	}
	if after := list(t, folder); after != before {
		t.Errorf("the check left files: %s, before %s", after, before)
	}

	for _, fault := range []string{"features-down", "cloud-down", "node-down"} {
		if err := world.Inject(fault, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool {
		r = Run(t.Context(), c, options)
		return find(r, "feature store").Status == Failed && find(r, "cloud").Status != OK && find(r, "edge nodes").Status == Warning
	}, func() string { return text(t, r, 100) })
	if find(r, "model").Status != OK || find(r, "topic user_events").Status != OK {
		t.Errorf("one failure spread:\n%s", text(t, r, 100))
	}
	if err := world.Inject("broker-down", 0, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		r = Run(t.Context(), c, options)
		return find(r, "broker").Status == Failed && find(r, "topic user_events").Status == Skipped && find(r, "group weir").Status == Skipped
	}, func() string { return text(t, r, 100) })
	t.Log("\n" + text(t, r, 100))
}

// find is the first row whose subject begins with what.
func find(r Report, what string) Row {
	for _, row := range r.Rows {
		if strings.HasPrefix(row.What.String(), what) {
			return row
		}
	}
	return Row{}
}

func text(t *testing.T, r Report, width int) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteTable(&b, width); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func eventually(t *testing.T, ok func() bool, state func() string) {
	t.Helper()
	deadline := time.Now().Add(3 * patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come to pass:\n%s", state())
		}
	}
}

func list(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
