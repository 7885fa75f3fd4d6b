package incident

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"weir/backend/event"
	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// The latency of a minute is judged by its p90: of events that come evenly, six slow seconds move it, where the median
// takes half a minute, and one hiccup of half a second moves the p99 for all of a minute.
const (
	// It is far up at slowRatio times the usual one and slowFloor milliseconds above it, and back below half of either.
	slowRatio, slowFloor = 4.0, 250.0
	// slowSpread is how many times as far it must be, in the logarithm, as the usual values stray; leastStray is how far
	// they do at the least.
	slowSpread, leastStray = 4.0, 0.2
	// Where some seconds of every minute are slow, now and then a few more of them are: so the p90 must be above this many
	// times the usual p99 too, or the median have risen as far.
	rareRatio = 2.0
	// leastEvents is how many events of the minute a p90 needs.
	leastEvents = 50
	// latencyWindow is how long an event stays in the quantiles, and a little more.
	latencyWindow = 65 * time.Second
	// By Little's law the mean lag of recently, over what arrives, is the mean time in weir and the topic. Where a tenth of
	// the records still took the p90, it would be a tenth of that: below half of that tenth the slowness is over, though
	// the minute that the quantiles tell of remembers it.
	recently, overBelow = 15 * time.Second, 0.05
	// behind is how far behind the newest records a pipeline may be, in time, before its latency is that of catching up.
	behind = 10 * time.Second
)

// What arrives is judged over a few seconds; where little does, over a minute.
const (
	shortWindow, longWindow = 10 * time.Second, time.Minute
	// It is far down at lowRatio of what is usual, and back above backRatio. Day and night are slower than that: a pace
	// that falls to a tenth within three hours is at four fifths of the last half hour's median.
	lowRatio, backRatio = 0.3, 0.5
	// lowSpread is how many times as far it must be as the usual counts stray, in the square root of the count: there the
	// counts of independent events stray by half, however many they are, and those of bursts of n by the root of n times
	// that. Eight times is 16 expected events of which none came, or 80 of which less than a third did.
	lowSpread, poissonStray = 8.0, 0.5
	// keepSamples is how many high watermarks are remembered, sampleEvery apart at the least: those of longWindow.
	keepSamples, sampleEvery = 64, time.Second
)

const (
	// settles is how long after a beginning nothing is judged: a start, a gap between snapshots, new partitions, after a
	// pipeline has waited or was paused.
	settles = 10 * time.Second
	// leastGap is the least time between two snapshots that is a gap; it is three ticks where those are longer.
	leastGap = 15 * time.Second
)

// deviations compares the figures of the pipeline with those of the recent past: it says when a minute's latency is far
// above what is usual, and when what arrives is a small part of it. There is no threshold that would fit every world:
// batches may wait for a minute, and nights are quiet. A change that lasts is said for half an hour and is what is usual
// then, see usual. At first, for the minute and forty seconds of leastKnown, nothing is known and nothing is said. It
// uses the snapshots' own time only.
type deviations struct {
	at      time.Time // of the last snapshot
	quiet   time.Time // nothing is judged until then
	noDelay time.Time // no latency is judged until then

	behindAt time.Time // when it was last that far behind

	endToEnd, processing usual // their p90 in milliseconds, with p50 and p99
	short, long          usual // events a second over shortWindow and longWindow
	waits                usual // the mean milliseconds that what arrives waits, by the lag

	partitions  []int32
	offsets     []int64 // theirs, at the last snapshot
	redelivered uint64
	samples     []sample // the oldest first
	moved       time.Time
}

// sample is how many records had arrived at one moment, and how many of them were not done, over the assigned partitions.
type sample struct {
	at           time.Time
	arrived, lag int64
}

func newDeviations() *deviations {
	return &deviations{endToEnd: usual{upwards: true, least: leastKnown}, processing: usual{upwards: true, least: leastKnown},
		short: usual{least: leastKnown}, long: usual{least: leastLong}, waits: usual{upwards: true, least: leastKnown}}
}

// step takes the next snapshot and tells f what is far from what is usual.
func (d *deviations) step(s *timeline.Snapshot, f *finder) {
	at, p := s.At, s.Pipeline
	gap := at.Sub(d.at)
	if gap < 0 {
		*d = *newDeviations()
	}
	if d.at.IsZero() || gap > max(leastGap, 3*s.Tick) {
		d.begin(at)
	}
	d.at = at
	if p == nil || p.State != pipeline.Running || !engineRuns(s) {
		d.begin(at)
		return
	}
	d.follow(at, p)
	d.traffic(at, p, f)
	d.latency(at, p, f)
	d.backlog(at, p, f)
}

