package edge

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// maxBody bounds an answer after decompression, in bytes.
const maxBody = 1 << 20

// summaryPath is what every node offers.
const summaryPath = "/data/summary"

// answer is what one poll brought. Without a status nothing answered, and err says why.
type answer struct {
	status    int
	heard     bool   // something came, though perhaps no status
	condition bool   // it was asked for with an ETag
	body      []byte // decompressed, at most maxBody; valid until the poller's next get
	location  string // of a redirect
	etag      string
	date      time.Time // the node's clock, zero without a usable Date header
	sentAt    time.Time
	latency   time.Duration
	err       error
}

// poller asks one node for its summary. It is safe for concurrent use.
type poller interface {
	get(ctx context.Context, t target, etag string) answer
	// call is any other request to the node; limit bounds the answer in bytes.
	call(ctx context.Context, t target, method, url string, body []byte, limit int) (status int, answer []byte, err error)
	close()
}

// target is where and how one node is asked.
type target struct {
	url       string // of the summary
	header    http.Header
	token     func() string // nil: none
	transport int           // of the poller's, by Access
	plain     *plainTarget  // nil: asked over net/http
}

// httpPoller keeps connections. TLS nodes are asked over net/http, by HTTP/2 where they offer it; others by plainClient.
type httpPoller struct {
	plain   *plainClient
	clients []*http.Client // by target.transport; the first is for nodes without TLS of their own
	now     func() time.Time
	timeout time.Duration
}

// newHTTPPoller also makes c.Access ready for use.
func newHTTPPoller(c Config) (*httpPoller, []accessOf, error) {
	p := &httpPoller{now: c.Now, timeout: c.Timeout}
	p.plain = &plainClient{dialer: newDialer(c.Resolver), rest: connectionRest(c), most: c.Concurrency, idle: map[string][]restingConn{}}
	p.clients = append(p.clients, newClient(c, nil))
	var access []accessOf
	for i, a := range c.Access {
		of, err := a.ready()
		if err != nil {
			return nil, nil, fmt.Errorf("%w: access[%d]: %w", ErrConfig, i, err)
		}
		if a.TLS != nil {
			of.poller = len(p.clients)
			p.clients = append(p.clients, newClient(c, a.TLS))
		}
		access = append(access, of)
	}
	return p, access, nil
}

// maxRest bounds how long a connection is kept unused. Firewalls and gateways forget one after some minutes, often without a
// word, and the poll that then goes over it finds nobody, though the node is well.
const maxRest = 2 * time.Minute

// connectionRest is how long a connection is kept unused: over the next poll, and the one after a missed one.
func connectionRest(c Config) time.Duration { return min(2*c.Poll+5*time.Second, maxRest) }

func newClient(c Config, t *tls.Config) *http.Client {
	if t = t.Clone(); t == nil {
		t = &tls.Config{}
	}
	t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
	transport := &http.Transport{
		DialContext:            newDialer(c.Resolver).DialContext,
		Proxy:                  nil, // a proxy would be dialled in a node's place, and the guard with it
		TLSClientConfig:        t,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,          // read by readBody, which bounds what comes out
		MaxIdleConns:           0,             // one a node
		MaxIdleConnsPerHost:    c.Concurrency, // many nodes may share a gateway
		IdleConnTimeout:        connectionRest(c),
		ResponseHeaderTimeout:  c.Timeout,
		TLSHandshakeTimeout:    c.Timeout,
		MaxResponseHeaderBytes: 16 << 10,
		ReadBufferSize:         1 << 10,
		WriteBufferSize:        1 << 10,
		HTTP2:                  notDead(c.Poll+c.Timeout, c.Timeout),
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// notDead gives up an HTTP/2 connection on which nothing came for so long and that leaves a ping unanswered. Else a
// connection whose other end is gone without a word (a failover, a firewall that forgot it) is asked again and again until
// TCP gives up, a quarter of an hour later: a deadline ends a request, not its connection. HTTP/1.1 has no need of it.
func notDead(silence, answer time.Duration) *http.HTTP2Config {
	return &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: answer}
}

func (p *httpPoller) close() {
	p.plain.closeIdle()
	for _, c := range p.clients {
		c.CloseIdleConnections()
	}
}

func (p *httpPoller) get(ctx context.Context, t target, etag string) (a answer) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, errDeadline)
	defer cancel()
	a.sentAt, a.condition = p.now(), etag != ""
	defer func() { a.latency = p.now().Sub(a.sentAt) }()
	token := ""
	if t.token != nil {
		if token = t.token(); strings.ContainsAny(token, "\r\n\x00") {
			a.err = errors.New("its token holds a line break")
			return a
		}
	}
	var err error
	if t.plain != nil {
		err = p.getPlain(ctx, t, token, etag, &a)
	} else {
		err = p.getTLS(ctx, t, token, etag, &a)
	}
	if err != nil {
		a.err = explain(ctx, err, p.timeout)
	}
	return a
}

