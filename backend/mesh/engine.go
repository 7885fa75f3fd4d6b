package mesh

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/backend/event"
	"weir/backend/kafka"
	"weir/backend/mesh/judge"
	"weir/backend/safego"
	"weir/backend/safetext"
)

// Config says what the engine judges.
type Config struct {
	Registry string        // folder of <domain>/<name>.yaml
	Window   time.Duration // length of the sliding window; 0 is DefaultWindow
	// WindowRows, above 0, makes the window the newest so many records instead. A contract may say otherwise for itself.
	WindowRows int64
	Backlog    int64 // records of a partition that are read again at the start, at most; 0 is DefaultBacklog
	Cluster    kafka.Cluster
	// SchemaRegistry is the address of a Confluent-compatible schema registry, http or https; empty: topics hold JSON.
	SchemaRegistry string
	// Jobs tells what turns topics into topics beside the contracts, for lineage; it is called every second or so. May be nil.
	Jobs func() []Job
	// Lineage says where OpenLineage events go; nil: nowhere.
	Lineage *LineageConfig
	Logger  *slog.Logger // nil: nowhere
}

// DefaultWindow is the sliding window unless configured.
const DefaultWindow = 5 * time.Minute

// How often the engine looks: at its windows, at the registry's folder, at the cluster's topics.
const (
	judgeEvery = 250 * time.Millisecond
	scanEvery  = time.Second
	probeEvery = time.Second
)

// Engine holds every product of a registry to its contract on the topic that feeds it.
type Engine struct {
	config  Config
	schemas *schemas // nil without a schema registry
	log     event.Log

	wake     chan struct{} // tells feedAll that a product has come or changed
	mu       sync.Mutex    // guards products
	products map[string]*live

	ancestry ancestry  // judgeAll's
	reporter *reporter // nil when lineage goes nowhere

	onTopic   atomic.Pointer[map[string][]*live] // the products a topic feeds, for Batch
	tapFailed atomic.Bool
	pace      pace
	// abandonPatience is the constant of that name, shorter in tests.
	abandonPatience time.Duration

	masks maskCache // what Masks said of fields, until a contract changes

	scanned       atomic.Bool // the registry was read at least once
	registryError atomic.Pointer[string]
	clusterError  atomic.Pointer[string]
	snapshot      atomic.Pointer[Snapshot]
}

// New makes an engine. It does nothing before Run.
func New(c Config) *Engine {
	if c.Window <= 0 {
		c.Window = DefaultWindow
	}
	if c.Backlog <= 0 {
		c.Backlog = DefaultBacklog
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{config: c, pace: defaultPace, abandonPatience: abandonPatience, schemas: newSchemas(c.SchemaRegistry), wake: make(chan struct{}, 1), products: map[string]*live{}}
	broker := ""
	if brokers := c.Cluster.Brokers(); len(brokers) > 0 {
		broker = brokers[0]
	}
	e.reporter = newReporter(c.Lineage, broker, c.Jobs, &e.log)
	e.snapshot.Store(&Snapshot{At: time.Now(), Registry: safetext.Clean(c.Registry), Window: c.Window})
	return e
}

// Snapshot is the state as of the last look at the windows. It is never nil.
func (e *Engine) Snapshot() *Snapshot { return e.snapshot.Load() }

// live is one product of the registry while the engine runs.
type live struct {
	key string

	mu         sync.Mutex // guards what follows
	entry      Entry
	judge      *judge.Judge
	made       *DataProduct  // the version the judge is of
	generation int           // counts the judges; readers that feed an earlier one are ignored
	findings   []Finding     // of the lint of made
	window     time.Duration // of the judge; 0: rows
	rows       int64

	feed    feed
	verdict verdict
	told    told // to lineage
}

// engineRun is one Run: what it has at work, which fails together, and the cluster by connections of its own.
type engineRun struct {
	safego.Group
	cluster kafka.Cluster
}

// Run judges until ctx ends. A registry or broker that is away is waited for. The only error is a panic (*safego.Panic),
// be it one of a client of Kafka's: the next Run judges the windows anew.
func (e *Engine) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer e.schemas.close()
	r := &engineRun{Group: safego.Group{Failed: func(*safego.Panic) { stop() }}}
	var hangUp func()
	r.cluster, hangUp = e.config.Cluster.Apart()
	defer hangUp()
	clients := kafka.NewWatch(r.Fail)
	defer clients.Stop()
	r.Go(func() { e.watch(ctx) })
	r.Go(func() { e.feedAll(ctx, r) })
	r.Go(func() { e.reporter.run(ctx) })
	r.Go(func() { e.judgeOnTime(ctx) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Wait()
	}()
	if clients.Outlast(ended, e.abandonPatience, hangUp) {
		e.abandon()
	}
	return r.Err()
}

// abandonPatience is how long a run whose client has panicked may take to end by itself and, once its connections are
// closed, to end for that.
const abandonPatience = 5 * time.Second

// abandon leaves the readers of a run behind that wait for a client that has panicked.
func (e *Engine) abandon() {
	e.config.Logger.Error("a kafka client that panicked does not end: it is left behind")
	for _, p := range e.sorted() {
		p.feed.abandon()
	}
}

func (e *Engine) judgeOnTime(ctx context.Context) {
	ticker := time.NewTicker(judgeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			e.judgeAll(now)
		}
	}
}

