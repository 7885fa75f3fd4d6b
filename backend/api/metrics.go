package api

import (
	"math"
	"net/http"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"weir/backend/timeline"
)

// MaxNodeSeries is how many edge nodes have series of their own; a larger fleet is told by its totals, and
// weir_edge_nodes_unlisted says how many are left out.
const MaxNodeSeries = 1000

// maxProductSeries and maxPartitionSeries bound the other lists, which are short in any sane world.
const (
	maxProductSeries   = 1000
	maxPartitionSeries = 4096
)

// family is one metric: its name, its meaning and how it is read from a snapshot.
type family struct {
	name   string // without the prefix weir_
	help   string
	kind   prometheus.ValueType
	labels []string
	read   func(s *timeline.Snapshot, emit emitter)
}

// emitter gives one series of a family its value; NaN means that there is none to tell.
type emitter func(value float64, labels ...string)

// metrics answers with the newest snapshot's figures. Before the first snapshot there is only the build.
func metrics(source Source, version string) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(source, version))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError, // one bad series must not hide the others
		MaxRequestsInFlight: 4,
	})
}

// collector reads every family from one and the same snapshot.
type collector struct {
	source   Source
	families []family
	descs    []*prometheus.Desc
}

func newCollector(source Source, version string) *collector {
	c := &collector{source: source}
	for _, group := range [][]family{buildFamilies(version), engineFamilies, pipelineFamilies, featureFamilies, edgeFamilies, meshFamilies, hostFamilies} {
		c.families = append(c.families, group...)
	}
	for _, f := range c.families {
		c.descs = append(c.descs, prometheus.NewDesc("weir_"+f.name, f.help, f.labels, nil))
	}
	return c
}

// Describe lists every family.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect reads the newest snapshot.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.source.Newest()
	if s == nil {
		s = &timeline.Snapshot{}
	}
	for i := range c.families {
		f, seen := &c.families[i], map[string]bool{}
		f.read(s, func(value float64, labels ...string) {
			// Two series of the same labels, such as a node configured twice, would spoil the whole answer.
			id := strings.Join(labels, "\x00")
			if math.IsNaN(value) || seen[id] {
				return
			}
			seen[id] = true
			out <- prometheus.MustNewConstMetric(c.descs[i], f.kind, value, labels...)
		})
	}
}

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// buildFamilies tell what answers, and when it looked.
func buildFamilies(version string) []family {
	return []family{
		{"build_info", "The build that answers, as labels; always 1.", gauge, []string{"version", "go_version"},
			func(_ *timeline.Snapshot, emit emitter) { emit(1, version, runtime.Version()) }},
		{"snapshot_timestamp_seconds", "When the figures were taken, in seconds since the epoch.", gauge, nil,
			func(s *timeline.Snapshot, emit emitter) {
				if !s.At.IsZero() {
					emit(float64(s.At.UnixMilli()) / 1e3)
				}
			}},
		{"demo_fault_active", "1 for each fault of the demo world in force, 0 for one that is still to come.", gauge, []string{"fault"},
			func(s *timeline.Snapshot, emit emitter) {
				for _, f := range s.Faults {
					emit(truth(!f.Since.After(s.At)), f.Name)
				}
			}},
	}
}

var engineFamilies = []family{
	{"engine_up", "1 while the engine runs, 0 while it waits to be started again or is stopped.", gauge, []string{"engine"},
		func(s *timeline.Snapshot, emit emitter) {
			for _, e := range s.Engines {
				emit(truth(e.State == timeline.EngineRunning), e.Name)
			}
		}},
	{"engine_restarts_total", "How often the engine was started again after a failure.", counter, []string{"engine"},
		func(s *timeline.Snapshot, emit emitter) {
			for _, e := range s.Engines {
				emit(float64(e.Restarts), e.Name)
			}
		}},
}

var hostFamilies = []family{
	{"host_cpu_ratio", "Share of all cores that is busy, 0 to 1.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return s.Host.CPUPercent / 100 })},
	{"host_cores", "Cores of the machine.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return known(s.Host.Cores) })},
	{"host_load1", "Load average over one minute.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return s.Host.Load1 })},
	{"host_memory_used_bytes", "Memory in use.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return positive(s.Host.MemoryUsed) })},
	{"host_memory_total_bytes", "Memory of the machine.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return positive(s.Host.MemoryTotal) })},
	{"host_disk_used_ratio", "Share of the file system of the working folder that is used, 0 to 1.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return s.Host.DiskPercent / 100 })},
	{"host_network_receive_bytes_per_second", "Bytes received over all interfaces but loopback.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return s.Host.NetReceived })},
	{"host_network_transmit_bytes_per_second", "Bytes sent over all interfaces but loopback.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return s.Host.NetSent })},
	{"process_cpu_ratio", "Cores this process keeps busy; 2 is two cores.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return s.Host.Process.CPUPercent / 100 })},
	{"process_resident_memory_bytes", "Resident memory of this process.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return positive(s.Host.Process.RSS) })},
	{"process_heap_bytes", "Heap in use by this process.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return positive(s.Host.Process.HeapInUse) })},
	{"process_goroutines", "Goroutines of this process.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return known(s.Host.Process.Goroutines) })},
	{"process_open_fds", "File handles this process holds.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return known(int(s.Host.Process.FileHandles)) })},
	{"process_uptime_seconds", "How long this process runs.", gauge, nil, ofHost(func(s *timeline.Snapshot) float64 { return s.Host.Process.Uptime.Seconds() })},
}

func ofHost(read func(*timeline.Snapshot) float64) func(*timeline.Snapshot, emitter) {
	return func(s *timeline.Snapshot, emit emitter) {
		if s.Host != nil {
			emit(read(s))
		}
	}
}

// known is a count, NaN where the system does not tell it (-1).
func known(n int) float64 {
	if n < 0 {
		return math.NaN()
	}
	return float64(n)
}

// positive is an amount that cannot be nothing, NaN where the system does not tell it (0).
func positive(n uint64) float64 {
	if n == 0 {
		return math.NaN()
	}
	return float64(n)
}
