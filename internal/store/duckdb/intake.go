package duckdb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/duckdb/duckdb-go/v2"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/store"
)

// What an intake holds back before it runs an INSERT: one row group of DuckDB,
// or as many bytes as a load may always have in flight.
const (
	flushRows  = 122_880
	flushBytes = 32 << 20
)

// intake is a temporary table that Arrow batches flow into.
type intake struct {
	name    string // quoted, with its catalog
	view    string // of the batches on their way
	fields  []datatype.Field
	schema  *arrow.Schema // plain: what the batches are brought to
	waiting []arrow.RecordBatch
	rows    int64 // waiting
	bytes   int64 // waiting
}

func newIntake(name string, schema datatype.Schema) intake {
	fields := make([]arrow.Field, len(schema.Fields))
	for i, f := range schema.Fields {
		fields[i] = arrow.Field{Name: f.Name, Type: f.Type.Arrow(), Nullable: true}
	}
	return intake{
		name: "temp.main." + quote(name), view: name, fields: schema.Fields, schema: arrow.NewSchema(fields, nil),
	}
}

func quote(name string) string { return dialect.DuckDB.Quote(name) }

// create makes the table. A required column may be null here: who publishes looks.
func (in *intake) create(ctx context.Context, q *session) error {
	if len(in.fields) == 0 {
		return nil
	}
	columns := make([]string, len(in.fields))
	for i, f := range in.fields {
		typeName, err := dialect.DuckDB.TypeName(f.Type)
		if err != nil {
			return err
		}
		columns[i] = quote(f.Name) + " " + typeName
	}
	_, err := q.exec(ctx, "CREATE TEMP TABLE "+in.name+" ("+strings.Join(columns, ", ")+")")
	return err
}

// add takes a batch, and brings what waits into the engine once it is enough.
func (in *intake) add(ctx context.Context, q *session, batch arrow.RecordBatch) error {
	if batch.NumRows() == 0 {
		return nil
	}
	plain, err := store.Conform(in.schema, batch)
	if err != nil {
		return err
	}
	in.waiting = append(in.waiting, plain)
	in.rows += plain.NumRows()
	for _, column := range plain.Columns() {
		in.bytes += int64(column.Data().SizeInBytes())
	}
	if in.rows < flushRows && in.bytes < flushBytes {
		return nil
	}
	return in.flush(ctx, q)
}

// flush runs one INSERT for all that waits.
func (in *intake) flush(ctx context.Context, q *session) error {
	if len(in.waiting) == 0 {
		return nil
	}
	defer in.release()
	reader, err := array.NewRecordReader(in.schema, in.waiting)
	if err != nil {
		return err
	}
	defer reader.Release()
	return q.raw(func(conn *duckdb.Conn) error { return in.insert(ctx, conn, reader) })
}

func (in *intake) insert(ctx context.Context, conn *duckdb.Conn, reader array.RecordReader) (err error) {
	exec := func(ctx context.Context, statement string) error {
		_, err := conn.ExecContext(ctx, statement, nil)
		return err
	}
	// A view of Arrow batches is made where names are looked up, and is no
	// temporary one: it must land in memory and never in the file.
	whole := context.WithoutCancel(ctx)
	if err := exec(whole, "USE "+scratch); err != nil {
		return err
	}
	bridge, err := duckdb.NewArrowFromConn(conn)
	if err == nil {
		var release func()
		if release, err = bridge.RegisterView(reader, in.view); err == nil {
			defer release()
		}
	}
	if back := exec(whole, "USE "+warehouse); back != nil {
		return errors.Join(err, back, driver.ErrBadConn)
	}
	if err != nil {
		return err
	}
	names, values := make([]string, len(in.fields)), make([]string, len(in.fields))
	for i, f := range in.fields {
		typeName, _ := dialect.DuckDB.TypeName(f.Type)
		names[i] = quote(f.Name)
		values[i] = fmt.Sprintf("CAST(%s AS %s)", names[i], typeName)
	}
	view := scratch + ".main." + quote(in.view)
	err = exec(ctx, "INSERT INTO "+in.name+" ("+strings.Join(names, ", ")+") SELECT "+strings.Join(values, ", ")+" FROM "+view)
	return errors.Join(err, exec(whole, "DROP VIEW "+view))
}

// release lets go of what waits.
func (in *intake) release() {
	for _, batch := range in.waiting {
		batch.Release()
	}
	in.waiting, in.rows, in.bytes = nil, 0, 0
}
