// Package viewstest builds timelines of literals for tests of the screen: a world in each of the states a screen must
// be able to show. It is used by tests and by the gallery, never by the program.
package viewstest

import (
	"fmt"
	"math"
	"time"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/host"
	"weir/backend/incident"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

// State is a state of the world.
type State string

// The states. Hostile is Broken with every text replaced by one that attacks the terminal; Starting has no snapshot.
const (
	Calm     State = "calm"
	Broken   State = "broken"
	Empty    State = "empty"
	Waiting  State = "waiting"
	Hostile  State = "hostile"
	Starting State = "starting"
)

// States are all of them.
var States = []State{Calm, Broken, Empty, Waiting, Hostile, Starting}

// Start is the moment of the last snapshot of every sample.
var Start = time.Date(2026, 11, 22, 7, 32, 7, 0, time.UTC)

// Size says how big the sample world is.
type Size struct{ Nodes, Partitions, Products, Ticks int }

// Usual is the demo world's size after five minutes.
var Usual = Size{Nodes: 14, Partitions: 6, Products: 6, Ticks: 300}

// Timeline is a sample world's past, one snapshot a second up to Start.
func Timeline(state State, size Size) *timeline.Timeline {
	t := timeline.New()
	if state == Starting {
		return t
	}
	incidents := incident.New()
	for i := range size.Ticks {
		x := Snapshot(state, size, i)
		x.Incidents = incidents.Step(x)
		t.Append(x)
	}
	return t
}

// Snapshot is the sample world's tick i of size.Ticks.
func Snapshot(state State, size Size, i int) *timeline.Snapshot {
	b := builder{state: state, size: size, i: i, left: size.Ticks - 1 - i}
	b.at = Start.Add(-time.Duration(b.left) * time.Second)
	s := &timeline.Snapshot{
		At: b.at, Tick: time.Second, World: b.text("demo"), Group: b.text("weir"), Host: b.host(),
		Engines: []timeline.Engine{{Name: "pipeline", State: timeline.EngineRunning}, {Name: "edge", State: timeline.EngineRunning},
			{Name: "mesh", State: timeline.EngineRunning}, {Name: "host", State: timeline.EngineRunning}},
	}
	if state == Empty {
		s.Pipeline = &pipeline.Snapshot{At: b.at, State: pipeline.Starting, Since: b.at, Events: b.text("user_events"),
			Predictions: b.text("predictions"), PSI: math.NaN(), PSIThreshold: math.NaN(), Features: pipeline.Features{State: "-"}}
		s.Edge = &edge.Snapshot{At: b.at, Quality: math.NaN(), QualityMean: math.NaN(), Cloud: edge.Cloud{State: edge.CloudIdle}}
		s.Mesh = &mesh.Snapshot{At: b.at, Registry: b.text("data-products"), Window: 5 * time.Minute}
		return s
	}
	s.Pipeline, s.Edge, s.Mesh, s.Events = b.pipeline(), b.edge(), b.mesh(), b.events()
	if state == Waiting {
		s.Engines[1] = timeline.Engine{Name: "edge", State: timeline.EngineFailed, Restarts: 3, RetryAt: b.at.Add(4 * time.Second),
			Error: b.text("edge: open outbox.db: permission denied")}
		s.Edge.At = b.at.Add(-40 * time.Second)
	}
	s.Incidents = incident.New().Step(s)
	return s
}

type builder struct {
	state   State
	size    Size
	i, left int
	at      time.Time
}

func (b builder) text(s string) safetext.Text {
	if b.state == Hostile {
		return safetext.Clean(Attacks[len(s)%len(Attacks)] + s)
	}
	return safetext.Clean(s)
}

// bad tells whether the trouble of a broken world has begun: it does in the last two minutes.
func (b builder) bad() bool { return (b.state == Broken || b.state == Hostile) && b.left < 120 }

// wave is a smooth, seeded wobble around 1.
func (b builder) wave(phase, depth float64) float64 {
	t := float64(b.i) + phase*100
	return 1 + depth*(0.6*math.Sin(t/23)+0.3*math.Sin(t/7.3)+0.1*math.Sin(t*1.7))
}

func (b builder) pipeline() *pipeline.Snapshot {
	p := &pipeline.Snapshot{
		At: b.at, State: pipeline.Running, Since: Start.Add(-22 * time.Minute), Group: b.text("weir"),
		Events: b.text("user_events"), Predictions: b.text("predictions"), DeadLetters: b.text("user_events.dead_letters"),
		Delivery: "at_least_once", Consumed: uint64(16_482_113 - 12480*b.left), Predicted: uint64(16_481_900 - 12480*b.left),
		DeadLettered: 213, Redelivered: 0, EventsPerSecond: 12480 * b.wave(0, 0.12),
		EndToEnd:   pipeline.Quantiles{P50: 3.1 * b.wave(1, 0.1), P90: 5.2, P99: 9.8 * b.wave(2, 0.3), Max: 31, Count: 748800},
		Processing: pipeline.Quantiles{P50: 1.1, P90: 2.2, P99: 4.4 * b.wave(2, 0.2), Max: 12, Count: 748800},
		Lag:        int64(1204 * b.wave(3, 0.4)), GroupLag: 2408, PSI: 0.031, PSIThreshold: 0.062,
		Features: pipeline.Features{State: "ok", Since: Start.Add(-22 * time.Minute), URL: b.text("http://127.0.0.1:6566"), Hits: 14_100_000,
			Misses: 2_300_000, Missing: 12, Requests: 61_000, LatencyP50: 1.2, LatencyP99: 4.9, CacheLength: 9_812, OnMissing: "dead_letter"},
		Model: pipeline.Model{Version: b.text("v2.1"), Source: b.text("model.onnx"), Kind: b.text("LinearClassifier"), Loaded: Start.Add(-22 * time.Minute),
			ScoreMicros: 0.42, Features: []safetext.Text{b.text("user_profile:age"), b.text("user_profile:location"), b.text("user_behavior:click_rate_24h"), b.text("user_behavior:purchase_history_30d")}},
	}
	p.Baseline = make([]float64, pipeline.Bins)
	total := 0.0
	for i := range p.Baseline {
		x := (float64(i) + 0.5) / pipeline.Bins
		p.Baseline[i] = math.Exp(-3.2*x) + 0.12*math.Exp(-(x-0.8)*(x-0.8)*40)
		total += p.Baseline[i]
	}
	for i := range p.Baseline {
		p.Baseline[i] /= total
		x := p.Baseline[i] * (1 + 0.15*math.Sin(float64(i)*2+float64(b.i)/30))
		if b.bad() {
			x += 0.03 * math.Exp(-(float64(i)-15)*(float64(i)-15)/6)
		}
		p.Histogram[i] = uint64(x * 748_800)
	}
	for i := range b.size.Partitions {
		part := pipeline.Partition{Partition: int32(i), Offset: int64(2_746_812 + i*1317 - 2080*b.left), EventsPerSecond: p.EventsPerSecond / float64(b.size.Partitions),
			Verdict: pipeline.VerdictOK, LastRecord: b.at.Add(-300 * time.Millisecond), Lag: p.Lag / int64(b.size.Partitions)}
		if b.bad() && i == 4%b.size.Partitions {
			part.Verdict, part.EventsPerSecond, part.Lag = pipeline.VerdictStall, 0, int64(2080*(120-b.left))
			p.Lag += part.Lag
		}
		part.HighWatermark = part.Offset + part.Lag
		p.Partitions = append(p.Partitions, part)
		p.All = append(p.All, pipeline.GroupPartition{Partition: part.Partition, Committed: part.Offset, HighWatermark: part.HighWatermark, Lag: part.Lag,
			CommittedPerSecond: part.EventsPerSecond, ArrivingPerSecond: 2080, Mine: true})
	}
	for i, name := range p.Model.Features {
		d := pipeline.FeatureDrift{Name: name, PSI: 0.012 * float64(i+1), Threshold: 0.06, Missing: 0.004, Samples: 120_000, Baseline: 50_000}
		if b.bad() && i == 2 {
			d.PSI = 0.41
		}
		if i == 3 {
			d.PSI, d.Threshold = math.NaN(), math.NaN()
		}
		p.Features.Drift = append(p.Features.Drift, d)
	}
	if b.bad() {
		p.PSI, p.EventsPerSecond, p.EndToEnd.P99 = 0.187, p.EventsPerSecond*0.7, 240
		p.Features.State, p.Features.LatencyP99, p.Features.Since = "slow", 412, Start.Add(-2*time.Minute)
		p.DeadLettered += uint64(120 - b.left)
		for k := range 6 {
			p.Dead = append(p.Dead, pipeline.DeadLetter{At: b.at.Add(-time.Duration(k) * 7 * time.Second), Stage: []string{"decode", "features"}[k%2],
				Reason: b.text([]string{"not JSON: invalid character 'x' at byte 0", "user_behavior:click_rate_24h is NOT_FOUND for user 8812"}[k%2]),
				Topic:  p.Events, Partition: int32(k % 6), Offset: int64(99_120 + k*311), Size: 150 + k,
				Sample: b.text(`{"user_id":8812,"type":"click","timestamp":"2026-11-22T07:31:58Z","email":null,"amount":12.5}`)})
		}
	}
	if b.left == 0 {
		b.looking(p)
	}
	if b.state == Waiting && b.left < 60 {
		p.State, p.Since, p.Waiting = pipeline.Waiting, Start.Add(-time.Minute), b.text("broker 127.0.0.1:9092: connection refused")
		p.EventsPerSecond, p.EndToEnd, p.Processing = 0, pipeline.Quantiles{}, pipeline.Quantiles{}
		p.Histogram, p.PSI = [pipeline.Bins]uint64{}, math.NaN()
	}
	return p
}

func (b builder) edge() *edge.Snapshot {
	e := &edge.Snapshot{At: b.at, Nodes: b.size.Nodes, ByState: map[edge.State]int{}, PollsPerSecond: float64(b.size.Nodes) / 15,
		Cloud: edge.Cloud{State: edge.CloudOK, Since: Start.Add(-22 * time.Minute), URL: b.text("http://127.0.0.1:40213/data/ingest"), Synced: 4,
			LastSync: Start.Add(-3 * time.Minute), NextSync: Start.Add(2 * time.Minute)}}
	if b.bad() {
		e.Cloud.State, e.Cloud.Outbox, e.Cloud.Failed = edge.CloudDown, 1, 7
		e.Cloud.OldestAt, e.Cloud.Error = Start.Add(-100*time.Second), b.text("503 Service Unavailable")
	}
	sites, regions := []string{"berlin", "lisbon", "oslo"}, []string{"north", "south"}
	weighted, plain := 0.0, 0.0
	for i := range b.size.Nodes {
		polled := b.at.Add(-time.Duration((b.i+i*7)%15) * time.Second)
		n := edge.Node{URL: b.text(fmt.Sprintf("http://127.0.0.1:%d", 41000+i)), Name: b.text(fmt.Sprintf("edge-node-%02d", i+1)),
			Labels: map[string]safetext.Text{b.text("site").String(): b.text(sites[i%3]), b.text("region").String(): b.text(regions[i/2%2])}, State: edge.OK, Since: Start.Add(-22 * time.Minute), Reachable: true, Fresh: true,
			Valid: true, HasData: true, RecordCount: int64(9_000 + (i*7919)%5000 + b.i), Quality: 0.97 + 0.002*float64(i%13), LastUpdated: polled.Add(-4 * time.Second),
			PolledAt: polled, LatencyMS: 2.5 + float64(i%5), StatusCode: 200}
		if b.bad() {
			since := Start.Add(-2 * time.Minute)
			switch i % 14 {
			case 6:
				n.State, n.Fresh, n.Since, n.LastUpdated = edge.Stale, false, since, Start.Add(-14*time.Minute)
			case 8:
				n.State, n.Valid, n.Since, n.Failures = edge.Invalid, false, since, 8
				n.Error = b.text("record_count: want a whole number from 0, got -3")
			case 10:
				n.State, n.Reachable, n.Since, n.Failures, n.HasData, n.StatusCode = edge.Down, false, since, 8, false, 0
				n.Error = b.text("dial tcp 127.0.0.1:41010: connection refused")
			}
		}
		e.ByState[n.State]++
		if n.Reachable && n.Valid {
			e.Reporting++
			e.TotalRecords += n.RecordCount
			weighted += n.Quality * float64(n.RecordCount)
			plain += n.Quality
		}
		e.NodeData = append(e.NodeData, &n)
	}
	for _, group := range []struct {
		label  string
		values []string
	}{{"region", regions}, {"site", sites}} {
		for _, value := range group.values {
			g := edge.Group{Label: b.text(group.label), Value: b.text(value), ByState: map[edge.State]int{}, Quality: 0.981, QualityMean: 0.979}
			for _, n := range e.NodeData {
				if n.Labels[g.Label.String()] != g.Value {
					continue
				}
				g.Nodes++
				g.ByState[n.State]++
				if n.Reachable && n.Valid {
					g.Reporting++
					g.TotalRecords += n.RecordCount
				}
			}
			e.Groups = append(e.Groups, g)
		}
	}
	if b.left == 0 && len(e.NodeData) > 10 { // somebody looks at the node that is the worst, or the first
		n := e.NodeData[0]
		if b.bad() {
			n = e.NodeData[10]
		}
		e.Watched = map[string]*edge.History{n.URL.String(): b.history(n)}
	}
	e.Quality, e.QualityMean = weighted/float64(e.TotalRecords), plain/float64(e.Reporting)
	return e
}

// history is the past of a node.
func (b builder) history(n *edge.Node) *edge.History {
	h := &edge.History{URL: n.URL, Answer: b.text(`{"record_count": 12004, "quality_score": 0.982, "last_updated": "2026-11-22T07:30:01Z"}`)}
	for k := range 40 {
		poll := edge.Poll{At: b.at.Add(-time.Duration(15*(40-k)) * time.Second), LatencyMS: 3 + float64(k%5), State: edge.OK, StatusCode: 200,
			RecordCount: 11_000 + int64(k*25), Quality: 0.98}
		if n.State == edge.Down && k > 31 {
			poll.State, poll.StatusCode, poll.RecordCount = edge.Down, 0, 0
		}
		h.Polls = append(h.Polls, poll)
	}
	if n.State == edge.Down {
		h.Changes = []edge.NodeChange{{At: n.Since, From: edge.OK, To: edge.Down, Reason: n.Error}}
		h.Errors = []edge.NodeError{{At: n.Since, Reason: n.Error}}
	}
	return h
}

var productNames = [][2]string{{"commerce", "user_events"}, {"commerce", "predictions"}, {"commerce", "orders"}, {"growth", "sessions"}, {"risk", "scores"}, {"edge", "summaries"}}

func (b builder) mesh() *mesh.Snapshot {
	m := &mesh.Snapshot{At: b.at, Registry: b.text("data-products"), Window: 5 * time.Minute}
	for i := range b.size.Products {
		name := productNames[i%len(productNames)]
		p := mesh.Product{Domain: b.text(name[0]), Name: b.text(name[1]), Description: b.text("What users did, one record each."),
			Owners: []safetext.Text{b.text("commerce-data@example.com")}, Consumers: []safetext.Text{b.text("ml-ranking"), b.text("finance")},
			Version: b.text("1.4.0"), Refresh: b.text("hourly"), Format: "article", Path: b.text("data-products/" + name[0] + "/" + name[1] + ".yaml"),
			Feed: b.text(name[1]), State: mesh.Holds, Since: Start.Add(-22 * time.Minute), Rows: int64(12480 + 311*i), Schema: true, Quality: true, JudgedAt: b.at}
		p.Upstream = []mesh.Link{{Depth: 1, Kind: mesh.LinkTopic, Name: b.text(name[1])}, {Depth: 2, Kind: mesh.LinkJob, Name: b.text("pipeline weir"), Note: b.text("at_least_once")},
			{Depth: 3, Kind: mesh.LinkTopic, Name: b.text("user_events")}, {Depth: 3, Kind: mesh.LinkView, Name: b.text("user_profile"), Note: b.text("age, location")},
			{Depth: 3, Kind: mesh.LinkModel, Name: b.text("v2.1"), Note: b.text("LinearClassifier")}, {Depth: 1, Kind: mesh.LinkProduct, Name: b.text("commerce/orders")}}
		p.Downstream = []mesh.Link{{Depth: 1, Kind: mesh.LinkProduct, Name: b.text("growth/sessions")}, {Depth: 2, Kind: mesh.LinkConsumer, Name: b.text("finance")},
			{Depth: 1, Kind: mesh.LinkConsumer, Name: b.text("ml-ranking")}}
		p.Findings = []mesh.Finding{{Severity: "warning", Policy: true, Message: b.text("the column email looks like personal data and has no classification")},
			{Severity: "info", Line: 7, Message: b.text("refresh_frequency is not checked: no rule says how old a row may be")}}
		if i >= len(productNames) {
			p.Name = b.text(fmt.Sprintf("%s_%d", name[1], i))
		}
		for c, column := range []string{"user_id", "timestamp", "type", "email", "amount"} {
			p.Columns = append(p.Columns, mesh.Column{Name: b.text(column), Rows: p.Rows, Nulls: int64(c * 40), Required: c < 3, Masked: column == "email"})
		}
		if b.bad() && i == 0 {
			p.State, p.Since, p.Quality, p.Columns[3].Nulls = mesh.Broken, Start.Add(-100*time.Second), false, 899
			issue := mesh.Issue{Rule: "max_null_percentage", Column: b.text("email"), Message: b.text("email null 7.2% > 5%"),
				Expected: b.text("≤ 5% null"), Observed: b.text("7.2% null"), Failed: 899, Of: 12480, FirstAt: p.Since, LastAt: b.at}
			for k := range 4 {
				issue.Samples = append(issue.Samples, mesh.Sample{Partition: int32(k), Offset: int64(99_120 + k*17), At: b.at.Add(-time.Duration(k) * time.Second),
					Value:  b.text(`{"user_id":"8812","timestamp":"2026-11-22T07:31:58Z","type":"click","email":null,"amount":12.5}`),
					Record: b.text(`{"user_id":"8812","timestamp":"2026-11-22T07:31:58Z","type":"click","email":null,"amount":12.5}`)})
			}
			p.Issues = []mesh.Issue{issue, {Rule: "required_columns", Column: b.text("amount"), Message: b.text("amount is missing"),
				Expected: b.text("present"), Observed: b.text("absent"), Failed: 12480, Of: 12480, Schema: true, FirstAt: p.Since, LastAt: b.at}}
		}
		if i == 3 && b.state != Calm {
			p.State, p.Rows, p.Columns = mesh.NoData, 0, nil
		}
		if i == 4 && b.state == Waiting {
			p.State, p.Error = mesh.Waiting, b.text("topic scores does not exist yet")
		}
		m.Products = append(m.Products, p)
	}
	return m
}

func (b builder) events() []event.Event {
	var list []event.Event
	add := func(ago time.Duration, kind event.Kind, severity event.Severity, subject, message string) {
		if at := Start.Add(-ago); !at.After(b.at) {
			list = append(list, event.Event{Seq: uint64(len(list) + 1), At: at, Kind: kind, Severity: severity, Subject: b.text(subject), Message: b.text(message)})
		}
	}
	add(22*time.Minute, event.Engine, event.Info, "weir", "started over the embedded demo world, seed 1")
	add(22*time.Minute-time.Second, event.Model, event.Info, "v2.1", "loaded model.onnx: LinearClassifier, 4 features")
	add(22*time.Minute-2*time.Second, event.Pipeline, event.Info, "group weir", "joined, 6 partitions assigned")
	add(8*time.Minute, event.Cloud, event.Info, "cloud", "synced the aggregate of 14 nodes")
	add(3*time.Minute, event.Cloud, event.Info, "cloud", "synced the aggregate of 14 nodes")
	if b.state == Broken || b.state == Hostile {
		add(2*time.Minute, event.Fault, event.Warning, "null-spike", "injected by ada: 9% of e-mails become null")
		add(118*time.Second, event.Node, event.Critical, "http://127.0.0.1:41010", "down: dial tcp 127.0.0.1:41010: connection refused")
		add(117*time.Second, event.Node, event.Warning, "edge-node-07", "stale: last updated 14 m ago")
		add(110*time.Second, event.Pipeline, event.Critical, "partition 4", "stalls: the offset has not moved for 10 s, lag 20,800")
		add(100*time.Second, event.Contract, event.Critical, "commerce/user_events", "broke: email null 7.2%, allowed 5% (899 of 12,480 rows, first at 4/99120)")
		add(90*time.Second, event.Features, event.Warning, "feature store", "slow: p99 412 ms a request")
		add(60*time.Second, event.Cloud, event.Warning, "cloud", "sync failed: 503 Service Unavailable; 1 aggregate waits in the outbox")
		add(20*time.Second, event.Node, event.Recovered, "edge-node-03", "ok again after 40 s")
		add(9*time.Second, event.Command, event.Info, "ada", "poll: asked for by the on-call engineer")
	}
	if b.state == Waiting {
		add(time.Minute, event.Pipeline, event.Critical, "broker", "127.0.0.1:9092: connection refused; waiting, nothing is lost")
		add(44*time.Second, event.Engine, event.Critical, "edge", "failed: open outbox.db: permission denied; starts again with back-off")
	}
	return list
}

func (b builder) host() *host.Snapshot {
	return &host.Snapshot{At: b.at, Name: b.text("ops-1"), CPUPercent: 31 * b.wave(4, 0.3), Cores: 2, Load1: 0.71, MemoryPercent: 42, MemoryUsed: 10_400_000_000,
		MemoryTotal: 25_000_000_000, DiskPercent: 61, DiskFree: 81_000_000_000, NetReceived: 812_000, NetSent: 640_000,
		Process: host.Process{CPUPercent: 38, RSS: 96_000_000, HeapInUse: 51_000_000, Goroutines: 143, FileHandles: 64, Uptime: 22 * time.Minute}}
}

// Attacks are texts that try to act on a terminal, or to be wider or narrower than they seem.
var Attacks = []string{
	"\x1b[2J\x1b[H", "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "\x1b]52;c;ZXZpbA==\x07", "\x1b]0;title", "\x1bP+q544e", "\x9d0;x\x9c",
	"\rcarriage", "\u202eevil\u202c", "\U000e0041\U000e0042tag", "\u200b\u2060\ufeffzero", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢", "漢字テスト", "👩‍👩‍👧‍👦👍🏽🇩🇪", "ｗｉｄｅ", "\xff\xfe\xc0",
	"नि किं", "a\tb\nc\x00d", "ﷺ", "\u00ad\u034fsoft",
}
