package tui

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"weir/backend"
	"weir/views"
)

// uiCommand is a command of the console itself. The runtime's own commands stand beside them after a colon.
type uiCommand struct {
	backend.CommandSpec
	do func(m *Model, args []string) (tea.Cmd, error)
}

func uiCommands() []uiCommand {
	words := func(list ...string) func(string) []string {
		return func(prefix string) []string { return matching(list, prefix) }
	}
	return []uiCommand{
		{backend.CommandSpec{Name: "at", Usage: "TIME|-AGO", Summary: "hold every pane at 14:32, 14:32:07 or -10m"}, (*Model).commandAt},
		{backend.CommandSpec{Name: "live", Summary: "back to live"}, func(m *Model, _ []string) (tea.Cmd, error) {
			m.cursor = m.cursor.Follow()
			return nil, nil
		}},
		{backend.CommandSpec{Name: "incidents", Summary: "what is wrong: since when, what it touches, what to do"}, func(m *Model, _ []string) (tea.Cmd, error) {
			m.visit(views.ToIncidents)
			return nil, nil
		}},
		{backend.CommandSpec{Name: "zoom", Usage: "[PANE]", Summary: "zoom a pane, or zoom out", Complete: words(paneWords()...)}, (*Model).commandZoom},
		{backend.CommandSpec{Name: "filter", Usage: "[TEXT]", Summary: "filter the pane in focus; without TEXT, clear its filter"}, func(m *Model, args []string) (tea.Cmd, error) {
			if err := m.filterable(); err != nil && len(args) > 0 {
				return nil, err
			}
			m.focused().Filter = strings.Join(args, " ")
			return nil, nil
		}},
		{backend.CommandSpec{Name: "group", Usage: "LABEL", Summary: "group the map of the fleet by a label"}, (*Model).commandGroup},
		{backend.CommandSpec{Name: "export", Usage: "md|csv|json [FILE]", Summary: "write what the pane in focus shows to a file", Complete: words("md", "csv", "json")}, (*Model).commandExport},
		{backend.CommandSpec{Name: "theme", Usage: "NAME|FILE", Summary: "use the theme auto, dark, light or colour-blind, or a theme file", Complete: words(themeWords()...)}, func(m *Model, args []string) (tea.Cmd, error) {
			if len(args) != 1 {
				return nil, fmt.Errorf("theme expects one of %s, or a file", strings.Join(themeWords(), ", "))
			}
			return nil, m.setTheme(args[0])
		}},
		{backend.CommandSpec{Name: "zone", Usage: "local|utc|event", Summary: "show local, UTC or event time", Complete: words("local", "utc", "event")}, (*Model).commandZone},
		{backend.CommandSpec{Name: "help", Summary: "show the keys and commands"}, func(m *Model, _ []string) (tea.Cmd, error) {
			m.helping = 1
			return nil, nil
		}},
		{backend.CommandSpec{Name: "q", Summary: "quit"}, func(*Model, []string) (tea.Cmd, error) { return tea.Quit, nil }},
	}
}

func paneWords() []string {
	var out []string
	for p := views.Throughput; p < views.PaneCount; p++ {
		out = append(out, strings.ToLower(strings.Fields(p.String())[0]))
	}
	return out
}

func matching(list []string, prefix string) []string {
	var out []string
	for _, w := range list {
		if strings.HasPrefix(w, prefix) {
			out = append(out, w)
		}
	}
	return out
}

// commandSpecs are all commands that are offered here: without those that change the world where that is not allowed,
// and without those that the console gives by itself.
func (m *Model) commandSpecs() []backend.CommandSpec {
	return slices.DeleteFunc(m.knownSpecs(), func(c backend.CommandSpec) bool { return c.Unasked })
}

// knownSpecs are all commands that are understood here, offered or not.
func (m *Model) knownSpecs() []backend.CommandSpec {
	out := m.runtimeSpecs()
	for _, c := range uiCommands() {
		if c.Name == "export" && m.options.Remote {
			continue
		}
		if c.Name == "group" {
			c.Complete = m.groupings
		}
		out = append(out, c.CommandSpec)
	}
	return out
}

// runtimeSpecs are the runtime's commands that this console may give.
func (m *Model) runtimeSpecs() []backend.CommandSpec {
	var out []backend.CommandSpec
	for _, c := range m.rt.Commands() {
		if !c.Changes || !m.options.Console.ReadOnly {
			out = append(out, c)
		}
	}
	return out
}

