package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Source lists nodes, and lists them again whenever they change.
type Source interface {
	// Name tells sources apart, such as the file's path.
	Name() string
	// List is every node the source knows now.
	List(ctx context.Context) ([]Target, error)
	// Every is the time between two calls of List.
	Every() time.Duration
}

// Bounds and defaults of sources.
const (
	DefaultFileEvery = time.Second
	DefaultSRVEvery  = 30 * time.Second
	DefaultHTTPEvery = 30 * time.Second
	maxSourceBytes   = 16 << 20
	sourceTimeout    = 20 * time.Second
)

// ErrSource is wrapped by every error about what a source lists.
var ErrSource = errors.New("not a list of nodes")

// NewFileSource reads nodes from a file, again whenever it has changed and changes no more. The file is either Prometheus's file_sd form in
// JSON, [{"targets": ["host:port"], "labels": {"site": "ams"}}], or a line a node: its URL, then its labels as
// name=value, with # before a comment. A file that cannot be read leaves the nodes as they were.
func NewFileSource(path string) Source { return &fileSource{path: path} }

type fileSource struct {
	path string
	// what was read last; the file is read again when its size or time differ, and every minute in any case
	read    fileState
	readAt  time.Time
	targets []Target
	seen    fileState // the last time somebody looked
}

// fileState tells whether a file has changed.
type fileState struct {
	size    int64
	changed int64 // Unix nanoseconds
}

func (s *fileSource) Name() string         { return s.path }
func (s *fileSource) Every() time.Duration { return DefaultFileEvery }

