package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxNodePorts bounds the ports of the fleet: up to so many nodes have one each, more share them by path.
const maxNodePorts = 200

var sites = [...]string{"ams", "lis", "osl"}

// How a victim of a fault behaves.
const (
	// nodeSlow lies between half of the demo configuration's deadline of a poll and the whole of it.
	nodeSlow  = 700 * time.Millisecond
	flapEvery = 4 * time.Second
	skewBy    = 10 * time.Minute
	// The node a fault takes of every fourteen, from 0; and the site.
	victimDown, victimSlow, victimGarbage, victimFlap, victimSkew = 10, 3, 1, 12, 4
	victimStale, victimStaleToo                                   = 6, 2
	victimSite                                                    = 1
	victimEvery                                                   = 14
)

// fleet is the edge: nodes in sites, each an HTTP server.
type fleet struct {
	nodes []*node
	gates []*gate // one a node, or shared beyond maxNodePorts
	began time.Time
	on    func(faultID) (since time.Time, on bool)
	now   func() time.Time
}

// node is one edge node; all but its counter of polls is fixed.
type node struct {
	index     int
	site      int
	name      string // edge-node-01
	gate      *gate
	ownsGate  bool
	records   int64         // when the world began
	perSecond float64       // records it collects
	quality   float64       // around which its score wanders
	every     time.Duration // how often it looks at its data
	phase     time.Duration
	polls     atomic.Uint64
	seed      uint64
	learner   func() *learner // made when it is first asked
}

// newFleet listens for n nodes. The caller serves and closes its gates.
func newFleet(ctx context.Context, n int, seed uint64, now func() time.Time, on func(faultID) (time.Time, bool)) (*fleet, error) {
	f := &fleet{began: now(), now: now, on: on}
	for range min(n, maxNodePorts) {
		g, err := listen(ctx, "127.0.0.1:0")
		if err != nil {
			f.close()
			return nil, fmt.Errorf("listen for an edge node: %w", err)
		}
		f.gates = append(f.gates, g)
	}
	width := max(2, len(fmt.Sprint(n)))
	for i := range n {
		h := mix(seed ^ uint64(i)*0x9e3779b97f4a7c15)
		f.nodes = append(f.nodes, &node{
			index:     i,
			site:      i * min(n, len(sites)) / n,
			name:      fmt.Sprintf("edge-node-%0*d", width, i+1),
			gate:      f.gates[i%len(f.gates)],
			ownsGate:  n <= maxNodePorts,
			records:   6000 + int64(h%8000),
			perSecond: 1 + float64(h>>16%100)/10,
			quality:   0.973 + 0.020*float64(h>>24%1000)/1000,
			every:     time.Duration(3000+h>>34%5000) * time.Millisecond,
			phase:     time.Duration(h>>44%8000) * time.Millisecond,
			seed:      h,
			learner:   sync.OnceValue(func() *learner { return newLearner(h, i*min(n, len(sites))/n) }),
		})
	}
	return f, nil
}

func (f *fleet) close() {
	for _, g := range f.gates {
		_ = g.Close()
	}
}

// urls are the nodes' base URLs, in order.
func (f *fleet) urls() []string {
	urls := make([]string, len(f.nodes))
	for i, n := range f.nodes {
		urls[i] = "http://" + n.gate.Addr().String() + n.path()
	}
	return urls
}

// target is a node as the configuration lists it.
type target struct{ URL, Site string }

// targets are the nodes in order.
func (f *fleet) targets() []target {
	targets := make([]target, len(f.nodes))
	for i, url := range f.urls() {
		targets[i] = target{URL: url, Site: sites[f.nodes[i].site]}
	}
	return targets
}

func (n *node) path() string { return "/" + sites[n.site] + "/" + n.name }

// handler serves the nodes behind one gate.
func (f *fleet) handler(g *gate) http.Handler {
	mux := http.NewServeMux()
	for _, n := range f.nodes {
		if n.gate == g {
			mux.HandleFunc("GET "+n.path()+"/data/summary", func(w http.ResponseWriter, r *http.Request) { f.summary(w, r, n) })
			mux.HandleFunc("GET "+n.path()+"/model/update", func(w http.ResponseWriter, r *http.Request) { n.learner().update(w, r) })
			mux.HandleFunc("POST "+n.path()+"/model/global", func(w http.ResponseWriter, r *http.Request) { n.learner().global(w, r) })
		}
	}
	return mux
}

