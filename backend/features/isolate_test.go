package features

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// pickyServer is a Feast whose join key is an integer: it refuses a request with any other, and rounds.
func pickyServer(t *testing.T) (Store, *int) {
	requests := 0
	store, _ := serve(t, FeastConfig{Names: []string{"v:f"}}, func(w http.ResponseWriter, r request) {
		requests++
		var echo, values []string
		for _, raw := range r.Entities["user_id"] {
			key := strings.Trim(string(raw), `"`)
			if strings.ContainsFunc(key, func(c rune) bool { return c >= 'a' && c <= 'z' }) {
				w.WriteHeader(500)
				_, _ = fmt.Fprintf(w, `"invalid literal for int() with base 10: '%s'"`, key)
				return
			}
			whole, _, _ := strings.Cut(key, ".")
			echo, values = append(echo, whole), append(values, whole)
		}
		_, _ = fmt.Fprintf(w, `{"metadata":{"feature_names":["user_id","v__f"]},"results":[{"values":[%s]},{"values":[%s]}]}`,
			strings.Join(echo, ","), strings.Join(values, ","))
	})
	return store, &requests
}

func TestABadEntityCostsItselfOnly(t *testing.T) {
	store, requests := pickyServer(t)
	var entities []Entity
	for i := range 1000 {
		entities = append(entities, Entity{Key: fmt.Sprint(i)})
	}
	entities[17], entities[801], entities[802] = Entity{Key: "abc"}, Entity{Key: "x"}, Entity{Key: "40.5", Numeric: true}
	for try := range 2 {
		before := *requests
		rows, err := fetch(t, store, entities...)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range entities {
			v := rows[i].Values[0]
			if bad := i == 17 || i == 801 || i == 802; bad != (v.Status == Invalid) || !bad && fmt.Sprint(v.Number) != e.Key {
				t.Fatalf("entity %s = %+v", e.Key, v)
			}
		}
		if spent := *requests - before; try == 0 && spent > isolateRequests || try == 1 && spent != 1 {
			t.Errorf("try %d: %d requests; bad entities are to be found by halving, and then remembered", try, spent)
		}
	}
}

func TestABadEntityAloneIsFound(t *testing.T) {
	store, _ := pickyServer(t)
	rows, err := fetch(t, store, texts("abc")...)
	if err != nil || rows[0].Values[0].Status != Invalid {
		t.Errorf("%v %v", rows, err)
	}
}

func TestManyBadEntitiesAreFoundInSeveralTries(t *testing.T) {
	store, _ := pickyServer(t)
	var entities []Entity
	for i := range 200 {
		entities = append(entities, Entity{Key: fmt.Sprint("bad", strings.Repeat("x", i))}, Entity{Key: fmt.Sprint(i)})
	}
	tries := 0
	for ; tries < 40; tries++ {
		rows, err := fetch(t, store, entities...)
		if err == nil {
			if rows[0].Values[0].Status != Invalid || rows[399].Values[0].Number != 199 {
				t.Errorf("%+v %+v", rows[0], rows[399])
			}
			break
		}
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "the search goes on") {
			t.Fatal(err)
		}
	}
	if tries == 40 {
		t.Error("the search does not come to an end")
	}
}

func TestAnIllServerBlamesNobody(t *testing.T) {
	ill := false
	store, _ := serve(t, FeastConfig{Names: []string{"v:f"}}, func(w http.ResponseWriter, r request) {
		if ill {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "redis is away")
			return
		}
		answerColumns(w, []string{"v__f"}, len(r.Entities["user_id"]), func(_, i int) string { return fmt.Sprint(i) })
	})
	if _, err := fetch(t, store, texts("a", "b")...); err != nil {
		t.Fatal(err)
	}
	ill = true
	for range 10 { // more than the breaker would need
		if _, err := fetch(t, store, texts("a", "b")...); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "redis is away") {
			t.Fatal(err)
		}
	}
	ill = false
	rows, err := fetch(t, store, texts("a", "b")...)
	if err != nil || rows[1].Values[0].Number != 1 {
		t.Errorf("well again: %v %v", rows, err)
	}
}

// TestAServerIllNowAndThenBlamesNobody has a server that is ill for a while during the search for a bad entity, of which
// there is none: it answers the good one, refuses down to one entity, and is well again.
func TestAServerIllNowAndThenBlamesNobody(t *testing.T) {
	requests, ill := 0, true
	store, _ := serve(t, FeastConfig{Names: []string{"v:f"}}, func(w http.ResponseWriter, r request) {
		n := len(r.Entities["user_id"])
		if requests++; ill && requests != maxAttempts+1 {
			ill = n > 1
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "redis is away")
			return
		}
		answerColumns(w, []string{"v__f"}, n, func(_, i int) string { return fmt.Sprint(i) })
	})
	rows, err := fetch(t, store, texts("a", "b", "c", "d")...)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows {
		if row.Values[0].Status != Present {
			t.Errorf("entity %d: %+v", i, row.Values[0])
		}
	}
}
