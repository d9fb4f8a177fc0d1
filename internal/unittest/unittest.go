// Package unittest runs the tests of SQL tasks: given these rows, expect those.
//
// Each test has a scratch warehouse of its own, with the given tables and nothing
// else, and runs the task's SELECT there with the test's window and params. Rows
// are compared as a set, by the columns that the test names. Nothing outside of
// the scratch folder is touched.
package unittest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/contract"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/dialect"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/feature"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/publish"
	"github.com/tidemill/tidemill/internal/source"
	"github.com/tidemill/tidemill/internal/store"
)

// Scratch is what a scratch warehouse must be able to do.
type Scratch interface {
	store.Target
	store.Queryer
}

// Difference is a row that one side has and the other has not.
type Difference struct {
	Missing []string `json:"missing,omitempty"` // expected, and not there
	Extra   []string `json:"extra,omitempty"`   // there, and not expected
}

// Run runs one test. The difference is empty where it passed; an error means
// that the task could not run.
func Run(ctx context.Context, s Scratch, t source.Test, task *project.Task, contracts []contract.Table) (Difference, error) {
	for i, given := range t.Given {
		if err := load(ctx, s, i, given, contracts); err != nil {
			return Difference{}, fmt.Errorf("given %s: %w", given.Table, err)
		}
	}
	statement := dialect.Statement{SQL: task.SQL.Text, Params: []dialect.Param{
		{Name: "window_start", Value: t.Window.Start.UTC()}, {Name: "window_end", Value: t.Window.End.UTC()},
	}}
	for _, p := range task.Params {
		v := feature.Plain(p.Default)
		if raw, ok := t.Params[p.Name]; ok {
			v = feature.Plain(raw)
		}
		statement.Params = append(statement.Params, dialect.Param{Name: "param_" + p.Name, Value: v})
	}
	used, err := statement.Used()
	if err != nil {
		return Difference{}, err
	}
	statement.Params = used
	schema, batches, err := s.Query(ctx, statement)
	if err != nil {
		return Difference{}, err
	}
	var got []map[string]any
	for batch, err := range batches {
		if err != nil {
			return Difference{}, err
		}
		for row := range int(batch.NumRows()) {
			one := map[string]any{}
			for i, f := range schema.Fields {
				one[f.Name] = value(batch.Column(i), row)
			}
			got = append(got, one)
		}
	}
	return compare(t.Expect, got)
}

// load puts given rows into a table: typed by its contract where it has one.
func load(ctx context.Context, s Scratch, n int, given source.Rows, contracts []contract.Table) error {
	rows := make([]map[string]any, len(given.Rows))
	columns := []string{}
	for i, raw := range given.Rows {
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		if err := d.Decode(&rows[i]); err != nil {
			return fault.New(fault.Invalid, "row %d: %w", i+1, err)
		}
		for _, k := range slices.Sorted(maps.Keys(rows[i])) {
			if !slices.Contains(columns, k) {
				columns = append(columns, k)
			}
		}
	}
	table := publish.Table{Write: project.Write{Table: given.Table, Mode: project.ModeReplace}}
	if agreed := typesOf(given.Table, contracts); agreed != nil {
		table.Contract = agreed
		columns = nil
		for _, f := range agreed.Fields {
			columns = append(columns, f.Name)
		}
		for i, r := range rows {
			for k := range r {
				if !slices.Contains(columns, k) {
					return fault.New(fault.Invalid, "row %d: the contract names no column %s", i+1, k)
				}
			}
		}
		table.Source = feed(datatype.Text(columns...), texts(columns, rows))
	} else {
		batch, schema := typed(columns, rows)
		table.Source = feed(schema, batch)
	}
	_, err := publish.Run(ctx, publish.Request{
		Target: s, Key: commit.Key{Installation: "test", Run: "test", Task: given.Table.String(), Index: n}, Fence: int64(n + 1),
		Run: store.Run{Pipeline: "test", Newest: true}, Tables: []publish.Table{table},
	})
	return err
}

func feed(schema datatype.Schema, batch arrow.RecordBatch) *publish.Source {
	return &publish.Source{Schema: schema, Stable: true, Feed: func(ctx context.Context, sink func(context.Context, arrow.RecordBatch) error) error {
		defer batch.Release()
		return sink(ctx, batch)
	}}
}

// typesOf returns the contract of a table with its types alone: a test gives the
// columns that matter to it, and breaks rules if it likes.
func typesOf(t project.Table, contracts []contract.Table) *contract.Table {
	for _, c := range contracts {
		if named, err := project.ParseTable(c.Name); err != nil || named != t {
			continue
		}
		c.Checks = slices.DeleteFunc(slices.Clone(c.Checks), func(one contract.Check) bool { return one.Kind != contract.KindType })
		c.Fields = slices.Clone(c.Fields)
		for i := range c.Fields {
			c.Fields[i].Required, c.Fields[i].OnFail = false, contract.Reject
		}
		for i := range c.Checks {
			c.Checks[i].OnFail = contract.Reject
		}
		c.Key, c.EventTime, c.Feature, c.ErrorBudget = nil, "", false, contract.ErrorBudget{}
		return &c
	}
	return nil
}

