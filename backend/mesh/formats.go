package mesh

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"weir/backend/mesh/contract"
	"weir/backend/mesh/judge"
	"weir/backend/safetext"
)

// The JUnit shape that CI servers read: a suite for the product, a case for each check.
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string `xml:"name,attr"`
	Tests    int    `xml:"tests,attr"`
	Failures int    `xml:"failures,attr"`
	Errors   int    `xml:"errors,attr"`
	Skipped  int    `xml:"skipped,attr"`
	Time     string `xml:"time,attr"`
	// Properties are whom to call and who is hurt.
	Properties *junitProperties `xml:"properties"`
	Cases      []junitCase      `xml:"testcase"`
}

type junitProperties struct {
	List []junitProperty `xml:"property"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string      `xml:"classname,attr"`
	Name    string      `xml:"name,attr"`
	Failure *junitWords `xml:"failure"`
	Error   *junitWords `xml:"error"`
	Skipped *junitWords `xml:"skipped"`
	Out     string      `xml:"system-out,omitempty"`
}

type junitWords struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the report as JUnit XML.
func (r Report) WriteJUnit(w io.Writer) error { return writeJUnit(w, []Report{r}) }

func writeJUnit(w io.Writer, reports []Report) error {
	var suites junitSuites
	for _, r := range reports {
		suites.Suites = append(suites.Suites, r.junitSuite())
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suites); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// junitSuite is the report as a suite. A check that breaks the contract is a failure, one that only warns is a passed case
// that says so, one that could not be judged is an error if it would break the contract, else skipped; a file that was
// not read whole is an error.
func (r Report) junitSuite() junitSuite {
	class := strings.ReplaceAll(r.Product.Key(), "/", ".")
	suite := junitSuite{Name: r.Product.Key(), Time: fmt.Sprintf("%.3f", r.Took.Seconds()), Properties: &junitProperties{[]junitProperty{
		{"owners", safetext.Clean(orNobody(r.Product.Owners)).String()}, {"consumers", safetext.Clean(orNobody(r.Product.Consumers)).String()},
	}}}
	add := func(c junitCase) {
		c.Class = class
		c.Name = safetext.Clean(c.Name).String()
		suite.Tests++
		switch {
		case c.Failure != nil:
			suite.Failures++
		case c.Error != nil:
			suite.Errors++
		case c.Skipped != nil:
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, c)
	}
	words := func(kind, message, text string) *junitWords {
		lines := strings.Split(text, "\n")
		for i := range lines {
			lines[i] = safetext.Clean(lines[i]).String()
		}
		return &junitWords{Message: safetext.Clean(message).String(), Type: kind, Text: strings.Join(lines, "\n")}
	}
	for _, f := range r.Files {
		c := junitCase{Name: "read " + f.Path}
		if !f.Whole {
			c.Error = words("unreadable", firstLine(f.Err), "")
		}
		add(c)
	}
	unjudged := map[string]bool{}
	for _, c := range r.Unjudged() {
		unjudged[checkID(c.Rule, c.Column)] = true
	}
	for _, check := range r.Checks {
		c := junitCase{Name: check.Rule.Title()}
		switch {
		case check.Status == judge.Failed:
			var messages, evidence []string
			for _, i := range r.Issues {
				if checkID(i.Rule, "") == checkID(check.Rule, "") {
					messages = append(messages, i.Message)
					evidence = append(evidence, r.evidence(i)...)
				}
			}
			if check.Rule.Breaks() {
				c.Failure = words(check.Rule.Name, strings.Join(messages, "; "), strings.Join(evidence, "\n"))
			} else {
				c.Out = words("", "", string(check.Rule.Severity)+": "+strings.Join(messages, "; ")+"\n"+strings.Join(evidence, "\n")).Text
			}
		case unjudged[checkID(check.Rule, check.Column)]:
			c.Error = words("unjudged", check.Why, "")
		case check.Status == judge.Skipped || check.Status == judge.Unknown:
			c.Skipped = words("", check.Why, "")
		}
		add(c)
	}
	if r.Undecodable > 0 {
		add(junitCase{Name: "decode every record", Error: words("undecodable", plural(int(r.Undecodable), "record")+" could not be decoded", "")})
	}
	return suite
}

func checkID(r contract.Rule, column string) string {
	return fmt.Sprintf("%s\x00%s\x00%s\x00%d:%d\x00%s", r.Name, r.Label, strings.Join(r.Columns, ","), r.Line, r.Col, column)
}

// evidence is an issue's samples, a line each.
func (r Report) evidence(i judge.Issue) []string {
	var lines []string
	for _, s := range i.Samples {
		lines = append(lines, r.place(s.Where)+": "+s.Value)
	}
	return lines
}

// The part of SARIF 2.1.0 that code hosts show.
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver sarifDriver `json:"driver"`
	} `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
	Properties  map[string]any    `json:"properties"`
}

