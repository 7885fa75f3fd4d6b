package model

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// trainScript writes two joblib files on real data, the rows to score and scikit-learn's own probabilities of them.
const trainScript = `
import json, sys, joblib, numpy as np, pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
X, y = load_breast_cancer(return_X_y=True)
X = X[:, :4]
numbers = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
joblib.dump(numbers, "numbers.joblib")
d = load_wine()
W = pd.DataFrame({"alcohol": d.data[:, 0], "shade": np.where(d.data[:, 10] > 0.96, "red", "purple")})
mixed = make_pipeline(make_column_transformer((OneHotEncoder(), ["shade"]), remainder="passthrough"),
                      RandomForestClassifier(20, random_state=7)).fit(W, d.target == 1)
joblib.dump(mixed, "mixed.joblib")
json.dump({"numbers": X[:200].ravel().tolist(), "numbers_p": numbers.predict_proba(X[:200])[:, 1].tolist(),
           "alcohol": W.alcohol.tolist(), "shade": W.shade.tolist(), "mixed_p": mixed.predict_proba(W)[:, 1].tolist()}, sys.stdout)
`

// TestMLServer scores joblib files through a real MLServer. It needs WEIR_SLOW=1, and WEIR_MLSERVER naming the bin
// folder of a Python environment made by: pip install mlserver mlserver-sklearn pandas.
func TestMLServer(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("set WEIR_SLOW=1 to test against a real MLServer")
	}
	bin := os.Getenv("WEIR_MLSERVER")
	if bin == "" {
		t.Skip("set WEIR_MLSERVER to the bin folder of a Python environment with mlserver and mlserver-sklearn")
	}
	folder := t.TempDir()
	truth := train(t, filepath.Join(bin, "python"), folder)
	url := startMLServer(t, bin, folder)

	numbers := []Column{{Name: "v:a"}, {Name: "v:b"}, {Name: "v:c"}, {Name: "v:d"}}
	frame := &Frame{Columns: numbers, Rows: 200, Numbers: truth.Numbers}
	scorer := bindServed(t, url, "numbers", numbers)
	out := make([]float64, frame.Rows)
	if err := scorer.Score(t.Context(), frame, out); err != nil {
		t.Fatal(err)
	}
	near(t, out, truth.NumbersP, 1e-12)

	mixed := []Column{{Name: "alcohol"}, {Name: "shade", IsText: true}}
	frame = &Frame{Columns: mixed, Rows: len(truth.Alcohol)}
	for i := range truth.Alcohol {
		frame.Numbers = append(frame.Numbers, truth.Alcohol[i], math.NaN())
		frame.Strings = append(frame.Strings, "", truth.Shade[i])
	}
	scorer = bindServed(t, url, "mixed", mixed)
	out = make([]float64, frame.Rows)
	if err := scorer.Score(t.Context(), frame, out); err != nil {
		t.Fatal(err)
	}
	near(t, out, truth.MixedP, 1e-12)

	// The same with its inputs told by the server, in an order and with names of their own.
	served := servedModel(t, url, "declared")
	named := Columns([]string{"wine:alcohol", "wine:shade"}, served.Describe().Inputs)
	scorer, err := served.Bind(named)
	if err != nil {
		t.Fatal(err)
	}
	frame.Columns = named
	if err := scorer.Score(t.Context(), frame, out); err != nil {
		t.Fatal(err)
	}
	near(t, out, truth.MixedP, 1e-12)

	// A word the encoder never saw spoils its own row only.
	frame.Strings[2*7+1] = "ultraviolet"
	if err := scorer.Score(t.Context(), frame, out); err != nil {
		t.Fatal(err)
	}
	truth.MixedP[7] = math.NaN()
	near(t, out, truth.MixedP, 1e-12)

	if _, err := servedModel(t, url, "numbers").Bind(numbers[:3]); err == nil || !strings.Contains(err.Error(), "v:a number, v:b number, v:c number") {
		t.Errorf("three columns for a model of four: error %v", err)
	}
}

type trained struct {
	Numbers  []float64 `json:"numbers"`
	NumbersP []float64 `json:"numbers_p"`
	Alcohol  []float64 `json:"alcohol"`
	Shade    []string  `json:"shade"`
	MixedP   []float64 `json:"mixed_p"`
}

func train(t *testing.T, python, folder string) trained {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, "-c", trainScript)
	cmd.Dir = folder
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("the training script does not run: %v", err)
	}
	var truth trained
	if err := json.Unmarshal(out, &truth); err != nil {
		t.Fatal(err)
	}
	declared := `,"inputs":[{"name":"shade","datatype":"BYTES","shape":[-1]},{"name":"alcohol","datatype":"FP64","shape":[-1]}],
		"outputs":[{"name":"predict_proba","datatype":"FP64","shape":[-1,2]}]`
	for name, told := range map[string]string{"numbers": "", "mixed": "", "declared": declared} {
		file := strings.Replace(name, "declared", "mixed", 1)
		settings := fmt.Sprintf(`{"name":%q,"implementation":"mlserver_sklearn.SKLearnModel","parameters":{"uri":"../%s.joblib","version":"v2.1"}%s}`, name, file, told)
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name, "model-settings.json"), []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return truth
}

// startMLServer serves the folder's models on free loopback ports and waits until they are ready.
func startMLServer(t *testing.T, bin, folder string) string {
	t.Helper()
	var ports [3]string
	for i := range ports {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		_ = l.Close()
	}
	settings := fmt.Sprintf(`{"host":"127.0.0.1","http_port":%s,"grpc_port":%s,"metrics_port":%s,"parallel_workers":0,"debug":false}`,
		ports[0], ports[1], ports[2])
	if err := os.WriteFile(filepath.Join(folder, "settings.json"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(bin, "mlserver"), "start", folder)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if err := cmd.Start(); err != nil {
		t.Skipf("mlserver does not start: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	url := "http://127.0.0.1:" + ports[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !isReady(ctx, url) {
		select {
		case <-ctx.Done():
			t.Fatal("mlserver is not ready after a minute")
		case <-time.After(200 * time.Millisecond):
		}
	}
	return url
}

func isReady(ctx context.Context, url string) bool {
	for _, name := range []string{"numbers", "mixed", "declared"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v2/models/"+name+"/ready", http.NoBody)
		if err != nil {
			return false
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return false
		}
	}
	http.DefaultClient.CloseIdleConnections()
	return true
}

func servedModel(t *testing.T, url, name string) Model {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	m, err := NewInference(InferenceConfig{URL: url, Name: name, HTTP: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func bindServed(t *testing.T, url, name string, columns []Column) Scorer {
	t.Helper()
	scorer, err := servedModel(t, url, name).Bind(columns)
	if err != nil {
		t.Fatal(err)
	}
	return scorer
}
