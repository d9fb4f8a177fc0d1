package door

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/store"
)

// Refused asks how many rows of a table lie in quarantine, and for which windows.
type Refused struct {
	Bundle string        `json:"bundle"`
	Table  project.Table `json:"table"`
	Rule   string        `json:"rule,omitempty"`
}

// Extent is the answer.
type Extent struct {
	Rows   int64         `json:"rows"`
	Window commit.Window `json:"window"` // from the first window to the last
}

func (d *Door) quarantine(ctx context.Context, in Refused) (Extent, error) {
	var out Extent
	s, _, err := d.open(ctx, in.Bundle, in.Table.Store)
	if err != nil {
		return out, err
	}
	q, ok := s.(store.Queryer)
	if !ok {
		return out, fault.New(fault.Invalid, "the store %s answers no query", in.Table.Store)
	}
	t := in.Table.Quarantine()
	if there, err := exists(ctx, q, t); err != nil || !there {
		return out, err // nothing was ever refused
	}
	_, batches, err := q.Query(ctx, dialect.Statement{
		SQL:    fmt.Sprintf("SELECT count(*), min(_window_start), max(_window_end) FROM %s WHERE $rule = '' OR rule = $rule", q.Dialect().Table(t.Schema, t.Name)),
		Params: []dialect.Param{{Name: "rule", Value: in.Rule}},
	})
	if err != nil {
		return out, err
	}
	for batch, err := range batches {
		if err != nil {
			return out, err
		}
		if batch.NumRows() == 0 {
			continue
		}
		out.Rows = batch.Column(0).(*array.Int64).Value(0)
		if start, ok := batch.Column(1).(*array.Timestamp); ok && !start.IsNull(0) {
			unit := start.DataType().(*arrow.TimestampType).Unit
			out.Window.Start = start.Value(0).ToTime(unit).UTC()
			out.Window.End = batch.Column(2).(*array.Timestamp).Value(0).ToTime(unit).UTC()
		}
	}
	return out, nil
}

// exists says whether a store has a table. Engines have no common word for one that is not there.
func exists(ctx context.Context, q store.Queryer, t project.Table) (bool, error) {
	_, batches, err := q.Query(ctx, dialect.Statement{
		SQL:    "SELECT 1 FROM information_schema.tables WHERE table_schema = $schema AND table_name = $name",
		Params: []dialect.Param{{Name: "schema", Value: t.Schema}, {Name: "name", Value: t.Name}},
	})
	if err != nil {
		return false, err
	}
	there := false
	for batch, err := range batches {
		if err != nil {
			return false, err
		}
		there = there || batch.NumRows() > 0
	}
	return there, nil
}
