package mesh

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/mesh/judge"
	"weir/backend/safego"
	"weir/backend/safetext"
)

// LineageConfig says where OpenLineage events go.
type LineageConfig struct {
	To        string        // an http or https URL, or the path of a file that is appended to
	Namespace string        // of weir's jobs; empty: "weir"
	Every     time.Duration // between the RUNNING events of a job at least; 0: 5 minutes
	Token     func() string // sent as a bearer token when not empty; may be nil
}

// The bounds of what waits to be sent.
const (
	maxQueue     = 1000                   // events; the oldest go beyond
	retryFirst   = 500 * time.Millisecond // after a delivery that failed; doubles
	retryMost    = 30 * time.Second
	lastDelivery = 2 * time.Second // for what still waits when weir stops
	watchJobs    = time.Second
	maxTold      = 12 // verdicts of one product within a minute
)

// reporter turns what happens into OpenLineage events and delivers them in their order. Nothing waits for it.
type reporter struct {
	config  LineageConfig
	dataset string // namespace of the topics
	jobs    func() []Job
	log     *event.Log

	runs map[string]*run // of jobs, by name; the watcher's

	mu    sync.Mutex // guards what follows
	queue []RunEvent
	state Delivery
	away  bool
	heard map[string]topicNews // by topic
	added chan struct{}
}

// run is one run of a job.
type run struct {
	id       string
	last     Job
	lastTold time.Time
}

// topicNews is what was last judged on a topic.
type topicNews struct {
	product DataProduct
	outcome judge.Outcome
}

// newReporter is nil without a target.
func newReporter(c *LineageConfig, broker string, jobs func() []Job, log *event.Log) *reporter {
	if c == nil {
		return nil
	}
	r := &reporter{config: *c, dataset: "kafka://" + broker, jobs: jobs, log: log, runs: map[string]*run{}, heard: map[string]topicNews{}, added: make(chan struct{}, 1)}
	if r.config.Every <= 0 {
		r.config.Every = 5 * time.Minute
	}
	r.config.Namespace = or(r.config.Namespace, "weir")
	shown := c.To
	if u, err := url.Parse(c.To); err == nil && u.Host != "" {
		shown = u.Redacted()
	}
	r.state.To = safetext.Clean(shown)
	return r
}

// delivery is how it goes; nil without a reporter.
func (r *reporter) delivery() *Delivery {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state
	s.Waiting = len(r.queue)
	return &s
}

// put queues events. It never waits.
func (r *reporter) put(events ...RunEvent) {
	r.mu.Lock()
	r.queue = append(r.queue, events...)
	if over := len(r.queue) - maxQueue; over > 0 {
		r.queue = slices.Delete(r.queue, 0, over)
		r.state.Failed += uint64(over)
	}
	r.mu.Unlock()
	select {
	case r.added <- struct{}{}:
	default:
	}
}

