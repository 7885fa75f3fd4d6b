package edge

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"weir/backend/event"
	"weir/backend/safetext"
)

// keeper keeps what must outlive the process beside the outbox: which nodes are in quarantine, and the fleet's global
// model with the number of its last round. It is one SQLite file, as durable as the outbox: what put returned for is on
// the disk, and a file that is corrupt is set aside and said so. It is safe for concurrent use.
type keeper struct {
	path string // empty: nothing is kept
	now  func() time.Time
	log  *event.Log

	mu      sync.Mutex
	running bool
	db      *sql.DB // nil while it cannot be opened
	loaded  bool
	kept    kept
	// missed is what the file lacks, for an earlier write failed: quarantines by URL, and the model.
	missed      map[string]bool
	missedModel bool
}

// kept is what a keeper keeps.
type kept struct {
	quarantines map[string]hold // by URL
	model       globalModel
	round       int // the number of the last round
}

// hold is one quarantine.
type hold struct {
	who, reason string
	since       time.Time
}

const keeperSchema = `
CREATE TABLE IF NOT EXISTS quarantines (
	url    TEXT PRIMARY KEY,
	who    TEXT NOT NULL,
	reason TEXT NOT NULL,
	since  INTEGER NOT NULL -- Unix milliseconds
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS model (
	one     INTEGER PRIMARY KEY CHECK (one = 1),
	version INTEGER NOT NULL,
	round   INTEGER NOT NULL,
	weights BLOB NOT NULL -- float64, little-endian; empty before the first round that succeeded
);
PRAGMA user_version = 1;`

func newKeeper(path string, now func() time.Time, log *event.Log) *keeper {
	return &keeper{path: path, now: now, log: log, kept: kept{quarantines: map[string]hold{}}, missed: map[string]bool{}}
}

// start keeps the file open until stop.
func (k *keeper) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = true
}

func (k *keeper) stop() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running = false
	return k.close()
}

// load reads what a process before this one kept, once; what was changed since this one began stays as it is here.
// fresh tells that it was read now. Without a path there is nothing, and no error.
func (k *keeper) load(ctx context.Context) (all kept, fresh bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.path != "" && !k.loaded {
		fresh = true
		err = k.use(ctx, func(ctx context.Context) error {
			read, err := readKept(ctx, k.db)
			if err != nil {
				return err
			}
			for url, h := range read.quarantines {
				if !k.missed[url] {
					k.kept.quarantines[url] = h
				}
			}
			if !k.missedModel {
				k.kept.model, k.kept.round = read.model, read.round
			}
			k.loaded = true
			return nil
		})
	}
	all = k.kept
	all.quarantines = maps.Clone(all.quarantines)
	return all, fresh && err == nil, err
}

// hold keeps a quarantine, or forgets it when h is nil.
func (k *keeper) hold(ctx context.Context, url string, h *hold) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h == nil {
		delete(k.kept.quarantines, url)
	} else {
		k.kept.quarantines[url] = *h
	}
	k.missed[url] = true
	return k.flush(ctx)
}

// learned keeps the model after a round.
func (k *keeper) learned(ctx context.Context, m globalModel, round int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept.model, k.kept.round, k.missedModel = m, round, true
	return k.flush(ctx)
}

// catchUp writes what could not be written before.
func (k *keeper) catchUp(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.flush(ctx)
}

// flush writes what the file lacks, in one transaction. The caller holds the mutex.
func (k *keeper) flush(ctx context.Context) error {
	if k.path == "" || len(k.missed) == 0 && !k.missedModel {
		return nil
	}
	err := k.use(ctx, func(ctx context.Context) error {
		return transact(ctx, k.db, func(tx *sql.Tx) error { return k.writeMissed(ctx, tx) })
	})
	if err == nil {
		clear(k.missed)
		k.missedModel = false
	}
	return err
}

func (k *keeper) writeMissed(ctx context.Context, tx *sql.Tx) error {
	for url := range k.missed {
		h, held := k.kept.quarantines[url]
		var err error
		if held {
			err = insertHold(ctx, tx, url, h)
		} else {
			_, err = tx.ExecContext(ctx, `DELETE FROM quarantines WHERE url = ?`, url)
		}
		if err != nil {
			return err
		}
	}
	if !k.missedModel {
		return nil
	}
	return insertModel(ctx, tx, k.kept.model, k.kept.round)
}

