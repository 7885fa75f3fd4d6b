package mesh

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"weir/backend/mesh/contract"
	"weir/backend/safetext"
)

// WriteList writes a table of a registry's entries, and under it what is wrong with those that cannot be read, or lie where
// no product does.
func WriteList(w io.Writer, entries []Entry, domain string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := printer{w: t}
	p.row("DOMAIN", "NAME", "VERSION", "FORMAT", "REFRESH", "OWNERS", "CONSUMERS")
	var wrong []error
	shown := 0
	for _, e := range entries {
		if domain != "" && e.Domain != domain && !strings.HasPrefix(e.Path, domain+"/") {
			continue
		}
		if e.Err != nil {
			wrong = append(wrong, e.Err)
		}
		if e.Domain == NoDomain {
			continue
		}
		shown++
		if e.Product == nil {
			p.row(e.Domain, e.Name, "-", "unparsed", "-", "-", "-")
			continue
		}
		format := string(e.Product.Format)
		if e.Err != nil {
			format = "unparsed, last good in force"
		}
		p.row(e.Domain, e.Name, or(e.Product.Version, "-"), format, or(e.Product.Refresh, "-"), orNobody(e.Product.Owners), orNobody(e.Product.Consumers))
	}
	if p.err == nil {
		p.err = t.Flush()
	}
	out := printer{w: w, err: p.err}
	if shown == 0 {
		out.line("no data products")
	}
	for _, err := range wrong {
		out.line("! %s", firstLine(err))
	}
	return out.err
}

// row writes cells for a tabwriter; a cell cannot start another one.
func (p *printer) row(cells ...string) {
	for i, c := range cells {
		cells[i] = safetext.Clean(c).String()
	}
	if p.err == nil {
		_, p.err = io.WriteString(p.w, strings.Join(cells, "\t")+"\n")
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func firstLine(err error) string {
	if err == nil {
		return ""
	}
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// WriteShow writes all a product's file says, and each rule its contract comes to.
func WriteShow(w io.Writer, product DataProduct) error {
	p := printer{w: w}
	p.line("%s", product.Key())
	field := func(name, value string) {
		if value != "" {
			p.line("  %-12s %s", name, value)
		}
	}
	field("description", product.Description)
	field("version", product.Version)
	field("format", strings.TrimSpace(string(product.Format)+" "+product.APIVersion))
	field("status", product.Status)
	field("owners", orNobody(product.Owners))
	field("consumers", orNobody(product.Consumers))
	field("made from", strings.Join(product.Upstream, ", "))
	field("refresh", product.Refresh)
	switch {
	case product.WindowRows > 0:
		field("window", fmt.Sprintf("the newest %s rows of its topic", grouped(product.WindowRows)))
	case product.Window > 0:
		field("window", "the last "+product.Window.String()+" of its topic")
	}
	if len(product.Objects) > 0 {
		for _, o := range product.Objects {
			p.line("  %s", o.Key())
			if p.err == nil {
				p.err = writeRules(&p, o, "    ")
			}
		}
		return p.err
	}
	field("topic", or(product.Topic, product.Name+" (by its name, if the cluster has it)"))
	if p.err == nil {
		p.err = writeRules(&p, product, "  ")
	}
	for _, s := range product.SLA {
		p.line("  service level %s %s %s %s", s.Property, s.Value, s.Unit, s.Element)
	}
	return p.err
}

// writeRules writes the columns and rules of one product.
func writeRules(p *printer, product DataProduct, indent string) error {
	if len(product.Columns) > 0 {
		p.line("%scolumns", indent)
		p.columns(product.Columns, indent+"  ")
	}
	p.line("%srules", indent)
	for _, r := range product.Rules {
		severity := ""
		if !r.Breaks() {
			severity = "  (" + string(r.Severity) + ")"
		}
		p.line("%s  %s%s%s", indent, r.Title(), limitsOf(r), severity)
		if r.Kind == contract.Unjudged {
			p.line("%s    not judged: %s", indent, r.Why)
		}
	}
	return p.err
}

func limitsOf(r contract.Rule) string {
	if r.Kind == contract.Freshness && r.Text != "" {
		return " ≤ " + r.Text
	}
	var words []string
	for _, l := range r.Limits {
		if r.Share {
			l.A, l.B = l.A*100, l.B*100
		}
		word := l.String()
		if r.Percent || r.Share {
			word += "%"
		}
		words = append(words, word)
	}
	if len(words) == 0 && r.Text != "" {
		return " " + r.Text
	}
	if len(words) == 0 {
		return ""
	}
	return " " + strings.Join(words, " and ")
}

func (p *printer) columns(columns []contract.Column, indent string) {
	for _, c := range columns {
		notes := []string{or(c.Type, "any")}
		if c.Required {
			notes = append(notes, "required")
		}
		if c.Unique {
			notes = append(notes, "unique")
		}
		if c.PrimaryKey {
			notes = append(notes, "primary key")
		}
		if contract.Sensitive(c.Name, c.Class, c.Tags) {
			notes = append(notes, "masked")
		}
		p.line("%s%-24s %s", indent, c.Name, strings.Join(notes, ", "))
		p.columns(c.Fields, indent+"  ")
		if c.Items != nil {
			p.columns(c.Items.Fields, indent+"  ")
		}
	}
}
