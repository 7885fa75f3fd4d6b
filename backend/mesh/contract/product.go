// Package contract holds the model of a data product and its contract, and reads it from the two shapes it is written
// in: the article's own YAML and the Open Data Contract Standard (ODCS) v3. One model inside: whatever the file's shape,
// what is to be judged ends as a list of [Rule]. The package does no I/O.
package contract

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Format is the shape a product's file is written in.
type Format string

// The formats.
const (
	Article Format = "article"
	ODCS    Format = "odcs"
)

// Product is a data product and its contract.
type Product struct {
	Format      Format
	Domain      string
	Name        string
	Description string
	Owners      []string
	Consumers   []string
	Upstream    []string // what it is made from: topics, products or data sets, in the contract's words
	Version     string   // schema_version, or ODCS version
	Refresh     string   // refresh_frequency, or the ODCS frequency such as "1 h"
	Status      string   // ODCS: proposed, draft, active, deprecated, retired
	ID          string   // ODCS id
	APIVersion  string   // ODCS apiVersion

	// Topic is the Kafka topic the product names itself (an ODCS server of type kafka). Empty: the topic of the
	// product's name, if there is one.
	Topic string
	// Tables are the ODCS schema objects' names in the data.
	Tables []string
	// Objects are the products of an ODCS contract with several schema objects, one each. The contract itself then has no
	// column, rule or topic: what is judged are its objects.
	Objects []Product

	// Window and WindowRows say what of a live topic is judged, by time or by count, where the contract itself does (the ODCS
	// custom property "window", such as 5m or 100000 rows); both 0: as the registry is configured.
	Window     time.Duration
	WindowRows int64

	// RequiredColumns and MaxNull are the article's quality_sla; MaxNull is a fraction. ODCS leaves them empty and -1.
	RequiredColumns []string
	MaxNull         float64

	Columns []Column // declared by ODCS; the article's shape declares none
	Rules   []Rule
	SLA     []SLA

	// Source is the file as read; nil for a product made in code.
	Source []byte
}

// Key is domain/name.
func (p Product) Key() string { return p.Domain + "/" + p.Name }

// DefaultMaxNull is the article's default of max_null_percentage, a fraction.
const DefaultMaxNull = 0.05

// Column is a declared column, or a field of one.
type Column struct {
	Name        string // physicalName if there is one, else name
	Description string
	Type        string // logicalType: string date timestamp time number integer object array boolean map vector; empty: any
	Physical    string // physicalType, shown but not judged
	Required    bool   // must not be null
	Unique      bool
	PrimaryKey  bool
	KeyPosition int
	Class       string // classification
	Tags        []string
	Options     Options
	Fields      []Column // of an object
	Items       *Column  // of an array, or the values of a map
	Measure     bool     // aggregated from the data, not in them: never among a product's columns
	Relations   []string // properties it refers to (foreign keys)
	Sources     []string // data sets it is made from (transformSourceObjects)
	Line        int
}

// Options are a column's logicalTypeOptions; nil pointers are limits not set.
type Options struct {
	Format                       string
	MinLength, MaxLength         *int64
	Pattern                      string
	Min, Max, AboveMin, AboveMax *Number // numbers: minimum, maximum, exclusiveMinimum, exclusiveMaximum
	MultipleOf                   *float64
	// Dates: the same four as written.
	MinTime, MaxTime, AboveMinTime, AboveMaxTime string
	MinItems, MaxItems                           *int64
	UniqueItems                                  bool
	MinProperties, MaxProperties                 *int64
	Required                                     []string // an object's required fields
	Timezone                                     *bool
	DefaultTimezone                              string
	Dimensions                                   *int64 // of a vector
	ElementType                                  string
}

// Number is a number as its file has it: float64 may not hold it exactly.
type Number struct {
	Value float64 // the nearest one
	Text  string
}

// String is the number in digits alone, or as it was written where it has so many that float64 may take it for another.
func (n Number) String() string {
	if len(n.Text) <= 15 {
		return trim(n.Value)
	}
	return n.Text
}

// SLA is one ODCS service-level property.
type SLA struct {
	Property string
	Value    string
	Unit     string
	Element  string // column it speaks of, without its table
	Line     int
}

// sensitiveClasses are the classifications and tags whose values are never shown.
var sensitiveClasses = []string{"pii", "personal", "personal_data", "confidential", "highly_confidential", "restricted", "sensitive", "secret", "private", "phi", "pci"}

