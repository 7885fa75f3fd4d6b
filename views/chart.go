package views

import (
	"math"
	"strings"
	"time"

	"weir/backend/timeline"
)

// spans are the lengths of one dot column of a chart, from the finest.
var spans = []time.Duration{
	500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute,
	2 * time.Minute, 5 * time.Minute,
}

// bucketFor chooses the coarsest bucket with which n buckets are filled by the past there is and reach back about
// span: a young chart is as fine as can be, and grows coarser as its past grows.
func bucketFor(past []*timeline.Snapshot, n int, span time.Duration) time.Duration {
	if len(past) == 0 || n < 1 {
		return spans[0]
	}
	age := past[len(past)-1].At.Sub(past[0].At)
	tick := past[len(past)-1].Tick
	best := spans[0]
	for _, b := range spans {
		reach := b * time.Duration(n)
		if b < tick/2 || reach <= age && reach <= span*3/2 {
			best = b
		}
	}
	return best
}

// buckets folds a figure of the past into n columns, newest last; a column without a figure is NaN. Columns begin at
// multiples of the bucket, and an even number of them fills whole cells, so that a chart moves by a cell at a time and
// only when it must. A figure stands until the next one, for at most two ticks.
func buckets(past []*timeline.Snapshot, n int, bucket time.Duration, peak bool, value func(*timeline.Snapshot) float64) []float64 {
	out := make([]float64, n)
	weight := make([]int, n)
	for i := range out {
		out[i] = math.NaN()
	}
	if len(past) == 0 {
		return out
	}
	index := func(at time.Time) int64 { return at.UnixNano() / int64(bucket) }
	last := index(past[len(past)-1].At) | 1
	for i := len(past) - 1; i >= 0; i-- {
		at := n - 1 - int(last-index(past[i].At))
		if at < 0 {
			break
		}
		v := value(past[i])
		switch {
		case math.IsNaN(v):
			if weight[at] == 0 {
				weight[at] = -1 // there was a snapshot, and it had no figure
			}
			continue
		case weight[at] <= 0:
			out[at], weight[at] = v, 0
		case peak:
			out[at] = max(out[at], v)
		default:
			out[at] += v
		}
		weight[at]++
	}
	hold := int((2*past[len(past)-1].Tick - 1) / bucket) // how long a figure stands for lack of a newer one
	for i, w := range weight {
		switch {
		case w > 1 && !peak:
			out[i] /= float64(w)
		case w == 0 && recent(weight, i, hold):
			out[i] = out[i-1]
		}
	}
	return out
}

// recent tells whether one of the hold columns before i has a figure of its own.
func recent(weight []int, i, hold int) bool {
	for k := i - 1; k >= 0 && k >= i-hold; k-- {
		if weight[k] != 0 {
			return weight[k] > 0
		}
	}
	return false
}

// niceTop is a round number at or above v, for the top of an axis.
func niceTop(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10} {
		if step*unit >= v*1.02 {
			return step * unit
		}
	}
	return 10 * unit
}

func peakOf(values []float64) float64 {
	top := math.NaN()
	for _, v := range values {
		if !math.IsNaN(v) && !(v <= top) {
			top = v
		}
	}
	return top
}

// plot is a filled chart of w by h cells, drawn into rows: one column of dots a value, two values a cell.
type plot struct {
	theme  *Theme
	w, h   int
	values []float64 // 2*w
	top    float64
}

// dots is how high column x stands, in dots of which a cell has four; a value above zero shows at least one.
func (p plot) dots(x int) int {
	v := p.values[x]
	if math.IsNaN(v) {
		return -1
	}
	n := int(math.Round(v / p.top * float64(4*p.h)))
	if v > 0 {
		n = max(n, 1)
	}
	return min(max(n, 0), 4*p.h)
}

var brailleLeft = [5]rune{0, 0x40, 0x44, 0x46, 0x47}
var brailleRight = [5]rune{0, 0x80, 0xa0, 0xb0, 0xb8}

// ramp is the styles of a chart's rows from the bottom to the top: the style depends on the height alone, so that a
// chart that moves on changes nothing but the signs at its crest.
var ramp = [4]Style{ChartFill, ChartLow, ChartHigh, Chart}

// row writes row y, from the top.
func (p plot) row(l *Line, y int) {
	floor := 4 * (p.h - 1 - y) // dots below this row
	var run strings.Builder
	for x := range p.w {
		left, right := p.dots(2*x), p.dots(2*x+1)
		a, b := min(max(left-floor, 0), 4), min(max(right-floor, 0), 4)
		switch {
		case a == 0 && b == 0 && y == p.h-1 && (left == 0 || right == 0):
			run.WriteString(p.theme.Glyphs.Eighths[1]) // zero is a line, no data is nothing
		case a == 0 && b == 0:
			run.WriteByte(' ')
		case p.theme.ASCII:
			run.WriteString(asciiLevels[max(a, b)])
		default:
			run.WriteRune(0x2800 + brailleLeft[a] + brailleRight[b])
		}
	}
	style := Chart
	if p.h > 1 {
		style = ramp[(p.h-1-y)*(len(ramp)-1)/(p.h-1)]
	}
	l.Put(style, run.String())
}

var asciiLevels = [5]string{" ", ".", ":", "|", "#"}

// spark is a chart of one row: one value a cell, newest last, scaled to its own peak.
func (t *Theme) spark(values []float64) string {
	top := peakOf(values)
	var b strings.Builder
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case !(top > 0):
			b.WriteString(t.Glyphs.Eighths[1])
		default:
			b.WriteString(t.Glyphs.Eighths[1+int(math.Round(v/top*7))])
		}
	}
	return b.String()
}

// bar writes a horizontal bar of a share of width cells, with a mark where another share ends; a mark below zero is
// none.
func (l *Line) bar(width int, share, mark float64) {
	width = min(width, l.Left())
	if width < 1 {
		return
	}
	g := l.theme.Glyphs
	eighths := int(math.Round(min(max(share, 0), 1) * float64(8*width)))
	if width >= 40 { // whole cells are fine enough then, and change less often
		eighths = (eighths + 4) / 8 * 8
	}
	if share > 0 {
		eighths = max(eighths, 1)
	}
	at := -1
	if mark >= 0 && !math.IsNaN(mark) {
		at = min(int(mark*float64(width)), width-1)
	}
	full, part := eighths/8, eighths%8
	run := func(from, to int) {
		for x := from; x < to; {
			switch {
			case x < full:
				n := min(full, to) - x
				l.Put(ChartFill, strings.Repeat(g.Bar, n))
				x += n
			case x == full && part >= 4: // halves are fine enough, and change less often
				l.Put(ChartFill, g.Bars[4])
				x++
			default:
				l.Space(to - x)
				x = to
			}
		}
	}
	if at < 0 {
		run(0, width)
		return
	}
	run(0, at)
	switch {
	case at < full && l.theme.ASCII:
		l.Put(Accent, g.Baseline)
	case at < full:
		l.Put(BarMark, g.Baseline)
	default:
		l.Put(Faint, g.Baseline)
	}
	run(at+1, width)
}
