package task

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/publish"
	"github.com/tidemill/tidemill/internal/store"
)

// replay sends quarantined rows of the task's table through today's contract
// again, each into its own window (PROTOCOLS §3.8). What it places leaves the
// quarantine in the same commit; what is refused again stays there.
func (a *attempt) replay(ctx context.Context) error {
	var in struct{ Table, Rule string }
	if err := json.Unmarshal(a.grant.Params, &in); err != nil {
		return fault.New(fault.Invalid, "params of the replay: %w", err)
	}
	table, err := project.ParseTable(in.Table)
	if err != nil {
		return err
	}
	var write project.Write
	for _, w := range a.task.Writes {
		if w.Table == table {
			write = w
		}
	}
	agreed := a.code.Contract(table)
	if agreed == nil {
		return fault.New(fault.Invalid, "%s has no contract any more: nothing says which rows are good", table)
	}
	var columns []string
	for _, f := range agreed.Fields {
		columns = append(columns, f.Name)
	}
	batch, ids, err := a.quarantined(ctx, table, in.Rule, columns)
	if err != nil {
		return err
	}
	defer batch.Release()
	if len(ids) == 0 {
		a.log.note("nothing of %s is in quarantine", table)
		return nil
	}
	return a.publish(ctx, []publish.Table{{Write: write, Replays: ids, Source: &publish.Source{
		Schema: datatype.Text(columns...), Stable: true, Sources: []string{table.Quarantine().String()},
		Feed: func(ctx context.Context, sink func(context.Context, arrow.RecordBatch) error) error {
			return sink(ctx, batch)
		},
	}}})
}

// quarantined reads refused rows back as the text that their source wrote.
func (a *attempt) quarantined(ctx context.Context, t project.Table, rule string, columns []string) (arrow.RecordBatch, []string, error) {
	s, err := a.Stores.Open(ctx, a.code.Project, t.Store)
	if err != nil {
		return nil, nil, err
	}
	q, ok := s.(store.Queryer)
	if !ok {
		return nil, nil, fault.New(fault.Invalid, "the store %s answers no query", t.Store)
	}
	beside := t.Quarantine()
	statement := dialect.Statement{SQL: fmt.Sprintf(`SELECT _id::VARCHAR, original, coalesce(file, ''), coalesce(line, 0) FROM %s WHERE $rule = '' OR rule = $rule ORDER BY file, line, _id`,
		q.Dialect().Table(beside.Schema, beside.Name)), Params: []dialect.Param{{Name: "rule", Value: rule}}}
	_, batches, err := q.Query(ctx, statement)
	if err != nil {
		return nil, nil, err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, datatype.Text(columns...).Arrow())
	defer b.Release()
	var ids []string
	for batch, err := range batches {
		if err != nil {
			return nil, nil, err
		}
		for row := range int(batch.NumRows()) {
			if err := appendOriginal(b, columns, batch, row); err != nil {
				return nil, nil, err
			}
			ids = append(ids, batch.Column(0).ValueStr(row))
		}
	}
	return b.NewRecordBatch(), ids, nil
}

func appendOriginal(b *array.RecordBuilder, columns []string, batch arrow.RecordBatch, row int) error {
	var original map[string]any
	if err := json.Unmarshal([]byte(batch.Column(1).ValueStr(row)), &original); err != nil {
		return fault.New(fault.Internal, "a quarantined row cannot be read: %w", err)
	}
	for i, name := range columns {
		text := b.Field(i).(*array.StringBuilder)
		switch v := original[name].(type) {
		case nil:
			text.AppendNull()
		case string:
			text.Append(v)
		default:
			written, err := json.Marshal(v)
			if err != nil {
				return fault.New(fault.Internal, "a quarantined row cannot be read: %w", err)
			}
			text.Append(string(written))
		}
	}
	n := len(columns)
	b.Field(n).(*array.StringBuilder).Append(batch.Column(2).ValueStr(row))
	b.Field(n + 1).(*array.Int64Builder).Append(batch.Column(3).(*array.Int64).Value(row))
	return nil
}
