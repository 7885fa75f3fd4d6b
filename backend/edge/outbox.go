package edge

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The caps of an outbox and of its table of refused aggregates.
const (
	DefaultMaxBytes = 256 << 20
	DefaultMaxAge   = 7 * 24 * time.Hour
	maxDeadBytes    = 32 << 20
	maxDeadAnswer   = 2 << 10 // bytes kept of what the cloud said
)

// outbox is the durable queue between weir and the cloud: one SQLite file, one writer. What put has returned for
// survives kill -9 and a power cut. The store serialises its use.
type outbox struct {
	db        *sql.DB
	collector string // names this outbox; part of every idempotency key
	maxBytes  int64
	maxAge    time.Duration
	bytes     int64 // of the bodies waiting
	deadBytes int64
	insert    *sql.Stmt
	// lastMade is when the newest aggregate ever put was made, oldestMade when the oldest waiting one was; zero without.
	lastMade, oldestMade time.Time
	// An aggregate's age is how long weir has run since it was put, by a clock nobody sets. That of the machine may be wrong
	// when it is put, or now: a board without a battery wakes up years ago, and one jump later all that waits would be too old.
	ranBefore time.Duration        // how long weir had run, all in all, when it opened this outbox
	ran       func() time.Duration // since then
	oldestRan time.Duration        // how long it had when the one that waits for longest was put; noAge without one
	stats     outboxStats
}

// noAge is the age of nothing.
const noAge = time.Duration(math.MaxInt64)

// outboxStats is what the outbox holds, and what it did since it was made.
type outboxStats struct {
	waiting                       int
	synced, dropped, deadLettered uint64
}

// entry is one aggregate in the outbox.
type entry struct {
	id     int64
	key    string // its Idempotency-Key
	madeAt time.Time
	body   []byte // gzip
}

const outboxSchema = `
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
	id      INTEGER PRIMARY KEY AUTOINCREMENT, -- an id, and so a key, is never given twice
	made_at INTEGER NOT NULL,                  -- Unix milliseconds
	body    BLOB NOT NULL,                     -- gzip
	ran     INTEGER                            -- milliseconds weir had run in all; NULL in a file of an earlier weir
);
CREATE TABLE IF NOT EXISTS dead_letters (
	id         INTEGER PRIMARY KEY, -- as it was in outbox
	made_at    INTEGER NOT NULL,
	refused_at INTEGER NOT NULL,
	status     INTEGER NOT NULL,
	answer     BLOB NOT NULL, -- the first bytes of the cloud's answer
	body       BLOB NOT NULL
);
PRAGMA user_version = 1;`

// addRan brings a file of an earlier weir up to date. What waits there has no age: it goes when it is sent, or for its size.
const addRan = `ALTER TABLE outbox ADD COLUMN ran INTEGER`

const ranIndex = `CREATE INDEX IF NOT EXISTS outbox_ran ON outbox (ran)`

// openOutbox opens or makes the outbox at path. A file that is corrupt is renamed to setAside, and a new one made.
func openOutbox(ctx context.Context, path string, maxBytes int64, maxAge time.Duration, now time.Time) (o *outbox, setAside string, err error) {
	o, err = tryOpen(ctx, path, maxBytes, maxAge)
	if !errors.Is(err, errCorrupt) {
		return o, "", err
	}
	setAside, renameErr := setAsideFile(path, now)
	if renameErr != nil {
		return nil, "", errors.Join(err, renameErr)
	}
	o, err = tryOpen(ctx, path, maxBytes, maxAge)
	return o, setAside, err
}

