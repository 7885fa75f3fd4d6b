package edge

import (
	"fmt"
	"strings"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// Bounds on what the teller says, so that a site going down reads as one thing that happened.
const (
	tellAtOnce    = 3                // more changes to one state than this at once are told as one
	tellBudget    = 6.0              // changes told one by one before they are grouped
	tellRefill    = 10 * time.Second // the budget grows by one in this time
	tellGroupGap  = 5 * time.Second  // between two grouped events of one state
	tellGrain     = 300 * time.Millisecond
	groupExamples = 3
	maxReasons    = 16
)

// change is one node's change of state.
type change struct {
	at       time.Time
	from, to State
	since    time.Duration // how long it was in from
	node     Node
}

// bundle is the changes to one state that are not told yet.
type bundle struct {
	count   int
	first   []change // the first few
	reasons map[string]int
	sites   map[string]int
}

// teller turns changes of state into events, few of them. The engine's mutex guards it.
type teller struct {
	log     *event.Log
	budget  float64
	refill  time.Time
	pending map[State]*bundle
	next    map[State]time.Time // no grouped event of this state before
}

func newTeller(log *event.Log) *teller {
	return &teller{log: log, budget: tellBudget, pending: map[State]*bundle{}, next: map[State]time.Time{}}
}

// changed notes that n left from; n is already in its new state.
func (t *teller) changed(now time.Time, from State, since time.Duration, n *Node) {
	if from == Unknown && (n.State == OK || n.State == Slow) {
		return // the first round is told as a whole
	}
	b := t.pending[n.State]
	if b == nil {
		b = &bundle{reasons: map[string]int{}, sites: map[string]int{}}
		t.pending[n.State] = b
	}
	b.count++
	if len(b.first) <= tellAtOnce {
		b.first = append(b.first, change{at: now, from: from, to: n.State, since: since, node: *n})
	}
	count(b.reasons, n.Error.String())
	if site, ok := n.Labels["site"]; ok {
		count(b.sites, site.String())
	}
}

func count(m map[string]int, key string) {
	if _, ok := m[key]; ok || len(m) < maxReasons {
		m[key]++
	}
}

// flush tells what is pending, as far as the budget goes.
func (t *teller) flush(now time.Time) {
	t.budget = min(tellBudget, t.budget+float64(now.Sub(t.refill))/float64(tellRefill))
	t.refill = now
	for state, b := range t.pending {
		if now.Before(t.next[state]) {
			continue
		}
		delete(t.pending, state)
		if b.count <= tellAtOnce && t.budget >= float64(b.count) {
			t.budget -= float64(b.count)
			for _, c := range b.first {
				t.one(c)
			}
			continue
		}
		t.next[state] = now.Add(tellGroupGap)
		t.group(state, b)
	}
}

func (t *teller) one(c change) {
	message := fmt.Sprintf("is %s", c.to)
	if r := c.node.Error.String(); r != "" {
		message += ": " + r
	}
	if c.from != Unknown {
		message += fmt.Sprintf(" (was %s for %s)", c.from, round2(c.since))
	}
	t.log.Add(event.Event{
		At: c.at, Kind: event.Node, Severity: severity(c.from, c.to),
		Subject: c.node.URL, Message: safetext.Clean(message),
	})
}

func (t *teller) group(state State, b *bundle) {
	names := make([]string, 0, groupExamples)
	for _, c := range b.first[:min(groupExamples, len(b.first))] {
		names = append(names, c.node.Name.String())
	}
	list := strings.Join(names, ", ")
	if more := b.count - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	verb := "are"
	if b.count == 1 {
		verb = "is"
	}
	message := fmt.Sprintf("%s %s", verb, state)
	if r, all := most(b.reasons, b.count); r != "" {
		if all {
			message += ": " + r
		} else {
			message += ", most of them: " + r
		}
	}
	subject := fmt.Sprintf("%d nodes", b.count)
	if site, all := most(b.sites, b.count); all {
		subject += " of " + site
	}
	if b.count == 1 {
		subject = b.first[0].node.URL.String()
		list = ""
	}
	if list != "" {
		message += " (" + list + ")"
	}
	sev := severity(b.first[0].from, state)
	if state == Down && b.count > tellAtOnce {
		sev = event.Critical
	}
	t.log.Add(event.Event{
		At: b.first[0].at, Kind: event.Node, Severity: sev,
		Subject: safetext.Clean(subject), Message: safetext.Clean(message),
	})
}

// most is the key counted most often, and whether it is the only one.
func most(m map[string]int, total int) (key string, all bool) {
	best := 0
	for k, n := range m {
		if n > best || n == best && k < key {
			key, best = k, n
		}
	}
	return key, best == total
}

func severity(from, to State) event.Severity {
	switch to {
	case OK:
		if from == Slow {
			return event.Info
		}
		return event.Recovered
	case Slow, Unknown:
		return event.Info
	default:
		return event.Warning
	}
}
