package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, FileName)
	if _, err := Load(path); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "weir init") {
		t.Errorf("absent: got %v", err)
	}
	if _, err := Load(folder); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: got %v", err)
	}
	t.Setenv("WEIR_TEST_BROKER", "kafka:9092")
	if err := os.WriteFile(path, []byte("kafka: {brokers: [${WEIR_TEST_BROKER}]}\nmesh: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Path != path || c.Kafka.Brokers[0] != "kafka:9092" || c.Mesh.Registry != filepath.Join(folder, "data-products") {
		t.Errorf("got %+v, registry %s", c, c.Mesh.Registry)
	}
}

func TestFind(t *testing.T) {
	here, xdg := t.TempDir(), t.TempDir()
	t.Chdir(here)
	t.Setenv("XDG_CONFIG_HOME", xdg)
	if path, ok := Find(); ok || path != FileName {
		t.Errorf("neither: got %q %v", path, ok)
	}
	there := filepath.Join(xdg, "weir", FileName)
	if err := os.MkdirAll(filepath.Dir(there), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(there, Starter(), 0o600); err != nil {
		t.Fatal(err)
	}
	if path, ok := Find(); !ok || path != there {
		t.Errorf("the second: got %q %v", path, ok)
	}
	if err := os.WriteFile(FileName, Starter(), 0o600); err != nil {
		t.Fatal(err)
	}
	if path, ok := Find(); !ok || path != FileName {
		t.Errorf("the first: got %q %v", path, ok)
	}
	t.Setenv("XDG_CONFIG_HOME", "relative")
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/me")
	if folder, err := StateFolder(); err != nil || folder != "/home/me/.local/state/weir" {
		t.Errorf("state folder %q, %v", folder, err)
	}
}
