package edge

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"weir/backend/jsonlex"
)

// summary is the answer of GET {node}/data/summary.
type summary struct {
	RecordCount int64   // 0 to maxRecords
	Quality     float64 // 0 to 1
	LastUpdated time.Time
	RawUpdated  string // last_updated as the node wrote it, a JSON string or number, for the aggregate
	// NodeURL is whose data these are, where a node says so under the key node_url; empty where it does not.
	NodeURL string
}

// Bounds on what a summary may hold.
const (
	maxRecords     = 1 << 53 // the largest count every JSON reader keeps exactly
	maxDepth       = 32      // of values nested under keys weir does not know
	maxUpdatedText = 64      // bytes of last_updated
)

// ErrSummary is wrapped by every error about the shape of a node's answer.
var ErrSummary = errors.New("not a valid summary")

// parseSummary reads one JSON object with record_count, quality_score and last_updated. Other keys are allowed.
// Anything a careful reader could doubt is an error: a second value, a key given twice, NaN, a negative or fractional
// count, a quality outside 0..1, a time without a year.
func parseSummary(body []byte) (summary, error) {
	var s summary
	if !utf8.Valid(body) {
		return s, fmt.Errorf("%w: it is not UTF-8", ErrSummary)
	}
	if err := checkJSON(body); err != nil {
		return s, err
	}
	var count, quality, updated, url string
	err := eachKey(body, func(key, value string) error {
		var into *string
		switch key {
		case "record_count":
			into = &count
		case "quality_score":
			into = &quality
		case "last_updated":
			into = &updated
		case "node_url":
			into = &url
		default:
			return nil
		}
		if *into != "" {
			return fmt.Errorf("%w: %s is given twice", ErrSummary, key)
		}
		*into = value
		return nil
	})
	if err != nil {
		return s, err
	}
	if s.RecordCount, err = parseCount(count); err != nil {
		return s, err
	}
	if s.Quality, err = parseQuality(quality); err != nil {
		return s, err
	}
	if url != "" && json.Unmarshal([]byte(url), &s.NodeURL) != nil {
		s.NodeURL = "" // not a string: a key of the node's own
	}
	s.LastUpdated, err = parseUpdated(updated)
	s.RawUpdated = strings.Clone(updated) // not a piece of body, which is larger
	return s, err
}

// checkJSON tells what is wrong with body unless it is exactly one JSON object.
func checkJSON(body []byte) error {
	start := 0
	for start < len(body) && isSpace(body[start]) {
		start++
	}
	switch {
	case start == len(body):
		return fmt.Errorf("%w: the body is empty", ErrSummary)
	case body[start] == '<':
		return fmt.Errorf("%w: expected a JSON object, found HTML or XML", ErrSummary)
	case body[start] != '{':
		return fmt.Errorf("%w: expected a JSON object, found %s", ErrSummary, describe(string(body[start:])))
	}
	if depth := deepest(body); depth > maxDepth {
		return fmt.Errorf("%w: nested %d deep, at most %d is read", ErrSummary, depth, maxDepth)
	}
	if json.Valid(body) {
		return nil
	}
	var v json.RawMessage
	err := json.Unmarshal(body, &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		if strings.Contains(syntax.Error(), "after top-level value") {
			return fmt.Errorf("%w: more than one JSON value (byte %d)", ErrSummary, syntax.Offset)
		}
		return fmt.Errorf("%w: %s at byte %d", ErrSummary, syntax.Error(), syntax.Offset)
	}
	return fmt.Errorf("%w: not JSON", ErrSummary)
}

// deepest is how deep brackets nest in body, strings left out.
func deepest(body []byte) int {
	depth, most := 0, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i = jsonlex.StringEnd(body, i) - 1
		case '{', '[':
			depth++
			most = max(most, depth)
		case '}', ']':
			depth--
		}
	}
	return most
}

