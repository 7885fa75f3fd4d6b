package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/backend/exit"
	"weir/config"
)

// weir runs a command line in an empty folder of its own and returns what it printed.
func weir(t *testing.T, args ...string) (out, errOut string, err error) {
	t.Helper()
	return weirFrom(t, nil, args...)
}

// weirFrom is weir with a standard input.
func weirFrom(t *testing.T, in io.Reader, args ...string) (out, errOut string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	c := command()
	c.SetIn(in)
	c.SetArgs(args)
	c.SetOut(&o)
	c.SetErr(&e)
	err = c.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

// home is the folder of this package, which tests leave.
var home = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}()

// alone puts the test into an empty folder without a configuration of its user's.
func alone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "xdg"))
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	return dir
}

func code(err error) int {
	var c exit.Code
	switch {
	case err == nil:
		return 0
	case errors.As(err, &c):
		return int(c)
	}
	return 1
}

func TestWithoutATerminalOneSentenceSaysSo(t *testing.T) {
	alone(t)
	for _, args := range [][]string{{}, {"demo"}, {"replay", "history.db"}} {
		_, _, err := weir(t, args...)
		if err == nil || !strings.Contains(err.Error(), "terminal") || strings.Contains(err.Error(), "\n") {
			t.Errorf("weir %v = %v; expected a sentence about the terminal", args, err)
		}
	}
}

func TestWithoutAConfigurationTheErrorSaysWhatToDo(t *testing.T) {
	alone(t)
	for _, args := range [][]string{{"run"}, {"check"}} {
		_, _, err := weir(t, args...)
		if err == nil || !strings.Contains(err.Error(), "weir init") {
			t.Errorf("weir %v = %v; expected advice to run weir init", args, err)
		}
	}
}

func TestAnUnknownCommandIsRefusedWithTheOneThatMayBeMeant(t *testing.T) {
	alone(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"chek"}, "did you mean weir check?"},
		{[]string{"nonsense"}, "weir --help"},
		{[]string{"products", "regster"}, "did you mean weir products register?"},
		{[]string{"products", "nonsense"}, "weir products --help"},
	} {
		if _, _, err := weir(t, c.args...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("weir %v = %v; expected %q", c.args, err, c.says)
		}
	}
	if out, _, err := weir(t, "products"); err != nil || !strings.Contains(out, "register") {
		t.Errorf("weir products = %v; expected its help:\n%s", err, out)
	}
}

func TestInitWritesAFileThatLoadsAndKeepsWhatIsThere(t *testing.T) {
	alone(t)
	if _, _, err := weir(t, "init"); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load("weir.yaml"); err != nil {
		t.Errorf("the starter does not load: %v", err)
	}
	if err := os.WriteFile("weir.yaml", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := weir(t, "init"); err == nil || !strings.Contains(err.Error(), "already there") {
		t.Errorf("a second init = %v", err)
	}
	if kept, _ := os.ReadFile("weir.yaml"); string(kept) != "mine" {
		t.Errorf("init overwrote a file: %q", kept)
	}
}

func TestAFileThatCannotBeWrittenIsSaidWithWhatToDo(t *testing.T) {
	alone(t)
	for _, c := range []struct {
		args []string
		do   string
	}{
		{[]string{"init", "--config", "absent/weir.yaml"}, "--config"},
		{[]string{"run", "--demo", "--for", "1ms", "--log", "absent/log.txt"}, "name a file"},
	} {
		if _, _, err := weir(t, c.args...); err == nil || !strings.Contains(err.Error(), "absent/") || !strings.Contains(err.Error(), c.do) || strings.Contains(err.Error(), "\n") {
			t.Errorf("weir %v = %v; expected a sentence that names the file and says what to do (%s)", c.args, err, c.do)
		}
	}
}

const product = `consumers: [fraud]
description: what visitors do
domain: commerce
name: user_events
owners: [web@example.com]
quality_sla:
  max_null_percentage: 0.05
  required_columns: [user_id, email]
refresh_frequency: hourly
schema_version: 1.0.0
`

func TestValidateExitCodes(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	write(t, "good.csv", "user_id,email\n1,a@example.com\n2,b@example.com\n")
	write(t, "nulls.csv", "user_id,email\n1,\n2,b@example.com\n")
	write(t, "missing.csv", "user_id\n1\n")
	write(t, "empty.csv", "user_id,email\n")
	write(t, "torn.csv", "user_id,email\n1,\"a@example.com\n")
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"product.yaml", "good.csv"}, 0},
		{[]string{"product.yaml", "nulls.csv"}, 1},
		{[]string{"product.yaml", "missing.csv"}, 1},
		{[]string{"product.yaml", "empty.csv"}, 2},
		{[]string{"product.yaml", "torn.csv"}, 2},
		{[]string{"product.yaml", "absent.csv"}, 2},
		{[]string{"absent.yaml", "good.csv"}, 2},
		{[]string{"product.yaml", "good.csv", "--format", "xml"}, 2},
		{[]string{"product.yaml", "good.csv", "--formt", "json"}, 2},
		{[]string{"product.yaml"}, 2},
	} {
		_, _, err := weir(t, append([]string{"validate"}, c.args...)...)
		if got := code(err); got != c.code {
			t.Errorf("weir validate %v: exit %d (%v), want %d", c.args, got, err, c.code)
		}
	}
	out, _, _ := weir(t, "validate", "product.yaml", "nulls.csv", "--format", "json")
	var result struct {
		Schema  *bool    `json:"schema_compliance"`
		Quality *bool    `json:"quality_compliance"`
		Issues  []string `json:"issues"`
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if result.Schema == nil || !*result.Schema || result.Quality == nil || *result.Quality || len(result.Issues) != 1 {
		t.Errorf("the JSON of a broken contract: %s", out)
	}
}

