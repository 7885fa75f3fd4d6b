package edge

import (
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"
)

// publishGap is the shortest time between two snapshots that differ.
const publishGap = 200 * time.Millisecond

// Snapshot is the fleet at this instant; its nodes are at most publishGap old. It is never nil, and safe at any time.
func (e *Engine) Snapshot() *Snapshot {
	cloud, federated := e.sync.cloud(), e.learner.snapshot()
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.cfg.Now()
	if e.run == nil && e.published != nil && e.version == e.publishedVersion {
		now = e.published.At // nothing has been looked at since
	}
	next := &Snapshot{}
	if p := e.published; p != nil && (e.version == e.publishedVersion || !e.urgent && now.Sub(e.publishedAt) < publishGap) {
		*next = *p // the nodes are shared: nothing changes them
	} else {
		e.fill(next)
		e.publishedVersion, e.publishedAt, e.urgent = e.version, now, false
	}
	next.At, next.Cloud, next.Log = now, cloud, e.log.Recent()
	next.Watched, next.Federated = e.watchedNow(now), federated
	next.PollsPerSecond = e.polls.perSecond(now)
	e.published = next
	return next
}

// fill shows the nodes and sums them up. Only nodes that changed are copied: of ten thousand, that are polled every
// 15 s, a snapshot a second has 670 new ones.
func (e *Engine) fill(s *Snapshot) {
	var t totals
	s.NodeData = make([]*Node, len(e.nodes))
	for i, n := range e.nodes {
		if n.shown == nil {
			shown := n.pub
			n.shown = &shown
		}
		s.NodeData[i] = n.shown
		t.add(&n.pub)
	}
	s.Nodes, s.Reporting, s.ByState = t.nodes, t.reporting, t.byState()
	s.TotalRecords, s.Quality, s.QualityMean, s.RecordsPerSecond = t.records, t.quality(), t.mean(), t.perSecond
	s.Groups = groupsOf(e.nodes, e.groups)
	s.Sources = append([]SourceStatus(nil), e.roster.sources...)
}

// nameNodes gives each node the part of its URL that tells it from the others: where the last element of the path does
// so alone (gateways and tunnels put many nodes on one host), it is the name.
func nameNodes(nodes []*node) {
	type parts struct{ host, port, path string }
	all := make([]parts, len(nodes))
	var hosts, ports, paths = map[string]bool{}, map[string]bool{}, map[string]bool{}
	lasts := map[string]bool{}
	domain, first := "", true
	for i, n := range nodes {
		u, err := url.Parse(n.url)
		if err != nil {
			continue // it was parsed before
		}
		p := parts{u.Hostname(), u.Port(), u.Path}
		all[i] = p
		hosts[p.host], ports[p.port], paths[p.path] = true, true, true
		if last := path.Base(p.path); last != "." && last != "/" {
			lasts[last] = true
		}
		d := ""
		if _, err := netip.ParseAddr(p.host); err != nil {
			if at := strings.IndexByte(p.host, '.'); at >= 0 {
				d = p.host[at:]
			}
		}
		switch {
		case first:
			domain, first = d, false
		case domain != d:
			domain = ""
		}
	}
	for i, n := range nodes {
		p := all[i]
		name := n.name
		if name != "" {
			n.setName(name)
			continue
		}
		if len(nodes) > 1 && len(lasts) == len(nodes) {
			n.setName(path.Base(p.path))
			continue
		}
		if len(hosts) > 1 || len(ports) == 1 && len(paths) == 1 {
			name = strings.TrimSuffix(p.host, domain)
		}
		if len(ports) > 1 && p.port != "" {
			name += ":" + p.port
		}
		if len(paths) > 1 {
			if name == "" {
				name = strings.TrimPrefix(p.path, "/")
			} else {
				name += p.path
			}
		}
		if name == "" {
			name = p.host
		}
		n.setName(name)
	}
}

// rate counts what happens over the last rateWindow seconds.
type rate struct {
	counts [rateWindow]int
	second int64 // of counts' newest
	since  int64 // the first second that was counted
}

const rateWindow = 15

func (r *rate) advance(now time.Time) {
	s := now.Unix()
	if r.since == 0 || r.second-s > rateWindow { // the clock was set back: what was counted is of no use
		*r = rate{since: s, second: s}
	}
	for ; r.second < s; r.second++ {
		if s-r.second > rateWindow {
			r.second = s - rateWindow
		}
		r.counts[(r.second+1)%rateWindow] = 0
	}
}

func (r *rate) add(now time.Time) {
	r.advance(now)
	r.counts[now.Unix()%rateWindow]++
}

// perSecond is the mean over the window's whole seconds and the one under way.
func (r *rate) perSecond(now time.Time) float64 {
	r.advance(now)
	sum := 0
	for _, n := range r.counts {
		sum += n
	}
	return float64(sum) / float64(min(max(now.Unix()-r.since+1, 1), rateWindow))
}
