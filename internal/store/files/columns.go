package files

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
)

type recordBatch = arrow.RecordBatch

// align returns where each wanted column stands in a file's own; nil where they
// stand as wanted. Files of one read must not differ in columns or types.
func align(name string, has, want datatype.Schema) ([]int, error) {
	if len(has.Fields) != len(want.Fields) {
		return nil, fault.New(fault.Refused, "%s has %d columns, the files before it %d", name, len(has.Fields), len(want.Fields))
	}
	order := make([]int, len(want.Fields))
	same := true
	for i, f := range want.Fields {
		at := has.Index(f.Name)
		if at < 0 {
			return nil, fault.New(fault.Refused, "%s lacks the column %s that the files before it have", name, f.Name)
		}
		if fit, why := datatype.Compare(has.Fields[at].Type, f.Type); fit != datatype.Exact {
			return nil, fault.New(fault.Refused, "%s: column %s is of another type than in the files before it: %s", name, f.Name, why)
		}
		order[i], same = at, same && at == i
	}
	if same {
		return nil, nil
	}
	return order, nil
}

// reorder returns the columns of a batch in another order; the caller releases it.
func reorder(batch recordBatch, schema datatype.Schema, order []int) recordBatch {
	columns := make([]arrow.Array, len(order))
	for i, at := range order {
		columns[i] = batch.Column(at)
	}
	return array.NewRecordBatch(schema.Arrow(), columns, batch.NumRows())
}

// without returns the visible columns of a batch; the caller releases it.
func without(batch recordBatch, hidden func(string) bool) recordBatch {
	var fields []arrow.Field
	var columns []arrow.Array
	for i, f := range batch.Schema().Fields() {
		if !hidden(f.Name) {
			fields, columns = append(fields, f), append(columns, batch.Column(i))
		}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, batch.NumRows())
}
