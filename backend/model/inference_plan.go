package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"weir/backend/jsonlex"
)

// inferencePlan is how frames become requests to one model, and its answers probabilities.
type inferencePlan struct {
	inputs        []plannedInput
	frame         bool   // the columns make a data frame: MLServer's content type pd
	output        string // asked for by name
	numbers, text bool   // what the frame must hold
}

type plannedInput struct {
	name, datatype string
	columns        []int
	flat           bool // [N] rather than [N, k]
}

// probabilityNames are the outputs that classifiers are served with, best first.
var probabilityNames = []string{"predict_proba", "probabilities", "output_probability", "probability", "proba", "scores"}

// datatypes are those that features can be sent as.
var datatypes = []string{"FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL", "BYTES"}

// planInference fits the columns to what the server tells of its model. MLServer tells nothing unless its settings
// do: then numbers go as one tensor of doubles, and columns of which some are text as a data frame.
func planInference(told *inferenceMetadata, columns []Column, cfg InferenceConfig) (*inferencePlan, error) {
	p := &inferencePlan{output: cfg.Output}
	anyText := slices.ContainsFunc(columns, func(c Column) bool { return c.IsText })
	p.text, p.numbers = anyText, slices.ContainsFunc(columns, func(c Column) bool { return !c.IsText })
	switch {
	case len(told.Inputs) > 0:
		if err := p.bind(told.Inputs, columns); err != nil {
			return nil, err
		}
		// MLServer, which names no platform, would else look at the first input only; others have no use for it.
		p.frame = len(p.inputs) > 1 && told.Platform == ""
	case anyText:
		p.frame = true
		for i, c := range columns {
			in := plannedInput{name: c.Name, datatype: "FP64", columns: []int{i}}
			if c.IsText {
				in.datatype = "BYTES"
			}
			p.inputs = append(p.inputs, in)
		}
	default:
		in := plannedInput{name: "predict", datatype: "FP64"}
		for i := range columns {
			in.columns = append(in.columns, i)
		}
		p.inputs = []plannedInput{in}
	}
	return p, p.chooseOutput(told.Outputs)
}

// bind matches the columns with the inputs by the rules that hold for ONNX files too.
func (p *inferencePlan) bind(inputs []tensorOutline, columns []Column) error {
	values := make([]valueProto, len(inputs))
	for i, in := range inputs {
		if !slices.Contains(datatypes, in.Datatype) {
			return fmt.Errorf("%w: the input %s has the datatype %q", ErrColumns, in.Name, in.Datatype)
		}
		values[i] = valueProto{name: in.Name, elem: elemDouble, ranked: true}
		if in.isText() {
			values[i].elem = elemString
		}
		for _, d := range in.Shape {
			if d < 1 || d > maxColumns {
				d = -1
			}
			values[i].shape = append(values[i].shape, int(d))
		}
	}
	feeds, err := bindColumns(values, columns)
	if err != nil {
		return err
	}
	for i, f := range feeds {
		p.inputs = append(p.inputs, plannedInput{inputs[i].Name, inputs[i].Datatype, f.columns, f.flat})
	}
	return nil
}

// chooseOutput settles which output holds the probabilities. A server that does not tell its outputs is asked for
// predict_proba, as MLServer wants it for scikit-learn.
func (p *inferencePlan) chooseOutput(outputs []tensorOutline) error {
	if p.output != "" {
		return nil
	}
	var numeric []string
	for _, name := range probabilityNames {
		for _, o := range outputs {
			if o.Name == name {
				p.output = name
				return nil
			}
		}
	}
	for _, o := range outputs {
		if o.Datatype == "FP32" || o.Datatype == "FP64" {
			numeric = append(numeric, o.Name)
		}
	}
	switch {
	case len(numeric) == 1:
		p.output = numeric[0]
	case len(numeric) > 1:
		return fmt.Errorf("%w: expected an output named predict_proba or probabilities, found %q; name the one to use", ErrColumns, numeric)
	default:
		p.output = probabilityNames[0]
	}
	return nil
}

// canSend tells whether every number of a row can be written as JSON and as its input's datatype.
func (p *inferencePlan) canSend(frame *Frame, row int) bool {
	width := len(frame.Columns)
	for i := range p.inputs {
		in := &p.inputs[i]
		if in.datatype == "BYTES" {
			continue
		}
		whole := in.datatype != "FP32" && in.datatype != "FP64" && in.datatype != "BOOL"
		for _, c := range in.columns {
			v := frame.Numbers[row*width+c]
			if math.IsNaN(v) || math.IsInf(v, 0) || whole && (v != math.Trunc(v) || math.Abs(v) > 1<<53) ||
				in.datatype == "FP32" && math.Abs(v) > math.MaxFloat32 {
				return false
			}
		}
	}
	return true
}

// encode appends the request that scores some rows of a frame.
func (p *inferencePlan) encode(b []byte, frame *Frame, rows []int) []byte {
	b = append(b, '{')
	if p.frame {
		b = append(b, `"parameters":{"content_type":"pd"},`...)
	}
	b = append(b, `"inputs":[`...)
	for i := range p.inputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.inputs[i].encode(b, frame, rows)
	}
	b = append(b, `],"outputs":[{"name":`...)
	b = appendJSONString(b, p.output)
	return append(b, `}]}`...)
}

