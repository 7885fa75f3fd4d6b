package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// format is what the text of a field must look like.
type format struct {
	name  string // for the reference's Type column
	want  string // for messages: "expected …"
	check func(s string) (hint string, ok bool)
	path  func(s string) bool // whether s is a path: a relative one resolves against the file's folder
	oneOf []string
	same  func(s string) string // two texts are one if same gives one; nil: if they are equal
}

var (
	anyText    = format{name: "text", want: "a text"}
	filePath   = format{name: "file", want: "a file's path", path: always}
	folderPath = format{name: "folder", want: "a folder's path", path: always}
	address    = format{name: "host:port", want: "host:port such as localhost:9092", check: checkAddress, same: strings.ToLower}
	listen     = format{name: "host:port", want: "host:port such as 127.0.0.1:9464 or :9464", check: checkListen}
	httpURL    = format{name: "URL", want: "a URL such as http://localhost:8080", check: checkURL, same: sameURL}
	endpoint   = format{name: "URL", want: "a URL such as https://api.example.com/data/ingest", check: checkEndpoint}
	topicName  = format{name: "topic", want: "a Kafka topic's name", check: checkTopic}
	groupName  = format{name: "text", want: "a consumer group's name", check: checkGroup}
	feature    = format{name: "view:feature", want: "view:feature such as user_profile:age", check: checkFeature}
	hostName   = format{name: "host", want: "a host's name", check: checkHost}
)

// fileOrURL is a URL, told by its scheme, or a file's path.
var fileOrURL = format{name: "URL, or a file", want: "a URL such as https://lineage.example.com/api/v1/lineage, or a file's path",
	path: func(s string) bool { return !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") },
	check: func(s string) (string, bool) {
		if !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
			return "", true
		}
		return checkEndpoint(s)
	},
}

// themeName is one of the console's own themes or the path of a theme file, told by its dot or slash.
var themeName = func() format {
	f := oneOf("auto", "dark", "light", "colour-blind")
	words := f.check
	f.name, f.want = f.name+", or a file", f.want+", or a theme file's path"
	f.path = func(s string) bool { return strings.ContainsAny(s, "./") }
	f.check = func(s string) (string, bool) {
		if f.path(s) {
			return "", true
		}
		return words(s)
	}
	return f
}()

func always(string) bool { return true }

func oneOf(words ...string) format {
	return format{
		name:  strings.Join(words, ", "),
		want:  "one of " + strings.Join(words, ", "),
		oneOf: words,
		check: func(s string) (string, bool) {
			for _, w := range words {
				if s == w {
					return "", true
				}
			}
			if near := nearest(s, words); near != "" {
				return "did you mean " + near + "?", false
			}
			return "", false
		},
	}
}

func checkAddress(s string) (string, bool) {
	if hint, ok := checkListen(s); !ok {
		return hint, false
	}
	if strings.HasPrefix(s, ":") {
		return "write the host before the colon: localhost" + s, false
	}
	if strings.HasSuffix(s, ":0") {
		return "a port is a number from 1 to 65535", false
	}
	return "", true
}

func checkListen(s string) (string, bool) {
	if strings.Contains(s, "://") {
		return "leave out " + s[:strings.Index(s, "://")+3] + ": it is an address, not a URL", false
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if _, e := netip.ParseAddr(s); e == nil && strings.Contains(s, ":") {
			return "write an IPv6 address in brackets: [" + s + "]:9092", false
		}
		if !strings.Contains(s, ":") {
			return "write the port too: " + s + ":9092", false
		}
		return "write an IPv6 address in brackets: [::1]:9092", false
	}
	if n, err := strconv.Atoi(port); err != nil || n > 65535 || strings.ContainsAny(port, "+-") {
		return "a port is a number from 1 to 65535", false
	}
	if host == "" {
		return "", true
	}
	if strings.HasPrefix(s, "[") {
		if _, err := netip.ParseAddr(host); err != nil {
			return "only an IPv6 address stands in brackets", false
		}
		return "", true
	}
	return checkHost(host)
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?$`)

func checkHost(s string) (string, bool) {
	if !hostPattern.MatchString(s) {
		return "a host's name has letters, digits, dots and hyphens; write others in punycode (xn--…)", false
	}
	return "", true
}

func checkURL(s string) (string, bool) {
	if hint, ok := checkEndpoint(s); !ok {
		return hint, false
	}
	u, _ := url.Parse(s)
	if u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(s, "?#") {
		return "leave out the ? or # part: weir appends its own path", false
	}
	return "", true
}

// lowerHost writes a URL's scheme and host in lower case; its path means what it says.
func lowerHost(s string) string {
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		host, path, _ := strings.Cut(rest, "/")
		return strings.ToLower(scheme+"://"+host) + "/" + path
	}
	return s
}

// sameURL is the same for all spellings of a URL: lowerHost, without the scheme's own port.
func sameURL(s string) string {
	s = lowerHost(s)
	scheme, rest, _ := strings.Cut(s, "://")
	host, path, ok := strings.Cut(rest, "/")
	if own := map[string]string{"http": ":80", "https": ":443"}[scheme]; ok && own != "" {
		return scheme + "://" + strings.TrimSuffix(host, own) + "/" + path
	}
	return s
}

func checkEndpoint(s string) (string, bool) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return "it does not parse as a URL", false
	case u.Scheme != "http" && u.Scheme != "https":
		return "begin it with http:// or https://", false
	case u.User != nil:
		return "leave out the user and password: a URL ends up in logs", false
	case u.Hostname() == "":
		return "name the host: " + u.Scheme + "://host:port", false
	case u.Fragment != "":
		return "leave out the # part: it is never sent", false
	}
	host := u.Host
	if u.Port() == "" {
		if strings.HasSuffix(host, ":") {
			return "write the port after the colon", false
		}
		host += ":80"
	}
	return checkListen(host)
}

var topicPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

func checkTopic(s string) (string, bool) {
	if !topicPattern.MatchString(s) || s == "." || s == ".." {
		return "a topic's name has at most 249 letters, digits, dots, hyphens and underscores", false
	}
	return "", true
}

func checkGroup(s string) (string, bool) {
	if len(s) > 255 {
		return "at most 255 bytes", false
	}
	return "", true
}

func checkFeature(s string) (string, bool) {
	view, name, ok := strings.Cut(s, ":")
	if !ok && strings.Contains(s, "__") {
		return "write " + strings.Replace(s, "__", ":", 1), false
	}
	if !ok || view == "" || name == "" || strings.ContainsAny(s, " \t") || strings.Contains(name, ":") {
		return "write the feature view, a colon and the feature, without spaces", false
	}
	return "", true
}

// nearest is the word most like s, or "" when none is like it.
func nearest(s string, words []string) string {
	best, bestDistance := "", max(2, len(s)/3)+1
	if len(s) > 64 {
		return ""
	}
	for _, w := range words {
		if d := distance(strings.ToLower(s), strings.ToLower(w)); d < bestDistance && d < len(w) {
			best, bestDistance = w, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour to make b of a (optimal
// string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
