package features

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// FuzzDecode feeds the decoder anything: it must neither panic nor hang, and what it accepts must be what
// encoding/json reads from the same bytes.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"metadata":{"feature_names":["user_id","v__f","v__g"]},"results":[{"values":["a","b"],"statuses":["PRESENT","PRESENT"]},{"values":[1,2.5e-3],"statuses":["PRESENT","NOT_FOUND"]},{"values":["x\u00e9","y"],"statuses":["PRESENT",2]}]}`))
	f.Add([]byte(`{"metadata":{"feature_names":["user_id","v__g","v__f"]},"results":[{"values":["a",1,true],"statuses":["PRESENT","PRESENT","PRESENT"]},{"values":["b",null,NaN],"statuses":["PRESENT","NULL_VALUE","PRESENT"]}]}`))
	f.Add([]byte(`{"metadata":{"feature_names":{"val":["v__f","v__g"]}},"results":[{"values":[-0.0,123456789012345678]},{"values":[[1],{}]}]}`))
	f.Add([]byte(`<html>`))
	entities := []Entity{{Key: "a"}, {Key: "b"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newDecoder("user_id", []string{"v__f", "v__g"})
		rows := newRows(nil, 2, 2)
		if err := d.decode(body, entities, rows); err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		var answer struct {
			Metadata struct {
				Names []string `json:"feature_names"`
			} `json:"metadata"`
			Results []struct {
				Values []any `json:"values"`
			} `json:"results"`
		}
		if json.Unmarshal(body, &answer) != nil || len(answer.Results) != len(answer.Metadata.Names) || len(answer.Results) == 2 {
			return // a spelling only weir accepts, or rows
		}
		for c, name := range answer.Metadata.Names {
			for i, want := range answer.Results[c].Values {
				column := strings.Index("v__f v__g", name) / 5
				if name != "v__f" && name != "v__g" {
					continue
				}
				got := rows[i].Values[column]
				switch want := want.(type) {
				case float64:
					if got.Number != want {
						t.Errorf("%s of %d = %v, encoding/json reads %v", name, i, got.Number, want)
					}
				case string:
					if got.Text != want && utf8.ValidString(got.Text) && !strings.ContainsRune(want, utf8.RuneError) {
						t.Errorf("%s of %d = %q, encoding/json reads %q", name, i, got.Text, want)
					}
				}
			}
		}
	})
}

func TestAnErrorOfListsIsKnown(t *testing.T) {
	var target errList
	if !errors.As(fmt.Errorf("x: %w", errList{"v__f", "a list"}), &target) {
		t.Error("errList is lost in wrapping")
	}
}

// answerOf is a typical answer: four features of n entities.
func answerOf(n int) []byte {
	var b strings.Builder
	answerColumns(&b, []string{"user_id", "user_profile__age", "user_profile__location", "user_behavior__click_rate_24h", "user_behavior__purchase_history_30d"}, n, func(c, i int) string {
		switch c {
		case 0:
			return fmt.Sprintf(`"u%05d"`, i)
		case 2:
			return fmt.Sprintf(`"city-%d"`, i%50)
		case 3:
			return fmt.Sprintf("0.%04d", i)
		}
		return fmt.Sprint(i % 90)
	})
	return []byte(b.String())
}

func userEntities(n int) []Entity {
	entities := make([]Entity, n)
	for i := range entities {
		entities[i] = Entity{Key: fmt.Sprintf("u%05d", i)}
	}
	return entities
}

// BenchmarkDecode reads an answer about 1,000 entities, against encoding/json into a struct.
func BenchmarkDecode(b *testing.B) {
	const n = 1000
	body, entities := answerOf(n), userEntities(n)
	b.Run("weir", func(b *testing.B) {
		d := newDecoder("user_id", []string{"user_profile__age", "user_profile__location", "user_behavior__click_rate_24h", "user_behavior__purchase_history_30d"})
		rows := newRows(nil, n, 4)
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if err := d.decode(body, entities, rows); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entity")
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			var answer struct {
				Metadata struct {
					Names []string `json:"feature_names"`
				} `json:"metadata"`
				Results []struct {
					Values   []any    `json:"values"`
					Statuses []string `json:"statuses"`
				} `json:"results"`
			}
			if err := json.Unmarshal(body, &answer); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/entity")
	})
}

