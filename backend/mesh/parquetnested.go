package mesh

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"weir/backend/mesh/scan"
)

// maxNesting bounds how deep the columns of a Parquet file are nested.
const maxNesting = 100

// nested is a column of a Parquet file that holds structs, lists or maps, or a field of one. Its leaves' values are put
// together again as the JSON the rules are made for, after the rules of Melnik et al., "Dremel" (2010): a definition level
// tells how much of the path to a value is there, a repetition level at which of the lists on the path it goes on.
type nested struct {
	key        []byte // the field's name as a JSON string with a colon
	leaf       int    // index of its first leaf
	leaves     int
	definition int // of a value that is there; with repeated, of a list with an element
	repetition int
	optional   bool
	repeated   bool
	list       bool // an array, whose one child is the element
	dictionary bool // an object of keys and values, which are its children
	children   []*nested
	write      func(dst []byte, value parquet.Value) ([]byte, scan.Kind) // of a leaf
	time       bool                                                      // of a leaf: its values are dates, times of day or both
	text       bool                                                      // of a leaf: its values are to be UTF-8
	name       string
}

// newNested describes a column and what is inside.
func newNested(c *parquet.Column, half map[int]bool, depth int) (*nested, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("nested deeper than %d levels", maxNesting)
	}
	n := &nested{
		key: append(appendJSONString(nil, []byte(c.Name())), ':'), optional: c.Optional(), repeated: c.Repeated(),
		definition: c.MaxDefinitionLevel(), repetition: c.MaxRepetitionLevel(),
	}
	if c.Leaf() {
		n.leaf, n.leaves, n.write = c.Index(), 1, writerOf(c.Type(), half[c.Index()])
		n.time, n.text, n.name = isTime(c.Type()), isUTF8Type(c.Type()), strings.Join(c.Path(), ".")
		return n, nil
	}
	for _, child := range c.Columns() {
		inner, err := newNested(child, half, depth+1)
		if err != nil {
			return nil, err
		}
		if len(n.children) == 0 {
			n.leaf = inner.leaf
		}
		n.leaves += inner.leaves
		n.children = append(n.children, inner)
	}
	if n.leaves == 0 {
		return nil, fmt.Errorf("group %s has no columns", c.Name())
	}
	lt := c.Type().LogicalType()
	if lt == nil || len(n.children) != 1 || !n.children[0].repeated {
		return n, nil
	}
	inner := n.children[0]
	switch lt.Value.(type) {
	case *format.ListType:
		n.list = true
		// The group between a list and its elements is not part of the data, but for files of old writers, who called it
		// so or gave it several fields.
		name := c.Columns()[0].Name()
		if len(inner.children) == 1 && name != "array" && name != c.Name()+"_tuple" {
			element := *inner.children[0]
			n.children = []*nested{{leaf: inner.leaf, leaves: inner.leaves, definition: inner.definition, repetition: inner.repetition, repeated: true, list: true, children: []*nested{&element}}}
		}
	case *format.MapType:
		if len(inner.children) == 2 && inner.children[0].write != nil {
			n.dictionary = true
		}
	}
	return n, nil
}

// isTime tells whether what is at a path inside is a time by its type: names, and [] for the elements of a list or the values
// of a map.
func (n *nested) isTime(path []string) bool {
	if n.repeated {
		if len(path) == 0 || path[0] != "[]" {
			return false
		}
		path = path[1:]
	}
	switch {
	case n.write != nil:
		return n.time && len(path) == 0
	case n.dictionary:
		return len(path) > 0 && path[0] == "[]" && n.children[0].children[1].isTime(path[1:])
	case n.list:
		return n.children[0].isTime(path)
	case len(path) == 0:
		return false
	}
	key := string(appendJSONString(nil, []byte(path[0]))) + ":"
	i := slices.IndexFunc(n.children, func(child *nested) bool { return string(child.key) == key })
	return i >= 0 && n.children[i].isTime(path[1:])
}