// texts makes text columns, as a file would deliver them.
func texts(columns []string, rows []map[string]any) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, datatype.Text(columns...).Arrow())
	defer b.Release()
	for n, r := range rows {
		for i, name := range columns {
			field := b.Field(i).(*array.StringBuilder)
			switch v := r[name].(type) {
			case nil:
				field.AppendNull()
			case string:
				field.Append(v)
			case json.Number:
				field.Append(v.String())
			case bool:
				field.Append(strconv.FormatBool(v))
			default:
				text, _ := json.Marshal(v)
				field.Append(string(text))
			}
		}
		b.Field(len(columns)).(*array.StringBuilder).Append("given")
		b.Field(len(columns) + 1).(*array.Int64Builder).Append(int64(n + 1))
	}
	return b.NewRecordBatch()
}

// typed makes columns whose types are those of the values.
func typed(columns []string, rows []map[string]any) (arrow.RecordBatch, datatype.Schema) {
	var schema datatype.Schema
	for _, name := range columns {
		schema.Fields = append(schema.Fields, datatype.Field{Name: name, Type: datatype.Of(kindOf(name, rows))})
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema.Arrow())
	defer b.Release()
	for _, r := range rows {
		for i, name := range columns {
			appendValue(b.Field(i), r[name])
		}
	}
	return b.NewRecordBatch(), schema
}

func kindOf(name string, rows []map[string]any) datatype.Kind {
	kind := datatype.Kind("")
	for _, r := range rows {
		var one datatype.Kind
		switch v := r[name].(type) {
		case nil:
			continue
		case bool:
			one = datatype.Bool
		case json.Number:
			one = datatype.Int64
			if _, err := v.Int64(); err != nil {
				one = datatype.Float64
			}
		case string:
			one = datatype.String
			if _, err := time.Parse(time.RFC3339Nano, v); err == nil {
				one = datatype.TimestampTZ
			}
		default:
			one = datatype.String
		}
		switch {
		case kind == "" || kind == one:
			kind = one
		case kind == datatype.Int64 && one == datatype.Float64 || kind == datatype.Float64 && one == datatype.Int64:
			kind = datatype.Float64
		default:
			return datatype.String
		}
	}
	if kind == "" {
		return datatype.String
	}
	return kind
}

func appendValue(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Int64Builder:
		n, _ := v.(json.Number).Int64()
		b.Append(n)
	case *array.Float64Builder:
		n, _ := v.(json.Number).Float64()
		b.Append(n)
	case *array.TimestampBuilder:
		at, _ := time.Parse(time.RFC3339Nano, v.(string))
		b.Append(arrow.Timestamp(at.UnixMicro()))
	case *array.StringBuilder:
		b.Append(fmt.Sprint(v))
	}
}

// value is a cell as it is compared: nil, bool, float64, time or text.
func value(c arrow.Array, row int) any {
	if c.IsNull(row) {
		return nil
	}
	switch c := c.(type) {
	case *array.Boolean:
		return c.Value(row)
	case *array.Timestamp:
		return c.Value(row).ToTime(c.DataType().(*arrow.TimestampType).Unit).UTC()
	case *array.String:
		return c.Value(row)
	}
	text := c.ValueStr(row)
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return n
	}
	return text
}

// compare pairs expected rows with those that came, each once.
func compare(expect []json.RawMessage, got []map[string]any) (Difference, error) {
	var d Difference
	left := slices.Clone(got)
	for _, raw := range expect {
		var want map[string]any
		if err := json.Unmarshal(raw, &want); err != nil {
			return d, fault.New(fault.Invalid, "expected row %s: %w", raw, err)
		}
		i := slices.IndexFunc(left, func(r map[string]any) bool { return matches(want, r) })
		if i < 0 {
			d.Missing = append(d.Missing, string(raw))
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, r := range left {
		text, err := json.Marshal(r)
		if err != nil {
			text = []byte(fmt.Sprint(r))
		}
		d.Extra = append(d.Extra, string(text))
	}
	return d, nil
}

func matches(want, got map[string]any) bool {
	for name, v := range want {
		found, ok := got[name]
		if !ok || !equal(v, found) {
			return false
		}
	}
	return true
}

// equal compares a JSON value with a cell. Numbers are equal within rounding.
func equal(want, got any) bool {
	switch got := got.(type) {
	case time.Time:
		text, ok := want.(string)
		if !ok {
			return false
		}
		for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
			if at, err := time.Parse(layout, text); err == nil {
				return at.Equal(got)
			}
		}
		return false
	case float64:
		n, ok := want.(float64)
		return ok && math.Abs(n-got) <= 1e-9*math.Max(1, math.Abs(n))
	}
	return want == got
}
