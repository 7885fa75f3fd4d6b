package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// featureNames are what the store knows, as view:feature.
var featureNames = []string{
	"user_profile:age", "user_profile:location", "user_behavior:click_rate_24h", "user_behavior:purchase_history_30d",
}

// maxFeatureBody bounds a request: some 100,000 users.
const maxFeatureBody = 4 << 20

// missingOneIn is how rare a hole is while features-missing is on; with four features 19 % of the users have one.
const missingOneIn = 20

// featureFaults is what the faults do to the store at this moment.
type featureFaults struct {
	slow    time.Duration
	missing bool // many users have holes
	drift   bool // people click and buy more than when the model was trained
}

// featureServer speaks the HTTP of Feast's own feature server.
type featureServer struct {
	users  map[string]*user
	faults func() featureFaults
	now    func() time.Time
}

func newFeatureServer(users []user, faults func() featureFaults) http.Handler {
	s := &featureServer{users: make(map[string]*user, len(users)), faults: faults, now: time.Now}
	for i := range users {
		s.users[users[i].id] = &users[i]
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /get-online-features", s.online)
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "The demo world's feature store, as Feast serves it: POST /get-online-features.\n%d users, features %s\n",
			len(users), strings.Join(featureNames, " "))
	})
	return mux
}

type onlineRequest struct {
	Features         []string                     `json:"features"`
	Entities         map[string][]json.RawMessage `json:"entities"`
	FullFeatureNames bool                         `json:"full_feature_names"`
}

func (s *featureServer) online(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxFeatureBody))
	if err != nil {
		complain(w, http.StatusRequestEntityTooLarge, err.Error())
		return
	}
	var request onlineRequest
	if err := json.Unmarshal(body, &request); err != nil {
		complain(w, http.StatusUnprocessableEntity, "the body is not a request: "+err.Error())
		return
	}
	entities, ok := request.Entities["user_id"]
	if !ok || len(request.Entities) != 1 {
		complain(w, http.StatusBadRequest, "entities must hold user_id and nothing else")
		return
	}
	for _, name := range request.Features {
		if !isFeature(name) {
			complain(w, http.StatusNotFound, fmt.Sprintf("no feature %q; there are %s", name, strings.Join(featureNames, " ")))
			return
		}
	}
	faults := s.faults()
	if faults.slow > 0 {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(faults.slow):
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.answer(request, entities, faults))
}

// answer lays the values out as Feast does: one result a name, each a column over the entities, the entity first.
func (s *featureServer) answer(request onlineRequest, entities []json.RawMessage, f featureFaults) []byte {
	found := make([]*user, len(entities))
	for i, raw := range entities {
		// Ids are strings here; Feast tells 17 from "17", and so a number finds nobody.
		if n := len(raw); n > 2 && raw[0] == '"' {
			found[i] = s.users[string(raw[1:n-1])]
		}
	}
	var b bytes.Buffer
	b.Grow(256 + len(entities)*(40+60*len(request.Features)))
	b.WriteString(`{"metadata":{"feature_names":["user_id"`)
	for _, name := range request.Features {
		b.WriteString(`,"` + answerName(name, request.FullFeatureNames) + `"`)
	}
	b.WriteString(`]},"results":[`)
	column(&b, len(entities), "1970-01-01T00:00:00Z", func(b []byte, i int) ([]byte, string) {
		return append(b, entities[i]...), "PRESENT"
	})
	stamp := s.now().UTC().Truncate(time.Minute).Format(time.RFC3339)
	for _, name := range request.Features {
		b.WriteByte(',')
		column(&b, len(entities), stamp, func(b []byte, i int) ([]byte, string) {
			u := found[i]
			switch {
			case u == nil:
				return append(b, "null"...), "NOT_FOUND"
			case u.missing == name || f.missing && mix(uint64(len(name))<<32^hash(u.id))%missingOneIn == 0:
				return append(b, "null"...), "NULL_VALUE"
			}
			return u.appendFeature(b, name, f.drift), "PRESENT"
		})
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// column writes one result of n entities.
func column(b *bytes.Buffer, n int, stamp string, value func([]byte, int) ([]byte, string)) {
	statuses := make([]string, n)
	b.WriteString(`{"values":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		var text []byte
		text, statuses[i] = value(b.AvailableBuffer(), i)
		b.Write(text)
	}
	b.WriteString(`],"statuses":[`)
	for i, status := range statuses {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + status + `"`)
	}
	b.WriteString(`],"event_timestamps":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + stamp + `"`)
	}
	b.WriteString(`]}`)
}

// appendFeature writes one value of the user. Drift is a campaign that makes people click more and buy more often.
func (u *user) appendFeature(b []byte, name string, drift bool) []byte {
	p := u.profile
	if drift {
		p = p.drifted()
	}
	switch name {
	case "user_profile:age":
		return strconv.AppendInt(b, int64(p.age), 10)
	case "user_profile:location":
		return strconv.AppendInt(b, int64(p.location), 10)
	case "user_behavior:click_rate_24h":
		return strconv.AppendFloat(b, p.clickRate, 'f', 3, 64)
	default:
		return strconv.AppendInt(b, int64(p.purchases), 10)
	}
}

func (p profile) drifted() profile {
	p.clickRate = float64(int(clamp(1.5*p.clickRate+0.08, 0, 1)*1000)) / 1000
	p.purchases += 1 + p.purchases/2
	return p
}

func isFeature(name string) bool {
	for _, known := range featureNames {
		if name == known {
			return true
		}
	}
	return false
}

// answerName is view__feature in full, else feature alone.
func answerName(name string, full bool) string {
	view, feature, _ := strings.Cut(name, ":")
	if full {
		return view + "__" + feature
	}
	return feature
}

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// complain answers an error the way Feast's server does.
func complain(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"detail": detail})
}
