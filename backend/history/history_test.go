package history

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"weir/backend/edge"
	"weir/backend/event"
	"weir/backend/host"
	"weir/backend/mesh"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
	"weir/backend/timeline/pack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)

// day makes the snapshots of a world with the given number of nodes, second by second, with a few events a minute.
type day struct {
	random *rand.Rand
	nodes  int
	n      int
	events []event.Event
}

func newDay(nodes int) *day { return &day{random: rand.New(rand.NewPCG(1, 2)), nodes: nodes} }

func (d *day) next() *timeline.Snapshot {
	d.n++
	at := start.Add(time.Duration(d.n) * time.Second)
	text := safetext.Clean
	if d.random.IntN(10) == 0 {
		d.events = append(d.events, event.Event{Seq: uint64(len(d.events) + 1), At: at, Kind: event.Node, Severity: event.Warning, Subject: safetext.Sprintf("edge-node-%d", d.random.IntN(99)), Message: text("is stale: last updated 14m ago")})
	}
	p := &pipeline.Snapshot{At: at, State: pipeline.Running, Since: start, Group: text("weir"), Consumed: uint64(2000 * d.n), Predicted: uint64(2000 * d.n), EventsPerSecond: 2000 + 50*d.random.NormFloat64(),
		EndToEnd: pipeline.Quantiles{P50: 3 + d.random.Float64(), P99: 9 + d.random.Float64(), Count: 2000}, PSI: math.NaN(), Baseline: []float64{0.25, 0.75}, Log: d.events}
	for i := range 6 {
		p.Partitions = append(p.Partitions, pipeline.Partition{Partition: int32(i), Offset: int64(333*d.n + i), HighWatermark: int64(333*d.n + i + 7), Lag: 7, Verdict: pipeline.VerdictOK, LastRecord: at})
	}
	for i := range 50 {
		p.Dead = append(p.Dead, pipeline.DeadLetter{At: start, Stage: "decode", Reason: text("expected an object"), Topic: text("user_events"), Offset: int64(i), Size: 12, Sample: safetext.Sprintf(`{"user_id": %d`, i)})
	}
	e := &edge.Snapshot{At: at, Nodes: d.nodes, Reporting: d.nodes, ByState: map[edge.State]int{edge.OK: d.nodes}, Quality: 0.98, QualityMean: math.NaN(), Cloud: edge.Cloud{State: edge.CloudOK, Synced: uint64(d.n / 300)}}
	for i := range d.nodes {
		e.NodeData = append(e.NodeData, &edge.Node{URL: safetext.Sprintf("http://edge-node-%d:8080", i), State: edge.OK, Reachable: true, Fresh: true, Valid: true, HasData: true,
			RecordCount: int64(12000 + d.n/15), Quality: 0.982, PolledAt: start.Add(time.Duration(d.n/15) * 15 * time.Second), LatencyMS: 4 + math.Floor(10*math.Sin(float64(i+d.n/15)))/10})
	}
	m := &mesh.Snapshot{At: at, Products: []mesh.Product{{Domain: text("commerce"), Name: text("user_events"), State: mesh.Broken, Rows: int64(600_000 + d.n), Issues: []mesh.Issue{{Rule: "max_null_percentage", Samples: []mesh.Sample{{Offset: 17, Value: text("•••")}}}}}}}
	return &timeline.Snapshot{Seq: uint64(d.n), At: at, Tick: time.Second, World: text("demo"), Pipeline: p, Edge: e, Mesh: m,
		Host:   &host.Snapshot{At: at, CPUPercent: 100 * d.random.Float64(), DiskPercent: math.NaN(), Process: host.Process{FileHandles: -1, Goroutines: 80}},
		Events: d.events[max(0, len(d.events)-timeline.KeepEvents):], Engines: []timeline.Engine{{Name: "pipeline", State: timeline.EngineRunning, Since: start}}}
}

var same = []cmp.Option{cmpopts.EquateNaNs(), cmp.Comparer(func(a, b safetext.Text) bool { return a == b }), cmpopts.EquateEmpty()}

// withoutLogs is s as a recording keeps it.
func withoutLogs(s *timeline.Snapshot) *timeline.Snapshot {
	out, p := *s, *s.Pipeline
	p.Log = nil
	out.Pipeline = &p
	return &out
}

func writerAt(t testing.TB, path string, c Config) *writer {
	t.Helper()
	c.Path = path
	r, err := New(c, timeline.New())
	if err != nil {
		t.Fatal(err)
	}
	w, err := r.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.close() })
	return w
}

