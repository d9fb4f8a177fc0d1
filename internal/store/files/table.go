package files

import (
	"context"
	"path"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/format"
	"github.com/tidemill/tidemill/internal/store"
)

// readTable reads the files that a table's newest manifest names, or those of its quarantine.
func (s *Store) readTable(ctx context.Context, r store.Request) (*store.Reading, error) {
	if r.Table.IsZero() {
		return nil, fault.New(fault.Invalid, "a store of files answers no query")
	}
	table := r.Table
	m, err := s.newest(table)
	if err != nil {
		return nil, err
	}
	list, schema, aside := m.Files, m.Schema, false
	if m.Seq == 0 {
		table.Name = strings.TrimSuffix(table.Name, "__quarantine")
		if aside = table.Quarantine() == r.Table; aside {
			if m, err = s.newest(table); err != nil {
				return nil, err
			}
			list, schema = m.Quarantine, quarantineSchema()
		}
	}
	if m.Seq == 0 || aside && len(list) == 0 {
		return nil, fault.New(fault.NotFound, "there is no table %s: %w", r.Table, store.ErrAbsent)
	}
	out := &store.Reading{Schema: schema, Stable: true}
	for _, f := range list {
		out.Sources = append(out.Sources, path.Join(tableFolder(table), f.Name))
		out.Bytes += f.Bytes
	}
	out.Batches = func(yield func(recordBatch, error) bool) {
		for _, f := range list {
			o, err := s.openData(ctx, table, f)
			if err != nil {
				yield(nil, err)
				return
			}
			more := yield
			if aside {
				more = numbered(f.Seq, schema, yield)
			}
			if !o.copyTo(ctx, schema, more) {
				return
			}
		}
	}
	return out, nil
}

// openData opens a data file of a table.
func (s *Store) openData(ctx context.Context, t project.Table, f dataFile) (*opened, error) {
	o, err := s.openOne(ctx, path.Join(tableFolder(t), f.Name), store.Request{Format: project.Format{Kind: format.Parquet}})
	if err == nil {
		o.own = true
	}
	return o, err
}

// Columns that stand beside each quarantined row.
const (
	idColumn    = "_id"
	startColumn = "_window_start"
	endColumn   = "_window_end"
	seqColumn   = "_seq"
)

// quarantineSchema is the columns of a table's quarantine.
func quarantineSchema() datatype.Schema {
	text, instant := datatype.Of(datatype.String), datatype.Of(datatype.TimestampTZ)
	fields := []datatype.Field{{Name: idColumn, Type: text}}
	for _, f := range store.QuarantineSchema().Fields {
		fields = append(fields, datatype.Field{Name: f.Name, Type: f.Type})
	}
	return datatype.Schema{Fields: append(fields,
		datatype.Field{Name: "_run", Type: text}, datatype.Field{Name: "_task", Type: text}, datatype.Field{Name: "_key", Type: text},
		datatype.Field{Name: startColumn, Type: instant}, datatype.Field{Name: endColumn, Type: instant},
		datatype.Field{Name: seqColumn, Type: datatype.Of(datatype.Int64)}, datatype.Field{Name: "_at", Type: instant})}
}

// numbered fills in the number of the commit that brought the rows: files are
// written before it is known.
func numbered(seq int64, schema datatype.Schema, yield func(recordBatch, error) bool) func(recordBatch, error) bool {
	return func(batch recordBatch, err error) bool {
		if err != nil {
			return yield(nil, err)
		}
		b := array.NewInt64Builder(memory.DefaultAllocator)
		defer b.Release()
		for range batch.NumRows() {
			b.Append(seq)
		}
		number := b.NewArray()
		defer number.Release()
		columns := append([]arrow.Array(nil), batch.Columns()...)
		columns[schema.Index(seqColumn)] = number
		full := array.NewRecordBatch(schema.Arrow(), columns, batch.NumRows())
		defer full.Release()
		return yield(full, nil)
	}
}
