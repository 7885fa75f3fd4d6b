package avro

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

const schema = `{"type":"record","name":"Event","namespace":"shop","fields":[
 {"name":"id","type":"long"},{"name":"user","type":["null","string"],"default":null},
 {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["view","click"]}},
 {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
 {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"day","type":{"type":"int","logicalType":"date"}},
 {"name":"tags","type":{"type":"array","items":"string"}},{"name":"more","type":{"type":"map","values":"double"}},
 {"name":"hash","type":{"type":"fixed","name":"H","size":2}},{"name":"ok","type":"boolean"},{"name":"f","type":"float"},
 {"name":"next","type":["null","Event"]},{"name":"again","type":"shop.Kind"}]}`

// event was written by hand from the specification.
var event = []byte{
	0x54,                      // id 42
	0x02, 0x06, 'a', '"', 'b', // user: branch 1, three bytes
	0x02,             // kind click
	0x04, 0xff, 0x83, // amount -125 / 100
	0x80, 0xd0, 0xac, 0xf3, 0x82, 0x69, // at 1805000000000 / …
	0x02,                                    // day 1970-01-02
	0x03, 0x08, 0x02, 'x', 0x02, '\n', 0x00, // tags: a block of two with its size, then the end
	0x02, 0x02, 'k', 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x00, // more: k 1.5
	0x01, 0xff, // hash
	0x01,             // ok
	0, 0, 0xc0, 0x7f, // f NaN
	0x00, // next null
	0x00, // again view
}

func TestARecordBecomesJSON(t *testing.T) {
	s, err := Parse([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.AppendJSON(nil, event)
	if err != nil {
		t.Fatalf("%v after %s", err, got)
	}
	var v map[string]any
	if err := json.Unmarshal(got, &v); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	at, _ := v["at"].(string)
	if !strings.HasPrefix(at, "20") || !strings.HasSuffix(at, "Z") {
		t.Errorf("at %q", at)
	}
	delete(v, "at")
	again, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"again":"view","amount":-1.25,"day":"1970-01-02","f":null,"hash":"Af8=","id":42,"kind":"click","more":{"k":1.5},"next":null,"ok":true,"tags":["x","\n"],"user":"a\"b"}`
	if string(again) != want {
		t.Errorf("got  %s\nwant %s", again, want)
	}
}

func TestDataThatDoNotFollowTheSchema(t *testing.T) {
	s, err := Parse([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(event) {
		if _, err := s.AppendJSON(nil, event[:n]); !errors.Is(err, ErrData) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	if _, err := s.AppendJSON(nil, append(append([]byte{}, event...), 0)); !errors.Is(err, ErrData) {
		t.Errorf("bytes behind: %v", err)
	}
	bomb, err := Parse([]byte(`{"type":"array","items":"null"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bomb.AppendJSON(nil, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 0}); !errors.Is(err, ErrData) {
		t.Errorf("a thousand million nulls: %v", err)
	}
}

func TestSchemasThatAreNone(t *testing.T) {
	for _, text := range []string{``, `{}`, `"what"`, `{"type":"record","name":"A","fields":[{"type":"int"}]}`, `{"type":"array"}`, `7`, `{"type":"fixed","name":"F","size":-1}`,
		strings.Repeat(`{"type":"array","items":`, 100) + `"int"` + strings.Repeat(`}`, 100)} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%.60s is a schema", text)
		}
	}
}

func FuzzAppendJSON(f *testing.F) {
	f.Add([]byte(schema), event)
	f.Add([]byte(`["null",{"type":"map","values":"bytes"}]`), []byte{2, 2, 2, 'k', 2, 'v', 0})
	f.Fuzz(func(t *testing.T, schema, data []byte) {
		s, err := Parse(schema)
		if err != nil {
			return
		}
		out, err := s.AppendJSON(nil, data)
		if err == nil && !json.Valid(out) {
			t.Fatalf("%q is no JSON", out)
		}
		if len(out) > 2*MaxJSON {
			t.Fatalf("%d bytes", len(out))
		}
	})
}

// TestLocalTimesSayNoZone: they are what a clock showed somewhere.
func TestLocalTimesSayNoZone(t *testing.T) {
	for logical, want := range map[string]string{"timestamp-millis": `"2027-03-15T03:22:37.952Z"`, "local-timestamp-millis": `"2027-03-15T03:22:37.952"`, "local-timestamp-micros": `"1970-01-21T21:24:40.957952"`} {
		s, err := Parse([]byte(`{"type":"record","name":"E","fields":[{"name":"at","type":{"type":"long","logicalType":"` + logical + `"}}]}`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.AppendJSON(nil, []byte{0x80, 0xd0, 0xac, 0xf3, 0x88, 0x69})
		if err != nil || string(got) != `{"at":`+want+`}` {
			t.Errorf("%s: %s %v", logical, got, err)
		}
	}
}