// run carries out a typed command.
func (m *Model) run(line string) tea.Cmd {
	words := strings.Fields(strings.TrimPrefix(line, ":"))
	if len(words) == 0 {
		return nil
	}
	m.remember(0, strings.Join(words, " "))
	name, args := words[0], words[1:]
	if name == "quit" {
		name = "q"
	}
	specs := m.knownSpecs()
	i := slices.IndexFunc(specs, func(s backend.CommandSpec) bool { return s.Name == name })
	if i < 0 { // an unambiguous beginning is enough
		var fits []string
		for k, s := range specs {
			if strings.HasPrefix(s.Name, name) && !s.Unasked {
				i, fits = k, append(fits, s.Name)
			}
		}
		switch {
		case len(fits) == 0:
			m.say(views.Bad, "there is no command "+name+"; ? lists them all")
			return nil
		case len(fits) > 1:
			m.say(views.Bad, name+" could be "+strings.Join(fits, " or "))
			return nil
		}
	}
	spec := specs[i]
	for _, c := range uiCommands() {
		if c.Name == spec.Name {
			cmd, err := c.do(m, args)
			if err != nil {
				m.say(views.Bad, err.Error())
			}
			return cmd
		}
	}
	if spec.Name == "inspect" && len(args) == 1 {
		m.visitRecord(args[0])
	}
	if spec.Changes {
		if err := spec.Refuse(args); err != nil { // nothing to ask about
			m.say(views.Bad, err.Error())
			return nil
		}
		m.asking = &question{spec: spec, args: args}
		m.prompt = newPrompt(promptReason, "", nil)
		return nil
	}
	return m.command(spec, args, "")
}

// visitRecord opens the page of an event by its place, if that is one.
func (m *Model) visitRecord(place string) {
	partition, offset, ok := strings.Cut(place, "/")
	for _, word := range []string{partition, offset} {
		if n, err := strconv.ParseInt(word, 10, 64); err != nil || n < 0 {
			ok = false
		}
	}
	if ok {
		m.visit(views.Goto{Pane: views.Throughput, Path: []views.Level{{Key: partition}, {Key: place}}})
	}
}

// command gives a command to the runtime; its answer comes as a message.
func (m *Model) command(spec backend.CommandSpec, args []string, reason string) tea.Cmd {
	m.say(views.Faint, spec.Name+" …")
	c := backend.Command{Name: spec.Name, Args: args, Reason: reason, Who: m.options.Who}
	return func() (msg tea.Msg) {
		defer func() {
			if r := recover(); r != nil {
				msg = saidMsg{err: fmt.Errorf("%s failed: %v", c.Name, r)}
			}
		}()
		said, err := m.rt.Do(m.ctx, c)
		return saidMsg{said, err}
	}
}

func (m *Model) remember(kind int, line string) {
	h := m.history[kind]
	if line == "" || len(h) > 0 && h[len(h)-1] == line {
		return
	}
	h = append(h, line)
	m.history[kind] = h[max(len(h)-100, 0):]
}

// question is a command that changes the world, before it does.
type question struct {
	spec backend.CommandSpec
	args []string
	// short is the command in a few words, and extent what it touches, where that is known better than by its name.
	short, extent string
}

// undo tells how commands are taken back; a command not listed cannot be.
var undo = map[string]string{
	"pause": "yes, by :resume", "resume": "yes, by :pause", "drain": "yes, by :resume", "fault": "yes, by :fault clear NAME",
	"quarantine": "yes, by :release", "release": "yes, by :quarantine",
	"requeue": "no; what is refused again becomes a dead letter again",
	"seek":    "by another :seek; what was predicted twice stays so",
	"model":   "yes: a load by :model rollback, a rollback by another",
	"replay":  "no: what is sent back is processed like any other event",
}

