package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder walks the tree along the table and gathers errors.
type decoder struct {
	*source
	getenv func(string) (string, bool)
	folder string
	places map[string]place    // of every key path that the file has
	bad    map[string]bool     // the key paths with an error
	homes  map[string][]string // the sections that know a key, for "belongs under"
}

func (d *decoder) given(key string) bool { _, ok := d.places[key]; return ok }

// fine tells whether none of the keys has an error of its own, so that they can be compared.
func (d *decoder) fine(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { return d.bad[k] })
}

// wrong notes an error at the place of key.
func (d *decoder) wrong(key, expected, found, hint string) {
	d.bad[key] = true
	d.add(d.places[key], key, expected, found, hint)
}

func (d *decoder) know(fields []field, section string) {
	for _, f := range fields {
		d.homes[f.key] = append(d.homes[f.key], section)
		d.know(f.subfields(), join(section, f.key))
	}
}

func (d *decoder) root(root ast.Node, table []field) {
	at := place{1, 1, 1}
	d.places[""] = at
	switch body := d.bare(root, "").(type) {
	case nil, *ast.NullNode:
		d.add(at, "kafka", "the section kafka", "an empty file", "begin with kafka: {brokers: [localhost:9092]}, or let `weir init` write a commented file")
	case ast.MapNode:
		d.section(body, table, "", 1)
	default:
		d.add(nodePlace(body), "", "keys such as kafka:, each with its value", d.describe(body), "begin with kafka: {brokers: [localhost:9092]}, or let `weir init` write a commented file")
	}
}

// bare takes off what weir.yaml may not have around a value, and says so.
func (d *decoder) bare(node ast.Node, key string) ast.Node {
	for {
		switch n := node.(type) {
		case *ast.AnchorNode:
			d.bad[key] = true
			d.add(nodePlace(n), key, "a plain value", "an anchor (&)", "write the value where it is needed; anchors and aliases are not allowed here")
			node = n.Value
		case *ast.TagNode:
			d.bad[key] = true
			d.add(nodePlace(n), key, "a plain value", "a tag ("+n.Start.Value+")", "remove the tag; a text that begins with ! stands in quotes")
			node = n.Value
		case *ast.AliasNode:
			d.bad[key] = true
			d.add(nodePlace(n), key, "a plain value", "an alias (*)", "write the value itself; a text that begins with * stands in quotes")
			return nil
		default:
			return node
		}
	}
}

// section decodes the entries of one map.
func (d *decoder) section(node ast.MapNode, fields []field, section string, depth int) {
	lines := map[string]int{}
	for entries := node.MapRange(); entries.Next(); {
		name, at, ok := d.key(entries.Key(), section)
		if !ok {
			continue
		}
		key := join(section, name)
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == name })
		if i < 0 {
			d.unknown(at, key, name, fields, section)
			continue
		}
		if line, again := lines[name]; again {
			d.bad[key] = true
			d.add(at, key, "each key once", fmt.Sprintf("it again, after line %d", line), "keep one of the two")
			continue
		}
		lines[name] = at.line
		d.places[key] = at
		d.value(entries.Value(), fields[i], key, at, depth+1)
	}
	d.required(fields, section)
}

// key reads the name of an entry.
func (d *decoder) key(node ast.MapKeyNode, section string) (name string, at place, ok bool) {
	at = nodePlace(node)
	switch k := node.(type) {
	case *ast.StringNode:
		return unshift.Replace(k.Value), at, true
	case *ast.MergeKeyNode:
		d.add(at, section, "a key", "a merge key (<<)", "write the keys themselves; merging is not allowed here")
	case *ast.AnchorNode, *ast.TagNode, *ast.AliasNode:
		d.add(at, section, "a plain key", "an anchor, an alias or a tag", "write the key itself")
	default:
		d.add(at, section, "a key's name", d.describe(node), "keys are names such as brokers")
	}
	return "", at, false
}

