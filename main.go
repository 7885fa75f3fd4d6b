// Command weir is a terminal operations console for real-time ML. This file wires the commands; what they do lives in
// the rooms below.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"weir/backend"
	"weir/backend/api"
	"weir/backend/check"
	"weir/backend/demo"
	"weir/backend/history"
	"weir/backend/kafka"
	"weir/backend/mesh"
	"weir/backend/safetext"
	"weir/backend/timeline"
	"weir/config"
	"weir/tui"
)

// version is set by the linker for a release: -ldflags "-X main.version=v1.2.3".
var version = ""

// heapGrowth is the garbage collector's GOGC where the environment says nothing. The default of 100 lets an idle-looking
// console hold twice what it needs; this costs less than one percent of a core at 2,000 events a second and nothing that
// can be measured at 50,000.
const heapGrowth = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := command().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	var code exitCode
	if errors.As(err, &code) {
		os.Exit(int(code))
	}
	complain(os.Stderr, err)
	os.Exit(1)
}

// complain writes an error, which may quote what came from outside, so that nothing in it can act on a terminal.
func complain(w io.Writer, err error) {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = safetext.Clean(line).String()
	}
	_, _ = fmt.Fprintln(w, "weir:", strings.Join(lines, "\n"))
}

// exitCode ends the program without another word: what there was to say has been printed.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// flags are the values of all commands' flags; each command registers those it takes.
type flags struct {
	config string
	log    string
	http   string
	ascii  bool
	slow   bool
	linear bool
	demo   bool
	world  demo.Options
	faults []string
	stop   time.Duration
	out    io.Writer // standard output

	gallery string // the folder to draw the gallery into
}

func command() *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:   "weir",
		Short: "A terminal operations console for real-time ML",
		Long: "weir runs a streaming inference pipeline on Kafka, watches a fleet of edge nodes, holds data products to\n" +
			"their contracts, and shows all of it live. Without a command it opens the console on ./weir.yaml, else on\n" +
			"$XDG_CONFIG_HOME/weir/weir.yaml.",
		Example:          "  weir demo                    the console over an embedded world, nothing to set up\n  weir init && weir check      write a starter weir.yaml, then check that everything it names is there",
		Args:             knownCommand,
		SilenceUsage:     true,
		SilenceErrors:    true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) { f.out = cmd.OutOrStdout() },
		RunE:             func(cmd *cobra.Command, _ []string) error { return f.console(cmd.Context()) },
	}
	root.PersistentFlags().StringVar(&f.config, "config", "", "the configuration `FILE` (default: ./weir.yaml, else $XDG_CONFIG_HOME/weir/weir.yaml)")
	root.PersistentFlags().StringVar(&f.log, "log", "", "append logs to `FILE` (default: standard error for run, none under a console)")
	f.httpFlag(root)
	f.screenFlags(root)
	root.AddCommand(f.initCommand(), f.demoCommand(), f.runCommand(), f.validateCommand(), f.productsCommand(),
		f.checkCommand(), f.replayCommand(), versionCommand())
	return root
}

// knownCommand refuses what is none of a command's own commands, and names the one that may be meant.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	const typos = 2
	c.SuggestionsMinimumDistance = typos
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q: did you mean %s %s?", args[0], c.CommandPath(), strings.Join(near, " or "))
	}
	return fmt.Errorf("unknown command %q: %s --help lists those there are", args[0], c.CommandPath())
}

func (f *flags) httpFlag(c *cobra.Command) {
	c.Flags().StringVar(&f.http, "http", "", "serve /healthz /readyz /metrics /snapshot on `ADDR`, such as 127.0.0.1:9464")
}

func (f *flags) screenFlags(c *cobra.Command) {
	c.Flags().BoolVar(&f.ascii, "ascii", false, "draw with ASCII characters only")
	c.Flags().BoolVar(&f.slow, "slow", false, "draw half as often, for a slow link")
	c.Flags().BoolVar(&f.linear, "linear", false, "write line by line instead of drawing, for screen readers and logs")
}

