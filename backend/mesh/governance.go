package mesh

import (
	"fmt"
	"io"

	"weir/backend/mesh/contract"
)

// WriteLint writes what a lint found in a product, under the name of its file. It gives the exit code: 0 without
// errors, else 1.
func WriteLint(w io.Writer, name string, p DataProduct) (int, error) {
	out := printer{w: w}
	code := 0
	findings := contract.Lint(p)
	for _, f := range findings {
		place := name
		if f.Line > 0 {
			place = fmt.Sprintf("%s:%d:%d", name, f.Line, max(f.Col, 1))
		}
		kind := "rule"
		if f.Policy {
			kind = "policy"
		}
		out.line("%s: %s (%s): %s", place, f.Severity, kind, f.Message)
		if f.Severity == contract.Fatal {
			code = 1
		}
	}
	if len(findings) == 0 {
		out.line("%s: nothing to say against %s", name, p.Key())
	}
	return code, out.err
}

// WriteDiff writes what changed between versions of a product, oldest first, the last being the new one, and whom each
// change breaks. With mode it gives the exit code that gates a merge: 0 if the change from the version before the last
// (with transitive set: from every earlier one) is compatible, else 1. Without mode it is 0.
func WriteDiff(w io.Writer, versions []DataProduct, mode contract.Mode, transitive bool) (int, error) {
	if len(versions) < 2 {
		return 2, fmt.Errorf("a difference takes two versions, got %d", len(versions))
	}
	out := printer{w: w}
	last := versions[len(versions)-1]
	from := len(versions) - 2
	if transitive {
		from = 0
	}
	code := 0
	for i := len(versions) - 2; i >= from; i-- {
		changes := contract.Diff(versions[i], last)
		out.line("%s %s → %s", last.Key(), or(versions[i].Version, "?"), or(last.Version, "?"))
		consumers, producers := 0, 0
		for _, c := range changes {
			mark, whom := " ", ""
			switch {
			case c.Consumers && c.Producers:
				whom = "breaks consumers and producers: "
			case c.Consumers:
				whom = "breaks consumers: "
			case c.Producers:
				whom = "breaks producers: "
			}
			if c.Consumers {
				consumers++
			}
			if c.Producers {
				producers++
			}
			if whom != "" {
				mark = "!"
			}
			if mode != "" && !mode.Allows(c) {
				mark, code = "✕", 1
			}
			out.line("  %s %s", mark, c.What)
			if c.Why != "" {
				out.line("      %s%s", whom, c.Why)
			}
		}
		switch {
		case len(changes) == 0:
			out.line("  nothing changed")
		case consumers == 0 && producers == 0:
			out.line("  FULL: nobody breaks")
		case consumers == 0:
			out.line("  FORWARD only: consumers are safe, producers must follow first")
		case producers == 0:
			out.line("  BACKWARD only: producers are safe, consumers (%s) must follow first", orNobody(versions[i].Consumers))
		default:
			out.line("  neither BACKWARD nor FORWARD: consumers (%s) and producers break", orNobody(versions[i].Consumers))
		}
	}
	return code, out.err
}
