package edge

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/dns/dnsmessage"
)

// misfit is one way to misbehave, and what weir must say of it.
type misfit struct {
	name   string
	serve  http.HandlerFunc
	raw    func(net.Conn) // instead of serve
	url    string         // instead of both
	want   State
	reach  bool
	reason string // exactly; a part when it ends in "…"
	// timed misfits take long on purpose, and are asked by an engine of their own: what the others do must not depend on how
	// busy the machine is.
	timed bool
}

// good is a valid summary as of now plus shift.
func good(shift time.Duration) string {
	return fmt.Sprintf(`{"record_count":10,"quality_score":0.9,"last_updated":%q}`, time.Now().Add(shift).UTC().Format(time.RFC3339Nano))
}

func body(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

// endless writes chunk until the client goes.
func endless(chunk string, pause time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
			}
		}
	}
}

func withDate(shift time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(shift).UTC().Format(http.TimeFormat))
		_, _ = io.WriteString(w, good(shift-time.Second))
	}
}

func gzipBomb() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := bytes.Repeat([]byte(" "), 1<<20)
	for range 64 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	return b.Bytes()
}

const misfitTimeout = 6 * time.Second // of the timed ones

func misfits(elsewhere string) []misfit {
	const not = "not a valid summary: "
	bomb := gzipBomb()
	hostile := "\x1b]0;owned\x07\u202e\u2066\u200b"
	return []misfit{
		{name: "good", serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good(0)) }, want: OK, reach: true},
		{name: "slow", serve: func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(misfitTimeout * 6 / 10)
			_, _ = io.WriteString(w, good(0))
		}, timed: true, want: Slow, reach: true, reason: "answered after …"},
		{name: "stale", serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good(-time.Hour)) },
			want: Stale, reach: true, reason: "its data are 1h0m0s old"},
		{name: "clock a day ahead", serve: withDate(24 * time.Hour), want: Skewed, reach: true,
			reason: "last_updated lies in the future: its clock is 24h0m0s ahead"},
		{name: "clock a day behind", serve: withDate(-24 * time.Hour), want: Skewed, reach: true, reason: "its clock is 24h0m0s behind"},
		{name: "data from tomorrow", serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good(24*time.Hour)) },
			want: Skewed, reach: true, reason: "last_updated lies 24h0m0s in the future of its own clock"},

		{name: "huge", serve: body(`{"a":"` + strings.Repeat("x", 2<<20) + `"}`), want: Invalid, reach: true, reason: "the answer exceeds 1 MiB"},
		{name: "endless", serve: endless(strings.Repeat("x", 64<<10), 0), want: Invalid, reach: true, reason: "the answer exceeds 1 MiB"},
		{name: "endless headers", raw: func(c net.Conn) {
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(c, "X-A: "+strings.Repeat("x", 8<<10)+"\r\n")
			}
		}, want: Invalid, reach: true, reason: "the answer exceeds 1 MiB"},
		{name: "gzip bomb", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}, want: Invalid, reach: true, reason: "the answer exceeds 1 MiB"},
		{name: "not gzip", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, good(0))
		}, want: Invalid, reach: true, reason: "the body is not gzip as it says: gzip: invalid header"},
		{name: "brotli", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, good(0))
		}, want: Invalid, reach: true, reason: `content encoding "br" was not asked for`},
		{name: "slow by the byte", serve: endless(" ", 20*time.Millisecond), timed: true, want: Invalid, reach: true,
			reason: "no complete answer within 6s"},
		{name: "slow by the byte in its header", raw: func(c net.Conn) {
			for _, b := range []byte("HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("x", 900)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			_, _ = io.Copy(io.Discard, c)
		}, timed: true, want: Invalid, reach: true, reason: "no complete answer within 6s"},
		{name: "silent", raw: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, timed: true, want: Down, reason: "no complete answer within 6s"},
		{name: "resets", raw: func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			_ = c.(*net.TCPConn).SetLinger(0)
		}, want: Down, reason: "the connection was reset"},
		{name: "hangs up", raw: func(c net.Conn) { _, _ = c.Read(make([]byte, 1024)) }, want: Down,
			reason: "the connection was closed before the answer was complete"},
		{name: "breaks off", raw: func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"record_count\":1")
		}, want: Invalid, reach: true, reason: "the connection was closed before the answer was complete"},
		{name: "is no web server", raw: func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n") }, want: Invalid, reach: true,
			reason: "it does not speak HTTP as it should: malformed HTTP …"},
		{name: "answers 100 for ever", raw: func(c net.Conn) {
			_, _ = io.WriteString(c, strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50))
			_, _ = io.Copy(io.Discard, c)
		}, want: Invalid, reach: true, reason: "it does not speak HTTP as it should: interim answers without end"},

		{name: "HTML", serve: body("<!DOCTYPE html><h1>It works!</h1>"), want: Invalid, reach: true, reason: not + "expected a JSON object, found HTML or XML"},
		{name: "1e999", serve: body(`{"record_count":1e999,"quality_score":0.9,"last_updated":1}`), want: Invalid, reach: true, reason: not + "record_count: 1e999 is out of range"},
		{name: "negative", serve: body(`{"record_count":-3,"quality_score":0.9,"last_updated":1}`), want: Invalid, reach: true, reason: not + "record_count: expected at least 0, found -3"},
		{name: "NaN", serve: body(`{"record_count":1,"quality_score":NaN,"last_updated":1}`), want: Invalid, reach: true,
			reason: not + "invalid character 'N' looking for beginning of value at byte 35"},
		{name: "nested", serve: body(`{"record_count":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`), want: Invalid, reach: true, reason: not + "nested 5001 deep, at most 32 is read"},
		{name: "wrong type", serve: body(`{"record_count":"12","quality_score":0.9,"last_updated":1}`), want: Invalid, reach: true, reason: not + "record_count: expected a number, found a string"},
		{name: "two values", serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good(0)+good(0)) },
			want: Invalid, reach: true, reason: not + "more than one JSON value …"},
		{name: "hostile strings", serve: body(`{"record_count":1,"quality_score":0.9,"last_updated":"\u001b[2J` + "\u202e\u2066" + `"}`), want: Invalid, reach: true,
			reason: not + `last_updated: "\\u001b[2J…`},
		{name: "hostile strings in what is valid", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"\x1b]0;owned\x07"`)
			_, _ = io.WriteString(w, `{"node_url":"\u001b[2J\u202eelsewhere","\u001b]0;a\u0007`+"\u202e\u2066"+`":"\u009b2J`+"\u200b"+`",`+good(0)[1:])
		}, want: OK, reach: true},
		{name: "hostile bytes", serve: body(hostile), want: Invalid, reach: true, reason: not + "expected a JSON object, found …"},
		{name: "hostile redirect", raw: func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1024))
			_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: "+hostile+"\r\nContent-Length: 0\r\n\r\n")
		}, want: Invalid, reach: true, reason: "…"},
		{name: "redirect elsewhere", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere)
			w.WriteHeader(http.StatusFound)
		}, want: Invalid, reach: true, reason: "redirects to " + elsewhere + ", which is not followed"},
		{name: "500", serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, want: Invalid, reach: true, reason: "answered 500 Internal Server Error"},
		{name: "304 unasked", serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, want: Invalid, reach: true,
			reason: "answered 304 to a question that had no condition"},
		{name: "another's data", serve: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"node_url":%q,%s`, elsewhere, good(0)[1:])
		}, want: Invalid, reach: true, reason: "answers with the data of " + elsewhere},

		{name: "metadata address", url: "http://169.254.169.254", want: Down, reason: "address refused: 169.254.169.254 is link-local, where cloud metadata lives"},
		{name: "name of a metadata address", url: "http://metadata.example.test", want: Down, reason: "address refused: 169.254.169.254 is link-local, where cloud metadata lives"},
		{name: "name of a link-local address", url: "http://local6.example.test:81", want: Down, reason: "address refused: fe80::1 is link-local, where cloud metadata lives"},
		{name: "metadata address in IPv6", url: "http://[::ffff:169.254.169.254]", want: Down, reason: "address refused: 169.254.169.254 is link-local, where cloud metadata lives"},
		{name: "metadata address in hexadecimal IPv6", url: "http://[::ffff:a9fe:a9fe]:80", want: Down, reason: "address refused: 169.254.169.254 is link-local, where cloud metadata lives"},
		{name: "name of one", url: "http://mapped.example.test", want: Down, reason: "address refused: 169.254.169.254 is link-local, where cloud metadata lives"},
		{name: "name of AWS's in IPv6", url: "http://aws6.example.test", want: Down, reason: "address refused: fd00:ec2::254 serves cloud metadata"},
		{name: "name of Alibaba's", url: "http://alibaba.example.test", want: Down, reason: "address refused: 100.100.100.200 serves cloud metadata"},
		{name: "nobody's address", url: "http://0.0.0.0:80", want: Down, reason: "address refused: 0.0.0.0 is no host's address"},
		{name: "metadata over TLS", url: "https://metadata.example.test", want: Down, reason: "address refused: 169.254.169.254 is link-local, where cloud metadata lives"},
		{name: "no such name", url: "http://nowhere.example.test", want: Down, reason: `no such host "nowhere.example.test"`},
	}
}