// worldFlagNames are the flags that worldFlags registers.
var worldFlagNames = []string{"rate", "nodes", "seed", "kafka-listen", "fault"}

func (f *flags) worldFlags(c *cobra.Command) {
	c.Flags().Float64Var(&f.world.Rate, "rate", demo.DefaultRate, "`EVENTS` per second that the demo world produces")
	c.Flags().IntVar(&f.world.Nodes, "nodes", demo.DefaultNodes, "number of edge `NODES` in the demo world")
	c.Flags().Uint64Var(&f.world.Seed, "seed", 0, "seed `N` of the demo world; the same seed gives the same world")
	c.Flags().StringVar(&f.world.KafkaListen, "kafka-listen", "", "`ADDR` of the embedded broker (default: a free loopback port)")
	c.Flags().StringArrayVar(&f.faults, "fault", nil, "make the demo world misbehave: `NAME[@AFTER[+FOR]]`, repeatable")
	_ = c.RegisterFlagCompletionFunc("fault", cobra.FixedCompletions(demo.FaultNames(), cobra.ShellCompDirectiveNoFileComp))
}

func (f *flags) demoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "demo",
		Short:   "Open the console over an embedded world: real servers on loopback, nothing to install",
		Example: "  weir demo\n  weir demo --fault null-spike@20s+30s --fault site-down@1m",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.gallery != "" {
				return f.drawGallery(cmd.Context())
			}
			if err := f.needsTerminal("weir demo", "weir run --demo runs the same world without a console"); err != nil {
				return err
			}
			return f.inDemo(cmd.Context(), true, f.show)
		},
	}
	f.worldFlags(c)
	f.httpFlag(c)
	f.screenFlags(c)
	c.Flags().StringVar(&f.gallery, "gallery", "", "instead of opening the console, draw a sample world's every screen in every state, size and look into `DIR`, as text and PNG")
	return c
}

// drawGallery needs neither a terminal nor a world.
func (f *flags) drawGallery(ctx context.Context) error {
	n, err := tui.Gallery(ctx, f.gallery, "")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f.out, "drew %d screens; open %s\n", n, filepath.Join(f.gallery, "index.html"))
	return err
}

func (f *flags) runCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the engines without a console: a worker",
		Long:  "Run the engines without a console until a signal comes or the time is up, then print the last snapshot as\nJSON on standard output. To scale out, run more of them in the same consumer group.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.stop < 0 {
				return fmt.Errorf("--for: expected a duration such as 20s, found %v", f.stop)
			}
			if f.demo {
				return f.inDemo(cmd.Context(), false, f.work)
			}
			for _, name := range worldFlagNames {
				if cmd.Flags().Changed(name) {
					return fmt.Errorf("--%s shapes the embedded world, and this would run on a real one; add --demo, or leave it out", name)
				}
			}
			return f.inConfigured(cmd.Context(), false, f.work)
		},
	}
	c.Flags().BoolVar(&f.demo, "demo", false, "run over the embedded world")
	c.Flags().DurationVar(&f.stop, "for", 0, "stop after `DURATION` (default: run until a signal)")
	f.worldFlags(c)
	f.httpFlag(c)
	return c
}

// world is what the engines run on: a configuration, and the embedded world behind it if there is one.
type world struct {
	config *config.Config
	logger *slog.Logger
	state  string // the folder for what must survive a restart
	// Of the embedded world only:
	name   string
	faults backend.Faults
	quiet  func() // ends the events; when it returns, the broker has the last one
}

