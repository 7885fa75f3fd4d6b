package kafka

import (
	"strings"
	"testing"

	"github.com/IBM/sarama"

	"weir/backend/safego"
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
