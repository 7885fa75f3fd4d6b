package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
	"weir/backend/timeline"
	"weir/backend/timeline/pack"
)

// Recording reads a file a Recorder wrote, or is writing.
type Recording struct {
	path string
	db   *sql.DB
}

// Open opens the recording at path for reading. The error is ErrNotARecording, ErrNewer, or what the system says.
func Open(ctx context.Context, path string) (*Recording, error) {
	db, err := open(ctx, path, false)
	if errors.Is(err, errCorrupt) {
		err = fmt.Errorf("%w: %w", ErrNotARecording, err)
	}
	if err != nil {
		return nil, err
	}
	return &Recording{path: path, db: db}, nil
}

// Close closes the file.
func (r *Recording) Close() error { return r.db.Close() }

// Bounds are the times of the first and the last snapshot, and how many there are; ErrEmpty where there is none.
func (r *Recording) Bounds(ctx context.Context) (from, to time.Time, count int, err error) {
	var first, last sql.NullInt64
	if err := r.db.QueryRowContext(ctx, "SELECT min(at), max(at), count(*) FROM snapshots").Scan(&first, &last, &count); err != nil {
		return from, to, 0, fmt.Errorf("reading %s: %w", r.path, classify(err))
	}
	if count == 0 {
		return from, to, 0, fmt.Errorf("reading %s: %w", r.path, ErrEmpty)
	}
	return time.UnixMilli(first.Int64).UTC(), time.UnixMilli(last.Int64).UTC(), count, nil
}

// Gaps tells what reading left out.
type Gaps struct {
	Thinned int // snapshots between those taken, because there are more than a timeline holds
	Damaged int // snapshots that could not be read
}

// Timeline is the time between from and to, both included, as a timeline. A zero from or to has no bound. Where there
// are more snapshots than a timeline holds, every second, third, … is taken. The logs within the engines' snapshots
// are not recorded; Snapshot.Events is.
func (r *Recording) Timeline(ctx context.Context, from, to time.Time) (*timeline.Timeline, Gaps, error) {
	return r.timeline(ctx, from, to, timeline.Capacity)
}

func (r *Recording) timeline(ctx context.Context, from, to time.Time, most int) (*timeline.Timeline, Gaps, error) {
	out, gaps := timeline.New(), Gaps{}
	low, high := int64(-1<<62), int64(1<<62)
	if !from.IsZero() {
		low = from.UnixMilli()
	}
	if !to.IsZero() {
		high = to.UnixMilli()
	}
	var count int
	if err := r.db.QueryRowContext(ctx, "SELECT count(*) FROM snapshots WHERE at BETWEEN ? AND ?", low, high).Scan(&count); err != nil {
		return nil, gaps, fmt.Errorf("reading %s: %w", r.path, classify(err))
	}
	if count == 0 {
		return nil, gaps, fmt.Errorf("reading %s: %w", r.path, ErrEmpty)
	}
	stride := (count + most - 1) / most
	selected, err := r.list(ctx, low, high, stride)
	if err != nil {
		return nil, gaps, err
	}
	gaps.Thinned = count - len(selected)
	p := &player{recording: r, shapes: map[int64]*pack.Shape{}, events: map[int64][]event.Event{}, offsets: map[int64]uint64{}}
	defer p.close()
	for _, item := range selected {
		s, err := p.read(ctx, item)
		switch {
		case err == nil:
			out.Append(s)
		case ctx.Err() != nil:
			return nil, gaps, fmt.Errorf("reading %s: %w", r.path, ctx.Err())
		default:
			gaps.Damaged++
		}
	}
	if out.Newest() == nil {
		return nil, gaps, fmt.Errorf("reading %s: %w: all %d snapshots are damaged", r.path, ErrNotARecording, gaps.Damaged)
	}
	return out, gaps, nil
}

// item is where a snapshot stands.
type item struct{ id, run, first, events int64 }

// list is every stride-th snapshot, the last always among them.
func (r *Recording) list(ctx context.Context, low, high int64, stride int) (items []item, err error) {
	rows, err := r.db.QueryContext(ctx, "SELECT id, run, first, events FROM snapshots WHERE at BETWEEN ? AND ? ORDER BY id DESC", low, high)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", r.path, classify(err))
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for n := 0; rows.Next(); n++ {
		var i item
		if err := rows.Scan(&i.id, &i.run, &i.first, &i.events); err != nil {
			return nil, fmt.Errorf("reading %s: %w", r.path, classify(err))
		}
		if n%stride == 0 {
			items = append(items, i)
		}
	}
	for a, b := 0, len(items)-1; a < b; a, b = a+1, b-1 {
		items[a], items[b] = items[b], items[a]
	}
	return items, classify(rows.Err())
}

