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
	if err := makePrivate(abs); err != nil {
		return nil, fmt.Errorf("making the %s: %w", what, err)
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

// beside is what SQLite adds to a database's path for the files it keeps beside it.
var beside = []string{"-wal", "-shm", "-journal"}

// makePrivate makes the file where there is none, and lets only its owner read it: SQLite would let everybody on the
// machine. What SQLite makes beside it takes its mode. A file that is there is not opened, for closing it would end
// SQLite's locks on it; where its mode cannot be changed (of another owner, on a file system without modes) it stays.
func makePrivate(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		return file.Close()
	}
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	for _, suffix := range append([]string{""}, beside...) {
		if info, err := os.Stat(path + suffix); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			_ = os.Chmod(path+suffix, info.Mode().Perm()&0o700)
		}
	}
	return nil
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
	for _, suffix := range beside {
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
