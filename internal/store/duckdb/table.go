package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/relational"
)

// relation is what a name stands for in the warehouse.
type relation int

const (
	absent relation = iota
	isTable
	isView
)

func (q *session) relation(ctx context.Context, schema, name string) (relation, error) {
	var kind string
	err := q.row(ctx, `SELECT kind FROM (
			SELECT 'table' AS kind, database_name, schema_name, table_name AS name FROM duckdb_tables()
			UNION ALL SELECT 'view', database_name, schema_name, view_name FROM duckdb_views())
		WHERE database_name = ? AND lower(schema_name) = lower(?) AND lower(name) = lower(?)`, []any{warehouse, schema, name}, &kind)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return absent, nil
	case err != nil:
		return absent, failed("looking up table "+schema+"."+name, err)
	case kind == "view":
		return isView, nil
	}
	return isTable, nil
}

// exists returns store.ErrAbsent where there is no such table.
func (q *session) exists(ctx context.Context, t project.Table) error {
	found, err := q.relation(ctx, t.Schema, t.Name)
	if err == nil && found == absent {
		return fault.New(fault.NotFound, "table %s: %w", t, store.ErrAbsent)
	}
	return err
}

// tableColumns returns the columns of a table, in order, hidden ones included.
func (q *session) tableColumns(ctx context.Context, schema, name string) ([]column, error) {
	rows, err := q.conn.QueryContext(ctx, `SELECT column_name, data_type FROM duckdb_columns()
		WHERE database_name = ? AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?) ORDER BY column_index`, warehouse, schema, name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var columns []column
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.name, &c.engine); err != nil {
			return nil, err
		}
		if err := c.resolve(); err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, rows.Err()
}

// hiddenColumns are those that t never shows.
func hiddenColumns(s relational.Shape) []string {
	switch s {
	case relational.Rows:
		return []string{"_seq BIGINT"}
	case relational.History:
		return []string{"_seq BIGINT", "_known_at TIMESTAMPTZ", "_deleted BOOLEAN"}
	default:
		return nil
	}
}

func qualified(schema, name string) string {
	return warehouse + "." + dialect.DuckDB.Table(schema, name)
}

func isHiddenName(name string) bool {
	return name == "_seq" || name == "_known_at" || name == "_deleted"
}

// ensure makes the table ready for rows of the load: it exists, in the right
// shape, and has every column in a type that holds each value.
func (w *writer) ensure(before relational.Shape) error {
	t := w.Spec.Table
	found, err := w.q.relation(w.Ctx, t.Schema, t.Name)
	if err != nil {
		return err
	}
	if before == "" {
		switch found {
		case isView:
			return fault.New(fault.Refused, "%s is a view that this installation has not made; drop it, or write to another table", t)
		case isTable:
			before = relational.Plain
		default: // absent: it is made below
		}
	}
	if _, err := w.q.exec(w.Ctx, "CREATE SCHEMA IF NOT EXISTS "+warehouse+"."+quote(t.Schema)); err != nil {
		return err
	}
	if before != "" && before != w.Shape && found != absent {
		if err := w.Reshape(before); err != nil {
			return err
		}
	}
	if w.Shape == relational.View || w.Spec.Mode == project.ModeReplace {
		return nil // made anew
	}
	if found, err = w.q.relation(w.Ctx, t.Schema, w.Shape.Physical(t)); err != nil {
		return err
	}
	if found == absent {
		return w.create()
	}
	return w.evolve()
}

func (w *writer) create() error {
	columns := make([]string, 0, len(w.Visible)+3)
	for _, f := range w.Visible {
		typeName, err := dialect.DuckDB.TypeName(f.Type)
		if err != nil {
			return err
		}
		columns = append(columns, quote(f.Name)+" "+typeName)
	}
	columns = append(columns, hiddenColumns(w.Shape)...)
	if _, err := w.q.exec(w.Ctx, "CREATE TABLE "+w.Rows+" ("+strings.Join(columns, ", ")+")"); err != nil {
		return err
	}
	return w.view()
}

// evolve adds what the table lacks and widens what is too narrow.
func (w *writer) evolve() error {
	columns, err := w.q.tableColumns(w.Ctx, w.Spec.Table.Schema, w.Shape.Physical(w.Spec.Table))
	if err != nil {
		return failed("reading the columns of "+w.Spec.Table.String(), err)
	}
	for _, f := range w.Visible {
		typeName, err := dialect.DuckDB.TypeName(f.Type)
		if err != nil {
			return err
		}
		have := find(columns, f.Name)
		if have == nil {
			if _, err := w.q.exec(w.Ctx, "ALTER TABLE "+w.Rows+" ADD COLUMN "+quote(f.Name)+" "+typeName); err != nil {
				return err
			}
			continue
		}
		if have.engine == typeName {
			continue
		}
		if fit, _ := datatype.Compare(f.Type, have.typ); fit == datatype.Exact || fit == datatype.Widened {
			continue // what is there holds every new value
		}
		fit, reason := datatype.Compare(have.typ, f.Type)
		if fit != datatype.Exact && fit != datatype.Widened {
			return fault.New(fault.Refused, "column %s of %s is a %s and cannot become a %s: %s; write to another table, or to a new column",
				f.Name, w.Spec.Table, have.typ, f.Type, reason)
		}
		if _, err := w.q.exec(w.Ctx, "ALTER TABLE "+w.Rows+" ALTER COLUMN "+quote(f.Name)+" SET DATA TYPE "+typeName); err != nil {
			return err
		}
	}
	return w.view()
}

func find(columns []column, name string) *column {
	for i := range columns {
		if strings.EqualFold(columns[i].name, name) {
			return &columns[i]
		}
	}
	return nil
}

// view makes t the view that shows the table's rows without hidden columns.
func (w *writer) view() error {
	if w.Shape == relational.Plain {
		return nil
	}
	columns, err := w.q.tableColumns(w.Ctx, w.Spec.Table.Schema, w.Shape.Physical(w.Spec.Table))
	if err != nil {
		return err
	}
	var names []string
	for _, c := range columns {
		if !isHiddenName(c.name) {
			names = append(names, quote(c.name))
		}
	}
	list := strings.Join(names, ", ")
	// Without the catalog's name: a snapshot has another.
	from := dialect.DuckDB.Table(w.Spec.Table.Schema, w.Shape.Physical(w.Spec.Table))
	text := "SELECT " + list + " FROM " + from
	if w.Shape == relational.History {
		text = fmt.Sprintf(`SELECT %s FROM (SELECT *, row_number() OVER (PARTITION BY %s ORDER BY _seq DESC) AS _newest FROM %s) WHERE _newest = 1 AND NOT _deleted`,
			list, dialect.DuckDB.QuoteAll(w.Identity()...), from)
	}
	_, err = w.q.exec(w.Ctx, "CREATE OR REPLACE VIEW "+w.Name+" AS "+text)
	return err
}
