package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer is a model server of the Open Inference Protocol whose probability of a row is its first value / 100.
type fakeServer struct {
	mu       sync.Mutex
	metadata string
	output   string
	version  string              // the JSON of model_version; empty: none
	refuse   func(v float64) int // the status for a request with such a value; 0 takes it
	answer   string              // instead of a prediction
	status   int
	ready    int
	requests []inferRequest
	auth     string
}

type inferRequest struct {
	Parameters map[string]string `json:"parameters"`
	Inputs     []struct {
		Name     string `json:"name"`
		Shape    []int  `json:"shape"`
		Datatype string `json:"datatype"`
		Data     []any  `json:"data"`
	} `json:"inputs"`
	Outputs []struct {
		Name string `json:"name"`
	} `json:"outputs"`
}

func (f *fakeServer) start(t *testing.T) *httptest.Server {
	t.Helper()
	if f.metadata == "" {
		f.metadata = `{"name":"m","versions":[],"platform":"","inputs":[],"outputs":[]}`
	}
	if f.output == "" {
		f.output = "predict_proba"
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/models/m/versions/7", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, f.metadata) })
	mux.HandleFunc("GET /v2/models/m/versions/7/ready", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(max(200, f.ready))
	})
	mux.HandleFunc("POST /v2/models/m/versions/7/infer", f.infer)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func (f *fakeServer) infer(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.auth = r.Header.Get("Authorization")
	var req inferRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.requests = append(f.requests, req)
	if f.answer != "" || f.status != 0 {
		w.WriteHeader(max(200, f.status))
		_, _ = io.WriteString(w, f.answer)
		return
	}
	first := req.Inputs[0]
	rows, width := first.Shape[0], 1
	if len(first.Shape) > 1 {
		width = first.Shape[1]
	}
	var data []string
	for i := range rows {
		v, _ := first.Data[i*width].(float64)
		if f.refuse != nil {
			if status := f.refuse(v); status != 0 {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"error":"I do not like this value"}`)
				return
			}
		}
		data = append(data, fmt.Sprintf("%g,%g", 1-v/100, v/100))
	}
	version := ""
	if f.version != "" {
		version = `"model_version":` + f.version + ","
	}
	_, _ = fmt.Fprintf(w, `{"model_name":"m",`+version+`"outputs":[{"name":%q,"shape":[%d,2],"datatype":"FP64","data":[%s]}]}`,
		f.output, rows, strings.Join(data, ","))
}

func (f *fakeServer) last(t *testing.T) inferRequest {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.requests) == 0 {
		t.Fatal("no request came")
	}
	return f.requests[len(f.requests)-1]
}

func inferenceModel(t *testing.T, url string) Model {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	m, err := NewInference(InferenceConfig{URL: url, Name: "m", Version: "7", Timeout: 2 * time.Second, Token: "hush",
		HTTP: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func frameOf(columns []Column, rows ...[]float64) *Frame {
	f := &Frame{Columns: columns, Rows: len(rows)}
	for _, r := range rows {
		f.Numbers = append(f.Numbers, r...)
	}
	return f
}

var twoNumbers = []Column{{Name: "v:a"}, {Name: "v:b"}}

func TestInferenceScoresABatch(t *testing.T) {
	fake := &fakeServer{}
	server := fake.start(t)
	m := inferenceModel(t, server.URL)
	scorer, err := m.Bind(twoNumbers)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, 3)
	frame := frameOf(twoNumbers, []float64{25, 1}, []float64{math.NaN(), 1}, []float64{75, 1e300})
	if err := scorer.Score(t.Context(), frame, out); err != nil {
		t.Fatal(err)
	}
	near(t, out, []float64{0.25, math.NaN(), 0.75}, 0)
	req := fake.last(t)
	if in := req.Inputs[0]; len(req.Inputs) != 1 || in.Datatype != "FP64" || in.Shape[0] != 2 || in.Shape[1] != 2 || req.Outputs[0].Name != "predict_proba" {
		t.Errorf("request %+v", req)
	}
	if fake.auth != "Bearer hush" {
		t.Errorf("authorization %q", fake.auth)
	}
	if p, ok := m.(Prober); !ok || p.Ready(t.Context()) != nil {
		t.Error("the model is not ready")
	}
	if d := m.Describe(); d.Kind != "open inference protocol" || !strings.HasSuffix(d.Source, "/v2/models/m/versions/7") {
		t.Errorf("description %+v", d)
	}
}

func TestInferenceFollowsTheMetadata(t *testing.T) {
	mixed := []Column{{Name: "v:age"}, {Name: "v:place", IsText: true}}
	for _, c := range []struct {
		name, metadata string
		columns        []Column
		datatypes      []string
		flat           bool
		output         string
		says           string
	}{
		{"nothing told, text", `{}`, mixed, []string{"FP64", "BYTES"}, false, "predict_proba", ""},
		{"one tensor", `{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"label","datatype":"INT64","shape":[-1]},{"name":"probabilities","datatype":"FP32","shape":[-1,2]}]}`,
			twoNumbers, []string{"FP32"}, false, "probabilities", ""},
		{"by name", `{"inputs":[{"name":"place","datatype":"BYTES","shape":[-1]},{"name":"age","datatype":"INT64","shape":[-1]}],"outputs":[{"name":"p","datatype":"FP64","shape":[-1]}]}`,
			mixed, []string{"BYTES", "INT64"}, true, "p", ""},
		{"wrong width", `{"inputs":[{"name":"x","datatype":"FP32","shape":[-1,3]}]}`, twoNumbers, nil, false, "", "x double[3]"},
		{"wrong name", `{"inputs":[{"name":"q","datatype":"FP32","shape":[-1]},{"name":"r","datatype":"FP32","shape":[-1]}]}`, twoNumbers, nil, false, "", "no column is named q"},
		{"strange datatype", `{"inputs":[{"name":"x","datatype":"QUBIT","shape":[-1,2]}]}`, twoNumbers, nil, false, "", "QUBIT"},
		{"two outputs", `{"outputs":[{"name":"a","datatype":"FP32"},{"name":"b","datatype":"FP32"}]}`, twoNumbers, nil, false, "", `["a" "b"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := &fakeServer{metadata: c.metadata, output: c.output}
			server := fake.start(t)
			scorer, err := inferenceModel(t, server.URL).Bind(c.columns)
			if c.says != "" {
				if !errors.Is(err, ErrColumns) || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("error %v, want ErrColumns saying %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			frame := frameOf(c.columns, []float64{50, 2})
			frame.Strings = []string{"", "Zürich \"x\""}
			if err := scorer.Score(t.Context(), frame, make([]float64, 1)); err != nil {
				t.Fatal(err)
			}
			req := fake.last(t)
			if req.Outputs[0].Name != c.output || len(req.Inputs) != len(c.datatypes) {
				t.Fatalf("request %+v", req)
			}
			for i, want := range c.datatypes {
				in := req.Inputs[i]
				if in.Datatype != want || (len(in.Shape) == 1) != c.flat {
					t.Errorf("input %+v, want %s", in, want)
				}
				if want == "BYTES" && in.Data[0] != "Zürich \"x\"" {
					t.Errorf("text %q", in.Data[0])
				}
			}
		})
	}
}

func TestInferenceFindsTheRowsTheServerRefuses(t *testing.T) {
	for _, status := range []int{400, 422, 500} {
		fake := &fakeServer{refuse: func(v float64) int {
			if v == 13 {
				return status
			}
			return 0
		}}
		server := fake.start(t)
		scorer, err := inferenceModel(t, server.URL).Bind(twoNumbers)
		if err != nil {
			t.Fatal(err)
		}
		var rows [][]float64
		var want []float64
		for i := range 100 {
			rows, want = append(rows, []float64{float64(i), 0}), append(want, float64(i)/100)
		}
		want[13] = math.NaN()
		out := make([]float64, 100)
		if err := scorer.Score(t.Context(), frameOf(twoNumbers, rows...), out); err != nil {
			t.Fatal(err)
		}
		near(t, out, want, 1e-12)
	}
}

// TestInferenceFindsManyRowsTheServerRefuses: as long as it scores others, the server is not to blame.
func TestInferenceFindsManyRowsTheServerRefuses(t *testing.T) {
	for name, bad := range map[string]func(i int) bool{
		"one in ten":     func(i int) bool { return i%10 == 3 },
		"the first half": func(i int) bool { return i < 128 },
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeServer{refuse: func(v float64) int {
				if v < 0 {
					return http.StatusBadRequest
				}
				return 0
			}}
			server := fake.start(t)
			scorer, err := inferenceModel(t, server.URL).Bind(twoNumbers)
			if err != nil {
				t.Fatal(err)
			}
			rows, want := make([][]float64, 256), make([]float64, 256)
			for i := range rows {
				rows[i], want[i] = []float64{50, 0}, 0.5
				if bad(i) {
					rows[i], want[i] = []float64{-1, 0}, math.NaN()
				}
			}
			out := make([]float64, len(rows))
			if err := scorer.Score(t.Context(), frameOf(twoNumbers, rows...), out); err != nil {
				t.Fatal(err)
			}
			near(t, out, want, 1e-12)
		})
	}
}

