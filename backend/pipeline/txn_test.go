package pipeline

import (
	"testing"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
)

// TestBrowsingSeesLettersOfATransactionThatWasOpen: one that is read before its transaction is committed shows later.
func TestBrowsingSeesLettersOfATransactionThatWasOpen(t *testing.T) {
	w := newWorld(t, 1)
	c := w.config()
	c.Delivery = ExactlyOnce
	e := New(c)
	admin, err := kafka.NewAdmin(w.cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if err := admin.CreateTopic(c.DeadLetters, 1); err != nil {
		t.Fatal(err)
	}
	p, err := newExactlyOnce(w.cluster, c.Group, "browsed")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	browsed := func() int {
		t.Helper()
		w.until("the letters can be read", func() bool { return e.WatchLetters(t.Context()) == nil })
		return len(e.Snapshot().Letters.Letters)
	}
	for n := range 3 {
		var list parcels
		list.open(w.topic, 1, c.DeadLetters, 1)
		list.add(1, 0, &sarama.Record{Value: []byte("no JSON")})
		if err := p.addPartitions(t.Context(), &list); err != nil {
			t.Fatal(err)
		}
		if err := p.sender.send(t.Context(), &list, p); err != nil {
			t.Fatal(err)
		}
		if got := browsed(); got != n {
			t.Errorf("%d letters while the next one's transaction is open, want %d", got, n)
		}
		if err := p.end(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.until("the letter shows", func() bool { return browsed() == n+1 })
	}
}

// TestTheNextMemberEndsWhatTheLastLeftOpen: a process that joins its group anew, without a name of its own in the
// configuration, does not keep read-committed readers waiting for the transaction it let go of.
func TestTheNextMemberEndsWhatTheLastLeftOpen(t *testing.T) {
	w := newWorld(t, 1)
	c := w.config()
	c.Delivery = ExactlyOnce
	e := New(c)
	publisher := func() *exactlyOnce {
		t.Helper()
		p, err := e.newPublisher(e.cfg.Cluster)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.close)
		if err := p.prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		return p.(*exactlyOnce)
	}
	last := publisher()
	var list parcels
	list.open(w.topic, 1, w.topic, 1)
	list.add(0, 0, &sarama.Record{Value: []byte("left open")})
	if err := last.addPartitions(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	if err := last.sender.send(t.Context(), &list, last); err != nil {
		t.Fatal(err)
	}
	publisher()
	w.produce("afterwards")
	admin, err := kafka.NewAdmin(w.cluster)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	ends, err := admin.Watermarks(t.Context(), w.topic, []int32{0})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = admin.Read(t.Context(), w.topic, 0, 0, ends[0].Newest, func(m *sarama.ConsumerMessage) bool {
		got = append(got, string(m.Value))
		return true
	})
	if err != nil || len(got) != 1 || got[0] != "afterwards" {
		t.Errorf("a reader of committed records is given %q (%v), want what came afterwards", got, err)
	}
}
