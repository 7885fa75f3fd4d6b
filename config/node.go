package config

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

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

func tokenPlace(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1, 1}
	}
	width := utf8.RuneCountInString(strings.TrimSpace(firstLine(t.Origin)))
	return place{max(t.Position.Line, 1), max(t.Position.Column, 1), max(width, 1)}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimLeft(s, " \n"), "\n")
	return s
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