// BenchmarkCacheHit is the promise of under 100 ns and no allocation for an entity that is cached, in batches of 1,000
// over a cache of 100,000 rows; beside it entities one by one, of all rows (two waits for memory each) and of a thousand
// hot ones, and the same rows in a map behind a lock taken once a batch, which neither expires nor is bounded.
func BenchmarkCacheHit(b *testing.B) {
	const entries = 100_000
	all := userEntities(entries)
	rows := make([]*Row, entries)
	c := NewCache(&fakeStore{}, CacheConfig{TTL: 1 << 60, Entries: entries})
	if err := c.Fetch(b.Context(), all, rows); err != nil {
		b.Fatal(err)
	}
	kept := make(map[Entity]*Row, entries)
	for i, e := range all {
		kept[e] = rows[i]
	}
	// Users come in no order of the cache's memory, and their keys lie one after the other in a batch's bytes.
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var keys strings.Builder
	for i := range all {
		keys.WriteString(all[i].Key)
	}
	for i, rest := 0, keys.String(); i < len(all); i++ {
		all[i].Key, rest = rest[:len(all[i].Key)], rest[len(all[i].Key):]
	}
	var mu sync.Mutex
	lookUp := func(entities []Entity, rows []*Row) error {
		mu.Lock()
		defer mu.Unlock()
		for i, e := range entities {
			rows[i] = kept[e]
		}
		return nil
	}
	fetch := func(entities []Entity, rows []*Row) error { return c.Fetch(b.Context(), entities, rows) }
	for _, run := range []struct {
		name  string
		batch int
		fetch func([]Entity, []*Row) error
	}{{"weir/batch=1000", 1000, fetch}, {"map/batch=1000", 1000, lookUp}, {"weir/batch=1", 1, fetch}, {"map/batch=1", 1, lookUp},
		{"weir/batch=1/hot", 1, fetch}, {"map/batch=1/hot", 1, lookUp}} {
		b.Run(run.name, func(b *testing.B) {
			b.ReportAllocs()
			at, entries := 0, entries
			if strings.HasSuffix(run.name, "hot") { // a thousand users make the traffic, as some do
				entries = 1000
			}
			for b.Loop() {
				if at+run.batch > entries {
					at = 0
				}
				if err := run.fetch(all[at:at+run.batch], rows[:run.batch]); err != nil {
					b.Fatal(err)
				}
				at += run.batch
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(run.batch), "ns/entity")
		})
	}
}

func TestACacheHitDoesNotAllocate(t *testing.T) {
	c := NewCache(&fakeStore{}, CacheConfig{TTL: 1 << 60, Entries: 1000})
	entities, rows := userEntities(1000), make([]*Row, 1000)
	if err := c.Fetch(t.Context(), entities, rows); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _ = c.Fetch(ctx, entities, rows) }); n != 0 {
		t.Errorf("a batch of hits allocates %v times", n)
	}
}

// FuzzReason feeds the reader of refusals anything: what it makes of it must be short text.
func FuzzReason(f *testing.F) {
	f.Add([]byte(`"{\"module\": \"feast.errors\", \"message\": \"Feature view nosuch does not exist\"}"`))
	f.Add([]byte(`"'Feature nosuch not found in projection user_profile'"`))
	f.Add([]byte(`{"detail":[{"loc":["body","entities"],"msg":"field required"}]}`))
	f.Add([]byte("<html>\xff\xfe"))
	f.Add([]byte(strings.Repeat("ü", 400)))
	f.Add([]byte(strings.Repeat("\x91", 4*reasonMost))) // no rune starts anywhere
	f.Fuzz(func(t *testing.T, body []byte) {
		if reason := reasonOf(body); len(reason) > reasonMost+len("…") {
			t.Errorf("%d bytes", len(reason))
		}
	})
}
