package pipeline

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"weir/backend/features"
)

func TestLatencyBucketsHoldTheirMiddle(t *testing.T) {
	last := -1
	for us := int64(0); us < 3e6; us = us + 1 + us/97 {
		b := latencyBucket(time.Duration(us) * time.Microsecond)
		if b < last {
			t.Fatalf("bucket of %d µs is %d, below %d", us, b, last)
		}
		last = b
		middle := bucketMiddle(b).Microseconds()
		if math.Abs(float64(middle-us)) > math.Max(1, float64(us)/subBuckets) {
			t.Fatalf("%d µs falls in a bucket around %d µs", us, middle)
		}
	}
	if b := latencyBucket(math.MaxInt64); b != latencyBuckets-1 {
		t.Fatalf("the longest latency has bucket %d of %d", b, latencyBuckets)
	}
}

func TestQuantilesAgainstSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(1_700_000_000, 0)
	var l latencies
	var all []float64
	for range 20_000 {
		d := time.Duration(math.Exp(rng.NormFloat64()*1.5) * float64(3*time.Millisecond))
		all = append(all, millis(d))
		l.add(now, d, 1)
		now = now.Add(time.Millisecond)
	}
	slices.Sort(all)
	q := l.quantiles(now)
	for _, c := range []struct{ share, got float64 }{{0.5, q.P50}, {0.9, q.P90}, {0.99, q.P99}} {
		want := all[int(c.share*float64(len(all)))]
		if math.Abs(c.got-want)/want > 0.03 {
			t.Errorf("p%g is %g, want %g", c.share*100, c.got, want)
		}
	}
	if q.Count != 20_000 || math.Abs(q.Max-all[len(all)-1]) > 1e-9 {
		t.Errorf("count %d, max %g; want 20000, %g", q.Count, q.Max, all[len(all)-1])
	}
}

func TestWindowsForget(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var l latencies
	var s scores
	var r rate
	fill := func() {
		l.add(now, time.Second, 5)
		s.at(now)[bin(1)] += 5
		r.add(now, 5)
	}
	fill()
	for _, step := range []struct {
		after          time.Duration
		latency, score uint64
		perSecond      float64
		refill         bool
	}{
		{0, 5, 5, 0, false}, {100 * time.Millisecond, 5, 5, 5, false}, {time.Second, 5, 5, 0, true},
		{30 * time.Second, 10, 10, 0, false}, {28 * time.Second, 10, 10, 0, false}, {5 * time.Second, 0, 0, 0, false},
		{time.Hour, 0, 0, 0, true}, {-time.Minute, 5, 5, 5, false},
	} {
		now = now.Add(step.after)
		if q, h, p := l.quantiles(now), s.histogram(now), r.perSecond(now); step.after >= 0 &&
			(q.Count != step.latency || h[Bins-1] != step.score || p != step.perSecond) {
			t.Fatalf("after %v: %d latencies, %d scores, %g/s; want %+v", step.after, q.Count, h[Bins-1], p, step)
		}
		if step.refill {
			fill()
		}
	}
}

func TestPSI(t *testing.T) {
	uniform := make([]float64, Bins)
	for i := range uniform {
		uniform[i] = 1.0 / Bins
	}
	rng := rand.New(rand.NewPCG(3, 4))
	draw := func(n int, value func() float64) []uint64 {
		counts := make([]uint64, Bins)
		for range n {
			counts[bin(value())]++
		}
		return counts
	}
	for _, n := range []int{100, 1000, 30_000} {
		alarms := 0
		for range 2000 {
			if index, threshold := psi(draw(n, rng.Float64), uniform, 0); index > threshold {
				alarms++
			}
		}
		if alarms > 20 { // 2 are expected of a threshold of one in a thousand; small samples have heavier tails
			t.Errorf("n = %d: %d false alarms in 2000", n, alarms)
		}
		index, threshold := psi(draw(n, func() float64 { return math.Sqrt(rng.Float64()) }), uniform, 0)
		if index <= threshold {
			t.Errorf("n = %d: a real drift has PSI %g, below %g", n, index, threshold)
		}
	}
	peaked := make([]float64, Bins) // nearly all of the training data in one bin
	peaked[0] = 1
	if index, _ := psi(draw(1000, func() float64 { return 0.01 }), peaked, 0); !math.IsNaN(index) {
		t.Errorf("one bin gives %g, want NaN", index)
	}
	peaked[0], peaked[19] = 0.9, 0.1
	if index, threshold := psi(draw(1000, func() float64 { return 0.5 }), peaked, 0); !(index > threshold) {
		t.Errorf("everything in empty bins gives %g (threshold %g)", index, threshold)
	}
	for name, baseline := range map[string][]float64{"none": nil, "short": {1}, "negative": append([]float64{-1}, uniform[1:]...), "zero": make([]float64, Bins)} {
		if index, threshold := psi(draw(1000, rng.Float64), baseline, 0); !math.IsNaN(index) || !math.IsNaN(threshold) {
			t.Errorf("baseline %s gives %g", name, index)
		}
	}
	if got := features.DriftByChance(20, 1, math.Inf(1)); math.Abs(got-43.82) > 0.2 { // from the table of χ²
		t.Errorf("χ² of 19 degrees at 0.999 is %g, want 43.82", got)
	}
}