// sensitiveName finds names that tell of people or secrets, in whole words.
var sensitiveName = regexp.MustCompile(`(?i)(^|[_.\- ])(e?mails?|mail|phones?|mobile|tel|fax|(first|last|full|sur|user|family|given|middle|maiden)_?names?|names?|address|street|zip|postcode|postal|birth|dob|birthday|birthdate|ssn|sin|nin|passport|iban|bic|card|pan|cvv|cvc|password|passwd|secret|token|credential|api_?key|ip|ip_?addr(ess)?|lat|lon|latitude|longitude|geo|tax|salary)([_.\- ]|s?$)`)

// Sensitive tells whether the values of a column are masked: by its classification, its tags or else its name.
// An explicit classification of public or internal lets a column be shown whatever its name.
func Sensitive(name, class string, tags []string) bool {
	class = normalize(class)
	if class == "public" || class == "internal" {
		return false
	}
	if slices.Contains(sensitiveClasses, class) {
		return true
	}
	for _, t := range tags {
		if slices.Contains(sensitiveClasses, normalize(t)) {
			return true
		}
	}
	return sensitiveName.MatchString(splitCamel(name))
}

func normalize(s string) string {
	return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(strings.TrimSpace(s)))
}

// splitCamel writes userEmail as user_Email, so that names are looked at in whole words.
func splitCamel(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && r >= 'A' && r <= 'Z' && s[i-1] >= 'a' && s[i-1] <= 'z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// identifier is what a domain and a name look like. They become a folder and a file.
var identifier = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.\-]{0,127}$`)

// CheckIdentifier tells why s cannot be a domain or the name of a product.
func CheckIdentifier(what, s string) error {
	if !identifier.MatchString(s) || strings.Contains(s, "..") || strings.HasSuffix(s, ".") {
		return fmt.Errorf("%s %q: expected letters, digits, _, - and single dots, at most 128, starting with a letter or digit", what, clip(s, 60))
	}
	return nil
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

// Parse reads a product from the text of its file, in either shape. The error joins an [Error] for each thing that is
// wrong. domain and name, the place of the file in a registry, are what an ODCS contract that does not name its own
// gets; they may be empty.
func Parse(data []byte, domain, name string) (Product, error) {
	root, err := parseYAML(data)
	if err != nil {
		return Product{}, err
	}
	if root.kind != mapNode {
		return Product{}, &Error{Line: root.line, Col: root.col, What: "expected a mapping with the keys of a data product, found " + root.kind.String()}
	}
	var r reader
	var p Product
	if isODCS(root) {
		if p = r.odcs(root, domain, name); len(p.Tables) > 1 && r.err() == nil {
			r.objects(root, domain, name, &p)
		}
	} else {
		p = r.article(root)
	}
	if err := r.err(); err != nil {
		return Product{}, err
	}
	p.Source = slices.Clone(data)
	for i := range p.Objects {
		p.Objects[i].Source = p.Source
	}
	return p, nil
}

// IsProduct tells whether a text is meant as a product, be it a wrong one. What is no YAML, or more than one text of it, is
// told by its lines.
func IsProduct(data []byte) bool {
	top := map[string]string{} // keys and what is beside them
	if root, err := parseYAML(data); err == nil {
		for i, k := range root.keys {
			top[k.text] = root.entries[i].text
		}
	} else {
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(line, ":"); ok {
				top[key] = strings.TrimSpace(value)
			}
		}
	}
	has := func(key string) bool { _, ok := top[key]; return ok }
	return top["kind"] == "DataContract" || has("quality_sla") || has("domain") && has("name")
}

func isODCS(root *node) bool {
	for i, k := range root.keys {
		if k.text == "apiVersion" || k.text == "kind" && root.entries[i].text == "DataContract" {
			return true
		}
	}
	return false
}

// Validate checks a product made in code as Parse checks one that is read.
func (p Product) Validate() error {
	if err := CheckIdentifier("domain", p.Domain); err != nil {
		return err
	}
	if err := CheckIdentifier("name", p.Name); err != nil {
		return err
	}
	if p.Format == Article && !(p.MaxNull >= 0 && p.MaxNull <= 1) {
		return fmt.Errorf("max_null_percentage %v: expected a fraction from 0 to 1", p.MaxNull)
	}
	return nil
}
