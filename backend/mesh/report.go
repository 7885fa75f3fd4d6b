package mesh

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"time"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/judge"
	"weir/backend/safetext"
)

// Report is the judgement of files by a product's contract.
type Report struct {
	Product DataProduct
	Files   []FileReport
	judge.Outcome
	Took time.Duration
}

// The exit codes of weir validate.
const (
	ExitHolds   = 0
	ExitBroken  = 1
	ExitUnknown = 2 // a file was not read whole, there were no rows, or a rule could not be judged
)

// ExitCode is what the report comes to. A file that was not read whole makes it ExitUnknown, whatever else was found.
func (r Report) ExitCode() int {
	switch {
	case !r.Whole():
		return ExitUnknown
	case r.Broken():
		return ExitBroken
	case r.Rows == 0 || len(r.Unjudged()) > 0:
		return ExitUnknown
	}
	return ExitHolds
}

// Whole tells whether every file was read to its end and every record in it decoded.
func (r Report) Whole() bool {
	for _, f := range r.Files {
		if !f.Whole {
			return false
		}
	}
	return len(r.Files) > 0 && r.Undecodable == 0
}

// Unjudged are the checks that would break the contract but could not be judged.
func (r Report) Unjudged() []judge.Check {
	out := r.Outcome.Unjudged()
	if r.Watched < 1 {
		for _, c := range r.Checks {
			if c.Rule.Kind == contract.Duplicates && c.Status == judge.Passed && c.Rule.Breaks() {
				c.Why = fmt.Sprintf("only %s of the values were watched for duplicates", percent(r.Watched))
				out = append(out, c)
			}
		}
	}
	return out
}

func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 3, 64) + "%" }

// verdict is the report in one word.
func (r Report) verdict() string {
	switch {
	case !r.Whole():
		return "could not tell"
	case r.Broken():
		return verdictBroken
	case r.Rows == 0:
		return "no data"
	case len(r.Unjudged()) > 0:
		return "could not tell"
	}
	return verdictHolds
}

// The verdicts that are ones.
const (
	verdictHolds  = "holds"
	verdictBroken = "broken"
)

// Result is the article's result of a validation. What could not be told, for want of rows or because a file was not read
// whole, complies with nothing, and the last of the issues says why.
type Result struct {
	SchemaCompliance  bool     `json:"schema_compliance"`
	QualityCompliance bool     `json:"quality_compliance"`
	Issues            []string `json:"issues"`
}

// Result is the report in the article's shape: what breaks the contract, in the words of the article's function where it
// knows the rule.
func (r Report) Result() Result {
	out := Result{SchemaCompliance: r.Schema, QualityCompliance: r.Quality, Issues: []string{}}
	var missing []string
	for _, i := range r.Issues {
		if i.Breaks() && i.Rule.Kind == contract.Present {
			missing = append(missing, "'"+i.Column+"'")
		}
	}
	if len(missing) > 0 {
		sort.Strings(missing)
		out.Issues = append(out.Issues, "Missing columns: {"+strings.Join(missing, ", ")+"}")
	}
	for _, i := range r.Issues {
		switch {
		case !i.Breaks() || i.Rule.Kind == contract.Present:
		case i.Article != "":
			out.Issues = append(out.Issues, i.Article)
		default:
			out.Issues = append(out.Issues, i.Message)
		}
	}
	if v := r.verdict(); v != verdictHolds && v != verdictBroken {
		out.SchemaCompliance, out.QualityCompliance = false, false
		out.Issues = append(out.Issues, v+r.whyUnknown())
	}
	return out
}

// whyUnknown is what kept the report from a verdict, to stand behind it.
func (r Report) whyUnknown() string {
	for _, f := range r.Files {
		if f.Err != nil {
			return ": " + f.Err.Error() // which begins with the file
		}
	}
	switch {
	case r.Undecodable > 0:
		return fmt.Sprintf(": %d of %s could not be decoded", r.Undecodable, plural(int(r.Rows+r.Undecodable), "record"))
	case r.Rows == 0:
		return ": 0 rows"
	}
	for _, c := range r.Unjudged() {
		return fmt.Sprintf(": %s was not judged: %s", c.Rule.Name, c.Why)
	}
	return ""
}