// TestMisfits runs a fleet that misbehaves in every way at once, and checks the exact state and reason of each node.
func TestMisfits(t *testing.T) {
	t.Parallel()
	var lured atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != summaryPath {
			lured.Add(1)
		}
		_, _ = io.WriteString(w, good(0))
	}))
	t.Cleanup(elsewhere.Close)
	config := Config{Poll: time.Hour, Timeout: 5 * time.Minute, Resolver: fakeDNS(t, map[string]string{
		"metadata.example.test.": "169.254.169.254", "local6.example.test.": "fe80::1", "mapped.example.test.": "::ffff:169.254.169.254",
		"aws6.example.test.": "fd00:ec2::254", "alibaba.example.test.": "100.100.100.200",
	})}
	var quick, timed []misfit
	for _, m := range append(misfits(elsewhere.URL), certificates(t, &config)...) {
		if m.timed {
			timed = append(timed, m)
		} else {
			quick = append(quick, m)
		}
	}
	config.Nodes = []string{elsewhere.URL}
	t.Run("quick", func(t *testing.T) { checkMisfits(t, config, quick) })
	config.Timeout = misfitTimeout
	t.Run("timed", func(t *testing.T) { checkMisfits(t, config, timed) })
	if lured.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// checkMisfits asks all of them in one round.