// eachKey calls f with each key of the top-level object and the text of its value. Body is one valid JSON object.
func eachKey(body []byte, f func(key, value string) error) error {
	i := 0
	for body[i] != '{' {
		i++
	}
	i++
	for i < len(body) {
		switch c := body[i]; {
		case isSpace(c) || c == ',':
			i++
			continue
		case c == '}':
			return nil
		}
		end := jsonlex.StringEnd(body, i)
		key := string(body[i+1 : end-1])
		if strings.IndexByte(key, '\\') >= 0 { // an escaped spelling is the same key
			if err := json.Unmarshal(body[i:end], &key); err != nil {
				return fmt.Errorf("%w: a key cannot be read", ErrSummary)
			}
		}
		for i = end; isSpace(body[i]) || body[i] == ':'; {
			i++
		}
		end = valueEnd(body, i)
		if err := f(key, string(body[i:end])); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// valueEnd is the index after the valid JSON value that starts at i.
func valueEnd(b []byte, i int) int {
	switch b[i] {
	case '"':
		return jsonlex.StringEnd(b, i)
	case '{', '[':
		depth := 0
		for ; i < len(b); i++ {
			switch b[i] {
			case '"':
				i = jsonlex.StringEnd(b, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return i
	}
	for i < len(b) && !isSpace(b[i]) && b[i] != ',' && b[i] != '}' && b[i] != ']' {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// describe names the kind of a JSON value for an error.
func describe(value string) string {
	switch {
	case value == "":
		return "nothing"
	case value[0] == '"':
		return "a string"
	case value[0] == '{':
		return "an object"
	case value[0] == '[':
		return "a list"
	case value == "null" || value == "true" || value == "false":
		return value
	}
	if len(value) > 24 {
		value = value[:24] + "…"
	}
	return value
}

func isNumber(value string) bool {
	return value != "" && (value[0] == '-' || value[0] >= '0' && value[0] <= '9')
}

func parseCount(value string) (int64, error) {
	if value == "" {
		return 0, fmt.Errorf("%w: record_count is missing", ErrSummary)
	}
	if !isNumber(value) {
		return 0, fmt.Errorf("%w: record_count: expected a number, found %s", ErrSummary, describe(value))
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil { // 12004.0 and 1.2e4 are whole numbers too
		f, ferr := strconv.ParseFloat(value, 64)
		switch {
		case ferr != nil || math.IsInf(f, 0) || math.Abs(f) > maxRecords:
			return 0, fmt.Errorf("%w: record_count: %s is out of range", ErrSummary, describe(value))
		case f != math.Trunc(f):
			return 0, fmt.Errorf("%w: record_count: expected a whole number, found %s", ErrSummary, describe(value))
		}
		n = int64(f)
	}
	switch {
	case n < 0:
		return 0, fmt.Errorf("%w: record_count: expected at least 0, found %s", ErrSummary, describe(value))
	case n > maxRecords:
		return 0, fmt.Errorf("%w: record_count: %s is out of range", ErrSummary, describe(value))
	}
	return n, nil
}

func parseQuality(value string) (float64, error) {
	if value == "" {
		return 0, fmt.Errorf("%w: quality_score is missing", ErrSummary)
	}
	if !isNumber(value) {
		return 0, fmt.Errorf("%w: quality_score: expected a number, found %s", ErrSummary, describe(value))
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1 {
		return 0, fmt.Errorf("%w: quality_score: expected 0 to 1, found %s", ErrSummary, describe(value))
	}
	return f + 0, nil // + 0 turns -0 into 0
}

// isoLayouts are the forms Python's datetime.isoformat, str(datetime), RFC 3339 and PostgreSQL give. A fraction of a second
// may follow the seconds in any of them.
var isoLayouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05-0700", "2006-01-02 15:04:05-07",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04",
}

// parseUpdated reads RFC 3339, Python's isoformat (without a zone it is UTC) and Unix numbers, whose unit follows from
// their size: seconds to the year 5138, then milliseconds, microseconds, nanoseconds.
func parseUpdated(value string) (time.Time, error) {
	wrong := func() (time.Time, error) {
		return time.Time{}, fmt.Errorf("%w: last_updated: expected RFC 3339, isoformat or a Unix time, found %s",
			ErrSummary, describe(value))
	}
	switch {
	case value == "":
		return time.Time{}, fmt.Errorf("%w: last_updated is missing", ErrSummary)
	case len(value) > maxUpdatedText:
		return wrong()
	case isNumber(value):
		return parseUnix(value)
	case value[0] != '"':
		return wrong()
	}
	text := value[1 : len(value)-1]
	for _, layout := range isoLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			if t.Year() < 1970 {
				return time.Time{}, fmt.Errorf("%w: last_updated: %s lies before 1970", ErrSummary, text)
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: last_updated: %q is not a time", ErrSummary, text)
}

func parseUnix(value string) (time.Time, error) {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsInf(f, 0) || f < 0 || f >= 1e19 {
		return time.Time{}, fmt.Errorf("%w: last_updated: %s is not a Unix time", ErrSummary, describe(value))
	}
	for f >= 1e11 {
		f /= 1e3
	}
	whole, part := math.Modf(f)
	return time.Unix(int64(whole), int64(part*1e9)).UTC().Round(time.Microsecond), nil
}
