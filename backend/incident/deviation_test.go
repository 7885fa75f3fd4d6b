package incident

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

// stream is a synthetic pipeline, a snapshot a second: how many events arrive, and how long they take, is told for each
// second; the quantiles are those of the last minute, as the pipeline's are.
type stream struct {
	random  *rand.Rand
	tracker *Tracker
	second  int
	jump    time.Duration // of the clock, so far
	arrived int64
	offset  [4]int64
	odd     *rand.Rand
	dead    int64
	fails   func(s *stream, n int) int // how many of the next second's n events become dead letters; nil: a few odd ones

	endToEnd, processing minute
	tweak                func(*timeline.Snapshot)

	said  []string // the incidents of rules that compare with the past, as they begin and end
	going map[string]bool
}

// minute are the latencies of the last sixty seconds, in buckets of a twentieth of a decade.
type minute struct {
	seconds [60][160]int
	total   [160]int
	n       int
}

// next adds a second in which n events took about so many milliseconds, with a long tail.
func (m *minute) next(random *rand.Rand, second, n int, ms float64) pipeline.Quantiles {
	s := &m.seconds[second%60]
	for b, n := range s {
		m.total[b] -= n
		m.n -= n
	}
	*s = [160]int{}
	const samples = 16
	each, middle := max(n/samples, 1), 20*math.Log10(max(ms, 0.01)*100)
	for range min(n, samples) {
		b := min(max(int(middle+4.3*random.NormFloat64()), 0), 159)
		s[b] += each
		m.total[b] += each
		m.n += each
	}
	q := pipeline.Quantiles{Count: uint64(m.n)}
	targets := [3]float64{0.5 * float64(m.n), 0.9 * float64(m.n), 0.99 * float64(m.n)}
	values := [3]*float64{&q.P50, &q.P90, &q.P99}
	for b, seen, next := 0, 0, 0; b < 160 && m.n > 0; b++ {
		for seen += m.total[b]; next < 3 && float64(seen) >= targets[next]; next++ {
			*values[next] = middles[b]
		}
	}
	return q
}

// middles are the milliseconds that the buckets stand for.
var middles = func() (out [160]float64) {
	for b := range out {
		out[b] = math.Pow(10, (float64(b)+0.5)/20) / 100
	}
	return out
}()

func newStream(seed uint64) *stream {
	return &stream{random: rand.New(rand.NewPCG(seed, 1)), odd: rand.New(rand.NewPCG(seed, 2)), tracker: New(), going: map[string]bool{}}
}

func (s *stream) poisson(mean float64) int { return poisson(s.random, mean) }

func poisson(random *rand.Rand, mean float64) int {
	if mean > 500 {
		return int(max(mean+math.Sqrt(mean)*random.NormFloat64(), 0))
	}
	n := 0
	for left := mean - random.ExpFloat64(); left > 0; left -= random.ExpFloat64() {
		n++
	}
	return n
}

// share has such a part of the events fail, each by itself.
func share(p float64) func(*stream, int) int {
	return func(s *stream, n int) int { return min(poisson(s.odd, p*float64(n)), n) }
}

