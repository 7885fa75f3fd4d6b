package timeline

import (
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// Incident is one thing that is wrong, or was a little while ago.
type Incident struct {
	Rule     string // which rule found it, such as "contract broken"; with Subject it is the incident's name
	Subject  safetext.Text
	Severity event.Severity // Critical or Warning
	Since    time.Time
	Ended    time.Time // zero while it goes on
	Message  safetext.Text
	Touches  []safetext.Text // what suffers: partitions, nodes by site, owners and consumers
	Next     safetext.Text   // what to do first
	Command  string          // a command of the console that may help; empty when there is none
}
