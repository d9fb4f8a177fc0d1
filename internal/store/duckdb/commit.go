package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store"
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
		receipt.Tables = append(receipt.Tables, w.line)
	}
	return l.seal(ctx, receipt)
}

// seal writes the receipt and, as the last thing, when the rows became known.
func (l *load) seal(ctx context.Context, receipt commit.Receipt) (commit.Receipt, error) {
	receipt.CommittedAt = l.store.clock().UTC().Truncate(time.Microsecond)
	for _, line := range receipt.Tables {
		// Never below the previous commit, whatever the clock does.
		previous, err := l.q.count(ctx, "SELECT coalesce(max(epoch_us(known_at)), 0) FROM "+control+`.table_commit WHERE "table" = ? AND known_at IS NOT NULL`, tableName(line.Table))
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

// tableName names a table in the control tables.
func tableName(t project.Table) string { return t.Schema + "." + t.Name }

// writer publishes one table within the transaction.
type writer struct {
	ctx     context.Context //nolint:containedctx // lives as long as one call of publish
	q       *session
	load    *load
	spec    store.TableSpec
	target  *target
	visible []datatype.Field
	line    commit.TableCommit
	shape   shape
	seq     int64
	kind    string // live, simulated, repair
	name    string // of t, quoted
	rows    string // of the table that holds the rows, quoted
	columns string // of the load, quoted
	stage   string
}

func (l *load) writer(ctx context.Context, t *target, line commit.TableCommit) *writer {
	w := &writer{
		ctx: ctx, q: l.q, load: l, spec: t.spec, target: t, visible: t.visible, line: line,
		shape: shapeOf(t.spec.Mode), stage: t.stage.name,
		name: qualified(t.spec.Table.Schema, t.spec.Table.Name),
	}
	w.rows = qualified(t.spec.Table.Schema, w.shape.physical(t.spec.Table))
	names := make([]string, len(t.visible))
	for i, f := range t.visible {
		names[i] = f.Name
	}
	w.columns = dialect.DuckDB.QuoteAll(names...)
	return w
}

// partial reports whether the load places rows again that were quarantined: it is not its whole window.
func (w *writer) partial() bool { return len(w.spec.Replays) > 0 }

func (w *writer) write() error {
	before, err := w.number()
	if err != nil {
		return err
	}
	if err := w.ensure(before); err != nil {
		return err
	}
	e := &w.line.Evidence
	e.Inserted, e.Updated, e.Unchanged, e.Superseded, e.Deleted = 0, 0, 0, 0, 0
	if w.spec.Mode == project.ModeView {
		if w.target.view == "" {
			return fault.New(fault.Internal, "the load has no SELECT for the view")
		}
		if _, err := w.q.exec(w.ctx, "CREATE OR REPLACE VIEW "+w.name+" AS "+w.target.view); err != nil {
			return err
		}
	} else if err := w.place(); err != nil {
		return err
	}
	if err := w.quarantine(); err != nil {
		return err
	}
	if err := e.Check(); err != nil {
		return fmt.Errorf("table %s: %w", w.spec.Table, err)
	}
	return w.record()
}

// place settles equal keys and brings the staged rows into the table.
func (w *writer) place() error {
	staged, err := w.q.count(w.ctx, "SELECT count(*) FROM "+w.stage)
	if err != nil {
		return err
	}
	if staged != w.line.Evidence.Staged {
		return fault.New(fault.Internal, "evidence does not add up: %d rows are staged, and the manifest says %d", staged, w.line.Evidence.Staged)
	}
	if err := w.required(); err != nil {
		return err
	}
	if err := w.settleKeys(); err != nil {
		return err
	}
	switch w.spec.Mode {
	case project.ModeReplace:
		return w.replace()
	case project.ModeAppend:
		return w.append()
	case project.ModeReplaceWindow:
		return w.replaceWindow()
	case project.ModeFeature:
		return w.feature()
	default:
		return w.merge()
	}
}

// number locks the table for this transaction, and takes its next number.
func (w *writer) number() (before shape, err error) {
	name := tableName(w.spec.Table)
	if _, err := w.q.exec(w.ctx, "INSERT INTO "+control+".table_state VALUES (?, 0, '') ON CONFLICT DO NOTHING", name); err != nil {
		return "", err
	}
	if err := w.q.row(w.ctx, "SELECT seq + 1, shape FROM "+control+`.table_state WHERE "table" = ?`, []any{name}, &w.seq, &before); err != nil {
		return "", err
	}
	_, err = w.q.exec(w.ctx, "UPDATE "+control+`.table_state SET seq = ?, shape = ? WHERE "table" = ?`, w.seq, string(w.shape), name)
	if err != nil {
		return "", err
	}
	w.kind, err = w.kindOfCommit()
	w.line.Seq, w.line.Mode = w.seq, w.spec.Mode
	w.line.Simulated = w.kind == kindSimulated
	if w.line.Window.IsZero() {
		w.line.Window = w.spec.Window
	}
	if w.line.Contract == "" {
		w.line.Contract = w.spec.Contract
	}
	return before, err
}

// record writes the commit's row. Its times come with the last statement.
func (w *writer) record() error {
	text, err := json.Marshal(w.line.Evidence)
	if err != nil {
		return fault.New(fault.Internal, "writing the evidence: %w", err)
	}
	k := w.load.spec.Key
	start, end := bounds(w.spec.Window)
	_, err = w.q.exec(w.ctx, "INSERT INTO "+control+".table_commit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
		tableName(w.spec.Table), w.seq, k.String(), k.Origin(), k.Generation, k.Run, k.Task, string(w.spec.Mode), w.kind,
		start, end, w.line.Evidence.Staged, w.spec.Contract, string(text))
	return err
}

// bounds are a window as parameters: NULL for none.
func bounds(window commit.Window) (start, end any) {
	if window.IsZero() {
		return nil, nil
	}
	return window.Start.UTC(), window.End.UTC()
}

// required refuses a load in which a required column has no value.
func (w *writer) required() error {
	for _, f := range w.visible {
		if !f.Required {
			continue
		}
		n, err := w.q.count(w.ctx, "SELECT count(*) FROM "+w.stage+" WHERE "+quote(f.Name)+" IS NULL")
		if err != nil {
			return err
		}
		if n > 0 {
			return fault.New(fault.Refused, "column %s is required, and %d rows have no value there", f.Name, n)
		}
	}
	return nil
}
