package demo

import (
	"context"
	"testing"
	"time"

	"weir/backend/edge"
	"weir/backend/wire"
)

// TestTheFleetLearnsTogether runs weir's engine as the world's own configuration says, but with rounds in quick
// succession, until the nodes have found the law none of them was told.
func TestTheFleetLearnsTogether(t *testing.T) {
	w := start(t, Options{Rate: -1})
	c := load(t, w).Edge
	if c.Federated == nil || len(c.Targets) != DefaultNodes || c.Targets[0].Labels["site"] != sites[0] {
		t.Fatalf("configuration %+v", c)
	}
	config, err := wire.Edge(c, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	config.Federated.Every = 50 * time.Millisecond
	e, err := edge.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	waitFor(t, "a learned model", func() bool {
		n := w.fleet.nodes[0].learner()
		n.mu.Lock()
		defer n.mu.Unlock()
		for j, law := range energyLaw {
			if d := n.weights[j] - law; d < -0.05 || d > 0.05 {
				return false
			}
		}
		return n.version > 3
	})
	f := e.Snapshot().Federated
	if r := f.Rounds[len(f.Rounds)-1]; r.Used != DefaultNodes || r.Refused != 0 || !r.Error.IsEmpty() {
		t.Errorf("round %+v", r)
	}
	if g := e.Snapshot().Groups; len(g) != len(sites) {
		t.Errorf("groups %+v", g)
	}
}
