package kafka

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// ErrHungUp is the error of whatever a client still asks a broker after HangUp.
var ErrHungUp = errors.New("the connections to kafka were closed, for weir is stopping")

// connections are those of all clients of one cluster. Sarama's steps know no context: one that waits for a broker which
// accepts and says nothing waits for its time-out, the next step for its own, for a minute in all.
type connections struct {
	ctx    context.Context // of dialling
	cancel context.CancelCauseFunc

	mu   sync.Mutex
	open map[*connection]struct{} // nil after HangUp
}

// newConnections are those of nobody yet; they are hung up when parent ends.
func newConnections(parent context.Context) *connections {
	c := &connections{open: make(map[*connection]struct{})}
	c.ctx, c.cancel = context.WithCancelCause(parent)
	context.AfterFunc(c.ctx, c.hangUp)
	return c
}

func (c *connections) hangUp() {
	c.cancel(ErrHungUp)
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for conn := range open {
		_ = conn.Conn.Close()
	}
}

// HangUp closes every connection of this cluster's clients, those of its copies included, and lets them make no other:
// what waits for a broker fails at once. It is for the end of a process whose brokers keep it from stopping.
func (c Cluster) HangUp() { c.connections.hangUp() }

// Apart is the same cluster, whose clients' connections can be hung up without those of the others. Whoever asks for it
// hangs up in the end; HangUp of c does, too.
func (c Cluster) Apart() (apart Cluster, hangUp func()) {
	c.connections = newConnections(c.connections.ctx)
	return c, c.connections.hangUp
}

// dialer makes connections that HangUp can close.
type dialer struct {
	of      *connections
	timeout time.Duration
}

func (d dialer) Dial(network, address string) (net.Conn, error) {
	made, err := (&net.Dialer{Timeout: d.timeout}).DialContext(d.of.ctx, network, address)
	if err != nil {
		if d.of.ctx.Err() != nil {
			return nil, context.Cause(d.of.ctx)
		}
		return nil, err
	}
	conn := &connection{made, d.of}
	d.of.mu.Lock()
	defer d.of.mu.Unlock()
	if d.of.open == nil {
		return nil, errors.Join(ErrHungUp, made.Close())
	}
	d.of.open[conn] = struct{}{}
	return conn, nil
}

// connection is one of connections until it is closed.
type connection struct {
	net.Conn
	of *connections
}

func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
