package features

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var articleNames = []string{"user_profile:age", "user_profile:location", "user_behavior:click_rate_24h", "user_behavior:purchase_history_30d"}

type request struct {
	Features  []string                     `json:"features"`
	Entities  map[string][]json.RawMessage `json:"entities"`
	FullNames bool                         `json:"full_feature_names"`
}

// serve makes a store in front of a server that answers with handler, which gets the decoded request.
func serve(t testing.TB, c FeastConfig, handler func(w http.ResponseWriter, r request)) (Store, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked request
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || r.Method != "POST" || r.URL.Path != "/get-online-features" {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		handler(w, asked)
	}))
	t.Cleanup(server.Close)
	return storeAt(t, server.URL, c), server
}

func storeAt(t testing.TB, url string, c FeastConfig) Store {
	t.Helper()
	c.URL = url
	if c.Names == nil {
		c.Names = articleNames
	}
	if c.Entity == "" {
		c.Entity = "user_id"
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	store, err := NewFeast(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.(io.Closer).Close() })
	return store
}

func fetch(t testing.TB, store Store, entities ...Entity) ([]*Row, error) {
	t.Helper()
	rows := make([]*Row, len(entities))
	return rows, store.Fetch(t.Context(), entities, rows)
}

func texts(keys ...string) (entities []Entity) {
	for _, k := range keys {
		entities = append(entities, Entity{Key: k})
	}
	return entities
}

var sameRows = []cmp.Option{cmpopts.EquateNaNs(), cmpopts.IgnoreFields(Row{}, "Fetched")}

func TestColumnsAreMappedByName(t *testing.T) {
	store, _ := serve(t, FeastConfig{}, func(w http.ResponseWriter, r request) {
		if !r.FullNames || strings.Join(r.Features, " ") != strings.Join(articleNames, " ") {
			t.Errorf("asked for %+v", r)
		}
		if got := fmt.Sprintf("%s", r.Entities["user_id"]); got != `["a" "b\"\\\u0001ü" "c"]` {
			t.Errorf("entities = %s, want each once, as strings, in the order they came", got)
		}
		// Another order than asked for, a column nobody asked for, the results before the names.
		_, _ = io.WriteString(w, `{"results":[
			{"values":["a","b\"\\\u0001ü","c"],"statuses":["PRESENT","PRESENT","PRESENT"],"event_timestamps":["x","y","z"]},
			{"statuses":["PRESENT","NULL_VALUE","NOT_FOUND"],"values":[0.25,null,null]},
			{"values":[1,2,3],"statuses":["PRESENT","PRESENT","PRESENT"]},
			{"values":["Bern","Z\u00fcrich \ud83d\ude00","Bern"],"statuses":["PRESENT","PRESENT","OUTSIDE_MAX_AGE"]},
			{"values":[true,false,NaN],"statuses":["PRESENT","PRESENT","PRESENT"]},
			{"values":[-17,4.5e1,1e400],"statuses":["PRESENT","SOMETHING_NEW","PRESENT"]}],
			"metadata":{"feature_names":["user_id","user_behavior__click_rate_24h","user_profile__other","user_profile__location","user_behavior__purchase_history_30d","user_profile__age"]}}`)
	})
	rows, err := fetch(t, store, texts("a", "b\"\\\x01ü", "a", "c", "a")...)
	if err != nil {
		t.Fatal(err)
	}
	nan := math.NaN()
	a := &Row{Values: []Value{{Number: -17}, {IsText: true, Text: "Bern"}, {Number: 0.25}, {Number: 1}}}
	b := &Row{Values: []Value{{Status: Invalid, Number: 45}, {IsText: true, Text: "Zürich 😀"}, {Status: NullValue, Number: nan}, {Number: 0}}}
	c := &Row{Values: []Value{{Status: Invalid, Number: math.Inf(1)}, {Status: OutsideMaxAge, IsText: true, Text: "Bern"}, {Status: NotFound, Number: nan}, {Status: NullValue, Number: nan}}}
	if diff := cmp.Diff([]*Row{a, b, a, c, a}, rows, sameRows...); diff != "" {
		t.Error(diff)
	}
	if s := store.Stats(); s.Requests != 1 || s.Errors != 0 || s.P50 <= 0 || s.P99 < s.P50 || s.State != StateOK || s.Since.IsZero() {
		t.Errorf("stats = %+v", s)
	}
}

