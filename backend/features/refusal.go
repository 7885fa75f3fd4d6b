package features

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"weir/backend/jsonlex"
)

// refusal is what an answer other than 200 says: come again, or mend the configuration.
func (f *feast) refusal(response *http.Response) outcome {
	body, _ := io.ReadAll(io.LimitReader(response.Body, 16<<10)) // half of a reason is better than none
	reason := reasonOf(body)
	said := "status " + response.Status
	if reason != "" {
		said += ": " + reason
	}
	switch code := response.StatusCode; {
	case f.blamed(code, reason) != "":
		return outcome{err: fmt.Errorf("%w: features.names: the store does not know %s (%s)", ErrConfiguration, f.blamed(code, reason), said)}
	case strings.Contains(strings.ToLower(reason), "join key"):
		return outcome{err: fmt.Errorf("%w: features.entity: the store looks these features up by another key than %s (%s)", ErrConfiguration, f.entity, said)}
	case code == http.StatusInternalServerError:
		return outcome{err: fmt.Errorf("%w: %w: %s", ErrUnavailable, errRefused, said), again: true}
	case code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		return outcome{err: fmt.Errorf("%w: %w: %s", ErrConfiguration, errRefused, said)}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500 && code != http.StatusNotImplemented:
		return outcome{err: fmt.Errorf("%w: %s", ErrUnavailable, said), again: true, after: retryAfter(response.Header, time.Now())}
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return outcome{err: fmt.Errorf("%w: %s; the store wants a token that allows reading these features", ErrConfiguration, said)}
	case code >= 300 && code < 400:
		return outcome{err: fmt.Errorf("%w: features.url: expected Feast's own address, found a redirect to %q (%s); redirects are not followed",
			ErrConfiguration, response.Header.Get("Location"), said)}
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code == http.StatusNotImplemented:
		return outcome{err: fmt.Errorf("%w: features.url: expected a Feast server, found one that does not know POST %s (%s)",
			ErrConfiguration, f.url.Path, said)}
	case code >= 400:
		return outcome{err: fmt.Errorf("%w: %s", ErrConfiguration, said)}
	default:
		return outcome{err: fmt.Errorf("%w: expected status 200, found %s", ErrContract, said)}
	}
}

// blamed is the configured name a refusal speaks of, empty if none. A 500 must say besides that something is not
// there: old servers answer so for unknown names, and all of them for their own troubles.
func (f *feast) blamed(code int, reason string) string {
	if code < 400 || code > 500 || code == http.StatusUnauthorized || code == http.StatusForbidden {
		return ""
	}
	if lower := strings.ToLower(reason); code == 500 && !strings.Contains(lower, "not exist") && !strings.Contains(lower, "not found") &&
		!strings.Contains(lower, "notfound") && !strings.Contains(lower, "not in") {
		return ""
	}
	for i, name := range f.names {
		if hasWord(reason, name) || hasWord(reason, f.answered[i]) {
			return name
		}
	}
	for _, name := range f.names {
		if _, feature, _ := strings.Cut(name, ":"); hasWord(reason, feature) {
			return name
		}
	}
	for _, name := range f.names {
		if view, _, _ := strings.Cut(name, ":"); hasWord(reason, view) {
			return name
		}
	}
	return ""
}

// hasWord tells whether word stands in s, and not as a part of a longer name.
func hasWord(s, word string) bool {
	isName := func(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' }
	for from := 0; ; {
		i := strings.Index(s[from:], word)
		if i < 0 {
			return false
		}
		start, end := from+i, from+i+len(word)
		if (start == 0 || !isName(s[start-1])) && (end == len(s) || !isName(s[end])) {
			return true
		}
		from = start + 1
	}
}

// reasonOf is the text of a refusal: what Feast's JSON says, or the beginning of whatever came.
func reasonOf(body []byte) string {
	s, reason := scanner{data: body}, ""
	read := func() error {
		if s.space() != '"' {
			return s.skip(1)
		}
		raw, _, err := s.str()
		if len(raw) > len(reason) {
			text, _ := jsonlex.AppendUnescaped(nil, raw)
			reason = string(text)
		}
		return err
	}
	switch s.space() {
	case '"':
		_ = read() // whatever could be read is the reason
	case '{':
		_ = s.object(func(key []byte) error {
			switch string(key) {
			case "detail", "message", "error", "msg":
				return read()
			}
			return s.skip(1)
		})
	}
	if strings.HasPrefix(reason, "{") || strings.HasPrefix(reason, `"`) { // Feast puts JSON into a JSON string
		if inner := reasonOf([]byte(reason)); inner != "" {
			return inner
		}
	}
	if n := len(reason); n > 2 && reason[0] == '\'' && reason[n-1] == '\'' { // and Python its KeyErrors into quotes
		reason = reason[1 : n-1]
	}
	if reason == "" {
		reason = strings.TrimSpace(string(body))
	}
	if len(reason) > reasonMost {
		cut := reasonMost
		for cut > reasonMost-utf8.UTFMax && !utf8.RuneStart(reason[cut]) { // what is no UTF-8 is cut where it may be
			cut--
		}
		reason = reason[:cut] + "…"
	}
	return reason
}

// retryAfter is the pause a server asks for, in seconds or until a date; 0 without one.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
