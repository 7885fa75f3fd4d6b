package contract

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a product's file. A contract is written by people: whatever exceeds these is no contract, and the
// parser behind takes quadratic time over the keys of one mapping.
const (
	MaxBytes = 1 << 20
	MaxKeys  = 10_000
	MaxDepth = 64
)

// nodeKind is what a node of the file is.
type nodeKind uint8

const (
	scalarNode nodeKind = iota
	mapNode
	listNode
)

func (k nodeKind) String() string { return [...]string{"a single value", "a mapping", "a list"}[k] }

// node is a value of the file with its place. Of a scalar, text is the value as written (null is the empty text), and
// plain tells that it was not quoted, so that only 0.05 and not "0.05" is a number.
type node struct {
	kind      nodeKind
	line, col int // from 1
	text      string
	plain     bool
	null      bool
	keys      []*node // of a mapping; entries[i] belongs to keys[i]
	entries   []*node
}

// parseYAML reads one YAML document of plain mappings, lists and scalars: no anchors, aliases, merge keys or tags.
func parseYAML(data []byte) (*node, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if err := prefilter(data); err != nil {
		return nil, err
	}
	file, err := parseSafely(data)
	if err != nil {
		return nil, err
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			return nil, errorAt(position(doc.Body), "a second YAML document; a file holds one product")
		}
		body = doc.Body
	}
	if body == nil {
		return nil, &Error{Line: 1, Col: 1, What: "the file is empty; expected a data product"}
	}
	return convert(body, 0)
}

// prefilter refuses what the parser should not even see: with each level that a dash, a tag or an anchor opens on one line it
// takes more time and memory than with the one before.
func prefilter(data []byte) error {
	if len(data) > MaxBytes {
		return &Error{Line: 1, Col: 1, What: fmt.Sprintf("the file has %d bytes; a product may have %d", len(data), MaxBytes)}
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return &Error{Line: 1, Col: 1, What: "the file is UTF-16; save it as UTF-8"}
	}
	line, from, keys, open := 1, 0, 0, 0
	nested, opener := 0, byte(0) // what opens a level without a bracket, one behind the other, and the last of them
	for i := 0; i < len(data); {
		if c := data[i]; c > ' ' && (i == from || data[i-1] <= ' ') {
			switch {
			case (c == '-' || c == '?') && (i+1 == len(data) || data[i+1] <= ' '), c == '!', c == '&', c == '*':
				nested, opener = nested+1, c
			default:
				nested = 0
			}
		}
		switch c := data[i]; {
		case c == '\n':
			if line, from = line+1, i+1; opener == '-' || opener == '?' { // the next line may be the next entry
				nested = 0
			}
		case c == ':' && (i+1 == len(data) || data[i+1] <= ' '):
			keys++
		case c == '[' || c == '{':
			open++
		case c == ']' || c == '}':
			open = max(0, open-1)
		case c == '\t' && len(bytes.TrimLeft(data[from:i], " \t")) == 0:
			if rest, _, _ := bytes.Cut(data[i:], []byte("\n")); len(bytes.TrimSpace(rest)) > 0 && rest[0] == '\t' && !bytes.HasPrefix(bytes.TrimSpace(rest), []byte("#")) {
				return &Error{Line: line, Col: i - from + 1, What: "a tab in the indentation; YAML wants spaces"}
			}
		case c < 0x20 && c != '\r' && c != '\t':
			return &Error{Line: line, Col: i - from + 1, What: fmt.Sprintf("a control character (0x%02x)", c)}
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && size == 1 {
				return &Error{Line: line, Col: i - from + 1, What: fmt.Sprintf("a byte that is not UTF-8 (0x%02x)", c)}
			}
			i += size
			continue
		}
		if keys > MaxKeys {
			return &Error{Line: line, Col: 1, What: fmt.Sprintf("more than %d keys", MaxKeys)}
		}
		if open > 4*MaxDepth || nested > MaxDepth {
			return &Error{Line: line, Col: i - from + 1, What: fmt.Sprintf("nested deeper than %d levels", MaxDepth)}
		}
		i++
	}
	return nil
}

// parseSafely keeps a panic of the parser, which reads bytes from outside, from taking the program down.
func parseSafely(data []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, &Error{Line: 1, Col: 1, What: fmt.Sprintf("not YAML (the parser gave up: %v)", r)}
		}
	}()
	file, err = parser.ParseBytes(data, 0)
	if err != nil {
		return nil, parserError(err)
	}
	return file, nil
}

// parserError keeps the first line of the parser's message, which starts with [line:column].
func parserError(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	e := &Error{Line: 1, Col: 1, What: text}
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if place, what, ok := strings.Cut(rest, "] "); ok {
			if _, scanErr := fmt.Sscanf(place, "%d:%d", &e.Line, &e.Col); scanErr == nil {
				e.What = what
			}
		}
	}
	if len(e.What) > 200 {
		e.What = e.What[:200] + "…"
	}
	return e
}

