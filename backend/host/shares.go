package host

import (
	"fmt"
	"strconv"
	"strings"
)

// sumShares adds ps's column of CPU shares (percent of one core, a line a process) to percent of all cores, 0..100.
// A locale may write a comma for the point.
func sumShares(column string, cores int) (float64, error) {
	fields := strings.Fields(column)
	if len(fields) == 0 || cores < 1 {
		return 0, fmt.Errorf("ps listed %d processes for %d cores", len(fields), cores)
	}
	sum := 0.0
	for i, field := range fields {
		share, err := strconv.ParseFloat(strings.ReplaceAll(field, ",", "."), 64)
		if err != nil {
			return 0, fmt.Errorf("CPU share %d of ps: expected a number, found %q", i+1, field)
		}
		sum += share
	}
	return min(max(sum/float64(cores), 0), 100), nil
}
