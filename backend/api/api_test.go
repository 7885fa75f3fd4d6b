package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"

	"weir/backend/edge"
	"weir/backend/host"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-update rewrites it):\n%s", path, diff)
	}
}

// fixed is a source of one snapshot.
type fixed struct{ s *timeline.Snapshot }

func (f fixed) Newest() *timeline.Snapshot { return f.s }

var at = time.Date(2026, 11, 22, 7, 0, 0, 123456789, time.FixedZone("CET", 3600))

// full is a snapshot in which everything a figure may be occurs: known, unknown, NaN, hostile.
func full() *timeline.Snapshot {
	nan := math.NaN()
	text := safetext.Clean
	p := &pipeline.Snapshot{
		State: pipeline.Running, Consumed: 12, Predicted: 10, DeadLettered: 2, Redelivered: 1, EventsPerSecond: 1234.5, Lag: 7, DrainsIn: 4 * time.Second, GroupLag: 21,
		EndToEnd: pipeline.Quantiles{P50: 3.1, P90: 5, P99: 9.8, Max: 20, Count: 10}, Processing: pipeline.Quantiles{P50: nan},
		Partitions: []pipeline.Partition{
			{Partition: 0, Offset: 5, HighWatermark: 9, Lag: 4, Verdict: pipeline.VerdictOK},
			{Partition: 1, Offset: 7, HighWatermark: 10, Lag: 3, Verdict: pipeline.VerdictStall},
		},
		PSI: nan, PSIThreshold: nan,
		Features: pipeline.Features{State: "ok", Hits: 90, Misses: 10, Missing: 3, Requests: 4, Errors: 1, LatencyP50: 1.5, LatencyP99: 7, CacheLength: 10,
			Drift: []pipeline.FeatureDrift{{Name: text("user_profile:age"), PSI: 0.01, Threshold: 0.02, Missing: 0.1}, {Name: text("user_profile:location"), PSI: nan, Threshold: nan, Missing: nan}}},
		Model: pipeline.Model{Version: text("v2.1"), Kind: text("LinearClassifier"), ScoreMicros: 0.5},
		Dead:  []pipeline.DeadLetter{{Reason: text("a user's secret")}},
	}
	p.Histogram[0], p.Histogram[19] = 4, 6
	good := &edge.Node{URL: text("http://edge-node-1:8080"), State: edge.OK, Reachable: true, Fresh: true, Valid: true, HasData: true,
		RecordCount: 12004, Quality: 0.982, LastUpdated: at.Add(-8 * time.Second), PolledAt: at, LatencyMS: 4.5}
	return &timeline.Snapshot{
		Seq: 42, At: at, Tick: time.Second, Pipeline: p,
		Edge: &edge.Snapshot{
			Nodes: 4, Reporting: 1, ByState: map[edge.State]int{edge.OK: 1, edge.Down: 1, edge.Unknown: 1, edge.Invalid: 1}, TotalRecords: 12004, Quality: 0.982, QualityMean: 0.982,
			NodeData: []*edge.Node{
				good,
				{URL: text("http://user:secret@edge-node-2:8080"), State: edge.Down, HasData: true, RecordCount: 5, Quality: 0.5, LastUpdated: at.Add(-time.Hour), PolledAt: at, LatencyMS: nan, Error: text("connection refused\x1b[2J")},
				{URL: text("http://edge-node-3:8080"), State: edge.Unknown},
				{URL: text("http://edge-node-4:8080"), State: edge.Invalid, Reachable: true, PolledAt: at, LatencyMS: 1, Error: text("quality_score: expected 0 to 1, found 7")},
				good, // configured twice
				{URL: text("http://edge-node-6:8080"), State: edge.Skewed, Reachable: true, Valid: true, HasData: true, RecordCount: 1, Quality: 1,
					LastUpdated: time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("EST", -5*3600)), PolledAt: at, LatencyMS: 1},
				{URL: text("http://edge-node-5:8080"), State: edge.Quarantined},
			},
			Cloud: edge.Cloud{State: edge.CloudOK, Synced: 3, Failed: 1, Outbox: 2, Dropped: 0, LastSync: at.Add(-3 * time.Minute)},
		},
		Mesh: &mesh.Snapshot{Scanned: true, Products: []mesh.Product{
			{Domain: text("commerce"), Name: text("user_events"), State: mesh.Broken, Rows: 12480, Schema: true, Issues: []mesh.Issue{
				{Rule: "max_null_percentage", Column: text("email"), Message: text("Column 'email' exceeds null threshold: 7.20%"), Samples: []mesh.Sample{{Value: text("a@b.example")}}}}},
			{Domain: text("commerce"), Name: text("empty"), State: mesh.NoData, Schema: true, Quality: true},
		}},
		Host:    &host.Snapshot{CPUPercent: 25, Cores: 2, Load1: 0.5, MemoryPercent: nan, DiskPercent: nan, NetReceived: nan, NetSent: 10, Process: host.Process{CPUPercent: 150, RSS: 1 << 20, Goroutines: 12, FileHandles: -1, Uptime: time.Minute}},
		Engines: []timeline.Engine{{Name: "pipeline", State: timeline.EngineRunning}, {Name: "edge", State: timeline.EngineRunning, Restarts: 2}},
		Faults:  []timeline.Fault{{Name: "null-spike"}, {Name: "drift", Since: at.Add(time.Minute)}},
	}
}

