package contract

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var odcsVersion = regexp.MustCompile(`^v?3\.[0-2]\.[0-9]+$`)

// odcs reads an Open Data Contract Standard v3.0 to v3.2 document. What does not bear on judging data (prices, roles,
// support channels) is checked for unknown keys and otherwise left alone.
func (r *reader) odcs(root *node, domain, name string) Product {
	p := Product{Format: ODCS, MaxNull: -1, Domain: domain, Name: name}
	var schema, servers, sla, custom *node
	var slaDefault, ownDomain, ownName string
	seen := map[string]bool{}
	r.each(root, "ODCS contract", func(key string, v *node) bool {
		seen[key] = true
		switch key {
		case "apiVersion":
			p.APIVersion = r.str(v, key)
			if !odcsVersion.MatchString(p.APIVersion) {
				r.fail(v, "apiVersion: expected v3.0.x, v3.1.x or v3.2.x, found %s", found(v))
			}
		case "kind":
			if r.str(v, key) != "DataContract" {
				r.fail(v, "kind: expected DataContract, found %s", found(v))
			}
		case "id":
			p.ID = r.str(v, key)
		case "version":
			p.Version = r.str(v, key)
		case "status":
			p.Status = r.str(v, key)
		case "name":
			ownName = r.str(v, key)
		case "domain":
			ownDomain = r.str(v, key)
		case "description":
			p.Description = r.description(v)
		case "team":
			p.Owners = r.team(v)
		case "customProperties":
			custom = v
		case "schema":
			schema = v
		case "servers":
			servers = v
		case "slaProperties":
			sla = v
		case "slaDefaultElement":
			slaDefault = r.str(v, key)
		case "authoritativeDefinitions", "context", "contractCreatedTs", "dataProduct", "price", "roles", "support", "tags", "tenant":
		default:
			return false
		}
		return true
	})
	for _, key := range []string{"apiVersion", "kind", "id", "version", "status"} {
		if !seen[key] && (key != "status" || !strings.HasPrefix(strings.TrimPrefix(p.APIVersion, "v"), "3.2.")) { // v3.2 can do without
			r.fail(root, "ODCS contract: the required key %q is missing", key)
		}
	}
	// The place in the registry is the identity; a contract that stands alone is known by its own words.
	if p.Domain == "" {
		p.Domain = slug(ownDomain, "default")
	}
	if p.Name == "" {
		p.Name = slug(ownName, slug(p.ID, "contract"))
	}
	if custom != nil {
		r.custom(custom, &p)
	}
	if schema != nil {
		r.schema(schema, &p)
	}
	if servers != nil {
		r.servers(servers, &p)
	}
	if sla != nil {
		r.sla(sla, slaDefault, &p)
	}
	return p
}

// slug makes an identifier of a name people gave.
func slug(s, fallback string) string {
	s = strings.Trim(regexp.MustCompile(`[^A-Za-z0-9_\-]+`).ReplaceAllString(strings.ToLower(s), "_"), "_-")
	if s == "" {
		return fallback
	}
	return clipRaw(s, 128)
}

func clipRaw(s string, n int) string { return s[:min(len(s), n)] }

func (r *reader) description(n *node) string {
	if n.kind == scalarNode {
		return n.text // v2's form, still met
	}
	var purpose, usage string
	r.each(n, "description", func(key string, v *node) bool {
		switch key {
		case "purpose":
			purpose = r.str(v, key)
		case "usage":
			usage = r.str(v, key)
		case "limitations", "authoritativeDefinitions", "customProperties":
		default:
			return false
		}
		return true
	})
	if purpose == "" {
		return usage
	}
	return purpose
}

// team gives the owners: the members whose role says owner, else all of them. Both forms of the standard are read, the
// list of v3.0 and the object of v3.1.
func (r *reader) team(n *node) []string {
	var owners, all []string
	member := func(m *node) {
		var who, role string
		r.each(m, "team member", func(key string, v *node) bool {
			switch key {
			case "username":
				who = r.str(v, key)
			case "name":
				if who == "" {
					who = r.str(v, key)
				}
			case "role":
				role = r.str(v, key)
			case "id", "description", "dateIn", "dateOut", "replacedByUsername", "tags", "customProperties", "authoritativeDefinitions", "comment":
			default:
				return false
			}
			return true
		})
		if who == "" {
			return
		}
		all = append(all, who)
		if strings.Contains(strings.ToLower(role), "owner") {
			owners = append(owners, who)
		}
	}
	if n.kind == listNode {
		for _, m := range n.entries {
			member(m)
		}
	} else {
		r.each(n, "team", func(key string, v *node) bool {
			switch key {
			case "members":
				for _, m := range r.list(v, key) {
					member(m)
				}
			case "id", "name", "description", "tags", "customProperties", "authoritativeDefinitions":
			default:
				return false
			}
			return true
		})
	}
	if len(owners) > 0 {
		return owners
	}
	return all
}

