package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"weir/backend/mesh/judge"
	"weir/backend/mesh/scan"
)

// observed is every value of a file as Go's JSON decoder sees it, by column.
func observed(t *testing.T, path string) map[string][]any {
	t.Helper()
	values := map[string][]any{}
	o := FileOptions{observe: func(column string, cell judge.Cell) {
		var v any
		if cell.Kind > scan.Null {
			if err := json.Unmarshal(cell.Raw, &v); err != nil {
				t.Fatalf("%s, %s: %v in %s", path, column, err, cell.Raw)
			}
		}
		values[column] = append(values[column], v)
	}}
	if r := validate(t, DataProduct{}, o, path); !r.Whole() {
		t.Fatalf("%s: %+v", path, r.Files)
	}
	return values
}

// TestNestedParquetIsWhatItsRowsAre reads structs, lists, maps and all of them inside one another, of two writers.
func TestNestedParquetIsWhatItsRowsAre(t *testing.T) {
	t.Parallel()
	want := observed(t, "testdata/nested/rows.jsonl")
	for _, file := range []string{"rows", "old"} {
		got := observed(t, "testdata/nested/"+file+".parquet")
		for column, values := range want {
			for i, v := range values {
				if !reflect.DeepEqual(got[column][i], v) {
					t.Fatalf("%s.parquet, row %d, %s: %v, want %v", file, i+1, column, got[column][i], v)
				}
			}
		}
		if len(got) != len(want) || len(got["id"]) != 400 {
			t.Errorf("%s.parquet: %d columns, %d rows", file, len(got), len(got["id"]))
		}
	}
}

// TestNestedRulesOfParquetFindWhatThoseOfJSONFind: one contract, the same rows in both formats.
func TestNestedRulesOfParquetFindWhatThoseOfJSONFind(t *testing.T) {
	t.Parallel()
	p := odcs(t, `
    {name: id, logicalType: integer, unique: true},
    {name: address, logicalType: object, properties: [
      {name: city, logicalType: string, required: true, logicalTypeOptions: {maxLength: 6}},
      {name: zip, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0}},
      {name: geo, logicalType: object, properties: [{name: lat, logicalType: number, logicalTypeOptions: {minimum: -90, maximum: 90}}, {name: lon, logicalType: number, required: true}]}]},
    {name: tags, logicalType: array, logicalTypeOptions: {minItems: 1, maxItems: 3, uniqueItems: true}, items: {logicalType: string, logicalTypeOptions: {maxLength: 2}}},
    {name: lines, logicalType: array, items: {logicalType: object, properties: [
      {name: sku, logicalType: string, required: true, logicalTypeOptions: {pattern: '^s[0-7]$'}},
      {name: amounts, logicalType: array, items: {logicalType: integer, logicalTypeOptions: {minimum: 0}}}]}},
    {name: grid, logicalType: array, logicalTypeOptions: {maxItems: 1}},
    {name: attributes, logicalType: object, logicalTypeOptions: {minProperties: 1, maxProperties: 2}}`)
	found := func(path string) string {
		r := validate(t, p, FileOptions{}, path)
		var b strings.Builder
		for _, i := range r.Issues {
			fmt.Fprintln(&b, i.Rule.Name, i.Column, i.Failed, i.Of, i.First.Offset, i.Last.Offset)
		}
		for _, c := range r.Checks {
			fmt.Fprintln(&b, c.Rule.Name, c.Column, c.Status, c.Failed, c.Of, c.Why)
		}
		return b.String()
	}
	want := found("testdata/nested/rows.jsonl")
	for _, rule := range []string{"length address.city", "minimum address.geo.lat", "required address.geo.lon", "items tags", "length tags[]", "pattern lines[].sku",
		"minimum lines[].amounts[]", "properties attributes"} {
		if !strings.Contains(want, rule+" failed") {
			t.Errorf("nothing fails %s:\n%s", rule, want)
		}
	}
	for _, file := range []string{"rows", "old"} {
		if got := found("testdata/nested/" + file + ".parquet"); got != want {
			t.Errorf("%s.parquet:\n%s\nJSON Lines:\n%s", file, got, want)
		}
	}
}

// TestSamplesOfWhatIsInsideShowNothingBeside the value that fails.
func TestSamplesOfWhatIsInsideShowNothingBeside(t *testing.T) {
	t.Parallel()
	p := odcs(t, `{name: u, logicalType: object, properties: [{name: phone_number, logicalType: string}, {name: age, logicalType: integer, logicalTypeOptions: {maximum: 120}}]}, {name: v, logicalType: string, required: true}`)
	r := validate(t, p, FileOptions{}, write(t, "a.jsonl", []byte(`{"u":{"phone_number":"0123456","age":130},"v":null}`)))
	var samples []string
	for _, i := range r.Issues {
		for _, s := range i.Samples {
			samples = append(samples, s.Value)
		}
	}
	if got := strings.Join(samples, " "); strings.Contains(got, "0123456") || !strings.Contains(got, "130") {
		t.Errorf("samples: %s", got)
	}
}

const pandasNested = `
import sys, time
import pandas as pd
path, n = sys.argv[1], int(sys.argv[2])
wall, cpu = [], []
for _ in range(n):
    start, used = time.perf_counter(), time.process_time()
    data = pd.read_parquet(path)
    there = data["address"].dropna()
    zips = pd.Series([a["zip"] for a in there])
    failed = (zips < 0).sum(), zips.isnull().sum(), sum(len(t) > 3 for t in data["tags"].dropna())
    wall.append(time.perf_counter() - start)
    cpu.append(time.process_time() - used)
print(sum(wall) / n, sum(cpu) / n, *failed)
`

// BenchmarkNestedParquet judges a struct's field and a list's length; the same by pandas in the same run.
func BenchmarkNestedParquet(b *testing.B) {
	path := filepath.Join(b.TempDir(), "nested.parquet")
	const make = `
import sys, pyarrow as pa, pyarrow.parquet as pq
t = pq.read_table("testdata/nested/rows.parquet")
pq.write_table(pa.concat_tables([t] * 100), sys.argv[1], row_group_size=10000)
`
	if out, err := exec.Command("python3", "-c", make, path).CombinedOutput(); err != nil {
		b.Skipf("no pyarrow to make the file with: %v %s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	p := odcs(b, `{name: id}, {name: address, logicalType: object, properties: [{name: zip, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0}}]},
    {name: tags, logicalType: array, logicalTypeOptions: {maxItems: 3}}, {name: lines}, {name: grid}, {name: attributes}`)
	b.SetBytes(info.Size())
	used := processorSeconds(b)
	for b.Loop() {
		report, err := ValidateFiles(context.Background(), p, []string{path}, FileOptions{})
		if err != nil || report.Rows != 40_000 || report.ExitCode() != ExitBroken {
			b.Fatal(err, report.Files, report.ExitCode())
		}
	}
	weir, cpu := b.Elapsed().Seconds()/float64(b.N), (processorSeconds(b)-used)/float64(b.N)
	out, err := exec.Command("python3", "-c", pandasNested, path, "1").CombinedOutput()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 2 {
		b.Skipf("no pandas to compare with: %v %s", err, out)
	}
	wall, _ := strconv.ParseFloat(fields[0], 64)
	pandasCPU, _ := strconv.ParseFloat(fields[1], 64)
	b.ReportMetric(wall/weir, "x-pandas")
	b.ReportMetric(pandasCPU/cpu, "x-pandas-cpu")
}
