package views

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// CopyText is what a reader takes along from a page: the row under the cursor, its columns apart by tabs, or the whole
// text.
func CopyText(p *Page, d *Drawn) string {
	if p.Table.Text != nil {
		return plainRows(append(append([]string(nil), p.Head...), p.Table.Text...))
	}
	if d.Places != nil {
		return d.Places.Text
	}
	if len(d.Keys) == 0 {
		return plainRows(p.Head)
	}
	key := d.Keys[min(max(d.Level.Index, 0), len(d.Keys)-1)]
	for i := range p.Table.Rows {
		if p.Table.Key(i) != key {
			continue
		}
		var cells []string
		for _, c := range p.Table.Columns {
			if _, text := c.Cell(i); c.Title != "" {
				cells = append(cells, text)
			}
		}
		return strings.Join(cells, "\t")
	}
	return ""
}

func plainRows(rows []string) string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = plainText(r)
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}

// Export writes all of a page's rows that pass the filter, in their order, as md, csv or json; a page of text is
// written as it is read.
func (s *Scene) Export(p Pane, page *Page, level Level, format string) (string, error) {
	t := &page.Table
	name := p.String()
	if len(page.Crumbs) > 0 {
		name += ", " + strings.Join(page.Crumbs, ", ")
	}
	if level.Section > 0 && level.Section < len(page.Sections) {
		name += ", " + page.Sections[level.Section]
	}
	var columns []Column
	for _, c := range t.Columns {
		if c.Title != "" {
			columns = append(columns, c)
		}
	}
	rows := [][]string{}
	if t.Text == nil && t.Columns != nil {
		if page.Area != nil {
			level = Level{} // it has passed the filter already
		}
		for _, i := range t.order(level) {
			row := make([]string, len(columns))
			for k, c := range columns {
				_, row[k] = c.Cell(i)
			}
			rows = append(rows, row)
		}
	}
	text := plainRows(append(append([]string(nil), page.Head...), t.Text...))
	at := s.Snap.At.UTC().Format(time.RFC3339)
	switch format {
	case "md":
		return markdown(name, at, level.Filter, columns, rows, text), nil
	case "csv":
		return asCSV(columns, rows, text)
	case "json":
		return asJSON(name, at, level.Filter, columns, rows, text)
	}
	return "", fmt.Errorf("export writes md, csv or json, not %q", format)
}

func markdown(name, at, filter string, columns []Column, rows [][]string, text string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\nweir, %s", name, at)
	if filter != "" {
		fmt.Fprintf(&b, ", filtered by `%s`", strings.ReplaceAll(filter, "`", "'"))
	}
	b.WriteString("\n\n")
	if text != "" {
		fence := "```"
		for strings.Contains(text, fence) {
			fence += "`"
		}
		fmt.Fprintf(&b, "%s\n%s\n%s\n", fence, text, fence)
	}
	if len(rows) == 0 {
		return b.String()
	}
	line := func(row []string) {
		for _, c := range row {
			b.WriteString("| " + strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ").Replace(c) + " ")
		}
		b.WriteString("|\n")
	}
	head, rule := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		head[i], rule[i] = strings.ToLower(c.Title), "---"
		if c.Right {
			rule[i] = "--:"
		}
	}
	if text != "" {
		b.WriteString("\n")
	}
	line(head)
	line(rule)
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

func asCSV(columns []Column, rows [][]string, text string) (string, error) {
	var b strings.Builder
	w := csv.NewWriter(&b)
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = strings.ToLower(c.Title)
	}
	all := append([][]string{head}, rows...)
	if len(columns) == 0 {
		all = [][]string{{"text"}}
		for line := range strings.Lines(text) {
			all = append(all, []string{strings.TrimRight(line, "\n")})
		}
	}
	for _, row := range all {
		for i, c := range row { // a spreadsheet takes these for formulas
			if c != "" && strings.ContainsRune("=+-@", rune(c[0])) && strings.Trim(c, "+-.,0123456789% pt") != "" {
				row[i] = "'" + c
			}
		}
		if err := w.Write(row); err != nil {
			return "", fmt.Errorf("csv: %w", err)
		}
	}
	w.Flush()
	return b.String(), w.Error()
}

func asJSON(name, at, filter string, columns []Column, rows [][]string, text string) (string, error) {
	type document struct {
		Pane   string              `json:"pane"`
		At     string              `json:"at"`
		Filter string              `json:"filter,omitempty"`
		Text   []string            `json:"text,omitempty"`
		Rows   []map[string]string `json:"rows"`
	}
	d := document{Pane: name, At: at, Filter: filter, Rows: []map[string]string{}}
	for _, r := range rows {
		row := map[string]string{}
		for i, c := range columns {
			row[strings.ToLower(c.Title)] = r[i]
		}
		d.Rows = append(d.Rows, row)
	}
	if text != "" {
		d.Text = strings.Split(text, "\n")
	}
	out, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return "", fmt.Errorf("json: %w", err)
	}
	return string(out) + "\n", nil
}

// Lines is a page's rows that pass the filter, each as one line: its columns by name, apart by commas.
func (p *Page) Lines(level Level) []string {
	if p.Table.Columns == nil {
		return nil
	}
	var out []string
	for _, i := range p.Table.order(level) {
		var parts []string
		for _, c := range p.Table.Columns {
			if _, text := c.Cell(i); c.Title != "" && strings.TrimSpace(text) != "" && text != "–" && !strings.HasSuffix(c.Title, "OVER TIME") {
				parts = append(parts, strings.ToLower(c.Title)+" "+text)
			}
		}
		out = append(out, strings.Join(parts, ", "))
	}
	return out
}
