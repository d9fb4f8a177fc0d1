package postgres

import (
	"context"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/pgarrow"
	"github.com/tidemill/tidemill/internal/store"
)

// place is the column that keeps the order in which rows were staged: where rows
// lie in a table says nothing of it.
const place = "__staged"

// intake is a temporary table that Arrow batches flow into.
type intake struct {
	name   string // quoted, with its schema
	fields []datatype.Field
	schema *arrow.Schema // plain: what the batches are brought to
	copy   string
}

func newIntake(name string, schema datatype.Schema) intake {
	fields, columns := make([]arrow.Field, len(schema.Fields)), make([]string, len(schema.Fields))
	for i, f := range schema.Fields {
		fields[i] = arrow.Field{Name: f.Name, Type: f.Type.Arrow(), Nullable: true}
		columns[i] = f.Name
	}
	in := intake{name: "pg_temp." + quote(name), fields: schema.Fields, schema: arrow.NewSchema(fields, nil)}
	in.copy = "COPY " + in.name + " (" + engine.QuoteAll(columns...) + ") FROM STDIN (FORMAT binary)"
	return in
}

// create makes the table. A required column may be null here: who publishes looks.
func (in *intake) create(ctx context.Context, q *session) error {
	if len(in.fields) == 0 {
		return nil
	}
	columns := []string{place + " bigint GENERATED ALWAYS AS IDENTITY"}
	for _, f := range in.fields {
		typeName, err := engine.TypeName(f.Type)
		if err != nil {
			return err
		}
		columns = append(columns, quote(f.Name)+" "+typeName)
	}
	_, err := q.exec(ctx, "CREATE TEMP TABLE "+strings.TrimPrefix(in.name, "pg_temp.")+" ("+strings.Join(columns, ", ")+")")
	return err
}

// add copies a batch into the table.
func (in *intake) add(ctx context.Context, q *session, batch arrow.RecordBatch) error {
	if batch.NumRows() == 0 {
		return nil
	}
	plain, err := store.Conform(in.schema, batch)
	if err != nil {
		return err
	}
	defer plain.Release()
	reader, err := pgarrow.NewCopyReader(plain, in.fields)
	if err != nil {
		return err
	}
	_, err = q.conn.PgConn().CopyFrom(ctx, reader, in.copy)
	if encoding := reader.Err(); encoding != nil {
		return encoding
	}
	return err
}
