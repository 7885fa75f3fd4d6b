package mesh

import (
	"context"
	"testing"
	"time"

	"weir/backend/mesh/contract"
)

func TestJudgeRecordAndMasks(t *testing.T) {
	e := New(Config{Registry: t.TempDir()})
	var entries []Entry
	for name, text := range map[string]string{
		"user_events": userEvents,
		"raw": "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\nservers: [{server: k, type: kafka, host: localhost:9092, topic: user_events}]\nschema:\n- name: user_events\n" +
			"  properties: [{name: user_id, logicalType: string}, {name: nick, classification: pii, logicalType: string}, {name: card, classification: public, logicalType: string}, {name: visits, logicalType: array, items: {classification: pii}}]\n",
	} {
		p, err := contract.Parse([]byte(text), "commerce", name)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, Entry{Domain: "commerce", Name: name, Product: &p})
	}
	e.adopt(entries)
	by, faults := e.JudgeRecord(context.Background(), "user_events", []byte(`{"user_id":7,"timestamp":null}`), time.Now())
	if len(by) != 2 || by[0].String() != "commerce/raw" || by[1].String() != "commerce/user_events" {
		t.Errorf("judged by %v", by)
	}
	found := map[string]string{}
	for _, f := range faults {
		found[f.Product.String()+" "+f.Column.String()] = f.What.String()
	}
	if found["commerce/raw user_id"] != "not of type string" || found["commerce/user_events timestamp"] != "null" {
		t.Errorf("faults %+v", faults)
	}
	if by, faults := e.JudgeRecord(context.Background(), "user_events", []byte("garbage"), time.Now()); len(by) != 2 || len(faults) != 2 || faults[0].Rule.String() != "undecodable" {
		t.Errorf("garbage: %v, %+v", by, faults)
	}
	if by, _ := e.JudgeRecord(context.Background(), "others", []byte(`{}`), time.Now()); by != nil {
		t.Errorf("another topic is judged by %v", by)
	}
	for field, want := range map[string]bool{"nick": true, "visits": true, "card": false, "email": true, "user_id": false, "amount": false} {
		if got := e.Masks("user_events", field); got != want {
			t.Errorf("%s is masked: %v", field, got)
		}
	}
	open, err := contract.Parse([]byte("apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.1.0\nstatus: active\n"+
		"servers: [{server: k, type: kafka, host: localhost:9092, topic: user_events}]\nschema:\n- name: user_events\n  properties: [{name: nick, classification: public}]\n"), "commerce", "raw")
	if err != nil {
		t.Fatal(err)
	}
	e.adopt([]Entry{{Domain: "commerce", Name: "raw", Product: &open}})
	if e.Masks("user_events", "nick") || !e.Masks("user_events", "card") {
		t.Error("a new version of the contract does not count")
	}
	if !e.Masks("others", "card") {
		t.Error("a card's number of a topic without a contract is shown")
	}
}

// TestAskingForARecordBlocksNoFeed while the schema registry is away.
func TestAskingForARecordBlocksNoFeed(t *testing.T) {
	e := New(Config{Registry: t.TempDir(), SchemaRegistry: "http://127.0.0.1:1"})
	product := parse(t, userEvents)
	e.adopt([]Entry{{Domain: "commerce", Name: "user_events", Product: &product}})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if by, _ := e.JudgeRecord(ctx, "user_events", []byte{0, 0, 0, 0, 1, 2}, time.Now()); by != nil {
		t.Errorf("judged by %v", by)
	}
	if block := e.sorted()[0].feed.block; block != "" {
		t.Errorf("the feed says %q", block)
	}
}
