// Command weir is a terminal operations console for real-time ML. This file wires the commands; what they do lives in
// the rooms below.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"weir/backend"
	"weir/backend/api"
	"weir/backend/check"
	"weir/backend/demo"
	"weir/backend/exit"
	"weir/backend/history"
	"weir/backend/products"
	"weir/backend/session"
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
	var code exit.Code
	if errors.As(err, &code) {
		os.Exit(int(code))
	}
	exit.Complain(os.Stderr, err)
	os.Exit(1)
}

// flags are the values of all commands' flags; each command registers those it takes.
type flags struct {
	config string
	log    string
	http   string
	ascii  bool
	slow   bool
	linear bool
	demo   bool
	world  session.World
	stop   time.Duration
	out    io.Writer // standard output
	errOut io.Writer // standard error

	gallery string // the folder to draw the gallery into

	products products.Front
}

func command() *cobra.Command {
	f := &flags{}
	f.products = products.Front{Config: &f.config, By: userName, Known: knownCommand}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		f.products.Terminal = os.Stderr
	}
	root := &cobra.Command{
		Use:   "weir",
		Short: "A terminal operations console for real-time ML",
		Long: "weir runs a streaming inference pipeline on Kafka, watches a fleet of edge nodes, holds data products to\n" +
			"their contracts, and shows all of it live. Without a command it opens the console on ./weir.yaml, else on\n" +
			"$XDG_CONFIG_HOME/weir/weir.yaml.",
		Example:       "  weir demo                    the console over an embedded world, nothing to set up\n  weir init && weir check      write a starter weir.yaml, then check that everything it names is there",
		Args:          knownCommand,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			f.out, f.errOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
			f.products.Out = f.out
			if !cmd.Flags().Changed("ascii") {
				f.ascii = tui.OnlyASCII(os.Environ()) != ""
			}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return f.console(cmd.Context()) },
	}
	root.PersistentFlags().StringVar(&f.config, "config", "", "the configuration `FILE` (default: ./weir.yaml, else $XDG_CONFIG_HOME/weir/weir.yaml)")
	root.PersistentFlags().StringVar(&f.log, "log", "", "append logs to `FILE` (default: standard error for run, none under a console)")
	f.httpFlag(root)
	f.screenFlags(root)
	root.AddCommand(f.initCommand(), f.demoCommand(), f.runCommand(), f.products.Validate(), f.products.Products(),
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
	c.Flags().BoolVar(&f.ascii, "ascii", false, "draw with ASCII characters only; not given: only where TERM or the locale says that others come out wrong (--ascii=false: never)")
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
	c.Flags().StringArrayVar(&f.world.Faults, "fault", nil, "make the demo world misbehave: `NAME[@AFTER[+FOR]]`, repeatable")
	_ = c.RegisterFlagCompletionFunc("fault", cobra.FixedCompletions(demo.FaultNames(), cobra.ShellCompDirectiveNoFileComp))
}

// worldFlag is the first flag of the embedded world that was given; empty when none was.
func worldFlag(c *cobra.Command) string {
	i := slices.IndexFunc(worldFlagNames, c.Flags().Changed)
	if i < 0 {
		return ""
	}
	return worldFlagNames[i]
}

func (f *flags) demoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "demo",
		Short:   "Open the console over an embedded world: real servers on loopback, nothing to install",
		Example: "  weir demo\n  weir demo --fault null-spike@20s+30s --fault site-down@1m",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.config != "" {
				return errors.New("--config names the configuration of a real world, and the demo world has its own; leave it out, or run weir --config FILE for a console on that configuration")
			}
			if f.gallery != "" {
				if name := worldFlag(cmd); name != "" {
					return fmt.Errorf("--%s shapes the embedded world, and a gallery shows a sample of one that never runs; leave it out", name)
				}
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
		Long:  "Run the engines without a console until a signal comes or the time is up, then print the last snapshot as\nJSON on standard output. To scale out, run more of them in the same consumer group.\n\nWith --for the exit code is 0 if every configured engine ran, and 3 if weir was ready at no moment of that time,\nas /readyz judges it; standard error then says why.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.stop < 0 {
				return fmt.Errorf("--for: expected a duration such as 20s, found %v", f.stop)
			}
			if f.demo && f.config != "" {
				return errors.New("--config names the configuration of a real world, and with --demo the embedded one is run on; leave one of them out")
			}
			if f.demo {
				return f.inDemo(cmd.Context(), false, f.work)
			}
			if name := worldFlag(cmd); name != "" {
				return fmt.Errorf("--%s shapes the embedded world, and this would run on a real one; add --demo, or leave it out", name)
			}
			return session.OnConfigured(cmd.Context(), f.session(false), f.work)
		},
	}
	c.Flags().BoolVar(&f.demo, "demo", false, "run over the embedded world")
	c.Flags().DurationVar(&f.stop, "for", 0, "stop after `DURATION` (default: run until a signal)")
	f.worldFlags(c)
	f.httpFlag(c)
	return c
}

