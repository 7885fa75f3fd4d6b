package edge

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
)

// member is a simulated node: what it answers at a time. Its data change every period, from phase on.
type member struct {
	period, phase time.Duration
	layout        string  // of last_updated
	start         int64   // records at the beginning
	perSecond     float64 // records
	alike         bool    // it counts as all of its kind do, and no noise is in it
	resetAt       time.Duration
	seed          uint64
}

const (
	inMicroseconds = "2006-01-02T15:04:05.000000Z"
	inMilliseconds = "2006-01-02T15:04:05.000Z"
	inSeconds      = "2006-01-02T15:04:05Z"
)

func (m *member) answer(began, at time.Time) answer {
	since := at.Sub(began)
	step := int64((since + m.period - m.phase) / m.period)
	updated := began.Add(m.phase + time.Duration((step-1)*int64(m.period)))
	age := max(updated.Sub(began), 0)
	count := m.start
	if m.resetAt > 0 && age >= m.resetAt {
		count, age = 0, age-m.resetAt
	}
	quality := 0.98
	if !m.alike { // its data come unevenly, and its clock is a little late each time
		noise := rand.New(rand.NewPCG(m.seed, uint64(step)))
		updated = updated.Add(time.Duration(noise.Int64N(int64(m.period / 10))))
		quality += math.Floor(noise.Float64()*100) / 1e4
		count += int64(noise.IntN(5))
	}
	count += int64(m.perSecond * age.Seconds())
	return answer{status: 200, body: fmt.Appendf(nil, `{"record_count":%d,"quality_score":%v,"last_updated":%q}`, count, quality, updated.UTC().Format(m.layout))}
}

// simulated is a fleet of members; wrong routes some of them to others' data from a time on, until another.
type simulated struct {
	began   time.Time
	members map[string]*member
	mu      sync.Mutex
	wrong   map[string]misroute
	polls   int
	asked   map[string]uint64 // polls of those that are routed wrongly
}

type misroute struct {
	to          *member
	from, until time.Duration
	every       uint64 // only every so many of its polls; 0 and 1: all
}

func (f *simulated) poller() scripted {
	return func(url string, at time.Time) answer {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.polls++; f.began.IsZero() {
			f.began = at
		}
		url = url[:len(url)-len(summaryPath)]
		m := f.members[url]
		if w, ok := f.wrong[url]; ok && at.Sub(f.began) >= w.from && at.Sub(f.began) < w.until {
			if f.asked[url]++; w.every < 2 || f.asked[url]%w.every == 0 {
				m = w.to
			}
		}
		return m.answer(f.began, at)
	}
}

// honest is a fleet of every kind of honest node that looks like others, n of each, and their URLs.
func honest(n int) (*simulated, []string) {
	rng := rand.New(rand.NewPCG(3, 4))
	f := &simulated{members: map[string]*member{}, wrong: map[string]misroute{}, asked: map[string]uint64{}}
	var urls []string
	add := func(kind string, i int, m member) {
		url := fmt.Sprintf("http://%s-%04d", kind, i)
		m.seed = rng.Uint64()
		f.members[url] = &m
		urls = append(urls, url)
	}
	for i := range n {
		random := func(most time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(most))) }
		// What nodes are: each with its own counts and clock.
		add("fast", i, member{period: 3*time.Second + random(5*time.Second), phase: random(3 * time.Second), layout: inMicroseconds, start: 6000 + rng.Int64N(8000), perSecond: 1 + rng.Float64()*10})
		add("slow", i, member{period: time.Minute + random(5*time.Minute), phase: random(time.Minute), layout: inMilliseconds, start: rng.Int64N(1000), perSecond: rng.Float64()})
		// Restarted, so that it counts from zero where others are; many at once.
		add("restarts", i, member{period: 5 * time.Second, phase: random(5 * time.Second), layout: inMicroseconds, start: 5000, perSecond: 2, resetAt: 10 * time.Minute})
		add("restarts-in-seconds", i, member{period: 5 * time.Second, layout: inSeconds, start: 5000, perSecond: 2, alike: true, resetAt: time.Duration(10+i%3) * time.Minute})
		// Written on the minute by a timer, in equal steps: every payload is shared by all.
		add("on-the-minute", i, member{period: time.Minute, layout: inSeconds, start: 100, perSecond: 1, alike: true})
		add("on-the-minute-zeros", i, member{period: time.Minute, layout: inMicroseconds, start: 100, perSecond: 1, alike: true})
		// Idle: nothing ever changes, and all were made by one image, to the microsecond.
		add("idle", i, member{period: 1000 * time.Hour, phase: 123_456_789 * time.Nanosecond, layout: inMicroseconds, alike: true})
		// Exactly two of a kind, on the minute: honest primary and standby that count the same stream in whole seconds.
		add("pair", i, member{period: 20 * time.Second, layout: inSeconds, start: int64(1000 * (i / 2)), perSecond: float64(1 + i/2%7), alike: true})
	}
	return f, urls
}

