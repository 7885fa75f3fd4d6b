package mesh

import (
	"slices"

	"weir/backend/mesh/contract"
	"weir/backend/safetext"
)

// ancestry remembers the lineage of all products and makes it anew when anything it follows from has changed.
type ancestry struct {
	from     []origin
	jobs     []Job
	up, down map[string][]Link
}

// origin is what a product's own links follow from.
type origin struct {
	key, topic string
	product    *DataProduct
}

// trace puts the lineage of the products into the snapshot, whose products are those of all, in their order.
func (e *Engine) trace(all []*live, s *Snapshot) {
	var jobs []Job
	if e.config.Jobs != nil {
		jobs = e.config.Jobs()
	}
	from := make([]origin, 0, len(all))
	for _, p := range all {
		p.mu.Lock()
		product := p.made
		p.mu.Unlock()
		p.feed.mu.Lock()
		topic := p.feed.topic
		p.feed.mu.Unlock()
		if product != nil {
			if topic == "" {
				topic = product.Topic // it does not exist (yet), or the broker is away
			}
			from = append(from, origin{p.key, topic, product})
		}
	}
	e.ancestry.update(from, jobs)
	for i, p := range all {
		s.Products[i].Upstream, s.Products[i].Downstream = e.ancestry.up[p.key], e.ancestry.down[p.key]
	}
}

func (a *ancestry) update(from []origin, jobs []Job) {
	if a.up != nil && slices.Equal(a.from, from) && slices.EqualFunc(a.jobs, jobs, sameLinks) {
		return
	}
	a.from, a.jobs = from, jobs
	products, topics := make([]DataProduct, len(from)), make(map[string]string, len(from))
	for i, o := range from {
		products[i], topics[o.key] = *o.product, o.topic
	}
	g := newGraph(products, topics, jobs)
	a.up, a.down = make(map[string][]Link, len(from)), make(map[string][]Link, len(from))
	for _, o := range from {
		a.up[o.key], a.down[o.key] = g.upstream(o.key), g.downstream(o.key)
	}
}

// sameLinks tells whether two jobs make the same links.
func sameLinks(a, b Job) bool {
	return a.Name == b.Name && a.Model == b.Model && slices.Equal(a.Inputs, b.Inputs) && slices.Equal(a.Outputs, b.Outputs) &&
		slices.Equal(a.Features, b.Features)
}

// findings is what the lint says of a product, as the console shows it.
func findings(p DataProduct) []Finding {
	var out []Finding
	for _, f := range contract.Lint(p) {
		out = append(out, Finding{Severity: string(f.Severity), Policy: f.Policy, Line: f.Line, Message: safetext.Clean(f.Message)})
	}
	return out
}
