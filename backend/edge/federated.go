package edge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// Defaults and bounds of federated learning.
const (
	DefaultRoundEvery      = 5 * time.Minute
	DefaultRoundDeadline   = 30 * time.Second
	DefaultParticipants    = 2
	DefaultMaxNorm         = 10.0
	DefaultMaxExamples     = 1_000_000
	DefaultMaxWeights      = 100_000
	keepRounds             = 20
	keepRefused            = 8
	federatedWorkers       = 32
	bytesPerWeight         = 32 // of JSON, at most
	modelUpdatePath        = "/model/update"
	modelGlobalPath        = "/model/global"
	federatedAnswerForBody = 4 << 10
)

// FederatedConfig turns federated learning on: each round every node that reports is asked GET {node}/model/update for
// {"weights": [...], "examples": n, "base_version": v}; the updates are averaged by FedAvg; and the result is offered to
// all that took part at POST {node}/model/global as {"version", "weights", "round", "participants", "examples"}. A node
// without the path takes no part. A zero value takes its default.
//
// A round takes 8 bytes of memory a weight, and what federatedWorkers answers under way take; the first, which holds its
// updates until the last one came, at most maxFirstRound: whom it has no room for begins with what comes of it.
type FederatedConfig struct {
	Every        time.Duration
	Deadline     time.Duration // of a round's questions; who is later waits for the next
	Participants int           // a round with fewer changes nothing
	MaxNorm      float64       // bound on how far one update may move the model, Euclidean
	MaxExamples  int64         // bound on how much one node may weigh
	MaxWeights   int
}

func (c FederatedConfig) withDefaults() (FederatedConfig, error) {
	if c.Every < 0 || c.Deadline < 0 || c.Participants < 0 || c.MaxNorm < 0 || math.IsNaN(c.MaxNorm) || c.MaxExamples < 0 || c.MaxWeights < 0 {
		return c, errors.New("federated: durations, counts and bounds must not be negative")
	}
	if c.Every == 0 {
		c.Every = DefaultRoundEvery
	}
	if c.Deadline == 0 {
		c.Deadline = min(DefaultRoundDeadline, c.Every/2)
	}
	if c.Participants == 0 {
		c.Participants = DefaultParticipants
	}
	if c.MaxNorm == 0 {
		c.MaxNorm = DefaultMaxNorm
	}
	if c.MaxExamples == 0 {
		c.MaxExamples = DefaultMaxExamples
	}
	if c.MaxWeights == 0 {
		c.MaxWeights = DefaultMaxWeights
	}
	return c, nil
}

// Federated is how the fleet learns together.
type Federated struct {
	Version int64 // of the global model; 0 before the first round that succeeded
	Weights int   // how many it has
	NextAt  time.Time
	Rounds  []FederatedRound // oldest first, the last few
}

// FederatedRound is one round. A failed one has an Error and left the model as it was.
type FederatedRound struct {
	Number    int
	At        time.Time
	Took      time.Duration
	Version   int64 // the model's after the round
	Asked     int   // nodes that report
	Absent    int   // nodes that offer no updates
	Late      int   // nodes that did not answer within the deadline
	Used      int   // updates in the mean
	Clipped   int   // of these, how many were too far from where they began
	Refused   int   // updates that were not usable
	Delivered int   // nodes that took the result
	Examples  int64
	Moved     float64 // how far the model moved, Euclidean; NaN in the first round and in a failed one
	// Reasons are why the first few nodes were refused.
	Reasons []FederatedRefusal
	Error   safetext.Text
}

// FederatedRefusal is one node whose update was not used.
type FederatedRefusal struct{ URL, Reason safetext.Text }

// learner carries out the rounds. Its state is guarded by mu.
type learner struct {
	cfg   FederatedConfig
	e     *Engine
	mu    sync.Mutex
	model globalModel
	// number is the last round's, also of a process before this one.
	number int
	state  Federated
	// late are the nodes that held a worker until the last round's deadline, by URL: they are asked after the others, of
	// whom none would get a turn else. Only run uses it.
	late map[string]bool
	// firstWait is how long the first round waits for the first polls at most; 0: an interval. Where many nodes hang, those
	// polls may take an hour.
	firstWait time.Duration
}

// offer is what one node answered in a round.
type offer struct {
	n      askedNode
	absent bool
	asked  bool // before the deadline
	err    error
}

// askedNode is a node as it was when the round began.
type askedNode struct {
	url    string
	target target
}

