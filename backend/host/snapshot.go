// Package host reads this machine and this process.
package host

import (
	"time"

	"weir/backend/safetext"
)

// Snapshot is the machine and the process at one instant. It is immutable. A figure the system does not tell is NaN
// or -1.
type Snapshot struct {
	At            time.Time
	Name          safetext.Text
	CPUPercent    float64 // of all cores, 0..100, since the last reading
	Cores         int
	Load1         float64
	MemoryPercent float64
	MemoryUsed    uint64 // bytes
	MemoryTotal   uint64
	DiskPercent   float64 // of the file system that holds the working folder
	DiskFree      uint64
	NetReceived   float64 // bytes a second over all interfaces but loopback
	NetSent       float64

	Process Process
	Error   safetext.Text
}

// Process is this process.
type Process struct {
	CPUPercent  float64 // of one core: 200 is two cores busy
	RSS         uint64  // bytes resident
	HeapInUse   uint64  // bytes
	Goroutines  int
	FileHandles int32
	Uptime      time.Duration
}
