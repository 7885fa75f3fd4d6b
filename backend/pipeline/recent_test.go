package pipeline

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"weir/backend/features"
	"weir/backend/model"
	"weir/backend/safetext"
)

// fakeContracts mask e-mails and want an amount.
type fakeContracts struct{}

func (fakeContracts) Masks(_, field string) bool { return field == "email" }

func (fakeContracts) Judge(_ context.Context, topic string, record []byte, _ time.Time) ([]safetext.Text, []BrokenRule) {
	by := []safetext.Text{safetext.Clean("shop/" + topic)}
	if strings.Contains(string(record), "amount") {
		return by, nil
	}
	return by, []BrokenRule{{Product: by[0], Rule: safetext.Clean("required"), Column: safetext.Clean("amount"), What: safetext.Clean("missing")}}
}

func TestWatchedRecords(t *testing.T) { deliveries(t, testWatchedRecords, 1) }

func testWatchedRecords(t *testing.T, w *world, c Config) {
	c.Contracts = fakeContracts{}
	w.store.missing["u2"] = features.NotFound
	e, _ := w.run(c)
	if err := e.WatchRecords(WatchTarget{0, 3}); err == nil {
		t.Error("a target of both kinds was taken")
	}
	if err := e.WatchRecords(WatchTarget{0, -1}); err != nil {
		t.Fatal(err)
	}
	const poison = "{\"email\":\"a@b.example\", \x1b[31m"
	good := `{"user_id":"u1","timestamp":"2026-11-22T07:00:00Z","email":"a@b.example","amount":3,"nested":{"email":"x@y.example","ok":1}}`
	w.produce(good, event1(2), poison)
	var got []Record
	w.until("all are shown", func() bool {
		s := e.Snapshot()
		if len(s.Watched) != 1 || len(s.Watched[0].Records) < 3 {
			return false
		}
		got = s.Watched[0].Records
		return true
	})
	if len(got) != 3 || got[0].Offset < got[1].Offset || got[1].Offset < got[2].Offset {
		t.Fatalf("%d records, the newest first: %+v", len(got), got)
	}
	broken, missing, fine := got[0], got[1], got[2]
	if fine.Stage != "" || math.IsNaN(fine.Prediction) || fine.Model.String() != "v2.1" || fine.Entity.String() != `"u1"` || fine.To.String() != c.Predictions ||
		fine.ToOffset != 0 || len(fine.Features) != 2 || fine.Features[0].Value.IsEmpty() || len(fine.Broken) != 0 || len(fine.JudgedBy) != 1 {
		t.Errorf("the good one: %+v", fine)
	}
	if age, clicks := featuresOf("u1"); fine.Prediction != scoreOf(age, clicks) {
		t.Errorf("prediction %g, want %g", fine.Prediction, scoreOf(age, clicks))
	}
	if fine.EventAt.IsZero() || fine.TakenAt.IsZero() || fine.AcknowledgedAt.Before(fine.TakenAt) || fine.WrittenAt.IsZero() {
		t.Errorf("its times: %v %v %v %v", fine.EventAt, fine.WrittenAt, fine.TakenAt, fine.AcknowledgedAt)
	}
	if len(fine.Fields) != 5 || !fine.Fields[2].Masked || fine.Fields[4].Value.String() != `{"email":"•••","ok":1}` {
		t.Errorf("its fields: %+v", fine.Fields)
	}
	if missing.Stage != "features" || missing.To.String() != c.DeadLetters || missing.ToOffset != 0 || len(missing.Features) != 2 ||
		missing.Features[1].Status != features.NotFound || !math.IsNaN(missing.Prediction) || !missing.Model.IsEmpty() || len(missing.Broken) != 1 {
		t.Errorf("the one without features: %+v", missing)
	}
	if broken.Stage != "decode" || broken.Features != nil || broken.ToOffset != 1 {
		t.Errorf("the poison: %+v", broken)
	}
	for _, r := range got {
		if s := r.Value.String(); strings.Contains(s, "example") || strings.ContainsRune(s, 0x1b) {
			t.Errorf("shown: %q", s)
		}
	}
	if then := e.recent.recall(0, fine.Offset); then == nil || then.Prediction != fine.Prediction {
		t.Errorf("it is not recalled: %+v", then)
	}
	for _, d := range e.Snapshot().Dead {
		if strings.Contains(d.Sample.String(), "example") {
			t.Errorf("a dead letter shows %q", d.Sample)
		}
	}

	// A bin of the histogram.
	at := bin(fine.Prediction)
	if err := e.WatchRecords(WatchTarget{-1, at}); err != nil {
		t.Fatal(err)
	}
	w.produce(good, event1(2), good)
	w.until("both are in the bin", func() bool {
		s := e.Snapshot()
		return len(s.Watched) == 2 && len(s.Watched[1].Records) == 2
	})
	for _, r := range e.Snapshot().Watched[1].Records {
		if bin(r.Prediction) != at || r.Stage != "" {
			t.Errorf("in bin %d: %+v", at, r)
		}
	}
	// When nobody looks any more, nothing is kept.
	for _, x := range *e.recent.on.Load() {
		x.until.Store(0)
	}
	if s := e.Snapshot(); s.Watched != nil || e.recent.on.Load() != nil {
		t.Error("a watch does not end")
	}
}

