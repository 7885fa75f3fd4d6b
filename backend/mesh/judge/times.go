package judge

// Times knows which of the data's values are times of a type of the data's own. Two that are equal say the same.
type Times interface {
	// IsTime tells so of the field at a path: names, and [] for the elements of an array or the values of a map.
	IsTime(path []string) bool
}

// Times tells what the rows that follow are made of; nil: of texts. Their own times are written in ISO 8601, whatever format
// the contract has for those that are texts.
func (j *Judge) Times(t Times) {
	if t == j.times {
		return
	}
	j.times = t
	for slot := range j.columns {
		if c := &j.columns[slot]; len(c.checks) > 0 {
			c.isTime = t != nil && t.IsTime(j.namesTo(slot))
		}
	}
}

// namesTo is the path of a column or field.
func (j *Judge) namesTo(slot int) []string {
	c := &j.columns[slot]
	if c.parent < 0 {
		return []string{c.name}
	}
	return append(j.namesTo(c.parent), c.name)
}