// custom reads the custom properties "consumers" and "upstream" (what the product is made from), each a list or names
// separated by commas, and "window": ODCS has no keys of its own for them.
func (r *reader) custom(n *node, p *Product) {
	for _, e := range r.list(n, "customProperties") {
		var property string
		var value *node
		r.each(e, "custom property", func(key string, v *node) bool {
			switch key {
			case "property":
				property = r.str(v, key)
			case "value":
				value = v
			case "id", "description", "vendor":
			default:
				return false
			}
			return true
		})
		switch {
		case value == nil:
		case property == "consumers":
			p.Consumers = append(p.Consumers, r.listed(value, property)...)
		case property == "upstream":
			p.Upstream = append(p.Upstream, r.listed(value, property)...)
		case property == "window":
			r.window(value, p)
		}
	}
}

// The bounds of a window.
const (
	minWindow     = time.Second
	maxWindow     = 24 * time.Hour
	maxWindowRows = 10_000_000
)

// window reads the custom property "window": a duration such as 5m, or a count such as 100000 rows.
func (r *reader) window(n *node, p *Product) {
	text := r.str(n, "window")
	if count, ok := strings.CutSuffix(text, "rows"); ok {
		rows, err := strconv.ParseInt(strings.TrimSpace(count), 10, 64)
		if err != nil || rows < 1 || rows > maxWindowRows {
			r.fail(n, "window: expected a count from 1 to %d rows, found %s", maxWindowRows, found(n))
		}
		p.WindowRows = rows
		return
	}
	length, err := time.ParseDuration(text)
	if err != nil || length < minWindow || length > maxWindow {
		r.fail(n, "window: expected a duration from 1s to 24h such as 5m, or a count such as 100000 rows, found %s", found(n))
	}
	p.Window = length
}

// listed reads a list, or a text of names separated by commas.
func (r *reader) listed(n *node, what string) []string {
	if n.kind == listNode {
		return r.strs(n, what)
	}
	var out []string
	for _, s := range strings.Split(r.str(n, what), ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// servers finds the Kafka topic of the schema object that is read: the topic that a server of type kafka names, else the
// object's own name. A contract of several objects has a topic for each, so a server's topic is that of the object of its name.
func (r *reader) servers(n *node, p *Product) {
	kafka, named := false, []string(nil)
	for _, s := range r.list(n, "servers") {
		if s.kind != mapNode {
			r.fail(s, "servers: expected a mapping, found %s", s.kind)
			continue
		}
		isKafka, topic := false, ""
		for i, k := range s.keys {
			switch k.text {
			case "type":
				isKafka = strings.EqualFold(s.entries[i].text, "kafka")
			case "topic":
				topic = s.entries[i].text
			case "encoding", "charset": // no key of the standard's, but what people write
				if rule, other := encodingRule(s.entries[i], r.str(s.entries[i], k.text)); other {
					p.Rules = append(p.Rules, rule)
				}
			}
		}
		if isKafka {
			kafka, named = true, append(named, topic)
		}
	}
	switch {
	case !kafka:
	case len(p.Tables) <= 1 && named[0] != "":
		p.Topic = named[0]
	case len(p.Tables) > 1 && slices.Contains(named, r.names[r.object][0]):
		p.Topic = r.names[r.object][0]
	case len(p.Tables) > 0:
		p.Topic = p.Tables[r.object]
	}
}

// encodingRule is what a server's encoding comes to, if it is another one than is read.
func encodingRule(at *node, encoding string) (rule Rule, other bool) {
	switch strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(encoding)) {
	case "", "utf8", "ascii", "usascii":
		return Rule{}, false
	}
	return Rule{Name: "encoding", Label: clip(encoding, 40), Kind: Unjudged, Severity: Warning, Schema: true, Line: at.line, Col: at.col,
		Why: "only UTF-8 is read; a row with anything else is told as one that could not be decoded"}, true
}

// schema reads the schema object that is asked for, and of the others their names.
func (r *reader) schema(n *node, p *Product) {
	for i, object := range r.list(n, "schema") {
		var name, physical string
		var columns []Column
		var rules []Rule
		var quality *node
		r.each(object, "schema object", func(key string, v *node) bool {
			switch key {
			case "name":
				name = r.str(v, key)
			case "physicalName":
				physical = r.str(v, key)
			case "properties":
				if i == r.object {
					columns, rules = r.properties(v, "", 0)
				}
			case "quality":
				quality = v
			case "id", "physicalType", "description", "businessName", "tags", "customProperties", "authoritativeDefinitions",
				"logicalType", "dataGranularityDescription", "relationships", "context", "deprecated", "synonyms":
			default:
				return false
			}
			return true
		})
		if name == "" {
			r.fail(object, "schema object: the key \"name\" is missing")
		}
		if physical == "" {
			physical = name
		}
		p.Tables, r.names = append(p.Tables, physical), append(r.names, [2]string{name, physical})
		if i != r.object {
			continue
		}
		if quality != nil {
			rules = append(rules, r.quality(quality, nil)...)
		}
		p.Columns, p.Rules = columns, append(p.Rules, rules...)
		if key := primaryKey(columns); len(key) > 0 {
			p.Rules = append(p.Rules, Rule{Name: "primaryKey", Kind: Duplicates, Columns: key, Line: object.line, Col: object.col})
		}
		if len(columns) > 0 {
			p.Rules = append(p.Rules, Rule{Name: "unexpected_columns", Kind: Drift, Severity: Warning, Schema: true, Line: object.line, Col: object.col})
		}
	}
}

// objects makes a product of each schema object of a contract that has several: their contract's name, a dot and their own.
// p, which is of the first, becomes what they have in common.
func (r *reader) objects(root *node, domain, name string, p *Product) {
	taken := map[string]bool{}
	for i := range p.Tables {
		one := reader{object: i}
		o := one.odcs(root, domain, name)
		r.errs = append(r.errs, one.errs...)
		o.Name = p.Name + "." + slug(one.names[i][0], "object")
		if CheckIdentifier("name", o.Name) != nil || taken[o.Name] {
			r.fail(root, "schema: %q would be called %q, which is not a name or taken; give each object a short name of its own", one.names[i][0], o.Name)
		}
		taken[o.Name] = true
		o.Tables = o.Tables[i : i+1]
		p.Objects = append(p.Objects, o)
	}
	p.Columns, p.Rules, p.SLA, p.Topic = nil, nil, nil, ""
}

// primaryKey are the paths of the columns and fields of the primary key in the order of their positions. What is inside an
// array is not among them, for a row has many of it.
func primaryKey(columns []Column) []string {
	type key struct {
		path     string
		position int
	}
	var keys []key
	var add func(columns []Column, parent string)
	add = func(columns []Column, parent string) {
		for _, c := range columns {
			if c.PrimaryKey {
				keys = append(keys, key{parent + c.Name, c.KeyPosition})
			}
			add(c.Fields, parent+c.Name+".")
		}
	}
	add(columns, "")
	slices.SortStableFunc(keys, func(a, b key) int { return a.position - b.position })
	paths := make([]string, len(keys))
	for i, k := range keys {
		paths[i] = k.path
	}
	return paths
}

func (r *reader) properties(n *node, parent string, depth int) ([]Column, []Rule) {
	var columns []Column
	var rules []Rule
	names := map[string]bool{}
	for _, e := range r.list(n, "properties") {
		c, more := r.property(e, parent, depth)
		if c.Name == "" {
			r.fail(e, "property: the key \"name\" is missing")
			continue
		}
		if names[c.Name] {
			r.fail(e, "property %q: named twice", c.Name)
		}
		names[c.Name] = true
		if rules = append(rules, more...); !c.Measure {
			columns = append(columns, c)
		}
	}
	return columns, rules
}

// property reads a column or field and lowers it to rules. parent is the path it is in: empty, that of an object with
// a dot behind it, or that of an array with [] behind it.
func (r *reader) property(n *node, parent string, depth int) (Column, []Rule) {
	c := Column{Line: n.line, KeyPosition: 1 << 30}
	var name, physical, role string
	var options, quality, fields, items, values, dictionary *node
	r.each(n, "property", func(key string, v *node) bool {
		switch key {
		case "name":
			name = r.str(v, key)
		case "physicalName":
			physical = r.str(v, key)
		case "description":
			c.Description = r.str(v, key)
		case "logicalType":
			c.Type = r.str(v, key)
			if !slices.Contains(logicalTypes, c.Type) && !v.null {
				r.fail(v, "logicalType: expected one of %s, found %s", strings.Join(logicalTypes, ", "), found(v))
			}
		case "physicalType":
			c.Physical = r.str(v, key)
		case "required":
			c.Required = r.boolean(v, key)
		case "unique":
			c.Unique = r.boolean(v, key)
		case "primaryKey":
			c.PrimaryKey = r.boolean(v, key)
		case "primaryKeyPosition":
			if p, ok := r.integer(v, key); ok && p > 0 {
				c.KeyPosition = int(p)
			}
		case "classification":
			c.Class = r.str(v, key)
		case "tags":
			c.Tags = r.strs(v, key)
		case "logicalTypeOptions":
			options = v
		case "quality":
			quality = v
		case "properties":
			fields = v
		case "items":
			items = v
		case "map":
			dictionary = v
		case "enum":
			values = v
		case "semanticType":
			role = r.str(v, key)
		case "relationships":
			c.Relations = r.relations(v)
		case "criticalDataElement", "partitioned", "deprecated":
			r.boolean(v, key)
		case "partitionKeyPosition":
			r.integer(v, key)
		case "transformSourceObjects":
			c.Sources = r.strs(v, key)
		case "id", "businessName", "encryptedName", "transformLogic", "transformDescription",
			"examples", "customProperties", "authoritativeDefinitions", "synonyms":
		default:
			return false
		}
		return true
	})
	c.Name = physical
	if c.Name == "" {
		c.Name = name
	}
	if c.PrimaryKey {
		c.Required = true
	}
	path := c.Name
	switch {
	case strings.HasSuffix(parent, "[]"): // the elements of an array, whose name says nothing
		path = parent
		c.Name = or(c.Name, "items")
	case parent != "": // ends in a dot
		path = parent + c.Name
	}
	if options != nil {
		c.Options = r.options(options, c.Type)
	}
	if role == "measure" { // aggregated from the data, not one of their columns
		return Column{Name: c.Name, Measure: true}, []Rule{{Name: "measure", Label: c.Name, Kind: Unjudged, Severity: Info, Line: n.line, Col: n.col,
			Why: "a measure is aggregated from the data and not in them"}}
	}
	rules := lower(c, path, place{n.line, n.col})
	if values != nil {
		rules = append(rules, r.enum(values, path))
	}
	if quality != nil {
		rules = append(rules, r.quality(quality, []string{path})...)
	}
	if fields != nil {
		var more []Rule
		c.Fields, more = r.properties(fields, path+".", depth+1)
		rules = append(rules, more...)
	}
	if items != nil {
		item, more := r.property(items, path+"[]", depth+1)
		c.Items = &item
		rules = append(rules, more...)
	}
	if dictionary != nil {
		rules = append(rules, r.dictionary(dictionary, &c, path, depth)...)
	}
	return c, rules
}

// enum reads the values a property may have, each an object with the value and what is to be known of it.
func (r *reader) enum(n *node, path string) Rule {
	rule := Rule{Name: "enum", Kind: Invalid, Columns: []string{path}, Limits: []Limit{{Op: Equal}}, Line: n.line, Col: n.col}
	for _, e := range r.list(n, "enum") {
		var value *node
		r.each(e, "enum", func(key string, v *node) bool {
			switch key {
			case "value":
				value = v
			case "label", "id", "description", "customProperties", "authoritativeDefinitions", "tags":
			default:
				return false
			}
			return true
		})
		switch {
		case value == nil || value.kind != scalarNode:
			r.fail(e, "enum: expected a mapping with a single value under the key \"value\"")
		case !value.null: // a null is no value; required says whether there may be one
			rule.Values = append(rule.Values, value.text)
		}
	}
	if len(rule.Values) == 0 {
		rule.Kind, rule.Why = Unjudged, "it allows no value"
	}
	return rule
}

// dictionary reads what the keys and values of a map are. The values are judged as the elements of an array are; of the keys,
// which are texts in JSON, nothing is.
func (r *reader) dictionary(n *node, c *Column, path string, depth int) []Rule {
	var rules []Rule
	r.each(n, "map", func(key string, v *node) bool {
		switch key {
		case "key":
			k, more := r.property(v, path+"[]", depth+1)
			if len(more) > 1 || len(more) == 1 && (more[0].Kind != TypeOf || k.Type != "string") {
				rules = append(rules, Rule{Name: "map", Label: path, Kind: Unjudged, Line: v.line, Col: v.col, Why: "the keys of a map are texts of which no rule is judged"})
			}
		case "value":
			value, more := r.property(v, path+"[]", depth+1)
			c.Items = &value
			rules = append(rules, more...)
		default:
			return false
		}
		return true
	})
	return rules
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

var logicalTypes = []string{"string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean", "map", "vector"}

func (r *reader) relations(n *node) []string {
	var out []string
	for _, e := range r.list(n, "relationships") {
		if e.kind != mapNode {
			r.fail(e, "relationships: expected a mapping, found %s", e.kind)
			continue
		}
		for i, k := range e.keys {
			if k.text != "to" {
				continue
			}
			if v := e.entries[i]; v.kind == listNode {
				out = append(out, r.strs(v, "to")...)
			} else {
				out = append(out, r.str(v, "to"))
			}
		}
	}
	return out
}
