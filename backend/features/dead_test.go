package features

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestADeadConnectionIsReplaced has a store behind HTTP/2 whose connection dies without a word, as behind a firewall
// that forgot it: what comes over it is swallowed. Connections made later are in order.
func TestADeadConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.ProtoMajor != 2 {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
			return
		}
		answerColumns(w, []string{"v__f"}, 1, func(_, i int) string { return fmt.Sprint(i) })
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	var dead atomic.Int64 // connections up to this number are
	var made atomic.Int64
	between := listenBetween(t, strings.TrimPrefix(server.URL, "https://"), func() func() bool {
		n := made.Add(1)
		return func() bool { return n <= dead.Load() }
	})
	store := storeAt(t, "https://"+between, FeastConfig{Names: []string{"v:f"}, Timeout: time.Second})
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	store.(*feast).client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}

	answers := func() bool {
		_, err := fetch(t, store, texts("a")...)
		return err == nil
	}
	await := func(otherwise string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !answers(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal(otherwise, store.Stats().LastError)
			}
		}
	}
	await("the store never answers:") // on a busy machine perhaps not within its timeout
	dead.Store(made.Load())
	if answers() {
		t.Fatal("a dead connection answers")
	}
	await("the dead connection is asked for ever:")
}

// listenBetween passes connections on to a server, and swallows what comes over those that are dead.
func listenBetween(t *testing.T, to string, connected func() (dead func() bool)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	pass := func(to, from net.Conn, dead func() bool) {
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			if err == nil && !dead() {
				_, err = to.Write(buf[:n])
			}
			if err != nil {
				break
			}
		}
		if !dead() {
			_ = to.Close()
		}
	}
	group.Go(func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				_ = a.Close()
				continue
			}
			dead := connected()
			mu.Lock()
			open = append(open, a, b)
			mu.Unlock()
			group.Go(func() { pass(a, b, dead) })
			group.Go(func() { pass(b, a, dead) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		group.Wait()
	})
	return l.Addr().String()
}
