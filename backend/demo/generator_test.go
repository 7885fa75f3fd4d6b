package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"
)

var aMoment = time.Date(2026, 11, 22, 9, 7, 0, 123e6, time.UTC)

// stream is the records of n events, made in batches of the given size.
func stream(seed uint64, n, batch int, f eventFaults) []record {
	g := newGenerator(seed, population())
	var all []record
	for made := 0; made < n; made += batch {
		all = append(all, g.next(min(batch, n-made), aMoment, f)...)
	}
	return all
}

func TestSameSeedSameEvents(t *testing.T) {
	text := func(records []record) []byte {
		var b bytes.Buffer
		for _, r := range records {
			fmt.Fprintf(&b, "%s %s %s %d\n", r.topic, r.key, r.value, r.partition)
		}
		return b.Bytes()
	}
	one := text(stream(7, 5000, 40, eventFaults{}))
	if other := text(stream(7, 5000, 333, eventFaults{})); !bytes.Equal(one, other) {
		t.Error("the size of batches changes the events")
	}
	if other := text(stream(8, 5000, 40, eventFaults{})); bytes.Equal(one, other) {
		t.Error("another seed gives the same events")
	}
}

func TestFaultsLeaveTheOtherEventsAlone(t *testing.T) {
	events := func(f eventFaults) (values [][]byte) {
		for _, r := range stream(7, 5000, 50, f) {
			if r.topic == topicEvents {
				values = append(values, r.value)
			}
		}
		return values
	}
	calm, poisoned := events(eventFaults{}), events(eventFaults{poison: true})
	if len(calm) != len(poisoned) {
		t.Fatalf("%d events calm, %d poisoned", len(calm), len(poisoned))
	}
	differ := 0
	for i := range calm {
		if !bytes.Equal(calm[i], poisoned[i]) {
			differ++
			if isEvent(poisoned[i]) {
				t.Errorf("a poisoned event reads well: %q", poisoned[i])
			}
		}
	}
	if share := float64(differ) / float64(len(calm)); math.Abs(share-poisonShare) > 0.01 {
		t.Errorf("%.3f of the events poisoned, want about %.3f", share, poisonShare)
	}
}

// isEvent tells whether a value has what the pipeline needs: an object with a text user_id and a time.
func isEvent(value []byte) bool {
	var e struct {
		UserID    string    `json:"user_id"`
		Timestamp time.Time `json:"timestamp"`
	}
	return json.Unmarshal(value, &e) == nil && e.UserID != "" && !e.Timestamp.IsZero()
}

func TestCalmWorldHoldsItsContracts(t *testing.T) {
	const n = 100_000
	rows, nulls, size := map[string]int{}, map[string]map[string]int{}, 0
	for _, r := range stream(1, n, 1000, eventFaults{}) {
		var columns map[string]any
		if err := json.Unmarshal(r.value, &columns); err != nil {
			t.Fatalf("%s: %v in %s", r.topic, err, r.value)
		}
		rows[r.topic]++
		if nulls[r.topic] == nil {
			nulls[r.topic] = map[string]int{}
		}
		for name, v := range columns {
			if v == nil {
				nulls[r.topic][name]++
			} else {
				nulls[r.topic][name] += 0
			}
		}
		if r.topic == topicEvents {
			size += len(r.value)
		}
	}
	limits := map[string]float64{topicEvents: 0.05, topicOrders: 0.01, topicPayments: 0.05, topicSessions: 0.08, topicInventory: 0.02}
	required := map[string][]string{
		topicEvents:    {"user_id", "event_type", "timestamp", "session_id", "email", "amount", "page", "device"},
		topicOrders:    {"order_id", "user_id", "timestamp", "items", "total", "currency", "status"},
		topicPayments:  {"payment_id", "order_id", "user_id", "timestamp", "amount", "currency", "method", "card_last4", "status"},
		topicSessions:  {"session_id", "user_id", "timestamp", "device", "referrer", "region"},
		topicInventory: {"sku", "warehouse", "timestamp", "on_hand", "reserved"},
	}
	for topic, limit := range limits {
		if rows[topic] == 0 {
			t.Errorf("%s is empty", topic)
		}
		for _, column := range required[topic] {
			count, ok := nulls[topic][column]
			// Half the limit leaves room for the few rows a minute's window of a small topic holds.
			if share := float64(count) / float64(rows[topic]); !ok || share > limit/2 {
				t.Errorf("%s.%s: %.4f nulls, want at most %.4f", topic, column, share, limit/2)
			}
		}
		t.Logf("%s: %d records", topic, rows[topic])
	}
	if mean := size / n; mean < 150 || mean > 220 {
		t.Errorf("an event has %d bytes, want 150 to 220", mean)
	}
}

func TestPaceKeepsItsRate(t *testing.T) {
	p := pace{rate: 5000, began: aMoment, last: aMoment}
	sent, now := 0, aMoment
	for now.Sub(aMoment) < 140*time.Second { // whole periods of the swell
		now = now.Add(tickEvery)
		n := p.due(now, 1)
		p.took(n)
		sent += n
	}
	if want := 5000 * 140; math.Abs(float64(sent-want)) > 50 {
		t.Errorf("%d events due in 140 s, want %d", sent, want)
	}
	now = now.Add(time.Hour) // the machine slept
	if n := p.due(now, 1); n > 5000 {
		t.Errorf("%d events due after a pause, want at most a second's", n)
	}
}

// TestAliasFollowsTheWeights guards the law of who comes: predictions are judged against a base line weighted by it.
func TestAliasFollowsTheWeights(t *testing.T) {
	const n = 400_000
	seen := make([]int, userCount)
	g := newGenerator(3, population())
	for range n {
		seen[g.who.draw(g.random)]++
	}
	share := weights()
	for _, band := range [][2]int{{0, 1}, {1, 10}, {10, 100}, {100, 1000}, {1000, userCount}} {
		want, got := 0.0, 0
		for rank := band[0]; rank < band[1]; rank++ {
			want += n * share[rank]
			got += seen[rank]
		}
		if math.Abs(float64(got)-want) > 5*math.Sqrt(want) {
			t.Errorf("ranks %v: %d of %d events, want about %.0f", band, got, n, want)
		}
	}
}