func checkMisfits(t *testing.T, config Config, all []misfit) {
	for i := range all {
		m := &all[i]
		switch {
		case m.raw != nil:
			m.url = rawServer(t, m.raw)
		case m.serve != nil:
			s := httptest.NewUnstartedServer(m.serve)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.Start()
			t.Cleanup(s.Close)
			m.url = s.URL
		}
		config.Nodes = append(config.Nodes, m.url)
	}
	e, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	if err := e.PollNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := e.Snapshot()
	for i, m := range all {
		n := s.NodeData[i+1]
		if n.State != m.want || n.Reachable != m.reach {
			t.Errorf("%s: %s, reachable %v; want %s, %v (%s)", m.name, n.State, n.Reachable, m.want, m.reach, n.Error)
		}
		if part, cut := strings.CutSuffix(m.reason, "…"); n.Error.String() != m.reason && (!cut || !contains(n.Error.String(), part)) {
			t.Errorf("%s: reason %q, want %q", m.name, n.Error, m.reason)
		}
		h, ok := e.History(m.url)
		if !ok {
			t.Fatalf("%s has no history", m.name)
		}
		for _, text := range []string{n.Error.String(), h.Answer.String(), n.Name.String()} {
			for _, r := range text {
				if unicode.In(r, unicode.Cc, unicode.Cf) {
					t.Errorf("%s: %q reaches the screen", m.name, r)
				}
			}
		}
	}
}

