package pipeline

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/backend/features"
)

func TestLettersAndReplay(t *testing.T) { deliveries(t, testLettersAndReplay, 3) }

func testLettersAndReplay(t *testing.T, w *world, c Config) {
	ctx := context.Background()
	w.store.missing["u1"] = features.NotFound
	w.store.missing["u2"] = features.NullValue
	e, _ := w.run(c)
	if l, err := e.Letters(ctx, LetterQuery{}); err != nil || len(l) != 0 {
		t.Fatalf("before any: %v, %v", l, err)
	}
	const poison = "{\"user_id\": \x1b[31m"
	w.produce(event1(1), event1(2), poison, event1(3))
	dead := func(n int) {
		t.Helper()
		w.until("the letters are there", func() bool { return e.Snapshot().DeadLettered >= uint64(n) })
		w.until("the letters are read", func() bool { // in exactly-once mode a moment after they are acknowledged
			all, err := e.Letters(ctx, LetterQuery{})
			return err == nil && len(all) >= n
		})
	}
	dead(3)
	all, err := e.Letters(ctx, LetterQuery{})
	if err != nil || len(all) != 3 {
		t.Fatalf("%d letters, %v", len(all), err)
	}
	missing, err := e.Letters(ctx, LetterQuery{Stage: "features", Reason: "not_found"})
	if err != nil || len(missing) != 1 {
		t.Fatalf("%d letters match, %v", len(missing), err)
	}
	l := missing[0]
	if l.Value.String() != event1(1) || l.Key.String() != "key-0" || l.Replays != 0 || !l.Replayed.IsZero() || l.Topic.String() != w.topic || len(l.Headers) != 7 {
		t.Errorf("letter %+v", l)
	}
	values, err := e.LetterFeatures(ctx, l.ID)
	if err != nil || len(values) != 2 || values[0].Status != features.Present || values[0].Value.IsEmpty() || values[1].Status != features.NotFound {
		t.Errorf("features %+v, %v", values, err)
	}
	for _, l := range all {
		if strings.ContainsRune(l.Value.String()+l.Sample.String(), 0x1b) {
			t.Errorf("unsafe: %q", l.Value)
		}
	}

	// The store learns of u1, not of u2: one is predicted, the other and the poison come back, once.
	w.store.mu.Lock()
	delete(w.store.missing, "u1")
	w.store.rows.Clear()
	w.store.mu.Unlock()
	if n, err := e.Replay(ctx, []LetterID{l.ID}); err != nil || n != 1 {
		t.Fatalf("replayed %d, %v", n, err)
	}
	w.until("it is predicted", func() bool { return e.Snapshot().Predicted == 2 })
	if n, err := e.Replay(ctx, []LetterID{l.ID}); err != nil || n != 0 {
		t.Fatalf("replayed %d again, %v", n, err)
	}
	if n, err := e.ReplayAll(ctx, LetterQuery{}); err != nil || n != 2 {
		t.Fatalf("replayed %d, %v", n, err)
	}
	dead(5)
	all, err = e.Letters(ctx, LetterQuery{})
	if err != nil || len(all) != 5 {
		t.Fatalf("%d letters, %v", len(all), err)
	}
	again, replayed := 0, 0
	for _, l := range all {
		if !l.Replayed.IsZero() {
			replayed++
		}
		if l.Replays == 0 {
			continue
		}
		again++
		stages := 0
		for _, h := range l.Headers {
			if h.Key.String() == HeaderStage {
				stages++
			}
		}
		if l.Replays != 1 || stages != 2 {
			t.Errorf("%d replays, %d failures in the history", l.Replays, stages)
		}
		if l.Stage == "decode" && l.Size != len(poison) {
			t.Errorf("the poison changed: %d bytes", l.Size)
		}
	}
	if again != 2 || replayed != 3 {
		t.Errorf("%d came back, %d show as replayed", again, replayed)
	}
	if n, err := e.ReplayAll(ctx, LetterQuery{Stage: "decode"}); err != nil || n != 1 {
		t.Errorf("replayed %d poisons, %v", n, err)
	}
	dead(6)
	got := w.read(w.topic + ".dead")
	most := ""
	for _, m := range got {
		most = max(most, headers(m)[HeaderReplays])
		if h := headers(m); h["trace"] == "" {
			t.Errorf("the record's own headers are gone: %v", h)
		}
	}
	if most != "2" {
		t.Errorf("the most replayed letter says %q", most)
	}
}

