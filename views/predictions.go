package views

import (
	"math"
	"strconv"

	"weir/backend/pipeline"
	"weir/backend/timeline"
)

// predictions is the third pane: what the model answers, beside what it answered when it was trained.
func (s *Scene) predictions(path []Level, w, h int, zoomed bool) Page {
	p := s.Snap.Pipeline
	if p == nil {
		return Page{Empty: "The pipeline is not configured: nothing is predicted."}
	}
	style, verdict := s.drift()
	page := Page{Title: []Seg{{style, verdict}, {Faint, or(p.Model.Version.String(), "no model")}}}
	total := uint64(0)
	for _, n := range p.Histogram {
		total += n
	}
	if zoomed && len(path) > 1 {
		return s.predictionBin(page, p, path, total, w, h)
	}
	if total == 0 {
		page.Empty = "No prediction in the last minute."
		if p.State == pipeline.Waiting {
			page.Empty += " The pipeline is waiting: " + p.Waiting.String() + "."
		}
		return page
	}
	bins := pipeline.Bins
	for !zoomed && bins > 5 && bins > h {
		bins /= 2
		if bins == 10 && h < 10 {
			bins = 5
		}
	}
	shares, base := fold(p, total, bins)
	// Bars share one scale: the largest share or baseline fills the width.
	top := max(peakOf(shares), 0.01)
	if base != nil {
		top = max(top, peakOf(base))
	}
	step := 1 / float64(bins)
	if !zoomed {
		if bins >= h && base != nil {
			page.Title = append(page.Title, Seg{Faint, s.Theme.Glyphs.Baseline + " baseline"})
		}
		page.Head = s.bars(shares, base, top, step, w, h, total)
		return page
	}
	page.Head = []string{s.predictionFacts(p, total, w), s.NewLine(w).String()}
	page.Opens, page.Opened = true, "bin"
	page.Table = Table{
		Rows: bins,
		Key:  func(i int) string { return strconv.Itoa(i) },
		Columns: []Column{
			{Title: "FROM", Width: 4, Right: true, Cell: func(i int) (Style, string) { return Faint, fixed(float64(i)*step, 2) }},
			{Title: "TO", Width: 4, Right: true, Cell: func(i int) (Style, string) { return Faint, fixed(float64(i+1)*step, 2) }},
			{Title: "COUNT", Width: 9, Right: true, Cell: func(i int) (Style, string) { return Plain, count(p.Histogram[i]) },
				Less: func(a, b int) bool { return p.Histogram[a] > p.Histogram[b] }},
			{Title: "SHARE", Width: 6, Right: true, Cell: func(i int) (Style, string) { return Strong, percent(shares[i]) },
				Less: func(a, b int) bool { return shares[a] > shares[b] }},
			{Title: "BASE", Width: 6, Right: true, Cell: func(i int) (Style, string) {
				if base == nil {
					return Faint, "–"
				}
				return Faint, percent(base[i])
			}},
			{Title: "CHANGE", Width: 8, Right: true, Cell: func(i int) (Style, string) {
				if base == nil {
					return Faint, "–"
				}
				return s.change(shares[i] - base[i])
			}},
			{Title: "PREDICTIONS OF THE LAST MINUTE", Width: 12, Grow: 1, Cell: func(i int) (Style, string) {
				return ChartFill, s.Theme.barText(shares[i]/top, w-50)
			}},
		},
	}
	return page
}

// fold adds the histogram's bins up to fewer, as shares; the baseline with it, nil when there is none.
func fold(p *pipeline.Snapshot, total uint64, bins int) (shares, base []float64) {
	shares = make([]float64, bins)
	per := pipeline.Bins / bins
	for i, n := range p.Histogram {
		shares[i/per] += float64(n) / float64(total)
	}
	if len(p.Baseline) == pipeline.Bins {
		base = make([]float64, bins)
		for i, b := range p.Baseline {
			base[i/per] += b
		}
	}
	return shares, base
}

