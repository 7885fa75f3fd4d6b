package config

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
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
		d.add(nodePlace(node), key, d.want(f), d.describe(node), hint)
		return
	}
	if f.use != nil {
		f.use()
	}
}

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

// scalar gives the text of a single value when its YAML type fits the field.
func (d *decoder) scalar(node ast.Node, f field, key string, at place) (text string, ok bool) {
	_, isNumber := numberOf(node)
	_, isBool := node.(*ast.BoolNode)
	raw, plain, isText := textOf(node)
	expanded := false
	if _, secret := f.to.(*Secret); secret {
		literal := textValue(node)
		if number, is := numberOf(node); is {
			literal = number
		}
		if literal != "" {
			d.foundSecret(at, literal)
		}
	}
	if isText {
		var bad []badExpansion
		if raw, expanded, bad = expand(unshift.Replace(raw), d.getenv); len(bad) > 0 {
			d.bad[key] = true
			for _, b := range bad {
				if _, secret := f.to.(*Secret); secret && strings.HasPrefix(b.found, "$") {
					at := b.at
					b = aSingleDollar
					b.at = at
				}
				d.add(d.within(at, textValue(node), b.at), key, b.expected, b.found, b.hint)
			}
			return "", false
		}
	}
	plain = plain && expanded // the environment has only texts, so these may be anything
	hint := ""
	switch f.to.(type) {
	case *int, *float64:
		ok = isNumber || plain
		if isText && numberLike(raw) {
			hint = "remove the quotes"
		}
	case *bool:
		ok = isBool || plain
		if hint = "write true or false"; raw == "true" || raw == "false" {
			hint = "remove the quotes"
		}
	case *time.Duration, *int64:
		ok = isText
		if number, is := numberOf(node); is {
			hint = unitHint(f, number)
		}
	case *Secret:
		ok = isText
		if isNumber || isBool {
			hint = "put it in quotes"
		}
	default:
		ok = isText
		if number, is := numberOf(node); is {
			hint = `put it in quotes: "` + number + `"`
			if f.is.name == listen.name {
				hint = "write localhost:" + number
			}
		} else if isBool {
			hint = "put it in quotes"
		}
	}
	if _, null := node.(*ast.NullNode); null && !ok {
		hint = "write a value, or remove the key for its default"
	}
	if !ok {
		found := d.describe(node)
		if _, secret := f.to.(*Secret); secret && !strings.HasPrefix(found, "nothing") {
			found = "something else (not shown)"
		}
		d.bad[key] = true
		d.add(at, key, d.want(f), found, hint)
		return "", false
	}
	if number, is := numberOf(node); is {
		return number, true
	}
	if isBool {
		return node.GetToken().Value, true
	}
	return raw, true
}

// problem is why a text is not a value of its field.
type problem struct{ hint, found string }

// assign parses text by the type of f.to and puts it there.
func assign(f field, text string) *problem {
	switch to := f.to.(type) {
	case *string:
		if text == "" && (f.required || f.fallback != `""`) {
			return &problem{found: "an empty text"}
		}
		if strings.ContainsFunc(text, isControl) || !utf8.ValidString(text) {
			return &problem{found: "a text of several lines or with control characters", hint: "write it on one line"}
		}
		if f.is.check != nil && text != "" {
			if hint, ok := f.is.check(text); !ok {
				return &problem{hint: hint}
			}
		}
		*to = text
	case *Secret:
		if text == "" && f.required {
			return &problem{found: "an empty one"}
		}
		if strings.ContainsFunc(text, isControl) {
			return &problem{found: "one of several lines or with control characters", hint: "does the variable end with a line break?"}
		}
		*to = NewSecret(text)
	case *bool:
		if text != "true" && text != "false" {
			return &problem{hint: "write true or false"}
		}
		*to = text == "true"
	case *int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return &problem{hint: "write a whole number in decimal digits"}
		}
		if p := f.within(n); p != nil {
			return p
		}
		*to = int(n)
	case *int64:
		n, ok := parseSize(text)
		if !ok {
			return &problem{hint: "write a number and its unit: 512KiB, 1MiB, 1GiB"}
		}
		if p := f.within(n); p != nil {
			return p
		}
		*to = n
	case *time.Duration:
		n, ok := parseDuration(text)
		if !ok {
			if _, err := strconv.ParseFloat(text, 64); err == nil {
				return &problem{hint: unitHint(f, text)}
			}
			return &problem{hint: "write a number and its unit: 500ms, 15s, 5m, 24h, 7d"}
		}
		if p := f.within(int64(n)); p != nil {
			return p
		}
		*to = n
	}
	return nil
}

// subfields are the fields of a section or of each entry of a list of sections.
func (f field) subfields() []field {
	if f.each == nil {
		return f.fields
	}
	fields, _ := f.each()
	return fields
}

// within checks the bounds of a number.
func (f field) within(n int64) *problem {
	if n >= f.min && (f.max == 0 || n <= f.max) {
		return nil
	}
	return &problem{hint: "write " + f.bounds()}
}

// bounds tells the range in the field's own unit.
func (f field) bounds() string {
	if f.max == 0 {
		return ""
	}
	return f.format(f.min) + " to " + f.format(f.max)
}