func (p *httpPoller) getPlain(ctx context.Context, t target, token, etag string, a *answer) error {
	extra := ""
	if token != "" {
		extra = "Authorization: Bearer " + token + "\r\n"
	}
	if etag != "" {
		extra += "If-None-Match: " + etag + "\r\n"
	}
	heard, err := p.plain.do(ctx, t.plain, extra, func(resp *http.Response) error { return p.read(resp, a) })
	a.heard = heard
	return err
}

func (p *httpPoller) getTLS(ctx context.Context, t target, token, etag string, a *answer) error {
	var heard atomic.Bool
	trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { heard.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, t.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "weir")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "gzip")
	for k, v := range t.header {
		req.Header[k] = v
	}
	req.Host = t.header.Get("Host")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := p.clients[t.transport].Do(req)
	a.heard = heard.Load()
	if err != nil {
		return err
	}
	err = p.read(resp, a)
	if err == nil {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain) // so that the connection can be kept
	}
	return errors.Join(err, resp.Body.Close())
}

// read takes what an answer says into a.
func (p *httpPoller) read(resp *http.Response, a *answer) (err error) {
	a.status = resp.StatusCode
	a.location = resp.Header.Get("Location")
	a.date, _ = http.ParseTime(resp.Header.Get("Date")) // without one the skew stays unknown
	if e := resp.Header.Get("Etag"); len(e) <= maxETag {
		a.etag = e
	}
	if a.status == http.StatusOK {
		a.body, err = readBody(resp.Body, resp.Header.Get("Content-Encoding"))
	}
	return err
}

// Errors of a poll.
var (
	errDeadline = errors.New("poll deadline")
	errTooLarge = fmt.Errorf("the answer exceeds %d MiB", maxBody>>20)
)

// readBody reads at most maxBody bytes, after decompression.
func readBody(r io.Reader, encoding string) ([]byte, error) {
	switch strings.ToLower(encoding) {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("the body is not gzip as it says: %w", err)
		}
		r = z
	default:
		return nil, fmt.Errorf("content encoding %q was not asked for", encoding)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if len(b) > maxBody {
		return nil, errTooLarge
	}
	return b, err
}

// explain says what an operator needs of a transport's error, without the layers' own prefixes. It wraps err.
func explain(ctx context.Context, err error, timeout time.Duration) error {
	var (
		dns     *net.DNSError
		op      *net.OpError
		refused = errors.Is(err, ErrRefused)
	)
	cause := context.Cause(ctx) // once: the deadline may pass between two looks
	switch {
	case errors.Is(cause, errDeadline), isTimeout(err) && cause == nil:
		return &reason{fmt.Sprintf("no complete answer within %v", timeout), err}
	case cause != nil:
		return &reason{"the poll was stopped", err}
	case refused && errors.As(err, &op):
		return &reason{op.Err.Error(), err}
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return &reason{fmt.Sprintf("no such host %q", dns.Name), err}
		}
		return &reason{fmt.Sprintf("looking up %q failed: %s", dns.Name, dns.Err), err}
	case errors.Is(err, errTooLarge):
		return errTooLarge
	case errors.Is(err, syscall.ECONNREFUSED):
		return &reason{"connection refused", err}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &reason{"the connection was reset", err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &reason{"the connection was closed before the answer was complete", err}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return &reason{"no route to the host", err}
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return &reason{"this process has no file handles left (ulimit -n)", err}
	}
	text := err.Error()
	if wantsCertificate(text) {
		return &reason{"it broke off the TLS connection; it may want a client certificate it knows", err}
	}
	if _, after, ok := strings.Cut(text, `": `); ok && strings.HasPrefix(text, "Get ") {
		text = after
	}
	if strings.HasPrefix(text, "malformed ") || strings.HasPrefix(text, "net/http: ") || strings.HasPrefix(text, "interim ") {
		text = strings.TrimPrefix(strings.TrimPrefix(text, "net/http: "), "HTTP/1.x transport connection broken: ")
		return &reason{"it does not speak HTTP as it should: " + text, err}
	}
	return &reason{text, err}
}

// wantsCertificate tells whether a text is what TLS 1.2, TLS 1.3 or HTTP/2 say when a client certificate is missing or
// unknown; with TLS 1.3 that shows only after the handshake, wherever the connection is then used first.
func wantsCertificate(text string) bool {
	for _, part := range []string{"tls: certificate required", "tls: bad certificate", "tls: unknown certificate", "remote error: tls: handshake failure", "client conn could not be established"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// reason is an error told in an operator's words.
type reason struct {
	text  string
	cause error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.cause }

// maxRetryAfter bounds how long another side may make us wait.
const maxRetryAfter = time.Hour

// retryAfter is what the header Retry-After asks for, in seconds or by a date; 0 without one. A date is of the other side's
// clock, and so compared with that of its answer: ours may be another.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseInt(v, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) { // then s is the nearest there is
		if s < 0 {
			return 0
		}
		return min(time.Duration(min(s, int64(maxRetryAfter/time.Second)))*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if answered, err := http.ParseTime(h.Get("Date")); err == nil {
		now = answered
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
