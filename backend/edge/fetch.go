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
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxBody bounds an answer after decompression, in bytes.
const maxBody = 1 << 20

// summaryPath is what every node offers.
const summaryPath = "/data/summary"

// answer is what one poll brought. Without a status nothing answered, and err says why.
type answer struct {
	status     int
	body       []byte // decompressed, at most maxBody; valid until the poller's next get
	location   string // of a redirect
	etag       string
	date       time.Time // the node's clock, zero without a usable Date header
	retryAfter time.Duration
	sentAt     time.Time
	latency    time.Duration
	err        error
}

// poller asks one node for its summary. It is safe for concurrent use.
type poller interface {
	get(ctx context.Context, t target, etag string) answer
	close()
}

// target is where and how one node is asked.
type target struct {
	url    string // of the summary
	header http.Header
}

// httpPoller polls over net/http: connections are kept, HTTP/2 is used where a TLS node offers it.
type httpPoller struct {
	client  *http.Client
	now     func() time.Time
	timeout time.Duration
}

func newHTTPPoller(c Config) *httpPoller {
	transport := &http.Transport{
		DialContext:            newDialer().DialContext,
		Proxy:                  nil, // a proxy would be dialled in a node's place, and the guard with it
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // read by readBody, which bounds what comes out
		MaxIdleConns:           0,    // one a node
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        2*c.Poll + 5*time.Second,
		ResponseHeaderTimeout:  c.Timeout,
		TLSHandshakeTimeout:    c.Timeout,
		MaxResponseHeaderBytes: 16 << 10,
		ReadBufferSize:         1 << 10,
		WriteBufferSize:        1 << 10,
	}
	return &httpPoller{
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		now:     c.Now,
		timeout: c.Timeout,
	}
}

func (p *httpPoller) close() { p.client.CloseIdleConnections() }

func (p *httpPoller) get(ctx context.Context, t target, etag string) (a answer) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, errDeadline)
	defer cancel()
	a.sentAt = p.now()
	defer func() { a.latency = p.now().Sub(a.sentAt) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		a.err = err
		return a
	}
	for k, v := range t.header {
		req.Header[k] = v
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("User-Agent", "weir")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		a.err = explain(ctx, err, p.timeout)
		return a
	}
	defer func() {
		if cerr := resp.Body.Close(); cerr != nil && a.err == nil {
			a.err = explain(ctx, cerr, p.timeout)
		}
	}()
	a.status = resp.StatusCode
	a.etag = resp.Header.Get("Etag")
	a.location = resp.Header.Get("Location")
	a.date, _ = http.ParseTime(resp.Header.Get("Date")) // without one the skew stays unknown
	a.retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), p.now())
	if a.status != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be kept; what it says is not used
		return a
	}
	if a.body, err = readBody(resp.Body, resp.Header.Get("Content-Encoding")); err != nil {
		a.err = explain(ctx, err, p.timeout)
	}
	return a
}

// Errors of a poll.
var (
	errDeadline = errors.New("poll deadline")
	errTooLarge = fmt.Errorf("the body exceeds %d MiB", maxBody>>20)
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
	switch {
	case errors.Is(context.Cause(ctx), errDeadline), isTimeout(err) && ctx.Err() == nil:
		return &reason{fmt.Sprintf("no complete answer within %v", timeout), err}
	case ctx.Err() != nil:
		return &reason{"the poll was stopped", err}
	case refused && errors.As(err, &op):
		return &reason{op.Err.Error(), err}
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return &reason{fmt.Sprintf("no such host %q", dns.Name), err}
		}
		return &reason{fmt.Sprintf("looking up %q failed: %s", dns.Name, dns.Err), err}
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
	if _, after, ok := strings.Cut(text, `": `); ok && strings.HasPrefix(text, "Get ") {
		text = after
	}
	return &reason{text, err}
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

// parseRetryAfter reads both forms of the header, seconds and a date; 0 without one.
func parseRetryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseInt(v, 10, 64); err == nil {
		if s < 0 {
			return 0
		}
		return min(time.Duration(min(s, int64(maxRetryAfter/time.Second)))*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
