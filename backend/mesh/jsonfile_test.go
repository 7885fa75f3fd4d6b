package mesh

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// rowsOfJSON is what a JSON document is cut into, and the reason when it could not be read whole.
func rowsOfJSON(t *testing.T, data []byte, small bool) ([]string, error) {
	t.Helper()
	var rows []string
	d := jsonText{r: bytes.NewReader(data), buffer: make([]byte, 64<<10)}
	if small {
		d = jsonText{r: iotest.OneByteReader(bytes.NewReader(data)), buffer: make([]byte, 2)}
	}
	err := d.each(func(row []byte) { rows = append(rows, string(row)) })
	return rows, err
}

// FuzzJSONDocument holds the cutting of documents against encoding/json, and against itself in the smallest steps.
func FuzzJSONDocument(f *testing.F) {
	for _, s := range []string{`[{"a":1},{"b":"]}\""}]`, `{"a":1} {"b":[1,2]}`, `[]`, ` [ ] `, `[1,"x",null,[[]]]`, `[{"a":"\\"}]`, `[,]`, `[1 2]`, `1`, `[{"a":1},]`, `[}`, `{}}`, `"\\\""`, `[1]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := rowsOfJSON(t, data, false)
		again, errAgain := rowsOfJSON(t, data, true)
		if !reflect.DeepEqual(rows, again) || (err == nil) != (errAgain == nil) {
			t.Fatalf("%q: %q %v, byte by byte %q %v", data, rows, err, again, errAgain)
		}
		var want []json.RawMessage
		if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '[' || json.Unmarshal(data, &want) != nil {
			return
		}
		if err != nil || len(rows) != len(want) {
			t.Fatalf("%q: %q, %v", data, rows, err)
		}
		for i, row := range rows {
			if row != strings.TrimSpace(string(want[i])) {
				t.Fatalf("%q: value %d is %q, want %q", data, i, row, want[i])
			}
		}
	})
}
