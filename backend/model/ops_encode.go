package model

import (
	"fmt"
	"math"
)

// Operators of ai.onnx.ml that prepare features: filling gaps, encoding categories, picking columns.

var encodeOperators = map[string]builder{
	"ArrayFeatureExtractor": buildArrayFeatureExtractor,
	"CategoryMapper":        buildCategoryMapper,
	"FeatureVectorizer":     buildFeatureVectorizer,
	"Imputer":               buildImputer,
	"LabelEncoder":          buildLabelEncoder,
	"OneHotEncoder":         buildOneHotEncoder,
}

// buildArrayFeatureExtractor picks columns by number.
func buildArrayFeatureExtractor(*compiler, *nodeProto, *attributes) (kernel, error) {
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		index, err := numeric(in, 1)
		if err != nil {
			return err
		}
		if x.shape.rank == 0 {
			return fmt.Errorf("expected rows of features, found one value")
		}
		columns := x.shape.dims[x.shape.rank-1]
		s := x.shape
		if s.rank == 1 {
			s = shapeOf(1, columns)
		}
		s.dims[s.rank-1] = len(index.num)
		if err := resetLike(out[0], x, s); err != nil {
			return err
		}
		if columns == 0 {
			return nil
		}
		rows := x.len() / columns
		for i, v := range index.num {
			c, err := position(v, columns)
			if err != nil {
				return err
			}
			for r := range rows {
				copyValue(out[0], r*len(index.num)+i, x, r*columns+c)
			}
		}
		return nil
	}, nil
}

// buildImputer replaces one value, usually NaN, by another a column.
func buildImputer(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	fill, missing := a.floats("imputed_value_floats"), a.float("replaced_value_float", 0)
	if ints := a.ints("imputed_value_int64s"); len(ints) > 0 {
		fill, missing = intTensor(ints).num, float64(a.int("replaced_value_int64", 0))
	}
	a.ignore("replaced_value_int64")
	if len(fill) == 0 {
		return nil, fmt.Errorf("%w: an imputer without values", ErrUnsupported)
	}
	return func(_ *machine, in, out []*tensor) error {
		x, err := numeric(in, 0)
		if err != nil {
			return err
		}
		columns := 1
		if x.shape.rank > 0 {
			columns = x.shape.dims[x.shape.rank-1]
		}
		if len(fill) > 1 && len(fill) != columns {
			return fmt.Errorf("expected %d features, found %d", len(fill), columns)
		}
		if err := out[0].reset(x.elem, x.shape); err != nil {
			return err
		}
		for i, v := range x.num {
			if v == missing || v != v && missing != missing {
				v = perColumn(fill, i%columns, 0)
			}
			out[0].num[i] = v
		}
		return nil
	}, nil
}

// buildOneHotEncoder adds a dimension with a 1 where the value is the category. A category it does not know is all
// zeros, or where the file forbids that makes the row one that cannot be scored.
func buildOneHotEncoder(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	ints, text, zeros := a.ints("cats_int64s"), a.strings("cats_strings"), a.int("zeros", 1) != 0
	byNumber, byText := map[float64]int{}, map[string]int{}
	for i, v := range ints {
		byNumber[float64(v)] = i
	}
	for i, s := range text {
		byText[s] = i
	}
	count := max(len(ints), len(text))
	if count == 0 {
		return nil, fmt.Errorf("%w: an encoder without categories", ErrUnsupported)
	}
	return func(m *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		if x.isText() != (text != nil) {
			return fmt.Errorf("expected categories as %s, found %s", kindOf(Column{IsText: text != nil}), x.elem)
		}
		if x.shape.rank == maxDims {
			return fmt.Errorf("shape %v has too many dimensions", x.shape)
		}
		if err := out[0].reset(elemFloat, x.shape.with(count)); err != nil {
			return err
		}
		clear(out[0].num)
		rows, _ := x.shape.matrix()
		if x.shape.rank == 1 {
			rows = x.len()
		}
		for i := range x.len() {
			var at int
			var known bool
			if x.isText() {
				at, known = byText[x.text[i]]
			} else {
				at, known = byNumber[math.Trunc(x.num[i])]
			}
			switch {
			case known:
				out[0].num[i*count+at] = 1
			case !zeros:
				m.markBad(i / (x.len() / rows))
			}
		}
		return nil
	}, nil
}

// category is a key or value of an encoder: a string or a number.
type category struct {
	text   string
	number float64
}

// buildLabelEncoder maps keys to values, either of them strings or numbers.
func buildLabelEncoder(c *compiler, n *nodeProto, a *attributes) (kernel, error) {
	if old := a.strings("classes_strings"); old != nil {
		fallbackText, fallbackInt := a.string("default_string", "_Unused"), a.int("default_int64", -1)
		return mapBothWays(old, nil, fallbackText, float64(fallbackInt)), nil
	}
	keys, _, err := a.categories("keys")
	if err != nil {
		return nil, err
	}
	values, elem, err := a.categories("values")
	if err != nil {
		return nil, err
	}
	if len(keys) != len(values) {
		return nil, fmt.Errorf("%d keys for %d values", len(keys), len(values))
	}
	fallback := a.defaultCategory(elem)
	table := make(map[category]category, len(keys))
	var nan *category
	for i, k := range keys {
		if k.number != k.number {
			nan = &values[i]
			continue
		}
		if _, twice := table[k]; !twice {
			table[k] = values[i]
		}
	}
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		return encode(x, out[0], elem, func(k category) category {
			if k.number != k.number && nan != nil {
				return *nan
			}
			if v, ok := table[k]; ok {
				return v
			}
			return fallback
		})
	}, nil
}

