package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/backend/event"
)

// TestQuarantineOutlivesTheProcess: who, why and since when come back with the next process, before its first poll.
func TestQuarantineOutlivesTheProcess(t *testing.T) {
	asked := make(chan string, 100)
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		_, _ = io.WriteString(w, good(0))
	}))
	t.Cleanup(node.Close)
	list := filepath.Join(t.TempDir(), "nodes")
	write := func(paths ...string) {
		t.Helper()
		text := ""
		for _, p := range paths {
			text += node.URL + p + "\n"
		}
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := Config{Poll: time.Hour, Nodes: []string{node.URL + "/a", node.URL + "/b"}, Sources: []Source{NewFileSource(list)},
		State: filepath.Join(t.TempDir(), "fleet.db")}
	write("/c")
	engine := func() (*Engine, func()) {
		t.Helper()
		e, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		stop := start(t, e)
		<-e.firstRound
		return e, stop
	}
	e, stop := engine()
	for _, p := range []string{"/a", "/c"} {
		if err := e.QuarantineAs("ada", node.URL+p, "its disk is changed"); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Quarantine(node.URL+"/b", "a mistake"); err != nil {
		t.Fatal(err)
	}
	if err := e.Release(node.URL+"/b", "as it was"); err != nil {
		t.Fatal(err)
	}
	since := e.Snapshot().NodeData[0].Quarantine.Since
	stop()
	for len(asked) > 0 {
		<-asked
	}

	e, stop = engine()
	s := e.Snapshot()
	for _, i := range []int{0, 2} {
		n := s.NodeData[i]
		if n.State != Quarantined || n.Quarantine == nil || n.Quarantine.By.String() != "ada" || n.Quarantine.Reason.String() != "its disk is changed" ||
			n.Quarantine.Since.Sub(since).Abs() > time.Second || !n.Since.Equal(n.Quarantine.Since) || n.Error.String() != "quarantined by ada: its disk is changed" {
			t.Errorf("after a restart: %+v, %+v", n, n.Quarantine)
		}
	}
	if s.NodeData[1].State != OK || s.NodeData[1].Quarantine != nil || s.Reporting != 1 {
		t.Errorf("the released node: %+v", s.NodeData[1])
	}
	for len(asked) > 0 { // a question for /b that the first engine broke off may be among them
		if path := <-asked; path != "/b"+summaryPath {
			t.Errorf("%s, which is in quarantine, was asked", path)
		}
	}
	write() // a node that is listed no more, and again, is still in quarantine
	until(t, "it is gone", func() bool { return e.Snapshot().Nodes == 2 })
	write("/c", "/d")
	until(t, "it is back", func() bool { return e.Snapshot().Nodes == 4 })
	if n := e.Snapshot().NodeData[2]; n.State != Quarantined {
		t.Errorf("after it was listed again: %+v", n)
	}
	if err := e.Release(node.URL+"/c", "new disk"); err != nil {
		t.Fatal(err)
	}
	stop()
	e, _ = engine()
	if n := e.Snapshot().NodeData[2]; n.State != OK || n.Quarantine != nil {
		t.Errorf("released, and after a restart: %+v", n)
	}
}

// TestModelOutlivesTheProcess: rounds and versions go on where the process before was.
func TestModelOutlivesTheProcess(t *testing.T) {
	var nodes []string
	for i := range 2 {
		s := httptest.NewServer(&student{weights: []float64{0, 0}, xs: []float64{float64(i), 2}})
		t.Cleanup(s.Close)
		nodes = append(nodes, s.URL)
	}
	config := Config{Nodes: nodes, State: filepath.Join(t.TempDir(), "fleet.db"), Federated: &FederatedConfig{Every: 20 * time.Millisecond}}
	e, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, e)
	until(t, "some rounds", func() bool { return e.Snapshot().Federated.Version >= 3 })
	stop()
	before := e.Snapshot().Federated
	last := before.Rounds[len(before.Rounds)-1]

	config.Federated = &FederatedConfig{Every: time.Hour}
	if e, err = New(config); err != nil {
		t.Fatal(err)
	}
	start(t, e)
	until(t, "a round", func() bool { return len(e.Snapshot().Federated.Rounds) > 0 })
	f := e.Snapshot().Federated
	if r := f.Rounds[0]; r.Number != last.Number+1 || r.Version != before.Version+1 || r.Refused != 0 || f.Weights != 2 || !(r.Moved >= 0) {
		t.Errorf("the first round after a restart: %+v, before it %+v", r, last)
	}
}

