package incident

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

// Find is what is wrong in one snapshot. Since is zero where the snapshot does not tell.
func Find(s *timeline.Snapshot) []timeline.Incident {
	f := &finder{}
	for i := range s.Engines {
		if e := &s.Engines[i]; e.State == timeline.EngineFailed {
			f.add(event.Critical, "engine failed", e.Name, e.Since, e.Error.String())
			f.next("", "it is started again by itself, with growing pauses; its error says what it lacks")
		}
	}
	if s.Pipeline != nil {
		f.pipeline(s.Pipeline, s.PipelineStopped())
	}
	if s.Mesh != nil {
		for i := range s.Mesh.Products {
			f.product(&s.Mesh.Products[i])
		}
	}
	if s.Edge != nil {
		f.fleet(s.Edge)
	}
	if h := s.Host; h != nil && h.DiskPercent >= nearlyFull {
		f.add(event.Warning, "disk nearly full", h.Name.String(), time.Time{}, fmt.Sprintf("%.0f %% used", h.DiskPercent))
		f.next("", "make room: the outbox and the recordings are written there")
	}
	if h := s.Host; h != nil && h.MemoryPercent >= nearlyFull {
		f.add(event.Warning, "memory nearly full", h.Name.String(), time.Time{}, fmt.Sprintf("%.0f %% used", h.MemoryPercent))
		f.next("", "see which process takes it, before the system ends one")
	}
	return f.list
}

// nearlyFull is the percentage from which a disk or memory is one to look after.
const nearlyFull = 95

type finder struct{ list []timeline.Incident }

func (f *finder) add(severity event.Severity, rule, subject string, since time.Time, message string) {
	f.list = append(f.list, timeline.Incident{Rule: rule, Subject: safetext.Clean(subject), Severity: severity, Since: since, Message: safetext.Clean(message)})
}

func (f *finder) last() *timeline.Incident { return &f.list[len(f.list)-1] }

func (f *finder) touches(what ...string) {
	for _, w := range what {
		f.last().Touches = append(f.last().Touches, safetext.Clean(w))
	}
}

func (f *finder) next(command, what string) {
	f.last().Command, f.last().Next = command, safetext.Clean(what)
}

func (f *finder) pipeline(p *pipeline.Snapshot, stopped bool) {
	topic := p.Events.String()
	all := fmt.Sprintf("%d partitions of %s, lag %d", len(p.Partitions), topic, p.Lag)
	switch p.State {
	case pipeline.Waiting:
		f.add(event.Critical, "pipeline waits", topic, p.Since, p.Waiting.String())
		f.touches(all, "nothing is predicted meanwhile, nothing is lost")
		f.next("", "bring back what it waits for; it goes on by itself")
	case pipeline.Paused:
		f.add(event.Warning, "pipeline paused", topic, p.Since, "by command")
		f.touches(all)
		f.next("resume", "let it go on when the reason is over")
	}
	if stopped {
		f.add(event.Critical, "pipeline stopped", topic, p.Since, "the engine has stopped")
		f.touches(all)
		f.next("resume", "let it go on")
	}
	if p.State == pipeline.Running {
		f.verdicts(p, topic)
	}
	if share, too := p.LosesTooMany(); too {
		f.add(event.Warning, "dead letters", topic, time.Time{}, fmt.Sprintf("%.1f %% of the last minute's records", 100*share))
		f.touches(deadReasons(p)...)
		f.next("", "see their reasons and bytes; tell who writes "+topic+", then replay what can be mended")
	}
	since := p.Features.Since
	switch p.Features.State {
	case "down":
		f.add(event.Critical, "feature store down", "feature store", since, p.Features.URL.String()+" does not answer")
		f.touches("every prediction")
		f.next("", "look after the store; batches wait for it and nothing is made up")
	case "slow":
		f.add(event.Warning, "feature store slow", "feature store", since, fmt.Sprintf("p99 %.0f ms a request", p.Features.LatencyP99))
		f.touches("latency of every prediction")
		f.next("", "look after the store; the cache bridges what it holds")
	}
	for i := range p.Features.Drift {
		if d := &p.Features.Drift[i]; d.PSI > d.Threshold {
			f.add(event.Warning, "feature drifted", d.Name.String(), time.Time{}, fmt.Sprintf("PSI %.3f, by chance up to %.3f", d.PSI, d.Threshold))
			f.touches("model " + p.Model.Version.String())
			f.next("", "see whether its source changed; if the world did, train anew")
		}
	}
	if p.PSIThreshold > 0 && p.PSI > p.PSIThreshold {
		f.add(event.Warning, "predictions drifted", p.Model.Version.String(), time.Time{}, fmt.Sprintf("PSI %.3f, by chance up to %.3f", p.PSI, p.PSIThreshold))
		f.touches("whoever acts on " + p.Predictions.String())
		f.next("model rollback", "see which bins grew, then which feature moved; go back to the model before it if it is new")
	}
}

// deadReasons is why the newest dead letters are there, the most frequent reason first.
func deadReasons(p *pipeline.Snapshot) []string {
	count := map[string]int{}
	for i := range p.Dead {
		count[p.Dead[i].Stage+": "+p.Dead[i].Reason.String()]++
	}
	list := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(count[b]-count[a], strings.Compare(a, b))
	})
	for i, r := range list {
		list[i] = fmt.Sprintf("%s (%d of the newest %d)", r, count[r], len(p.Dead))
	}
	return few(list, 4)
}

