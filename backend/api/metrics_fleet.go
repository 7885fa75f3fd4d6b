package api

import (
	"math"
	"time"

	"weir/backend/edge"
	"weir/backend/mesh"
	"weir/backend/timeline"
)

var nodeStates = []edge.State{edge.Unknown, edge.OK, edge.Slow, edge.Stale, edge.Skewed, edge.Invalid, edge.Down, edge.Flapping, edge.Quarantined}

func ofEdge(read func(*edge.Snapshot) float64) func(*timeline.Snapshot, emitter) {
	return func(s *timeline.Snapshot, emit emitter) {
		if s.Edge != nil {
			emit(read(s.Edge))
		}
	}
}

func ofNodes(read func(*edge.Node) float64) func(*timeline.Snapshot, emitter) {
	return func(s *timeline.Snapshot, emit emitter) {
		if s.Edge == nil {
			return
		}
		for i := range s.Edge.NodeData[:min(len(s.Edge.NodeData), MaxNodeSeries)] {
			n := s.Edge.NodeData[i]
			emit(read(n), publicURL(n.URL.String()))
		}
	}
}

// ofCloud has no series where no cloud is configured.
func ofCloud(read func(*edge.Cloud) float64) func(*timeline.Snapshot, emitter) {
	return func(s *timeline.Snapshot, emit emitter) {
		if s.Edge != nil && s.Edge.Cloud.State != edge.CloudOff {
			emit(read(&s.Edge.Cloud))
		}
	}
}

func seconds(at time.Time) float64 {
	if at.IsZero() {
		return math.NaN()
	}
	return float64(at.UnixMilli()) / 1e3
}

var nodeLabel = []string{"node"}

var edgeFamilies = []family{
	{"edge_nodes", "Edge nodes configured.", gauge, nil, ofEdge(func(e *edge.Snapshot) float64 { return float64(e.Nodes) })},
	{"edge_nodes_reporting", "Edge nodes whose last answer was valid.", gauge, nil, ofEdge(func(e *edge.Snapshot) float64 { return float64(e.Reporting) })},
	{"edge_nodes_unlisted", "Edge nodes without series of their own, because there are too many.", gauge, nil,
		ofEdge(func(e *edge.Snapshot) float64 { return float64(max(len(e.NodeData)-MaxNodeSeries, 0)) })},
	{"edge_nodes_in_state", "Edge nodes by state.", gauge, []string{"state"},
		func(s *timeline.Snapshot, emit emitter) {
			if s.Edge == nil {
				return
			}
			for _, state := range nodeStates {
				emit(float64(s.Edge.ByState[state]), string(state))
			}
		}},
	{"edge_records", "Sum of record_count over the reporting nodes.", gauge, nil, ofEdge(func(e *edge.Snapshot) float64 { return float64(e.TotalRecords) })},
	{"edge_records_per_second", "Records a second over the reporting nodes, by their last minute.", gauge, nil, ofEdge(func(e *edge.Snapshot) float64 { return e.RecordsPerSecond })},
	{"edge_quality_ratio", "Mean quality score of the reporting nodes weighted by their records, 0 to 1.", gauge, nil, ofEdge(func(e *edge.Snapshot) float64 { return e.Quality })},
	{"edge_node_up", "1 where the node's last answer was valid.", gauge, nodeLabel, ofNodes(func(n *edge.Node) float64 { return truth(n.Valid) })},
	{"edge_node_reachable", "1 where the node answered the last poll.", gauge, nodeLabel, ofNodes(func(n *edge.Node) float64 { return truth(n.Reachable) })},
	{"edge_node_fresh", "1 where the node's data are fresh.", gauge, nodeLabel, ofNodes(func(n *edge.Node) float64 { return truth(n.Fresh) })},
	{"edge_node_records", "record_count of the node's last answer, where that was valid.", gauge, nodeLabel,
		ofNodes(func(n *edge.Node) float64 { return ifValid(n, float64(n.RecordCount)) })},
	{"edge_node_quality_ratio", "quality_score of the node's last answer, where that was valid.", gauge, nodeLabel,
		ofNodes(func(n *edge.Node) float64 { return ifValid(n, n.Quality) })},
	{"edge_node_last_updated_timestamp_seconds", "last_updated of the node's last valid answer, in seconds since the epoch.", gauge, nodeLabel,
		ofNodes(func(n *edge.Node) float64 { return seconds(n.LastUpdated) })},
	{"edge_node_poll_seconds", "Time the last poll of the node took.", gauge, nodeLabel,
		ofNodes(func(n *edge.Node) float64 {
			if n.PolledAt.IsZero() {
				return math.NaN()
			}
			return n.LatencyMS / 1e3
		})},
	{"cloud_up", "1 where the last sync to the cloud was acknowledged, 0 where it failed or was refused; no series before the first.", gauge, nil,
		ofCloud(func(c *edge.Cloud) float64 {
			if c.State == edge.CloudIdle {
				return math.NaN()
			}
			return truth(c.State == edge.CloudOK)
		})},
	{"cloud_synced_total", "Aggregates acknowledged by the cloud since the outbox was made.", counter, nil, ofCloud(func(c *edge.Cloud) float64 { return float64(c.Synced) })},
	{"cloud_failed_total", "Attempts to send an aggregate that failed.", counter, nil, ofCloud(func(c *edge.Cloud) float64 { return float64(c.Failed) })},
	{"cloud_dropped_total", "Aggregates the outbox's caps dropped since the outbox was made.", counter, nil, ofCloud(func(c *edge.Cloud) float64 { return float64(c.Dropped) })},
	{"cloud_dead_lettered_total", "Aggregates the cloud refused for good.", counter, nil, ofCloud(func(c *edge.Cloud) float64 { return float64(c.DeadLettered) })},
	{"cloud_outbox_aggregates", "Aggregates that wait to be sent.", gauge, nil, ofCloud(func(c *edge.Cloud) float64 { return float64(c.Outbox) })},
	{"cloud_outbox_oldest_timestamp_seconds", "When the oldest aggregate that waits was made, in seconds since the epoch.", gauge, nil, ofCloud(func(c *edge.Cloud) float64 { return seconds(c.OldestAt) })},
	{"cloud_last_sync_timestamp_seconds", "When an aggregate was last acknowledged, in seconds since the epoch.", gauge, nil, ofCloud(func(c *edge.Cloud) float64 { return seconds(c.LastSync) })},
}