func get(t *testing.T, h http.Handler, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSnapshotJSON(t *testing.T) {
	var b bytes.Buffer
	if err := json.Indent(&b, Snapshot(full()).JSON(), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "snapshot.json", b.Bytes())
	b.Reset()
	_ = json.Indent(&b, Snapshot(&timeline.Snapshot{At: at}).JSON(), "", "  ")
	golden(t, "snapshot_of_nothing.json", append(b.Bytes(), '\n'))
}

// keysOfDesign are the keys that stay, in their order, as the design page draws them.
const keysOfDesign = `at
pipeline.state pipeline.consumed pipeline.predicted pipeline.dead_lettered pipeline.lag pipeline.events_per_second
pipeline.latency_ms.p50 pipeline.latency_ms.p99 pipeline.histogram
pipeline.partitions.partition pipeline.partitions.offset pipeline.partitions.high_watermark pipeline.partitions.lag pipeline.partitions.verdict
pipeline.features.state pipeline.features.hits pipeline.features.misses pipeline.features.missing pipeline.model.version
edge.nodes edge.reporting edge.total_records edge.data_quality_score
edge.node_data.node_url edge.node_data.status edge.node_data.reachable edge.node_data.fresh edge.node_data.valid
edge.node_data.record_count edge.node_data.quality_score edge.node_data.last_updated edge.node_data.latency_ms edge.node_data.error
edge.cloud.state edge.cloud.synced edge.cloud.failed edge.cloud.outbox edge.cloud.dropped
mesh.products.domain mesh.products.name mesh.products.rows mesh.products.schema_compliance mesh.products.quality_compliance
mesh.products.issues.rule mesh.products.issues.column mesh.products.issues.message
host.cpu_percent host.memory_percent incidents`

func TestSnapshotKeys(t *testing.T) {
	s := full()
	s.Edge.NodeData, s.Mesh.Products, s.Pipeline.Partitions = s.Edge.NodeData[:1], s.Mesh.Products[:1], s.Pipeline.Partitions[:1]
	var keys []string
	d := json.NewDecoder(bytes.NewReader(Snapshot(s).JSON()))
	var walk func(prefix string)
	walk = func(prefix string) {
		token, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch token {
		case json.Delim('{'):
			for d.More() {
				key, err := d.Token()
				if err != nil {
					t.Fatal(err)
				}
				walk(strings.TrimPrefix(prefix+"."+key.(string), "."))
			}
			_, _ = d.Token()
		case json.Delim('['):
			deep := false
			for d.More() {
				before := len(keys)
				walk(prefix)
				deep = len(keys) > before+1
				if !deep {
					keys = keys[:before]
				}
			}
			if !deep {
				keys = append(keys, prefix)
			}
			_, _ = d.Token()
		default:
			keys = append(keys, prefix)
		}
	}
	walk("")
	if diff := cmp.Diff(strings.Fields(keysOfDesign), keys); diff != "" {
		t.Error(diff)
	}
}

func TestSnapshotEndpoint(t *testing.T) {
	h := Handler(fixed{full()}, "v1.2.3")
	r := get(t, h, "GET", "/snapshot")
	var w Wire
	if err := json.Unmarshal([]byte(body(t, r)), &w); err != nil || r.StatusCode != 200 || w.Pipeline.Consumed != 12 || r.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v %v %+v", r.Status, err, w)
	}
	if r := get(t, h, "GET", "/snapshot", "If-None-Match", r.Header.Get("ETag")); r.StatusCode != 304 || body(t, r) != "" {
		t.Errorf("asked again for the same snapshot: %s", r.Status)
	}
	if r := get(t, Handler(fixed{}, "v1.2.3"), "GET", "/snapshot"); r.StatusCode != 503 || !strings.Contains(body(t, r), "no snapshot") {
		t.Errorf("before the first snapshot: %s", r.Status)
	}
}

