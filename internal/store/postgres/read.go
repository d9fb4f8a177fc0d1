package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/pgarrow"
	"github.com/tidemill/tidemill/internal/store"
)

// What one batch holds at most: it ends with whichever comes first.
const (
	batchRows  = 65_536
	batchBytes = 16 << 20
)

// Query runs a SELECT. Rows are decoded as they arrive. The batches end the
// query: they must be consumed, or left by a break.
func (s *Store) Query(ctx context.Context, statement dialect.Statement) (datatype.Schema, store.Batches, error) {
	r, err := s.open(ctx, statement)
	if err != nil {
		return datatype.Schema{}, nil, err
	}
	return schemaOf(r.columns), r.batches(ctx, batchRows), nil
}

// Read reads a table or the result of a query, with flat memory however large it is.
func (s *Store) Read(ctx context.Context, request store.Request) (*store.Reading, error) {
	statement := request.Query
	switch {
	case len(request.Files) > 0:
		return nil, fault.New(fault.Invalid, "a database holds tables and no files")
	case statement.SQL == "":
		found, err := s.find(ctx, request.Table)
		if err != nil {
			return nil, err
		}
		if found == absent {
			return nil, fault.New(fault.NotFound, "table %s: %w", request.Table, store.ErrAbsent)
		}
		statement = dialect.Statement{SQL: "SELECT * FROM " + qualified(request.Table.Schema, request.Table.Name)}
	}
	r, err := s.open(ctx, statement)
	if err != nil {
		return nil, err
	}
	if err := bounded(r.columns); err != nil {
		return nil, err
	}
	rows := request.Batch
	if rows <= 0 {
		rows = batchRows
	}
	return &store.Reading{Schema: schemaOf(r.columns), Batches: r.batches(ctx, rows)}, nil
}

func (s *Store) find(ctx context.Context, t project.Table) (found relation, err error) {
	err = s.with(ctx, func(q *session) error {
		found, err = q.relation(ctx, t.Schema, t.Name)
		return err
	})
	return found, failed(ctx, "looking up table "+t.String(), err)
}

// result is a SELECT that was described and not run. It holds no connection: who
// finds that the rows are there already never asks for them.
type result struct {
	store   *Store
	text    string
	args    []any
	columns []column
}

func (s *Store) open(ctx context.Context, statement dialect.Statement) (*result, error) {
	r := &result{store: s}
	err := s.with(ctx, func(q *session) (err error) {
		r.text, r.args, r.columns, err = q.describe(ctx, statement)
		return err
	})
	return r, err
}

// batches runs the SELECT and yields its rows, on a connection of their own that
// ends with them: rows nobody wants any more are not sent.
func (r *result) batches(ctx context.Context, rows int) store.Batches {
	return once(func(yield func(arrow.RecordBatch, error) bool) {
		q, err := r.store.connect(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		defer q.close()
		_, left, err := r.run(ctx, q, rows, yield)
		if err != nil && !left {
			yield(nil, err)
		}
	})
}

func (r *result) run(ctx context.Context, q *session, rows int, yield func(arrow.RecordBatch, error) bool) (n int64, left bool, err error) {
	if _, err := q.exec(ctx, "BEGIN TRANSACTION READ ONLY"); err != nil {
		return 0, false, failed(ctx, "beginning to read", err)
	}
	return q.stream(ctx, selection{r.text, r.args, r.columns, rows, q.close}, func(b arrow.RecordBatch) bool { return yield(b, nil) })
}

// selection is a query and how to read its rows.
type selection struct {
	text    string
	args    []any
	columns []column
	most    int    // rows of a batch
	abandon func() // ends the connection, instead of reading what nobody wants
}

// stream runs a query and gives its rows to the sink, which borrows each batch
// and returns false to leave.
func (q *session) stream(ctx context.Context, s selection, sink func(arrow.RecordBatch) bool) (n int64, left bool, err error) {
	rows, err := q.conn.Query(ctx, s.text, append([]any{pgx.QueryResultFormats{pgx.BinaryFormatCode}}, s.args...)...)
	if err != nil {
		return 0, false, failed(ctx, "running the SELECT", err)
	}
	defer func() {
		if left || err != nil {
			s.abandon()
		}
		rows.Close()
	}()
	columns := s.columns
	if err := asDescribed(rows.FieldDescriptions(), columns); err != nil {
		return 0, false, err
	}
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(columns).Arrow())
	defer builder.Release()
	decoders := make([]pgarrow.Decoder, len(columns))
	for i, c := range columns {
		if decoders[i], err = pgarrow.NewDecoder(c.oid, c.typ, builder.Field(i)); err != nil {
			return 0, false, fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	waiting, bytes := 0, 0
	flush := func() bool {
		batch := builder.NewRecordBatch()
		defer batch.Release()
		waiting, bytes = 0, 0
		return sink(batch)
	}
	for rows.Next() {
		values := rows.RawValues()
		if len(values) != len(columns) {
			return n, false, fault.New(fault.Internal, "a row has %d values instead of %d", len(values), len(columns))
		}
		for i, value := range values {
			if value == nil {
				builder.Field(i).AppendNull()
				continue
			}
			if err := decoders[i](value); err != nil {
				return n, false, fault.New(fault.KindOf(err), "column %s: %w", columns[i].name, err)
			}
			bytes += len(value)
		}
		n++
		if waiting++; waiting >= s.most || bytes >= batchBytes {
			if !flush() {
				return n, true, nil
			}
		}
	}
	if err := rows.Err(); err != nil {
		return n, false, failed(ctx, "running the SELECT", err)
	}
	if waiting > 0 {
		left = !flush()
	}
	return n, left, nil
}

// once lets a stream be consumed one time.
func once(stream store.Batches) store.Batches {
	consumed := false
	return func(yield func(arrow.RecordBatch, error) bool) {
		if consumed {
			yield(nil, fault.New(fault.Internal, "the batches were consumed already"))
			return
		}
		consumed = true
		stream(yield)
	}
}

// asDescribed makes sure that the columns are still those that were described.
func asDescribed(now []pgconn.FieldDescription, columns []column) error {
	same := func(f pgconn.FieldDescription, c column) bool {
		return f.Name == c.name && f.DataTypeOID == c.oid && f.TypeModifier == c.typmod
	}
	if len(now) > 0 && !slices.EqualFunc(now, columns, same) { // none: the server has answered with an error
		return fault.New(fault.Conflict, "the columns of the SELECT have changed since it was planned: try again")
	}
	return nil
}

// pageRows is what one FETCH of a cursor brings, all of it in memory.
const pageRows = 8192

// page reads what a cursor yields next.
func (q *session) page(ctx context.Context, cursor string, columns []column) (batches []arrow.RecordBatch, n int64, err error) {
	fetch := fmt.Sprintf("FETCH FORWARD %d FROM %s", pageRows, cursor)
	n, _, err = q.stream(ctx, selection{fetch, nil, columns, pageRows, func() {}}, func(b arrow.RecordBatch) bool {
		b.Retain()
		batches = append(batches, b)
		return true
	})
	return batches, n, err
}
