package demo

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// gate is a listener whose port can go away and come back, as when a server's machine dies and returns: while it is
// down, connections are refused and those that stood are reset; what stands behind it never notices and keeps its state.
type gate struct {
	addr    net.Addr     // fixed for the gate's life
	latency atomic.Int64 // nanoseconds every write of a connection waits

	mu      sync.Mutex
	open    net.Listener  // nil while down
	changed chan struct{} // closed, and made anew, whenever open changes
	conns   map[*gateConn]struct{}
	closed  bool
}

// reopenEvery is how often a port that something else took meanwhile is tried again.
const reopenEvery = 100 * time.Millisecond

// listen opens a gate on address; ":0" picks a port, which the gate keeps through its downs.
func listen(ctx context.Context, address string) (*gate, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &gate{addr: l.Addr(), open: l, changed: make(chan struct{}), conns: make(map[*gateConn]struct{})}, nil
}

// Addr is the address of the gate, down or not.
func (g *gate) Addr() net.Addr { return g.addr }

// Accept waits for a connection, through any number of downs, until the gate is closed.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		open, changed, closed := g.open, g.changed, g.closed
		g.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if open == nil {
			<-changed
			continue
		}
		c, err := open.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				continue // it went down, or the gate was closed
			}
			// Such as too many open files: the port is alive, and giving it up would end its server for good.
			select {
			case <-changed:
			case <-time.After(reopenEvery):
			}
			continue
		}
		if gc := g.admit(open, c); gc != nil {
			return gc, nil
		}
	}
}

// admit remembers a connection, so that down can reset it; it is nil when the gate went down since.
func (g *gate) admit(from net.Listener, c net.Conn) net.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open != from {
		reset(c)
		return nil
	}
	gc := &gateConn{Conn: c, gate: g, done: make(chan struct{})}
	g.conns[gc] = struct{}{}
	return gc
}

// down closes the port and resets the connections.
func (g *gate) down() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		return
	}
	_ = g.open.Close()
	g.set(nil)
	for c := range g.conns {
		reset(c.Conn)
	}
}

// up opens the same port again. It fails while something else holds the port, and with net.ErrClosed after Close.
func (g *gate) up() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return net.ErrClosed
	case g.open != nil:
		return nil
	}
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", g.addr.String())
	if err != nil {
		return err
	}
	g.set(l)
	return nil
}

// set is called with mu held.
func (g *gate) set(open net.Listener) {
	g.open = open
	close(g.changed)
	g.changed = make(chan struct{})
}

// Close ends Accept and every connection. Closing again does nothing.
func (g *gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	if g.open != nil {
		_ = g.open.Close()
	}
	g.set(nil)
	for c := range g.conns {
		_ = c.Conn.Close()
	}
	return nil
}

// gateConn is a connection that came through a gate.
type gateConn struct {
	net.Conn
	gate *gate
	once sync.Once
	done chan struct{}
}

// Write waits for the gate's latency first. A Kafka broker writes each answer at once, so that is per request.
func (c *gateConn) Write(p []byte) (int, error) {
	if d := time.Duration(c.gate.latency.Load()); d > 0 {
		select {
		case <-c.done:
			return 0, net.ErrClosed
		case <-time.After(d):
		}
	}
	return c.Conn.Write(p)
}

// Close closes the connection and lets the gate forget it.
func (c *gateConn) Close() error {
	c.once.Do(func() {
		close(c.done)
		c.gate.mu.Lock()
		delete(c.gate.conns, c)
		c.gate.mu.Unlock()
	})
	return c.Conn.Close()
}

// reset ends a connection as a dying machine does: with a reset instead of a goodbye.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
