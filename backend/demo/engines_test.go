package demo

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/backend/edge"
	"weir/config"
)

// The tests of this file let weir's own engines look at the world, through nothing but its weir.yaml.

func load(t *testing.T, w *World) *config.Config {
	t.Helper()
	c, err := config.Load(w.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheConfigurationLoads(t *testing.T) {
	w := start(t, Options{Rate: NoEvents})
	c := load(t, w)
	if c.Kafka.Brokers[0] != w.broker.Addr() || c.Pipeline == nil || c.Features == nil || c.Model == nil || c.Mesh == nil ||
		c.Edge == nil || len(c.Edge.Targets) != DefaultNodes || c.Edge.Cloud == nil {
		t.Errorf("got %+v", c)
	}
	dir := filepath.Dir(w.ConfigPath())
	for _, path := range []string{c.Model.ONNX, c.Mesh.Registry, c.Edge.Outbox, c.History.Path} {
		if !strings.HasPrefix(path, dir) {
			t.Errorf("%s lies outside of the world's folder", path)
		}
	}
}

func TestTheEdgeEngineSeesTheFleet(t *testing.T) {
	w := start(t, Options{Rate: NoEvents})
	c := load(t, w).Edge
	var targets []edge.Target
	for _, n := range c.Targets {
		targets = append(targets, edge.Target{URL: n.URL, Labels: n.Labels})
	}
	e, err := edge.New(edge.Config{
		Targets: targets, Poll: 250 * time.Millisecond, StaleAfter: c.StaleAfter, Outbox: c.Outbox,
		Cloud: &edge.CloudConfig{URL: c.Cloud.URL, Every: time.Second, Token: c.Cloud.Token.Reveal},
	})
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
	seen := func(state edge.State, n int) func() bool {
		return func() bool { return e.Snapshot().ByState[state] >= n }
	}
	waitFor(t, "healthy fleet", seen(edge.OK, DefaultNodes))
	waitFor(t, "accepted aggregate", func() bool {
		w.cloud.mu.Lock()
		defer w.cloud.mu.Unlock()
		return w.cloud.stats.Accepted > 0
	})
	if s := e.Snapshot(); s.Quality < 0.97 || s.Quality > 0.995 || s.TotalRecords < DefaultNodes*6000 {
		t.Errorf("quality %v, records %d", s.Quality, s.TotalRecords)
	}
	for name, shows := range map[string]func() bool{
		"node-garbage": seen(edge.Invalid, 1),
		"clock-skew":   seen(edge.Skewed, 1),
		"site-down":    seen(edge.Down, 5),
		"cloud-down":   func() bool { return e.Snapshot().Cloud.State == edge.CloudDown },
	} {
		if err := w.Inject(name, 0, 0); err != nil {
			t.Fatal(err)
		}
		waitFor(t, name, shows)
		if err := w.Clear(name); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "recovered cloud", func() bool { return e.Snapshot().Cloud.State == edge.CloudOK })
	waitFor(t, "recovered fleet", func() bool {
		s := e.Snapshot()
		return s.ByState[edge.OK]+s.ByState[edge.Flapping] == DefaultNodes
	})
}
