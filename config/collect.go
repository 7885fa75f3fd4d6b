package config

import (
	"math"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// sections decodes a list of sections.
func (d *decoder) sections(node ast.Node, f field, key string, depth int) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		d.wrong(key, d.want(f), d.describe(node), "write a list: [{…}]")
		return
	}
	for i, entry := range sequence.Values {
		entryKey := key + "[" + strconv.Itoa(i) + "]"
		entry = d.bare(entry, key)
		if entry == nil {
			continue
		}
		at := nodePlace(entry)
		d.places[entryKey] = at
		fields, add := f.each()
		setDefaults(fields)
		entries, ok := entry.(ast.MapNode)
		if !ok {
			d.bad[key] = true
			d.add(at, entryKey, "a section of keys", d.describe(entry), "write {"+fields[0].key+": "+fields[0].example+"}")
			continue
		}
		d.section(entries, fields, entryKey, depth)
		add()
	}
}

// list decodes a list of texts, each of them once.
func (d *decoder) list(node ast.Node, f field, key string, to *[]string) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		hint := ""
		if text, isText := node.(*ast.StringNode); isText {
			one := unshift.Replace(text.Value)
			if f.is.name == address.name && !strings.Contains(one, ":") {
				one += ":9092"
			}
			hint = "write [" + one + "]"
		}
		d.wrong(key, d.want(f), d.describe(node), hint)
		return
	}
	if len(sequence.Values) == 0 {
		d.wrong(key, d.want(f), "an empty list", "name at least one, or remove the section")
		return
	}
	one := field{key: f.key, to: new(string), is: f.is}
	lines := map[string]int{}
	all := make([]string, 0, len(sequence.Values))
	for i, entry := range sequence.Values {
		entryKey := key + "[" + strconv.Itoa(i) + "]"
		entry = d.bare(entry, key)
		if entry == nil {
			continue
		}
		at := nodePlace(entry)
		d.places[entryKey] = at
		text, ok := d.scalar(entry, one, entryKey, at)
		if !ok {
			d.bad[key] = true
			continue
		}
		if problem := assign(one, text); problem != nil {
			d.bad[key] = true
			d.refuse(one, entryKey, at, text, problem)
			continue
		}
		if f.is.name == httpURL.name {
			text = strings.TrimRight(text, "/")
		}
		same := text
		if f.is.same != nil {
			same = f.is.same(text)
		}
		if line, again := lines[same]; again {
			d.bad[key] = true
			d.add(at, entryKey, "each of "+key+" once", text+" again, after line "+strconv.Itoa(line), "remove one of the two")
			continue
		}
		lines[same] = at.line
		all = append(all, text)
	}
	*to = all
}

// numbers decodes a map from names to numbers.
func (d *decoder) numbers(node ast.Node, f field, key string) map[string]float64 {
	all := map[string]float64{}
	d.entries(node, f, key, func(name, entryKey string, value ast.Node) {
		text, ok := d.scalar(value, field{to: new(float64)}, entryKey, nodePlace(value))
		number, err := strconv.ParseFloat(text, 64)
		if ok && (err != nil || math.IsNaN(number) || math.IsInf(number, 0)) {
			d.add(nodePlace(value), entryKey, "a number", d.describe(value), "write a number such as 0 or 0.5")
			ok = false
		}
		if !ok {
			d.bad[key] = true
		}
		all[name] = number
	})
	return all
}

// tables decodes a map from names to maps from texts to numbers.
func (d *decoder) tables(node ast.Node, f field, key string) map[string]map[string]float64 {
	all := map[string]map[string]float64{}
	d.entries(node, f, key, func(name, entryKey string, value ast.Node) {
		all[name] = d.numbers(value, field{to: new(map[string]float64), example: `{a: 0, b: 1}`}, entryKey)
		if entries, ok := value.(ast.MapNode); ok && !entries.MapRange().Next() {
			d.wrong(entryKey, "at least one text with its number", "an empty map", "write {a: 0, b: 1}")
		}
		d.bad[key] = d.bad[key] || d.bad[entryKey]
	})
	return all
}

// lists decodes a map from names to lists of texts; a single text is a list of one.
func (d *decoder) lists(node ast.Node, f field, key string) map[string][]string {
	all := map[string][]string{}
	d.entries(node, f, key, func(name, entryKey string, value ast.Node) {
		var list []string
		one, word := field{key: f.key, to: &list, is: anyText}, field{to: new(string), is: anyText}
		if _, isList := value.(*ast.SequenceNode); isList {
			d.list(value, one, entryKey, &list)
		} else if text, ok := d.scalar(value, word, entryKey, nodePlace(value)); ok {
			if problem := assign(word, text); problem != nil {
				d.refuse(word, entryKey, nodePlace(value), text, problem)
			}
			list = []string{text}
		}
		all[name] = list
	})
	return all
}

// entries calls each with the entries of a map whose keys are free.
func (d *decoder) entries(node ast.Node, f field, key string, each func(name, entryKey string, value ast.Node)) {
	entries, ok := node.(ast.MapNode)
	if !ok {
		d.bad[key] = true
		d.add(nodePlace(node), key, d.want(f), d.describe(node), "write "+f.example)
		return
	}
	seen := map[string]bool{}
	for it := entries.MapRange(); it.Next(); {
		name, at, ok := d.key(it.Key(), key)
		if !ok {
			d.bad[key] = true
			continue
		}
		entryKey := key + "." + name
		if seen[name] {
			d.bad[key] = true
			d.add(at, entryKey, "each key once", "it again", "keep one of the two")
			continue
		}
		seen[name] = true
		d.places[entryKey] = at
		if value := d.bare(it.Value(), key); value != nil {
			each(name, entryKey, value)
		}
	}
}
