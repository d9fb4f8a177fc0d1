package duckdb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// keyRow is the row of one publish key.
type keyRow struct {
	found     bool
	fence     int64
	committed bool
	settled   bool
	receipt   *commit.Receipt
}

// raise brings the fence of a key up to the given number, unless the key is
// committed, and returns the row as it is then. It waits out a publish in flight.
func (s *Store) raise(ctx context.Context, key commit.Key, fence int64) (keyRow, error) {
	var row keyRow
	unlock, err := s.locks.lock(ctx, keyLock(key))
	if err != nil {
		return row, err
	}
	defer unlock()
	q, err := s.session(ctx)
	if err != nil {
		return row, err
	}
	defer q.close()
	err = q.transact(ctx, func() error {
		if row, err = q.keyRow(ctx, key); err != nil || row.committed || row.found && row.fence >= fence {
			return err
		}
		if row.found {
			_, err = q.exec(ctx, "UPDATE "+control+".publish_key SET fence = ?, updated = ? WHERE key = ?", fence, s.clock(), key.String())
		} else {
			_, err = q.exec(ctx, "INSERT INTO "+control+".publish_key VALUES (?, ?, false, false, NULL, ?)", key.String(), fence, s.clock())
		}
		row.found, row.fence = true, fence
		return err
	}, nil)
	if err != nil {
		return row, failed("raising the fence", err)
	}
	return row, s.settle(ctx, q, key, row)
}

func keyLock(key commit.Key) string { return "key " + key.String() }

// keyRow reads the row of a key; the zero row where there is none.
func (q *session) keyRow(ctx context.Context, key commit.Key) (keyRow, error) {
	row := keyRow{found: true}
	var receipt sql.NullString
	err := q.row(ctx, "SELECT fence, committed, settled, receipt FROM "+control+".publish_key WHERE key = ?", []any{key.String()},
		&row.fence, &row.committed, &row.settled, &receipt)
	if errors.Is(err, sql.ErrNoRows) {
		return keyRow{}, nil
	}
	if err != nil || !row.committed {
		return row, err
	}
	row.receipt = &commit.Receipt{}
	if err := json.Unmarshal([]byte(receipt.String), row.receipt); err != nil {
		return row, fault.New(fault.Internal, "reading the receipt of %s: %w", key, err)
	}
	return row, nil
}

// CloseKey raises the fence of a key so that no attempt below it can publish,
// and returns the receipt if one is there.
func (s *Store) CloseKey(ctx context.Context, key commit.Key, fence int64) (*commit.Receipt, error) {
	row, err := s.raise(ctx, key, fence)
	return row.receipt, err
}

// Receipts returns what the keys committed, in their order; keys without a commit are left out.
func (s *Store) Receipts(ctx context.Context, keys ...commit.Key) ([]commit.Receipt, error) {
	q, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	defer q.close()
	var receipts []commit.Receipt
	for _, key := range keys {
		row, err := q.keyRow(ctx, key)
		if err != nil {
			return nil, failed("looking up a receipt", err)
		}
		if row.receipt == nil {
			continue
		}
		if err := s.settle(ctx, q, key, row); err != nil {
			return nil, err
		}
		receipts = append(receipts, *row.receipt)
	}
	return receipts, nil
}

// settledKeys are the keys whose COMMIT this process saw return. That is written
// down with the next commit, so that only those before a crash stay unsettled.
type settledKeys struct {
	mu   sync.Mutex
	keys map[string]bool
}

func (k *settledKeys) put(keys ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[string]bool{}
	}
	for _, key := range keys {
		k.keys[key] = true
	}
}

func (k *settledKeys) has(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[key]
}

// take returns the keys and forgets them: who fails to write them down puts them back.
func (k *settledKeys) take() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := slices.Sorted(maps.Keys(k.keys))
	k.keys = nil
	return keys
}

// settle is for who finds a receipt. Where the publisher died before its COMMIT
// returned, nobody could read the rows before this process opened the file: the
// time at which they were known is raised to that (PROTOCOLS §4.3).
func (s *Store) settle(ctx context.Context, q *session, key commit.Key, row keyRow) error {
	if !row.committed || row.settled || s.settled.has(key.String()) {
		return nil
	}
	err := q.transact(ctx, func() error {
		if _, err := q.exec(ctx, "UPDATE "+control+".table_commit SET known_at = ? WHERE key = ? AND known_at < ?", s.opened, key.String(), s.opened); err != nil {
			return err
		}
		_, err := q.exec(ctx, "UPDATE "+control+".publish_key SET settled = true WHERE key = ?", key.String())
		return err
	}, nil)
	return failed("settling a commit that was found", err)
}

// flushSettled writes down which commits returned.
func (s *Store) flushSettled(ctx context.Context) error {
	keys := s.settled.take()
	if len(keys) == 0 {
		return nil
	}
	q, err := s.session(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	if err := q.transact(ctx, func() error { return q.markSettled(ctx, keys) }, nil); err != nil {
		s.settled.put(keys...)
		return failed("settling past commits", err)
	}
	return nil
}

func (q *session) markSettled(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if _, err := q.exec(ctx, "UPDATE "+control+".publish_key SET settled = true WHERE key = ?", key); err != nil {
			return err
		}
	}
	return nil
}
