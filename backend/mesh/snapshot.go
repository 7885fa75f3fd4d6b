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
	Scanned  bool          // it was read at least once: without that no contract is known
	Window   time.Duration
	// WindowRows, above 0, is the window instead of Window: so many of the newest records.
	WindowRows int64
	Products   []Product // by domain, then name
	Error      safetext.Text
	Lineage    *Delivery // how lineage is delivered as OpenLineage events; nil where it is not configured
	Log        []event.Event
}

// JudgesNothing tells why not one contract is judged, empty while one is or there is none to judge.
func (s *Snapshot) JudgesNothing() safetext.Text {
	switch {
	case !s.Scanned && s.Error.IsEmpty():
		return safetext.Clean("the registry was not read yet")
	case s.Scanned && len(s.Products) == 0:
		return safetext.Text{} // whatever is away
	}
	for i := range s.Products {
		if p := &s.Products[i]; p.State != Waiting && p.State != Bad {
			return safetext.Text{}
		}
	}
	return s.Error // none without one
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
	Window       time.Duration // what is judged: the records of so long,
	WindowRows   int64         // or, where that is 0, so many of the newest
	Rows         int64         // rows in the window
	Undecodable  int64         // records in the window that could not be decoded
	Unjudged     int           // checks that would break the contract but could not be judged; its findings say why
	Shared       bool          // the pipeline brings the topic's records; nobody reads them a second time
	Behind       int64         // records not judged yet because the pipeline, which brings them, lags; 0 unless it has for a second
	Schema       bool          // schema_compliance
	Quality      bool          // quality_compliance
	Issues       []Issue
	Columns      []Column
	JudgedAt     time.Time
	Error        safetext.Text // why it waits or was not parsed

	// Upstream is what feeds the product and Downstream who lives on it, each a tree in the order it is drawn: a link is
	// followed by those that lead to it, one deeper.
	Upstream   []Link
	Downstream []Link
	// Findings are what a lint has to say about the contract itself, the worst first.
	Findings []Finding
}

// Link is one place in a product's lineage.
type Link struct {
	Depth int // 1: next to the product
	Kind  LinkKind
	Name  safetext.Text // of a topic, "pipeline weir", domain/name of a product, a feature view, a model's version, a consumer
	Note  safetext.Text // more to know, such as a feature view's features; may be empty
}

// LinkKind says what stands at a place of a product's lineage.
type LinkKind string

// The kinds of links.
const (
	LinkTopic    LinkKind = "topic"
	LinkJob      LinkKind = "job"          // such as the inference pipeline
	LinkModel    LinkKind = "model"        // that a job scores with
	LinkView     LinkKind = "feature view" // that a job reads
	LinkProduct  LinkKind = "product"      // of this registry
	LinkDataset  LinkKind = "dataset"      // that a contract names and nobody here knows
	LinkConsumer LinkKind = "consumer"     // that a contract names
	LinkMore     LinkKind = "more"         // stands for the links there was no room for
)

// Finding is what a lint says about a product's contract.
type Finding struct {
	Severity string // error, warning or info
	Policy   bool   // about who answers for the product (owners, consumers, classification), not about its rules
	Line     int    // of the product's file; 0 where no single line is to blame
	Message  safetext.Text
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
	Value     safetext.Text // that fails; where none does, for it is null or absent, the row
	Record    safetext.Text // of a topic: the whole record
}

// Delivery is how the delivery of OpenLineage events goes. The counts are totals since the process started.
type Delivery struct {
	To        safetext.Text // the file or URL, without its password
	Sent      uint64
	Failed    uint64 // events given up: refused by the receiver, or pushed out of the queue by newer ones
	Waiting   int    // events in the queue
	LastError safetext.Text
	LastAt    time.Time // of the last delivery that worked
}
