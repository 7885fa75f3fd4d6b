package api

import (
	"bytes"
	"encoding/json"
	"math"
	"net/url"
	"strings"
	"time"

	"weir/backend/edge"
	"weir/backend/host"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// Wire is the JSON of /snapshot: an interface to scripts, whose keys and their order stay. Numbers are never missing
// where a total, a rate or a latency is meant: what is unknown is 0. A section whose engine is not configured is null.
type Wire struct {
	At        time.Time      `json:"at"` // UTC
	Pipeline  *WirePipeline  `json:"pipeline"`
	Edge      *WireEdge      `json:"edge"`
	Mesh      *WireMesh      `json:"mesh"`
	Host      *WireHost      `json:"host"`
	Incidents []WireIncident `json:"incidents"` // what is wrong, then what has ended within the last hour; never null
}

// WirePipeline is the pipeline. Its totals count since the process started.
type WirePipeline struct {
	State           pipeline.State        `json:"state"`
	Consumed        uint64                `json:"consumed"`
	Predicted       uint64                `json:"predicted"`
	DeadLettered    uint64                `json:"dead_lettered"`
	Lag             int64                 `json:"lag"` // records
	EventsPerSecond float64               `json:"events_per_second"`
	LatencyMS       WireLatency           `json:"latency_ms"` // event's timestamp to acknowledgement, over the last minute
	Histogram       [pipeline.Bins]uint64 `json:"histogram"`  // predictions of the last minute in equal bins over 0..1
	Partitions      []WirePartition       `json:"partitions"`
	Features        WireFeatures          `json:"features"`
	Model           WireModel             `json:"model"`
}

// WireLatency is in milliseconds.
type WireLatency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// WirePartition is one assigned partition.
type WirePartition struct {
	Partition     int32            `json:"partition"`
	Offset        int64            `json:"offset"` // the next to be committed
	HighWatermark int64            `json:"high_watermark"`
	Lag           int64            `json:"lag"`
	Verdict       pipeline.Verdict `json:"verdict"`
}

// WireFeatures is the feature store.
type WireFeatures struct {
	State   string `json:"state"`
	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`
	Missing uint64 `json:"missing"`
}

// WireModel is the model in force.
type WireModel struct {
	Version string `json:"version"`
}

// WireEdge is the fleet.
type WireEdge struct {
	Nodes            int        `json:"nodes"`
	Reporting        int        `json:"reporting"`
	TotalRecords     int64      `json:"total_records"`
	DataQualityScore float64    `json:"data_quality_score"` // weighted by records, 0..1
	NodeData         []WireNode `json:"node_data"`
	Cloud            WireCloud  `json:"cloud"`
}

// WireNode is one node. Its figures and error are null where the last poll brought none.
type WireNode struct {
	NodeURL      string     `json:"node_url"`
	Status       string     `json:"status"` // success: the last answer was valid; else error
	Reachable    bool       `json:"reachable"`
	Fresh        bool       `json:"fresh"`
	Valid        bool       `json:"valid"`
	RecordCount  *int64     `json:"record_count"`
	QualityScore *float64   `json:"quality_score"`
	LastUpdated  *time.Time `json:"last_updated"`
	LatencyMS    float64    `json:"latency_ms"`
	Error        *string    `json:"error"`
}

// WireCloud is the sync of aggregates.
type WireCloud struct {
	State   edge.CloudState `json:"state"`
	Synced  uint64          `json:"synced"`
	Failed  uint64          `json:"failed"`
	Outbox  int             `json:"outbox"`
	Dropped uint64          `json:"dropped"`
}

// WireMesh is the data products.
type WireMesh struct {
	Products []WireProduct `json:"products"`
}

// WireProduct is one data product and the judgement on its contract. One that cannot be judged complies with nothing, and
// the first issue, whose rule is its state, says why.
type WireProduct struct {
	Domain            string      `json:"domain"`
	Name              string      `json:"name"`
	Rows              int64       `json:"rows"`
	SchemaCompliance  bool        `json:"schema_compliance"`
	QualityCompliance bool        `json:"quality_compliance"`
	Issues            []WireIssue `json:"issues"`
}

// WireIssue is one rule that does not hold. Its evidence stays in the console: samples are data.
type WireIssue struct {
	Rule    string `json:"rule"`
	Column  string `json:"column"`
	Message string `json:"message"`
}

// WireIncident is one thing that is wrong, or was a little while ago.
type WireIncident struct {
	Rule     string     `json:"rule"`
	Subject  string     `json:"subject"`
	Severity string     `json:"severity"`
	Since    time.Time  `json:"since"`
	Ended    *time.Time `json:"ended,omitempty"` // absent while it goes on
	Message  string     `json:"message"`
	Touches  []string   `json:"touches"`
	Next     string     `json:"next"`
}

func wireIncidents(list []timeline.Incident) []WireIncident {
	out := make([]WireIncident, 0, len(list))
	for i := range list {
		x := &list[i]
		w := WireIncident{Rule: x.Rule, Subject: x.Subject.String(), Severity: string(x.Severity), Since: x.Since.UTC().Truncate(time.Millisecond),
			Message: x.Message.String(), Touches: make([]string, 0, len(x.Touches)), Next: x.Next.String()}
		if !x.Ended.IsZero() {
			ended := x.Ended.UTC().Truncate(time.Millisecond)
			w.Ended = &ended
		}
		for _, t := range x.Touches {
			w.Touches = append(w.Touches, t.String())
		}
		out = append(out, w)
	}
	return out
}

// WireHost is the machine, in percent.
type WireHost struct {
	CPUPercent    float64 `json:"cpu_percent"`
	MemoryPercent float64 `json:"memory_percent"`
}

// Snapshot is s as /snapshot tells it.
func Snapshot(s *timeline.Snapshot) Wire {
	return Wire{
		At:       s.At.UTC().Truncate(time.Millisecond),
		Pipeline: wirePipeline(s.Pipeline), Edge: wireEdge(s.Edge), Mesh: wireMesh(s.Mesh), Host: wireHost(s.Host),
		Incidents: wireIncidents(s.Incidents),
	}
}

// JSON is w in one line, which it ends. It cannot fail: Snapshot lets nothing in that JSON does not know.
func (w Wire) JSON() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it is read by people too, and never within HTML
	if err := e.Encode(w); err != nil {
		panic("api: a snapshot that JSON does not know: " + err.Error())
	}
	return b.Bytes()
}

func wirePipeline(p *pipeline.Snapshot) *WirePipeline {
	if p == nil {
		return nil
	}
	w := &WirePipeline{
		State: p.State, Consumed: p.Consumed, Predicted: p.Predicted, DeadLettered: p.DeadLettered, Lag: p.Lag,
		EventsPerSecond: finite(p.EventsPerSecond), Histogram: p.Histogram,
		LatencyMS:  WireLatency{P50: finite(p.EndToEnd.P50), P99: finite(p.EndToEnd.P99)},
		Partitions: make([]WirePartition, 0, len(p.Partitions)),
		Features:   WireFeatures{State: p.Features.State, Hits: p.Features.Hits, Misses: p.Features.Misses, Missing: p.Features.Missing},
		Model:      WireModel{Version: p.Model.Version.String()},
	}
	for _, q := range p.Partitions {
		w.Partitions = append(w.Partitions, WirePartition{q.Partition, q.Offset, q.HighWatermark, q.Lag, q.Verdict})
	}
	return w
}

func wireEdge(e *edge.Snapshot) *WireEdge {
	if e == nil {
		return nil
	}
	w := &WireEdge{
		Nodes: e.Nodes, Reporting: e.Reporting, TotalRecords: e.TotalRecords, DataQualityScore: finite(e.Quality),
		NodeData: make([]WireNode, 0, len(e.NodeData)),
		Cloud:    WireCloud{e.Cloud.State, e.Cloud.Synced, e.Cloud.Failed, e.Cloud.Outbox, e.Cloud.Dropped},
	}
	for i := range e.NodeData {
		w.NodeData = append(w.NodeData, wireNode(e.NodeData[i]))
	}
	return w
}

func wireNode(n *edge.Node) WireNode {
	w := WireNode{
		NodeURL: publicURL(n.URL.String()), Status: "error", Reachable: n.Reachable, Fresh: n.Fresh, Valid: n.Valid,
		LatencyMS: finite(n.LatencyMS),
	}
	if n.Valid {
		w.Status = "success"
		if n.HasData {
			w.RecordCount = &n.RecordCount
			if q := n.Quality; finite(q) == q {
				w.QualityScore = &q
			}
			// JSON has no year of five digits, which the last hours of 9999 are in UTC where a node is west of it.
			if at := n.LastUpdated.UTC(); !at.IsZero() && at.Year() <= 9999 {
				w.LastUpdated = &at
			}
		}
	}
	switch message := n.Error.String(); {
	case message != "":
		w.Error = &message
	case n.Valid:
	case n.PolledAt.IsZero() && n.State == edge.Unknown:
		message = "not polled yet"
		w.Error = &message
	default: // such as quarantined: nobody asked it
		message = string(n.State)
		w.Error = &message
	}
	return w
}

func wireMesh(m *mesh.Snapshot) *WireMesh {
	if m == nil {
		return nil
	}
	w := &WireMesh{Products: make([]WireProduct, 0, len(m.Products))}
	for _, p := range m.Products {
		product := WireProduct{
			Domain: p.Domain.String(), Name: p.Name.String(), Rows: p.Rows,
			SchemaCompliance: p.Schema, QualityCompliance: p.Quality, Issues: make([]WireIssue, 0, len(p.Issues)),
		}
		if p.Rows == 0 || p.State == mesh.Waiting {
			product.SchemaCompliance, product.QualityCompliance = false, false
			why := p.Error.String()
			if why == "" {
				why = "no rows to judge"
			}
			product.Issues = append(product.Issues, WireIssue{Rule: string(p.State), Message: why})
		}
		for _, i := range p.Issues {
			product.Issues = append(product.Issues, WireIssue{i.Rule, i.Column.String(), i.Message.String()})
		}
		w.Products = append(w.Products, product)
	}
	return w
}

func wireHost(h *host.Snapshot) *WireHost {
	if h == nil {
		return nil
	}
	return &WireHost{CPUPercent: finite(h.CPUPercent), MemoryPercent: finite(h.MemoryPercent)}
}

// finite is f, and 0 where it is NaN or infinite.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

// publicURL is a node's address without the credentials it may hold.
func publicURL(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return s[strings.LastIndex(s, "@")+1:]
	}
	u.User = nil
	return u.String()
}