// next lets n events arrive that came late by so many milliseconds and take so many in weir.
func (s *stream) next(n int, late, takes float64) []timeline.Incident {
	s.arrived += int64(n)
	if s.fails == nil {
		s.fails = share(0.0005)
	}
	s.dead += int64(s.fails(s, n))
	at := start.Add(time.Duration(s.second)*time.Second + s.jump)
	p := &pipeline.Snapshot{At: at, State: pipeline.Running, Events: text("user_events"), Predictions: text("predictions"), PSI: math.NaN(), PSIThreshold: math.NaN(),
		Predicted: uint64(s.arrived - s.dead), DeadLettered: uint64(s.dead),
		EventsPerSecond: float64(n), Lag: int64(float64(n) * takes / 1000),
		Processing: s.processing.next(s.random, s.second, n, takes),
		EndToEnd:   s.endToEnd.next(s.random, s.second, n, late+takes)}
	for i := range int64(4) {
		high := s.arrived / 4
		if i < s.arrived%4 {
			high++
		}
		s.offset[i] = max(s.offset[i], high-p.Lag/4)
		p.Partitions = append(p.Partitions, pipeline.Partition{Partition: int32(i), HighWatermark: high, Offset: s.offset[i], Lag: p.Lag / 4, Verdict: pipeline.VerdictOK})
	}
	x := &timeline.Snapshot{At: at, Tick: time.Second, Pipeline: p, Engines: []timeline.Engine{{Name: "pipeline", State: timeline.EngineRunning}}}
	if s.tweak != nil {
		s.tweak(x)
	}
	list := s.tracker.Step(x)
	s.note(list)
	s.second++
	return list
}

func (s *stream) note(list []timeline.Incident) {
	open := map[string]bool{}
	for _, x := range list {
		if (x.Rule == LatencyHigh || x.Rule == TrafficLow || x.Rule == LagHigh || x.Rule == DeadLetters) && x.Ended.IsZero() {
			if open[x.Rule] = true; !s.going[x.Rule] {
				s.said = append(s.said, fmt.Sprintf("%s at %d: %s", x.Rule, s.second, x.Message.String()))
			}
		}
	}
	for rule := range s.going {
		if !open[rule] {
			s.said = append(s.said, fmt.Sprintf("%s over at %d", rule, s.second))
		}
	}
	s.going = open
}

// calm goes on for so many seconds at a pace.
func (s *stream) calm(seconds int, perSecond float64) {
	for range seconds {
		s.next(s.poisson(perSecond), 3, 5)
	}
}

// find is the incident of a rule that goes on.
func find(list []timeline.Incident, rule string) *timeline.Incident {
	for i := range list {
		if list[i].Rule == rule && list[i].Ended.IsZero() {
			return &list[i]
		}
	}
	return nil
}

// phase is a while in which so many events a second arrive, come late by some milliseconds and take some in weir.
type phase struct {
	seconds     int
	perSecond   float64
	late, takes float64
	tweak       func(*timeline.Snapshot)
}

