package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// InferenceConfig says where a model is served by the Open Inference Protocol (KServe's v2), as MLServer, Triton and
// KServe do over HTTP.
type InferenceConfig struct {
	URL     string        // the server, such as http://localhost:8080
	Name    string        // the model's name
	Version string        // the model's version; empty for the server's choice
	Timeout time.Duration // of one request; 5 s if zero
	HTTP    *http.Client  // nil for one that follows no redirect
	Token   string        // sent as a bearer token if not empty
	// Output is the output that holds the probabilities; empty for the first of predict_proba, probabilities and their
	// like that the server offers.
	Output string
}

// ErrInference is wrapped by the errors of a model server that answered, but not with probabilities. Asking again may
// help, since a server can be put right.
var ErrInference = errors.New("the model server's answer is no prediction")

// Prober is a Model that can be asked whether it would answer now.
type Prober interface {
	// Ready is nil if the model is ready to score.
	Ready(ctx context.Context) error
}

const (
	inferenceTimeout   = 5 * time.Second
	maxInferenceAnswer = 64 << 20 // bytes of an answer, beyond which it is refused
	maxErrorAnswer     = 4 << 10  // bytes of an error's body that are read
	maxErrorShown      = 300      // and shown
)

// NewInference makes a model that is served elsewhere, and asks the server what it takes so that Describe can tell. A
// server that is away is waited for, when rows are to be scored; it is no error here. MLServer tells the inputs only if
// the model's settings do, which a model of named or of text columns needs: {"inputs": [{"name": "place", "datatype":
// "BYTES", "shape": [-1]}, …]}.
func NewInference(cfg InferenceConfig) (Model, error) {
	m, err := newInference(cfg)
	if err != nil {
		return nil, err
	}
	m.ask(context.Background())
	return m, nil
}

func newInference(cfg InferenceConfig) (*inference, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("inference url %q: expected http://host:port or https://host:port", cfg.URL)
	}
	if cfg.Name == "" {
		return nil, errors.New("inference name: expected the model's name on the server, found none")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = inferenceTimeout
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("inference timeout: expected a positive duration, found %s", cfg.Timeout)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	u = u.JoinPath("v2", "models", url.PathEscape(cfg.Name))
	if cfg.Version != "" {
		u = u.JoinPath("versions", url.PathEscape(cfg.Version))
	}
	return &inference{cfg: cfg, base: u}, nil
}

// ask asks for the metadata. A server that is away is asked again by Bind and Score.
func (m *inference) ask(ctx context.Context) { _, _ = m.metadata(ctx) }

type inference struct {
	cfg  InferenceConfig
	base *url.URL // of the model

	mu       sync.Mutex
	told     *inferenceMetadata // what the server last said of the model
	revision string             // the model_version of its last answer
	since    time.Time          // when revision last changed
}

// inferenceMetadata is the answer to GET /v2/models/{name}.
type inferenceMetadata struct {
	Name     string          `json:"name"`
	Platform string          `json:"platform"`
	Inputs   []tensorOutline `json:"inputs"`
	Outputs  []tensorOutline `json:"outputs"`
}

type tensorOutline struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// Describe tells the inputs once the server has been asked.
func (m *inference) Describe() Description {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := Description{Kind: "open inference protocol", Source: m.base.Redacted(), Revision: m.revision}
	d.Fingerprint = d.Source + "#" + m.revision
	if m.told == nil {
		return d
	}
	d.Producer = m.told.Platform
	for _, in := range m.told.Inputs {
		d.Inputs = append(d.Inputs, Input{Name: in.Name, Type: strings.ToLower(in.Datatype), Width: in.width(), IsText: in.isText()})
	}
	return d
}

// width is the columns of an input of rows, 0 if it is open.
func (o tensorOutline) width() int {
	if len(o.Shape) == 1 {
		return 1
	}
	if len(o.Shape) == 2 && o.Shape[1] > 0 && o.Shape[1] <= maxColumns {
		return int(o.Shape[1])
	}
	return 0
}

