package views

import (
	"strings"

	"weir/backend/mesh"
)

// lineage draws what feeds a product and who uses it, each as a tree: what is next to the product comes first.
func (s *Scene) lineage(p *mesh.Product, w int) []string {
	f := s.facts(w)
	f.head("what feeds it")
	s.tree(f, p.Upstream, "nothing that weir knows of: the contract names no source, and no pipeline here writes it")
	f.gap()
	style, sign := s.productState(p.State)
	l := s.NewLine(w).Put(style, sign+" ").Put(Strong, productName(p)).Put(Faint, " "+string(p.State))
	if feed := p.Feed.String(); feed != "" {
		l.Put(Faint, ", judged on ").Put(Plain, feed)
	}
	f.rows = append(f.rows, l.String())
	f.gap()
	f.head("who uses it")
	s.tree(f, p.Downstream, "nobody that weir knows of: the contract names no consumer")
	if d := s.Snap.Mesh.Lineage; d != nil {
		f.gap()
		f.head("delivered as OpenLineage events")
		f.add("to", Plain, d.To.String())
		f.add("sent", Plain, count(d.Sent)+", "+count(d.Failed)+" given up, "+count(d.Waiting)+" waiting")
		if !d.LastError.IsEmpty() {
			f.add("error", Bad, d.LastError.String())
		}
	}
	return f.rows
}

// tree draws links as they hang on each other.
func (s *Scene) tree(f *facts, links []mesh.Link, none string) {
	if len(links) == 0 {
		f.text(Faint, none)
		return
	}
	box := s.Theme.Glyphs.Box
	for i := range links {
		x := &links[i]
		l := s.NewLine(f.w)
		for depth := 1; depth < x.Depth; depth++ {
			if goesOn(links[i+1:], depth) {
				l.Put(Border, box.V+"  ")
			} else {
				l.Space(3)
			}
		}
		branch := box.BL
		if goesOn(links[i+1:], x.Depth) {
			branch = box.Fork
		}
		l.Put(Border, branch+box.H+" ")
		if x.Kind == mesh.LinkMore {
			f.rows = append(f.rows, l.Put(Faint, x.Name.String()).String())
			continue
		}
		l.Put(Faint, string(x.Kind)+" ")
		name := x.Name.String()
		if other := s.productNamed(name); x.Kind == mesh.LinkProduct && other != nil {
			style, sign := s.productState(other.State)
			l.Put(style, sign+" ").Put(Strong, name).Put(Faint, " "+string(other.State))
		} else {
			l.Put(Strong, name)
		}
		if !x.Note.IsEmpty() {
			l.Put(Faint, "  "+x.Note.String())
		}
		f.rows = append(f.rows, l.String())
	}
}

// goesOn tells whether another link of a depth follows on the same branch.
func goesOn(rest []mesh.Link, depth int) bool {
	for i := range rest {
		if rest[i].Depth < depth {
			return false
		}
		if rest[i].Depth == depth {
			return true
		}
	}
	return false
}

func (s *Scene) productNamed(name string) *mesh.Product {
	for i := range s.Snap.Mesh.Products {
		if p := &s.Snap.Mesh.Products[i]; productName(p) == name {
			return p
		}
	}
	return nil
}

// findings are what a lint says about the contract itself; those of policy are about who answers for the product.
func (s *Scene) findings(f *facts, p *mesh.Product) {
	f.gap()
	f.head("findings of its lint")
	if len(p.Findings) == 0 {
		f.text(Faint, "nothing: rules and policy are complete")
	}
	where := func(x *mesh.Finding) string {
		var where []string
		if x.Policy {
			where = append(where, "policy")
		}
		if x.Line > 0 {
			where = append(where, "line "+digits(int64(x.Line)))
		}
		return strings.Join(where, ", ")
	}
	indent := factWidth + 2
	for i := range p.Findings {
		indent = max(indent, 2+len(where(&p.Findings[i]))+1)
	}
	for i := range p.Findings {
		x := &p.Findings[i]
		style, sign := Faint, s.Theme.Glyphs.Info
		switch x.Severity {
		case "error":
			style, sign = Bad, s.Theme.Glyphs.Trouble
		case "warning":
			style, sign = Warn, s.Theme.Glyphs.Watch
		}
		for k, row := range s.Theme.wrap(x.Message.String(), f.w-indent) {
			l := s.NewLine(f.w)
			if k == 0 {
				l.Put(style, sign+" ").Put(Faint, where(x))
			}
			f.rows = append(f.rows, l.To(indent).Put(Plain, row).String())
		}
	}
}
