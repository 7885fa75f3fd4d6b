package backend_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// law says what one room may import. A room without a law fails the test: give it its line here and in
// ARCHITECTURE.md.
type law struct {
	ours   []string // rooms of this module, beside those in everywhere
	others []string // modules no other room may use, by prefix
}

// everywhere may be imported by every room: they hold values, safego starts goroutines, and they import nothing of ours
// but one another.
var everywhere = []string{"backend/safetext", "backend/event", "backend/jsonlex", "backend/safego"}

// theScreen is what only a screen may import.
var theScreen = []string{"charm.land/", "github.com/charmbracelet/", "github.com/NimbleMarkets/", "golang.org/x/term"}

// io is what a view must not know: sockets, files, processes and clocks come to it as values.
var io = []string{"net", "net/http", "os", "os/exec", "io", "io/fs", "bufio", "log", "log/slog", "sync", "context",
	"database/sql", "github.com/IBM/sarama", "path/filepath"}

var laws = map[string]law{
	".":                     {ours: []string{"*"}},
	"config":                {},
	"backend":               {ours: []string{"backend/*", "config"}},
	"backend/api":           {ours: snapshots},
	"backend/check":         {ours: []string{"config", "backend/wire", "backend/kafka", "backend/features", "backend/model", "backend/edge", "backend/mesh"}},
	"backend/demo":          {ours: []string{"backend/kafka"}},
	"backend/edge":          {},
	"backend/event":         {},
	"backend/exit":          {},
	"backend/features":      {},
	"backend/history":       {ours: append([]string{"backend/timeline/pack"}, snapshots...)},
	"backend/host":          {},
	"backend/incident":      {ours: snapshots},
	"backend/kafka":         {ours: []string{"config"}},
	"backend/mesh":          {ours: []string{"backend/kafka"}},
	"backend/model":         {},
	"backend/pipeline":      {ours: []string{"backend/kafka", "backend/features", "backend/model"}},
	"backend/products":      {ours: []string{"backend/exit", "backend/kafka", "backend/mesh", "config"}},
	"backend/safego":        {},
	"backend/safetext":      {},
	"backend/session":       {ours: []string{"backend", "backend/api", "backend/demo", "backend/timeline", "config"}},
	"backend/jsonlex":       {},
	"backend/timeline/pack": {},
	"backend/timeline":      {ours: []string{"backend/pipeline", "backend/edge", "backend/mesh", "backend/host"}},
	"backend/wire":          {ours: []string{"config", "backend/kafka", "backend/features", "backend/model", "backend/edge"}},
	"tui": {ours: append([]string{"views", "views/viewstest", "tui/picture", "backend", "config"}, snapshots...), // viewstest and picture: for the gallery
		others: theScreen},
	"views/viewstest": {ours: append([]string{"backend/incident"}, snapshots...)},
	"tui/picture":     {others: []string{"golang.org/x/image"}},
	"views":           {ours: snapshots, others: theScreen},
}

// snapshots is what a reader of the timeline needs.
var snapshots = []string{"backend/timeline", "backend/pipeline", "backend/edge", "backend/mesh", "backend/host"}

func TestImportLaws(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || name == "examples" || strings.HasPrefix(name, ".") && name != ".." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		room := filepath.ToSlash(filepath.Dir(rel))
		seen[room] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		l, known := lawOf(room)
		if !known {
			t.Errorf("%s: the room %q has no law; add it to laws and to ARCHITECTURE.md", rel, room)
			return nil
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if why := breach(room, l, imported); why != "" {
				t.Errorf("%s imports %s: %s", rel, imported, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []string{"config", "backend", "backend/pipeline"} {
		if !seen[room] {
			t.Errorf("no Go file was found in %q: the test reads the wrong folder", room)
		}
	}
}

// lawOf is the law of a room; a room inside another one keeps the outer one's law, unless it has its own.
func lawOf(room string) (law, bool) {
	for {
		if l, known := laws[room]; known {
			return l, true
		}
		outer := path.Dir(room)
		if outer == "." || outer == "backend" {
			return law{}, false
		}
		room = outer
	}
}

// family is the outermost room that a room belongs to, such as backend/mesh for backend/mesh/scan.
func family(room string) string {
	parts := strings.SplitN(room, "/", 3)
	if parts[0] == "backend" && len(parts) > 2 {
		return parts[0] + "/" + parts[1]
	}
	return room
}

// breach says why room may not import a package, and is empty when it may.
func breach(room string, l law, imported string) string {
	inner, ours := strings.CutPrefix(imported, "weir/")
	switch {
	case imported == "weir":
		return "nobody imports main"
	case ours && slices.Contains(everywhere, inner):
		return ""
	case ours && family(inner) == family(room):
		return ""
	case ours:
		for _, allowed := range l.ours {
			if allowed == "*" || allowed == inner || strings.HasSuffix(allowed, "/*") && strings.HasPrefix(inner, strings.TrimSuffix(allowed, "*")) {
				return ""
			}
		}
		return "the law of " + room + " does not allow it"
	case room == "views" && slices.Contains(io, imported):
		return "views do no I/O and know no clock"
	case room != "." && hasPrefix(imported, theScreen) && !hasPrefix(imported, l.others):
		return "only views, tui and main know the terminal"
	}
	return ""
}

func hasPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// TestLawsBite makes sure that the law test can fail.
func TestLawsBite(t *testing.T) {
	for _, c := range []struct{ room, imported string }{
		{"backend/edge", "weir/backend/mesh"},
		{"backend/pipeline", "weir/config"},
		{"backend/pipeline", "charm.land/lipgloss/v2"},
		{"views", "net/http"},
		{"views", "weir/backend"},
		{"tui", "weir"},
		{"backend/demo", "weir/backend/pipeline"},
		{"config", "weir/backend/kafka"},
	} {
		if breach(c.room, laws[c.room], c.imported) == "" {
			t.Errorf("%s may import %s, which no law should allow", c.room, c.imported)
		}
	}
	if why := breach("backend/edge", laws["backend/edge"], "weir/backend/safetext"); why != "" {
		t.Errorf("edge may not import safetext: %s", why)
	}
}