// run reports until ctx ends, then ends the runs and delivers what it can in a moment.
func (r *reporter) run(ctx context.Context) {
	if r == nil {
		return
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	both := safego.Group{Failed: func(*safego.Panic) { stop() }}
	ended := make(chan struct{})
	both.Go(func() { r.deliver(ctx, ended) })
	both.Do(func() { r.watchAll(ctx) })
	close(ended)
	both.Wait()
	if p := both.Err(); p != nil {
		panic(p)
	}
}

// watchAll queues what there is to tell of jobs until ctx ends, then that they are over.
func (r *reporter) watchAll(ctx context.Context) {
	ticker := time.NewTicker(watchJobs)
	defer ticker.Stop()
	for ctx.Err() == nil {
		r.watch(time.Now())
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	r.endAll(time.Now())
}

// watch tells of jobs that started, go on, ended or failed.
func (r *reporter) watch(now time.Time) {
	if r.jobs == nil {
		return
	}
	for _, job := range r.jobs() {
		known := r.runs[job.Name]
		switch {
		case known == nil && job.Running && job.Failed == "":
			known = &run{id: NewRunID(), last: job, lastTold: now}
			r.runs[job.Name] = known
			r.put(r.jobEvent("START", now, known, ""))
		case known == nil:
		case job.Failed != "":
			known.last = job
			r.put(r.jobEvent("FAIL", now, known, job.Failed))
			delete(r.runs, job.Name)
		case !job.Running:
			known.last = job
			r.put(r.jobEvent("COMPLETE", now, known, ""))
			delete(r.runs, job.Name)
		case now.Sub(known.lastTold) >= r.config.Every || job.Model != known.last.Model:
			known.last, known.lastTold = job, now
			r.put(r.jobEvent("RUNNING", now, known, ""))
		}
	}
}

// endAll tells that the runs are over, for weir stops.
func (r *reporter) endAll(now time.Time) {
	if r.jobs != nil {
		for _, job := range r.jobs() {
			if known := r.runs[job.Name]; known != nil {
				known.last = job
			}
		}
	}
	for name, known := range r.runs {
		kind := "COMPLETE"
		if known.last.Failed != "" {
			kind = "FAIL"
		}
		r.put(r.jobEvent(kind, now, known, known.last.Failed))
		delete(r.runs, name)
	}
}

func (r *reporter) jobEvent(kind string, now time.Time, known *run, failed string) RunEvent {
	e := jobEvent(kind, now, r.config.Namespace, r.dataset, known.id, known.last)
	if failed != "" {
		e.Run.Facets = map[string]any{"errorMessage": errorFacet(failed)}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	describe := func(d *LineageDataset, input bool) {
		news, ok := r.heard[d.Name]
		if !ok {
			return
		}
		d.Facets = datasetFacets(news.product, news.outcome.Columns)
		if input {
			for name, facet := range qualityFacets(news.outcome, 0) {
				if name != "dataQualityMetrics" { // of the job's own records, not of the window's
					d.InputFacets[name] = facet
				}
			}
		}
	}
	for i := range e.Inputs {
		describe(&e.Inputs[i], true)
	}
	for i := range e.Outputs {
		describe(&e.Outputs[i], false)
	}
	return e
}

// told is what the reporter said of one product's verdicts.
type told struct {
	state State
	at    []time.Time // within the last minute
}

// judged tells of a product's verdict when it is another than the last one told: a run that begins with the window and
// ends now. Of a verdict that changes again and again not every change is told, but how it stands in the end is.
func (r *reporter) judged(t *told, p DataProduct, topic string, state State, out judge.Outcome, window time.Duration, now time.Time) {
	if r == nil || state != Holds && state != Broken {
		return
	}
	r.mu.Lock()
	r.heard[topic] = topicNews{p, out}
	r.mu.Unlock()
	if state == t.state {
		return
	}
	t.at = slices.DeleteFunc(t.at, func(at time.Time) bool { return now.Sub(at) >= time.Minute })
	if len(t.at) >= maxTold {
		return
	}
	t.state, t.at = state, append(t.at, now)
	run := LineageRun{ID: NewRunID()}
	if start := now.Add(-window); window > 0 {
		run.Facets = map[string]any{"nominalTime": facet("NominalTimeRunFacet", "1-0-1", "NominalTimeRunFacet", map[string]any{
			"nominalStartTime": start.UTC(), "nominalEndTime": now.UTC(),
		})}
	}
	job := LineageJob{Namespace: r.config.Namespace, Name: "judge." + strings.ReplaceAll(p.Key(), "/", "."), Facets: map[string]any{
		"jobType": jobTypeFacet("BATCH", "CONTRACT"),
	}}
	input := LineageDataset{Namespace: r.dataset, Name: topic, Facets: datasetFacets(p, out.Columns), InputFacets: qualityFacets(out, 0)}
	event := RunEvent{EventType: "START", EventTime: now.UTC(), Run: run, Job: job, Inputs: []LineageDataset{{Namespace: r.dataset, Name: topic}},
		Outputs: []LineageDataset{}, Producer: lineageProducer, SchemaURL: lineageSchema}
	complete := event
	complete.EventType, complete.Inputs = "COMPLETE", []LineageDataset{input}
	r.put(event, complete)
}

// deliver sends the queue until ctx ends, then, once nothing more is added, what it can in a moment.
func (r *reporter) deliver(ctx context.Context, ended <-chan struct{}) {
	var emitter *Emitter
	defer func() {
		if emitter != nil {
			_ = emitter.Close() // each event was written when it was sent
		}
	}()
	send := func(ctx context.Context) (bool, error) {
		r.mu.Lock()
		if len(r.queue) == 0 {
			r.mu.Unlock()
			return false, nil
		}
		next := r.queue[0]
		r.mu.Unlock()
		if emitter == nil {
			made, err := NewEmitter(r.config.To, r.config.Token)
			if err != nil {
				return true, err
			}
			emitter = made
		}
		err := emitter.Emit(ctx, next)
		r.sent(next, err)
		if errors.Is(err, ErrRefused) {
			err = nil // it would be refused again
		}
		return true, err
	}
	wait := retryFirst
	for ctx.Err() == nil {
		more, err := send(ctx)
		pause := time.Duration(0)
		switch {
		case err != nil && ctx.Err() == nil:
			r.failed(err)
			pause, wait = wait, min(2*wait, retryMost)
		case err == nil:
			wait = retryFirst
		}
		if more && pause == 0 {
			continue
		}
		r.rest(ctx, pause)
	}
	<-ended
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastDelivery)
	defer cancel()
	for {
		if more, err := send(last); err != nil || !more {
			break
		}
	}
}

// rest waits for a while, or, for 0, for an event.
func (r *reporter) rest(ctx context.Context, pause time.Duration) {
	if pause == 0 {
		select {
		case <-ctx.Done():
		case <-r.added:
		}
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// sent takes note of an attempt. An event that was sent, or refused, leaves the queue.
func (r *reporter) sent(e RunEvent, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	refused := errors.Is(err, ErrRefused)
	if err != nil && !refused {
		return
	}
	if len(r.queue) > 0 && r.queue[0].Run.ID == e.Run.ID && r.queue[0].EventType == e.EventType && r.queue[0].EventTime.Equal(e.EventTime) {
		r.queue = slices.Delete(r.queue, 0, 1) // else newer ones pushed it out meanwhile
	} else if !refused {
		r.state.Failed-- // it was given up too early
	}
	if refused {
		r.state.Failed++
		r.tell(err)
		return
	}
	r.state.Sent++
	r.state.LastAt = time.Now()
	if r.away {
		r.away = false
		r.add(event.Recovered, "lineage is delivered again")
	}
}

func (r *reporter) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(err)
}

func (r *reporter) tell(err error) {
	r.state.LastError = safetext.Clean(err.Error())
	if !r.away {
		r.away = true
		r.add(event.Warning, "lineage cannot be delivered: "+err.Error())
	}
}

func (r *reporter) add(s event.Severity, message string) {
	r.log.Add(event.Event{At: time.Now(), Kind: event.Contract, Severity: s, Subject: safetext.Clean("mesh"), Message: safetext.Clean(message)})
}