// inDemo starts the embedded world, does something in it and ends it.
func (f *flags) inDemo(ctx context.Context, console bool, do func(context.Context, world) error) error {
	logger, closeLog, err := f.openLog(console)
	if err != nil {
		return err
	}
	defer closeLog()
	f.world.Logger = logger.With("engine", "demo")
	faults := make([]demo.Fault, len(f.faults))
	for i, text := range f.faults {
		if faults[i], err = demo.ParseFault(text); err != nil {
			return fmt.Errorf("--fault: %w", err)
		}
	}
	switch { // Options take 0 for their default, and less for none; whoever writes it means it
	case f.world.Rate < 0:
		return fmt.Errorf("--rate: expected 0 or more events a second, found %g", f.world.Rate)
	case f.world.Rate == 0:
		f.world.Rate = demo.NoEvents
	}
	if f.world.Nodes == 0 {
		return errors.New("--nodes: expected at least one node, found 0")
	}
	embedded, err := demo.Start(ctx, f.world)
	if err != nil {
		return fmt.Errorf("the demo world did not start: %w", err)
	}
	defer func() {
		if err := embedded.Close(); err != nil {
			logger.Error("closing the demo world", "error", err)
		}
	}()
	for _, fault := range faults {
		if err := embedded.Inject(fault.Name, fault.After, fault.For); err != nil {
			return err
		}
	}
	c, err := config.Load(embedded.ConfigPath())
	if err != nil {
		return fmt.Errorf("the demo world's own configuration: %w", err)
	}
	c.HTTP.Listen = f.http
	state := filepath.Join(filepath.Dir(embedded.ConfigPath()), "state") // it ends with the world
	return do(ctx, world{config: c, logger: logger, state: state, name: "demo", faults: demoFaults{embedded}, quiet: embedded.StopEvents})
}

// inConfigured reads the configuration and does something with it.
func (f *flags) inConfigured(ctx context.Context, console bool, do func(context.Context, world) error) error {
	c, err := f.load()
	if err != nil {
		return err
	}
	logger, closeLog, err := f.openLog(console)
	if err != nil {
		return err
	}
	defer closeLog()
	state, err := stateFolder(c)
	if err != nil {
		return err
	}
	return do(ctx, world{config: c, logger: logger, state: state})
}

func (f *flags) load() (*config.Config, error) {
	path := f.config
	if path == "" {
		found, ok := config.Find()
		if !ok {
			return nil, errors.New("no configuration: expected ./weir.yaml or $XDG_CONFIG_HOME/weir/weir.yaml; write one with weir init, name one with --config, or try weir demo")
		}
		path = found
	}
	c, err := config.Load(path)
	if err == nil && f.http != "" {
		c.HTTP.Listen = f.http
	}
	return c, err
}

// console opens the console on the configuration, or the welcome screen where there is none.
func (f *flags) console(ctx context.Context) error {
	if err := f.needsTerminal("weir", "weir run works without one"); err != nil {
		return err
	}
	if _, found := config.Find(); f.config != "" || found {
		return f.inConfigured(ctx, true, f.show)
	}
	choice, err := tui.Welcome(ctx, f.screen(), []string{config.FileName, "$XDG_CONFIG_HOME/weir/" + config.FileName})
	switch {
	case err != nil:
		return err
	case choice == tui.ChoiceDemo:
		return f.inDemo(ctx, true, f.show)
	case choice == tui.ChoiceInit:
		return writeStarter(config.FileName, f.out)
	}
	return nil
}

// show runs the engines under the console. It gives Go twice as many processors as there are: then who comes back from
// waiting for a key or a tick finds a free one and is the kernel's to run next, instead of queueing behind the engines'
// goroutines. With 100,000 events a second on two busy cores that halves the time to a key's frame; it costs the engines
// a tenth more processor time.
func (f *flags) show(ctx context.Context, w world) error {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
	return f.withRuntime(ctx, w, func(ctx context.Context, r *backend.Runtime) error {
		o := f.screen()
		o.Console = w.config.Console
		return tui.Run(ctx, r, o)
	})
}