// player reads snapshots in their order.
type player struct {
	recording *Recording
	shapes    map[int64]*pack.Shape   // by run
	events    map[int64][]event.Event // by run, in the order of their numbers
	offsets   map[int64]uint64        // by run, what was added to those numbers
	numbered  uint64                  // the last number given
	reader    pack.Reader

	group int64 // whose opener this is
	open  *pack.Opener
	value []byte
}

func (p *player) close() {
	if p.open != nil {
		p.open.Close()
	}
}

func (p *player) read(ctx context.Context, at item) (*timeline.Snapshot, error) {
	of, err := p.shapeOf(ctx, at.run)
	if err != nil {
		return nil, err
	}
	if err := p.unpack(ctx, at); err != nil {
		return nil, err
	}
	s := &timeline.Snapshot{}
	if err := p.reader.Read(p.value, of, reflect.ValueOf(s).Elem()); err != nil {
		return nil, err
	}
	s.Events, err = p.eventsOf(ctx, at.run, uint64(at.events))
	return s, err
}

// unpack decompresses one snapshot into p.value.
func (p *player) unpack(ctx context.Context, at item) error {
	if p.open == nil || p.group != at.first {
		packed, err := p.data(ctx, at.first)
		if err != nil {
			return err
		}
		plain, err := pack.NewOpener(nil)
		if err != nil {
			return err
		}
		first, err := plain.Open(nil, packed)
		plain.Close()
		if err != nil {
			return fmt.Errorf("%w: %w", errCorrupt, err)
		}
		p.close()
		if p.open, err = pack.NewOpener(first); err != nil {
			return err
		}
		p.group = at.first
		if at.id == at.first {
			p.value = append(p.value[:0], first...)
			return nil
		}
	}
	packed, err := p.data(ctx, at.id)
	if err != nil {
		return err
	}
	if p.value, err = p.open.Open(p.value, packed); err != nil {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return nil
}

func (p *player) data(ctx context.Context, id int64) (packed []byte, err error) {
	err = classify(p.recording.db.QueryRowContext(ctx, "SELECT data FROM snapshots WHERE id = ?", id).Scan(&packed))
	return packed, err
}

func (p *player) shapeOf(ctx context.Context, run int64) (*pack.Shape, error) {
	if s, ok := p.shapes[run]; ok {
		return s, nil
	}
	var described []byte
	if err := classify(p.recording.db.QueryRowContext(ctx, "SELECT shape FROM runs WHERE id = ?", run).Scan(&described)); err != nil {
		return nil, err
	}
	s, err := pack.ParseShape(described)
	if err == nil {
		p.shapes[run] = s
	}
	return s, err
}

// eventsOf is what a snapshot showed that knew events up to known. Every run numbers its events from 1; those of a
// later run get numbers beyond those of the runs before, for a timeline wants them to rise.
func (p *player) eventsOf(ctx context.Context, run int64, known uint64) ([]event.Event, error) {
	all, ok := p.events[run]
	if !ok {
		var err error
		if all, err = p.recording.eventsOf(ctx, run); err != nil {
			return nil, err
		}
		p.offsets[run] = p.numbered
		for i := range all {
			all[i].Seq += p.numbered
		}
		if n := len(all); n > 0 {
			p.numbered = all[n-1].Seq
		}
		p.events[run] = all
	}
	known += p.offsets[run]
	end := sort.Search(len(all), func(i int) bool { return all[i].Seq > known })
	return all[max(0, end-timeline.KeepEvents):end:end], nil
}

func (r *Recording) eventsOf(ctx context.Context, run int64) (events []event.Event, err error) {
	rows, err := r.db.QueryContext(ctx, "SELECT seq, at, kind, severity, subject, message FROM events WHERE run = ? ORDER BY seq", run)
	if err != nil {
		return nil, classify(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var seq, at int64
		var kind, severity, subject, message string
		if err := rows.Scan(&seq, &at, &kind, &severity, &subject, &message); err != nil {
			return nil, classify(err)
		}
		events = append(events, event.Event{Seq: uint64(seq), At: time.UnixMilli(at).UTC(), Kind: event.Kind(kind), Severity: event.Severity(severity),
			Subject: safetext.Clean(subject), Message: safetext.Clean(message)})
	}
	return events, classify(rows.Err())
}
