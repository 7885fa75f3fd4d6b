// Package history is the flight recorder: a snapshot a second and every event, in one SQLite file, for a day.
//
// A [Recorder] writes beside the runtime and never in its way: it takes the newest snapshot of a timeline when its own
// second is over, and when the disk is slow it takes fewer. A [Recording] reads the file back as a timeline, also while
// it is written.
package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
	"weir/backend/timeline"
	"weir/backend/timeline/pack"
)

// The defaults of a recorder.
const (
	DefaultRetain   = 24 * time.Hour
	DefaultMaxBytes = 1 << 30
	DefaultEvery    = time.Second

	pruneEvery = time.Minute
	pruneSteps = 64 // groups dropped in one go when the file is too large
)

// Config says where and how long. Path is required.
type Config struct {
	Path     string        // of the SQLite file; its folder is made
	Retain   time.Duration // of recorded time; default: DefaultRetain
	MaxBytes int64         // the file's size beyond which the oldest goes, whatever Retain says; default: DefaultMaxBytes
	Every    time.Duration // default: DefaultEvery
	Logger   *slog.Logger  // may be nil
}

// Source is what is recorded; *timeline.Timeline is one.
type Source interface {
	// Newest is the last snapshot, nil before the first.
	Newest() *timeline.Snapshot
}

// Status is what a recorder did so far.
type Status struct {
	Path      safetext.Text
	Snapshots uint64 // recorded since the start
	Failed    uint64 // snapshots that could not be recorded
	Bytes     int64  // of the file, when it was last looked at
	Dropped   uint64 // groups of a minute that MaxBytes cost
	SetAside  safetext.Text
	Error     safetext.Text // of the last attempt; empty when it went well
	InUse     bool          // the error is that another weir writes the recording
	At        time.Time     // of the last snapshot recorded
}

// Recorder writes a recording. Make it by New; Run does the work.
type Recorder struct {
	config Config
	source Source
	logger *slog.Logger
	shape  *pack.Shape
	value  []byte // scratch of one snapshot
	packed []byte

	mu     sync.Mutex
	status Status
}

// New makes a recorder of source. It touches no file yet.
func New(c Config, source Source) (*Recorder, error) {
	if c.Path == "" {
		return nil, errors.New("history.path: expected the path of a file, found nothing")
	}
	r := &Recorder{config: c, source: source, logger: c.Logger, status: Status{Path: safetext.Clean(c.Path)}}
	if r.config.Retain <= 0 {
		r.config.Retain = DefaultRetain
	}
	if r.config.MaxBytes <= 0 {
		r.config.MaxBytes = DefaultMaxBytes
	}
	if r.config.Every <= 0 {
		r.config.Every = DefaultEvery
	}
	if r.logger == nil {
		r.logger = slog.New(slog.DiscardHandler)
	}
	var err error
	r.shape, err = pack.ShapeOf(reflect.TypeFor[timeline.Snapshot]())
	return r, err
}

// Status is safe at any time.
func (r *Recorder) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

