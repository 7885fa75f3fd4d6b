// Package pipeline is the streaming engine: it consumes events, looks up features, scores them, publishes
// predictions, sets aside what it cannot score, and commits.
//
// The unit of work is a batch: one feature request, one model call, one round of produce requests, one commit. An
// offset is committed only after every record below it was acknowledged as a prediction or as a dead letter.
package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/event"
	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/model"
	"weir/backend/safego"
	"weir/backend/safetext"
)

// Config is what an Engine is made of. Zero values get the defaults told.
type Config struct {
	Cluster     kafka.Cluster
	Group       string // default "weir"
	Events      string // default "user_events"
	Predictions string // default "predictions"
	DeadLetters string // default Events + ".dead_letters"
	Start       string // "latest" (default) or "earliest": where a group without offsets begins
	Delivery    string // "at_least_once" (default) or "exactly_once"
	// Instance names this process among the members of its group and stays the same when it is started again. It may
	// be empty; with it a restarted process takes its partitions back at once (KIP-345), and in exactly-once mode
	// ends the transaction its predecessor left open; without it others take over when the group has missed it for
	// ten seconds. No two live processes may share one, or they throw each other out for ever. That is why there is no
	// default: what a process could find out by itself is either shared (a host's name, a folder) or new after each
	// start (a process id). Who deploys knows better: a StatefulSet's ${HOSTNAME}, a unit's %i.
	Instance string

	MaxEvents int           // records a batch at most; default 1000. Transactions may take up to ten times as many
	MaxWait   time.Duration // how long a batch waits for more at most; default 20 ms. Transactions: at least 100 ms

	Entity    string             // the event's key field; default "user_id"
	OnMissing string             // "dead_letter" (default), "default" or "nan"
	Defaults  map[string]float64 // by feature name, for OnMissing "default"

	Store        features.Store
	FeaturesURL  string // shown only
	LoadModel    func(context.Context) (model.Model, error)
	ModelVersion string // default "v2.1"
	// NextModel waits for another model than the one last told of by it or by LoadModel, or for why there is none, and
	// tells of each once (model.Source). It may be nil: models then change by command only.
	NextModel func(context.Context) (model.Model, error)
	// Baselines is the file in which recorded baselines of drift outlast the process; empty: they end with it.
	Baselines string

	Contracts Contracts    // may be nil
	Tap       Tap          // may be nil
	Logger    *slog.Logger // default: discards
}

// The policies for a value the feature store does not have.
const (
	MissingDeadLetter = "dead_letter"
	MissingDefault    = "default"
	MissingNaN        = "nan"
)

// The delivery modes.
const (
	AtLeastOnce = "at_least_once"
	ExactlyOnce = "exactly_once"
)

// Tap sees the records of each batch before they are scored, from several goroutines. It must not change or keep them.
type Tap interface {
	// Batch shows records of one partition in their order, at least one: all there are from the offset from on. What
	// lies between holds no record: the markers of transactions, and what was compacted away.
	Batch(topic string, from int64, records []*sarama.ConsumerMessage)
}

// ErrModelMismatch is wrapped when the model cannot score the configured features.
var ErrModelMismatch = errors.New("model and features do not match")