func (s *Scene) bars(shares, base []float64, top, step float64, w, h int, total uint64) []string {
	decimals := 1
	if len(shares) > 10 {
		decimals = 2
	}
	rows := make([]string, 0, h)
	for i, share := range shares {
		l := s.NewLine(w)
		l.Put(Faint, fixed(float64(i)*step, decimals)).Space(1)
		mark := -1.0
		if base != nil {
			mark = base[i] / top
		}
		l.bar(w-l.w-6, share/top, mark)
		l.To(w-5).Field(Plain, percent(share), 5, true)
		rows = append(rows, l.String())
	}
	if len(rows) < h {
		l := s.NewLine(w)
		l.Put(Faint, fixed(1, decimals)).Space(1)
		if base != nil {
			l.Put(Faint, s.Theme.Glyphs.Baseline+" = baseline")
		} else {
			l.Put(Faint, "no baseline in the model")
		}
		l.To(w-22).Field(Faint, count(total)+" in a minute", 22, true)
		rows = append(rows, l.String())
	}
	return rows
}

func (s *Scene) change(d float64) (Style, string) {
	text := strconv.FormatFloat(d*100, 'f', 1, 64)
	if d >= 0 {
		text = "+" + text
	}
	style := Faint
	if math.Abs(d) >= 0.02 {
		style = Warn
	}
	return style, text + " pt"
}

// barText is a bar without a mark.
func (t *Theme) barText(share float64, width int) string {
	l := t.NewLine(width)
	l.bar(width, share, -1)
	return plainText(l.String())
}

// drift is the verdict on PSI: the word first, for a title may be cut.
func (s *Scene) drift() (Style, string) {
	p := s.Snap.Pipeline
	switch {
	case math.IsNaN(p.PSI) && p.Baseline == nil:
		return Faint, "no baseline"
	case math.IsNaN(p.PSI):
		return Faint, "PSI not known yet"
	case isOpen(s.Snap, "predictions drifted", p.Model.Version.String()):
		return Warn, s.Theme.Glyphs.Watch + " drifted, PSI " + fixed(p.PSI, 3)
	}
	return Faint, "steady, PSI " + fixed(p.PSI, 3)
}

func (s *Scene) predictionFacts(p *pipeline.Snapshot, total uint64, w int) string {
	l := s.NewLine(w)
	mean := 0.0
	for i, n := range p.Histogram {
		mean += (float64(i) + 0.5) / pipeline.Bins * float64(n) / float64(total)
	}
	l.Put(Strong, count(total)).Put(Faint, " in the last minute  ")
	l.Put(Faint, "mean ").Put(Plain, "~"+fixed(mean, 2)).Space(2)
	style, text := s.drift()
	l.Put(style, text)
	if !math.IsNaN(p.PSI) {
		l.Put(Faint, ", threshold "+fixed(p.PSIThreshold, 3))
	}
	return l.String()
}

// predictionBin is one bin: its share, and the newest records whose prediction fell into it.
func (s *Scene) predictionBin(page Page, p *pipeline.Snapshot, path []Level, total uint64, w, h int) Page {
	key := path[1].Key
	bin, err := strconv.Atoi(key)
	if err != nil || bin < 0 || bin >= pipeline.Bins {
		page.Missing, page.Empty = true, "There is no such bin."
		return page
	}
	name := fixed(float64(bin)/pipeline.Bins, 2) + " to " + fixed(float64(bin+1)/pipeline.Bins, 2)
	page.Crumbs = []string{name}
	if len(path) > 2 {
		return s.record(page, path[2].Key, w)
	}
	f := s.facts(w)
	f.add("predictions", Strong, count(p.Histogram[bin])+" in the last minute, "+percent(float64(p.Histogram[bin])/float64(max(total, 1)))+" of all")
	if len(p.Baseline) == pipeline.Bins {
		when := " when the model was trained"
		if !p.BaselineRecorded.IsZero() {
			when = " when the baseline was recorded"
		}
		f.add("baseline", Plain, percent(p.Baseline[bin])+when)
	}
	f.gap()
	if charted := min(h/4, 9); charted >= 5 {
		f.head("share over time, %")
		f.rows = append(f.rows, s.chart("%", false, w, charted, short, func(x *timeline.Snapshot) float64 { return shareOf(x, bin) })...)
		f.gap()
	}
	page.Head = f.rows
	return s.watched(page, pipeline.WatchTarget{Partition: -1, Bin: bin}, []string{"browse", "bin", key}, w)
}

// shareOf is the share of a bin among a snapshot's predictions, in percent; NaN without any.
func shareOf(x *timeline.Snapshot, bin int) float64 {
	if x.Pipeline == nil {
		return math.NaN()
	}
	sum := uint64(0)
	for _, n := range x.Pipeline.Histogram {
		sum += n
	}
	if sum == 0 {
		return math.NaN()
	}
	return 100 * float64(x.Pipeline.Histogram[bin]) / float64(sum)
}