// screen is how the terminal is drawn on, as the flags say.
func (f *flags) screen() tui.Options {
	return tui.Options{Who: userName(), LogPath: f.log, ASCII: f.ascii, Slow: f.slow, Linear: f.linear}
}

// work runs the engines until ctx ends or the time is up, and prints the last snapshot. In the embedded world the events
// end first and the pipeline gets drainTime to answer every one of them.
func (f *flags) work(ctx context.Context, w world) error {
	if f.stop > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.stop)
		defer cancel()
	}
	var past *timeline.Timeline
	err := f.withRuntime(ctx, w, func(ctx context.Context, r *backend.Runtime) error {
		past = r.Timeline()
		<-ctx.Done()
		if w.quiet != nil {
			w.quiet()
			r.Drain(drainTime)
		}
		return nil
	})
	if err != nil {
		return err
	}
	out := json.NewEncoder(f.out)
	out.SetIndent("", "  ")
	return out.Encode(api.Snapshot(past.Newest()))
}

// drainTime bounds the wait for the last events of the embedded world.
const drainTime = 10 * time.Second

// withRuntime runs the engines, and the HTTP port if one is asked for, while do lasts; do alone hears that ctx ends.
func (f *flags) withRuntime(ctx context.Context, w world, do func(context.Context, *backend.Runtime) error) error {
	r, err := backend.New(w.config, backend.Options{World: w.name, Faults: w.faults, State: w.state, Logger: w.logger})
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	parts := 1
	ended := make(chan error, 2)
	if w.config.HTTP.Listen != "" {
		listener, err := api.Listen(w.config.HTTP.Listen)
		if err != nil {
			return err
		}
		parts++
		go func() { ended <- api.ServeOn(running, listener, api.Handler(r.Timeline(), programVersion()), w.logger) }()
	}
	go func() { ended <- r.Run(running) }()
	err = do(ctx, r)
	cancel()
	slow := time.AfterFunc(2*time.Second, func() {
		fmt.Fprintln(os.Stderr, "weir: stopping; some connections to kafka are slow to close, this takes up to 10 s")
	})
	defer slow.Stop()
	for range parts {
		err = errors.Join(err, <-ended)
	}
	return err
}

func (f *flags) replayCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "Open the console over a recording: the last day as it was shown",
		Long: "Open the console over a recording, such as the history.db that every weir keeps in its state folder. Step through\n" +
			"it with the arrow keys, or jump with :at. A recording longer than the console's memory is shown in coarser steps.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.needsTerminal("weir replay", "open it in one, or read it with --linear"); err != nil {
				return err
			}
			return f.replay(cmd.Context(), args[0])
		},
	}
	f.screenFlags(c)
	return c
}

// replay shows a recording until its reader quits.
func (f *flags) replay(ctx context.Context, path string) error {
	recording, err := history.Open(ctx, path)
	if err != nil {
		return err
	}
	line, _, err := recording.Timeline(ctx, time.Time{}, time.Time{})
	if err = errors.Join(err, recording.Close()); err != nil {
		return err
	}
	o := f.screen()
	o.Title, o.Recording = "replay of "+filepath.Base(path), true
	o.Console = config.Console{Refresh: time.Second, Theme: "auto", TimeZone: "local", ReadOnly: true}
	return tui.Run(ctx, backend.NewReplayed(line), o)
}

func (f *flags) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Write a commented starter weir.yaml",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := f.config
			if path == "" {
				path = "weir.yaml"
			}
			return writeStarter(path, f.out)
		},
	}
}

func writeStarter(path string, out io.Writer) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is already there and was left as it is; move it away, or name another with --config", path)
	}
	if err != nil {
		return fmt.Errorf("write the starter file: %w; go to a folder that can be written to, or name another file with --config", err)
	}
	_, err = file.Write(config.Starter())
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the starter file: %w", errors.Join(err, os.Remove(path))) // half of it would only be in the way
	}
	_, err = fmt.Fprintf(out, "wrote %s; put in your addresses, then: weir check\n", path)
	return err
}

