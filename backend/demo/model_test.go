package demo

import (
	"encoding/csv"
	"flag"
	"os"
	"strconv"
	"testing"
)

var export = flag.String("export", "", "write the population as CSV to this file, for model/train.py")

func TestExportPopulation(t *testing.T) {
	if *export == "" {
		t.Skip("writes only with -export FILE")
	}
	f, err := os.Create(*export)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := csv.NewWriter(f)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(out.Write([]string{"age", "location", "click_rate_24h", "purchase_history_30d", "weight", "missing"}))
	share := weights()
	for rank, u := range population() {
		must(out.Write([]string{
			strconv.Itoa(u.age), strconv.Itoa(u.location), strconv.FormatFloat(u.clickRate, 'f', 3, 64), strconv.Itoa(u.purchases),
			strconv.FormatFloat(share[rank], 'g', 12, 64), u.missing,
		}))
	}
	out.Flush()
	must(out.Error())
}
