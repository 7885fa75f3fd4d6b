package edge

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestPrefix has the nodes a prefix is for, and those that only look like them.
func TestPrefix(t *testing.T) {
	tests := []struct {
		prefix    string
		yes, none string // nodes
	}{
		{"", "http://a https://b:8443/c", ""},
		{"https://", "https://a https://b:8443/c HTTPS://D", "http://a http://https://"},
		{"HTTP://", "http://a", "https://a"},
		{"https://edge.example.com",
			"https://edge.example.com https://EDGE.example.com:443 HTTPS://edge.example.com/site/a",
			"http://edge.example.com https://edge.example.com.evil.net https://edge.example.com@evil.net https://edge.example.com:8443 " +
				"https://edge.example.com%2eevil.net https://edge.example.com-evil.net https://evil.net/https://edge.example.com https://evil.net/edge.example.com"},
		{"https://edge.example.com/", "https://edge.example.com https://edge.example.com/a", "https://edge.example.com.evil.net"},
		{"https://edge.example.com:443", "https://edge.example.com", "https://edge.example.com:8443"},
		{"http://Edge:80", "http://edge http://edge:80/x", "http://edge:8080 https://edge:80"},
		{"http://edge:8080", "http://edge:8080 http://edge:8080/x", "http://edge http://edge:80801 http://edge:808"},
		{"http://edge:*", "http://edge http://edge:8080", "http://edge-2:8080 https://edge"},
		{"https://*.example.com", "https://a.example.com https://b.A.example.com/x",
			"https://example.com https://evilexample.com https://a.example.com.evil.net https://a.example.com:8443 https://.example.com"},
		{"https://*.example.com:*/edge", "https://a.example.com:8443/edge/1", "https://a.example.com:8443/edges"},
		{"http://[::1]:8080", "http://[::1]:8080/a", "http://[::2]:8080"},
		{"http://gw/site-a", "http://gw/site-a http://gw/site-a/1",
			"http://gw/site-ab http://gw/site-b http://gw http://gw/site-a/../site-b http://gw/site-a/%2e%2e/site-b " +
				`http://gw/site-a/..%2fsite-b http://gw/site-a/..%5csite-b http://gw/site-a/..;x/site-b http://gw/site-a%2f..%2fsite-b http://gw/site-a%2f1`},
		{"http://gw/site%20a/", "http://gw/site%20a/1", "http://gw/site"},
	}
	for _, tt := range tests {
		p, err := parsePrefix(tt.prefix)
		if err != nil {
			t.Errorf("%s: %v", tt.prefix, err)
			continue
		}
		for _, node := range strings.Fields(tt.yes) {
			if !p.matches(node) {
				t.Errorf("%s is not for %s", tt.prefix, node)
			}
		}
		for _, node := range strings.Fields(tt.none) {
			if p.matches(node) {
				t.Errorf("%s is for %s", tt.prefix, node)
			}
		}
	}
	for _, prefix := range []string{
		"https", "https:", "edge", "ftp://edge", "https://edge-", "https://edge.", "https://10.20.", "https://edge-*", "https://*", "https://*.", "https://a.*.com",
		"https://user@edge", "https://edge@", "https://edge?x", "https://edge/a?x", "https://edge#x", "https://edge:", "https://edge:x",
		"https:///a", "https://edge/a/../b", "https://ed ge", "https://edge/%zz",
	} {
		if _, err := New(Config{Access: []Access{{Prefix: prefix}}}); !errors.Is(err, ErrConfig) {
			t.Errorf("%q was taken: %v", prefix, err)
		}
	}
}

// TestRedirectTakesNoToken has nodes that lead to another host, for their summary and for an update: it never hears of
// the token. They are asked over plain HTTP and over net/http, as TLS nodes are.
func TestRedirectTakesNoToken(t *testing.T) {
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	var tokens atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer t" {
			tokens.Add(1)
		}
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(s.Close)
	e, err := New(Config{Nodes: []string{s.URL}, Access: []Access{{Prefix: s.URL, Token: func() string { return "t" }}}})
	if err != nil {
		t.Fatal(err)
	}
	to := e.nodes[0].target
	if a := e.poller.get(t.Context(), to, ""); a.status != http.StatusTemporaryRedirect {
		t.Errorf("plain: %+v", a)
	}
	to.plain = nil
	if a := e.poller.get(t.Context(), to, ""); a.status != http.StatusTemporaryRedirect {
		t.Errorf("net/http: %+v", a)
	}
	if status, _, err := e.poller.call(t.Context(), to, http.MethodPost, s.URL+modelGlobalPath, []byte("{}"), 100); status != http.StatusTemporaryRedirect {
		t.Errorf("update: %d, %v", status, err)
	}
	e.poller.close()
	if tokens.Load() != 3 || asked.Load() != 0 {
		t.Errorf("the node saw %d tokens, want 3; the other host was asked %d times", tokens.Load(), asked.Load())
	}
}

// TestAPrefixThatOnlyBeginsAlikeIsTold: who lists nodes elsewhere, and meant a prefix as the beginning of a text, hears that
// no token goes there; once, and not of nodes that are not meant.
func TestAPrefixThatOnlyBeginsAlikeIsTold(t *testing.T) {
	e, err := New(Config{Sources: []Source{NewFileSource("nodes.txt")}, Access: []Access{
		{Prefix: "https://edge", Labels: map[string]string{"site": "ams"}},
		{Prefix: "https://edge-1.example.com"},
		{Prefix: "https://edge-2.example.com"},
		{Prefix: "https://edge-5"},
		{Prefix: "https://edge-5.example.com"},
		{Prefix: "https://"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ams := map[string]string{"site": "ams"}
	list := []Target{{URL: "https://edge-1.example.com"}, {URL: "https://edge-2.example.com:8443", Labels: ams}, {URL: "https://edge-3.example.com", Labels: ams}}
	e.listed(0, list, nil)
	e.listed(0, append(list, Target{URL: "https://edge-4.example.com", Labels: ams}, Target{URL: "https://edge-5.example.com"}), nil)
	var told []string
	for _, x := range e.log.Recent() {
		if strings.HasPrefix(x.Subject.String(), AccessKey) {
			what, _, _ := strings.Cut(x.Message.String(), ": ")
			told = append(told, x.Subject.String()+" "+what)
		}
	}
	want := []string{
		"edge.access[0] is not for https://edge-2.example.com:8443, though as text its prefix https://edge begins alike",
		"edge.access[2] is not for https://edge-2.example.com:8443, though as text its prefix https://edge-2.example.com begins alike",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
}