func TestProductsRegisterShowList(t *testing.T) {
	alone(t)
	write(t, "product.yaml", product)
	if err := os.Mkdir("data-products", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := weir(t, "products", "register", "product.yaml"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := weir(t, "products", "register", "product.yaml"); err == nil {
		t.Error("a second register overwrote the first")
	}
	if _, _, err := weir(t, "products", "register", "product.yaml", "--replace"); err != nil {
		t.Error(err)
	}
	out, _, err := weir(t, "products", "list")
	if err != nil || !strings.Contains(out, "user_events") {
		t.Errorf("list = %v\n%s", err, out)
	}
	if out, _, err = weir(t, "products", "list", "finance"); err != nil || strings.Contains(out, "user_events") {
		t.Errorf("list finance = %v\n%s", err, out)
	}
	if out, _, err = weir(t, "products", "show", "commerce/user_events"); err != nil || !strings.Contains(out, "web@example.com") {
		t.Errorf("show = %v\n%s", err, out)
	}
	if _, _, err = weir(t, "products", "show", "../../etc/passwd"); err == nil {
		t.Error("a path outside the registry was shown")
	}
}

func TestProductsLintDiffInfer(t *testing.T) {
	alone(t)
	write(t, "old.yaml", product)
	write(t, "new.yaml", strings.Replace(product, "[user_id, email]", "[user_id]", 1))
	write(t, "rows.csv", "user_id,email\n1,a@example.com\n2,b@example.com\n")
	if out, _, err := weir(t, "products", "lint", "old.yaml"); code(err) > 1 || out == "" {
		t.Errorf("lint = %v\n%s", err, out)
	}
	if out, _, err := weir(t, "products", "diff", "old.yaml", "new.yaml"); err != nil || !strings.Contains(out, "email") {
		t.Errorf("diff = %v\n%s", err, out)
	}
	if out, _, err := weir(t, "products", "diff", "old.yaml", "new.yaml", "--compatibility", "FORWARD"); code(err) != 1 {
		t.Errorf("a column that is no longer promised broke nobody: %v\n%s", err, out)
	}
	if _, _, err := weir(t, "products", "diff", "old.yaml", "new.yaml", "--compatibility", "SIDEWAYS"); err == nil {
		t.Error("an unknown compatibility was taken")
	}
	out, _, err := weir(t, "products", "infer", "commerce/visitors", "rows.csv")
	if err != nil || !strings.Contains(out, "email") {
		t.Fatalf("infer = %v\n%s", err, out)
	}
	write(t, "draft.yaml", out)
	if out, _, err := weir(t, "validate", "draft.yaml", "rows.csv"); err != nil {
		t.Errorf("the data do not satisfy the draft made of them: %v\n%s", err, out)
	}
	if out, _, err := weir(t, "validate", "old.yaml", "rows.csv", "--format", "junit"); err != nil || !strings.Contains(out, "<testsuite") {
		t.Errorf("junit = %v\n%s", err, out)
	}
}

func TestRunInTheDemoWorldAnswersEveryEvent(t *testing.T) {
	alone(t)
	out, errOut, err := weir(t, "run", "--demo", "--rate", "500", "--for", "3s", "--fault", "poison-events", "--log", "log.txt")
	if err != nil {
		t.Fatalf("%v\n%s", err, errOut)
	}
	var last struct {
		Pipeline struct {
			Consumed, Predicted uint64
			DeadLettered        uint64 `json:"dead_lettered"`
			Lag                 int64
		}
		Edge struct{ Nodes, Reporting int }
		Mesh struct{ Products []any }
	}
	if err := json.Unmarshal([]byte(out), &last); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	p := last.Pipeline
	if p.Consumed == 0 || p.DeadLettered == 0 || p.Consumed != p.Predicted+p.DeadLettered || p.Lag != 0 {
		t.Errorf("pipeline: %+v; expected every event answered, some of them as dead letters", p)
	}
	if last.Edge.Nodes != 14 || last.Edge.Reporting != 14 || len(last.Mesh.Products) != 6 {
		t.Errorf("edge %+v, %d products; expected 14 nodes that report, 6 products", last.Edge, len(last.Mesh.Products))
	}
}

// TestRunForSaysWhetherTheEnginesRan has a worker without its registry, some that lack nothing, be it between two ticks, and
// one that is ended before its time: the last snapshot is printed in any case.
func TestRunForSaysWhetherTheEnginesRan(t *testing.T) {
	dir := alone(t)
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	const broker = "kafka: {brokers: [127.0.0.1:1]}\n"
	for _, c := range []struct {
		name, config string
		lasting      string
		ended        bool
		code         int
		says         string
	}{
		{"no registry", broker + "mesh: {registry: absent}\n", "1s", false, exitNeverRan, "mesh judges nothing"},
		{"an engine that needs nothing", broker + "edge: {nodes: [http://127.0.0.1:1]}\n", "1s", false, 0, ""},
		{"an empty registry, ready before the second tick", broker + "mesh: {registry: empty}\nconsole: {refresh: 10s}\n", "3s", false, 0, ""},
		{"ended before its time", broker + "mesh: {registry: absent}\n", "1s", true, 0, ""},
	} {
		write(t, "weir.yaml", c.config)
		var out, errOut bytes.Buffer
		root := command()
		root.SetOut(&out)
		root.SetErr(&errOut)
		root.SetArgs([]string{"run", "--for", c.lasting, "--log", "log.txt"})
		ctx, cancel := context.WithCancel(t.Context())
		if c.ended {
			cancel()
		}
		err := root.ExecuteContext(ctx)
		cancel()
		if code(err) != c.code || !strings.Contains(errOut.String(), c.says) || c.says == "" && errOut.Len() > 0 {
			t.Errorf("%s: exit %d (%v), want %d: %q", c.name, code(err), err, c.code, errOut.String())
		}
		if !json.Valid(out.Bytes()) {
			t.Errorf("%s: printed %q", c.name, out.String())
		}
	}
}

func TestTheDemoWorldLeavesNothingInTheHomeFolder(t *testing.T) {
	dir := alone(t)
	if _, errOut, err := weir(t, "run", "--demo", "--rate", "50", "--for", "1s", "--log", "log.txt"); err != nil {
		t.Fatalf("%v\n%s", err, errOut)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "state", "*", "*", "*")); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "")
	if _, errOut, err := weir(t, "run", "--demo", "--rate", "50", "--for", "1ms", "--log", "log.txt"); err != nil {
		t.Errorf("without a home folder: %v\n%s", err, errOut)
	}
}