// TestDeviations has the first trouble said soon after it begins and not for long after it ended, and nothing else.
func TestDeviations(t *testing.T) {
	state := func(state pipeline.State) func(*timeline.Snapshot) {
		return func(x *timeline.Snapshot) { x.Pipeline.State = state }
	}
	features := func(x *timeline.Snapshot) { x.Pipeline.Features.State = "slow" }
	draining := func(x *timeline.Snapshot) { x.Pipeline.Lag, x.Pipeline.DrainsIn = 1_000_000, time.Minute }
	calm := phase{seconds: 300, perSecond: 2000, late: 3, takes: 5}
	after := func(seconds int) phase { p := calm; p.seconds = seconds; return p }
	for _, c := range []struct {
		name   string
		phases []phase
		// rule is said within so many seconds of the beginning of the second phase, and over within so many of its end;
		// an empty one is said never.
		rule         string
		within, over int
		want         string // in what is said at the end of the second phase
	}{
		{"the broker is slow", []phase{calm, {60, 2000, 3, 3000, nil}, calm}, LatencyHigh, 13, 40, "p50 3.0 s, usually 7.5 ms; processing takes p90; check the broker first"},
		{"the broker is slow for a little", []phase{calm, {20, 2000, 3, 3000, nil}, calm}, LatencyHigh, 13, 40, "p90"},
		{"a third of the records is slow", []phase{calm, {60, 2000, 3, 3000, func(x *timeline.Snapshot) {
			q := &x.Pipeline.EndToEnd
			x.Pipeline.Processing.P50, q.P50 = 5, 8
		}}, calm}, LatencyHigh, 13, 40, "p90 5.3 s, usually 15 ms"},
		{"events come late", []phase{calm, {120, 2000, 40_000, 5, nil}, calm}, LatencyHigh, 13, 75, "usually 7.5 ms; come late; ask whoever writes user_events"},
		{"records wait in the topic", []phase{calm, {120, 2000, 20_000, 5, func(x *timeline.Snapshot) { x.Pipeline.Lag = 40_000 }}, calm}, LatencyHigh, 13, 75, "wait in the topic; another worker"},
		{"a tenth of the events", []phase{calm, {60, 200, 3, 5, nil}, calm}, TrafficLow, 14, 20, "/s, usually 2,000/s; whoever acts on predictions; ask whoever writes user_events"},
		{"no events", []phase{calm, {60, 0, 3, 5, nil}, calm}, TrafficLow, 14, 20, "no events for 60 s, usually 2,000/s"},
		{"no events where few come", []phase{{900, 1, 3, 5, nil}, {120, 0, 3, 5, nil}, {300, 1, 3, 5, nil}}, TrafficLow, 75, 60, "no events for 2m"},
		{"a fifth where few come", []phase{{900, 5, 3, 5, nil}, {300, 0.5, 3, 5, nil}, {300, 5, 3, 5, nil}}, TrafficLow, 75, 60, "usually 5.0/s"},
		{"twenty-five minutes of a tenth", []phase{calm, {1500, 200, 3, 5, nil}, calm}, TrafficLow, 14, 20, "usually 2,000/s"},
		{"twenty-five minutes of a slow broker", []phase{calm, {1500, 2000, 3, 3000, nil}, calm}, LatencyHigh, 13, 40, "usually 7.5 ms"},
		{"again after a while", []phase{calm, {40, 200, 3, 5, nil}, after(60), {40, 200, 3, 5, nil}, after(60)}, "2 times", 0, 0, ""},

		{"half of the events", []phase{calm, {600, 1000, 3, 5, nil}}, "", 0, 0, ""},
		{"three times as slow", []phase{calm, {600, 2000, 3, 15, nil}}, "", 0, 0, ""},
		{"thirty times as slow, and still soon", []phase{calm, {600, 2000, 3, 150, nil}}, "", 0, 0, ""},
		{"ten times as many events", []phase{calm, {600, 20_000, 3, 5, nil}, calm}, "", 0, 0, ""},
		{"too little for the statistics", []phase{{1200, 0.1, 3, 5, nil}, {120, 0, 3, 5, nil}}, "", 0, 0, ""},
		{"before anything is known", []phase{after(60), {30, 100, 3, 3000, nil}}, "", 0, 0, ""},
		{"waiting", []phase{calm, {300, 0, 3, 5, state(pipeline.Waiting)}, calm}, "", 0, 0, ""},
		{"paused, then behind", []phase{calm, {120, 0, 3, 5, state(pipeline.Paused)}, {30, 8000, 60_000, 2000, draining}, calm}, "", 0, 0, ""},
		{"the feature store is slow", []phase{calm, {120, 2000, 3, 3000, features}, calm}, "", 0, 0, ""},
		{"catching up", []phase{calm, {120, 2000, 600_000, 5, draining}, calm}, "", 0, 0, ""},
		{"read again after a seek", []phase{calm, {1, 2000, 3, 5, func(x *timeline.Snapshot) { x.Pipeline.Partitions[2].Offset -= 100_000 }}, {40, 9000, 300_000, 5, draining}, calm}, "", 0, 0, ""},
		{"other partitions", []phase{calm, {300, 2000, 3, 5, func(x *timeline.Snapshot) {
			x.Pipeline.Partitions = x.Pipeline.Partitions[:1]
			x.Pipeline.Partitions[0].HighWatermark /= 4
		}}}, "", 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStream(7)
			said, over, last := -1, -1, ""
			for i, p := range c.phases {
				from := s.second
				s.tweak = p.tweak
				for range p.seconds {
					list := s.next(s.poisson(p.perSecond), p.late, p.takes)
					x := find(list, c.rule)
					if x != nil && said < 0 {
						said = s.second - from
						if i != 1 || x.Since.After(start.Add(time.Duration(s.second)*time.Second)) || x.Since.Before(start.Add(time.Duration(from-5)*time.Second)) {
							t.Errorf("in phase %d, since %s: %+v", i, x.Since, x)
						}
					}
					if x != nil && i == 1 {
						last = x.Message.String() + "; " + texts(x.Touches) + "; " + x.Next.String()
					}
					if x == nil && said >= 0 && over < 0 {
						over = s.second - from
					}
				}
			}
			t.Logf("said after %d s, over after %d s: %q; %s", said, over, s.said, last)
			switch c.rule {
			case "":
				if len(s.said) > 0 {
					t.Errorf("said %q", s.said)
				}
				return
			case "2 times":
				if len(s.said) != 4 {
					t.Errorf("said %q", s.said)
				}
				return
			}
			if said < 0 || said > c.within || over > c.over || over < 0 || len(s.said) != 2 {
				t.Errorf("said after %d s, over after %d s, all of it: %q", said, over, s.said)
			}
			for _, want := range strings.Split(c.want, "; ") {
				if !strings.Contains(last, want) {
					t.Errorf("%q lacks %q", last, want)
				}
			}
		})
	}
}

