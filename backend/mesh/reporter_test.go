package mesh

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/backend/event"
	"weir/backend/kafka"
)

// checkRunEvent holds an event to what OpenLineage's JSON schemas 2-0-2 ask of a RunEvent and of the facets weir writes:
// the keys that must be there, their types, and the addresses that facets name themselves by.
func checkRunEvent(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	c := &shapes{t: t, in: string(data)}
	c.time(e, "eventTime")
	c.uri(e, "producer")
	if at := c.uri(e, "schemaURL"); at != "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent" {
		t.Errorf("schemaURL %s", at)
	}
	if kind := c.text(e, "eventType"); !slices.Contains([]string{"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"}, kind) {
		t.Errorf("eventType %q", kind)
	}
	run := c.object(e, "run")
	if id := c.text(run, "runId"); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("runId %q", id)
	}
	c.facets(run, "facets", "RunFacet")
	job := c.object(e, "job")
	c.text(job, "namespace")
	c.text(job, "name")
	c.facets(job, "facets", "JobFacet")
	for _, key := range []string{"inputs", "outputs"} {
		list, ok := e[key].([]any)
		if !ok {
			t.Fatalf("%s is no list in %s", key, data)
		}
		for _, v := range list {
			d, _ := v.(map[string]any)
			c.text(d, "namespace")
			c.text(d, "name")
			c.facets(d, "facets", "DatasetFacet")
			c.facets(d, "inputFacets", "InputDatasetFacet")
			if _, ok := d["inputFacets"]; ok && key == "outputs" {
				t.Errorf("an output with inputFacets in %s", data)
			}
		}
	}
	return e
}

type shapes struct {
	t  *testing.T
	in string
}

func (c *shapes) object(in map[string]any, key string) map[string]any {
	c.t.Helper()
	o, ok := in[key].(map[string]any)
	if !ok {
		c.t.Fatalf("%s is no object in %s", key, c.in)
	}
	return o
}

func (c *shapes) text(in map[string]any, key string) string {
	c.t.Helper()
	s, ok := in[key].(string)
	if !ok || s == "" {
		c.t.Fatalf("%s is no text in %s", key, c.in)
	}
	return s
}

func (c *shapes) time(in map[string]any, key string) {
	c.t.Helper()
	if _, err := time.Parse(time.RFC3339Nano, c.text(in, key)); err != nil {
		c.t.Error(err)
	}
}

func (c *shapes) uri(in map[string]any, key string) string {
	c.t.Helper()
	s := c.text(in, key)
	if u, err := url.Parse(s); err != nil || u.Scheme == "" {
		c.t.Errorf("%s %q is no URI", key, s)
	}
	return s
}

// maybe checks a key that need not be there.
func (c *shapes) maybe(in map[string]any, key string, is func(any) bool) {
	c.t.Helper()
	if v, ok := in[key]; ok && !is(v) {
		c.t.Errorf("%s: %v in %s", key, v, c.in)
	}
}

func isText(v any) bool { _, ok := v.(string); return ok }
func isWhole(v any) bool {
	f, ok := v.(float64)
	return ok && f == float64(int64(f))
}

// facetNames are the facets weir writes: where each lives and what its schema calls it.
var facetNames = map[string]struct{ in, schema string }{
	"schema":                {"DatasetFacet", "SchemaDatasetFacet"},
	"ownership":             {"DatasetFacet", "OwnershipDatasetFacet"},
	"dataQualityMetrics":    {"InputDatasetFacet", "DataQualityMetricsInputDatasetFacet"},
	"dataQualityAssertions": {"InputDatasetFacet", "DataQualityAssertionsDatasetFacet"},
	"jobType":               {"JobFacet", "JobTypeJobFacet"},
	"documentation":         {"JobFacet", "DocumentationJobFacet"},
	"errorMessage":          {"RunFacet", "ErrorMessageRunFacet"},
	"nominalTime":           {"RunFacet", "NominalTimeRunFacet"},
}

