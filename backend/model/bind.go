package model

import (
	"errors"
	"fmt"
	"strings"
)

// ErrColumns is wrapped by the error of a model whose inputs do not fit the configured columns.
var ErrColumns = errors.New("the model's inputs do not match the configured features")

// bindColumns decides which columns feed which input.
//
// An input one column wide is fed by the column of its name. What no name decides is fed in the configured order: one
// wide input of numbers takes the columns of numbers that are left, one of strings the columns of text.
func bindColumns(inputs []valueProto, columns []Column) ([]feed, error) {
	feeds := make([]feed, len(inputs))
	taken := make([]bool, len(columns))
	var wide []int
	for i, in := range inputs {
		feeds[i] = feed{slot: i, elem: in.elem, flat: in.ranked && len(in.shape) == 1}
		if in.width() != 1 || len(inputs) == 1 {
			wide = append(wide, i)
			continue
		}
		c, err := columnNamed(in.name, columns)
		if err != nil {
			return nil, mismatch(inputs, columns, err.Error())
		}
		if taken[c] {
			return nil, mismatch(inputs, columns, fmt.Sprintf("the column %s fits more than one input", columns[c].Name))
		}
		if columns[c].IsText != (in.elem == elemString) {
			return nil, mismatch(inputs, columns, fmt.Sprintf("the input %s is %s, the column %s is %s",
				in.name, in.elem, columns[c].Name, kindOf(columns[c])))
		}
		taken[c] = true
		feeds[i].columns = []int{c}
	}
	if err := bindWide(inputs, columns, feeds, wide, taken); err != nil {
		return nil, err
	}
	for c, used := range taken {
		if !used {
			return nil, mismatch(inputs, columns, fmt.Sprintf("no input takes the column %s", columns[c].Name))
		}
	}
	return feeds, nil
}

func bindWide(inputs []valueProto, columns []Column, feeds []feed, wide []int, taken []bool) error {
	for n, i := range wide {
		in := inputs[i]
		for c := range columns {
			if taken[c] || columns[c].IsText != (in.elem == elemString) {
				continue
			}
			if w := in.width(); w > 0 && len(feeds[i].columns) == w && n < len(wide)-1 {
				break // the next input of this kind takes the rest
			}
			feeds[i].columns = append(feeds[i].columns, c)
			taken[c] = true
		}
		if w, found := in.width(), len(feeds[i].columns); found == 0 || w > 0 && w != found {
			return mismatch(inputs, columns, fmt.Sprintf("the input %s takes %s, the features offer %s",
				in.name, countOf(w, in.elem == elemString), countOf(found, in.elem == elemString)))
		}
	}
	return nil
}

// columnNamed finds the column an input means: by its whole name, with view:feature, view__feature and
// view_feature read alike, else by the feature's name alone if that is unambiguous.
func columnNamed(input string, columns []Column) (int, error) {
	for c := range columns {
		if columns[c].Name == input {
			return c, nil
		}
	}
	for _, plain := range []func(string) string{wholeName, featureName} {
		found := -1
		for c := range columns {
			if plain(columns[c].Name) != plain(input) {
				continue
			}
			if found >= 0 {
				return 0, fmt.Errorf("the input %s could be %s or %s", input, columns[found].Name, columns[c].Name)
			}
			found = c
		}
		if found >= 0 {
			return found, nil
		}
	}
	return 0, fmt.Errorf("no column is named %s", input)
}

// wholeName writes view:feature and view__feature one way; exporters put _ for characters they do not like.
func wholeName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
}

func featureName(name string) string {
	if i := strings.LastIndex(name, ":"); i >= 0 {
		return wholeName(name[i+1:])
	}
	if i := strings.Index(name, "__"); i >= 0 {
		return wholeName(name[i+2:])
	}
	return wholeName(name)
}

func mismatch(inputs []valueProto, columns []Column, why string) error {
	return fmt.Errorf("%w: %s (the model wants %s; configured are %s)", ErrColumns, why, listInputs(inputs), listColumns(columns))
}

func listInputs(inputs []valueProto) string {
	var parts []string
	for _, in := range inputs {
		width := "N"
		if w := in.width(); w > 0 {
			width = fmt.Sprint(w)
		}
		parts = append(parts, fmt.Sprintf("%s %s[%s]", in.name, in.elem, width))
	}
	return strings.Join(parts, ", ")
}

func listColumns(columns []Column) string {
	var parts []string
	for _, c := range columns {
		parts = append(parts, c.Name+" "+kindOf(c))
	}
	if len(parts) == 0 {
		return "no columns"
	}
	return strings.Join(parts, ", ")
}

func kindOf(c Column) string {
	if c.IsText {
		return "text"
	}
	return "number"
}

func countOf(n int, isText bool) string {
	kind := "number"
	if isText {
		kind = "text"
	}
	switch n {
	case 0:
		return "no column of " + kind
	case 1:
		return "1 column of " + kind
	}
	return fmt.Sprintf("%d columns of %s", n, kind)
}
