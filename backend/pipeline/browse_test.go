package pipeline

import (
	"context"
	"strings"
	"testing"

	"weir/backend/features"
)

func TestBrowseAndInspect(t *testing.T) { deliveries(t, testBrowseAndInspect, 1) }

func testBrowseAndInspect(t *testing.T, w *world, c Config) {
	ctx := context.Background()
	c.Contracts = fakeContracts{}
	w.store.missing["u2"] = features.NotFound
	e, _ := w.run(c)
	if err := e.WatchLetters(ctx); err != nil {
		t.Fatal(err)
	}
	if s := e.Snapshot(); s.Letters == nil || len(s.Letters.Letters) != 0 || s.Letters.At.IsZero() {
		t.Fatalf("before any: %+v", s.Letters)
	}
	if err := e.WatchRecords(WatchTarget{0, -1}); err != nil {
		t.Fatal(err)
	}
	const poison = "{\"email\":\"a@b.example\", \x1b[31m"
	w.produce(event1(1), event1(2), poison)
	w.until("all are answered", func() bool { s := e.Snapshot(); return s.Predicted == 1 && s.DeadLettered == 2 })
	w.until("the letters are read", func() bool { // in exactly-once mode a moment after they are acknowledged
		if err := e.WatchLetters(ctx); err != nil {
			t.Fatal(err)
		}
		return len(e.Snapshot().Letters.Letters) == 2
	})
	rows := e.Snapshot().Letters.Letters
	byStage := map[string]LetterRow{rows[0].Stage: rows[0], rows[1].Stage: rows[1]}
	missing, broken := byStage["features"], byStage["decode"]
	if missing.Entity.String() != `"u2"` || missing.Again || broken.Size != len(poison) || strings.Contains(broken.Sample.String(), "example") {
		t.Errorf("rows %+v", rows)
	}
	o, err := e.OpenLetter(ctx, missing.ID)
	if err != nil || len(o.Features) != 2 || o.Features[1].Status != features.NotFound || len(o.Fields) != 3 || len(o.Broken) != 1 {
		t.Errorf("opened %+v, %v", o, err)
	}
	if o, err = e.OpenLetter(ctx, broken.ID); err != nil || o.FeaturesError.IsEmpty() || strings.Contains(o.Value.String(), "example") {
		t.Errorf("opened %+v, %v", o, err)
	}
	if s := e.Snapshot(); len(s.Letters.Opened) != 2 || len(s.Letters.Letters) != 2 {
		t.Errorf("the snapshot carries %d open letters", len(s.Letters.Opened))
	}
	if _, err := e.OpenLetter(ctx, LetterID{0, 1000}); err == nil {
		t.Error("a letter that is not there was opened")
	}

	// Looking at a record: what happened then, and what would now that the store knows more.
	w.store.mu.Lock()
	delete(w.store.missing, "u2")
	w.store.rows.Clear()
	w.store.mu.Unlock()
	consumed, missed := e.stats.consumed.Load(), e.stats.missing.Load()
	i, err := e.Inspect(ctx, missing.Partition, missing.Offset)
	if err != nil || i.Then == nil || i.Now == nil {
		t.Fatalf("inspected %+v, %v", i, err)
	}
	age, clicks := featuresOf("u2")
	if i.Then.Stage != "features" || i.Now.Stage != "" || i.Now.Prediction != scoreOf(age, clicks) || !i.Now.To.IsEmpty() || i.Now.Value != i.Then.Value {
		t.Errorf("then %+v\nnow %+v", i.Then, i.Now)
	}
	if e.stats.consumed.Load() != consumed || e.stats.missing.Load() != missed || e.Snapshot().Predicted != 1 {
		t.Error("a look was counted")
	}
	if got := e.Snapshot().Inspected; len(got) != 1 || got[0].Offset != missing.Offset {
		t.Errorf("the snapshot carries %+v", got)
	}
	for _, offset := range []int64{1 << 40, -1} {
		if _, err := e.Inspect(ctx, 0, offset); err == nil {
			t.Errorf("offset %d was found", offset)
		}
	}
	if _, err := e.Inspect(ctx, 77, 0); err == nil || !strings.Contains(err.Error(), "partitions 0 to 0") {
		t.Errorf("partition 77: %v", err)
	}

	// A replay is known to whoever comes after: another process, or this one started again.
	if n, err := e.Replay(ctx, []LetterID{missing.ID}); err != nil || n != 1 {
		t.Fatalf("replayed %d, %v", n, err)
	}
	later := New(c)
	letters, err := later.Letters(ctx, LetterQuery{})
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d letters, %v", len(letters), err)
	}
	for _, l := range letters {
		if l.Again != (l.ID == missing.ID) {
			t.Errorf("letter %s: replayed %v", l.ID, l.Again)
		}
	}
	if n, err := later.Replay(ctx, []LetterID{missing.ID}); err != nil || n != 0 {
		t.Errorf("replayed %d again, %v", n, err)
	}
	if n, err := later.ReplayAll(ctx, LetterQuery{}); err != nil || n != 1 {
		t.Errorf("replayed %d of the others, %v", n, err)
	}
	if err := later.WatchLetters(ctx); err != nil {
		t.Fatal(err)
	}
	for _, l := range later.Snapshot().Letters.Letters {
		if l.Replays == 0 && !l.Again {
			t.Errorf("letter %s is not known as replayed", l.ID)
		}
	}
}

func TestOffsets(t *testing.T) {
	var o offsets
	for _, offset := range []int64{5, 3, 4, 9, 8, 1, 9, 7, 20} {
		o = o.with(offset)
	}
	if got := o.note(); got != notesVersion+"1,3-5,7-9,20" {
		t.Errorf("noted %s", got)
	}
	for offset, want := range map[int64]bool{0: false, 1: true, 2: false, 3: true, 5: true, 6: false, 7: true, 9: true, 10: false, 20: true, 21: false} {
		if o.has(offset) != want {
			t.Errorf("has %d: %v", offset, !want)
		}
	}
	if back := parseOffsets(o.note()); back.note() != o.note() {
		t.Errorf("read back %v", back)
	}
	var many offsets
	for i := range int64(5000) {
		many = many.with(2 * i)
	}
	note := many.note()
	if back := parseOffsets(note); len(note) > 4000 || !back.has(9998) || back.has(0) || len(back) < 700 {
		t.Errorf("%d bytes hold %d of %d", len(note), len(back), len(many))
	}
	for _, bad := range []string{"", "x", "weir1 ", "weir1 5-3", "weir1 1,1", "weir1 3,2", "weir1 a", "weir1 -1", "weir2 1"} {
		if got := parseOffsets(bad); got != nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

func FuzzParseOffsets(f *testing.F) {
	f.Add("weir1 1,3-5,7-9,20")
	f.Add("weir1 9223372036854775807")
	f.Fuzz(func(t *testing.T, note string) {
		o := parseOffsets(note)
		if len(o) > 0 && len(note) < 4000 {
			if back := parseOffsets(o.note()); back.note() != o.note() {
				t.Fatalf("%q becomes %q", note, back.note())
			}
		}
	})
}