func convert(n ast.Node, depth int) (*node, error) {
	at := position(n)
	if depth > MaxDepth {
		return nil, errorAt(at, fmt.Sprintf("nested deeper than %d levels", MaxDepth))
	}
	out := &node{line: at.line, col: at.col}
	switch n := n.(type) {
	case *ast.MappingNode:
		out.kind = mapNode
		return out, out.addAll(n.Values, depth)
	case *ast.MappingValueNode:
		out.kind = mapNode
		return out, out.addAll([]*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		out.kind = listNode
		for _, v := range n.Values {
			entry, err := convert(v, depth+1)
			if err != nil {
				return nil, err
			}
			out.entries = append(out.entries, entry)
		}
	case *ast.StringNode:
		out.text = n.Value
		out.plain = n.Token == nil || n.Token.Type != token.SingleQuoteType && n.Token.Type != token.DoubleQuoteType
	case *ast.LiteralNode:
		if n.Value != nil {
			out.text = n.Value.Value
		}
	case *ast.NullNode:
		out.null, out.plain = true, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.plain = true
		if t := n.GetToken(); t != nil {
			out.text = t.Value
		}
	case *ast.AnchorNode, *ast.AliasNode:
		return nil, errorAt(at, "anchors and aliases are not allowed; write the value out")
	case *ast.MergeKeyNode:
		return nil, errorAt(at, "merge keys (<<) are not allowed; write the values out")
	case *ast.TagNode:
		return nil, errorAt(at, "tags (!…) are not allowed")
	default:
		return nil, errorAt(at, fmt.Sprintf("a YAML construct that has no place in a product (%s)", n.Type()))
	}
	return out, nil
}

func (n *node) addAll(values []*ast.MappingValueNode, depth int) error {
	for _, v := range values {
		key, err := convert(v.Key, depth+1)
		if err != nil {
			return err
		}
		if key.kind != scalarNode || key.null {
			return errorAt(place{key.line, key.col}, "a key must be a plain text")
		}
		value, err := convert(v.Value, depth+1)
		if err != nil {
			return err
		}
		n.keys, n.entries = append(n.keys, key), append(n.entries, value)
	}
	return nil
}

type place struct{ line, col int }

func position(n ast.Node) place {
	if t := n.GetToken(); t != nil && t.Position != nil {
		// A mapping's own token is its colon; its place is where its first key starts.
		if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
			return position(m.Values[0].Key)
		}
		if m, ok := n.(*ast.MappingValueNode); ok {
			return position(m.Key)
		}
		return place{t.Position.Line, t.Position.Column}
	}
	return place{1, 1}
}

// Error is one thing wrong in a product's file.
type Error struct {
	Path      string // of the file, if known
	Line, Col int    // from 1
	What      string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Col, e.What)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Col, e.What)
}

func errorAt(at place, what string) error { return &Error{Line: at.line, Col: at.col, What: what} }

// reader walks a node tree and collects all that is wrong with it.
type reader struct {
	errs   []error
	object int         // of the ODCS schema objects the one that is read
	names  [][2]string // the schema objects' names, and those in the data
}

func (r *reader) fail(n *node, format string, args ...any) {
	r.errs = append(r.errs, &Error{Line: n.line, Col: n.col, What: fmt.Sprintf(format, args...)})
}

func (r *reader) err() error { return errors.Join(r.errs...) }

// each calls f for every entry of a mapping; f tells whether it knows the key.
func (r *reader) each(n *node, what string, f func(key string, value *node) bool) {
	if n.null {
		return
	}
	if n.kind != mapNode {
		r.fail(n, "%s: expected a mapping, found %s", what, n.kind)
		return
	}
	for i, k := range n.keys {
		if !f(k.text, n.entries[i]) {
			r.fail(k, "%s: unknown key %q", what, k.text)
		}
	}
}

func (r *reader) str(n *node, what string) string {
	if n.kind != scalarNode {
		r.fail(n, "%s: expected a text, found %s", what, n.kind)
		return ""
	}
	return n.text
}

func (r *reader) strs(n *node, what string) []string {
	out := []string{}
	for _, e := range r.list(n, what) {
		if e.kind != scalarNode || e.null {
			r.fail(e, "%s: expected a list of texts", what)
			continue
		}
		out = append(out, e.text)
	}
	return out
}

func (r *reader) list(n *node, what string) []*node {
	if n.null {
		return nil
	}
	if n.kind != listNode {
		r.fail(n, "%s: expected a list, found %s", what, n.kind)
		return nil
	}
	return n.entries
}

func (r *reader) number(n *node, what string) (float64, bool) {
	if n.kind == scalarNode && n.plain && !n.null {
		if v, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64); err == nil && v-v == 0 {
			return v, true
		}
	}
	r.fail(n, "%s: expected a number, found %s", what, found(n))
	return 0, false
}

func (r *reader) integer(n *node, what string) (int64, bool) {
	if n.kind == scalarNode && n.plain && !n.null {
		if v, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			return v, true
		}
	}
	r.fail(n, "%s: expected a whole number, found %s", what, found(n))
	return 0, false
}

func (r *reader) boolean(n *node, what string) bool {
	if n.kind == scalarNode && n.plain {
		switch strings.ToLower(n.text) {
		case "true":
			return true
		case "false":
			return false
		}
		if n.null {
			return false
		}
	}
	r.fail(n, "%s: expected true or false, found %s", what, found(n))
	return false
}

func found(n *node) string {
	if n.kind != scalarNode {
		return n.kind.String()
	}
	if n.null {
		return "nothing"
	}
	text := n.text
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return strconv.Quote(text)
}
