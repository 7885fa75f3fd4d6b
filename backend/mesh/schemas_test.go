package mesh

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"weir/backend/kafka"
)

// schemaRegistry speaks as much of the schema registry's documented API as producers and consumers use: schemas are
// registered under subjects and asked for by id or by subject and version.
type schemaRegistry struct {
	*httptest.Server
	mu       sync.Mutex
	byID     []string            // bodies; id is index + 1
	versions map[string][]string // bodies by subject
}

func startSchemaRegistry(t *testing.T) *schemaRegistry {
	s := &schemaRegistry{versions: map[string][]string{}}
	problem := func(w http.ResponseWriter, status, code int, message string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error_code":%d,"message":%q}`, code, message)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /subjects/{subject}/versions", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			problem(w, http.StatusUnprocessableEntity, 42201, err.Error())
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		subject := r.PathValue("subject")
		body["subject"], body["version"], body["id"] = subject, len(s.versions[subject])+1, len(s.byID)+1
		text, _ := json.Marshal(body)
		s.byID, s.versions[subject] = append(s.byID, string(text)), append(s.versions[subject], string(text))
		fmt.Fprintf(w, `{"id":%d}`, len(s.byID))
	})
	at := func(w http.ResponseWriter, list []string, text string, code int) {
		var i int
		if _, err := fmt.Sscan(text, &i); err != nil || i < 1 || i > len(list) {
			problem(w, http.StatusNotFound, code, "not found")
			return
		}
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		fmt.Fprint(w, list[i-1])
	}
	mux.HandleFunc("GET /schemas/ids/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		at(w, s.byID, r.PathValue("id"), 40403)
	})
	mux.HandleFunc("GET /subjects/{subject}/versions/{version}", func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		at(w, s.versions[r.PathValue("subject")], r.PathValue("version"), 40402)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// register gives the id of the schema.
func (s *schemaRegistry) register(t *testing.T, subject, kind, schema string, references ...reference) uint32 {
	t.Helper()
	body, err := json.Marshal(map[string]any{"schema": schema, "schemaType": kind, "references": references})
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(s.URL+"/subjects/"+url.PathEscape(subject)+"/versions", "application/vnd.schemaregistry.v1+json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ ID uint32 }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.ID == 0 {
		t.Fatalf("%v: %s", err, response.Status)
	}
	return answer.ID
}

// framedBy is a record as Confluent's serializers write it.
func framedBy(id uint32, data string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, id)) + data
}

func (w *world) withRegistry(address string) {
	w.stop()
	w.engine = New(Config{Registry: w.registry, Window: time.Minute, Cluster: w.engine.config.Cluster, SchemaRegistry: address})
	w.run()
}

func TestProtobufIsJudgedByTheSchemaOfEachRecord(t *testing.T) {
	t.Parallel()
	registry := startSchemaRegistry(t)
	registry.register(t, "shop/place.proto", "PROTOBUF", `syntax = "proto3"; package shop; message Place { string city = 1; Country country = 2; } enum Country { NOWHERE = 0; NORWAY = 47; }`)
	id := registry.register(t, "orders-value", "PROTOBUF", `syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "shop/place.proto";
message Unused {}
message Envelope {
  message Order {
    int64 order_id = 1;
    optional string email = 2;
    google.protobuf.Timestamp placed_at = 3;
    Place place = 4;
  }
}`, reference{Name: "shop/place.proto", Subject: "shop/place.proto", Version: 1})
	lost := registry.register(t, "lost-value", "PROTOBUF", `syntax = "proto3"; import "gone.proto"; message M {}`, reference{Name: "gone.proto", Subject: "gone", Version: 3})
	wrong := registry.register(t, "wrong-value", "PROTOBUF", `syntax = "proto3"; message M { Absent a = 1; }`)

	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "orders", Partitions: 1})
	w.withRegistry(registry.URL)
	w.file("shop/orders.yaml", `apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
- name: orders
  properties:
  - {name: order_id, logicalType: integer, required: true, unique: true, logicalTypeOptions: {minimum: 1}}
  - {name: email, logicalType: string, required: true}
  - {name: placed_at, logicalType: timestamp, required: true}
  - name: place
    logicalType: object
    properties:
    - {name: city, logicalType: string, required: true}
    - {name: country, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [NORWAY, SWEDEN]}, mustBe: 0}]}
`)
	w.until("orders", "had no data", is(NoData))
	field := func(b []byte, n protowire.Number, v string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	number := func(b []byte, n protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	order := func(orderID uint64, email string, country uint64) string {
		b := number([]byte{4, 2, 0}, 1, orderID) // two indexes: 1, 0
		if email != "" {
			b = field(b, 2, email)
		}
		b = field(b, 3, string(number(nil, 1, 1_700_000_000)))
		b = field(b, 4, string(number(field(nil, 1, "Bergen"), 2, country)))
		return framedBy(id, string(field(b, 99, "a field the schema does not know")))
	}
	w.send("orders", 0, order(1<<62, "a@b.no", 47), order(2, "b@b.no", 47))
	p := w.until("orders", "held", func(p Product) bool { return p.State == Holds && p.Rows == 2 })
	if len(p.Issues) != 0 {
		t.Errorf("issues %+v", p.Issues)
	}
	w.send("orders", 0, order(2, "", 3), framedBy(id, "\x04\x02\x00\x0a"), framedBy(id, "\x02\x08"), framedBy(lost, "\x00"), framedBy(wrong, "\x00"), "{}")
	p = w.until("orders", "broke", func(p Product) bool { return p.State == Broken && p.Rows == 4 && p.Undecodable == 4 })
	text := fmt.Sprint(p.Issues)
	for _, want := range []string{"order_id repeated in 1 of", "email null in 2 of", "place.country not a valid value in 1 of", "message shop.Envelope.Order", "message index 4", "no version 3 of gone", "Absent"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestAvroSchemasMayReferToOthers(t *testing.T) {
	t.Parallel()
	registry := startSchemaRegistry(t)
	registry.register(t, "shop.Country", "AVRO", `{"type":"enum","name":"Country","namespace":"shop","symbols":["NORWAY","SWEDEN"]}`)
	registry.register(t, "shop.Place", "AVRO", `{"type":"record","name":"Place","namespace":"shop","fields":[{"name":"country","type":"shop.Country"}]}`,
		reference{Name: "shop.Country", Subject: "shop.Country", Version: 1})
	id := registry.register(t, "user_events-value", "AVRO", `{"type":"record","name":"E","fields":[{"name":"user_id","type":"long"},{"name":"timestamp","type":"string"},{"name":"place","type":["null","shop.Place"]}]}`,
		reference{Name: "shop.Place", Subject: "shop.Place", Version: 1})
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "user_events", Partitions: 1})
	w.withRegistry(registry.URL)
	w.file("commerce/user_events.yaml", userEvents)
	w.until("user_events", "had no data", is(NoData))
	w.send("user_events", 0, framedBy(id, "\x02\x02t\x02\x02"), framedBy(id, "\x04\x02t\x02\x00"))
	p := w.until("user_events", "held", func(p Product) bool { return p.State == Holds && p.Rows == 2 && p.Undecodable == 0 })
	if len(p.Columns) != 3 {
		t.Errorf("columns %v", p.Columns)
	}
	w.send("user_events", 0, framedBy(id, "\x02\x02t\x02\x09"))
	w.until("user_events", "saw a symbol the schema lacks", func(p Product) bool {
		return p.Undecodable == 1 && strings.Contains(fmt.Sprint(p.Issues), "symbol")
	})
}
