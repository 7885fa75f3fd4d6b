package check

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"weir/backend/kafka"
	"weir/config"
)

// product writes a file into a registry.
func product(t *testing.T, registry, domain, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(registry, domain), 0o700); err != nil {
		t.Fatal(err)
	}
	if text == "" {
		text = fmt.Sprintf("consumers: []\ndescription: ''\ndomain: %s\nname: %s\nowners: [a@example.com]\nquality_sla:\n  max_null_percentage: 0.05\n  required_columns: [user_id]\n"+
			"refresh_frequency: hourly\nschema_version: 1.0.0\n", domain, name)
	}
	if err := os.WriteFile(filepath.Join(registry, domain, name+".yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const odcs = `apiVersion: v3.0.2
kind: DataContract
id: orders
name: orders
version: 1.0.0
status: active
domain: sales
servers:
  - {server: live, type: kafka, host: "localhost:9092", topic: orders_v2}
schema:
  - name: orders
    properties:
      - {name: id, logicalType: string, required: true}
`

func TestRegistry(t *testing.T) {
	registry := t.TempDir()
	c := &config.Mesh{Registry: registry}
	expect(t, checkRegistry(c), Warning, []string{"holds no product"}, "weir products register")
	product(t, registry, "commerce", "user_events", "")
	product(t, registry, "commerce", "archive", "")
	product(t, registry, "sales", "orders", odcs)
	expect(t, checkRegistry(c), OK, []string{"3 products in 2 domains"}, "")
	for i := range 7 {
		product(t, registry, "commerce", fmt.Sprintf("bad%d", i), "name: [")
	}
	rows := checkRegistry(c)
	expect(t, rows, Failed, []string{"7 files cannot be read"}, "lint")
	if len(rows) != 1+shownProducts+1 || rows[len(rows)-1].Found.String() != "and 2 more files" {
		t.Errorf("%d rows, the last %+v", len(rows), rows[len(rows)-1])
	}
	expect(t, rows[1:], Failed, nil, "correct the file")

	expect(t, checkRegistry(&config.Mesh{Registry: filepath.Join(registry, "none")}), Failed, []string{"is not there"}, "make it")
	file := filepath.Join(registry, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, checkRegistry(&config.Mesh{Registry: file}), Failed, []string{"is a file"}, "mesh.registry")
}

func TestFeeds(t *testing.T) {
	registry := t.TempDir()
	product(t, registry, "commerce", "user_events", "")
	product(t, registry, "commerce", "archive", "")
	address := broker(t, kafka.EmbeddedOptions{Topics: []kafka.EmbeddedTopic{{Name: "user_events"}}})
	c := &config.Config{Kafka: config.Kafka{Brokers: []string{address}}, Mesh: &config.Mesh{Registry: registry}}
	feeds := func() []Row { return []Row{find(Report{Rows: checkKafka(deadline(t), c)}, feedsWhat)} }
	expect(t, feeds(), OK, []string{"1 product judged live, 1 on files only"}, "")
	product(t, registry, "sales", "orders", odcs)
	expect(t, feeds(), Warning, []string{"no topic orders_v2 of sales/orders"}, "create the topic")
	c.Mesh.Registry = filepath.Join(registry, "none")
	if r := feeds()[0]; r.Status != Skipped {
		t.Errorf("got %+v", r)
	}
}
