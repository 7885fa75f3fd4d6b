package protobuf

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

const schema3 = `syntax = "proto3";
package shop;
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "confluent/type/decimal.proto";
import "shop/money.proto";
message Other {
  message Inner { string name = 1; }
  message Second { message Third { int32 n = 1; } }
}
message Event {
  enum Kind { VIEW = 0; CLICK = 1; }
  int64 id = 1;
  optional string user = 2;
  Kind kind = 3;
  google.protobuf.Timestamp at = 4;
  repeated string tags = 5;
  map<string, double> more = 6;
  bytes hash = 7;
  oneof choice { bool ok = 8; float f = 9; }
  Other.Inner inner = 10;
  google.protobuf.Duration took = 11;
  google.protobuf.StringValue note = 12;
  google.protobuf.Struct free = 13;
  google.protobuf.Any any = 14;
  google.protobuf.FieldMask mask = 15;
  confluent.type.Decimal price = 16;
  Money money = 17;
  repeated Event children = 18;
  uint64 big = 19;
  google.protobuf.NullValue nothing = 20;
  repeated sint32 numbers = 21;
  map<int32, Other.Inner> by_number = 22;
}`

const money = `syntax = "proto3"; package shop; message Money { string currency = 1; int64 units = 2; }`

const schema2 = `syntax = "proto2";
message M {
  required int32 id = 1;
  optional string name = 2 [default = "nobody"];
  optional group Pair = 3 { optional int32 left = 1; }
  extensions 100 to 199;
}
extend M { optional int32 extra = 100; }`

