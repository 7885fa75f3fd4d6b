package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"weir/backend/safetext"
)

// The bounds of a file's shape. They keep the time and stack that reading it takes small whatever it holds.
const (
	maxDepth = 32
	maxKeys  = 4096
)

// source is a configuration file's text and the errors found in it.
type source struct {
	file   string
	lines  [][]rune // as written, with secrets masked once tokens were looked at
	tokens token.Tokens
	masked bool
	secret []string // literal secrets, to be kept out of messages
	late   []string // those of them that were found after the first message
	errs   Errors
}

// place is a stretch of one line; zero when it is about the file as a whole.
type place struct{ line, column, width int }

// parseSource turns bytes into a tree. It is nil when the text cannot be read at all, with the reasons in errs.
func parseSource(file string, data []byte) (s *source, root ast.Node) {
	s = &source{file: file}
	if len(data) > maxBytes {
		s.add(place{}, "", "at most "+formatSize(maxBytes), "more", "a configuration is small; is this the right file?")
		return s, nil
	}
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		s.add(place{}, "", "UTF-8", "UTF-16", "save the file as UTF-8")
		return s, nil
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	for _, line := range strings.Split(text, "\n") {
		s.lines = append(s.lines, []rune(line))
	}
	if !s.checkText(text) {
		return s, nil
	}
	text = shiftMarks(blankLines.ReplaceAllString(text, ""))
	tokens, ok := lex(text)
	s.tokens = tokens
	if !ok {
		s.addSyntax(errYAML)
		return s, nil
	}
	if !s.checkShape(tokens) {
		return s, nil
	}
	parsed, err := parseTokens(tokens)
	if err != nil {
		s.addSyntax(err)
		return s, nil
	}
	var docs []*ast.DocumentNode
	for _, doc := range parsed.Docs {
		if doc.Body != nil || doc.Start != nil && len(docs) > 0 {
			docs = append(docs, doc)
		}
	}
	if len(docs) == 0 {
		return s, nil
	}
	if len(docs) > 1 {
		at := place{1, 1, 1}
		if start := docs[1].Start; start != nil {
			at = place{start.Position.Line, start.Position.Column, 3}
		}
		if _, directive := docs[0].Body.(*ast.DirectiveNode); directive {
			s.add(place{1, 1, 1}, "", "the configuration itself", "a % directive", "remove the line: directives are not needed")
		} else {
			s.add(at, "", "one document", "a second one", "keep one and remove the other with its ---")
		}
		return s, nil
	}
	return s, docs[0].Body
}

// checkText refuses what YAML does not allow in a text, or only a mistake can have put there.
func (s *source) checkText(text string) bool {
	line, column := 1, 0
	indenting := true
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		column++
		at := place{line, column, 1}
		switch {
		case r == '\n':
			line, column, indenting = line+1, 0, true
		case r == '\t' && indenting && strings.Trim(lineAt(text, i), " \t") != "":
			s.add(at, "", "spaces for indentation", "a tab", "YAML allows no tabs there: write two spaces instead")
			indenting = false // one error a line
		case r == utf8.RuneError && size == 1:
			s.add(at, "", "UTF-8", fmt.Sprintf("the byte 0x%02x", text[i]), "save the file as UTF-8")
			return false
		case r < 0x20 && r != '\t' || r >= 0x7f && r < 0xa0 || isShifted(r) || r == '\ufeff' || r == '\u2028' || r == '\u2029' || r == '\u0085':
			s.add(at, "", "text", fmt.Sprintf("the character U+%04X", r), "remove it: it cannot be seen and means nothing here")
			return false
		case r != ' ' && r != '\t':
			indenting = false
		}
		i += size
	}
	return len(s.errs) == 0
}

// lineAt is the rest of text's line from i.
func lineAt(text string, i int) string {
	if end := strings.IndexByte(text[i:], '\n'); end >= 0 {
		return text[i : i+end]
	}
	return text[i:]
}

