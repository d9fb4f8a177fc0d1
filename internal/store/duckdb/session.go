package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// session is one connection, held until close.
type session struct{ conn *sql.Conn }

func (s *Store) session(ctx context.Context) (*session, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, failed("connecting to the warehouse", err)
	}
	return &session{conn}, nil
}

func (q *session) close() { _ = q.conn.Close() }

// discard closes the connection for good: with it goes what it had staged.
func (q *session) discard() {
	_ = q.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = q.conn.Close()
}

// exec runs statements and returns how many rows the last one changed.
func (q *session) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := q.conn.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
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

// row reads the one row of a query; sql.ErrNoRows where there is none.
func (q *session) row(ctx context.Context, query string, args []any, into ...any) error {
	return q.conn.QueryRowContext(ctx, query, args...).Scan(into...)
}

// count reads the one number that a query returns.
func (q *session) count(ctx context.Context, query string, args ...any) (int64, error) {
	var n int64
	err := q.row(ctx, query, args, &n)
	return n, err
}

// raw gives the driver's own connection.
func (q *session) raw(do func(*duckdb.Conn) error) error {
	return q.conn.Raw(func(c any) error { return do(c.(*duckdb.Conn)) })
}

// transact runs do in a transaction and commits it. Conflicts with other
// transactions are tried again, as a whole, with jitter. An error of COMMIT itself
// that is no conflict is marked by *outcomeError.
func (q *session) transact(ctx context.Context, do func() error, beforeCommit func()) error {
	const attempts = 40
	pause := 2 * time.Millisecond
	for i := 1; ; i++ {
		err := q.attempt(ctx, do, beforeCommit)
		if err == nil || !isConflict(err) || i == attempts {
			return err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
		pause = min(2*pause, 250*time.Millisecond)
	}
}

func (q *session) attempt(ctx context.Context, do func() error, beforeCommit func()) error {
	// Begin and end are not cut short: a connection must not go back half way.
	whole := context.WithoutCancel(ctx)
	if _, err := q.exec(whole, "BEGIN TRANSACTION"); err != nil {
		return err
	}
	if err := do(); err != nil {
		if _, rollback := q.exec(whole, "ROLLBACK"); rollback != nil {
			err = errors.Join(err, rollback)
		}
		return err
	}
	if beforeCommit != nil {
		beforeCommit()
	}
	if _, err := q.exec(whole, "COMMIT"); err != nil {
		if isConflict(err) {
			return err
		}
		return &outcomeError{err}
	}
	return nil
}

// outcomeError is a COMMIT that returned an error: whether it took place is not known.
type outcomeError struct{ err error }

func (e *outcomeError) Error() string { return "commit: " + e.err.Error() }
func (e *outcomeError) Unwrap() error { return e.err }

func isConflict(err error) bool {
	found, ok := errors.AsType[*duckdb.Error](err)
	return ok && found.Type == duckdb.ErrorTypeTransaction
}

// failed gives an engine's error a kind and says what was being done.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	kind := fault.Internal
	if found, ok := errors.AsType[*duckdb.Error](err); ok {
		kind = kindOf(found.Type)
	}
	if errors.Is(err, context.Canceled) {
		kind = fault.Cancelled
	} else if errors.Is(err, context.DeadlineExceeded) {
		kind = fault.TimedOut
	}
	return fault.New(kind, "%s: %w", doing, err)
}

func kindOf(t duckdb.ErrorType) fault.Kind {
	switch t {
	case duckdb.ErrorTypeParser, duckdb.ErrorTypeSyntax, duckdb.ErrorTypeBinder, duckdb.ErrorTypeCatalog,
		duckdb.ErrorTypePermission, duckdb.ErrorTypeNotImplemented, duckdb.ErrorTypeParameterNotResolved,
		duckdb.ErrorTypeParameterNotAllowed, duckdb.ErrorTypeMissingExtension, duckdb.ErrorTypeAutoLoad,
		duckdb.ErrorTypeSettings, duckdb.ErrorTypeInvalidConfiguration:
		return fault.Invalid
	case duckdb.ErrorTypeConversion, duckdb.ErrorTypeOutOfRange, duckdb.ErrorTypeDivideByZero, duckdb.ErrorTypeInvalidInput,
		duckdb.ErrorTypeConstraint, duckdb.ErrorTypeMismatchType, duckdb.ErrorTypeDecimal, duckdb.ErrorTypeExecutor,
		duckdb.ErrorTypeExpression, duckdb.ErrorTypeInvalidType, duckdb.ErrorTypeObjectSize:
		return fault.Failed
	case duckdb.ErrorTypeOutOfMemory:
		return fault.OutOfMemory
	case duckdb.ErrorTypeIO, duckdb.ErrorTypeConnection:
		return fault.Unavailable
	case duckdb.ErrorTypeTransaction:
		return fault.Busy
	case duckdb.ErrorTypeInterrupt:
		return fault.Cancelled
	default:
		return fault.Internal
	}
}

// keyedLocks are locks with names. A name is held by one at a time.
type keyedLocks struct {
	mu   sync.Mutex
	held map[string]*namedLock
}

type namedLock struct {
	waiting int
	token   chan struct{}
}

// lock takes all names, in one order for everybody, and returns what gives them back.
func (l *keyedLocks) lock(ctx context.Context, names ...string) (unlock func(), err error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	var taken []string
	unlock = func() {
		for _, name := range slices.Backward(taken) {
			l.release(name, true)
		}
	}
	for _, name := range names {
		l.mu.Lock()
		if l.held == nil {
			l.held = map[string]*namedLock{}
		}
		n := l.held[name]
		if n == nil {
			n = &namedLock{token: make(chan struct{}, 1)}
			l.held[name] = n
		}
		n.waiting++
		l.mu.Unlock()
		select {
		case n.token <- struct{}{}:
			taken = append(taken, name)
		case <-ctx.Done():
			l.release(name, false)
			unlock()
			return nil, context.Cause(ctx)
		}
	}
	return unlock, nil
}

func (l *keyedLocks) release(name string, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.held[name]
	if held {
		<-n.token
	}
	if n.waiting--; n.waiting == 0 {
		delete(l.held, name)
	}
}
