package config

import (
	"regexp"
	"strings"
)

// Two kinds of marks inside of strings are hidden from the YAML reader: before it reads, they are shifted to private
// characters of the same width, and back when a string is taken out. The columns of everything stay what they were.
//
//   - ${NAME} and ${NAME:-default} may stand unquoted wherever a string may, also between the braces of a flow map,
//     where YAML itself gives braces and commas a meaning.
//   - A colon without a space after it belongs to its plain string, as in [localhost:9092]. The library breaks such a
//     string in two where the list stands in a flow map.
var (
	expression = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}"'\r\n]*)?\}`)
	shift      = strings.NewReplacer("{", "\ue000", "}", "\ue001", ",", "\ue002", "[", "\ue003", "]", "\ue004", ":", "\ue005")
	unshift    = strings.NewReplacer("\ue000", "{", "\ue001", "}", "\ue002", ",", "\ue003", "[", "\ue004", "]", "\ue005", ":")
)

func shiftMarks(s string) string {
	if strings.Contains(s, "${") {
		s = expression.ReplaceAllStringFunc(s, shift.Replace)
	}
	var b strings.Builder
	b.Grow(len(s) + len(s)/8)
	for done := 0; ; {
		colon := strings.IndexByte(s[done:], ':')
		if colon < 0 {
			b.WriteString(s[done:])
			return b.String()
		}
		colon += done
		end := colon + 1
		for end < len(s) && s[end] == ':' {
			end++
		}
		b.WriteString(s[done:colon])
		ofString := end < len(s) && !strings.ContainsRune(" \t\n,[]{}", rune(s[end])) &&
			(colon == 0 || !strings.ContainsRune(`"']}`, rune(s[colon-1]))) // "key":value
		for range end - colon {
			if ofString {
				b.WriteString("\ue005")
			} else {
				b.WriteByte(':')
			}
		}
		done = end
	}
}

func isShifted(r rune) bool { return r >= 0xe000 && r <= 0xe005 }

// badExpansion says why a string cannot be expanded. At is the byte in the string where it begins.
type badExpansion struct {
	at                    int
	expected, found, hint string
}

// aSingleDollar is said of secrets, of which messages must not repeat a part.
var aSingleDollar = badExpansion{expected: "${NAME}", found: "a single $", hint: "write ${NAME} for an environment variable, or $$ for a dollar"}

// expand replaces ${NAME} and ${NAME:-default} in s by what getenv tells, and $$ by one dollar. The default counts
// when the variable is not set or empty. Changed tells whether anything was replaced by a variable's value.
func expand(s string, getenv func(string) (string, bool)) (out string, changed bool, bad []badExpansion) {
	if !strings.Contains(s, "$") {
		return s, false, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		rest := s[i:]
		switch {
		case rest[0] != '$':
			b.WriteByte(rest[0])
			i++
		case strings.HasPrefix(rest, "$$"):
			b.WriteByte('$')
			i += 2
		case strings.HasPrefix(rest, "${"):
			match := expression.FindStringIndex(rest)
			if match == nil || match[0] != 0 {
				bad = append(bad, badExpansion{i, "${NAME} or ${NAME:-default}", "a ${ that does not end so",
					"write a variable's name of letters, digits and _, or $$ for a dollar"})
				i += 2
				continue
			}
			name, fallback, hasFallback := strings.Cut(rest[2:match[1]-1], ":-")
			value, set := getenv(name)
			switch {
			case hasFallback && value == "":
				value = fallback
			case !set:
				bad = append(bad, badExpansion{i, "a value for the environment variable " + name, "none: it is not set",
					"set " + name + ", or write ${" + name + ":-default}"})
			}
			b.WriteString(value)
			changed = true
			i += match[1]
		case len(rest) > 1 && isNameStart(rest[1]):
			end := 1
			for end < len(rest) && isNamePart(rest[end]) {
				end++
			}
			name := rest[1:end]
			bad = append(bad, badExpansion{i, "${" + name + "}", "$" + name,
				"write ${" + name + "} for the environment variable, or $$" + name + " for a dollar"})
			i += end
		default:
			b.WriteByte('$')
			i++
		}
	}
	return b.String(), changed, bad
}

func isNameStart(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isNamePart(c byte) bool  { return isNameStart(c) || c >= '0' && c <= '9' }
