// Package session is one life of the program with engines: from a configuration, or the embedded world, to a running
// [backend.Runtime] with its HTTP port and its log, and to the end of all of them.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"weir/backend"
	"weir/backend/api"
	"weir/backend/demo"
	"weir/config"
)

// Settings are what a person says about a session beside its configuration.
type Settings struct {
	Config  string // the configuration file; empty: where config.Find finds it
	Log     string // the file that logs are appended to; empty: see Console
	HTTP    string // the address of the HTTP port; empty: the configuration's
	Console bool   // a console draws on the terminal: without a file there is no log
	Version string // of the program, for the HTTP port

	ErrOut io.Writer // standard error
}

// Session is what the engines run on: a configuration, and the embedded world behind it if there is one.
type Session struct {
	Config *config.Config

	settings Settings
	logger   *slog.Logger
	state    string // the folder for what must survive a restart
	// Of the embedded world only:
	world  string
	faults backend.Faults
	quiet  func() // ends the events; when it returns, the broker has the last one
}

// OnConfigured does something in a session on the configuration.
func OnConfigured(ctx context.Context, settings Settings, do func(context.Context, *Session) error) error {
	c, err := config.LoadNamed(settings.Config)
	if err != nil {
		return err
	}
	logger, closeLog, err := openLog(settings)
	if err != nil {
		return err
	}
	defer closeLog()
	state, err := c.StateFolder()
	if err != nil {
		return err
	}
	if settings.HTTP != "" {
		c.HTTP.Listen = settings.HTTP
	}
	return do(ctx, &Session{Config: c, settings: settings, logger: logger, state: state})
}

// World says what the embedded world is like, in the words of the flags.
type World struct {
	demo.Options
	Faults []string // each NAME[@AFTER[+FOR]]
}

// OnDemo starts the embedded world, does something in a session on it and ends it.
func OnDemo(ctx context.Context, settings Settings, w World, do func(context.Context, *Session) error) error {
	logger, closeLog, err := openLog(settings)
	if err != nil {
		return err
	}
	defer closeLog()
	w.Logger = logger.With("engine", "demo")
	faults := make([]demo.Fault, len(w.Faults))
	for i, text := range w.Faults {
		if faults[i], err = demo.ParseFault(text); err != nil {
			return fmt.Errorf("--fault: %w", err)
		}
	}
	switch { // Options take 0 for their default, and less for none; whoever writes it means it
	case w.Rate < 0:
		return fmt.Errorf("--rate: expected 0 or more events a second, found %g", w.Rate)
	case w.Rate == 0:
		w.Rate = demo.NoEvents
	}
	if w.Nodes == 0 {
		return errors.New("--nodes: expected at least one node, found 0")
	}
	embedded, err := demo.Start(ctx, w.Options)
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
	c.HTTP.Listen = settings.HTTP
	state := filepath.Join(filepath.Dir(embedded.ConfigPath()), "state") // it ends with the world
	return do(ctx, &Session{Config: c, settings: settings, logger: logger, state: state, world: "demo",
		faults: worldFaults{embedded}, quiet: embedded.StopEvents})
}

// slowToStop is how long the engines may take to stop before a person is told why.
const slowToStop = 2 * time.Second

// Run runs the engines, and the HTTP port if one is asked for, while do lasts; do alone hears that ctx ends.
func (s *Session) Run(ctx context.Context, do func(context.Context, *backend.Runtime) error) error {
	r, err := backend.New(s.Config, backend.Options{World: s.world, Faults: s.faults, State: s.state, Logger: s.logger})
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	parts := 1
	ended := make(chan error, 2)
	if s.Config.HTTP.Listen != "" {
		listener, err := api.Listen(s.Config.HTTP.Listen)
		if err != nil {
			return err
		}
		parts++
		go func() {
			ended <- api.ServeOn(running, listener, api.Handler(r.Timeline(), s.settings.Version), s.logger)
		}()
	}
	go func() { ended <- r.Run(running) }()
	err = do(ctx, r)
	cancel()
	slow := time.AfterFunc(slowToStop, func() {
		_, _ = fmt.Fprintln(s.settings.ErrOut, "weir: stopping; connections to kafka are slow to close, or the outbox to open, this takes up to 10 s")
	})
	defer slow.Stop()
	for range parts {
		err = errors.Join(err, <-ended)
	}
	return err
}
