package mesh

import (
	"slices"
	"strings"

	"weir/backend/mesh/contract"
	"weir/backend/safetext"
)

// Job is something that turns topics into topics, such as the inference pipeline, as lineage sees it. Its texts come
// from the configuration and from outside.
type Job struct {
	Name     string   // such as "pipeline weir"; the same in all its events
	Running  bool     // it works, or waits for something
	Failed   string   // why it has failed; empty when it has not
	Inputs   []string // topics
	Outputs  []string // topics
	Model    string   // version; may be empty
	Features []string // "view:feature"
	Consumed uint64   // records
}

// The bounds of one product's lineage in a snapshot.
const (
	maxLinks     = 100
	maxLinkDepth = 12
)

// graph knows what is made from what: the products of the registry, the topics they are judged on, the jobs between them.
type graph struct {
	products map[string]DataProduct // by key
	topics   map[string][]string    // products on a topic, by key, sorted
	keys     []string               // of products, sorted
	jobs     []Job
	topicOf  map[string]string // by product
}

// newGraph takes each product with the topic it is judged on, empty where it has none.
func newGraph(products []DataProduct, topicOf map[string]string, jobs []Job) *graph {
	g := &graph{products: map[string]DataProduct{}, topics: map[string][]string{}, jobs: jobs, topicOf: topicOf}
	for _, p := range products {
		g.products[p.Key()] = p
		g.keys = append(g.keys, p.Key())
	}
	slices.Sort(g.keys)
	for _, key := range g.keys {
		if topic := topicOf[key]; topic != "" {
			g.topics[topic] = append(g.topics[topic], key)
		}
	}
	return g
}

// walk makes a tree of links.
type walk struct {
	*graph
	links []Link
	root  string   // the product's own kind and name
	path  []string // kinds and names from the product to here, so that a circle ends
	full  bool
}

// add puts a link at a depth and then what do adds below it.
func (w *walk) add(kind LinkKind, name, note string, do func()) {
	depth := len(w.path) + 1
	if len(w.links) >= maxLinks {
		if !w.full {
			w.full = true
			w.links = append(w.links, Link{Depth: 1, Kind: LinkMore, Name: safetext.Clean("more than is shown here")})
		}
		return
	}
	w.links = append(w.links, Link{Depth: depth, Kind: kind, Name: safetext.Clean(name), Note: safetext.Clean(note)})
	id := string(kind) + "\x00" + name
	if do == nil || depth >= maxLinkDepth || id == w.root || slices.Contains(w.path, id) {
		return
	}
	w.path = append(w.path, id)
	do()
	w.path = w.path[:depth-1]
}

// upstream is what feeds a product.
func (g *graph) upstream(key string) []Link {
	w := &walk{graph: g, root: string(LinkProduct) + "\x00" + key}
	w.feeds(key)
	return w.links
}

func (w *walk) feeds(key string) {
	if topic := w.topicOf[key]; topic != "" {
		w.writers(topic)
	}
	for _, source := range sources(w.products[key]) {
		switch kind, name := w.resolve(source, key); kind {
		case LinkProduct:
			w.add(kind, name, "", func() { w.feeds(name) })
		case LinkTopic:
			w.writers(name)
		default:
			w.add(kind, name, "", nil)
		}
	}
}

// writers adds a topic and what writes it.
func (w *walk) writers(topic string) {
	w.add(LinkTopic, topic, "", func() {
		for _, job := range w.jobs {
			if !slices.Contains(job.Outputs, topic) {
				continue
			}
			w.add(LinkJob, job.Name, "", func() {
				if job.Model != "" {
					w.add(LinkModel, job.Model, "", nil)
				}
				for _, v := range views(job.Features) {
					w.add(LinkView, v[0], v[1], nil)
				}
				for _, input := range job.Inputs {
					if keys := w.topics[input]; len(keys) > 0 {
						for _, key := range keys {
							w.add(LinkProduct, key, "", func() { w.feeds(key) })
						}
						continue
					}
					w.writers(input)
				}
			})
		}
	})
}

// downstream is who lives on a product.
func (g *graph) downstream(key string) []Link {
	w := &walk{graph: g, root: string(LinkProduct) + "\x00" + key}
	w.serves(key)
	return w.links
}

func (w *walk) serves(key string) {
	if topic := w.topicOf[key]; topic != "" {
		for _, job := range w.jobs {
			if slices.Contains(job.Inputs, topic) {
				w.add(LinkJob, job.Name, "", func() {
					for _, output := range job.Outputs {
						w.add(LinkTopic, output, "", func() {
							for _, key := range w.topics[output] {
								w.add(LinkProduct, key, "", func() { w.serves(key) })
							}
						})
					}
				})
			}
		}
	}
	made := map[string]bool{}
	for _, other := range w.keys {
		if other != key && w.madeFrom(other, key) {
			made[other] = true
			w.add(LinkProduct, other, "", func() { w.serves(other) })
		}
	}
	for _, consumer := range w.products[key].Consumers {
		if kind, name := w.resolve(consumer, key); kind == LinkProduct {
			if !made[name] {
				w.add(kind, name, "", func() { w.serves(name) })
			}
			continue
		}
		w.add(LinkConsumer, consumer, "", nil)
	}
}

// madeFrom tells whether a product's contract says that it is made from another one, or from its topic.
func (g *graph) madeFrom(key, from string) bool {
	for _, source := range sources(g.products[key]) {
		kind, name := g.resolve(source, key)
		if kind == LinkProduct && name == from || kind == LinkTopic && name == g.topicOf[from] {
			return true
		}
	}
	return false
}

// resolve finds what a contract means by a name: a product by its key, by its name in the same domain or in the only
// domain that has it, else a topic somebody here reads or writes, else a data set nobody here knows.
func (g *graph) resolve(name, from string) (LinkKind, string) {
	if _, ok := g.products[name]; ok && name != from {
		return LinkProduct, name
	}
	domain, _, _ := strings.Cut(from, "/")
	if _, ok := g.products[domain+"/"+name]; ok && domain+"/"+name != from {
		return LinkProduct, domain + "/" + name
	}
	var found []string
	for _, key := range g.keys {
		if (strings.HasSuffix(key, "/"+name) || strings.HasSuffix(key, "."+name)) && key != from { // or an object of a contract
			found = append(found, key)
		}
	}
	if len(found) == 1 {
		return LinkProduct, found[0]
	}
	if _, ok := g.topics[name]; ok {
		return LinkTopic, name
	}
	for _, job := range g.jobs {
		if slices.Contains(job.Inputs, name) || slices.Contains(job.Outputs, name) {
			return LinkTopic, name
		}
	}
	return LinkDataset, name
}

// sources is what a product's contract says it is made from, each once.
func sources(p DataProduct) []string {
	out := slices.Clone(p.Upstream)
	var add func(columns []contract.Column)
	add = func(columns []contract.Column) {
		for _, c := range columns {
			for _, s := range c.Sources {
				if !slices.Contains(out, s) {
					out = append(out, s)
				}
			}
			add(c.Fields)
			if c.Items != nil {
				add(c.Items.Fields)
			}
		}
	}
	add(p.Columns)
	return out
}

// views groups features by their view, in the order the views are first named.
func views(features []string) [][2]string {
	var out [][2]string
	for _, f := range features {
		view, name, ok := strings.Cut(f, ":")
		if !ok {
			view, name = f, ""
		}
		i := slices.IndexFunc(out, func(v [2]string) bool { return v[0] == view })
		if i < 0 {
			out = append(out, [2]string{view, name})
			continue
		}
		out[i][1] += ", " + name
	}
	return out
}