// run learns until ctx ends.
func (l *learner) run(ctx context.Context) error {
	timer := time.NewTimer(cmp.Or(l.firstWait, l.cfg.Every))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-l.e.firstRound:
	case <-timer.C:
	}
	timer.Reset(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		next := l.e.cfg.Now().Add(l.cfg.Every)
		l.round(ctx)
		l.mu.Lock()
		l.state.NextAt = next
		l.mu.Unlock()
		timer.Reset(max(next.Sub(l.e.cfg.Now()), 0))
	}
}

// round is one round of federated averaging.
func (l *learner) round(ctx context.Context) {
	began := l.e.cfg.Now()
	l.mu.Lock()
	now := l.model
	number := l.number + 1
	l.mu.Unlock()
	asked := l.reporting(now.weights == nil)
	r := FederatedRound{Number: number, At: began, Asked: len(asked), Version: now.version, Moved: math.NaN()}

	mean := newAverager(now, bounds{maxNorm: l.cfg.MaxNorm, maxExamples: l.cfg.MaxExamples, participants: l.cfg.Participants})
	offers := l.collect(ctx, asked, mean)
	if ctx.Err() != nil {
		return
	}
	a, err := mean.finish()
	l.late = map[string]bool{}
	var heard []askedNode
	refuse := func(n askedNode, why string) {
		if r.Refused++; len(r.Reasons) < keepRefused {
			r.Reasons = append(r.Reasons, FederatedRefusal{URL: safetext.Clean(n.url), Reason: safetext.Bytes([]byte(why), maxReason)})
		}
	}
	for i, o := range offers {
		why, refused := a.refused[i]
		switch {
		case o.absent:
			r.Absent++
		case errors.Is(o.err, errLate):
			r.Late++
			l.late[o.n.url] = o.asked
		case o.err != nil:
			refuse(o.n, o.err.Error())
		case refused:
			refuse(o.n, why)
		}
		if !o.absent && o.err == nil {
			heard = append(heard, o.n)
		}
	}
	r.Used, r.Clipped, r.Examples = a.used, a.clipped, a.examples
	if err != nil {
		r.Error = safetext.Error(err)
	} else {
		now = a.model
		r.Version, r.Moved = now.version, a.moved
	}
	// Also after a failed round: a node that restarted learns from it where the others are.
	if now.weights != nil {
		r.Delivered = l.deliver(ctx, heard, now, r)
	}
	r.Took = l.e.cfg.Now().Sub(began)
	l.finish(ctx, r, now)
}

// finish shows a round, and tells of it when its outcome is another than the last one's.
func (l *learner) finish(ctx context.Context, r FederatedRound, model globalModel) {
	l.mu.Lock()
	rounds := l.state.Rounds
	failedBefore := len(rounds) > 0 && !rounds[len(rounds)-1].Error.IsEmpty()
	first := len(rounds) == 0
	if len(rounds) >= keepRounds {
		rounds = rounds[1:]
	}
	l.state.Rounds = append(slices.Clip(slices.Clone(rounds)), r) // a snapshot may hold the old ones
	l.model, l.number = model, r.Number
	l.state.Version, l.state.Weights = model.version, len(model.weights)
	l.mu.Unlock()
	if err := l.e.keeper.learned(ctx, model, r.Number); err != nil {
		l.e.cfg.Logger.Warn("edge: the fleet's model is not kept", "error", err)
	}

	failed := !r.Error.IsEmpty()
	if failed == failedBefore && !first {
		return
	}
	e := event.Event{At: r.At, Kind: event.Model, Subject: safetext.Clean("federated model")}
	switch {
	case failed && r.Asked == r.Absent:
		return // nobody takes part: that is no news
	case failed:
		e.Severity, e.Message = event.Warning, safetext.Sprintf("round %d changed nothing: %v", r.Number, r.Error)
	default:
		e.Severity, e.Message = event.Info, safetext.Sprintf("is at version %d, from %d nodes and %d examples", r.Version, r.Used, r.Examples)
	}
	l.e.log.Add(e)
}

// resume goes on from the model and the round of a process before this one, unless there is a newer model.
func (l *learner) resume(model globalModel, round int) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if round <= l.number {
		return
	}
	l.model, l.number = model, round
	l.state.Version, l.state.Weights = model.version, len(model.weights)
}

