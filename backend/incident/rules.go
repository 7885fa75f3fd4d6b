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

// Find is what is wrong in one snapshot, seen by itself. Since is zero where the snapshot does not tell.
func Find(s *timeline.Snapshot) []timeline.Incident {
	f := &finder{drifted: func(_, _ string, index, threshold float64) bool { return index > threshold }}
	f.find(s)
	return f.list
}

// find is Find, with the finder's own idea of what is drift.
func (f *finder) find(s *timeline.Snapshot) {
	for i := range s.Engines {
		if e := &s.Engines[i]; e.State == timeline.EngineFailed {
			f.add(event.Critical, "engine failed", e.Name, e.Since, e.Error.String())
			f.next("", "it restarts by itself, with growing pauses; its error says what is missing")
		}
	}
	if s.Pipeline != nil {
		f.pipeline(s.Pipeline, s.PipelineStopped())
	}
	if s.Mesh != nil {
		f.mesh(s.Mesh)
	}
	if s.Edge != nil {
		f.fleet(s.Edge)
	}
	if h := s.Host; h != nil && h.DiskPercent >= nearlyFull {
		f.add(event.Warning, "disk nearly full", h.Name.String(), time.Time{}, fmt.Sprintf("%.0f%% used", h.DiskPercent))
		f.next("", "free some space: the outbox and the recordings are written there")
	}
	if h := s.Host; h != nil && h.MemoryPercent >= nearlyFull {
		f.add(event.Warning, "memory nearly full", h.Name.String(), time.Time{}, fmt.Sprintf("%.0f%% used", h.MemoryPercent))
		f.next("", "find the process that uses it before the system kills one")
	}
}

// nearlyFull is the percentage from which a disk or memory is one to look after.
const nearlyFull = 95

// The rules of drift.
const (
	FeatureDrifted     = "feature drifted"
	PredictionsDrifted = "predictions drifted"
)

type finder struct {
	list []timeline.Incident
	// drifted tells whether an index of drift, of a rule and a subject, is an incident at its threshold.
	drifted func(rule, subject string, index, threshold float64) bool
}

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
	all := "everything that reads " + p.Predictions.String()
	if len(p.Partitions) > 0 { // without any, the lag is not zero but unknown
		all = fmt.Sprintf("%s of %s, lag %d", plural(len(p.Partitions), "partition", "partitions"), topic, p.Lag)
	}
	switch p.State {
	case pipeline.Waiting:
		f.add(event.Critical, "pipeline waits", topic, p.Since, p.Waiting.String())
		f.touches(all, "nothing is predicted meanwhile, nothing is lost")
		f.next("", "restore what it is waiting for; it resumes by itself")
	case pipeline.Paused:
		f.add(event.Warning, "pipeline paused", topic, p.Since, "by command")
		f.touches(all)
		f.next("resume", "resume it once the reason is gone")
	}
	if stopped {
		f.add(event.Critical, "pipeline stopped", topic, p.Since, "the engine has stopped")
		f.touches(all)
		f.next("resume", "resume it")
	}
	if p.State == pipeline.Running {
		f.verdicts(p, topic)
	}
	if share, too := p.LosesTooMany(); too {
		f.deadLetters(p, time.Time{}, fmt.Sprintf("%.1f%% of the last minute's records", 100*share))
	}
	since := p.Features.Since
	switch p.Features.State {
	case "down":
		f.add(event.Critical, "feature store down", "feature store", since, p.Features.URL.String()+" does not answer")
		f.touches("every prediction")
		f.next("", "fix the store; batches wait for it, and no value is made up")
	case "slow":
		f.add(event.Warning, "feature store slow", "feature store", since, fmt.Sprintf("p99 %.0f ms a request", p.Features.LatencyP99))
		f.touches("latency of every prediction")
		f.next("", "check the store; the cache covers what it holds")
	}
	for i := range p.Features.Drift {
		if d := &p.Features.Drift[i]; f.drifted(FeatureDrifted, d.Name.String(), d.PSI, d.Threshold) {
			f.add(event.Warning, FeatureDrifted, d.Name.String(), time.Time{}, fmt.Sprintf("PSI %.3f, threshold %.3f", d.PSI, d.Threshold))
			f.touches("model " + p.Model.Version.String())
			f.next("", "check whether its source changed; if the world itself did, retrain the model")
		}
	}
	if p.PSIThreshold > 0 && f.drifted(PredictionsDrifted, p.Model.Version.String(), p.PSI, p.PSIThreshold) {
		f.add(event.Warning, PredictionsDrifted, p.Model.Version.String(), time.Time{}, fmt.Sprintf("PSI %.3f, threshold %.3f", p.PSI, p.PSIThreshold))
		f.touches("whoever acts on " + p.Predictions.String())
		f.next("model rollback", "see which bins grew, then which feature moved; if the model is new, roll it back")
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
			by[x.Verdict] = append(by[x.Verdict], fmt.Sprintf("p%d, lag %d", x.Partition, x.Lag)+hot(p, x.Partition))
		}
	}
	for _, v := range slices.Sorted(maps.Keys(by)) {
		severity, message, next := event.Critical, "offsets are not moving although records are waiting", "look at the partition's newest records: one of them may be blocking the batch"
		switch v {
		case pipeline.VerdictWarn:
			severity, message, next = event.Warning, "the lag is not falling", "check whether it grows; another worker in the group would take over some partitions"
		case pipeline.VerdictStop:
			message, next = "no offset was committed in the whole window", "check whether any member of the group is running"
		case pipeline.VerdictRewind:
			message, next = "the offset went back", "check the events: was it a deliberate :seek?"
		}
		f.add(severity, "partitions "+string(v), topic, time.Time{}, message)
		f.touches(few(by[v], 6)...)
		f.next("", next)
	}
}