func (c *shapes) facets(in map[string]any, key, kind string) {
	c.t.Helper()
	if _, ok := in[key]; !ok {
		return
	}
	for name := range c.object(in, key) {
		f := c.object(c.object(in, key), name)
		known, ok := facetNames[name]
		if !ok || known.in != kind {
			c.t.Errorf("facet %s among the %ss", name, kind)
		}
		c.uri(f, "_producer")
		want := regexp.MustCompile(`^https://openlineage\.io/spec/facets/\d+-\d+-\d+/` + known.schema + `\.json#/\$defs/` + known.schema + `$`)
		if at := c.uri(f, "_schemaURL"); !want.MatchString(at) {
			c.t.Errorf("facet %s names itself %s", name, at)
		}
		switch name {
		case "schema":
			c.fields(f)
		case "ownership":
			for _, o := range f["owners"].([]any) {
				c.text(o.(map[string]any), "name")
			}
		case "dataQualityMetrics":
			for _, v := range c.object(f, "columnMetrics") {
				c.maybe(v.(map[string]any), "nullCount", isWhole)
			}
			c.maybe(f, "rowCount", isWhole)
			c.maybe(f, "bytes", isWhole)
		case "dataQualityAssertions":
			for _, v := range f["assertions"].([]any) {
				a := v.(map[string]any)
				c.text(a, "assertion")
				if _, ok := a["success"].(bool); !ok {
					c.t.Errorf("success in %v", a)
				}
				for _, k := range []string{"column", "severity", "name", "expected", "actual"} {
					c.maybe(a, k, isText)
				}
			}
		case "jobType":
			c.text(f, "processingType")
			c.text(f, "integration")
		case "documentation":
			c.text(f, "description")
		case "errorMessage":
			c.text(f, "message")
			c.text(f, "programmingLanguage")
		case "nominalTime":
			c.time(f, "nominalStartTime")
			c.time(f, "nominalEndTime")
		}
	}
}

func (c *shapes) fields(f map[string]any) {
	c.t.Helper()
	fields, ok := f["fields"].([]any)
	if !ok {
		c.t.Errorf("fields in %v", f)
	}
	for _, v := range fields {
		field := v.(map[string]any)
		c.text(field, "name")
		c.maybe(field, "type", isText)
		c.maybe(field, "description", isText)
		if _, ok := field["fields"]; ok {
			c.fields(field)
		}
	}
}

// receiver is an OpenLineage endpoint that can be away.
type receiver struct {
	mu     sync.Mutex
	answer int
	bodies [][]byte
	tokens []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answer != 0 {
		http.Error(w, "not now", r.answer)
		return
	}
	r.bodies, r.tokens = append(r.bodies, body), append(r.tokens, q.Header.Get("Authorization"))
	w.WriteHeader(http.StatusCreated)
}

func (r *receiver) set(answer int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) got() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bodies)
}