func (w *writer) recordAll(t testing.TB, d *day, n int) (all []*timeline.Snapshot) {
	t.Helper()
	for range n {
		s := d.next()
		if err := w.record(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func openAt(t testing.TB, path string) *Recording {
	t.Helper()
	r, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func snapshots(t *testing.T, from *timeline.Timeline) []*timeline.Snapshot {
	t.Helper()
	var out []*timeline.Snapshot
	for oldest, last := from.Bounds(); oldest > 0 && oldest <= last; oldest++ {
		out = append(out, from.Until(oldest, 1)...)
	}
	return out
}

func TestWhatIsRecordedIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "history.db")
	w := writerAt(t, path, Config{})
	recorded := w.recordAll(t, newDay(14), 3*pack.GroupLength+7)
	r := openAt(t, path) // while it is being written
	from, to, n, err := r.Bounds(t.Context())
	if err != nil || !from.Equal(start.Add(time.Second)) || !to.Equal(recorded[len(recorded)-1].At) || n != len(recorded) {
		t.Errorf("bounds %v to %v, %d: %v", from, to, n, err)
	}
	read, gaps, err := r.Timeline(t.Context(), time.Time{}, time.Time{})
	if err != nil || gaps != (Gaps{}) {
		t.Fatalf("%+v %v", gaps, err)
	}
	for i, s := range snapshots(t, read) {
		if diff := cmp.Diff(withoutLogs(recorded[i]), s, same...); diff != "" {
			t.Fatalf("snapshot %d: %s", i, diff)
		}
	}
	part, _, err := r.Timeline(t.Context(), start.Add(70*time.Second), start.Add(80*time.Second))
	if err != nil || len(snapshots(t, part)) != 11 || !part.Newest().At.Equal(start.Add(80*time.Second)) {
		t.Errorf("a part: %v", err)
	}
	if _, _, err := r.Timeline(t.Context(), start.Add(time.Hour), time.Time{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("a time without snapshots: %v", err)
	}
}

func TestALongRecordingIsThinned(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	w := writerAt(t, path, Config{})
	recorded := w.recordAll(t, newDay(0), 210)
	read, gaps, err := openAt(t, path).timeline(t.Context(), time.Time{}, time.Time{}, 100)
	if err != nil || gaps.Thinned != 140 || len(snapshots(t, read)) != 70 {
		t.Fatalf("%+v %v", gaps, err)
	}
	if !read.Newest().At.Equal(recorded[len(recorded)-1].At) {
		t.Error("the last snapshot is not among them")
	}
}

func TestRunRecordsATimeline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	source, d := timeline.New(), newDay(3)
	r, err := New(Config{Path: path, Every: time.Millisecond, Retain: 1000 * time.Hour}, source)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	for r.Status().Snapshots < 5 && ctx.Err() == nil {
		if n := r.Status().Snapshots; uint64(d.n) <= n {
			source.Append(d.next())
		}
		time.Sleep(time.Millisecond)
	}
	if err := runAt(path); !errors.Is(err, ErrInUse) {
		t.Errorf("a second recorder of the same file: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v", err)
	}
	if s := r.Status(); s.Snapshots != 5 || s.Failed != 0 || !s.Error.IsEmpty() || s.Bytes == 0 || !s.At.Equal(source.Newest().At) {
		t.Errorf("%+v", s)
	}
	read, _, err := openAt(t, path).Timeline(t.Context(), time.Time{}, time.Time{})
	if err != nil || len(snapshots(t, read)) != 5 {
		t.Errorf("%v", err)
	}
}

// runAt runs a recorder that is to be refused.
func runAt(path string) error {
	r, err := New(Config{Path: path}, timeline.New())
	if err != nil {
		return err
	}
	return r.Run(context.Background())
}

func TestSeveralRunsAreOneRecording(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	d := newDay(2)
	w := writerAt(t, path, Config{})
	first := w.recordAll(t, d, 70)
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	d.events = nil // a new process numbers its events anew
	second := writerAt(t, path, Config{}).recordAll(t, d, 70)
	read, _, err := openAt(t, path).Timeline(t.Context(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	got := snapshots(t, read)
	for i, want := range append(first, second...) {
		want.Seq = uint64(i + 1)
		if diff := cmp.Diff(withoutLogs(want), got[i], append(same, cmpopts.IgnoreFields(event.Event{}, "Seq"))...); diff != "" {
			t.Fatalf("snapshot %d: %s", i, diff)
		}
		for _, e := range got[i].Events {
			if i >= len(first) && e.Seq <= first[len(first)-1].Events[0].Seq {
				t.Fatalf("snapshot %d: event %d of the second run has a number of the first", i, e.Seq)
			}
		}
	}
}

func TestWhatIsTooOldIsForgotten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	w := writerAt(t, path, Config{Retain: 2 * time.Minute})
	recorded := w.recordAll(t, newDay(2), 400)
	now := recorded[399].At
	if err := w.prune(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	r := openAt(t, path)
	from, _, n, err := r.Bounds(t.Context())
	if err != nil || n < 120 || n > 120+pack.GroupLength || from.After(now.Add(-2*time.Minute)) {
		t.Fatalf("%d are left, from %v: %v", n, from, err)
	}
	read, gaps, err := r.Timeline(t.Context(), time.Time{}, time.Time{})
	if err != nil || gaps.Damaged != 0 {
		t.Fatalf("%+v %v", gaps, err)
	}
	for i, s := range snapshots(t, read) {
		s.Seq = recorded[400-n+i].Seq
		if diff := cmp.Diff(withoutLogs(recorded[400-n+i]), s, same...); diff != "" {
			t.Fatalf("snapshot %d: %s", i, diff)
		}
	}
	w.recordAll(t, newDay(2), 5) // and it goes on
}

// A machine without a battery begins in 1970 until it is told the time; another was told a time to come, or has it now.
func TestAClockThatIsWrongCostsNothing(t *testing.T) {
	const retain, second = 10 * time.Minute, time.Second
	for name, wrong := range map[string]time.Duration{"behind": -50 * 365 * 24 * time.Hour, "ahead": 10 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			d := newDay(2)
			record := func(n int, shift time.Duration) *writer { // a start of its own, after which it prunes
				w := writerAt(t, path, Config{Retain: retain})
				var now time.Time
				for range n {
					s := d.next()
					s.At = s.At.Add(shift)
					if now = s.At; w.record(t.Context(), s) != nil {
						t.Fatal("not recorded")
					}
				}
				if err := w.prune(t.Context(), now.Add(second)); err != nil {
					t.Fatal(err)
				}
				return w
			}
			left := func(w *writer, wanted int) {
				t.Helper()
				var n int
				if err := w.db.QueryRowContext(t.Context(), "SELECT count(*) FROM snapshots").Scan(&n); err != nil || n != wanted {
					t.Errorf("%d snapshots are left, want %d: %v", n, wanted, err)
				}
			}
			left(record(200, 0), 200)
			left(record(60, wrong), 260)
			left(record(100, 0), 360)
			if _, gaps, err := openAt(t, path).Timeline(t.Context(), time.Time{}, time.Time{}); err != nil || gaps.Damaged > 0 {
				t.Errorf("reading it: %+v %v", gaps, err)
			}
			// Of a later day, what is recorded takes the place of what was, whatever its times; and no more than that goes.
			left(record(500, 24*time.Hour), 600)
			w := record(600, 24*time.Hour)
			var old int
			if err := w.db.QueryRowContext(t.Context(), "SELECT count(*) FROM snapshots WHERE at NOT BETWEEN ? AND ?", start.Add(23*time.Hour).UnixMilli(), start.Add(48*time.Hour).UnixMilli()).Scan(&old); err != nil || old > 0 {
				t.Errorf("%d snapshots are left of before, and of a time that never was: %v", old, err)
			}
		})
	}
}

func TestTheFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	const most = 300 << 10
	w := writerAt(t, path, Config{Retain: 1000 * time.Hour, MaxBytes: most})
	d, rounds := newDay(20), 20
	if underRace {
		rounds = 8 // the file has been full for some of them
	}
	for range rounds {
		w.recordAll(t, d, 100)
		if err := w.prune(t.Context(), start); err != nil {
			t.Fatal(err)
		}
		if n := w.r.Status().Bytes; n > most {
			t.Fatalf("%d bytes, want at most %d", n, most)
		}
	}
	if w.r.Status().Dropped == 0 {
		t.Error("nothing was dropped: the test shows nothing")
	}
	if _, _, err := openAt(t, path).Timeline(t.Context(), time.Time{}, time.Time{}); err != nil {
		t.Error(err)
	}
}

func TestACrashLosesNothingCommitted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	w := writerAt(t, path, Config{})
	recorded := w.recordAll(t, newDay(2), 90)
	copied := filepath.Join(t.TempDir(), "history.db") // as kill -9 leaves it: nothing was closed
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writerAt(t, copied, Config{}).recordAll(t, newDay(2), 3)
	_, _, n, err := openAt(t, copied).Bounds(t.Context())
	if err != nil || n != len(recorded)+3 {
		t.Errorf("%d snapshots, %v", n, err)
	}
}

