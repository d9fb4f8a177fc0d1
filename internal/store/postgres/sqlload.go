package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// Dialect is PostgreSQL's.
func (l *load) Dialect() dialect.Dialect { return engine }

// Staged is the quoted name of a table's stage; empty where the load has no such table.
func (l *load) Staged(table project.Table) string {
	for _, t := range l.tables {
		if t.spec.Table == table {
			return t.stage.name
		}
	}
	return ""
}

// session returns the load's connection.
func (l *load) session(ctx context.Context) (*session, error) {
	if l.ended {
		return nil, errEnded()
	}
	if l.q == nil {
		var err error
		if l.q, err = l.store.connect(ctx); err != nil {
			return nil, err
		}
	}
	return l.q, nil
}

// Columns returns the visible columns of a table as it is now. Those of types that
// are not written here are left out.
func (l *load) Columns(ctx context.Context, t project.Table) (datatype.Schema, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q, err := l.session(ctx)
	if err != nil {
		return datatype.Schema{}, err
	}
	columns, err := q.tableColumns(ctx, t.Schema, t.Name)
	if err != nil {
		return datatype.Schema{}, failed(ctx, "reading the columns of "+t.String(), err)
	}
	return schemaOf(slices.DeleteFunc(columns, func(c column) bool { return c.typ.Kind == "" })).Visible(), nil
}

// Describe returns the schema of a SELECT without running it.
func (l *load) Describe(ctx context.Context, s dialect.Statement) (datatype.Schema, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q, err := l.session(ctx)
	if err != nil {
		return datatype.Schema{}, err
	}
	_, _, columns, err := q.describe(ctx, s)
	return schemaOf(columns), err
}

// Fill stages the rows of a SELECT.
func (l *load) Fill(ctx context.Context, table project.Table, s dialect.Statement) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := l.target(table)
	if err != nil {
		return 0, err
	}
	text, args, columns, err := l.q.describe(ctx, s)
	if err != nil {
		return 0, err
	}
	if t.spec.Mode == project.ModeView {
		if len(args) > 0 {
			return 0, fault.New(fault.Invalid, "a view has no parameters, and the SELECT refers to $%s", s.Placeholders()[0])
		}
		t.view = text
		return 0, nil
	}
	f, err := fit(columns, t.spec.Schema)
	if err != nil {
		return 0, fmt.Errorf("table %s: %w", table, err)
	}
	into := t.stage.name
	if !f.plain {
		into = "pg_temp.uncast"
		if err := l.uncast(ctx, columns); err != nil {
			return 0, failed(ctx, "making room for the SELECT", err)
		}
		defer func() { _, _ = l.q.exec(context.WithoutCancel(ctx), "DROP TABLE IF EXISTS pg_temp.uncast") }()
	}
	var n int64
	err = l.q.reading(ctx, func() error {
		n, err = l.q.single(ctx, "INSERT INTO "+into+" ("+f.names+") "+text, args...)
		return err
	})
	if err != nil || f.plain {
		return n, failed(ctx, "running the SELECT", err)
	}
	return l.cast(ctx, t, f)
}

// uncast makes a table for the rows of a SELECT as they come.
func (l *load) uncast(ctx context.Context, columns []column) error {
	definitions := []string{place + " bigint GENERATED ALWAYS AS IDENTITY"}
	for i := range columns {
		c := &columns[i]
		if err := l.q.row(ctx, "SELECT pg_catalog.format_type($1, $2)", []any{c.oid, c.typmod}, &c.engine); err != nil {
			return err
		}
		definitions = append(definitions, quote(c.name)+" "+c.engine)
	}
	return l.q.execAll(ctx, "DROP TABLE IF EXISTS pg_temp.uncast", "CREATE TEMP TABLE uncast ("+strings.Join(definitions, ", ")+")")
}