func TestVerdictsAndThePipelineAreToldAsOpenLineage(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	job := theJob
	setJob := func(f func(*Job)) { mu.Lock(); defer mu.Unlock(); f(&job) }
	to := &receiver{answer: http.StatusServiceUnavailable}
	server := httptest.NewServer(to)
	t.Cleanup(server.Close)
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.stop()
	w.engine = New(Config{Registry: w.registry, Window: time.Minute, Cluster: w.engine.config.Cluster,
		Jobs:    func() []Job { mu.Lock(); defer mu.Unlock(); return []Job{job} },
		Lineage: &LineageConfig{To: strings.Replace(server.URL, "http://", "http://u:secret@", 1), Namespace: "test", Every: time.Hour, Token: func() string { return "t" }}})
	w.run()
	w.file("commerce/user_events.yaml", userEvents)
	setJob(func(j *Job) { j.Running = true })
	w.send("user_events", 0, many(19, good)...)
	w.until("user_events", "held", is(Holds))
	// The receiver is away: nothing waits for it, and the snapshot says so.
	w.untilDelivery("failed", func(d *Delivery) bool { return !d.LastError.IsEmpty() && d.Waiting > 0 && d.Sent == 0 })
	if d := w.engine.Snapshot().Lineage; strings.Contains(fmt.Sprint(d.To, d.LastError), "secret") {
		t.Errorf("a password is shown: %v %v", d.To, d.LastError)
	}
	w.event("lineage cannot be delivered")
	to.set(0)
	w.untilDelivery("delivered", func(d *Delivery) bool { return d.Waiting == 0 && d.Sent == 3 })
	w.event("lineage is delivered again")
	w.send("user_events", 0, many(2, func(int) string { return `{"user_id":null,"timestamp":"t","email":"x"}` })...)
	w.until("user_events", "broke", is(Broken))
	setJob(func(j *Job) { j.Model = "v3" })
	w.untilDelivery("told of the model", func(d *Delivery) bool { return d.Sent == 6 })
	setJob(func(j *Job) { j.Failed = "the model is gone" })
	w.untilDelivery("told of the failure", func(d *Delivery) bool { return d.Sent == 7 })
	setJob(func(j *Job) { j.Failed = "" })
	w.untilDelivery("told of the new run", func(d *Delivery) bool { return d.Sent == 8 })
	setJob(func(j *Job) { j.Consumed = 77 })
	w.stop()

	byJob := map[string][]string{}
	runs := map[string]map[string]bool{}
	var texts []string
	for _, body := range to.got() {
		e := checkRunEvent(t, body)
		name := e["job"].(map[string]any)["name"].(string)
		byJob[name] = append(byJob[name], e["eventType"].(string))
		if runs[name] == nil {
			runs[name] = map[string]bool{}
		}
		runs[name][e["run"].(map[string]any)["runId"].(string)] = true
		texts = append(texts, string(body))
	}
	if got := strings.Join(byJob["pipeline.weir"], " "); got != "START RUNNING FAIL START COMPLETE" || len(runs["pipeline.weir"]) != 2 {
		t.Errorf("the pipeline: %s in %d runs", got, len(runs["pipeline.weir"]))
	}
	if got := strings.Join(byJob["judge.commerce.user_events"], " "); got != "START COMPLETE START COMPLETE" || len(runs["judge.commerce.user_events"]) != 2 {
		t.Errorf("the judgement: %s in %d runs", got, len(runs["judge.commerce.user_events"]))
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{
		`"namespace":"kafka://` + w.broker.Addr() + `","name":"user_events"`, `"rowCount":21`, `"user_id":{"nullCount":2}`,
		`"actual":"at most 9.5%","assertion":"max_null_percentage","expected":"≤ 5%"`, `"rowCount":77`, "the model is gone", `scores with model v3`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in\n%s", want, all)
		}
	}
	if to.tokens[0] != "Bearer t" {
		t.Errorf("tokens %v", to.tokens)
	}
}

func (w *world) untilDelivery(what string, wanted func(*Delivery) bool) {
	w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if d := w.engine.Snapshot().Lineage; d != nil && wanted(d) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatalf("never %s: %+v", what, w.engine.Snapshot().Lineage)
}

func TestWhatLineageRefusesIsCountedAndWhatIsTooMuchIsDropped(t *testing.T) {
	t.Parallel()
	to := &receiver{answer: http.StatusUnprocessableEntity}
	server := httptest.NewServer(to)
	defer server.Close()
	var log event.Log
	r := newReporter(&LineageConfig{To: server.URL}, "b:1", nil, &log)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r.put(r.jobEvent("START", time.Now(), &run{id: NewRunID(), last: theJob}, ""))
	go func() { defer close(done); r.run(ctx) }()
	deadline := time.Now().Add(10 * time.Second)
	for r.delivery().Failed != 1 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	if d := r.delivery(); d.Failed != 1 || d.Waiting != 0 || !strings.Contains(d.LastError.String(), "422") {
		t.Errorf("%+v", d)
	}
	r = newReporter(&LineageConfig{To: "/nowhere/at/all"}, "b:1", nil, &log)
	for range maxQueue + 7 {
		r.put(r.jobEvent("RUNNING", time.Now(), &run{id: NewRunID(), last: theJob}, ""))
	}
	if d := r.delivery(); d.Failed != 7 || d.Waiting != maxQueue {
		t.Errorf("%+v", d)
	}
}

func TestAJobThatGoesOnIsToldOfNowAndThen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lineage.jsonl")
	synctest.Test(t, func(t *testing.T) {
		job := theJob
		job.Running = true
		r := newReporter(&LineageConfig{To: path, Every: 5 * time.Minute}, "b:1", func() []Job { return []Job{job} }, new(event.Log))
		ctx, cancel := context.WithTimeout(context.Background(), 16*time.Minute)
		defer cancel()
		r.run(ctx)
	})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var kinds []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		kinds = append(kinds, checkRunEvent(t, lines.Bytes())["eventType"].(string))
	}
	if got := strings.Join(kinds, " "); got != "START RUNNING RUNNING RUNNING COMPLETE" {
		t.Error(got)
	}
}
