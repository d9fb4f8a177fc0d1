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

// shape is how a table is kept.
type shape string

const (
	shapePlain shape = "plain"
	shapeRows  shape = "rows"
	shapeView  shape = "view"
)

func shapeOf(m project.Mode) shape {
	switch m {
	case project.ModeAppend:
		return shapeRows
	case project.ModeView:
		return shapeView
	default:
		return shapePlain
	}
}

// physical is the name of the table that holds the rows.
func (s shape) physical(t project.Table) string {
	if s == shapeRows {
		return t.Name + "__rows"
	}
	return t.Name
}

func qualified(schema, name string) string { return engine.Table(schema, name) }

// ensure makes the table ready for rows of the load: it exists, in the right
// shape, and has every column in a type that holds each value.
func (w *writer) ensure(before shape) error {
	t := w.spec.Table
	found, err := w.q.relation(w.ctx, t.Schema, t.Name)
	if err != nil {
		return err
	}
	switch {
	case found == isOther:
		return fault.New(fault.Refused, "%s is neither a table nor a view; write to another table", t)
	case before == "" && found == isView:
		return fault.New(fault.Refused, "%s is a view that this installation has not made; drop it, or write to another table", t)
	case before == "" && found == isTable:
		before = shapePlain
	}
	if err := w.ensureSchema(); err != nil {
		return err
	}
	if before != "" && before != w.shape {
		if err := w.reshape(before, found); err != nil {
			return err
		}
	}
	if w.shape == shapeView {
		return nil // made anew
	}
	if found, err = w.q.relation(w.ctx, t.Schema, w.shape.physical(t)); err != nil {
		return err
	}
	if found == absent {
		return w.create()
	}
	if w.spec.Mode == project.ModeReplace && !w.partial() {
		return nil // its columns become those of the load
	}
	return w.evolve()
}

// ensureSchema makes the schema. It asks first: IF NOT EXISTS wants the right to make one.
func (w *writer) ensureSchema() error {
	n, err := w.q.count(w.ctx, "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = $1", w.spec.Table.Schema)
	if err == nil && n == 0 {
		_, err = w.q.exec(w.ctx, "CREATE SCHEMA IF NOT EXISTS "+quote(w.spec.Table.Schema))
	}
	return err
}

// reshape turns a table that was kept in another way into the wanted one, where no row gets lost.
func (w *writer) reshape(before shape, found relation) error {
	t := w.spec.Table
	kept := qualified(t.Schema, shapeRows.physical(t))
	switch {
	case found == absent:
		return nil
	case before == shapeView:
		_, err := w.q.exec(w.ctx, "DROP VIEW "+w.name)
		return err
	case before == shapePlain && w.shape == shapeRows:
		if err := w.q.execAll(w.ctx,
			"ALTER TABLE "+w.name+" RENAME TO "+quote(shapeRows.physical(t)),
			"ALTER TABLE "+kept+" ADD COLUMN _seq bigint DEFAULT 0",
			"ALTER TABLE "+kept+" ALTER COLUMN _seq DROP DEFAULT"); err != nil {
			return err
		}
		return w.view()
	case before == shapeRows && w.shape == shapePlain:
		return w.q.execAll(w.ctx,
			"DROP VIEW "+w.name,
			"ALTER TABLE "+kept+" DROP COLUMN _seq",
			"ALTER TABLE "+kept+" RENAME TO "+quote(t.Name))
	}
	return fault.New(fault.Refused, "%s is kept as %s and mode %s keeps %s: rows would get lost; write to another table, or drop this one first",
		t, before, w.spec.Mode, w.shape)
}

func (w *writer) definitions() ([]string, error) {
	var out []string
	for _, f := range w.visible {
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
	if w.shape == shapeRows {
		columns = append(columns, "_seq bigint")
	}
	if _, err := w.q.exec(w.ctx, "CREATE TABLE "+w.rows+" ("+strings.Join(columns, ", ")+")"); err != nil {
		return err
	}
	return w.view()
}

// recolumn gives the empty table the load's columns. The table itself stays, with
// its grants; where others depend on a column the engine refuses.
func (w *writer) recolumn() error {
	have, err := w.q.tableColumns(w.ctx, w.spec.Table.Schema, w.spec.Table.Name)
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
	_, err = w.q.exec(w.ctx, "ALTER TABLE "+w.rows+" "+strings.Join(changes, ", "))
	return err
}

// evolve adds what the table lacks and widens what is too narrow.
func (w *writer) evolve() error {
	columns, err := w.q.tableColumns(w.ctx, w.spec.Table.Schema, w.shape.physical(w.spec.Table))
	if err != nil {
		return err
	}
	var changes []string
	retyped := false
	for _, f := range w.visible {
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
			return fault.New(fault.Refused, "column %s of %s is a %s, which is not written here; write to another table, or to a new column", f.Name, w.spec.Table, have.engine)
		}
		if fit, _ := datatype.Compare(f.Type, have.typ); fit == datatype.Exact || fit == datatype.Widened {
			continue // what is there holds every new value
		}
		fit, reason := datatype.Compare(have.typ, f.Type)
		if fit != datatype.Exact && fit != datatype.Widened {
			return fault.New(fault.Refused, "column %s of %s is a %s and cannot become a %s: %s; write to another table, or to a new column",
				f.Name, w.spec.Table, have.typ, f.Type, reason)
		}
		changes = append(changes, fmt.Sprintf("ALTER COLUMN %[1]s TYPE %[2]s USING %[1]s::%[2]s", quote(f.Name), typeName))
		retyped = true
	}
	if len(changes) == 0 {
		return nil
	}
	if retyped && w.shape == shapeRows {
		if _, err := w.q.exec(w.ctx, "DROP VIEW IF EXISTS "+w.name); err != nil {
			return err
		}
	}
	if _, err := w.q.exec(w.ctx, "ALTER TABLE "+w.rows+" "+strings.Join(changes, ", ")); err != nil {
		return err
	}
	return w.view()
}

// view makes t the view that shows the table's rows without the hidden column.
func (w *writer) view() error {
	if w.shape != shapeRows {
		return nil
	}
	columns, err := w.q.tableColumns(w.ctx, w.spec.Table.Schema, w.shape.physical(w.spec.Table))
	if err != nil {
		return err
	}
	var names []string
	for _, c := range columns {
		if c.name != "_seq" {
			names = append(names, c.name)
		}
	}
	_, err = w.q.exec(w.ctx, "CREATE OR REPLACE VIEW "+w.name+" AS SELECT "+engine.QuoteAll(names...)+" FROM "+w.rows)
	return err
}

// replaceView makes t the view of the load's SELECT.
func (w *writer) replaceView() error {
	if w.target.view == "" {
		return fault.New(fault.Internal, "the load has no SELECT for the view")
	}
	// OR REPLACE keeps grants, and refuses other columns than those that are there.
	if err := w.q.execAll(w.ctx, "SAVEPOINT view"); err != nil {
		return err
	}
	if _, err := w.q.single(w.ctx, "CREATE OR REPLACE VIEW "+w.name+" AS "+w.target.view); err == nil {
		return nil
	}
	if err := w.q.execAll(w.ctx, "ROLLBACK TO SAVEPOINT view", "DROP VIEW IF EXISTS "+w.name); err != nil {
		return err
	}
	_, err := w.q.single(w.ctx, "CREATE VIEW "+w.name+" AS "+w.target.view)
	return err
}
