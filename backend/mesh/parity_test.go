package mesh

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"testing"

	"weir/backend/mesh/contract"
)

// TestPandasAgrees compares weir's result with what the article's function, run by pandas, said of the same files
// (testdata/parity/make.py). Order aside, the results are equal, word for word.
func TestPandasAgrees(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/parity/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		SLAs map[string]struct {
			Required []string `json:"required_columns"`
			MaxNull  float64  `json:"max_null_percentage"`
		} `json:"slas"`
		Results map[string]map[string]Result `json:"results"`
	}
	if err := json.Unmarshal(data, &expected); err != nil {
		t.Fatal(err)
	}
	if len(expected.Results) < 20 {
		t.Fatalf("%d fixtures", len(expected.Results))
	}
	for file, slas := range expected.Results {
		for sla, want := range slas {
			p := DataProduct{
				Format: contract.Article, Domain: "d", Name: "n", RequiredColumns: expected.SLAs[sla].Required, MaxNull: expected.SLAs[sla].MaxNull,
				Rules: contract.ArticleRules(expected.SLAs[sla].Required, expected.SLAs[sla].MaxNull),
			}
			for _, workers := range []int{1, 2} {
				report, err := ValidateFiles(context.Background(), p, []string{filepath.Join("testdata/parity", file)}, FileOptions{Workers: workers, Comma: ','})
				if err != nil {
					t.Fatal(err)
				}
				if !report.Whole() {
					t.Errorf("%s: not whole: %v %v", file, report.Files, report.Garbage)
				}
				got := report.Result()
				sort.Strings(got.Issues)
				sort.Strings(want.Issues)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s, %s, %d workers:\ngot  %+v\nwant %+v", file, sla, workers, got, want)
				}
			}
		}
	}
}

// differs lists where weir and datacontract-cli come to different results on the fixtures of testdata/datacontract, and
// why. Nothing else may differ.
var differs = map[string]struct {
	exit int // weir's
	why  string
}{
	"null_between":                  {ExitBroken, "mustBeBetween excludes both ends, as the standard says; datacontract-cli includes them"},
	"row_count_between":             {ExitBroken, "mustBeBetween excludes both ends, as the standard says; datacontract-cli includes them"},
	"no_rows_null_percent":          {ExitUnknown, "zero rows is no data, never a pass; datacontract-cli takes 0 % of nothing for a pass"},
	"duplicateValues_percent_fails": {ExitBroken, "datacontract-cli leaves a percentage of duplicates out, with a warning"},
	"unknown_metric":                {ExitUnknown, "both refuse it; weir judges the rest and says that it could not tell about this one"},
}

// TestDatacontractCLIAgrees compares weir's exit code with what datacontract-cli said of the same contracts and files
// (testdata/datacontract/make.py), the differences listed one by one.
func TestDatacontractCLIAgrees(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/datacontract/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Results map[string]struct{ File, Result string }
	}
	if err := json.Unmarshal(data, &expected); err != nil {
		t.Fatal(err)
	}
	if len(expected.Results) < 20 {
		t.Fatalf("%d fixtures", len(expected.Results))
	}
	for name, theirs := range expected.Results {
		p, err := ReadProduct(filepath.Join("testdata/datacontract", name+".odcs.yaml"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		report, err := ValidateFiles(context.Background(), p, []string{filepath.Join("testdata/datacontract", theirs.File)}, FileOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"passed": ExitHolds, "failed": ExitBroken}[theirs.Result]
		if d, ok := differs[name]; ok {
			if d.exit == want {
				t.Errorf("%s: no longer differs", name)
			}
			want = d.exit
		}
		if got := report.ExitCode(); got != want {
			t.Errorf("%s: exit code %d, want %d; datacontract-cli says %s; issues %v", name, got, want, theirs.Result, report.Result())
		}
	}
}
