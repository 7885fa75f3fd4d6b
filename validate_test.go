package main

import (
	"bytes"
	"compress/gzip"
	encoding "encoding/binary"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func packed(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if name == "zstd" {
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// utf16 is a text as Windows programs like to write it.
func utf16(text string, order encoding.AppendByteOrder) string {
	b := order.AppendUint16(nil, 0xfeff)
	for _, r := range text {
		b = order.AppendUint16(b, uint16(r))
	}
	return string(b)
}

// TestValidateBadFiles holds the command to its word: what could not be read whole is told with its place, on standard
// output where there is a report and else on standard error, and the exit code is 2; never that the contract holds.
func TestValidateBadFiles(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	const rows = "user_id,email\n1,a@example.com\n2,b@example.com\n"
	many := rows + strings.Repeat("3,c@example.com\n", 2000)
	deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	typed, err := os.ReadFile(filepath.Join(home, "backend/mesh/testdata/parity/typed.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	columns := string(typed)
	lying := columns[:len(columns)-8] + "\xff\xff\xff\x7f" + "PAR1"
	for _, c := range []struct {
		name, data string
		want       string
	}{
		{"long-row.csv", rows + "3,c@example.com,surplus\n", "row 3        3 fields; the header has 2"},
		{"nul.csv", rows + "3,\x00\n", "row 3: a NUL byte; this is no text file"},
		{"empty.csv", "", "no header: the file is empty"},
		{"blank.csv", "\n\r\n\n", "no header: the file holds blank lines only"},
		{"header-only.csv", "user_id,email\n", "no data"},
		{"open.csv", rows + "3,\"c@example.com\n4,d\n", "row 3: a quoted field is never closed"},
		{"open-header.csv", "\"user_id,email\n1,2\n", "line 1: a quoted field is never closed"},
		{"latin1.csv", rows + "3,caf\xe9@example.com\n", "row 3        column email is not UTF-8 at byte 5 of its row (0xe9); write the file as UTF-8"},
		{"latin1-header.csv", "user_id,\xe9mail\n1,a\n", "line 1: the name of column 2 is not UTF-8 at byte 8 of its row (0xe9)"},
		{"latin1.jsonl", "{\"user_id\":1,\"email\":\"caf\xe9\"}\n", "row 1        a string that is not UTF-8"},
		{"utf16le.csv", utf16(rows, encoding.LittleEndian), "UTF-16, by its first two bytes; expected UTF-8"},
		{"utf16be.jsonl", utf16(`{"user_id":1}`, encoding.BigEndian), "UTF-16"},
		{"utf16-without-a-mark.csv", utf16(rows, encoding.LittleEndian)[2:], "line 1: a NUL byte"},
		{"wide.csv", strings.Repeat("a,", 2000) + "\n", "2001 columns; at most 1000"},
		{"torn.csv.gz", packed(t, "gzip", many)[:100], "unexpected EOF"},
		{"torn.csv.zst", packed(t, "zstd", many)[:60], "EOF"},
		{"no-gzip.csv.gz", "\x1f\x8bnonsense", "reading gzip"},
		{"zeros.csv.gz", packed(t, "gzip", strings.Repeat("\x00", 8<<20)), "a NUL byte"},
		{"deep.jsonl", `{"user_id":1,"email":"a"}` + "\n" + deep + "\n", "row 2        nested deeper than 512 levels at byte"},
		{"deep.json", "[" + deep + "]", "row 1        nested deeper than 512 levels at byte"},
		{"torn.json", `[{"user_id":1},`, "after row 1, at byte 15: the array is never closed"},
		{"torn.jsonl", `{"user_id":1,"email":"a"}` + "\n" + `{"user_id":2,"em`, "row 2"},
		{"no-row.jsonl", `{"user_id":1,"email":"a"}` + "\n17\n", "row 2"},
		{"torn.parquet", columns[:len(columns)/2], "does not end as Parquet does"},
		{"lying.parquet", lying, "says its footer has 2147483647 bytes"},
		{"tiny.parquet", "PAR1", "has 4 bytes and is cut short"},
		{"rows.csv.bz2", "BZh91AY&SY", "it is compressed with bzip2, which is not read; expected gzip, zstd or no compression: pipe it in, such as bzcat"},
		{"rows.csv.xz", "\xfd7zXZ\x00", "it is compressed with xz"},
		{"rows.xlsx", "PK\x03\x04abc", "it is a ZIP archive, or a spreadsheet, which is not read"},
		{"as-rows.csv", "PK\x03\x04abc", "it is a ZIP archive"},
		{"rows.avro", "Obj\x01abc", "it is an Avro file"},
		{"unknown", "\x01\x02\x00", "say which with --as"},
		{"-", "", "neither its name nor its first bytes tell"},
		{"/dev/zero", "", "not a regular file"},
		{"absent.csv", "", "no such file"},
	} {
		if c.data != "" || strings.HasPrefix(c.name, "empty") {
			write(t, c.name, c.data)
		}
		out, errOut, err := weirFrom(t, strings.NewReader(""), "validate", "product.yaml", c.name)
		if got := code(err); got != 2 || !strings.Contains(out+errOut, c.want) {
			t.Errorf("weir validate %s: exit %d; expected 2 and %q:\n%.600s%.600s", c.name, got, c.want, out, errOut)
		}
		if strings.Contains(out, "✓") {
			t.Errorf("weir validate %s says that the contract holds:\n%s", c.name, out)
		}
		out, _, err = weirFrom(t, strings.NewReader(""), "validate", "product.yaml", c.name, "--format", "json")
		var report struct {
			Verdict string `json:"verdict"`
		}
		if jsonErr := json.Unmarshal([]byte(out), &report); jsonErr != nil || code(err) != 2 || report.Verdict == "holds" {
			t.Errorf("weir validate %s --format json: %v, exit %d: %.300s", c.name, jsonErr, code(err), out)
		}
	}
}

// TestValidateGoodButOddFiles are read for what they are.
func TestValidateGoodButOddFiles(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	const rows = "user_id,email\n1,a@example.com\n2,b@example.com\n"
	write(t, "bom.csv", "\xef\xbb\xbf"+rows)
	write(t, "bom.jsonl", "\xef\xbb\xbf"+`{"user_id":1,"email":"a"}`+"\n\n"+`{"user_id":2,"email":"b"}`)
	write(t, "objects.json", ` {"user_id":1,"email":"a"} {"user_id":2,"email":"b"}`)
	write(t, "rows.csv.gz", packed(t, "gzip", rows))
	write(t, "rows.csv.zst", packed(t, "zstd", rows))
	write(t, "beyond.jsonl", `{"user_id":1e999,"email":"a"}`+"\n"+`{"user_id":-1e999,"email":"b"}`)
	write(t, "semicolons.csv", strings.ReplaceAll(rows, ",", ";"))
	if err := os.Symlink("bom.csv", "link.csv"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("folder", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "folder/a.csv", rows)
	if err := os.Symlink("../bom.csv", "folder/b.csv"); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]string{
		"bom.csv": "2 rows", "bom.jsonl": "2 rows", "objects.json": "2 rows", "rows.csv.gz": "2 rows", "rows.csv.zst": "2 rows", "beyond.jsonl": "2 rows",
		"semicolons.csv": "2 rows", "link.csv": "2 rows", "folder/../bom.csv": "2 rows", "folder": "4 rows in 2 files",
	} {
		if out, errOut, err := weir(t, "validate", "product.yaml", name); err != nil || !strings.Contains(out, n) {
			t.Errorf("weir validate %s: %v; expected %s:\n%s%s", name, err, n, out, errOut)
		}
	}
	for _, as := range []string{"csv", ""} {
		if out, _, err := weirFrom(t, strings.NewReader(rows), "validate", "product.yaml", "-", "--as", as); err != nil {
			t.Errorf("standard input as %q: %v\n%s", as, err, out)
		}
	}
	if _, errOut, err := weir(t, "validate", "product.yaml", "bom.csv", "--as", "xml"); code(err) != 2 || !strings.Contains(errOut, "--as: expected one of csv") {
		t.Errorf("--as xml: %v %s", err, errOut)
	}
	// A pipe of a shell, such as <(zcat rows.csv.gz), is read to its end.
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile("pipe", []byte(rows), 0o600) }()
	if out, _, err := weir(t, "validate", "product.yaml", "pipe"); err != nil {
		t.Errorf("a pipe: %v\n%s", err, out)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// TestValidateBadFoldersAndProducts cannot tell, and says what to do.
func TestValidateBadFoldersAndProducts(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	write(t, "rows.csv", "user_id,email\n1,a@example.com\n")
	for _, dir := range []string{"nothing", "torn", "packed", "data-products/commerce"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "nothing/notes.txt", "x")
	write(t, "packed/a.csv", "user_id,email\n1,a@example.com\n")
	write(t, "packed/b.csv.bz2", "BZh91AY&SY")
	if err := os.Symlink("absent.csv", "torn/part.csv"); err != nil {
		t.Fatal(err)
	}
	write(t, "torn/first.csv", "user_id,email\n1,a@example.com\n")
	if err := os.Symlink("/etc/passwd", "data-products/commerce/stolen.yaml"); err != nil {
		t.Fatal(err)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for _, c := range "bcdefgh" {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ",") + "]\n"
	}
	var keys strings.Builder
	for i := range 1_000_000 {
		keys.WriteString("k")
		keys.WriteString(strings.Repeat("x", i%7))
		keys.WriteString(": 1\n")
	}
	for name, data := range map[string]string{
		"bomb.yaml": bomb, "anchor.yaml": "name: &n user_events\ndomain: *n\n", "million.yaml": keys.String(), "twice.yaml": product + "name: again\n",
		"tabs.yaml": "name: x\n\tdomain: y\n", "unknown-key.yaml": product + "colour: red\n", "utf16.yaml": utf16(product, encoding.LittleEndian),
		"nul.yaml": "name: \"a\x00b\"\n", "empty.yaml": "", "deep.yaml": strings.Repeat("[", 10_000), "list.yaml": "- a\n- b\n",
	} {
		write(t, name, data)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"product.yaml", "nothing"}, "holds no data files"},
		{[]string{"product.yaml", "torn"}, "torn/part.csv"},
		{[]string{"product.yaml", "packed"}, "packed/b.csv.bz2: the file could not be read whole: it is compressed with bzip2"},
		{[]string{"../../etc/passwd", "rows.csv"}, ".."},
		{[]string{"commerce/../../x", "rows.csv"}, ".."},
		{[]string{"commerce/stolen", "rows.csv"}, "stolen"},
		{[]string{"commerce/absent", "rows.csv"}, "no such data product"},
		{[]string{"bomb.yaml", "rows.csv"}, "bomb.yaml: line 1, column 4: anchors"},
		{[]string{"anchor.yaml", "rows.csv"}, "anchor.yaml: line 1, column 7: anchors"},
		{[]string{"million.yaml", "rows.csv"}, "million.yaml"},
		{[]string{"twice.yaml", "rows.csv"}, "twice.yaml:"},
		{[]string{"tabs.yaml", "rows.csv"}, "tabs.yaml: line 2, column 1: a tab"},
		{[]string{"unknown-key.yaml", "rows.csv"}, "colour"},
		{[]string{"utf16.yaml", "rows.csv"}, "utf16.yaml"},
		{[]string{"nul.yaml", "rows.csv"}, "nul.yaml"},
		{[]string{"empty.yaml", "rows.csv"}, "empty.yaml"},
		{[]string{"deep.yaml", "rows.csv"}, "deep.yaml"},
		{[]string{"list.yaml", "rows.csv"}, "list.yaml"},
	} {
		out, errOut, err := weir(t, append([]string{"validate"}, c.args...)...)
		if got := code(err); got != 2 || !strings.Contains(out+errOut, c.want) {
			t.Errorf("weir validate %v: exit %d; expected 2 and %q:\n%.500s%.500s", c.args, got, c.want, out, errOut)
		}
		if len(errOut) > 2000 {
			t.Errorf("weir validate %v: an error of %d bytes", c.args, len(errOut))
		}
	}
}

// TestValidateByOneOfSeveralSchemaObjectsInAFile needs no registry.
func TestValidateByOneOfSeveralSchemaObjectsInAFile(t *testing.T) {
	alone(t)
	const head = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\nname: shop\nschema:\n"
	write(t, "shop.yaml", head+"- {name: orders, properties: [{name: id, logicalType: integer}]}\n- {name: users, properties: [{name: id, logicalType: string, logicalTypeOptions: {minLength: 3}}]}\n")
	write(t, "one.yaml", head+"- {name: orders, properties: [{name: id}]}\n")
	write(t, "rows.csv", "id\n1\n2\n")
	for _, c := range []struct {
		product string
		code    int
		want    string
	}{
		{"shop.yaml#orders", 0, "default/shop.orders  holds"}, {"shop.yaml#users", 1, "default/shop.users  broken"},
		{"shop.yaml", 2, "say which one the files are: default/shop.orders, default/shop.users, or of a contract's own file CONTRACT.yaml#orders"},
		{"shop.yaml#items", 2, "shop.yaml has the schema objects orders, users"}, {"one.yaml#orders", 2, "one.yaml has no more than one schema object, so leave out #orders"},
		{"absent.yaml#orders", 2, "absent.yaml"},
	} {
		if out, errOut, err := weir(t, "validate", c.product, "rows.csv"); code(err) != c.code || !strings.Contains(out+errOut, c.want) {
			t.Errorf("%s: exit %d; expected %d and %q:\n%s%s", c.product, code(err), c.code, c.want, out, errOut)
		}
	}
}

// TestOneIsSingular in all that is said of a data set of one row.
func TestOneIsSingular(t *testing.T) {
	alone(t)
	const head = "apiVersion: v3.1.0\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\nschema:\n- name: t\n"
	write(t, "product.yaml", head+"  properties: [{name: a, logicalType: integer, quality: [{metric: nullValues, mustBeGreaterThan: 1}]}]\n  quality: [{metric: rowCount, mustBeGreaterOrEqualTo: 2}]\n")
	write(t, "window.yaml", head+"customProperties: [{property: window, value: 1 rows}]\n")
	write(t, "row.csv", "a,b\nx,1\n")
	write(t, "bad.jsonl", "x\n")
	write(t, "good.jsonl", "{\"a\":\"x\"}\n\"\n")
	plural := regexp.MustCompile(`(^|[^.,0-9])1 [a-z]+s\b`)
	for _, args := range [][]string{
		{"validate", "product.yaml", "row.csv"}, {"validate", "product.yaml", "bad.jsonl"}, {"validate", "product.yaml", "bad.jsonl", "--format", "json"},
		{"validate", "product.yaml", "bad.jsonl", "--format", "junit"}, {"validate", "product.yaml", "row.csv", "--format", "sarif"},
		{"products", "infer", "row.csv"}, {"products", "infer", "good.jsonl"}, {"products", "diff", "product.yaml", "window.yaml"},
	} {
		out, errOut, _ := weir(t, args...)
		if found := plural.FindString(out + errOut); found != "" {
			t.Errorf("weir %v says %q:\n%s%s", args, found, out, errOut)
		}
	}
}

// TestValidateRefusesAFileNamedTwice: its rows would count twice.
func TestValidateRefusesAFileNamedTwice(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	if err := os.MkdirAll("folder/.hidden", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"folder/a.csv", "folder/b.csv", "folder/.hidden/c.csv"} {
		write(t, path, "user_id,email\n1,a@example.com\n")
	}
	for link, target := range map[string]string{"link.csv": "folder/a.csv", "link": "folder", "folder/.hidden/more": ".."} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link("folder/a.csv", "hard.csv"); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files []string
		want  string
	}{
		{[]string{"folder/a.csv", "folder/a.csv"}, "folder/a.csv and folder/a.csv are one file, whose rows would count twice"},
		{[]string{"folder/a.csv", filepath.Join(here, "folder/a.csv")}, "are one file"},
		{[]string{"folder", "folder/b.csv"}, "folder/b.csv and folder/b.csv are one file"},
		{[]string{"folder/b.csv", "link.csv", "folder/a.csv"}, "link.csv and folder/a.csv are one file"},
		{[]string{"folder", "link"}, "folder/a.csv and link/a.csv are one file"},
		{[]string{"hard.csv", "link.csv"}, "are one file"},
		{[]string{"-", "folder/a.csv", "-"}, "standard input (-) is named twice"},
		{[]string{"folder/.hidden"}, "folder/.hidden/more is a link to a folder, which is not followed"},
	} {
		if _, errOut, err := weir(t, append([]string{"validate", "product.yaml"}, c.files...)...); code(err) != 2 || !strings.Contains(errOut, c.want) {
			t.Errorf("weir validate %v: %v; expected exit 2 and %q: %s", c.files, err, c.want, errOut)
		}
	}
	if err := os.Remove("folder/.hidden/more"); err != nil {
		t.Fatal(err)
	}
	// What a link in a folder leads to is read once, be it in the folder itself or nowhere else in it.
	for link, target := range map[string]string{"folder/latest.csv": "b.csv", "folder/latest": "more", "folder/c.csv": ".hidden/c.csv"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("folder/more", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "folder/more/d.csv", "user_id,email\n1,a@example.com\n")
	for _, c := range []struct {
		files []string
		want  string
	}{
		{[]string{"folder"}, "4 rows in 4 files"}, {[]string{"link"}, "4 rows in 4 files"}, {[]string{"folder/a.csv", "folder/b.csv"}, "2 rows"},
		{[]string{"folder/.hidden"}, "1 row in folder/.hidden/c.csv"}, {[]string{"--each", "folder/a.csv", "link.csv"}, "holds"},
	} {
		if out, errOut, err := weir(t, append([]string{"validate", "product.yaml"}, c.files...)...); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("weir validate %v: %v; expected %q:\n%s%s", c.files, err, c.want, out, errOut)
		}
	}
}

// TestValidateNotUnderstoodIsExitCodeTwo: 1 would say that the contract is broken.
func TestValidateNotUnderstoodIsExitCodeTwo(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	for want, args := range map[string][]string{
		`found ["product.yaml"]`: {"validate", "product.yaml"}, "expected a product and at least one file": {"validate"}, "unknown flag: --jsn": {"validate", "--jsn", "product.yaml", "a.csv"},
	} {
		if _, errOut, err := weir(t, args...); code(err) != 2 || !strings.Contains(errOut, want) {
			t.Errorf("weir %v: %v %s", args, err, errOut)
		}
	}
	if _, errOut, err := weir(t, "validate", "no\x1b[31m/such", "a.csv"); code(err) != 2 || strings.Contains(errOut, "\x1b") {
		t.Errorf("%v %q", err, errOut)
	}
}

func TestValidateEachFileAlone(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	write(t, "good.csv", "user_id,email\n1,a@example.com\n2,b@example.com\n")
	write(t, "nulls.csv", "user_id,email\n1,\n2,b@example.com\n")
	write(t, "torn.csv", "user_id,email\n1,\"a\n")
	for _, c := range []struct {
		files    []string
		code     int
		verdicts string
	}{
		{[]string{"good.csv"}, 0, "holds"}, {[]string{"good.csv", "nulls.csv"}, 1, "holds broken"},
		{[]string{"torn.csv", "nulls.csv", "good.csv"}, 2, "could not tell broken holds"},
	} {
		out, _, err := weir(t, append([]string{"validate", "product.yaml", "--each", "--format", "json"}, c.files...)...)
		var verdicts []string
		for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
			var r struct {
				Verdict string           `json:"verdict"`
				Schema  *bool            `json:"schema_compliance"`
				Files   []map[string]any `json:"files"`
			}
			if err := d.Decode(&r); err != nil || r.Schema == nil || len(r.Files) != 1 {
				t.Fatalf("%v in %s", err, out)
			}
			verdicts = append(verdicts, r.Verdict)
		}
		if got := strings.Join(verdicts, " "); code(err) != c.code || got != c.verdicts {
			t.Errorf("%v: exit %d, %s; want %d, %s", c.files, code(err), got, c.code, c.verdicts)
		}
	}
	for format, want := range map[string]string{"junit": "<testsuite ", "sarif": `"invocations"`, "text": " rows in "} {
		out, _, err := weir(t, "validate", "product.yaml", "--each", "--format", format, "good.csv", "nulls.csv")
		if code(err) != 1 || strings.Count(out, want) != 2 {
			t.Errorf("%s: %v, %d times %s:\n%s", format, err, strings.Count(out, want), want, out)
		}
	}
}

func TestValidateTellsLineage(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	write(t, "good.csv", "user_id,email\n1,a@example.com\n")
	write(t, "torn.csv", "user_id,email\n1,\"a\n")
	if _, errOut, err := weir(t, "validate", "product.yaml", "good.csv", "torn.csv", "--each", "--lineage", "lineage.jsonl"); code(err) != 2 {
		t.Fatalf("%v %s", err, errOut)
	}
	data, err := os.ReadFile("lineage.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	runs := map[string]bool{}
	for d := json.NewDecoder(bytes.NewReader(data)); d.More(); {
		var e struct {
			Kind string `json:"eventType"`
			Run  struct {
				ID string `json:"runId"`
			} `json:"run"`
		}
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Kind)
		runs[e.Run.ID] = true
	}
	if got := strings.Join(kinds, " "); got != "START COMPLETE START FAIL" || len(runs) != 2 {
		t.Errorf("%s of %d runs", got, len(runs))
	}
	// What was asked for and not done is no success; the report is written all the same.
	out, errOut, err := weir(t, "validate", "product.yaml", "good.csv", "--lineage", "http://127.0.0.1:1/lineage")
	if code(err) != 2 || !strings.Contains(out, "holds") || !strings.Contains(errOut, "lineage") {
		t.Errorf("%v\n%s%s", err, out, errOut)
	}
	if _, errOut, err := weir(t, "validate", "product.yaml", "good.csv", "--lineage", "absent/lineage.jsonl"); code(err) != 2 || !strings.Contains(errOut, "lineage") {
		t.Errorf("%v %s", err, errOut)
	}
}

func TestProductsRelationsAndInfer(t *testing.T) {
	alone(t)
	var orders, users strings.Builder
	orders.WriteString("order_id,user_id\n")
	users.WriteString("id,name\n")
	for i := range 200 {
		orders.WriteString(strings.Join([]string{"o" + strings.Repeat("x", i), "u" + strings.Repeat("y", i/2)}, ",") + "\n")
		users.WriteString("u" + strings.Repeat("y", i) + ",n\n")
	}
	write(t, "orders.csv", orders.String())
	write(t, "users.csv", users.String())
	out, _, err := weir(t, "products", "relations", "commerce/orders=orders.csv", "users.csv")
	if err != nil || !strings.Contains(out, "commerce/orders.user_id → users.id  100.0% of 100 values (counted), where it is unique") {
		t.Errorf("%v\n%s", err, out)
	}
	out, _, err = weir(t, "products", "relations", "commerce/orders=orders.csv", "crm/users=users.csv", "--format", "json")
	var found struct {
		Relations []struct {
			From, To struct{ Product, Column string }
			Share    float64
			Counted  bool
		}
	}
	if jsonErr := json.Unmarshal([]byte(out), &found); err != nil || jsonErr != nil || len(found.Relations) == 0 || found.Relations[0].To.Product != "crm/users" {
		t.Errorf("%v %v\n%s", err, jsonErr, out)
	}
	for _, args := range [][]string{{"a=orders.csv"}, {"orders.csv", "absent.csv"}, {"orders.csv", "orders.csv"}, {"orders.csv", "users.csv", "--format", "xml"}, {"orders.csv", "some_topic"}} {
		if out, _, err := weir(t, append([]string{"products", "relations"}, args...)...); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("relations %v: %v\n%s", args, err, out)
		}
	}
	write(t, "latin1.csv", "id,name\nu1,\xe9\n")
	write(t, "half.csv", users.String()+"u,\xe9\n")
	write(t, "header.csv", "id,name\n")
	if out, _, err := weir(t, "products", "relations", "orders.csv", "half.csv"); err != nil || !strings.Contains(out, "! half: 1 record could not be decoded: left out\n") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, _, err := weir(t, "products", "relations", "orders.csv", "half.csv", "--format", "json"); err != nil || !strings.Contains(out, `"half": 1`) {
		t.Errorf("%v\n%s", err, out)
	}
	for want, args := range map[string][]string{
		"latin1.csv: no row, and 1 record that could not be decoded: column name is not UTF-8": {"infer", "latin1.csv"}, "header.csv: no rows; there is nothing to draft from": {"infer", "header.csv"},
		"latin1: no row, and 1 record that could not be decoded": {"relations", "orders.csv", "latin1.csv"}, `"b=": expected PRODUCT=FILE[,FILE…], found an empty name`: {"relations", "orders.csv", "b="},
	} {
		if out, _, err := weir(t, append([]string{"products"}, args...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q\n%s", args, err, want, out)
		}
	}
	if out, _, err := weir(t, "products", "infer", "orders.csv"); err != nil || !strings.Contains(out, "id: draft.orders\n") {
		t.Errorf("infer: %v\n%s", err, out)
	}
	if _, _, err := weir(t, "products", "infer", "user_events"); err == nil || !strings.Contains(err.Error(), "user_events is no file; to look for it as a topic: no configuration") {
		t.Errorf("infer of a topic without a configuration: %v", err)
	}
}

func TestCompletionOfProductsAndFormats(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	if err := os.Mkdir("data-products", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := weir(t, "products", "register", "product.yaml"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"validate", ""}, "commerce/user_events"}, {[]string{"products", "show", ""}, "commerce/user_events"},
		{[]string{"products", "lint", ""}, "commerce/user_events"}, {[]string{"products", "diff", ""}, "commerce/user_events"},
		{[]string{"validate", "--format", ""}, "sarif"}, {[]string{"validate", "--as", ""}, "parquet"},
		{[]string{"products", "diff", "--compatibility", ""}, "FULL_TRANSITIVE"}, {[]string{"products", "relations", "--format", ""}, "json"},
		{[]string{"products", "list", ""}, "commerce"},
	} {
		if out, _, err := weir(t, append([]string{"__complete"}, c.args...)...); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("complete %v: %v; expected %s:\n%s", c.args, err, c.want, out)
		}
	}
	if out, _, _ := weir(t, "__complete", "validate", "commerce/user_events", ""); strings.Contains(out, "commerce/user_events") {
		t.Errorf("a second argument of validate is a file:\n%s", out)
	}
}
