package ledger

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/run"
	"github.com/tidemill/tidemill/internal/ledger/engine"
)

const (
	maxBatch     = 256 // writers that share one transaction
	maxPrepared  = 256 // texts that are kept prepared
	maxConflicts = 8   // tries of a transaction that the database aborted
)

// Tx is a transaction on the ledger. Its time is fixed.
type Tx struct {
	ledger   *Ledger
	ctx      context.Context //nolint:containedctx // a transaction lives inside one call; its context is that call's
	tx       *sql.Tx
	now      time.Time
	note     Note
	counters map[string]int64
	parked   map[run.Ref]bool // what a claim has put into the queue of a limit

	unprepared []string
}

type request struct {
	do   func(*Tx) error
	done chan error
}

// write runs do inside a transaction, together with whoever else waits. An
// error from do undoes what do wrote, and nothing else.
func (l *Ledger) write(ctx context.Context, do func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	r := &request{do, make(chan error, 1)}
	l.mu.Lock()
	l.waiting = append(l.waiting, r)
	l.mu.Unlock()
	for {
		select {
		case err := <-r.done:
			return err
		case l.turn <- struct{}{}:
			l.mu.Lock()
			n := min(len(l.waiting), maxBatch)
			batch := l.waiting[:n:n]
			l.waiting = l.waiting[n:]
			l.mu.Unlock()
			if n > 0 {
				// The batch carries other callers' work: one caller's end must not undo it.
				l.commit(context.WithoutCancel(ctx), batch)
			}
			<-l.turn
		}
	}
}

func (l *Ledger) commit(ctx context.Context, batch []*request) {
	for try := 0; ; try++ {
		note, errs, err := l.attempt(ctx, batch)
		if err != nil && l.engine.Transient(err) && try < maxConflicts {
			continue
		}
		if err == nil {
			l.Notify(note)
		}
		l.judge(errs, err)
		for i, r := range batch {
			if err != nil {
				r.done <- l.unwritten(fault.New(fault.Unavailable, "write to the ledger: %w", err))
				continue
			}
			r.done <- l.unwritten(errs[i])
		}
		return
	}
}

// unwritten says where and what to do where the cause of an error is a file that
// can keep nothing; any other error stays as it is.
func (l *Ledger) unwritten(err error) error {
	if err == nil || l.file == "" || !l.engine.Broken(err) {
		return err
	}
	return fault.New(fault.Unavailable, "%s cannot be written; see whether its disk is full or may not be written: %w", l.file, err)
}

// judge remembers whether the database can keep anything at all.
func (l *Ledger) judge(errs []error, err error) {
	for _, one := range errs {
		if err == nil && l.engine.Broken(one) {
			err = one
		}
	}
	if err == nil {
		l.trouble.Store(nil)
		return
	}
	text := err.Error()
	l.trouble.Store(&text)
}

// Trouble says why the newest write did not succeed, where the cause is the
// database and not what was asked of it; empty if it did.
func (l *Ledger) Trouble() string {
	if text := l.trouble.Load(); text != nil {
		return *text
	}
	return ""
}

func (l *Ledger) attempt(ctx context.Context, batch []*request) (Note, []error, error) {
	sqlTx, err := l.writer.BeginTx(ctx, nil)
	if err != nil {
		return Note{}, nil, err
	}
	defer func() { _ = sqlTx.Rollback() }()
	tx := &Tx{ledger: l, ctx: ctx, tx: sqlTx, now: l.Now().UTC().Truncate(time.Microsecond), counters: map[string]int64{}}
	errs := make([]error, len(batch))
	for i, r := range batch {
		before := tx.note
		if len(batch) > 1 {
			if err := tx.exec(`SAVEPOINT one`); err != nil {
				return Note{}, nil, err
			}
		}
		if errs[i] = r.do(tx); errs[i] == nil {
			if len(batch) > 1 {
				if err := tx.exec(`RELEASE SAVEPOINT one`); err != nil {
					return Note{}, nil, err
				}
			}
			continue
		}
		if l.engine.Transient(errs[i]) {
			return Note{}, nil, errs[i]
		}
		tx.note = before
		if len(batch) == 1 {
			return Note{}, errs, nil // nothing else is in the transaction: roll it back
		}
		if err := tx.exec(`ROLLBACK TO SAVEPOINT one`); err != nil {
			return Note{}, nil, err
		}
	}
	if err := tx.saveCounters(); err != nil {
		return Note{}, nil, err
	}
	if err := sqlTx.Commit(); err != nil {
		return Note{}, nil, err
	}
	l.prepareLater(ctx, tx.unprepared)
	return tx.note, errs, nil
}

