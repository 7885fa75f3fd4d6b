package edge

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// TestSnapshotsShareWhatDidNotChange polls some of a fleet between snapshots: the others' values are the same ones, and a
// snapshot never changes afterwards.
func TestSnapshotsShareWhatDidNotChange(t *testing.T) {
	e := quietEngine(t, 1000)
	rng := rand.New(rand.NewPCG(1, 2))
	kept := map[*Snapshot][]Node{}
	var last *Snapshot
	for round := range 20 {
		changed := map[int]bool{}
		for range 50 {
			i := rng.IntN(1000)
			changed[i] = true
			pollQuietly(e, i, int64(round))
		}
		switch round {
		case 5:
			changed[7] = true
			if err := e.QuarantineAs("ada", e.nodes[7].url, "r"); err != nil {
				t.Fatal(err)
			}
		case 9:
			changed[7] = true
			if err := e.Release(e.nodes[7].url, "r"); err != nil {
				t.Fatal(err)
			}
		}
		e.urgent = true
		s := e.Snapshot()
		for i, n := range s.NodeData {
			if !reflect.DeepEqual(*n, e.nodes[i].pub) {
				t.Fatalf("round %d: node %d is shown as %+v, but is %+v", round, i, *n, e.nodes[i].pub)
			}
			if last != nil && changed[i] == (n == last.NodeData[i]) {
				t.Fatalf("round %d: node %d: changed %v, shared %v", round, i, changed[i], n == last.NodeData[i])
			}
		}
		for i := range s.NodeData {
			kept[s] = append(kept[s], *s.NodeData[i])
		}
		last = s
	}
	for s, were := range kept {
		for i, n := range s.NodeData {
			if !reflect.DeepEqual(*n, were[i]) {
				t.Fatalf("node %d of an old snapshot changed", i)
			}
		}
	}
}

// quietEngine has n nodes in three sites and does not run: a test answers for them.
func quietEngine(tb testing.TB, n int) *Engine {
	tb.Helper()
	var c Config
	for i := range n {
		c.Targets = append(c.Targets, Target{URL: fmt.Sprintf("http://node-%05d", i), Labels: map[string]string{"site": fmt.Sprint("s", i%3), "region": fmt.Sprint("r", i%7)}})
	}
	c, err := c.withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	e := newEngine(c, scripted(nil), nil)
	for i := range n {
		pollQuietly(e, i, 0)
	}
	return e
}

// pollQuietly lets node i answer.
func pollQuietly(e *Engine, i int, count int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	a := valid(1000+count+int64(i), now)
	n := e.nodes[i]
	if n.quarantined {
		return
	}
	n.observe(a, judge(a, n.sum, now, e.limits), now, e.limits)
	e.version++
}

// BenchmarkSnapshot is a second's snapshot of 10,000 nodes that are polled every 15 s, so that 667 of them have changed;
// whole is what it was when every node was copied into each.
func BenchmarkSnapshot(b *testing.B) {
	for _, way := range []string{"shared", "whole"} {
		b.Run(way, func(b *testing.B) {
			nodes := benchNodes()
			e := quietEngine(b, nodes)
			e.Snapshot()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				b.StopTimer()
				for range nodes / 15 {
					i = (i + 7919) % nodes
					pollQuietly(e, i, int64(b.N))
				}
				e.urgent = true
				b.StartTimer()
				s := e.Snapshot()
				if way == "whole" {
					all := make([]Node, len(s.NodeData))
					for k, n := range s.NodeData {
						all[k] = *n
					}
					sink = all
				}
			}
		})
	}
}

var sink any