// TestInferenceTakesAScoreThatIsNone: servers write it in ways that JSON does not know.
func TestInferenceTakesAScoreThatIsNone(t *testing.T) {
	for _, word := range []string{"null", "NaN", "Infinity", "-Infinity"} {
		fake := &fakeServer{answer: `{"model_name":"a \"NaN\"","outputs":[{"name":"predict_proba","shape":[2,2],"datatype":"FP64","data":[` +
			word + "," + word + `,0.25,0.75]}]}`}
		server := fake.start(t)
		scorer, err := inferenceModel(t, server.URL).Bind(twoNumbers)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float64, 2)
		if err := scorer.Score(t.Context(), frameOf(twoNumbers, []float64{1, 2}, []float64{3, 4}), out); err != nil {
			t.Errorf("%s: %v", word, err)
		}
		near(t, out, []float64{math.NaN(), 0.75}, 1e-12)
	}
}

func TestInferenceSaysWhatWentWrong(t *testing.T) {
	two := `{"outputs":[{"name":"predict_proba","shape":[2,2],"datatype":"FP64","data":[`
	for _, c := range []struct {
		name   string
		fake   *fakeServer
		says   string
		answer error
	}{
		{"not JSON", &fakeServer{answer: "<html>"}, `found "<html>"`, ErrInference},
		{"no such output", &fakeServer{output: "zebra"}, `found ["zebra"]`, ErrInference},
		{"labels", &fakeServer{answer: `{"outputs":[{"name":"predict_proba","shape":[2],"datatype":"INT64","data":[1,0]}]}`}, `"INT64"`, ErrInference},
		{"too few rows", &fakeServer{answer: `{"outputs":[{"name":"predict_proba","shape":[1,2],"datatype":"FP64","data":[0.5,0.5]}]}`}, "[1 2]", ErrInference},
		{"too few numbers", &fakeServer{answer: two + `0.1,0.9]}]}`}, "expected 4 numbers, found 2", ErrInference},
		{"too many numbers", &fakeServer{answer: two + `0.1,0.9,0.1,0.9,0]}]}`}, "expected 4 numbers, found more", ErrInference},
		{"words", &fakeServer{answer: two + `"a","b","c","d"]}]}`}, "expected numbers", ErrInference},
		{"too deep", &fakeServer{answer: two + `[[[0.1,0.9,0.1,0.9]]]]}]}`}, "deep", ErrInference},
		{"refuses all", &fakeServer{status: 400, answer: `{"error":"no\u001b[31m"}`}, `answered 400: "no\x1b[31m"`, ErrInference},
		{"not found", &fakeServer{status: 404}, "answered 404: nothing", ErrInference},
		{"busy", &fakeServer{status: 503, answer: "later"}, `answered 503: "later"`, ErrInference},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.fake.ready = 503 // so that Bind leaves the judgement to Score
			server := c.fake.start(t)
			scorer, err := inferenceModel(t, server.URL).Bind(twoNumbers)
			if err != nil {
				t.Fatal(err)
			}
			out := make([]float64, 2)
			err = scorer.Score(t.Context(), frameOf(twoNumbers, []float64{1, 2}, []float64{3, 4}), out)
			if !errors.Is(err, c.answer) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

func TestInferenceBindRefusesColumnsTheServerDoesNotTake(t *testing.T) {
	fake := &fakeServer{status: 500, answer: "Internal Server Error"}
	server := fake.start(t)
	if _, err := inferenceModel(t, server.URL).Bind(twoNumbers); !errors.Is(err, ErrColumns) || !strings.Contains(err.Error(), "v:a number, v:b number") {
		t.Errorf("error %v, want ErrColumns", err)
	}
}

func TestInferenceWaitsForAServerThatIsAway(t *testing.T) {
	fake := &fakeServer{}
	server := fake.start(t)
	address := server.Listener.Addr().String()
	m := inferenceModel(t, server.URL)
	server.Close()
	scorer, err := m.Bind(twoNumbers)
	if err != nil {
		t.Fatalf("a server that is away is no error of Bind: %v", err)
	}
	frame, out := frameOf(twoNumbers, []float64{50, 0}), make([]float64, 1)
	if err := scorer.Score(t.Context(), frame, out); err == nil || errors.Is(err, ErrInference) || !strings.Contains(err.Error(), address) {
		t.Errorf("error %v, want one of the connection", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := scorer.Score(gone, frame, out); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestNewInferenceChecksItsConfig(t *testing.T) {
	for _, cfg := range []InferenceConfig{
		{Name: "m"}, {URL: "localhost:8080", Name: "m"}, {URL: "ftp://x", Name: "m"}, {URL: "http://x"},
		{URL: "http://x", Name: "m", Timeout: -1},
	} {
		if _, err := NewInference(cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
}
