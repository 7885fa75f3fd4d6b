package contract

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// article reads the article's own shape: exactly the keys of its DataProduct.
func (r *reader) article(root *node) Product {
	p := Product{Format: Article, MaxNull: DefaultMaxNull}
	seen := map[string]bool{}
	r.each(root, "data product", func(key string, v *node) bool {
		seen[key] = true
		switch key {
		case "name":
			p.Name = r.identifier(v, key)
		case "domain":
			p.Domain = r.identifier(v, key)
		case "description":
			p.Description = r.str(v, key)
		case "owners":
			p.Owners = r.strs(v, key)
		case "consumers":
			p.Consumers = r.strs(v, key)
		case "schema_version":
			p.Version = r.str(v, key)
		case "refresh_frequency":
			p.Refresh = r.str(v, key)
		case "quality_sla":
			r.qualitySLA(v, &p)
		default:
			return false
		}
		return true
	})
	for _, key := range []string{"domain", "name"} {
		if !seen[key] {
			r.fail(root, "data product: the key %q is missing", key)
		}
	}
	p.Rules = ArticleRules(p.RequiredColumns, p.MaxNull)
	return p
}

func (r *reader) identifier(n *node, what string) string {
	s := r.str(n, what)
	if err := CheckIdentifier(what, s); err != nil && n.kind == scalarNode {
		r.fail(n, "%v", err)
	}
	return s
}

func (r *reader) qualitySLA(n *node, p *Product) {
	r.each(n, "quality_sla", func(key string, v *node) bool {
		switch key {
		case "required_columns":
			p.RequiredColumns = r.strs(v, key)
		case "max_null_percentage":
			f, ok := r.number(v, key)
			if ok && !(f >= 0 && f <= 1) {
				r.fail(v, "max_null_percentage: expected a fraction from 0 to 1 (0.05 is 5%%), found %s", v.text)
			}
			p.MaxNull = f
		default:
			return false
		}
		return true
	})
}

// ArticleRules are the two rules of the article's quality_sla.
func ArticleRules(required []string, maxNull float64) []Rule {
	var rules []Rule
	for _, c := range required {
		if !slices.ContainsFunc(rules, func(r Rule) bool { return r.Column() == c }) {
			rules = append(rules, Rule{Name: "required_columns", Kind: Present, Columns: []string{c}, Flat: true, Schema: true})
		}
	}
	return append(rules, Rule{
		Name: "max_null_percentage", Kind: Nulls, Share: true, Limits: []Limit{{Op: AtMost, A: maxNull}},
	})
}

// Encode writes the product as its file: the bytes it was read from, or else the article's shape exactly as PyYAML's
// dump writes it (keys in alphabetical order, two-space indentation, lists flush with their key).
func (p Product) Encode() ([]byte, error) {
	if p.Source != nil {
		return p.Source, nil
	}
	if p.Format != Article && p.Format != "" {
		return nil, fmt.Errorf("product %s: only products read from a file can be written in the %s shape", p.Key(), p.Format)
	}
	var b strings.Builder
	list := func(indent, key string, items []string) {
		if len(items) == 0 {
			fmt.Fprintf(&b, "%s%s: []\n", indent, key)
			return
		}
		fmt.Fprintf(&b, "%s%s:\n", indent, key)
		for _, s := range items {
			fmt.Fprintf(&b, "%s- %s\n", indent, quoteYAML(s))
		}
	}
	list("", "consumers", p.Consumers)
	fmt.Fprintf(&b, "description: %s\n", quoteYAML(p.Description))
	fmt.Fprintf(&b, "domain: %s\n", quoteYAML(p.Domain))
	fmt.Fprintf(&b, "name: %s\n", quoteYAML(p.Name))
	list("", "owners", p.Owners)
	b.WriteString("quality_sla:\n")
	fmt.Fprintf(&b, "  max_null_percentage: %s\n", strconv.FormatFloat(p.MaxNull, 'f', -1, 64))
	list("  ", "required_columns", p.RequiredColumns)
	fmt.Fprintf(&b, "refresh_frequency: %s\n", quoteYAML(p.Refresh))
	fmt.Fprintf(&b, "schema_version: %s\n", quoteYAML(p.Version))
	return []byte(b.String()), nil
}

// quoteYAML writes a text so that every YAML reader takes it for that text and nothing else.
func quoteYAML(s string) string {
	plain := s != ""
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789 -./@+()", c)) {
			plain = false
		}
	}
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf":
		plain = false
	}
	if plain && !strings.HasSuffix(s, " ") {
		return s
	}
	return strconv.QuoteToASCII(s)
}
