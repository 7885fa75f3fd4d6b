package config

import (
	"fmt"
	"strings"
)

// nodePrefix is the beginning of nodes' URLs, by whole parts: scheme, host, port, segments of the path. The engine compares
// by it (backend/edge/prefix.go), since text alone cannot tell https://edge.example.com from https://edge.example.com.evil.net.
var nodePrefix = format{name: "URL prefix", want: "https://, or the beginning of a URL such as https://edge.example.com/site-a", check: checkPrefix}

const wholeHost = "a host is compared whole: write https://*.example.com for all hosts below example.com, or give the nodes a label and match that"

func checkPrefix(s string) (string, bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "http" && scheme != "https" {
		return "begin it with http:// or https://", false
	}
	if rest == "" {
		return "", true
	}
	authority, path, _ := strings.Cut(rest, "/")
	plain := strings.TrimPrefix(strings.TrimSuffix(authority, ":*"), "*.")
	host := plain
	if !strings.HasPrefix(plain, "[") {
		host, _, _ = strings.Cut(plain, ":")
	}
	if host == "" || strings.Contains(host, "*") || strings.ContainsAny(host[:1]+host[len(host)-1:], ".-") {
		return wholeHost, false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "leave out . and .. of the path", false
		}
	}
	return checkURL(scheme + "://" + plain + "/" + path)
}

// validatePrefix finds a prefix that ends within a part of a node's URL, which as text it is the beginning of. It was
// meant to be one for that node, and is none.
func (d *decoder) validatePrefix(key string, e *Edge, prefix string) {
	_, parts, _ := strings.Cut(prefix, "://")
	authority, _, path := strings.Cut(parts, "/")
	if parts == "" || strings.HasSuffix(prefix, "/") || !path && strings.Contains(authority, ":") || !d.fine(key) {
		return // a port is written in full
	}
	short := ""
	for _, node := range nodeURLs(e) {
		if strings.HasPrefix(sameURL(node)+"/", strings.TrimSuffix(sameURL(prefix), "/")+"/") {
			return // it is whole for this one, and the others are not meant
		}
		if short == "" && strings.HasPrefix(lowerHost(node), strings.TrimSuffix(lowerHost(prefix), "/")) {
			short = node
		}
	}
	if short == "" {
		return
	}
	hint := wholeHost + fmt.Sprintf("; %s/ is that host alone", prefix)
	switch {
	case path:
		hint = fmt.Sprintf("a path is compared by whole segments; %s/ is that one alone", prefix)
	case strings.HasPrefix(short[len(prefix):], ":"):
		hint = fmt.Sprintf("a prefix without a port is for the scheme's own: write %s:* for any port", prefix)
	}
	d.wrong(key, "the beginning of a node's URL by whole parts", fmt.Sprintf("%q, which ends within a part of %s", prefix, short), hint)
}

// nodeURLs are the nodes that the file itself names.
func nodeURLs(e *Edge) []string {
	all := append([]string(nil), e.Nodes...)
	for _, t := range e.Targets {
		all = append(all, t.URL)
	}
	return all
}