func (d *decoder) unknown(at place, key, name string, fields []field, section string) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	where := "weir.yaml"
	if section != "" {
		where = section
	}
	hint := "known here: " + strings.Join(names, ", ")
	if before, after, colon := strings.Cut(name, ":"); colon && slices.Contains(names, before) {
		hint = "write a space after the colon: " + before + ": " + after
	} else if near := nearest(name, names); near != "" {
		hint = "did you mean " + near + "?"
	} else if homes := d.homes[name]; len(homes) > 0 {
		if homes[0] == "" {
			hint = name + " stands at the left margin, in no section"
		} else {
			hint = name + " belongs under " + strings.Join(homes, " or ")
		}
	}
	d.bad[section] = true
	d.add(at, key, "a key of "+where, "the unknown key "+name, hint)
}

// required reports the keys that are missing from a section.
func (d *decoder) required(fields []field, section string) {
	for _, f := range fields {
		key := join(section, f.key)
		if !f.required || d.given(key) {
			continue
		}
		d.bad[key] = true
		value := f.example
		if f.fields != nil {
			value = "{" + f.fields[0].key + ": " + f.fields[0].example + "}"
		}
		d.add(d.places[section], key, d.want(f), "nothing: it is needed", "add "+f.key+": "+value)
	}
}

// value decodes the value of one key. At is the key's place, for values that have none.
func (d *decoder) value(node ast.Node, f field, key string, at place, depth int) {
	node = d.bare(node, key)
	if node == nil {
		return
	}
	if depth > maxDepth {
		d.addDepth(nodePlace(node))
		return
	}
	if f.fields != nil {
		d.enter(node, f, key, depth)
		return
	}
	if _, null := node.(*ast.NullNode); !null {
		at = nodePlace(node)
	}
	d.places[key] = at
	if f.each != nil {
		d.sections(node, f, key, depth)
		return
	}
	switch to := f.to.(type) {
	case *[]string:
		d.list(node, f, key, to)
	case *map[string]float64:
		*to = d.numbers(node, f, key)
	case *map[string]map[string]float64:
		*to = d.tables(node, f, key)
	case *map[string][]string:
		*to = d.lists(node, f, key)
	case *map[string]string:
		*to = map[string]string{}
		d.entries(node, f, key, func(name, entryKey string, value ast.Node) {
			var text string
			d.value(value, field{key: name, to: &text, is: anyText, fallback: `""`}, entryKey, nodePlace(value), depth)
			(*to)[name] = text
		})
	case *map[string]Secret:
		*to = map[string]Secret{}
		d.entries(node, f, key, func(name, entryKey string, value ast.Node) {
			var secret Secret
			d.value(value, field{key: name, to: &secret}, entryKey, nodePlace(value), depth)
			(*to)[name] = secret
		})
	default:
		if text, ok := d.scalar(node, f, key, at); ok {
			if problem := assign(f, text); problem != nil {
				d.refuse(f, key, at, text, problem)
			} else if to, ok := f.to.(*string); ok && f.is.path != nil && f.is.path(*to) {
				*to = d.resolve(*to)
			}
		}
	}
}

// enter decodes a section. One without anything in it has its defaults.
func (d *decoder) enter(node ast.Node, f field, key string, depth int) {
	switch n := node.(type) {
	case *ast.NullNode:
		d.required(f.fields, key)
	case ast.MapNode:
		d.section(n, f.fields, key, depth)
	default:
		d.bad[key] = true
		hint := "write its keys: {" + f.fields[0].key + ": …}"
		if key == "kafka.tls" {
			hint = "write tls: {} to trust the system's roots"
		}
		if name, rest, ok := strings.Cut(textValue(node), ":"); ok && slices.ContainsFunc(f.fields, func(f field) bool { return f.key == name }) {
			hint = "write a space after the colon: " + name + ": " + rest
		}
		d.add(nodePlace(node), key, d.want(f), d.describe(node), hint)
		return
	}
	if f.use != nil {
		f.use()
	}
}

// subfields are the fields of a section or of each entry of a list of sections.
func (f field) subfields() []field {
	if f.each == nil {
		return f.fields
	}
	fields, _ := f.each()
	return fields
}

func join(section, key string) string {
	if section == "" {
		return key
	}
	return section + "." + key
}