func (q *question) view(m *Model) views.Question {
	v := views.Question{Command: strings.TrimSpace(q.spec.Name + " " + strings.Join(q.args, " ")), Summary: q.spec.Summary,
		Undo: undo[q.spec.Name], Who: m.options.Who}
	switch {
	case v.Undo == "":
		v.Undo = "no"
	case q.spec.Name == "fault" && len(q.args) > 0:
		v.Undo = strings.ReplaceAll(v.Undo, "NAME", q.args[0])
		if q.args[0] == "clear" {
			v.Undo = "yes, by another :fault"
		}
	case q.spec.Name == "model" && len(q.args) > 0 && q.args[0] == "baseline":
		v.Undo = "yes, by :model baseline training" // no rollback brings a baseline back
	}
	if q.short != "" {
		v.Command, v.Extent = q.short, q.extent
		return v
	}
	x := m.rt.Timeline().Newest()
	if x == nil {
		return v
	}
	switch {
	case x.Edge != nil && (q.spec.Name == "sync"):
		v.Extent = fmt.Sprintf("one aggregate of %d nodes, %d waiting ahead of it", x.Edge.Nodes, x.Edge.Cloud.Outbox)
	case x.Edge != nil && q.spec.Name == "requeue":
		v.Extent = fmt.Sprintf("the aggregates the cloud refused: %d so far", x.Edge.Cloud.DeadLettered)
	case x.Edge != nil && (q.spec.Name == "quarantine" || q.spec.Name == "release"):
		v.Extent = m.nodeExtent(q.args)
	case q.spec.Name == "replay":
		v.Extent = "every dead letter in their topic that matches"
		if !slices.ContainsFunc(q.args, func(a string) bool { return !strings.Contains(a, "/") || strings.Contains(a, "=") }) {
			v.Extent = tellOne(len(q.args), "1 dead letter", fmt.Sprintf("%d dead letters", len(q.args)))
		} else if x.Pipeline != nil && x.Pipeline.Letters != nil && len(q.args) == 1 && q.args[0] == "all" {
			v.Extent = fmt.Sprintf("about %d dead letters, all that are in their topic", x.Pipeline.Letters.Total)
		}
	case x.Pipeline != nil && q.spec.Name != "fault":
		v.Extent = fmt.Sprintf("%d partitions, now %.0f events a second, lag %d", len(x.Pipeline.Partitions), x.Pipeline.EventsPerSecond, x.Pipeline.Lag)
	}
	return v
}

func (m *Model) promptKey(key tea.KeyPressMsg, name string) tea.Cmd {
	p := m.prompt
	switch name {
	case "esc":
		m.prompt, m.asking = nil, nil
		m.preview()
		if p.kind == promptFilter {
			m.focused().Filter = ""
		}
		return nil
	case "enter":
		m.prompt = nil
		m.preview()
		switch p.kind {
		case promptFilter:
			m.remember(1, p.text())
		case promptReason:
			q := m.asking
			m.asking = nil
			if q.spec.Name == "replay" {
				m.focused().Marks = nil
			}
			return m.command(q.spec, q.args, strings.TrimSpace(p.text()))
		default:
			return m.run(p.text())
		}
		return nil
	case "tab":
		if p.kind == promptCommand {
			m.complete()
			m.preview()
		}
		return nil
	case "backspace":
		if p.text() == "" && p.kind != promptReason {
			m.prompt = nil
			m.preview()
			return nil
		}
	}
	p.edit(key)
	m.typed()
	return nil
}

// typed lets a filter work while it is typed, and shows a theme whose name is.
func (m *Model) typed() {
	m.dirty = true
	m.preview()
	if m.prompt != nil && m.prompt.kind == promptFilter {
		m.focused().Filter = m.prompt.text()
	}
}

// completions are the words that may stand where the cursor is, and the word begun there.
func (m *Model) completions() (words []string, begun string) {
	fields := strings.Split(m.prompt.begun(), " ")
	begun = fields[len(fields)-1]
	specs := m.commandSpecs()
	if len(fields) == 1 {
		for _, s := range specs {
			if strings.HasPrefix(s.Name, begun) {
				words = append(words, s.Name)
			}
		}
		slices.Sort(words)
		return words, begun
	}
	for _, s := range specs {
		if s.Name == fields[0] && s.Complete != nil {
			words = s.Complete(begun)
		}
	}
	return words, begun
}

func (m *Model) complete() {
	words, begun := m.completions()
	common := commonPrefix(words)
	if rest, ok := strings.CutPrefix(common, begun); ok && rest != "" {
		m.prompt.insert(rest)
	}
	if len(words) == 1 {
		m.prompt.insert(" ")
	}
}

