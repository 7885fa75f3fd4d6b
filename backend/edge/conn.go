package edge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Bounds of one exchange.
const (
	maxWire        = 2*maxBody + 64<<10 // bytes read for one answer, headers and chunks included
	maxInterim     = 4                  // 1xx answers before the real one
	maxDrain       = 4 << 10            // bytes of an unwanted body read so that its connection can be kept
	maxETag        = 256
	readBufferSize = 4 << 10
)

// plainClient speaks HTTP/1.1 to http nodes. net/http gives every kept connection two goroutines and two buffers,
// which for ten thousand nodes is most of a fleet's memory and half of a poll's time; here a connection at rest is a
// socket and nothing else, and an exchange runs on the worker that asked. Answers are parsed by net/http all the same.
type plainClient struct {
	dialer *net.Dialer
	rest   time.Duration // how long a connection is kept unused
	most   int           // kept to one address

	mu      sync.Mutex
	idle    map[string][]restingConn // the last used at the end
	sweepAt time.Time
}

// restingConn is a connection that waits for the next poll.
type restingConn struct {
	net.Conn
	since time.Time
}

// plainTarget is what is fixed about asking one node.
type plainTarget struct {
	address string // host:port
	request string // the request line and the headers that never change
}

// newPlainTarget prepares a request; nil when u is not for plainClient.
func newPlainTarget(raw string, header http.Header) *plainTarget {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || !isASCII(u.Host) {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: ", u.RequestURI())
	host := header.Get("Host")
	if host == "" {
		host = u.Host
	}
	b.WriteString(host + "\r\n")
	for _, h := range [][2]string{{"User-Agent", "weir"}, {"Accept", "application/json"}, {"Accept-Encoding", "gzip"}} {
		if header.Get(h[0]) == "" {
			b.WriteString(h[0] + ": " + h[1] + "\r\n")
		}
	}
	for k, values := range header {
		if k == "Host" || k == "Connection" || k == "Content-Length" || k == "Transfer-Encoding" {
			continue // they are the exchange's own
		}
		for _, v := range values {
			b.WriteString(k + ": " + v + "\r\n")
		}
	}
	return &plainTarget{address: net.JoinHostPort(u.Hostname(), port), request: b.String()}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// meter reads from a connection, at most so many bytes.
type meter struct {
	conn net.Conn
	left int
	got  bool // any byte came
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errTooLarge
	}
	n, err := m.conn.Read(p[:min(len(p), m.left)])
	m.left -= n
	m.got = m.got || n > 0
	return n, err
}

// scratch is what an exchange needs besides its connection.
type scratch struct {
	meter  meter
	reader *bufio.Reader
	out    []byte
}

var scratches = sync.Pool{New: func() any { return &scratch{reader: bufio.NewReaderSize(nil, readBufferSize)} }}

// do is one exchange: head is called with the answer's header, then its body is read. The deadline is ctx's.
func (c *plainClient) do(ctx context.Context, t *plainTarget, extra string, read func(*http.Response) error) (heard bool, err error) {
	s := scratches.Get().(*scratch)
	defer func() {
		s.meter.conn = nil
		scratches.Put(s)
	}()
	s.out = append(append(append(s.out[:0], t.request...), extra...), "\r\n"...)
	if conn, ok := c.take(t.address); ok {
		if heard, err = c.exchange(ctx, s, conn, t.address, read); err == nil || heard || ctx.Err() != nil || isTimeout(err) {
			return heard, err
		}
		// The node closed it while it rested: that says nothing about the node.
	}
	conn, err := c.dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return false, err
	}
	return c.exchange(ctx, s, conn, t.address, read)
}

// exchange asks over conn, which it then keeps or closes.
func (c *plainClient) exchange(ctx context.Context, s *scratch, conn net.Conn, address string, read func(*http.Response) error) (heard bool, err error) {
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return false, errors.Join(err, conn.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // wakes whoever reads
	keep := false
	defer func() {
		if !stop() || !keep {
			_ = conn.Close() // what it brought is known already
			return
		}
		c.put(address, conn)
	}()
	if _, err := conn.Write(s.out); err != nil {
		return false, err
	}
	s.meter = meter{conn: conn, left: maxWire}
	s.reader.Reset(&s.meter)
	resp, err := readResponse(s.reader) //nolint:bodyclose // the connection is this function's own; closing the body would read on
	if err != nil {
		return s.meter.got, err
	}
	if err := read(resp); err != nil {
		return true, err
	}
	n, err := io.CopyN(io.Discard, resp.Body, maxDrain)
	keep = errors.Is(err, io.EOF) && n < maxDrain && !resp.Close && s.reader.Buffered() == 0
	return true, nil
}

// readResponse is the first answer that is not an interim one.
func readResponse(r *bufio.Reader) (*http.Response, error) {
	for range maxInterim {
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode >= 200 {
			return resp, err
		}
	}
	return nil, errors.New("interim answers without end")
}

func (c *plainClient) take(address string) (net.Conn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.After(c.sweepAt) {
		c.sweep(now)
	}
	conns := c.idle[address]
	for len(conns) > 0 {
		last := conns[len(conns)-1]
		conns[len(conns)-1] = restingConn{}
		conns = conns[:len(conns)-1]
		c.idle[address] = conns
		if now.Sub(last.since) < c.rest {
			return last.Conn, true
		}
		_ = last.Close()
	}
	return nil, false
}

func (c *plainClient) put(address string, conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle[address]) >= c.most {
		_ = conn.Close()
		return
	}
	c.idle[address] = append(c.idle[address], restingConn{conn, time.Now()})
}

// sweep closes what rested for too long, such as connections to nodes that are listed no more.
func (c *plainClient) sweep(now time.Time) {
	c.sweepAt = now.Add(c.rest)
	for address, conns := range c.idle {
		kept := conns[:0]
		for _, r := range conns {
			if now.Sub(r.since) < c.rest {
				kept = append(kept, r)
				continue
			}
			_ = r.Close()
		}
		if len(kept) == 0 {
			delete(c.idle, address)
			continue
		}
		clear(conns[len(kept):])
		c.idle[address] = kept
	}
}

func (c *plainClient) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for address, conns := range c.idle {
		for _, r := range conns {
			_ = r.Close()
		}
		delete(c.idle, address)
	}
}
