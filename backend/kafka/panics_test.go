package kafka

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/IBM/sarama"

	"weir/backend/safego"
	"weir/config"
)

// overflow panics where a stack can name it.
func overflow() { panic("overflow") }

// client runs f as sarama runs its goroutines.
func client(handler func(any), f func()) {
	defer func() {
		if v := recover(); v != nil {
			handler(v)
		}
	}()
	f()
}

func TestPanicsOfClientsAreTold(t *testing.T) {
	var first, second []*safego.Panic
	stopFirst := OnPanic(func(p *safego.Panic) { first = append(first, p) })
	stopSecond := OnPanic(func(p *safego.Panic) { second = append(second, p) })
	client(sarama.PanicHandler, overflow)
	stopFirst()
	client(sarama.PanicHandler, overflow)
	stopSecond()
	if len(first) != 1 || len(second) != 2 || first[0].Error() != "panic: overflow" || !strings.Contains(string(first[0].Stack), "kafka.overflow") {
		t.Errorf("told %v and %v", first, second)
	}
	client(sarama.PanicHandler, overflow) // of a client that was given up
	var nobody listeners
	if p := safego.Call(func() { client(nobody.tell, overflow) }); p == nil || p.Value != "overflow" {
		t.Errorf("where nobody ever listened: %v", p)
	}
}

// stuck is a client's call that waits for a goroutine that has panicked, until the test ends.
func stuck(t *testing.T) (call func() (int, error)) {
	var ended sync.WaitGroup
	release := make(chan struct{})
	t.Cleanup(func() {
		close(release)
		ended.Wait()
	})
	ended.Add(1)
	return func() (int, error) {
		defer ended.Done()
		client(sarama.PanicHandler, overflow)
		<-release
		return 1, nil
	}
}

// TestWhatIsAskedOfABrokenClientEnds in time, with the panic, and so does everything after it.
func TestWhatIsAskedOfABrokenClientEnds(t *testing.T) {
	broker, err := StartEmbedded(EmbeddedOptions{Topics: []EmbeddedTopic{{Name: "events", Partitions: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	cluster, err := NewCluster(config.Kafka{Brokers: []string{broker.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAdmin(cluster, 0)
	if err != nil {
		t.Fatal(err)
	}
	healthy := a.admin
	defer healthy.Close()
	_, err = ask(a, stuck(t))
	_, later := a.Partitions("events")
	for _, err := range []error{err, later, a.Close()} {
		var p *safego.Panic
		if !errors.As(err, &p) || err.Error() != "a kafka client broke: panic: overflow" {
			t.Errorf("the answer is %v, want the panic", err)
		}
	}

	a, err = newAdmin(cluster, askPatience)
	if err != nil {
		t.Fatal(err)
	}
	client(sarama.PanicHandler, overflow) // of another client
	if got, err := a.Partitions("events"); len(got) != 1 || err != nil {
		t.Errorf("a sound client answers %v, %v", got, err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if p := safego.Call(func() { _, _ = Bounded(cluster, func(Cluster) (int, error) { panic("its caller's") }) }); p == nil || p.Value != "its caller's" {
		t.Errorf("a panic of what is asked became %v", p)
	}
}
