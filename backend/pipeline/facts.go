package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/kafka"
)

// factsEvery is how often the broker is asked for the group's offsets and the topic's ends.
const factsEvery = time.Second

// facts are what the broker says of the events topic, all members' partitions included.
type facts struct {
	mu      sync.Mutex
	offsets map[int32]kafka.Offsets // replaced, never changed
	paces   map[int32]pace          // likewise
	at      time.Time
}

// pace is how fast one partition moves, in records a second, smoothed over some answers.
type pace struct{ committed, arriving float64 }

func (f *facts) set(offsets map[int32]kafka.Offsets, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	paces := make(map[int32]pace, len(offsets))
	if spent := now.Sub(f.at).Seconds(); f.offsets != nil && spent > 0 {
		for p, o := range offsets {
			before, known := f.offsets[p]
			if !known {
				continue
			}
			now := pace{arriving: float64(o.Newest-before.Newest) / spent}
			if o.Committed >= 0 && before.Committed >= 0 {
				now.committed = float64(o.Committed-before.Committed) / spent
			}
			if old, known := f.paces[p]; known {
				now.arriving = (old.arriving + now.arriving) / 2
				now.committed = (old.committed + now.committed) / 2
			}
			paces[p] = now
		}
	}
	f.offsets, f.paces, f.at = offsets, paces, now
}

func (f *facts) pace(p int32) pace {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.paces[p]
}

// drainsIn is how long a lag lasts at a pace.
func drainsIn(lag int64, perSecond, arriving float64) time.Duration {
	gain := perSecond - max(arriving, 0)
	switch {
	case lag <= 0:
		return 0
	case gain <= 0 || float64(lag)/gain > (1000*time.Hour).Seconds():
		return Never
	}
	return time.Duration(float64(lag) / gain * float64(time.Second))
}

func (f *facts) get() map[int32]kafka.Offsets {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.offsets
}