func TestDemoRefusesAFaultItDoesNotKnow(t *testing.T) {
	alone(t)
	_, _, err := weir(t, "run", "--demo", "--for", "1s", "--fault", "null-spik", "--log", "log.txt")
	if err == nil || !strings.Contains(err.Error(), "null-spike") {
		t.Errorf("an unknown fault = %v; expected the name that was meant", err)
	}
}

func TestFlagsThatWouldNotBeHeededAreRefused(t *testing.T) {
	alone(t)
	write(t, "weir.yaml", "kafka: {brokers: [127.0.0.1:1]}\n")
	for _, c := range []struct{ args, says string }{
		{"run --for 1ms --rate 10", "--demo"},
		{"run --for 1ms --nodes 3", "--demo"},
		{"run --for 1ms --seed 3", "--demo"},
		{"run --for 1ms --kafka-listen 127.0.0.1:0", "--demo"},
		{"run --for 1ms --fault node-down", "--demo"},
		{"run --for -1s", "--for"},
		{"check --timeout 0s", "--timeout"},
		{"demo --config weir.yaml", "weir --config FILE"},
		{"demo --gallery drawn --seed 3", "--seed"},
		{"run --demo --for 1ms --config weir.yaml", "leave one of them out"},
		{"replay history.db --config weir.yaml", "--config"},
		{"run --demo --for 1ms --rate -1", "--rate"},
		{"run --demo --for 1ms --nodes 0", "--nodes"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // what runs all the same ends at once
		root := command()
		root.SetOut(io.Discard)
		root.SetArgs(append(strings.Fields(c.args), "--log", "log.txt"))
		if err := root.ExecuteContext(ctx); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("weir %s = %v; expected a word about %s", c.args, err, c.says)
		}
	}
	flags := (&flags{}).runCommand().Flags()
	for _, name := range worldFlagNames {
		if flags.Lookup(name) == nil {
			t.Errorf("--%s is no flag of weir run", name)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
