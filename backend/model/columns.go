package model

// Columns says which of the features a model wants as text, for Bind: by the name of the input one column wide where
// the names agree, else by position, in the order of the inputs. The configuration cannot tell; the model does.
func Columns(names []string, inputs []Input) []Column {
	columns := make([]Column, len(names))
	for i, name := range names {
		columns[i].Name = name
	}
	taken := make([]bool, len(names))
	var wide []Input
	for _, in := range inputs {
		if in.Width == 1 && len(inputs) > 1 {
			if c, err := columnNamed(in.Name, columns); err == nil && !taken[c] {
				columns[c].IsText, taken[c] = in.IsText, true
				continue
			}
		}
		wide = append(wide, in)
	}
	next := 0
	for n, in := range wide {
		for width := 0; next < len(names); next++ {
			if taken[next] {
				continue
			}
			if last := n == len(wide)-1; !last && in.Width > 0 && width == in.Width {
				break // the next input takes the rest
			}
			columns[next].IsText = in.IsText
			width++
		}
	}
	return columns
}
