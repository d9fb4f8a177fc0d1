package postgres

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
)

// session is one connection. It is for one goroutine.
type session struct{ conn *pgx.Conn }

// closeTimeout bounds the farewell to a server that may be gone.
const closeTimeout = 3 * time.Second

// close ends the connection; with it goes what it had staged.
func (q *session) close() {
	ctx, stop := context.WithTimeout(context.Background(), closeTimeout)
	defer stop()
	_ = q.conn.Close(ctx)
}

// exec runs one statement of the package's own and returns how many rows it changed.
func (q *session) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	tag, err := q.conn.Exec(ctx, statement, args...)
	return tag.RowsAffected(), err
}

// execAll runs statements without parameters.
func (q *session) execAll(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := q.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// single runs a statement with users' SQL in it. Unlike exec it never uses the
// protocol in which a text may hold several statements.
func (q *session) single(ctx context.Context, statement string, args ...any) (int64, error) {
	rows, err := q.conn.Query(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	rows.Close()
	return rows.CommandTag().RowsAffected(), rows.Err()
}

// row reads the one row of a query; pgx.ErrNoRows where there is none.
func (q *session) row(ctx context.Context, query string, args []any, into ...any) error {
	return q.conn.QueryRow(ctx, query, args...).Scan(into...)
}

// count reads the one number that a query returns.
func (q *session) count(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := q.row(ctx, query, args, &n)
	return n, err
}

// transact runs do in a transaction and commits it. Conflicts with other
// transactions are tried again, as a whole, with jitter. Where the answer to
// COMMIT does not say what became of it the error is an *outcomeError.
func (q *session) transact(ctx context.Context, do func() error, beforeCommit func()) error {
	const attempts = 20
	pause := 5 * time.Millisecond
	for i := 1; ; i++ {
		err := q.attempt(ctx, pgx.ReadWrite, do, beforeCommit)
		if err == nil || !conflicts(err) || i == attempts {
			return err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return stopped(ctx)
		case <-timer.C:
		}
		pause = min(2*pause, 500*time.Millisecond)
	}
}

// reading runs do in a transaction that may change nothing but temporary tables.
func (q *session) reading(ctx context.Context, do func() error) error {
	return q.attempt(ctx, pgx.ReadOnly, do, nil)
}

func (q *session) attempt(ctx context.Context, mode pgx.TxAccessMode, do func() error, beforeCommit func()) error {
	tx, err := q.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: mode})
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		ending, stop := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer stop()
		_ = tx.Rollback(ending) // the connection ends where it fails, and the transaction with it
		return err
	}
	if beforeCommit != nil {
		beforeCommit()
	}
	// COMMIT is not cut short: its answer is worth waiting for.
	if err := tx.Commit(context.WithoutCancel(ctx)); err != nil {
		if rolledBack(err) {
			return err
		}
		return &outcomeError{err}
	}
	return nil
}

// outcomeError is a COMMIT without an answer: whether it took place is not known.
type outcomeError struct{ err error }

func (e *outcomeError) Error() string { return "commit: " + e.err.Error() }
func (e *outcomeError) Unwrap() error { return e.err }

func quote(name string) string { return engine.Quote(name) }

// bound turns a statement's names into positions, with their values.
func bound(s dialect.Statement) (string, []any, error) {
	text, args, err := dialect.Positional(s)
	if err != nil {
		return "", nil, err
	}
	if !selects(text) {
		return "", nil, fault.New(fault.Invalid, "the SQL must be one SELECT: it may not change anything")
	}
	return text, args, nil
}
