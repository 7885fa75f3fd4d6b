package views

import (
	"math"
	"strings"
	"time"

	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// throughputDetail is what enter opens in the throughput pane: a partition with its newest records and its dead
// letters, one record, or one dead letter.
func (s *Scene) throughputDetail(page Page, path []Level, w, h int) Page {
	p := s.Snap.Pipeline
	page.Sections = nil
	key := path[len(path)-1].Key
	if path[0].Section == deadSection || len(path) > 2 {
		if len(path) > 2 {
			page.Crumbs = []string{"partition " + path[1].Key}
		}
		if strings.HasPrefix(key, letterSign) {
			return s.letter(page, key, w)
		}
		return s.record(page, key, w)
	}
	page.Crumbs = []string{"partition " + key}
	for i := range p.Partitions {
		if digits(int64(p.Partitions[i].Partition)) == key {
			return s.partition(page, &p.Partitions[i], path[1], w, h)
		}
	}
	page.Missing, page.Empty = true, "Partition "+key+" was not assigned to this process at this moment."
	return page
}

// partition is one partition: how it keeps up, its newest records, its dead letters.
func (s *Scene) partition(page Page, part *pipeline.Partition, level Level, w, h int) Page {
	page.Sections = []string{"Records", "Dead letters"}
	style, sign := s.verdict(part.Verdict)
	f := s.facts(w)
	f.add("verdict", style, sign+" "+string(part.Verdict)+verdictMeans[part.Verdict])
	f.add("lag", Strong, count(part.Lag)+" records behind the high watermark, "+rate(part.EventsPerSecond)+" ev/s")
	f.add("offset", Plain, digits(part.Offset)+" is next to be committed, end "+digits(part.HighWatermark)+", last record "+s.since(part.LastRecord))
	page.Head = append(f.rows, s.NewLine(w).String())
	if charted := min(h/4, 9); charted >= 6 {
		page.Head = append(page.Head, s.chart("lag", true, w, charted, short, func(x *timeline.Snapshot) float64 {
			return partitionLag(x, part.Partition)
		})...)
		page.Head = append(page.Head, s.NewLine(w).String())
	}
	if level.Section == 1 {
		return s.browse(page, part.Partition, level, w)
	}
	return s.watched(page, pipeline.WatchTarget{Partition: part.Partition, Bin: -1}, []string{"browse", "records", digits(int64(part.Partition))}, w)
}

// watched is the list of the newest records of a target.
func (s *Scene) watched(page Page, target pipeline.WatchTarget, ask []string, w int) Page {
	page.Ask = ask
	x, looked := watchedRecords(s.Snap.Pipeline, target)
	switch {
	case looked:
		page.Table = s.records(x.Records)
		page.Opens, page.Opened = true, "record"
		page.Empty = "No record has come since " + s.clock(x.Since) + ", when watching began."
		if n := x.Matched; n > uint64(len(x.Records)) {
			page.Foot = []string{s.NewLine(w).Put(Faint, "the newest "+count(len(x.Records))+" of "+count(n)+" since "+s.clock(x.Since)+", when watching began").String()}
		}
	case s.Live && !s.Recording:
		page.Table.Columns = s.records(nil).Columns
		page.Empty = "Watching: new records will appear here in a moment."
	default:
		page.Table.Columns = s.records(nil).Columns
		page.Empty = "Nobody was watching these records at this moment, so none were kept. Press l for live; :inspect PARTITION/OFFSET reads an older one."
	}
	return page
}

var verdictMeans = map[pipeline.Verdict]string{
	pipeline.VerdictOK:     ": it keeps up",
	pipeline.VerdictWarn:   ": the lag is not falling",
	pipeline.VerdictStall:  ": the offset is not moving although there is lag",
	pipeline.VerdictStop:   ": no commit for longer than the window although new records arrived",
	pipeline.VerdictRewind: ": the offset went back",
}

var stageMeans = map[string]string{
	"decode":   ": the bytes are not an event",
	"entity":   ": the event names no entity",
	"features": ": a feature is missing",
	"score":    ": the model gave no number",
}

func (s *Scene) storeAndModel(p *pipeline.Snapshot, w int) []string {
	f := s.facts(w)
	m := &p.Model
	f.head("model")
	f.add("version", Strong, or(m.Version.String(), "not loaded"))
	f.add("kind", Plain, or(m.Kind.String(), "–"))
	f.add("source", Plain, or(m.Source.String(), "–"))
	f.add("loaded", Plain, s.ago(m.Loaded))
	f.add("scoring", Plain, fixed(m.ScoreMicros, 2)+" "+s.Theme.Glyphs.Micro+"s an event")
	names := make([]string, len(m.Features))
	for i, n := range m.Features {
		names[i] = n.String()
	}
	f.add("features", Plain, or(strings.Join(names, ", "), "–"))
	f.gap()
	f.head("feature store")
	x := &p.Features
	style, sign := s.storeState(x.State)
	since := ""
	if !x.Since.IsZero() {
		since = " for " + span(s.Snap.At.Sub(x.Since))
	}
	f.add("state", style, sign+" "+or(x.State, "-")+since)
	f.add("url", Plain, x.URL.String())
	f.add("latency", Plain, "p50 "+millis(x.LatencyP50)+", p99 "+millis(x.LatencyP99)+" a request")
	f.add("requests", Plain, count(x.Requests)+", "+count(x.Errors)+" failed")
	hit := math.NaN()
	if n := x.Hits + x.Misses; n > 0 {
		hit = float64(x.Hits) / float64(n)
	}
	f.add("cache", Plain, count(x.CacheLength)+" entities, "+percent(hit)+" answered from it")
	f.add("missing", Plain, count(x.Missing)+" values, policy "+or(x.OnMissing, "–"))
	if !x.LastError.IsEmpty() {
		f.add("last error", Bad, x.LastError.String())
	}
	if len(p.Features.Drift) > 0 {
		f.gap()
		f.head("drift of features, against their baseline")
		for i := range p.Features.Drift {
			d := &p.Features.Drift[i]
			style, sign, text := Faint, s.Theme.Glyphs.Unknown, "too few values to tell"
			if !math.IsNaN(d.PSI) {
				style, sign, text = Good, s.Theme.Glyphs.OK, "steady"
				if isOpen(s.Snap, "feature drifted", d.Name.String()) {
					style, sign, text = Warn, s.Theme.Glyphs.Watch, "drifted"
				}
				text += ", PSI " + fixed(d.PSI, 3) + ", threshold " + fixed(d.Threshold, 3)
			}
			if !math.IsNaN(d.Missing) {
				text += ", " + percent(d.Missing) + " missing"
			}
			l := s.NewLine(w).Put(style, sign+" ").Field(Plain, s.Theme.clipMiddle(d.Name.String(), 36), 36, false)
			f.rows = append(f.rows, l.Space(1).Put(style, text).String())
		}
	}
	f.gap()
	f.head("pipeline")
	f.add("state", Plain, string(p.State)+" for "+span(s.Snap.At.Sub(p.Since)))
	f.add("group", Plain, p.Group.String()+", "+p.Delivery)
	if p.GroupLag >= 0 && len(p.All) > 0 {
		f.add("group's lag", Plain, count(p.GroupLag)+" over "+plural(len(p.All), "partition", "partitions"))
	}
	if p.Overtaken > 0 {
		f.add("lost", Bad, count(p.Overtaken)+" records, deleted by the topic's retention before they were taken")
	}
	f.add("consumed", Plain, count(p.Consumed)+" records since the start, "+count(p.Redelivered)+" of them redelivered")
	f.add("predicted", Plain, count(p.Predicted)+" to "+p.Predictions.String())
	f.add("dead letters", Plain, count(p.DeadLettered)+" to "+p.DeadLetters.String())
	f.add("end to end", Plain, quantiles(p.EndToEnd))
	f.add("processing", Plain, quantiles(p.Processing))
	return f.rows
}

func quantiles(q pipeline.Quantiles) string {
	if q.Count == 0 {
		return "no data"
	}
	return "p50 " + millis(q.P50) + ", p90 " + millis(q.P90) + ", p99 " + millis(q.P99) + ", max " + millis(q.Max)
}

func (s *Scene) storeState(state string) (Style, string) {
	g := s.Theme.Glyphs
	switch state {
	case "ok":
		return Good, g.OK
	case "slow":
		return Warn, g.Watch
	case "down":
		return Bad, g.Trouble
	}
	return Faint, g.Unknown
}

func (s *Scene) hostFacts(w int) []string {
	h := s.Snap.Host
	f := s.facts(w)
	if h == nil {
		f.text(Faint, "Nothing is known about this machine yet.")
		return f.rows
	}
	share := func(name string, v float64, more string) {
		l := s.NewLine(w).Field(Faint, name, factWidth, false)
		if math.IsNaN(v) || v < 0 {
			f.rows = append(f.rows, l.Put(Faint, "no data").String())
			return
		}
		l.bar(24, v/100, -1)
		f.rows = append(f.rows, l.Space(2).Field(Strong, percent(v/100), 5, true).Space(2).Put(Plain, more).String())
	}
	f.head("machine " + h.Name.String())
	share("cpu", h.CPUPercent, plural(h.Cores, "core", "cores")+", load "+fixed(h.Load1, 2))
	share("memory", h.MemoryPercent, bytesText(float64(h.MemoryUsed))+" of "+bytesText(float64(h.MemoryTotal)))
	share("disk", h.DiskPercent, bytesText(float64(h.DiskFree))+" free")
	f.add("network", Plain, bytesText(h.NetReceived)+"/s in, "+bytesText(h.NetSent)+"/s out")
	f.gap()
	f.head("this process")
	f.add("cpu", Plain, fixed(h.Process.CPUPercent, 0)+"% of one core")
	f.add("memory", Plain, bytesText(float64(h.Process.RSS))+" resident, "+bytesText(float64(h.Process.HeapInUse))+" of heap in use")
	f.add("goroutines", Plain, count(h.Process.Goroutines))
	f.add("open files", Plain, count(int(h.Process.FileHandles)))
	f.add("up", Plain, span(h.Process.Uptime))
	if !h.Error.IsEmpty() {
		f.add("error", Bad, h.Error.String())
	}
	return f.rows
}

// facts is a text of names and values.
type facts struct {
	scene *Scene
	w     int
	rows  []string
}

const factWidth = 14

func (s *Scene) facts(w int) *facts { return &facts{scene: s, w: w} }

// add writes a value beside its name, on as many rows as it needs.
func (f *facts) add(name string, style Style, value string) {
	t := f.scene.Theme
	for i, row := range t.wrap(or(value, "–"), f.w-factWidth) {
		if i > 0 {
			name = ""
		}
		f.rows = append(f.rows, t.NewLine(f.w).Field(Faint, name, factWidth, false).Put(style, row).String())
	}
}

func (f *facts) head(name string) {
	f.rows = append(f.rows, f.scene.NewLine(f.w).Put(Accent, strings.ToUpper(name)).String())
}

func (f *facts) gap() { f.rows = append(f.rows, f.scene.NewLine(f.w).String()) }

func (f *facts) text(style Style, text string) {
	for _, row := range f.scene.Theme.wrap(text, f.w) {
		f.rows = append(f.rows, f.scene.NewLine(f.w).Put(style, row).String())
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// NewLine starts a row in the scene's theme.
func (s *Scene) NewLine(w int) *Line { return s.Theme.NewLine(w) }

// spark is the course of a figure over the last n ticks, newest last.
func (s *Scene) spark(n int, value func(*timeline.Snapshot) float64) string {
	values := make([]float64, 0, n)
	for _, x := range s.Past[max(len(s.Past)-n, 0):] {
		values = append(values, value(x))
	}
	return s.Theme.spark(values)
}

// clock is a time of day in the scene's zone.
func (s *Scene) clock(at time.Time) string {
	if at.IsZero() {
		return "–       "
	}
	return at.In(s.Zone).Format("15:04:05")
}

// since is how long before the scene's moment something was.
func (s *Scene) since(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return span(max(s.Snap.At.Sub(at), 0)) + " ago"
}

// ago is a time of day and how long before the scene's moment it was.
func (s *Scene) ago(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	d := s.Snap.At.Sub(at)
	if d < 0 {
		return s.clock(at) + ", in " + span(-d)
	}
	return s.clock(at) + ", " + span(d) + " ago"
}