// TestHonestNodesAreNoTwins simulates hours of a fleet of honest nodes that look alike in every way, and counts false alarms
// and what looking for liars costs.
func TestHonestNodesAreNoTwins(t *testing.T) {
	t.Parallel()
	each := 60
	if underRace {
		each = 15 // more of each kind bring no other access to memory
	}
	f, urls := honest(each)
	bubble(t, Config{Nodes: urls, StaleAfter: 10000 * time.Hour}, scripted(func(url string, at time.Time) answer { return f.poller()(url, at) }), func(e *Engine) {
		invalid := map[string]bool{}
		hours := 1
		if os.Getenv("WEIR_SLOW") != "" {
			hours = 12
		}
		for range hours * 60 {
			time.Sleep(time.Minute)
			for _, n := range e.Snapshot().NodeData {
				if n.State == Invalid {
					invalid[n.URL.String()+": "+n.Error.String()] = true
				}
			}
		}
		if len(invalid) > 0 {
			t.Errorf("%d false alarms: %.2000v", len(invalid), fmt.Sprint(invalid))
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		due := len(urls) * hours * 240
		t.Logf("%d nodes, %d h, %d polls, %.2f %% of them to compare, 0 of %d nodes accused", len(urls), hours, f.polls, 100*float64(f.polls-due)/float64(due), len(urls))
		if f.polls > due*101/100+len(urls) {
			t.Errorf("%d polls, want about %d", f.polls, due)
		}
	})
}

// TestTwinsAreFound routes nodes to others' data, in the middle of the life of an honest fleet and from its beginning: each
// is found, the other named, its records are not counted twice, and it is believed again when its own data are back.
func TestTwinsAreFound(t *testing.T) {
	t.Parallel()
	const from, until = 5 * time.Minute, 25 * time.Minute
	for _, tt := range []struct {
		name, liar, victim string
		from               time.Duration
		every              uint64
		never              bool // it cannot be told, and nobody may be accused
	}{
		{"data of microseconds, changing faster than polls", "http://fast-0007", "http://fast-0003", from, 0, false},
		{"data of milliseconds, changing slowly", "http://fast-0008", "http://slow-0004", from, 0, false},
		{"data of whole seconds", "http://fast-0009", "http://pair-0002", from, 0, true},
		{"from the beginning", "http://slow-0011", "http://fast-0010", 0, 0, false},
		{"every second answer", "http://fast-0013", "http://fast-0012", from, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, urls := honest(15)
			f.wrong[tt.liar] = misroute{f.members[tt.victim], tt.from, until, tt.every}
			f.members["http://slow-0004"].period = 2 * time.Minute
			bubble(t, Config{Nodes: urls, StaleAfter: 10000 * time.Hour}, scripted(func(url string, at time.Time) answer { return f.poller()(url, at) }), func(e *Engine) {
				node := func(url string) *Node {
					for _, n := range e.Snapshot().NodeData {
						if n.URL.String() == url {
							return n
						}
					}
					return nil
				}
				accused := time.Duration(0)
				for at := time.Duration(0); at < until; at += 5 * time.Second {
					time.Sleep(5 * time.Second)
					for _, n := range e.Snapshot().NodeData {
						if n.State != Invalid && n.State != Flapping || n.Valid {
							continue
						}
						if tt.never || n.URL.String() != tt.liar || !contains(n.Error.String(), "answers with the data of "+tt.victim) {
							t.Errorf("%s is accused after %v: %s", n.URL, at, n.Error)
							return
						}
						if accused == 0 {
							accused = at - tt.from
						}
					}
				}
				if tt.never {
					return
				}
				if accused == 0 {
					t.Errorf("%s was never found: %+v", tt.liar, node(tt.liar))
					return
				}
				t.Logf("found after %v", accused)
				time.Sleep(20 * time.Minute) // its own data are back
				if n := node(tt.liar); !n.Valid || n.Error.String() != "" && n.State != Flapping {
					t.Errorf("with its own data again: %s: %s", n.State, n.Error)
				}
			})
		})
	}
}

// TestTwinOfOneInQuarantine: when the other is taken out, its twin counts: one of them should.
func TestTwinOfOneInQuarantine(t *testing.T) {
	f, _ := honest(2)
	urls := []string{"http://fast-0000", "http://fast-0001"}
	f.wrong[urls[1]] = misroute{f.members[urls[0]], 0, time.Hour, 0}
	bubble(t, Config{Nodes: urls}, scripted(func(url string, at time.Time) answer { return f.poller()(url, at) }), func(e *Engine) {
		time.Sleep(5 * time.Minute)
		if s := e.Snapshot(); s.Reporting != 1 || s.NodeData[1].State != Invalid {
			t.Errorf("%d report: %+v", s.Reporting, s.NodeData[1])
		}
		if err := e.Quarantine(urls[0], "the cable is wrong"); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second)
		if s := e.Snapshot(); s.Reporting != 1 || s.NodeData[1].State != OK {
			t.Errorf("%d report: %+v", s.Reporting, s.NodeData[1])
		}
	})
}