// Engine runs the pipeline. Its methods are safe for concurrent use.
type Engine struct {
	cfg     Config
	logger  *slog.Logger
	log     event.Log
	status  status
	stats   stats
	gate    gate
	facts   facts
	recent  recent
	browser browser
	still   stillness
	// The constants of these names, other ones in tests.
	stallPatience, abandonPatience, sessionTimeout time.Duration

	name    string // of this process among those of the group
	prefix  []byte // begins the JSON of a prediction
	topics  atomic.Pointer[topicCounts]
	flow    atomic.Pointer[flow]
	running atomic.Bool
	want    gate // shut while a drain is asked for
	parked  gate // shut while drained
	// unreadable holds a token when the consumer met a record batch that it cannot read.
	unreadable chan struct{}
	seeded     bool                        // the start of partitions without offsets is settled; the sessions' own
	model      atomic.Pointer[loadedModel] // in force
	// recorded is the baseline taken from live predictions, nil for the model's own.
	recorded atomic.Pointer[recordedBaseline]

	control       sync.Mutex   // one command at a time
	replaying     sync.Mutex   // one replay at a time: the next one sees which letters it replayed
	oldModel      *loadedModel // what RollbackModel goes back to
	firstRevision firstOf      // of the model that is called by the configured version
	baselines     baselineFile

	mu     sync.Mutex
	claims map[int32]*claim // the partitions held now
	seen   map[int32]int64  // the offset after the newest record ever taken, of partitions held before
	told   []int32          // the partitions the log last said are held
	// overtaken is up to where records of a partition are known to have been deleted before they were taken.
	overtaken map[int32]int64
	// lastDead is when a dead letter was last seen, so that the log tells of the first of a burst only.
	lastDead time.Time
	replayed map[LetterID]time.Time // dead letters this process replayed
}

