package pipeline

import "sync"

// gate holds records back while the pipeline is paused.
type gate struct {
	mu      sync.Mutex
	shut    bool
	changed chan struct{} // closed at the next change
}

// open lets records through.
func (g *gate) open() { g.set(false) }

// close holds records back.
func (g *gate) close() { g.set(true) }

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed != nil && g.shut == shut {
		return
	}
	if g.changed != nil {
		close(g.changed)
	}
	g.shut, g.changed = shut, make(chan struct{})
}

// state tells whether the gate is shut, and gives a channel that is closed when that changes.
func (g *gate) state() (shut bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut, g.changed
}