func compile(t testing.TB, text string, imports map[string]string) *Schema {
	t.Helper()
	s, err := Compile(context.Background(), text, imports)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wire helps to write messages by hand, from the specification of the encoding.
type wire []byte

func (w wire) varint(field int, v uint64) wire {
	return protowire.AppendVarint(protowire.AppendTag(w, protowire.Number(field), protowire.VarintType), v)
}

func (w wire) bytes(field int, v string) wire {
	return protowire.AppendString(protowire.AppendTag(w, protowire.Number(field), protowire.BytesType), v)
}

func (w wire) float(field int, v float32) wire {
	return protowire.AppendFixed32(protowire.AppendTag(w, protowire.Number(field), protowire.Fixed32Type), math.Float32bits(v))
}

func (w wire) double(field int, v float64) wire {
	return protowire.AppendFixed64(protowire.AppendTag(w, protowire.Number(field), protowire.Fixed64Type), math.Float64bits(v))
}

var event = wire{}.varint(1, 1<<63-1).bytes(2, "a\"b\n").varint(3, 1).
	bytes(4, string(wire{}.varint(1, 1805000000).varint(2, 5e8))).bytes(5, "x").bytes(5, "y").
	bytes(6, string(wire{}.bytes(1, "z").double(2, 1.5))).bytes(6, string(wire{}.bytes(1, "k").double(2, math.NaN()))).bytes(7, "\x01\xff").
	float(9, 0.5).bytes(10, string(wire{}.bytes(1, "deep"))).bytes(11, string(wire{}.varint(1, math.MaxUint64).varint(2, uint64(1<<64-5e8)))).
	bytes(12, string(wire{}.bytes(1, "n"))).
	bytes(13, string(wire{}.bytes(1, string(wire{}.bytes(1, "q").bytes(2, string(wire{}.varint(4, 1))))))).
	bytes(14, string(wire{}.bytes(1, "type.googleapis.com/shop.Other.Inner").bytes(2, string(wire{}.bytes(1, "in any"))))).
	bytes(15, string(wire{}.bytes(1, "a_b").bytes(1, "c"))).bytes(16, string(wire{}.bytes(1, "\xff\x83").varint(3, 2))).
	bytes(17, string(wire{}.bytes(1, "EUR").varint(2, 7))).bytes(18, string(wire{}.varint(1, 2))).varint(19, math.MaxUint64).
	bytes(21, "\x01\x02").bytes(22, string(wire{}.varint(1, 7).bytes(2, string(wire{}.bytes(1, "seven"))))).
	bytes(4000, "a field the schema does not know").varint(4001, 3)

func TestARecordBecomesJSON(t *testing.T) {
	s := compile(t, schema3, map[string]string{"shop/money.proto": money})
	got, _, err := s.AppendJSON(nil, append([]byte{2, 2}, event...)) // one index: 1
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"id":9223372036854775807`, `"user":"a\"b\u000a"`, `"kind":"CLICK"`, `"at":"2027-03-14T04:53:20.5Z"`, `"tags":["x","y"]`,
		`"more":{"k":null,"z":1.5}`, `"hash":"Af8="`, `"ok":null,"f":0.5`, `"inner":{"name":"deep"}`, `"took":"-1.5s"`, `"note":"n"`,
		`"free":{"q":true}`, `"any":{"@type":"type.googleapis.com/shop.Other.Inner","name":"in any"}`, `"mask":"a_b,c"`, `"price":-1.25`,
		`"money":{"currency":"EUR","units":7}`, `"children":[{"id":2,"user":null,"kind":"VIEW","at":null,"tags":[],"more":{},"hash":""`,
		`"big":18446744073709551615`, `"nothing":null`, `"numbers":[-1,1]`, `"by_number":{"7":{"name":"seven"}}`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if !json.Valid(got) {
		t.Errorf("no JSON: %s", got)
	}
}

func TestMessagesAreFoundByTheirIndexes(t *testing.T) {
	s := compile(t, schema3, map[string]string{"shop/money.proto": money})
	for _, c := range []struct{ data, want string }{
		{"\x00", `{}`},                     // the short form of the first message
		{"\x02\x00", `{}`},                 // its long form
		{"\x04\x00\x00", `{"name":""}`},    // Other.Inner
		{"\x06\x00\x02\x00", `{"n":0}`},    // Other.Second.Third
		{"\x00\x78\x01", `{}`},             // with a field it does not know
		{"\x02\x04", "message index 2"},    // there are two
		{"\x06\x00\x02\x02", "index 1"},    //
		{"\x02", "cut short"},              //
		{"", "how many indexes"},           //
		{"\x01", "how many indexes"},       // -1
		{"\x80", "how many indexes"},       //
		{"\xfe\x01", "how many indexes"},   // 127
		{"\x00\x0a", "message shop.Other"}, // a tag without its length
	} {
		got, _, err := s.AppendJSON([]byte("before"), []byte(c.data))
		if err != nil {
			if !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrData) {
				t.Errorf("%q: %v", c.data, err)
			}
		} else if string(got) != "before"+c.want {
			t.Errorf("%q: %s", c.data, got)
		}
	}
}

func TestProto2(t *testing.T) {
	s := compile(t, schema2, nil)
	for _, c := range []struct {
		data wire
		want string
	}{
		{wire{0}.varint(1, 5), `{"id":5,"name":null,"pair":null}`},
		{append(wire{0}.varint(1, 5).bytes(2, "x"), 0x1b, 0x08, 0x07, 0x1c), `{"id":5,"name":"x","pair":{"left":7}}`},
		{wire{0}.varint(1, 5).varint(100, 1), `{"id":5,"name":null,"pair":null}`}, // an extension is no field of the message's
		{wire{0}.bytes(2, "x"), "required field"},
		{wire{0}.varint(1, 5).bytes(2, "\xff"), ""}, // proto2 does not check UTF-8; whoever reads the JSON does
	} {
		got, _, err := s.AppendJSON(nil, c.data)
		if err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) || err == nil && c.want != "" && string(got) != c.want {
			t.Errorf("%x: %s %v; want %s", []byte(c.data), got, err, c.want)
		}
	}
}

func TestSchemasThatAreNone(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`syntax = "proto3"; import "absent.proto"; message M {}`, "absent.proto"},
		{`syntax = "proto3"; message M { Unknown u = 1; }`, "Unknown"},
		{`{"type":"record"}`, "syntax error"},
		{strings.Repeat(" ", MaxSchema+1), "at most"},
	} {
		if _, err := Compile(context.Background(), c.text, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v", c.text, err)
		}
	}
	if _, _, err := compile(t, `syntax = "proto3";`, nil).AppendJSON(nil, []byte{0}); err == nil || !strings.Contains(err.Error(), "there are 0 messages") {
		t.Error(err)
	}
	// Somebody's own message under a well-known name is no reason to panic.
	s := compile(t, `syntax = "proto3"; package confluent.type; message Decimal { string value = 1; }`, nil)
	if _, _, err := s.AppendJSON(nil, []byte{0}); err == nil || !strings.Contains(err.Error(), "not the well-known") {
		t.Error(err)
	}
}

// agree tells whether weir's JSON and protojson's are the same values, where protojson writes numbers of 64 bits, NaN
// and infinities as texts.
func agree(ours, theirs any) bool {
	switch o := ours.(type) {
	case map[string]any:
		t, ok := theirs.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range o {
			if other, ok := t[k]; ok && !agree(v, other) || !ok && v != nil {
				return false
			}
		}
		return true
	case []any:
		t, ok := theirs.([]any)
		if !ok || len(o) != len(t) {
			return false
		}
		for i := range o {
			if !agree(o[i], t[i]) {
				return false
			}
		}
		return true
	case json.Number:
		switch t := theirs.(type) {
		case string:
			return t == o.String()
		case json.Number:
			a, _ := o.Float64()
			b, _ := t.Float64()
			return a == b
		}
		return false
	case string: // protojson writes times and durations with 3, 6 or 9 digits
		t, ok := theirs.(string)
		if !ok || o == t {
			return ok
		}
		at, err := time.Parse(time.RFC3339Nano, o)
		other, otherErr := time.Parse(time.RFC3339Nano, t)
		if err == nil && otherErr == nil {
			return at.Equal(other)
		}
		trim := func(s string) string { return strings.TrimRight(strings.TrimSuffix(s, "s"), "0") }
		return strings.HasSuffix(o, "s") && strings.HasSuffix(t, "s") && strings.Contains(t, ".") && trim(o) == trim(t)
	case nil:
		return theirs == nil || theirs == "NaN" || theirs == "Infinity" || theirs == "-Infinity"
	}
	return reflect.DeepEqual(ours, theirs)
}

func decoded(t *testing.T, data []byte) any {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("no JSON: %v in %q", err, data)
	}
	return v
}

// comparable without what differs on purpose: a Decimal is a number here, a FieldMask has its own names.
const schemaFuzz = `syntax = "proto3";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message E {
  enum Kind { A = 0; B = 1; }
  int64 a = 1; optional string b = 2; Kind c = 3; google.protobuf.Timestamp d = 4; repeated string e = 5;
  map<string, double> f = 6; bytes g = 7; oneof x { bool h = 8; float i = 9; } E j = 10; google.protobuf.Duration k = 11;
  google.protobuf.Int64Value l = 12; google.protobuf.Struct m = 13; uint64 n = 14; repeated sint32 o = 15; map<int32, E> p = 16;
}`

// FuzzAppendJSON holds that no bytes make the decoder panic, that what it writes is JSON, and that it agrees with the
// protobuf module's own JSON wherever that has one.
func FuzzAppendJSON(f *testing.F) {
	s := compile(f, schemaFuzz, nil)
	f.Add([]byte(event))
	f.Add([]byte(wire{}.varint(1, 5).bytes(10, string(wire{}.bytes(2, "x").varint(8, 1)))))
	f.Add([]byte(wire{}.bytes(4, string(wire{}.varint(1, 1<<62)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _, err := s.AppendJSON(nil, append([]byte{0}, data...))
		m := dynamicpb.NewMessage(s.file.Messages().Get(0))
		if unmarshal(proto.UnmarshalOptions{}, data, m) != nil {
			if err == nil {
				t.Fatalf("decoded what cannot be: %s", got)
			}
			return
		}
		want, wantErr := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
		if err != nil || wantErr != nil {
			return // of times out of range, NaN in a Struct and depth they may differ
		}
		if !agree(decoded(t, got), decoded(t, want)) {
			t.Fatalf("weir writes %s, protojson %s", got, want)
		}
	})
}

func FuzzCompile(f *testing.F) {
	f.Add(schema2)
	f.Add(schemaFuzz)
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Compile(context.Background(), text, nil); err == nil {
			_, _, _ = s.AppendJSON(nil, []byte{0, 8, 1})
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	s := compile(b, `syntax = "proto3"; message E { string user_id = 1; string timestamp = 2; string email = 3; double amount = 4; int64 n = 5; }`, nil)
	data := append([]byte{0}, wire{}.bytes(1, "user-000123").bytes(2, "2026-11-22T07:00:00.000Z").bytes(3, "u@example.com").double(4, 12.5).varint(5, 77)...)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if out, _, err = s.AppendJSON(out[:0], data); err != nil {
			b.Fatal(err)
		}
	}
}
