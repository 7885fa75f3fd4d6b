package tui

import (
	"context"
	"fmt"
	"os"

	tea "charm.land/bubbletea/v2"

	"weir/views"
)

// Choice is what somebody chose on the welcome screen.
type Choice int

// The choices.
const (
	ChoiceQuit Choice = iota
	ChoiceDemo
	ChoiceInit
)

// Welcome is the screen of a machine without a weir.yaml: open the demo world, write a starter file, or quit. looked
// names the places where a configuration was looked for.
func Welcome(ctx context.Context, o Options, looked []string) (Choice, error) {
	var w *welcome
	err := run(ctx, os.Stdin, os.Stdout, os.Stderr, os.Environ(), func(_ context.Context, profile views.Profile, link *Link) (tea.Model, *string, error) {
		w = &welcome{looked: looked, theme: views.NewTheme(views.Palettes[0], profile, o.ASCII), profile: profile, ascii: o.ASCII, link: link}
		return w, &w.crash, nil
	}, o.LogPath)
	if err != nil {
		return ChoiceQuit, err
	}
	return w.chosen, nil
}

type welcome struct {
	looked  []string
	theme   *views.Theme
	profile views.Profile
	ascii   bool
	link    *Link
	w, h    int
	at      int
	chosen  Choice
	crash   string
}

var welcomeChoices = []struct {
	key    string
	choice Choice
	name   string
	what   string
}{
	{"d", ChoiceDemo, "Open the demo world", "an embedded broker, a fleet and data products on this machine, with real traffic"},
	{"i", ChoiceInit, "Write a starter weir.yaml", "here, commented, to be edited; nothing else is touched"},
	{"q", ChoiceQuit, "Quit", ""},
}

func (w *welcome) Init() tea.Cmd { return nil }

func (w *welcome) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		w.w, w.h = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		if !msg.IsDark() {
			w.theme = views.NewTheme(views.Palettes[1], w.profile, w.ascii)
		}
	case lostMsg:
		return w, tea.Quit
	case tea.KeyPressMsg:
		switch key := msg.String(); key {
		case "up", "k", "shift+tab":
			w.at = (w.at + len(welcomeChoices) - 1) % len(welcomeChoices)
		case "down", "j", "tab":
			w.at = (w.at + 1) % len(welcomeChoices)
		case "enter", "space":
			w.chosen = welcomeChoices[w.at].choice
			return w, tea.Quit
		case "ctrl+c", "esc":
			return w, tea.Quit
		default:
			for _, c := range welcomeChoices {
				if key == c.key {
					w.chosen = c.choice
					return w, tea.Quit
				}
			}
		}
	}
	return w, nil
}

func (w *welcome) View() tea.View {
	v := tea.NewView("")
	v.AltScreen, v.WindowTitle = true, "weir"
	if w.w > 0 {
		choices := make([]views.WelcomeChoice, len(welcomeChoices))
		for i, c := range welcomeChoices {
			choices[i] = views.WelcomeChoice{Key: c.key, Name: c.name, What: c.what}
		}
		v.Content = fmt.Sprint(w.theme.Welcome(w.w, w.h, w.looked, choices, w.at))
	}
	return v
}
