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
	"path/filepath"
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
	return facet("SchemaDatasetFacet", "1-2-0", "SchemaDatasetFacet", map[string]any{"fields": fields})
}

// datasetFacets tell the columns of a product and who answers for it.
func datasetFacets(p DataProduct, seen []judge.Column) map[string]any {
	facets := map[string]any{"schema": schemaFacet(p, seen)}
	if len(p.Owners) > 0 {
		owners := []map[string]any{}
		for _, o := range p.Owners {
			owners = append(owners, map[string]any{"name": o, "type": "OWNER"})
		}
		facets["ownership"] = facet("OwnershipDatasetFacet", "1-0-1", "OwnershipDatasetFacet", map[string]any{"owners": owners})
	}
	return facets
}

func jobTypeFacet(processing, job string) map[string]any {
	return facet("JobTypeJobFacet", "2-0-4", "JobTypeJobFacet", map[string]any{"processingType": processing, "integration": "WEIR", "jobType": job})
}

func errorFacet(message string) map[string]any {
	return facet("ErrorMessageRunFacet", "1-0-1", "ErrorMessageRunFacet", map[string]any{"message": message, "programmingLanguage": "Go"})
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
		a := map[string]any{"assertion": c.Rule.Name, "name": c.Rule.Title(), "success": c.Status == judge.Passed, "severity": "error"}
		if !c.Rule.Breaks() {
			a["severity"] = "warn"
		}
		if expected := strings.TrimSpace(limitsOf(c.Rule)); expected != "" {
			a["expected"] = expected
		}
		if c.Observed != "" {
			a["actual"] = c.Observed
		}
		if c.Column != "" {
			a["column"] = c.Column
		}
		assertions = append(assertions, a)
	}
	return map[string]any{
		"dataQualityMetrics":    facet("DataQualityMetricsInputDatasetFacet", "1-0-3", "DataQualityMetricsInputDatasetFacet", metrics),
		"dataQualityAssertions": facet("DataQualityAssertionsDatasetFacet", "1-1-0", "DataQualityAssertionsDatasetFacet", map[string]any{"assertions": assertions}),
	}
}

// LineageEvents are the START and the COMPLETE (or FAIL, where a file was not read whole) event of a validation that
// ended at a moment.
func (r Report) LineageEvents(namespace string, ended time.Time) []RunEvent {
	run := LineageRun{ID: NewRunID()}
	job := LineageJob{Namespace: namespace, Name: "validate." + strings.ReplaceAll(r.Product.Key(), "/", ".")}
	var inputs []LineageDataset
	for i, f := range r.Files {
		d := LineageDataset{Namespace: "file", Name: absolute(f.Path), Facets: datasetFacets(r.Product, r.Columns)}
		if i == 0 { // the files are one data set; its quality is told once
			d.InputFacets = qualityFacets(r.Outcome, f.Bytes)
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
			texts = append(texts, plural(int(r.Undecodable), "record")+" could not be decoded")
		}
		run.Facets = map[string]any{"errorMessage": errorFacet(strings.Join(texts, "; "))}
	}
	return []RunEvent{start, event(kind, ended, run, inputs)}
}

// absolute is a file's name wherever it is read from; standard input has none.
func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil && path != "-" {
		return whole
	}
	return path
}

// jobEvent is a run event of a job that reads and writes topics: START, RUNNING, COMPLETE or FAIL. dataset is the
// topics' namespace, such as kafka://localhost:9092.
func jobEvent(kind string, at time.Time, namespace, dataset, runID string, job Job) RunEvent {
	about := "reads " + strings.Join(job.Inputs, ", ") + " and writes " + strings.Join(job.Outputs, ", ")
	if job.Model != "" {
		about += "; scores with model " + job.Model
	}
	if len(job.Features) > 0 {
		about += " on " + strings.Join(job.Features, ", ")
	}
	e := RunEvent{
		EventType: kind, EventTime: at.UTC(), Producer: lineageProducer, SchemaURL: lineageSchema,
		Run: LineageRun{ID: runID},
		Job: LineageJob{Namespace: namespace, Name: strings.ReplaceAll(job.Name, " ", "."), Facets: map[string]any{
			"jobType":       jobTypeFacet("STREAMING", "INFERENCE"),
			"documentation": facet("DocumentationJobFacet", "1-1-0", "DocumentationJobFacet", map[string]any{"description": about}),
		}},
		Inputs: []LineageDataset{}, Outputs: []LineageDataset{},
	}
	for i, topic := range job.Inputs {
		d := LineageDataset{Namespace: dataset, Name: topic, InputFacets: map[string]any{}}
		if i == 0 {
			d.InputFacets["dataQualityMetrics"] = facet("DataQualityMetricsInputDatasetFacet", "1-0-3", "DataQualityMetricsInputDatasetFacet", map[string]any{
				"rowCount": job.Consumed, "columnMetrics": map[string]any{},
			})
		}
		e.Inputs = append(e.Inputs, d)
	}
	for _, topic := range job.Outputs {
		if topic != "" {
			e.Outputs = append(e.Outputs, LineageDataset{Namespace: dataset, Name: topic})
		}
	}
	return e
}

// Emitter sends run events to a file, as JSON Lines, or to an OpenLineage HTTP endpoint. It is safe for concurrent use.
type Emitter struct {
	url    string
	token  func() string
	client *http.Client
	mu     sync.Mutex
	file   *os.File
}

// ErrRefused is wrapped when the receiver answered that it will not have an event, so that sending it again is no use.
var ErrRefused = errors.New("refused")

// NewEmitter makes an emitter for a target: an http or https URL, or the path of a file that is appended to. The
// bearer token is sent to a URL when it is not empty; token may be nil.
func NewEmitter(target string, token func() string) (*Emitter, error) {
	if strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://") {
		return &Emitter{url: target, token: token, client: &http.Client{
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
	if e.token != nil && e.token() != "" {
		request.Header.Set("Authorization", "Bearer "+e.token())
	}
	response, err := e.client.Do(request)
	if err != nil {
		return fmt.Errorf("lineage: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, 200)) // only for the message
	if code := response.StatusCode; code < 200 || code > 299 {
		err = fmt.Errorf("lineage: %s answered %s: %s", request.URL.Redacted(), response.Status, answer)
		if code >= 300 && code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooManyRequests {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return err
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
