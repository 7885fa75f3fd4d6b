package features

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// quickFeast answers four features of every user, with as little work of its own as it takes.
func quickFeast(b *testing.B) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Error(err)
		}
		from := bytes.Index(body, []byte(`"user_id":[`))
		users := body[from+len(`"user_id":[`):]
		users = users[:bytes.IndexByte(users, ']')]
		n := bytes.Count(users, []byte(",")) + 1
		out := append(make([]byte, 0, 200+80*n), `{"metadata":{"feature_names":["user_id","user_profile__age","user_profile__location","user_behavior__click_rate_24h","user_behavior__purchase_history_30d"]},"results":[{"values":[`...)
		out = append(out, users...)
		out = append(out, `],"statuses":[`...)
		statuses := bytes.TrimSuffix(bytes.Repeat([]byte(`"PRESENT",`), n), []byte(","))
		out = append(out, statuses...)
		for _, value := range []string{"34,", `"Bern",`, "0.0625,", "17,"} {
			out = append(out, `]},{"values":[`...)
			out = append(out, bytes.TrimSuffix(bytes.Repeat([]byte(value), n), []byte(","))...)
			out = append(out, `],"statuses":[`...)
			out = append(out, statuses...)
		}
		_, _ = w.Write(append(out, `]}]}`...))
	}))
	b.Cleanup(server.Close)
	return server
}

// askOne is the client one would write first: a request an event.
func askOne(client *http.Client, url, user string) (any, error) {
	question, err := json.Marshal(map[string]any{"features": articleNames, "entities": map[string]any{"user_id": []string{user}}, "full_feature_names": true})
	if err != nil {
		return nil, err
	}
	response, err := client.Post(url+"/get-online-features", "application/json", bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Results []struct {
			Values   []any    `json:"values"`
			Statuses []string `json:"statuses"`
		} `json:"results"`
	}
	return answer, json.NewDecoder(response.Body).Decode(&answer)
}

// BenchmarkRate is how many events a second get their features from the same server: asked for one by one, in batches
// of 1,000, and in such batches through a cache. Users come by a Zipf law out of 10,000, as in the demo world.
func BenchmarkRate(b *testing.B) {
	server := quickFeast(b)
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 1, 9_999)
	events := make([]Entity, 100_000)
	for i := range events {
		events[i] = Entity{Key: fmt.Sprintf("u%05d", zipf.Uint64())}
	}
	rate := func(b *testing.B, events int) {
		b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("a request an event", func(b *testing.B) {
		client := server.Client()
		n := 0
		for b.Loop() {
			if _, err := askOne(client, server.URL, events[n%len(events)].Key); err != nil {
				b.Fatal(err)
			}
			n++
		}
		rate(b, n)
	})
	batches := func(b *testing.B, store Store) {
		const batch = 1000
		rows := make([]*Row, batch)
		n := 0
		for b.Loop() {
			at := n % len(events)
			if err := store.Fetch(b.Context(), events[at:at+batch], rows); err != nil {
				b.Fatal(err)
			}
			n += batch
		}
		rate(b, n)
	}
	b.Run("a request a batch", func(b *testing.B) { batches(b, storeAt(b, server.URL, FeastConfig{})) })
	b.Run("a batch through the cache", func(b *testing.B) {
		batches(b, NewCache(storeAt(b, server.URL, FeastConfig{}), CacheConfig{TTL: 30 * time.Second, Entries: 100_000}))
	})
}