// checkShape bounds depth and keys before the parser, whose time and stack depend on them, sees the tokens.
func (s *source) checkShape(tokens token.Tokens) bool {
	depth, keys, entries, entryLine := 0, 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.MappingValueType, token.MappingKeyType, token.TagType, token.AnchorType, token.AliasType:
			keys++
		case token.SequenceEntryType:
			if t.Position.Line != entryLine {
				entries, entryLine = 0, t.Position.Line
			}
			entries++
		}
		if depth > maxDepth || entries > maxDepth || t.Position.IndentLevel > maxDepth {
			s.addDepth(tokenPlace(t))
			return false
		}
		if keys > maxKeys {
			s.add(tokenPlace(t), "", fmt.Sprintf("at most %d keys", maxKeys), "more", "is this the right file? A large fleet stands in a file of its own, named in edge.sources")
			return false
		}
	}
	return true
}

func (s *source) addDepth(at place) {
	s.add(at, "", fmt.Sprintf("at most %d levels", maxDepth), "more", "nothing in weir.yaml nests so deep; is this the right file?")
}

func lex(text string) (tokens token.Tokens, ok bool) {
	defer func() {
		if recover() != nil { // a fault of the YAML library's must not take the program down
			tokens, ok = nil, false
		}
	}()
	return lexer.Tokenize(text), true
}

var errYAML = errors.New("something the YAML reader gives up on")

func parseTokens(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			file, err = nil, errYAML
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// addSyntax reports what the parser says. It stops at the first mistake, so this is one error.
func (s *source) addSyntax(err error) {
	var syntax interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &syntax) {
		s.add(place{1, 1, 1}, "", "YAML", err.Error(), "compare the file with what `weir init` writes")
		return
	}
	at := place{1, 1, 1}
	if t := syntax.GetToken(); t != nil && t.Position != nil {
		at = place{t.Position.Line, t.Position.Column, 1}
	}
	message := syntax.GetMessage()
	var hint string
	switch {
	case strings.Contains(message, "mapping value is not allowed"):
		hint = "put a text that holds a colon and a space in quotes, and check the indentation"
	case strings.Contains(message, "end character of"):
		hint = "close the quote"
	case strings.Contains(message, "end token"), strings.Contains(message, "must be specified"):
		hint = "close the bracket, and separate its entries by commas"
	case strings.Contains(message, "could not find '"):
		hint = "there is no opening bracket for this one"
	case strings.Contains(message, "cannot start any token"):
		hint = "put the text in quotes"
	default:
		hint = "check the indentation: the keys of one section stand in one column"
	}
	s.add(at, "", "YAML", "a mistake in its syntax: "+message, hint)
}

// blankLines matches the spaces of lines that have nothing else; the YAML reader trips over tabs there.
var blankLines = regexp.MustCompile(`(?m)^[ \t]+$`)

// add notes one error. Everything in it is made safe for a terminal.
func (s *source) add(at place, key, expected, found, hint string) {
	s.maskSecrets()
	e := Error{
		File: s.safe(s.file), Line: at.line, Column: at.column, Key: s.safe(key),
		Expected: s.safe(expected), Found: s.safe(found), Hint: s.safe(hint), at: at,
	}
	s.show(&e)
	s.errs = append(s.errs, e)
}

// shownRunes bounds the part of a line that an error shows.
const shownRunes = 100

// show puts the source line and the caret's place into e.
func (s *source) show(e *Error) {
	at := e.at
	if at.line < 1 || at.line > len(s.lines) {
		return
	}
	line := s.lines[at.line-1]
	from := min(max(at.column-1, 0), len(line))
	to := min(from+max(at.width, 1), len(line))
	first, last, before, after := 0, len(line), "", ""
	if len(line) > shownRunes {
		if first = max(from-shownRunes/2, 0); first > 0 {
			before = "…"
		}
		if last = min(first+shownRunes, len(line)); last < len(line) {
			after = "…"
		}
		to = min(to, last)
	}
	head := before + clean(line[first:from])
	marked := clean(line[from:to])
	e.Source = head + marked + clean(line[to:last]) + after
	e.caret, e.width = cells(head), cells(marked)
}

func clean(runes []rune) string {
	return safetext.Clean(strings.ReplaceAll(string(runes), "\t", " ")).String()
}
