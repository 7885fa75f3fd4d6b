// Package api answers HTTP: probes, metrics and the newest snapshot as JSON.
//
// It reads and never changes anything, and tells no event, no record and no secret. It has no authentication of its
// own: bind it to loopback, or put it behind something that has.
package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// Source is what the answers are made of; *timeline.Timeline is one.
type Source interface {
	// Newest is the last snapshot, nil before the first.
	Newest() *timeline.Snapshot
}

// endpoints is the table of what is answered; the list of a 404 is made of it.
var endpoints = []struct {
	path, what string
	handler    func(s Source, version string) http.Handler
}{
	{"/healthz", "200 while the process lives", func(Source, string) http.Handler { return http.HandlerFunc(healthz) }},
	{"/readyz", "200 when every configured engine runs, else 503 with the reasons", readyz},
	{"/metrics", "metrics for Prometheus", metrics},
	{"/snapshot", "the newest snapshot as JSON", snapshot},
}

// Handler answers the endpoints; version is that of the program. Only GET and HEAD are allowed.
func Handler(source Source, version string) http.Handler {
	answers := map[string]http.Handler{}
	for _, e := range endpoints {
		answers[e.path] = e.handler(source, version)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		answer, ok := answers[r.URL.Path]
		switch {
		case !ok:
			notFound(w)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, fmt.Sprintf("expected GET or HEAD, found %.16q", r.Method), http.StatusMethodNotAllowed)
		default:
			answer.ServeHTTP(w, r)
		}
	})
}

func notFound(w http.ResponseWriter) {
	var b strings.Builder
	b.WriteString("weir answers:\n")
	for _, e := range endpoints {
		fmt.Fprintf(&b, "  %-10s %s\n", e.path, e.what)
	}
	http.Error(w, strings.TrimSuffix(b.String(), "\n"), http.StatusNotFound)
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// Readiness is the JSON of /readyz.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"` // why not; empty, never null, when ready
}

// staleTicks is how many ticks a snapshot may be old before its maker counts as stuck, and staleLeast the least that
// is granted.
const (
	staleTicks = 5
	staleLeast = 5 * time.Second
)

// Ready judges whether s, the newest snapshot at now, shows a weir that does its work.
func Ready(s *timeline.Snapshot, now time.Time) Readiness {
	reasons := []string{}
	if s == nil {
		return Readiness{Reasons: append(reasons, "no snapshot was taken yet")}
	}
	if age := now.Sub(s.At); age > max(staleTicks*s.Tick, staleLeast) {
		reasons = append(reasons, fmt.Sprintf("the newest snapshot is %v old, of one every %v", age.Round(100*time.Millisecond), s.Tick))
	}
	for _, e := range s.Engines {
		// A recorder that cannot write is shown in the console, but keeps nobody from being served.
		if e.State == timeline.EngineRunning || e.Name == "history" {
			continue
		}
		reason := fmt.Sprintf("engine %s %s", e.Name, e.State)
		if !e.Error.IsEmpty() {
			reason += ": " + e.Error.String()
		}
		reasons = append(reasons, reason)
	}
	// A pause is an operator's wish; and a pipeline that drains still works.
	if p := s.Pipeline; p != nil && (p.State == pipeline.Starting || p.State == pipeline.Waiting || p.State == pipeline.Stopped) {
		reason := fmt.Sprintf("pipeline %s", p.State)
		if !p.Waiting.IsEmpty() {
			reason += ": " + p.Waiting.String()
		}
		reasons = append(reasons, reason)
	}
	if m := s.Mesh; m != nil {
		if why := m.JudgesNothing(); !why.IsEmpty() {
			reasons = append(reasons, "mesh judges nothing: "+why.String())
		}
	}
	return Readiness{Ready: len(reasons) == 0, Reasons: reasons}
}

func readyz(source Source, _ string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		readiness, status := Ready(source.Newest(), time.Now()), http.StatusOK
		if !readiness.Ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, readiness)
	})
}

func snapshot(source Source, _ string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := source.Newest()
		if s == nil {
			w.Header().Set("Retry-After", "1")
			writeJSON(w, http.StatusServiceUnavailable, struct {
				Error string `json:"error"`
			}{"no snapshot was taken yet; ask again in a second"})
			return
		}
		// Whoever asks more often than snapshots are taken is answered without a body.
		tag := fmt.Sprintf(`"%x-%x"`, s.At.UnixNano(), s.Seq)
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", "no-cache")
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(Snapshot(s).JSON()) // whoever asked may have gone
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever asked may have gone
}
