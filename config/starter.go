package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// commentColumn is where the comments of the starter file begin.
const commentColumn = 44

// Starter is what `weir init` writes: every key with its default, or an example where there is none, and what it
// means. Sections that not everybody needs stand there as comments.
func Starter() []byte {
	var b strings.Builder
	b.WriteString(`# weir.yaml: what weir reads, judges and shows.
#
# Every value below is the default, or an example where there is none; remove what you do not change. Lines that
# begin with # and a key are switched off: remove the # of the section's lines to switch it on.
# Durations have a unit (500ms, 15s, 5m, 24h, 7d), sizes too (1MiB). ${NAME} and ${NAME:-default} take a value from
# the environment, $$ is a dollar. Relative paths start in this file's folder.
# ` + "`weir check`" + ` tells whether this file is right and whether everything it names can be reached.
`)
	for _, f := range schema(&Config{}) {
		b.WriteString("\n# " + f.doc + "\n")
		writeStarter(&b, []field{f}, "", "", f.off)
	}
	return []byte(b.String())
}

// Create writes the starter file, whole or not at all, and leaves a file that is there already as it is.
func Create(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is already there and was left as it is; move it away, or name another with --config", path)
	}
	if err != nil {
		return fmt.Errorf("write the starter file: %w; go to a folder that can be written to, or name another file with --config", err)
	}
	_, err = file.Write(Starter())
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the starter file: %w", errors.Join(err, os.Remove(path))) // half of it would only be in the way
	}
	return nil
}

// writeStarter writes the fields at an indent. Off is the place of the # in lines that are switched off: their
// section's indent.
func writeStarter(b *strings.Builder, fields []field, indent, off string, isOff bool) {
	for _, f := range fields {
		off, isOff := off, isOff
		if f.off && !isOff {
			off, isOff = indent, true
		}
		value := f.fallback
		if value == "" {
			value = f.example
		}
		doc := f.doc
		if len(f.is.oneOf) > 0 {
			doc = strings.Join(f.is.oneOf, ", ") + "; " + doc
		}
		if indent == "" { // a top section's doc stands above it
			doc = ""
		}
		margin := indent
		if isOff {
			margin = off + "#" + strings.TrimPrefix(indent, off)
		}
		entries, isList := f.to.(*[]string)
		switch {
		case f.each != nil:
			writeLine(b, margin+f.key+":", doc)
			for entry := range strings.SplitSeq(value, "\n") {
				writeLine(b, margin+"  - "+entry, "")
			}
		case f.fields != nil:
			writeLine(b, margin+f.key+":", doc)
			writeStarter(b, f.fields, indent+"  ", off, isOff)
		case isList && entries != nil && strings.Contains(value, ","):
			writeLine(b, margin+f.key+":", doc)
			for _, entry := range strings.Split(strings.Trim(value, "[]"), ", ") {
				writeLine(b, margin+"  - "+entry, "")
			}
		default:
			writeLine(b, margin+f.key+": "+value, doc)
		}
	}
}

func writeLine(b *strings.Builder, line, comment string) {
	if comment != "" {
		line = fmt.Sprintf("%-*s # %s", commentColumn, line, comment)
	}
	b.WriteString(line + "\n")
}