func (o tensorOutline) isText() bool { return o.Datatype == "BYTES" }

// answeredBy notes which version of the model an answer came from; empty where it does not say.
func (m *inference) answeredBy(revision string, now time.Time) {
	if revision == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.revision != revision {
		m.revision, m.since = revision, now
	}
}

// answers is the version the server's last answer came from, and since when they have come from it.
func (m *inference) answers() (revision string, since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.revision, m.since
}

// Ready asks the server whether the model is ready.
func (m *inference) Ready(ctx context.Context) error {
	_, err := m.call(ctx, http.MethodGet, "ready", nil)
	return err
}

// Bind asks the server what the model wants and, where all columns are numbers, to score a trial batch. A server that
// does not answer is no error: the scorer asks again with the first frame.
func (m *inference) Bind(columns []Column) (Scorer, error) {
	if len(columns) == 0 {
		return nil, fmt.Errorf("%w: no columns", ErrColumns)
	}
	s := &inferenceScorer{model: m, columns: columns}
	ctx, cancel := context.WithTimeout(context.Background(), m.cfg.Timeout)
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		if errors.Is(err, ErrColumns) {
			return nil, err
		}
		return s, nil
	}
	return s, s.rehearse(ctx)
}

// rehearse scores two rows of zeros. Only a server that is ready and yet refuses them speaks against the columns.
func (s *inferenceScorer) rehearse(ctx context.Context) error {
	const rows = 2
	for _, c := range s.columns {
		if c.IsText {
			return nil
		}
	}
	frame := &Frame{Columns: s.columns, Rows: rows, Numbers: make([]float64, rows*len(s.columns))}
	var out [rows]float64
	err := s.Score(ctx, frame, out[:])
	if errors.Is(err, ErrClasses) {
		return fmt.Errorf("the model %s: %w", s.model.cfg.Name, err)
	}
	var refused *refusal
	if errors.As(err, &refused) && s.model.Ready(ctx) == nil {
		return fmt.Errorf("%w: the model %s is ready but refuses a trial batch of the columns %s: %w", ErrColumns,
			s.model.cfg.Name, listColumns(s.columns), err)
	}
	return nil
}

// metadata asks what the model takes and gives.
func (m *inference) metadata(ctx context.Context) (*inferenceMetadata, error) {
	body, err := m.call(ctx, http.MethodGet, "", nil)
	if err != nil {
		return nil, err
	}
	var told inferenceMetadata
	if err := json.Unmarshal(body, &told); err != nil {
		return nil, fmt.Errorf("%w: metadata of %s: expected JSON, found %s (%w)", ErrInference, m.cfg.Name, shown(body), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = &told
	return &told, nil
}

// refusal is an answer of the server that says it did not do what was asked.
type refusal struct {
	status int
	what   string // the path
	reason string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s: the model server answered %d: %s", r.what, r.status, r.reason)
}

func (r *refusal) Unwrap() error { return ErrInference }

// call sends one request to the model's path and reads the whole of a bounded answer.
func (m *inference) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	u := m.base
	if path != "" {
		u = u.JoinPath(path)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	// Scoring twice does no harm. This makes the client send the request anew when a kept connection turns out to be
	// closed, as MLServer's is after each 500; an empty list sends no header.
	req.Header["Idempotency-Key"] = []string{}
	if m.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+m.cfg.Token)
	}
	resp, err := m.cfg.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("model server: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	limit := int64(maxInferenceAnswer)
	if resp.StatusCode != http.StatusOK {
		limit = maxErrorAnswer
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("model server: reading its answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &refusal{resp.StatusCode, u.Redacted(), errorText(answer)}
	}
	if int64(len(answer)) > limit {
		return nil, fmt.Errorf("%w: %s: expected at most %d MiB, found more", ErrInference, u.Redacted(), limit>>20)
	}
	return answer, nil
}

// errorText is the protocol's {"error": "…"}, or else the beginning of whatever came.
func errorText(body []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		return shown([]byte(e.Error))
	}
	return shown(body)
}

func shown(b []byte) string {
	if len(b) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%.*q", maxErrorShown, b)
}

// inferenceScorer scores frames of one set of columns by requests.
type inferenceScorer struct {
	model   *inference
	columns []Column
	plan    *inferencePlan
	body    []byte // the last request, kept for its memory
	rows    []int  // the rows of the frame that are sent
	// revision is the model_version of the last answer.
	revision string
}

// Revision is the version of the model that scored the last frame, as the server reported it.
func (s *inferenceScorer) Revision() string { return s.revision }

// maxSearch bounds the requests spent on finding rows of a frame that the server takes when it refuses all of them.
const maxSearch = 64

// prepare asks for the metadata and plans the requests.
func (s *inferenceScorer) prepare(ctx context.Context) error {
	told, err := s.model.metadata(ctx)
	if err != nil {
		return err
	}
	s.plan, err = planInference(told, s.columns, s.model.cfg)
	return err
}

// Score sends the frame in one request. A row with a missing number is not sent, since JSON has no NaN, and comes back
// as NaN; so does a row that the server refuses while it scores others of the same frame.
func (s *inferenceScorer) Score(ctx context.Context, frame *Frame, out []float64) error {
	if s.plan == nil {
		if err := s.prepare(ctx); err != nil {
			return err
		}
	}
	if err := checkFrame(frame, len(s.columns), s.plan.numbers, s.plan.text, out); err != nil {
		return err
	}
	s.rows = s.rows[:0]
	for r := range frame.Rows {
		out[r] = math.NaN()
		if s.plan.canSend(frame, r) {
			s.rows = append(s.rows, r)
		}
	}
	if len(s.rows) == 0 {
		return nil
	}
	scored, err := s.search(ctx, frame, out)
	if err == nil || isRefusal(err) && scored > 0 || len(s.rows) == 1 && isBadRequest(err) {
		return nil
	}
	if errors.Is(err, ErrInference) {
		s.plan = nil // the server may have another model by now
	}
	return err
}

func isBadRequest(err error) bool {
	var refused *refusal
	return errors.As(err, &refused) && (refused.status == http.StatusBadRequest || refused.status == http.StatusUnprocessableEntity)
}

func isRefusal(err error) bool {
	var refused *refusal
	return errors.As(err, &refused) && refused.isAboutRows()
}

// isAboutRows tells a refusal that may be due to what was sent from one that cannot. MLServer answers 500 to a value
// that scikit-learn does not take.
func (r *refusal) isAboutRows() bool {
	return r.status == http.StatusBadRequest || r.status == http.StatusUnprocessableEntity || r.status == http.StatusInternalServerError
}

// search scores the frame's rows and, where the server refuses some, each half of those, the larger parts first; it gives
// how many were scored, and the last error if that is not all.
func (s *inferenceScorer) search(ctx context.Context, frame *Frame, out []float64) (scored int, err error) {
	budget := maxSearch
	for todo := [][]int{s.rows}; len(todo) > 0; todo = todo[1:] {
		if budget == 0 {
			return scored, fmt.Errorf("%w: it refuses too many rows of the batch", ErrInference)
		}
		budget--
		rows := todo[0]
		switch e := s.send(ctx, frame, rows, out); {
		case e == nil:
			scored += len(rows)
			budget = 2 * len(s.rows) // it scores others of the frame: enough to find each row that it does not
		case !isRefusal(e):
			return scored, e
		default:
			if err = e; len(rows) > 1 {
				todo = append(todo, rows[:len(rows)/2], rows[len(rows)/2:])
			}
		}
	}
	return scored, err
}

// send scores some rows by one request.
func (s *inferenceScorer) send(ctx context.Context, frame *Frame, rows []int, out []float64) error {
	s.body = s.plan.encode(s.body[:0], frame, rows)
	answer, err := s.model.call(ctx, http.MethodPost, "infer", s.body)
	if err != nil {
		return err
	}
	revision, err := s.plan.decode(answer, rows, out)
	if err != nil {
		return err
	}
	s.revision = revision
	s.model.answeredBy(revision, time.Now())
	return nil
}
