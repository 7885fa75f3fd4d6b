// Package check tells whether a configuration is right and whether everything it names can be reached: the logic of
// `weir check`. It changes nothing: it reads topics' and groups' facts, asks for one entity's features, polls each node
// once, sends the cloud no data, and removes the file it writes to try a folder.
package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"syscall"
	"time"

	"weir/backend/safetext"
	"weir/config"
)

// Status is what came of one check.
type Status string

// The statuses of a row.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it works, but not as it should or not for long
	Failed  Status = "failed"  // weir cannot do its work
	Skipped Status = "skipped" // it could not be checked because another check failed
)

// Row is one thing that was checked.
type Row struct {
	Status Status        `json:"status"`
	What   safetext.Text `json:"what"`
	Found  safetext.Text `json:"found"`
	Do     safetext.Text `json:"do"` // empty when nothing is to be done
}

// Report is everything that was checked, in the order of the configuration.
type Report struct {
	Rows []Row
	Took time.Duration
}

// MarshalJSON writes the rows, whether any failed, and how long it took in seconds.
func (r Report) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Failed bool    `json:"failed"`
		Took   float64 `json:"took_seconds"`
		Rows   []Row   `json:"rows"`
	}{r.Failed(), r.Took.Seconds(), r.Rows})
}

// Failed tells whether any check failed; warnings and skipped checks are no failure.
func (r Report) Failed() bool { return r.count(Failed) > 0 }

func (r Report) count(s Status) (n int) {
	for _, row := range r.Rows {
		if row.Status == s {
			n++
		}
	}
	return n
}

// Options say what a configuration does not.
type Options struct {
	// Timeout is the deadline of each check; they run at the same time. Default: DefaultTimeout.
	Timeout time.Duration
	// State is the folder of files that the configuration leaves unnamed; default: config.StateFolder.
	State string
	// Terminal is the terminal the console would draw on; nil leaves it out.
	Terminal *Terminal
}

// DefaultTimeout is the deadline of each check.
const DefaultTimeout = 10 * time.Second

// Terminal is what is known about the terminal.
type Terminal struct {
	IsTerminal    bool
	Columns, Rows int
	Colours       string   // such as "true colour", "256 colours", "no colour"
	ASCII         string   // why the console draws with ASCII characters only, such as "TERM=linux"; empty: it does not
	Environ       []string // name=value, for TERM
}

// Run checks everything that c names, all at the same time, each check with its own deadline. It returns when all have
// ended; a check that was stopped by ctx has failed.
func Run(ctx context.Context, c *config.Config, o Options) Report {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	began := time.Now()
	checks := []func(context.Context) []Row{
		func(context.Context) []Row { return checkSections(c) },
		func(ctx context.Context) []Row { return checkKafka(ctx, c) },
	}
	add := func(section bool, f func(context.Context) []Row) {
		if section {
			checks = append(checks, f)
		}
	}
	add(c.Features != nil, func(ctx context.Context) []Row { return checkFeatures(ctx, c.Features) })
	add(c.Model != nil, func(ctx context.Context) []Row { return checkModel(ctx, c) })
	add(c.Pipeline != nil && c.Features != nil, func(ctx context.Context) []Row { return checkEvents(ctx, c) })
	add(c.Edge != nil, func(ctx context.Context) []Row { return checkEdge(ctx, c.Edge) })
	add(c.Edge != nil && c.Edge.Cloud != nil, func(ctx context.Context) []Row { return checkCloud(ctx, c.Edge.Cloud) })
	add(c.Edge != nil && c.Edge.Cloud != nil, func(context.Context) []Row { return checkFile("outbox", c.Edge.Outbox, o.State) })
	add(c.Mesh != nil, func(context.Context) []Row { return checkRegistry(c.Mesh) })
	add(true, func(context.Context) []Row { return checkFile("history", c.History.Path, o.State) })
	add(c.HTTP.Listen != "", func(ctx context.Context) []Row { return checkHTTP(ctx, c.HTTP.Listen) })
	add(o.Terminal != nil, func(context.Context) []Row { return checkTerminal(*o.Terminal) })

	results := make([][]Row, len(checks))
	var group sync.WaitGroup
	for i, check := range checks {
		group.Go(func() {
			limited, cancel := context.WithTimeout(ctx, o.Timeout)
			defer cancel()
			results[i] = check(limited)
		})
	}
	group.Wait()
	var r Report
	for _, rows := range results {
		r.Rows = append(r.Rows, rows...)
	}
	r.Took = time.Since(began)
	return r
}

// checkSections says which file was read; had it a mistake, there would be no Config.
func checkSections(c *config.Config) []Row {
	sections := "kafka"
	for _, s := range []struct {
		name string
		is   bool
	}{{"pipeline", c.Pipeline != nil}, {"features", c.Features != nil}, {"model", c.Model != nil}, {"edge", c.Edge != nil}, {"mesh", c.Mesh != nil}} {
		if s.is {
			sections += ", " + s.name
		}
	}
	if sections == "kafka" {
		return []Row{row(Warning, "configuration", c.Path+" has only kafka: weir has nothing to do", "add pipeline, edge or mesh; `weir init` shows how")}
	}
	return []Row{row(OK, "configuration", c.Path+": "+sections, "")}
}

func row(s Status, what, found, do string) Row {
	return Row{s, safetext.Clean(what), safetext.Clean(found), safetext.Clean(do)}
}

// reach says in an operator's words why an address cannot be reached, and what to do about it.
func reach(err error) (found, do string) {
	var dns *net.DNSError
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("no such host %q", dns.Name), "correct the name, or the DNS that should know it"
	case errors.As(err, &dns):
		return fmt.Sprintf("looking up %q failed: %s", dns.Name, dns.Err), "check this machine's DNS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused", "is it running, and on this port?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to the host", "check the network, the VPN, the firewall"
	case errors.Is(err, context.Canceled):
		return "the check was stopped", ""
	case isTimeout(err):
		return "no answer in time", "check the address, the firewall and whether it is overloaded"
	}
	return tlsProblem(err)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// millis writes a time taken.
func millis(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}
