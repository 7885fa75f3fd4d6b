package incident

import (
	"fmt"
	"math"
	"slices"
	"time"

	"weir/backend/event"
	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// DeadLetters is the rule of too many dead letters: of a minute's records, or of a few seconds'.
const DeadLetters = "dead letters"

// The minute that dead letters are judged by (see pipeline.Snapshot.LosesTooMany) takes a third of itself to tell of a
// producer that breaks. So a burst is judged too, by the same share of a few seconds' records:
const (
	// burstRun is for how many seconds with records, one after the other, the dead letters must be that many: a batch of odd
	// records is over before.
	burstRun = 5
	// burstSpread is how many standard deviations they must be above the share that is still a few odd records. Of records
	// that fail each by itself six come by chance less than once in ten years; where they fail in clumps, the deviation
	// is that of the clumps seen.
	burstSpread = 6.0
)

// burst finds dead letters that have just begun to be many. It uses the snapshots' own time only.
type burst struct {
	samples []handled // the oldest first, sampleEvery apart at the least, keepSamples at the most
}

// handled is what was acknowledged since the process started, at one moment, and how much of it as dead letters.
type handled struct {
	at        time.Time
	all, dead uint64
}

// step takes the next snapshot and tells f of a burst, unless the minute tells of it already.
func (b *burst) step(s *timeline.Snapshot, f *finder) {
	p := s.Pipeline
	if p == nil || p.State != pipeline.Running {
		b.samples = b.samples[:0]
		return
	}
	b.note(handled{s.At, p.Predicted + p.DeadLettered, p.DeadLettered}, max(leastGap, 3*s.Tick))
	run := b.run()
	if _, told := p.LosesTooMany(); told || run < burstRun {
		return
	}
	n := len(b.samples)
	first, last := b.samples[n-1-burstRun], b.samples[n-1]
	all, dead := float64(last.all-first.all), float64(last.dead-first.dead)
	odd := pipeline.DeadShare * all
	if dead < pipeline.DeadCount || dead <= odd+burstSpread*math.Sqrt(odd*clumps(b.samples[:n-run])) {
		return
	}
	f.deadLetters(p, b.samples[n-1-run].at, fmt.Sprintf("%.1f%% of records in the last %s", 100*dead/all, span(last.at.Sub(first.at))))
}

// note adds a sample. A second without records is none, and what a process before this one counted is forgotten.
func (b *burst) note(now handled, longest time.Duration) {
	if n := len(b.samples); n > 0 {
		last := b.samples[n-1]
		gap := now.at.Sub(last.at)
		switch {
		case gap < 0 || gap > longest || now.all < last.all || now.dead < last.dead:
			b.samples = b.samples[:0]
		case gap < sampleEvery*9/10 || now.all == last.all: // ticks are not exact
			return
		case n == keepSamples:
			b.samples = slices.Delete(b.samples, 0, 1)
		}
	}
	b.samples = append(b.samples, now)
}

// run is in how many of the newest seconds, one after the other, dead letters were more than a few odd ones.
func (b *burst) run() int {
	n := 0
	for i := len(b.samples) - 1; i > 0; i-- {
		x, before := b.samples[i], b.samples[i-1]
		if float64(x.dead-before.dead) <= pipeline.DeadShare*float64(x.all-before.all) {
			break
		}
		n++
	}
	return n
}

// clumps is how many records fail together, by the variance over the mean of what failed a second: 1 where each fails by
// itself, or where nothing is known.
func clumps(samples []handled) float64 {
	n := float64(len(samples) - 1)
	if n < leastKnown {
		return 1
	}
	mean := float64(samples[len(samples)-1].dead-samples[0].dead) / n
	sum := 0.0
	for i := 1; i < len(samples); i++ {
		x := float64(samples[i].dead-samples[i-1].dead) - mean
		sum += x * x
	}
	return max(sum/(n-1)/max(mean, 1e-9), 1)
}

// deadLetters is the incident of too many dead letters.
func (f *finder) deadLetters(p *pipeline.Snapshot, since time.Time, message string) {
	topic := p.Events.String()
	f.add(event.Warning, DeadLetters, topic, since, message)
	f.touches(deadReasons(p)...)
	f.next("", "look at their reasons and bytes; tell whoever writes "+topic+", then replay those that can be fixed")
}