func TestADamagedFileIsSetAside(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"no database":     func([]byte) []byte { return []byte(strings.Repeat("this is no database. ", 500)) },
		"overwritten":     func(b []byte) []byte { copy(b[4096:], bytes.Repeat([]byte{0xff}, len(b)/2)); return b },
		"the end is lost": func(b []byte) []byte { return b[:len(b)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			w := writerAt(t, path, Config{})
			w.recordAll(t, newDay(5), 200)
			if err := w.close(); err != nil {
				t.Fatal(err)
			}
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			again := writerAt(t, path, Config{})
			again.recordAll(t, newDay(5), 3)
			aside := again.r.Status().SetAside.String()
			if _, err := os.Stat(aside); err != nil {
				t.Errorf("set aside as %q: %v", aside, err)
			}
			if _, _, n, err := openAt(t, path).Bounds(t.Context()); n != 3 || err != nil {
				t.Errorf("%d snapshots in the new file, %v", n, err)
			}
		})
	}
}

func TestAFileThatIsRemovedIsBegunAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := filepath.Join(t.TempDir(), "state")
		path := filepath.Join(folder, "history.db")
		line := timeline.New()
		r, err := New(Config{Path: path}, line)
		if err != nil {
			t.Fatal(err)
		}
		run := func(until func() bool) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- r.Run(ctx) }()
			for d := newDay(1); !until(); {
				line.Append(d.next())
				select {
				case err := <-ended:
					return err
				case <-time.After(time.Second): // of the bubble's clock
				}
			}
			cancel()
			return <-ended
		}
		n := 0
		err = run(func() bool {
			if n++; n == 10 {
				_ = os.RemoveAll(folder)
			}
			return n > 1000
		})
		if !errors.Is(err, errGone) {
			t.Fatalf("after %d seconds: %v", n, err)
		}
		before := r.Status().Snapshots
		if err := run(func() bool { return r.Status().Snapshots > before }); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	})
}

func TestAnotherProgramsFileIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE outbox (id INTEGER); PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	before, _ := os.ReadFile(path)
	if err := runAt(path); !errors.Is(err, ErrNotARecording) || !strings.Contains(err.Error(), "choose another path") {
		t.Errorf("recording into it: %v", err)
	}
	if _, err := Open(t.Context(), path); !errors.Is(err, ErrNotARecording) {
		t.Errorf("reading it: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before[:18], after[:18]) && len(after) != len(before) {
		t.Error("the file was changed")
	}
}

func TestOnlyItsOwnerReadsARecording(t *testing.T) {
	folder := t.TempDir()
	writerAt(t, filepath.Join(folder, "history.db"), Config{}).recordAll(t, newDay(1), 2)
	files, err := os.ReadDir(folder)
	if err != nil || len(files) < 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	folder := t.TempDir()
	if _, err := Open(t.Context(), filepath.Join(folder, "none.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "none.db")); err == nil {
		t.Error("reading made a file")
	}
	garbage := filepath.Join(folder, "garbage.db")
	_ = os.WriteFile(garbage, bytes.Repeat([]byte("garbage "), 1000), 0o600)
	if _, err := Open(t.Context(), garbage); !errors.Is(err, ErrNotARecording) {
		t.Errorf("garbage: %v", err)
	}
	if _, err := Open(t.Context(), folder); !errors.Is(err, ErrNotARecording) || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: %v", err)
	}
	newer := filepath.Join(folder, "newer.db")
	w := writerAt(t, newer, Config{})
	if _, err := w.db.Exec("PRAGMA user_version = 7"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), newer); !errors.Is(err, ErrNewer) {
		t.Errorf("of a later weir: %v", err)
	}
	if _, err := New(Config{}, timeline.New()); err == nil || !strings.Contains(err.Error(), "history.path") {
		t.Errorf("no path: %v", err)
	}
}