// reporting is the nodes whose last answer was valid, those that were late at the end. Before the first round, which may
// not have room for all, they are in no order.
func (l *learner) reporting(shuffled bool) []askedNode {
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	var nodes []askedNode
	for _, n := range l.e.nodes {
		if n.pub.Valid {
			nodes = append(nodes, askedNode{n.url, n.target})
		}
	}
	if shuffled {
		for i := len(nodes) - 1; i > 0; i-- {
			j := min(int(l.e.cfg.Rand()*float64(i+1)), i)
			nodes[i], nodes[j] = nodes[j], nodes[i]
		}
	}
	slices.SortStableFunc(nodes, func(a, b askedNode) int {
		switch {
		case l.late[a.url] == l.late[b.url]:
			return 0
		case l.late[b.url]:
			return -1
		}
		return 1
	})
	return nodes
}

// snapshot is how learning goes; nil when it is off.
func (l *learner) snapshot() *Federated {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state
	return &s
}

var errLate = errors.New("no update within the deadline")

// collect asks every node for its update, within the deadline, and adds it to mean.
func (l *learner) collect(ctx context.Context, nodes []askedNode, mean *averager) []offer {
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.Deadline, errDeadline)
	defer cancel()
	offers := make([]offer, len(nodes))
	each(len(nodes), func(i int) {
		offers[i] = l.ask(ctx, nodes[i], func(u update) { mean.take(i, u) })
	})
	return offers
}

// each calls f for 0 to n-1, a bounded number at a time, and returns when all have returned.
func each(n int, f func(int)) {
	var workers helpers
	next := make(chan int)
	for range min(n, federatedWorkers) {
		workers.start(func() {
			for i := range next {
				workers.do(func() { f(i) })
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	workers.group.Wait()
	workers.check()
}

// ask asks one node, and calls take with its update if there is one.
func (l *learner) ask(ctx context.Context, n askedNode, take func(update)) offer {
	o := offer{n: n, asked: ctx.Err() == nil}
	limit := l.cfg.MaxWeights*bytesPerWeight + federatedAnswerForBody
	status, body, err := l.e.poller.call(ctx, n.target, http.MethodGet, n.url+modelUpdatePath, nil, limit)
	switch {
	case errors.Is(context.Cause(ctx), errDeadline):
		o.err = errLate
	case err != nil:
		o.err = explain(ctx, err, l.cfg.Deadline)
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented, status == http.StatusNoContent:
		o.absent = true
	case status != http.StatusOK:
		o.err = fmt.Errorf("answered %d %s", status, http.StatusText(status))
	default:
		var u update
		if u, o.err = parseUpdate(body, l.cfg.MaxWeights); o.err == nil {
			take(u)
		}
	}
	return o
}

// deliver offers the model and returns how many nodes took it.
func (l *learner) deliver(ctx context.Context, nodes []askedNode, m globalModel, r FederatedRound) int {
	body, err := json.Marshal(struct {
		Version      int64     `json:"version"`
		Weights      []float64 `json:"weights"`
		Round        int       `json:"round"`
		Participants int       `json:"participants"`
		Examples     int64     `json:"examples"`
	}{m.version, m.weights, r.Number, r.Used, r.Examples})
	if err != nil {
		return 0 // finite numbers always have a JSON form
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.Deadline, errDeadline)
	defer cancel()
	var mu sync.Mutex
	taken := 0
	each(len(nodes), func(i int) {
		asked := ctx.Err() == nil
		status, _, err := l.e.poller.call(ctx, nodes[i].target, http.MethodPost, nodes[i].url+modelGlobalPath, body, federatedAnswerForBody)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil && status >= 200 && status < 300:
			taken++
		case asked && errors.Is(context.Cause(ctx), errDeadline):
			l.late[nodes[i].url] = true
		}
	})
	return taken
}

// call is one request to a node, as it is asked for its summary: the same guard, headers, token and certificates.
func (p *httpPoller) call(ctx context.Context, t target, method, url string, body []byte, limit int) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("asking a node: %w", err)
	}
	req.Header.Set("User-Agent", "weir")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range t.header {
		req.Header[k] = v
	}
	req.Host = t.header.Get("Host")
	// A connection kept by net/http is two goroutines and two buffers: ten thousand of them, of nodes that mostly offer
	// nothing, cost more than the polls. Over TLS it is that of the polls.
	req.Close = t.plain != nil
	if t.token != nil {
		if token := t.token(); token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	resp, err := p.clients[t.transport].Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("asking a node: %w", err)
	}
	answer, err = io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if len(answer) > limit {
		err = fmt.Errorf("the answer exceeds %d bytes", limit)
	}
	return resp.StatusCode, answer, errors.Join(err, resp.Body.Close())
}
