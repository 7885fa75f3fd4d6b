package edge

import (
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// State is one word for a node.
type State string

// The states of a node. Reachable, fresh and valid are three facts; the state is what they add up to.
const (
	Unknown  State = "unknown"  // not polled yet
	OK       State = "ok"       // reachable, fresh and valid
	Slow     State = "slow"     // ok, but the answer took more than half of the deadline
	Stale    State = "stale"    // reachable and valid, but its data are old
	Skewed   State = "skewed"   // last_updated lies in the future of the node's own clock or of ours
	Invalid  State = "invalid"  // it answers, but not with a valid summary
	Down     State = "down"     // no answer
	Flapping State = "flapping" // its state changed too often lately to be believed
	// Quarantined is a node an operator took out: it is not polled and counts for nothing.
	Quarantined State = "quarantined"
)

// Snapshot is everything the console can show about the fleet at one instant. It is immutable.
type Snapshot struct {
	At        time.Time
	Nodes     int // configured
	Reporting int // nodes whose last answer was valid
	ByState   map[State]int
	// TotalRecords sums record_count over the reporting nodes.
	TotalRecords int64
	// Quality is the mean quality_score over the reporting nodes weighted by their records; QualityMean the plain
	// mean. Both are NaN when nothing reports.
	Quality, QualityMean float64
	PollsPerSecond       float64
	// RecordsPerSecond sums the rates of the reporting nodes.
	RecordsPerSecond float64
	// NodeData is the nodes in the order of the configuration. A node that did not change is the same *Node in one snapshot
	// after another; nothing changes what it points to.
	NodeData []*Node
	// Groups sums the nodes up by each value of each label, ordered by label and value.
	Groups []Group
	// Sources are the lists of nodes beside the configuration's own.
	Sources []SourceStatus
	// Watched are the histories of the nodes somebody looks at, by URL; see Engine.Watch.
	Watched map[string]*History
	// Federated is how the fleet learns together; nil when it does not.
	Federated *Federated
	Cloud     Cloud
	Log       []event.Event
}

// SourceStatus is how a source of nodes is doing.
type SourceStatus struct {
	Name  safetext.Text
	Nodes int       // it lists
	At    time.Time // when it was last read, zero before the first time
	Error safetext.Text
}

// Node is one edge node as last seen.
type Node struct {
	URL       safetext.Text
	Name      safetext.Text // the URL's host without what all nodes share, for narrow screens
	Labels    map[string]safetext.Text
	State     State
	Since     time.Time // when State last changed
	Reachable bool
	Fresh     bool
	Valid     bool
	// RecordCount, Quality and LastUpdated are of the last valid answer; HasData tells whether there was one.
	HasData     bool
	RecordCount int64
	Quality     float64
	LastUpdated time.Time
	PolledAt    time.Time // the last attempt
	LatencyMS   float64   // of the last attempt
	StatusCode  int       // HTTP status of the last attempt, 0 without an answer
	Error       safetext.Text
	Failures    int           // attempts failed in a row
	Skew        time.Duration // the node's clock minus ours, by its Date header
	// RecordsPerSecond is the rate of records over about the last minute. Resets counts how often the record count
	// fell: the node restarted, or counts anew.
	RecordsPerSecond float64
	Resets           int
	// Quarantine tells who took the node out and why; nil while it is in. It is never changed.
	Quarantine *Hold
	// ProbeAt is when a node that does not answer is asked again, while that is rarer than its slots; else zero.
	ProbeAt time.Time
}

// Hold is the quarantine of a node: who took it out, when, and why.
type Hold struct {
	By, Reason safetext.Text // either may be empty
	Since      time.Time
}

// CloudState says how the sync is going.
type CloudState string

// The states of the cloud.
const (
	CloudIdle    CloudState = "idle" // nothing was due yet
	CloudOK      CloudState = "ok"
	CloudDown    CloudState = "down"    // the last attempt failed; aggregates wait in the outbox
	CloudRefused CloudState = "refused" // the cloud answers, but refused the last aggregate for good
	CloudOff     CloudState = "off"     // no cloud is configured
)

// Cloud is the sync of aggregates to the cloud.
type Cloud struct {
	State        CloudState
	Since        time.Time
	URL          safetext.Text
	Synced       uint64 // aggregates acknowledged, since the outbox was made
	Failed       uint64 // attempts that failed, since the process started
	Outbox       int    // aggregates waiting
	Opening      bool   // the outbox is not open yet: what waits there, and what it counts, is not known
	OldestAt     time.Time
	Dropped      uint64 // aggregates the outbox's caps dropped, dead letters among them, since the outbox was made
	DeadLettered uint64 // aggregates the cloud refused for good
	LastSync     time.Time
	NextSync     time.Time
	Error        safetext.Text
}
