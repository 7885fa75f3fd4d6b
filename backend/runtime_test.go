package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/backend/demo"
	"weir/backend/event"
	"weir/backend/pipeline"
	"weir/backend/safetext"
	"weir/backend/timeline"
	"weir/config"
)

// roles are what the test program does in a process that a test starts with WEIR_TEST_ROLE.
var roles = map[string]func() error{}

func TestMain(m *testing.M) {
	if run, ok := roles[os.Getenv("WEIR_TEST_ROLE")]; ok {
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		// go-metrics, which sarama brings, starts one ticker for the life of the process.
		goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}

// worldFaults is the demo world as the runtime sees it.
type worldFaults struct{ *demo.World }

func (w worldFaults) FaultNames() []string    { return demo.FaultNames() }
func (w worldFaults) Known(name string) error { return demo.KnownFault(name) }
func (w worldFaults) InForce() []timeline.Fault {
	var out []timeline.Fault
	for _, f := range w.Faults() {
		out = append(out, timeline.Fault{Name: f.Name, Since: f.Since, Until: f.Until})
	}
	return out
}

// inDemo runs a runtime over the embedded world, at a tick that does not keep a test waiting.
func inDemo(t *testing.T, change func(*Runtime)) *Runtime {
	t.Helper()
	world, err := demo.Start(t.Context(), demo.Options{Rate: 500, Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(world.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	c.Console.Refresh = 50 * time.Millisecond
	r, err := New(c, Options{World: "demo", Faults: worldFaults{world}, State: filepath.Join(t.TempDir(), "state")})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := world.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// await returns the first snapshot that holds what is asked for.
func await(t *testing.T, r *Runtime, what string, holds func(*timeline.Snapshot) bool) *timeline.Snapshot {
	t.Helper()
	ticks, cancel := r.Subscribe()
	defer cancel()
	deadline := time.After(2 * time.Minute) // it only ends a test that would wait for ever
	for {
		if s := r.Timeline().Newest(); s != nil && holds(s) {
			return s
		}
		select {
		case <-ticks:
		case <-deadline:
			t.Fatalf("not within two minutes: %s; the last snapshot: %+v", what, r.Timeline().Newest())
		}
	}
}

func TestEveryPaneShowsRealTraffic(t *testing.T) {
	r := inDemo(t, nil)
	s := await(t, r, "all engines at work", func(s *timeline.Snapshot) bool {
		return s.Pipeline.Predicted > 500 && s.Edge.Reporting == 14 && s.Edge.Cloud.Synced > 0 && s.Host.Process.RSS > 0 &&
			len(s.Mesh.Products) == 6 && s.Mesh.Products[0].Rows > 0 && len(s.Events) > 0
	})
	for _, e := range s.Engines {
		if e.State != timeline.EngineRunning || e.Restarts != 0 {
			t.Errorf("engine %s is %s after %d restarts: %s", e.Name, e.State, e.Restarts, e.Error)
		}
	}
	if s.World.String() != "demo" || s.Group.String() != "weir" {
		t.Errorf("world %q, group %q", s.World, s.Group)
	}
}

func TestAPanicInOneEngineIsShownAndNobodyElseNotices(t *testing.T) {
	r := inDemo(t, func(r *Runtime) {
		for _, w := range r.workers {
			if w.name == "edge" {
				w.run = func(context.Context) error { panic("assignment to entry in nil map") }
			}
		}
	})
	s := await(t, r, "edge failed twice, the pipeline at work", func(s *timeline.Snapshot) bool {
		return engine(s, "edge").Restarts >= 2 && s.Pipeline.Predicted > 500
	})
	if e := engine(s, "edge"); !strings.Contains(e.Error.String(), "nil map") {
		t.Errorf("the console would not say why: %+v", e)
	}
	for _, name := range []string{"pipeline", "mesh", "host"} {
		if e := engine(s, name); e.State != timeline.EngineRunning || e.Restarts != 0 {
			t.Errorf("%s noticed: %+v", name, e)
		}
	}
	if !hasEvent(s, event.Engine, "nil map") {
		t.Errorf("no event tells of it: %v", s.Events)
	}
}

func engine(s *timeline.Snapshot, name string) timeline.Engine {
	for _, e := range s.Engines {
		if e.Name == name {
			return e
		}
	}
	return timeline.Engine{}
}

func hasEvent(s *timeline.Snapshot, kind event.Kind, text string) bool {
	for _, e := range s.Events {
		if e.Kind == kind && strings.Contains(e.Subject.String()+" "+e.Message.String(), text) {
			return true
		}
	}
	return false
}

func TestHoldingStopsTheCursorAndNoEngine(t *testing.T) {
	r := inDemo(t, nil)
	await(t, r, "predictions", func(s *timeline.Snapshot) bool { return s.Pipeline.Predicted > 100 })
	cursor := timeline.NewCursor(r.Timeline()).Freeze()
	held := cursor.Snapshot()
	await(t, r, "more predictions", func(s *timeline.Snapshot) bool { return s.Pipeline.Predicted > held.Pipeline.Predicted+200 })
	if cursor.Snapshot() != held || cursor.Held() <= 0 {
		t.Errorf("the cursor moved: held %v", cursor.Held())
	}
}

func TestCommandsChangeTheWorldAndAreRecorded(t *testing.T) {
	r := inDemo(t, nil)
	await(t, r, "predictions", func(s *timeline.Snapshot) bool { return s.Pipeline.Predicted > 100 })
	do := func(name string, args ...string) {
		t.Helper()
		if _, err := r.Do(t.Context(), Command{Name: name, Args: args, Reason: "a test", Who: "ada"}); err != nil {
			t.Fatalf("%s %v: %v", name, args, err)
		}
	}
	do("pause")
	await(t, r, "paused", func(s *timeline.Snapshot) bool { return s.Pipeline.State == pipeline.Paused })
	do("resume")
	await(t, r, "running again", func(s *timeline.Snapshot) bool { return s.Pipeline.State == pipeline.Running })
	do("quarantine", "edge-node-03", "lies")
	s := await(t, r, "one node left out", func(s *timeline.Snapshot) bool {
		return s.Edge.Reporting <= 13 && s.Edge.NodeData[2].Quarantine != nil // another one may be late at the same time
	})
	if h := s.Edge.NodeData[2].Quarantine; h.By.String() != "ada" || h.Reason.String() != "lies" {
		t.Errorf("the node's page does not tell who took it out and why: %+v", h)
	}
	if _, err := r.Do(t.Context(), Command{Name: "poll", Args: []string{"edge-node-03"}}); err == nil || !strings.Contains(err.Error(), ":release edge-node-03") {
		t.Errorf("polling a node in quarantine: %v", err)
	}
	do("release", "edge-node-03")
	await(t, r, "all nodes counted", func(s *timeline.Snapshot) bool { return s.Edge.Reporting == 14 })
	do("poll")
	do("poll", "edge-node-03")
	do("sync")
	do("requeue")
	do("mark", "looked", "here")
	do("fault", "poison-events", "1h")
	s = await(t, r, "dead letters", func(s *timeline.Snapshot) bool { return s.Pipeline.DeadLettered > 10 && len(s.Faults) == 1 })
	if !hasEvent(s, event.Command, "pause by ada (a test)") || !hasEvent(s, event.Mark, "looked here") {
		t.Errorf("the events do not tell who did what: %v", s.Events)
	}
	do("fault", "clear", "poison-events")
	await(t, r, "no fault", func(s *timeline.Snapshot) bool { return len(s.Faults) == 0 })
}

func TestModelsAreSwappedAndRolledBackWithoutLosingAnEvent(t *testing.T) {
	r := inDemo(t, nil)
	await(t, r, "predictions", func(s *timeline.Snapshot) bool { return s.Pipeline.Predicted > 100 })
	do := func(args ...string) {
		t.Helper()
		if _, err := r.Do(t.Context(), Command{Name: "model", Args: args}); err != nil {
			t.Fatal(err)
		}
	}
	do("load", r.config.Model.ONNX, "v3")
	s := await(t, r, "the new model", func(s *timeline.Snapshot) bool { return s.Pipeline.Model.Version.String() == "v3" })
	await(t, r, "predictions by it", func(now *timeline.Snapshot) bool { return now.Pipeline.Predicted > s.Pipeline.Predicted+100 })
	do("rollback")
	await(t, r, "the old model", func(s *timeline.Snapshot) bool { return s.Pipeline.Model.Version.String() == "v2.1" })

	// The file is replaced by one that calls itself v9, then by half of one.
	data, err := os.ReadFile(r.config.Model.ONNX)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(r.config.Model.ONNX+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(r.config.Model.ONNX+".new", r.config.Model.ONNX); err != nil {
			t.Fatal(err)
		}
	}
	replace(append(data, "\x72\x12\x0a\x0cweir.version\x12\x02v9"...)) // one more entry of metadata_props
	s = await(t, r, "the file's new model", func(s *timeline.Snapshot) bool { return s.Pipeline.Model.Version.String() == "v9" })
	await(t, r, "predictions by it", func(now *timeline.Snapshot) bool { return now.Pipeline.Predicted > s.Pipeline.Predicted+100 })
	replace(data[:len(data)/2])
	s = await(t, r, "the refusal", func(s *timeline.Snapshot) bool {
		return hasEvent(s, event.Model, "stays in force, the new one is refused")
	})
	if s.Pipeline.Model.Version.String() != "v9" {
		t.Errorf("model %s", s.Pipeline.Model.Version)
	}
	for _, d := range s.Pipeline.Dead { // the feature store does not know every user of a calm world
		if d.Stage != "features" {
			t.Errorf("a dead letter of %s: %s", d.Stage, d.Reason)
		}
	}
	do("rollback")
	await(t, r, "the model before the file was replaced", func(s *timeline.Snapshot) bool { return s.Pipeline.Model.Version.String() == "v2.1" })
	if _, err := r.Do(t.Context(), Command{Name: "model", Args: []string{"load", r.config.Path}}); err == nil {
		t.Error("a configuration was loaded as a model")
	}
}

func TestSeekAndReplay(t *testing.T) {
	r := inDemo(t, nil)
	do := func(name string, args ...string) string {
		t.Helper()
		said, err := r.Do(t.Context(), Command{Name: name, Args: args, Who: "ada"})
		if err != nil {
			t.Fatalf("%s %v: %v", name, args, err)
		}
		return said
	}
	do("fault", "poison-events", "2s")
	s := await(t, r, "dead letters", func(s *timeline.Snapshot) bool { return s.Pipeline.DeadLettered > 5 && s.Pipeline.Predicted > 100 })
	if said := do("replay", "stage=decode"); strings.Contains(said, "sent 0 ") {
		t.Error(said)
	}
	await(t, r, "the replayed come back", func(now *timeline.Snapshot) bool { return now.Pipeline.DeadLettered > s.Pipeline.DeadLettered })
	if said := do("seek", "oldest", "2"); !strings.Contains(said, "2: ") || !strings.Contains(said, "→ 0") {
		t.Errorf("seek said %q", said)
	}
	do("drain")
	await(t, r, "drained", func(s *timeline.Snapshot) bool { return s.Pipeline.State == pipeline.Stopped })
	do("resume")
	await(t, r, "running again", func(s *timeline.Snapshot) bool { return s.Pipeline.State == pipeline.Running })
}

func TestPositions(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		line string
		want pipeline.Position
	}{
		{"oldest", pipeline.Position{Partition: -1, Offset: pipeline.Oldest}},
		{"newest 3", pipeline.Position{Partition: 3, Offset: pipeline.Newest}},
		{"42 0", pipeline.Position{Partition: 0, Offset: 42}},
		{"-10m", pipeline.Position{Partition: -1, Time: now.Add(-10 * time.Minute)}},
		{"07:00", pipeline.Position{Partition: -1, Time: now.Add(-30 * time.Minute)}},
		{"08:00:30", pipeline.Position{Partition: -1, Time: now.Add(30*time.Minute+30*time.Second).AddDate(0, 0, -1)}},
		{"2026-11-22T06:00:00Z", pipeline.Position{Partition: -1, Time: now.Add(-90 * time.Minute)}},
	} {
		got, err := parsePosition(strings.Fields(c.line), now)
		if err != nil || got != c.want {
			t.Errorf("seek %s = %+v, %v; want %+v", c.line, got, err, c.want)
		}
	}
	for _, line := range []string{"", "yesterday", "10m", "-3", "oldest x", "oldest -1", "1 2 3"} {
		if got, err := parsePosition(strings.Fields(line), now); err == nil {
			t.Errorf("seek %s = %+v; expected an error", line, got)
		}
	}
}

func TestATimeOfDayIsMeantAsTheConsoleShowsIt(t *testing.T) {
	for zone, want := range map[string]*time.Location{"utc": time.UTC, "local": time.Local} {
		r := &Runtime{config: &config.Config{Console: config.Console{TimeZone: zone}}}
		at, err := parsePosition([]string{"07:00"}, r.now())
		if err != nil || at.Time.Location() != want || at.Time.Hour() != 7 {
			t.Errorf("%s: seek 07:00 = %v, %v", zone, at.Time, err)
		}
	}
}

func TestLetterFilters(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 30, 0, 0, time.UTC)
	ids, _, err := parseLetters([]string{"0/12", "3/4"}, now)
	if err != nil || len(ids) != 2 || ids[1] != (pipeline.LetterID{Partition: 3, Offset: 4}) {
		t.Errorf("places = %v, %v", ids, err)
	}
	ids, q, err := parseLetters([]string{"stage=features", "since=10m", "from=2", "reason=age"}, now)
	if err != nil || ids != nil || q.Stage != "features" || q.Reason != "age" || !q.Since.Equal(now.Add(-10*time.Minute)) || len(q.Partitions) != 1 {
		t.Errorf("filter = %v %+v, %v", ids, q, err)
	}
	for _, line := range []string{"", "some", "1/x", "0/1 stage=decode", "since=ever", "from=x", "colour=red", "all all"} {
		if ids, q, err := parseLetters(strings.Fields(line), now); err == nil {
			t.Errorf("replay %s = %v %+v; expected an error", line, ids, q)
		}
	}
}

// specOf is a command's row; the zero one where there is none.
func specOf(r *Runtime, name string) CommandSpec {
	for _, c := range r.Commands() {
		if c.Name == name {
			return c
		}
	}
	return CommandSpec{}
}

func TestCommandsRefuseWhatTheyDoNotUnderstand(t *testing.T) {
	r := inDemo(t, nil)
	for _, c := range []struct {
		line string
		says string
	}{
		{"pose", "pause"},
		{"fault", "null-spike"},
		{"fault null-spik", "null-spike"},
		{"fault null-spike soon", "30s"},
		{"fault null-spike -3s", "duration"},
		{"quarantine", "node's name"},
		{"quarantine edge-node-99", "edge-node-99"},
		{"poll edge-node-99", "edge-node-99"},
		{"release edge-node-03", "not in quarantine"},
		{"requeue all", "nothing after requeue"},
		{"fault clear", "after clear"},
		{"fault clear null-spike", "null-spike"},
		{"fault null-spike 3s please", "3 words"},
		{"mark", "text"},
	} {
		words := strings.Fields(c.line)
		_, err := r.Do(t.Context(), Command{Name: words[0], Args: words[1:]})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q = %v; expected it to say %q", c.line, err, c.says)
		}
		if spec := specOf(r, words[0]); spec.Changes && spec.Refuse(words[1:]) == nil {
			t.Errorf("%q: a console would ask for a confirmation first", c.line)
		}
	}
	for _, line := range []string{"seek soon", "seek oldest first", "replay everything", "replay stage", "model swap", "model load", "pause now", "release edge-node-99", "fault clear null-spik"} {
		words := strings.Fields(line)
		if spec := specOf(r, words[0]); spec.Refuse(words[1:]) == nil {
			t.Errorf("%q: a console would ask for a confirmation first", line)
		}
	}
	for _, line := range []string{"seek -10m", "seek 14:32 3", "replay all", "replay 0/12 1/3", "replay stage=decode", "model rollback", "model baseline training", "pause", "quarantine edge-node-03 it lies", "fault null-spike 3s", "requeue"} {
		words := strings.Fields(line)
		if spec := specOf(r, words[0]); spec.Refuse(words[1:]) != nil {
			t.Errorf("%q is refused: %v", line, spec.Refuse(words[1:]))
		}
	}
	if _, err := r.Do(t.Context(), Command{Name: "pose"}); !errors.Is(err, ErrUnknownCommand) {
		t.Errorf("an unknown command = %v", err)
	}
}

func TestAWorkersLogSaysWhatIsWrongAndWhenItIsOver(t *testing.T) {
	var b strings.Builder
	plain := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	r := &Runtime{options: Options{Logger: slog.New(slog.NewTextHandler(&b, plain))}}
	waits := timeline.Incident{Rule: "pipeline waits", Subject: safetext.Clean("user_events"), Message: safetext.Clean("topic does not exist"), Next: safetext.Clean("create it")}
	over := waits
	over.Ended = time.Now()
	for _, now := range [][]timeline.Incident{nil, {waits}, {waits}, {over}, {over}, {waits, over}} {
		r.tellIncidents(now)
	}
	wrong := `level=WARN msg="wrong: pipeline waits" subject=user_events message="topic does not exist" next="create it"` + "\n"
	if want := wrong + `level=INFO msg="over: pipeline waits" subject=user_events` + "\n" + wrong; b.String() != want {
		t.Errorf("logged:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestARuntimeRunsOnce(t *testing.T) {
	r := inDemo(t, nil)
	await(t, r, "a snapshot", func(*timeline.Snapshot) bool { return true })
	if err := r.Run(t.Context()); err == nil {
		t.Error("it ran a second time")
	}
}
