package timeline

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/host"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline/pack"
)

// busy makes the snapshots of a world at work: every node polled every fifteen seconds, an event a second.
type busy struct {
	nodes, partitions int
	names             []safetext.Text
	events            []event.Event
	n                 int
}

func newBusy(nodes, partitions int) *busy {
	b := &busy{nodes: nodes, partitions: partitions}
	for i := range nodes {
		b.names = append(b.names, safetext.Sprintf("http://edge-node-%04d.example.com:8080", i))
	}
	return b
}

func (b *busy) next() *Snapshot {
	b.n++
	at := start.Add(time.Duration(b.n) * time.Second)
	b.events = append(b.events, event.Event{Seq: uint64(b.n), At: at, Kind: event.Node, Message: safetext.Sprintf("event %d", b.n)})
	if len(b.events) > KeepEvents {
		b.events = b.events[len(b.events)-KeepEvents:]
	}
	s := &Snapshot{At: at, Tick: time.Second, Events: append([]event.Event(nil), b.events...), Host: &host.Snapshot{At: at, CPUPercent: float64(b.n % 100)}}
	p := &pipeline.Snapshot{At: at, State: pipeline.Running, Consumed: uint64(b.n * 2000), EventsPerSecond: 2000 + float64(b.n%97), PSI: math.NaN()}
	for i := range b.partitions {
		p.Partitions = append(p.Partitions, pipeline.Partition{Partition: int32(i), Offset: int64(b.n*31 + i), HighWatermark: int64(b.n*31 + i + b.n%7), Verdict: pipeline.VerdictOK, LastRecord: at})
	}
	for i := range pipeline.KeepDead {
		p.Dead = append(p.Dead, pipeline.DeadLetter{At: at, Stage: "decode", Offset: int64(b.n/10 + i), Sample: safetext.Sprintf(`{"user_id": "u-%05d"`, b.n/10+i)})
	}
	e := &edge.Snapshot{At: at, Nodes: b.nodes, NodeData: make([]*edge.Node, b.nodes)}
	for i := range e.NodeData {
		round := (b.n + i) / 15 // polls are spread over the interval
		e.NodeData[i] = &edge.Node{URL: b.names[i], Name: b.names[i], State: edge.OK, Since: start, Reachable: true, Fresh: true, Valid: true, HasData: true,
			RecordCount: int64(10_000 + 7*round + i), Quality: 0.98 + float64((round*31+i)%100)/10_000, LastUpdated: start.Add(time.Duration(round*15) * time.Second),
			PolledAt: start.Add(time.Duration(round*15+i%15)*time.Second + time.Duration(i*7919)), LatencyMS: float64((round*7919+i*104729)%50_000) / 1000, StatusCode: 200}
	}
	s.Pipeline, s.Edge = p, e
	s.Mesh = &mesh.Snapshot{At: at, Products: []mesh.Product{{Name: safetext.Clean("user_events"), State: mesh.Holds, Rows: int64(b.n * 100)}}}
	return s
}

// asItCame is what a snapshot must look like however old it is; only the places of time zones may differ.
var asItCame = cmp.Options{cmpopts.EquateNaNs(), cmp.Comparer(func(a, b safetext.Text) bool { return a == b }),
	cmpopts.EquateApproxTime(0), cmpopts.EquateEmpty()}

func TestOldSnapshotsComeBackAsTheyWere(t *testing.T) {
	line := New()
	b := newBusy(20, 6)
	var came []*Snapshot
	for range 3*pack.GroupLength + 30 {
		s := b.next()
		came = append(came, s)
		line.Append(s)
	}
	for _, want := range came {
		got := line.Until(want.Seq, 1)
		if len(got) != 1 {
			t.Fatalf("snapshot %d is gone", want.Seq)
		}
		if diff := cmp.Diff(want, got[0], asItCame); diff != "" {
			t.Fatalf("snapshot %d came back changed (-was +is):\n%s", want.Seq, diff)
		}
	}
}

func TestWhatChartsNeedStaysAtHand(t *testing.T) {
	line := New()
	b := newBusy(5, 3)
	for range 200 {
		line.Append(b.next())
	}
	past := NewCursor(line).At(start.Add(100 * time.Second)).Past(90)
	if len(past) != 90 || past[89].Edge == nil || len(past[89].Pipeline.Dead) == 0 {
		t.Fatalf("%d snapshots; the last one must be whole", len(past))
	}
	for i, s := range past {
		if s.Pipeline == nil || len(s.Pipeline.Partitions) != 3 || s.Host == nil || s.At != start.Add(time.Duration(11+i)*time.Second) {
			t.Fatalf("snapshot %d of the past: %+v", i, s)
		}
	}
}

func TestEventsOfALongPastAreKeptOnce(t *testing.T) {
	line := New()
	b := newBusy(1, 1)
	for range Capacity + 500 {
		line.Append(b.next())
	}
	oldest, _ := line.Bounds()
	s := line.Until(oldest, 1)[0]
	if n := len(s.Events); n != KeepEvents || s.Events[n-1].Seq != oldest {
		t.Errorf("the oldest snapshot, %d, shows %d events up to %d", oldest, n, s.Events[n-1].Seq)
	}
	if n := len(line.events.events); n > 3*Capacity {
		t.Errorf("%d events are kept for an hour in which there were %d", n, Capacity)
	}
}

func TestReadersWalkWhileItGrows(t *testing.T) {
	line := New()
	b := newBusy(3, 2)
	for range 100 {
		line.Append(b.next())
	}
	done := make(chan error, 3)
	for i := range 3 {
		go func() {
			c := NewCursor(line).Step(-90 + i)
			for range 60 {
				before := c.Snapshot().Seq
				c = c.Step(1)
				if s := c.Snapshot(); s.Seq != before+1 || s.Edge == nil || len(s.Events) == 0 {
					done <- fmt.Errorf("after %d came %d, %d events", before, s.Seq, len(s.Events))
					return
				}
			}
			done <- nil
		}()
	}
	for range 200 {
		line.Append(b.next())
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestAnHourOfAThousandNodes holds the timeline to its bound of 64 MB.
func TestAnHourOfAThousandNodes(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("packs an hour of a thousand nodes; set WEIR_SLOW=1")
	}
	size := heapOf(func() any { return filledBusy(Capacity) })
	t.Logf("an hour of 1,000 nodes and 64 partitions: %.1f MB", float64(size)/1e6)
	if size > 64<<20 {
		t.Errorf("an hour takes %d bytes, more than 64 MiB", size)
	}
}

func filledBusy(n int) *Timeline {
	line, b := New(), newBusy(1000, 64)
	for range n {
		line.Append(b.next())
	}
	return line
}

// heapOf is what the heap holds more because of what make returns.
func heapOf(make func() any) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	made := make()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(made)
	return after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
}

// BenchmarkAppend is a tick's cost for a fleet of a thousand, packing included, and the bytes an hour would take.
func BenchmarkAppend(b *testing.B) {
	line, w := New(), newBusy(1000, 64)
	var ready []*Snapshot
	for range 240 {
		ready = append(ready, w.next())
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s := *ready[i%len(ready)]
		line.Append(&s)
		i++
	}
}

// BenchmarkStep is what a key costs that steps through the packed past of a thousand nodes.
func BenchmarkStep(b *testing.B) {
	line := filledBusy(400)
	c := NewCursor(line).Step(-150)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_ = c.Step(-(i % 150)).Past(200)
		i++
	}
}
