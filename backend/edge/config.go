package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"time"
)

// The defaults of Config and CloudConfig.
const (
	DefaultPoll        = 15 * time.Second
	DefaultTimeout     = 10 * time.Second
	DefaultStaleAfter  = 5 * time.Minute
	DefaultConcurrency = 256
	DefaultEvery       = 5 * time.Minute
	DefaultSendTimeout = 30 * time.Second
)

// ErrConfig is wrapped by every error of New.
var ErrConfig = errors.New("edge configuration")

// Config says which nodes are polled, how, and where their aggregate goes. A zero duration or count takes its default.
type Config struct {
	// Nodes are base URLs; GET {node}/data/summary is what is polled.
	Nodes []string
	// Targets are nodes with labels, beside Nodes.
	Targets []Target
	// Sources list more nodes while the engine runs.
	Sources []Source
	// Access says how nodes are asked: headers, tokens, client certificates.
	Access []Access
	// Poll is the time between two polls of one node.
	Poll time.Duration
	// Timeout is the deadline of one poll, its connection included. It is kept below Poll: a longer one is cut to
	// nine tenths of Poll.
	Timeout time.Duration
	// StaleAfter is how old last_updated may be while a node counts as fresh.
	StaleAfter time.Duration
	// Concurrency bounds the polls under way at once, over the whole fleet.
	Concurrency int
	// Outbox is the SQLite file of aggregates waiting for the cloud; required with Cloud.
	Outbox string
	// Cloud receives the aggregates; nil: nothing is synced.
	Cloud *CloudConfig
	// State is the SQLite file of what else outlives the process: quarantines, and the fleet's model. Empty: nothing
	// does.
	State string
	// Resolver looks up the names of nodes; nil is the system's.
	Resolver *net.Resolver
	// Federated lets the fleet learn a model together; nil: off.
	Federated *FederatedConfig
	// Logger takes what an operator's log should keep; nil discards it.
	Logger *slog.Logger
	// Now and Rand are the clock and the source of jitter (0 <= x < 1); nil takes the real ones.
	Now  func() time.Time
	Rand func() float64
}

// CloudConfig says where aggregates go and how often.
type CloudConfig struct {
	URL   string
	Every time.Duration
	// Token is sent as a bearer token when it is not empty; it is asked for at each attempt. Nil: none.
	Token func() string
	// Timeout is the deadline of one attempt.
	Timeout time.Duration
	// Gzip compresses what is sent. A cloud that answers 415 to it is asked without from then on.
	Gzip bool
	// MaxBytes and MaxAge cap what waits in the outbox; what goes beyond is dropped, oldest first, and counted. MaxAge is
	// time in which the engine ran: the machine's clock may jump.
	MaxBytes int64
	MaxAge   time.Duration
}

// withDefaults checks c and fills what is zero. All that is wrong is told at once.
func (c Config) withDefaults() (Config, error) {
	var wrong []error
	seen := make(map[string]bool, len(c.Nodes))
	nodes := make([]string, 0, len(c.Nodes))
	for i, n := range c.Nodes {
		clean, err := cleanURL(n)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("nodes[%d]: %w", i, err))
		case strings.Contains(n, "?"):
			wrong = append(wrong, fmt.Errorf("nodes[%d]: expected a base URL without a query, found %q", i, n))
		case seen[Identity(clean)]:
			wrong = append(wrong, fmt.Errorf("nodes[%d]: %q is listed twice: its records would count double", i, n))
		default:
			seen[Identity(clean)] = true
			nodes = append(nodes, clean)
		}
	}
	c.Nodes = nodes
	targets := make([]Target, 0, len(c.Targets))
	for i, t := range c.Targets {
		clean, err := cleanTarget(t)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("targets[%d]: %w", i, err))
		case seen[Identity(clean.URL)]:
			wrong = append(wrong, fmt.Errorf("targets[%d]: %q is listed twice: its records would count double", i, t.URL))
		default:
			seen[Identity(clean.URL)] = true
			targets = append(targets, clean)
		}
	}
	c.Targets = targets
	for _, d := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{{"poll", &c.Poll, DefaultPoll}, {"timeout", &c.Timeout, DefaultTimeout}, {"stale_after", &c.StaleAfter, DefaultStaleAfter}} {
		switch {
		case *d.v < 0:
			wrong = append(wrong, fmt.Errorf("%s: expected a positive duration, found %v", d.name, *d.v))
		case *d.v == 0:
			*d.v = d.def
		}
	}
	if limit := c.Poll * 9 / 10; c.Timeout > limit {
		c.Timeout = limit
	}
	switch {
	case c.Concurrency < 0:
		wrong = append(wrong, fmt.Errorf("concurrency: expected at least 1, found %d", c.Concurrency))
	case c.Concurrency == 0:
		c.Concurrency = DefaultConcurrency
	}
	if c.Cloud != nil {
		cloud, err := c.Cloud.withDefaults()
		if err != nil {
			wrong = append(wrong, err)
		}
		c.Cloud = &cloud
		if c.Outbox == "" {
			wrong = append(wrong, errors.New("outbox: a path is needed when a cloud is configured"))
		}
	}
	if c.Federated != nil {
		f, err := c.Federated.withDefaults()
		if err != nil {
			wrong = append(wrong, err)
		}
		c.Federated = &f
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if err := errors.Join(wrong...); err != nil {
		return c, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return c, nil
}

func (c CloudConfig) withDefaults() (CloudConfig, error) {
	if _, err := cleanURL(c.URL); err != nil {
		return c, fmt.Errorf("cloud.url: %w", err)
	}
	if c.Every < 0 || c.Timeout < 0 || c.MaxBytes < 0 || c.MaxAge < 0 {
		return c, errors.New("cloud: every, timeout and the caps must not be negative")
	}
	if c.Every == 0 {
		c.Every = DefaultEvery
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultSendTimeout
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.MaxAge == 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.Token == nil {
		c.Token = func() string { return "" }
	}
	return c, nil
}

// cleanURL is raw without its trailing slashes, if it is an http or https URL with a host and without a password or a
// fragment.
func cleanURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("expected a URL such as http://edge-node-1:8080, found %q: %w", raw, err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("expected a URL that starts with http:// or https://, found %q", raw)
	case u.Hostname() == "":
		return "", fmt.Errorf("expected a URL with a host, found %q", raw)
	case u.User != nil:
		return "", fmt.Errorf("%q holds a password: give it as a header or token, a URL is shown and logged", u.Redacted())
	case strings.Contains(raw, "#"):
		return "", fmt.Errorf("expected a URL without a fragment, found %q", raw)
	}
	return strings.TrimRight(raw, "/"), nil
}

// Identity is the same for all spellings of a node's URL: scheme and host in lower case, and without the scheme's own port.
func Identity(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + strings.ToLower(host) + ":" + portOf(u) + u.EscapedPath()
}