// session is what the flags say about a session with engines.
func (f *flags) session(console bool) session.Settings {
	return session.Settings{Config: f.config, Log: f.log, HTTP: f.http, Console: console, Version: programVersion(), ErrOut: os.Stderr}
}

// inDemo does something in a session on the embedded world.
func (f *flags) inDemo(ctx context.Context, console bool, do func(context.Context, *session.Session) error) error {
	return session.OnDemo(ctx, f.session(console), f.world, do)
}

// console opens the console on the configuration, or the welcome screen where there is none.
func (f *flags) console(ctx context.Context) error {
	if err := f.needsTerminal("weir", "weir run works without one"); err != nil {
		return err
	}
	if _, found := config.Find(); f.config != "" || found {
		return session.OnConfigured(ctx, f.session(true), f.show)
	}
	choice, err := tui.Welcome(ctx, f.screen(), []string{config.FileName, "$XDG_CONFIG_HOME/weir/" + config.FileName})
	switch {
	case err != nil:
		return err
	case choice == tui.ChoiceDemo:
		return f.inDemo(ctx, true, f.show)
	case choice == tui.ChoiceInit:
		return f.create(config.FileName)
	}
	return nil
}

// create writes a starter file and says what to do with it.
func (f *flags) create(path string) error {
	if err := config.Create(path); err != nil {
		return err
	}
	_, err := fmt.Fprintf(f.out, "wrote %s; put in your addresses, then: weir check\n", path)
	return err
}

// show opens the console in a session. It gives Go twice as many processors as there are: then who comes back from
// waiting for a key or a tick finds a free one and is the kernel's to run next, instead of queueing behind the engines'
// goroutines. With 100,000 events a second on two busy cores that halves the time to a key's frame; it costs the engines
// a tenth more processor time.
func (f *flags) show(ctx context.Context, s *session.Session) error {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
	return s.Run(ctx, func(ctx context.Context, r *backend.Runtime) error {
		o := f.screen()
		o.Console = s.Config.Console
		return tui.Run(ctx, r, o)
	})
}

// exitNeverRan is the exit code of weir run --for when an engine never ran.
const exitNeverRan = 3

// work runs the engines without a console and prints the last snapshot.
func (f *flags) work(ctx context.Context, s *session.Session) error {
	worked, err := s.Work(ctx, f.stop)
	if err != nil {
		return err
	}
	out := json.NewEncoder(f.out)
	out.SetIndent("", "  ")
	if err := out.Encode(api.Snapshot(worked.Last)); err != nil {
		return err
	}
	if worked.Never != "" {
		exit.Complain(f.errOut, fmt.Errorf("expected every engine to run within %v, and weir was never ready: %s; weir check says what is missing", f.stop, worked.Never))
		return exit.Code(exitNeverRan)
	}
	return nil
}

// screen is how the terminal is drawn on, as the flags say.
func (f *flags) screen() tui.Options {
	return tui.Options{Who: userName(), LogPath: f.log, ASCII: f.ascii, Slow: f.slow, Linear: f.linear}
}

func (f *flags) replayCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "Open the console over a recording: the last day as it was shown",
		Long: "Open the console over a recording, such as the history.db that every weir keeps in its state folder. Step through\n" +
			"it with the arrow keys, or jump with :at. A recording longer than the console's memory is shown in coarser steps.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.config != "" {
				return errors.New("--config has no say in a replay: a recording holds all that is shown; leave it out")
			}
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
			return f.create(path)
		},
	}
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
		c, err := config.LoadNamed(f.config)
		if err != nil {
			return err
		}
		state, err := c.StateFolder()
		if err != nil {
			return err
		}
		terminal := check.Terminal(tui.FindFacts(os.Environ()))
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
			return exit.Code(1)
		}
		return nil
	}
	return c
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
	if f.linear || tui.HasTerminal() {
		return nil
	}
	return fmt.Errorf("%s draws on a terminal, and standard input or output is not one; %s", what, instead)
}

func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "someone"
}