// TestCorruptState: damage at rest, or found while it is in use, is set aside and said so; what is known is kept anew.
func TestCorruptState(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "fleet.db")
	var log event.Log
	open := func() (*keeper, kept) {
		t.Helper()
		k := newKeeper(path, time.Now, &log)
		k.start()
		was, _, err := k.load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return k, was
	}
	set := func(k *keeper, url string) {
		t.Helper()
		if err := k.hold(ctx, url, &hold{who: "ada", reason: "r", since: time.UnixMilli(1000)}); err != nil {
			t.Fatal(err)
		}
	}
	aside := func(want int) {
		t.Helper()
		files, err := filepath.Glob(path + ".corrupt-*Z")
		said := 0
		for _, e := range log.Recent() {
			if e.Severity == event.Critical && contains(e.Message.String(), "was corrupt and is set aside as ") {
				said++
			}
		}
		if err != nil || len(files) != want || said != want {
			t.Fatalf("set aside %v, said %d times, want %d (%v)", files, said, want, err)
		}
	}
	k, _ := open()
	set(k, "http://a")
	if err := k.learned(ctx, globalModel{version: 4, weights: []float64{1, -2.5}}, 9); err != nil {
		t.Fatal(err)
	}
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	k, was := open()
	want := kept{quarantines: map[string]hold{"http://a": {"ada", "r", time.UnixMilli(1000)}}, model: globalModel{4, []float64{1, -2.5}}, round: 9}
	if !reflect.DeepEqual(was, want) {
		t.Fatalf("kept %+v, want %+v", was, want)
	}
	// A model that cannot be one, found while the file is in use.
	if _, err := k.db.ExecContext(ctx, `UPDATE model SET weights = x'00'`); err != nil {
		t.Fatal(err)
	}
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	k, was = open()
	aside(1)
	if len(was.quarantines) != 0 || was.round != 0 {
		t.Errorf("from a corrupt file: %+v", was)
	}
	set(k, "http://b")
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	// Not a database at all, found by the next change of a keeper that knows something.
	if err := os.WriteFile(path, []byte(strings.Repeat("this is not a database\n", 400)), 0o600); err != nil {
		t.Fatal(err)
	}
	set(k, "http://c")
	aside(2)
	k, was = open()
	if _, b := was.quarantines["http://b"]; !b || len(was.quarantines) != 2 {
		t.Errorf("the new file has %+v, want what was known", was)
	}
	// Two processes on one file: the second says so, and its changes say that they are not kept.
	second := newKeeper(path, time.Now, &log)
	if err := second.hold(ctx, "http://d", &hold{}); !errors.Is(err, errInUse) {
		t.Errorf("a second weir: %v", err)
	}
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	if err := second.catchUp(ctx); err != nil {
		t.Error(err)
	}
	k, was = open()
	if _, d := was.quarantines["http://d"]; !d || len(was.quarantines) != 3 {
		t.Errorf("what was caught up: %+v", was)
	}
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
}

// TestStateThatCannotBeKept: a quarantine is in force at once, says that it is not kept, and is kept when it can be.
func TestStateThatCannotBeKept(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(blocked, "fleet.db")
	p := scripted(func(_ string, at time.Time) answer { return valid(10, at) })
	bubble(t, Config{Nodes: []string{"http://a", "http://b"}, State: state}, p, func(e *Engine) {
		told := slices.ContainsFunc(e.Snapshot().Log, func(v event.Event) bool { return contains(v.Message.String(), "quarantines may be missing") })
		if !told {
			t.Errorf("nothing told: %v", e.Snapshot().Log)
		}
		if err := e.QuarantineAs("ada", "http://a", "why"); !errors.Is(err, ErrNotKept) || !contains(err.Error(), "it is in force, but does not outlive this process") {
			t.Errorf("a quarantine that cannot be kept: %v", err)
		}
		if n := e.Snapshot().NodeData[0]; n.State != Quarantined {
			t.Errorf("it is not in force: %+v", n)
		}
		if err := os.Remove(blocked); err != nil {
			t.Fatal(err)
		}
		// A disk outside the bubble: its goroutines do not count as waiting, so the bubble's time stands still until it is written.
		time.Sleep(2*keepUpEvery + time.Second)
		synctest.Wait()
	})
	k := newKeeper(state, time.Now, nil)
	was, _, err := k.load(context.Background())
	if h, held := was.quarantines["http://a"]; err != nil || !held || h.who != "ada" {
		t.Errorf("kept %v, %v", was, err)
	}
}

// TestStateIsDurableWithoutClose: what hold returned for is in the files, also when nothing closes them, as after SIGKILL.
func TestStateIsDurableWithoutClose(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fleet.db")
	k := newKeeper(path, time.Now, &event.Log{})
	k.start()
	for i := range 20 {
		if err := k.hold(t.Context(), fmt.Sprintf("http://n%d", i), &hold{reason: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	// A copy of the files as they are now is what a process finds after a kill.
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "copy.db"+suffix), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	was, _, err := newKeeper(filepath.Join(dir, "copy.db"), time.Now, &event.Log{}).load(t.Context())
	if err != nil || len(was.quarantines) != 20 {
		t.Errorf("%d of 20 quarantines are there, %v", len(was.quarantines), err)
	}
}
