package ledger

import (
	"context"
	"errors"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/ledger/engine"
)

// Copy writes the ledger as it is at one moment to a new SQLite file, whichever
// database it lies in. Work goes on meanwhile.
func (l *Ledger) Copy(ctx context.Context, path string) error {
	if l.engine.Goose == engine.SQLite.Goose {
		return broken("copy", engine.Snapshot(ctx, l.reader, path))
	}
	file, err := Open(ctx, path)
	if err != nil {
		return err
	}
	return broken("copy", errors.Join(engine.Transfer(ctx, file.reader, l.reader, file.writer, engine.SQLite), file.Close()))
}

// Fill puts what a SQLite ledger holds into this one, in which nothing ever ran.
func (l *Ledger) Fill(ctx context.Context, from *Ledger) error {
	var used int
	err := l.reader.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM run LIMIT 1) AS r`).Scan(&used)
	if err == nil && used > 0 {
		return fault.New(fault.Conflict, "the ledger's database is in use: a ledger is put back into an empty one")
	}
	if err != nil {
		return broken("fill", err)
	}
	l.install = from.install
	return broken("fill", engine.Transfer(ctx, from.reader, from.writer, l.writer, l.engine))
}

func broken(what string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.Unavailable, "%s the ledger: %w", what, err)
}

// Reopen makes a ledger that was put back from a backup ready for work: no epoch
// that it gives is below a fence that a warehouse has seen (PROTOCOLS §2.4), and
// what workers held then is lost, which costs no retry. It returns how many
// attempts were.
func (l *Ledger) Reopen(ctx context.Context, seen int64) (lost int, err error) {
	err = l.write(ctx, func(tx *Tx) error {
		_, err := tx.next("epoch")
		tx.counters["epoch"] = max(tx.counters["epoch"], seen)
		return err
	})
	open, e := l.OpenSessions(ctx)
	for _, s := range open {
		n, e := l.EndSession(ctx, s.ID, "the installation was restored from a backup", false)
		lost, err = lost+n, errors.Join(err, e)
	}
	return lost, errors.Join(err, e)
}