// isVictim tells whether the fault takes the node: the given one of every fourteen, in small fleets too.
func (f *fleet) isVictim(n *node, position int) bool {
	return n.index%victimEvery == position || len(f.nodes) <= position && n.index == position%len(f.nodes)
}

// isDown tells whether nobody answers on the node's port.
func (f *fleet) isDown(n *node) bool {
	if _, on := f.on(nodeDown); on && f.isVictim(n, victimDown) {
		return true
	}
	_, on := f.on(siteDown)
	return on && n.site == victimSite%min(len(f.nodes), len(sites))
}

func (f *fleet) summary(w http.ResponseWriter, r *http.Request, n *node) {
	now := f.now()
	poll := n.polls.Add(1)
	if !n.ownsGate && f.isDown(n) {
		panic(http.ErrAbortHandler) // its port is others' too: the connection breaks, no more
	}
	if since, on := f.on(nodeFlap); on && f.isVictim(n, victimFlap) && now.Sub(since)/flapEvery%2 == 0 {
		panic(http.ErrAbortHandler)
	}
	wait := n.jitter(poll)
	if _, on := f.on(nodeSlowly); on && f.isVictim(n, victimSlow) {
		wait += nodeSlow
	}
	select {
	case <-r.Context().Done():
		return
	case <-time.After(wait):
	}
	if _, on := f.on(nodeGarbage); on && f.isVictim(n, victimGarbage) {
		n.garbage(w, poll)
		return
	}
	skew := time.Duration(0)
	if _, on := f.on(clockSkew); on && f.isVictim(n, victimSkew) {
		skew = skewBy
	}
	seen := now
	if since, on := f.on(nodeStale); on && (f.isVictim(n, victimStale) || f.isVictim(n, victimStaleToo)) {
		seen = since // its collector hangs: it answers with what it knew
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", now.Add(skew).UTC().Format(http.TimeFormat))
	_ = json.NewEncoder(w).Encode(n.summarize(seen, f.began, skew))
}

// summary is what a node answers.
type summary struct {
	RecordCount  int64   `json:"record_count"`
	QualityScore float64 `json:"quality_score"`
	LastUpdated  string  `json:"last_updated"`
}

// summarize is the node as it last looked at its data, some seconds before now.
func (n *node) summarize(now, began time.Time, skew time.Duration) summary {
	looked := now.Add(n.phase).Truncate(n.every).Add(-n.phase)
	ran := max(0, looked.Sub(began).Seconds())
	wander := 0.002 * math.Sin(2*math.Pi*ran/97+float64(n.index))
	return summary{
		RecordCount:  n.records + int64(ran*n.perSecond),
		QualityScore: math.Round((n.quality+wander)*10000) / 10000,
		LastUpdated:  looked.Add(skew).UTC().Format(stampLayout),
	}
}

// jitter is between 1 and 25 milliseconds, mostly near the lower end.
func (n *node) jitter(poll uint64) time.Duration {
	x := float64(mix(n.seed^poll)%1000) / 1000
	return time.Duration((1 + 24*x*x*x) * float64(time.Millisecond))
}

// garbage answers with one of the things that are not a summary, in turn.
func (n *node) garbage(w http.ResponseWriter, poll uint64) {
	w.Header().Set("Content-Type", "application/json")
	answers := [...]string{
		`<html><body><h1>It works!</h1></body></html>`,
		`{"record_count":-1,"quality_score":0.98,"last_updated":"2026-01-01T00:00:00Z"}`,
		`{"record_count":9000,"quality_score":NaN,"last_updated":"2026-01-01T00:00:00Z"}`,
		`{"record_count":9000,"quality_score":17.5,"last_updated":"soon"}`,
		`{"record_count":9000,"quality_sc`,
		`{"record_count":"` + strings.Repeat("\x1b[2J", 3) + `","quality_score":0.98}`,
	}
	_, _ = w.Write([]byte(answers[poll%uint64(len(answers))]))
}