func TestNumbersAndTextsAreDifferentEntities(t *testing.T) {
	var asked []string
	store, _ := serve(t, FeastConfig{Names: []string{"v:f"}}, func(w http.ResponseWriter, r request) {
		asked = append(asked, fmt.Sprintf("%s", r.Entities["user_id"]))
		n := len(r.Entities["user_id"])
		answerColumns(w, []string{"v__f"}, n, func(_, i int) string { return fmt.Sprint(100*len(asked) + i) })
	})
	rows, err := fetch(t, store, Entity{"17", true}, Entity{"17", false}, Entity{"18", true}, Entity{"1x", true})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(asked, " "); got != `["17"] [17 18 "1x"]` {
		t.Errorf("asked for %s", got)
	}
	for i, want := range []float64{200, 100, 201, 202} {
		if got := rows[i].Values[0].Number; got != want {
			t.Errorf("row %d = %v, want %v", i, got, want)
		}
	}
}

// answerColumns writes an answer in Feast's layout without the entities' echo.
func answerColumns(w io.Writer, names []string, entities int, value func(name, entity int) string) {
	var results []string
	for c := range names {
		values, statuses := make([]string, entities), make([]string, entities)
		for i := range values {
			values[i], statuses[i] = value(c, i), `"PRESENT"`
		}
		results = append(results, fmt.Sprintf(`{"values":[%s],"statuses":[%s]}`, strings.Join(values, ","), strings.Join(statuses, ",")))
	}
	quoted, _ := json.Marshal(names)
	_, _ = fmt.Fprintf(w, `{"metadata":{"feature_names":%s},"results":[%s]}`, quoted, strings.Join(results, ","))
}

