package kafka

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"weir/config"
)

// silent is a broker that accepts connections and says nothing. asked holds a token once it was asked something.
func silent(t *testing.T) (address string, asked <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tokens := make(chan struct{}, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				buffer := make([]byte, 1<<10)
				for {
					if _, err := conn.Read(buffer); err != nil {
						return
					}
					select {
					case tokens <- struct{}{}:
					default:
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String(), tokens
}

// TestHangUp: a client that waits for a broker which says nothing, with patience of an hour, ends when it is told to, and
// so does whoever comes after.
func TestHangUp(t *testing.T) {
	address, asked := silent(t)
	cluster, err := NewCluster(config.Kafka{Brokers: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	connect := func() error {
		c := cluster.Config()
		c.Net.ReadTimeout = time.Hour
		client, err := sarama.NewClient(cluster.Brokers(), c)
		if err == nil {
			_ = client.Close()
		}
		return err
	}
	done := make(chan error)
	go func() { done <- connect() }()
	<-asked
	cluster.HangUp()
	if err := <-done; err == nil {
		t.Error("it connected")
	}
	if err := connect(); !errors.Is(err, ErrHungUp) {
		t.Errorf("afterwards: %v", err)
	}
	cluster.connections.mu.Lock()
	defer cluster.connections.mu.Unlock()
	if len(cluster.connections.open) > 0 {
		t.Errorf("%d connections are open", len(cluster.connections.open))
	}
}

// TestApartHangsUpAlone: connections apart are hung up without the others, and with all of them.
func TestApartHangsUpAlone(t *testing.T) {
	address, _ := silent(t)
	cluster, err := NewCluster(config.Kafka{Brokers: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	dial := func(c Cluster) net.Conn {
		t.Helper()
		conn, err := c.Config().Net.Proxy.Dialer.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	refused := func(c Cluster) bool {
		conn, err := c.Config().Net.Proxy.Dialer.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, ErrHungUp)
	}
	one, hangUpOne := cluster.Apart()
	two, hangUpTwo := cluster.Apart()
	defer hangUpTwo()
	conn := dial(one)
	hangUpOne()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) || !refused(one) || refused(two) || refused(cluster) {
		t.Errorf("one was hung up: %v, refused %t, %t and %t", err, refused(one), refused(two), refused(cluster))
	}
	conn = dial(two)
	cluster.HangUp()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) || !refused(two) || !refused(cluster) {
		t.Errorf("all were hung up: %v, refused %t and %t", err, refused(two), refused(cluster))
	}
}
