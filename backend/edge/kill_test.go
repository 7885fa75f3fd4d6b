package edge

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A victim is this test binary as a process of its own, which puts numbered aggregates into an outbox and syncs them
// until it is killed with SIGKILL.
const (
	victimEnv    = "WEIR_EDGE_VICTIM" // the outbox's path
	victimCloud  = "WEIR_EDGE_CLOUD"
	victimNumber = "WEIR_EDGE_NUMBER" // the first number
)

// victim prints "kept N" once aggregate N is durable.
func victim() {
	n, err := strconv.ParseInt(os.Getenv(victimNumber), 10, 64)
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	c, err := Config{
		Outbox: os.Getenv(victimEnv),
		Cloud:  &CloudConfig{URL: os.Getenv(victimCloud), Every: 20 * time.Millisecond},
	}.withDefaults()
	if err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	e := newEngine(c, &httpPoller{}, nil)
	var number atomic.Int64
	number.Store(n - 1)
	e.sync.aggregate = func(time.Time) aggregate { return aggregate{TotalRecords: number.Add(1)} }
	e.sync.kept = func() { fmt.Printf("kept %d\n", number.Load()) }
	if err := e.Run(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
}

// TestOutboxSurvivesKill kills a syncing process again and again, against a cloud that fails half of the time. Every
// aggregate that was durable must arrive, under one key with one body.
func TestOutboxSurvivesKill(t *testing.T) {
	t.Parallel()
	kills := 4
	if os.Getenv("WEIR_SLOW") != "" {
		kills = 50
	}
	var flip atomic.Int64
	numbers := map[int64]string{} // the key each number came under
	cloud := newCloud(t, func(w http.ResponseWriter, _ *http.Request) bool {
		switch flip.Add(1) % 4 {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		}
		return false
	})
	path := filepath.Join(t.TempDir(), "outbox.db")
	kept := map[int64]bool{}
	next := int64(1)
	for k := range kills {
		for _, n := range runVictim(t, path, cloud.URL, next, 3+k%5) {
			kept[n] = true
			next = max(next, n+1)
		}
		next++ // one more may have been kept without a word; its number must not be given again
	}
	// What is left goes out from a process that is not killed.
	e, err := New(Config{Outbox: path, Rand: func() float64 { return 0.01 }, Cloud: &CloudConfig{URL: cloud.URL, Every: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, e)
	_ = e.SyncNow(t.Context()) // half of them fail
	until(t, "the outbox is empty", func() bool { return e.Snapshot().Cloud.Outbox == 0 })
	cloud.mu.Lock()
	defer cloud.mu.Unlock()
	for key, body := range cloud.bodies {
		var a struct {
			N int64 `json:"total_records"`
		}
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			t.Fatal(err)
		}
		if other, ok := numbers[a.N]; ok && a.N != 0 {
			t.Errorf("aggregate %d came under two keys, %s and %s", a.N, other, key)
		}
		numbers[a.N] = key
	}
	missing := 0
	for n := range kept {
		if numbers[n] == "" {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d durable aggregates never arrived", missing, len(kept))
	}
	t.Logf("%d kills, %d durable aggregates, %d keys received in %d deliveries", kills, len(kept), len(cloud.bodies), len(cloud.order))
}

// runVictim starts a victim, kills it once it has kept enough aggregates, and returns their numbers.
func runVictim(t *testing.T, path, cloud string, first int64, enough int) (kept []int64) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), victimEnv+"="+path, victimCloud+"="+cloud, victimNumber+"="+strconv.FormatInt(first, 10))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "kept ")
		n, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil {
			t.Errorf("the victim says %q", lines.Text())
			break
		}
		if kept = append(kept, n); len(kept) == enough {
			if err := cmd.Process.Kill(); err != nil { // SIGKILL
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the victim ended by itself")
	}
	return kept
}
