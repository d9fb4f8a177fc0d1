package files

import (
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
	"github.com/tidemill/tidemill/internal/kernel"
)

type recordBatch = arrow.RecordBatch

// align says how a file's columns become those wanted; nil where they are the
// same. Source files must not differ in columns or types.
func align(name string, has, want datatype.Schema) (*alignment, error) {
	if len(has.Fields) != len(want.Fields) {
		return nil, fault.New(fault.Refused, "%s has the columns %s, the files before it %s", name, strings.Join(has.Visible().Names(), ", "), strings.Join(want.Visible().Names(), ", "))
	}
	same := true
	for i, f := range want.Fields {
		at := has.Index(f.Name)
		same = same && at == i
		if at < 0 {
			return nil, fault.New(fault.Refused, "%s lacks the column %s that the files before it have", name, f.Name)
		}
		if fit, why := datatype.Compare(has.Fields[at].Type, f.Type); fit != datatype.Exact {
			return nil, fault.New(fault.Refused, "%s: column %s is of another type than in the files before it: %s", name, f.Name, why)
		}
	}
	if same {
		return nil, nil //nolint:nilnil // nothing is to be done
	}
	return widen(name, has, want)
}

// widen says how the columns of a table's own file become those that the table
// has by now: what it lacks is NULL, what is narrower is cast, what is gone is left out.
func widen(name string, has, want datatype.Schema) (*alignment, error) {
	a := &alignment{schema: want, from: make([]int, len(want.Fields)), casts: make([]*kernel.Caster, len(want.Fields))}
	for i, f := range want.Fields {
		at := has.Index(f.Name)
		if a.from[i] = at; at < 0 {
			continue
		}
		fit, why := datatype.Compare(has.Fields[at].Type, f.Type)
		if fit == datatype.Exact {
			continue
		}
		if fit != datatype.Widened {
			return nil, fault.New(fault.Internal, "%s: column %s is not as the table has it: %s", name, f.Name, why)
		}
		caster, err := kernel.NewCaster(has.Fields[at].Type, f.Type, time.UTC, "", false)
		if err != nil {
			return nil, err
		}
		a.casts[i] = caster
	}
	return a, nil
}

// alignment brings batches to a schema.
type alignment struct {
	schema datatype.Schema
	from   []int // -1: NULL
	casts  []*kernel.Caster
}

// apply returns the batch in the columns wanted; the caller releases it.
func (a *alignment) apply(batch recordBatch) (recordBatch, error) {
	columns := make([]arrow.Array, len(a.from))
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, at := range a.from {
		switch f := a.schema.Fields[i]; {
		case at < 0:
			columns[i] = array.MakeArrayOfNull(memory.DefaultAllocator, f.Type.Arrow(), int(batch.NumRows()))
		case a.casts[i] == nil:
			columns[i] = batch.Column(at)
			columns[i].Retain()
		default:
			failed, changed := kernel.NewBits(0), kernel.NewBits(0)
			var err error
			if columns[i], err = a.casts[i].Cast(memory.DefaultAllocator, batch.Column(at), failed, changed); err != nil {
				return nil, err
			}
			if failed.Any() {
				return nil, fault.New(fault.Internal, "column %s: a value does not fit the wider type %s", f.Name, f.Type)
			}
		}
	}
	return array.NewRecordBatch(a.schema.Arrow(), columns, batch.NumRows()), nil
}

// plain returns the visible columns of a batch in the order of a schema, by
// name; the caller releases it. What it lacks is NULL.
func plain(batch recordBatch, schema datatype.Schema) (recordBatch, error) {
	a := &alignment{schema: schema, from: make([]int, len(schema.Fields)), casts: make([]*kernel.Caster, len(schema.Fields))}
	for i, f := range schema.Fields {
		places := batch.Schema().FieldIndices(f.Name)
		a.from[i] = -1
		if len(places) == 0 {
			continue
		}
		a.from[i] = places[0]
		if have := batch.Column(places[0]).DataType(); !arrow.TypeEqual(have, f.Type.Arrow()) {
			return nil, fault.New(fault.Internal, "column %s comes as %s and not as %s", f.Name, have, f.Type)
		}
		if f.Required && batch.Column(places[0]).NullN() > 0 {
			return nil, fault.New(fault.Refused, "column %s is required, and %d rows have no value there", f.Name, batch.Column(places[0]).NullN())
		}
	}
	for _, f := range batch.Schema().Fields() {
		if !datatype.Hidden(f.Name) && schema.Index(f.Name) < 0 {
			return nil, fault.New(fault.Internal, "the batch has a column %s that the table has not", f.Name)
		}
	}
	return a.apply(batch)
}

// evolve returns the columns of a table that takes rows of a load: what it lacks
// is added, and what is too narrow is widened.
func evolve(t project.Table, have, load datatype.Schema) (datatype.Schema, error) {
	out := datatype.Schema{Fields: slices.Clone(have.Fields)}
	for i := range out.Fields {
		out.Fields[i].Required = false // files of earlier loads may lack it
	}
	for _, f := range load.Fields {
		at := out.Index(f.Name)
		if at < 0 {
			f.Required = false
			out.Fields = append(out.Fields, f)
			continue
		}
		now := out.Fields[at].Type
		if fit, _ := datatype.Compare(f.Type, now); fit == datatype.Exact || fit == datatype.Widened {
			continue
		}
		fit, why := datatype.Compare(now, f.Type)
		if fit != datatype.Exact && fit != datatype.Widened {
			return out, fault.New(fault.Refused, "column %s of %s is a %s and cannot become a %s: %s; write to another table, or to a new column", f.Name, t, now, f.Type, why)
		}
		out.Fields[at].Type = f.Type
	}
	return out, nil
}

// clock reads the event time of rows: a day and a wall clock in the table's zone.
type clock struct {
	column string
	zone   *time.Location
}

// outside returns the rows whose event time is not within the window, and those without one.
func (c clock) outside(batch recordBatch, window commit.Window) (*kernel.Bits, error) {
	rows := kernel.NewBits(int(batch.NumRows()))
	at := batch.Schema().FieldIndices(c.column)
	if len(at) == 0 {
		return nil, fault.New(fault.Internal, "there is no column %s", c.column)
	}
	column := batch.Column(at[0])
	for i := range column.Len() {
		if column.IsNull(i) || !window.Contains(c.instant(column, i)) {
			rows.Set(i)
		}
	}
	return rows, nil
}

func (c clock) instant(column arrow.Array, i int) time.Time {
	var wall time.Time
	switch a := column.(type) {
	case *array.Date32:
		wall = a.Value(i).ToTime()
	case *array.Timestamp:
		kind := a.DataType().(*arrow.TimestampType)
		wall = a.Value(i).ToTime(kind.Unit)
		if kind.TimeZone != "" {
			return wall
		}
	}
	return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), c.zone)
}

// inside returns the rows whose event time is within the window.
func (c clock) inside(batch recordBatch, window commit.Window) (*kernel.Bits, error) {
	out, err := c.outside(batch, window)
	if err != nil {
		return nil, err
	}
	rows := kernel.NewBits(int(batch.NumRows()))
	for i := range int(batch.NumRows()) {
		if !out.Has(i) {
			rows.Set(i)
		}
	}
	return rows, nil
}