func engineRuns(s *timeline.Snapshot) bool {
	for i := range s.Engines {
		if s.Engines[i].Name == "pipeline" {
			return s.Engines[i].State == timeline.EngineRunning
		}
	}
	return true
}

// begin forgets what goes on, and keeps what is usual.
func (d *deviations) begin(at time.Time) {
	d.quiet = at.Add(settles)
	if d.endToEnd.known || d.processing.known { // else there is nothing to judge by until then
		d.noDelay = at.Add(latencyWindow)
	}
	d.samples = d.samples[:0]
	for _, u := range []*usual{&d.endToEnd, &d.processing, &d.short, &d.long, &d.waits} {
		u.close()
	}
}

// follow notes what has arrived, and notices when the partitions are other ones or are read again.
func (d *deviations) follow(at time.Time, p *pipeline.Snapshot) {
	same := len(p.Partitions) == len(d.partitions)
	arrived, again := int64(0), p.Redelivered > d.redelivered
	for i := range p.Partitions {
		x := &p.Partitions[i]
		arrived += x.HighWatermark
		if same = same && d.partitions[i] == x.Partition; same {
			again = again || x.Offset < d.offsets[i]
		}
	}
	d.redelivered = p.Redelivered
	d.partitions, d.offsets = d.partitions[:0], d.offsets[:0]
	for i := range p.Partitions {
		d.partitions, d.offsets = append(d.partitions, p.Partitions[i].Partition), append(d.offsets, p.Partitions[i].Offset)
	}
	n := len(d.samples)
	if !same || n > 0 && arrived < d.samples[n-1].arrived {
		d.short.forget()
		d.long.forget()
		d.begin(at)
		n = 0
	}
	if again { // a seek, or a worker that died: what is taken again is as late as it is
		d.noDelay = at.Add(latencyWindow)
	}
	if n == 0 || arrived > d.samples[n-1].arrived {
		d.moved = at
	}
	if n > 0 && at.Sub(d.samples[n-1].at) < sampleEvery*9/10 { // ticks are not exact
		return
	}
	if n == keepSamples {
		d.samples = slices.Delete(d.samples, 0, 1)
	}
	d.samples = append(d.samples, sample{at, arrived, p.Lag})
}

// arriving is how many events a second arrived over the last window and at least how long that was; false while it is
// not remembered that far back.
func (d *deviations) arriving(window time.Duration) (perSecond float64, over time.Duration, ok bool) {
	now := d.samples[len(d.samples)-1]
	for i := len(d.samples) - 1; i >= 0; i-- {
		if over = now.at.Sub(d.samples[i].at); over >= window*9/10 {
			return float64(now.arrived-d.samples[i].arrived) / over.Seconds(), over, true
		}
	}
	return 0, 0, false
}

// dispersion is the variance of what arrived from one sample to the next over its mean: 1 for independent events, n for
// bursts of n.
func (d *deviations) dispersion() float64 {
	n := float64(len(d.samples) - 1)
	if n < 2 {
		return 1
	}
	mean := float64(d.samples[len(d.samples)-1].arrived-d.samples[0].arrived) / n
	sum := 0.0
	for i := 1; i < len(d.samples); i++ {
		x := float64(d.samples[i].arrived-d.samples[i-1].arrived) - mean
		sum += x * x
	}
	return sum / (n - 1) / max(mean, 1e-9)
}

// waited is the mean time from arriving to being done, in milliseconds.
func (d *deviations) waited(over time.Duration, arriving float64) float64 {
	sum, n := 0.0, 0.0
	for i := len(d.samples) - 1; i >= 0 && d.at.Sub(d.samples[i].at) < over; i-- {
		sum, n = sum+float64(d.samples[i].lag), n+1
	}
	return sum / max(n, 1) / max(arriving, 1) * 1000
}