// use calls f with the open file. A file that turns out to be corrupt is set aside once, and f called again. It goes on
// when the caller's context ends: a transaction is short.
func (k *keeper) use(ctx context.Context, f func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if !k.running {
		defer func() { err = errors.Join(err, k.close()) }()
	}
	for attempt := 1; ; attempt++ {
		if k.db == nil {
			k.db, err = openDatabase(ctx, "fleet's state", k.path, keeperSchema)
		} else {
			err = nil
		}
		if err == nil {
			if err = classify(f(ctx)); err == nil {
				return nil
			}
		}
		if !errors.Is(err, errCorrupt) || attempt > 1 {
			return err
		}
		if err := k.setAside(); err != nil {
			return err
		}
	}
}

func (k *keeper) setAside() error {
	if k.db != nil {
		_ = k.db.Close() // it may fail on what is corrupt; the file is kept whatever it says
		k.db = nil
	}
	to, err := setAsideFile(k.path, k.now())
	if err != nil {
		return err
	}
	for url := range k.kept.quarantines { // the new file shall have what is known
		k.missed[url] = true
	}
	k.missedModel = k.missedModel || k.kept.round > 0
	k.log.Add(event.Event{
		At: k.now(), Kind: event.Node, Severity: event.Critical, Subject: safetext.Clean("fleet's state"),
		Message: safetext.Sprintf("was corrupt and is set aside as %s; quarantines and the fleet's model begin anew with what is known now", to),
	})
	return nil
}

func (k *keeper) close() error {
	if k.db == nil {
		return nil
	}
	err := k.db.Close()
	k.db = nil
	if err != nil {
		return fmt.Errorf("closing the fleet's state: %w", err)
	}
	return nil
}

func readKept(ctx context.Context, db *sql.DB) (_ kept, err error) {
	out := kept{quarantines: map[string]hold{}}
	rows, err := db.QueryContext(ctx, `SELECT url, who, reason, since FROM quarantines`)
	if err != nil {
		return out, fmt.Errorf("reading the quarantines: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var url string
		var h hold
		var since int64
		if err := rows.Scan(&url, &h.who, &h.reason, &since); err != nil {
			return out, fmt.Errorf("reading the quarantines: %w", err)
		}
		h.since = time.UnixMilli(since)
		out.quarantines[url] = h
	}
	if err := rows.Err(); err != nil {
		return out, fmt.Errorf("reading the quarantines: %w", err)
	}
	var weights []byte
	err = db.QueryRowContext(ctx, `SELECT version, round, weights FROM model`).Scan(&out.model.version, &out.round, &weights)
	if errors.Is(err, sql.ErrNoRows) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("reading the fleet's model: %w", err)
	}
	if len(weights)%8 != 0 || out.round < 0 || out.model.version < 0 {
		return out, fmt.Errorf("%w: the fleet's model cannot be read", errCorrupt)
	}
	for i := 0; i < len(weights); i += 8 {
		w := math.Float64frombits(binary.LittleEndian.Uint64(weights[i:]))
		if math.IsNaN(w) || math.IsInf(w, 0) {
			return out, fmt.Errorf("%w: the fleet's model has a weight that is no number", errCorrupt)
		}
		out.model.weights = append(out.model.weights, w)
	}
	return out, nil
}

func insertHold(ctx context.Context, tx *sql.Tx, url string, h hold) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO quarantines (url, who, reason, since) VALUES (?, ?, ?, ?)
		ON CONFLICT (url) DO UPDATE SET who = excluded.who, reason = excluded.reason, since = excluded.since`,
		url, h.who, h.reason, h.since.UnixMilli())
	return err
}

func insertModel(ctx context.Context, tx *sql.Tx, m globalModel, round int) error {
	weights := make([]byte, 0, 8*len(m.weights))
	for _, w := range m.weights {
		weights = binary.LittleEndian.AppendUint64(weights, math.Float64bits(w))
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO model (one, version, round, weights) VALUES (1, ?, ?, ?)
		ON CONFLICT (one) DO UPDATE SET version = excluded.version, round = excluded.round, weights = excluded.weights`,
		m.version, round, weights)
	return err
}
