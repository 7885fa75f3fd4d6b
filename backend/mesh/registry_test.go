package mesh

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/backend/event"
	"weir/backend/mesh/contract"
	"weir/backend/mesh/judge"
)

func openRegistry(t *testing.T) (*Registry, string) {
	t.Helper()
	dir := t.TempDir()
	r, err := OpenRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, dir
}

func parse(t testing.TB, text string) DataProduct {
	t.Helper()
	p, err := contract.Parse([]byte(text), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRegisterGetList(t *testing.T) {
	t.Parallel()
	r, dir := openRegistry(t)
	p := parse(t, userEvents)
	at := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	if err := r.Register(p, RegisterOptions{By: "ada", At: at}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "commerce/user_events.yaml"))
	if err != nil || string(data) != userEvents {
		t.Fatalf("%v: %s", err, data)
	}
	if err := r.Register(p, RegisterOptions{}); !errors.Is(err, ErrExists) {
		t.Errorf("registering twice: %v", err)
	}
	changed := parse(t, strings.Replace(userEvents, "'1.0'", "'1.1'", 1))
	if err := r.Register(changed, RegisterOptions{Replace: true, By: "bob", At: at}); err != nil {
		t.Fatal(err)
	}
	got, err := r.Get("commerce", "user_events")
	if err != nil || got.Version != "1.1" {
		t.Errorf("%v %+v", err, got)
	}
	made := DataProduct{Format: contract.Article, Domain: "growth", Name: "sessions", MaxNull: 0.1, RequiredColumns: []string{"id"}}
	if err := r.Register(made, RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]int{"": 2, "growth": 1, "commerce": 1, "nowhere": 0} {
		if list, err := r.List(domain); err != nil || len(list) != want {
			t.Errorf("%q: %d products, %v", domain, len(list), err)
		}
	}
	lines, err := os.ReadFile(filepath.Join(dir, ".weir/registrations.jsonl"))
	if err != nil || strings.Count(string(lines), "\n") != 3 || !strings.Contains(string(lines), `"by":"bob","product":"commerce/user_events","version":"1.1","replaced":true`) {
		t.Errorf("%v: %s", err, lines)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*/.*tmp")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTwoWhoRegisterAtOnceDoNotOverwriteEachOther(t *testing.T) {
	t.Parallel()
	_, dir := openRegistry(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			r, err := OpenRegistry(dir)
			if err != nil {
				errs[i] = err
				return
			}
			defer r.Close()
			errs[i] = r.Register(parse(t, userEvents), RegisterOptions{})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d registered", won)
	}
}

func TestNothingOutsideTheRegistryIsReached(t *testing.T) {
	t.Parallel()
	r, dir := openRegistry(t)
	outside := write(t, "secret.yaml", []byte(userEvents))
	if err := os.MkdirAll(filepath.Join(dir, "commerce"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "commerce/user_events.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "linked")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "commerce/pipe.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "commerce/folder.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get("commerce", "user_events"); !errors.Is(err, ErrUnparsed) || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a symbolic link: %v", err)
	}
	for _, name := range []string{"../x", "..", "a/b", "", ".hidden", "a b", strings.Repeat("x", 200), "a\x00b"} {
		if _, err := r.Get("commerce", name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
		if err := r.Register(DataProduct{Format: contract.Article, Domain: name, Name: "x"}, RegisterOptions{}); err == nil {
			t.Errorf("domain %q was registered", name)
		}
	}
	entries, _, err := r.Scan()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Product != nil || e.Err == nil {
			t.Errorf("%s was read", e.Path)
		}
	}
	if len(entries) != 3 {
		t.Errorf("%d entries", len(entries))
	}
}

func TestScanKeepsTheLastGoodVersion(t *testing.T) {
	t.Parallel()
	r, dir := openRegistry(t)
	if err := r.Register(parse(t, userEvents), RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "commerce/user_events.yaml")
	scan := func() Entry {
		t.Helper()
		entries, _, err := r.Scan()
		if err != nil || len(entries) != 1 {
			t.Fatalf("%v %v", entries, err)
		}
		return entries[0]
	}
	first := scan()
	for _, text := range []string{"name: [", userEvents + "x: 1\n", strings.Replace(userEvents, "commerce", "growth", 1), ""} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if e := scan(); e.Err == nil || e.Product != first.Product {
			t.Errorf("%q: %+v", text, e)
		}
	}
	if err := os.WriteFile(path, []byte(userEvents), 0o644); err != nil {
		t.Fatal(err)
	}
	if e := scan(); e.Err != nil || e.Product == nil {
		t.Errorf("%+v", e)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if entries, changed, err := r.Scan(); err != nil || len(entries) != 0 || !changed {
		t.Errorf("%v %v %v", entries, changed, err)
	}
}

// TestTwoFilesOfOneProductAreOneEntry that says so, so that the engine does not take turns between them.
func TestTwoFilesOfOneProductAreOneEntry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, version := range map[string]string{"a.yaml": "1", "a.yml": "2"} {
		if err := os.WriteFile(filepath.Join(dir, "d", name), []byte("domain: d\nname: a\nschema_version: '"+version+"'\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := OpenRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for range 2 {
		entries, _, err := r.Scan()
		if err != nil || len(entries) != 1 || entries[0].Product == nil || entries[0].Product.Version != "1" || entries[0].Err == nil || !strings.Contains(entries[0].Err.Error(), "a.yml") {
			t.Fatalf("%v %+v", err, entries)
		}
	}
	if err := os.Remove(filepath.Join(dir, "d", "a.yml")); err != nil {
		t.Fatal(err)
	}
	if entries, _, err := r.Scan(); err != nil || len(entries) != 1 || entries[0].Err != nil {
		t.Errorf("%v %+v", err, entries)
	}
}

// TestEachOfSeveralRulesOfOneNameIsAnIssueOfItsOwn though their column is the same, as is their line.
func TestEachOfSeveralRulesOfOneNameIsAnIssueOfItsOwn(t *testing.T) {
	t.Parallel()
	p := odcs(t, `{name: v, quality: [{metric: invalidValues, mustBe: 0, arguments: {pattern: '^a'}}, {metric: invalidValues, mustBe: 0, arguments: {pattern: 'b$'}}]}`)
	var v verdict
	var log event.Log
	tell := func(value string) {
		j := judge.New(p, judge.Options{})
		if err := j.JSON([]byte(`{"v":"`+value+`"}`), judge.Where{Offset: 1, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		v.tellIssues(j.Outcome(time.Now()), time.Now(), "d/n", &log)
	}
	tell("x")
	tell("ax")
	if broke, open := len(log.Recent()), len(v.open); broke != 3 || open != 1 {
		t.Errorf("%d events, %d open: %+v", broke, open, log.Recent())
	}
}

// TestTheConsoleIsToldWhatWasNotJudged of a window.
func TestTheConsoleIsToldWhatWasNotJudged(t *testing.T) {
	t.Parallel()
	lint := []Finding{{Severity: "error"}, {Severity: "info"}}
	if got := withUnseen(lint, judge.Outcome{Watched: 1, Rows: 1}); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	got := withUnseen(lint, judge.Outcome{Watched: 0.25, Rows: 1, Excess: 3})
	if len(got) != 4 || !strings.Contains(got[1].Message.String(), "25%") || !strings.Contains(got[2].Message.String(), "3 fields") || got[3].Severity != "info" || len(lint) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNoRegistry(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{filepath.Join(t.TempDir(), "absent"), write(t, "file", nil)} {
		if _, err := OpenRegistry(dir); !errors.Is(err, ErrNoRegistry) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	r, _ := openRegistry(t)
	if err := r.Register(parse(t, userEvents), RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"commerce/user_events", "user_events", write(t, "p.yaml", []byte(userEvents))} {
		if p, err := Find(r, ref); err != nil || p.Key() != "commerce/user_events" {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, ref := range []string{"commerce/x", "x", "../x", "/etc/passwd"} {
		if _, err := Find(r, ref); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := Find(nil, "x"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := ReadProduct("/dev/zero"); err == nil {
		t.Error("a device is a product")
	}
	if err := r.Register(parse(t, strings.Replace(userEvents, "domain: commerce", "domain: growth", 1)), RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(r, "user_events"); err == nil || !strings.Contains(err.Error(), "several domains") {
		t.Error(err)
	}
}

func TestWhatPeopleSeeOfProducts(t *testing.T) {
	t.Parallel()
	r, dir := openRegistry(t)
	if err := r.Register(parse(t, userEvents), RegisterOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "commerce/bad.yaml"), []byte("\x1b[31m: ["), 0o644); err != nil {
		t.Fatal(err)
	}
	entries, _, err := r.Scan()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WriteList(&b, entries, ""); err != nil || strings.Contains(b.String(), "\x1b") || strings.Count(b.String(), "\n") != 4 {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	if err := WriteList(&b, entries, "growth"); err != nil || !strings.Contains(b.String(), "no data products") {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	if err := WriteShow(&b, *entries[1].Product); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"commerce/user_events\n", "owners       data@example.com", "consumers    ml-team", "max_null_percentage ≤ 5%", "required_columns of user_id"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestALintGoesOnAfterAFileThatCannotBeRead: a gate that stops at the first tells of one mistake a run.
func TestALintGoesOnAfterAFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	bad, good := write(t, "bad.yaml", []byte("name: x\n\ty: 1\n")), write(t, "good.yaml", []byte(userEvents))
	var b bytes.Buffer
	code, err := LintCommand(&b, []string{bad, good, "nowhere.yaml"}, func(ref string) (DataProduct, error) { return Find(nil, ref) })
	if err != nil || code != 1 {
		t.Errorf("code %d, %v", code, err)
	}
	for _, want := range []string{bad + ": error (file): line 2, column 1: a tab", good + ": nothing to say against", "nowhere.yaml: error (file): "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestLintAndDiffGate(t *testing.T) {
	t.Parallel()
	p := parse(t, userEvents)
	var b bytes.Buffer
	if code, err := WriteLint(&b, "p.yaml", p); code != 0 || err != nil {
		t.Errorf("%d %v\n%s", code, err, b.String())
	}
	orphan := parse(t, strings.Replace(userEvents, "- data@example.com\n", "", 1))
	b.Reset()
	if code, err := WriteLint(&b, "p.yaml", orphan); code != 1 || err != nil || !strings.Contains(b.String(), "p.yaml: error (policy): no owner") {
		t.Errorf("%d %v\n%s", code, err, b.String())
	}
	stricter := parse(t, strings.Replace(userEvents, "0.05", "0.01", 1))
	for _, c := range []struct {
		versions   []DataProduct
		mode       contract.Mode
		transitive bool
		want       int
		text       string
	}{
		{[]DataProduct{p, stricter}, contract.Backward, false, 1, "breaks producers: data the old version allowed are now refused"},
		{[]DataProduct{p, stricter}, contract.Forward, false, 0, "FORWARD only"},
		{[]DataProduct{stricter, p}, contract.Forward, false, 1, "breaks consumers"},
		{[]DataProduct{p, p}, contract.Full, false, 0, "nothing changed"},
		{[]DataProduct{stricter, p, p}, contract.Full, false, 0, "nothing changed"},
		{[]DataProduct{stricter, p, p}, contract.Full, true, 1, "BACKWARD only"},
		{[]DataProduct{p, stricter}, "", false, 0, "still 1.0"},
	} {
		b.Reset()
		if code, err := WriteDiff(&b, c.versions, c.mode, c.transitive); code != c.want || err != nil || !strings.Contains(b.String(), c.text) {
			t.Errorf("%s %v: %d %v, want %d and %q\n%s", c.mode, c.transitive, code, err, c.want, c.text, b.String())
		}
	}
}

func TestJUnitAndSARIF(t *testing.T) {
	t.Parallel()
	p := odcs(t, `{name: id, unique: true}, {name: email, required: true}, {name: v, logicalType: integer, quality: [{type: sql, query: x, mustBe: 0}, {metric: nullValues, mustBe: 0, severity: warning}]}`)
	r := validate(t, p, FileOptions{}, write(t, "a.jsonl", []byte(`{"id":1,"email":"a","v":1}`+"\n"+`{"id":1,"email":null,"v":"\u001b[31m"}`+"\n"+`{"id":2,"email":"x","v":null}`+"\n[]\n")))
	var b bytes.Buffer
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	var suites junitSuites
	if err := xml.Unmarshal(b.Bytes(), &suites); err != nil {
		t.Fatal(err)
	}
	s := suites.Suites[0]
	if s.Failures != 3 || s.Errors != 2 || s.Tests != len(s.Cases) || !strings.Contains(b.String(), "row 2") || strings.Contains(b.String(), "\x1b") {
		t.Errorf("%d failures, %d errors, %d tests\n%s", s.Failures, s.Errors, s.Tests, b.String())
	}
	b.Reset()
	if err := r.WriteSARIF(&b); err != nil {
		t.Fatal(err)
	}
	var log sarifLog
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	if uri := artifact("a folder/50%#1.csv").URI; uri != "a%20folder/50%25%231.csv" {
		t.Errorf("%s is no URI", uri)
	}
	levels := map[string]int{}
	for _, result := range log.Runs[0].Results {
		levels[result.Level]++
		if result.Locations[0].Physical == nil {
			t.Errorf("%+v has no place", result)
		}
	}
	if fmt.Sprint(levels) != "map[error:3 warning:2]" || log.Runs[0].Invocations[0].Successful {
		t.Errorf("%v %s", levels, b.String())
	}
}

// TestAFolderOfNoDomainNeedNotBeReadable: a disk's own lost+found is root's alone.
func TestAFolderOfNoDomainNeedNotBeReadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads every folder")
	}
	dir := t.TempDir()
	closed := func(folder string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, folder), 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, folder), 0o700) })
	}
	closed("lost+found")
	closed("commerce/private")
	r, err := OpenRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if entries, _, err := r.Scan(); err != nil || len(entries) > 0 {
		t.Errorf("%v %v", entries, err)
	}
	closed("finance")
	if _, _, err := r.Scan(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a domain's folder cannot be read: %v", err)
	}
}

// TestWhatLiesWhereNoProductDoesIsTold with what to do about it, and not what nobody means as one.
func TestWhatLiesWhereNoProductDoesIsTold(t *testing.T) {
	dir := t.TempDir()
	product := []byte("name: orders\ndomain: commerce\ndescription: x\nowners: [a]\nconsumers: [b]\nschema_version: '1'\nrefresh_frequency: hourly\nquality_sla: {}\n")
	for _, folder := range []string{"commerce/more", "my domain", ".git"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, path), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"orders.yaml", "commerce/orders.yaml", "commerce/more/a.yaml", "commerce/two words.yml", "commerce/LOUD.YAML", "my domain/a.yaml", ".git/a.yaml"} {
		put(path, product)
	}
	put("torn.yaml", []byte("name: orders\r\ndomain: [\r\n"))
	put("docker-compose.yml", []byte("services: {web: {image: x}}\n"))
	put("chart.yaml", []byte("{{- if .Values.on }}\nmetadata:\n  name: {{ .Values.name }}\n  domain: x\n{{- end }}\n")) // no YAML
	put("cluster.yaml", []byte("kind: ConfigMap\n---\nkind: Secret\n"))
	put("mkdocs.yml", []byte("site_name: x\nemoji: !!python/name:material.twemoji\n"))
	put("empty.yaml", nil)
	put("README.md", []byte("# products\n"))
	for link, target := range map[string]string{"linked": "commerce", "link.yaml": "commerce/orders.yaml"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := OpenRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	told := func() map[string]string {
		entries, _, err := r.Scan()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, e := range entries {
			if e.Err == nil {
				found[e.Domain+"/"+e.Name] = ""
				continue
			}
			found[e.Domain+"/"+e.Name] = strings.ReplaceAll(strings.TrimPrefix(e.Err.Error(), filepath.Join(dir, e.Path)+": "), dir, "DIR")
		}
		return found
	}
	const stray, move = "not read as a data product, for ", "; move it to DIR/commerce/orders.yaml"
	const called = "its file is not called as a product is (letters, digits, _, - and single dots, then .yaml or .yml)"
	want := map[string]string{
		"commerce/orders":          "",
		"-/orders.yaml":            stray + "it lies in no domain's folder" + move,
		"-/torn.yaml":              stray + "it lies in no domain's folder; move it to DIR/<domain>/<name>.yaml",
		"-/commerce/more/a.yaml":   stray + "it lies deeper than in its domain's folder" + move,
		"-/commerce/two words.yml": stray + called + move,
		"-/commerce/LOUD.YAML":     stray + called + move,
		"-/my domain/a.yaml":       stray + `its folder "my domain" is no name of a domain (letters, digits, _, - and single dots)` + move,
		"-/linked":                 stray + "it is a link to a folder, which is not followed; put the folder itself there (not a regular file (L---------))",
		"-/link.yaml":              stray + "it lies in no domain's folder (not a regular file (L---------))",
	}
	for range 2 { // the second time nothing is read again
		if got := told(); !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
	}
	if _, err := Find(r, "torn"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "torn.yaml: not read as a data product") {
		t.Error(err)
	}
	var list, lint strings.Builder
	entries, _, err := r.Scan()
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteList(&list, entries, ""); err != nil || !strings.Contains(list.String(), "! "+dir+"/orders.yaml: not read") || strings.Contains(list.String(), "compose") {
		t.Errorf("%v\n%s", err, &list)
	}
	if code, err := LintRegistry(&lint, r); code != 1 || err != nil || strings.Count(lint.String(), " error (file): not read as a data product") != len(want)-1 ||
		!strings.Contains(lint.String(), "commerce/orders.yaml: nothing to say against commerce/orders") {
		t.Errorf("%d %v\n%s", code, err, &lint)
	}
	if names := ProductNames(r); !reflect.DeepEqual(names, []string{"commerce/orders"}) {
		t.Errorf("%q", names)
	}
	put("torn.yaml", []byte("services: {}\n")) // it turns out to be somebody else's
	delete(want, "-/torn.yaml")
	if err := os.Remove(filepath.Join(dir, "orders.yaml")); err != nil {
		t.Fatal(err)
	}
	delete(want, "-/orders.yaml")
	if got := told(); !reflect.DeepEqual(got, want) {
		t.Errorf("afterwards %q\nwant %q", got, want)
	}
}