func TestLayouts(t *testing.T) {
	one := func(v float64) *Row { return &Row{Values: []Value{{Number: v}}} }
	for _, c := range []struct {
		name     string
		entities []Entity
		answer   string
		want     []*Row
	}{
		{"rows", texts("a", "b", "c"), `{"metadata":{"feature_names":["user_id","v__f"]},"results":[
			{"values":["a",1],"statuses":["PRESENT","PRESENT"]},{"values":["b",2],"statuses":["PRESENT","PRESENT"]},{"values":["c",3],"statuses":["PRESENT","PRESENT"]}]}`,
			[]*Row{one(1), one(2), one(3)}},
		{"columns, as many as entities", texts("a", "b"), `{"metadata":{"feature_names":["user_id","v__f"]},"results":[
			{"values":["a","b"],"statuses":["PRESENT","PRESENT"]},{"values":[1,2],"statuses":["PRESENT","PRESENT"]}]}`,
			[]*Row{one(1), one(2)}},
		{"rows, as many as names", texts("a", "b"), `{"metadata":{"feature_names":["user_id","v__f"]},"results":[
			{"values":["a",1],"statuses":["PRESENT","PRESENT"]},{"values":["b",2],"statuses":["PRESENT","PRESENT"]}]}`,
			[]*Row{one(1), one(2)}},
		{"one entity, one name, no echo", texts("a"), `{"metadata":{"feature_names":["v__f"]},"results":[{"values":[7],"statuses":["PRESENT"]}]}`,
			[]*Row{one(7)}},
		{"one entity in a row", texts("a"), `{"metadata":{"feature_names":["user_id","v__f"]},"results":[{"values":["a",7],"statuses":["PRESENT","PRESENT"]}]}`,
			[]*Row{one(7)}},
		{"no statuses", texts("a"), `{"metadata":{"feature_names":["v__f"]},"results":[{"values":[null]}]}`,
			[]*Row{{Values: []Value{{Status: NullValue, Number: math.NaN()}}}}},
		{"statuses as numbers, names in val", texts("a"), `{"metadata":{"feature_names":{"val":["v__f"]}},"results":[{"values":[7],"statuses":[4]}]}`,
			[]*Row{{Values: []Value{{Status: OutsideMaxAge, Number: 7}}}}},
		{"numbers echoed for texts", texts("1", "2", "3"), `{"metadata":{"feature_names":["user_id","v__f"]},"results":[
			{"values":[1,2.0,3],"statuses":["PRESENT","PRESENT","PRESENT"]},{"values":[1,2,3],"statuses":["PRESENT","PRESENT","PRESENT"]}]}`,
			[]*Row{one(1), one(2), one(3)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store, _ := serve(t, FeastConfig{Names: []string{"v:f"}}, func(w http.ResponseWriter, _ request) { _, _ = io.WriteString(w, c.answer) })
			rows, err := fetch(t, store, c.entities...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, rows, sameRows...); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnswersThatAreNotFeasts(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		kind         error
		says         string
		controls     uint64 // requests for others, to see whether one entity is the cause
	}{
		{"empty", "", ErrContract, "found an empty one", 0},
		{"html", "<!DOCTYPE html><html>Sign in", ErrContract, "found HTML", 0},
		{"cut off", `{"metadata":{"feature_names":["v__f"]},"results":[{"values":[1`, ErrContract, "found the end after 62 bytes", 0},
		{"a list", `[1]`, ErrContract, "expected an object", 0},
		{"two answers", `{"metadata":{"feature_names":["v__f"]},"results":[]}{}`, ErrContract, "the end of the answer", 0},
		{"no results", `{"metadata":{"feature_names":["v__f"]}}`, ErrContract, "metadata and results", 0},
		{"no feature names", `{"metadata":{},"results":[]}`, ErrContract, "expected feature_names", 0},
		{"another name", `{"metadata":{"feature_names":["f"]},"results":[{"values":[1,2],"statuses":["PRESENT","PRESENT"]}]}`, ErrContract, "expected v__f among the 1 names", 0},
		{"a name twice", `{"metadata":{"feature_names":["v__f","v__f"]},"results":[]}`, ErrContract, "found it 2 times", 0},
		{"too few results", `{"metadata":{"feature_names":["user_id","v__f","v__g"]},"results":[]}`, ErrContract, "found 0 results", 0},
		{"too few values", `{"metadata":{"feature_names":["v__f"]},"results":[{"values":[1],"statuses":["PRESENT","PRESENT"]}]}`, ErrContract, "values: expected 2, one for each entity, found 1", 0},
		{"too many values", `{"metadata":{"feature_names":["v__f"]},"results":[{"values":[1,2,[3]],"statuses":["PRESENT","PRESENT"]}]}`, ErrContract, "found 3", 0},
		{"too few statuses", `{"metadata":{"feature_names":["v__f"]},"results":[{"values":[1,2],"statuses":["PRESENT"]}]}`, ErrContract, "statuses: expected 2", 0},
		{"a list as value", `{"metadata":{"feature_names":["v__f"]},"results":[{"values":[[1,2],[3]],"statuses":["PRESENT","PRESENT"]}]}`, ErrConfiguration, "feature v__f: expected a number, text or boolean, found a list", 0},
		{"other entities", `{"metadata":{"feature_names":["user_id","v__f","v__g"]},"results":[{"values":["b","a"],"statuses":["PRESENT","PRESENT"]},{"values":[1,2]},{"values":[1,2]}]}`, ErrContract, `expected entity "a" in place 0`, 3},
		{"neither columns nor rows", `{"metadata":{"feature_names":["user_id","v__f"]},"results":[{"values":["x",1]},{"values":["y",2]}]}`, ErrContract, `expected entity "a" in place 0`, 3},
		{"too deep", strings.Repeat(`{"x":`, 100), ErrContract, "levels of nesting", 0},
		{"huge", `{"results":"` + strings.Repeat("x", 2<<20), ErrContract, "expected at most", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			store, _ := serve(t, FeastConfig{Names: []string{"v:f"}}, func(w http.ResponseWriter, _ request) { _, _ = io.WriteString(w, c.answer) })
			rows, err := fetch(t, store, texts("a", "b")...)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("err = %v\nwant %q and: %s", err, c.kind, c.says)
			}
			if rows[0] != nil || rows[1] != nil {
				t.Error("rows were filled in spite of the error")
			}
			if s := store.Stats(); s.Requests != 1+c.controls || s.LastError == "" || s.State != StateDown {
				t.Errorf("stats = %+v; asking again does not help here", s)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   error
		says   string
		// requests for the entity, and for others to see whether it alone is refused
		asked, controls uint64
	}{
		{404, `{"detail":"Not Found"}`, ErrConfiguration, "does not know POST /get-online-features", 1, 0},
		{404, `"{\"module\": \"feast.errors\", \"class\": \"FeatureViewNotFoundException\", \"message\": \"Feature view user_behavior does not exist\"}"`, ErrConfiguration, "does not know user_behavior:click_rate_24h", 1, 0},
		{422, `{"error":"unknown feature user_profile:location"}`, ErrConfiguration, "does not know user_profile:location", 1, 0},
		{500, `"Feature view user_profile does not exist"`, ErrConfiguration, "does not know user_profile:age", 1, 0},
		{500, `{"detail":"user_profile: connection to redis lost"}`, ErrUnavailable, "connection to redis lost", maxAttempts, 2},
		{500, ``, ErrUnavailable, "status 500", maxAttempts, 2},
		{503, `<html>` + strings.Repeat("x", 5000), ErrUnavailable, "xxx…", maxAttempts, 0},
		{429, `slow down`, ErrUnavailable, "slow down", maxAttempts, 0},
		{500, `"'Feature location not found in projection user_profile'"`, ErrConfiguration, "does not know user_profile:location (status 500 Internal Server Error: Feature location not found", 1, 0},
		{500, `"\"Missing join key values for keys: ['acct_id', 'user_id']. No values provided\""`, ErrConfiguration, "features.entity: the store looks these features up by another key than user_id", 1, 0},
		{401, `{"detail":"no token"}`, ErrConfiguration, "wants a token", 1, 0},
		{302, ``, ErrConfiguration, `found a redirect to "http://elsewhere/"`, 1, 0},
		{400, `{"detail":"entities"}`, ErrConfiguration, "status 400 Bad Request: entities", 1, 2},
		{204, ``, ErrContract, "expected status 200", 1, 0},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.says), func(t *testing.T) {
			store, _ := serve(t, FeastConfig{}, func(w http.ResponseWriter, _ request) {
				w.Header().Set("Location", "http://elsewhere/")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			_, err := fetch(t, store, texts("a")...)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("err = %v\nwant %q and: %s", err, c.kind, c.says)
			}
			if s := store.Stats(); s.Requests != c.asked+c.controls || len(s.LastError) > 1000 {
				t.Errorf("%d requests, want %d; last error of %d bytes", s.Requests, c.asked, len(s.LastError))
			}
		})
	}
}

func TestAFailureIsTriedAgain(t *testing.T) {
	var n atomic.Int32
	store, _ := serve(t, FeastConfig{Names: []string{"v:f"}, Token: func() string { return "s3cret" }}, func(w http.ResponseWriter, _ request) {
		if n.Add(1) < maxAttempts {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		answerColumns(w, []string{"v__f"}, 1, func(int, int) string { return "1" })
	})
	rows, err := fetch(t, store, texts("a")...)
	if err != nil || rows[0].Values[0].Number != 1 {
		t.Fatal(err)
	}
	if s := store.Stats(); s.Requests != maxAttempts || s.Errors != maxAttempts-1 || s.State != StateOK {
		t.Errorf("stats = %+v", s)
	}
}

func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	store := storeAt(t, "http://"+l.Addr().String(), FeastConfig{})
	if _, err := fetch(t, store, texts("a")...); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("err = %v", err)
	}
}

func TestTheCallersContext(t *testing.T) {
	store, _ := serve(t, FeastConfig{}, func(http.ResponseWriter, request) { t.Error("asked in spite of a context that had ended") })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := store.Fetch(ctx, texts("a"), make([]*Row, 1))
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
		t.Errorf("err = %v, want the caller's own", err)
	}
}

func TestTokenIsSent(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
	defer server.Close()
	store := storeAt(t, server.URL, FeastConfig{Token: func() string { return "s3cret" }})
	_, err := fetch(t, store, texts("a")...)
	if got != "Bearer s3cret" || strings.Contains(fmt.Sprint(err), "s3cret") {
		t.Errorf("Authorization = %q, err = %v", got, err)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	for _, c := range []struct {
		config FeastConfig
		says   []string
	}{
		{FeastConfig{}, []string{"features.url: expected an address", "features.entity: expected", "features.names: expected at least one"}},
		{FeastConfig{URL: "localhost:6566", Entity: "u", Names: []string{"v:f"}}, []string{`found "localhost:6566"`}},
		{FeastConfig{URL: "http://h", Entity: "u", Names: []string{"age", "v:", ":f", "a:b:c", "v:f\n"}},
			[]string{`names[0]: expected view:feature, such as user_profile:age, found "age"`, "names[1]", "names[2]", "names[3]", "names[4]"}},
		{FeastConfig{URL: "http://h", Entity: "u", Names: []string{"v:f", "v:f"}}, []string{`names[1]: "v:f" is answered under the same name as "v:f"`}},
		{FeastConfig{URL: "http://h", Entity: "u", Names: []string{"a__b:c", "a:b__c"}}, []string{`is answered under the same name as "a__b:c"`}},
	} {
		_, err := NewFeast(c.config)
		for _, want := range c.says {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want it to say %q", c.config, err, want)
			}
		}
	}
}

// pipeClient reaches handler without a socket, so that time may stand still in a synctest bubble.
type pipeClient func(*http.Request) (*http.Response, error)

func (f pipeClient) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func okAnswer(entities int) *http.Response {
	var b strings.Builder
	answerColumns(&b, []string{"v__f"}, entities, func(_, i int) string { return fmt.Sprint(i) })
	return &http.Response{StatusCode: 200, Status: "200 OK", Header: http.Header{}, Body: io.NopCloser(strings.NewReader(b.String()))}
}

func asked(r *http.Request) int {
	var q request
	_ = json.NewDecoder(r.Body).Decode(&q)
	return len(q.Entities["user_id"])
}

func TestBreakerOpensAndProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := false
		var sent int
		store := storeAt(t, "http://feast", FeastConfig{Names: []string{"v:f"}, HTTP: &http.Client{Transport: pipeClient(func(r *http.Request) (*http.Response, error) {
			sent++
			if up {
				return okAnswer(asked(r)), nil
			}
			return nil, errors.New("connection refused")
		})}})
		for range 3 {
			_, err := fetch(t, store, texts("a")...)
			if !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
		}
		if sent != breakerFailures {
			t.Fatalf("%d requests were sent, want %d: then the breaker is open", sent, breakerFailures)
		}
		_, err := fetch(t, store, texts("a")...)
		if sent != breakerFailures || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "asked again every 500ms to 5s") || !strings.Contains(err.Error(), "connection refused") {
			t.Fatalf("%d sent, err = %v", sent, err)
		}
		said := err.Error()
		time.Sleep(breakerWait)
		_, err = fetch(t, store, texts("a")...) // the probe fails: open twice as long, without more attempts
		if err == nil || err.Error() != said || !errors.Is(err, ErrUnavailable) {
			t.Errorf("the console would be drawn again for %v, after %s", err, said)
		}
		if sent != breakerFailures+1 {
			t.Fatalf("%d requests were sent, want one probe more", sent)
		}
		up = true
		time.Sleep(breakerWait)
		if _, err := fetch(t, store, texts("a")...); err == nil {
			t.Fatal("asked before the wait was over")
		}
		time.Sleep(breakerWait)
		if _, err := fetch(t, store, texts("a")...); err != nil {
			t.Fatal(err)
		}
		if s := store.Stats(); s.State != StateOK {
			t.Errorf("stats = %+v", s)
		}
	})
}

