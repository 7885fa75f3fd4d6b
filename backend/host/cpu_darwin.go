package host

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
)

// fallbackCPU answers where gopsutil cannot: its CPU times of macOS need cgo, which weir is built without. The sum of
// ps's shares is a decaying average of about a minute, calmer than a reading of one second.
func fallbackCPU(ctx context.Context, _ error) (float64, error) {
	out, err := exec.CommandContext(ctx, "/bin/ps", "-A", "-o", "%cpu=").Output()
	if err != nil {
		return 0, fmt.Errorf("asking ps for the CPU shares of all processes: %w", err)
	}
	return sumShares(string(out), runtime.NumCPU())
}
