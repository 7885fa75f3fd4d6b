package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	cloudPath  = "/data/ingest"
	cloudToken = "demo-world" // no secret: it opens nothing but this process's own endpoint
	// Bounds of one request and of what is remembered.
	maxCloudBody = 8 << 20
	maxCloudKeys = 10_000
)

// cloud is the endpoint aggregates are posted to. It takes each idempotency key once.
type cloud struct {
	mu    sync.Mutex
	stats cloudStats
	keys  map[string]bool
	order []string // of keys, oldest first
}

// cloudStats is what GET /stats shows.
type cloudStats struct {
	Accepted   uint64          `json:"accepted"`
	Duplicates uint64          `json:"duplicates"` // the same idempotency key again: answered as accepted, counted once
	Refused    uint64          `json:"refused"`
	LastError  string          `json:"last_error,omitempty"`
	LastAt     time.Time       `json:"last_at"`
	Last       json.RawMessage `json:"last,omitempty"`
}

func newCloud() *cloud { return &cloud{keys: make(map[string]bool)} }

func (c *cloud) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+cloudPath, c.ingest)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(c.stats)
	})
	return mux
}

func (c *cloud) ingest(w http.ResponseWriter, r *http.Request) {
	if got, want := r.Header.Get("Authorization"), "Bearer "+cloudToken; got != want {
		c.refuse(w, http.StatusUnauthorized, "the header Authorization must be "+want)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCloudBody))
	if err != nil {
		c.refuse(w, http.StatusRequestEntityTooLarge, err.Error())
		return
	}
	if err := checkAggregate(body); err != nil {
		c.refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	status := "accepted"
	if !c.accept(r.Header.Get("Idempotency-Key"), body) {
		status = "duplicate"
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"status": status})
}

// accept counts an aggregate; it is false for a key that came before.
func (c *cloud) accept(key string, body []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if key != "" {
		if c.keys[key] {
			c.stats.Duplicates++
			return false
		}
		if len(c.order) == maxCloudKeys {
			delete(c.keys, c.order[0])
			c.order = c.order[1:]
		}
		c.keys[key] = true
		c.order = append(c.order, key)
	}
	c.stats.Accepted++
	c.stats.LastAt = time.Now().UTC()
	c.stats.Last = body
	return true
}

func (c *cloud) refuse(w http.ResponseWriter, status int, why string) {
	c.mu.Lock()
	c.stats.Refused++
	c.stats.LastError = why
	c.mu.Unlock()
	complain(w, status, why)
}

// aggregate is what the cloud takes; keys it does not know are left alone.
type aggregate struct {
	Timestamp        *string  `json:"timestamp"`
	EdgeNodes        *int     `json:"edge_nodes"`
	TotalRecords     *int64   `json:"total_records"`
	DataQualityScore *float64 `json:"data_quality_score"` // null when no node answered
	NodeData         *[]struct {
		NodeURL      string   `json:"node_url"`
		Status       string   `json:"status"`
		RecordCount  *int64   `json:"record_count"`
		QualityScore *float64 `json:"quality_score"`
		LastUpdated  *string  `json:"last_updated"`
		ErrorCode    *int     `json:"error_code"`
		ErrorMessage *string  `json:"error_message"`
	} `json:"node_data"`
}

// checkAggregate tells the first thing that is wrong with a body.
func checkAggregate(body []byte) error {
	var a aggregate
	if err := json.Unmarshal(body, &a); err != nil {
		return fmt.Errorf("not an aggregate: %w", err)
	}
	switch {
	case a.Timestamp == nil || !isTime(*a.Timestamp):
		return errors.New("timestamp must be RFC 3339")
	case a.EdgeNodes == nil || *a.EdgeNodes < 0:
		return errors.New("edge_nodes must be a count")
	case a.TotalRecords == nil || *a.TotalRecords < 0:
		return errors.New("total_records must be a count")
	case a.DataQualityScore != nil && (*a.DataQualityScore < 0 || *a.DataQualityScore > 1):
		return errors.New("data_quality_score must lie in 0..1")
	case a.NodeData == nil:
		return errors.New("node_data must be a list")
	}
	for i, n := range *a.NodeData {
		failed := n.ErrorCode != nil || n.ErrorMessage != nil
		whole := n.RecordCount != nil && n.QualityScore != nil && n.LastUpdated != nil && isTime(*n.LastUpdated)
		switch {
		case n.NodeURL == "":
			return fmt.Errorf("node_data[%d] has no node_url", i)
		case n.Status == "success" && !whole:
			return fmt.Errorf("node_data[%d] (%s) succeeded without record_count, quality_score and last_updated", i, n.NodeURL)
		case n.Status == "error" && !failed:
			return fmt.Errorf("node_data[%d] (%s) failed without error_code or error_message", i, n.NodeURL)
		case n.Status != "success" && n.Status != "error":
			return fmt.Errorf("node_data[%d] (%s) has status %q, not success or error", i, n.NodeURL, n.Status)
		}
	}
	return nil
}

func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return err == nil
}