func texts(list []safetext.Text) string { return names(list) }

// TestTheLagGrows has more come than goes, though single batches lower the lag, and then what has piled up be done.
func TestTheLagGrows(t *testing.T) {
	s := newStream(9)
	s.calm(300, 2000)
	lag := int64(0)
	s.tweak = func(x *timeline.Snapshot) {
		x.Pipeline.Lag, x.Pipeline.DrainsIn = lag+int64(s.random.IntN(1500)), pipeline.Never
	}
	for range 60 {
		lag += 1600
		s.next(s.poisson(2000), 3, 5)
		if waits := lag / 2000; waits < 10 && len(s.said) > 0 || waits > 22 && len(s.said) == 0 {
			t.Fatalf("%d s behind: %q", waits, s.said)
		}
	}
	if len(s.said) != 1 || !strings.HasPrefix(s.said[0], LagHigh) {
		t.Fatalf("%q", s.said)
	}
	t.Log(s.said)
	for lag > 8000 {
		lag -= 8000
		s.next(s.poisson(2000), 3, 5)
	}
	s.tweak = nil
	if s.calm(120, 2000); len(s.said) != 2 {
		t.Errorf("%q", s.said)
	}
}

// TestCaughtUp has what piled up be done at once: the minute's latency then tells of what is over.
func TestCaughtUp(t *testing.T) {
	s := newStream(9)
	s.calm(300, 2000)
	for i := range 25 {
		s.tweak = func(x *timeline.Snapshot) { x.Pipeline.Lag, x.Pipeline.DrainsIn = int64(1600*i), pipeline.Never }
		s.next(s.poisson(2000), 3, 5)
	}
	s.tweak = nil
	for range 7 {
		s.next(s.poisson(6000), 15_000, 5)
	}
	s.calm(120, 2000)
	for _, x := range s.said {
		if strings.HasPrefix(x, LatencyHigh) {
			t.Errorf("%q", s.said)
		}
	}
}

// TestTheNewNormal has a deviation be said for as long as promised, and be what is usual afterwards.
func TestTheNewNormal(t *testing.T) {
	for _, c := range []struct {
		rule      string
		perSecond float64
		takes     float64
	}{{TrafficLow, 200, 5}, {LatencyHigh, 2000, 3000}} {
		s := newStream(3)
		s.calm(900, 2000)
		for second := range 7200 {
			x := find(s.next(s.poisson(c.perSecond), 3, c.takes), c.rule)
			if going := second > 20 && second < 1790; going && x == nil || second > 1830 && x != nil {
				t.Fatalf("%s after %d s: %+v", c.rule, second, x)
			}
		}
		if s.calm(120, 2000); len(s.said) != 2 {
			t.Errorf("%s: %q", c.rule, s.said)
		}
		from := s.second
		for range 60 {
			s.next(s.poisson(c.perSecond/20), 3, c.takes*20)
		}
		if len(s.said) < 3 || s.second-from > 60 {
			t.Errorf("%s: far from the new normal, and nothing is said: %q", c.rule, s.said)
		}
	}
}

