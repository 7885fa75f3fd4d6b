package demo

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/shirou/gopsutil/v3/process"
)

// The names inside the world's folder.
const (
	folderPrefix = "weir-demo-"
	ownerFile    = "owner.json"
	configFile   = "weir.yaml"
	modelFile    = "model.onnx"
	brokerFolder = "broker"
	productsDir  = "data-products"
	nodesFile    = "nodes"
)

// A fleet of more than largeFleet nodes stands in a file of its own, as a real one would, is polled as often as a real one,
// and has racks beside sites.
const (
	largeFleet   = 1000
	nodesPerRack = 50
	mostRacks    = 150
)

// youngFolder is how long a folder without an owner may still be one that is just being made.
const youngFolder = time.Minute

//go:embed products
var products embed.FS

//go:embed weir.yaml.tmpl
var configTemplate string

//go:embed model/model.onnx
var modelBytes []byte

// owner is the process a folder belongs to. A process id comes again, and may then be that of another program; when a process
// began tells nothing, for a clock that is set moves that, too.
type owner struct {
	PID     int32  `json:"pid"`
	Program string `json:"program"` // as the system names it
}

// makeFolder makes a world's folder below parent, with everything in it but the configuration.
func makeFolder(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, folderPrefix)
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w; set TMPDIR to a folder that can be written to", err)
	}
	if err := fillFolder(dir); err != nil {
		return "", errors.Join(fmt.Errorf("fill the demo world's folder: %w", err), os.RemoveAll(dir))
	}
	return dir, nil
}

func fillFolder(dir string) error {
	self := owner{PID: int32(os.Getpid())}
	self.Program, _ = programOf(self.PID)
	text, err := json.Marshal(self)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, ownerFile), text, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, modelFile), modelBytes, 0o600); err != nil {
		return err
	}
	tree, err := fs.Sub(products, "products")
	if err != nil {
		return err
	}
	return os.CopyFS(filepath.Join(dir, productsDir), tree)
}

// configValues are what the template of weir.yaml is filled with.
type configValues struct {
	Broker, Features, Cloud, CloudToken string
	Nodes                               []target
}

// Large tells whether the nodes stand in a file of their own.
func (v configValues) Large() bool { return len(v.Nodes) > largeFleet }

// nodeLines is the nodes as such a file lists them.
func (v configValues) nodeLines() []byte {
	var text bytes.Buffer
	perRack := max(nodesPerRack, (len(v.Nodes)+mostRacks-1)/mostRacks)
	for i, n := range v.Nodes {
		fmt.Fprintf(&text, "%s site=%s rack=%s-%02d\n", n.URL, n.Site, n.Site, i/perRack)
	}
	return text.Bytes()
}

func writeConfig(dir string, v configValues) (string, error) {
	if v.Large() {
		if err := os.WriteFile(filepath.Join(dir, nodesFile), v.nodeLines(), 0o600); err != nil {
			return "", fmt.Errorf("write the demo world's nodes: %w", err)
		}
	}
	t, err := template.New(configFile).Parse(configTemplate)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, v); err != nil {
		return "", err
	}
	path := filepath.Join(dir, configFile)
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return "", fmt.Errorf("write the demo world's configuration: %w", err)
	}
	return path, nil
}

// sweep removes the folders of worlds whose process died without removing them. What cannot be removed stays; another
// user's folder, for one.
func sweep(parent string) {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), folderPrefix) && isAbandoned(filepath.Join(parent, e.Name())) {
			_ = os.RemoveAll(filepath.Join(parent, e.Name()))
		}
	}
}

func isAbandoned(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, ownerFile))
	if errors.Is(err, fs.ErrNotExist) {
		info, err := os.Stat(dir)
		return err == nil && time.Since(info.ModTime()) > youngFolder
	}
	var o owner
	if err != nil || json.Unmarshal(text, &o) != nil || o.PID <= 0 {
		return false // not to be told: leave it
	}
	program, err := programOf(o.PID)
	if err != nil {
		alive, err := process.PidExists(o.PID)
		return err == nil && !alive
	}
	return program != o.Program
}

// programOf names the program that a process runs.
func programOf(pid int32) (string, error) {
	p, err := process.NewProcess(pid)
	if err != nil {
		return "", err
	}
	return p.Name()
}