func (f *flags) checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Is this configuration right, and is everything it names reachable? (exit 0: yes, 1: no)",
		Args:  cobra.NoArgs,
	}
	format := c.Flags().String("format", "text", "text, or json")
	timeout := c.Flags().Duration("timeout", check.DefaultTimeout, "time limit of each check; they run at the same time")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if *format != "text" && *format != "json" {
			return fmt.Errorf("--format: expected text or json, found %q", *format)
		}
		if *timeout <= 0 {
			return fmt.Errorf("--timeout: expected a duration such as 10s, found %v", *timeout)
		}
		c, err := f.load()
		if err != nil {
			return err
		}
		state, err := stateFolder(c)
		if err != nil {
			return err
		}
		terminal := describeTerminal(os.Environ())
		report := check.Run(cmd.Context(), c, check.Options{State: state, Timeout: *timeout, Terminal: &terminal})
		if *format == "json" {
			encoder := json.NewEncoder(f.out)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(report)
		} else {
			err = report.WriteTable(f.out, terminal.Columns)
		}
		if err != nil {
			return err
		}
		if report.Failed() {
			return exitCode(1)
		}
		return nil
	}
	return c
}

// describeTerminal is the terminal on standard output, as far as it and the environment tell.
func describeTerminal(env []string) check.Terminal {
	t := check.Terminal{Environ: env}
	width, height, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return t
	}
	t.IsTerminal, t.Columns, t.Rows = true, width, height
	t.Colours = map[colorprofile.Profile]string{colorprofile.TrueColor: "true colour", colorprofile.ANSI256: "256 colours",
		colorprofile.ANSI: "16 colours"}[colorprofile.Detect(os.Stdout, env)]
	if t.Colours == "" || os.Getenv("NO_COLOR") != "" {
		t.Colours = "no colour"
	}
	return t
}

func (f *flags) validateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "validate PRODUCT FILE…",
		Short: "Check files against a product's contract (exit 0: it holds, 1: it is broken, 2: could not tell)",
		Long: "Check files, taken together as one data set, against a product's contract. PRODUCT is DOMAIN/NAME in the\n" +
			"registry, a name that only one domain has, or the path of a product's .yaml file, with #OBJECT behind it where it\n" +
			"has several schema objects. A FILE may be CSV, JSON Lines, JSON or Parquet, compressed with gzip or zstd or not, a\n" +
			"folder of them, or - for standard input.",
		Example: "  weir validate commerce/user_events events.csv\n  weir validate product.yaml part-*.jsonl --format json\n" +
			"  zcat events.gz | weir validate product.yaml - --as csv",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return couldNotTell(cmd, fmt.Errorf("expected a product and at least one file, such as weir validate commerce/user_events events.csv; found %q", args))
			}
			return nil
		},
	}
	c.SetFlagErrorFunc(couldNotTell)
	v := mesh.ValidateCommand{}
	c.Flags().StringVar(&v.Format, "format", "text", "one of "+strings.Join(mesh.Formats(), ", ")+"; json has the contract's own three keys, and the checks")
	c.Flags().BoolVar(&v.Each, "each", false, "judge each file alone; the exit code is the highest")
	c.Flags().StringVar(&v.Options.Format, "as", "", "read every file as one of "+strings.Join(mesh.FileFormats(), ", ")+" (default: by its name, else by its first bytes)")
	c.Flags().BoolVar(&v.Options.Unmasked, "unmask", false, "show the values of sensitive columns in samples")
	c.Flags().StringVar(&v.Lineage, "lineage", "", "report the validation as OpenLineage events to a `FILE` or URL")
	registry := registryFlag(c)
	complete(c, "format", mesh.Formats())
	complete(c, "as", mesh.FileFormats())
	c.ValidArgsFunction = f.completeProduct(registry, 1)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		code, err := f.validate(cmd, v, *registry, args)
		if err != nil {
			return couldNotTell(cmd, err)
		}
		return exit(code)
	}
	return c
}