func (f field) format(n int64) string {
	switch f.to.(type) {
	case *time.Duration:
		return formatDuration(time.Duration(n))
	case *int64:
		return formatSize(n)
	default:
		return strconv.FormatInt(n, 10)
	}
}

// refuse reports a text that assign would not take.
func (d *decoder) refuse(f field, key string, at place, text string, p *problem) {
	found := p.found
	if found == "" {
		found = strconv.Quote(text)
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			found = text
		}
		if utf8.RuneCountInString(found) > shownRunes {
			found = string([]rune(found)[:shownRunes]) + "…"
		}
		found = credentialsURL.ReplaceAllString(found, "://******@")
	}
	d.bad[key] = true
	d.add(at, key, d.want(f), found, p.hint)
}

// want says what a field expects.
func (d *decoder) want(f field) string {
	within := ""
	if f.max != 0 {
		within = " from " + f.bounds()
	}
	switch f.to.(type) {
	case nil:
		if f.each != nil {
			return "a list of sections"
		}
		return "a section of keys"
	case *string:
		return f.is.want
	case *Secret:
		return "a secret's text"
	case *bool:
		return "true or false"
	case *int:
		return "a whole number" + within
	case *float64:
		return "a number"
	case *int64:
		return "a size such as 1MiB" + within
	case *time.Duration:
		return "a duration such as " + durationExample(f) + within
	case *[]string:
		return "a list, each " + f.is.want
	case *map[string]float64:
		return "a map of names and numbers"
	case *map[string]string, *map[string]Secret:
		return "a map of names and texts"
	case *map[string][]string:
		return "a map of names, each with a text or a list of texts"
	default:
		return "a map of names, each with a map of texts and numbers"
	}
}

func durationExample(f field) string {
	if f.fallback != "" && f.fallback != "0s" {
		return f.fallback
	}
	return "15s"
}

// unitHint completes a bare number with the unit that is missing: seconds, and the default's own where it differs.
func unitHint(f field, number string) string {
	if _, size := f.to.(*int64); size {
		return "write " + number + "B, or " + number + "MiB"
	}
	hint := "write " + number + "s"
	if _, unit := splitNumber(f.fallback); unit != "s" && unit != "" {
		hint += ", or " + number + unit
	}
	return hint
}

// resolve makes a relative path start in the file's folder and ~/ in the home folder.
func (d *decoder) resolve(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, set := d.getenv("HOME"); set && home != "" {
			return filepath.Join(home, rest)
		}
	}
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.folder, path)
}

// describe says what a node is, in words.
func (d *decoder) describe(node ast.Node) string {
	switch n := node.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		text := unshift.Replace(n.Value)
		if d.maskSecrets(); slices.Contains(d.secret, text) {
			return "a text (not shown)"
		}
		if utf8.RuneCountInString(text) > shownRunes {
			text = string([]rune(text)[:shownRunes]) + "…"
		}
		return "the text " + strconv.Quote(text)
	case *ast.LiteralNode:
		return "a text of lines"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + n.GetToken().Value
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "a map of keys"
	default:
		return "something else"
	}
}

// within is the place of the byte at in a text that begins at the place of its node, as far as it stands on that line.
func (d *decoder) within(at place, text string, i int) place {
	if at.line < 1 || at.line > len(d.lines) || i >= len(text) {
		return at
	}
	line := d.lines[at.line-1]
	from := min(max(at.column-1, 0), len(line))
	end := i
	for end < len(text) && text[end] != '}' && text[end] != ' ' {
		end++
	}
	piece := text[i:min(end+1, len(text))]
	if j := strings.Index(string(line[from:]), piece); j >= 0 {
		column := from + utf8.RuneCountInString(string(line[from:])[:j])
		return place{at.line, column + 1, utf8.RuneCountInString(piece)}
	}
	return at
}

// nodePlace is where a node begins.
func nodePlace(node ast.Node) place {
	switch n := node.(type) {
	case nil:
		return place{1, 1, 1}
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return nodePlace(n.Values[0])
		}
		return tokenPlace(n.Start)
	case *ast.MappingValueNode:
		return nodePlace(n.Key)
	case *ast.MappingKeyNode:
		return tokenPlace(n.Start)
	case *ast.StringNode:
		at := tokenPlace(n.Token)
		if n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType {
			return at
		}
		at.width = max(utf8.RuneCountInString(firstLine(n.Token.Value)), 1)
		return at
	default:
		return tokenPlace(node.GetToken())
	}
}

func textOf(node ast.Node) (text string, plain, ok bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, n.Token.Type == token.StringType, true
	case *ast.LiteralNode:
		return n.Value.Value, false, true
	default:
		return "", false, false
	}
}

func textValue(node ast.Node) string {
	text, _, _ := textOf(node)
	return unshift.Replace(text)
}

func numberOf(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.IntegerNode:
		return n.Token.Value, true
	case *ast.FloatNode:
		return n.Token.Value, true
	case *ast.InfinityNode:
		return n.Token.Value, true
	case *ast.NanNode:
		return n.Token.Value, true
	default:
		return "", false
	}
}

func numberLike(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

func join(section, key string) string {
	if section == "" {
		return key
	}
	return section + "." + key
}