func (in *plannedInput) encode(b []byte, frame *Frame, rows []int) []byte {
	b = append(b, `{"name":`...)
	b = appendJSONString(b, in.name)
	b = append(b, `,"shape":[`...)
	b = strconv.AppendInt(b, int64(len(rows)), 10)
	if !in.flat {
		b = append(b, ',')
		b = strconv.AppendInt(b, int64(len(in.columns)), 10)
	}
	b = append(b, `],"datatype":"`...)
	b = append(b, in.datatype...)
	if in.datatype == "BYTES" {
		b = append(b, `","parameters":{"content_type":"str"},"data":[`...)
	} else {
		b = append(b, `","data":[`...)
	}
	width := len(frame.Columns)
	for i, r := range rows {
		for j, c := range in.columns {
			if i+j > 0 {
				b = append(b, ',')
			}
			if in.datatype == "BYTES" {
				b = appendJSONString(b, frame.Strings[r*width+c])
			} else {
				b = in.appendNumber(b, frame.Numbers[r*width+c])
			}
		}
	}
	return append(b, `]}`...)
}

func (in *plannedInput) appendNumber(b []byte, v float64) []byte {
	switch in.datatype {
	case "FP64":
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case "FP32":
		return strconv.AppendFloat(b, v, 'g', -1, 32)
	case "BOOL":
		return strconv.AppendBool(b, v != 0)
	}
	return strconv.AppendInt(b, int64(v), 10)
}

// appendJSONString quotes a string; what is not UTF-8 in it becomes U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // no string fails to marshal
		return append(b, `""`...)
	}
	return append(b, quoted...)
}

// inferAnswer is the answer to an infer request.
type inferAnswer struct {
	ModelVersion any `json:"model_version"` // a string, says the protocol
	Outputs      []struct {
		Name     string          `json:"name"`
		Shape    []int64         `json:"shape"`
		Datatype string          `json:"datatype"`
		Data     json.RawMessage `json:"data"`
	} `json:"outputs"`
}

// decode takes the probabilities of the rows out of an answer: of [N, 2] the second column, of [N] and [N, 1] the only
// one. It gives the version of the model that the answer tells, empty where it does not.
func (p *inferencePlan) decode(body []byte, rows []int, out []float64) (revision string, err error) {
	var a inferAnswer
	err = json.Unmarshal(body, &a)
	if err != nil && json.Unmarshal(nullForNaN(body), &a) == nil {
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("%w: expected JSON with outputs, found %s (%w)", ErrInference, shown(body), err)
	}
	var names []string
	at := -1
	for i := range a.Outputs {
		names = append(names, a.Outputs[i].Name)
		if a.Outputs[i].Name == p.output {
			at = i
		}
	}
	if at < 0 {
		return "", fmt.Errorf("%w: expected the output %s, found %q", ErrInference, p.output, names)
	}
	o := &a.Outputs[at]
	if o.Datatype != "FP32" && o.Datatype != "FP64" {
		return "", fmt.Errorf("%w: expected the output %s to hold FP32 or FP64, found %q", ErrInference, o.Name, o.Datatype)
	}
	columns := int64(1)
	if len(o.Shape) == 2 {
		columns = o.Shape[1]
	}
	if columns > 2 && columns <= maxColumns {
		return "", fmt.Errorf("%w: %w", ErrInference, tooManyClasses(int(columns)))
	}
	if len(o.Shape) < 1 || len(o.Shape) > 2 || o.Shape[0] != int64(len(rows)) || columns < 1 || columns > maxColumns {
		return "", fmt.Errorf("%w: expected the output %s to have the shape [%d, 2], found %v", ErrInference, o.Name, len(rows), o.Shape)
	}
	values, err := flatNumbers(o.Data, len(rows)*int(columns))
	if err != nil {
		return "", fmt.Errorf("%w: output %s: %w", ErrInference, o.Name, err)
	}
	for i, r := range rows {
		out[r] = values[i*int(columns)+int(min(1, columns-1))]
	}
	return versionText(a.ModelVersion), nil
}

// nullForNaN is JSON with null in place of the NaN and Infinity that servers in Python and C++ write, of a row whose
// score is none. JSON has neither.
func nullForNaN(body []byte) []byte {
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); {
		if body[i] == '"' {
			end := jsonlex.StringEnd(body, i)
			out, i = append(out, body[i:end]...), end
			continue
		}
		n := 0
		for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
			if bytes.HasPrefix(body[i:], []byte(word)) {
				n = len(word)
			}
		}
		if n > 0 {
			out, i = append(out, "null"...), i+n
			continue
		}
		out, i = append(out, body[i]), i+1
	}
	return out
}

// versionText is a reported version as text; empty where it is none.
func versionText(v any) string {
	switch v := v.(type) {
	case string:
		return v[:min(len(v), maxVersion)]
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return ""
}

// flatNumbers reads a JSON array of exactly want numbers, which may be nested by rows; null is NaN.
func flatNumbers(data []byte, want int) ([]float64, error) {
	values := make([]float64, 0, min(want, len(data)))
	depth := 0
	for i := 0; i < len(data); {
		switch data[i] {
		case '[':
			if depth++; depth > 2 {
				return nil, fmt.Errorf("expected rows of numbers, found a list %d deep", depth)
			}
			i++
		case ']':
			depth--
			i++
		case ',', ' ', '\n', '\t', '\r':
			i++
		default:
			end := i
			for end < len(data) && data[end] != ',' && data[end] != ']' && data[end] > ' ' {
				end++
			}
			v, err := strconv.ParseFloat(string(data[i:end]), 64)
			if string(data[i:end]) == "null" {
				v, err = math.NaN(), nil
			}
			if err != nil || depth == 0 {
				return nil, fmt.Errorf("expected numbers, found %s", shown(data[i:end]))
			}
			if len(values) == want {
				return nil, fmt.Errorf("expected %d numbers, found more", want)
			}
			values = append(values, v)
			i = end
		}
	}
	if len(values) != want {
		return nil, fmt.Errorf("expected %d numbers, found %d", want, len(values))
	}
	return values, nil
}
