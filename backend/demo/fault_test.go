package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// probe looks at a world over the wire, as any client would, and tells whether a fault shows.
type probe struct {
	*testing.T
	world *World
	skew  *atomic.Int64 // nanoseconds the edge nodes' clock was moved on
}

// TestEveryFaultShowsAndEnds injects each fault into a calm world, waits until it shows over the wire, clears it, and
// waits until it no longer does.
func TestEveryFaultShowsAndEnds(t *testing.T) {
	shows := map[string]func(probe) bool{
		"broker-down": func(p probe) bool { return p.refused(p.world.brokerGate) && p.world.broker.Addr() != "" },
		"broker-slow": func(p probe) bool { return p.brokerAnswersIn() >= brokerLatency },
		"poison-events": func(p probe) bool {
			return p.shareOfEvents(func(r *kgo.Record) bool { return !isEvent(r.Value) }) > poisonShare/4
		},
		"null-spike": func(p probe) bool {
			return p.shareOfEvents(func(r *kgo.Record) bool { return strings.Contains(string(r.Value), `"email":null`) }) > 0.1
		},
		"schema-break": func(p probe) bool {
			return p.shareOfEvents(func(r *kgo.Record) bool { return strings.Contains(string(r.Value), `"sessionId"`) && isEvent(r.Value) }) > 0.9
		},
		"traffic-drop":  func(p probe) bool { return p.eventsPerSecond() < 0.5*probeRate },
		"traffic-spike": func(p probe) bool { return p.eventsPerSecond() > 2*probeRate },
		"hot-partition": func(p probe) bool {
			return p.shareOfEvents(func(r *kgo.Record) bool { return r.Partition == hotPartition }) > 0.5
		},
		"features-down":    func(p probe) bool { return p.refused(p.world.featureGate) },
		"features-slow":    func(p probe) bool { return p.timed(func() { p.features() }) >= featureLatency },
		"features-missing": func(p probe) bool { return strings.Count(p.features(), "NULL_VALUE") > probeUsers/50 },
		"drift":            func(p probe) bool { return p.features() != calmFeatures(p) },
		"node-down":        func(p probe) bool { return p.refused(p.world.fleet.nodes[victimDown].gate) },
		"node-slow": func(p probe) bool {
			return p.timed(func() { _, _, _ = p.summary(victimSlow) }) >= nodeSlow
		},
		"node-stale": func(p probe) bool {
			before, _, _ := p.summary(victimStale)
			p.skew.Add(int64(10 * time.Second))
			after, _, _ := p.summary(victimStale)
			return before.LastUpdated == after.LastUpdated
		},
		"node-garbage": func(p probe) bool { _, _, err := p.summary(victimGarbage); return err != nil },
		"node-flap": func(p probe) bool {
			p.skew.Add(int64(flapEvery))
			_, _, one := p.summary(victimFlap)
			p.skew.Add(int64(flapEvery))
			_, _, other := p.summary(victimFlap)
			return (one == nil) != (other == nil)
		},
		"site-down": func(p probe) bool {
			down := 0
			for _, n := range p.world.fleet.nodes {
				if n.site == victimSite && p.refused(n.gate) {
					down++
				}
			}
			return down == 5
		},
		"cloud-down": func(p probe) bool { return p.refused(p.world.cloudGate) },
		"clock-skew": func(p probe) bool {
			s, clock, _ := p.summary(victimSkew)
			updated, err := time.Parse(time.RFC3339, s.LastUpdated)
			ahead := time.Now().Add(time.Duration(p.skew.Load()) + skewBy/2)
			return err == nil && updated.After(ahead) && clock.After(ahead)
		},
	}
	for _, name := range FaultNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			show := shows[name]
			if show == nil {
				t.Fatal("no probe")
			}
			if DescribeFault(name) == "" {
				t.Error("no description")
			}
			p := probe{t, nil, new(atomic.Int64)}
			p.world = start(t, Options{Rate: probeRate, clock: func() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) }})
			waitFor(t, "calm", func() bool { return !show(p) })
			if err := p.world.Inject(name, 0, 0); err != nil {
				t.Fatal(err)
			}
			waitFor(t, name, func() bool { return show(p) })
			if err := p.world.Clear(name); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "end of "+name, func() bool { return !show(p) })
		})
	}
}

