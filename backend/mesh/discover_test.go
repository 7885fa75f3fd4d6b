package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/backend/kafka"
	"weir/backend/mesh/contract"
	"weir/config"
)

func TestTheDataSatisfyTheirOwnDraft(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	var csv, jsonl strings.Builder
	csv.WriteString("id,zip,email,country,amount,when,day,flag,note,empty,code\n")
	for i := range 500 {
		note := []string{`"a, b"`, "", "x y"}[r.IntN(3)]
		fmt.Fprintf(&csv, "%d,%05d,u%d@example.com,%s,%.2f,2026-01-%02dT10:00:00Z,2026-02-%02d,%v,%s,,k%d\n", i, r.IntN(99999), r.IntN(100), []string{"NO", "SE"}[r.IntN(2)], r.Float64()*10-5, i%28+1, i%28+1, i%2 == 0, note, i)
		fmt.Fprintf(&jsonl, `{"id":%d,"v":%s,"tags":["a"],"o":{"x":1},"s":"l\u00e9"}`+"\n", i, []string{"1", `"one"`, "null"}[r.IntN(3)])
	}
	files := []string{write(t, "a.csv", []byte(csv.String())), write(t, "a.jsonl", []byte(jsonl.String()))}
	parity, err := filepath.Glob("testdata/parity/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range parity {
		if ext := filepath.Ext(f); ext != ".py" && !strings.HasSuffix(f, "expected.json") && !strings.Contains(f, ".parquet") {
			files = append(files, f)
		}
	}
	files = append(files, "testdata/parity/typed.parquet")
	for _, file := range files {
		profile, err := ProfileFiles(context.Background(), []string{file}, FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteDraft(&b, profile, "d", safeName(filepath.Base(file))); err != nil {
			t.Fatal(err)
		}
		p, err := contract.Parse(b.Bytes(), "", "")
		if err != nil {
			t.Fatalf("%s: %v in\n%s", file, err, b.String())
		}
		report := validate(t, p, FileOptions{}, file)
		if report.Broken() || len(report.Unjudged()) > 0 || !report.Whole() {
			var out bytes.Buffer
			_ = report.WriteText(&out)
			t.Errorf("%s does not satisfy its draft:\n%s\n%s", file, out.String(), b.String())
		}
		if file == files[0] {
			for _, want := range []string{"likely a key", "logicalTypeOptions: {format: email}", `validValues: ["NO", "SE"]`, "likely sensitive", "logicalType: date", "logicalType: timestamp", "logicalType: boolean", "100% null"} {
				if !strings.Contains(b.String(), want) {
					t.Errorf("no %q in\n%s", want, b.String())
				}
			}
			if zip := p.Columns[1]; zip.Name != "zip" || zip.Type != "string" {
				t.Errorf("numbers with leading zeros became %+v", zip)
			}
		}
	}
}

func TestSketchesEstimateWithinTheirError(t *testing.T) {
	t.Parallel()
	for _, n := range []int{10, 2000, 50_000, 300_000} {
		var a, b sketch
		for i := range n { // b holds 60 % of a
			h := mixed(uint64(i))
			a.add(h)
			if i%5 < 3 {
				b.add(h)
			} else {
				b.add(mixed(uint64(i) + 1<<40))
			}
		}
		if got := a.distinct(); math.Abs(got-float64(n)) > 0.08*float64(n) {
			t.Errorf("%d values: estimated %.0f", n, got)
		}
		share, stderr := contained(&a, &b)
		if math.Abs(share-0.6) > max(4*stderr, 1e-9) || n > 3000 && (stderr == 0 || stderr > 0.05) {
			t.Errorf("%d values: share %.3f ± %.3f", n, share, stderr)
		}
		if len(a.sorted()) != len(a.in) {
			t.Errorf("%d hashes, %d known", len(a.hashes), len(a.in))
		}
	}
}

func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func TestRelationsFindTheJoin(t *testing.T) {
	t.Parallel()
	var users, orders strings.Builder
	users.WriteString("user_id,email,age\n")
	orders.WriteString("order_id,user_id,qty,country\n")
	for i := range 5000 {
		fmt.Fprintf(&users, "u%d,e%d@example.com,%d\n", i, i, i%90)
		fmt.Fprintf(&orders, "%d,u%d,%d,NO\n", i, i*7%6000, i%9)
	}
	profiles := map[string]Profile{}
	for name, text := range map[string]string{"crm/users": users.String(), "commerce/orders": orders.String()} {
		p, err := ProfileFiles(context.Background(), []string{write(t, "a.csv", []byte(text))}, FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		profiles[name] = p
	}
	var found *Relation
	relations := Relations(profiles)
	for i, r := range relations {
		if r.From == "commerce/orders" && r.FromColumn == "user_id" && r.ToColumn == "user_id" {
			found = &relations[i]
		} else if r.FromColumn != "user_id" || r.ToColumn != "user_id" {
			t.Errorf("an unlikely join: %+v", r)
		}
	}
	if found == nil || !found.ToIsKey || math.Abs(found.Share-0.83) > 0.06 {
		t.Fatalf("%+v", relations)
	}
	var b bytes.Buffer
	if err := WriteRelations(&b, relations, nil); err != nil || !strings.Contains(b.String(), "commerce/orders.user_id → crm/users.user_id") || !strings.Contains(b.String(), "±") {
		t.Errorf("%v %s", err, b.String())
	}
}

func TestADraftTellsNoSensitiveValue(t *testing.T) {
	t.Parallel()
	p, err := ProfileFiles(context.Background(), []string{write(t, "a.csv", []byte("salary,birth_date,lat,name\n31007,1951-03-04,59.913,Ada\n31007,1951-03-04,59.913,Ada\n"))}, FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteDraft(&b, p, "d", "n"); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"31007", "1951", "59.9", "Ada"} {
		if strings.Contains(b.String(), value) {
			t.Errorf("%s shows in\n%s", value, b.String())
		}
	}
}

func TestATopicIsProfiledWithoutAGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 2})
	w.send("user_events", 0, many(50, good)...)
	w.send("user_events", 1, append(many(50, good), "garbage")...)
	cluster, err := kafka.NewCluster(config.Kafka{Brokers: []string{w.broker.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := ProfileTopic(context.Background(), cluster, "user_events", TopicOptions{Records: 60})
	if err != nil || p.Rows != 59 || p.Undecodable != 1 || len(p.Columns) != 3 {
		t.Errorf("%v %+v", err, p)
	}
	var draft bytes.Buffer
	if err := WriteDraft(&draft, p, "web", "visits"); err != nil {
		t.Fatal(err)
	}
	product, err := contract.Parse(draft.Bytes(), "web", "visits")
	if err != nil || product.Topic != "user_events" || !strings.Contains(draft.String(), "1 record could not be decoded") {
		t.Errorf("the draft's topic is %q: %v\n%s", product.Topic, err, draft.String())
	}
	if p, err := ProfileTopic(context.Background(), cluster, "user_events", TopicOptions{Records: 60, For: time.Nanosecond}); err != nil || p.Rows > 59 {
		t.Errorf("when the time is up: %v, %d rows", err, p.Rows)
	}
	if _, err := ProfileTopic(context.Background(), cluster, "absent", TopicOptions{Records: 60}); err == nil || !strings.Contains(err.Error(), "topic absent") {
		t.Error(err)
	}
}

// TestLineageNamesAFileByItsWholePath, for a relative one is another file in every folder.
func TestLineageNamesAFileByItsWholePath(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"testdata/parity/clean.csv": filepath.Join(here, "testdata/parity/clean.csv"), "-": "-"} {
		r := Report{Product: articleProduct, Files: []FileReport{{Path: path, Whole: true}}}
		if got := r.LineageEvents("n", time.Now())[1].Inputs[0].Name; got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestLineageGoesToAFileAndAnEndpoint(t *testing.T) {
	t.Parallel()
	r := validate(t, parse(t, userEvents), FileOptions{}, write(t, "a.csv", []byte(smallCSV)))
	events := r.LineageEvents("test", time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC))
	events = append(events, jobEvent("RUNNING", time.Now(), "test", "kafka://localhost:9092", NewRunID(), theJob))
	var bodies [][]byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil || q.Header.Get("Content-Type") != "application/json" {
			t.Error(err, q.Header)
		}
		if q.URL.Path == "/broken" {
			http.Error(w, "no", http.StatusTeapot)
			return
		}
		bodies = append(bodies, body)
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "lineage.jsonl")
	for _, target := range []string{path, server.URL + "/api/v1/lineage"} {
		e, err := NewEmitter(target, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events {
			if err := e.Emit(context.Background(), event); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	e, err := NewEmitter(server.URL+"/broken", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Emit(context.Background(), events[0]); err == nil || !strings.Contains(err.Error(), "418") {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) != string(bytes.Join(bodies, []byte("\n")))+"\n" {
		t.Errorf("%v: the file and the endpoint got different events", err)
	}
	if events[0].EventType != "START" || events[1].EventType != "COMPLETE" || events[0].Run.ID != events[1].Run.ID || len(events[0].Run.ID) != 36 {
		t.Errorf("%+v", events)
	}
	var complete map[string]any
	if err := json.Unmarshal(bodies[1], &complete); err != nil {
		t.Fatal(err)
	}
	text := string(bodies[1])
	for _, want := range []string{`"assertion":"required_columns","column":"user_id","name":"required_columns of user_id","severity":"error","success":true`, `"actual":"at most 50%","assertion":"max_null_percentage","expected":"≤ 5%","name":"max_null_percentage","severity":"error","success":false`, `"rowCount":2`, `"email":{"nullCount":1}`, `"name":"data@example.com","type":"OWNER"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if !strings.Contains(string(bodies[2]), `"namespace":"kafka://localhost:9092","name":"predictions"`) {
		t.Errorf("%s", bodies[2])
	}
}