func TestRoutes(t *testing.T) {
	h := Handler(fixed{full()}, "v1.2.3")
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/healthz", 200, `{"status":"ok"}`},
		{"GET", "/", 404, "/readyz"},
		{"GET", "/debug/pprof/", 404, "/snapshot"},
		{"GET", "/metrics/", 404, "/metrics"},
		{"POST", "/snapshot", 405, "expected GET or HEAD"},
		{"DELETE", "/healthz", 405, "expected GET or HEAD"},
		{"HEAD", "/metrics", 200, ""},
	} {
		r := get(t, h, c.method, c.path)
		if b := body(t, r); r.StatusCode != c.status || !strings.Contains(b, c.says) {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.StatusCode, b)
		}
		if r.StatusCode == 405 && r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("Allow = %q", r.Header.Get("Allow"))
		}
	}
}

func TestReady(t *testing.T) {
	snapshot := func(change func(*timeline.Snapshot)) *timeline.Snapshot {
		s := full()
		change(s)
		return s
	}
	for _, c := range []struct {
		name string
		s    *timeline.Snapshot
		want []string
	}{
		{"all is well", full(), nil},
		{"nothing yet", nil, []string{"no snapshot was taken yet"}},
		{"stuck", snapshot(func(s *timeline.Snapshot) { s.At = at.Add(-time.Minute) }), []string{"the newest snapshot is 1m0s old, of one every 1s"}},
		{"slow ticks are not stuck", snapshot(func(s *timeline.Snapshot) { s.At, s.Tick = at.Add(-time.Minute), time.Minute }), nil},
		{"an engine failed", snapshot(func(s *timeline.Snapshot) {
			s.Engines[1] = timeline.Engine{Name: "edge", State: timeline.EngineFailed, Error: safetext.Clean("outbox: disk full")}
		}), []string{"engine edge failed: outbox: disk full"}},
		{"the recorder cannot write", snapshot(func(s *timeline.Snapshot) {
			s.Engines[1] = timeline.Engine{Name: "history", State: timeline.EngineFailed}
		}), nil},
		{"the pipeline waits", snapshot(func(s *timeline.Snapshot) {
			s.Pipeline.State, s.Pipeline.Waiting = pipeline.Waiting, safetext.Clean("the broker is away")
		}), []string{"pipeline waiting: the broker is away"}},
		{"the pipeline starts", snapshot(func(s *timeline.Snapshot) { s.Pipeline.State = pipeline.Starting }), []string{"pipeline starting"}},
		{"the pipeline has not begun", snapshot(func(s *timeline.Snapshot) { s.Pipeline.State = pipeline.Stopped }), []string{"pipeline stopped"}},
		{"the pipeline is paused by an operator", snapshot(func(s *timeline.Snapshot) { s.Pipeline.State = pipeline.Paused }), nil},
		{"no pipeline is configured", snapshot(func(s *timeline.Snapshot) { s.Pipeline = nil }), nil},
		{"the registry is a file", snapshot(func(s *timeline.Snapshot) {
			s.Mesh = &mesh.Snapshot{Error: safetext.Clean("no registry: products is a file")}
		}), []string{"mesh judges nothing: no registry: products is a file"}},
		{"the registry was not read yet", snapshot(func(s *timeline.Snapshot) { s.Mesh = &mesh.Snapshot{} }), []string{"mesh judges nothing: the registry was not read yet"}},
		{"the registry is gone, and its rules are in force", snapshot(func(s *timeline.Snapshot) { s.Mesh.Error = safetext.Clean("no registry") }), nil},
		{"every contract waits for the broker", snapshot(func(s *timeline.Snapshot) {
			s.Mesh = &mesh.Snapshot{Scanned: true, Error: safetext.Clean("the broker is away"), Products: []mesh.Product{{State: mesh.Waiting}, {State: mesh.Bad}}}
		}), []string{"mesh judges nothing: the broker is away"}},
		{"no product is registered", snapshot(func(s *timeline.Snapshot) { s.Mesh.Products = nil }), nil},
		{"no product is registered, and the broker is away", snapshot(func(s *timeline.Snapshot) {
			s.Mesh = &mesh.Snapshot{Scanned: true, Error: safetext.Clean("the broker is away")}
		}), nil},
	} {
		got := Ready(c.s, at)
		if diff := cmp.Diff(append([]string{}, c.want...), got.Reasons); diff != "" || got.Ready != (c.want == nil) {
			t.Errorf("%s: %+v\n%s", c.name, got, diff)
		}
	}
	r := get(t, Handler(fixed{full()}, "v1.2.3"), "GET", "/readyz") // taken long ago by today's clock
	if b := body(t, r); r.StatusCode != 503 || !strings.Contains(b, `"ready":false,"reasons":["the newest snapshot is`) {
		t.Errorf("%d %s", r.StatusCode, b)
	}
	fresh := full()
	fresh.At = time.Now()
	if r := get(t, Handler(fixed{fresh}, "v1.2.3"), "GET", "/readyz"); r.StatusCode != 200 || body(t, r) != `{"ready":true,"reasons":[]}`+"\n" {
		t.Errorf("%d", r.StatusCode)
	}
}

