package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/relational"
)

// slowCommit is how long a COMMIT may take before the time at which its rows
// were known is raised to its end.
const slowCommit = time.Second

// Commit makes rows, quarantine, receipt and cursor visible in one transaction.
func (l *load) Commit(ctx context.Context, m commit.Manifest) (commit.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.q == nil {
		return commit.Receipt{}, fault.New(fault.Internal, "the load has ended")
	}
	if err := l.flush(ctx); err != nil {
		return commit.Receipt{}, err
	}
	failpoint.Hit(failpoint.Staged)
	names := []string{keyLock(l.spec.Key)}
	for _, t := range l.tables {
		names = append(names, "table "+t.spec.Table.Schema+"."+t.spec.Table.Name)
	}
	unlock, err := l.store.locks.lock(ctx, names...)
	if err != nil {
		return commit.Receipt{}, err
	}
	defer unlock()

	var receipt commit.Receipt
	var written time.Time
	past := l.store.settled.take()
	err = l.q.transact(ctx, func() error {
		receipt, err = l.publish(ctx, m, past)
		return err
	}, func() {
		written = l.store.clock()
		failpoint.Hit(failpoint.BeforeCommit)
	})
	if err != nil {
		l.store.settled.put(past...)
	}
	if unknown, ok := errors.AsType[*outcomeError](err); ok {
		l.spent = true
		if receipt, err = l.lookUp(ctx, unknown); err == nil {
			written = time.Time{}
		}
	}
	if err != nil {
		return commit.Receipt{}, err
	}
	failpoint.Hit(failpoint.AfterCommit)
	l.settle(ctx, written)
	l.end()
	return receipt, nil
}

// settle ends a commit that took place. Rows that became visible long after
// their time was written were known only then.
func (l *load) settle(ctx context.Context, written time.Time) {
	now := l.store.clock()
	if now.Sub(written) <= slowCommit {
		l.store.settled.put(l.spec.Key.String())
		return
	}
	ctx = context.WithoutCancel(ctx)
	q, err := l.store.session(ctx)
	if err != nil {
		return // who finds the receipt unsettled does it
	}
	defer q.close()
	key := l.spec.Key.String()
	_ = q.transact(ctx, func() error {
		if _, err := q.exec(ctx, "UPDATE "+control+".table_commit SET known_at = greatest(known_at, ?) WHERE key = ?", now, key); err != nil {
			return err
		}
		return q.markSettled(ctx, []string{key})
	}, nil)
}

// lookUp settles a COMMIT that returned an error.
func (l *load) lookUp(ctx context.Context, outcome *outcomeError) (commit.Receipt, error) {
	ctx = context.WithoutCancel(ctx)
	q, err := l.store.session(ctx)
	if err == nil {
		defer q.close()
		var row keyRow
		if row, err = q.keyRow(ctx, l.spec.Key); err == nil {
			if row.receipt != nil && row.receipt.Fence == l.spec.Fence {
				return *row.receipt, nil
			}
			return commit.Receipt{}, failed("publishing", outcome.err)
		}
	}
	return commit.Receipt{}, fault.New(fault.Unknown, "publishing: %w; looking up the receipt: %w", outcome, err)
}

// publish is what happens inside the transaction.
func (l *load) publish(ctx context.Context, m commit.Manifest, past []string) (commit.Receipt, error) {
	var none commit.Receipt
	key := l.spec.Key.String()
	n, err := l.q.exec(ctx, "UPDATE "+control+".publish_key SET committed = true, updated = ? WHERE key = ? AND fence = ? AND NOT committed",
		l.store.clock(), key, l.spec.Fence)
	if err != nil {
		return none, failed("taking the publish key", err)
	}
	if n == 0 {
		row, err := l.q.keyRow(ctx, l.spec.Key)
		if err != nil {
			return none, failed("reading the publish key", err)
		}
		if err := store.MayPublish(row.receipt, row.fence, l.spec.Fence); err != nil {
			return none, err
		}
		return none, store.ErrFenced
	}
	if err := l.q.markSettled(ctx, past); err != nil {
		return none, failed("settling past commits", err)
	}
	receipt := commit.Receipt{Key: l.spec.Key, Fence: l.spec.Fence, Completion: m.Completion}
	for _, t := range l.tables {
		line, err := m.Line(t.spec.Table)
		if err != nil {
			return none, err
		}
		w := l.writer(ctx, t, line)
		if err := w.write(); err != nil {
			return none, failed("publishing "+t.spec.Table.String(), err)
		}
		receipt.Tables = append(receipt.Tables, w.Line)
	}
	return l.seal(ctx, receipt)
}

