package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// audit is what a second program finds when it compares the topics of a world: nothing of weir's own counting.
type audit struct {
	events, predictions, deadLetters int
	unanswered                       int // events with neither a prediction nor a dead letter
	answeredAgain                    int // answers beyond the first
	problems                         []string
}

// identity is what a prediction keeps of its event. Several events may share one: a visitor may do two things in one
// moment.
type identity struct{ user, timestamp string }

// position is where a record stands in user_events.
type position struct {
	partition int32
	offset    int64
}

func (a *audit) problem(format string, args ...any) {
	if len(a.problems) < 10 {
		a.problems = append(a.problems, fmt.Sprintf(format, args...))
	}
}

// auditTopics reads the three topics from their beginning to where they end now. Predictions must have their four keys,
// dead letters their headers and the event's bytes.
func auditTopics(t *testing.T, broker string) audit {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var a audit
	dead := map[position]int{}
	values := map[position]string{}
	for _, m := range readAll(t, client, topicDeadLetters) {
		a.deadLetters++
		at, err := origin(m)
		if err != nil {
			a.problem("dead letter %d: %v", m.Offset, err)
			continue
		}
		dead[at]++
		values[at] = string(m.Value)
	}
	want := map[identity]int{}
	for _, m := range readAll(t, client, topicEvents) {
		a.events++
		at := position{m.Partition, m.Offset}
		if n := dead[at]; n > 0 {
			a.answeredAgain += n - 1
			delete(dead, at)
			if values[at] != string(m.Value) {
				a.problem("the dead letter of %v says %q, the event %q", at, values[at], m.Value)
			}
			continue
		}
		var e struct {
			UserID    string `json:"user_id"`
			Timestamp string `json:"timestamp"`
		}
		if err := json.Unmarshal(m.Value, &e); err != nil {
			a.problem("event %v can have no prediction and has no dead letter: %q", at, m.Value)
			a.unanswered++
			continue
		}
		want[identity{e.UserID, e.Timestamp}]++
	}
	for at := range dead {
		a.problem("a dead letter of %v, where there is no event", at)
	}
	for _, m := range readAll(t, client, topicPredictions) {
		a.predictions++
		id, err := predicted(m)
		if err != nil {
			a.problem("prediction %d/%d: %v in %q", m.Partition, m.Offset, err, m.Value)
			continue
		}
		if _, known := want[id]; !known {
			a.problem("a prediction for %v, of which there is no event", id)
			continue
		}
		want[id]--
	}
	for id, missing := range want {
		if missing > 0 {
			a.unanswered += missing
			a.problem("no prediction for %v", id)
		} else {
			a.answeredAgain -= missing
		}
	}
	return a
}

// predicted is the event a prediction answers; the error is of the prediction's shape.
func predicted(m *kgo.Record) (identity, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(m.Value, &keys); err != nil {
		return identity{}, err
	}
	var p struct {
		UserID       string   `json:"user_id"`
		Prediction   *float64 `json:"prediction"`
		Timestamp    string   `json:"timestamp"`
		ModelVersion string   `json:"model_version"`
	}
	if err := json.Unmarshal(m.Value, &p); err != nil {
		return identity{}, err
	}
	switch {
	case len(keys) != 4:
		return identity{}, fmt.Errorf("%d keys, want 4", len(keys))
	case p.Prediction == nil || *p.Prediction < 0 || *p.Prediction > 1:
		return identity{}, fmt.Errorf("no prediction in 0..1")
	case p.ModelVersion != "v2.1":
		return identity{}, fmt.Errorf("model version %q", p.ModelVersion)
	case string(m.Key) != p.UserID:
		return identity{}, fmt.Errorf("keyed %q", m.Key)
	}
	return identity{p.UserID, p.Timestamp}, nil
}

// origin is where the event of a dead letter stood, as its headers say.
func origin(m *kgo.Record) (position, error) {
	headers := map[string]string{}
	for _, h := range m.Headers {
		headers[h.Key] = string(h.Value)
	}
	partition, err := strconv.ParseInt(headers["weir.partition"], 10, 32)
	if err != nil {
		return position{}, fmt.Errorf("header weir.partition: %w", err)
	}
	offset, err := strconv.ParseInt(headers["weir.offset"], 10, 64)
	if err != nil {
		return position{}, fmt.Errorf("header weir.offset: %w", err)
	}
	if headers["weir.stage"] == "" || headers["weir.reason"] == "" || headers["weir.topic"] != topicEvents {
		return position{}, fmt.Errorf("headers %v", headers)
	}
	return position{int32(partition), offset}, nil
}

// readAll is a topic as it stands now, without what transactions left open or aborted.
func readAll(t *testing.T, client *kgo.Client, topic string) []*kgo.Record {
	t.Helper()
	first, last := offsets(t, client, topic, -2), offsets(t, client, topic, -1)
	at := map[int32]kgo.Offset{}
	left := 0
	for p, end := range last {
		if first[p] != 0 {
			t.Fatalf("%s %d begins at %d: the broker has forgotten what is to be audited", topic, p, first[p])
		}
		if end > 0 {
			at[p] = kgo.NewOffset().At(0)
			left++
		}
	}
	if left == 0 {
		return nil
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: at})
	defer client.PurgeTopicsFromConsuming(topic)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all []*kgo.Record
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v after %d records", topic, err, len(all))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
			if r.Offset+1 == last[r.Partition] {
				left--
			}
		})
	}
	return all
}

// offsets are a topic's offsets by partition: -2 asks for the first, -1 for the end.
func offsets(t *testing.T, client *kgo.Client, topic string, which int64) map[int32]int64 {
	t.Helper()
	metadata := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	metadata.Topics = append(metadata.Topics, asked)
	known, err := metadata.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	request := kmsg.NewPtrListOffsetsRequest()
	request.IsolationLevel = 1
	list := kmsg.NewListOffsetsRequestTopic()
	list.Topic = topic
	for _, p := range known.Topics[0].Partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = p.Partition, which
		list.Partitions = append(list.Partitions, partition)
	}
	request.Topics = append(request.Topics, list)
	response, err := request.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	found := map[int32]int64{}
	for _, p := range response.Topics[0].Partitions {
		found[p.Partition] = p.Offset
	}
	return found
}
