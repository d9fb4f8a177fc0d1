package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/relational"
)

// Commit makes rows, quarantine, receipt and cursor visible in one transaction.
func (l *load) Commit(ctx context.Context, m commit.Manifest) (commit.Receipt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q, err := l.session(ctx)
	if err != nil {
		return commit.Receipt{}, err
	}
	for _, t := range l.tables {
		if len(t.stage.fields) > 0 { // joins against a table of unknown size go wrong
			if _, err := q.exec(ctx, "ANALYZE "+t.stage.name); err != nil {
				return commit.Receipt{}, failed(ctx, "counting staged rows", err)
			}
		}
	}
	failpoint.Hit(failpoint.Staged)
	var receipt commit.Receipt
	err = q.transact(ctx, func() error {
		receipt, err = l.publish(ctx, m)
		return err
	}, func() { failpoint.Hit(failpoint.BeforeCommit) })
	if lost, ok := errors.AsType[*outcomeError](err); ok {
		l.end()
		return commit.Receipt{}, fault.New(fault.Unknown, "publishing: %w", lost)
	}
	if errors.Is(err, store.ErrFenced) {
		return commit.Receipt{}, err
	}
	if _, found := errors.AsType[*store.PublishedError](err); found {
		return commit.Receipt{}, err
	}
	if err != nil {
		return commit.Receipt{}, failed(ctx, "publishing", err)
	}
	failpoint.Hit(failpoint.AfterCommit)
	l.end()
	return receipt, nil
}

// publish is what happens inside the transaction.
func (l *load) publish(ctx context.Context, m commit.Manifest) (commit.Receipt, error) {
	var none commit.Receipt
	n, err := l.q.exec(ctx, "UPDATE "+control+".publish_key SET committed = true WHERE key = $1 AND fence = $2 AND NOT committed", l.spec.Key.String(), l.spec.Fence)
	if err != nil {
		return none, fmt.Errorf("taking the publish key: %w", err)
	}
	if n == 0 {
		row, err := l.q.keyRow(ctx, l.spec.Key)
		if err != nil {
			return none, err
		}
		if err := store.MayPublish(row.receipt, row.fence, l.spec.Fence); err != nil {
			return none, err
		}
		return none, store.ErrFenced
	}
	if err := l.take(ctx); err != nil {
		return none, fmt.Errorf("waiting for other publishes of its tables: %w", err)
	}
	receipt := commit.Receipt{Key: l.spec.Key, Fence: l.spec.Fence, Completion: m.Completion}
	var writers []*writer
	for _, t := range l.tables {
		line, err := m.Line(t.spec.Table)
		if err != nil {
			return none, err
		}
		w := l.writer(ctx, t, line)
		if err := w.write(); err != nil {
			return none, failed(ctx, "publishing "+t.spec.Table.String(), err)
		}
		receipt.Tables = append(receipt.Tables, w.Line)
		writers = append(writers, w)
	}
	return l.seal(ctx, receipt, writers)
}

// take locks the rows of the load's tables, in one order for everybody.
func (l *load) take(ctx context.Context) error {
	var names []string
	for _, t := range l.tables {
		names = append(names, relational.TableName(t.spec.Table))
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if _, err := l.q.exec(ctx, "INSERT INTO "+control+".table_state VALUES ($1, 0, '') ON CONFLICT DO NOTHING", name); err != nil {
			return err
		}
		if _, err := l.q.exec(ctx, "SELECT FROM "+control+`.table_state WHERE "table" = $1 FOR UPDATE`, name); err != nil {
			return err
		}
	}
	return nil
}

// seal writes the receipt and the rows of the commits, as the last thing: their
// time is the store's running clock, and never below that of the commit before.
func (l *load) seal(ctx context.Context, receipt commit.Receipt, writers []*writer) (commit.Receipt, error) {
	var names []string
	for _, line := range receipt.Tables {
		names = append(names, relational.TableName(line.Table))
	}
	var at time.Time
	if err := l.q.row(ctx, "SELECT greatest(clock_timestamp(), max(committed_at)) FROM "+control+`.table_commit WHERE "table" = ANY($1)`, []any{names}, &at); err != nil {
		return receipt, fmt.Errorf("reading the clock: %w", err)
	}
	receipt.CommittedAt = at.UTC()
	text, err := json.Marshal(receipt)
	if err != nil {
		return receipt, fault.New(fault.Internal, "writing the receipt: %w", err)
	}
	for _, w := range writers {
		if err := w.Record(receipt.CommittedAt); err != nil {
			return receipt, fmt.Errorf("writing down the commit: %w", err)
		}
	}
	if _, err := l.q.exec(ctx, "UPDATE "+control+".publish_key SET receipt = $1, updated = $2 WHERE key = $3", string(text), receipt.CommittedAt, receipt.Key.String()); err != nil {
		return receipt, fmt.Errorf("writing the receipt: %w", err)
	}
	return receipt, nil
}

// writer publishes one table within the transaction.
type writer struct {
	*relational.Writer
	q      *session
	target *target
}

var flavour = relational.Flavour{
	Dialect: engine, Control: control, Place: place, Order: " ORDER BY " + place,
	TextList: "to_json(ARRAY[%s])::text",
	Among:    "_id IN (SELECT json_array_elements_text(CAST($1 AS json)))",
	Object: func(columns []string) string {
		for i, c := range columns {
			columns[i] = "s." + quote(c)
		}
		return "(SELECT row_to_json(v)::text FROM (SELECT " + strings.Join(columns, ", ") + ") AS v)"
	},
}

func (l *load) writer(ctx context.Context, t *target, line commit.TableCommit) *writer {
	w := &writer{q: l.q, target: t}
	w.Writer = &relational.Writer{
		Ctx: ctx, Engine: w, Flavour: &flavour, Load: l.spec, Spec: t.spec, Line: line,
		Stage: t.stage.name, Refused: t.quarantine.name, Clock: "clock_timestamp()",
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

// Holds reports whether there is a relation of the name.
func (w *writer) Holds(ctx context.Context, schema, name string) (bool, error) {
	found, err := w.q.relation(ctx, schema, name)
	return found != absent, err
}

// Scratch makes a table that lives within the transaction. Its name is free: each
// table of a load drops its own.
func (w *writer) Scratch(name, query string, args ...any) (string, error) {
	_, err := w.q.exec(w.Ctx, "CREATE TEMP TABLE "+name+" ON COMMIT DROP AS "+query, args...)
	name = "pg_temp." + name
	if err == nil {
		_, err = w.q.exec(w.Ctx, "ANALYZE "+name)
	}
	return name, err
}

// Drop removes one.
func (w *writer) Drop(table string) error {
	_, err := w.q.exec(w.Ctx, "DROP TABLE "+table)
	return err
}

func (w *writer) write() error {
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
		err = w.replaceView()
	} else if _, err = w.q.exec(w.Ctx, "LOCK TABLE "+w.Rows+" IN SHARE ROW EXCLUSIVE MODE"); err == nil {
		// Others may write here too: what is compared must not change before it is written.
		err = w.Place(w.replace)
	}
	if err != nil {
		return err
	}
	if err := w.Quarantine(); err != nil {
		return err
	}
	if err := e.Check(); err != nil {
		return fmt.Errorf("table %s: %w", w.Spec.Table, err)
	}
	return nil
}