// encode maps each of x's values. Floats are compared as float32, as the keys are kept.
func encode(x, out *tensor, elem elemType, do func(category) category) error {
	var err error
	if elem == elemString {
		err = out.resetText(x.shape)
	} else {
		err = out.reset(elem, x.shape)
	}
	if err != nil {
		return err
	}
	for i := range x.len() {
		var k category
		switch {
		case x.isText():
			k.text = x.text[i]
		case x.elem == elemFloat:
			k.number = round32(x.num[i])
		default:
			k.number = x.num[i]
		}
		v := do(k)
		if elem == elemString {
			out.text[i] = v.text
		} else {
			out.num[i] = v.number
		}
	}
	return nil
}

// categories reads prefix_strings, prefix_int64s, prefix_floats or prefix_tensor.
func (a *attributes) categories(prefix string) ([]category, elemType, error) {
	t := a.tensor(prefix + "_tensor")
	switch {
	case t != nil:
	case a.has(prefix + "_strings"):
		text := a.strings(prefix + "_strings")
		t = &tensor{elem: elemString, text: text}
	case a.has(prefix + "_int64s"):
		t = intTensor(a.ints(prefix + "_int64s"))
	case a.has(prefix + "_floats"):
		t = &tensor{elem: elemFloat, num: a.floats(prefix + "_floats")}
	default:
		return nil, elemNone, fmt.Errorf("%w: an encoder without %s", ErrUnsupported, prefix)
	}
	list := make([]category, t.len())
	for i := range list {
		if t.isText() {
			list[i].text = t.text[i]
		} else {
			list[i].number = t.num[i]
		}
	}
	return list, t.elem, nil
}

// defaultCategory is what an unknown key becomes.
func (a *attributes) defaultCategory(elem elemType) category {
	a.ignore("default_string", "default_int64", "default_float", "default_tensor")
	if t := a.tensor("default_tensor"); t != nil && t.len() == 1 {
		if t.isText() {
			return category{text: t.text[0]}
		}
		return category{number: t.num[0]}
	}
	switch {
	case elem == elemString:
		return category{text: a.string("default_string", "_Unused")}
	case elem.isFloat():
		return category{number: a.float("default_float", 0)}
	}
	return category{number: float64(a.int("default_int64", -1))}
}

// mapBothWays maps strings to numbers and numbers to strings, by which it is given; without numbers they are positions.
func mapBothWays(text []string, ints []int64, fallbackText string, fallbackInt float64) kernel {
	toNumber, toText := map[string]float64{}, map[float64]string{}
	for i, s := range text {
		n := float64(i)
		if ints != nil {
			n = float64(ints[i])
		}
		toNumber[s], toText[n] = n, s
	}
	return func(_ *machine, in, out []*tensor) error {
		x, err := present(in, 0)
		if err != nil {
			return err
		}
		if x.isText() {
			return encode(x, out[0], elemInt64, func(k category) category {
				if n, ok := toNumber[k.text]; ok {
					return category{number: n}
				}
				return category{number: fallbackInt}
			})
		}
		return encode(x, out[0], elemString, func(k category) category {
			if s, ok := toText[k.number]; ok {
				return category{text: s}
			}
			return category{text: fallbackText}
		})
	}
}

func buildCategoryMapper(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	text, ints := a.strings("cats_strings"), a.ints("cats_int64s")
	if len(text) != len(ints) {
		return nil, fmt.Errorf("%d cats_strings for %d cats_int64s", len(text), len(ints))
	}
	return mapBothWays(text, ints, a.string("default_string", "_Unused"), float64(a.int("default_int64", -1))), nil
}

// buildFeatureVectorizer puts columns beside each other; each input is cut or filled with zeros to its stated width.
func buildFeatureVectorizer(_ *compiler, n *nodeProto, a *attributes) (kernel, error) {
	widths := a.ints("inputdimensions")
	if len(widths) != 0 && len(widths) != len(n.inputs) {
		return nil, fmt.Errorf("%d inputdimensions for %d inputs", len(widths), len(n.inputs))
	}
	for _, w := range widths {
		if w < 0 || w > maxColumns {
			return nil, fmt.Errorf("an input dimension of %d", w)
		}
	}
	return func(_ *machine, in, out []*tensor) error {
		total, rows := 0, 0
		width := func(i int) int {
			if len(widths) > 0 {
				return int(widths[i])
			}
			_, w := in[i].shape.matrix()
			return w
		}
		for i := range in {
			x, err := numeric(in, i)
			if err != nil {
				return err
			}
			n, _ := x.shape.matrix()
			if i > 0 && n != rows {
				return fmt.Errorf("inputs of %d and %d rows", rows, n)
			}
			rows, total = n, total+width(i)
		}
		if err := out[0].reset(elemFloat, shapeOf(rows, total)); err != nil {
			return err
		}
		clear(out[0].num)
		at := 0
		for i, x := range in {
			_, w := x.shape.matrix()
			for r := range rows {
				copy(out[0].num[r*total+at:r*total+at+width(i)], x.num[r*w:(r+1)*w])
			}
			at += width(i)
		}
		return nil
	}, nil
}
