package mesh

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/encoding/protowire"

	"weir/backend/kafka"
)

// TestTimesInsideParquetNeedNoFormat, for it is the texts' one; and the texts beside them do.
func TestTimesInsideParquetNeedNoFormat(t *testing.T) {
	t.Parallel()
	type line struct {
		At   time.Time `parquet:"at,timestamp"`
		Text string    `parquet:"text"`
	}
	type row struct {
		Order struct {
			At    time.Time            `parquet:"at,timestamp"`
			Lines []line               `parquet:"lines,list"`
			Seen  map[string]time.Time `parquet:"seen" parquet-value:",timestamp"`
			Plain []line               `parquet:"plain"`
		} `parquet:"order"`
	}
	var r row
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	r.Order.At, r.Order.Lines, r.Order.Seen = at, []line{{at, "01.01.2026"}, {at, "2026-01-01"}}, map[string]time.Time{"a": at}
	r.Order.Plain = r.Order.Lines
	var file bytes.Buffer
	if err := parquet.Write(&file, []row{r}); err != nil {
		t.Fatal(err)
	}
	const time, lines = "logicalType: timestamp, logicalTypeOptions: {format: dd.MM.yyyy, minimum: '2026-01-01T12:30:00Z'}", "logicalType: array, items: {logicalType: object, properties: [{name: at, LIMITED}, {name: text, FORMATTED}]}"
	properties := strings.NewReplacer("LIMITED", time, "FORMATTED", "logicalType: date, logicalTypeOptions: {format: dd.MM.yyyy}").Replace(
		"{name: order, logicalType: object, properties: [{name: at, LIMITED}, {name: lines, " + lines + "}, {name: plain, " + lines + "}, {name: seen, logicalType: map, map: {key: {logicalType: string}, value: {LIMITED}}}]}")
	var got []string
	text := write(t, "a.jsonl", []byte(`{"order":{"at":"2026-01-01"}}`+"\n"))
	for _, i := range validate(t, odcs(t, properties), FileOptions{}, write(t, "a.parquet", file.Bytes()), text).Issues {
		got = append(got, fmt.Sprintf("%s %s %d", i.Rule.Name, i.Column, i.Failed))
	}
	want := "logicalType order.at 1; logicalType order.lines[].text 1; logicalType order.plain[].text 1; minimum order.at 1; minimum order.lines[].at 1; minimum order.plain[].at 1; minimum order.seen[] 1"
	for _, rule := range strings.Split(want, "; ") {
		if !strings.Contains(strings.Join(got, "; "), rule) {
			t.Errorf("no %q", rule)
		}
	}
	if len(got) != strings.Count(want, ";")+1 {
		t.Errorf("got %q", got)
	}
}

// TestTimesOfAvroAndProtobufNeedNoFormat, record by record, while the texts of others do.
func TestTimesOfAvroAndProtobufNeedNoFormat(t *testing.T) {
	t.Parallel()
	registry := startSchemaRegistry(t)
	typed := registry.register(t, "typed", "AVRO", `{"type":"record","name":"E","fields":[{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
		{"name":"days","type":{"type":"array","items":["null",{"type":"int","logicalType":"date"}]}}]}`)
	texts := registry.register(t, "texts", "AVRO", `{"type":"record","name":"E","fields":[{"name":"at","type":["null","string"]},{"name":"days","type":{"type":"array","items":"string"}}]}`)
	message := registry.register(t, "message", "PROTOBUF", `syntax = "proto3"; import "google/protobuf/timestamp.proto"; message E { google.protobuf.Timestamp at = 1; repeated google.protobuf.Timestamp days = 2; }`)
	w := newWorld(t, time.Minute, kafka.EmbeddedTopic{Name: "events", Partitions: 1})
	w.withRegistry(registry.URL)
	w.file("shop/events.yaml", `apiVersion: v3.1.0
kind: DataContract
id: events
version: 1.0.0
status: active
schema:
- name: events
  properties:
  - {name: at, logicalType: timestamp, logicalTypeOptions: {format: dd.MM.yyyy, exclusiveMaximum: '2026-01-02'}}
  - {name: days, logicalType: array, items: {logicalType: timestamp, logicalTypeOptions: {format: dd.MM.yyyy}}}
`)
	w.until("events", "had no data", is(NoData))
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	avroTime := string(binary.AppendVarint(nil, at.UnixMilli())) + "\x02\x02" + string(binary.AppendVarint(nil, at.Unix()/86400)) + "\x00"
	avroText := func(s string) string {
		size := string(binary.AppendVarint(nil, int64(len(s))))
		return "\x02" + size + s + "\x02" + size + s + "\x00"
	}
	moment := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(at.Unix()))
	var proto []byte
	for field := range 2 {
		proto = protowire.AppendBytes(protowire.AppendTag(proto, protowire.Number(field+1), protowire.BytesType), moment)
	}
	w.send("events", 0, framedBy(typed, avroTime), framedBy(texts, avroText("01.01.2026")), framedBy(message, "\x00"+string(proto)), `{"at":"01.01.2026","days":["01.01.2026"]}`)
	if p := w.until("events", "was judged", func(p Product) bool { return p.Rows == 4 }); p.State != Holds || p.Undecodable > 0 {
		t.Errorf("%s, %+v", p.State, p.Issues)
	}
	w.send("events", 0, framedBy(typed, avroTime), framedBy(texts, avroText("2026-01-01")), `{"at":"2026-01-01","days":["2026-01-01"]}`)
	p := w.until("events", "broke", func(p Product) bool { return p.Rows == 7 && p.State == Broken })
	if text := fmt.Sprint(p.Issues); !strings.Contains(text, "at not of type timestamp in 2 of") || !strings.Contains(text, "days[] not of type timestamp in 2 of") {
		t.Error(text)
	}
	_, faults := w.engine.JudgeRecord(t.Context(), "events", []byte(framedBy(typed, avroTime)), at)
	if len(faults) > 0 {
		t.Errorf("of one record: %+v", faults)
	}
}