// TestDeadLetterTooLargeForItsTopic keeps going when the dead-letter topic takes less than the events topic did, and
// replays the whole bytes nevertheless.
func TestDeadLetterTooLargeForItsTopic(t *testing.T) {
	w := newWorld(t, 1)
	e, _ := w.run(w.config())
	w.until("the topics are there", func() bool { return len(e.Snapshot().Partitions) == 1 })
	w.limitTopic(w.topic+".dead", 100_000)
	big := `{"user_id":"u1","padding":"` + strings.Repeat("x", 400_000) + `"}`
	w.produce(big, event1(2), `{"user_id":"u3"}`)
	w.until("all are out", func() bool { s := e.Snapshot(); return s.Predicted == 1 && s.DeadLettered == 2 })
	letters, err := e.Letters(context.Background(), LetterQuery{})
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	if letters[0].Size != len(big) && letters[1].Size != len(big) {
		t.Errorf("sizes %d and %d, want %d", letters[0].Size, letters[1].Size, len(big))
	}
	if n, err := e.ReplayAll(context.Background(), LetterQuery{}); err != nil || n != 2 {
		t.Fatalf("replayed %d, %v", n, err)
	}
	w.until("both came back", func() bool { return e.Snapshot().DeadLettered == 4 })
	whole := 0
	for _, m := range w.read(w.topic) {
		if string(m.Value) == big {
			whole++
		}
	}
	if whole != 2 {
		t.Errorf("the large event is there %d times, want 2", whole)
	}
}

