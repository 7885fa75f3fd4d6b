package pipeline

import (
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// State is what the pipeline is doing.
type State string

// The states. Waiting always comes with a reason in Snapshot.Waiting.
const (
	Starting State = "starting" // joining the group, loading the model
	Running  State = "running"
	Waiting  State = "waiting" // the broker, the feature store or the model server is away; nothing is lost
	Paused   State = "paused"  // by command
	Draining State = "draining"
	Stopped  State = "stopped"
)

// Bins is the number of equal bins of the prediction histogram over [0, 1].
const Bins = 20

// Snapshot is everything the console can show about the pipeline at one instant. It is immutable: whoever holds one
// may keep and share it.
type Snapshot struct {
	At    time.Time
	State State
	Since time.Time
	// Waiting says what the pipeline waits for and is empty in any state but Waiting.
	Waiting safetext.Text

	Group       safetext.Text
	Events      safetext.Text // the topic consumed
	Predictions safetext.Text // the topic predicted to
	DeadLetters safetext.Text // the topic of dead letters
	Delivery    string        // at_least_once or exactly_once

	// Totals since the process started.
	Consumed     uint64 // records taken from the broker
	Predicted    uint64 // predictions acknowledged by the broker
	DeadLettered uint64 // dead letters acknowledged by the broker
	Redelivered  uint64 // records taken again after a rebalance or restart, as far as this process saw them
	Stalls       uint64 // memberships of the group started over because partitions stood still for no reason known
	Overtaken    uint64 // records the broker deleted by its retention before the group took them, as far as this process saw

	// Of the last minute: records acknowledged, and how many of them as dead letters.
	MinuteHandled, MinuteDead uint64

	EventsPerSecond float64 // acknowledged predictions and dead letters, over the last second or so
	// EndToEnd runs from the event's own timestamp to the broker's acknowledgement; Processing from the moment the
	// record was taken from the broker.
	EndToEnd   Quantiles
	Processing Quantiles

	Lag        int64         // records behind the high watermark, over the partitions assigned to this process
	DrainsIn   time.Duration // until Lag is gone at the pace of the last seconds; 0 without lag, Never when it does not fall
	Partitions []Partition

	// GroupLag is the lag of the whole group, other members' partitions included, by the broker's own word of a few
	// seconds ago; -1 while the broker has not said. All has every partition of the topic.
	GroupLag int64
	All      []GroupPartition

	// Histogram counts the predictions of the last minute in Bins equal bins; Baseline is the share of each bin when
	// the model was trained and nil if not known.
	Histogram [Bins]uint64
	Baseline  []float64
	// BaselineRecorded is when Baseline was taken from live predictions; zero: it is that of the training.
	BaselineRecorded time.Time
	// PSI is the population stability index of Histogram against Baseline, NaN where it cannot be told;
	// PSIThreshold is what it would exceed by chance once in a thousand.
	PSI, PSIThreshold float64

	Features Features
	Model    Model

	// Watched are the records of what somebody looks at, nil when nobody does; see Engine.WatchRecords.
	Watched []WatchedRecords
	// Inspected are the records that were looked at on demand, see Engine.Inspect; Letters are the dead letters while
	// somebody browses them, see Engine.WatchLetters. Both are nil when nobody does.
	Inspected []Inspection
	Letters   *LetterList

	// Dead holds the newest dead letters, newest first, at most KeepDead.
	Dead []DeadLetter
	// Log is the recent past of the pipeline's events, oldest first.
	Log []event.Event
}

// KeepDead is how many dead letters a snapshot shows.
const KeepDead = 50

// Quantiles of a latency in milliseconds over the last minute. Count 0 means there is nothing to tell.
type Quantiles struct {
	P50, P90, P99, Max float64
	Count              uint64
}

// Verdict is Burrow's judgement of a partition's lag.
type Verdict string

// The verdicts, as Burrow names them.
const (
	VerdictOK     Verdict = "ok"
	VerdictWarn   Verdict = "warn"   // the lag does not fall
	VerdictStall  Verdict = "stall"  // the offset does not move, though there is lag
	VerdictStop   Verdict = "stop"   // no commit for longer than the window, though the broker moved on
	VerdictRewind Verdict = "rewind" // the offset went back
)

// Partition is one assigned partition of the events topic.
type Partition struct {
	Partition       int32
	Offset          int64 // the next offset to be committed: everything below it is acknowledged
	HighWatermark   int64
	Lag             int64
	EventsPerSecond float64
	Verdict         Verdict
	LastRecord      time.Time     // the timestamp of the last record taken
	DrainsIn        time.Duration // as Snapshot.DrainsIn
}

// Never is a DrainsIn that does not end: more comes than goes.
const Never time.Duration = -1

// GroupPartition is one partition of the events topic as the broker sees it, whoever consumes it.
type GroupPartition struct {
	Partition          int32
	Committed          int64 // the group's next offset, -1 when it has committed none
	HighWatermark      int64
	Lag                int64
	CommittedPerSecond float64 // over the last seconds
	ArrivingPerSecond  float64
	Mine               bool // assigned to this process
}

// Features is the feature store as the pipeline sees it.
type Features struct {
	State       string // ok, slow, down; "-" before the first request
	Since       time.Time
	URL         safetext.Text
	Hits        uint64 // entities answered by the cache
	Misses      uint64 // entities asked of the store
	Missing     uint64 // feature values that were not PRESENT, by the policy on_missing
	Requests    uint64
	Errors      uint64
	LastError   safetext.Text
	LatencyP50  float64 // milliseconds a request
	LatencyP99  float64
	CacheLength int
	OnMissing   string
	Drift       []FeatureDrift // in the order of the configured names; nil where nobody observes it
}

// FeatureDrift is how far the last minute's values of one feature are from its baseline: recorded, of the model's
// training or, without either, the first values under this model.
type FeatureDrift struct {
	Name safetext.Text
	// PSI is the population stability index and Threshold what it would exceed by chance once in a thousand; both are
	// NaN while there are too few values to tell.
	PSI, Threshold float64
	// Missing is the share of values that are not PRESENT, 0..1, in the last minute and at first; NaN without values.
	Missing, BaselineMissing float64
	Samples, Baseline        uint64 // values looked at
}

// Model is the model in force.
type Model struct {
	Version  safetext.Text
	Source   safetext.Text // the file or URL it came from
	Kind     safetext.Text // such as LinearClassifier
	Loaded   time.Time
	Features []safetext.Text
	// ScoreMicros is the mean time to score one event, in microseconds, over the last batches.
	ScoreMicros float64
}

// DeadLetter is a record that got no prediction, with the reason.
type DeadLetter struct {
	At        time.Time
	Stage     string // decode, entity, features, score
	Reason    safetext.Text
	Topic     safetext.Text
	Partition int32
	Offset    int64
	Size      int           // bytes of the record's value
	Sample    safetext.Text // the value's first bytes
}

// DeadShare of the records may be dead letters, or fewer than DeadCount of them, before it is more than a few odd records.
// Of a steady world a few in ten thousand are; a producer that breaks shows in hundredths.
const (
	DeadShare = 0.01
	DeadCount = 10
)

// LosesTooMany tells whether more of the last minute's records became dead letters than a few odd ones, and what share
// that is, from 0 to 1.
func (s *Snapshot) LosesTooMany() (share float64, too bool) {
	if s.MinuteHandled == 0 {
		return 0, false
	}
	share = float64(s.MinuteDead) / float64(s.MinuteHandled)
	return share, share > DeadShare && s.MinuteDead >= DeadCount
}
