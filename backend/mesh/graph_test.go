package mesh

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/backend/kafka"
	"weir/backend/mesh/contract"
)

func drawn(links []Link) string {
	var b strings.Builder
	for _, l := range links {
		fmt.Fprintf(&b, "%s%s %s", strings.Repeat("  ", l.Depth-1), l.Kind, l.Name)
		if !l.Note.IsEmpty() {
			fmt.Fprintf(&b, " (%s)", l.Note)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

var theJob = Job{Name: "pipeline weir", Inputs: []string{"user_events"}, Outputs: []string{"predictions", "user_events.dead_letters"}, Model: "v2.1",
	Features: []string{"user_profile:age", "user_profile:location", "user_behavior:click_rate_24h"}}

func TestLineageOfProducts(t *testing.T) {
	t.Parallel()
	products := []DataProduct{
		{Domain: "commerce", Name: "user_events", Consumers: []string{"ml-team", "growth/churn"}},
		{Domain: "ml", Name: "predictions", Consumers: []string{"crm"}},
		{Domain: "growth", Name: "churn", Upstream: []string{"predictions", "warehouse.customers"}},
		{Domain: "growth", Name: "weekly", Columns: []contract.Column{{Name: "n", Fields: []contract.Column{{Name: "m", Sources: []string{"churn"}}}}}},
		{Domain: "a", Name: "egg", Upstream: []string{"b/hen"}},
		{Domain: "b", Name: "hen", Upstream: []string{"egg"}},
	}
	g := newGraph(products, map[string]string{"commerce/user_events": "user_events", "ml/predictions": "predictions"}, []Job{theJob})
	for _, c := range []struct{ key, up, down string }{
		{"commerce/user_events", "topic user_events", `job pipeline weir
  topic predictions
    product ml/predictions
      product growth/churn
        product growth/weekly
      consumer crm
  topic user_events.dead_letters
consumer ml-team
product growth/churn
  product growth/weekly`},
		{"growth/weekly", `product growth/churn
  product ml/predictions
    topic predictions
      job pipeline weir
        model v2.1
        feature view user_profile (age, location)
        feature view user_behavior (click_rate_24h)
        product commerce/user_events
          topic user_events
  dataset warehouse.customers`, ""},
		{"a/egg", "product b/hen\n  product a/egg", "product b/hen\n  product a/egg"},
	} {
		up, down := drawn(g.upstream(c.key)), drawn(g.downstream(c.key))
		if up != c.up {
			t.Errorf("%s: upstream\n%s\nwant\n%s", c.key, up, c.up)
		}
		if down != c.down {
			t.Errorf("%s: downstream\n%s\nwant\n%s", c.key, down, c.down)
		}
	}
}

func TestLineageIsBounded(t *testing.T) {
	t.Parallel()
	topics, job := map[string]string{}, Job{Name: "j", Outputs: []string{"out"}}
	products := []DataProduct{{Domain: "d", Name: "out"}}
	topics["d/out"] = "out"
	for i := range 500 {
		name := fmt.Sprintf("in%d", i)
		products = append(products, DataProduct{Domain: "d", Name: name, Upstream: []string{"out"}})
		topics["d/"+name] = name
		job.Inputs = append(job.Inputs, name)
	}
	up := newGraph(products, topics, []Job{job}).upstream("d/out")
	if len(up) != maxLinks+1 || up[maxLinks].Kind != LinkMore {
		t.Errorf("%d links, the last a %s", len(up), up[len(up)-1].Kind)
	}
}

func TestTheSnapshotHasLineageAndFindings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1}, kafka.EmbeddedTopic{Name: "predictions", Partitions: 1})
	w.stop()
	w.engine = New(Config{Registry: w.registry, Window: time.Minute, Cluster: w.engine.config.Cluster, Jobs: func() []Job { return []Job{theJob} }})
	w.run()
	w.file("commerce/user_events.yaml", strings.Replace(userEvents, "owners:\n- data@example.com", "owners: []", 1))
	w.file("ml/predictions.yaml", strings.NewReplacer("user_events", "predictions", "commerce", "ml").Replace(userEvents))
	p := w.until("predictions", "knew what feeds it", func(p Product) bool {
		return strings.Contains(drawn(p.Upstream), "product commerce/user_events\n      topic user_events")
	})
	if got := drawn(p.Downstream); got != "consumer ml-team" {
		t.Errorf("downstream %q", got)
	}
	p = w.until("user_events", "knew whom it feeds", func(p Product) bool { return strings.Contains(drawn(p.Downstream), "product ml/predictions") })
	found := false
	for _, f := range p.Findings {
		found = found || f.Policy && f.Severity == "error" && strings.Contains(f.Message.String(), "no owner")
	}
	if !found {
		t.Errorf("findings %+v", p.Findings)
	}
}
