package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/core/fault"
)

// unreachable is the error of a connection that was not made. It does not wrap
// what the driver says, which carries the configuration with its password.
func unreachable(ctx context.Context, err error) error {
	if ended := stopped(ctx); ended != nil {
		return ended
	}
	kind := fault.Unavailable
	text := err.Error()
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		kind, text = kindOf(answer), answer.Error()
	}
	if failure, ok := errors.AsType[*pgconn.ConnectError](err); ok && failure.Config != nil {
		if password := failure.Config.Password; password != "" {
			text = strings.ReplaceAll(text, password, "•••")
		}
	}
	return fault.New(kind, "connecting to PostgreSQL: %s", text)
}

// stopped is the error of work that was told to end.
func stopped(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Wrap(fault.TimedOut, cause)
	default:
		return fault.Wrap(fault.Cancelled, cause)
	}
}

// failed gives an engine's error a kind and says what was being done.
func failed(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if ended := stopped(ctx); ended != nil {
		return fault.New(fault.KindOf(ended), "%s: %w", doing, ended)
	}
	kind := fault.Internal
	answer, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok:
		kind = kindOf(answer)
	case broken(err):
		kind = fault.Unavailable
	}
	return fault.New(kind, "%s: %w", doing, err)
}

// broken reports whether the connection is gone.
func broken(err error) bool {
	var failure net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &failure) ||
		strings.Contains(err.Error(), "conn closed")
}

// kindOf says who must act on what the server answered, by the class of its code.
func kindOf(answer *pgconn.PgError) fault.Kind {
	switch answer.Code {
	case "57014":
		return fault.TimedOut // the server's own limit: who cancels has ended the context
	case "42501":
		return fault.Denied
	case "53200":
		return fault.OutOfMemory
	case "2BP01", "22021":
		return fault.Refused // others depend on the object; the text holds what no text may hold
	case "3D000":
		return fault.Invalid
	case "55P03":
		return fault.Busy
	}
	if len(answer.Code) < 2 {
		return fault.Internal
	}
	switch answer.Code[:2] {
	case "08", "53", "55", "57", "58":
		return fault.Unavailable
	case "28":
		return fault.Denied
	case "40":
		return fault.Busy
	case "0A", "25", "26", "34", "3F", "42":
		return fault.Invalid
	case "20", "21", "22", "23", "38", "54", "P0":
		return fault.Failed
	default:
		return fault.Internal
	}
}

// conflicts reports whether the transaction lost against another one and may be tried again.
func conflicts(err error) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch answer.Code {
	case "40001", "40P01":
		return true
	case "23505":
		return answer.SchemaName == "pg_catalog" // two made the same schema or table
	case "XX000":
		return strings.Contains(answer.Message, "concurrently")
	}
	return false
}

// rolledBack reports whether the answer to COMMIT proves that nothing was committed.
func rolledBack(err error) bool {
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		return true
	}
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return ok && answer.SeverityUnlocalized == "ERROR"
}
