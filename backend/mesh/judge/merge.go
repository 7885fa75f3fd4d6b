package judge

// Part is what one judge counted since it was last taken: the rows of one block of a file.
type Part struct{ sheet sheet }

// Take hands over what was counted and starts anew on an empty part, which may be one that was merged before. Only for
// judges without a window.
func (j *Judge) Take(spare *Part) *Part {
	if spare == nil {
		spare = &Part{}
	} else {
		spare.sheet.forget()
	}
	spare.sheet.grow(j)
	part := &Part{}
	part.sheet, j.ring.sheets[0] = j.ring.sheets[0], spare.sheet
	j.sheet = &j.ring.sheets[0]
	return part
}

// Rows is the number of rows of the part, undecodable ones included.
func (p *Part) Rows() int64 { return p.sheet.rows + p.sheet.undecodable }

// Merge adds a part that a judge of the same contract and columns counted, start being the place of the row before its
// first. Parts are merged in the order of the file.
func (j *Judge) Merge(p *Part, start Where) {
	base := start.Offset
	t, s := &j.ring.sheets[0], &p.sheet
	t.grow(j)
	t.rows += s.rows
	t.undecodable += s.undecodable
	t.garbage.merge(&s.garbage, base)
	for i := range s.columns {
		t.columns[i].present += s.columns[i].present
		t.columns[i].nonNull += s.columns[i].nonNull
		t.columns[i].nulls.merge(&s.columns[i].nulls, base)
	}
	for i := range s.checks {
		t.checks[i].merge(&s.checks[i], base)
	}
	for i := range j.checks {
		c := &j.checks[i]
		if c.dups < 0 || c.why != "" {
			continue
		}
		t.judged[c.dups] += s.judged[c.dups]
		for k, h := range s.hashes[c.dups] {
			at := Where{Partition: start.Partition, Offset: base + int64(s.rowsOf[c.dups][k]), At: start.At}
			if !j.distincts[c.dups].add(h, at) {
				continue
			}
			f := &t.checks[i]
			if f.count++; f.count == 1 {
				f.first = at
			}
			f.last = at
			if len(f.samples) < KeepSamples {
				f.samples = append(f.samples, Sample{Where: at})
			}
		}
	}
}

// Absorb takes over the times another judge saw.
func (j *Judge) Absorb(o *Judge) {
	j.arrived = max(j.arrived, o.arrived)
	for i, t := range o.newest {
		j.newest[i] = max(j.newest[i], t)
	}
	j.excess += o.excess
}
