package backend

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"

	"weir/backend/edge"
	"weir/backend/history"
	"weir/backend/host"
	"weir/backend/kafka"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/timeline"
	"weir/backend/wire"
	"weir/config"
)

// engines are the engines a configuration asks for; those it does not are nil. The host engine always runs.
type engines struct {
	cluster  kafka.Cluster
	pipeline *pipeline.Engine
	edge     *edge.Engine
	mesh     *mesh.Engine
	host     *host.Engine
	history  *history.Recorder

	// failed tells why an engine has failed, empty when it has not. The supervisor sets it before any engine runs.
	failed func(name string) string
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
	e.cluster = cluster
	products := &contracts{}
	if c.Pipeline != nil {
		if e.pipeline, err = newPipeline(c, cluster, products, o); err != nil {
			return err
		}
	}
	if c.Edge != nil {
		if e.edge, err = newEdge(c.Edge, o); err != nil {
			return wrap("edge", err)
		}
	}
	if c.Mesh != nil {
		e.mesh = mesh.New(mesh.Config{Registry: c.Mesh.Registry, Window: c.Mesh.Window, WindowRows: int64(c.Mesh.WindowRows), Cluster: cluster, SchemaRegistry: c.Mesh.SchemaRegistry,
			Jobs: e.jobs(c), Lineage: lineage(c.Mesh.Lineage), Logger: o.Logger.With("engine", "mesh")})
		products.mesh = e.mesh
	}
	e.host = host.New(host.Config{Folder: "."})
	path := c.History.Path
	if path == "" {
		path = filepath.Join(o.State, "history.db")
	}
	e.history, err = history.New(history.Config{Path: path, Retain: c.History.Retain, MaxBytes: c.History.MaxBytes,
		Logger: o.Logger.With("engine", "history")}, line)
	return wrap("history", err)
}

func newPipeline(c *config.Config, cluster kafka.Cluster, products *contracts, o Options) (*pipeline.Engine, error) {
	f, m := c.Features, c.Model
	if f == nil || m == nil {
		return nil, wrap("pipeline", errors.New("it needs a features and a model section; add them to the configuration"))
	}
	store, err := wire.Store(f)
	if err != nil {
		return nil, wrap("features", err)
	}
	p, source := c.Pipeline, wire.ModelSource(m)
	settings := pipeline.Config{
		Cluster: cluster, Group: p.Group, Instance: p.Instance, Events: p.Events, Predictions: p.Predictions, DeadLetters: p.DeadLetters,
		Start: p.Start, Delivery: p.Delivery, MaxEvents: p.Batch.MaxEvents, MaxWait: p.Batch.MaxWait,
		Entity: f.Entity, OnMissing: f.OnMissing, Defaults: f.Defaults, Store: store,
		Contracts: products, Tap: products, FeaturesURL: withoutPassword(f.URL), LoadModel: source.Load, ModelVersion: m.Version,
		Baselines: filepath.Join(o.State, "baselines.json"), Logger: o.Logger.With("engine", "pipeline"),
	}
	if m.Watch {
		settings.NextModel = source.Next
	}
	return pipeline.New(settings), nil
}

// jobs is what the lineage of the data products knows of the pipeline; nil without one.
func (e *engines) jobs(c *config.Config) func() []mesh.Job {
	if e.pipeline == nil {
		return nil
	}
	p, features := c.Pipeline, []string(nil)
	if c.Features != nil {
		features = c.Features.Names
	}
	job := mesh.Job{Name: "pipeline " + p.Group, Inputs: []string{p.Events}, Outputs: []string{p.Predictions, p.DeadLetters}, Features: features}
	return func() []mesh.Job {
		s, job := e.pipeline.Snapshot(), job
		job.Model, job.Consumed = s.Model.Version.String(), s.Consumed
		job.Running = s.State != pipeline.Stopped && s.State != pipeline.Starting
		job.Failed = e.failed("pipeline")
		return []mesh.Job{job}
	}
}

// lineage is where OpenLineage events go; nil: nowhere.
func lineage(c *config.Lineage) *mesh.LineageConfig {
	if c == nil {
		return nil
	}
	return &mesh.LineageConfig{To: c.To, Namespace: c.Namespace, Every: c.Every, Token: c.Token.Reveal}
}

func newEdge(c *config.Edge, o Options) (*edge.Engine, error) {
	fleet, err := wire.Edge(c, o.State, o.Logger.With("engine", "edge"))
	if err != nil {
		return nil, err
	}
	return edge.New(fleet)
}

// withoutPassword is a URL as it may be shown.
func withoutPassword(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "a URL that cannot be read"
	}
	return u.Redacted()
}