// couldNotTell prints why a validation did not come about. Its exit code is not 1, which says that a contract is broken.
func couldNotTell(cmd *cobra.Command, err error) error {
	complain(cmd.ErrOrStderr(), err)
	return exitCode(mesh.ExitUnknown)
}

func (f *flags) validate(cmd *cobra.Command, v mesh.ValidateCommand, registry string, args []string) (code int, err error) {
	if v.Product, err = f.product(registry, args[0]); err != nil {
		return 0, err
	}
	v.Files, v.Out, v.Options.Stdin = args[1:], f.out, cmd.InOrStdin()
	if term.IsTerminal(int(os.Stderr.Fd())) {
		v.Terminal = os.Stderr
	}
	if c, err := f.load(); err == nil && c.Mesh != nil && c.Mesh.Lineage != nil && c.Mesh.Lineage.To == v.Lineage {
		v.Namespace, v.Token = c.Mesh.Lineage.Namespace, c.Mesh.Lineage.Token.Reveal
	}
	return v.Run(cmd.Context())
}

// complete lets the shell complete a flag's values.
func complete(c *cobra.Command, flag string, values []string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeProduct completes the first arguments, so many (0: all), as products of the registry or files, the others as files.
func (f *flags) completeProduct(folder *string, first int) cobra.CompletionFunc {
	return f.completeNames(folder, first, mesh.ProductNames)
}

func (f *flags) completeNames(folder *string, first int, names func(*mesh.Registry) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		r, err := f.registry(*folder)
		if err != nil || first > 0 && len(args) >= first {
			return nil, cobra.ShellCompDirectiveDefault
		}
		defer func() { _ = r.Close() }()
		return names(r), cobra.ShellCompDirectiveDefault
	}
}

func registryFlag(c *cobra.Command) *string {
	return c.PersistentFlags().String("registry", "", "the registry's `FOLDER` (default: the configuration's, else ./data-products)")
}

// product finds the product a person means: in the registry, or in a file of its own that needs none.
func (f *flags) product(registry, ref string) (mesh.DataProduct, error) {
	if mesh.IsFileRef(ref) {
		return mesh.ReadRef(ref)
	}
	r, err := f.registry(registry)
	if err != nil {
		return mesh.DataProduct{}, err
	}
	defer func() { _ = r.Close() }()
	return mesh.Find(r, ref)
}

func (f *flags) registry(folder string) (*mesh.Registry, error) {
	if folder == "" {
		folder = "data-products"
		if _, found := config.Find(); found || f.config != "" {
			c, err := f.load()
			if err != nil {
				return nil, err
			}
			if c.Mesh != nil {
				folder = c.Mesh.Registry
			}
		}
	}
	return mesh.OpenRegistry(folder)
}

func (f *flags) productsCommand() *cobra.Command {
	c := &cobra.Command{Use: "products", Short: "List, show, register, lint, compare, draft and relate data products",
		Args: knownCommand, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	folder := registryFlag(c)
	within := func(do func(cmd *cobra.Command, r *mesh.Registry, args []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			r, err := f.registry(*folder)
			if err != nil {
				return err
			}
			defer func() { _ = r.Close() }()
			return do(cmd, r, args)
		}
	}
	list := &cobra.Command{Use: "list [DOMAIN]", Short: "List the products of the registry", Args: cobra.MaximumNArgs(1),
		RunE: within(func(cmd *cobra.Command, r *mesh.Registry, args []string) error {
			entries, _, err := r.Scan()
			if err != nil {
				return err
			}
			return mesh.WriteList(f.out, entries, append(args, "")[0])
		})}
	show := &cobra.Command{Use: "show PRODUCT", Short: "Show one product and its contract", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := f.product(*folder, args[0])
			if err != nil {
				return err
			}
			return mesh.WriteShow(f.out, p)
		}}
	register := &cobra.Command{Use: "register FILE", Short: "Validate a product's file and put it into the registry", Args: cobra.ExactArgs(1)}
	replace := register.Flags().Bool("replace", false, "overwrite a product of the same name")
	register.RunE = within(func(cmd *cobra.Command, r *mesh.Registry, args []string) error {
		p, err := mesh.ReadProduct(args[0])
		if err != nil {
			return err
		}
		if err := r.Register(p, mesh.RegisterOptions{Replace: *replace, By: userName()}); err != nil {
			return err
		}
		_, err = fmt.Fprintf(f.out, "registered %s in %s\n", p.Key(), r.Dir())
		return err
	})
	show.ValidArgsFunction = f.completeProduct(folder, 1)
	list.ValidArgsFunction = f.completeNames(folder, 1, mesh.DomainNames)
	c.AddCommand(list, show, register, f.lintCommand(folder), f.diffCommand(folder), f.inferCommand(folder), f.relationsCommand(folder))
	return c
}

