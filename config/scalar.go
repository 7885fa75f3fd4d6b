package config

import (
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

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
	if _, isString := f.to.(*string); isString && !ok && hint == "" {
		hint = pairHint(node)
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

// pairHint is for a text that a space after its colon made a map.
func pairHint(node ast.Node) string {
	entries, ok := node.(ast.MapNode)
	if !ok {
		return ""
	}
	pair := entries.MapRange()
	if !pair.Next() {
		return ""
	}
	value, ok := pair.Value().(ast.ScalarNode)
	if !ok {
		return ""
	}
	return "if a text is meant, leave out the space or put it in quotes: " + pair.Key().GetToken().Value + ":" + value.GetToken().Value
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
	case *float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || strings.ContainsAny(text, "xX_") {
			return &problem{hint: "write a number such as 0.5"}
		}
		if n < f.low || f.max != 0 && n > float64(f.max) {
			return &problem{hint: "write " + f.bounds()}
		}
		*to = n
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
	low := f.format(f.min)
	if _, decimal := f.to.(*float64); decimal {
		low = strconv.FormatFloat(f.low, 'f', -1, 64)
	}
	return low + " to " + f.format(f.max)
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
		return "a number" + within
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

func numberLike(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }
