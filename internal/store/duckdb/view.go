package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
	"github.com/tidemill/tidemill/internal/store/relational"
)

// view is a read transaction on a connection of its own, with temporary tables.
type view struct {
	store *Store
	q     *session
}

// View begins a view. DuckDB reads every table as it was when the transaction began.
func (s *Store) View(ctx context.Context) (store.View, error) {
	q, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := q.exec(ctx, "BEGIN TRANSACTION"); err != nil {
		q.discard()
		return nil, failed("beginning to read", err)
	}
	return &view{store: s, q: q}, nil
}

// Close ends the view; its relations go with the connection.
func (v *view) Close() error {
	_, _ = v.q.exec(context.Background(), "ROLLBACK") // nothing is lost: the view wrote nothing
	v.q.discard()
	return nil
}

// Query runs a SELECT in the view's state.
func (v *view) Query(ctx context.Context, s dialect.Statement) (datatype.Schema, store.Batches, error) {
	r, err := v.store.spool(ctx, v.q, s)
	if err != nil {
		return datatype.Schema{}, nil, err
	}
	return r.schema, once(func(yield func(arrow.RecordBatch, error) bool) {
		defer func() { _, _ = v.q.exec(context.WithoutCancel(ctx), "DROP TABLE "+r.name) }()
		r.each(ctx, v.q, batchRows, yield)
	}), nil
}

// Keep makes a temporary table of a SELECT's rows.
func (v *view) Keep(ctx context.Context, name string, s dialect.Statement) (string, int64, error) {
	if _, err := v.q.selectOnly(s.SQL); err != nil {
		return "", 0, err
	}
	args, err := named(s)
	if err != nil {
		return "", 0, err
	}
	relation := "temp.main." + quote(name)
	if _, err := v.q.exec(ctx, "CREATE OR REPLACE TEMP TABLE "+relation+" AS "+s.SQL, args...); err != nil {
		return "", 0, failed("running the SELECT", err)
	}
	rows, err := v.q.count(ctx, "SELECT count(*) FROM "+relation)
	return relation, rows, err
}

// Take makes a temporary table of rows from elsewhere.
func (v *view) Take(ctx context.Context, name string, schema datatype.Schema, batches store.Batches) (string, int64, error) {
	in := newIntake(name, schema)
	defer in.release()
	if err := in.create(ctx, v.q); err != nil {
		return "", 0, err
	}
	for batch, err := range batches {
		if err == nil {
			err = in.add(ctx, v.q, batch)
		}
		if err != nil {
			return "", 0, err
		}
	}
	if err := in.flush(ctx, v.q); err != nil {
		return "", 0, err
	}
	rows, err := v.q.count(ctx, "SELECT count(*) FROM "+in.name)
	return in.name, rows, err
}

// Feature looks up a feature table's newest commit.
func (v *view) Feature(ctx context.Context, t project.Table) (store.FeatureTable, error) {
	var seq int64
	var shape string
	err := v.q.row(ctx, "SELECT seq, shape FROM "+control+`.table_state WHERE "table" = ?`, []any{relational.TableName(t)}, &seq, &shape)
	if errors.Is(err, sql.ErrNoRows) {
		return store.FeatureTable{}, fault.New(fault.NotFound, "there is no feature table %s yet: %w", t, store.ErrAbsent)
	}
	if err != nil {
		return store.FeatureTable{}, failed("looking up "+t.String(), err)
	}
	history := t.History()
	return store.FeatureTable{
		Seq:     seq,
		History: warehouse + "." + dialect.DuckDB.Table(history.Schema, history.Name),
		Commits: fmt.Sprintf(`(SELECT seq, known_at, kind, run, task, window_start, window_end FROM %s.table_commit WHERE "table" = '%s')`, control, relational.TableName(t)),
	}, nil
}
