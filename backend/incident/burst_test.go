package incident

import (
	"math"
	"testing"
	"time"

	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// TestPoison has a part of the events fail from some moment on: it is said long before a minute's share tells, and is over
// soon after it ended.
func TestPoison(t *testing.T) {
	for _, c := range []struct {
		name      string
		perSecond float64
		share     float64
		within    int // seconds; 0: never, the minute tells of it
	}{
		{"the demo's", 2000, 0.03, 8},
		{"the demo's, few events", 200, 0.03, 20},
		{"two in a hundred", 5000, 0.02, 8},
		{"all of ten", 10, 1, 8},
		{"most of three", 3, 0.9, 12},
		{"half a percent", 2000, 0.005, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStream(4)
			s.calm(5, c.perSecond) // it needs no past
			s.fails = share(c.share)
			said, from := 0, s.second
			for range 60 {
				if x := find(s.next(s.poisson(c.perSecond), 3, 5), DeadLetters); x != nil && said == 0 {
					said = s.second - from
					if x.Since.Before(start.Add(time.Duration(from-1)*time.Second)) || x.Since.After(start.Add(time.Duration(s.second)*time.Second)) {
						t.Errorf("since %s", x.Since)
					}
				}
			}
			s.fails = share(0)
			s.calm(15, c.perSecond)
			t.Logf("said after %d s: %q", said, s.said)
			if said > c.within || (said == 0) != (c.within == 0) {
				t.Errorf("said after %d s, want %d", said, c.within)
			}
			if len(s.said) > 0 && len(s.going) > 0 {
				t.Error("it goes on")
			}
		})
	}
}

// TestABurstIsToldOnce has the minute tell of it, too, and the process start anew.
func TestABurstIsToldOnce(t *testing.T) {
	s := newStream(4)
	s.fails = share(0.5)
	s.tweak = func(x *timeline.Snapshot) { x.Pipeline.MinuteHandled, x.Pipeline.MinuteDead = 1000, 500 }
	for range 10 {
		if list := s.next(1000, 3, 5); len(list) != 1 || list[0].Rule != DeadLetters {
			t.Fatalf("%+v", list)
		}
	}
	s = newStream(4)
	s.fails = share(0.5)
	s.tweak = func(x *timeline.Snapshot) {
		if s.second%4 == 0 { // what was counted begins anew
			s.arrived, s.dead = 0, 0
			x.Pipeline.Predicted, x.Pipeline.DeadLettered = 0, 0
		}
	}
	for range 40 {
		s.next(1000, 3, 5)
	}
	if len(s.said) > 0 {
		t.Errorf("over starts of the process: %q", s.said)
	}
}

// TestDriftNeedsMoreThanAMoment has an index go about its threshold, stay above it, and be far above it.
func TestDriftNeedsMoreThanAMoment(t *testing.T) {
	const threshold = 0.001
	for _, c := range []struct {
		name  string
		index func(second int) float64
		said  int // the second it is said in, -1: never
		over  int // the second it is over in, -1: not within the two minutes
	}{
		{"a moment", func(s int) float64 { return threshold * []float64{0.9, 1.1}[min(s%20/19, 1)] }, -1, -1},
		{"about it", func(s int) float64 { return threshold * []float64{0.97, 1.03}[s%2] }, -1, -1},
		{"above it, then about it, then below", func(s int) float64 {
			switch {
			case s < 10 || s >= 60:
				return threshold / 2
			case s < 30:
				return threshold * 1.2
			}
			return threshold * []float64{0.9, 1.1}[s%2]
		}, 25, 69},
		{"far above it", func(s int) float64 { return threshold * []float64{0.5, 30}[min(s/10, 1)] }, 10, -1},
		{"not known at times", func(s int) float64 { return []float64{threshold * 1.5, math.NaN()}[s%14/13] }, -1, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			tracker, said, over := New(), -1, -1
			for second := range 120 {
				s := world(second)
				s.Pipeline.State = pipeline.Paused // nothing else is judged but that it is
				s.Pipeline.PSI, s.Pipeline.PSIThreshold = c.index(second), threshold
				s.Pipeline.Features.Drift = []pipeline.FeatureDrift{{Name: text("age"), PSI: c.index(second), Threshold: threshold}}
				list := tracker.Step(s)
				x, y := find(list, PredictionsDrifted), find(list, FeatureDrifted)
				if (x == nil) != (y == nil) {
					t.Fatalf("after %d s predictions and features differ: %+v", second, list)
				}
				if x != nil && said < 0 {
					said = second
				}
				if x == nil && said >= 0 && over < 0 {
					over = second
				}
				if x != nil && over >= 0 {
					t.Fatalf("it came back after %d s", second)
				}
			}
			if said != c.said || over != c.over {
				t.Errorf("said in second %d, over in %d; want %d and %d", said, over, c.said, c.over)
			}
		})
	}
}
