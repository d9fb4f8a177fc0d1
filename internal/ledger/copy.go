package ledger

import (
	"context"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger/engine"
)

// Copy writes the ledger as it is at one moment to a new SQLite file, whichever
// database it lies in. Work goes on meanwhile.
func (l *Ledger) Copy(ctx context.Context, path string) error {
	if l.engine.Goose == engine.SQLite.Goose {
		if err := engine.Snapshot(ctx, l.reader, path); err != nil {
			return fault.New(fault.Unavailable, "copy the ledger: %w", err)
		}
		return nil
	}
	file, err := Open(ctx, path)
	if err != nil {
		return err
	}
	err = engine.Transfer(ctx, file.reader, l.reader, file.writer, engine.SQLite)
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fault.New(fault.Unavailable, "copy the ledger: %w", err)
	}
	return nil
}

// Fill puts what a SQLite ledger holds in place of all that this one holds.
func (l *Ledger) Fill(ctx context.Context, from *Ledger) error {
	if err := engine.Transfer(ctx, from.reader, from.reader, l.writer, l.engine); err != nil {
		return fault.New(fault.Unavailable, "fill the ledger: %w", err)
	}
	l.install = from.install
	return nil
}

// Used reports whether a run was ever made.
func (l *Ledger) Used(ctx context.Context) (bool, error) {
	var n int
	err := l.reader.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM run LIMIT 1) AS r`).Scan(&n)
	return n > 0, err
}

// Reopen makes a ledger that was put back from a backup ready for work: no epoch
// that it gives is below a fence that a warehouse has seen (PROTOCOLS §2.4), and
// what workers held then is lost, which costs no retry. It returns how many
// attempts were.
func (l *Ledger) Reopen(ctx context.Context, seen int64) (lost int, err error) {
	err = l.write(ctx, func(tx *Tx) error {
		if _, err := tx.next("epoch"); err != nil {
			return err
		}
		tx.counters["epoch"] = max(tx.counters["epoch"], seen)
		return nil
	})
	if err != nil {
		return 0, err
	}
	open, err := l.OpenSessions(ctx)
	if err != nil {
		return 0, err
	}
	for _, s := range open {
		n, err := l.EndSession(ctx, s.ID, "the installation was restored from a backup", false)
		if err != nil {
			return lost, err
		}
		lost += n
	}
	return lost, nil
}
