package pipeline

import "sync"

// gate holds something back while it is shut: records while the pipeline is paused, the group while it is drained.
type gate struct {
	mu      sync.Mutex
	closed  bool          // open and close
	held    bool          // hold and release
	changed chan struct{} // closed at the next change
}

// open lets through, unless somebody holds the gate, and tells whether that was a change.
func (g *gate) open() bool { return g.set(&g.closed, false) }

// close holds back, and tells whether that was a change.
func (g *gate) close() bool { return g.set(&g.closed, true) }

// hold holds back too, for a command at work: whoever opens or closes the gate meanwhile is heeded after release.
func (g *gate) hold() { g.set(&g.held, true) }

func (g *gate) release() { g.set(&g.held, false) }

func (g *gate) set(what *bool, to bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed == nil { // new: open
		g.changed = make(chan struct{})
	}
	if *what == to {
		return false
	}
	close(g.changed)
	*what, g.changed = to, make(chan struct{})
	return true
}

// state tells whether the gate is shut, and gives a channel that is closed when that changes.
func (g *gate) state() (shut bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed || g.held, g.changed
}
