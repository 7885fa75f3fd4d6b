package mesh

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/judge"
)

// The schemas OpenLineage events and facets name themselves by.
const (
	lineageSchema   = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
	lineageFacets   = "https://openlineage.io/spec/facets/"
	lineageProducer = "urn:weir" // weir has no home on the web to point to
)

// RunEvent is an OpenLineage 2-0-2 run event.
type RunEvent struct {
	EventType string           `json:"eventType"` // START, RUNNING, COMPLETE, ABORT, FAIL, OTHER
	EventTime time.Time        `json:"eventTime"`
	Run       LineageRun       `json:"run"`
	Job       LineageJob       `json:"job"`
	Inputs    []LineageDataset `json:"inputs"`
	Outputs   []LineageDataset `json:"outputs"`
	Producer  string           `json:"producer"`
	SchemaURL string           `json:"schemaURL"`
}

// LineageRun is one run of a job.
type LineageRun struct {
	ID     string         `json:"runId"` // a UUID
	Facets map[string]any `json:"facets,omitempty"`
}

// LineageJob names what runs.
type LineageJob struct {
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Facets    map[string]any `json:"facets,omitempty"`
}

// LineageDataset is a data set a run read or wrote.
type LineageDataset struct {
	Namespace   string         `json:"namespace"` // such as kafka://localhost:9092, or file
	Name        string         `json:"name"`
	Facets      map[string]any `json:"facets,omitempty"`
	InputFacets map[string]any `json:"inputFacets,omitempty"`
}

// NewRunID is a random UUID (version 4).
func NewRunID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func facet(name, version, definition string, more map[string]any) map[string]any {
	more["_producer"] = lineageProducer
	more["_schemaURL"] = lineageFacets + version + "/" + name + ".json#/$defs/" + definition
	return more
}

// schemaFacet tells the columns of a product's contract, or those seen in the data.
func schemaFacet(p DataProduct, seen []judge.Column) map[string]any {
	fields := []map[string]any{}
	if len(p.Columns) > 0 {
		fields = schemaFields(p.Columns)
	} else {
		for _, c := range seen {
			fields = append(fields, map[string]any{"name": c.Name})
		}
	}
	return facet("SchemaDatasetFacet", "1-1-1", "SchemaDatasetFacet", map[string]any{"fields": fields})
}

func schemaFields(columns []contract.Column) []map[string]any {
	fields := []map[string]any{}
	for _, c := range columns {
		f := map[string]any{"name": c.Name}
		if c.Type != "" {
			f["type"] = c.Type
		}
		if c.Description != "" {
			f["description"] = c.Description
		}
		if len(c.Fields) > 0 {
			f["fields"] = schemaFields(c.Fields)
		}
		fields = append(fields, f)
	}
	return fields
}

// qualityFacets tell the figures and the assertions of a judgement.
func qualityFacets(out judge.Outcome, size int64) map[string]any {
	columns := map[string]any{}
	for _, c := range out.Columns {
		columns[c.Name] = map[string]any{"nullCount": c.Nulls}
	}
	metrics := map[string]any{"rowCount": out.Rows, "columnMetrics": columns}
	if size > 0 {
		metrics["bytes"] = size
	}
	assertions := []map[string]any{}
	for _, c := range out.Checks {
		if c.Status != judge.Passed && c.Status != judge.Failed {
			continue // neither held nor broken
		}
		a := map[string]any{"assertion": c.Rule.Title(), "success": c.Status == judge.Passed}
		if c.Column != "" {
			a["column"] = c.Column
		}
		assertions = append(assertions, a)
	}
	return map[string]any{
		"dataQualityMetrics":    facet("DataQualityMetricsInputDatasetFacet", "1-0-2", "DataQualityMetricsInputDatasetFacet", metrics),
		"dataQualityAssertions": facet("DataQualityAssertionsDatasetFacet", "1-0-1", "DataQualityAssertionsDatasetFacet", map[string]any{"assertions": assertions}),
	}
}

