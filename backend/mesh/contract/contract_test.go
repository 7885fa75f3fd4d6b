package contract

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAPyYAMLDumpLoadsUnchanged(t *testing.T) {
	for _, file := range []string{"pyyaml-plain.yaml", "pyyaml-escaped.yaml", "pyyaml-folded.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(data, "", "")
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if p.Key() != "commerce/user_events" || p.Format != Article || p.Version != "1.0" || p.Refresh != "hourly" {
			t.Errorf("%s: %+v", file, p)
		}
		if want := []string{"user_id", "timestamp"}; !reflect.DeepEqual(p.RequiredColumns, want) {
			t.Errorf("%s: required columns %v", file, p.RequiredColumns)
		}
		if want := []string{"data@example.com", "no"}; !reflect.DeepEqual(p.Owners, want) {
			t.Errorf("%s: owners %v", file, p.Owners)
		}
		if again, err := p.Encode(); err != nil || string(again) != string(data) {
			t.Errorf("%s: Encode gave other bytes (%v)", file, err)
		}
	}
}

func TestEncodeIsReadBack(t *testing.T) {
	p := Product{
		Format: Article, Domain: "commerce", Name: "user_events", Description: "it's: \"quoted\"\nand — two lines\t#",
		Owners: []string{"no", "1.5", "a b", "- x", "null", ""}, Consumers: nil, Version: "1.0", Refresh: "hourly",
		RequiredColumns: []string{"user_id", "y"}, MaxNull: 0.00001,
	}
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(data, "", "")
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	got.Source, got.Rules = nil, nil
	p.Consumers = []string{}
	if !reflect.DeepEqual(got, p) {
		t.Errorf("got  %+v\nwant %+v", got, p)
	}
}

func TestWhatIsWrongWithAFileIsToldWithItsPlace(t *testing.T) {
	long := strings.Repeat("k: v\n", 3)
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "domain: a\nname: b\nfoo: 1\n", `line 3, column 1: data product: unknown key "foo"`},
		{"unknown nested key", "domain: a\nname: b\nquality_sla:\n  max_nulls: 1\n", `line 4, column 3: quality_sla: unknown key "max_nulls"`},
		{"missing name", "domain: a\n", `line 1, column 1: data product: the key "name" is missing`},
		{"bad name", "domain: a\nname: ../b\n", `line 2, column 7: name "../b": expected letters`},
		{"share", "domain: a\nname: b\nquality_sla:\n  max_null_percentage: 5\n", `line 4, column 24: max_null_percentage: expected a fraction from 0 to 1 (0.05 is 5%), found 5`},
		{"share as text", "domain: a\nname: b\nquality_sla:\n  max_null_percentage: '0.05'\n", `expected a number, found "0.05"`},
		{"list", "domain: a\nname: b\nowners: me\n", `line 3, column 9: owners: expected a list, found a single value`},
		{"duplicate key", "domain: a\nname: b\nname: c\n", `line 3, column 1: mapping key "name" already defined`},
		{"anchor", "domain: &a x\nname: b\n", `anchors and aliases are not allowed`},
		{"alias", "domain: x\nname: b\nowners: *a\n", `anchors and aliases are not allowed`},
		{"merge", "domain: x\nname: b\n<<: {a: 1}\n", `merge keys`},
		{"tag", "domain: !!python/name:os.system x\nname: b\n", `tags (!…) are not allowed`},
		{"two documents", "domain: a\nname: b\n---\nx: 1\n", `line 4, column 1: a second YAML document`},
		{"tab", "domain: a\nquality_sla:\n\tmax: 1\n", `line 3, column 1: a tab in the indentation`},
		{"empty", "", `the file is empty`},
		{"only a comment", "# nothing\n", `the file is empty`},
		{"a list", "- a\n", `expected a mapping with the keys of a data product, found a list`},
		{"utf-16", "\xff\xfed\x00", `UTF-16`},
		{"not utf-8", "domain: \xff\n", `line 1, column 9: a byte that is not UTF-8`},
		{"nul", "domain: a\x00b\n", `a control character (0x00)`},
		{"unclosed", "domain: [\n", `line 1`},
		{"deep", "domain: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), `nested deeper`},
		{"deep indentation", deepYAML(200), `nested deeper`},
		{"many keys", strings.Repeat("k: v\n", MaxKeys+1), `more than 10000 keys`},
		{"large", strings.Repeat("#", MaxBytes+1), `a product may have 1048576`},
		{"repeated", long, `already defined`},
	} {
		start := time.Now()
		_, err := Parse([]byte(c.text), "", "")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %s", c.name, took)
		}
	}
}

func deepYAML(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "k:\n")
	}
	return b.String()
}

func TestAByteOrderMarkIsNoHarm(t *testing.T) {
	if _, err := Parse([]byte("\xef\xbb\xbfdomain: a\nname: b\n"), "", ""); err != nil {
		t.Error(err)
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := Parse([]byte("domain: a\nname: ' '\nowners: 1\nx: 1\ny: 2\n"), "", "")
	if n := strings.Count(err.Error(), "\n") + 1; n != 4 {
		t.Errorf("%d errors: %v", n, err)
	}
}

func TestSensitiveNames(t *testing.T) {
	for name, want := range map[string]bool{
		"email": true, "userEmail": true, "e_mail": true, "phone_number": true, "first_name": true, "customerName": true,
		"ip_address": true, "user.password": true, "date_of_birth": true, "api_key": true, "lat": true,
		"user_id": false, "timestamp": false, "amount": false, "shipment": false, "filename": false, "zipper": false, "token_count": true, "plate": false,
	} {
		if got := Sensitive(name, "", nil); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if Sensitive("email", "public", nil) {
		t.Error("a public column is masked")
	}
	if !Sensitive("x", "PII", nil) || !Sensitive("x", "", []string{"Personal Data"}) {
		t.Error("a classified column is shown")
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data, "d", "n")
		if err != nil {
			return
		}
		if err := p.Validate(); err != nil {
			t.Errorf("parsed, but: %v", err)
		}
	})
}
