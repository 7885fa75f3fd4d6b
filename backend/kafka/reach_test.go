package kafka

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/IBM/sarama"

	"weir/config"
)

// TestUnreachableSaysWhy connects to ports where nobody listens.
func TestUnreachableSaysWhy(t *testing.T) {
	var addresses []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, l.Addr().String())
		_ = l.Close()
	}
	for n, want := range map[int]string{
		1: "kafka at " + addresses[0] + ": connection refused",
		2: "kafka at " + addresses[0] + ", " + addresses[1] + ": connection refused",
	} {
		cluster, err := NewCluster(config.Kafka{Brokers: addresses[:n]})
		if err != nil {
			t.Fatal(err)
		}
		for name, connect := range map[string]func() error{
			"a client": func() error { _, err := cluster.Client(); return err },
			"an admin": func() error { _, err := NewAdmin(cluster); return err },
		} {
			err := connect()
			if err == nil || err.Error() != want {
				t.Errorf("%s of %d brokers: %v, want %s", name, n, err, want)
			}
			if !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, sarama.ErrOutOfBrokers) {
				t.Errorf("%s of %d brokers: %#v cannot be told any more", name, n, err)
			}
		}
	}
}
