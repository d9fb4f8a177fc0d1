package duckdb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store"
)

// load is one attempt's rows in temporary tables of a connection of its own.
type load struct {
	store  *Store
	spec   store.Spec
	number int64

	mu     sync.Mutex // a load is used by one goroutine at a time; this makes it certain
	q      *session   // nil once the load has ended
	tables []*target
	spent  bool // the connection may be inside a transaction, or hold a spool: do not reuse it
}

// target is one table of a load.
type target struct {
	spec       store.TableSpec
	visible    []datatype.Field // of the table, in its order
	stage      intake
	quarantine intake
	view       string // the SELECT of mode view
}

// Begin raises the fence of the key and returns an empty load.
func (s *Store) Begin(ctx context.Context, spec store.Spec) (store.Load, error) {
	l := &load{store: s, spec: spec, number: s.loads.Add(1)}
	for i, t := range spec.Tables {
		if err := validate(t); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.Table, err)
		}
		l.tables = append(l.tables, &target{
			spec: t, visible: t.Schema.Visible().Fields,
			stage:      newIntake(fmt.Sprintf("stage_%d_%d", l.number, i), t.Schema),
			quarantine: newIntake(fmt.Sprintf("refused_%d_%d", l.number, i), store.QuarantineSchema()),
		})
	}
	row, err := s.raise(ctx, spec.Key, spec.Fence)
	if err != nil {
		return nil, err
	}
	if err := store.MayPublish(row.receipt, row.fence, spec.Fence); err != nil {
		return nil, err
	}
	failpoint.Hit(failpoint.FenceRaised)
	if l.q, err = s.session(ctx); err != nil {
		return nil, err
	}
	for _, t := range l.tables {
		for _, in := range []*intake{&t.stage, &t.quarantine} {
			if err := in.create(ctx, l.q); err != nil {
				l.q.discard()
				return nil, failed("making room for staged rows", err)
			}
		}
	}
	return l, nil
}

// reserved are names of the engine's own: a schema with one of them would make every mention ambiguous.
var reserved = []string{"memory", "temp", "system", "main", "information_schema", "pg_catalog", "_tidemill", warehouse}

func validate(t store.TableSpec) error {
	if !slices.Contains(Capabilities().Modes, t.Mode) {
		return fault.New(fault.Invalid, "the mode %q is not known", t.Mode)
	}
	if slices.Contains(reserved, t.Table.Schema) {
		return fault.New(fault.Invalid, "the schema name %q is taken by the engine", t.Table.Schema)
	}
	for _, name := range []string{t.Table.Schema, t.Table.Name} {
		if err := dialect.DuckDB.CheckIdentifier(name); err != nil {
			return err
		}
	}
	if err := t.Check(); err != nil || t.Mode == project.ModeView {
		return err
	}
	for _, f := range t.Schema.Fields {
		if _, err := dialect.DuckDB.TypeName(f.Type); err != nil {
			return fmt.Errorf("column %s: %w", f.Name, err)
		}
		if slices.Contains([]string{"_seq", "_known_at", "_deleted", "rowid"}, strings.ToLower(f.Name)) {
			return fault.New(fault.Invalid, "the column name %s is taken", f.Name)
		}
	}
	return nil
}

// target returns the table of the load with that name.
func (l *load) target(t project.Table) (*target, error) {
	if l.q == nil {
		return nil, fault.New(fault.Internal, "the load has ended")
	}
	for _, own := range l.tables {
		if own.spec.Table == t {
			return own, nil
		}
	}
	return nil, fault.New(fault.Internal, "the load has no table %s", t)
}

// Stage adds rows to what the load will publish.
func (l *load) Stage(ctx context.Context, table project.Table, batch arrow.RecordBatch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := l.target(table)
	if err != nil {
		return err
	}
	if t.spec.Mode == project.ModeView {
		return fault.New(fault.Invalid, "table %s is a view: it holds no rows", table)
	}
	return failed("staging rows of "+table.String(), t.stage.add(ctx, l.q, batch))
}

// Quarantine adds refused rows to what the load will publish.
func (l *load) Quarantine(ctx context.Context, table project.Table, batch arrow.RecordBatch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := l.target(table)
	if err != nil {
		return err
	}
	return failed("staging quarantined rows of "+table.String(), t.quarantine.add(ctx, l.q, batch))
}

// flush brings every buffered batch into the engine.
func (l *load) flush(ctx context.Context) error {
	for _, t := range l.tables {
		for _, in := range []*intake{&t.stage, &t.quarantine} {
			if err := in.flush(ctx, l.q); err != nil {
				return failed("staging rows of "+t.spec.Table.String(), err)
			}
		}
	}
	return nil
}

// Abort drops what was staged. It may be called at any time, and again.
func (l *load) Abort(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
	return nil
}

// end gives the connection back, without what the load staged there.
func (l *load) end() {
	if l.q == nil {
		return
	}
	clean := !l.spent
	for _, t := range l.tables {
		for _, in := range []*intake{&t.stage, &t.quarantine} {
			in.release()
			if _, err := l.q.exec(context.Background(), "DROP TABLE IF EXISTS "+in.name); err != nil {
				clean = false
			}
		}
	}
	if clean {
		l.q.close()
	} else {
		l.q.discard()
	}
	l.q = nil
}
