package edge

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be a process that is killed; see kill_test.go.
func TestMain(m *testing.M) {
	if os.Getenv(fleetEnv) != "" {
		fleet()
		return
	}
	if os.Getenv(steadyEnv) != "" {
		steady()
		return
	}
	if os.Getenv(victimEnv) != "" {
		victim()
		return
	}
	goleak.VerifyTestMain(m)
}
