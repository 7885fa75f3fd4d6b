package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"

	"weir/backend/safetext"
)

// minMasked is the length from which a literal secret is masked wherever it is repeated, not only at its own place.
const minMasked = 4

var (
	secretOnLine   = regexp.MustCompile(`(?i)(?:password|token|secret)["']?\s*:\s*(\S.*)$`)
	credentialsURL = regexp.MustCompile(`://([^/@\s"']*)@`)
)

// maxRepeats bounds the secrets that are looked for everywhere; further ones are masked at their own place only.
const maxRepeats = 64

// maskSecrets overwrites literal secrets in the lines that errors will show. It goes by the key's name, so that it
// works also for a text that cannot be parsed or has its keys in the wrong place. It is done before the first error;
// most files have none and are spared it.
func (s *source) maskSecrets() {
	if s.masked {
		return
	}
	s.masked = true
	tokens := s.tokens
	for i, t := range tokens {
		if t.Type != token.MappingValueType || i == 0 || i+1 >= len(tokens) || !isSecretKey(tokens[i-1].Value) {
			continue
		}
		for _, v := range tokens[i+1 : min(i+4, len(tokens))] { // past a block scalar's header and a comment
			if v.Type == token.LiteralType || v.Type == token.FoldedType || v.Type == token.CommentType {
				continue
			}
			for _, part := range strings.Split(v.Value, "\n") {
				if part = strings.TrimSpace(unshift.Replace(part)); part != "" && !isReference(part) && len(s.secret) < maxRepeats {
					s.secret = append(s.secret, part)
				}
			}
			break
		}
	}
	for _, line := range s.lines {
		text := string(line)
		for _, pattern := range []*regexp.Regexp{credentialsURL, secretOnLine} {
			m := pattern.FindStringSubmatchIndex(text)
			if m == nil {
				continue
			}
			value := text[m[2]:m[3]]
			if pattern == secretOnLine {
				value = value[:scalarEnd(value)]
			}
			if isReference(strings.Trim(value, `"'`)) {
				continue
			}
			mask(line, utf8.RuneCountInString(text[:m[2]]), utf8.RuneCountInString(value))
		}
		for _, secret := range s.secret {
			maskAll(line, secret)
		}
	}
}

// foundSecret takes up a literal secret that its key's name did not give away. The messages so far are said again by
// hideSecrets.
func (s *source) foundSecret(at place, text string) {
	if isReference(text) || at.line < 1 || at.line > len(s.lines) {
		return
	}
	mask(s.lines[at.line-1], at.column-1, at.width)
	if len(s.secret) < maxRepeats && !slices.Contains(s.secret, text) {
		s.secret = append(s.secret, text)
		s.late = append(s.late, text)
	}
}

// hideSecrets masks what foundSecret took up in what was said already.
func (s *source) hideSecrets() {
	if len(s.errs) == 0 {
		return
	}
	for _, text := range s.late {
		for _, line := range s.lines {
			maskAll(line, text)
		}
	}
	for i := range s.errs {
		e := &s.errs[i]
		e.Expected, e.Found, e.Hint = s.safe(e.Expected), s.safe(e.Found), s.safe(e.Hint)
		s.show(e)
	}
}

// safe takes from a text what a terminal would act on and the secrets it repeats.
func (s *source) safe(text string) string {
	text = unshift.Replace(text)
	for _, secret := range s.secret {
		if len(secret) >= minMasked {
			text = strings.ReplaceAll(text, secret, "******")
		}
	}
	return safetext.Clean(text).String()
}

func maskAll(line []rune, secret string) {
	want := []rune(secret)
	for from := 0; len(want) >= minMasked && from+len(want) <= len(line); from++ {
		if slices.Equal(line[from:from+len(want)], want) {
			mask(line, from, len(want))
		}
	}
}

func mask(line []rune, from, n int) {
	for i := from; i < min(from+n, len(line)); i++ {
		line[i] = '*'
	}
}

// isReference tells whether a secret's text only names a variable, without anything literal.
func isReference(text string) bool {
	match := expression.FindString(text)
	return match != "" && match == text && !strings.Contains(text, ":-")
}

// scalarEnd is where the scalar that text begins with ends, as far as one line tells.
func scalarEnd(text string) int {
	if text == "" {
		return 0
	}
	if match := expression.FindStringIndex(text); match != nil && match[0] == 0 {
		return match[1] + scalarEnd(text[match[1]:])
	}
	if quote := text[0]; quote == '"' || quote == '\'' {
		if end := strings.IndexByte(text[1:], quote); end >= 0 {
			return end + 2
		}
		return len(text)
	}
	if end := strings.IndexAny(text, ",}"); end >= 0 {
		return end
	}
	return len(text)
}

func isSecretKey(key string) bool {
	key = strings.ToLower(key)
	return strings.Contains(key, "password") || strings.Contains(key, "token") || strings.Contains(key, "secret")
}
