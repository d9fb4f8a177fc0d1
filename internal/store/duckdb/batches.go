package duckdb

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/store"
)

// batchRows is the size to which the engine's batches of 2,048 rows are brought.
const batchRows = 65_536

// pageRows is how many rows of a spooled result are in memory at a time.
const pageRows = 2 * batchRows

// Query runs a SELECT to its end, with flat memory however large its result is.
// The batches end the query: they must be consumed, or left by a break.
func (s *Store) Query(ctx context.Context, statement dialect.Statement) (datatype.Schema, store.Batches, error) {
	q, err := s.session(ctx)
	if err != nil {
		return datatype.Schema{}, nil, err
	}
	result, err := s.spool(ctx, q, statement)
	if err != nil {
		q.discard()
		return datatype.Schema{}, nil, err
	}
	return result.schema, once(func(yield func(arrow.RecordBatch, error) bool) {
		defer q.discard() // with the spool
		result.each(ctx, q, batchRows, yield)
	}), nil
}

// Read reads a table or the result of a query. Nothing runs and nothing is held
// before the batches are consumed.
func (s *Store) Read(ctx context.Context, request store.Request) (*store.Reading, error) {
	statement := request.Query
	switch {
	case len(request.Files) > 0:
		return nil, fault.New(fault.Invalid, "the warehouse holds tables and no files")
	case statement.SQL == "":
		name := dialect.DuckDB.Table(request.Table.Schema, request.Table.Name)
		statement = dialect.Statement{SQL: "SELECT * FROM " + name}
	}
	q, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	defer q.close()
	if request.Query.SQL == "" {
		if err := q.exists(ctx, request.Table); err != nil {
			return nil, err
		}
	}
	columns, err := q.describe(ctx, statement)
	if err != nil {
		return nil, err
	}
	reading := &store.Reading{Schema: schemaOf(columns)}
	reading.Batches = once(func(yield func(arrow.RecordBatch, error) bool) {
		q, err := s.session(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		defer q.discard() // with the spool
		result, err := s.spool(ctx, q, statement)
		if err == nil && result.schema.String() != reading.Schema.String() {
			err = fault.New(fault.Busy, "the columns changed while they were about to be read: %s, and before %s", result.schema, reading.Schema)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		result.each(ctx, q, cmp.Or(max(request.Batch, 0), batchRows), yield)
	})
	return reading, nil
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

// result is a SELECT that has run into a temporary table, which may spill to
// disk: the driver keeps a result whole in memory, so it is read page by page.
type result struct {
	schema datatype.Schema
	name   string // of the table
	list   string // of its columns
	first  int64  // row number; a table that this very transaction made does not count from 0
	pages  int64
}

// spool runs a SELECT into a temporary table of the connection.
func (s *Store) spool(ctx context.Context, q *session, statement dialect.Statement) (*result, error) {
	columns, err := q.describe(ctx, statement)
	if err != nil {
		return nil, err
	}
	if len(columns) == 0 {
		return nil, fault.New(fault.Invalid, "the SELECT has no columns")
	}
	args, err := named(statement)
	if err != nil {
		return nil, err
	}
	r := &result{schema: schemaOf(columns), name: fmt.Sprintf("temp.main.spool_%d", s.loads.Add(1))}
	if _, err := q.exec(ctx, "CREATE TEMP TABLE "+r.name+" AS "+statement.SQL, args...); err != nil {
		return nil, failed("running the SELECT", err)
	}
	var rows int64
	if err := q.row(ctx, "SELECT coalesce(min(rowid), 0), count(*) FROM "+r.name, nil, &r.first, &rows); err != nil {
		return nil, failed("counting the rows of the SELECT", err)
	}
	r.pages = max(1, (rows+pageRows-1)/pageRows)
	stored, err := q.columns(ctx, "DESCRIBE SELECT * FROM "+r.name) // two of one name were told apart
	if err != nil {
		return nil, err
	}
	expressions := make([]string, len(stored))
	for i, c := range stored {
		if expressions[i], err = c.exactly(c.typ); err != nil {
			return nil, err
		}
	}
	r.list = strings.Join(expressions, ", ")
	return r, nil
}

// each yields the rows in batches of about the given number of rows.
func (r *result) each(ctx context.Context, q *session, rows int, yield func(arrow.RecordBatch, error) bool) {
	for number := range r.pages {
		stopped, err := r.read(ctx, q, number, rows, yield)
		if stopped {
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
	}
}

// read yields the rows of one page; the connection is busy all the while.
func (r *result) read(ctx context.Context, q *session, number int64, rows int, yield func(arrow.RecordBatch, error) bool) (stopped bool, err error) {
	from := r.first + number*pageRows
	statement := fmt.Sprintf("SELECT %s FROM %s WHERE rowid >= %d AND rowid < %d", r.list, r.name, from, from+pageRows)
	err = q.raw(func(conn *duckdb.Conn) error {
		bridge, err := duckdb.NewArrowFromConn(conn)
		if err != nil {
			return err
		}
		reader, err := bridge.QueryContext(ctx, statement)
		if err != nil {
			return err
		}
		defer reader.Release()
		stopped, err = regroup(reader, r.schema.Arrow(), rows, yield)
		return err
	})
	return stopped, failed("running the SELECT", err)
}

// regroup joins small batches to larger ones and gives them the schema's own types.
func regroup(reader array.RecordReader, schema *arrow.Schema, rows int, yield func(arrow.RecordBatch, error) bool) (stopped bool, err error) {
	var waiting []arrow.RecordBatch
	count := 0
	drop := func() {
		for _, b := range waiting {
			b.Release()
		}
		waiting, count = nil, 0
	}
	defer drop()
	flush := func() (bool, error) {
		if len(waiting) == 0 {
			return true, nil
		}
		joined, err := join(waiting, schema)
		if err != nil {
			return false, err
		}
		defer joined.Release()
		drop()
		return yield(joined, nil), nil
	}
	for reader.Next() {
		batch := reader.RecordBatch()
		batch.Retain()
		waiting = append(waiting, batch)
		if count += int(batch.NumRows()); count >= rows {
			if more, err := flush(); err != nil || !more {
				return !more && err == nil, err
			}
		}
	}
	if err := reader.Err(); err != nil {
		return false, err
	}
	more, err := flush()
	return !more && err == nil, err
}

func join(batches []arrow.RecordBatch, schema *arrow.Schema) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, schema.NumFields())
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	var rows int64
	for _, b := range batches {
		rows += b.NumRows()
	}
	for i := range columns {
		parts := make([]arrow.Array, len(batches))
		for j, b := range batches {
			parts[j] = b.Column(i)
		}
		joined, err := array.Concatenate(parts, memory.DefaultAllocator)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", schema.Field(i).Name, err)
		}
		data, err := retyped(joined.Data(), schema.Field(i).Type)
		joined.Release()
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", schema.Field(i).Name, err)
		}
		columns[i] = array.MakeFromData(data)
		data.Release()
	}
	return array.NewRecordBatch(schema, columns, rows), nil
}

// retyped gives data that lie in memory as wanted the wanted type: the engine
// names the members of lists otherwise.
func retyped(data arrow.ArrayData, wanted arrow.DataType) (arrow.ArrayData, error) {
	have := data.DataType()
	if have.ID() != wanted.ID() {
		return nil, fault.New(fault.Internal, "the engine answers with %s instead of %s", have, wanted)
	}
	nested, ok := wanted.(arrow.NestedType)
	if !ok {
		if !arrow.TypeEqual(have, wanted) {
			return nil, fault.New(fault.Internal, "the engine answers with %s instead of %s", have, wanted)
		}
		data.Retain()
		return data, nil
	}
	children := make([]arrow.ArrayData, len(data.Children()))
	for i, child := range data.Children() {
		inner, err := retyped(child, nested.Fields()[i].Type)
		if err != nil {
			return nil, err
		}
		defer inner.Release()
		children[i] = inner
	}
	return array.NewData(wanted, data.Len(), data.Buffers(), children, data.NullN(), data.Offset()), nil
}
