package edge

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
)

// Bounds on what a source may list.
const (
	maxTargets   = 100_000
	maxLabels    = 32
	maxLabelText = 256 // bytes of a label's name or value
)

// Target is one node as the configuration or a source lists it.
type Target struct {
	URL string // base URL
	// Labels group nodes (site, region, owner). The label "name" is what narrow screens show.
	Labels map[string]string
}

// Access is how some nodes are asked: the first Access that matches a node is its own.
type Access struct {
	// Labels a node must all have, and Prefix the part of its URL that must be the same; both empty match every node.
	// Prefix is compared by scheme, host, port and whole segments of the path; see urlPrefix.
	Labels map[string]string
	Prefix string
	// Headers are sent with each poll. Token, asked for at each poll, is sent as a bearer token when not empty.
	Headers map[string]string
	Token   func() string
	// TLS is for https nodes: roots, client certificates, server name. Nil takes the system's roots. TLS below 1.2 is
	// refused whatever it says.
	TLS *tls.Config
}

// accessOf is an Access ready for use.
type accessOf struct {
	Access
	prefix urlPrefix
	header http.Header // in canonical form
	poller int         // which of the poller's transports
	told   bool        // that a node's URL only begins as Prefix does
}

// ready tells what is wrong with a, and makes it ready for use.
func (a Access) ready() (accessOf, error) {
	of := accessOf{Access: a, header: http.Header{}}
	var err error
	if of.prefix, err = parsePrefix(a.Prefix); err != nil {
		return of, err
	}
	for k, v := range a.Headers {
		if !isToken(k) || strings.ContainsAny(v, "\r\n\x00") {
			return of, fmt.Errorf("header %q: expected a header's name and a value of one line", k)
		}
		of.header.Set(k, v)
	}
	return of, nil
}

func (a *accessOf) matches(t Target) bool { return a.hasLabels(t) && a.prefix.matches(t.URL) }

// beginsAlike tells whether a is not for t, though as text its Prefix is the beginning of t's URL.
func (a *accessOf) beginsAlike(t Target) bool {
	return strings.HasPrefix(t.URL, a.Prefix) && a.hasLabels(t) && !a.prefix.matches(t.URL)
}

func (a *accessOf) hasLabels(t Target) bool {
	for k, v := range a.Labels {
		if got, ok := t.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// isToken tells whether s is a token of RFC 9110, as the name of a header must be.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// cleanTarget checks a target from outside and gives its URL one spelling.
func cleanTarget(t Target) (Target, error) {
	u, err := cleanURL(t.URL)
	if err != nil {
		return t, err
	}
	if strings.Contains(u, "?") {
		return t, fmt.Errorf("expected a base URL without a query, found %q", u)
	}
	if len(t.Labels) > maxLabels {
		return t, fmt.Errorf("%q has %d labels, at most %d are read", u, len(t.Labels), maxLabels)
	}
	for k, v := range t.Labels {
		if k == "" || len(k) > maxLabelText || len(v) > maxLabelText {
			return t, fmt.Errorf("%q has a label %.40q with no name, or more than %d bytes", u, k, maxLabelText)
		}
	}
	t.URL = u
	return t, nil
}
