package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/relational"
)

// load is one attempt's rows in temporary tables of a connection of its own.
type load struct {
	store *Store
	spec  store.Spec

	mu      sync.Mutex // a load is used by one goroutine at a time; this makes it certain
	q       *session   // nil until it is needed, and once the load has ended
	ended   bool
	tables  []*target
	cursors int
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
	l := &load{store: s, spec: spec}
	for i, t := range spec.Tables {
		if err := validate(t); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.Table, err)
		}
		l.tables = append(l.tables, &target{
			spec: t, visible: t.Schema.Visible().Fields,
			stage:      newIntake(fmt.Sprintf("stage_%d", i), t.Schema),
			quarantine: newIntake(fmt.Sprintf("refused_%d", i), store.QuarantineSchema()),
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
	if len(l.tables) == 0 {
		return l, nil // it may never need a connection
	}
	if l.q, err = s.connect(ctx); err != nil {
		return nil, err
	}
	for _, t := range l.tables {
		for _, in := range []*intake{&t.stage, &t.quarantine} {
			if err := in.create(ctx, l.q); err != nil {
				l.end()
				return nil, failed(ctx, "making room for staged rows", err)
			}
		}
	}
	return l, nil
}

// Names that are the engine's, or this package's own.
var (
	reservedSchemas = []string{"information_schema", control}
	reservedColumns = []string{"_seq", "_known_at", "_deleted", "ctid", "tableoid", "xmin", "xmax", "cmin", "cmax", place}
)

func validate(t store.TableSpec) error {
	if slices.Contains(reservedSchemas, t.Table.Schema) || strings.HasPrefix(t.Table.Schema, "pg_") {
		return fault.New(fault.Invalid, "the schema name %q is taken by the engine", t.Table.Schema)
	}
	for _, name := range []string{t.Table.Schema, t.Table.Name, t.Table.Quarantine().Name, relational.ShapeOf(t.Mode).Physical(t.Table)} {
		if err := engine.CheckIdentifier(name); err != nil {
			return err
		}
	}
	if !slices.Contains(Capabilities().Modes, t.Mode) {
		return fault.New(fault.Invalid, "a store of the kind postgres cannot do the mode %q whole", t.Mode)
	}
	if err := t.Check(); err != nil || t.Mode == project.ModeView {
		return err
	}
	for _, f := range t.Schema.Fields {
		if err := validateColumn(f); err != nil {
			return err
		}
	}
	return nil
}

func validateColumn(f datatype.Field) error {
	if err := engine.CheckIdentifier(f.Name); err != nil {
		return err
	}
	if slices.Contains(reservedColumns, f.Name) {
		return fault.New(fault.Invalid, "the column name %s is taken", f.Name)
	}
	if f.Type.IsNested() {
		return fault.New(fault.Invalid, "column %s is a %s, which this store does not keep; write it as json or as text", f.Name, f.Type)
	}
	if _, err := engine.TypeName(f.Type); err != nil {
		return fmt.Errorf("column %s: %w", f.Name, err)
	}
	return nil
}

// target returns the table of the load with that name.
func (l *load) target(t project.Table) (*target, error) {
	if l.ended {
		return nil, errEnded()
	}
	for _, own := range l.tables {
		if own.spec.Table == t {
			return own, nil
		}
	}
	return nil, fault.New(fault.Internal, "the load has no table %s", t)
}

func errEnded() error { return fault.New(fault.Internal, "the load has ended") }

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
	return failed(ctx, "staging rows of "+table.String(), t.stage.add(ctx, l.q, batch))
}

// Quarantine adds refused rows to what the load will publish.
func (l *load) Quarantine(ctx context.Context, table project.Table, batch arrow.RecordBatch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := l.target(table)
	if err != nil {
		return err
	}
	return failed(ctx, "staging quarantined rows of "+table.String(), t.quarantine.add(ctx, l.q, batch))
}

// Abort drops what was staged. It may be called at any time, and again.
func (l *load) Abort(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
	return nil
}

// end closes the connection, and with it what the load staged there.
func (l *load) end() {
	l.ended = true
	if l.q != nil {
		l.q.close()
		l.q = nil
	}
}