func tryOpen(ctx context.Context, path string, maxBytes int64, maxAge time.Duration) (*outbox, error) {
	db, err := openDatabase(ctx, "outbox", path, outboxSchema)
	if err != nil {
		return nil, err
	}
	opened := time.Now() // its monotonic clock is meant
	o := &outbox{db: db, maxBytes: maxBytes, maxAge: maxAge, ran: func() time.Duration { return time.Since(opened) }}
	if err = o.load(ctx); err == nil {
		o.insert, err = db.PrepareContext(ctx, `INSERT INTO outbox (made_at, body, ran) VALUES (?, ?, ?)`)
	}
	if err == nil {
		err = o.findOldest(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the outbox %s: %w", path, errors.Join(classify(err), db.Close()))
	}
	return o, nil
}

func (o *outbox) load(ctx context.Context) error {
	return transact(ctx, o.db, func(tx *sql.Tx) error {
		var known bool
		if err := tx.QueryRowContext(ctx, `SELECT count(*) > 0 FROM pragma_table_info('outbox') WHERE name = 'ran'`).Scan(&known); err != nil {
			return err
		}
		if !known {
			if _, err := tx.ExecContext(ctx, addRan); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, ranIndex); err != nil {
			return err
		}
		fresh := make([]byte, 8)
		_, _ = rand.Read(fresh) // it never fails
		if _, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('collector', ?) ON CONFLICT DO NOTHING`,
			hex.EncodeToString(fresh)); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'collector'`).Scan(&o.collector); err != nil {
			return err
		}
		for name, into := range map[string]*uint64{
			"synced": &o.stats.synced, "dropped": &o.stats.dropped, "dead_lettered": &o.stats.deadLettered,
		} {
			err := tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = ?`, name).Scan(into)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		var made int64
		switch err := tx.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'made_at'`).Scan(&made); {
		case err == nil:
			o.lastMade = time.UnixMilli(made)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		var ran int64
		if err := tx.QueryRowContext(ctx, `SELECT max(coalesce((SELECT max(ran) FROM outbox), 0), coalesce((SELECT value FROM meta WHERE name = 'ran'), 0))`).Scan(&ran); err != nil {
			return err
		}
		o.ranBefore = time.Duration(ran) * time.Millisecond
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(sum(length(body)), 0) FROM dead_letters`).Scan(&o.deadBytes); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(made_at), 0) FROM outbox`).Scan(&made); err != nil {
			return err
		}
		if last := time.UnixMilli(made); made > 0 && last.After(o.lastMade) {
			o.lastMade = last
		}
		return tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(length(body)), 0) FROM outbox`).
			Scan(&o.stats.waiting, &o.bytes)
	})
}

// remember keeps, of an aggregate that leaves, when it was made, and how long weir has run: a process after this one goes on
// from there.
func (o *outbox) remember(ctx context.Context, tx *sql.Tx, madeAt time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES ('made_at', ?), ('ran', ?)
		ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)`, madeAt.UnixMilli(), o.hasRun().Milliseconds())
	return err
}

// hasRun is how long weir has run with this outbox, all its processes together.
func (o *outbox) hasRun() time.Duration { return (o.ranBefore + o.ran()).Truncate(time.Millisecond) }

