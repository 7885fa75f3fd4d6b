package edge

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// relay passes connections on to a server until they are frozen: then what comes over them, either way, is swallowed, as by
// a firewall that forgot them. Connections made later are passed on again.
type relay struct {
	url    string
	mu     sync.Mutex
	frozen []*atomic.Bool
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{url: "https://" + l.Addr().String()}
	var group sync.WaitGroup
	var open []net.Conn
	pass := func(to, from net.Conn, frozen *atomic.Bool) {
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			if err != nil {
				break
			}
			if frozen.Load() {
				continue
			}
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if !frozen.Load() {
			_ = to.Close()
		}
	}
	group.Go(func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", strings.TrimPrefix(to, "https://"))
			if err != nil {
				_ = a.Close()
				continue
			}
			frozen := new(atomic.Bool)
			r.mu.Lock()
			r.frozen, open = append(r.frozen, frozen), append(open, a, b)
			r.mu.Unlock()
			group.Go(func() { pass(a, b, frozen) })
			group.Go(func() { pass(b, a, frozen) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		r.mu.Unlock()
		group.Wait()
	})
	return r
}

func (r *relay) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.frozen {
		f.Store(true)
	}
}

func http2Server(t *testing.T, h http.HandlerFunc) (url string, roots *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.URL, &tls.Config{RootCAs: pool}
}

// TestDeadHTTP2ConnectionIsReplaced has a node, asked over HTTP/2, whose connection dies without a word.
func TestDeadHTTP2ConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	url, roots := http2Server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good(0)) })
	r := newRelay(t, url)
	e, err := New(Config{Nodes: []string{r.url}, Poll: time.Second, Access: []Access{{TLS: roots}}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	ask := func(want State) func() bool {
		return func() bool {
			if err := e.PollNow(t.Context()); err != nil {
				t.Fatal(err)
			}
			return e.Snapshot().NodeData[0].State == want
		}
	}
	until(t, "it answers", ask(OK))
	r.freeze()
	until(t, "its connection is dead", ask(Down))
	until(t, "it is asked over another", func() bool { ask(OK)(); return e.Snapshot().NodeData[0].Valid })
}

// TestDeadHTTP2ConnectionToTheCloud is the same of the cloud.
func TestDeadHTTP2ConnectionToTheCloud(t *testing.T) {
	t.Parallel()
	url, roots := http2Server(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	r := newRelay(t, url)
	c, err := Config{Outbox: filepath.Join(t.TempDir(), "o.db"), Rand: func() float64 { return 0.01 },
		Cloud: &CloudConfig{URL: r.url, Every: time.Hour, Timeout: time.Second}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(c, &httpPoller{plain: &plainClient{}}, nil)
	x := newSender(*c.Cloud, c.Now)
	x.client.Transport.(*http.Transport).TLSClientConfig = roots
	e.sync.send, e.sync.closeIdle = x.send, x.client.CloseIdleConnections
	start(t, e)
	until(t, "the first aggregate", func() bool { return e.Snapshot().Cloud.Synced == 1 })
	r.freeze()
	_ = e.SyncNow(t.Context()) // it fails, unless the connection was given up before
	until(t, "it goes over another connection", func() bool { c := e.Snapshot().Cloud; return c.Synced == 2 && c.Outbox == 0 })
}

// TestConnectionsRestNotForLong polls rarely: what rested for longer than firewalls remember is not asked over.
func TestConnectionsRestNotForLong(t *testing.T) {
	for poll, want := range map[time.Duration]time.Duration{15 * time.Second: 35 * time.Second, time.Hour: maxRest} {
		p, _, err := newHTTPPoller(Config{Poll: poll, Timeout: time.Second, Concurrency: 1, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if r := p.clients[0].Transport.(*http.Transport).IdleConnTimeout; p.plain.rest != want || r != want {
			t.Errorf("polled every %v, connections rest for %v, over TLS %v, want %v", poll, p.plain.rest, r, want)
		}
	}
}
