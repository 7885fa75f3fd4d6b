package demo

import (
	"context"
	"testing"
	"time"

	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/mesh"
	"weir/backend/model"
	"weir/backend/pipeline"
)

// runPipeline runs the pipeline on the world's configuration, with a delivery of its own, until the test ends or stop is called.
func runPipeline(t *testing.T, w *World, delivery string) (e *pipeline.Engine, stop func()) {
	t.Helper()
	c := load(t, w)
	cluster, err := kafka.NewCluster(c.Kafka)
	if err != nil {
		t.Fatal(err)
	}
	feast, err := features.NewFeast(features.FeastConfig{URL: c.Features.URL, Names: c.Features.Names, Entity: c.Features.Entity,
		Timeout: c.Features.Timeout})
	if err != nil {
		t.Fatal(err)
	}
	p := c.Pipeline
	e = pipeline.New(pipeline.Config{
		Cluster: cluster, Group: p.Group, Events: p.Events, Predictions: p.Predictions, DeadLetters: p.DeadLetters,
		Start: p.Start, Delivery: delivery, MaxEvents: p.Batch.MaxEvents, MaxWait: p.Batch.MaxWait, Entity: c.Features.Entity,
		OnMissing: c.Features.OnMissing, ModelVersion: c.Model.Version,
		Store:     features.NewCache(feast, features.CacheConfig{TTL: time.Second, Entries: c.Features.Cache.Entries}),
		LoadModel: func(context.Context) (model.Model, error) { return model.LoadONNX(c.Model.ONNX) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the pipeline: %v", err)
		}
	}
	t.Cleanup(stop)
	return e, stop
}

// drained tells whether the pipeline has answered every event there is.
func drained(w *World, e *pipeline.Engine) func() bool {
	return func() bool {
		s := e.Snapshot()
		return s.Lag == 0 && s.Predicted+s.DeadLettered >= w.producer.acked.Load()
	}
}

// TestEveryEventIsAnsweredOnce runs the loop under faults that the pipeline must live through, and then counts from
// outside. Without a rebalance or a restart at-least-once must answer once.
func TestEveryEventIsAnsweredOnce(t *testing.T) {
	rate, events := 8000.0, uint64(12_000)
	if underRace {
		rate, events = 2000, 3000 // the faults come in the middle of them, as they do otherwise
	}
	for _, c := range []struct {
		name     string
		delivery string
		faults   []Fault
	}{
		{"calm", pipeline.AtLeastOnce, nil},
		{"bad data", pipeline.AtLeastOnce, []Fault{{Name: "poison-events"}, {Name: "schema-break", After: time.Second}, {Name: "features-missing", After: time.Second}}},
		{"a store that comes and goes", pipeline.AtLeastOnce, []Fault{{Name: "features-down", After: 500 * time.Millisecond, For: time.Second}}},
		{"a broker that comes and goes", pipeline.AtLeastOnce, []Fault{{Name: "broker-down", After: 500 * time.Millisecond, For: time.Second}}},
		{"a hot partition", pipeline.AtLeastOnce, []Fault{{Name: "hot-partition"}, {Name: "traffic-spike", After: 500 * time.Millisecond}}},
		{"exactly once, a broker that comes and goes", pipeline.ExactlyOnce, []Fault{{Name: "broker-down", After: 500 * time.Millisecond, For: time.Second}, {Name: "poison-events"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, Options{Rate: rate})
			e, stop := runPipeline(t, w, c.delivery)
			waitFor(t, "predictions", func() bool { return e.Snapshot().Predicted > 0 })
			for _, f := range c.faults {
				if err := w.Inject(f.Name, f.After, f.For); err != nil {
					t.Fatal(err)
				}
			}
			waitFor(t, "enough events", func() bool { return w.producer.acked.Load() >= events })
			w.StopEvents()
			waitFor(t, "an end of the lag", drained(w, e))
			stop()
			s, a := e.Snapshot(), auditTopics(t, w.broker.Addr())
			t.Logf("%d events, %d predictions, %d dead letters", a.events, a.predictions, a.deadLetters)
			if a.unanswered > 0 || len(a.problems) > 0 || a.events != int(w.producer.acked.Load()) {
				t.Errorf("%+v", a)
			}
			again := c.delivery == pipeline.AtLeastOnce && c.name == "a broker that comes and goes" // an acknowledgement lost on the way
			if !again && a.answeredAgain > 0 {
				t.Errorf("%d answers beyond the first", a.answeredAgain)
			}
			if c.delivery == pipeline.AtLeastOnce && !again &&
				(int(s.Predicted) != a.predictions || int(s.DeadLettered) != a.deadLetters || int(s.Consumed) != a.events) {
				t.Errorf("weir counted %d consumed, %d predicted, %d dead-lettered; the topics say %+v", s.Consumed, s.Predicted, s.DeadLettered, a)
			}
		})
	}
}

// TestTheContractsHoldUntilAFault lets the mesh engine judge the world's six products: calm, and under the faults that
// are made to break them.
func TestTheContractsHoldUntilAFault(t *testing.T) {
	t.Parallel()
	rate, window := 6000.0, 3*time.Second
	if underRace {
		rate, window = 1000, 10*time.Second // what a pipeline that is some seconds late must not leave empty
	}
	w := start(t, Options{Rate: rate})
	runPipeline(t, w, pipeline.AtLeastOnce)
	c := load(t, w)
	cluster, err := kafka.NewCluster(c.Kafka)
	if err != nil {
		t.Fatal(err)
	}
	e := mesh.New(mesh.Config{Registry: c.Mesh.Registry, Window: window, Cluster: cluster})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	product := func(name string) (p mesh.Product) {
		for _, p := range e.Snapshot().Products {
			if p.Domain.String()+"/"+p.Name.String() == name {
				return p
			}
		}
		return p
	}
	holding := func() (n int) {
		for _, p := range e.Snapshot().Products {
			if p.State == mesh.Holds {
				n++
			}
		}
		return n
	}
	defer func() {
		if t.Failed() {
			for _, p := range e.Snapshot().Products {
				t.Logf("%s/%s %s %d rows %v %v", p.Domain, p.Name, p.State, p.Rows, p.Error, p.Issues)
			}
		}
	}()
	waitLong(t, "six contracts to hold", func() bool { return holding() == 6 })
	for name, column := range map[string]string{"null-spike": "email", "schema-break": "session_id"} {
		if err := w.Inject(name, 0, 0); err != nil {
			t.Fatal(err)
		}
		waitLong(t, "an issue of "+column, func() bool {
			for _, issue := range product("commerce/user_events").Issues {
				if issue.Column.String() == column {
					return true
				}
			}
			return false
		})
		for _, p := range e.Snapshot().Products {
			if p.State == mesh.Broken && p.Name.String() != "user_events" {
				t.Errorf("%s also breaks %s/%s: %v", name, p.Domain, p.Name, p.Issues)
			}
		}
		if err := w.Clear(name); err != nil {
			t.Fatal(err)
		}
		waitLong(t, "six contracts to hold again", func() bool { return holding() == 6 })
	}
}