func TestHalfOpenLetsOneThrough(t *testing.T) {
	var b breaker
	now := time.Unix(0, 0)
	for range breakerFailures {
		p, ok := b.allow(now)
		if !ok {
			t.Fatal("closed, but not allowed")
		}
		b.done(p, now, serverAway)
	}
	now = now.Add(breakerWait)
	probe, ok := b.allow(now)
	if !ok || !probe.probe {
		t.Fatal("no probe when the wait is over")
	}
	if _, ok := b.allow(now); ok {
		t.Fatal("a second request beside the probe")
	}
	b.done(pass{}, now, serverAway) // one that began before the breaker opened must not decide for the probe
	if _, ok := b.allow(now); ok {
		t.Fatal("a second request beside the probe")
	}
	b.done(probe, now, serverUnknown) // its caller gave up: the next one probes
	if probe, ok = b.allow(now); !ok {
		t.Fatal("nobody may probe any more")
	}
	b.done(probe, now, serverUp)
	if p, ok := b.allow(now); !ok || p.probe {
		t.Fatal("still open though the probe was answered")
	}
}

func TestASlowServerIsAskedForLessAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		perEntity := time.Millisecond
		var largest int
		store := storeAt(t, "http://feast", FeastConfig{Names: []string{"v:f"}, Timeout: 500 * time.Millisecond, HTTP: &http.Client{Transport: pipeClient(func(r *http.Request) (*http.Response, error) {
			n := asked(r)
			largest = max(largest, n)
			select {
			case <-time.After(time.Duration(n) * perEntity):
				return okAnswer(n), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})}})
		var entities []Entity
		for i := range 1000 {
			entities = append(entities, Entity{fmt.Sprint(i), false})
		}
		_, err := fetch(t, store, entities...)
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "asked for 1000 entities, waited 500ms") {
			t.Fatalf("err = %v", err)
		}
		_, err = fetch(t, store, entities...) // 500 at once take just the timeout
		for tries := 0; err != nil && tries < 3; tries++ {
			_, err = fetch(t, store, entities...)
		}
		if err != nil {
			t.Fatal(err)
		}
		perEntity, largest = time.Microsecond, 0
		for range 4 {
			if _, err := fetch(t, store, entities...); err != nil {
				t.Fatal(err)
			}
		}
		if largest != 1000 {
			t.Errorf("the server is quick again, but asked for at most %d at once", largest)
		}
	})
}

func TestRetryAfterBeyondTheTimeoutIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var sent int
		store := storeAt(t, "http://feast", FeastConfig{Names: []string{"v:f"}, Timeout: time.Second, HTTP: &http.Client{Transport: pipeClient(func(*http.Request) (*http.Response, error) {
			sent++
			return &http.Response{StatusCode: 503, Status: "503", Header: http.Header{"Retry-After": {"60"}}, Body: http.NoBody}, nil
		})}})
		if _, err := fetch(t, store, texts("a")...); !errors.Is(err, ErrUnavailable) || sent != 1 || time.Since(began) > 0 {
			t.Errorf("err = %v after %v and %d requests", err, time.Since(began), sent)
		}
	})
}

func TestLatencyQuantiles(t *testing.T) {
	var l latencies
	now := time.Unix(1_000_000, 0)
	if p50, p99 := l.quantiles(now); p50 != 0 || p99 != 0 {
		t.Errorf("nothing measured: %v %v", p50, p99)
	}
	for i := range 100 {
		l.add(now, time.Duration(i+1)*time.Millisecond)
	}
	within := func(got, want float64) bool { return math.Abs(got-want) <= 0.03*want }
	if p50, p99 := l.quantiles(now.Add(50 * time.Second)); !within(p50, 50) || !within(p99, 99) {
		t.Errorf("p50 = %v, p99 = %v, want 50 and 99", p50, p99)
	}
	if p50, _ := l.quantiles(now.Add(61 * time.Second)); p50 != 0 {
		t.Errorf("p50 = %v a minute later, want 0", p50)
	}
}
