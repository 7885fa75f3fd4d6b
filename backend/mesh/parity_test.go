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
