package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store"
)

// What a commit is, in the table of commits.
const (
	kindLive      = "live"      // a run of its own time
	kindSimulated = "simulated" // of a window without a live commit
	kindRepair    = "repair"    // over live rows, or of no window
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
		receipt.Tables = append(receipt.Tables, w.line)
		writers = append(writers, w)
	}
	return l.seal(ctx, receipt, writers)
}

// take locks the rows of the load's tables, in one order for everybody.
func (l *load) take(ctx context.Context) error {
	var names []string
	for _, t := range l.tables {
		names = append(names, tableName(t.spec.Table))
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
		names = append(names, tableName(line.Table))
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
		if err := w.record(receipt.CommittedAt); err != nil {
			return receipt, fmt.Errorf("writing down the commit: %w", err)
		}
	}
	if _, err := l.q.exec(ctx, "UPDATE "+control+".publish_key SET receipt = $1, updated = $2 WHERE key = $3", string(text), receipt.CommittedAt, receipt.Key.String()); err != nil {
		return receipt, fmt.Errorf("writing the receipt: %w", err)
	}
	return receipt, nil
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
	kind    string
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
	w.columns = engine.QuoteAll(names...)
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
		err = w.replaceView()
	} else {
		err = w.place()
	}
	if err != nil {
		return err
	}
	if err := w.quarantine(); err != nil {
		return err
	}
	if err := e.Check(); err != nil {
		return fmt.Errorf("table %s: %w", w.spec.Table, err)
	}
	return nil
}

// place settles equal keys and brings the staged rows into the table.
func (w *writer) place() error {
	// Others may write here too: what is compared must not change before it is written.
	if _, err := w.q.exec(w.ctx, "LOCK TABLE "+w.rows+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		return err
	}
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
	default:
		return w.merge()
	}
}

// number takes the table's next number. Its row is locked.
func (w *writer) number() (before shape, err error) {
	name := tableName(w.spec.Table)
	if err := w.q.row(w.ctx, "SELECT seq + 1, shape FROM "+control+`.table_state WHERE "table" = $1`, []any{name}, &w.seq, (*string)(&before)); err != nil {
		return "", err
	}
	if _, err = w.q.exec(w.ctx, "UPDATE "+control+`.table_state SET seq = $1, shape = $2 WHERE "table" = $3`, w.seq, string(w.shape), name); err != nil {
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

func (w *writer) kindOfCommit() (string, error) {
	switch {
	case w.load.spec.Run.Live && !w.partial():
		return kindLive, nil
	case w.spec.Window.IsZero() || w.partial():
		return kindRepair, nil
	}
	start, end := bounds(w.spec.Window)
	n, err := w.q.count(w.ctx, "SELECT count(*) FROM "+control+`.table_commit WHERE "table" = $1 AND kind = 'live' AND window_start < $2 AND window_end > $3`,
		tableName(w.spec.Table), end, start)
	if n > 0 {
		return kindRepair, err
	}
	return kindSimulated, err
}

// record writes the commit's row.
func (w *writer) record(at time.Time) error {
	text, err := json.Marshal(w.line.Evidence)
	if err != nil {
		return fault.New(fault.Internal, "writing the evidence: %w", err)
	}
	k := w.load.spec.Key
	start, end := bounds(w.spec.Window)
	_, err = w.q.exec(w.ctx, "INSERT INTO "+control+".table_commit VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
		tableName(w.spec.Table), w.seq, k.String(), k.Origin(), k.Generation, k.Run, k.Task, string(w.spec.Mode), w.kind,
		start, end, w.line.Evidence.Staged, w.spec.Contract, string(text), at)
	return err
}

// bounds are a window as parameters: NULL for none.
func bounds(window commit.Window) (start, end *time.Time) {
	if window.IsZero() {
		return nil, nil
	}
	return new(window.Start.UTC()), new(window.End.UTC())
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
