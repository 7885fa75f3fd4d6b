package edge

import (
	"fmt"
	"net/url"
	"strings"
)

// urlPrefix is which nodes an Access's Prefix is for. It compares URLs by their parts, never as text: the beginning
// of https://edge.example.com.evil.net is https://edge.example.com, and its owner must not get that host's token.
//
//	https://                        every https node
//	https://edge.example.com        this host on port 443, any path
//	https://edge.example.com:8443   this host on this port
//	https://edge.example.com:*      this host on any port
//	https://*.example.com           every host below example.com, not example.com itself
//	https://gw.example.com/site-a   /site-a and what lies below it, not /site-ab
type urlPrefix struct {
	scheme string // empty: any node
	host   string // lower case; empty: any
	below  bool   // the hosts below host are meant
	port   string // "*": any
	path   string // escaped, without slashes at its end; empty: any
}

// defaultPorts are those a URL without one means.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// anyPort and anyHost are what a prefix writes for any port, and before a domain for any host below it.
const (
	anyPort = ":*"
	anyHost = "*."
)

func parsePrefix(raw string) (urlPrefix, error) {
	if raw == "" {
		return urlPrefix{}, nil
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	p := urlPrefix{scheme: strings.ToLower(scheme)}
	if !ok || defaultPorts[p.scheme] == "" {
		return p, fmt.Errorf("prefix %q: expected it to start with http:// or https://", raw)
	}
	if rest == "" {
		return p, nil
	}
	authority, path, slash := strings.Cut(rest, "/")
	authority, wild := strings.CutSuffix(authority, anyPort)
	clean, err := cleanURL(p.scheme + "://" + authority)
	if err == nil && slash {
		clean, err = cleanURL(clean + "/" + path)
	}
	if err != nil {
		return p, fmt.Errorf("prefix %q: %w", raw, err)
	}
	u, err := url.Parse(clean)
	if err != nil {
		return p, fmt.Errorf("prefix %q: %w", raw, err)
	}
	p.host, p.port, p.path = hostOf(u), portOf(u), strings.TrimRight(u.EscapedPath(), "/")
	if wild {
		p.port = "*"
	}
	p.host, p.below = strings.CutPrefix(p.host, anyHost)
	switch {
	case p.host == "", strings.Contains(p.host, "*"), strings.ContainsAny(p.host[:1]+p.host[len(p.host)-1:], ".-"):
		return p, fmt.Errorf("prefix %q: expected a whole host's name: write https://*.example.com for all hosts below example.com, or give the nodes a label and match that", raw)
	case strings.HasSuffix(authority, ":"):
		return p, fmt.Errorf("prefix %q: expected a port after the colon, or * for any", raw)
	case strings.ContainsAny(raw, "?#"):
		return p, fmt.Errorf("prefix %q: expected no ? or # part", raw)
	case leavesItsPath(u):
		return p, fmt.Errorf("prefix %q: expected no . or .. in its path", raw)
	}
	return p, nil
}

// matches tells whether the node at the URL raw is one of those p is for. What cannot be told is none.
func (p *urlPrefix) matches(raw string) bool {
	if p.scheme == "" {
		return true
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != p.scheme || u.User != nil {
		return false
	}
	if p.host == "" {
		return u.Host != ""
	}
	host := hostOf(u)
	if p.below {
		name, ok := strings.CutSuffix(host, "."+p.host)
		if !ok || name == "" {
			return false
		}
	} else if host != p.host {
		return false
	}
	if p.port != "*" && p.port != portOf(u) {
		return false
	}
	below, ok := strings.CutPrefix(u.EscapedPath(), p.path)
	return ok && (p.path == "" || below == "" || below[0] == '/' && !leavesItsPath(u))
}

func hostOf(u *url.URL) string { return strings.ToLower(u.Hostname()) }

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return defaultPorts[u.Scheme]
}

// leavesItsPath tells whether a server may take u's path for another one: /site-a/../site-b begins with /site-a and
// leads to /site-b. Some take a backslash for a slash, and leave out what follows a semicolon.
func leavesItsPath(u *url.URL) bool {
	for segment := range strings.FieldsFuncSeq(u.Path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment, _, _ = strings.Cut(segment, ";"); segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
