package edge

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors of a database.
var (
	errCorrupt = errors.New("the file is corrupt")
	errInUse   = errors.New("it is in use by another weir")
)

// openDatabase opens or makes one SQLite file for one writer: what is committed is on the disk. what names it in errors.
func openDatabase(ctx context.Context, what, path, schema string) (*sql.DB, error) {
	if dir := filepath.Dir(path); dir != "." {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("making the folder of the %s: %w", what, err)
		}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: url.Values{
		"_pragma": {"busy_timeout(250)", "locking_mode(EXCLUSIVE)", "journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(2000)"},
		"_txlock": {"immediate"},
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("opening the %s %s: %w", what, path, err)
	}
	db.SetMaxOpenConns(1)
	if err := checkDatabase(ctx, db, schema); err != nil {
		return nil, fmt.Errorf("opening the %s %s: %w", what, path, errors.Join(classify(err), db.Close()))
	}
	return db, nil
}

// checkDatabase looks for damage, and makes the tables that are not there.
func checkDatabase(ctx context.Context, db *sql.DB, schema string) error {
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errCorrupt, verdict)
	}
	_, err := db.ExecContext(ctx, schema)
	return err
}

// setAsideFile gives a corrupt database, with what SQLite keeps beside it, a name of its own.
func setAsideFile(path string, now time.Time) (string, error) {
	to := fmt.Sprintf("%s.corrupt-%s", path, now.UTC().Format("20060102T150405.000Z"))
	if err := os.Rename(path, to); err != nil {
		return "", fmt.Errorf("setting the corrupt file aside: %w", err)
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Rename(path+suffix, to+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("setting the corrupt file aside: %w", err)
		}
	}
	return to, nil
}

// classify marks the errors of SQLite that a caller decides on.
func classify(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", errCorrupt, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: %w", errInUse, err)
	}
	return err
}

// transact runs f in one transaction; once it returns nil the change is on the disk.
func transact(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return classify(err)
	}
	if err := f(tx); err != nil {
		if rerr := tx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			err = errors.Join(err, rerr)
		}
		return classify(err)
	}
	return classify(tx.Commit())
}
