// Package backend runs weir without a screen: it starts, supervises and stops the engines, takes a snapshot of them
// each tick, and carries out commands.
package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/incident"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
	"weir/config"
)

// Options say how a Runtime runs, beside what its configuration says.
type Options struct {
	// World names the embedded world, such as "demo"; empty for a real one.
	World string
	// Faults is how faults reach the embedded world; nil for a real one, which has no such command.
	Faults Faults
	// State is the folder for what must survive a restart, such as the outbox.
	State string
	// Logger takes what an operator may want to read later; nil discards.
	Logger *slog.Logger
}

// Faults is the part of the embedded world that can be asked to misbehave.
type Faults interface {
	// FaultNames are all the faults there are.
	FaultNames() []string
	// Known is an error, which says what may have been meant, if there is no fault of that name.
	Known(name string) error
	// Inject starts a fault after a delay and ends it after a while; a duration of 0 means until it is cleared.
	Inject(name string, after, lasting time.Duration) error
	// Clear ends a fault; it is an error if none of that name is in force.
	Clear(name string) error
	// InForce are the faults in force now.
	InForce() []timeline.Fault
}

// Runtime is a running weir. Make it with New, run it with Run; everything else is safe at any time.
type Runtime struct {
	config   *config.Config
	options  Options
	engines  engines
	workers  []*supervised
	line     *timeline.Timeline
	log      event.Log // the runtime's own events
	merged   merger
	commands []command
	hub      hub
	recorder recorderWatch

	incidents *incident.Tracker
	told      map[[2]string]bool // the incidents, by rule and subject, that the log was told of
}

// New builds the engines that the configuration asks for and starts nothing. The error says which section cannot
// work and why.
func New(c *config.Config, o Options) (*Runtime, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Runtime{config: c, options: o, line: timeline.New(), incidents: incident.New()}
	if err := r.engines.build(c, o, r.line); err != nil {
		return nil, err
	}
	for _, e := range r.engines.list() {
		r.workers = append(r.workers, newSupervised(e.name, e.run, &r.log, o.Logger))
	}
	r.engines.failed = r.failed
	r.commands = r.commandTable()
	return r, nil
}

// failed tells why an engine has failed and is not running; empty otherwise.
func (r *Runtime) failed(engine string) string {
	for _, w := range r.workers {
		if s := w.status(); s.Name == engine && s.State == timeline.EngineFailed {
			return s.Error.String()
		}
	}
	return ""
}

// Timeline is the recent past; it grows by one snapshot a tick while Run runs.
func (r *Runtime) Timeline() *timeline.Timeline { return r.line }

// Run runs the engines until ctx ends and they have all stopped. An engine that fails or panics is started again with
// back-off and stops nobody else, so the only error is a second call.
func (r *Runtime) Run(ctx context.Context) error {
	var engines sync.WaitGroup
	for _, w := range r.workers {
		if !w.claim() {
			return errors.New("this runtime has already been run")
		}
		engines.Go(func() { w.supervise(ctx) })
	}
	r.tick()
	ticker := time.NewTicker(r.config.Console.Refresh)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.tick()
		case <-ctx.Done():
			r.await(&engines)
			r.tick() // what the engines said last
			return nil
		}
	}
}

// stopPatience is how long engines may take to stop: the pipeline finishes what is in hand, commits and leaves its group.
const stopPatience = 10 * time.Second

// await waits until the engines have stopped. Brokers that say nothing would keep them for a minute: they are hung up on
// then, and what was in hand is taken again by whoever takes the partitions next.
func (r *Runtime) await(engines *sync.WaitGroup) {
	stopped := make(chan struct{})
	go func() {
		engines.Wait()
		close(stopped)
	}()
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-stopped:
	case <-patience.C:
		r.options.Logger.Warn("the engines do not stop: closing the connections to kafka", "after", stopPatience)
		r.engines.cluster.HangUp()
		<-stopped
	}
}

// Drain waits until the pipeline has answered every event there is, or for at most as long as told; it presumes that
// no new events come. One that still starts does not know yet what there is. Without a pipeline there is nothing to wait for.
func (r *Runtime) Drain(most time.Duration) {
	if r.engines.pipeline == nil {
		return
	}
	ticks, cancel := r.Subscribe()
	defer cancel()
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	asked := time.Now()
	for {
		select {
		case <-ticks:
			// The high watermark in the pipeline's snapshot may be a moment old: one taken well after the question counts.
			s := r.line.Newest()
			if p := s.Pipeline; p.State != pipeline.Starting && p.At.Sub(asked) > 2*s.Tick && p.Lag == 0 && p.Consumed == p.Predicted+p.DeadLettered {
				return
			}
		case <-deadline.C:
			return
		}
	}
}

// Subscribe returns a channel that holds a value whenever a snapshot was taken since it was last read. A reader that
// is slow misses ticks and delays nobody. cancel ends the subscription.
func (r *Runtime) Subscribe() (ticks <-chan struct{}, cancel func()) { return r.hub.subscribe() }

// Observe is what the engines say at this moment, between two ticks: a snapshot without faults, events and incidents, that is
// in no timeline.
func (r *Runtime) Observe() *timeline.Snapshot {
	s := &timeline.Snapshot{
		At:    time.Now(),
		Tick:  r.config.Console.Refresh,
		World: safetext.Clean(r.options.World),
	}
	if p := r.config.Pipeline; p != nil {
		s.Group = safetext.Clean(p.Group)
	}
	r.engines.observe(s)
	for _, w := range r.workers {
		s.Engines = append(s.Engines, w.status())
	}
	return s
}

func (r *Runtime) tick() {
	s := r.Observe()
	if r.options.Faults != nil {
		s.Faults = r.options.Faults.InForce()
	}
	if r.failed("history") == "" { // else the supervisor has told it
		r.recorder.look(r.engines.history.Status(), s.At, &r.log)
	}
	s.Events = r.merged.merge(s, r.log.Recent())
	s.Incidents = r.incidents.Step(s)
	r.tellIncidents(s.Incidents)
	r.line.Append(s)
	r.hub.publish()
}

// tellIncidents logs what is wrong when it begins and when it has ended: a worker has no screen to say it on.
func (r *Runtime) tellIncidents(now []timeline.Incident) {
	open := make(map[[2]string]bool, len(now))
	for i := range now {
		x := &now[i]
		key := [2]string{x.Rule, x.Subject.String()}
		if !x.Ended.IsZero() {
			continue
		}
		if open[key] = true; !r.told[key] {
			r.options.Logger.Warn("wrong: "+x.Rule, "subject", x.Subject.String(), "message", x.Message.String(), "next", x.Next.String())
		}
	}
	for key := range r.told {
		if !open[key] {
			r.options.Logger.Info("over: "+key[0], "subject", key[1])
		}
	}
	r.told = open
}

// hub tells subscribers that a snapshot was taken.
type hub struct {
	mu          sync.Mutex
	subscribers map[chan struct{}]struct{}
}

func (h *hub) subscribe() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscribers == nil {
		h.subscribers = map[chan struct{}]struct{}{}
	}
	h.subscribers[ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subscribers, ch)
	}
}

func (h *hub) publish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.subscribers {
		select {
		case ch <- struct{}{}:
		default: // it has not read the last one yet
		}
	}
}

// wrap says which section of the configuration an error belongs to.
func wrap(section string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", section, err)
}
