package pipeline

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMemoryUnderABacklog lets workers catch up with a small backlog and with one of millions of events and looks at the
// most memory they ever had: it depends on what is in hand, not on what waits.
func TestMemoryUnderABacklog(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("writes half a gigabyte; WEIR_SLOW=1 runs it")
	}
	// bytes a waiting event may cost: some for the noise of a collector, when to keep one would take ten times as many.
	const each = 20
	backlog, most := 3_000_000, 200<<20
	if n, err := strconv.Atoi(os.Getenv("WEIR_BACKLOG")); err == nil {
		backlog = n
	}
	if raceEnabled {
		backlog, most = 200_000, 1000<<20 // the race detector keeps its own books
	}
	w := &world{t: t, topic: "user_events", store: newFakeStore(), brokers: []string{startBroker(t).addr}}
	w.connect(benchPartitions)
	few := backlog / 10
	small := w.catchUpWith(few)
	large := w.catchUpWith(backlog)
	t.Logf("at most %d MiB resident with %d events waiting, %d MiB with %d", small>>20, few, large>>20, backlog)
	if large > most {
		t.Errorf("%d MiB, the promise is %d", large>>20, most>>20)
	}
	if grown := large - small; !raceEnabled && grown > each*(backlog-few) {
		t.Errorf("%d MiB more for %d more events", grown>>20, backlog-few)
	}
}

// catchUpWith writes events while nobody consumes, lets a worker catch up, and tells the most bytes it had resident.
func (w *world) catchUpWith(backlog int) int {
	t := w.t
	t.Helper()
	(&benchBroker{tb: t, cluster: w.cluster}).fill(backlog)
	lag := w.lagOf(benchPartitions)
	spec, err := json.Marshal(workerSpec{Brokers: w.brokers, Topic: w.topic, Delivery: AtLeastOnce, MaxEvents: 1000})
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, "worker", "WEIR_TEST_SPEC="+string(spec))
	for deadline := time.Now().Add(10 * time.Minute); lag() != 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the lag is still %d", lag())
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skip(err)
	}
	p.stop()
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
