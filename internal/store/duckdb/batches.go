package duckdb

import (
	"context"
	"fmt"

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

// Query runs a SELECT. Its result is in memory while it is read; Read spools.
// The batches end the query: they must be consumed, or left by a break.
func (s *Store) Query(ctx context.Context, statement dialect.Statement) (datatype.Schema, store.Batches, error) {
	q, err := s.session(ctx)
	if err != nil {
		return datatype.Schema{}, nil, err
	}
	result, err := q.query(ctx, statement)
	if err != nil {
		q.close()
		return datatype.Schema{}, nil, err
	}
	return result.schema, once(func(yield func(arrow.RecordBatch, error) bool) {
		defer q.close()
		result.each(ctx, q, batchRows, yield)
	}), nil
}

// Read reads a table or the result of a query, with flat memory however large it is.
func (s *Store) Read(ctx context.Context, request store.Request) (*store.Reading, error) {
	statement := request.Query
	switch {
	case request.Path != "":
		return nil, fault.New(fault.Invalid, "the warehouse holds tables and no files")
	case statement.SQL == "":
		name := dialect.DuckDB.Table(request.Table.Schema, request.Table.Name)
		statement = dialect.Statement{SQL: "SELECT * FROM " + name}
	}
	q, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	if request.Query.SQL == "" {
		if err := q.exists(ctx, request.Table); err != nil {
			q.close()
			return nil, err
		}
	}
	result, err := s.spool(ctx, q, statement)
	if err != nil {
		q.discard()
		return nil, err
	}
	rows := request.Batch
	if rows <= 0 {
		rows = batchRows
	}
	return &store.Reading{
		Schema: result.schema,
		Batches: once(func(yield func(arrow.RecordBatch, error) bool) {
			defer q.discard() // with the spool
			result.each(ctx, q, rows, yield)
		}),
	}, nil
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

// result is a SELECT that is ready to be read, page by page.
type result struct {
	schema datatype.Schema
	page   func(number int64) (statement string, args []any)
	pages  int64
}

// query prepares a SELECT to be read as one page. Types without a counterpart of
// their own are cast, which needs a spool.
func (q *session) query(ctx context.Context, s dialect.Statement) (*result, error) {
	columns, err := q.describe(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, c := range columns {
		if c.cast {
			return q.spooled(ctx, s, columns, "spooled_query")
		}
	}
	args, err := q.ordered(s)
	if err != nil {
		return nil, err
	}
	return &result{
		schema: schemaOf(columns), pages: 1,
		page: func(int64) (string, []any) { return s.SQL, args },
	}, nil
}

// ordered returns the values of a statement by the positions that the engine gave their names.
func (q *session) ordered(s dialect.Statement) ([]any, error) {
	names, err := q.selectOnly(s.SQL)
	if err != nil {
		return nil, err
	}
	used, err := s.Used()
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	for _, p := range used {
		values[p.Name] = p.Value
	}
	args := make([]any, len(names))
	for i, name := range names {
		value, ok := values[name]
		if !ok {
			return nil, fault.New(fault.Invalid, "the SQL refers to $%s, and there is no such parameter", name)
		}
		args[i] = value
	}
	return args, nil
}

// spool writes a result into a temporary table, which may spill to disk.
func (s *Store) spool(ctx context.Context, q *session, statement dialect.Statement) (*result, error) {
	columns, err := q.describe(ctx, statement)
	if err != nil {
		return nil, err
	}
	return q.spooled(ctx, statement, columns, fmt.Sprintf("spool_%d", s.loads.Add(1)))
}

// spooled runs a SELECT that has been described into a temporary table.
func (q *session) spooled(ctx context.Context, s dialect.Statement, columns []column, name string) (*result, error) {
	if len(columns) == 0 {
		return nil, fault.New(fault.Invalid, "the SELECT has no columns")
	}
	args, err := named(s)
	if err != nil {
		return nil, err
	}
	name = "temp.main." + quote(name)
	if _, err := q.exec(ctx, "CREATE OR REPLACE TEMP TABLE "+name+" AS "+s.SQL, args...); err != nil {
		return nil, failed("running the SELECT", err)
	}
	rows, err := q.count(ctx, "SELECT count(*) FROM "+name)
	if err != nil {
		return nil, failed("counting the rows of the SELECT", err)
	}
	stored, err := q.columns(ctx, "DESCRIBE SELECT * FROM "+name) // two of one name were told apart
	if err != nil {
		return nil, err
	}
	list := ""
	for i, c := range stored {
		if i > 0 {
			list += ", "
		}
		expression, err := c.exactly(c.typ)
		if err != nil {
			return nil, err
		}
		list += expression + " AS " + quote(c.name)
	}
	return &result{
		schema: schemaOf(stored), pages: max(1, (rows+pageRows-1)/pageRows),
		page: func(number int64) (string, []any) {
			return fmt.Sprintf("SELECT %s FROM %s WHERE rowid >= %d AND rowid < %d",
				list, name, number*pageRows, (number+1)*pageRows), nil
		},
	}, nil
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
	statement, args := r.page(number)
	err = q.raw(func(conn *duckdb.Conn) error {
		bridge, err := duckdb.NewArrowFromConn(conn)
		if err != nil {
			return err
		}
		reader, err := bridge.QueryContext(ctx, statement, args...)
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