// jsonReport is what WriteJSON writes: the article's three keys, then what weir knows besides.
type jsonReport struct {
	Result
	Product     string      `json:"product"`
	Owners      []string    `json:"owners"`
	Consumers   []string    `json:"consumers"`
	Verdict     string      `json:"verdict"`
	Rows        int64       `json:"rows"`
	Undecodable int64       `json:"undecodable"`
	Seconds     float64     `json:"seconds"`
	Files       []jsonFile  `json:"files"`
	Checks      []jsonCheck `json:"checks"`
	Evidence    []jsonIssue `json:"evidence"`
}

type jsonFile struct {
	Path   string `json:"path"`
	Format string `json:"format"`
	Rows   int64  `json:"rows"`
	Whole  bool   `json:"whole"`
	Error  string `json:"error,omitempty"`
}

type jsonCheck struct {
	Rule     string `json:"rule"`
	Label    string `json:"label,omitempty"`
	Column   string `json:"column,omitempty"`
	Severity string `json:"severity"`
	Status   string `json:"status"`
	Observed string `json:"observed,omitempty"`
	Failed   int64  `json:"failed"`
	Of       int64  `json:"of"`
	Why      string `json:"why,omitempty"`
}

type jsonIssue struct {
	Rule     string       `json:"rule"`
	Column   string       `json:"column,omitempty"`
	Severity string       `json:"severity"`
	Message  string       `json:"message"`
	Expected string       `json:"expected,omitempty"`
	Observed string       `json:"observed,omitempty"`
	Failed   int64        `json:"failed"`
	Of       int64        `json:"of"`
	First    *jsonPlace   `json:"first,omitempty"` // of the failing rows; absent where no row is to blame
	Last     *jsonPlace   `json:"last,omitempty"`
	Samples  []jsonSample `json:"samples"`
}

type jsonPlace struct {
	File string `json:"file"`
	Row  int64  `json:"row"`
}

type jsonSample struct {
	jsonPlace
	Value string `json:"value"`
}

// WriteJSON writes the report as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	out := jsonReport{
		Result: r.Result(), Product: r.Product.Key(), Owners: append([]string{}, r.Product.Owners...), Consumers: append([]string{}, r.Product.Consumers...), Verdict: r.verdict(), Rows: r.Rows, Undecodable: r.Undecodable,
		Seconds: r.Took.Seconds(), Files: []jsonFile{}, Checks: []jsonCheck{}, Evidence: []jsonIssue{},
	}
	for _, f := range r.Files {
		file := jsonFile{Path: f.Path, Format: f.Format, Rows: f.Rows, Whole: f.Whole}
		if f.Err != nil {
			file.Error = f.Err.Error()
		}
		out.Files = append(out.Files, file)
	}
	for _, c := range r.Checks {
		out.Checks = append(out.Checks, jsonCheck{
			Rule: c.Rule.Name, Label: c.Rule.Label, Column: c.Column, Severity: severityOf(c.Rule), Status: string(c.Status),
			Observed: c.Observed, Failed: c.Failed, Of: c.Of, Why: c.Why,
		})
	}
	for _, i := range r.Issues {
		issue := jsonIssue{
			Rule: i.Rule.Name, Column: i.Column, Severity: severityOf(i.Rule), Message: i.Message, Expected: i.Expected,
			Observed: i.Observed, Failed: i.Failed, Of: i.Of, Samples: []jsonSample{},
		}
		for _, s := range i.Samples {
			issue.Samples = append(issue.Samples, jsonSample{jsonPlace{r.fileOf(s.Where), s.Offset}, s.Value})
		}
		if i.First.Offset > 0 {
			issue.First, issue.Last = &jsonPlace{r.fileOf(i.First), i.First.Offset}, &jsonPlace{r.fileOf(i.Last), i.Last.Offset}
		}
		out.Evidence = append(out.Evidence, issue)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(out)
}

