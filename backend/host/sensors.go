package host

import (
	"context"
	"fmt"
	stdnet "net"
	"os"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/net"
	"github.com/shirou/gopsutil/v3/process"
)

// systemSensors read the machine and the process weir runs on.
func systemSensors(folder string) []*sensor {
	return []*sensor{
		{name: "cpu", read: readCPU()},
		{name: "load", read: readLoad},
		{name: "memory", read: readMemory},
		{name: "disk", read: readDisk(folder)},
		{name: "network", read: readNetwork()},
		{name: "process", read: readProcess()},
		{name: "runtime", read: readRuntime()},
	}
}

func readCPU() func(context.Context) (func(*Snapshot), error) {
	var before cpu.TimesStat
	var known bool
	return func(ctx context.Context) (func(*Snapshot), error) {
		cores := runtime.NumCPU()
		setCores := func(s *Snapshot) { s.Cores = cores }
		times, err := cpu.TimesWithContext(ctx, false)
		if err == nil && len(times) == 0 {
			err = fmt.Errorf("the system lists no CPU times")
		}
		if err != nil {
			percent, err := fallbackCPU(ctx, err)
			if err != nil {
				return setCores, err
			}
			return func(s *Snapshot) { s.Cores, s.CPUPercent = cores, percent }, nil
		}
		percent, ok := busyPercent(before, times[0])
		ok = ok && known
		before, known = times[0], true
		if !ok {
			return setCores, nil // the first reading has nothing to be compared with
		}
		return func(s *Snapshot) { s.Cores, s.CPUPercent = cores, percent }, nil
	}
}

// busyPercent is the share of CPU time between two readings that was neither idle nor waiting for a disk. Guest time
// is part of user time and nice time already.
func busyPercent(before, now cpu.TimesStat) (float64, bool) {
	total := func(t cpu.TimesStat) float64 {
		return t.User + t.Nice + t.System + t.Idle + t.Iowait + t.Irq + t.Softirq + t.Steal
	}
	idle := func(t cpu.TimesStat) float64 { return t.Idle + t.Iowait }
	all := total(now) - total(before)
	if all <= 0 {
		return 0, false // no time passed, or the counters were set back
	}
	return min(max(100*(all-(idle(now)-idle(before)))/all, 0), 100), true
}

func readLoad(ctx context.Context) (func(*Snapshot), error) {
	l, err := load.AvgWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return func(s *Snapshot) { s.Load1 = l.Load1 }, nil
}

func readMemory(ctx context.Context) (func(*Snapshot), error) {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return func(s *Snapshot) {
		s.MemoryPercent, s.MemoryUsed, s.MemoryTotal = m.UsedPercent, m.Used, m.Total
	}, nil
}

func readDisk(folder string) func(context.Context) (func(*Snapshot), error) {
	return func(ctx context.Context) (func(*Snapshot), error) {
		d, err := disk.UsageWithContext(ctx, folder)
		if err != nil {
			return nil, fmt.Errorf("folder %s: %w", folder, err)
		}
		return func(s *Snapshot) { s.DiskPercent, s.DiskFree = d.UsedPercent, d.Free }, nil
	}
}

func readNetwork() func(context.Context) (func(*Snapshot), error) {
	var beforeReceived, beforeSent uint64
	var at time.Time
	return func(ctx context.Context) (func(*Snapshot), error) {
		counters, err := net.IOCountersWithContext(ctx, true)
		if err != nil {
			return nil, err
		}
		loopback := loopbackNames()
		var received, sent uint64
		for _, c := range counters {
			if !loopback[c.Name] {
				received, sent = received+c.BytesRecv, sent+c.BytesSent
			}
		}
		now := time.Now()
		seconds := now.Sub(at).Seconds()
		// An interface that left takes its count with it; one second without a figure is better than a negative one.
		ok := !at.IsZero() && seconds > 0 && received >= beforeReceived && sent >= beforeSent
		in, out := float64(received-beforeReceived)/seconds, float64(sent-beforeSent)/seconds
		beforeReceived, beforeSent, at = received, sent, now
		if !ok {
			return nil, nil
		}
		return func(s *Snapshot) { s.NetReceived, s.NetSent = in, out }, nil
	}
}

func loopbackNames() map[string]bool {
	names := map[string]bool{"lo": true, "lo0": true}
	interfaces, err := stdnet.Interfaces()
	if err != nil {
		return names // the two usual names remain
	}
	for _, i := range interfaces {
		if i.Flags&stdnet.FlagLoopback != 0 {
			names[i.Name] = true
		}
	}
	return names
}

func readProcess() func(context.Context) (func(*Snapshot), error) {
	self := &process.Process{Pid: int32(os.Getpid())}
	var before float64
	var at time.Time
	return func(ctx context.Context) (func(*Snapshot), error) {
		var set []func(*Process)
		var problem error
		if times, err := self.TimesWithContext(ctx); err != nil {
			problem = fmt.Errorf("CPU time: %w", err)
		} else {
			now, used := time.Now(), times.User+times.System
			if seconds := now.Sub(at).Seconds(); !at.IsZero() && seconds > 0 && used >= before {
				percent := 100 * (used - before) / seconds
				set = append(set, func(p *Process) { p.CPUPercent = percent })
			}
			before, at = used, now
		}
		if m, err := self.MemoryInfoWithContext(ctx); err != nil {
			problem = fmt.Errorf("memory: %w", err)
		} else {
			set = append(set, func(p *Process) { p.RSS = m.RSS })
		}
		if n, err := fileHandles(ctx, self); err != nil {
			problem = fmt.Errorf("file handles: %w", err)
		} else {
			set = append(set, func(p *Process) { p.FileHandles = n })
		}
		return func(s *Snapshot) {
			for _, f := range set {
				f(&s.Process)
			}
		}, problem
	}
}

// fileHandles counts the open descriptors. Where gopsutil cannot (macOS without cgo), /dev/fd can.
func fileHandles(ctx context.Context, self *process.Process) (int32, error) {
	n, err := self.NumFDsWithContext(ctx)
	if err == nil {
		return n, nil
	}
	entries, dirErr := os.ReadDir("/dev/fd")
	if dirErr != nil {
		return 0, err
	}
	return int32(len(entries) - 1), nil // less the one that read the folder
}

func readRuntime() func(context.Context) (func(*Snapshot), error) {
	started := time.Now()
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
	}
	return func(context.Context) (func(*Snapshot), error) {
		metrics.Read(samples) // unlike runtime.ReadMemStats it does not stop the world
		var heap uint64
		for _, s := range samples {
			if s.Value.Kind() == metrics.KindUint64 {
				heap += s.Value.Uint64()
			}
		}
		goroutines, uptime := runtime.NumGoroutine(), time.Since(started)
		return func(s *Snapshot) {
			s.Process.HeapInUse, s.Process.Goroutines, s.Process.Uptime = heap, goroutines, uptime
		}, nil
	}
}