// LineageEvents are the START and the COMPLETE (or FAIL, where a file was not read whole) event of a validation that
// ended at a moment.
func (r Report) LineageEvents(namespace string, ended time.Time) []RunEvent {
	run := LineageRun{ID: NewRunID()}
	job := LineageJob{Namespace: namespace, Name: "validate." + strings.ReplaceAll(r.Product.Key(), "/", ".")}
	var inputs []LineageDataset
	for i, f := range r.Files {
		d := LineageDataset{Namespace: "file", Name: f.Path, Facets: map[string]any{"schema": schemaFacet(r.Product, r.Columns)}}
		if i == 0 { // the files are one data set; its quality is told once
			d.InputFacets = qualityFacets(r.Outcome, f.Bytes)
		}
		if len(r.Product.Owners) > 0 {
			owners := []map[string]any{}
			for _, o := range r.Product.Owners {
				owners = append(owners, map[string]any{"name": o, "type": "OWNER"})
			}
			d.Facets["ownership"] = facet("OwnershipDatasetFacet", "1-0-1", "OwnershipDatasetFacet", map[string]any{"owners": owners})
		}
		inputs = append(inputs, d)
	}
	event := func(kind string, at time.Time, run LineageRun, inputs []LineageDataset) RunEvent {
		return RunEvent{EventType: kind, EventTime: at.UTC(), Run: run, Job: job, Inputs: inputs, Outputs: []LineageDataset{}, Producer: lineageProducer, SchemaURL: lineageSchema}
	}
	bare := make([]LineageDataset, len(inputs))
	for i, d := range inputs {
		bare[i] = LineageDataset{Namespace: d.Namespace, Name: d.Name}
	}
	start := event("START", ended.Add(-r.Took), run, bare)
	kind := "COMPLETE"
	if !r.Whole() {
		kind = "FAIL"
		var texts []string
		for _, f := range r.Files {
			if f.Err != nil {
				texts = append(texts, f.Err.Error())
			}
		}
		if r.Undecodable > 0 {
			texts = append(texts, fmt.Sprintf("%d records could not be decoded", r.Undecodable))
		}
		run.Facets = map[string]any{"errorMessage": facet("ErrorMessageRunFacet", "1-0-1", "ErrorMessageRunFacet", map[string]any{
			"message": strings.Join(texts, "; "), "programmingLanguage": "Go",
		})}
	}
	return []RunEvent{start, event(kind, ended, run, inputs)}
}

// PipelineRun is what lineage tells of the inference pipeline.
type PipelineRun struct {
	ID                               string // of the run, the same in all its events
	Namespace, Group                 string
	Brokers                          string // the first is the datasets' namespace
	Events, Predictions, DeadLetters string // topics
	ModelVersion                     string
	Consumed                         uint64
}

// PipelineEvent is a run event of the pipeline: START, RUNNING, COMPLETE or FAIL.
func PipelineEvent(kind string, at time.Time, p PipelineRun) RunEvent {
	broker, _, _ := strings.Cut(p.Brokers, ",")
	topic := func(name string) LineageDataset {
		return LineageDataset{Namespace: "kafka://" + strings.TrimSpace(broker), Name: name}
	}
	input := topic(p.Events)
	input.InputFacets = map[string]any{"dataQualityMetrics": facet("DataQualityMetricsInputDatasetFacet", "1-0-2", "DataQualityMetricsInputDatasetFacet", map[string]any{
		"rowCount": p.Consumed, "columnMetrics": map[string]any{},
	})}
	var outputs []LineageDataset
	for _, name := range []string{p.Predictions, p.DeadLetters} {
		if name != "" {
			outputs = append(outputs, topic(name))
		}
	}
	return RunEvent{
		EventType: kind, EventTime: at.UTC(), Producer: lineageProducer, SchemaURL: lineageSchema,
		Run: LineageRun{ID: p.ID},
		Job: LineageJob{Namespace: p.Namespace, Name: "pipeline." + p.Group, Facets: map[string]any{
			"jobType": facet("JobTypeJobFacet", "2-0-3", "JobTypeJobFacet", map[string]any{"processingType": "STREAMING", "integration": "WEIR", "jobType": "INFERENCE"}),
			"documentation": facet("DocumentationJobFacet", "1-0-1", "DocumentationJobFacet", map[string]any{
				"description": "scores " + p.Events + " with model " + or(p.ModelVersion, "?"),
			}),
		}},
		Inputs: []LineageDataset{input}, Outputs: outputs,
	}
}

// Emitter sends run events to a file, as JSON Lines, or to an OpenLineage HTTP endpoint. It is safe for concurrent use.
type Emitter struct {
	url    string
	client *http.Client
	mu     sync.Mutex
	file   *os.File
}

// NewEmitter makes an emitter for a target: an http or https URL, or the path of a file that is appended to.
func NewEmitter(target string) (*Emitter, error) {
	if strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://") {
		return &Emitter{url: target, client: &http.Client{
			Timeout:       10 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}, nil
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lineage: %w", err)
	}
	return &Emitter{file: f}, nil
}

// Emit sends one event.
func (e *Emitter) Emit(ctx context.Context, event RunEvent) (err error) {
	body, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("lineage: %w", err)
	}
	if e.file != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		if _, err := e.file.Write(append(body, '\n')); err != nil {
			return fmt.Errorf("lineage: %w", err)
		}
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("lineage: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(request)
	if err != nil {
		return fmt.Errorf("lineage: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, 200)) // only for the message
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("lineage: %s answered %s: %s", e.url, response.Status, answer)
	}
	return nil
}

// Close ends the emitter.
func (e *Emitter) Close() error {
	if e.file != nil {
		return e.file.Close()
	}
	e.client.CloseIdleConnections()
	return nil
}