// watchFacts asks the broker until ctx ends.
func (e *Engine) watchFacts(ctx context.Context) {
	var admin *kafka.Admin
	defer func() {
		if admin != nil {
			_ = admin.Close()
		}
	}()
	tick := time.NewTicker(factsEvery)
	defer tick.Stop()
	for {
		if err := e.askFacts(ctx, &admin); err != nil && ctx.Err() == nil {
			e.logger.Debug("ask kafka for offsets", "error", err)
			if admin == nil { // not even a connection
				e.status.waiting(holdBroker, err.Error())
			}
			if admin != nil {
				_ = admin.Close()
				admin = nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) askFacts(ctx context.Context, admin **kafka.Admin) error {
	if *admin == nil {
		a, err := kafka.NewAdmin(e.cfg.Cluster)
		if err != nil {
			return err
		}
		*admin = a
	}
	e.status.back(holdBroker)
	offsets, err := (*admin).GroupOffsets(ctx, e.cfg.Group, e.cfg.Events)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // this run may have been left behind
		return err
	}
	now := time.Now()
	e.learn(offsets, now)
	if err := e.watchStalls(ctx, *admin, offsets, now); err != nil {
		return err
	}
	e.commitAgain(offsets)
	if err := e.passMarkers(ctx, *admin, offsets); err != nil {
		return err
	}
	return e.readyTopics(*admin)
}

// learn takes what the broker has just told, and of each partition that moved since a commit for Burrow. Between two
// answers none is taken: against an end that grows old any lag falls, also one that grows.
func (e *Engine) learn(offsets map[int32]kafka.Offsets, now time.Time) {
	e.facts.set(offsets, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.claims {
		next := c.next.Load()
		if n := len(c.commits); next < 0 || n > 0 && c.commits[n-1].offset == next {
			continue
		} else if n == verdictWindow {
			c.commits = slices.Delete(c.commits, 0, 1)
		}
		c.commits = append(c.commits, commitSample{now, next, max(e.highOf(c, offsets)-next, 0)})
	}
}

// commitAgain repeats a commit that the broker did not take. The session tells nobody that it failed, and would repeat it
// only with the partition's next record.
func (e *Engine) commitAgain(offsets map[int32]kafka.Offsets) {
	f := e.flow.Load()
	if f == nil || !f.out.commits() {
		return
	}
	f.mu.Lock()
	for c := range f.claims {
		f.uncommitted = f.uncommitted || offsets[c.partition].Committed < c.marked
	}
	again := f.uncommitted
	f.mu.Unlock()
	if again {
		leaveToken(f.commit)
	}
}

// passMarkers moves the low-water mark of idle partitions over offsets that hold no record. A consumer never shows
// them, and without this a topic written by transactions has a lag that never ends.
func (e *Engine) passMarkers(ctx context.Context, admin *kafka.Admin, offsets map[int32]kafka.Offsets) error {
	f := e.flow.Load()
	if f == nil {
		return nil
	}
	moved := false
	for _, c := range f.held(-1) {
		next, high := c.next.Load(), offsets[c.partition].Newest
		f.mu.Lock()
		idle := c.inHand == 0 && !c.givenUp
		f.mu.Unlock()
		before := c.stuckAt
		c.stuckAt = next
		if !idle || next < 0 || next >= high || before != next || high-next > markersAtOnce {
			continue // busy, or far behind for a better reason
		}
		first, err := admin.FirstRecord(ctx, c.topic, c.partition, next, high, 4)
		if err != nil {
			return err
		}
		if first > next && c.next.CompareAndSwap(next, first) {
			moved = true
		}
	}
	// Never beside transactions: a plain commit written while one is open makes Kafka discard the offsets inside it.
	if moved && f.out.commits() {
		leaveToken(f.commit)
	}
	return nil
}

// markersAtOnce bounds the lag that is looked into for markers.
const markersAtOnce = 10_000

// seed decides where partitions begin of which the group knows nothing, before the session's first record is taken:
// at the end or the beginning, as configured, and commits it. Without the commit a process that dies before its first
// record would skip what came in between.
func (e *Engine) seed(f *flow) {
	if e.seeded || e.cfg.Start != "latest" {
		return
	}
	admin, err := kafka.NewAdmin(e.cfg.Cluster)
	if err != nil {
		e.logger.Warn("look up where to start", "error", err)
		return // from the oldest record then: too much rather than too little
	}
	defer func() { _ = admin.Close() }()
	offsets, err := admin.GroupOffsets(f.ctx, e.cfg.Group, e.cfg.Events)
	if err != nil {
		e.logger.Warn("look up where to start", "error", err)
		return
	}
	e.seeded = true
	marked := false
	for _, p := range f.sess.Claims()[e.cfg.Events] {
		if o, ok := offsets[p]; ok && o.Committed < 0 {
			f.sess.MarkOffset(e.cfg.Events, p, o.Newest, "")
			marked = true
		}
	}
	if marked {
		f.sess.Commit()
	}
}

// sample looks at each partition once a second: its rate, and whether it moves.
func (e *Engine) sample(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		e.sampleOnce(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			e.sampleOnce(time.Now())
			return
		}
	}
}

func (e *Engine) sampleOnce(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	held := make([]int32, 0, len(e.claims))
	for p, c := range e.claims {
		held = append(held, p)
		next := c.next.Load()
		if next < 0 {
			continue
		}
		if spent := now.Sub(c.sampled).Seconds(); !c.sampled.IsZero() && spent > 0 {
			c.perSecond = 0.5*c.perSecond + 0.5*float64(next-c.sampledAt)/spent
		}
		if n := len(c.commits); n > 0 && next > c.commits[n-1].offset && next != c.sampledAt {
			c.commits[n-1].at = now // it moves, also while the broker is too slow to tell how far it lags
		}
		c.sampled, c.sampledAt = now, next
	}
	slices.Sort(held)
	e.tellPartitions(held)
}

// tellPartitions logs what was assigned and taken away since it was last told. The caller holds the lock.
func (e *Engine) tellPartitions(held []int32) {
	var gained, lost []int32
	for _, p := range held {
		if !slices.Contains(e.told, p) {
			gained = append(gained, p)
		}
	}
	for _, p := range e.told {
		if !slices.Contains(held, p) {
			lost = append(lost, p)
		}
	}
	e.told = held
	if len(gained) > 0 {
		e.tell(event.Pipeline, event.Info, "partitions", "assigned %d", gained)
	}
	if len(lost) > 0 {
		e.tell(event.Pipeline, event.Info, "partitions", "revoked %d", lost)
	}
}

// highOf is the high watermark of a claim: of the last fetch, or of the broker's own word where that is newer.
func (e *Engine) highOf(c *claim, known map[int32]kafka.Offsets) int64 {
	return max(c.source.HighWaterMarkOffset(), known[c.partition].Newest)
}

func (e *Engine) fillPartitions(s *Snapshot, now time.Time) {
	known := e.facts.get()
	e.mu.Lock()
	defer e.mu.Unlock()
	s.Partitions = make([]Partition, 0, len(e.claims))
	perSecond, arrivingAll := 0.0, 0.0
	for _, c := range e.claims {
		next := c.next.Load()
		if next < 0 {
			next = known[c.partition].Oldest
		}
		high := e.highOf(c, known)
		p := Partition{
			Partition: c.partition, Offset: next, HighWatermark: high, Lag: max(high-next, 0),
			EventsPerSecond: c.perSecond, Verdict: verdict(c.commits, high, now),
		}
		arriving := e.facts.pace(c.partition).arriving
		p.DrainsIn = drainsIn(p.Lag, p.EventsPerSecond, arriving)
		perSecond, arrivingAll = perSecond+p.EventsPerSecond, arrivingAll+arriving
		if ms := c.lastRecord.Load(); ms != 0 {
			p.LastRecord = time.UnixMilli(ms)
		}
		s.Lag += p.Lag
		s.Partitions = append(s.Partitions, p)
	}
	slices.SortFunc(s.Partitions, func(a, b Partition) int { return int(a.Partition - b.Partition) })
	s.DrainsIn = drainsIn(s.Lag, perSecond, arrivingAll)
	e.fillGroup(s, known)
}

// fillGroup tells of every partition of the topic. The caller holds the lock.
func (e *Engine) fillGroup(s *Snapshot, known map[int32]kafka.Offsets) {
	if known == nil {
		return
	}
	s.GroupLag = 0
	s.All = make([]GroupPartition, 0, len(known))
	for p, o := range known {
		c, mine := e.claims[p]
		done := max(o.Committed, o.Oldest)
		if mine { // what was acknowledged since, and markers that nobody commits
			done = max(done, c.next.Load())
		}
		pace := e.facts.pace(p)
		g := GroupPartition{
			Partition: p, Committed: o.Committed, HighWatermark: o.Newest, Lag: max(o.Newest-done, 0),
			CommittedPerSecond: pace.committed, ArrivingPerSecond: pace.arriving, Mine: mine,
		}
		s.GroupLag += g.Lag
		s.All = append(s.All, g)
	}
	slices.SortFunc(s.All, func(a, b GroupPartition) int { return int(a.Partition - b.Partition) })
}
