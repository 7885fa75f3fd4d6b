package api

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestTheListOfMetrics keeps METRICS.md as the table of families says; -update writes it.
func TestTheListOfMetrics(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Metrics\n\nWhat `/metrics` tells Prometheus, all from one snapshot. A series is absent where its figure is unknown. `go test ./backend/api -update`\nwrites this page from the table in the code.\n\n")
	b.WriteString("| name | type | labels | |\n|---|---|---|---|\n")
	for _, f := range newCollector(fixed{}, "").families {
		kind := "gauge"
		if f.kind == prometheus.CounterValue {
			kind = "counter"
		}
		labels := make([]string, len(f.labels))
		for i, l := range f.labels {
			labels[i] = "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `weir_%s` | %s | %s | %s |\n", f.name, kind, strings.Join(labels, " "), f.help)
	}
	b.WriteString(alerts)
	if *update {
		if err := os.WriteFile("METRICS.md", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile("METRICS.md")
	if err != nil || string(written) != b.String() {
		t.Errorf("METRICS.md is stale (%v); go test ./backend/api -update writes it", err)
	}
	for name := range strings.FieldsFuncSeq(alerts, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		if strings.HasPrefix(name, "weir_") && !strings.Contains(b.String(), "| `"+name+"` |") {
			t.Errorf("the alerts speak of %s, which is not told", name)
		}
	}
}

// alerts are worth waking somebody for; each says where in the console to look.
const alerts = `
## Alerts to begin with

` + "```yaml" + `
groups:
  - name: weir
    rules:
      - alert: WeirEngineDown            # :5, the engine's last error; it is started again by itself
        expr: weir_engine_up == 0
        for: 2m
      - alert: WeirPipelineWaits         # 1, the line that says what for: broker, feature store or model
        expr: weir_pipeline_state{state="waiting"} == 1
        for: 2m
      - alert: WeirLagGrows              # 1, enter: the partition whose verdict is not ok
        expr: weir_pipeline_lag_records > 0 and deriv(weir_pipeline_lag_records[10m]) > 0
        for: 10m
      - alert: WeirDeadLetters           # 1, enter: the dead letters with stage, reason and bytes
        expr: rate(weir_pipeline_dead_lettered_total[5m]) > 0.01 * rate(weir_pipeline_consumed_total[5m])
        for: 5m
      - alert: WeirRecordsLost           # the topic's retention deleted them before they were taken; 5 says which offsets
        expr: increase(weir_pipeline_overtaken_total[1h]) > 0
      - alert: WeirPredictionsDrift      # 3: histogram beside the baseline; then which feature
        expr: weir_prediction_psi > weir_prediction_psi_threshold and weir_prediction_psi > 0.1
        for: 15m
      - alert: WeirFeatureDrifts         # 3: the feature named in the label
        expr: weir_feature_psi > weir_feature_psi_threshold and weir_feature_psi > 0.1
        for: 15m
      - alert: WeirContractBroken        # 4, enter: rule, counts, and the records themselves
        expr: weir_contract_holds == 0
        for: 1m
      - alert: WeirFleetSilent           # 2, sorted by state
        expr: weir_edge_nodes_reporting < 0.9 * weir_edge_nodes
        for: 5m
      - alert: WeirCloudBehind           # 2, last line: the outbox keeps what the cloud did not take
        expr: weir_cloud_outbox_aggregates > 12
        for: 15m
      - alert: WeirCloudLost             # aggregates are gone for good
        expr: increase(weir_cloud_dropped_total[1h]) > 0
      - alert: WeirStuck                 # the process answers, but takes no snapshots
        expr: time() - weir_snapshot_timestamp_seconds > 30
` + "```" + `
`