// TestDeadLetterWhoseKeyOrHeadersAreTooLarge: it is not only the value that can make one too large.
func TestDeadLetterWhoseKeyOrHeadersAreTooLarge(t *testing.T) {
	w := newWorld(t, 1)
	e, _ := w.run(w.config())
	w.until("the topics are there", func() bool { return len(e.Snapshot().Partitions) == 1 })
	w.limitTopic(w.topic+".dead", 100_000)
	c := w.cluster.Config()
	c.Producer.Return.Successes = true
	p, err := sarama.NewSyncProducer(w.brokers, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	big := bytes.Repeat([]byte("k"), 200_000)
	for _, m := range []*sarama.ProducerMessage{
		{Key: sarama.ByteEncoder(big), Value: sarama.StringEncoder("no JSON")},
		{Value: sarama.StringEncoder("none either"), Headers: []sarama.RecordHeader{{Key: []byte("trace"), Value: big}, {Key: []byte(HeaderReason), Value: big}}},
	} {
		m.Topic = w.topic
		if _, _, err := p.SendMessage(m); err != nil {
			t.Fatal(err)
		}
	}
	w.produce(event1(1))
	w.until("all are out", func() bool { s := e.Snapshot(); return s.Predicted == 1 && s.DeadLettered == 2 })
	letters, err := e.Letters(t.Context(), LetterQuery{})
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	for _, l := range letters {
		if l.Stage != stageDecode || !strings.Contains(l.Reason.String(), "not JSON") || l.Topic.String() != w.topic || l.Size > 11 {
			t.Errorf("letter %+v", l)
		}
	}
	if n, err := e.ReplayAll(t.Context(), LetterQuery{}); err != nil || n != 2 {
		t.Fatalf("replayed %d, %v", n, err)
	}
	w.until("both came back", func() bool { return e.Snapshot().DeadLettered == 4 })
	whole := 0
	for _, m := range w.read(w.topic) {
		if headers := headers(m); headers[HeaderReplays] == "1" && (bytes.Equal(m.Key, big) || headers["trace"] == string(big)) && headers[HeaderStage] == stageDecode {
			whole++
		}
	}
	if whole != 2 {
		t.Errorf("%d of 2 went back whole", whole)
	}
}

// TestReplaysSideBySide asks for the same letters from several consoles at once.
func TestReplaysSideBySide(t *testing.T) {
	w := newWorld(t, 1)
	e, _ := w.run(w.config())
	w.produce("no", "JSON", "at", "all")
	w.until("the letters are there", func() bool { return e.Snapshot().DeadLettered == 4 })
	ids := []LetterID{{0, 0}, {0, 1}, {0, 2}, {0, 3}}
	sent := make(chan int)
	const consoles = 4
	for range consoles {
		go func() {
			n, err := e.Replay(t.Context(), ids)
			if err != nil {
				t.Error(err)
			}
			sent <- n
		}()
	}
	total := 0
	for range consoles {
		total += <-sent
	}
	w.until("they come back", func() bool { return e.Snapshot().DeadLettered >= 8 })
	back := 0
	for _, m := range w.read(w.topic + ".dead") {
		if headers(m)[HeaderReplays] == "1" {
			back++
		}
	}
	if total != 4 || back != 4 {
		t.Errorf("%d were replayed, %d came back, want 4 each", total, back)
	}
}

// TestAReplaySeesWhatOthersReplayMeanwhile: a long one may have looked at the notes minutes ago.
func TestAReplaySeesWhatOthersReplayMeanwhile(t *testing.T) {
	w := newWorld(t, 1)
	a, _ := w.run(w.config())
	b := New(w.config()) // another process
	w.produce("no", "JSON")
	w.until("the letters are there", func() bool { return a.Snapshot().DeadLettered == 2 })
	r := &replayer{e: b}
	if err := b.readLetters(t.Context(), []LetterID{{0, 0}, {0, 1}}, r.add); err != nil || len(r.ids) != 2 {
		t.Fatalf("%v are pending, %v", r.ids, err)
	}
	if n, err := a.Replay(t.Context(), []LetterID{{0, 0}}); n != 1 || err != nil {
		t.Fatalf("the other one replayed %d, %v", n, err)
	}
	if n, err := r.finish(t.Context()); n != 1 || err != nil {
		t.Errorf("replayed %d, %v; want the one that is left", n, err)
	}
}

// TestAReplayThatCannotLookUpWhatWasReplayed does not guess.
func TestAReplayThatCannotLookUpWhatWasReplayed(t *testing.T) {
	w, cluster := newControlledWorld(t, 1)
	c := w.config()
	a, stop := w.run(c)
	w.produce("no JSON")
	w.until("the letter is there", func() bool { return a.Snapshot().DeadLettered == 1 })
	if n, err := a.ReplayAll(t.Context(), LetterQuery{}); n != 1 || err != nil {
		t.Fatalf("replayed %d, %v", n, err)
	}
	w.until("it comes back", func() bool { return a.Snapshot().DeadLettered == 2 })
	stop()
	var refuse atomic.Bool
	refuse.Store(true)
	cluster.ControlKey(int16(kmsg.OffsetFetch), func(q kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		request := q.(*kmsg.OffsetFetchRequest)
		asks := request.Group == c.Group+".replayed"
		for _, g := range request.Groups {
			asks = asks || g.Group == c.Group+".replayed"
		}
		if !asks || !refuse.Load() {
			return nil, nil, false
		}
		return nil, errors.New("the connection breaks"), true
	})
	b := New(c) // another process
	first := []LetterID{{Partition: 0, Offset: 0}}
	if n, err := b.Replay(t.Context(), first); n != 0 || err == nil {
		t.Errorf("replayed %d, %v", n, err)
	}
	refuse.Store(false)
	if n, err := b.Replay(t.Context(), first); n != 0 || err != nil {
		t.Errorf("replayed %d, %v", n, err)
	}
}
