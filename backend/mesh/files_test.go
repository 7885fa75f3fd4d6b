package mesh

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	bigint "math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/judge"
)

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func validate(t testing.TB, p DataProduct, o FileOptions, files ...string) Report {
	t.Helper()
	r, err := ValidateFiles(context.Background(), p, files, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func gzipped(t testing.TB, data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t testing.TB, data []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

const smallCSV = "user_id,timestamp,email\n1,t,a\n2,t,\n"

func TestFormatsAreToldByNameOrContent(t *testing.T) {
	t.Parallel()
	lines := `{"user_id":1,"timestamp":"t","email":"a"}` + "\n\n" + `{"user_id":2,"timestamp":"t","email":null}`
	for _, c := range []struct {
		name   string
		data   []byte
		format string
	}{
		{"a.csv", []byte(smallCSV), "csv"},
		{"a.tsv", []byte(strings.ReplaceAll(smallCSV, ",", "\t")), "csv"},
		{"semicolons.csv", []byte(strings.ReplaceAll(smallCSV, ",", ";")), "csv"},
		{"a.csv.gz", gzipped(t, []byte(smallCSV)), "csv in gzip"},
		{"a.csv.zst", zstandard(t, []byte(smallCSV)), "csv in zstd"},
		{"a.jsonl", []byte(lines), "jsonl"},
		{"a.ndjson.gz", gzipped(t, []byte(lines)), "jsonl in gzip"},
		{"a.json", []byte("[" + strings.Replace(lines, "\n\n", ",", 1) + "]"), "json"},
		{"objects.json", []byte(lines), "json"},
		{"nameless", []byte(lines), "jsonl"},
		{"nameless-array", []byte(" [" + strings.Replace(lines, "\n\n", ",", 1) + "]"), "json"},
		{"nameless-csv", []byte(smallCSV), "csv"},
		{"bom.jsonl", []byte("\xef\xbb\xbf" + lines), "jsonl"},
	} {
		for _, workers := range []int{1, 2} {
			r := validate(t, articleProduct, FileOptions{Workers: workers}, write(t, c.name, c.data))
			if r.Rows != 2 || r.Files[0].Format != c.format || r.ExitCode() != ExitBroken || len(r.Issues) != 1 || r.Issues[0].Column != "email" {
				t.Errorf("%s: %d rows, %+v, exit code %d, issues %+v", c.name, r.Rows, r.Files, r.ExitCode(), r.Issues)
			}
		}
		r := validate(t, articleProduct, FileOptions{Stdin: bytes.NewReader(c.data), Comma: comma(c.name)}, "-")
		if r.Rows != 2 && !strings.Contains(c.name, "objects") {
			t.Errorf("%s from standard input: %d rows, %+v", c.name, r.Rows, r.Files)
		}
	}
}

func comma(name string) byte {
	if strings.Contains(name, "tsv") {
		return '\t'
	}
	return 0
}

func TestFoldersAndSeveralFilesAreOneDataSet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, data := range map[string]string{"a/1.csv": smallCSV, "a/2.jsonl": `{"user_id":1,"timestamp":"t","email":"x"}`, "a/ignored.txt": "x", "a/.hidden.csv": "x", "a/.ipynb_checkpoints/1.csv": smallCSV} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := validate(t, articleProduct, FileOptions{}, dir)
	if r.Rows != 3 || len(r.Files) != 2 || r.Files[0].Rows != 2 || r.Files[1].Rows != 1 {
		t.Errorf("%d rows, %+v", r.Rows, r.Files)
	}
	if _, err := ValidateFiles(context.Background(), articleProduct, []string{t.TempDir()}, FileOptions{}); err == nil {
		t.Error("an empty folder is no error")
	}
}

// TestWhatCannotBeReadWholeIsExitCodeTwo and says where.
func TestWhatCannotBeReadWholeIsExitCodeTwo(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("testdata/parity/typed.parquet")
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(good)
	copy(damaged[30:], bytes.Repeat([]byte{0xff}, 60))
	lying := bytes.Clone(good)
	copy(lying[len(lying)-8:], []byte{0xff, 0xff, 0xff, 0x7f})
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty.csv", nil, "no header: the file is empty"},
		{"blank.csv", []byte("\n\n"), "no header"},
		{"open.csv", []byte("a,b\n1,2\n3,\"x\n4,5\n"), "row 2: a quoted field is never closed"},
		{"open-header.csv", []byte("\"a,b\n1,2\n"), "line 1: a quoted field is never closed"},
		{"nul.csv", []byte("a,b\n1,\x00\n"), "a NUL byte"},
		{"nul-header.csv", []byte("a\x00,b\n1,2\n"), "a NUL byte"},
		{"utf16.csv", []byte("\xff\xfea\x00,\x00"), "UTF-16"},
		{"long.csv", append([]byte("a,b\n1,"), bytes.Repeat([]byte("x"), maxRow+1)...), "row 1: longer than"},
		{"long-header.csv", bytes.Repeat([]byte("x"), 40<<10), "the header does not end"},
		{"wide.csv", []byte(strings.Repeat("a,", 2000) + "\n"), "2001 columns"},
		{"long.jsonl", append([]byte(`{"a":"`), bytes.Repeat([]byte("x"), maxRow+1)...), "line 1: longer than"},
		{"cut.csv.gz", gzipped(t, []byte(smallCSV))[:30], "unexpected EOF"},
		{"cut.csv.zst", zstandard(t, bytes.Repeat([]byte(smallCSV), 100))[:40], "EOF"},
		{"open.json", []byte(`[{"user_id":1}`), "after row 1, at byte 14: the array is never closed"},
		{"cut.json", []byte(`[{"user_id":1},{"user_id":"`), "row 2, at byte 15: unexpected EOF"},
		{"cut-deep.json", []byte(`[` + deep[:10_000]), "row 1, at byte 1: unexpected EOF"},
		{"garbage.json", []byte(`[{"user_id":1} x]`), "after row 1, at byte 15: expected a comma or the array's end, found 'x'"},
		{"comma.json", []byte(`[{"user_id":1},]`), "after row 1, at byte 15: expected a value after the comma"},
		{"after.json", []byte(`[] x`), "after row 0, at byte 3: expected nothing behind the array"},
		{"long.json", append([]byte(`[{"a":"`), bytes.Repeat([]byte("x"), maxRow+1)...), "row 1, at byte 1: longer than"},
		{"cut.parquet", good[:len(good)/2], "parquet"},
		{"damaged.parquet", damaged, "parquet"},
		{"lying.parquet", lying, "parquet"},
		{"empty.parquet", nil, "parquet"},
		{"what", []byte("\x01\x02\x00"), "unknown format"},
	} {
		for _, workers := range []int{1, 2} {
			r := validate(t, articleProduct, FileOptions{Workers: workers}, write(t, c.name, c.data))
			if r.ExitCode() != ExitUnknown || r.Files[0].Err == nil || !strings.Contains(r.Files[0].Err.Error(), c.want) {
				t.Errorf("%s, %d workers: exit code %d, %v; want %q", c.name, workers, r.ExitCode(), r.Files[0].Err, c.want)
			}
			var b bytes.Buffer
			if err := r.WriteText(&b); err != nil || !strings.HasPrefix(b.String(), "? ") {
				t.Errorf("%s: %v %s", c.name, err, b.String())
			}
		}
	}
	for _, path := range []string{"/dev/zero", filepath.Join(t.TempDir(), "absent.csv")} {
		if r := validate(t, articleProduct, FileOptions{}, path); r.ExitCode() != ExitUnknown || r.Files[0].Err == nil {
			t.Errorf("%s: exit code %d, %+v", path, r.ExitCode(), r.Files)
		}
	}
}

func TestRowsThatAreNoRowsAreToldApart(t *testing.T) {
	t.Parallel()
	r := validate(t, articleProduct, FileOptions{}, write(t, "a.jsonl", []byte(`{"user_id":1,"timestamp":"t"}`+"\n[1]\n{\n")))
	if r.Rows != 1 || r.Undecodable != 2 || r.ExitCode() != ExitUnknown || len(r.Garbage) != 2 || r.Garbage[0].Offset != 2 {
		t.Errorf("%+v", r)
	}
	r = validate(t, articleProduct, FileOptions{}, write(t, "a.csv", []byte("user_id,timestamp\n1,t\n1,t,x,y\n2\n")))
	if r.Rows != 2 || r.Undecodable != 1 || r.ExitCode() != ExitUnknown || r.Garbage[0].Offset != 2 {
		t.Errorf("%+v", r)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want int
	}{
		{"user_id,timestamp\n1,t\n", ExitHolds}, {"user_id,timestamp\n1,\n", ExitBroken}, {"user_id\n1\n", ExitBroken},
		{"user_id,timestamp\n", ExitUnknown}, // no rows: no data is never a pass
		{"user_id\n", ExitBroken},            // but a header without a required column is broken
	} {
		if got := validate(t, articleProduct, FileOptions{}, write(t, "a.csv", []byte(c.text))).ExitCode(); got != c.want {
			t.Errorf("%q: %d, want %d", c.text, got, c.want)
		}
	}
	p := odcs(t, "{name: user_id, quality: [{type: sql, query: 'select 1', mustBe: 0}]}")
	r := validate(t, p, FileOptions{}, write(t, "a.csv", []byte("user_id\n1\n")))
	if r.ExitCode() != ExitUnknown || len(r.Unjudged()) != 1 {
		t.Errorf("a rule that is not judged passed: %+v", r.Checks)
	}
}

func TestNumbersBeyondFloat64(t *testing.T) {
	t.Parallel()
	p := odcs(t, `{name: v, logicalType: number, logicalTypeOptions: {maximum: 100, minimum: -100}}`)
	for name, text := range map[string]string{
		"a.jsonl": `{"v":1e999}` + "\n" + `{"v":-1e999}` + "\n" + `{"v":5}` + "\n" + `{"v":1` + strings.Repeat("0", 500) + "}", "a.csv": "v\n1e999\n-1e999\n5\n1" + strings.Repeat("0", 500) + "\n",
	} {
		r := validate(t, p, FileOptions{}, write(t, name, []byte(text)))
		var got []string
		for _, i := range r.Issues {
			got = append(got, fmt.Sprintf("%s %d/%d", i.Rule.Name, i.Failed, i.Of))
		}
		if want := []string{"minimum 1/4", "maximum 2/4"}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestBlanksAroundANumberOfCSV are no matter, as in pandas; a blank beside a null's word makes it a text, as there.
func TestBlanksAroundANumberOfCSV(t *testing.T) {
	t.Parallel()
	p := odcs(t, `{name: v, logicalType: integer, logicalTypeOptions: {maximum: 10, format: i8}}, {name: w, logicalType: number}`)
	r := validate(t, p, FileOptions{}, write(t, "a.csv", []byte("v,w\n 7, 7.5\n8 ,\t1e3 \n 17,\v1\n\" 9\",NA\n- 9, NA\n, \n\u00a07,NA \n")))
	var got []string
	for _, i := range r.Issues {
		got = append(got, fmt.Sprintf("%s %s %d/%d", i.Rule.Name, i.Column, i.Failed, i.Of))
	}
	if want := []string{"logicalType v 2/6", "logicalType w 3/6", "format v 2/6", "maximum v 1/6"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestRepeatedNamesAreToldApart as pandas does it.
func TestRepeatedNamesAreToldApart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{"a,a.1,a,a\n": {"a", "a.1", "a.2", "a.3"}, "a,a,a.1\n": {"a", "a.2", "a.1"}, "a,,a,\n": {"a", "Unnamed: 1", "a.1", "Unnamed: 3"}} {
		if names, _, err := header([]byte(text), true, ','); err != nil || !reflect.DeepEqual(names, want) {
			t.Errorf("%q: %v %q, want %q", text, err, names, want)
		}
	}
}

func TestOnlyTheFilesOwnNameTellsItsDelimiter(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "old.tsv.d")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.csv"), []byte(smallCSV), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := validate(t, articleProduct, FileOptions{}, filepath.Join(dir, "a.csv")); !r.Schema {
		t.Errorf("%+v", r.Issues)
	}
}

// TestAQuotedEmptyFieldIsARow, and a blank line none, wherever they stand.
func TestAQuotedEmptyFieldIsARow(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"v\n\"\"\n1\n": 2, "v\n1\n\"\"": 2, "v\n1\n\"\"\r\n": 2, "v\n1\n\n": 1, "v\r\n\r\n1\r\n": 1} {
		for _, p := range []DataProduct{{Domain: "d", Name: "n", Rules: contract.ArticleRules(nil, 1)}, odcs(t, "{name: v, unique: true}")} {
			if r := validate(t, p, FileOptions{}, write(t, "a.csv", []byte(text))); r.Rows != want {
				t.Errorf("%q: %d rows, want %d", text, r.Rows, want)
			}
		}
	}
}

// TestTextsThatMeanMissingAreMissingValues though a CSV file has them for nulls.
func TestTextsThatMeanMissingAreMissingValues(t *testing.T) {
	t.Parallel()
	p := odcs(t, `{name: k}, {name: v, quality: [{metric: missingValues, mustBe: 0, arguments: {missingValues: [N/A, '-', '']}}]}`)
	for _, workers := range []int{1, 2} {
		r := validate(t, p, FileOptions{Workers: workers}, write(t, "a.csv", []byte("k,v\n1,N/A\n2,-\n3,\n4,NULL\n5,x\n6\n")))
		if len(r.Issues) != 1 || r.Issues[0].Failed != 3 || r.Issues[0].Of != 6 {
			t.Errorf("%+v", r.Issues)
		}
	}
}

// TestJSONInAFieldOfCSVIsLookedInto as it is where JSON came by itself.
func TestJSONInAFieldOfCSVIsLookedInto(t *testing.T) {
	t.Parallel()
	p := odcs(t, `{name: v, logicalType: object, properties: [{name: city, required: true}, {name: tags, logicalType: array, logicalTypeOptions: {maxItems: 1}}]}, {name: k, logicalType: integer, required: true}`)
	r := validate(t, p, FileOptions{}, write(t, "a.csv", []byte("k,v\n1,\"{\"\"city\"\":null,\"\"tags\"\":[1,2]}\"\n,\"{\"\"city\"\":\"\"Oslo\"\"}\"\n3,{no\n")))
	var got []string
	for _, i := range r.Issues {
		got = append(got, fmt.Sprintf("%s %s %d/%d", i.Rule.Name, i.Column, i.Failed, i.Of))
		if text := fmt.Sprint(i.Samples); strings.Contains(text, "Oslo") {
			t.Errorf("the inside of a value shows in %s", text)
		}
	}
	if want := []string{"logicalType v 1/3", "required v.city 1/3", "items v.tags 1/1", "required k 1/3"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestColumnsBeyondTheBoundAreNoPass of a rule on every column.
func TestColumnsBeyondTheBoundAreNoPass(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range judge.MaxColumns + 1 {
		fmt.Fprintf(&b, `,"c%d":1`, i)
	}
	p := DataProduct{Domain: "d", Name: "n", Rules: contract.ArticleRules(nil, 0.05)}
	r := validate(t, p, FileOptions{}, write(t, "a.jsonl", []byte("{"+b.String()[1:]+"}\n")))
	if r.ExitCode() != ExitUnknown || len(r.Unjudged()) != 1 {
		t.Errorf("exit code %d, %+v", r.ExitCode(), r.Unjudged())
	}
}

func odcs(t testing.TB, properties string) DataProduct {
	t.Helper()
	p, err := contract.Parse([]byte("apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\nschema:\n- name: t\n  properties: ["+properties+"]\n"), "d", "n")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestManyGoroutinesFindWhatOneFinds on random texts, regular and not, in small blocks.
func TestManyGoroutinesFindWhatOneFinds(t *testing.T) {
	t.Parallel()
	product := odcs(t, `{name: id, unique: true, logicalType: integer}, {name: note, logicalType: string, required: true, logicalTypeOptions: {maxLength: 12}}, {name: v, logicalType: number}`)
	seeds := uint64(4)
	if raceDetector {
		seeds = 2
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 0))
		var b strings.Builder
		b.WriteString("id,note,v\n")
		for b.Len() < 3<<20 {
			note := []string{"plain", "", "NA", `"quoted, with comma"`, "\"two\nlines\"", `"say ""hi"""`, "a rather long text"}[r.IntN(7)]
			if seed%2 == 1 && r.IntN([]int{20_000, 300}[seed/2%2]) == 0 {
				note = []string{`5" pipe`, `"5" pipe`, `an open " quote`}[r.IntN(3)]
			}
			if seed < 2 && r.IntN(20_000) == 0 {
				note = []string{"caf\xe9", "\"\xff\n\"", "café"}[r.IntN(3)] // two are no UTF-8
			}
			fmt.Fprintf(&b, "%d,%s,%d", r.IntN(1<<20), note, r.IntN(100))
			if r.IntN(5000) == 0 {
				b.WriteString(",too,many")
			}
			b.WriteString([]string{"\n", "\r\n"}[r.IntN(2)])
		}
		path := write(t, "a.csv", []byte(b.String()))
		for _, p := range []DataProduct{articleProduct, product} {
			one, two := validate(t, p, FileOptions{Workers: 1}, path), validate(t, p, FileOptions{Workers: 3}, path)
			if a, b := summary(one), summary(two); a != b {
				t.Fatalf("seed %d:\none goroutine\n%s\nmany\n%s", seed, a, b)
			}
			if one.Rows < 50_000 || one.Undecodable == 0 {
				t.Fatalf("%d rows, %d undecodable", one.Rows, one.Undecodable)
			}
		}
	}
}

// TestCSVThatIsNotUTF8IsNoRow, wherever it stands: of rows read 64 bytes at a time and of those read one by one, of quoted
// fields, across the blocks that goroutines share out.
func TestCSVThatIsNotUTF8IsNoRow(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"caf\xe9", "\"caf\xe9\"", "\"a\n\xff\"", "\xed\xa0\x80", "caf\xc3"} {
		for _, p := range []DataProduct{articleProduct, odcs(t, `{name: user_id}, {name: timestamp, logicalType: string}`)} {
			text := "user_id,timestamp\n" + strings.Repeat("1,é\n", 100_000) + "2," + bad + "\n" + strings.Repeat("3,한\n", 100_000)
			for workers := 1; workers <= 3; workers++ {
				report := validate(t, p, FileOptions{Workers: workers}, write(t, "a.csv", []byte(text)))
				if report.ExitCode() != ExitUnknown || report.Rows != 200_000 || report.Undecodable != 1 {
					t.Fatalf("%q by %d: exit %d, %d rows, %d undecodable", bad, workers, report.ExitCode(), report.Rows, report.Undecodable)
				}
				if s := report.Garbage[0]; s.Offset != 100_001 || !strings.HasPrefix(s.Value, "column timestamp is not UTF-8 at byte ") {
					t.Errorf("%q by %d: row %d: %s", bad, workers, s.Offset, s.Value)
				}
			}
		}
	}
}

// TestFilesMayHaveTheirColumnsInAnyOrder: each value counts for the column its own file's header gives it.
func TestFilesMayHaveTheirColumnsInAnyOrder(t *testing.T) {
	t.Parallel()
	first, second := "id,a,b\n"+strings.Repeat("1,x,\n", 60), "id,b,c,a\n"+strings.Repeat("1,,z,y\n", 40)
	for _, workers := range []int{1, 3} {
		for _, p := range []DataProduct{
			{Domain: "d", Name: "n", Rules: contract.ArticleRules([]string{"id"}, 0.05)},
			{Domain: "d", Name: "n", Rules: append(contract.ArticleRules([]string{"id"}, 0.05), contract.Rule{Name: "type", Kind: contract.TypeOf, Type: "string", Columns: []string{"a"}})},
		} {
			r := validate(t, p, FileOptions{Workers: workers}, write(t, "1.csv", []byte(first)), write(t, "2.csv", []byte(second)), write(t, "3.csv", []byte(first)))
			var got []string
			for _, i := range r.Issues {
				got = append(got, fmt.Sprintf("%s %d/%d to %d:%d", i.Column, i.Failed, i.Of, i.Last.Partition, i.Last.Offset))
			}
			if want := []string{"b 160/160 to -3:60", "c 120/160 to -3:60"}; !reflect.DeepEqual(got, want) {
				t.Errorf("%d workers: %q, want %q", workers, got, want)
			}
		}
	}
}

// summary is what must not depend on the number of goroutines. Of duplicates only the rows are known, not the values.
func summary(r Report) string {
	var b strings.Builder
	fmt.Fprintln(&b, r.Rows, r.Undecodable, r.Schema, r.Quality, r.Files[0].Rows, r.Whole())
	for _, i := range r.Issues {
		fmt.Fprintln(&b, i.Rule.Name, i.Column, i.Message, i.Failed, i.Of, i.First.Offset, i.Last.Offset)
		for _, s := range i.Samples {
			if i.Rule.Kind == contract.Duplicates {
				s.Value = ""
			}
			fmt.Fprintln(&b, " ", s.Offset, s.Value)
		}
	}
	for _, c := range r.Checks {
		fmt.Fprintln(&b, c.Rule.Name, c.Column, c.Status, c.Observed, c.Failed, c.Of)
	}
	for _, c := range r.Columns {
		fmt.Fprintln(&b, c)
	}
	for _, s := range r.Garbage {
		fmt.Fprintln(&b, s.Offset, s.Value)
	}
	return b.String()
}

func TestTypedColumnsOfParquet(t *testing.T) {
	t.Parallel()
	p := odcs(t, `{name: user_id, logicalType: integer, required: true}, {name: timestamp, logicalType: timestamp, logicalTypeOptions: {maximum: '2026-01-02T00:00:00Z'}},
    {name: day, logicalType: date}, {name: price, logicalType: number, logicalTypeOptions: {minimum: 2}}, {name: nan, logicalType: number},
    {name: nan32, logicalType: string}, {name: list, logicalType: array}, {name: struct, logicalType: object, properties: [{name: a, logicalType: integer}]},
    {name: flag, logicalType: boolean}, {name: blob}`)
	for _, file := range []string{"typed", "typed_dictionary"} {
		r := validate(t, p, FileOptions{}, "testdata/parity/"+file+".parquet")
		var got []string
		for _, i := range r.Issues {
			got = append(got, fmt.Sprintf("%s %s %d/%d", i.Rule.Name, i.Column, i.Failed, i.Of))
		}
		want := []string{"logicalType nan32 3/3", "required user_id 1/4", "maximum timestamp 2/4", "minimum price 1/3"}
		if !reflect.DeepEqual(got, want) || !r.Whole() {
			t.Errorf("%s: %q, whole %v %v", file, got, r.Whole(), r.Files)
		}
		if n := len(r.Unjudged()); n != 0 {
			t.Errorf("%s: %d checks are not judged", file, n)
		}
	}
}

// logicalParquet is a file with a row of each limit of some logical types.
func logicalParquet(t testing.TB) []byte {
	t.Helper()
	schema := parquet.NewSchema("t", parquet.Group{
		"big":   parquet.Decimal(0, 38, parquet.FixedLenByteArrayType(16)),
		"price": parquet.Decimal(2, 9, parquet.Int32Type),
		"key":   parquet.Uint(64),
		"port":  parquet.Uint(32),
		"at":    parquet.Time(parquet.Microsecond),
		"id":    parquet.UUID(),
	})
	var b bytes.Buffer
	w := parquet.NewWriter(&b, schema)
	for i, big := range []string{"12345678901234567890", "12345678901234567891", "-12345678901234567890"} {
		n, _ := new(bigint.Int).SetString(big, 10)
		fixed := new(bigint.Int).And(n, new(bigint.Int).Sub(new(bigint.Int).Lsh(bigint.NewInt(1), 128), bigint.NewInt(1))).FillBytes(make([]byte, 16))
		values := map[string]parquet.Value{
			"big": parquet.FixedLenByteArrayValue(fixed), "price": parquet.Int32Value([]int32{-5, 150, 0}[i]), "key": parquet.Int64Value(-1 - int64(i)), "port": parquet.Int32Value(-1),
			"at": parquet.Int64Value(int64(i) * 43_200_000_001), "id": parquet.FixedLenByteArrayValue(bytes.Repeat([]byte{byte(i), 0xa0}, 8)),
		}
		var row parquet.Row
		for column, path := range schema.Columns() {
			row = append(row, values[path[0]].Level(0, 0, column))
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLogicalTypesOfParquet are judged as what they stand for, to the last digit, in a compressed file too.
func TestLogicalTypesOfParquet(t *testing.T) {
	t.Parallel()
	p := odcs(t, `{name: big, logicalType: integer, unique: true, quality: [{metric: invalidValues, mustBe: 0, arguments: {validValues: [12345678901234567890, 12345678901234567891, -12345678901234567890]}}]},
    {name: price, logicalType: number, logicalTypeOptions: {minimum: -0.05, maximum: 1.5, multipleOf: 0.01}},
    {name: key, logicalType: integer, logicalTypeOptions: {format: u64, minimum: 0}}, {name: port, logicalType: integer, logicalTypeOptions: {minimum: 4294967295, maximum: 4294967295}},
    {name: at, logicalType: time}, {name: id, logicalType: string, unique: true, logicalTypeOptions: {format: uuid}}`)
	data := logicalParquet(t)
	for name, content := range map[string][]byte{"a.parquet": data, "a.parquet.gz": gzipped(t, data), "a.parquet.zst": zstandard(t, data), "a.pq": data, "nameless": gzipped(t, data)} {
		r := validate(t, p, FileOptions{}, write(t, name, content))
		if r.ExitCode() != ExitHolds || r.Rows != 3 {
			var b bytes.Buffer
			_ = r.WriteText(&b)
			t.Errorf("%s: %s", name, b.String())
		}
	}
}

// TestDamagedParquetIsAnErrorAtMost flips bytes: whatever comes of it, no panic escapes, and it comes soon.
// TestHalfFloatsOfParquet are numbers, and NaN is null, with a dictionary and without, inside a list too.
func TestHalfFloatsOfParquet(t *testing.T) {
	t.Parallel()
	numbers := odcs(t, `{name: h, logicalType: number, required: true, logicalTypeOptions: {minimum: -0.09998, exclusiveMinimum: -0.0999755859375, maximum: 65504}},
    {name: l, logicalType: array, items: {logicalType: number, logicalTypeOptions: {minimum: 0}}}`)
	for _, file := range []string{"half", "half_dictionary"} {
		path := "testdata/logical/" + file + ".parquet"
		var got []string
		for _, i := range validate(t, numbers, FileOptions{}, path).Issues {
			got = append(got, fmt.Sprintf("%s %s %d/%d", i.Rule.Name, i.Column, i.Failed, i.Of))
		}
		if want := []string{"required h 2/7", "maximum h 1/5", "exclusiveMinimum h 1/5", "minimum l[] 1/7"}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
		nulls := DataProduct{Format: contract.Article, Domain: "d", Name: "n", MaxNull: 0.2, Rules: contract.ArticleRules([]string{"h"}, 0.2)}
		if r := validate(t, nulls, FileOptions{}, path); len(r.Issues) != 1 || r.Issues[0].Message != "h null 28.6% > 20%" {
			t.Errorf("%s: %+v", file, r.Issues)
		}
	}
}

// TestTimesOfParquetSayTheirZone if their type is that of moments, and not if it is that of the time on a clock. Neither has
// the format that texts have.
func TestTimesOfParquetSayTheirZone(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]string{
		"timezone: true": "timezone local 2/2", "timezone: false": "timezone utc 2/2", "format: 'dd.MM.yyyy HH:mm'": "",
		"defaultTimezone: Australia/Sydney, minimum: '2026-01-01T12:00:00Z'": "minimum local 1/2",
	} {
		p := odcs(t, "{name: local, logicalType: timestamp, logicalTypeOptions: {"+options+"}}, {name: utc, logicalType: timestamp, logicalTypeOptions: {"+options+"}}")
		var got []string
		for _, i := range validate(t, p, FileOptions{Now: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, "testdata/logical/times.parquet").Issues {
			got = append(got, fmt.Sprintf("%s %s %d/%d", i.Rule.Name, i.Column, i.Failed, i.Of))
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%s: %q, want %q", options, got, want)
		}
	}
}

func TestDamagedParquetIsAnErrorAtMost(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/parity/*.parquet")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	nested, err := filepath.Glob("testdata/nested/*.parquet")
	if err != nil || len(nested) == 0 {
		t.Fatal(nested, err)
	}
	inside := odcs(t, `{name: address, logicalType: object, properties: [{name: zip, logicalType: integer}]}, {name: lines, unique: true}, {name: attributes, unique: true}`)
	p := odcs(t, `{name: user_id, unique: true, logicalType: integer}, {name: timestamp, required: true, logicalType: string}`)
	random := rand.New(rand.NewPCG(11, 7))
	for i := range 600 {
		file, product := files[i%len(files)], p
		switch {
		case i%5 == 0:
			file, product = nested[i%2], inside
		case i%2 == 0:
			product = articleProduct
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + random.IntN(4) {
			data[random.IntN(len(data))] = byte(random.IntN(256))
		}
		if _, err := ValidateFiles(context.Background(), product, []string{"-"}, FileOptions{Stdin: bytes.NewReader(data), Format: "parquet"}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryReportTellsWhomToCallAndWhere in all formats.
func TestEveryReportTellsWhomToCallAndWhere(t *testing.T) {
	t.Parallel()
	p := DataProduct{Domain: "d", Name: "n", Owners: []string{"ada@example.com"}, Consumers: []string{"billing"}, Rules: contract.ArticleRules(nil, 0)}
	r := validate(t, p, FileOptions{}, write(t, "a.csv", []byte("k,v\n1,x\n2,\n3,\n4,x\n")))
	for _, format := range Formats() {
		var b bytes.Buffer
		if err := r.Write(&b, format); err != nil || !strings.Contains(b.String(), "ada@example.com") || !strings.Contains(b.String(), "billing") {
			t.Errorf("%s: %v\n%s", format, err, b.String())
		}
	}
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got jsonReport
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if e := got.Evidence[0]; e.First == nil || e.First.Row != 2 || e.Last.Row != 3 || e.First.File != r.Files[0].Path || e.Samples[1].Row != 3 {
		t.Errorf("%s", b.String())
	}
}

// TestWhatCannotBeToldCompliesWithNothing: whoever reads the article's three keys alone must not take it for a pass.
func TestWhatCannotBeToldCompliesWithNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no rows":        {"user_id,email,timestamp\n", "no data: 0 rows"},
		"not read whole": {"user_id,email,timestamp\n1,a,2026-01-01\n2,\"b", "could not tell: "},
	} {
		r := validate(t, articleProduct, FileOptions{}, write(t, "a.csv", []byte(c.text)))
		got := r.Result()
		if got.SchemaCompliance || got.QualityCompliance || len(got.Issues) != 1 || !strings.HasPrefix(got.Issues[0], c.want) || strings.Count(got.Issues[0], "a.csv") > 1 || r.ExitCode() != ExitUnknown {
			t.Errorf("%s: %+v, exit %d", name, got, r.ExitCode())
		}
	}
}

func TestTheReportInJSONHasTheArticlesKeys(t *testing.T) {
	t.Parallel()
	r := validate(t, articleProduct, FileOptions{}, write(t, "a.csv", []byte("user_id,email\n1,\n2,x\x1b[31m\n")))
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []any{"Missing columns: {'timestamp'}", "Column 'email' exceeds null threshold: 50.00%"}
	if got["schema_compliance"] != false || got["quality_compliance"] != false || !reflect.DeepEqual(got["issues"], want) {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := r.WriteText(&b); err != nil || strings.Contains(b.String(), "\x1b") || !strings.Contains(b.String(), "owners nobody named") {
		t.Errorf("%v %q", err, b.String())
	}
}

func FuzzFiles(f *testing.F) {
	files, err := filepath.Glob("testdata/parity/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 4096 {
			f.Add(data, i%2 == 0)
		}
	}
	p := odcs(f, `{name: user_id, unique: true, logicalType: integer}, {name: timestamp, required: true, logicalType: string, logicalTypeOptions: {maxLength: 3}}`)
	f.Fuzz(func(t *testing.T, data []byte, article bool) {
		product := p
		if article {
			product = articleProduct
		}
		r, err := ValidateFiles(context.Background(), product, []string{"-"}, FileOptions{Stdin: bytes.NewReader(data), Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if r.ExitCode() == ExitHolds && (r.Rows == 0 || !r.Whole()) {
			t.Fatalf("%+v holds", r)
		}
	})
}
