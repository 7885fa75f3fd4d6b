package check

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/features"
	"weir/backend/kafka"
	"weir/backend/model"
	"weir/config"
)

func TestEntityOf(t *testing.T) {
	for event, want := range map[string]struct {
		entity  features.Entity
		problem string
	}{
		`{"user_id":"u1"}`:                 {features.Entity{Key: "u1"}, ""},
		`{"user_id":17}`:                   {features.Entity{Key: "17", Numeric: true}, ""},
		`{"user_id":12345678901234567890}`: {features.Entity{Key: "12345678901234567890", Numeric: true}, ""},
		`{"user":1}`:                       {features.Entity{}, "no key user_id"},
		`{"user_id":null}`:                 {features.Entity{}, "neither"},
		`{"user_id":""}`:                   {features.Entity{}, "neither"},
		`{"user_id":[1]}`:                  {features.Entity{}, "neither"},
		`[]`:                               {features.Entity{}, "not a JSON object"},
		``:                                 {features.Entity{}, "not a JSON object"},
	} {
		entity, problem := entityOf([]byte(event), "user_id")
		if entity != want.entity || (problem == "") != (want.problem == "") || !strings.Contains(problem, want.problem) {
			t.Errorf("%s: got %+v, %q", event, entity, problem)
		}
	}
}

func TestLatestEvents(t *testing.T) {
	address := broker(t, kafka.EmbeddedOptions{Topics: []kafka.EmbeddedTopic{{Name: "user_events", Partitions: 2}}})
	// Bern is known by its name, the others have no city.
	store := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Entities map[string][]string `json:"entities"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		var ids, values, statuses, times []string
		for _, id := range q.Entities["user_id"] {
			ids = append(ids, fmt.Sprintf("%q", id))
			value, status := "null", `"NOT_FOUND"`
			if strings.HasPrefix(id, "known") {
				value, status = `"Bern"`, `"PRESENT"`
			}
			values, statuses, times = append(values, value), append(statuses, status), append(times, `"2026-01-01T00:00:00Z"`)
		}
		present := strings.Repeat(`,"PRESENT"`, len(ids))[1:]
		at := strings.Join(times, ",")
		_, _ = fmt.Fprintf(w, `{"metadata":{"feature_names":["user_id","user__city"]},"results":[{"values":[%s],"statuses":[%s],"event_timestamps":[%s]},{"values":[%s],"statuses":[%s],"event_timestamps":[%s]}]}`,
			strings.Join(ids, ","), present, at, strings.Join(values, ","), strings.Join(statuses, ","), at)
	})
	c := pipelineConfig(address)
	c.Features = &config.Features{URL: store, Entity: "user_id", Names: []string{"user:city"}, Timeout: patience, OnMissing: "dead_letter"}
	cluster, err := kafka.NewCluster(c.Kafka)
	if err != nil {
		t.Fatal(err)
	}
	settings := cluster.Config()
	settings.Producer.Return.Successes = true
	settings.Producer.Partitioner = sarama.NewRoundRobinPartitioner
	producer, err := sarama.NewSyncProducer(cluster.Brokers(), settings)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close() }()
	send := func(events ...string) {
		t.Helper()
		for _, e := range events {
			if _, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: "user_events", Value: sarama.StringEncoder(e)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect(t, checkEvents(deadline(t), c), OK, []string{"none in user_events yet"}, "")
	send("garbage")
	expect(t, checkEvents(deadline(t), c), Failed, []string{"none of the last 1 carries user_id", "not a JSON object"}, "features.entity")
	send(`{"user_id":"known1"}`, `{"user_id":"known2"}`)
	expect(t, checkEvents(deadline(t), c), Warning, []string{"2 of the last 3 have all their features", "1 carry no user_id"}, "dead letters")
	for i := range 4 * latestEvents {
		send(fmt.Sprintf(`{"user_id":"known%d"}`, i))
	}
	expect(t, checkEvents(deadline(t), c), OK, []string{"of the last 20 have all their features"}, "")
	c.Model = &config.Model{ONNX: "../demo/model/model.onnx"}
	expect(t, checkEvents(deadline(t), c), Warning, []string{"0 of the last 20", "user:city is a text, the model takes a number"}, "dead letters")
	c.Features.Categories = map[string]map[string]float64{"user:city": {"Bern": 0}}
	expect(t, checkEvents(deadline(t), c), OK, []string{"20 of the last 20"}, "")
	for range 2 * latestEvents {
		send(`{"user_id":"stranger"}`)
	}
	expect(t, checkEvents(deadline(t), c), Warning, []string{"user:city is NOT_FOUND"}, "on_missing")
	c.Features.URL = "http://" + closedPort(t)
	if r := checkEvents(deadline(t), c)[0]; r.Status != Skipped {
		t.Errorf("got %+v", r)
	}
}

func TestASilentModelServerHoldsNoCheckBeyondItsTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel() // the check's time is over while the server is silent
		<-r.Context().Done()
	}))
	defer server.Close()
	c := &config.Config{Features: &config.Features{Names: []string{"a:b"}},
		Model: &config.Model{Inference: &config.Inference{URL: server.URL, Name: "m", Timeout: time.Hour}}}
	ended := make(chan []model.Column, 1)
	go func() { ended <- columnsOf(ctx, c) }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("it waits for as long as the model's timeout says")
		server.CloseClientConnections()
		<-ended
	}
}

func TestASilentBrokerIsAskedNoLongerThanTheCheckMayTake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	questions := make(chan int)
	go func() {
		n := 0
		defer func() { questions <- n }()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		for { // a request is its length and so many bytes; none is answered
			var length uint32
			if binary.Read(c, binary.BigEndian, &length) != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, c, int64(length)); err != nil {
				return
			}
			n++
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, _, err = readLatest(ctx, &config.Config{Kafka: config.Kafka{Brokers: []string{l.Addr().String()}}, Pipeline: &config.Pipeline{Events: "user_events"}})
	if err == nil {
		t.Error("a silent broker was read")
	}
	_ = l.Close()
	if n := <-questions; n > 1 {
		t.Errorf("it asked %d questions, each for as long as the check may take", n)
	}
}