func (m *Model) promptView() *views.Prompt {
	p := m.prompt
	v := &views.Prompt{Text: p.text(), At: p.input.Position()}
	switch p.kind {
	case promptFilter:
		v.Sign, v.Help = "/", "text  field:text  !not    enter keeps, esc clears"
	case promptReason:
		v.Sign, v.Help = "reason: ", "enter does it, esc cancels"
	default:
		v.Sign = ":"
		words, begun := m.completions()
		if p.begun() == p.text() && len(words) > 0 && (begun != "" || len(words) == 1) {
			v.Ghost = strings.TrimPrefix(words[0], begun)
		}
		v.Help = m.commandHelp(words)
	}
	return v
}

// commandHelp is the usage of the command typed, or what may be typed; it says so when that is nothing.
func (m *Model) commandHelp(words []string) string {
	first, _, more := strings.Cut(m.prompt.text(), " ")
	for _, s := range m.knownSpecs() {
		if s.Name == first {
			if more && len(words) > 1 {
				return strings.Join(words, " ")
			}
			return strings.TrimSpace(s.Name+" "+s.Usage) + ": " + s.Summary
		}
	}
	if len(words) == 0 && first != "" {
		return "no command begins with " + first + "; ? lists them all"
	}
	return strings.Join(words, " ")
}

// commandAt holds the console at a time of day, or at a span ago.
func (m *Model) commandAt(args []string) (tea.Cmd, error) {
	if len(args) != 1 {
		return nil, errors.New("at expects one time, such as 14:32, 14:32:07 or -10m")
	}
	newest := m.rt.Timeline().Newest()
	if newest == nil {
		return nil, errors.New("there is no snapshot yet")
	}
	at, err := parseAt(args[0], newest.At, m.zone.location())
	if err != nil {
		return nil, err
	}
	m.cursor = m.cursor.At(at)
	if x := m.cursor.Snapshot(); x != nil && x.At.Sub(at).Abs() > 2*time.Minute {
		m.say(views.Warn, "the nearest snapshot remembered is from "+x.At.In(m.zone.location()).Format("15:04:05"))
	}
	return nil, nil
}

// parseAt reads 14:32, 14:32:07 (the last one before now) or -10m (before now).
func parseAt(s string, now time.Time, zone *time.Location) (time.Time, error) {
	if ago, ok := strings.CutPrefix(s, "-"); ok {
		if n, err := strconv.Atoi(ago); err == nil {
			return now.Add(-time.Duration(n) * time.Second), nil
		}
		d, err := time.ParseDuration(ago)
		if err != nil || d < 0 {
			return time.Time{}, fmt.Errorf("expected a span such as -10m or -90s, got %s", s)
		}
		return now.Add(-d), nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			local := now.In(zone)
			at := time.Date(local.Year(), local.Month(), local.Day(), t.Hour(), t.Minute(), t.Second(), 0, zone)
			if at.After(now) {
				at = at.AddDate(0, 0, -1)
			}
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("expected a time such as 14:32, 14:32:07 or -10m, got %s", s)
}

func (m *Model) commandZoom(args []string) (tea.Cmd, error) {
	if len(args) == 0 {
		m.console.Zoomed = !m.console.Zoomed
		return nil, nil
	}
	for p, word := range paneWords() {
		if strings.HasPrefix(word, strings.ToLower(args[0])) || args[0] == strconv.Itoa(p+1) {
			m.focus(views.Pane(p))
			m.console.Zoomed = true
			return nil, nil
		}
	}
	return nil, fmt.Errorf("expected a pane, one of %s, got %s", strings.Join(paneWords(), ", "), args[0])
}

func (m *Model) commandZone(args []string) (tea.Cmd, error) {
	if len(args) == 1 {
		for z := range zones {
			if args[0] == z.word() {
				m.zone = z
				m.say(views.Faint, z.String())
				return nil, nil
			}
		}
	}
	return nil, errors.New("zone expects one of local, utc, event")
}

// zone is the clock times are shown by.
type zone int

const (
	zoneLocal zone = iota
	zoneUTC
	zoneEvent // UTC, and the status bar shows the newest event's own time
	zones
)

func (z zone) word() string { return [...]string{"local", "utc", "event"}[z] }

func (z zone) location() *time.Location {
	if z == zoneLocal {
		return time.Local
	}
	return time.UTC
}

// String says what is shown.
func (z zone) String() string {
	return [...]string{"times are local", "times are UTC", "the clock is the newest event's own time, in UTC"}[z]
}