func TestMetrics(t *testing.T) {
	r := get(t, Handler(fixed{full()}, "v1.2.3"), "GET", "/metrics")
	text := body(t, r)
	if r.StatusCode != 200 {
		t.Fatalf("%s: %s", r.Status, text)
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %+v", err, problems)
	}
	if !strings.Contains(text, `weir_build_info{go_version="go`) || !strings.Contains(text, `version="v1.2.3"} 1`) {
		t.Error("the version is not told")
	}
	for _, secret := range []string{"secret", "a@b.example", "\x1b"} {
		if strings.Contains(text, secret) {
			t.Errorf("the metrics tell %q", secret)
		}
	}
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "weir_build_info") { // it changes with the toolchain
			lines = append(lines, line)
		}
	}
	golden(t, "metrics.txt", []byte(strings.Join(lines, "")))
}

func TestMetricsOfNothing(t *testing.T) {
	r := get(t, Handler(fixed{}, "v1.2.3"), "GET", "/metrics")
	if text := body(t, r); r.StatusCode != 200 || !strings.Contains(text, "weir_build_info{") || strings.Contains(text, "weir_snapshot") {
		t.Errorf("%d %s", r.StatusCode, text)
	}
}

func TestALargeFleetIsBounded(t *testing.T) {
	s := full()
	for i := range MaxNodeSeries + 500 {
		s.Edge.NodeData = append(s.Edge.NodeData, &edge.Node{URL: safetext.Sprintf("http://n%d", i)})
	}
	text := body(t, get(t, Handler(fixed{s}, "v1.2.3"), "GET", "/metrics"))
	if n := strings.Count(text, "weir_edge_node_up{"); n != MaxNodeSeries-1 { // one is configured twice
		t.Errorf("%d series, want %d", n, MaxNodeSeries-1)
	}
	if !strings.Contains(text, "weir_edge_nodes_unlisted 507\n") {
		t.Error("the cut is not told")
	}
}

func TestServe(t *testing.T) {
	listener, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	var log bytes.Buffer
	go func() {
		ended <- ServeOn(ctx, listener, Handler(fixed{full()}, "v1.2.3"), slog.New(slog.NewTextHandler(&log, nil)))
	}()

	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	r, err := client.Get("http://" + listener.Addr().String() + "/healthz")
	if err != nil || r.StatusCode != 200 {
		t.Fatal(err)
	}
	_ = r.Body.Close()

	err = Serve(t.Context(), listener.Addr().String(), nil, nil)
	if want := fmt.Sprintf("http: expected a free port at %s, found one in use; choose another with --http", listener.Addr()); err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("err = %v\nwant %s", err, want)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ServeOn = %v, want nil when its context ends", err)
	}
	if !strings.Contains(log.String(), listener.Addr().String()) {
		t.Errorf("log = %q", log.String())
	}
}

func TestAddressesThatCannotBeTaken(t *testing.T) {
	for addr, says := range map[string]string{
		"nonsense":         "expected host:port, such as 127.0.0.1:9464",
		"127.0.0.1:999999": "expected host:port",
		"192.0.2.1:0":      "expected an address of this machine, found 192.0.2.1:0",
	} {
		if err := Serve(t.Context(), addr, nil, nil); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "--http") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