// verdicts tells of partitions that do not go on as they should, those of one verdict together.
func (f *finder) verdicts(p *pipeline.Snapshot, topic string) {
	by := map[pipeline.Verdict][]string{}
	for i := range p.Partitions {
		if x := &p.Partitions[i]; x.Verdict != "" && x.Verdict != pipeline.VerdictOK {
			by[x.Verdict] = append(by[x.Verdict], fmt.Sprintf("p%d, lag %d", x.Partition, x.Lag))
		}
	}
	for _, v := range slices.Sorted(maps.Keys(by)) {
		severity, message, next := event.Critical, "offsets do not move though records wait", "see the partition's newest records: one may keep the batch from ending"
		switch v {
		case pipeline.VerdictWarn:
			severity, message, next = event.Warning, "the lag does not fall", "see whether it grows; another worker in the group takes partitions over"
		case pipeline.VerdictStop:
			message, next = "no offset was committed for the whole window", "see whether anybody of the group is there"
		case pipeline.VerdictRewind:
			message, next = "the offset went back", "see the events: was it sought back on purpose?"
		}
		f.add(severity, "partitions "+string(v), topic, time.Time{}, message)
		f.touches(few(by[v], 6)...)
		f.next("", next)
	}
}

func (f *finder) product(p *mesh.Product) {
	subject := p.Domain.String() + "/" + p.Name.String()
	switch p.State {
	case mesh.Broken:
		message := "a rule does not hold"
		if len(p.Issues) > 0 {
			message = p.Issues[0].Message.String()
			if n := len(p.Issues) - 1; n > 0 {
				message += fmt.Sprintf(", and %d more", n)
			}
		}
		f.add(event.Critical, "contract broken", subject, p.Since, message)
		f.touches(consumers(p)...)
		f.next("", "see the failing rows, then tell "+or(names(p.Owners), "its owners: the contract names none"))
	case mesh.Bad:
		f.add(event.Warning, "contract unreadable", subject, p.Since, p.Error.String())
		f.touches("the rules last read stay in force")
		f.next("", "mend "+p.Path.String()+"; weir products lint names the line")
	case mesh.Waiting:
		f.add(event.Warning, "contract not judged", subject, p.Since, p.Error.String())
		f.touches(consumers(p)...)
		f.next("", "bring back its feed "+p.Feed.String())
	}
}

// consumers is who lives on a product: whom its contract names, and the products made of it.
func consumers(p *mesh.Product) []string {
	var list []string
	for _, c := range p.Consumers {
		list = append(list, c.String())
	}
	for _, l := range p.Downstream {
		if l.Kind == mesh.LinkProduct || l.Kind == mesh.LinkConsumer {
			if n := l.Name.String(); !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return few(list, 8)
}

// fleetRules are the states of nodes that are incidents, and what each asks for.
var fleetRules = []struct {
	state    edge.State
	severity event.Severity
	message  string
	command  string
	next     string
}{
	{edge.Down, event.Critical, "do not answer", "poll", "see their errors: all of one site points at its network"},
	{edge.Invalid, event.Critical, "answer nonsense", "", "see the last answer; their figures are left out of every total"},
	{edge.Flapping, event.Warning, "come and go", "", "see their changes of state; their network or their power is loose"},
	{edge.Skewed, event.Warning, "have wrong clocks", "", "set their clocks: freshness cannot be told"},
	{edge.Stale, event.Warning, "answer with old data", "", "see what feeds them: they are reachable"},
	{edge.Slow, event.Warning, "answer slowly", "", "see their latency over time"},
}

func (f *finder) fleet(e *edge.Snapshot) {
	for _, r := range fleetRules {
		n := e.ByState[r.state]
		if n == 0 {
			continue
		}
		sites := map[string][]string{}
		since := time.Time{}
		for i := range e.NodeData {
			x := e.NodeData[i]
			if x.State != r.state {
				continue
			}
			site := x.Labels["site"].String()
			sites[site] = append(sites[site], x.Name.String())
			if since.IsZero() || x.Since.Before(since) {
				since = x.Since
			}
		}
		f.add(r.severity, "nodes "+string(r.state), "fleet", since, fmt.Sprintf("%d of %d %s", n, e.Nodes, r.message))
		var list []string
		for _, site := range slices.Sorted(maps.Keys(sites)) {
			text := strings.Join(few(sites[site], 3), ", ")
			if site != "" {
				text = site + ": " + text
			}
			list = append(list, text)
		}
		f.touches(few(list, 6)...)
		f.next(r.command, r.next)
	}
	c := &e.Cloud
	waiting := fmt.Sprintf("the outbox: %d waiting", c.Outbox)
	switch c.State {
	case edge.CloudRefused:
		f.add(event.Critical, "cloud refuses", "cloud", c.Since, or(c.Error.String(), c.URL.String()+" refused the last aggregate"))
		f.touches(waiting)
		f.next("", "see the refusal: the same aggregate is not sent again")
	case edge.CloudDown:
		f.add(event.Warning, "cloud down", "cloud", c.Since, or(c.Error.String(), c.URL.String()+" does not take the aggregates"))
		f.touches(waiting)
		f.next("sync", "look after the cloud; what waits is sent by itself, the oldest first")
	}
}

// few is the first of a list, and how many more there are.
func few(list []string, n int) []string {
	if len(list) <= n {
		return list
	}
	return append(slices.Clone(list[:n-1]), fmt.Sprintf("+%d more", len(list)-n+1))
}

func names(list []safetext.Text) string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = t.String()
	}
	return strings.Join(out, ", ")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