func (f *flags) lintCommand(folder *string) *cobra.Command {
	return &cobra.Command{Use: "lint [PRODUCT…]", Short: "Report what is wrong, missing or not understood in products, or in all of the registry (exit 1: something is)",
		ValidArgsFunction: f.completeProduct(folder, 0),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return f.lintRegistry(*folder)
			}
			code, err := mesh.LintCommand(f.out, args, func(ref string) (mesh.DataProduct, error) { return f.product(*folder, ref) })
			if err != nil {
				return err
			}
			return exit(code)
		}}
}

func (f *flags) lintRegistry(folder string) error {
	r, err := f.registry(folder)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	code, err := mesh.LintRegistry(f.out, r)
	if err != nil {
		return err
	}
	return exit(code)
}

func (f *flags) diffCommand(folder *string) *cobra.Command {
	c := &cobra.Command{Use: "diff OLD… NEW", Short: "Show what changed between versions of a product, and who is broken by each change",
		Example: "  weir products diff old.yaml new.yaml --compatibility BACKWARD", Args: cobra.MinimumNArgs(2), ValidArgsFunction: f.completeProduct(folder, 0)}
	mode := c.Flags().String("compatibility", "", "exit 1 unless NEW is compatible with the last OLD: BACKWARD, FORWARD or FULL; with every OLD: the same with _TRANSITIVE")
	complete(c, "compatibility", mesh.CompatibilityModes())
	c.RunE = func(_ *cobra.Command, args []string) error {
		code, err := mesh.DiffCommand(f.out, args, *mode, func(ref string) (mesh.DataProduct, error) { return f.product(*folder, ref) })
		if err != nil {
			return err
		}
		return exit(code)
	}
	return c
}

func (f *flags) inferCommand(folder *string) *cobra.Command {
	c := &cobra.Command{Use: "infer [DOMAIN/NAME] TOPIC|FILE…", Short: "Draft a product from data, for a person to edit",
		Long: "Draft an ODCS contract from files, or from the newest records of a topic of the configured cluster. No consumer\n" +
			"group's offsets are touched.",
		Example: "  weir products infer commerce/orders orders.csv > orders.yaml\n  weir products infer commerce/user_events user_events --config weir.yaml",
		Args:    cobra.MinimumNArgs(1)}
	s := f.sources(c, folder)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s.Files.Stdin = cmd.InOrStdin()
		return s.InferCommand(cmd.Context(), f.out, args)
	}
	return c
}

