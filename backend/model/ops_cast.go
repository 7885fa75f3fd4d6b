package model

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Operators that change the type of values.

var castOperators = map[string]builder{
	"Cast":     buildCast,
	"CastLike": buildCastLike,
}

func buildCast(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	to := elemType(a.int("to", 0))
	a.ignore("saturate")
	if !to.supported() {
		return nil, fmt.Errorf("%w: a cast to %s", ErrUnsupported, to)
	}
	return func(_ *machine, in, out []*tensor) error { return cast(in, out[0], to) }, nil
}

func buildCastLike(_ *compiler, _ *nodeProto, a *attributes) (kernel, error) {
	a.ignore("saturate")
	return func(_ *machine, in, out []*tensor) error {
		like, err := present(in, 1)
		if err != nil {
			return err
		}
		return cast(in, out[0], like.elem)
	}, nil
}

func cast(in []*tensor, out *tensor, to elemType) error {
	x, err := present(in, 0)
	switch {
	case err != nil:
		return err
	case x.elem == to && to != elemFloat:
		out.alias(x, x.shape)
		return nil
	case to == elemString:
		return castToText(x, out)
	case x.isText():
		return castFromText(x, out, to)
	}
	if err := out.reset(to, x.shape); err != nil {
		return err
	}
	for i, v := range x.num {
		out.num[i] = to.convert(v)
	}
	return nil
}

// convert brings a number into what the type can hold.
func (e elemType) convert(v float64) float64 {
	switch e {
	case elemFloat, elemFloat16:
		return round32(v)
	case elemDouble:
		return v
	case elemBool:
		return truth(v != 0)
	}
	return math.Trunc(v)
}

func castToText(x, out *tensor) error {
	if err := out.resetText(x.shape); err != nil {
		return err
	}
	for i, v := range x.num {
		out.text[i] = formatNumber(v, x.elem)
	}
	return nil
}

// castFromText makes numbers of strings; what is no number becomes NaN.
func castFromText(x, out *tensor, to elemType) error {
	text := x.text
	if err := out.reset(to, x.shape); err != nil {
		return err
	}
	for i, s := range text {
		out.num[i] = parseNumber(s)
	}
	return nil
}

// formatNumber writes a number as onnxruntime casts it to a string, which the exporters' encoders count on: eight
// digits at most, whatever the type.
func formatNumber(v float64, elem elemType) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "INF"
	case math.IsInf(v, -1):
		return "-INF"
	case !elem.isFloat():
		return strconv.FormatFloat(v, 'f', 0, 64)
	case elem == elemFloat:
		v = round32(v)
	}
	return strconv.FormatFloat(v, 'g', 8, 64)
}

// parseNumber reads what formatNumber writes; anything else is NaN.
func parseNumber(s string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil && !math.IsInf(v, 0) {
		return math.NaN()
	}
	return v
}