// TestRebinding has a name that leads to a good node first, and to a metadata address from the next connection on; and
// one with both addresses at once, of which only the good one may be dialled.
func TestRebinding(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, good(0))
	}))
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"rebinds.example.test.": "127.0.0.1", "both.example.test.": "169.254.169.254 127.0.0.1"}
	var mu sync.Mutex
	resolver := fakeDNSOf(t, func(name string) (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		value, known := names[name]
		return value, known
	})
	e, err := New(Config{Poll: time.Hour, Timeout: 5 * time.Minute, Resolver: resolver,
		Nodes: []string{"http://rebinds.example.test:" + port, "http://both.example.test:" + port}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	<-e.firstRound
	for i, n := range e.Snapshot().NodeData {
		if n.State != OK {
			t.Fatalf("node %d at first: %s: %s", i, n.State, n.Error)
		}
	}
	mu.Lock()
	names["rebinds.example.test."] = "169.254.169.254"
	mu.Unlock()
	before := asked.Load()
	if err := e.PollNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := e.Snapshot().NodeData
	if n := all[0]; n.State != Down || n.Error.String() != "address refused: 169.254.169.254 is link-local, where cloud metadata lives" {
		t.Errorf("after the name leads elsewhere: %s: %s", n.State, n.Error)
	}
	if n := all[1]; n.State != OK || asked.Load() != before+1 {
		t.Errorf("with a good address beside the bad one: %s: %s", n.State, n.Error)
	}
}

func rawServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// fakeDNS answers from a map of names to addresses.
func fakeDNS(t *testing.T, names map[string]string) *net.Resolver {
	t.Helper()
	return fakeDNSOf(t, func(name string) (string, bool) {
		value, known := names[name]
		return value, known
	})
}

// fakeDNSOf answers what lookup says: addresses or targets, apart by spaces.
func fakeDNSOf(t *testing.T, lookup func(string) (string, bool)) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if b := answerDNS(buf[:n], lookup); b != nil {
				_, _ = pc.WriteTo(b, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = pc.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func answerDNS(query []byte, lookup func(string) (string, bool)) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
	value, known := lookup(q.Name.String())
	switch {
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA, q.Type == dnsmessage.TypeAAAA:
		for text := range strings.FieldsSeq(value) {
			a, err := netip.ParseAddr(text)
			switch {
			case err != nil || a.Is4() != (q.Type == dnsmessage.TypeA):
			case a.Is4():
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
			default:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
			}
		}
	case q.Type == dnsmessage.TypeSRV:
		for target := range strings.FieldsSeq(value) {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.SRVResource{
				Port: 8080, Target: dnsmessage.MustNewName(target)}})
		}
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// certificates are TLS nodes: one in order, one expired, one for another name, one nobody signed, and two that want a
// client certificate, which only one is given.
func certificates(t *testing.T, config *Config) []misfit {
	t.Helper()
	ca := newCA(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	serve := func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			http.Error(w, "no HTTP/2", http.StatusHTTPVersionNotSupported)
			return
		}
		_, _ = io.WriteString(w, good(0))
	}
	node := func(cert tls.Certificate, clients *x509.CertPool) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(serve))
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		if clients != nil {
			s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, clients
			s.TLS.MaxVersion = tls.VersionTLS12 // 1.3 refuses after the handshake, and then the connection may just be closed
		}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	now := time.Now()
	local := func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }
	fine := ca.sign(t, now.Add(time.Hour), local)
	strict := node(fine, roots)
	config.Access = append(config.Access,
		Access{Prefix: strict, TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{ca.sign(t, now.Add(time.Hour), local)}}},
		Access{Prefix: "https://127.0.0.1:*", TLS: &tls.Config{RootCAs: roots}})
	babbles := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nno header\r\n\r\n")
			_ = c.Close()
		}
	}))
	babbles.TLS = &tls.Config{Certificates: []tls.Certificate{fine}}
	babbles.StartTLS()
	t.Cleanup(babbles.Close)
	return []misfit{
		{name: "not HTTP over TLS", url: babbles.URL, want: Invalid, reach: true,
			reason: "it does not speak HTTP as it should: malformed MIME header: missing colon: …"},
		{name: "TLS and HTTP/2", url: node(fine, nil), want: OK, reach: true},
		{name: "client certificate", url: strict, want: OK, reach: true},
		{name: "client certificate missing", url: node(fine, roots), want: Down, reason: "it broke off the TLS connection; it may want a client certificate it knows"},
		{name: "expired", url: node(ca.sign(t, now.Add(-time.Hour), local), nil), want: Down, reason: "tls: failed to verify certificate: x509: certificate has expired …"},
		{name: "for another name", url: node(ca.sign(t, now.Add(time.Hour), func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} }), nil),
			want: Down, reason: "tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 …"},
		{name: "not valid yet", url: node(ca.sign(t, now.Add(48*time.Hour), local), nil), want: Down, reason: "tls: failed to verify certificate: x509: certificate has expired or is not yet valid…"},
		{name: "signed by nobody", url: node(newCA(t).sign(t, now.Add(time.Hour), local), nil), want: Down,
			reason: "tls: failed to verify certificate: x509: certificate signed by unknown authority…"},
	}
}

type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T) testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weir test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return testCA{cert, key}
}

func (ca testCA) sign(t *testing.T, until time.Time, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: until.Add(-24 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