func (s *fileSource) List(context.Context) ([]Target, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return nil, fmt.Errorf("node file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("node file %s: %w: it is not a regular file", s.path, ErrSource)
	}
	now := fileState{info.Size(), info.ModTime().UnixNano()}
	settled := now == s.seen
	s.seen = now
	if s.targets != nil && (!settled || now == s.read && time.Since(s.readAt) < time.Minute) {
		return s.targets, nil // what is being written now would be half a fleet, or none
	}
	f, err := os.Open(filepath.Clean(s.path))
	if err != nil {
		return nil, fmt.Errorf("node file: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSourceBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("node file: %w", err)
	}
	targets, err := parseTargets(b)
	if err != nil {
		return nil, fmt.Errorf("node file %s: %w", s.path, err)
	}
	s.read, s.readAt, s.targets = now, time.Now(), targets
	return targets, nil
}

// NewHTTPSource reads nodes from a URL that answers as Prometheus's http_sd does. Header is sent with each request.
func NewHTTPSource(url string, every time.Duration, header http.Header) (Source, error) {
	if _, err := cleanURL(url); err != nil {
		return nil, fmt.Errorf("%w: http_sd: %w", ErrConfig, err)
	}
	if every <= 0 {
		every = DefaultHTTPEvery
	}
	return &httpSource{url: url, every: every, header: header.Clone(), client: &http.Client{
		Timeout:       sourceTimeout,
		Transport:     &http.Transport{DialContext: newDialer(nil).DialContext, ForceAttemptHTTP2: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

type httpSource struct {
	url    string
	every  time.Duration
	header http.Header
	client *http.Client
}

func (s *httpSource) Name() string         { return s.url }
func (s *httpSource) Every() time.Duration { return s.every }

func (s *httpSource) List(ctx context.Context) (targets []Target, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, fmt.Errorf("http_sd: %w", err)
	}
	if s.header != nil {
		req.Header = s.header.Clone()
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "weir")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("http_sd: %w", explain(ctx, err, sourceTimeout))
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("http_sd %s: expected 200, answered %s", s.url, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxSourceBytes+1))
	if err != nil {
		return nil, fmt.Errorf("http_sd %s: %w", s.url, err)
	}
	if b = bytes.TrimSpace(b); len(b) == 0 || b[0] != '[' {
		return nil, fmt.Errorf("http_sd %s: %w: expected a JSON list", s.url, ErrSource)
	}
	targets, err = parseTargets(b)
	if err != nil {
		return nil, fmt.Errorf("http_sd %s: %w", s.url, err)
	}
	return targets, nil
}

// NewSRVSource looks nodes up as DNS SRV records of a name such as _edge._tcp.example.com. Scheme is http or
// https. A nil resolver is the system's.
func NewSRVSource(name, scheme string, every time.Duration, r *net.Resolver) Source {
	if every <= 0 {
		every = DefaultSRVEvery
	}
	if scheme == "" {
		scheme = "http"
	}
	if r == nil {
		r = net.DefaultResolver
	}
	return &srvSource{name: name, scheme: scheme, every: every, resolver: r}
}

type srvSource struct {
	name, scheme string
	every        time.Duration
	resolver     *net.Resolver
}

func (s *srvSource) Name() string         { return s.name }
func (s *srvSource) Every() time.Duration { return s.every }

func (s *srvSource) List(ctx context.Context) ([]Target, error) {
	_, records, err := s.resolver.LookupSRV(ctx, "", "", s.name)
	if err != nil && len(records) == 0 {
		return nil, fmt.Errorf("DNS SRV %s: %w", s.name, err)
	}
	targets := make([]Target, 0, len(records))
	for _, r := range records {
		host := strings.TrimSuffix(r.Target, ".")
		t, err := cleanTarget(Target{URL: fmt.Sprintf("%s://%s", s.scheme, net.JoinHostPort(host, fmt.Sprint(r.Port)))})
		if err != nil {
			return nil, fmt.Errorf("DNS SRV %s: %w", s.name, err)
		}
		targets = append(targets, t)
	}
	slices.SortFunc(targets, func(a, b Target) int { return strings.Compare(a.URL, b.URL) })
	return targets, nil
}

// parseTargets reads the JSON form when b begins with a bracket, and lines otherwise.
func parseTargets(b []byte) ([]Target, error) {
	if len(b) > maxSourceBytes {
		return nil, fmt.Errorf("%w: it exceeds %d MiB", ErrSource, maxSourceBytes>>20)
	}
	trimmed := bytes.TrimSpace(b)
	var targets []Target
	var err error
	if len(trimmed) > 0 && trimmed[0] == '[' {
		targets, err = parseTargetJSON(trimmed)
	} else {
		targets, err = parseTargetLines(string(b))
	}
	if err == nil && len(targets) > maxTargets {
		return nil, fmt.Errorf("%w: it lists %d nodes, at most %d are read", ErrSource, len(targets), maxTargets)
	}
	if targets == nil {
		targets = []Target{}
	}
	return targets, err
}

// parseTargetJSON reads [{"targets": [...], "labels": {...}}]. A target without a scheme takes it from the label
// __scheme__, else http. Other labels that begin with two underscores are Prometheus's own, and left out.
func parseTargetJSON(b []byte) ([]Target, error) {
	var groups []struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	if err := json.Unmarshal(b, &groups); err != nil {
		return nil, fmt.Errorf("%w: expected [{\"targets\": [...], \"labels\": {...}}]: %w", ErrSource, err)
	}
	var targets []Target
	for i, g := range groups {
		scheme := g.Labels["__scheme__"]
		if scheme == "" {
			scheme = "http"
		}
		labels := make(map[string]string, len(g.Labels))
		for k, v := range g.Labels {
			if !strings.HasPrefix(k, "__") {
				labels[k] = v
			}
		}
		for _, raw := range g.Targets {
			if !strings.Contains(raw, "://") {
				raw = scheme + "://" + raw
			}
			t, err := cleanTarget(Target{URL: raw, Labels: labels})
			if err != nil {
				return nil, fmt.Errorf("%w: group %d: %w", ErrSource, i, err)
			}
			targets = append(targets, t)
		}
	}
	return targets, nil
}

func parseTargetLines(text string) ([]Target, error) {
	var targets []Target
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		t := Target{URL: fields[0], Labels: make(map[string]string, len(fields)-1)}
		for _, f := range fields[1:] {
			k, v, ok := strings.Cut(f, "=")
			if !ok {
				return nil, fmt.Errorf("%w: line %d: expected a label as name=value, found %.40q", ErrSource, number, f)
			}
			t.Labels[k] = v
		}
		t, err := cleanTarget(t)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrSource, number, err)
		}
		targets = append(targets, t)
	}
	return targets, nil
}
