package tui

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"weir/views"
)

// copy puts the row under the cursor, or the text that is shown, on the reader's clipboard by OSC 52.
func (m *Model) copy() tea.Cmd {
	text := views.CopyText(&m.screen.Pages[m.console.Focus], &m.screen.Panes[m.console.Focus])
	if text == "" {
		m.say(views.Warn, "there is nothing to copy here")
		return nil
	}
	first, _, more := strings.Cut(text, "\n")
	if more {
		first = fmt.Sprintf("%d lines", strings.Count(text, "\n")+1)
	}
	m.say(views.Good, "copied "+strings.Join(strings.Split(first, "\t"), "  "))
	return func() tea.Msg { return clipboardMsg{ansi.SetSystemClipboard(text)} }
}

// commandExport writes what the focused pane shows: all rows that pass the filter, in their order.
func (m *Model) commandExport(args []string) (tea.Cmd, error) {
	if m.options.Remote {
		return nil, fmt.Errorf("export writes files where weir runs, not where you are; y copies to your clipboard")
	}
	if len(args) == 0 || len(args) > 2 {
		return nil, fmt.Errorf("export expects md, csv or json, and may take a file")
	}
	p := m.console.Focus
	scene := m.scene()
	if scene.Snap == nil {
		return nil, fmt.Errorf("there is nothing to export yet")
	}
	page := &m.screen.Pages[p]
	text, err := scene.Export(p, page, *m.focused(), args[0])
	if err != nil {
		return nil, err
	}
	path, again := "", ""
	if len(args) == 2 {
		path = args[1]
	} else {
		name := strings.ReplaceAll(strings.ToLower(p.String()), " ", "-")
		name = fmt.Sprintf("weir-%s-%s", name, scene.Snap.At.UTC().Format("20060102T150405Z"))
		path, again = name+"."+args[0], name+"-%d."+args[0]
	}
	return func() tea.Msg {
		// O_EXCL: an export never writes over a file that is there. Of one moment there may be several.
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		for n := 2; again != "" && errors.Is(err, fs.ErrExist) && n < 100; n++ {
			path = fmt.Sprintf(again, n)
			f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		}
		if err != nil {
			return saidMsg{err: fmt.Errorf("export: %w", err)}
		}
		_, err = f.WriteString(text)
		if closing := f.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return saidMsg{err: fmt.Errorf("export: %w", err)}
		}
		if full, err := filepath.Abs(path); err == nil {
			path = full
		}
		return saidMsg{text: "wrote " + path}
	}, nil
}
