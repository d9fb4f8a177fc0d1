package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store/relational"
)

// relation is what a name stands for in the database.
type relation int

const (
	absent  relation = iota
	isTable          // partitioned ones included
	isView
	isOther // a materialised view, a foreign table, a sequence
)

func (q *session) relation(ctx context.Context, schema, name string) (relation, error) {
	var kind string
	err := q.row(ctx, `SELECT c.relkind::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, []any{schema, name}, &kind)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return absent, nil
	case err != nil:
		return absent, err
	case kind == "v":
		return isView, nil
	case kind == "r" || kind == "p":
		return isTable, nil
	}
	return isOther, nil
}

// tableColumns returns the columns of a table, in order, hidden ones included. A
// type that tables of this store never have leaves the column without one.
func (q *session) tableColumns(ctx context.Context, schema, name string) ([]column, error) {
	rows, err := q.conn.Query(ctx, `SELECT a.attname::text, a.atttypid, a.atttypmod, pg_catalog.format_type(a.atttypid, a.atttypmod)
		FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, schema, name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var columns []column
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.name, &c.oid, &c.typmod, &c.engine); err != nil {
			return nil, err
		}
		_ = c.resolve()
		columns = append(columns, c)
	}
	return columns, rows.Err()
}

func qualified(schema, name string) string { return engine.Table(schema, name) }

// ensure makes the table ready for rows of the load: it exists, in the right
// shape, and has every column in a type that holds each value.
func (w *writer) ensure(before relational.Shape) error {
	t := w.Spec.Table
	found, err := w.q.relation(w.Ctx, t.Schema, t.Name)
	if err != nil {
		return err
	}
	switch {
	case found == isOther:
		return fault.New(fault.Refused, "%s is neither a table nor a view; write to another table", t)
	case before == "" && found == isView:
		return fault.New(fault.Refused, "%s is a view that this installation has not made; drop it, or write to another table", t)
	case before == "" && found == isTable:
		before = relational.Plain
	}
	if err := w.ensureSchema(); err != nil {
		return err
	}
	if before != "" && before != w.Shape && found != absent {
		if err := w.Reshape(before); err != nil {
			return err
		}
		if w.Shape == relational.Rows && before == relational.Plain {
			if err := w.view(); err != nil {
				return err
			}
		}
	}
	if w.Shape == relational.View {
		return nil // made anew
	}
	if found, err = w.q.relation(w.Ctx, t.Schema, w.Shape.Physical(t)); err != nil {
		return err
	}
	if found == absent {
		return w.create()
	}
	if w.Spec.Mode == project.ModeReplace && !w.Partial() {
		return nil // its columns become those of the load
	}
	return w.evolve()
}

// ensureSchema makes the schema. It asks first: IF NOT EXISTS wants the right to make one.
func (w *writer) ensureSchema() error {
	n, err := w.q.count(w.Ctx, "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = $1", w.Spec.Table.Schema)
	if err == nil && n == 0 {
		_, err = w.q.exec(w.Ctx, "CREATE SCHEMA IF NOT EXISTS "+quote(w.Spec.Table.Schema))
	}
	return err
}

func (w *writer) definitions() ([]string, error) {
	var out []string
	for _, f := range w.Visible {
		typeName, err := engine.TypeName(f.Type)
		if err != nil {
			return nil, err
		}
		out = append(out, quote(f.Name)+" "+typeName)
	}
	return out, nil
}

func (w *writer) create() error {
	columns, err := w.definitions()
	if err != nil {
		return err
	}
	if w.Shape == relational.Rows {
		columns = append(columns, "_seq bigint")
	}
	if _, err := w.q.exec(w.Ctx, "CREATE TABLE "+w.Rows+" ("+strings.Join(columns, ", ")+")"); err != nil {
		return err
	}
	return w.view()
}

