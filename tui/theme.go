package tui

import (
	"fmt"
	"os"
	"strings"

	"github.com/charmbracelet/colorprofile"

	"weir/views"
)

func themeWords() []string {
	words := []string{"auto"}
	for _, p := range views.Palettes {
		words = append(words, p.Name)
	}
	return words
}

// preview shows the theme that is being named at the prompt, as soon as it can be only one, and takes it back when it is
// not any more: only enter chooses it.
func (m *Model) preview() {
	name := ""
	if m.prompt != nil && m.prompt.kind == promptCommand {
		if begun, ok := strings.CutPrefix(m.prompt.text(), "theme "); ok && begun != "" {
			if fits := matching(themeWords(), strings.TrimSpace(begun)); len(fits) == 1 {
				name = fits[0]
			}
		}
	}
	switch {
	case name != "":
		if m.worn == "" {
			m.worn = m.palette
		}
		m.palette = name
	case m.worn != "":
		m.palette, m.worn = m.worn, ""
	default:
		return
	}
	m.dress()
}

// maxThemeFile bounds a theme file.
const maxThemeFile = 64 << 10

// setTheme chooses a theme by its name, or by the path of a theme file.
func (m *Model) setTheme(name string) error {
	if name == "auto" {
		m.palette = name
		m.dress()
		return nil
	}
	for _, p := range m.palettes {
		if p.Name == name {
			m.palette = name
			m.dress()
			return nil
		}
	}
	if !strings.ContainsAny(name, "./") {
		return fmt.Errorf("there is no theme %s; expected one of %s, or the path of a theme file", name, strings.Join(themeWords(), ", "))
	}
	if m.options.Remote && m.link != nil {
		return fmt.Errorf("a theme file is on the machine weir runs on: name it in its configuration")
	}
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("theme: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxThemeFile {
		return fmt.Errorf("theme %s: expected a file of at most %d bytes", name, maxThemeFile)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("theme: %w", err)
	}
	palette, err := views.ParsePalette(name, data)
	if err != nil {
		return err
	}
	m.palettes = append(m.palettes, palette)
	m.palette = palette.Name
	m.dress()
	return nil
}

// dress makes the theme of the palette chosen, for this terminal and its background.
func (m *Model) dress() {
	name := m.palette
	if name == "auto" {
		name = "dark"
		if !m.dark {
			name = "light"
		}
	}
	for _, p := range m.palettes {
		if p.Name == name {
			m.theme = views.NewTheme(p, m.profile, m.options.ASCII)
		}
	}
	m.dirty = true
}

// profileOf translates what the terminal can show. NO_COLOR with any value that is not empty means no colour, as its
// convention says; the library takes it for a boolean.
func profileOf(p colorprofile.Profile, env []string) views.Profile {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "NO_COLOR="); ok && v != "" {
			return views.NoColour
		}
	}
	switch p {
	case colorprofile.TrueColor:
		return views.TrueColour
	case colorprofile.ANSI256:
		return views.Colours256
	case colorprofile.ANSI:
		return views.Colours16
	}
	return views.NoColour
}
