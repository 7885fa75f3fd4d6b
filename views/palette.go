package views

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// ParsePalette reads a theme file: YAML or JSON, a name and colours as #rrggbb, every one optional but the name. What is
// not given is the dark theme's, or that of the theme named by "base". Terminals with fewer colours get the nearest. An
// error names the line.
//
//	name: dusk
//	base: dark
//	accent: "#c792ea"
//	fill: "#5b4b7a"
func ParsePalette(path string, data []byte) (Palette, error) {
	file, lines, err := themeFile(path, data)
	if err != nil {
		return Palette{}, err
	}
	at := func(key string) string {
		if n := lines[key]; n > 0 {
			return path + ":" + strconv.Itoa(n)
		}
		return path
	}
	p := Palettes[0]
	if base, ok := file["base"]; ok {
		found := false
		for _, b := range Palettes {
			if b.Name == base {
				p, found = b, true
			}
		}
		if !found {
			return Palette{}, fmt.Errorf("theme %s: base: there is no theme %q", at("base"), base)
		}
		delete(file, "base")
	}
	p.Name = file["name"]
	delete(file, "name")
	if p.Name == "" || p.Name == "auto" {
		return Palette{}, fmt.Errorf("theme %s: name: expected a name other than auto", at("name"))
	}
	parts := map[string]*Colour{"text": &p.Text, "faint": &p.Faint, "border": &p.Border, "accent": &p.Accent, "good": &p.Good,
		"warn": &p.Warn, "bad": &p.Bad, "fill": &p.Fill, "select": &p.Select, "ink": &p.Ink}
	var wrong []error
	for _, key := range slices.Sorted(maps.Keys(file)) {
		value := file[key]
		part, ok := parts[key]
		if !ok {
			wrong = append(wrong, fmt.Errorf("theme %s: unknown key %q; the keys are name, base, %s", at(key), key, strings.Join(slices.Sorted(maps.Keys(parts)), ", ")))
			continue
		}
		c, err := parseColour(value)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("theme %s: %s: %w", at(key), key, err))
			continue
		}
		*part = c
	}
	return p, errors.Join(wrong...)
}

// themeFile is a theme file's keys with their values, and the lines they stand on. JSON is YAML too.
func themeFile(path string, data []byte) (values map[string]string, lines map[string]int, err error) {
	values, lines = map[string]string{}, map[string]int{}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("theme %s: %s", path, strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	if len(file.Docs) != 1 {
		return nil, nil, fmt.Errorf("theme %s: expected one document of keys and colours, found %d", path, len(file.Docs))
	}
	body, ok := file.Docs[0].Body.(ast.MapNode)
	if !ok {
		return nil, nil, fmt.Errorf("theme %s: expected keys and colours, such as accent: \"#5fb8d6\"", path)
	}
	for i := body.MapRange(); i.Next(); {
		key, line := i.Key().GetToken().Value, i.Key().GetToken().Position.Line
		if before, twice := lines[key]; twice {
			return nil, nil, fmt.Errorf("theme %s:%d: %s is given twice, first on line %d", path, line, key, before)
		}
		value, ok := i.Value().(*ast.StringNode)
		if !ok {
			hint := ""
			if _, null := i.Value().(*ast.NullNode); null {
				hint = "; a colour wants quotes, for # begins a comment"
			}
			return nil, nil, fmt.Errorf("theme %s:%d: %s: expected a text, such as \"#5fb8d6\"%s", path, line, key, hint)
		}
		values[key], lines[key] = value.Value, line
	}
	return values, lines, nil
}

var hexColour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func parseColour(s string) (Colour, error) {
	if !hexColour.MatchString(s) {
		return Colour{}, fmt.Errorf("expected a colour such as #5fb8d6, got %q", s)
	}
	v, err := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32)
	if err != nil {
		return Colour{}, fmt.Errorf("colour %q: %w", s, err)
	}
	r, g, b := int(v>>16&255), int(v>>8&255), int(v&255)
	return Colour{Hex: s, Index: nearest256(r, g, b), Basic: nearest16(r, g, b), IsGiven: true}, nil
}

// nearest256 is the nearest of the 6x6x6 cube and the grey ramp of xterm's 256 colours.
func nearest256(r, g, b int) uint8 {
	level := func(v int) (int, int) { // index and value on the cube's uneven steps
		steps := [6]int{0, 95, 135, 175, 215, 255}
		best := 0
		for i, s := range steps {
			if abs(v-s) < abs(v-steps[best]) {
				best = i
			}
		}
		return best, steps[best]
	}
	ri, rv := level(r)
	gi, gv := level(g)
	bi, bv := level(b)
	cube := sq(r-rv) + sq(g-gv) + sq(b-bv)
	grey := min(max(((r+g+b)/3-8+5)/10, 0), 23)
	v := 8 + 10*grey
	if sq(r-v)+sq(g-v)+sq(b-v) < cube {
		return uint8(232 + grey)
	}
	return uint8(16 + 36*ri + 6*gi + bi)
}

// nearest16 is the nearest of the usual sixteen.
func nearest16(r, g, b int) uint8 {
	usual := [16][3]int{{0, 0, 0}, {205, 0, 0}, {0, 205, 0}, {205, 205, 0}, {0, 0, 238}, {205, 0, 205}, {0, 205, 205}, {229, 229, 229},
		{127, 127, 127}, {255, 0, 0}, {0, 255, 0}, {255, 255, 0}, {92, 92, 255}, {255, 0, 255}, {0, 255, 255}, {255, 255, 255}}
	best, least := 0, 1<<30
	for i, c := range usual {
		if d := sq(r-c[0]) + sq(g-c[1]) + sq(b-c[2]); d < least {
			best, least = i, d
		}
	}
	return uint8(best)
}

func sq(v int) int { return v * v }

func abs(v int) int { return max(v, -v) }
