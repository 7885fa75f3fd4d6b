package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Parse reads the bytes of the file path, which names it in errors and whose folder relative paths resolve against.
// Getenv is os.LookupEnv or a stand-in. The error, if any, is Errors: all that is wrong, not the first of it.
func Parse(path string, data []byte, getenv func(string) (string, bool)) (*Config, error) {
	src, root := parseSource(path, data)
	if len(src.errs) > 0 {
		return nil, src.errs
	}
	c := &Config{Path: path}
	table := schema(c)
	setDefaults(table)
	d := &decoder{
		source: src, getenv: getenv, folder: filepath.Dir(path),
		places: map[string]place{}, bad: map[string]bool{}, homes: map[string][]string{},
	}
	d.know(table, "")
	d.root(root, table)
	d.resolveDefaults(table, "")
	d.derive(c)
	d.validate(c)
	d.hideSecrets()
	if len(d.errs) > 0 {
		slices.SortStableFunc(d.errs, func(a, b Error) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, d.errs
	}
	return c, nil
}

// setDefaults puts every fallback where its value goes. A test reads them all, so none can be malformed.
func setDefaults(fields []field) {
	for _, f := range fields {
		setDefaults(f.fields)
		switch to := f.to.(type) {
		case *[]string:
			if f.fallback != "" {
				*to = strings.Split(strings.Trim(f.fallback, "[]"), ", ")
			}
		case nil:
		default:
			if f.fallback != "" && f.fallback != `""` {
				_ = assign(f, f.fallback)
			}
		}
	}
}

// resolveDefaults makes the default paths start in the file's folder, as those that were written do.
func (d *decoder) resolveDefaults(fields []field, section string) {
	for _, f := range fields {
		key := join(section, f.key)
		if to, ok := f.to.(*string); ok && f.is.path != nil && f.is.path(*to) && !d.given(key) {
			*to = d.resolve(*to)
		}
		d.resolveDefaults(f.fields, key)
	}
}

// derive fills what follows from other values.
func (d *decoder) derive(c *Config) {
	if p := c.Pipeline; p != nil && !d.given("pipeline.dead_letters") {
		p.DeadLetters = p.Events + ".dead_letters"
	}
	if e := c.Edge; e != nil {
		if !d.given("edge.timeout") && e.Timeout >= e.Poll {
			e.Timeout = e.Poll * 2 / 3
		}
		if !d.given("edge.stale_after") {
			e.StaleAfter = max(e.StaleAfter, 2*e.Poll)
		}
	}
	if m := c.Model; m != nil && !d.given("model.version") {
		if m.Inference != nil {
			m.Version = m.Inference.Name
		} else {
			m.Version = strings.TrimSuffix(filepath.Base(m.ONNX), filepath.Ext(m.ONNX))
		}
	}
}

// validate checks what no value can be judged on by itself.
func (d *decoder) validate(c *Config) {
	d.validateTLS("kafka.tls", c.Kafka.TLS)
	if p := c.Pipeline; p != nil {
		for _, need := range []string{"features", "model"} {
			if !d.given(need) {
				d.wrong("pipeline", "a section "+need+" too", "none", "add "+need+": to the file, or remove pipeline:")
			}
		}
		if hint, ok := checkTopic(p.DeadLetters); !ok && d.fine("pipeline.events", "pipeline.dead_letters") {
			d.wrong("pipeline.events", "room for .dead_letters after it", "a name that is too long", hint+"; or set dead_letters")
		}
		d.distinctTopics(p)
	}
	if f := c.Features; f != nil {
		d.validateDefaults(f)
	}
	if m := c.Model; m != nil && !d.bad["model"] {
		switch onnx, inference := d.given("model.onnx"), d.given("model.inference"); {
		case onnx && inference:
			d.wrong("model.inference", "either onnx or inference", "both", "remove one of the two")
		case !onnx && !inference:
			d.wrong("model", "either onnx or inference", "neither", "add onnx: model.onnx, or inference: {url: …, name: …}")
		}
	}
	d.validateKeys(c.Console.Keys)
	if e := c.Edge; e != nil {
		d.validateFleet(e)
		if e.Timeout >= e.Poll && d.fine("edge.poll", "edge.timeout") {
			d.wrong("edge.timeout", "less than edge.poll, "+formatDuration(e.Poll), formatDuration(e.Timeout),
				"a node is never asked again before its last answer is given up: lower timeout or raise poll")
		}
		if e.StaleAfter < e.Poll && d.fine("edge.poll", "edge.stale_after") {
			d.wrong("edge.stale_after", "at least edge.poll, "+formatDuration(e.Poll), formatDuration(e.StaleAfter),
				"data cannot be fresher than the last poll: raise stale_after")
		}
	}
}

func (d *decoder) validateTLS(key string, t *TLS) {
	switch {
	case t == nil:
	case t.Cert != "" && t.Key == "":
		d.wrong(key+".cert", key+".key beside it", "none", "name the certificate's private key: key: client.key")
	case t.Key != "" && t.Cert == "":
		d.wrong(key+".key", key+".cert beside it", "none", "name the key's certificate: cert: client.pem")
	}
}

// validateFleet checks where nodes come from.
func (d *decoder) validateFleet(e *Edge) {
	if !d.given("edge.nodes") && !d.given("edge.targets") && !d.given("edge.sources") {
		d.bad["edge.nodes"] = true
		d.add(d.places["edge"], "edge.nodes", "nodes, targets or sources", "none of them", "add nodes: [http://edge-node-1:8080]")
	}
	seen := map[string]bool{}
	for _, node := range e.Nodes {
		seen[sameURL(node)] = true
	}
	for i := range e.Targets {
		key := fmt.Sprintf("edge.targets[%d].url", i)
		e.Targets[i].URL = strings.TrimRight(e.Targets[i].URL, "/")
		same := sameURL(e.Targets[i].URL)
		if seen[same] && d.fine(key) {
			d.wrong(key, "each node once", e.Targets[i].URL+" again", "remove one of the two: its records would count double")
		}
		seen[same] = true
	}
	for i, s := range e.Sources {
		key, kinds := fmt.Sprintf("edge.sources[%d]", i), 0
		for _, is := range []bool{d.given(key + ".file"), d.given(key + ".srv"), d.given(key + ".http_sd")} {
			if is {
				kinds++
			}
		}
		switch {
		case kinds == 0 && !d.bad[key]:
			d.wrong(key, "one of file, srv and http_sd", "none", "add file: nodes.txt")
		case kinds > 1:
			d.wrong(key, "one of file, srv and http_sd", "more than one", "make a source of each")
		case s.Token.IsSet() && s.HTTPSD == "" && d.fine(key+".http_sd"):
			d.wrong(key+".token", "http_sd beside it", "none", "only http_sd is asked with a token")
		}
	}
	for i, a := range e.Access {
		key := fmt.Sprintf("edge.access[%d]", i)
		d.validateTLS(key+".tls", a.TLS)
		d.validatePrefix(key+".prefix", e, a.Prefix)
	}
}

func (d *decoder) distinctTopics(p *Pipeline) {
	keys := []string{"pipeline.events", "pipeline.predictions", "pipeline.dead_letters"}
	topics := []string{p.Events, p.Predictions, p.DeadLetters}
	for i := range keys {
		for j := range i {
			if topics[i] == topics[j] && d.fine(keys[i], keys[j]) {
				at := i // the error stands at one that is written
				if !d.given(keys[i]) {
					at = j
				}
				d.wrong(keys[at], "a topic of its own", topics[i]+", which is "+keys[i+j-at]+" too",
					"the pipeline would read what it wrote: name another topic")
			}
		}
	}
}

func (d *decoder) validateDefaults(f *Features) {
	if !d.fine("features.names", "features.defaults", "features.categories", "features.on_missing") {
		return
	}
	var missing []string
	for _, name := range f.Names {
		if _, ok := f.Defaults[name]; !ok {
			missing = append(missing, name)
		}
	}
	if f.OnMissing == "default" && len(missing) > 0 {
		at := "features.defaults"
		if !d.given(at) {
			at = "features.on_missing"
		}
		d.wrong(at, "a default for each of features.names", "none for "+strings.Join(missing, ", "),
			`add features.defaults: {"`+missing[0]+`": 0, …}`)
	}
	d.amongNames(f, "features.defaults", slices.Collect(maps.Keys(f.Defaults)))
	d.amongNames(f, "features.categories", slices.Collect(maps.Keys(f.Categories)))
}

// amongNames checks that the entries of a map are configured features.
func (d *decoder) amongNames(f *Features, key string, names []string) {
	for _, name := range names {
		if !slices.Contains(f.Names, name) {
			hint := "remove it, or add it to features.names"
			if near := nearest(name, f.Names); near != "" {
				hint = "did you mean " + near + "?"
			}
			d.wrong(key+"."+name, "one of features.names", strconv.Quote(name), hint)
		}
	}
}