// traffic tells of a fall of what arrives.
func (d *deviations) traffic(at time.Time, p *pipeline.Snapshot, f *finder) {
	bursts := d.dispersion()
	judge := func(u *usual, window time.Duration, suffices bool) {
		perSecond, over, ok := d.arriving(window)
		if !ok {
			return
		}
		far := u.fresh(at) && !suffices && perSecond < lowRatio*u.middle && strays(u, perSecond, over) >= lowSpread
		near := suffices || perSecond > backRatio*u.middle
		u.step(at, perSecond, with{bursts}, far, near, at.Before(d.quiet))
	}
	judge(&d.short, shortWindow, false)
	judge(&d.long, longWindow, d.short.known && strays(&d.short, lowRatio*d.short.middle, shortWindow) >= lowSpread)
	u, window := &d.short, shortWindow
	if !u.open {
		u, window = &d.long, longWindow
	}
	if !u.open {
		return
	}
	perSecond, _, _ := d.arriving(window)
	topic := p.Events.String()
	if silent := at.Sub(d.moved); silent >= shortWindow {
		f.add(event.Critical, TrafficLow, topic, d.moved, "no events for "+span(silent)+", usually "+pace(about(u.middle)))
	} else {
		f.add(event.Warning, TrafficLow, topic, d.fell(u), pace(perSecond)+", usually "+pace(about(u.middle)))
	}
	f.touches("whoever acts on "+p.Predictions.String(), plural(len(p.Partitions), "partition", "partitions")+" of "+topic+", lag "+strconv.FormatInt(p.Lag, 10))
	f.next("", "ask whoever writes "+topic+": less reaches the topic; look for a release, a network or a producer that failed at that time")
}

// strays is how many times as far below the middle a pace over a window is as the usual counts stray.
func strays(u *usual, perSecond float64, window time.Duration) float64 {
	root := func(perSecond float64) float64 { return math.Sqrt(max(perSecond, 0) * window.Seconds()) }
	return (root(u.middle) - root(perSecond)) / max(poissonStray*math.Sqrt(max(u.with[0], 1)), (root(u.middle)-root(u.edge))/tenth)
}

// How many standard deviations from the middle a normal distribution's outer tenth begins, and its outer twentieth.
const tenth, twentieth = 1.28, 1.64

// fell is when the pace fell below what is near the usual one.
func (d *deviations) fell(u *usual) time.Time {
	since := u.began
	for i := len(d.samples) - 1; i > 0; i-- {
		a, b := d.samples[i-1], d.samples[i]
		if !b.at.After(u.began) && float64(b.arrived-a.arrived) >= backRatio*u.middle*b.at.Sub(a.at).Seconds() {
			break
		}
		if a.at.Before(since) {
			since = a.at
		}
	}
	u.began = since // later the samples are forgotten
	return since
}

// latency tells of a rise of the latency, and where it comes from as far as the figures tell.
func (d *deviations) latency(at time.Time, p *pipeline.Snapshot, f *finder) {
	arriving, _, known := d.arriving(shortWindow)
	wait := time.Duration(0) // in the topic, by Little's law
	if known && p.Lag > 0 {
		wait = time.Duration(float64(p.Lag) / max(arriving, 1) * float64(time.Second))
	}
	if wait > behind {
		d.behindAt = at
	} else if at.Sub(d.behindAt) < latencyWindow { // it has caught up, and the minute remembers
		d.noDelay = later(d.noDelay, d.behindAt.Add(latencyWindow))
	}
	if wait > behind && p.DrainsIn > 0 { // it catches up: that is no news, and the pane says for how long
		d.noDelay = at.Add(latencyWindow)
	}
	if p.Features.State == "slow" || p.Features.State == "down" { // which is said already
		d.noDelay = at.Add(latencyWindow)
		d.endToEnd.close()
		d.processing.close()
	}
	quiet := at.Before(d.quiet) || at.Before(d.noDelay)
	judge := func(u *usual, q *pipeline.Quantiles) {
		if q.Count < leastEvents {
			u.close()
			return
		}
		far, near := false, false
		if u.fresh(at) {
			stray := max(leastStray, math.Log(u.edge/max(u.middle, 0.001))/twentieth)
			far = rose(q.P90, u.middle, 1) && math.Log(q.P90/max(u.middle, 0.001)) > slowSpread*stray &&
				(q.P90 > rareRatio*u.with[1] || rose(q.P50, u.with[0], 1))
			near = !rose(q.P90, u.middle, 0.5)
		}
		u.step(at, q.P90, with{q.P50, q.P99}, far, near, quiet)
	}
	judge(&d.endToEnd, &p.EndToEnd)
	judge(&d.processing, &p.Processing)
	u, q := &d.endToEnd, &p.EndToEnd
	if !u.open {
		u, q = &d.processing, &p.Processing
	}
	if !u.open {
		return
	}
	if known && d.processing.open && at.Sub(d.processing.began) > 2*recently && d.waited(recently, arriving) < overBelow*p.Processing.P90 {
		d.endToEnd.close()
		d.processing.close()
		d.noDelay = at.Add(latencyWindow)
		return
	}
	topic := p.Events.String()
	message := "p90 " + millis(q.P90) + ", usually " + millis(u.middle)
	if rose(q.P50, u.with[0], 0.5) {
		message = "p50 " + millis(q.P50) + ", usually " + millis(u.with[0])
	}
	f.add(event.Warning, LatencyHigh, topic, u.began, message)
	where, next := "the events come late: their own times are old when they reach the topic",
		"ask whoever writes "+topic+": look for a backlog, a retry or a wrong clock there; weir itself takes no longer than usual"
	switch {
	case d.processing.open:
		where = "processing takes p90 " + millis(p.Processing.P90) + ", usually " + millis(d.processing.middle) + ", from taking a record to the broker's acknowledgement"
		next = "check the broker first: slow disks, network, replicas out of sync; then the model server, if there is one, and this machine"
	case wait <= behind && at.Sub(d.behindAt) < latencyWindow:
		where, next = "records waited in the topic until "+span(at.Sub(d.behindAt))+" ago", "it has caught up, and the last minute remembers: look for what held it up then"
	case float64(wait)/float64(time.Millisecond) > q.P50/2 && wait > time.Second:
		where = fmt.Sprintf("records wait in the topic: lag %d, about %s", p.Lag, millis(float64(wait)/float64(time.Millisecond)))
		next = "more comes than goes, or fetching is slow: check the broker and this machine; another worker in the group would take over some partitions"
	}
	f.touches(where, "whoever acts on "+p.Predictions.String())
	f.next("", next)
}

