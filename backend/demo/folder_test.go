package demo

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"weir/backend/wire"
	"weir/config"
)

func TestSweepRemovesOnlyWhatIsAbandoned(t *testing.T) {
	// A process that has ended: its id is nobody's, or by now somebody else's.
	ended := exec.Command(os.Args[0], "-test.run=^$")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	self, err := programOf(int32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	parent, old := t.TempDir(), time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		owner *owner
		text  string
		old   bool
		stays bool
	}{
		"weir-demo-ours":      {owner: &owner{int32(os.Getpid()), self}, stays: true},
		"weir-demo-dead":      {owner: &owner{int32(ended.Process.Pid), self}},
		"weir-demo-reused":    {owner: &owner{int32(os.Getpid()), "another"}},
		"weir-demo-young":     {stays: true},
		"weir-demo-forgotten": {old: true},
		"weir-demo-garbled":   {text: "{", stays: true},
		"somebody-elses":      {old: true, stays: true},
	} {
		dir := filepath.Join(parent, name)
		if err := os.MkdirAll(filepath.Join(dir, "inside"), 0o700); err != nil {
			t.Fatal(err)
		}
		text := []byte(c.text)
		if c.owner != nil {
			if text, err = json.Marshal(c.owner); err != nil {
				t.Fatal(err)
			}
		}
		if len(text) > 0 {
			if err := os.WriteFile(filepath.Join(dir, ownerFile), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.old {
			if err := os.Chtimes(dir, old, old); err != nil {
				t.Fatal(err)
			}
		}
		defer func() {
			if _, err := os.Stat(dir); (err == nil) != c.stays {
				t.Errorf("%s: stays is %v, want %v", name, err == nil, c.stays)
			}
		}()
	}
	sweep(parent)
}

func TestAMissingFolderIsSaid(t *testing.T) {
	_, err := Start(t.Context(), Options{Folder: filepath.Join(t.TempDir(), "missing")})
	if err == nil {
		t.Fatal("it started")
	}
	t.Log(err)
}

func TestWhatCannotBeIsSaid(t *testing.T) {
	for _, o := range []Options{{Rate: math.NaN()}, {Rate: math.Inf(1)}, {Rate: 1e9}, {Nodes: -3}, {Nodes: 1e6}, {KafkaListen: "nonsense"}} {
		o.Folder = t.TempDir()
		if w, err := Start(t.Context(), o); err == nil {
			t.Errorf("%+v: it started", o)
			_ = w.Close()
		} else {
			t.Log(err)
		}
		if left, _ := os.ReadDir(o.Folder); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestATakenPortIsSaid(t *testing.T) {
	w := start(t, Options{Rate: NoEvents})
	parent := t.TempDir()
	if _, err := Start(t.Context(), Options{Folder: parent, KafkaListen: w.broker.Addr()}); err == nil {
		t.Error("two worlds on one port")
	} else {
		t.Log(err)
	}
	if left, _ := os.ReadDir(parent); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestALargeFleetStandsInAFile: weir.yaml takes a few thousand keys; ten thousand nodes with labels are read from beside it.
func TestALargeFleetStandsInAFile(t *testing.T) {
	v := configValues{Broker: "127.0.0.1:1", Features: "http://127.0.0.1:2", Cloud: "http://127.0.0.1:3", CloudToken: "t"}
	for i := range 10_000 {
		v.Nodes = append(v.Nodes, target{URL: fmt.Sprintf("http://127.0.0.1:4/ams/edge-node-%05d", i), Site: "ams"})
	}
	path, err := writeConfig(t.TempDir(), v)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := wire.Edge(c.Edge, t.TempDir(), nil)
	if err != nil || len(settings.Sources) != 1 || len(settings.Targets) != 0 {
		t.Fatalf("%d sources, %d targets, %v", len(settings.Sources), len(settings.Targets), err)
	}
	nodes, err := settings.Sources[0].List(t.Context())
	if err != nil || len(nodes) != 10_000 || nodes[77].Labels["site"] != "ams" || nodes[77].Labels["rack"] != "ams-01" {
		t.Errorf("%d nodes, %v", len(nodes), err)
	}
}
