package mesh

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"weir/backend/kafka"
	"weir/backend/mesh/contract"
	"weir/config"
)

// benchMB is the size of the files the benchmarks judge, in MB; WEIR_BENCH_MB sets it (the issue's figure is 1000). With
// -short it is small, and the figures only show that they run.
func benchMB() int {
	if n, err := strconv.Atoi(os.Getenv("WEIR_BENCH_MB")); err == nil && n > 0 {
		return n
	}
	if testing.Short() {
		return 8
	}
	return 64
}

// benchCSV writes a CSV of ten columns of several types, one with 7.2 % nulls and one with quotes.
func benchCSV(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "events.csv")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	r := rand.New(rand.NewPCG(1, 1))
	events, notes := []string{"view", "click", "purchase"}, []string{"plain", "plain", "plain", `"a, b"`, `"with ""quotes"""`, ""}
	fmt.Fprintln(w, "user_id,timestamp,event,email,amount,qty,country,session,score,note")
	for i, size := 0, 0; size < benchMB()*1_000_000; i++ {
		email := fmt.Sprintf("user%d@example.com", r.IntN(100_000))
		if r.Float64() < 0.072 {
			email = ""
		}
		n, err := fmt.Fprintf(w, "%d,2026-01-%02dT%02d:%02d:%02dZ,%s,%s,%.2f,%d,%s,%d,%.16f,%s\n", r.IntN(100_000), i%28+1, i%24, i%60, i%59,
			events[r.IntN(3)], email, r.Float64()*100, r.IntN(9), "NO", r.IntN(1<<31), r.Float64(), notes[r.IntN(6)])
		if err != nil {
			b.Fatal(err)
		}
		size += n
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

var articleProduct = DataProduct{
	Format: contract.Article, Domain: "commerce", Name: "user_events", MaxNull: 0.05, RequiredColumns: []string{"user_id", "timestamp"},
	Rules: contract.ArticleRules([]string{"user_id", "timestamp"}, 0.05),
}

const pandasCheck = `
import sys, time
import pandas as pd
path, n = sys.argv[1], int(sys.argv[2])
read = pd.read_parquet if path.endswith(".parquet") else pd.read_csv
wall, cpu = [], []
for _ in range(n):
    start, used = time.perf_counter(), time.process_time()
    data = read(path)
    missing = {"user_id", "timestamp"} - set(data.columns)
    issues = [c for c in data.columns if data[c].isnull().sum() / len(data) > 0.05]
    wall.append(time.perf_counter() - start)
    cpu.append(time.process_time() - used)
    assert not missing and "email" in issues, issues
print(sum(wall) / n, sum(cpu) / n)
`

// pandasSeconds is how long pandas takes to read the file and do the article's checks, the interpreter's start not
// counted: the mean of n runs on the clock and of processor time.
func pandasSeconds(b *testing.B, path string, n int) (wall, cpu float64) {
	b.Helper()
	out, err := exec.Command("python3", "-c", pandasCheck, path, strconv.Itoa(n)).CombinedOutput()
	if err != nil {
		b.Skipf("no pandas to compare with: %v %s", err, out)
	}
	fields := strings.Fields(string(out))
	wall, err1 := strconv.ParseFloat(fields[0], 64)
	cpu, err2 := strconv.ParseFloat(fields[1], 64)
	if err1 != nil || err2 != nil {
		b.Fatalf("pandas said %s", out)
	}
	return wall, cpu
}

// processorSeconds is the processor time this process has used.
func processorSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// BenchmarkFile reads a file and does the article's checks; the same by pandas in the same run. The metric "x-pandas" is
// how many times faster weir was on the clock, "x-pandas-cpu" by processor time (which tells also on a busy machine).
func BenchmarkFile(b *testing.B) {
	csv := benchCSV(b)
	columns, quoted := strings.TrimSuffix(csv, ".csv")+".parquet", strings.TrimSuffix(csv, ".csv")+".quoted"
	const convert = "import sys, pandas as pd; d = pd.read_csv(sys.argv[1]); d.to_parquet(sys.argv[2]); d.to_csv(sys.argv[3], index=False, quoting=1)"
	if out, err := exec.Command("python3", "-c", convert, csv, columns, quoted).CombinedOutput(); err != nil {
		b.Skipf("no pandas to compare with: %v %s", err, out)
	}
	for _, path := range []string{csv, quoted, columns} {
		b.Run(strings.TrimPrefix(filepath.Ext(path), "."), func(b *testing.B) {
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(info.Size())
			used := processorSeconds(b)
			for b.Loop() {
				report, err := ValidateFiles(context.Background(), articleProduct, []string{path}, FileOptions{})
				if err != nil || report.ExitCode() != ExitBroken {
					b.Fatal(err, report.Files, report.ExitCode())
				}
			}
			weir, cpu := b.Elapsed().Seconds()/float64(b.N), (processorSeconds(b)-used)/float64(b.N)
			pandas, pandasCPU := pandasSeconds(b, path, 3)
			b.ReportMetric(pandas, "pandas-s/op")
			b.ReportMetric(pandas/weir, "x-pandas")
			b.ReportMetric(pandasCPU/cpu, "x-pandas-cpu")
		})
	}
}

const benchContract = `apiVersion: v3.1.0
kind: DataContract
id: events
version: 1.0.0
status: active
servers:
  - {server: local, type: local, path: ./events.csv, format: csv, delimiter: ','}
schema:
  - name: events
    physicalType: table
    properties:
      - {name: user_id, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0}}
      - {name: timestamp, logicalType: timestamp, required: true}
      - {name: event, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [view, click, purchase]}, mustBe: 0}]}
      - {name: email, logicalType: string, quality: [{metric: nullValues, unit: percent, mustBeLessThan: 5}]}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 1000}}
      - {name: qty, logicalType: integer, logicalTypeOptions: {maximum: 9}}
      - {name: country, logicalType: string, logicalTypeOptions: {minLength: 2, maxLength: 2, pattern: '^[A-Z]+$'}}
      - {name: session, logicalType: integer}
      - {name: score, logicalType: number}
      - {name: note, logicalType: string}
`

// BenchmarkContract judges a CSV by an ODCS contract; the same by datacontract-cli in the same run where WEIR_DATACONTRACT
// names its executable (its own start, some two seconds, counted: that is what a user waits).
func BenchmarkContract(b *testing.B) {
	csv := benchCSV(b)
	file := filepath.Join(filepath.Dir(csv), "events.odcs.yaml")
	if err := os.WriteFile(file, []byte(benchContract), 0o644); err != nil {
		b.Fatal(err)
	}
	p, err := ReadProduct(file)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(benchMB()) * 1_000_000)
	used := processorSeconds(b)
	for b.Loop() {
		report, err := ValidateFiles(context.Background(), p, []string{csv}, FileOptions{})
		if err != nil || report.ExitCode() != ExitBroken || len(report.Issues) != 1 {
			b.Fatal(err, report.Result())
		}
	}
	weir, cpu := b.Elapsed().Seconds()/float64(b.N), (processorSeconds(b)-used)/float64(b.N)
	other := os.Getenv("WEIR_DATACONTRACT")
	if other == "" {
		b.Log("WEIR_DATACONTRACT is not set: nothing to compare with")
		return
	}
	command := exec.Command(other, "test", "events.odcs.yaml")
	command.Dir = filepath.Dir(csv)
	start := time.Now()
	out, err := command.CombinedOutput()
	if command.ProcessState == nil || !strings.Contains(string(out), "email") {
		b.Fatal(err, string(out))
	}
	b.ReportMetric(time.Since(start).Seconds()/weir, "x-datacontract")
	b.ReportMetric((command.ProcessState.UserTime()+command.ProcessState.SystemTime()).Seconds()/cpu, "x-datacontract-cpu")
}

