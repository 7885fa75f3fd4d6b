// Package demo is a small world to look at: a Kafka broker, a shop whose visitors send events, a feature store, edge
// nodes, a cloud endpoint, data products. All of them are real servers on loopback ports, and a real weir.yaml in a
// temporary folder is all that leads to them: the engines meet this world as they would meet any other.
//
// The same seed gives the same world: the same visitors doing the same things in the same order.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"weir/backend/kafka"
)

// Options say what the world is like. The zero value is the world weir demo opens.
type Options struct {
	// Rate is how many user events come a second, on average; 0 means DefaultRate, NoEvents none.
	Rate float64
	// Nodes is the number of edge nodes; 0 means DefaultNodes.
	Nodes int
	// Seed decides who comes when and does what.
	Seed uint64
	// KafkaListen is the broker's host:port; empty means a free loopback port.
	KafkaListen string
	// Folder is where the world's own folder is made; empty means the system's temporary folder.
	Folder string
	Logger *slog.Logger // nil: nowhere

	clock func() time.Time // of the edge nodes; nil: the real one
}

// What Options mean by zero.
const (
	DefaultRate  = 2000
	DefaultNodes = 14
)

// NoEvents is the Rate of a world whose visitors stay at home.
const NoEvents = -1

// Beyond these the world does not promise its pace.
const (
	maxRate  = 1_000_000 // events a second
	maxNodes = 50_000
)

// World is a running demo world.
type World struct {
	dir        string
	configPath string
	logger     *slog.Logger

	broker      *kafka.Embedded
	producer    *producer
	fleet       *fleet
	cloud       *cloud
	brokerGate  *gate
	featureGate *gate
	cloudGate   *gate
	faults      schedule
	servers     []*http.Server

	cancel   context.CancelFunc
	ctx      context.Context // ends when the world closes
	leave    context.CancelFunc
	visitors sync.WaitGroup // the producer
	wait     sync.WaitGroup // everything else
	once     sync.Once
}

