package views

// Pane is one of the five panes.
type Pane int

// The panes, in the order of their numbers; NoPane is none of them.
const (
	NoPane Pane = iota - 1
	Throughput
	EdgeNodes
	Predictions
	Contracts
	Events
	PaneCount
)

var paneNames = [PaneCount]string{"Throughput", "Edge nodes", "Predictions", "Contracts", "Events"}

// String is the pane's name.
func (p Pane) String() string {
	if p < 0 || p >= PaneCount {
		return ""
	}
	return paneNames[p]
}

// Rect is a rectangle of cells.
type Rect struct{ X, Y, W, H int }

// Contains tells whether a cell lies inside.
func (r Rect) Contains(x, y int) bool { return x >= r.X && x < r.X+r.W && y >= r.Y && y < r.Y+r.H }

// MinWidth and MinHeight are the smallest terminal the console draws on.
const (
	MinWidth  = 60
	MinHeight = 16
)

// Layout says where everything stands on a screen.
type Layout struct {
	W, H     int
	TooSmall bool
	// Compact screens have rules between panes instead of boxes around them: that gives each pane two rows more.
	Compact bool
	Status  Rect
	Foot    Rect
	Panes   [PaneCount]Rect // an empty rectangle is a pane that is not shown
}

// Arrange lays a screen out; zoom is the pane that fills it, or NoPane.
func Arrange(w, h int, zoom Pane) Layout {
	l := Layout{W: w, H: h, TooSmall: w < MinWidth || h < MinHeight, Compact: w < 100 || h < 30}
	if l.TooSmall {
		return l
	}
	l.Status = Rect{0, 0, w, 1}
	l.Foot = Rect{0, h - 1, w, 1}
	body := h - 2
	if zoom > NoPane && zoom < PaneCount {
		l.Panes[zoom] = Rect{0, 1, w, body}
		return l
	}
	// The events get a little over a quarter, the upper row of panes a little more than the lower.
	events := (body*27 + 50) / 100
	top := ((body-events)*52 + 99) / 100
	middle := body - events - top
	left := w / 2
	if l.Compact { // a column between the two is the line that divides them
		left = (w - 1) / 2
	}
	right := w - left
	l.Panes[Throughput] = Rect{0, 1, left, top}
	l.Panes[EdgeNodes] = Rect{left, 1, right, top}
	l.Panes[Predictions] = Rect{0, 1 + top, left, middle}
	l.Panes[Contracts] = Rect{left, 1 + top, right, middle}
	l.Panes[Events] = Rect{0, 1 + top + middle, w, events}
	return l
}

// PaneAt is the pane that covers a cell.
func (l Layout) PaneAt(x, y int) Pane {
	for p, r := range l.Panes {
		if r.Contains(x, y) {
			return Pane(p)
		}
	}
	return NoPane
}
