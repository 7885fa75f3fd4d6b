package judge

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/scan"
)

// mask stands for a value that is not shown.
const mask = "•••"

// render writes a short safe sample of the row at hand: the failing value, or, without one, the whole record, for a null
// that fails tells nothing.
func (j *Judge) render(slot int, value *Cell) string {
	switch {
	case value == nil:
		return j.renderRecord(sampleBytes)
	case value.Kind == scan.Absent:
		return ""
	case j.columns[slot].masked || j.hidesInside(value.shape()): // what stands beside it may be sensitive
		return fmt.Sprintf("%s (%s of %s)", mask, value.Kind, plural(int64(len(value.Text(&j.scratch))), "byte"))
	}
	return clip(string(value.Raw))
}

// whole is the record at hand, which a person looks at when its value has been seen. The findings of one record share it.
func (j *Judge) whole() string {
	if j.drawnRow != j.row {
		j.drawn, j.drawnRow = j.renderRecord(recordBytes), j.row
	}
	return j.drawn
}

// renderRecord writes the record at hand in n bytes or so, sensitive columns masked.
func (j *Judge) renderRecord(n int) string {
	var b strings.Builder
	b.WriteByte('{')
	add := func(name string, raw []byte, kind scan.Kind, masked bool) {
		if b.Len() > n {
			return
		}
		if b.Len() > 1 {
			b.WriteString(", ")
		}
		b.WriteString(name)
		b.WriteString(": ")
		switch {
		case kind <= scan.Null:
			b.WriteString("null")
		case masked:
			b.WriteString(mask)
		default:
			b.WriteString(short(raw, n/5))
		}
	}
	if j.record == nil { // columnar
		for _, slot := range j.roots {
			if c, cell := &j.columns[slot], j.cell(slot); j.stamps[slot] == j.row {
				add(c.name, cell.Raw, cell.Kind, c.masked || j.hidesInside(cell.shape()))
			} else if j.sheet.columns[slot].present > 0 {
				add(c.name, nil, scan.Null, false)
			}
		}
	} else {
		for i := range j.spans {
			s := &j.spans[i]
			key := j.scanner(0).Key(s)
			masked := s.Tag >= 0 && j.columns[s.Tag].masked || s.Tag < 0 && contract.Sensitive(string(key), "", nil)
			add(short(key, 60), j.record[s.From:s.To], s.Kind, masked || j.hidesInside(s.Kind))
		}
	}
	b.WriteByte('}')
	return short([]byte(b.String()), n)
}

// hidesInside tells whether an object or array may hold sensitive fields: a sample is short and safe, so the inside of
// a value is only shown when masking is off.
func (j *Judge) hidesInside(kind scan.Kind) bool {
	return !j.options.Unmasked && (kind == scan.Object || kind == scan.Array)
}

func clip(s string) string { return short([]byte(s), sampleBytes) }

// short is b cut at a whole character.
func short(b []byte, n int) string {
	if len(b) <= n {
		return string(b)
	}
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return string(b[:n]) + "…"
}
