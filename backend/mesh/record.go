package mesh

import (
	"context"
	"strings"
	"sync"
	"time"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/judge"
	"weir/backend/safetext"
)

// RecordFault is a rule of a product that one record breaks by itself.
type RecordFault struct {
	Product   safetext.Text // domain/name
	Rule      safetext.Text // as the contract calls it
	Column    safetext.Text
	What      safetext.Text // such as "null" or "not of type integer"
	Tolerated safetext.Text // how many such rows the product puts up with; empty: none
	Severity  string        // error, warning or info
}

// JudgeRecord judges one record of a topic by the products that topic feeds, as of when it arrived: which they are, and
// which of their rules the record breaks. A product whose schema registry does not answer before ctx ends is left out.
func (e *Engine) JudgeRecord(ctx context.Context, topic string, record []byte, arrived time.Time) (by []safetext.Text, faults []RecordFault) {
	for _, p := range e.sorted() {
		product := p.fedBy(topic)
		if product == nil {
			continue
		}
		name := safetext.Clean(p.key)
		values := e.values(ctx, nil, [][]byte{record}, nil) // nobody's feed waits for it
		if values == nil {
			continue
		}
		by = append(by, name)
		var found []judge.Fault
		err := values[0].err
		if err == nil {
			found, err = judge.Record(*product, values[0].json, arrived, e.columnsOf(p.key), values[0].times)
		}
		if err != nil {
			faults = append(faults, RecordFault{Product: name, Rule: safetext.Clean("undecodable"), What: safetext.Error(err), Severity: string(contract.Warning)})
			continue
		}
		for _, f := range found {
			severity := f.Rule.Severity
			if severity == "" {
				severity = contract.Fatal
			}
			rule := f.Rule.Name
			if f.Rule.Label != "" {
				rule += " (" + f.Rule.Label + ")"
			}
			faults = append(faults, RecordFault{Product: name, Rule: safetext.Clean(rule), Column: safetext.Clean(f.Column),
				What: safetext.Clean(f.What), Tolerated: safetext.Clean(f.Tolerated), Severity: string(severity)})
		}
	}
	return by, faults
}

// columnsOf are the columns that the rows of a product's window have.
func (e *Engine) columnsOf(key string) (names []string) {
	s := e.Snapshot()
	for i := range s.Products {
		if p := &s.Products[i]; p.Domain.String()+"/"+p.Name.String() == key {
			for k := range p.Columns {
				if c := &p.Columns[k]; c.Nulls < c.Rows {
					names = append(names, c.Name.String())
				}
			}
		}
	}
	return names
}

// fedBy is the product if that topic feeds it, else nil.
func (p *live) fedBy(topic string) *DataProduct {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made == nil || p.made.Topic != topic && (p.made.Topic != "" || p.made.Name != topic) {
		return nil
	}
	return p.made
}

// Masks tells whether the values of a field are to be masked in what is shown of a topic's records: one of the products
// the topic feeds classifies a column of that name so, at whatever depth, or none knows it and its name tells.
func (e *Engine) Masks(topic, field string) bool {
	masked, known, version := e.masks.get(topic, field)
	if !known {
		masked = e.masksNow(topic, field)
		e.masks.put(topic, field, masked, version)
	}
	return masked
}

// maskCache remembers which fields are masked: names are looked at by a regular expression, and a record has many. It
// is safe for concurrent use.
type maskCache struct {
	mu      sync.Mutex
	version int // counts the changes of contracts
	masked  map[[2]string]bool
}

// maxMasks bounds the fields remembered: names come from records, and there is no end to them.
const maxMasks = 10_000

func (c *maskCache) get(topic, field string) (masked, known bool, version int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	masked, known = c.masked[[2]string{topic, field}]
	return masked, known, c.version
}

// put remembers what was found out when the contracts had that version.
func (c *maskCache) put(topic, field string, masked bool, version int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != version || len(field) > 256 {
		return
	}
	if c.masked == nil || len(c.masked) >= maxMasks {
		c.masked = map[[2]string]bool{}
	}
	c.masked[[2]string{strings.Clone(topic), strings.Clone(field)}] = masked
}

func (c *maskCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	c.masked = nil
}

func (e *Engine) masksNow(topic, field string) bool {
	declared := false
	for _, p := range e.sorted() {
		product := p.fedBy(topic)
		if product == nil {
			continue
		}
		known, masked := classified(product.Columns, field)
		if masked {
			return true
		}
		declared = declared || known
	}
	return !declared && MasksByName(field)
}

// MasksByName is what Masks says of a field that no contract classifies.
func MasksByName(field string) bool { return contract.Sensitive(field, "", nil) }

func classified(columns []contract.Column, field string) (known, masked bool) {
	for i := range columns {
		c := &columns[i]
		if c.Name == field {
			known = true
			masked = masked || contract.Sensitive(c.Name, c.Class, c.Tags) || c.Items != nil && contract.Sensitive("", c.Items.Class, c.Items.Tags)
		}
		for _, inner := range [][]contract.Column{c.Fields, items(c)} {
			k, m := classified(inner, field)
			known, masked = known || k, masked || m
		}
	}
	return known, masked
}

func items(c *contract.Column) []contract.Column {
	if c.Items == nil {
		return nil
	}
	return c.Items.Fields
}
