package edge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// ErrNotKept says that a command is in force but could not be written: it ends with the process.
var ErrNotKept = errors.New("it is in force, but does not outlive this process")

// keepUpEvery is how often what could not be read or written is tried again.
const keepUpEvery = 10 * time.Second

// Quarantine stops polling a node and takes it out of the aggregate until Release. Reason is shown beside it. It
// outlives the process where Config.State is given, and also a time in which the node is not listed.
func (e *Engine) Quarantine(url, reason string) error { return e.QuarantineAs("", url, reason) }

// QuarantineAs is Quarantine by somebody with a name.
func (e *Engine) QuarantineAs(who, url, reason string) error {
	e.keeping.Lock()
	defer e.keeping.Unlock()
	var h hold
	err := e.command(url, func(n *node, now time.Time) {
		h = hold{who: who, reason: reason, since: now}
		e.holds[url] = h
		before, since := n.pub.State, now.Sub(n.pub.Since)
		e.keepOut(n, h)
		if before == Unknown {
			e.firstAnswer()
		}
		if before != Quarantined {
			n.past.addChange(NodeChange{At: now, From: before, To: Quarantined, Reason: n.pub.Error})
			e.teller.changed(now, before, since, &n.pub)
		}
		n.leaveRounds()
	})
	if err != nil {
		return err
	}
	return notKept(e.keeper.hold(context.Background(), url, &h))
}

// keepOut puts a node into quarantine. The caller holds the mutex, and counts what it answers to.
func (e *Engine) keepOut(n *node, h hold) {
	n.quarantined = true
	p := n.edit()
	p.Reachable, p.Fresh, p.Valid = false, false, false
	p.ProbeAt = time.Time{}
	p.Quarantine = &Hold{By: safetext.Bytes([]byte(h.who), maxReason), Reason: safetext.Bytes([]byte(h.reason), maxReason), Since: h.since}
	text := "quarantined"
	if h.who != "" {
		text += " by " + h.who
	}
	p.Error = safetext.Bytes([]byte(text+": "+h.reason), maxReason)
	if p.State != Quarantined {
		p.State, p.Since = Quarantined, h.since
	}
	e.version++
}

// Release ends a quarantine: the node is asked at once.
func (e *Engine) Release(url, reason string) error {
	e.keeping.Lock()
	defer e.keeping.Unlock()
	held := false
	err := e.command(url, func(n *node, now time.Time) {
		if held = n.quarantined; !held {
			return
		}
		delete(e.holds, url)
		n.quarantined = false
		n.breaker, n.flaps = breaker{}, flaps{}
		before, since := n.pub.State, now.Sub(n.pub.Since)
		p := n.edit()
		p.Quarantine = nil
		p.Error = safetext.Bytes([]byte("released: "+reason), maxReason)
		n.past.addChange(NodeChange{At: now, From: before, To: Unknown, Reason: n.pub.Error})
		p.State, p.Since = Unknown, now
		e.unpolled++
		e.teller.changed(now, before, since, &n.pub)
		if e.run != nil {
			e.enqueue(n)
		}
	})
	if err != nil || !held {
		return err
	}
	return notKept(e.keeper.hold(context.Background(), url, nil))
}

func notKept(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotKept, err)
}

func (e *Engine) command(url string, f func(*node, time.Time)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.byURL[url]
	if n == nil {
		return fmt.Errorf("%w: %q", ErrNoNode, url)
	}
	f(n, e.cfg.Now())
	e.version++
	e.urgent = true
	return nil
}

// restore takes over what a process before this one kept. What cannot be read is told, and tried again by keepUp.
func (e *Engine) restore(ctx context.Context) {
	e.keeper.start()
	if err := e.takeOver(ctx); err != nil {
		e.log.Add(event.Event{At: e.cfg.Now(), Kind: event.Node, Severity: event.Warning, Subject: safetext.Clean("fleet's state"),
			Message: safetext.Sprintf("cannot be read, quarantines may be missing: %v", err)})
	}
}

func (e *Engine) takeOver(ctx context.Context) error {
	e.keeping.Lock()
	defer e.keeping.Unlock()
	was, fresh, err := e.keeper.load(ctx)
	if err != nil || !fresh {
		return err
	}
	e.learner.resume(was.model, was.round)
	e.mu.Lock()
	defer e.mu.Unlock()
	held := 0
	for url, h := range was.quarantines {
		e.holds[url] = h
		n := e.byURL[url]
		if n == nil || n.quarantined {
			continue
		}
		held++
		if n.pub.State == Unknown {
			e.firstAnswer()
		}
		e.keepOut(n, h)
		n.leaveRounds()
	}
	if held > 0 {
		e.log.Add(event.Event{At: e.cfg.Now(), Kind: event.Node, Severity: event.Info, Subject: safetext.Clean("fleet"),
			Message: safetext.Sprintf("%d nodes are in quarantine since before this process", held)})
	}
	return nil
}

// keepUp tries again, until ctx ends, what could not be read or written.
func (e *Engine) keepUp(ctx context.Context) error {
	tick := time.NewTicker(keepUpEvery)
	defer tick.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := e.takeOver(ctx)
		if err == nil {
			err = e.keeper.catchUp(ctx)
		}
		switch {
		case err == nil:
			told = ""
		case err.Error() != told: // once, however long it lasts
			told = err.Error()
			e.cfg.Logger.Warn("edge: the fleet's state is not kept", "error", err)
		}
	}
}