// ifValid is a figure of the node's last answer, and nothing where that was none.
func ifValid(n *edge.Node, figure float64) float64 {
	if !n.Valid || !n.HasData {
		return math.NaN()
	}
	return figure
}

func ofProducts(read func(*mesh.Product) float64) func(*timeline.Snapshot, emitter) {
	return func(s *timeline.Snapshot, emit emitter) {
		if s.Mesh == nil {
			return
		}
		for i := range s.Mesh.Products[:min(len(s.Mesh.Products), maxProductSeries)] {
			p := &s.Mesh.Products[i]
			emit(read(p), p.Domain.String(), p.Name.String())
		}
	}
}

var productLabels = []string{"domain", "product"}

// judged is a figure of the window, and nothing where no row was judged.
func judged(p *mesh.Product, figure float64) float64 {
	if p.State != mesh.Holds && p.State != mesh.Broken {
		return math.NaN()
	}
	return figure
}

var meshFamilies = []family{
	{"contract_holds", "1 where the product's contract holds, 0 where it is broken; no series while it cannot be told.", gauge, productLabels,
		ofProducts(func(p *mesh.Product) float64 { return judged(p, truth(p.State == mesh.Holds)) })},
	{"contract_judged", "1 where the product's contract can be judged, 0 where there are no data, no feed or no readable contract.", gauge, productLabels,
		ofProducts(func(p *mesh.Product) float64 { return truth(p.State == mesh.Holds || p.State == mesh.Broken) })},
	{"contract_schema_compliance", "1 where the schema is complied with.", gauge, productLabels,
		ofProducts(func(p *mesh.Product) float64 { return judged(p, truth(p.Schema)) })},
	{"contract_quality_compliance", "1 where the quality rules are complied with.", gauge, productLabels,
		ofProducts(func(p *mesh.Product) float64 { return judged(p, truth(p.Quality)) })},
	{"contract_issues", "Rules that do not hold.", gauge, productLabels, ofProducts(func(p *mesh.Product) float64 { return float64(len(p.Issues)) })},
	{"contract_rows", "Rows in the window.", gauge, productLabels, ofProducts(func(p *mesh.Product) float64 { return float64(p.Rows) })},
	{"contract_undecodable_rows", "Records in the window that could not be decoded.", gauge, productLabels, ofProducts(func(p *mesh.Product) float64 { return float64(p.Undecodable) })},
}
