package check

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"weir/config"
)

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	state := filepath.Join(folder, "state", "weir")
	expect(t, checkFile("history", "", state), OK, []string{filepath.Join(state, "history.db")}, "")
	expect(t, checkFile("history", filepath.Join(folder, "new", "deep", "h.db"), ""), OK, nil, "")
	expect(t, checkFile("history", write("h.db", 0o600), ""), OK, nil, "")
	expect(t, checkFile("history", folder, ""), Failed, []string{"is a folder"}, "name a file")
	expect(t, checkFile("history", filepath.Join(write("file", 0o600), "h.db"), ""), Failed, []string{"cannot write in"}, "name another file")
	expect(t, checkFile("history", "/proc/weir/h.db", ""), Failed, []string{"cannot write in /proc"}, "name another file")
	expect(t, []Row{judgeSpace("history", "h.db", 5<<20)}, Warning, []string{"only 5 MiB"}, "free some space")
	if os.Geteuid() != 0 {
		locked := filepath.Join(folder, "locked")
		if err := os.Mkdir(locked, 0o500); err != nil {
			t.Fatal(err)
		}
		expect(t, checkFile("history", filepath.Join(locked, "h.db"), ""), Failed, []string{"permission denied"}, "writable")
		expect(t, checkFile("history", write("read-only.db", 0o400), ""), Failed, []string{"permission denied"}, "writable")
	}
	if _, err := os.Stat(filepath.Join(folder, "new")); err == nil {
		t.Error("the check made a folder")
	}
}

func TestHTTPPort(t *testing.T) {
	expect(t, checkHTTP(t.Context(), "127.0.0.1:0"), OK, []string{"free"}, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	expect(t, checkHTTP(t.Context(), l.Addr().String()), Failed, []string{"in use"}, "http.listen")
	expect(t, checkHTTP(t.Context(), "192.0.2.1:9464"), Failed, []string{"no address of this machine"}, "its own")
}

func TestTerminal(t *testing.T) {
	expect(t, checkTerminal(Terminal{}), Warning, []string{"no terminal"}, "weir run")
	expect(t, checkTerminal(Terminal{IsTerminal: true, Columns: 40, Rows: 10}), Warning, []string{"40x10", "too small"}, "80x24")
	expect(t, checkTerminal(Terminal{IsTerminal: true, Columns: 70, Rows: 24}), Warning, []string{"cut short"}, "80x24")
	expect(t, checkTerminal(Terminal{IsTerminal: true, Columns: 80, Rows: 24, Colours: "no colour"}), OK, []string{"80x24, no colour"}, "")
	big := Terminal{IsTerminal: true, Columns: 200, Rows: 50, Environ: []string{"TERM=xterm-256color", "LANG=C.UTF-8"}}
	expect(t, checkTerminal(big), OK, []string{"200x50, TERM=xterm-256color"}, "")
	big.Environ = []string{"TERM=dumb"}
	expect(t, checkTerminal(big), Warning, []string{"TERM=dumb"}, "weir run")
	big.Environ, big.ASCII = []string{"TERM=xterm"}, "LC_ALL=C"
	expect(t, checkTerminal(big), Warning, []string{"ASCII", "LC_ALL=C"}, "--ascii=false")
	big.ASCII = ""
	expect(t, checkTerminal(big), OK, nil, "")
}

func TestModelFile(t *testing.T) {
	folder := t.TempDir()
	garbage := filepath.Join(folder, "garbage.onnx")
	if err := os.WriteFile(garbage, []byte("not a model"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(path string, names ...string) []Row {
		c := &config.Config{Model: &config.Model{ONNX: path}}
		if names != nil {
			c.Features = &config.Features{Names: names}
		}
		return checkModel(context.Background(), c)
	}
	const demo = "../demo/model/model.onnx"
	expect(t, check(filepath.Join(folder, "none.onnx")), Failed, []string{"is not there"}, "model.onnx")
	expect(t, check(garbage), Failed, []string{"not an ONNX model"}, "export")
	expect(t, check(folder), Failed, []string{"directory"}, "export")
	expect(t, check(demo), OK, []string{"LinearClassifier"}, "")
	expect(t, check(demo, "user_profile:age", "user_profile:location", "user_behavior:click_rate_24h", "user_behavior:purchase_history_30d"), OK, []string{"takes the 4 features"}, "")
	expect(t, check(demo, "user_profile:age"), Failed, []string{"user_profile:age"}, "features.names")
}