// New makes an engine; nothing happens before Run.
func New(c Config) *Engine {
	setDefault(&c.Group, "weir")
	setDefault(&c.Events, "user_events")
	setDefault(&c.Predictions, "predictions")
	setDefault(&c.DeadLetters, c.Events+".dead_letters")
	setDefault(&c.Start, "latest")
	setDefault(&c.Delivery, AtLeastOnce)
	setDefault(&c.Entity, "user_id")
	setDefault(&c.OnMissing, MissingDeadLetter)
	setDefault(&c.ModelVersion, "v2.1")
	if c.MaxEvents < 1 {
		c.MaxEvents = 1000
	}
	if c.MaxWait <= 0 {
		c.MaxWait = 20 * time.Millisecond
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: c, logger: c.Logger, claims: make(map[int32]*claim), seen: make(map[int32]int64), overtaken: make(map[int32]int64), replayed: make(map[LetterID]time.Time)}
	name, _ := json.Marshal(c.Entity) // a string always marshals
	e.prefix = append(append([]byte{'{'}, name...), ':')
	e.name = processName(c.Instance)
	e.baselines.path = c.Baselines
	e.topics.Store(&topicCounts{1, 1})
	e.unreadable = make(chan struct{}, 1)
	e.status.log = &e.log
	e.stats.deadLetter = e.deadLetter
	e.stallPatience, e.abandonPatience, e.sessionTimeout = stallPatience, abandonPatience, sessionTimeout
	e.status.enter(Stopped)
	e.gate.open()
	e.want.open()
	e.parked.open()
	return e
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// Run consumes until ctx ends, then finishes the batch in hand, commits, leaves the group and returns nil. While
// brokers, topics, the feature store or the model server are away it waits; Snapshot says for what. It returns an
// error when waiting cannot help: the model does not load or does not fit the features (ErrModelMismatch), or something
// panicked (*safego.Panic), be it the model, the Tap or a client of Kafka; what was not acknowledged then is taken again
// by the next Run.
func (e *Engine) Run(ctx context.Context) error {
	if !e.running.CompareAndSwap(false, true) {
		return errors.New("the pipeline runs already")
	}
	defer e.running.Store(false)
	e.status.enter(Starting)
	defer e.status.enter(Stopped)

	if e.model.Load() == nil {
		if err := e.loadModel(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	inner, stop := context.WithCancel(ctx)
	defer stop()
	r := &run{Group: safego.Group{Failed: func(*safego.Panic) { stop() }}}
	var hangUp func()
	r.cluster, hangUp = e.cfg.Cluster.Apart()
	defer hangUp()
	clients := kafka.NewWatch(func(p *safego.Panic) {
		r.Fail(p)
		if f := e.flow.Load(); f != nil {
			f.cancel(p) // no claim waits for what is in hand
		}
	})
	defer clients.Stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Do(func() { e.work(inner, r) })
		stop()
		r.Wait()
	}()
	if clients.Outlast(ended, e.abandonPatience, hangUp) {
		e.abandon()
	}
	return r.Err()
}

// run is one Run: what it has at work, which fails together, and the cluster by connections of its own.
type run struct {
	safego.Group
	cluster kafka.Cluster
}

// work is what a run consists of.
func (e *Engine) work(ctx context.Context, r *run) {
	if !e.awaitTopics(ctx) {
		return
	}
	r.Go(func() { e.watchFacts(ctx) })
	r.Go(func() { e.sample(ctx) })
	r.Go(func() { e.defuser(ctx) })
	r.Go(func() { e.watchModel(ctx) })
	r.Go(func() { e.keepBaselines(ctx) })
	e.consume(ctx, r)
}

// abandonPatience is how long a run whose client has panicked may take to end by itself and, once its connections are
// closed, to end for that.
const abandonPatience = 5 * time.Second

// abandon leaves a run behind that waits for a client that has panicked. Without connections the group soon misses it.
func (e *Engine) abandon() {
	e.logger.Error("a kafka client that panicked does not end: it is left behind")
	e.flow.Store(nil)
	e.mu.Lock()
	clear(e.claims)
	e.mu.Unlock()
}

// Pause stops taking records; what was taken is finished. The partitions stay assigned.
func (e *Engine) Pause() {
	e.gate.close()
	if e.status.pause(true) {
		e.tell(event.Pipeline, event.Info, "pipeline", "paused")
	}
}

// Resume ends Pause and Drain.
func (e *Engine) Resume() {
	if e.want.open() {
		e.tell(event.Pipeline, event.Info, "pipeline", "joins the group again")
	}
	e.gate.open()
	if e.status.pause(false) {
		e.tell(event.Pipeline, event.Info, "pipeline", "resumed")
	}
}

// tell adds to the engine's log. The format's arguments may come from outside: the text is cleaned.
func (e *Engine) tell(kind event.Kind, severity event.Severity, subject, format string, args ...any) {
	e.log.Add(event.Event{
		At: time.Now(), Kind: kind, Severity: severity,
		Subject: safetext.Clean(subject), Message: safetext.Clean(limit(fmt.Sprintf(format, args...), 400)),
	})
}

// Snapshot is the pipeline at this instant. It is never nil.
func (e *Engine) Snapshot() *Snapshot {
	now := time.Now()
	s := &Snapshot{
		At:          now,
		Group:       safetext.Clean(e.cfg.Group),
		Events:      safetext.Clean(e.cfg.Events),
		Predictions: safetext.Clean(e.cfg.Predictions),
		DeadLetters: safetext.Clean(e.cfg.DeadLetters),
		Delivery:    e.cfg.Delivery,
		Log:         e.log.Recent(),
		PSI:         math.NaN(), PSIThreshold: math.NaN(),
	}
	s.State, s.Since, s.Waiting = e.status.now()
	e.stats.fill(s, now)
	e.fillPartitions(s, now)
	e.fillModel(s)
	e.fillFeatures(s)
	e.fillWatched(s, now)
	return s
}

func (e *Engine) fillFeatures(s *Snapshot) {
	f := &s.Features
	f.OnMissing = e.cfg.OnMissing
	f.URL = safetext.Clean(e.cfg.FeaturesURL)
	f.State = string(features.StateIdle)
	if e.cfg.Store == nil {
		return
	}
	st := e.cfg.Store.Stats()
	f.Hits, f.Misses, f.Requests, f.Errors = st.Hits, st.Misses, st.Requests, st.Errors
	f.LastError = safetext.Clean(limit(st.LastError, 300))
	f.LatencyP50, f.LatencyP99, f.CacheLength = st.P50, st.P99, st.Cached
	if st.State != "" {
		f.State, f.Since = string(st.State), st.Since
	}
	for _, d := range st.Drift {
		f.Drift = append(f.Drift, FeatureDrift{Name: safetext.Clean(d.Name), PSI: d.PSI, Threshold: d.Threshold, Missing: d.Missing,
			BaselineMissing: d.BaselineMissing, Samples: d.Samples, Baseline: d.Baseline})
	}
}
