package pipeline

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestFrozen freezes one of two workers with SIGSTOP for a minute, far longer than the group waits for it, so that the
// other takes its partitions over, and lets it go on: what it still had in hand must not come out again, or be lost.
func TestFrozen(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("takes more than a minute; WEIR_SLOW=1 runs it")
	}
	t.Parallel()
	for _, delivery := range []string{AtLeastOnce, ExactlyOnce} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			testFrozen(t, delivery, time.Minute)
		})
	}
}

func testFrozen(t *testing.T, delivery string, frozen time.Duration) {
	const partitions = 4
	w := &world{t: t, topic: fmt.Sprintf("frozen-%d-%d", os.Getpid(), worlds.Add(1)), store: newFakeStore()}
	if real := os.Getenv("WEIR_KAFKA"); real != "" {
		w.brokers = []string{real}
	} else {
		w.brokers = []string{startBroker(t).addr}
	}
	w.connect(partitions)
	lag := w.lagOf(partitions)
	spec, err := json.Marshal(workerSpec{Brokers: w.brokers, Topic: w.topic, Delivery: delivery, MaxEvents: 500,
		StoreTakes: 50 * time.Millisecond}) // so that the freeze falls into a batch
	if err != nil {
		t.Fatal(err)
	}
	workers := []*process{start(t, "worker", "WEIR_TEST_SPEC="+string(spec)), start(t, "worker", "WEIR_TEST_SPEC="+string(spec))}
	made := 0
	feed := func(n int) {
		w.produceSurely(made, made+n)
		made += n
	}
	feed(1000)
	w.until("both have caught up", func() bool { return lag() == 0 })
	stop := make(chan struct{})
	fed := make(chan struct{})
	go func() { // traffic without a pause
		defer close(fed)
		for {
			select {
			case <-stop:
				return
			default:
				feed(500)
			}
		}
	}()
	w.until("both have their hands full", func() bool { return lag() > 5000 })
	if err := workers[0].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw := time.Now().Add(frozen)
	time.Sleep(time.Second)
	close(stop)
	<-fed
	for lag() != 0 { // the other takes all of it over
		if time.Now().After(thaw) {
			workers[1].tell()
			t.Fatalf("after %s of frost the lag is still %d", frozen, lag())
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%s: taken over %s after the freeze", delivery, (frozen - time.Until(thaw)).Round(time.Second/10))
	feed(1000)
	time.Sleep(time.Until(thaw)) // the length of the freeze is what is tested
	if err := workers[0].cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	feed(1000)
	w.until("everything is committed", func() bool { return lag() == 0 })
	for _, p := range workers {
		p.stop()
	}
	missing, again := 0, 0
	got := w.predictions()
	for i := range made {
		n := len(got[fmt.Sprintf(`"u%d"`, i)])
		if n == 0 {
			missing++
		}
		again += max(n-1, 0)
	}
	t.Logf("%s: %d events, frozen for %v: %d missing, %d came again", delivery, made, frozen, missing, again)
	if missing > 0 || delivery == ExactlyOnce && again > 0 {
		t.Errorf("%d missing, %d came again", missing, again)
	}
}
