package pipeline

import "sync"

// gate holds something back while it is shut: records while the pipeline is paused, the group while it is drained.
type gate struct {
	mu      sync.Mutex
	shut    bool
	changed chan struct{} // closed at the next change
}

// open lets through, and tells whether that was a change.
func (g *gate) open() bool { return g.set(false) }

// close holds back, and tells whether that was a change.
func (g *gate) close() bool { return g.set(true) }

func (g *gate) set(shut bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed == nil { // new: open
		g.changed = make(chan struct{})
	}
	if g.shut == shut {
		return false
	}
	close(g.changed)
	g.shut, g.changed = shut, make(chan struct{})
	return true
}

// state tells whether the gate is shut, and gives a channel that is closed when that changes.
func (g *gate) state() (shut bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut, g.changed
}
