package mesh

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"weir/backend/kafka"
	"weir/backend/mesh/contract"
)

const shop = `apiVersion: v3.1.0
kind: DataContract
id: shop
version: 1.0.0
status: active
team: [{username: ada, role: owner}]
servers: [{server: k, type: kafka, host: h}]
schema:
- name: orders
  physicalName: orders_v1
  properties: [{name: id, logicalType: integer, required: true}, {name: at, logicalType: timestamp}]
- name: Customers
  properties: [{name: id, logicalType: string, required: true}, {name: at, logicalType: timestamp}]
  quality: [{metric: rowCount, mustBeGreaterThan: 1}]
slaProperties:
- {property: latency, value: 1, unit: h, element: orders.at}
`

func TestEachSchemaObjectIsAProduct(t *testing.T) {
	t.Parallel()
	p := parseAs(t, shop, "commerce", "shop")
	if len(p.Objects) != 2 || len(p.Rules) != 0 || len(p.Columns) != 0 {
		t.Fatalf("%d objects, %d rules, %d columns", len(p.Objects), len(p.Rules), len(p.Columns))
	}
	orders, customers := p.Objects[0], p.Objects[1]
	if orders.Key() != "commerce/shop.orders" || orders.Topic != "orders_v1" || customers.Key() != "commerce/shop.customers" || customers.Topic != "Customers" {
		t.Errorf("%s on %s, %s on %s", orders.Key(), orders.Topic, customers.Key(), customers.Topic)
	}
	has := func(p DataProduct, name string) (n int) {
		for _, r := range p.Rules {
			if r.Name == name {
				n++
			}
		}
		return n
	}
	if has(orders, "latency") != 1 || has(customers, "latency") != 0 || has(orders, "rowCount") != 0 || has(customers, "rowCount") != 1 || has(orders, "required") != 1 {
		t.Errorf("orders %v, customers %v", orders.Rules, customers.Rules)
	}
	for _, f := range contract.Lint(p) {
		if f.Severity == contract.Fatal {
			t.Errorf("lint: %+v", f)
		}
	}
	var b bytes.Buffer
	if err := WriteShow(&b, p); err != nil || !strings.Contains(b.String(), "commerce/shop.customers\n") || !strings.Contains(b.String(), "rowCount > 1") {
		t.Errorf("%v %s", err, b.String())
	}
	next := parseAs(t, strings.Replace(strings.Replace(shop, "- name: Customers", "- name: Payments", 1), "logicalType: integer", "logicalType: string", 1), "commerce", "shop")
	b.Reset()
	if code, err := WriteDiff(&b, []DataProduct{p, next}, "BACKWARD", false); err != nil || code == 0 {
		t.Errorf("%d %v", code, err)
	}
	for _, want := range []string{"orders_v1.id", "schema object Customers: removed", "schema object Payments: new"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %s", want, b.String())
		}
	}
	if _, err := ValidateFiles(context.Background(), p, []string{"x.csv"}, FileOptions{}); err == nil || !strings.Contains(err.Error(), "commerce/shop.orders, commerce/shop.customers") {
		t.Error(err)
	}
	if _, err := contract.Parse([]byte(strings.Replace(shop, "- name: Customers", "- name: ORDERS", 1)), "commerce", "shop"); err == nil || !strings.Contains(err.Error(), "taken") {
		t.Error(err)
	}
	if _, err := contract.Parse([]byte(strings.Replace(shop, "logicalType: string", "logicalType: text", 1)), "commerce", "shop"); err == nil || strings.Count(err.Error(), "logicalType") != 1 {
		t.Error(err)
	}
}

func parseAs(t *testing.T, text, domain, name string) DataProduct {
	t.Helper()
	p, err := contract.Parse([]byte(text), domain, name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestARegistryFindsTheObjectsOfAContract(t *testing.T) {
	t.Parallel()
	r, err := OpenRegistry(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Register(parseAs(t, shop, "commerce", "shop"), RegisterOptions{By: "test"}); err != nil {
		t.Fatal(err)
	}
	all, err := r.List("commerce")
	if err != nil || len(all) != 2 || all[0].Name != "shop.customers" || all[1].Name != "shop.orders" {
		t.Errorf("%v %v", err, all)
	}
	for ref, want := range map[string]string{"commerce/shop": "commerce/shop", "shop": "commerce/shop", "commerce/shop.orders": "commerce/shop.orders", "shop.customers": "commerce/shop.customers"} {
		if p, err := Find(r, ref); err != nil || p.Key() != want {
			t.Errorf("%s: %v, %s", ref, err, p.Key())
		}
	}
	if _, err := r.Get("commerce", "shop.nothing"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestTheObjectsOfAContractAreJudgedEachOnItsTopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "orders_v1", Partitions: 1}, kafka.EmbeddedTopic{Name: "Customers", Partitions: 1})
	w.file("commerce/shop.yaml", shop)
	w.send("orders_v1", 0, `{"id":1,"at":"2026-11-22T07:00:00Z"}`)
	w.send("Customers", 0, `{"id":null,"at":null}`)
	p := w.until("shop.customers", "broke", func(p Product) bool { return p.State == Broken && p.Rows == 1 })
	if p.Feed.String() != "Customers" || len(p.Issues) != 2 {
		t.Errorf("feed %s, issues %+v", p.Feed, p.Issues)
	}
	w.send("Customers", 0, many(3, func(int) string { return `{"id":"c"}` })...)
	w.until("shop.orders", "was judged", func(p Product) bool { return p.Rows == 1 && p.Feed.String() == "orders_v1" })
}