func TestADamagedSnapshotCostsItsOwnGroupAtMost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	w := writerAt(t, path, Config{})
	w.recordAll(t, newDay(2), 3*pack.GroupLength)
	for _, statement := range []string{"UPDATE snapshots SET data = x'00' WHERE id = 5", fmt.Sprintf("UPDATE snapshots SET data = zeroblob(10) WHERE id = %d", pack.GroupLength+1)} {
		if _, err := w.db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	read, gaps, err := openAt(t, path).Timeline(t.Context(), time.Time{}, time.Time{})
	if err != nil || gaps.Damaged != 1+pack.GroupLength || len(snapshots(t, read)) != 2*pack.GroupLength-1 {
		t.Errorf("%+v %v", gaps, err)
	}
}

func TestALaterWeirReadsAnOlderRecording(t *testing.T) {
	type inner struct {
		Kept  string
		Count uint64
	}
	type old struct {
		Gone   map[string][]inner
		Number int32
		Share  float32
		List   []inner
		Ring   [3]int
		When   time.Time
		Name   safetext.Text
		Other  string
		Maybe  *inner
	}
	type newInner struct {
		New   bool
		Count float64
	}
	type changed struct {
		Number int64
		List   []newInner
		Ring   [2]int
		Share  float64
		When   time.Time
		Name   string
		Other  safetext.Text
		Maybe  newInner
		Added  []string
	}
	s, err := pack.ShapeOf(reflect.TypeFor[old]())
	if err != nil {
		t.Fatal(err)
	}
	value := old{Gone: map[string][]inner{"x": {{"a", 1}}}, Number: -7, Share: 0.5, List: []inner{{"k", 3}, {"l", 4}}, Ring: [3]int{1, 2, 3}, When: start, Name: safetext.Clean("n"), Other: "\x1b[2J", Maybe: &inner{"m", 9}}
	var got changed
	if err := (&pack.Reader{}).Read(pack.Append(nil, s, reflect.ValueOf(value)), s, reflect.ValueOf(&got).Elem()); err != nil {
		t.Fatal(err)
	}
	want := changed{Number: -7, List: []newInner{{Count: 3}, {Count: 4}}, Ring: [2]int{1, 2}, Share: 0.5, When: start, Name: "n", Other: safetext.Clean("\x1b[2J")}
	if diff := cmp.Diff(want, got, same...); diff != "" {
		t.Error(diff)
	}
}

func TestTypesThatCannotBeRecorded(t *testing.T) {
	type loop struct{ Next *loop }
	for _, v := range []any{struct{ F func() }{}, struct{ hidden int }{}, struct{ C chan int }{}, map[int]int{}, loop{}, struct{ A any }{}} {
		if _, err := pack.ShapeOf(reflect.TypeOf(v)); err == nil {
			t.Errorf("%T was taken", v)
		}
	}
}

// FuzzRead feeds the reader damaged records: it must neither panic nor take memory beyond their size.
func FuzzRead(f *testing.F) {
	s, err := pack.ShapeOf(reflect.TypeFor[timeline.Snapshot]())
	if err != nil {
		f.Fatal(err)
	}
	d := newDay(1)
	for range 3 {
		f.Add(pack.Append(nil, s, reflect.ValueOf(d.next()).Elem()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var back timeline.Snapshot
		if err := (&pack.Reader{}).Read(data, s, reflect.ValueOf(&back).Elem()); err != nil {
			return
		}
		var again timeline.Snapshot
		if err := (&pack.Reader{}).Read(pack.Append(nil, s, reflect.ValueOf(back)), s, reflect.ValueOf(&again).Elem()); err != nil {
			t.Errorf("what was read cannot be written and read again: %v", err)
		}
	})
}

// BenchmarkRecord is what a second costs to record, and how much it takes on disk, for fleets of two sizes.
func BenchmarkRecord(b *testing.B) {
	for _, nodes := range []int{14, 1000} {
		b.Run(fmt.Sprint("nodes=", nodes), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "history.db")
			w := writerAt(b, path, Config{})
			d := newDay(nodes)
			n := 0
			for b.Loop() {
				b.StopTimer()
				s := d.next()
				b.StartTimer()
				if err := w.record(b.Context(), s); err != nil {
					b.Fatal(err)
				}
				n++
			}
			size, err := w.size(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(size)/float64(n), "bytes/snapshot")
			b.ReportMetric(float64(len(w.r.value)), "raw-bytes")
		})
	}
}

// BenchmarkReadHour is how long it takes to open an hour of recording.
func BenchmarkReadHour(b *testing.B) {
	path := filepath.Join(b.TempDir(), "history.db")
	writerAt(b, path, Config{}).recordAll(b, newDay(14), 3600)
	r := openAt(b, path)
	for b.Loop() {
		if _, _, err := r.Timeline(b.Context(), time.Time{}, time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}