// TestDoesNotFlap has figures be about where an incident begins.
func TestDoesNotFlap(t *testing.T) {
	s := newStream(5)
	s.calm(600, 2000)
	for range 600 {
		s.next(s.poisson(2000*lowRatio*math.Exp(0.3*s.random.NormFloat64())), 3, slowFloor*math.Exp(0.3*s.random.NormFloat64()))
	}
	if len(s.said) > 4 {
		t.Errorf("%q", s.said)
	}
}

// TestGaps has the snapshots stop for a while, go back in time, and come more rarely than once a second.
func TestGaps(t *testing.T) {
	slow := func(s *stream) {
		for range 8 {
			s.next(s.poisson(100), 3, 3000)
		}
	}
	for _, jump := range []time.Duration{30 * time.Second, 8 * time.Hour, -time.Hour} {
		s := newStream(1)
		s.calm(600, 2000)
		s.jump = jump
		if slow(s); len(s.said) > 0 {
			t.Errorf("a jump of %s: %q", jump, s.said)
		}
	}
	s := newStream(1) // a snapshot in twenty seconds, from a recording or with a long refresh
	s.tweak = func(x *timeline.Snapshot) { x.Tick = 20 * time.Second }
	next := func(perSecond, takes float64) {
		s.next(s.poisson(20*perSecond), 3, takes)
		s.jump += 19 * time.Second
	}
	for range 60 {
		next(2000, 5)
	}
	if len(s.said) > 0 {
		t.Fatalf("%q", s.said)
	}
	for range 8 {
		next(200, 5)
	}
	if len(s.said) != 1 || !strings.HasPrefix(s.said[0], TrafficLow) {
		t.Errorf("%q", s.said)
	}
}

// failing is a world of so many events a second of which some fail.
func failing(perSecond float64, fails func(*stream, int) int) func(*stream, int) (int, float64, float64) {
	return func(s *stream, _ int) (int, float64, float64) {
		s.fails = fails
		return s.poisson(perSecond), 3, 5
	}
}