// count adds to a counter that outlives the process.
func count64(ctx context.Context, tx *sql.Tx, name string, n int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (name, value) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET value = value + excluded.value`, name, n)
	return err
}

func (o *outbox) key(id int64) string { return fmt.Sprintf("weir-%s-%d", o.collector, id) }

// put keeps one body, in a transaction of its own. What the caps do not allow is dropped in the same transaction, oldest
// first, and counted; the new one is never dropped.
func (o *outbox) put(ctx context.Context, body []byte, at time.Time) (entry, error) {
	e := entry{madeAt: at.Truncate(time.Millisecond), body: body}
	ran := o.hasRun()
	var dropped int
	var freed int64
	insert := func(by *sql.Stmt) error {
		res, err := by.ExecContext(ctx, e.madeAt.UnixMilli(), body, ran.Milliseconds())
		if err != nil {
			return err
		}
		e.id, err = res.LastInsertId()
		return err
	}
	var err error
	if o.fits(e, ran) {
		err = classify(insert(o.insert)) // a statement alone is a transaction
	} else {
		err = transact(ctx, o.db, func(tx *sql.Tx) (err error) {
			if err := insert(tx.StmtContext(ctx, o.insert)); err != nil {
				return err
			}
			dropped, freed, err = o.enforce(ctx, tx, e, ran)
			return err
		})
	}
	if err != nil {
		return e, fmt.Errorf("keeping an aggregate in the outbox: %w", err)
	}
	e.key = o.key(e.id)
	o.bytes += int64(len(body)) - freed
	o.stats.waiting += 1 - dropped
	o.stats.dropped += uint64(dropped)
	o.lastMade = e.madeAt
	if o.oldestMade.IsZero() {
		o.oldestMade = e.madeAt
	}
	o.oldestRan = min(o.oldestRan, ran)
	if dropped > 0 {
		err = o.findOldest(ctx)
	}
	return e, err
}

// fits tells whether e can be kept without dropping anything.
func (o *outbox) fits(e entry, ran time.Duration) bool {
	return o.bytes+int64(len(e.body)) <= o.maxBytes && o.oldestRan >= ran-o.maxAge
}

// enforce drops what is too old, and then the oldest while the bodies are too large together.
func (o *outbox) enforce(ctx context.Context, tx *sql.Tx, latest entry, ran time.Duration) (dropped int, freed int64, err error) {
	drop := func(where string, arg any) error {
		var n int
		var size int64
		if err := tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(length(body)), 0) FROM outbox WHERE `+where, arg).
			Scan(&n, &size); err != nil || n == 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE `+where, arg); err != nil {
			return err
		}
		dropped, freed = dropped+n, freed+size
		return nil
	}
	if oldest := ran - o.maxAge; o.oldestRan < oldest {
		if err := drop(`ran < ?`, oldest.Milliseconds()); err != nil {
			return dropped, freed, err
		}
	}
	over := o.bytes + int64(len(latest.body)) - freed - o.maxBytes
	if over > 0 {
		upTo, err := o.firstBytes(ctx, tx, over, latest.id)
		if err == nil && upTo > 0 {
			err = drop(`id <= ?`, upTo)
		}
		if err != nil {
			return dropped, freed, err
		}
	}
	if dropped == 0 {
		return 0, 0, nil
	}
	return dropped, freed, count64(ctx, tx, "dropped", int64(dropped))
}

// firstBytes is the id up to which the oldest bodies, without that of latest, make at least size bytes.
func (o *outbox) firstBytes(ctx context.Context, tx *sql.Tx, size, latest int64) (upTo int64, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, length(body) FROM outbox WHERE id < ? ORDER BY id`, latest)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for size > 0 && rows.Next() {
		var n int64
		if err := rows.Scan(&upTo, &n); err != nil {
			return 0, err
		}
		size -= n
	}
	return upTo, rows.Err()
}

// pageBytes bounds what is read of the outbox at once: an aggregate of a hundred thousand nodes takes megabytes.
const pageBytes = 8 << 20

// oldest is up to n waiting aggregates after id, oldest first, and no more than are needed for pageBytes.
func (o *outbox) oldest(ctx context.Context, after int64, n int) (entries []entry, err error) {
	rows, err := o.db.QueryContext(ctx, `SELECT id, made_at, body FROM outbox WHERE id > ? ORDER BY id LIMIT ?`, after, n)
	if err != nil {
		return nil, fmt.Errorf("reading the outbox: %w", classify(err))
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for size := 0; size < pageBytes && rows.Next(); {
		var e entry
		var made int64
		if err := rows.Scan(&e.id, &made, &e.body); err != nil {
			return nil, fmt.Errorf("reading the outbox: %w", classify(err))
		}
		e.key, e.madeAt = o.key(e.id), time.UnixMilli(made)
		entries = append(entries, e)
		size += len(e.body)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the outbox: %w", classify(err))
	}
	return entries, nil
}

// owns tells whether e is of this outbox, and not of one that was set aside: there its id was given to another aggregate.
func (o *outbox) owns(e entry) bool { return e.key == o.key(e.id) }

// acknowledge removes what the cloud has taken, and counts it.
func (o *outbox) acknowledge(ctx context.Context, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		if o.owns(e) {
			ids = append(ids, fmt.Sprint(e.id))
		}
	}
	var n, freed int64
	err := transact(ctx, o.db, func(tx *sql.Tx) error {
		in := ` FROM outbox WHERE id IN (` + strings.Join(ids, ",") + `)`
		if err := tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(length(body)), 0)`+in).Scan(&n, &freed); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE`+in); err != nil {
			return err
		}
		newest := slices.MaxFunc(entries, func(a, b entry) int { return a.madeAt.Compare(b.madeAt) })
		if err := o.remember(ctx, tx, newest.madeAt); err != nil {
			return err
		}
		return count64(ctx, tx, "synced", int64(len(entries)))
	})
	if err != nil {
		return fmt.Errorf("removing what was sent from the outbox: %w", err)
	}
	o.bytes -= freed
	o.stats.waiting -= int(n)
	o.stats.synced += uint64(len(entries))
	return o.findOldest(ctx)
}