// TestAFaultBeginsAndEndsOnTime: in a bubble's time, for a busy machine may sleep through a short fault.
func TestAFaultBeginsAndEndsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const after, length = 300 * time.Millisecond, 400 * time.Millisecond
		began := time.Now()
		var s schedule
		told := map[time.Duration]bool{} // what is on, by the time at which that was told
		s.changed = func() { told[time.Since(began)] = s.isOn(cloudDown) }
		s.inject(cloudDown, after, length)
		if f := s.list(); len(f) != 1 || f[0] != (FaultState{"cloud-down", began.Add(after), began.Add(after + length)}) {
			t.Errorf("scheduled: %+v", f)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if want := map[time.Duration]bool{0: false, after: true, after + length: false}; !maps.Equal(told, want) {
			t.Errorf("it was on: %v, want %v", told, want)
		}
		if f := s.list(); len(f) > 0 {
			t.Errorf("afterwards there is %+v", f)
		}
	})
}

// TestAScheduledFaultShows over the wire, and its end too.
func TestAScheduledFaultShows(t *testing.T) {
	w := start(t, Options{Rate: NoEvents})
	p := probe{t, w, new(atomic.Int64)}
	inject := func(after, length time.Duration) {
		t.Helper()
		if err := w.Inject("cloud-down", after, length); err != nil {
			t.Fatal(err)
		}
	}
	inject(100*time.Millisecond, 0)
	waitFor(t, "the beginning", func() bool { return p.refused(w.cloudGate) })
	inject(0, 100*time.Millisecond)
	waitFor(t, "the end", func() bool { return !p.refused(w.cloudGate) })
	waitFor(t, "an empty list", func() bool { return len(w.Faults()) == 0 })
	if err := w.Clear("cloud-down"); !errors.Is(err, ErrNotInjected) {
		t.Errorf("clearing it again: %v", err)
	}
}

// TestTheBrokerKeepsItsDataThroughADown also proves that a connection of before is broken, and that what was written
// before, and since, is there.
func TestTheBrokerKeepsItsDataThroughADown(t *testing.T) {
	w := start(t, Options{})
	waitFor(t, "events", func() bool { return w.producer.acked.Load() > 100 })
	c, err := net.Dial("tcp", w.broker.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := w.Inject("broker-down", 0, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the connection still stands: %v", err)
	}
	waitFor(t, "the end", func() bool { return len(w.Faults()) == 0 })
	// Every event is there exactly once: what the broker holds is what it acknowledged.
	want := w.producer.acked.Load() + 500
	waitFor(t, "new events", func() bool { return w.producer.acked.Load() >= want })
	client := consume(t, w, kgo.NewOffset().AtStart())
	for seen := uint64(0); seen < want; {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		seen += uint64(fetches.NumRecords())
	}
}

func TestParseFault(t *testing.T) {
	for _, c := range []struct {
		text string
		want Fault
		err  string
	}{
		{text: "node-down", want: Fault{Name: "node-down"}},
		{text: "node-down@10s", want: Fault{"node-down", 10 * time.Second, 0}},
		{text: "node-down@10s+1m30s", want: Fault{"node-down", 10 * time.Second, 90 * time.Second}},
		{text: "node-down@0s+5s", want: Fault{"node-down", 0, 5 * time.Second}},
		{text: "node-dwon", err: `unknown fault "node-dwon": did you mean node-down?`},
		{text: "null-spikes@3s", err: `did you mean null-spike?`},
		{text: "earthquake", err: "there are broker-down broker-slow"},
		{text: "", err: "there are broker-down"},
		{text: "node-down@soon", err: `expected when it begins after the @, such as node-down@10s, found "soon"`},
		{text: "node-down@-1s", err: "expected when it begins"},
		{text: "node-down@1s+", err: `expected how long it lasts after the +, such as node-down@1s+30s, found ""`},
		{text: "node-down@1s+0s", err: "expected how long it lasts"},
		{text: "node-down+5s", err: "write node-down@0s+5s"},
	} {
		got, err := ParseFault(c.text)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q: got error %v, want %q", c.text, err, c.err)
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%q: got %+v %v, want %+v", c.text, got, err, c.want)
		}
	}
}

func FuzzParseFault(f *testing.F) {
	f.Add("node-down@10s+1m")
	f.Add("broker-down@")
	f.Add("x+y@z")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseFault(s)
		if err != nil {
			return
		}
		if again, err := ParseFault(got.String()); err != nil || again != got {
			t.Errorf("%q read as %+v, written as %q, read as %+v %v", s, got, got, again, err)
		}
	})
}

