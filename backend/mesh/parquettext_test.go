package mesh

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// TestTextsOfParquetThatAreNotUTF8 make a row that is none, as those of CSV do, be they in pages or in a dictionary, and
// whether only nulls are asked for or more. Bytes without the type of a text may be any.
func TestTextsOfParquetThatAreNotUTF8(t *testing.T) {
	t.Parallel()
	type inner struct {
		City string `parquet:"city"`
	}
	type row struct {
		ID    int64  `parquet:"id"`
		Plain string `parquet:"plain,optional"`
		Few   string `parquet:"few,dict"`
		Bytes []byte `parquet:"bytes"`
		Place inner  `parquet:"place"`
	}
	rows := make([]row, 1000)
	for i := range rows {
		rows[i] = row{int64(i), strings.Repeat("Tromsø ", i%40), []string{"rød", "blå"}[i%2], []byte{0xff, 0xfe}, inner{"Ås"}}
	}
	rows[10].Plain, rows[700].Few, rows[900].Place.City = "Troms\xf8", "bl\xe5", "\xc5s"
	var file bytes.Buffer
	if err := parquet.Write(&file, rows, parquet.MaxRowsPerRowGroup(500)); err != nil {
		t.Fatal(err)
	}
	path := write(t, "a.parquet", file.Bytes())
	nulls := parse(t, "domain: d\nname: n\nschema_version: '1'\ndescription: x\nowners: [a]\nconsumers: [b]\nrefresh_frequency: daily\nquality_sla: {max_null_percentage: 0.05, required_columns: [id]}\n")
	for name, c := range map[string]struct {
		product DataProduct
		rows    string
	}{
		"nulls only": {nulls, "11 701"},
		"types":      {odcs(t, "{name: id, logicalType: integer}, {name: plain, logicalType: string}, {name: few, logicalType: string}, {name: bytes}, {name: place, logicalType: object, properties: [{name: city, logicalType: string}]}"), "11 701 901"},
	} {
		r := validate(t, c.product, FileOptions{}, path)
		want := int64(strings.Count(c.rows, " ") + 1)
		if r.ExitCode() != ExitUnknown || r.Undecodable != want || r.Rows != 1000-want {
			t.Errorf("%s: exit code %d, %d rows, %d undecodable", name, r.ExitCode(), r.Rows, r.Undecodable)
		}
		text := fmt.Sprintf("%+v", r.Issues)
		for _, want := range []string{"column plain is not UTF-8 at byte 5 of its text (0xf8)", "Offset:11 "} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in %s", name, want, text)
			}
		}
	}
}