// backlog tells of a lag that grows far beyond the usual one. A partition's verdict does not always: it asks that no single
// commit lowered the lag, and one batch of a partition does.
func (d *deviations) backlog(at time.Time, p *pipeline.Snapshot, f *finder) {
	arriving, _, ok := d.arriving(shortWindow)
	if !ok {
		return
	}
	u, waits, floor := &d.waits, d.waited(shortWindow, arriving), float64(behind/time.Millisecond)
	far, near := false, false
	if u.fresh(at) {
		grows := true
		for _, x := range d.samples {
			grows = grows && (at.Sub(x.at) < shortWindow/2 || at.Sub(x.at) > 2*shortWindow || x.lag < p.Lag)
		}
		far = grows && waits > slowRatio*u.middle && waits > u.middle+floor // how far it strays is no measure: it grows slowly
		near = waits < slowRatio/2*u.middle || waits < u.middle+floor/2
	}
	u.step(at, waits, with{}, far, near, at.Before(d.quiet) || at.Before(d.noDelay))
	if !u.open {
		return
	}
	topic := p.Events.String()
	f.add(event.Warning, LagHigh, topic, u.began, fmt.Sprintf("lag %d, about %s behind", p.Lag, millis(waits)))
	f.touches("whoever acts on "+p.Predictions.String(), plural(len(p.Partitions), "partition", "partitions")+" of "+topic)
	f.next("", "more comes than goes: check the broker and this machine; another worker in the group would take over some partitions")
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// rose tells whether a latency is above the usual one by the ratio and by the floor, or by a part of them.
func rose(ms, usually, part float64) bool {
	return ms > part*slowRatio*usually && ms > usually+part*slowFloor
}

// The rules that compare with the recent past.
const (
	LatencyHigh = "latency high"
	TrafficLow  = "traffic low"
	LagHigh     = "lag high"
)

// millis writes milliseconds: 8.2 ms, 310 ms, 3.9 s, 52 s, 3m20s.
func millis(ms float64) string {
	switch {
	case ms < 9.95:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 999.5:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	case ms < 9950:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	}
	return span(time.Duration(ms * float64(time.Millisecond)))
}

// span writes a time in whole seconds: 40 s, 3m20s.
func span(t time.Duration) string {
	if t = t.Round(time.Second); t < 100*time.Second {
		return strconv.Itoa(int(t/time.Second)) + " s"
	}
	return t.String()
}

// about rounds to two digits: what is usual is not known any better.
func about(v float64) float64 {
	if v < 10 {
		return v
	}
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return math.Round(v/unit) * unit
}

// pace writes events a second: 0.4/s, 210/s, 2,000/s.
func pace(perSecond float64) string {
	if perSecond < 9.95 {
		return strconv.FormatFloat(perSecond, 'f', 1, 64) + "/s"
	}
	s := strconv.FormatInt(int64(math.Round(perSecond)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s + "/s"
}
