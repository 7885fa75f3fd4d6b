package demo

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Close must leave no goroutine of any world behind.
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if program.dir != "" {
			_ = os.RemoveAll(program.dir)
		}
		os.Exit(code)
	}))
}

func TestStartAndCloseLeaveNothing(t *testing.T) {
	parent := t.TempDir()
	began := time.Now()
	w, err := Start(t.Context(), Options{Folder: parent})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %s", time.Since(began))
	waitFor(t, "events", func() bool { return w.producer.acked.Load() > 100 })
	for _, name := range []string{configFile, modelFile, "data-products/commerce/user_events.yaml", "data-products/finance/payments.yaml"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(w.ConfigPath()), name)); err != nil {
			t.Error(err)
		}
	}
	began = time.Now()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("closed in %s", time.Since(began))
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestFeaturesAreColumns(t *testing.T) {
	w := start(t, Options{Rate: NoEvents})
	known := population()[0]
	body := `{"features":["user_behavior:click_rate_24h","user_profile:age"],"full_feature_names":true,
		"entities":{"user_id":["` + known.id + `","nobody",17]}}`
	response, err := http.Post("http://"+w.featureGate.Addr().String()+"/get-online-features", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got struct {
		Metadata struct {
			FeatureNames []string `json:"feature_names"`
		}
		Results []struct {
			Values   []any
			Statuses []string
		}
	}
	text, _ := io.ReadAll(response.Body)
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if names := strings.Join(got.Metadata.FeatureNames, " "); names != "user_id user_behavior__click_rate_24h user_profile__age" {
		t.Errorf("names %q", names)
	}
	if len(got.Results) != 3 || got.Results[1].Values[0] != known.clickRate || got.Results[2].Values[0] != float64(known.age) {
		t.Errorf("got %s for %+v", text, known)
	}
	for _, column := range got.Results[1:] {
		if statuses := strings.Join(column.Statuses, " "); statuses != "PRESENT NOT_FOUND NOT_FOUND" {
			t.Errorf("statuses %q", statuses)
		}
	}
}

func TestCloudChecksWhatItTakes(t *testing.T) {
	w := start(t, Options{Rate: NoEvents})
	base := "http://" + w.cloudGate.Addr().String()
	good := `{"timestamp":"2026-11-22T09:00:00Z","edge_nodes":2,"total_records":5,"data_quality_score":0.9,"node_data":[
		{"node_url":"http://a","status":"success","record_count":5,"quality_score":0.9,"last_updated":"2026-11-22T09:00:00Z"},
		{"node_url":"http://b","status":"error","error_code":503}]}`
	for _, c := range []struct {
		name, token, key, body string
		want                   int
	}{
		{"good", cloudToken, "k1", good, 200},
		{"again", cloudToken, "k1", good, 200},
		{"without a token", "", "k2", good, 401},
		{"not JSON", cloudToken, "k3", "hello", 422},
		{"half a success", cloudToken, "k4", strings.Replace(good, `"record_count":5,`, "", 1), 422},
		{"silent failure", cloudToken, "k5", strings.Replace(good, `,"error_code":503`, "", 1), 422},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+cloudPath, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+c.token)
		r.Header.Set("Idempotency-Key", c.key)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("%s: got %d %s, want %d", c.name, response.StatusCode, text, c.want)
		}
	}
	var stats cloudStats
	getJSON(t, base+"/stats", &stats)
	if stats.Accepted != 1 || stats.Duplicates != 1 || stats.Refused != 4 {
		t.Errorf("got %+v", stats)
	}
}

func TestNodesCountUp(t *testing.T) {
	w := start(t, Options{Rate: NoEvents, Nodes: 5})
	for _, url := range w.fleet.urls() {
		var s summary
		getJSON(t, url+"/data/summary", &s)
		updated, err := time.Parse(time.RFC3339, s.LastUpdated)
		if err != nil || s.RecordCount < 1000 || s.QualityScore < 0.97 || s.QualityScore > 0.995 ||
			time.Since(updated) < 0 || time.Since(updated) > 10*time.Second {
			t.Errorf("%s: %+v %v", url, s, err)
		}
	}
	n, now := w.fleet.nodes[0], w.fleet.began
	before, after := n.summarize(now, now, 0), n.summarize(now.Add(time.Minute), now, 0)
	if after.RecordCount <= before.RecordCount {
		t.Errorf("no growth: %+v then %+v", before, after)
	}
}

// TestAThousandNodes start and answer; how soon is what BenchmarkStart tells.
func TestAThousandNodes(t *testing.T) {
	w := start(t, Options{Rate: NoEvents, Nodes: 1000})
	var s summary
	getJSON(t, w.fleet.urls()[999]+"/data/summary", &s)
	if s.RecordCount == 0 {
		t.Error("the last node has no records")
	}
}

// start opens a world that closes with the test.
func start(t *testing.T, o Options) *World {
	t.Helper()
	o.Folder = t.TempDir()
	w, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func getJSON(t *testing.T, url string, v any) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(v); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
}

// waitFor waits until a condition holds, and fails the test after a generous time.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("no %s within two minutes", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestStopEventsLeavesNothingUnacknowledged(t *testing.T) {
	w := start(t, Options{})
	waitFor(t, "events", func() bool { return w.producer.sent.Load() > 100 })
	w.StopEvents()
	if sent, acked := w.producer.sent.Load(), w.producer.acked.Load(); sent != acked {
		t.Errorf("%d events sent, %d acknowledged", sent, acked)
	}
}

// TestCloseIsQuickWhateverIsBroken: it waits for the end of no fault.
func TestCloseIsQuickWhateverIsBroken(t *testing.T) {
	const length = time.Minute // of each fault
	w, err := Start(t.Context(), Options{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range FaultNames() {
		if err := w.Inject(name, 0, length); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > length/2 {
		t.Errorf("closing took %s", took)
	} else {
		t.Logf("closed in %s", took)
	}
	if err := w.Inject("drift", 0, 0); err != nil {
		t.Errorf("injecting into a closed world: %v", err)
	}
}

// slow skips a proof that takes long unless WEIR_SLOW=1, which CI sets.
func slow(t *testing.T) {
	t.Helper()
	if os.Getenv("WEIR_SLOW") != "1" {
		t.Skip("takes long: runs with WEIR_SLOW=1")
	}
}