// assembly puts nested values of a row together.
type assembly struct {
	row     parquet.Row
	at      []int // of each leaf: where its next value is in the row
	scratch []byte
	bad     error // why the row is none
}

// start takes a row, whose values are in the order of the leaves.
func (a *assembly) start(row parquet.Row, leaves int) {
	if len(a.at) < leaves {
		a.at = make([]int, leaves)
	}
	for i := range a.at {
		a.at[i] = len(row)
	}
	a.row = row
	for i := len(row) - 1; i >= 0; i-- {
		if c := row[i].Column(); c >= 0 && c < len(a.at) {
			a.at[c] = i
		}
	}
}

// peek gives the next value of a leaf; there is none behind its last.
func (a *assembly) peek(leaf int) (parquet.Value, bool) {
	if i := a.at[leaf]; i < len(a.row) && a.row[i].Column() == leaf {
		return a.row[i], true
	}
	return parquet.Value{}, false
}

// pass passes the one value that each leaf of n has where n is null or empty.
func (a *assembly) pass(n *nested) {
	for leaf := n.leaf; leaf < n.leaf+n.leaves; leaf++ {
		a.at[leaf]++
	}
}

// value appends the JSON of a column or field; of one that is null, null.
func (a *assembly) value(dst []byte, n *nested) []byte {
	first, ok := a.peek(n.leaf)
	switch {
	case !ok:
		return append(dst, "null"...) // the file is damaged
	case n.repeated:
		return a.elements(dst, n, '[', ']', a.content)
	case n.optional && first.DefinitionLevel() < n.definition:
		a.pass(n)
		return append(dst, "null"...)
	}
	return a.content(dst, n)
}

// elements appends each of what is repeated, between brackets.
func (a *assembly) elements(dst []byte, n *nested, from, to byte, one func([]byte, *nested) []byte) []byte {
	dst = append(dst, from)
	first, _ := a.peek(n.leaf)
	if first.DefinitionLevel() < n.definition {
		a.pass(n)
		return append(dst, to)
	}
	for {
		dst = one(dst, n)
		next, ok := a.peek(n.leaf)
		if !ok || next.RepetitionLevel() != n.repetition {
			return append(dst, to)
		}
		dst = append(dst, ',')
	}
}

// content appends what is there.
func (a *assembly) content(dst []byte, n *nested) []byte {
	switch {
	case n.write != nil:
		return a.leafValue(dst, n)
	case n.dictionary:
		return a.elements(dst, n.children[0], '{', '}', a.entry)
	case n.list:
		return a.value(dst, n.children[0])
	}
	dst = append(dst, '{')
	for i, child := range n.children {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, child.key...)
		dst = a.value(dst, child)
	}
	return append(dst, '}')
}

// entry appends a key and its value.
func (a *assembly) entry(dst []byte, n *nested) []byte {
	start := len(dst)
	if dst = a.value(dst, n.children[0]); dst[start] != '"' {
		a.scratch = append(a.scratch[:0], dst[start:]...)
		dst = appendJSONString(dst[:start], a.scratch)
	}
	return a.value(append(dst, ':'), n.children[1])
}

func (a *assembly) leafValue(dst []byte, n *nested) []byte {
	value, ok := a.peek(n.leaf)
	if !ok {
		return append(dst, "null"...)
	}
	a.at[n.leaf]++
	if value.IsNull() {
		return append(dst, "null"...)
	}
	start := len(dst)
	dst, kind := n.write(dst, value)
	switch kind {
	case scan.Null:
		return append(dst[:start], "null"...)
	case scan.String:
		if n.text && a.bad == nil {
			a.bad = textOf(n.name, dst[start+1:len(dst)-1])
		}
		a.scratch = append(a.scratch[:0], dst[start+1:len(dst)-1]...)
		return appendJSONString(dst[:start], a.scratch)
	}
	return dst
}

// appendJSONString appends a text as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendJSONString(dst, s []byte) []byte {
	const hex = "0123456789abcdef"
	if !utf8.Valid(s) {
		s = bytes.ToValidUTF8(s, []byte("\ufffd"))
	}
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