func (f *flags) relationsCommand(folder *string) *cobra.Command {
	c := &cobra.Command{Use: "relations PRODUCT[=FILE,…]…", Short: "Find likely joins between products by the overlap of their values",
		Long: "Find columns whose values also occur in another product's, with the error of the estimate. The data come from files\n" +
			"(PRODUCT=FILE, or a FILE under its own name) or from a PRODUCT's topic in the configured cluster.",
		Example: "  weir products relations commerce/orders=orders.csv crm/users=users.parquet\n  weir products relations commerce/user_events crm/users=users.csv --format json",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: f.completeProduct(folder, 0)}
	s := f.sources(c, folder)
	format := c.Flags().String("format", "text", "text, or json")
	complete(c, "format", []string{"text", "json"})
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s.Files.Stdin = cmd.InOrStdin()
		return s.RelationsCommand(cmd.Context(), f.out, args, *format)
	}
	return c
}

// sources are where a command's profiles come from, with the flags that bound them.
func (f *flags) sources(c *cobra.Command, folder *string) *mesh.Sources {
	s := &mesh.Sources{Find: func(ref string) (mesh.DataProduct, error) { return f.product(*folder, ref) }}
	s.Cluster = func() (kafka.Cluster, string, error) {
		c, err := f.load()
		if err != nil {
			return kafka.Cluster{}, "", err
		}
		registry := ""
		if c.Mesh != nil {
			registry = c.Mesh.SchemaRegistry
		}
		cluster, err := kafka.NewCluster(c.Kafka)
		return cluster, registry, err
	}
	c.Flags().IntVar(&s.Topics.Records, "max-records", mesh.DefaultTopicRecords, "look at the newest `N` records of a topic")
	c.Flags().DurationVar(&s.Topics.For, "for", 30*time.Second, "look at a topic for no longer than `DURATION`")
	c.Flags().StringVar(&s.Files.Format, "as", "", "read every file as one of "+strings.Join(mesh.FileFormats(), ", "))
	complete(c, "as", mesh.FileFormats())
	return s
}

// exit is the error that ends the program with a code; nil for 0.
func exit(code int) error {
	if code == 0 {
		return nil
	}
	return exitCode(code)
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version and what it was built with",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "weir %s (%s, %s/%s)\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// programVersion is the release's, else the commit's it was built from.
func programVersion() string {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v = s.Value[:min(12, len(s.Value))]
			}
		}
	}
	if v == "" || v == "(devel)" {
		v = "development build"
	}
	return v
}

// needsTerminal is an error that says what to do where there is no terminal to draw on; line by line needs none.
func (f *flags) needsTerminal(what, instead string) error {
	if f.linear || term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd())) {
		return nil
	}
	return fmt.Errorf("%s draws on a terminal, and standard input or output is not one; %s", what, instead)
}

// openLog opens the file that --log names. Without one a worker logs to standard error, and a console, which must
// not draw over itself, not at all.
func (f *flags) openLog(console bool) (*slog.Logger, func(), error) {
	switch {
	case f.log != "":
		file, err := os.OpenFile(f.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("--log: %w; name a file in a folder that is there and can be written to", err)
		}
		return slog.New(slog.NewTextHandler(file, nil)), func() { _ = file.Close() }, nil
	case console:
		return slog.New(slog.DiscardHandler), func() {}, nil
	default:
		return slog.New(slog.NewTextHandler(os.Stderr, nil)), func() {}, nil
	}
}

// stateFolder is where what must survive a restart is kept, one folder a configuration file.
func stateFolder(c *config.Config) (string, error) {
	base, err := config.StateFolder()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(base, hex.EncodeToString(sum[:6])), nil
}

func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "someone"
}

// demoFaults shows the embedded world's faults to the runtime in its own words.
type demoFaults struct{ world *demo.World }

func (d demoFaults) FaultNames() []string { return demo.FaultNames() }
func (d demoFaults) Inject(name string, after, lasting time.Duration) error {
	return d.world.Inject(name, after, lasting)
}
func (d demoFaults) Clear(name string) error { return d.world.Clear(name) }
func (d demoFaults) InForce() []timeline.Fault {
	var out []timeline.Fault
	for _, f := range d.world.Faults() {
		out = append(out, timeline.Fault{Name: f.Name, Since: f.Since, Until: f.Until})
	}
	return out
}