// cast stages the rows, once each of their values is known to fit.
func (l *load) cast(ctx context.Context, t *target, f fitted) (int64, error) {
	for _, one := range f.casts {
		if one.misfit == "" {
			continue
		}
		var value *string
		var n int64
		if err := l.q.row(ctx, fmt.Sprintf("SELECT count(*), min(CAST(%s AS text)) FROM pg_temp.uncast WHERE %s", quote(one.column), one.misfit), nil, &n, &value); err != nil {
			return 0, failed(ctx, "looking for values that do not fit", err)
		}
		if n > 0 {
			return 0, fault.New(fault.Failed, "column %s: %d values do not fit %s, such as %s", one.column, n, one.wanted, *value)
		}
	}
	n, err := l.q.exec(ctx, "INSERT INTO "+t.stage.name+" ("+f.names+") SELECT "+f.expressions+" FROM pg_temp.uncast ORDER BY "+place)
	return n, failed(ctx, "casting the rows of the SELECT", err)
}

// fitted is how the columns of a SELECT become those of a table.
type fitted struct {
	names, expressions string
	plain              bool // no value needs a cast
	casts              []casting
}

type casting struct {
	column string
	wanted datatype.Type
	misfit string
}

// fit finds the wanted columns among those of a SELECT.
func fit(columns []column, wanted datatype.Schema) (fitted, error) {
	f := fitted{plain: true}
	var names, expressions []string
	for _, c := range columns {
		at := wanted.Index(c.name)
		if at < 0 {
			return f, fault.New(fault.Invalid, "the SELECT has a column %s, and the table has none", c.name)
		}
		if slices.Contains(names, quote(c.name)) {
			return f, fault.New(fault.Invalid, "the SELECT has two columns named %s; name one of them otherwise with AS", c.name)
		}
		to := wanted.Fields[at].Type
		expression, misfit, err := c.exactly(to)
		if err != nil {
			return f, err
		}
		names, expressions = append(names, quote(c.name)), append(expressions, expression)
		if !c.typ.Equal(to) {
			f.plain = false
		}
		f.casts = append(f.casts, casting{c.name, to, misfit})
	}
	for _, field := range wanted.Visible().Fields {
		if field.Required && !slices.Contains(names, quote(field.Name)) {
			return f, fault.New(fault.Invalid, "the SELECT has no column %s, and the table requires it", field.Name)
		}
	}
	f.names, f.expressions = strings.Join(names, ", "), strings.Join(expressions, ", ")
	return f, nil
}

// Query runs a SELECT that sees the stage. Its result waits in a cursor at the
// server, so that the consumer may stage what it reads in the same load.
func (l *load) Query(ctx context.Context, s dialect.Statement) (store.Batches, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q, err := l.session(ctx)
	if err != nil {
		return nil, err
	}
	text, args, columns, err := q.describe(ctx, s)
	if err != nil {
		return nil, err
	}
	l.cursors++
	cursor := fmt.Sprintf("result_%d", l.cursors)
	err = q.reading(ctx, func() error {
		_, err := q.single(ctx, "DECLARE "+cursor+" NO SCROLL CURSOR WITH HOLD FOR "+text, args...)
		return err
	})
	if err != nil {
		return nil, failed(ctx, "running the SELECT", err)
	}
	return once(func(yield func(arrow.RecordBatch, error) bool) {
		defer l.forget(ctx, cursor)
		for l.page(ctx, cursor, columns, yield) {
		}
	}), nil
}

// page yields what a cursor yields next. It lets go of the connection first.
func (l *load) page(ctx context.Context, cursor string, columns []column, yield func(arrow.RecordBatch, error) bool) (more bool) {
	batches, n, err := l.fetch(ctx, cursor, columns)
	defer func() {
		for _, b := range batches {
			b.Release()
		}
	}()
	if err != nil {
		yield(nil, err)
		return false
	}
	for _, b := range batches {
		if !yield(b, nil) {
			return false
		}
	}
	return n == pageRows
}

func (l *load) fetch(ctx context.Context, cursor string, columns []column) ([]arrow.RecordBatch, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return nil, 0, errEnded()
	}
	return l.q.page(ctx, cursor, columns)
}

func (l *load) forget(ctx context.Context, cursor string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		_, _ = l.q.exec(context.WithoutCancel(ctx), "CLOSE "+cursor) // else it goes with the connection
	}
}

// Discard removes the staged rows for which the predicate is true.
func (l *load) Discard(ctx context.Context, table project.Table, predicate string) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := l.target(table)
	if err != nil {
		return 0, err
	}
	n, err := l.q.exec(ctx, "DELETE FROM "+t.stage.name+" WHERE "+predicate)
	return n, failed(ctx, "setting staged rows aside", err)
}