// seal writes the receipt and, as the last thing, when the rows became known.
func (l *load) seal(ctx context.Context, receipt commit.Receipt) (commit.Receipt, error) {
	receipt.CommittedAt = l.store.clock().UTC().Truncate(time.Microsecond)
	for _, line := range receipt.Tables {
		// Never below the previous commit, whatever the clock does.
		previous, err := l.q.count(ctx, "SELECT coalesce(max(epoch_us(known_at)), 0) FROM "+control+`.table_commit WHERE "table" = ? AND known_at IS NOT NULL`, relational.TableName(line.Table))
		if err != nil {
			return receipt, failed("reading the newest commit", err)
		}
		if at := time.UnixMicro(previous).UTC(); at.After(receipt.CommittedAt) {
			receipt.CommittedAt = at
		}
	}
	text, err := json.Marshal(receipt)
	if err != nil {
		return receipt, fault.New(fault.Internal, "writing the receipt: %w", err)
	}
	if _, err := l.q.exec(ctx, "UPDATE "+control+".publish_key SET receipt = ? WHERE key = ?", string(text), receipt.Key.String()); err != nil {
		return receipt, failed("writing the receipt", err)
	}
	if len(receipt.Tables) > 0 {
		_, err = l.q.exec(ctx, "UPDATE "+control+".table_commit SET committed_at = ?, known_at = ? WHERE key = ?",
			receipt.CommittedAt, receipt.CommittedAt, receipt.Key.String())
	}
	return receipt, failed("writing when the rows became known", err)
}

// writer publishes one table within the transaction.
type writer struct {
	*relational.Writer
	q      *session
	load   *load
	target *target
}

var flavour = relational.Flavour{
	Dialect: dialect.DuckDB, Control: control, Catalog: warehouse + ".", Place: "rowid",
	TextList: "CAST(to_json([%s]) AS VARCHAR)",
	Among:    `_id IN (SELECT unnest(from_json(CAST($1 AS JSON), '["VARCHAR"]')))`,
	Object: func(columns []string) string {
		pairs := make([]string, len(columns))
		for i, c := range columns {
			pairs[i] = "'" + strings.ReplaceAll(c, "'", "''") + "', s." + quote(c)
		}
		return "CAST(json_object(" + strings.Join(pairs, ", ") + ") AS VARCHAR)"
	},
}

func (l *load) writer(ctx context.Context, t *target, line commit.TableCommit) *writer {
	w := &writer{q: l.q, load: l, target: t}
	w.Writer = &relational.Writer{
		Ctx: ctx, Engine: w, Flavour: &flavour, Load: l.spec, Spec: t.spec, Line: line,
		Stage: t.stage.name, Refused: t.quarantine.name, Clock: "TIMESTAMPTZ '" + l.store.clock().UTC().Format(time.RFC3339Nano) + "'",
	}
	w.Fill()
	return w
}

// Exec runs a statement on the load's connection.
func (w *writer) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	return w.q.exec(ctx, statement, args...)
}

// Row reads one row on the load's connection.
func (w *writer) Row(ctx context.Context, query string, args []any, into ...any) error {
	return w.q.row(ctx, query, args, into...)
}

// Holds reports whether there is a table or a view of the name.
func (w *writer) Holds(ctx context.Context, schema, name string) (bool, error) {
	found, err := w.q.relation(ctx, schema, name)
	return found != absent, err
}

// Scratch makes a table that lives within the transaction.
func (w *writer) Scratch(name, query string, args ...any) (string, error) {
	name = w.temporary(name)
	_, err := w.q.exec(w.Ctx, "CREATE TEMP TABLE "+name+" AS "+query, args...)
	return name, err
}

// Drop removes one.
func (w *writer) Drop(table string) error {
	_, err := w.q.exec(w.Ctx, "DROP TABLE "+table)
	return err
}

// temporary names a table that lives within the transaction.
func (w *writer) temporary(what string) string {
	return "temp.main." + quote(fmt.Sprintf("%s_%d", what, w.load.number))
}

func (w *writer) write() error {
	if _, err := w.q.exec(w.Ctx, "INSERT INTO "+control+".table_state VALUES (?, 0, '') ON CONFLICT DO NOTHING", relational.TableName(w.Spec.Table)); err != nil {
		return err
	}
	before, err := w.Number()
	if err != nil {
		return err
	}
	if err := w.ensure(before); err != nil {
		return err
	}
	e := &w.Line.Evidence
	e.Inserted, e.Updated, e.Unchanged, e.Superseded, e.Deleted = 0, 0, 0, 0, 0
	if w.Spec.Mode == project.ModeView {
		if w.target.view == "" {
			return fault.New(fault.Internal, "the load has no SELECT for the view")
		}
		if _, err := w.q.exec(w.Ctx, "CREATE OR REPLACE VIEW "+w.Name+" AS "+w.target.view); err != nil {
			return err
		}
	} else if err := w.Place(w.place); err != nil {
		return err
	}
	if err := w.Quarantine(); err != nil {
		return err
	}
	if err := e.Check(); err != nil {
		return fmt.Errorf("table %s: %w", w.Spec.Table, err)
	}
	return w.Record(nil, nil) // its times come with the last statement
}

// place brings the staged rows into a table that is made anew, or into a history.
func (w *writer) place() error {
	if w.Spec.Mode == project.ModeFeature {
		return w.feature()
	}
	return w.replace()
}
