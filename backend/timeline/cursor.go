package timeline

import "time"

// Cursor is one reader's position on a Timeline: live, or held at one snapshot. It is a value; its methods return the
// moved cursor. The engines know nothing of it.
type Cursor struct {
	timeline *Timeline
	held     uint64 // Seq held at, 0 when live
}

// NewCursor is a live cursor on t.
func NewCursor(t *Timeline) Cursor { return Cursor{timeline: t} }

// Live tells whether the cursor follows the newest snapshot.
func (c Cursor) Live() bool { return c.held == 0 }

// Freeze holds the cursor at the newest snapshot; a held cursor stays where it is.
func (c Cursor) Freeze() Cursor {
	if c.held == 0 {
		_, c.held = c.timeline.Bounds()
	}
	return c
}

// Follow makes the cursor live again.
func (c Cursor) Follow() Cursor {
	c.held = 0
	return c
}

// Step moves a held cursor by n snapshots, freezing a live one first, and stops at both ends.
func (c Cursor) Step(n int) Cursor {
	c = c.Freeze()
	oldest, newest := c.timeline.Bounds()
	if newest == 0 {
		return c
	}
	c.held = uint64(min(max(int64(c.held)+int64(n), int64(oldest)), int64(newest)))
	return c
}

// At holds the cursor at the last snapshot taken at or before at.
func (c Cursor) At(at time.Time) Cursor {
	c.held = c.timeline.Find(at)
	return c
}

// Snapshot is the snapshot under the cursor, nil before the first. A held one that the timeline has forgotten
// meanwhile becomes the oldest it remembers.
func (c Cursor) Snapshot() *Snapshot {
	if past := c.Past(1); len(past) == 1 {
		return past[0]
	}
	return nil
}

// Past is the n snapshots up to and including the one under the cursor, oldest first.
func (c Cursor) Past(n int) []*Snapshot {
	oldest, newest := c.timeline.Bounds()
	if c.held == 0 {
		return c.timeline.Until(newest, n)
	}
	return c.timeline.Until(max(c.held, oldest), n)
}

// Held is how long ago the snapshot under the cursor was the newest; 0 when live.
func (c Cursor) Held() time.Duration {
	if c.held == 0 {
		return 0
	}
	here, newest := c.Snapshot(), c.timeline.Newest()
	if here == nil || newest == nil {
		return 0
	}
	return newest.At.Sub(here.At)
}
