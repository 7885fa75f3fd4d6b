package host

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fixed(name string, set func(*Snapshot)) *sensor {
	return &sensor{name: name, read: func(context.Context) (func(*Snapshot), error) { return set, nil }}
}

func TestAReadingThatHangsDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		asked := 0
		e := newEngine(Config{}, []*sensor{
			{name: "disk", read: func(context.Context) (func(*Snapshot), error) {
				asked++
				<-release // the system call that ignores every deadline
				return func(s *Snapshot) { s.DiskPercent = 50 }, nil
			}},
			{name: "network", read: func(context.Context) (func(*Snapshot), error) {
				return nil, errors.New("permission denied\x1b[2J")
			}},
			{name: "load", read: func(context.Context) (func(*Snapshot), error) { panic("a file of a kind never seen") }},
			fixed("memory", func(s *Snapshot) { s.MemoryPercent = 42 }),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()

		time.Sleep(900 * time.Millisecond) // the first round's deadline has passed, in the bubble's time
		synctest.Wait()
		s := e.Snapshot()
		if s.MemoryPercent != 42 {
			t.Errorf("memory = %v, want 42 though the disk hangs", s.MemoryPercent)
		}
		if !math.IsNaN(s.DiskPercent) || !math.IsNaN(s.NetReceived) || !math.IsNaN(s.Load1) {
			t.Errorf("what was not read must be unknown, found %+v", s)
		}
		for _, want := range []string{"disk: no answer within 800ms", `network: permission denied\x1b[2J`, "load: the reading panicked"} {
			if !strings.Contains(s.Error.String(), want) {
				t.Errorf("Error = %q, want it to say %q", s.Error, want)
			}
		}

		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := e.Snapshot().Error.String(); asked != 1 || !strings.Contains(got, "disk: still no answer") {
			t.Errorf("the hanging reading was asked %d times (want 1), and Error = %q", asked, got)
		}

		close(release)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := e.Snapshot(); got.DiskPercent != 50 {
			t.Errorf("the disk answers again, but the snapshot says %v", got.DiskPercent)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil when its context ends", err)
		}
	})
}

func TestSnapshotBeforeRun(t *testing.T) {
	s := New(Config{}).Snapshot()
	if s == nil || !math.IsNaN(s.CPUPercent) || s.Process.FileHandles != -1 || s.Cores != -1 {
		t.Fatalf("before the first round all is unknown, found %+v", s)
	}
}

func TestThisMachine(t *testing.T) {
	e := New(Config{Folder: t.TempDir(), Interval: 20 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	for math.IsNaN(e.Snapshot().CPUPercent) && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	s := e.Snapshot()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	in := func(name string, value, low, high float64) {
		if !(value >= low && value <= high) {
			t.Errorf("%s = %v, expected %v to %v (error %q)", name, value, low, high, s.Error)
		}
	}
	in("CPUPercent", s.CPUPercent, 0, 100)
	in("Cores", float64(s.Cores), 1, 4096)
	in("Load1", s.Load1, 0, 1e6)
	in("MemoryPercent", s.MemoryPercent, 0.01, 100)
	in("MemoryTotal", float64(s.MemoryTotal), 1<<24, 1<<60)
	in("DiskPercent", s.DiskPercent, 0, 100)
	in("NetReceived", s.NetReceived, 0, 1e12)
	in("Process.RSS", float64(s.Process.RSS), 1<<20, 1<<40)
	in("Process.HeapInUse", float64(s.Process.HeapInUse), 1<<10, 1<<40)
	in("Process.Goroutines", float64(s.Process.Goroutines), 2, 1e6)
	in("Process.FileHandles", float64(s.Process.FileHandles), 3, 1e6)
	in("Process.CPUPercent", s.Process.CPUPercent, 0, 1e6)
}

func TestAFolderThatIsNotThereIsNamed(t *testing.T) {
	e := New(Config{Folder: t.TempDir() + "/gone"})
	s := e.round(t.Context())
	if !strings.Contains(s.Error.String(), "disk: folder ") || !math.IsNaN(s.DiskPercent) || s.MemoryTotal == 0 {
		t.Errorf("Error = %q, disk %v, memory %d", s.Error, s.DiskPercent, s.MemoryTotal)
	}
}

func TestBusyPercent(t *testing.T) {
	now := cpu.TimesStat{User: 30, System: 10, Idle: 140, Iowait: 20}
	for _, c := range []struct {
		name   string
		before cpu.TimesStat
		want   float64
		ok     bool
	}{
		{"a quarter busy", cpu.TimesStat{User: 10, System: 5, Idle: 80, Iowait: 5}, 25, true},
		{"no time passed", now, 0, false},
		{"counters set back", cpu.TimesStat{User: 1000}, 0, false},
	} {
		if got, ok := busyPercent(c.before, now); got != c.want || ok != c.ok {
			t.Errorf("%s: %v %v, want %v %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestSumShares(t *testing.T) {
	for _, c := range []struct {
		column string
		cores  int
		want   float64
		ok     bool
	}{
		{"  0.0\n 50.0\n150.0\n", 4, 50, true},
		{"  0,5\n 99,5\n", 1, 100, true},
		{"900.0\n", 2, 100, true},
		{"", 2, 0, false},
		{"%CPU\n1.0\n", 2, 0, false},
	} {
		got, err := sumShares(c.column, c.cores)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("sumShares(%q, %d) = %v, %v, want %v", c.column, c.cores, got, err, c.want)
		}
	}
}
