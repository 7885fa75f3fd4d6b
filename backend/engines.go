package backend

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"weir/backend/edge"
	"weir/backend/features"
	"weir/backend/history"
	"weir/backend/host"
	"weir/backend/kafka"
	"weir/backend/mesh"
	"weir/backend/model"
	"weir/backend/pipeline"
	"weir/backend/timeline"
	"weir/config"
)

// engines are the engines a configuration asks for; those it does not are nil. The host engine always runs.
type engines struct {
	pipeline *pipeline.Engine
	edge     *edge.Engine
	mesh     *mesh.Engine
	host     *host.Engine
	history  *history.Recorder
}

// named is one engine as the supervisor sees it.
type named struct {
	name string
	run  func(context.Context) error
}

func (e *engines) list() []named {
	var out []named
	if e.pipeline != nil {
		out = append(out, named{"pipeline", e.pipeline.Run})
	}
	if e.edge != nil {
		out = append(out, named{"edge", e.edge.Run})
	}
	if e.mesh != nil {
		out = append(out, named{"mesh", e.mesh.Run})
	}
	return append(out, named{"host", e.host.Run}, named{"history", e.record})
}

// record runs the flight recorder. A second weir on the same recording leaves it to the first.
func (e *engines) record(ctx context.Context) error {
	err := e.history.Run(ctx)
	if errors.Is(err, history.ErrInUse) {
		<-ctx.Done()
		return nil
	}
	return err
}

// observe puts each engine's snapshot into s.
func (e *engines) observe(s *timeline.Snapshot) {
	if e.pipeline != nil {
		s.Pipeline = e.pipeline.Snapshot()
	}
	if e.edge != nil {
		s.Edge = e.edge.Snapshot()
	}
	if e.mesh != nil {
		s.Mesh = e.mesh.Snapshot()
	}
	s.Host = e.host.Snapshot()
}

// build makes the engines of c.
func (e *engines) build(c *config.Config, o Options, line *timeline.Timeline) error {
	cluster, err := kafka.NewCluster(c.Kafka)
	if err != nil {
		return wrap("kafka", err)
	}
	if c.Pipeline != nil {
		if e.pipeline, err = newPipeline(c, cluster, o); err != nil {
			return err
		}
	}
	if c.Edge != nil {
		if e.edge, err = newEdge(c.Edge, o); err != nil {
			return wrap("edge", err)
		}
	}
	if c.Mesh != nil {
		e.mesh = mesh.New(mesh.Config{Registry: c.Mesh.Registry, Window: c.Mesh.Window, Cluster: cluster,
			Logger: o.Logger.With("engine", "mesh")})
	}
	e.host = host.New(host.Config{Folder: "."})
	path := c.History.Path
	if path == "" {
		path = filepath.Join(o.State, "history.db")
	}
	e.history, err = history.New(history.Config{Path: path, Retain: c.History.Retain,
		Logger: o.Logger.With("engine", "history")}, line)
	return wrap("history", err)
}

func newPipeline(c *config.Config, cluster kafka.Cluster, o Options) (*pipeline.Engine, error) {
	f, m := c.Features, c.Model
	if f == nil || m == nil {
		return nil, wrap("pipeline", errors.New("it needs a features and a model section; add them to the configuration"))
	}
	store, err := newStore(f)
	if err != nil {
		return nil, wrap("features", err)
	}
	p := c.Pipeline
	return pipeline.New(pipeline.Config{
		Cluster: cluster, Group: p.Group, Events: p.Events, Predictions: p.Predictions, DeadLetters: p.DeadLetters,
		Start: p.Start, Delivery: p.Delivery, MaxEvents: p.Batch.MaxEvents, MaxWait: p.Batch.MaxWait,
		Entity: f.Entity, OnMissing: f.OnMissing, Defaults: f.Defaults, Store: store,
		FeaturesURL: f.URL, LoadModel: modelLoader(m), ModelVersion: m.Version,
		Logger: o.Logger.With("engine", "pipeline"),
	}), nil
}

// newStore stacks what lies between a Feast server and the pipeline: texts become numbers where the configuration has a
// table, rows are cached as they come out of that, and drift is told of what the model is given.
func newStore(f *config.Features) (features.Store, error) {
	store, err := features.NewFeast(features.FeastConfig{URL: f.URL, Names: f.Names, Entity: f.Entity,
		Timeout: f.Timeout, Token: f.Token.Reveal})
	if err != nil {
		return nil, err
	}
	tables := make(map[string]features.Categories, len(f.Categories))
	for name, table := range f.Categories {
		tables[name] = table
	}
	if store, err = features.NewEncoder(store, tables); err != nil {
		return nil, err
	}
	if f.Cache.Entries > 0 && f.Cache.TTL > 0 {
		store = features.NewCache(store, features.CacheConfig{TTL: f.Cache.TTL, Entries: f.Cache.Entries})
	}
	return features.NewDrift(store, features.DriftConfig{}), nil
}

// modelLoader loads the configured model, again at each start of the pipeline, so that a file put right is picked up.
func modelLoader(m *config.Model) func(context.Context) (model.Model, error) {
	if i := m.Inference; i != nil {
		return func(context.Context) (model.Model, error) {
			return model.NewInference(model.InferenceConfig{URL: i.URL, Name: i.Name})
		}
	}
	return func(context.Context) (model.Model, error) { return model.LoadONNX(m.ONNX) }
}

func newEdge(c *config.Edge, o Options) (*edge.Engine, error) {
	outbox := c.Outbox
	if outbox == "" {
		if err := os.MkdirAll(o.State, 0o700); err != nil {
			return nil, err
		}
		outbox = filepath.Join(o.State, "outbox.db")
	}
	ec := edge.Config{Nodes: c.Nodes, Poll: c.Poll, Timeout: c.Timeout, StaleAfter: c.StaleAfter,
		Concurrency: c.Concurrency, Outbox: outbox, Logger: o.Logger.With("engine", "edge")}
	if c.Cloud != nil {
		ec.Cloud = &edge.CloudConfig{URL: c.Cloud.URL, Every: c.Cloud.Every, Timeout: c.Cloud.Timeout,
			Token: c.Cloud.Token.Reveal, Gzip: c.Cloud.Gzip, MaxBytes: c.Cloud.MaxBytes, MaxAge: c.Cloud.MaxAge}
	}
	return edge.New(ec)
}
