package features

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestARealFeast asks the Python server of Feast itself. It needs WEIR_SLOW=1 and the command feast in PATH or in
// WEIR_FEAST, as pip install feast brings it.
func TestARealFeast(t *testing.T) {
	if os.Getenv("WEIR_SLOW") == "" {
		t.Skip("WEIR_SLOW=1 runs it against a real Feast")
	}
	url := startFeast(t)
	user := func(names ...string) Store {
		return storeAt(t, url, FeastConfig{Names: names, Timeout: 20 * time.Second})
	}
	account := func(names ...string) Store {
		return storeAt(t, url, FeastConfig{Names: names, Entity: "account_id", Timeout: 20 * time.Second})
	}
	nan := math.NaN()

	t.Run("values and statuses", func(t *testing.T) {
		rows, err := fetch(t, user("user_behavior:click_rate_24h", "user_profile:age", "user_profile:location", "user_profile:member", "user_behavior:purchase_history_30d"),
			texts("u1", "u2", "nobody", "u1")...)
		if err != nil {
			t.Fatal(err)
		}
		missing := Value{Status: NotFound, Number: nan}
		u1 := &Row{Values: []Value{{Number: 0.25}, {Number: 34}, {IsText: true, Text: "Bern"}, {Number: 1}, {Number: 3}}}
		u2 := &Row{Values: []Value{{Status: NullValue, Number: nan}, {Number: 51}, {IsText: true, Text: "Zürich"}, {Number: 0}, {Number: 7}}}
		nobody := &Row{Values: []Value{missing, missing, missing, missing, missing}}
		if diff := cmp.Diff([]*Row{u1, u2, nobody, u1}, rows, sameRows...); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("numeric keys", func(t *testing.T) {
		rows, err := fetch(t, account("account:balance"), Entity{"18", true}, Entity{"17", false}, Entity{"99", true})
		if err != nil || rows[0].Values[0].Number != -2 || rows[1].Values[0].Number != 1.5 || rows[2].Values[0].Status != NotFound {
			t.Errorf("%v %v", rows, err)
		}
	})
	t.Run("keys the store cannot hold", func(t *testing.T) {
		store := account("account:balance")
		rows, err := fetch(t, store, Entity{"18", true}, Entity{"abc", false}, Entity{"1e30", true}, Entity{"17.5", true}, Entity{"17", true})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []Status{Present, Invalid, Invalid, Invalid, Present} {
			if got := rows[i].Values[0].Status; got != want {
				t.Errorf("entity %d is %v, want %v", i, got, want)
			}
		}
	})
	t.Run("names it does not have", func(t *testing.T) {
		for _, name := range []string{"user_profile:height", "user_shape:age"} {
			_, err := fetch(t, user("user_profile:age", name), texts("u1")...)
			if !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), "does not know "+name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("another join key", func(t *testing.T) {
		store := storeAt(t, url, FeastConfig{Names: []string{"user_profile:age"}, Entity: "person", Timeout: 20 * time.Second})
		if _, err := fetch(t, store, texts("u1")...); !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), "features.entity") {
			t.Error(err)
		}
	})
	t.Run("a list", func(t *testing.T) {
		if _, err := fetch(t, user("user_behavior:tags"), texts("u1")...); !errors.Is(err, ErrConfiguration) || !strings.Contains(err.Error(), "found a list") {
			t.Error(err)
		}
	})
	t.Run("a thousand at once", func(t *testing.T) {
		store := user("user_profile:age", "user_profile:location")
		entities := make([]Entity, 1000)
		for i := range entities {
			entities[i] = Entity{Key: fmt.Sprint("m", i)}
		}
		rows, err := fetch(t, store, entities...)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows {
			if row.Values[0].Number != float64(i) || row.Values[1].Text != "Genf" {
				t.Fatalf("m%d = %+v", i, row)
			}
		}
		if s := store.Stats(); s.Requests != 1 {
			t.Errorf("%+v", s)
		}
		t.Logf("1,000 entities in %.0f ms", store.Stats().P99)
	})
}

// startFeast serves the repository in testdata until the test ends.
func startFeast(t *testing.T) (url string) {
	t.Helper()
	feast := os.Getenv("WEIR_FEAST")
	if feast == "" {
		feast = "feast"
	}
	feast, err := exec.LookPath(feast)
	if err != nil {
		t.Skipf("there is no Feast here (%v); pip install feast brings it, WEIR_FEAST says where it is", err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join("testdata", "feast"))); err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(filepath.Dir(feast), "python")
	run := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(name, args...)
		c.Dir = folder
		c.Env = append(os.Environ(), "FEAST_USAGE=False", "HOME="+folder)
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the server has workers of its own
		return c
	}
	if out, err := run(python, "load.py").CombinedOutput(); err != nil {
		t.Fatalf("filling the store: %v\n%s", err, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().(*net.TCPAddr)
	_ = listener.Close()
	server := run(feast, "serve", "-h", "127.0.0.1", "-p", fmt.Sprint(addr.Port))
	var log strings.Builder
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
		_ = server.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if r, err := client.Get("http://" + addr.String() + "/health"); err == nil {
			_ = r.Body.Close()
			return "http://" + addr.String()
		}
	}
	t.Fatal("Feast did not come up within a minute")
	return ""
}
