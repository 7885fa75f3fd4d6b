package wire

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/backend/edge"
	"weir/config"
)

// TestStarter: what weir init writes can be made into engines, but for the model that only the user has.
func TestStarter(t *testing.T) {
	c, err := config.Parse("weir.yaml", config.Starter(), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Store(c.Features); err != nil {
		t.Error(err)
	}
	if _, err := Model(c.Model); err == nil || !strings.Contains(err.Error(), "model.onnx") {
		t.Errorf("got %v", err)
	}
}

func TestEdge(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	c := &config.Edge{
		Nodes: []string{"http://a"}, Targets: []config.Target{{URL: "http://b", Labels: map[string]string{"site": "oslo"}}},
		Sources: []config.Source{{File: "nodes.txt"}, {SRV: "_edge._tcp.example.com", Scheme: "https", Every: time.Minute}, {HTTPSD: "http://sd/x", Every: time.Minute}},
		Access:  []config.Access{{Labels: map[string]string{"site": "oslo"}, Headers: map[string]config.Secret{"X-Key": config.NewSecret("k")}, Token: config.NewSecret("t")}},
		Poll:    15 * time.Second, Timeout: 10 * time.Second, StaleAfter: 5 * time.Minute, Concurrency: 256,
		Cloud: &config.Cloud{URL: "http://cloud/ingest", Every: time.Minute, Timeout: time.Second, Token: config.NewSecret("c"), Gzip: true, MaxBytes: 1 << 20, MaxAge: time.Hour},
	}
	settings, err := Edge(c, state, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if settings.Outbox != filepath.Join(state, "outbox.db") || len(settings.Sources) != 3 || settings.Sources[1].Every() != time.Minute ||
		settings.Targets[0].Labels["site"] != "oslo" || settings.Access[0].Headers["X-Key"] != "k" || settings.Access[0].Token() != "t" ||
		settings.Cloud.Token() != "c" || !settings.Cloud.Gzip || settings.Cloud.MaxAge != time.Hour {
		t.Errorf("got %+v", settings)
	}
	if _, err := os.Stat(state); err != nil {
		t.Error(err)
	}
	if _, err := edge.New(settings); err != nil {
		t.Error(err)
	}
	c.Access = append(c.Access, config.Access{TLS: &config.TLS{CA: "none.pem"}})
	if _, err := Edge(c, state, nil); err == nil || !strings.Contains(err.Error(), "edge.access[1]: tls.ca") {
		t.Errorf("got %v", err)
	}
}
