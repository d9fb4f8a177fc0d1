package postgres

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// keyRow is the row of one publish key.
type keyRow struct {
	fence   int64
	receipt *commit.Receipt // nil: not committed
}

// raise brings the fence of a key up to the given number, unless the key is
// committed, and returns the row as it is then. A publish in flight holds the
// row's lock, so that the statement waits until it has ended.
func (s *Store) raise(ctx context.Context, key commit.Key, fence int64) (row keyRow, err error) {
	if err := s.prepare(ctx); err != nil {
		return row, err
	}
	err = s.with(ctx, func(q *session) error {
		return q.transact(ctx, func() error {
			if _, err := q.exec(ctx, "INSERT INTO "+control+`.publish_key AS k VALUES ($1, $2, false, NULL, clock_timestamp())
				ON CONFLICT (key) DO UPDATE SET fence = EXCLUDED.fence, updated = EXCLUDED.updated WHERE NOT k.committed AND k.fence < EXCLUDED.fence`,
				key.String(), fence); err != nil {
				return err
			}
			row, err = q.keyRow(ctx, key)
			return err
		}, nil)
	})
	return row, failed(ctx, "raising the fence", err)
}

// keyRow reads the row of a key; the zero row where there is none.
func (q *session) keyRow(ctx context.Context, key commit.Key) (keyRow, error) {
	var row keyRow
	var committed bool
	var receipt *string
	err := q.row(ctx, "SELECT fence, committed, receipt FROM "+control+".publish_key WHERE key = $1", []any{key.String()}, &row.fence, &committed, &receipt)
	if errors.Is(err, pgx.ErrNoRows) {
		return keyRow{}, nil
	}
	if err != nil || !committed {
		return row, err
	}
	if receipt == nil {
		return row, fault.New(fault.Internal, "the key %s is committed without a receipt", key)
	}
	row.receipt = &commit.Receipt{}
	if err := json.Unmarshal([]byte(*receipt), row.receipt); err != nil {
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
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	var receipts []commit.Receipt
	err := s.with(ctx, func(q *session) error {
		for _, key := range keys {
			row, err := q.keyRow(ctx, key)
			if err != nil {
				return err
			}
			if row.receipt != nil {
				receipts = append(receipts, *row.receipt)
			}
		}
		return nil
	})
	return receipts, failed(ctx, "looking up receipts", err)
}
