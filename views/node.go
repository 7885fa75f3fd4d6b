package views

import (
	"math"
	"slices"
	"strings"
	"time"

	"weir/backend/edge"
	"weir/backend/timeline"
)

// node is one node in full.
func (s *Scene) node(page Page, key string, w, h int) Page {
	page.Crumbs = []string{key}
	var n *edge.Node
	at := slices.IndexFunc(s.Snap.Edge.NodeData, func(n *edge.Node) bool { return n.URL.String() == key })
	if at >= 0 {
		n = s.Snap.Edge.NodeData[at]
	}
	if n == nil {
		page.Missing, page.Empty = true, "The node "+key+" was not configured at this moment."
		return page
	}
	page.Crumbs, page.Node = []string{n.Name.String()}, key
	f := s.facts(w)
	style, sign := s.nodeState(n.State)
	f.add("state", style, sign+" "+string(n.State)+" since "+s.ago(n.Since))
	f.add("url", Plain, n.URL.String())
	var labels []string
	for k, v := range n.Labels {
		labels = append(labels, k+"="+v.String())
	}
	slices.Sort(labels)
	if len(labels) > 0 {
		f.add("labels", Plain, strings.Join(labels, " "))
	}
	f.add("facts", Plain, strings.Join([]string{tell(n.Reachable, "reachable", "unreachable"), tell(n.Fresh, "fresh", "stale"), tell(n.Valid, "valid", "invalid")}, ", "))
	switch q := n.Quarantine; {
	case q != nil:
		f.add("quarantine", Warn, "by "+or(q.By.String(), "somebody")+" "+s.ago(q.Since)+": "+or(q.Reason.String(), "no reason was given"))
	case !n.Error.IsEmpty():
		f.add("error", Bad, n.Error.String())
	}
	f.gap()
	f.head("last answer")
	if n.HasData {
		f.add("records", Strong, count(n.RecordCount))
		f.add("quality", Strong, fixed(n.Quality, 4))
		f.add("last updated", Plain, s.ago(n.LastUpdated))
	} else {
		f.text(Faint, "No valid answer so far.")
	}
	f.gap()
	f.head("last poll")
	f.add("at", Plain, s.ago(n.PolledAt))
	f.add("latency", Plain, millis(n.LatencyMS))
	if n.StatusCode > 0 {
		f.add("http status", Plain, digits(int64(n.StatusCode)))
	}
	f.add("failures", Plain, count(n.Failures)+" in a row")
	if n.Skew != 0 {
		f.add("clock skew", Plain, n.Skew.Round(time.Millisecond).String()+" against ours")
	}
	f.gap()
	if past := s.Snap.Edge.Watched[key]; past != nil && len(past.Polls) > 1 {
		s.polls(f, past, w)
		page.Table.Text = f.rows
		return page
	}
	if room := h - len(f.rows); room >= 6 {
		f.head("latency, records")
		a := s.chart("poll", true, (w-2)/2, min(room-1, 9), axisMillis, func(x *timeline.Snapshot) float64 {
			if n := nodeOf(x, key, at); n != nil && n.Reachable {
				return n.LatencyMS
			}
			return math.NaN()
		})
		b := s.chart("rec.", true, w-2-(w-2)/2, min(room-1, 9), short, func(x *timeline.Snapshot) float64 {
			if n := nodeOf(x, key, at); n != nil && n.HasData {
				return float64(n.RecordCount)
			}
			return math.NaN()
		})
		for i := range a {
			f.rows = append(f.rows, a[i]+"  "+b[i])
		}
	}
	page.Table.Text = f.rows
	return page
}

// nodeOf is a node in a snapshot of the past; at is where it stands now, and most likely stood then.
func nodeOf(x *timeline.Snapshot, url string, at int) *edge.Node {
	if x.Edge == nil {
		return nil
	}
	all := x.Edge.NodeData
	if at >= 0 && at < len(all) && all[at].URL.String() == url {
		return all[at]
	}
	for _, n := range all {
		if n.URL.String() == url {
			return n
		}
	}
	return nil
}

// NodeFacts is what a console must know of a node to offer its commands.
type NodeFacts struct {
	URL, Name, State string
	Quarantined      bool
	Valid            bool
	Records, OfAll   int64 // its records, and the fleet's
}

// FindNode is the node that key names, by its URL or its name.
func FindNode(x *timeline.Snapshot, key string) (NodeFacts, bool) {
	if x == nil || x.Edge == nil || key == "" {
		return NodeFacts{}, false
	}
	all := x.Edge.NodeData
	i := slices.IndexFunc(all, func(n *edge.Node) bool { return n.URL.String() == key })
	if i < 0 {
		i = slices.IndexFunc(all, func(n *edge.Node) bool { return n.Name.String() == key })
	}
	if i < 0 {
		return NodeFacts{}, false
	}
	n := all[i]
	return NodeFacts{URL: n.URL.String(), Name: n.Name.String(), State: string(n.State), Quarantined: n.Quarantine != nil, Valid: n.Valid,
		Records: n.RecordCount, OfAll: x.Edge.TotalRecords}, true
}