// recolumn gives the empty table the load's columns. The table itself stays, with
// its grants; where others depend on a column the engine refuses.
func (w *writer) recolumn() error {
	have, err := w.q.tableColumns(w.Ctx, w.Spec.Table.Schema, w.Spec.Table.Name)
	if err != nil {
		return err
	}
	wanted, err := w.definitions()
	if err != nil {
		return err
	}
	var now, changes []string
	for _, c := range have {
		now = append(now, quote(c.name)+" "+c.engine)
		changes = append(changes, "DROP COLUMN "+quote(c.name))
	}
	if slices.Equal(now, wanted) {
		return nil
	}
	for _, definition := range wanted {
		changes = append(changes, "ADD COLUMN "+definition)
	}
	_, err = w.q.exec(w.Ctx, "ALTER TABLE "+w.Rows+" "+strings.Join(changes, ", "))
	return err
}

// evolve adds what the table lacks and widens what is too narrow.
func (w *writer) evolve() error {
	columns, err := w.q.tableColumns(w.Ctx, w.Spec.Table.Schema, w.Shape.Physical(w.Spec.Table))
	if err != nil {
		return err
	}
	var changes []string
	retyped := false
	for _, f := range w.Visible {
		typeName, err := engine.TypeName(f.Type)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(columns, func(c column) bool { return c.name == f.Name })
		if at < 0 {
			changes = append(changes, "ADD COLUMN "+quote(f.Name)+" "+typeName)
			continue
		}
		have := columns[at]
		if have.engine == typeName {
			continue
		}
		if have.typ.Kind == "" {
			return fault.New(fault.Refused, "column %s of %s is a %s, which is not written here; write to another table, or to a new column", f.Name, w.Spec.Table, have.engine)
		}
		if fit, _ := datatype.Compare(f.Type, have.typ); fit == datatype.Exact || fit == datatype.Widened {
			continue // what is there holds every new value
		}
		fit, reason := datatype.Compare(have.typ, f.Type)
		if fit != datatype.Exact && fit != datatype.Widened {
			return fault.New(fault.Refused, "column %s of %s is a %s and cannot become a %s: %s; write to another table, or to a new column",
				f.Name, w.Spec.Table, have.typ, f.Type, reason)
		}
		changes = append(changes, fmt.Sprintf("ALTER COLUMN %[1]s TYPE %[2]s USING %[1]s::%[2]s", quote(f.Name), typeName))
		retyped = true
	}
	if len(changes) == 0 {
		return nil
	}
	if retyped && w.Shape == relational.Rows {
		if _, err := w.q.exec(w.Ctx, "DROP VIEW IF EXISTS "+w.Name); err != nil {
			return err
		}
	}
	if _, err := w.q.exec(w.Ctx, "ALTER TABLE "+w.Rows+" "+strings.Join(changes, ", ")); err != nil {
		return err
	}
	return w.view()
}

// view makes t the view that shows the table's rows without the hidden column.
func (w *writer) view() error {
	if w.Shape != relational.Rows {
		return nil
	}
	columns, err := w.q.tableColumns(w.Ctx, w.Spec.Table.Schema, w.Shape.Physical(w.Spec.Table))
	if err != nil {
		return err
	}
	var names []string
	for _, c := range columns {
		if c.name != "_seq" {
			names = append(names, c.name)
		}
	}
	_, err = w.q.exec(w.Ctx, "CREATE OR REPLACE VIEW "+w.Name+" AS SELECT "+engine.QuoteAll(names...)+" FROM "+w.Rows)
	return err
}

// replaceView makes t the view of the load's SELECT.
func (w *writer) replaceView() error {
	if w.target.view == "" {
		return fault.New(fault.Internal, "the load has no SELECT for the view")
	}
	// OR REPLACE keeps grants, and refuses other columns than those that are there.
	if err := w.q.execAll(w.Ctx, "SAVEPOINT view"); err != nil {
		return err
	}
	if _, err := w.q.single(w.Ctx, "CREATE OR REPLACE VIEW "+w.Name+" AS "+w.target.view); err == nil {
		return nil
	}
	if err := w.q.execAll(w.Ctx, "ROLLBACK TO SAVEPOINT view", "DROP VIEW IF EXISTS "+w.Name); err != nil {
		return err
	}
	_, err := w.q.single(w.Ctx, "CREATE VIEW "+w.Name+" AS "+w.target.view)
	return err
}