func TestMaskFields(t *testing.T) {
	sensitive := func(name string) bool { return name == "email" || name == "card" }
	for in, want := range map[string]string{
		`{"email":"a@b","x":1}`:                  `{"email":"•••","x":1}`,
		`{"email": "a\"b@c" , "x":1}`:            `{"email": "•••" , "x":1}`,
		`{"card":4111111,"x":1}`:                 `{"card":•••,"x":1}`,
		`{"card":{"no":[1,"}"]},"x":1}`:          `{"card":•••,"x":1}`,
		`{"a":{"email":["x","y"]},"b":2}`:        `{"a":{"email":•••},"b":2}`,
		`{"\u0065mail":"a@b"}`:                   `{"\u0065mail":"•••"}`,
		`{"email":null}`:                         "",
		`{"x":"email"}`:                          "",
		`{"email":"cut off in the mid`:           `{"email":"•••"`,
		`{"email":{"deep":"cut`:                  `{"email":•••`,
		`garbage "email" : "a@b" more`:           `garbage "email" : "•••" more`,
		`{"email":`:                              "",
		`{"email"`:                               "",
		"":                                       "",
		`{"email":true}`:                         `{"email":•••}`,
		`{"email":"a","email":"b"}`:              `{"email":"•••","email":"•••"}`,
		`[{"email":"a"},{"email":"b","card":1}]`: `[{"email":"•••"},{"email":"•••","card":•••}]`,
	} {
		if got := string(maskFields([]byte(in), sensitive)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// FuzzMaskFields: a secret behind its name never shows, whatever stands around it, and nothing panics.
func FuzzMaskFields(f *testing.F) {
	f.Add(`{"x":1,`, `,"y":2}`)
	f.Add(`{"x":"\`, `"}`)
	f.Add("\x00\xff\"", `{{[["`)
	f.Fuzz(func(t *testing.T, before, after string) {
		maskFields([]byte(before+after), func(string) bool { return true })
		if strings.ContainsAny(before, "\"\\") || strings.Contains(before+after, "S3CRET") {
			return // an open string may take the name in
		}
		in := before + `"email":"S3CRET"` + after
		got := maskFields([]byte(in), func(name string) bool { return name == "email" })
		if strings.Contains(string(got), "S3CRET") || got == nil {
			t.Fatalf("%q became %q", in, got)
		}
	})
}

// TestFeaturesTellNothingPersonal has a text where the model wants a number, of a feature whose field is masked: neither
// the dead letter's reason nor what is shown of the record tells it.
func TestFeaturesTellNothingPersonal(t *testing.T) {
	const name, secret = "user_profile:email", "a@b.example"
	e := New(Config{Contracts: fakeContracts{}})
	columns := []model.Column{{Name: name}, {Name: "user_profile:age"}}
	row := &features.Row{Values: []features.Value{{IsText: true, Text: secret}, {IsText: true, Text: "forty"}}}
	for i, want := range []string{name + " is text, the model wants a number", "user_profile:age is text, the model wants a number"} {
		if _, reason := e.substitute(&row.Values[i], columns[i]); reason != want {
			t.Errorf("the reason is %q, want %q", reason, want)
		}
	}
	m := &loadedModel{columns: columns, features: []safetext.Text{safetext.Clean(name), safetext.Clean("user_profile:age")}}
	used := e.featuresUsed(&trace{row: row, model: m})
	if used[0].Value.String() != maskSign || used[1].Value.String() != "forty" {
		t.Errorf("the record shows %+v", used)
	}
	e.cfg.Store = &personalStore{fakeStore: newFakeStore(), name: name, row: row}
	now, err := e.featuresNow(t.Context(), &decoded{})
	if err != nil || now[0].Value.String() != maskSign || now[1].Value.String() != "forty" {
		t.Errorf("the store has %+v, %v", now, err)
	}
}

// personalStore answers one row.
type personalStore struct {
	*fakeStore
	name string
	row  *features.Row
}

func (s *personalStore) Names() []string { return []string{s.name, "user_profile:age"} }

func (s *personalStore) Fetch(_ context.Context, _ []features.Entity, rows []*features.Row) error {
	rows[0] = s.row
	return nil
}
