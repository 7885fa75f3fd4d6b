package mesh

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// meterQuiet is how long a validation runs before its progress is drawn, meterEvery the least time between two drawings.
const (
	meterQuiet = 400 * time.Millisecond
	meterEvery = 200 * time.Millisecond
)

// meter draws progress on one line of a terminal. It is safe for concurrent use.
type meter struct {
	w   io.Writer
	now func() time.Time

	mu          sync.Mutex
	start, last time.Time
	prefix      string
	width       int // of what stands on the line
}

func newMeter(w io.Writer, now func() time.Time) *meter { return &meter{w: w, now: now} }

// next starts the n-th of so many readings.
func (m *meter) next(n, of int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.start = m.now()
	m.last = m.start.Add(meterQuiet - meterEvery)
	if m.prefix = ""; of > 1 {
		m.prefix = fmt.Sprintf("file %d of %d  ", n, of)
	}
}

// update draws how many bytes were read, of how many (0: not known).
func (m *meter) update(read, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if now.Sub(m.last) < meterEvery {
		return
	}
	m.last = now
	rate := float64(read) / now.Sub(m.start).Seconds()
	line := fmt.Sprintf("%s%s  %s/s", m.prefix, size(float64(read)), size(rate))
	if total >= read && total > 0 {
		line = fmt.Sprintf("%s%3.0f%%  %s of %s  %s/s", m.prefix, 100*float64(read)/float64(total), size(float64(read)), size(float64(total)), size(rate))
		if rate > 0 {
			left := time.Duration(float64(total-read) / rate * float64(time.Second))
			line += fmt.Sprintf("  %s left", max(time.Second, left.Round(time.Second)))
		}
	}
	m.draw(line)
}

// erase leaves the line as it was.
func (m *meter) erase() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.width > 0 {
		m.draw("")
		_, _ = io.WriteString(m.w, "\r")
	}
}

// draw writes over what stands on the line. Progress that cannot be drawn is no error.
func (m *meter) draw(line string) {
	_, _ = io.WriteString(m.w, "\r"+line+strings.Repeat(" ", max(0, m.width-len(line))))
	m.width = len(line)
}

// size is a number of bytes in the unit that suits it.
func size(bytes float64) string {
	for _, unit := range []string{"B", "KB", "MB"} {
		if bytes < 1000 {
			if unit == "B" || bytes >= 100 {
				return fmt.Sprintf("%.0f %s", bytes, unit)
			}
			return fmt.Sprintf("%.1f %s", bytes, unit)
		}
		bytes /= 1000
	}
	return fmt.Sprintf("%.2f GB", bytes)
}