// BenchmarkTopic judges records of a topic by 20 rules on 8 columns, from the broker (in this process, its cost not taken
// off) to the counters. ns/op and "cpu-ns/op" are a record's.
func BenchmarkTopic(b *testing.B) {
	const records, partitions = 200_000, 2
	broker, err := kafka.StartEmbedded(kafka.EmbeddedOptions{Topics: []kafka.EmbeddedTopic{{Name: "user_events", Partitions: partitions}}})
	if err != nil {
		b.Fatal(err)
	}
	cluster, err := kafka.NewCluster(config.Kafka{Brokers: []string{broker.Addr()}})
	if err != nil {
		b.Fatal(err)
	}
	c := cluster.Config()
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	producer, err := sarama.NewSyncProducer(cluster.Brokers(), c)
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]*sarama.ProducerMessage, 5000)
	for n := 0; n < records; n += len(batch) {
		for i := range batch {
			value := fmt.Sprintf(`{"user_id":"u%d","session_id":"s-9f31a2","event_type":"view","timestamp":"2026-11-22T07:00:00.123Z","email":"u%d@example.com","amount":129.5,"currency":"EUR","device":"phone"}`, n+i, n+i)
			batch[i] = &sarama.ProducerMessage{Topic: "user_events", Partition: int32(i % partitions), Value: sarama.StringEncoder(value)}
		}
		if err := producer.SendMessages(batch); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "commerce"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "commerce/user_events.yaml"), []byte(twentyRules), 0o644); err != nil {
		b.Fatal(err)
	}
	used, runs := processorSeconds(b), 0
	b.ResetTimer()
	for range max(1, b.N/records) {
		runs++
		e := New(Config{Registry: dir, Window: time.Hour, Backlog: records, Cluster: cluster})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		for {
			p := e.Snapshot().Products
			if len(p) == 1 && p[0].Rows == records {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(runs*records), "ns/record")
	b.ReportMetric((processorSeconds(b)-used)*1e9/float64(runs*records), "cpu-ns/record")
	if err := producer.Close(); err != nil {
		b.Error(err)
	}
	if err := broker.Close(); err != nil {
		b.Error(err)
	}
}

const twentyRules = `apiVersion: v3.1.0
kind: DataContract
id: user_events
version: 1.0.0
status: active
schema:
  - name: user_events
    properties:
      - {name: user_id, logicalType: string, required: true, logicalTypeOptions: {minLength: 2}}
      - {name: session_id, logicalType: string, required: true}
      - {name: event_type, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [view, click, purchase]}, mustBe: 0}]}
      - {name: timestamp, logicalType: date, required: true}
      - {name: email, logicalType: string, logicalTypeOptions: {maxLength: 64}, quality: [{metric: nullValues, mustBeLessThan: 5, unit: percent}]}
      - {name: amount, logicalType: number, logicalTypeOptions: {minimum: 0, maximum: 10000}}
      - {name: currency, logicalType: string, quality: [{metric: invalidValues, arguments: {validValues: [EUR, NOK]}, mustBe: 0}]}
      - {name: device, logicalType: string, logicalTypeOptions: {maxLength: 20}}
`
