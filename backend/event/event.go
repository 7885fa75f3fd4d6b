// Package event holds what an engine has to tell besides its figures: something happened, at a time, to something.
//
// An engine writes into its own [Log]; its snapshot carries the log's recent past; the runtime merges the logs of all
// engines into the timeline by time. Nothing subscribes and nothing blocks.
package event

import (
	"sync"
	"time"

	"weir/backend/safetext"
)

// Severity says how much an event should worry the reader.
type Severity string

// The severities, from calm to alarming. Recovered is good news about an earlier Warning or Critical.
const (
	Info      Severity = "info"
	Recovered Severity = "recovered"
	Warning   Severity = "warning"
	Critical  Severity = "critical"
)

// Kind names the part of the world an event is about; the events pane prints it as a column.
type Kind string

// The kinds of events.
const (
	Pipeline Kind = "pipeline"
	Features Kind = "features"
	Model    Kind = "model"
	Node     Kind = "node"
	Cloud    Kind = "cloud"
	Contract Kind = "contract"
	Engine   Kind = "engine"
	Command  Kind = "command"
	Fault    Kind = "fault"
	Mark     Kind = "mark"
)

// Event is one thing that happened. It is immutable.
type Event struct {
	// Seq orders the events of one log, from 1, without gaps.
	Seq      uint64
	At       time.Time
	Kind     Kind
	Severity Severity
	// Subject identifies what it happened to, such as a node's URL, "commerce/user_events" or "partition 4".
	Subject safetext.Text
	// Message is one sentence without its subject.
	Message safetext.Text
}

// Keep is how many events a Log remembers.
const Keep = 256

// Log is an engine's bounded memory of events. The zero Log is ready; all its methods are safe for concurrent use.
type Log struct {
	mu     sync.Mutex
	seq    uint64
	events []Event // the last Keep; replaced, never changed in place, so that snapshots may share it
}

// Add appends an event, giving it the next sequence number.
func (l *Log) Add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.Seq = l.seq
	from := 0
	if len(l.events) >= Keep {
		from = len(l.events) - Keep + 1
	}
	next := make([]Event, 0, len(l.events)-from+1)
	l.events = append(append(next, l.events[from:]...), e)
}

// Recent is the last events, oldest first. The caller must not change them.
func (l *Log) Recent() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events
}
