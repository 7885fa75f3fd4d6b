package mesh

import (
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// State is one word for a product's contract.
type State string

// The states of a contract.
const (
	Holds   State = "holds"
	Broken  State = "broken"
	NoData  State = "no data"  // zero rows in the window; never a pass
	Waiting State = "waiting"  // its feed cannot be read
	Bad     State = "unparsed" // its file cannot be read; the last good version, if any, is in force
)

// Snapshot is everything the console can show about the data products at one instant. It is immutable.
type Snapshot struct {
	At       time.Time
	Registry safetext.Text // the folder
	Window   time.Duration
	Products []Product // by domain, then name
	Error    safetext.Text
	Log      []event.Event
}

// Product is a data product and the judgement on its contract.
type Product struct {
	Domain, Name safetext.Text
	Description  safetext.Text
	Owners       []safetext.Text
	Consumers    []safetext.Text
	Version      safetext.Text // schema_version, or ODCS version
	Refresh      safetext.Text // refresh_frequency
	Format       string        // "article" or "odcs"
	Path         safetext.Text
	Feed         safetext.Text // the topic or file it is judged on; empty when it has none
	State        State
	Since        time.Time
	Rows         int64 // rows in the window
	Undecodable  int64 // records in the window that could not be decoded
	Schema       bool  // schema_compliance
	Quality      bool  // quality_compliance
	Issues       []Issue
	Columns      []Column
	JudgedAt     time.Time
	Error        safetext.Text // why it waits or was not parsed
}

// Column is what the window says about one column.
type Column struct {
	Name     safetext.Text
	Rows     int64
	Nulls    int64 // null or absent
	Required bool
	Masked   bool // its values are not shown
}

// Issue is one rule that does not hold, with its evidence.
type Issue struct {
	Rule     string // such as required_columns or max_null_percentage
	Column   safetext.Text
	Message  safetext.Text // one sentence
	Expected safetext.Text
	Observed safetext.Text
	Failed   int64  // rows that fail
	Of       int64  // rows judged
	Schema   bool   // counts against schema_compliance; else against quality_compliance
	Severity string // error, warning or info; only an error breaks the contract
	FirstAt  time.Time
	LastAt   time.Time
	Samples  []Sample
}

// Sample is one failing row, masked where its column is sensitive.
type Sample struct {
	Partition int32 // -1 for files
	Offset    int64 // or the row number from 1 for files
	At        time.Time
	Value     safetext.Text
}
