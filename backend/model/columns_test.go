package model

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestColumns(t *testing.T) {
	names := []string{"user:age", "user:city", "user:rate"}
	number, text := Input{Type: "float"}, Input{Type: "string", IsText: true}
	with := func(in Input, name string, width int) Input {
		in.Name, in.Width = name, width
		return in
	}
	for name, c := range map[string]struct {
		inputs []Input
		want   []bool
	}{
		"one wide input":                {[]Input{with(number, "X", 3)}, []bool{false, false, false}},
		"one open input of text":        {[]Input{with(text, "X", 0)}, []bool{true, true, true}},
		"one input a name":              {[]Input{with(text, "user__city", 1), with(number, "user__age", 1), with(number, "rate", 1)}, []bool{false, true, false}},
		"numbers, then text":            {[]Input{with(number, "numbers", 2), with(text, "texts", 1)}, []bool{false, false, true}},
		"a name, and the rest by place": {[]Input{with(number, "others", 2), with(text, "user_city", 1)}, []bool{false, true, false}},
		"no input":                      {nil, []bool{false, false, false}},
		"too many inputs":               {[]Input{with(number, "a", 4), with(text, "b", 9)}, []bool{false, false, false}},
	} {
		columns := Columns(names, c.inputs)
		got := make([]bool, len(columns))
		for i, column := range columns {
			got[i] = column.IsText
			if column.Name != names[i] {
				t.Errorf("%s: column %d is %s", name, i, column.Name)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
