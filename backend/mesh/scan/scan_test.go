package scan

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestObjectTellsFieldsAndKinds(t *testing.T) {
	var j JSON
	fields, err := j.Object([]byte(` {"a":null , "b\u0062":-1.5e3,"c":"x\"y","d":true,"e":false,"f":{"a":[1,{"b":"}"}]},"g":[],"a":"é", "":0} `))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range fields {
		got = append(got, fmt.Sprintf("%s %s %s %v", f.Key, f.Kind, f.Raw, f.Escaped))
	}
	want := []string{
		`a null null false`, `bb number -1.5e3 false`, `c string "x\"y" true`, `d boolean true false`, `e boolean false false`,
		`f object {"a":[1,{"b":"}"}]} false`, `g array [] false`, `a string "é" false`, ` number 0 false`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWhatIsNoObject(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	for _, text := range []string{
		``, ` `, `1`, `"a"`, `null`, `[]`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{a:1}`, `{'a':1}`, `{"a":01}`,
		`{"a":+1}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":-}`, `{"a":NaN}`, `{"a":Infinity}`, `{"a":nul}`, `{"a":"x}`, `{"a":"\x"}`,
		`{"a":"\u12"}`, `{"a":"\u12g4"}`, "{\"a\":\"\n\"}", "{\"a\":\"\xff\"}", "{\"\xff\":1}", `{"a":1}{"b":2}`, `{"a":1}x`, `{"a" 1}`, `{"a":[1,]}`,
		`{"a":[1 2]}`, `{"a":[}`, `{"a":{"b":1}`, deep, "\xef\xbb\xbf{}",
	} {
		var j JSON
		if _, err := j.Object([]byte(text)); !errors.Is(err, ErrSyntax) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[null,true,"x\u0041\ud83d\ude00"],"c":{"d":-0.1e-7}}`, `{"a":"\\","a":2}`, `{"é":"é"}`, ` {"a" : 1} `} {
		f.Add([]byte(`{"a":1}`), []byte(s))
		f.Add([]byte(s), []byte(s))
	}
	f.Add([]byte(`{"a":1,"b" :2,"\u0063":3}`), []byte(`{"a":1,"b":2,"c":3}`))
	f.Add([]byte(`{"a":1,"b":2`), []byte(`{"b":1,"a":2}`))
	f.Fuzz(func(t *testing.T, before, data []byte) {
		var j JSON
		var tags []string
		if spans, err := j.Spans(before); err == nil {
			for i := range spans {
				j.SetTag(i, int32(i))
				tags = append(tags, string(j.Key(&spans[i])))
			}
		}
		spans, _ := j.Spans(data)
		for i := range spans {
			if s := &spans[i]; s.Tag >= 0 && tags[s.Tag] != string(j.Key(s)) {
				t.Fatalf("%q after %q: %q has the tag of %q", data, before, j.Key(s), tags[s.Tag])
			}
		}
		fields, err := j.Object(data)
		var want map[string]json.RawMessage
		strict := json.Valid(data) && validUTF8(data)
		if unmarshalErr := json.Unmarshal(data, &want); unmarshalErr != nil || want == nil {
			strict = false
		}
		if (err == nil) != strict {
			if err != nil && strings.Contains(err.Error(), "512 levels") {
				return
			}
			t.Fatalf("%q: %v, encoding/json takes it: %v", data, err, strict)
		}
		if err != nil {
			return
		}
		got := map[string]string{}
		for _, f := range fields {
			got[string(f.Key)] = string(f.Raw)
			if f.Kind == String {
				var s string
				if err := json.Unmarshal(f.Raw, &s); err != nil || s != string(Unquote(nil, f.Raw)) {
					t.Fatalf("Unquote(%s) is %q, want %q", f.Raw, Unquote(nil, f.Raw), s)
				}
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d fields, want %d", data, len(got), len(want))
		}
		for k, v := range want {
			if got[k] != string(bytes.TrimSpace(v)) {
				t.Fatalf("%q: %s is %s, want %s", data, k, got[k], v)
			}
		}
	})
}

// validUTF8 looks at strings only, as JSON text outside them is ASCII anyway.
func validUTF8(b []byte) bool { return bytes.Equal(bytes.ToValidUTF8(b, []byte("?")), b) }

func rowsOf(data []byte, comma byte) ([][]string, bool, bool) {
	c := NewCSV(comma)
	var rows [][]string
	for len(data) > 0 {
		fields, n, open := c.Row(data, true)
		if n == 0 {
			return rows, open, c.Irregular
		}
		data = data[n:]
		var row []string
		for _, f := range fields {
			row = append(row, string(f.Raw))
		}
		rows = append(rows, row)
	}
	return rows, false, c.Irregular
}

func TestCSVRows(t *testing.T) {
	for _, c := range []struct {
		text      string
		want      [][]string
		irregular bool
	}{
		{"a,b\n1,2\n", [][]string{{"a", "b"}, {"1", "2"}}, false},
		{"a,b\r\n1,\r\n", [][]string{{"a", "b"}, {"1", ""}}, false},
		{"a,b\r1,2", [][]string{{"a", "b"}, {"1", "2"}}, false},
		{"\"a\nb\",\"c,d\"\n", [][]string{{"a\nb", "c,d"}}, false},
		{`"say ""hi""",""` + "\n", [][]string{{`say "hi"`, ""}}, false},
		{`""""` + "\n", [][]string{{`"`}}, false},
		{`"a""` + "\n" + `b"`, [][]string{{"a\"\nb"}}, false},
		{"a\n\nb\n", [][]string{{"a"}, {""}, {"b"}}, false},
		{`5" pipe,x` + "\n", [][]string{{`5" pipe`, "x"}}, true},
		{`"a"b,x` + "\n", [][]string{{"ab", "x"}}, true},
		{`"a"b"c,x` + "\n", [][]string{{`ab"c`, "x"}}, true},
	} {
		got, open, irregular := rowsOf([]byte(c.text), ',')
		if !reflect.DeepEqual(got, c.want) || open || irregular != c.irregular {
			t.Errorf("%q: %q, open %v, irregular %v", c.text, got, open, irregular)
		}
	}
	if _, open, _ := rowsOf([]byte("a\n\"b\n"), ','); !open {
		t.Error("a quote never closed is not told")
	}
}

func TestARowIsNotGivenBeforeItsEndIsSeen(t *testing.T) {
	whole := []byte("a,\"b\"\"\r\nc\",d\r\nx")
	c := NewCSV(',')
	for i := range len(whole) - 1 {
		if _, n, _ := c.Row(whole[:i], false); n != 0 {
			t.Errorf("%q: a row of %d bytes", whole[:i], n)
		}
	}
	if _, n, _ := c.Row(whole, false); n != len(whole)-1 {
		t.Errorf("the row has %d bytes", n)
	}
}

func TestLastRowEnd(t *testing.T) {
	for _, c := range []struct {
		text string
		end  int
		open bool
	}{
		{"", 0, false}, {"a", 0, false}, {"a\n", 2, false}, {"a\nb", 2, false}, {"a\r", 0, false}, {"a\rb", 2, false}, {"a\n\"b\n", 2, true},
		{"a\n\"b\nc\"", 2, false}, {"\"a\n", 0, true}, {"\"a\"\nb", 4, false}, {"\"a\"\"\n\"\nb", 7, false}, {"x\n\"\"\"\n\"\",\n", 2, true},
	} {
		if end, open := LastRowEnd([]byte(c.text)); end != c.end || open != c.open {
			t.Errorf("%q: %d %v, want %d %v", c.text, end, open, c.end, c.open)
		}
	}
}

func TestSniff(t *testing.T) {
	for text, want := range map[string]byte{
		"a,b\n1,2\n": ',', "a;b\n1,5;2\n": ';', "a\tb c\n1\t2\n": '\t', "a|b\n1|2\n": '|', "a\n1\n": ',', "": ',', "a;\"x,y,z\"\n1;2\n": ';',
		"name,note\na,x;y;z\nb,q\n": ',',
	} {
		if got := Sniff([]byte(text), true); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// FuzzCSV holds the scanner against encoding/csv where the text is regular, and the splitting by counted quotes
// against the scanner.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "\"a\nb\",c\r\n", "\"\"\"\",\n", "a\"b,c\n", "\"a\"b\n", "a\rb", "\"", "\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, open, irregular := rowsOf(data, ',')
		if irregular || open {
			return
		}
		if end, stillOpen := LastRowEnd(data); stillOpen {
			t.Fatalf("%q ends inside quotes", data)
		} else if end > 0 {
			head, _, _ := rowsOf(data[:end], ',')
			tail, _, _ := rowsOf(data[end:], ',')
			if both := append(head, tail...); !reflect.DeepEqual(both, got) {
				t.Fatalf("%q cut at %d: %q, whole %q", data, end, both, got)
			}
		}
		if bytes.IndexByte(data, '\r') >= 0 {
			return // encoding/csv changes CRLF inside quotes and does not end rows at CR
		}
		r := csv.NewReader(bytes.NewReader(data))
		r.FieldsPerRecord = -1
		var kept [][]string
		for _, row := range got {
			if len(row) > 1 || row[0] != "" {
				kept = append(kept, row)
			}
		}
		var want [][]string
		for {
			row, err := r.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%q: encoding/csv: %v, weir: %q", data, err, got)
			}
			if len(row) > 1 || row[0] != "" {
				want = append(want, row)
			}
		}
		if !reflect.DeepEqual(kept, want) {
			t.Fatalf("%q: %q, encoding/csv %q", data, kept, want)
		}
	})
}

func BenchmarkObject(b *testing.B) {
	record := []byte(`{"user_id":"u48213","session_id":"s-9f31a2","event_type":"view","timestamp":"2026-11-22T07:00:00.123Z","email":"u48213@example.com","amount":129.5,"currency":"EUR","device":null}`)
	b.Run("weir", func(b *testing.B) {
		var j JSON
		b.SetBytes(int64(len(record)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := j.Object(record); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("weir-spans", func(b *testing.B) {
		var j JSON
		b.SetBytes(int64(len(record)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := j.Spans(record); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(record)))
		b.ReportAllocs()
		for b.Loop() {
			var m map[string]json.RawMessage
			if err := json.Unmarshal(record, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// countSlowly is what CountNulls must find, by Row.
func countSlowly(data []byte, width int) (counts []int64, rows int64) {
	counts = make([]int64, width)
	c := NewCSV(',')
	for len(data) > 0 {
		fields, n, _ := c.Row(data, true)
		data = data[n:]
		if len(fields) == 1 && len(fields[0].Raw) == 0 && n <= 2 {
			continue
		}
		rows++
		for i := range counts {
			if i >= len(fields) || fields[i].Kind == Null {
				counts[i]++
			}
		}
	}
	return counts, rows
}

func FuzzCountNulls(f *testing.F) {
	for _, s := range []string{"1,2,3\n,NA,\n4,5,6\n7,8,9\n", "\"a,\nb\",\"\",\"NA\"\r\n1,,\r\n", "a\n\n,\n1,2,3,4\n", "\"\"\"\",x,\"n/a\"\n", "-1.#QNAN,1.#IND,#N/A N/A\n12345678,123456789,null\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		crlf, ordinary := LineEnds(data)
		if !ordinary {
			return
		}
		n := NewNulls(3, 2)
		length := NewCSV(',').CountNulls(data, crlf, n)
		if _, open, irregular := rowsOf(data[:length], ','); open || irregular {
			t.Fatalf("%q: went past what is irregular, to %d", data, length)
		}
		want, rows := countSlowly(data[:length], 3)
		got := []int64{n.Columns[0].Count, n.Columns[1].Count, n.Columns[2].Count}
		if rows != n.Rows || !reflect.DeepEqual(want, got) {
			t.Fatalf("%q up to %d: %d rows, nulls %v; want %d, %v", data, length, n.Rows, got, rows, want)
		}
	})
}

// benchText is a CSV of six columns: plain, all quoted, or with every other field null.
func benchText(kind string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 256<<10; i++ {
		row := []string{fmt.Sprint(i), fmt.Sprintf("user%d@example.com", i*7919%100_000), "view", fmt.Sprintf("%.2f", float64(i%997)/7), "2026-11-22T07:00:00Z", "plain text"}
		for k := range row {
			switch {
			case kind == "quoted":
				row[k] = `"` + row[k] + `"`
			case kind == "nulls" && (i*31+k*17)%7 < 3:
				row[k] = []string{"", "NA", "null"}[i%3]
			}
		}
		b.WriteString(strings.Join(row, ","))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// BenchmarkCSV finds the nulls of a text, and its fields, beside encoding/csv.
func BenchmarkCSV(b *testing.B) {
	for _, kind := range []string{"plain", "quoted", "nulls"} {
		data := benchText(kind)
		b.Run(kind+"/nulls", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			c, n := NewCSV(','), NewNulls(6, 5)
			for b.Loop() {
				n.Reset()
				if at := c.CountNulls(data, false, n); len(data)-at > 200 {
					b.Fatal(at)
				}
			}
		})
		b.Run(kind+"/fields", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			c := NewCSV(',')
			for b.Loop() {
				for at := 0; at < len(data); {
					_, n, _ := c.Row(data[at:], true)
					at += n
				}
			}
		})
		b.Run(kind+"/encoding-csv", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				r := csv.NewReader(bytes.NewReader(data))
				r.ReuseRecord = true
				for {
					if _, err := r.Read(); err != nil {
						break
					}
				}
			}
		})
	}
}

func TestDecimalsAreWrittenExactly(t *testing.T) {
	for _, c := range []struct {
		unscaled []byte
		scale    int
		want     string
	}{
		{[]byte{0xff, 0x83}, 2, "-1.25"}, {[]byte{5}, 2, "0.05"}, {[]byte{0xfb}, 1, "-0.5"}, {[]byte{100}, 2, "1"}, {[]byte{100}, 1, "10"}, {nil, 2, "0"}, {[]byte{0}, 3, "0"},
		{[]byte{7}, -3, "7e3"}, {[]byte{7}, 1 << 30, "7e-1073741824"},
		{[]byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, "9223372036854775807"}, {[]byte{0x80, 0, 0, 0, 0, 0, 0, 0}, 0, "-9223372036854775808"},
		{[]byte{1, 0, 0, 0, 0, 0, 0, 0, 1}, 19, "1.8446744073709551617"}, {[]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 0}, 0, "-18446744073709551616"},
		{bytes.Repeat([]byte{0x7f}, 1000), 0, "1e9999"}, {bytes.Repeat([]byte{0x80}, 1000), 0, "-1e9999"},
	} {
		got := AppendDecimal(nil, c.unscaled, c.scale)
		if string(got) != c.want || !json.Valid(got) {
			t.Errorf("% x over 10^%d: %s, want %s", c.unscaled, c.scale, got, c.want)
		}
	}
}