// Run records until ctx ends, and returns nil then. A file that is damaged is set aside and a new one begun. It
// returns an error where the file cannot be written to at all; calling Run again tries again.
func (r *Recorder) Run(ctx context.Context) (err error) {
	unlock, err := lock(r.config.Path)
	if err != nil {
		return r.note(ctx, err)
	}
	defer unlock()
	w, err := r.open(ctx)
	if err != nil {
		return r.note(ctx, err)
	}
	defer func() {
		if closing := w.close(); err == nil && closing != nil && ctx.Err() == nil {
			err = fmt.Errorf("closing the recording: %w", closing)
		}
	}()
	ticker := time.NewTicker(r.config.Every)
	defer ticker.Stop()
	var pruned time.Time
	for {
		if s := r.source.Newest(); s != nil && s.Seq != w.seq {
			if err := r.note(ctx, w.record(ctx, s)); err != nil && errors.Is(err, errCorrupt) {
				return err // the next Run sets it aside
			}
		}
		if now := time.Now(); now.Sub(pruned) >= pruneEvery && ctx.Err() == nil {
			pruned = now
			if err := r.note(ctx, w.prune(ctx, now)); errors.Is(err, errCorrupt) || errors.Is(err, errGone) {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// note keeps what went wrong for Status, and logs it once; nil where only the context ended.
func (r *Recorder) note(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
	}
	r.mu.Lock()
	changed := r.status.Error.String() != safetext.Error(err).String()
	r.status.Error, r.status.InUse = safetext.Error(err), errors.Is(err, ErrInUse)
	r.mu.Unlock()
	if changed && err != nil {
		r.logger.Warn("the flight recorder does not record", "error", err)
	}
	return err
}

// open opens the file and begins a run in it.
func (r *Recorder) open(ctx context.Context) (*writer, error) {
	db, err := open(ctx, r.config.Path, true)
	if err == nil {
		if err = check(ctx, db); err != nil {
			err = fmt.Errorf("the recording %s: %w", r.config.Path, errors.Join(err, db.Close()))
		}
	}
	if errors.Is(err, errCorrupt) {
		to, renameErr := setAside(r.config.Path, time.Now())
		if renameErr != nil {
			return nil, errors.Join(err, renameErr)
		}
		r.logger.Warn("the recording was damaged; a new one begins", "set aside", to, "error", err)
		r.mu.Lock()
		r.status.SetAside = safetext.Clean(to)
		r.mu.Unlock()
		db, err = open(ctx, r.config.Path, true)
	}
	if err != nil {
		return nil, err
	}
	described, err := json.Marshal(r.shape)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	result, err := db.ExecContext(ctx, "INSERT INTO runs (began, shape) VALUES (?, ?)", time.Now().UnixMilli(), described)
	if err != nil {
		return nil, fmt.Errorf("beginning a recording in %s: %w", r.config.Path, errors.Join(classify(err), db.Close()))
	}
	w := &writer{r: r, db: db}
	if w.run, err = result.LastInsertId(); err == nil {
		w.file, err = os.Stat(r.config.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("beginning a recording in %s: %w", r.config.Path, errors.Join(err, db.Close()))
	}
	return w, nil
}

// check reads the whole file; a day of it takes a moment.
func check(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return classify(err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errCorrupt, verdict)
	}
	return nil
}

// writer is one run.
type writer struct {
	r      *Recorder
	db     *sql.DB
	file   os.FileInfo // of the database
	run    int64
	seq    uint64        // of the last snapshot recorded
	events uint64        // of the last event recorded
	tick   time.Duration // from one snapshot to the next, if that takes longer than Config.Every

	first    int64 // id of the group's first snapshot
	inGroup  int
	squeezer *pack.Squeezer
}

func (w *writer) close() error { return w.db.Close() }

// record writes s and the events that are new, both or neither.
func (w *writer) record(ctx context.Context, s *timeline.Snapshot) (err error) {
	defer func() {
		w.r.mu.Lock()
		defer w.r.mu.Unlock()
		if err != nil {
			w.r.status.Failed++
			w.inGroup = 0 // whatever became of the transaction, the next one stands for itself
			return
		}
		w.r.status.Snapshots++
		w.r.status.At = s.At
	}()
	w.seq, w.tick = s.Seq, s.Tick // a snapshot that fails is not tried again: the next one is newer
	w.r.value = pack.Append(w.r.value[:0], w.r.shape, reflect.ValueOf(s).Elem())
	alone := w.inGroup == 0 || w.inGroup >= pack.GroupLength
	if alone {
		if w.squeezer, err = pack.NewSqueezer(nil); err != nil {
			return err
		}
	}
	w.r.packed = w.squeezer.Squeeze(w.r.packed, w.r.value)

	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("recording: %w", classify(err))
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	known, err := w.recordEvents(ctx, tx, s.Events)
	if err != nil {
		return err
	}
	result, err := tx.ExecContext(ctx, "INSERT INTO snapshots (run, first, at, events, data) VALUES (?, ?, ?, ?, ?)",
		w.run, w.first, s.At.UnixMilli(), int64(known), w.r.packed)
	if err != nil {
		return fmt.Errorf("recording: %w", classify(err))
	}
	id, err := result.LastInsertId()
	if err == nil && alone {
		_, err = tx.ExecContext(ctx, "UPDATE snapshots SET first = id WHERE id = ?", id)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("recording: %w", classify(err))
	}
	w.events = known
	if !alone {
		w.inGroup++
		return nil
	}
	w.first, w.inGroup = id, 1
	w.squeezer, err = pack.NewSqueezer(append([]byte(nil), w.r.value...))
	return err
}

// recordEvents writes those that are newer than the last, and is the newest known.
func (w *writer) recordEvents(ctx context.Context, tx *sql.Tx, events []event.Event) (known uint64, err error) {
	known = w.events
	for _, e := range events {
		if e.Seq <= known {
			continue
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO events (run, seq, at, kind, severity, subject, message) VALUES (?, ?, ?, ?, ?, ?, ?)",
			w.run, int64(e.Seq), e.At.UnixMilli(), string(e.Kind), string(e.Severity), e.Subject.String(), e.Message.String()); err != nil {
			return 0, fmt.Errorf("recording an event: %w", classify(err))
		}
		known = e.Seq
	}
	return known, nil
}

// oldGroups deletes the groups of which every snapshot is outside the time from ?1 to ?2 and has ?3 others or more recorded
// after it, but the one that is being recorded, ?4. A group that reaches into what is to be kept stays whole: its first
// snapshot is the others' dictionary. Each is judged by its own times, for where the clock jumped, what was recorded later may
// be older; and because a clock that is wrong now says so of all, never more goes than is replaced.
var oldGroups = fmt.Sprintf(`DELETE FROM snapshots WHERE (at <= ?1 OR at > ?2) AND id <= (SELECT max(id) FROM snapshots) - ?3 AND first <> ?4 AND NOT EXISTS (
	SELECT 1 FROM snapshots AS s WHERE s.id BETWEEN snapshots.first AND snapshots.first + %d AND s.first = snapshots.first
	AND (s.at > ?1 AND s.at <= ?2 OR s.id > (SELECT max(id) FROM snapshots) - ?3))`, pack.GroupLength)

// firstGroups deletes so many groups, the first ones.
const firstGroups = "DELETE FROM snapshots WHERE id < (SELECT DISTINCT first FROM snapshots ORDER BY first LIMIT 1 OFFSET ?1)"

// prune forgets what is older than Retain once as much has been recorded since, and more while the file is too large.
func (w *writer) prune(ctx context.Context, now time.Time) error {
	// Who removes the file means to have its space, not that nothing is recorded from now on; SQLite would not notice.
	if info, err := os.Stat(w.r.config.Path); errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(info, w.file) {
		return errGone
	}
	retain := w.r.config.Retain
	if err := w.forget(ctx, oldGroups, now.Add(-retain).UnixMilli(), now.Add(retain).UnixMilli(), int64(retain/max(w.r.config.Every, w.tick)), w.first); err != nil {
		return err
	}
	for {
		bytes, err := w.size(ctx)
		if err != nil {
			return err
		}
		w.r.mu.Lock()
		w.r.status.Bytes = bytes
		w.r.mu.Unlock()
		if bytes <= w.r.config.MaxBytes {
			return nil
		}
		var groups int64
		if err := w.db.QueryRowContext(ctx, "SELECT count(DISTINCT first) FROM snapshots").Scan(&groups); err != nil {
			return fmt.Errorf("pruning the recording: %w", classify(err))
		}
		drop := min(max(groups/16, 1), pruneSteps)
		if groups <= 1 {
			return nil // what is being recorded stays
		}
		if err := w.forget(ctx, firstGroups, drop); err != nil {
			return err
		}
		w.r.mu.Lock()
		w.r.status.Dropped += uint64(drop)
		w.r.mu.Unlock()
	}
}

// forget deletes groups, and with them the events and runs that nobody can see any more.
func (w *writer) forget(ctx context.Context, groups string, args ...any) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("pruning the recording: %w", classify(err))
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	result, err := tx.ExecContext(ctx, groups, args...)
	if err != nil {
		return fmt.Errorf("pruning the recording: %w", classify(err))
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err
	}
	for _, statement := range []string{
		// The first snapshot left still shows the events before it.
		fmt.Sprintf("DELETE FROM events WHERE run = (SELECT run FROM snapshots ORDER BY id LIMIT 1) AND seq < (SELECT events FROM snapshots ORDER BY id LIMIT 1) - %d", timeline.KeepEvents),
		"DELETE FROM events WHERE run < (SELECT run FROM snapshots ORDER BY id LIMIT 1)",
		"DELETE FROM runs WHERE id < (SELECT run FROM snapshots ORDER BY id LIMIT 1)",
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("pruning the recording: %w", classify(err))
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("pruning the recording: %w", classify(err))
	}
	if _, err := w.db.ExecContext(ctx, "PRAGMA incremental_vacuum"); err != nil {
		return fmt.Errorf("pruning the recording: %w", classify(err))
	}
	return nil
}

// size is what the recording takes, without what is free in the file.
func (w *writer) size(ctx context.Context) (int64, error) {
	var pages, free, size int64
	err := w.db.QueryRowContext(ctx, "SELECT (SELECT page_count FROM pragma_page_count), (SELECT freelist_count FROM pragma_freelist_count), (SELECT page_size FROM pragma_page_size)").Scan(&pages, &free, &size)
	if err != nil {
		return 0, fmt.Errorf("measuring the recording: %w", classify(err))
	}
	return (pages - free) * size, nil
}
