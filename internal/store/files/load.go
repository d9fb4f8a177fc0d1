package files

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/failpoint"
	"github.com/tidemill/tidemill/internal/store"
)

// load is one attempt's rows: Parquet files that no manifest names yet.
type load struct {
	store   *Store
	spec    store.Spec
	table   store.TableSpec
	visible datatype.Schema
	clock   clock

	rows   *part
	staged int64
	keys   []keyed
	aside  aside
	made   []*part // while a manifest is made: files that it needs
	over   bool
}

// Begin raises the fence of the key in a manifest of its own. One load writes
// one table; a load without a table is of no use but to ask for the receipt.
func (s *Store) Begin(_ context.Context, spec store.Spec) (store.Load, error) {
	if len(spec.Tables) > 1 {
		return nil, fault.New(fault.Invalid, "a store of files makes one table visible at once, not %d: write them with a task each", len(spec.Tables))
	}
	l := &load{store: s, spec: spec}
	if len(spec.Tables) == 0 {
		return l, s.settled(spec)
	}
	l.table = spec.Tables[0]
	l.visible = l.table.Schema.Visible()
	if err := l.validate(); err != nil {
		return nil, err
	}
	if err := s.raise(l.table.Table, spec.Key, spec.Fence); err != nil {
		return nil, err
	}
	highest, err := s.writtenFence(spec.Key)
	if err != nil {
		return nil, err
	}
	if highest > spec.Fence {
		return nil, store.ErrFenced
	}
	failpoint.Hit(failpoint.FenceRaised)
	return l, nil
}

// Columns returns the visible columns of a table as it is now.
func (l *load) Columns(_ context.Context, t project.Table) (datatype.Schema, error) {
	m, err := l.store.newest(t)
	return m.Schema.Visible(), err
}

// settled answers for a key whose table is not known yet.
func (s *Store) settled(spec store.Spec) error {
	tables, err := s.tables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		m, err := s.newest(t)
		if err != nil {
			return err
		}
		if _, known := m.Keys[spec.Key.String()]; !known {
			continue
		}
		if err := s.raise(t, spec.Key, spec.Fence); err != nil {
			return err
		}
	}
	highest, err := s.writtenFence(spec.Key)
	if err == nil && highest > spec.Fence {
		err = store.ErrFenced
	}
	return err
}

func (l *load) validate() error {
	t := l.table
	if !slices.Contains(Capabilities().Modes, t.Mode) {
		return fault.New(fault.Invalid, "a store of files cannot do the mode %s whole", t.Mode)
	}
	if err := t.Check(); err != nil {
		return fmt.Errorf("table %s: %w", t.Table, err)
	}
	l.clock = clock{t.EventTime, time.UTC}
	if t.Zone != "" {
		zone, err := time.LoadLocation(t.Zone)
		if err != nil {
			return fault.New(fault.Invalid, "table %s: %w", t.Table, err)
		}
		l.clock.zone = zone
	}
	return nil
}

// partial reports whether the load places rows again that were quarantined: it is not its whole window.
func (l *load) partial() bool { return len(l.table.Replays) > 0 }

// accepts is where the event times of a load in mode replace_window must lie; zero: anywhere.
func (l *load) accepts() commit.Window {
	if l.table.Mode != project.ModeReplaceWindow || l.partial() {
		return commit.Window{}
	}
	return commit.Window{Start: l.table.Window.Start.Add(-l.table.Lookback), End: l.table.Window.End}
}

// Stage writes rows to the load's own file.
func (l *load) Stage(_ context.Context, t project.Table, batch arrow.RecordBatch) error {
	if err := l.takes(t); err != nil {
		return err
	}
	rows, err := plain(batch, l.visible)
	if err != nil {
		return err
	}
	defer rows.Release()
	if window := l.accepts(); !window.IsZero() {
		out, err := l.clock.outside(rows, window)
		if err != nil {
			return err
		}
		if out.Any() {
			return fault.New(fault.Refused, "%d rows have a %s outside of %s", out.Count(), l.table.EventTime, window)
		}
	}
	if l.rows == nil {
		if l.rows, err = l.store.newPart(t, "data", l.visible.Arrow()); err != nil {
			return err
		}
	}
	l.remember(batch, rows)
	l.staged += rows.NumRows()
	return l.rows.write(rows)
}

func (l *load) takes(t project.Table) error {
	switch {
	case l.over:
		return fault.New(fault.Internal, "the load has ended")
	case t != l.table.Table:
		return fault.New(fault.Internal, "the load writes %s, not %s", l.table.Table, t)
	}
	return nil
}

// Abort removes the load's files.
func (l *load) Abort(context.Context) error {
	l.end(false)
	return nil
}

// end lets go of what the load holds; its files stay where they are published.
func (l *load) end(published bool) {
	if l.over {
		return
	}
	l.over = true
	if !published {
		l.rows.discard()
		l.aside.part.discard()
		l.unmake()
	}
	l.aside.release()
}

// unmake removes the files that were made for a manifest.
func (l *load) unmake() {
	for _, p := range l.made {
		p.discard()
	}
	l.made = nil
}