// watch keeps the products in step with the registry's folder. Those of an earlier run are judged anew: it may have ended
// with a panic of a judge.
func (e *Engine) watch(ctx context.Context) {
	for _, p := range e.sorted() {
		p.mu.Lock()
		p.made = nil
		p.mu.Unlock()
	}
	var registry *Registry
	defer func() {
		if registry != nil {
			_ = registry.Close() // only read from
		}
	}()
	ticker := time.NewTicker(scanEvery)
	defer ticker.Stop()
	for {
		entries, err := e.scan(&registry)
		e.tell(&e.registryError, err, "the registry cannot be read", "the registry can be read again")
		if err == nil {
			e.adopt(entries)
			e.scanned.Store(true)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// scan reads the registry's folder. One that was moved away or replaced since it was opened is opened anew.
func (e *Engine) scan(registry **Registry) ([]Entry, error) {
	if *registry != nil {
		entries, _, err := (*registry).Scan()
		if !errors.Is(err, ErrNoRegistry) {
			return entries, err
		}
		_ = (*registry).Close() // only read from
		*registry = nil
	}
	opened, err := OpenRegistry(e.config.Registry)
	if err != nil {
		return nil, err
	}
	*registry = opened
	entries, _, err := opened.Scan()
	return entries, err
}

// tell keeps an error for the snapshot and makes an event of its coming and going.
func (e *Engine) tell(kept *atomic.Pointer[string], err error, bad, good string) {
	was := kept.Load()
	if err == nil {
		if was != nil {
			kept.Store(nil)
			e.log.Add(event.Event{At: time.Now(), Kind: event.Contract, Severity: event.Recovered, Subject: safetext.Clean("mesh"), Message: safetext.Clean(good)})
		}
		return
	}
	text := err.Error()
	kept.Store(&text)
	if was == nil {
		e.log.Add(event.Event{At: time.Now(), Kind: event.Contract, Severity: event.Warning, Subject: safetext.Clean("mesh"), Message: safetext.Clean(bad + ": " + text)})
		e.config.Logger.Warn(bad, "error", err)
	}
}

// adopt makes the entries of the registry the engine's products.
func (e *Engine) adopt(entries []Entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := make(map[string]bool, len(entries))
	for _, entry := range entries {
		key := entry.Domain + "/" + entry.Name
		seen[key] = true
		p := e.products[key]
		if p == nil {
			p = &live{key: key}
			e.products[key] = p
		}
		if p.adopt(entry, e.config.Window, e.config.WindowRows) {
			e.masks.forget()
			select {
			case e.wake <- struct{}{}:
			default:
			}
		}
	}
	for key := range e.products {
		if !seen[key] {
			delete(e.products, key) // feedAll stops its readers
			e.masks.forget()
		}
	}
}

// adopt takes over an entry and tells whether it brought another version of the contract.
func (p *live) adopt(entry Entry, window time.Duration, rows int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made != nil && (entry.Product == nil || bytes.Equal(entry.Product.Source, p.made.Source)) {
		entry.Product = p.made // of a registry that was opened anew, or a file that was put back as it was
	}
	p.entry = entry
	if entry.Product == nil || entry.Product == p.made {
		return false
	}
	// A new version of the contract starts with an empty window, which its feed fills again from the topic.
	p.made = entry.Product
	if entry.Product.Window > 0 || entry.Product.WindowRows > 0 {
		window, rows = entry.Product.Window, entry.Product.WindowRows
	}
	if rows > 0 {
		window = 0
	}
	p.window, p.rows = window, rows
	p.judge = judge.New(withRefresh(*entry.Product), judge.Options{Window: window, Rows: rows, Live: true})
	p.findings = findings(*entry.Product)
	p.generation++
	p.feed.forget()
	return true
}

// sorted gives the products by domain and name.
func (e *Engine) sorted() []*live {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*live, 0, len(e.products))
	for _, p := range e.products {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *live) int { return strings.Compare(a.key, b.key) })
	return all
}

// judgeAll looks at every window and publishes the snapshot.
func (e *Engine) judgeAll(now time.Time) {
	scanned := e.scanned.Load() // before its products are looked at
	all := e.sorted()
	s := &Snapshot{At: now, Registry: safetext.Clean(e.config.Registry), Scanned: scanned, Window: e.config.Window, WindowRows: e.config.WindowRows, Products: make([]Product, 0, len(all))}
	cluster := e.clusterError.Load()
	for _, p := range all {
		s.Products = append(s.Products, p.judgeNow(now, cluster, e))
	}
	s.Lineage = e.reporter.delivery()
	e.trace(all, s)
	for _, err := range []*string{e.registryError.Load(), cluster} {
		if err != nil && s.Error.IsEmpty() {
			s.Error = safetext.Clean(*err)
		}
	}
	s.Log = e.log.Recent()
	e.snapshot.Store(s)
}
