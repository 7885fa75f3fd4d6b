package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// FileName is what a configuration file is called.
const FileName = "weir.yaml"

// maxBytes bounds a configuration file.
const maxBytes = 1 << 20

// Load reads the file, expands ${ENV}, validates it, and resolves relative paths against the file's folder. A file
// that is not there gives ErrNotFound; one with mistakes gives Errors.
func Load(path string) (*Config, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is not there; `weir init` writes a commented one, --config FILE names another", ErrNotFound, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if errors.Is(err, syscall.EISDIR) {
		return nil, fmt.Errorf("read the configuration: %s is a folder; name the file in it, such as %s", path, filepath.Join(path, FileName))
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(path, data, os.LookupEnv)
}

// LoadNamed is Load of the file that a person named, or of the one that Find finds when none was.
func LoadNamed(path string) (*Config, error) {
	if path == "" {
		found, ok := Find()
		if !ok {
			return nil, errors.New("no configuration: expected ./weir.yaml or $XDG_CONFIG_HOME/weir/weir.yaml; write one with weir init, name one with --config, or try weir demo")
		}
		path = found
	}
	return Load(path)
}

// Find gives the file to use when none is named: ./weir.yaml, else weir.yaml in the folder weir of
// $XDG_CONFIG_HOME (~/.config when unset). When there is neither, path is where the first would be and ok is false.
func Find() (path string, ok bool) {
	if isFile(FileName) {
		return FileName, true
	}
	if folder, err := xdgFolder("XDG_CONFIG_HOME", ".config"); err == nil {
		if path := filepath.Join(folder, FileName); isFile(path) {
			return path, true
		}
	}
	return FileName, false
}

// StateFolder is where files live that the configuration leaves unnamed (outbox, history): the folder weir of
// $XDG_STATE_HOME (~/.local/state when unset). It need not exist yet.
func StateFolder() (string, error) {
	return xdgFolder("XDG_STATE_HOME", filepath.Join(".local", "state"))
}

// StateFolder is the part of the state folder that belongs to this configuration: one folder a file.
func (c *Config) StateFolder() (string, error) {
	base, err := StateFolder()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(base, hex.EncodeToString(sum[:6])), nil
}

func xdgFolder(variable, fallback string) (string, error) {
	if base := os.Getenv(variable); filepath.IsAbs(base) { // the specification ignores relative ones
		return filepath.Join(base, "weir"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the home folder: %w; set %s", err, variable)
	}
	return filepath.Join(home, fallback, "weir"), nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}