// refuse moves an aggregate the cloud will never take to the dead letters, with what the cloud said.
func (o *outbox) refuse(ctx context.Context, e entry, status int, said []byte, at time.Time) error {
	if !o.owns(e) {
		return nil // it is in the file that was set aside
	}
	said = append([]byte{}, said[:min(len(said), maxDeadAnswer)]...) // nil would be NULL
	var moved, trimmed, freed int64
	err := transact(ctx, o.db, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO dead_letters (id, made_at, refused_at, status, answer, body)
			SELECT id, made_at, ?, ?, ?, body FROM outbox WHERE id = ?`, at.UnixMilli(), status, said, e.id)
		if err != nil {
			return err
		}
		if moved, err = res.RowsAffected(); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE id = ?`, e.id); err != nil {
			return err
		}
		if trimmed, freed, err = o.trimDead(ctx, tx, moved*int64(len(e.body))); err != nil {
			return err
		}
		if err := o.remember(ctx, tx, e.madeAt); err != nil {
			return err
		}
		return count64(ctx, tx, "dead_lettered", moved)
	})
	if err != nil {
		return fmt.Errorf("moving a refused aggregate to the dead letters: %w", err)
	}
	o.deadBytes += moved*int64(len(e.body)) - freed
	o.bytes -= moved * int64(len(e.body))
	o.stats.waiting -= int(moved)
	o.stats.deadLettered += uint64(moved)
	o.stats.dropped += uint64(trimmed)
	return o.findOldest(ctx)
}

// requeue moves every dead letter back to where it came from, with its id and so its key. Its age begins anew.
func (o *outbox) requeue(ctx context.Context) (int, error) {
	var moved, size int64
	err := transact(ctx, o.db, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(length(body)), 0) FROM dead_letters`).Scan(&moved, &size); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO outbox (id, made_at, body, ran) SELECT id, made_at, body, ? FROM dead_letters`,
			o.hasRun().Milliseconds()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM dead_letters`)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("moving dead letters back to the outbox: %w", err)
	}
	o.bytes += size
	o.deadBytes = 0
	o.stats.waiting += int(moved)
	return int(moved), o.findOldest(ctx)
}

// trimDead keeps the dead letters within their cap; those it drops, oldest first, are counted as dropped.
func (o *outbox) trimDead(ctx context.Context, tx *sql.Tx, added int64) (trimmed, freed int64, err error) {
	for o.deadBytes+added-freed > maxDeadBytes {
		var id, size int64
		err := tx.QueryRowContext(ctx, `SELECT id, length(body) FROM dead_letters ORDER BY refused_at, id LIMIT 1`).Scan(&id, &size)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return trimmed, freed, err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM dead_letters WHERE id = ?`, id); err != nil {
			return trimmed, freed, err
		}
		trimmed, freed = trimmed+1, freed+size
	}
	if trimmed == 0 {
		return 0, 0, nil
	}
	return trimmed, freed, count64(ctx, tx, "dropped", trimmed)
}

// findOldest finds out when the oldest waiting aggregate was made, and which one waits for longest: after requeue that may
// be another.
func (o *outbox) findOldest(ctx context.Context) error {
	var made, ran sql.NullInt64
	err := o.db.QueryRowContext(ctx, `SELECT (SELECT made_at FROM outbox ORDER BY id LIMIT 1), (SELECT min(ran) FROM outbox)`).Scan(&made, &ran)
	if err != nil {
		return fmt.Errorf("reading the outbox: %w", classify(err))
	}
	o.oldestMade, o.oldestRan = time.Time{}, noAge
	if made.Valid {
		o.oldestMade = time.UnixMilli(made.Int64)
	}
	if ran.Valid {
		o.oldestRan = time.Duration(ran.Int64) * time.Millisecond
	}
	return nil
}

func (o *outbox) close() error { return errors.Join(o.insert.Close(), o.db.Close()) }