func (tx *Tx) exec(text string, args ...any) error {
	_, err := tx.execCount(text, args...)
	return err
}

func (tx *Tx) execCount(text string, args ...any) (int64, error) {
	var res sql.Result
	var err error
	if s := tx.statement(text); s != nil { //nolint:sqlclosecheck // a transaction's statement ends with it
		res, err = s.ExecContext(tx.ctx, args...)
	} else {
		res, err = tx.tx.ExecContext(tx.ctx, tx.ledger.engine.Text(text), args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (tx *Tx) queryRow(text string, args ...any) *sql.Row {
	if s := tx.statement(text); s != nil { //nolint:sqlclosecheck // a transaction's statement ends with it
		return s.QueryRowContext(tx.ctx, args...)
	}
	return tx.tx.QueryRowContext(tx.ctx, tx.ledger.engine.Text(text), args...)
}

func (tx *Tx) query(text string, args ...any) (*sql.Rows, error) {
	if s := tx.statement(text); s != nil { //nolint:sqlclosecheck // a transaction's statement ends with it
		return s.QueryContext(tx.ctx, args...)
	}
	return tx.tx.QueryContext(tx.ctx, tx.ledger.engine.Text(text), args...)
}

// statement returns the prepared form of a text that was used before. Preparing
// now would wait for the one connection that this transaction holds: new texts
// are prepared after it.
func (tx *Tx) statement(text string) *sql.Stmt {
	if s, ok := tx.ledger.prepared[text]; ok {
		return tx.tx.StmtContext(tx.ctx, s)
	}
	tx.unprepared = append(tx.unprepared, text)
	return nil
}

// prepareLater prepares what a transaction used for the first time. Only the
// holder of the turn calls it. A text that cannot be prepared runs unprepared.
func (l *Ledger) prepareLater(ctx context.Context, texts []string) {
	if !l.engine.Prepare {
		return
	}
	for _, text := range texts {
		if _, ok := l.prepared[text]; ok || len(l.prepared) >= maxPrepared {
			continue
		}
		if s, err := l.writer.PrepareContext(ctx, l.engine.Text(text)); err == nil { //nolint:sqlclosecheck // kept until Close
			l.prepared[text] = s
		}
	}
}

// next returns the next number of a counter. There is one ledger-wide counter
// for epochs and fences, so that nothing restored or renamed can look newer
// than it is (PROTOCOLS §2.4).
func (tx *Tx) next(name string) (int64, error) {
	if _, err := tx.counter(name); err != nil {
		return 0, err
	}
	tx.counters[name]++
	return tx.counters[name], nil
}

// counter returns the newest number of a counter, which goes on from there if it is set.
func (tx *Tx) counter(name string) (int64, error) {
	if _, ok := tx.counters[name]; !ok {
		var v int64
		err := tx.queryRow(`SELECT value FROM counter WHERE name = $1`+tx.ledger.engine.ForUpdate, name).Scan(&v)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if err := tx.exec(`INSERT INTO counter (name, value) VALUES ($1, 0)`, name); err != nil {
				return 0, err
			}
		case err != nil:
			return 0, err
		}
		tx.counters[name] = v
	}
	return tx.counters[name], nil
}

func (tx *Tx) saveCounters() error {
	for name, v := range tx.counters {
		n, err := tx.execCount(`UPDATE counter SET value = $2 WHERE name = $1`, name, v)
		if err != nil {
			return err
		}
		if n == 0 { // its row went with a savepoint
			if err := tx.exec(`INSERT INTO counter (name, value) VALUES ($1, $2)`, name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns a new id of 16 characters that sorts by time: 48 bits of
// milliseconds, 32 random bits.
func NewID(now time.Time) string {
	var b [10]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails (crypto/rand)
	return strings.ToLower(idEncoding.EncodeToString(b[:]))
}

// scanAll reads every row of a query through scan and closes it.
func scanAll[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	return engine.All(rows, err, scan)
}
