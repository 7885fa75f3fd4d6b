// Package wire turns the sections of a configuration into what the engines are made from. The runtime and weir check
// both use it, so that what is checked is what will run.
package wire

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"weir/backend/edge"
	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/model"
	"weir/config"
)

// Asked is the feature store as it is asked, with texts turned into numbers where the configuration has a table. F's
// timeout bounds a request. Client may be nil.
func Asked(f *config.Features, client *http.Client) (features.Store, error) {
	store, err := features.NewFeast(features.FeastConfig{URL: f.URL, Names: f.Names, Entity: f.Entity,
		Timeout: f.Timeout, Token: f.Token.Reveal, HTTP: client})
	if err != nil {
		return nil, err
	}
	tables := make(map[string]features.Categories, len(f.Categories))
	for name, table := range f.Categories {
		tables[name] = table
	}
	return features.NewEncoder(store, tables)
}

// Store stacks what lies between a Feast server and the pipeline: texts become numbers where the configuration has a
// table, rows are cached as they come out of that, and drift is told of what the model is given.
func Store(f *config.Features) (features.Store, error) {
	store, err := Asked(f, nil)
	if err != nil {
		return nil, err
	}
	if f.Cache.Entries > 0 && f.Cache.TTL > 0 {
		store = features.NewCache(store, features.CacheConfig{TTL: f.Cache.TTL, Entries: f.Cache.Entries})
	}
	// A map prints in the order of its keys.
	return features.NewDrift(store, features.DriftConfig{Encoding: fmt.Sprint(f.Categories)}), nil
}

// Model loads the configured model: the file, or the server's description.
func Model(m *config.Model) (model.Model, error) { return ModelSource(m).Load(context.Background()) }

// ModelSource is where the configured model comes from: a file that may be replaced, or a server.
func ModelSource(m *config.Model) model.Source {
	if i := m.Inference; i != nil {
		return model.NewServed(model.InferenceConfig{URL: i.URL, Name: i.Name, Version: i.Version, Timeout: i.Timeout,
			Token: i.Token.Reveal(), Output: i.Output})
	}
	return model.NewFile(m.ONNX)
}

// Edge is the fleet, with its outbox in the folder state unless it is configured elsewhere. It reads the certificates
// that are named.
func Edge(c *config.Edge, state string, logger *slog.Logger) (edge.Config, error) {
	e := edge.Config{Nodes: c.Nodes, Poll: c.Poll, Timeout: c.Timeout, StaleAfter: c.StaleAfter,
		Concurrency: c.Concurrency, Outbox: c.Outbox, Logger: logger}
	if state != "" { // beside the outbox, and with the same care
		e.State = filepath.Join(state, "fleet.db")
	}
	for _, t := range c.Targets {
		e.Targets = append(e.Targets, edge.Target{URL: t.URL, Labels: t.Labels})
	}
	for i, s := range c.Sources {
		source, err := Source(s)
		if err != nil {
			return e, fmt.Errorf("edge.sources[%d]: %w", i, err)
		}
		e.Sources = append(e.Sources, source)
	}
	for i, a := range c.Access {
		access, err := accessOf(a)
		if err != nil {
			return e, fmt.Errorf("edge.access[%d]: %w", i, err)
		}
		e.Access = append(e.Access, access)
	}
	if f := c.Federated; f != nil {
		e.Federated = &edge.FederatedConfig{Every: f.Every, Deadline: f.Deadline, Participants: f.Participants,
			MaxNorm: f.MaxNorm, MaxExamples: int64(f.MaxExamples)}
	}
	if c.Cloud == nil {
		return e, nil
	}
	e.Cloud = &edge.CloudConfig{URL: c.Cloud.URL, Every: c.Cloud.Every, Timeout: c.Cloud.Timeout,
		Token: c.Cloud.Token.Reveal, Gzip: c.Cloud.Gzip, MaxBytes: c.Cloud.MaxBytes, MaxAge: c.Cloud.MaxAge}
	if e.Outbox == "" {
		if err := os.MkdirAll(state, 0o700); err != nil {
			return e, fmt.Errorf("edge.outbox: %w", err)
		}
		e.Outbox = filepath.Join(state, "outbox.db")
	}
	return e, nil
}

// Source is one list of nodes.
func Source(s config.Source) (edge.Source, error) {
	switch {
	case s.File != "":
		return edge.NewFileSource(s.File), nil
	case s.SRV != "":
		return edge.NewSRVSource(s.SRV, s.Scheme, s.Every, nil), nil
	default:
		header := http.Header{}
		if s.Token.IsSet() {
			header.Set("Authorization", "Bearer "+s.Token.Reveal())
		}
		return edge.NewHTTPSource(s.HTTPSD, s.Every, header)
	}
}

func accessOf(a config.Access) (edge.Access, error) {
	out := edge.Access{Labels: a.Labels, Prefix: a.Prefix, Token: a.Token.Reveal}
	if len(a.Headers) > 0 {
		out.Headers = make(map[string]string, len(a.Headers))
		for name, value := range a.Headers {
			out.Headers[name] = value.Reveal()
		}
	}
	if a.TLS == nil {
		return out, nil
	}
	var err error
	out.TLS, err = kafka.TLSConfig("tls", *a.TLS)
	return out, err
}