func TestVerdict(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	window := func(offsets, lags []int64) []commitSample {
		out := make([]commitSample, len(offsets))
		for i := range offsets {
			out[i] = commitSample{start.Add(time.Duration(i) * time.Second), offsets[i], lags[i]}
		}
		return out
	}
	climb := []int64{10, 20, 30, 40, 50, 60, 70, 80, 90, 100}
	still := []int64{10, 10, 10, 10, 10, 10, 10, 10, 10, 10}
	grow := []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, test := range []struct {
		name    string
		commits []commitSample
		high    int64
		after   time.Duration // since the last commit
		want    Verdict
	}{
		{"nothing yet", nil, 100, 0, VerdictOK},
		{"caught up", window(climb, grow), 100, 0, VerdictOK},
		{"lag once 0", window(climb, []int64{1, 2, 3, 0, 5, 6, 7, 8, 9, 10}), 110, 0, VerdictOK},
		{"lag grows", window(climb, grow), 110, 0, VerdictWarn},
		{"lag fell once", window(climb, []int64{1, 2, 3, 2, 5, 6, 7, 8, 9, 10}), 110, 0, VerdictOK},
		{"does not move", window(still, grow), 110, 0, VerdictStall},
		{"no commit", window(climb, grow), 200, 10 * time.Second, VerdictStop},
		{"no commit, no traffic", window(climb, grow), 110, 10 * time.Second, VerdictWarn},
		{"went back", window([]int64{50, 60, 70, 10, 20, 30, 40, 50, 55, 60}, grow), 110, 0, VerdictRewind},
		{"went back and returned", window([]int64{50, 60, 70, 10, 20, 30, 40, 50, 60, 80}, still), 110, 0, VerdictWarn},
		{"too early", window(still[:3], grow[:3]), 110, 0, VerdictOK},
		{"no commit, soon after the beginning", window(climb[:2], grow[:2]), 200, 10 * time.Second, VerdictOK},
		{"no commit since the beginning", window(climb[:2], grow[:2]), 200, 11 * time.Second, VerdictStop},
		{"nothing to commit since the beginning", window(climb[:2], []int64{0, 0}), 20, time.Hour, VerdictOK},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := start.Add(time.Duration(len(test.commits)-1)*time.Second + test.after)
			if got := verdict(test.commits, test.high, now); got != test.want {
				t.Fatalf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestLosesTooMany has a few odd records, many odd records among a great many, and a producer that breaks.
func TestLosesTooMany(t *testing.T) {
	for _, c := range []struct {
		handled, dead uint64
		too           bool
	}{{0, 0, false}, {3, 3, false}, {900, 9, false}, {2000, 20, false}, {2000, 21, true}, {10, 10, true}, {120_000, 48, false}} {
		s := Snapshot{MinuteHandled: c.handled, MinuteDead: c.dead}
		if _, too := s.LosesTooMany(); too != c.too {
			t.Errorf("%d dead of %d: %t", c.dead, c.handled, too)
		}
	}
}

// TestTally counts what is younger than a minute.
func TestTally(t *testing.T) {
	var c tally
	at := time.Unix(1_000_000, 0)
	c.add(at, 3)
	c.add(at.Add(30*time.Second), 4)
	for after, want := range map[time.Duration]uint64{31 * time.Second: 7, 61 * time.Second: 4, 2 * time.Minute: 0} {
		copied := c
		if n := copied.sum(at.Add(after)); n != want {
			t.Errorf("%d after %v, want %d", n, after, want)
		}
	}
}
