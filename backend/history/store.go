package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What a caller may decide on.
var (
	// ErrNotARecording means that the file is something else, which weir leaves alone.
	ErrNotARecording = errors.New("the file is not a recording of weir")
	// ErrNewer means that a later weir wrote the recording.
	ErrNewer = errors.New("the recording is of a later weir")
	// ErrInUse means that another weir writes the recording.
	ErrInUse = errors.New("another weir writes this recording")
	// ErrEmpty means that the recording holds nothing of the time asked for.
	ErrEmpty = errors.New("the recording holds nothing of that time")

	errCorrupt = errors.New("the recording is damaged")
	errGone    = errors.New("the recording's file was removed or replaced; a new one begins")
)

const (
	applicationID = 0x77656972 // "weir", in the file's header
	version       = 1
)

const schema = `
CREATE TABLE runs (
	id    INTEGER PRIMARY KEY,
	began INTEGER NOT NULL, -- Unix milliseconds
	shape BLOB NOT NULL     -- of its snapshots, JSON
);
CREATE TABLE snapshots (
	id     INTEGER PRIMARY KEY, -- in the order they were taken
	run    INTEGER NOT NULL REFERENCES runs,
	first  INTEGER NOT NULL,    -- id of the one that is its dictionary; its own where it stands for itself
	at     INTEGER NOT NULL,    -- Unix milliseconds
	events INTEGER NOT NULL,    -- number of the newest event it knew
	data   BLOB NOT NULL        -- zstd
);
CREATE INDEX snapshots_at ON snapshots (at, id);
CREATE TABLE events (
	run      INTEGER NOT NULL REFERENCES runs,
	seq      INTEGER NOT NULL,
	at       INTEGER NOT NULL, -- Unix milliseconds
	kind     TEXT NOT NULL,
	severity TEXT NOT NULL,
	subject  TEXT NOT NULL,
	message  TEXT NOT NULL,
	PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE INDEX events_at ON events (at);
`

// open opens the database at path, and makes it and its folder where writable.
func open(ctx context.Context, path string, writable bool) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("the recording %s: %w", path, err)
	}
	query := url.Values{"_pragma": {"busy_timeout(2000)", "cache_size(-4096)"}, "_txlock": {"immediate"}}
	if writable {
		if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
			return nil, fmt.Errorf("making the recording's folder: %w", err)
		}
		// SQLite would let everybody on the machine read what it makes; beside the file it makes others alike.
		file, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("the recording: %w", err)
		}
		if err := file.Close(); err != nil {
			return nil, fmt.Errorf("the recording %s: %w", path, err)
		}
		// What was recorded survives a crash of weir; of a crash of the machine the last seconds may be lost, never the
		// file. Space that retention frees is given back step by step.
		query["_pragma"] = append(query["_pragma"], "auto_vacuum(INCREMENTAL)", "journal_mode(WAL)", "synchronous(NORMAL)", "journal_size_limit(4194304)")
	} else {
		info, err := os.Stat(abs)
		if err != nil {
			return nil, fmt.Errorf("the recording %s: %w", path, err)
		}
		if info.IsDir() {
			return nil, fmt.Errorf("%w: %s is a folder; name the file in it, such as %s", ErrNotARecording, path, filepath.Join(path, "history.db"))
		}
		query.Set("mode", "ro")
		if _, err := os.Stat(abs + "-wal"); errors.Is(err, os.ErrNotExist) {
			query.Set("immutable", "1") // nobody writes it; so it can be read from a medium nobody can write to
		}
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("the recording %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := identify(ctx, db, writable); err != nil {
		return nil, fmt.Errorf("the recording %s: %w", path, errors.Join(err, db.Close()))
	}
	return db, nil
}

// identify tells whether the database is ours, and makes its tables where it is empty and writable.
func identify(ctx context.Context, db *sql.DB, writable bool) error {
	read := func(pragma string) (n int64, err error) {
		err = classify(db.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&n))
		return n, err
	}
	id, err := read("application_id")
	if err != nil {
		return err
	}
	v, err := read("user_version")
	if err != nil {
		return err
	}
	var tables int
	if err := classify(db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables)); err != nil {
		return err
	}
	switch {
	case id == applicationID && v == version:
		return nil
	case id == applicationID && v > version:
		return fmt.Errorf("%w: expected version %d at most, found %d; read it with the weir that wrote it", ErrNewer, version, v)
	case id != 0 || v != 0 || tables != 0 || !writable:
		return fmt.Errorf("%w: expected an SQLite file with weir's mark, found another; choose another path", ErrNotARecording)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return classify(err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	for _, statement := range []string{schema, "PRAGMA application_id = " + strconv.Itoa(applicationID), "PRAGMA user_version = " + strconv.Itoa(version)} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return classify(err)
		}
	}
	return classify(tx.Commit())
}

// classify marks the errors of SQLite that somebody decides on.
func classify(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w: %w", errCorrupt, err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", errCorrupt, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return err
}

// setAside gives a damaged file, with what SQLite keeps beside it, a name of its own, so that a new one can be made and
// the old one be looked at.
func setAside(path string, now time.Time) (string, error) {
	to := path + ".damaged-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(path, to); err != nil {
		return "", fmt.Errorf("setting the damaged recording aside: %w", err)
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Rename(path+suffix, to+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("setting the damaged recording aside: %w", err)
		}
	}
	return to, nil
}