// TestNoFalseAlarm lets worlds in which nothing is wrong run for a day each.
func TestNoFalseAlarm(t *testing.T) {
	const day = 24 * 3600
	seconds := day / 4
	switch {
	case underRace:
		seconds = day / 12
	case os.Getenv("WEIR_SLOW") != "":
		seconds = day
	}
	for _, c := range []struct {
		name  string
		most  int // false alarms a day
		world func(s *stream, second int) (n int, late, takes float64)
		tweak func(*stream) func(*timeline.Snapshot)
	}{
		{"calm", 0, func(s *stream, _ int) (int, float64, float64) { return s.poisson(2000), 3, 5 }, nil},
		{"one second in twenty without events or with five times as many", 0, func(s *stream, _ int) (int, float64, float64) {
			mean := 2000 * math.Exp(0.1*s.random.NormFloat64())
			if s.random.Float64() < 0.05 {
				mean *= []float64{0, 5}[s.random.IntN(2)]
			}
			return s.poisson(mean), 3, 5
		}, nil},
		{"one second in twenty is slow", 0, func(s *stream, _ int) (int, float64, float64) {
			if s.random.Float64() < 0.05 {
				return s.poisson(2000), 3, 3000
			}
			return s.poisson(2000), 3, 5
		}, nil},
		{"one snapshot in twenty tells nonsense", 1, func(s *stream, _ int) (int, float64, float64) { return s.poisson(2000), 3, 5 }, func(s *stream) func(*timeline.Snapshot) {
			return func(x *timeline.Snapshot) {
				if s.random.Float64() < 0.05 {
					x.Pipeline.EndToEnd.P90, x.Pipeline.Processing.P50, x.Pipeline.Processing.P90 = 8000, 5000, 9000
				}
			}
		}},
		{"day and night, one to fifty", 0, func(s *stream, second int) (int, float64, float64) {
			return s.poisson(1000 * math.Pow(50, 0.5*math.Sin(2*math.Pi*float64(second)/day))), 3, 5
		}, nil},
		{"latency swells with the load", 0, func(s *stream, second int) (int, float64, float64) {
			return s.poisson(1000), 50, 500 * math.Pow(20, math.Sin(2*math.Pi*float64(second)/day))
		}, nil},
		{"three a second", 0, func(s *stream, _ int) (int, float64, float64) { return s.poisson(3), 3, 5 }, nil},
		{"one in five seconds", 0, func(s *stream, _ int) (int, float64, float64) { return s.poisson(0.2), 3, 5 }, nil},
		{"one in a hundred of two thousand fails", 0, failing(2000, share(0.01)), nil},
		{"one in a hundred of fifty fails", 0, failing(50, share(0.01)), nil},
		{"one in a hundred of three fails", 0, failing(3, share(0.01)), nil},
		{"a batch of odd records a minute", 0, failing(2000, func(s *stream, n int) int {
			if s.second%60 < 3 {
				return n / 4
			}
			return share(0.0005)(s, n)
		}), nil},
		{"odd records come fifty at a time", 0, failing(2000, func(s *stream, n int) int { return min(50*poisson(s.odd, 0.2), n) }), nil},
		{"a second in ten has two in a hundred fail", 0, failing(2000, func(s *stream, n int) int {
			if s.odd.Float64() < 0.1 {
				return share(0.02)(s, n)
			}
			return share(0.005)(s, n)
		}), nil},
		{"bursts of fifty, one in fifteen seconds", 0, func(s *stream, _ int) (int, float64, float64) {
			return 50 * s.poisson(1.0/15), 3, 5
		}, nil},
		{"bursts of five hundred, one in five seconds", 0, func(s *stream, _ int) (int, float64, float64) {
			return 500 * s.poisson(0.2), 3, 5
		}, nil},
		{"a batch a minute", 0, func(s *stream, second int) (int, float64, float64) {
			if second%60 < 3 {
				return s.poisson(40_000), 30_000, 500
			}
			return 0, 0, 0
		}, nil},
		{"batches wait for a minute", 0, func(s *stream, second int) (int, float64, float64) {
			return s.poisson(2000), 3, 1000 * float64(60-second%60)
		}, nil},
		{"rests for a minute in five", recurring, func(s *stream, second int) (int, float64, float64) {
			if second%300 >= 240 {
				return 0, 3, 5
			}
			return s.poisson(2000), 3, 5
		}, nil},
		{"a spike of twenty minutes in three hours", 0, func(s *stream, second int) (int, float64, float64) {
			if second%10_800 < 1200 && second > 10_800 {
				return s.poisson(8000), 3, 5
			}
			return s.poisson(2000), 3, 5
		}, nil},
		{"a hiccup of four seconds in five minutes", 0, func(s *stream, second int) (int, float64, float64) {
			if second%300 < 4 {
				return s.poisson(2000), 3, 4000
			}
			return s.poisson(2000), 3, 5
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStream(11)
			if c.tweak != nil {
				s.tweak = c.tweak(s)
			}
			for second := range seconds {
				s.next(c.world(s, second))
			}
			alarms := 0
			for _, x := range s.said {
				if !strings.Contains(x, "over at") {
					alarms++
				}
			}
			t.Logf("%d false alarms in %d h", alarms, seconds/3600)
			if alarms > c.most {
				t.Errorf("more than %d: %q", c.most, s.said[:min(len(s.said), 12)])
			}
		})
	}
}