func TestUnknownFaults(t *testing.T) {
	w := start(t, Options{Rate: NoEvents})
	if err := w.Inject("nope", 0, 0); !errors.Is(err, ErrUnknownFault) {
		t.Errorf("inject: %v", err)
	}
	if err := w.Clear("nope"); !errors.Is(err, ErrUnknownFault) {
		t.Errorf("clear: %v", err)
	}
}

// refused tells whether nobody answers on a gate's port.
func (p probe) refused(g *gate) bool {
	c, err := net.DialTimeout("tcp", g.Addr().String(), 5*time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err != nil
}

func (p probe) timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func (p probe) brokerAnswersIn() time.Duration {
	client, err := kgo.NewClient(kgo.SeedBrokers(p.world.broker.Addr()), kgo.DisableClientMetrics())
	if err != nil {
		p.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(p.Context()); err != nil { // connects
		p.Fatal(err)
	}
	return p.timed(func() {
		if err := client.Ping(p.Context()); err != nil {
			p.Fatal(err)
		}
	})
}

func consume(t *testing.T, w *World, from kgo.Offset) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()), kgo.ConsumeTopics(topicEvents), kgo.ConsumeResetOffset(from),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// shareOfEvents reads events as they come and tells the share of those that hold.
func (p probe) shareOfEvents(holds func(*kgo.Record) bool) float64 {
	const enough = 400
	client := consume(p.T, p.world, kgo.NewOffset().AtEnd())
	defer client.Close()
	seen, held := 0, 0
	for seen < enough {
		fetches := client.PollFetches(p.Context())
		if err := fetches.Err(); err != nil {
			p.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seen++
			if holds(r) {
				held++
			}
		})
	}
	return float64(held) / float64(seen)
}

// eventsPerSecond is by the times the events were written at, so that it does not depend on how soon they are read.
func (p probe) eventsPerSecond() float64 {
	client := consume(p.T, p.world, kgo.NewOffset().AtEnd())
	defer client.Close()
	seen, at := 0, map[time.Time]int{} // events; those of one tick are written at one time
	var first, last time.Time
	for last.Sub(first) < probeTime {
		fetches := client.PollFetches(p.Context())
		if err := fetches.Err(); err != nil {
			p.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if first.IsZero() || r.Timestamp.Before(first) {
				first = r.Timestamp
			}
			if r.Timestamp.After(last) {
				last = r.Timestamp
			}
			seen++
			at[r.Timestamp]++
		})
	}
	return float64(seen-at[first]) / last.Sub(first).Seconds()
}

const (
	probeUsers = 100
	probeRate  = 1000 // a spike of which a busy machine keeps up with under the race detector, too
	probeTime  = 500 * time.Millisecond
)

// features is the store's answer about the first users, without its times.
func (p probe) features() string {
	ids := make([]string, probeUsers)
	for i := range ids {
		ids[i] = fmt.Sprintf("%q", userID(i))
	}
	body := fmt.Sprintf(`{"features":[%q,%q],"entities":{"user_id":[%s]}}`, featureNames[2], featureNames[3], strings.Join(ids, ","))
	response, err := http.Post("http://"+p.world.featureGate.Addr().String()+"/get-online-features", "application/json", strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.Fatal(err)
	}
	var answer struct {
		Results []struct {
			Values   []any
			Statuses []string
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		p.Fatal(err)
	}
	return fmt.Sprint(answer)
}

// calmFeatures is what features is while nothing is wrong.
func calmFeatures(p probe) string {
	w := start(p.T, Options{Rate: NoEvents})
	return probe{p.T, w, p.skew}.features()
}

// summary polls a node; the error is of the connection or of the answer.
func (p probe) summary(index int) (s summary, clock time.Time, err error) {
	response, err := http.Get(p.world.fleet.urls()[index] + "/data/summary")
	if err != nil {
		return s, clock, err
	}
	defer response.Body.Close()
	clock, _ = http.ParseTime(response.Header.Get("Date"))
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return s, clock, err
	}
	if s.RecordCount < 0 || s.QualityScore > 1 {
		return s, clock, errors.New("not a summary")
	}
	return s, clock, nil
}