// Start opens a world. When it returns every port answers and the topics exist; events follow at once. The visitors
// leave when ctx ends; the servers stay until Close.
func Start(ctx context.Context, o Options) (*World, error) {
	o = o.withDefaults()
	switch {
	case !(o.Rate <= maxRate):
		return nil, fmt.Errorf("expected a rate of at most %d events a second, found %g", maxRate, o.Rate)
	case o.Nodes < 0 || o.Nodes > maxNodes:
		return nil, fmt.Errorf("expected 1 to %d nodes, found %d", maxNodes, o.Nodes)
	}
	w := &World{logger: o.Logger, cloud: newCloud()}
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.faults.changed = w.reconcile
	if err := w.open(ctx, o); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (o Options) withDefaults() Options {
	switch {
	case o.Rate == 0:
		o.Rate = DefaultRate
	case o.Rate < 0:
		o.Rate = 0
	}
	if o.Nodes == 0 {
		o.Nodes = DefaultNodes
	}
	if o.KafkaListen == "" {
		o.KafkaListen = "127.0.0.1:0"
	}
	if o.Folder == "" {
		o.Folder = os.TempDir()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.clock == nil {
		o.clock = time.Now
	}
	return o
}

func (w *World) open(ctx context.Context, o Options) error {
	var err error
	if w.dir, err = makeFolder(o.Folder); err != nil {
		return err
	}
	w.wait.Go(func() { sweep(o.Folder) })
	if w.brokerGate, err = listen(ctx, o.KafkaListen); err != nil {
		return fmt.Errorf("the broker: %w; choose another address, or none for a free port", err)
	}
	if w.featureGate, err = listen(ctx, "127.0.0.1:0"); err != nil {
		return fmt.Errorf("the feature store: %w", err)
	}
	if w.cloudGate, err = listen(ctx, "127.0.0.1:0"); err != nil {
		return fmt.Errorf("the cloud: %w", err)
	}
	if w.fleet, err = newFleet(ctx, o.Nodes, o.Seed, o.clock, w.faults.on); err != nil {
		return err
	}
	started := make(chan error, 1)
	go func() { started <- w.startBroker(o) }()
	users := population()
	w.serve(w.featureGate, newFeatureServer(users, w.featureFaults))
	w.serve(w.cloudGate, w.cloud.handler())
	for _, g := range w.fleet.gates {
		w.serve(g, w.fleet.handler(g))
	}
	w.producer = &producer{
		generator: newGenerator(o.Seed, users),
		rate:      o.Rate,
		faults:    w.eventFaults,
		now:       time.Now,
		logger:    o.Logger,
	}
	if err := <-started; err != nil {
		return err
	}
	w.configPath, err = writeConfig(w.dir, configValues{
		Broker:     w.broker.Addr(),
		Features:   "http://" + w.featureGate.Addr().String(),
		Cloud:      "http://" + w.cloudGate.Addr().String() + cloudPath,
		CloudToken: cloudToken,
		Nodes:      w.fleet.targets(),
	})
	if err != nil {
		return err
	}
	w.produce(ctx)
	return nil
}

// Topics are small enough to be swept often and large enough to hold some minutes, so that a pipeline that was away
// finds what it missed.
const (
	minTopicBytes = 16 << 20  // a partition
	maxTopicBytes = 128 << 20 // a partition
	kept          = 6 * time.Minute
	bytesPerEvent = 230 // with Kafka's own
)

func (w *World) startBroker(o Options) error {
	const partitions = 6
	size := int64(clamp(o.Rate*bytesPerEvent*kept.Seconds()/partitions, minTopicBytes, maxTopicBytes))
	topic := func(name string, partitions int32) kafka.EmbeddedTopic {
		return kafka.EmbeddedTopic{Name: name, Partitions: partitions, Retention: kept, RetentionBytes: size}
	}
	var err error
	w.broker, err = kafka.StartEmbedded(kafka.EmbeddedOptions{
		Listener: w.brokerGate,
		DataDir:  filepath.Join(w.dir, brokerFolder),
		Logger:   o.Logger,
		Topics: []kafka.EmbeddedTopic{
			topic(topicEvents, partitions), topic(topicPredictions, partitions), topic(topicDeadLetters, 1),
			topic(topicOrders, 1), topic(topicPayments, 1), topic(topicSessions, 1), topic(topicInventory, 1),
		},
	})
	return err
}

// serve answers behind a gate until the world closes.
func (w *World) serve(g *gate, h http.Handler) {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(w.logger.Handler(), slog.LevelDebug),
	}
	w.servers = append(w.servers, s)
	w.wait.Go(func() {
		if err := s.Serve(g); !errors.Is(err, http.ErrServerClosed) && w.ctx.Err() == nil {
			w.logger.Error("demo world: a server ended", "address", g.Addr().String(), "error", err)
		}
	})
}

// produce runs the visitors until ctx or the world ends.
func (w *World) produce(ctx context.Context) {
	if w.producer.rate <= 0 {
		return
	}
	w.producer.brokers = []string{w.broker.Addr()}
	ctx, w.leave = context.WithCancel(ctx)
	unlink := context.AfterFunc(w.ctx, w.leave)
	w.visitors.Go(func() {
		defer unlink()
		if err := w.producer.run(ctx, w.ctx); err != nil {
			w.logger.Error("demo world: the events ended", "error", err)
		}
	})
}

// StopEvents sends the visitors home. When it returns, every event there was is acknowledged by the broker and no other
// will come: whoever wants to count can let the pipeline drain now. It waits for a broker that is away.
func (w *World) StopEvents() {
	if w.leave != nil {
		w.leave()
	}
	w.visitors.Wait()
}

// ConfigPath is the weir.yaml that describes the world.
func (w *World) ConfigPath() string { return w.configPath }

// Inject makes a fault happen after some time, for some time; a length of 0 means until it is cleared. A fault that is
// on or scheduled is scheduled anew. The error is ErrUnknownFault, with the name that may have been meant.
func (w *World) Inject(name string, after, length time.Duration) error {
	id, err := findFault(name)
	if err != nil {
		return err
	}
	w.faults.inject(id, after, length)
	return nil
}

// Clear ends a fault. The error is ErrUnknownFault or ErrNotInjected.
func (w *World) Clear(name string) error {
	id, err := findFault(name)
	if err != nil {
		return err
	}
	if !w.faults.clear(id) {
		return fmt.Errorf("fault %s: %w", name, ErrNotInjected)
	}
	return nil
}

// Faults are the faults that are on or scheduled, by their beginning.
func (w *World) Faults() []FaultState { return w.faults.list() }

// Close ends the world and removes its folder. Closing again does nothing.
func (w *World) Close() error {
	var err error
	w.once.Do(func() { err = w.close() })
	return err
}

func (w *World) close() error {
	w.faults.close()
	w.cancel()
	w.StopEvents() // before the broker: a client that loses it lingers
	for _, s := range w.servers {
		_ = s.Close()
	}
	for _, g := range []*gate{w.featureGate, w.cloudGate, w.brokerGate} {
		if g != nil {
			_ = g.Close()
		}
	}
	if w.fleet != nil {
		w.fleet.close()
	}
	w.wait.Wait()
	if w.broker != nil {
		_ = w.broker.Close()
	}
	if w.dir == "" {
		return nil
	}
	if err := os.RemoveAll(w.dir); err != nil {
		return fmt.Errorf("demo world: remove its folder: %w", err)
	}
	return nil
}
