package store

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/tidemill/tidemill/internal/core/commit"
	"github.com/tidemill/tidemill/internal/core/datatype"
	"github.com/tidemill/tidemill/internal/core/fault"
	"github.com/tidemill/tidemill/internal/core/project"
)

// Check refuses, with an error of kind invalid, a table that no store could
// publish: one without columns, with a key or a time that is no column, or
// without what its mode needs. What a store can do, it checks itself.
func (t TableSpec) Check() error {
	if t.Mode == project.ModeView {
		return nil
	}
	if err := t.Schema.Validate(); err != nil {
		return err
	}
	if len(t.Schema.Visible().Fields) == 0 {
		return fault.New(fault.Invalid, "it has no columns")
	}
	for _, name := range append(slices.Clone(t.Keys), t.EventTime, t.Version, t.Known.Column) {
		if name != "" && (t.Schema.Index(name) < 0 || datatype.Hidden(name)) {
			return fault.New(fault.Invalid, "there is no column %q", name)
		}
	}
	if t.EventTime != "" {
		switch f := t.Schema.Fields[t.Schema.Index(t.EventTime)]; f.Type.Kind {
		case datatype.TimestampTZ, datatype.Timestamp, datatype.Date:
		default:
			return fault.New(fault.Invalid, "the event time %s is a %s and no time", f.Name, f.Type)
		}
	}
	return t.checkMode()
}

func (t TableSpec) checkMode() error {
	switch {
	case t.Mode == project.ModeReplaceWindow && t.EventTime == "":
		return fault.New(fault.Invalid, "mode %s needs an event time", t.Mode)
	case t.Mode == project.ModeReplaceWindow && t.Window.IsZero() && len(t.Replays) == 0:
		return fault.New(fault.Invalid, "mode %s needs a window", t.Mode)
	case t.Mode == project.ModeMerge && len(t.Keys) == 0:
		return fault.New(fault.Invalid, "mode %s needs keys", t.Mode)
	case t.Mode == project.ModeFeature && (len(t.Keys) == 0 || t.EventTime == ""):
		return fault.New(fault.Invalid, "mode %s needs keys and an event time", t.Mode)
	}
	return nil
}

// MayPublish is what Begin and Commit owe to an attempt with a fence: nil, a
// *PublishedError if its key has a receipt, or ErrFenced if a newer one raised
// the fence (PROTOCOLS §3).
func MayPublish(receipt *commit.Receipt, raised, fence int64) error {
	switch {
	case receipt != nil:
		return &PublishedError{Receipts: []commit.Receipt{*receipt}}
	case raised > fence:
		return ErrFenced
	}
	return nil
}

// Conform brings a batch to a table's columns, by name: what it lacks is NULL.
// Hidden columns that the table has not are left out. The caller releases the
// batch that it gets.
func Conform(schema *arrow.Schema, batch arrow.RecordBatch) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, schema.NumFields())
	found := 0
	for i, f := range schema.Fields() {
		places := batch.Schema().FieldIndices(f.Name)
		if len(places) == 0 {
			nulls := array.MakeArrayOfNull(memory.DefaultAllocator, f.Type, int(batch.NumRows()))
			defer nulls.Release()
			columns[i] = nulls
			continue
		}
		columns[i] = batch.Column(places[0])
		if !arrow.TypeEqual(columns[i].DataType(), f.Type) {
			return nil, fault.New(fault.Internal, "column %s comes as %s and not as %s", f.Name, columns[i].DataType(), f.Type)
		}
		found += len(places)
	}
	for _, f := range batch.Schema().Fields() {
		if datatype.Hidden(f.Name) && !schema.HasField(f.Name) {
			found++
		}
	}
	if found != int(batch.NumCols()) {
		return nil, fault.New(fault.Internal, "the batch has columns that the table has not: it has %s", batch.Schema())
	}
	return array.NewRecordBatch(schema, columns, batch.NumRows()), nil
}