func severityOf(r contract.Rule) string {
	if r.Breaks() {
		return string(contract.Fatal)
	}
	return string(r.Severity)
}

// WriteText writes the report for people. Nothing in it can act on a terminal.
func (r Report) WriteText(w io.Writer) error {
	p := printer{w: w}
	mark := map[string]string{"holds": "✓", "broken": "✕", "no data": "–"}[r.verdict()]
	if mark == "" {
		mark = "?"
	}
	files := plural(len(r.Files), "file")
	if len(r.Files) == 1 {
		files = r.Files[0].Path
	}
	p.line("%s %s  %s   %s in %s, %s", mark, r.Product.Key(), r.verdict(), plural(int(r.Rows), "row"), files, r.Took.Round(time.Millisecond))
	for _, f := range r.Files {
		if f.Err != nil {
			p.line("  ? %s", strings.ReplaceAll(f.Err.Error(), "\n", "; "))
		}
	}
	for _, i := range r.Issues {
		sign := "!"
		if i.Breaks() {
			sign = "✕"
		}
		rule := i.Rule.Name
		if i.Rule.Label != "" {
			rule += ": " + i.Rule.Label
		}
		p.line("  %s %s   [%s]", sign, i.Message, rule)
		for _, s := range i.Samples {
			p.line("      %-12s %s", r.place(s.Where), s.Value)
		}
		if rest := i.Failed - int64(len(i.Samples)); rest > 0 && len(i.Samples) > 0 {
			p.line("      and %s more, the last at %s", grouped(rest), r.place(i.Last))
		}
	}
	for _, c := range r.Unjudged() {
		p.line("  ? %s was not judged: %s", c.Rule.Title(), c.Why)
	}
	counts := map[judge.Status]int{}
	for _, c := range r.Checks {
		counts[c.Status]++
	}
	p.line("  %s: %d passed, %d failed, %d not judged", plural(len(r.Checks), "check"), counts[judge.Passed], counts[judge.Failed], counts[judge.Skipped]+counts[judge.Unknown])
	if r.Broken() {
		p.line("  owners %s · consumers %s", orNobody(r.Product.Owners), orNobody(r.Product.Consumers))
	}
	return p.err
}

// fileOf is the file a row is of.
func (r Report) fileOf(w judge.Where) string {
	if i := int(-1 - w.Partition); i >= 0 && i < len(r.Files) {
		return r.Files[i].Path
	}
	return ""
}

// place is a row's number, with its file where there are several.
func (r Report) place(w judge.Where) string {
	if len(r.Files) < 2 {
		return fmt.Sprintf("row %d", w.Offset)
	}
	return fmt.Sprintf("%s row %d", r.fileOf(w), w.Offset)
}

// printer writes cleaned lines and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, safetext.Clean(fmt.Sprintf(format, args...)).String()+"\n")
	}
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "nobody named"
	}
	return strings.Join(names, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return grouped(int64(n)) + " " + what + "s"
}

func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Formats are the names Write knows.
func Formats() []string { return []string{"text", "json", "junit", "sarif"} }

// Write writes the report in one of Formats.
func (r Report) Write(w io.Writer, format string) error { return WriteReports(w, []Report{r}, format) }

// WriteReports writes the reports of data sets judged each alone, in one of Formats: as text and JSON one after the
// other, as JUnit and SARIF in one document.
func WriteReports(w io.Writer, reports []Report, format string) error {
	switch format {
	case "junit":
		return writeJUnit(w, reports)
	case "sarif":
		return writeSARIF(w, reports)
	}
	for _, r := range reports {
		var err error
		switch format {
		case "text":
			err = r.WriteText(w)
		case "json":
			err = r.WriteJSON(w)
		default:
			err = fmt.Errorf("format %q: expected one of %s", format, strings.Join(Formats(), ", "))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
