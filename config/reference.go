package config

import (
	"fmt"
	"strings"
	"time"
)

// Reference is the table of every key of weir.yaml in Markdown: config/REFERENCE.md, which a test keeps in step.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# weir.yaml, key by key

Made from the table in config/schema.go by ` + "`go test ./config -run Reference -update`" + `. Every section but
` + "`kafka`" + ` is optional; one that is absent turns off what it describes, except ` + "`history`, `console` and `http`" + `, which have
their defaults. Unknown keys are errors. Durations have a unit (` + "`500ms`, `15s`, `5m`, `24h`, `7d`" + `), sizes too (` + "`1MiB`" + `).
` + "`${NAME}` and `${NAME:-default}`" + ` in a value are taken from the environment, ` + "`$$`" + ` is a dollar. Relative paths start in the
file's folder.
`)
	for _, f := range schema(&Config{}) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", f.key, f.doc)
		writeReference(&b, f.fields, f.key)
	}
	return b.String()
}

func writeReference(b *strings.Builder, fields []field, section string) {
	for _, f := range fields {
		key := section + "." + f.key
		fallback := "none"
		switch {
		case f.required:
			fallback = "needed"
		case f.note != "":
			fallback = f.note
		case f.fields != nil && f.use == nil:
			fallback = "as below"
		case f.fallback != "":
			fallback = "`" + f.fallback + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", key, f.typeName(), fallback, f.doc)
		if f.each != nil {
			key += "[]"
		}
		writeReference(b, f.subfields(), key)
	}
}

func (f field) typeName() string {
	name := ""
	switch f.to.(type) {
	case nil:
		if f.each != nil {
			return "list of sections"
		}
		return "section"
	case *string:
		return f.is.name
	case *Secret:
		return "secret text"
	case *[]string:
		return "list of " + f.is.name
	case *map[string]float64:
		return "map of numbers"
	case *map[string]string:
		return "map of text"
	case *map[string]Secret:
		return "map of secret text"
	case *map[string][]string:
		return "map of lists of text"
	case *map[string]map[string]float64:
		return "map of maps of numbers"
	case *bool:
		return "true, false"
	case *int:
		name = "whole number"
	case *float64:
		name = "number"
	case *int64:
		name = "size"
	case *time.Duration:
		name = "duration"
	}
	if f.max != 0 {
		name += ", " + f.bounds()
	}
	return name
}
