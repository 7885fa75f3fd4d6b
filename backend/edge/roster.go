package edge

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// ErrNoNode says that no node has that URL.
var ErrNoNode = errors.New("no such node")

// roster is which nodes there are: those of the configuration, then those of each source. The engine's mutex guards it.
type roster struct {
	access  []accessOf
	lists   [][]Target // of the configuration, then of each source
	sources []SourceStatus
	untried map[int]bool // the sources not read yet, with or without success
}

// watch lists a source again and again until ctx ends, and takes the nodes it lists.
func (e *Engine) watch(ctx context.Context, i int, s Source) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		listCtx, cancel := context.WithTimeout(ctx, sourceTimeout)
		targets, err := s.List(listCtx)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		e.listed(i, targets, err)
		timer.Reset(s.Every())
	}
}

// listed takes what source i lists. An error leaves its nodes as they were.
func (e *Engine) listed(i int, targets []Target, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.endFirstRound()
	delete(e.roster.untried, i)
	now := e.cfg.Now()
	s := &e.roster.sources[i]
	failedBefore := !s.Error.IsEmpty()
	if err != nil {
		s.Error = safetext.Bytes([]byte(err.Error()), 2*maxReason)
		if !failedBefore {
			e.log.Add(event.Event{At: now, Kind: event.Node, Severity: event.Warning, Subject: s.Name,
				Message: safetext.Sprintf("cannot be read, its %d nodes stay as they were: %v", s.Nodes, err)})
		}
		e.version++
		return
	}
	if failedBefore {
		e.log.Add(event.Event{At: now, Kind: event.Node, Severity: event.Recovered, Subject: s.Name,
			Message: safetext.Clean("can be read again")})
	}
	first := s.At.IsZero()
	s.Error, s.At = safetext.Text{}, now
	old := e.roster.lists[i+1]
	if !first && slices.EqualFunc(old, targets, sameTarget) {
		return
	}
	s.Nodes = len(targets)
	e.roster.lists[i+1] = targets
	added, removed := e.rebuild(now)
	if added+removed > 0 {
		e.log.Add(event.Event{At: now, Kind: event.Node, Severity: event.Info, Subject: s.Name,
			Message: safetext.Sprintf("lists %d nodes: %d new, %d gone", len(targets), added, removed)})
	}
}

func sameTarget(a, b Target) bool {
	if a.URL != b.URL || len(a.Labels) != len(b.Labels) {
		return false
	}
	for k, v := range a.Labels {
		if w, ok := b.Labels[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// rebuild makes the nodes what the lists say. A node listed twice counts once, as its first list has it, however it is
// spelt; a node whose labels changed keeps what is known of it. The caller holds the mutex.
func (e *Engine) rebuild(now time.Time) (added, removed int) {
	had := e.byURL
	e.byURL = make(map[string]*node, len(had))
	nodes := make([]*node, 0, len(e.nodes))
	seen := make(map[string]bool, len(had))
	for _, list := range e.roster.lists {
		for _, t := range list {
			n := had[t.URL]
			isNew := n == nil
			if isNew {
				n = newNode(t.URL, now)
			}
			if seen[n.same] {
				continue
			}
			seen[n.same] = true
			if isNew {
				n.offset = offsetOf(t.URL, e.cfg.Poll)
				added++
				if h, held := e.holds[t.URL]; held {
					e.keepOut(n, h)
				} else {
					e.unpolled++
				}
			}
			if n.listed == nil || !sameTarget(*n.listed, t) { // of a hundred thousand nodes few change at once
				e.settle(n, t)
				n.listed = &t
			}
			e.byURL[t.URL], n.index = n, len(nodes)
			nodes = append(nodes, n)
		}
	}
	for url, n := range had {
		if e.byURL[url] == nil {
			removed++
			e.drop(n)
		}
	}
	e.nodes = nodes
	nameNodes(e.nodes)
	e.groups = groupNodes(e.nodes)
	e.version++
	if e.run != nil && e.scheduling {
		e.due = e.due[:0]
		for _, n := range e.nodes {
			if n.due.IsZero() { // new: asked at once
				n.due = nextSlot(now.Add(e.cfg.Poll/2), n.offset, e.cfg.Poll)
				e.enqueue(n)
			}
			e.due = append(e.due, n)
		}
		heap.Init(&e.due)
		select {
		case e.reschedule <- struct{}{}:
		default:
		}
	}
	return added, removed
}

// settle gives a node its labels and how it is asked.
func (e *Engine) settle(n *node, t Target) {
	p := n.edit()
	p.Labels = nil
	n.name = t.Labels["name"]
	if len(t.Labels) > 0 {
		p.Labels = make(map[string]safetext.Text, len(t.Labels))
		for k, v := range t.Labels {
			p.Labels[safetext.Clean(k).String()] = safetext.Clean(v)
		}
	}
	n.target = target{url: t.URL + summaryPath}
	if a := e.accessFor(t); a != nil {
		n.target.header, n.target.token, n.target.transport = a.header, a.Token, a.poller
	}
	n.target.plain = newPlainTarget(n.target.url, n.target.header)
}

// accessFor is the first access that matches a node, nil without one. It tells of one before it whose prefix may have been
// meant for that node, unless the one that matches names its host: a list is not seen when the configuration is checked.
func (e *Engine) accessFor(t Target) *accessOf {
	var alike []int
	for i := range e.roster.access {
		a := &e.roster.access[i]
		if a.matches(t) {
			if a.prefix.host == "" {
				e.tellAlike(alike, t)
			}
			return a
		}
		if !a.told && a.beginsAlike(t) {
			alike = append(alike, i)
		}
	}
	e.tellAlike(alike, t)
	return nil
}

// AccessKey is how the events that are about an access begin to name it.
const AccessKey = "edge.access"

// tellAlike tells of accesses, once of each, that t's URL is none of their nodes'.
func (e *Engine) tellAlike(access []int, t Target) {
	for _, i := range access {
		a := &e.roster.access[i]
		a.told = true
		subject := safetext.Sprintf("%s[%d]", AccessKey, i)
		message := safetext.Sprintf("is not for %s, though as text its prefix %s begins alike: host, port and path are compared by whole parts; "+
			"if that node is meant write the whole host, https://*.DOMAIN for those below it, or :* for any port", t.URL, a.Prefix)
		e.log.Add(event.Event{At: e.cfg.Now(), Kind: event.Node, Severity: event.Warning, Subject: subject, Message: message})
		e.cfg.Logger.Warn("edge: " + subject.String() + " " + message.String())
	}
}

// drop forgets a node that is listed no more. A poll of it that is under way ends without effect.
func (e *Engine) drop(n *node) {
	n.gone = true
	e.forget(n)
	if n.pub.State == Unknown {
		e.firstAnswer()
	}
	n.leaveRounds()
}

// startSources watches every source for one run.
func (e *Engine) startSources(r *run) {
	for i, s := range e.cfg.Sources {
		r.start("source "+s.Name(), func(ctx context.Context) error { return e.watch(ctx, i, s) })
	}
}
