package edge

import (
	"encoding/json"
	"math"
	"net/http"
	"time"
)

// aggregateTime is a form both RFC 3339 and every Python's datetime.fromisoformat read.
const aggregateTime = "2006-01-02T15:04:05.000000-07:00"

// aggregate is what the cloud receives. The first five keys are the article's.
type aggregate struct {
	Timestamp string `json:"timestamp"`
	// EdgeNodes counts the configured nodes; Reporting those whose last answer was valid.
	EdgeNodes    int             `json:"edge_nodes"`
	TotalRecords int64           `json:"total_records"`
	Quality      *float64        `json:"data_quality_score"` // weighted by records; null when nothing reports
	NodeData     []aggregateNode `json:"node_data"`

	Reporting   int           `json:"reporting"`
	QualityMean *float64      `json:"data_quality_mean"` // plain mean; null when nothing reports
	States      map[State]int `json:"states"`
	// Groups sums the nodes up by label and value.
	Groups map[string]map[string]aggregateGroup `json:"groups,omitempty"`
}

// aggregateGroup is the nodes that share a label's value.
type aggregateGroup struct {
	EdgeNodes    int      `json:"edge_nodes"`
	Reporting    int      `json:"reporting"`
	TotalRecords int64    `json:"total_records"`
	Quality      *float64 `json:"data_quality_score"`
}

// aggregateNode is one node in an aggregate: the three figures with status success, or an error with a code (the
// HTTP status) or a message.
type aggregateNode struct {
	NodeURL      string          `json:"node_url"`
	RecordCount  *int64          `json:"record_count,omitempty"`
	Quality      *float64        `json:"quality_score,omitempty"`
	LastUpdated  json.RawMessage `json:"last_updated,omitempty"` // as the node wrote it
	Status       string          `json:"status"`                 // success, error
	ErrorCode    int             `json:"error_code,omitempty"`
	ErrorMessage string          `json:"error_message,omitempty"`
}

// totals sums a fleet. A node that failed takes no part in any of it but Nodes and ByState.
type totals struct {
	nodes, reporting int
	records          int64
	weighted, plain  float64
	perSecond        float64
	states           [len(stateNames)]int // counts by the index of the state
}

func (t *totals) add(n *Node) {
	t.nodes++
	t.states[stateIndex(n.State)]++
	if !n.Valid {
		return
	}
	t.reporting++
	t.plain += n.Quality
	t.perSecond += n.RecordsPerSecond
	t.weighted += n.Quality * float64(n.RecordCount)
	if t.records > math.MaxInt64-n.RecordCount {
		t.records = math.MaxInt64
		return
	}
	t.records += n.RecordCount
}

// byState is the counts of the states there are.
func (t *totals) byState() map[State]int {
	m := make(map[State]int, 4)
	for i, n := range t.states {
		if n > 0 {
			m[stateNames[i]] = n
		}
	}
	return m
}

// quality is the weighted mean; the plain one when no node has a record; NaN when none reports.
func (t *totals) quality() float64 {
	if t.records == 0 {
		return t.mean()
	}
	return min(t.weighted/float64(t.records), 1)
}

func (t *totals) mean() float64 {
	if t.reporting == 0 {
		return math.NaN()
	}
	return t.plain / float64(t.reporting)
}

// aggregateOf is the fleet at one instant, as JSON. The caller holds the mutex that guards nodes.
func aggregateOf(nodes []*node, groups []groupKey, at time.Time) aggregate {
	var t totals
	data := make([]aggregateNode, len(nodes))
	for i, n := range nodes {
		t.add(&n.pub)
		data[i] = n.aggregate()
	}
	a := aggregate{
		Timestamp:    at.UTC().Format(aggregateTime),
		EdgeNodes:    t.nodes,
		TotalRecords: t.records,
		NodeData:     data,
		Reporting:    t.reporting,
		States:       t.byState(),
	}
	if t.reporting > 0 {
		q, m := t.quality(), t.mean()
		a.Quality, a.QualityMean = &q, &m
	}
	for _, g := range groupsOf(nodes, groups) {
		label := g.Label.String()
		if a.Groups == nil {
			a.Groups = map[string]map[string]aggregateGroup{}
		}
		if a.Groups[label] == nil {
			a.Groups[label] = map[string]aggregateGroup{}
		}
		x := aggregateGroup{EdgeNodes: g.Nodes, Reporting: g.Reporting, TotalRecords: g.TotalRecords}
		if g.Reporting > 0 {
			x.Quality = &g.Quality
		}
		a.Groups[label][g.Value.String()] = x
	}
	return a
}

func (n *node) aggregate() aggregateNode {
	d := aggregateNode{NodeURL: n.pub.URL.String(), Status: "error"}
	switch p := &n.pub; {
	case p.Valid:
		count, quality := p.RecordCount, p.Quality
		d.Status, d.RecordCount, d.Quality = "success", &count, &quality
		d.LastUpdated = json.RawMessage(n.sum.RawUpdated)
	case p.State == Unknown:
		d.ErrorMessage = "not polled yet"
	case p.StatusCode != 0 && p.StatusCode != http.StatusOK:
		d.ErrorCode = p.StatusCode
	default:
		d.ErrorMessage = p.Error.String()
	}
	return d
}
