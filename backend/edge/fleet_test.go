package edge

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fleetEnv makes the test binary the fleet of the benchmarks: one listener on all of 127.0.0.0/8, so that each node
// has an address, and so a connection, of its own. It does as little for a request as it can, for the pollers are
// what is measured; all of them face the same fleet. Its nodes answer alike, in whole seconds, as honest ones may.
const fleetEnv = "WEIR_EDGE_FLEET"

func fleet() {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	var answer atomic.Pointer[[]byte]
	renew := func() {
		now := time.Now().UTC()
		body := fmt.Sprintf(`{"record_count": 12004, "quality_score": 0.982, "last_updated": %q}`, now.Format("2006-01-02T15:04:05"))
		b := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: %s\r\nContent-Length: %d\r\n\r\n%s",
			now.Format(http.TimeFormat), len(body), body)
		answer.Store(&b)
	}
	renew()
	go func() {
		for range time.Tick(time.Second) {
			renew()
		}
	}()
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	go func() { // the fleet ends with its parent
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	for {
		conn, err := l.Accept()
		if err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		go serveNode(conn, &answer)
	}
}

func serveNode(conn net.Conn, answer *atomic.Pointer[[]byte]) {
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 1024)
	n := 0
	for {
		m, err := conn.Read(buf[n:])
		if err != nil {
			return
		}
		if n += m; n < 4 || string(buf[n-4:n]) != "\r\n\r\n" {
			continue
		}
		n = 0
		if _, err := conn.Write(*answer.Load()); err != nil {
			return
		}
	}
}

// startFleet is the URLs of n nodes of a fleet in a process of its own.
func startFleet(tb testing.TB, n int) []string {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), exe)
	cmd.Env = append(os.Environ(), fleetEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	urls := make([]string, n)
	for i := range urls {
		urls[i] = fmt.Sprintf("http://127.%d.%d.%d:%s", 1+i/60000, i/250%240, 1+i%250, strings.TrimSpace(line))
	}
	return urls
}