type sarifDriver struct {
	Name  string      `json:"name"`
	Rules []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID    string    `json:"id"`
	Short sarifText `json:"shortDescription"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level   string    `json:"level"`
	Message sarifText `json:"message"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

type sarifLocation struct {
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine int64 `json:"startLine"`
}

type sarifLogical struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// WriteSARIF writes the report as SARIF 2.1.0: a result for each rule that does not hold, at the first row to blame. Only
// of JSON Lines is a row's number its line; for other formats the message tells the row.
func (r Report) WriteSARIF(w io.Writer) error { return writeSARIF(w, []Report{r}) }

func writeSARIF(w io.Writer, reports []Report) error {
	log := sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0"}
	for _, r := range reports {
		log.Runs = append(log.Runs, r.sarifRun())
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(log)
}

func (r Report) sarifRun() sarifRun {
	run := sarifRun{Results: []sarifResult{}, Invocations: []sarifInvocation{{Successful: r.Whole()}}, Properties: map[string]any{
		"product": r.Product.Key(), "owners": append([]string{}, r.Product.Owners...), "consumers": append([]string{}, r.Product.Consumers...),
	}}
	run.Tool.Driver = sarifDriver{Name: "weir", Rules: []sarifRule{}}
	for _, f := range r.Files {
		if f.Err != nil {
			run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{"error", sarifText{f.Err.Error()}})
		}
	}
	for _, c := range r.Unjudged() {
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{"error", sarifText{c.Rule.Title() + " was not judged: " + c.Why}})
	}
	known := map[string]bool{}
	for _, i := range r.Issues {
		if id := i.Rule.Name; !known[id] {
			known[id] = true
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{id, sarifText{"data contract rule " + id}})
		}
		result := sarifResult{RuleID: i.Rule.Name, Level: sarifLevel(i), Message: sarifText{i.Message}, Locations: []sarifLocation{}}
		location := sarifLocation{}
		if i.First.Offset > 0 {
			result.Message.Text += " (first at " + r.place(i.First) + ")"
			location.Physical = &sarifPhysical{Artifact: artifact(r.fileOf(i.First))}
			if n := int(-1 - i.First.Partition); strings.HasPrefix(r.Files[n].Format, "jsonl") {
				location.Physical.Region = &sarifRegion{i.First.Offset}
			}
		} else if len(r.Files) > 0 {
			location.Physical = &sarifPhysical{Artifact: artifact(r.Files[0].Path)}
		}
		if i.Column != "" {
			location.Logical = []sarifLogical{{i.Column, "member"}}
		}
		result.Locations = append(result.Locations, location)
		run.Results = append(run.Results, result)
	}
	return run
}

// artifact names a file by a URI, relative to wherever the path is.
func artifact(path string) sarifArtifact {
	return sarifArtifact{(&url.URL{Path: filepath.ToSlash(path)}).String()}
}

func sarifLevel(i judge.Issue) string {
	switch {
	case i.Breaks():
		return "error"
	case i.Rule.Severity == contract.Warning:
		return "warning"
	}
	return "note"
}