// hot says so when a partition takes at least half of what arrives, and twice its share: then no worker helps it.
func hot(p *pipeline.Snapshot, partition int32) string {
	total, its := 0.0, 0.0
	for i := range p.All {
		arriving := max(p.All[i].ArrivingPerSecond, 0)
		if total += arriving; p.All[i].Partition == partition {
			its = arriving
		}
	}
	if share := its / max(total, 1); share >= max(0.5, 2/float64(max(len(p.All), 1))) {
		return fmt.Sprintf(", hot: takes %.0f%% of what arrives", 100*share)
	}
	return ""
}

// mesh tells once of what keeps all contracts from being judged, then of the products with troubles of their own.
func (f *finder) mesh(m *mesh.Snapshot) {
	if !m.Error.IsEmpty() {
		f.add(event.Warning, "contracts outdated", or(m.Registry.String(), "registry"), time.Time{}, m.Error.String())
	}
	var same []string
	for i := range m.Products {
		p := &m.Products[i]
		if p.State == mesh.Waiting && !m.Error.IsEmpty() && p.Error == m.Error {
			same = append(same, p.Domain.String()+"/"+p.Name.String())
		}
	}
	if !m.Error.IsEmpty() {
		switch {
		case !m.Scanned:
			same = []string{"every contract: none could be read, so none is judged"}
		case same == nil:
			same = []string{"changes to contracts: the rules last read stay in force"} // judging goes on by them
		}
		f.touches(few(same, 6)...)
		f.next("", "the error says what is missing; once it is back, judging resumes by itself")
	}
	for i := range m.Products {
		if p := &m.Products[i]; p.State != mesh.Waiting || m.Error.IsEmpty() || p.Error != m.Error {
			f.product(p)
		}
	}
}

func (f *finder) product(p *mesh.Product) {
	subject := p.Domain.String() + "/" + p.Name.String()
	switch p.State {
	case mesh.Broken:
		message := "a rule is broken"
		if len(p.Issues) > 0 {
			message = p.Issues[0].Message.String()
			if n := len(p.Issues) - 1; n > 0 {
				message += fmt.Sprintf(", and %d more", n)
			}
		}
		f.add(event.Critical, "contract broken", subject, p.Since, message)
		f.touches(consumers(p)...)
		f.next("", "see the failing rows, then tell "+or(names(p.Owners), "its owners (the contract names none)"))
	case mesh.Bad:
		f.add(event.Warning, "contract unreadable", subject, p.Since, p.Error.String())
		f.touches("the rules last read stay in force")
		f.next("", "fix "+p.Path.String()+"; weir products lint names the line")
	case mesh.Waiting:
		f.add(event.Warning, "contract not judged", subject, p.Since, p.Error.String())
		f.touches(consumers(p)...)
		what := "what it waits for"
		if !p.Feed.IsEmpty() {
			what = "its feed " + p.Feed.String()
		}
		f.next("", "restore "+what)
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
	{edge.Down, event.Critical, "not answering", "poll", "check their errors: if a whole site is down, suspect its network"},
	{edge.Invalid, event.Critical, "sending invalid answers", "", "look at the last answer; their figures are left out of every total"},
	{edge.Flapping, event.Warning, "coming and going", "", "look at their changes of state; suspect a loose network or power connection"},
	{edge.Skewed, event.Warning, "with a wrong clock", "", "set their clocks: their freshness cannot be judged"},
	{edge.Stale, event.Warning, "answering with old data", "", "check what feeds them: the nodes themselves are reachable"},
	{edge.Slow, event.Warning, "answering slowly", "", "look at their latency over time"},
}

func (f *finder) fleet(e *edge.Snapshot) {
	for _, r := range fleetRules {
		n := e.ByState[r.state]
		if n == 0 {
			continue
		}
		sites, of := map[string][]string{}, map[string]int{} // the nodes in this state by site, and how many a site has
		since := time.Time{}
		for i := range e.NodeData {
			x := e.NodeData[i]
			site := x.Labels["site"].String()
			if of[site]++; x.State != r.state {
				continue
			}
			sites[site] = append(sites[site], x.Name.String())
			if since.IsZero() || x.Since.Before(since) {
				since = x.Since
			}
		}
		message := fmt.Sprintf("%d of %d %s", n, e.Nodes, r.message)
		for site, nodes := range sites {
			if site != "" && len(sites) == 1 && len(nodes) > 1 && len(nodes) == of[site] {
				message += ", all of site " + site
			}
		}
		f.add(r.severity, "nodes "+string(r.state), "fleet", since, message)
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
	if c.Dropped > 0 {
		waiting += fmt.Sprintf(", %d dropped for want of room", c.Dropped)
	}
	switch c.State {
	case edge.CloudRefused:
		f.add(event.Critical, "cloud refuses", "cloud", c.Since, or(c.Error.String(), c.URL.String()+" refused the last aggregate"))
		f.touches(waiting)
		f.next("", "read the refusal: the same aggregate is not sent again")
	case edge.CloudDown:
		f.add(event.Warning, "cloud down", "cloud", c.Since, or(c.Error.String(), c.URL.String()+" is not accepting the aggregates"))
		f.touches(waiting)
		f.next("sync", "check the cloud; what is waiting is sent by itself, oldest first")
		if strings.HasPrefix(c.Error.String(), "outbox: ") { // then the cloud is not to blame
			f.next("", "check the disk that holds the outbox; meanwhile only the newest aggregates are kept, in memory")
		}
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

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
