package duckdb

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/relational"
)

// Dialect is DuckDB's.
func (l *load) Dialect() dialect.Dialect { return dialect.DuckDB }

// Staged is the quoted name of a table's stage; empty where the load has no such table.
func (l *load) Staged(table project.Table) string {
	for _, t := range l.tables {
		if t.spec.Table == table {
			return t.stage.name
		}
	}
	return ""
}

// Columns returns the visible columns of a table as it is now.
func (l *load) Columns(ctx context.Context, t project.Table) (datatype.Schema, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.q == nil {
		return datatype.Schema{}, fault.New(fault.Internal, "the load has ended")
	}
	columns, err := l.q.tableColumns(ctx, t.Schema, t.Name)
	if err != nil {
		return datatype.Schema{}, failed("reading the columns of "+t.String(), err)
	}
	return schemaOf(columns).Visible(), nil
}

// Describe returns the schema of a SELECT without running it.
func (l *load) Describe(ctx context.Context, s dialect.Statement) (datatype.Schema, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.q == nil {
		return datatype.Schema{}, fault.New(fault.Internal, "the load has ended")
	}
	columns, err := l.q.describe(ctx, s)
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
	if t.spec.Mode == project.ModeView {
		return 0, l.fillView(ctx, t, s)
	}
	columns, err := l.q.describe(ctx, s)
	if err != nil {
		return 0, err
	}
	args, err := named(s)
	if err != nil {
		return 0, err
	}
	into, values, plain, err := fit(columns, t.spec.Schema)
	if err != nil {
		return 0, fmt.Errorf("table %s: %w", table, err)
	}
	insert := "INSERT INTO " + t.stage.name + " (" + into + ") "
	if plain {
		n, err := l.q.exec(ctx, insert+s.SQL, args...)
		return n, failed("running the SELECT", err)
	}
	// Casts read the SELECT by the names of its columns. It is not put into
	// parentheses: the engine may then drop an ORDER BY.
	name := fmt.Sprintf("temp.main.uncast_%d", l.number)
	defer func() { _, _ = l.q.exec(context.WithoutCancel(ctx), "DROP TABLE IF EXISTS "+name) }()
	if _, err := l.q.exec(ctx, "CREATE TEMP TABLE "+name+" AS "+s.SQL, args...); err != nil {
		return 0, failed("running the SELECT", err)
	}
	n, err := l.q.exec(ctx, insert+"SELECT "+values+" FROM "+name)
	return n, failed("casting the rows of the SELECT", err)
}

// fit finds the wanted columns among those of a SELECT. Plain means that no value needs a cast.
func fit(columns []column, wanted datatype.Schema) (into, values string, plain bool, err error) {
	names, expressions := make([]string, len(columns)), make([]string, len(columns))
	plain = true
	missing := map[string]bool{}
	for _, f := range wanted.Visible().Fields {
		missing[f.Name] = f.Required
	}
	for i, c := range columns {
		at := wanted.Index(c.name)
		if at < 0 {
			return "", "", false, fault.New(fault.Invalid, "the SELECT has a column %s, and the table has none", c.name)
		}
		if relational.Contains(names[:i], quote(c.name)) {
			return "", "", false, fault.New(fault.Invalid, "the SELECT has two columns named %s; name one of them otherwise with AS", c.name)
		}
		delete(missing, c.name)
		names[i] = quote(c.name)
		if expressions[i], err = c.exactly(wanted.Fields[at].Type); err != nil {
			return "", "", false, err
		}
		exact, _ := datatype.Compare(c.typ, wanted.Fields[at].Type)
		plain = plain && exact == datatype.Exact && !c.cast
	}
	for _, f := range wanted.Fields {
		if missing[f.Name] {
			return "", "", false, fault.New(fault.Invalid, "the SELECT has no column %s, and the table requires it", f.Name)
		}
	}
	return strings.Join(names, ", "), strings.Join(expressions, ", "), plain, nil
}

// fillView keeps a SELECT that becomes a view.
func (l *load) fillView(ctx context.Context, t *target, s dialect.Statement) error {
	names, err := l.q.selectOnly(s.SQL)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fault.New(fault.Invalid, "a view has no parameters, and the SELECT refers to $%s", names[0])
	}
	if _, err := l.q.describe(ctx, s); err != nil {
		return err
	}
	t.view = s.SQL
	return nil
}

// Query runs a SELECT that sees the stage.
func (l *load) Query(ctx context.Context, s dialect.Statement) (store.Batches, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.q == nil {
		return nil, fault.New(fault.Internal, "the load has ended")
	}
	if err := l.flush(ctx); err != nil {
		return nil, err
	}
	l.spent = true
	r, err := l.store.spool(ctx, l.q, s)
	if err != nil {
		return nil, err
	}
	return once(func(yield func(arrow.RecordBatch, error) bool) {
		for number := range r.pages {
			if !l.page(ctx, r, number, yield) {
				return
			}
		}
	}), nil
}

// page yields one page of a result. It lets go of the connection first: the
// consumer stages what it reads in the same load.
func (l *load) page(ctx context.Context, r *result, number int64, yield func(arrow.RecordBatch, error) bool) bool {
	var batches []arrow.RecordBatch
	defer func() {
		for _, b := range batches {
			b.Release()
		}
	}()
	l.mu.Lock()
	err := fault.New(fault.Internal, "the load has ended")
	if l.q != nil {
		_, err = r.read(ctx, l.q, number, batchRows, func(b arrow.RecordBatch, err error) bool {
			b.Retain()
			batches = append(batches, b)
			return true
		})
	}
	l.mu.Unlock()
	if err != nil {
		yield(nil, err)
		return false
	}
	for _, b := range batches {
		if !yield(b, nil) {
			return false
		}
	}
	return true
}

// Discard removes the staged rows for which the predicate is true.
func (l *load) Discard(ctx context.Context, table project.Table, predicate string) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, err := l.target(table)
	if err != nil {
		return 0, err
	}
	if err := l.flush(ctx); err != nil {
		return 0, err
	}
	n, err := l.q.exec(ctx, "DELETE FROM "+t.stage.name+" WHERE "+predicate)
	return n, failed("setting staged rows aside", err)
}
